"""Signs, axes and origins of a drift of localizations, and data at the edge of what can be measured."""

from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from drift_truth import wormlike

from recipes_core.data import Drift, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import Locs_RCC

SETTINGS = {"step": 500, "window": 500, "binsize": 20.0, "flatten_z": True}


@cache
def moving() -> tuple[Localizations, Drift]:
    return wormlike(3, n=20_000, n_frames=5000, field=5000.0, amplitude=(150.0, 200.0, 0.0))


@cache
def resting() -> Localizations:
    return wormlike(2, n=20_000, n_frames=5000, field=5000.0, amplitude=(0.0, 0.0, 0.0))[0]


def measure(table: Localizations, **parameters: object) -> Drift:
    ctx = Context("Locs_RCC", wanted=["output_drift"])
    return Locs_RCC(**{**SETTINGS, **parameters}).apply(table, ctx=ctx)["output_drift"]


def test_result_is_what_must_be_added_counted_from_the_first_window() -> None:
    table, truth = moving()
    found = measure(table)
    np.testing.assert_array_equal(found.correction[0], 0)
    assert not found.exact
    np.testing.assert_allclose(found.correction, truth.at(found.frames) - truth.at(found.frames[:1]), atol=10)


def test_axes_are_not_exchanged() -> None:
    table, _ = moving()
    exchanged = table.with_columns({"x": table["y"], "y": table["x"]})
    np.testing.assert_allclose(measure(table).correction[:, :2], measure(exchanged).correction[:, 1::-1], atol=1.5)


def test_a_mirrored_sample_drifts_the_other_way() -> None:
    table, _ = moving()
    mirrored = table.with_columns({"x": -table["x"]})
    np.testing.assert_allclose(measure(table).correction[:, 0], -measure(mirrored).correction[:, 0], atol=1.5)


def test_frames_may_begin_anywhere() -> None:
    table, _ = moving()
    first, later = measure(table), measure(table.with_columns({"frame": table["frame"] + 100_000}))
    np.testing.assert_allclose(first.correction, later.correction, atol=1e-9)
    np.testing.assert_allclose(first.frames + 100_000, later.frames, atol=1e-9)


def test_other_names_of_columns() -> None:
    table, _ = moving()
    renamed = Localizations({"x": table["x"], "y": table["y"], "tIndex": table["frame"].astype(np.float64)})
    np.testing.assert_array_equal(measure(renamed).correction, measure(table).correction)


def test_a_jump_between_windows() -> None:
    table = resting()
    jump = np.where(table["frame"] >= table["frame"].min() + 2500, np.float32(300), np.float32(0))
    before, after = np.split(measure(table.with_columns({"x": table["x"] + jump})).correction[:, 0], [5])
    assert after.mean() - before.mean() == pytest.approx(-300, abs=5)


def test_a_sample_at_rest_does_not_drift() -> None:
    assert np.abs(measure(resting()).correction).max() < 6


def test_two_windows() -> None:
    table, truth = moving()
    found = measure(table, step=2500, window=2500)
    assert len(found) == 2
    np.testing.assert_allclose(found.correction[1], (truth.at(found.frames[1:]) - truth.at(found.frames[:1]))[0], atol=15)


def test_more_frames_than_the_last_window_are_covered() -> None:
    table, _ = moving()
    first = int(table["frame"].min())
    for length, n_windows in ((4100, 8), (4400, 9)):
        last = first + length - 1
        cut = table.select(table["frame"] <= last)
        found = measure(cut)
        assert len(found) == n_windows
        assert found.measured == (first, int(cut["frame"].max()))


@pytest.mark.parametrize("along", ["x", "y"])
def test_localizations_on_a_line(along: str) -> None:
    """A straight line shows no drift along itself; whatever is made of it, it is no NaN and no endless loop."""
    rng = np.random.default_rng(1)
    columns = {"x": np.zeros(5000), "y": np.zeros(5000), along: rng.uniform(0, 5000, 5000)}
    with suppress(DataError):
        found = measure(Localizations({**columns, "frame": np.sort(rng.integers(0, 5000, 5000))}))
        assert np.isfinite(found.correction).all()


def test_the_message_about_a_far_away_localization_names_the_binsize_that_was_set() -> None:
    table, _ = moving()
    columns = {name: table[name].astype(np.float64) for name in "xy"}
    for values in columns.values():
        values[17] = 1e9
    with pytest.raises(DataError, match="binsize of 20 nm"):
        measure(table.with_columns(columns))


def test_infinite_coordinates_count_as_missing() -> None:
    table, _ = moving()
    x = table["x"].copy()
    x[5] = np.inf
    without = table.select(np.arange(len(table)) != 5)
    np.testing.assert_array_equal(measure(table.with_columns({"x": x})).correction, measure(without).correction)


def test_deprecated_parameters_are_accepted_and_change_nothing() -> None:
    module = Locs_RCC(cache_fft="x.bin", multiprocessing=True, debug_cor_file="y")
    for name in ("cache_fft", "multiprocessing", "debug_cor_file"):
        assert module.parameters()[name].deprecated
        assert not module.parameters()[name].affects_result
