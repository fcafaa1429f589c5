"""Locs_RCC: against truth, against theory, and against the ways in which data can be wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drift_truth import wormlike

from benchmarks.plain_rcc import plain_rcc
from recipes_core.data import Drift, Localizations
from recipes_core.errors import ColumnError, DataError
from recipes_core.module import Context
from recipes_modules.correlation.cloud import make_cloud
from recipes_modules.correlation.cost import count_pairs, estimate_cost
from recipes_modules.correlation.localizations import Settings
from recipes_modules.correlation.redundant import choose_pairs
from recipes_modules.drift_apply import Locs_Post_Shift
from recipes_modules.drift_curve import Drift_Interpolate
from recipes_modules.drift_rcc import Locs_RCC
from recipes_modules.drift_residuals import residual_matrix
from recipes_modules.simulate import Locs_Simulate

SMALL = {"n": 20_000, "n_frames": 8_000, "field": 4000.0, "amplitude": (200.0, 150.0, 0.0)}
QUICK = {"step": 1000, "window": 1000, "binsize": 20.0, "flatten_z": True}


def measure(table: Localizations, ctx: Context | None = None, **parameters: object) -> Drift:
    ctx = ctx or Context("Locs_RCC", wanted=["output_drift"])
    return Locs_RCC(**{**QUICK, **parameters}).apply(table, ctx=ctx)["output_drift"]


def curve(drift: Drift, smoothing: float = 10.0) -> Drift:
    return Drift_Interpolate(smoothing_factor=smoothing).apply(drift)["output_drift_interpolator"]


@pytest.fixture(scope="module")
def small() -> tuple[Localizations, Drift]:
    return wormlike(3, **SMALL)


@pytest.fixture(scope="module")
def small_drift(small: tuple[Localizations, Drift]) -> Drift:
    return measure(small[0])


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]


@pytest.mark.parametrize("seed", SEEDS)
class TestTruth:
    def test_seed_recipe(self, seed: int) -> None:
        table, truth = wormlike(seed)
        assert curve(measure(table)).rmse(truth).max() <= 2.0

    @pytest.mark.slow
    def test_fine(self, seed: int) -> None:
        table, truth = wormlike(seed)
        assert curve(measure(table, binsize=10.0, step=500, window=500, corr_window=20)).rmse(truth).max() <= 2.5

    @pytest.mark.slow
    def test_three_dimensions(self, seed: int) -> None:
        table, truth = wormlike(seed, amplitude=(900.0, 1100.0, 150.0), z_range=600.0)
        rmse = curve(measure(table, flatten_z=False)).rmse(truth)
        assert rmse[:2].max() <= 2.0
        assert rmse[2] <= 4.0


def test_small_three_dimensions() -> None:
    table, truth = wormlike(2, **{**SMALL, "amplitude": (150.0, 100.0, 80.0)}, z_range=500.0, z_precision=20.0)
    drift = measure(table, flatten_z=False, binsize=30.0)
    rmse = curve(drift).rmse(truth)
    assert rmse[:2].max() <= 3.0
    assert rmse[2] <= 4.0


@pytest.mark.parametrize("method", ["RCC", "MCC", "DCC"])
def test_methods(small: tuple[Localizations, Drift], method: str) -> None:
    drift = measure(small[0], method=method)
    assert curve(drift).rmse(small[1]).max() <= 3.0
    np.testing.assert_array_equal(drift.correction[0], 0)


def test_standard_errors_say_how_far_knots_are_off() -> None:
    scores = []
    for seed in range(4):
        table, truth = wormlike(seed, **SMALL)
        drift = measure(table, step=500, window=500)
        difference = (drift.correction - truth.at(drift.frames))[:, :2]
        scores.append((difference - difference.mean(axis=0)) / drift.error[:, :2])
    # 4 seeds x 16 knots x 2 axes: the spread of a standard normal is known to about 6 %; the error bars to some 20 %.
    assert 0.6 < np.concatenate(scores).std() < 1.5


def test_corrected_structure_is_sharp(small: tuple[Localizations, Drift], small_drift: Drift) -> None:
    table, truth = small
    corrected = Locs_Post_Shift().apply(table, curve(small_drift))["output_name"]
    rest = np.column_stack([corrected[name] - table[name] for name in "xy"]) - truth.at(table["frame"])[:, :2]
    assert (rest - rest.mean(axis=0)).std(axis=0).max() < 3.0


def test_node_is_mean_frame_of_its_localizations(small: tuple[Localizations, Drift], small_drift: Drift) -> None:
    frame = small[0]["frame"].astype(float)
    first = frame.min()
    expected = [frame[(frame >= first + 1000 * k) & (frame < first + 1000 * (k + 1))].mean() for k in range(8)]
    np.testing.assert_allclose(small_drift.frames, expected, rtol=1e-12)
    assert small_drift.measured == (frame.min(), frame.max())


def test_threads_do_not_matter(small: tuple[Localizations, Drift]) -> None:
    one, three = (measure(small[0], Context("s", n_threads=n, wanted=["output_drift"]), corr_window=3) for n in (1, 3))
    assert one.correction.tobytes() == three.correction.tobytes()
    assert one.error.tobytes() == three.error.tobytes()


@pytest.mark.parametrize("parameters", [{}, {"step": 500, "corr_window": 3}])
def test_order_of_rows_does_not_matter(small: tuple[Localizations, Drift], parameters: dict[str, int]) -> None:
    table = small[0]
    mixed = table.select(np.random.default_rng(1).permutation(len(table)))
    expected, found = measure(table, **parameters), measure(mixed, **parameters)
    assert expected.correction.tobytes() == found.correction.tobytes()
    assert expected.frames.tobytes() == found.frames.tobytes()


def test_shifted_origin_does_not_matter(small: tuple[Localizations, Drift], small_drift: Drift) -> None:
    table = small[0]
    moved = table.with_columns({"x": table["x"].astype(float) + 5e5, "y": table["y"].astype(float) - 3e5})
    np.testing.assert_allclose(measure(moved).correction, small_drift.correction, atol=0.1)


def test_overlapping_windows_do_not_pull_towards_zero(small: tuple[Localizations, Drift]) -> None:
    # Every pair shares most of its localizations, which correlate perfectly at no shift.
    table, truth = small
    assert curve(measure(table, step=250, window=1000, corr_window=2)).rmse(truth).max() <= 5.0


def test_motion_within_windows() -> None:
    # 60 nm of motion in each window: the peaks of plain cross-correlation are smeared over three pixels.
    table, truth = wormlike(5, n=40_000, n_frames=8_000, field=6000.0, amplitude=(500.0, 400.0, 0.0))
    assert curve(measure(table)).rmse(truth).max() <= 2.0


def test_rows_with_nan_take_no_part(small: tuple[Localizations, Drift]) -> None:
    table = small[0]
    rng = np.random.default_rng(0)
    bad = rng.random(len(table)) < 0.05
    x = table["x"].copy()
    x[bad] = np.nan
    ctx = Context("s", wanted=["output_drift"])
    found = measure(table.with_columns({"x": x}), ctx)
    expected = measure(table.select(~bad))
    assert found.correction.tobytes() == expected.correction.tobytes()
    assert f"{bad.sum():,} of {len(table):,} localizations have NaN" in ctx.messages[0]


def test_empty_windows_are_left_out(small: tuple[Localizations, Drift]) -> None:
    table, truth = small
    frame = table["frame"]
    ctx = Context("s", wanted=["output_drift"])
    drift = measure(table.select((frame < 3000) | (frame >= 5000)), ctx)
    assert len(drift) == 6
    assert ctx.warnings == ["2 windows hold no localizations and were left out"]
    outside = np.concatenate([np.arange(3000), np.arange(5000, 8000)])
    assert curve(drift, 0).rmse(truth, outside).max() <= 3.0


def test_window_of_noise_is_left_out(small: tuple[Localizations, Drift]) -> None:
    table, truth = small
    rng = np.random.default_rng(0)
    noise = (table["frame"] >= 3000) & (table["frame"] < 4000)
    columns = {name: np.where(noise, rng.uniform(0, 4000, len(table)), table[name]) for name in "xy"}
    ctx = Context("s", wanted=["output_drift"])
    drift = measure(table.with_columns(columns), ctx, corr_window=-1)
    assert len(drift) == 7
    assert ctx.warnings == ["1 windows do not correlate with the others and were left out"]
    difference = (drift.correction - truth.at(drift.frames))[:, :2]
    assert (difference - difference.mean(axis=0)).std(axis=0).max() <= 3.0


class TestPlugin:
    """The drift plugin's own procedure."""

    def test_finds_the_drift(self, small: tuple[Localizations, Drift]) -> None:
        assert measure(small[0], behaviour="plugin").rmse(small[1]).max() <= 6.0

    @pytest.mark.parametrize("method", ["RCC", "MCC", "DCC"])
    def test_agrees_with_the_algorithm_as_it_is_usually_written(self, small: tuple[Localizations, Drift], method: str) -> None:
        table = small[0]
        columns = (table["x"].astype(float), table["y"].astype(float), table["frame"].astype(np.int64))
        bound = 5.0 if method == "RCC" else 1e9
        reach = 3 if method != "DCC" else 1
        frames, expected = plain_rcc(*columns, step=1000, window=1000, binsize=20.0, corr_window=reach, shift_max=bound)
        found = measure(table, behaviour="plugin", corr_window=reach, method=method)
        np.testing.assert_allclose(found.frames, frames, atol=1.0)
        difference = found.correction[:, :2] - expected
        # DCC compares every window with the first, the chain of neighbours each with the next: only their noise differs.
        assert np.abs(difference).max() <= (2.0 if method != "DCC" else 8.0)

    def test_windows_are_those_of_the_plugin(self, small: tuple[Localizations, Drift]) -> None:
        drift = measure(small[0], behaviour="plugin", step=3000, window=3000)
        np.testing.assert_allclose(drift.frames, [1499.5, 4499.5, 6999.5], atol=2)

    def test_three_dimensions(self) -> None:
        table, truth = wormlike(2, **{**SMALL, "amplitude": (150.0, 100.0, 80.0)}, z_range=500.0, z_precision=20.0)
        drift = measure(table, flatten_z=False, binsize=40.0, step=2000, window=2000, behaviour="plugin")
        difference = drift.correction - truth.at(drift.frames)
        assert (difference - difference.mean(axis=0)).std(axis=0).max() <= 8.0

    def test_shared_localizations_pull(self, small: tuple[Localizations, Drift]) -> None:
        # What the refined behaviour takes away: windows that overlap seem to move less than they do.
        table, truth = small
        moved = truth.at([7500.0])[0, :2] - truth.at([500.0])[0, :2]
        parameters = {"step": 250, "window": 1000, "corr_window": 2}
        spans = []
        for behaviour in ("plugin", "refined"):
            drift = measure(table, behaviour=behaviour, **parameters)
            spans.append(np.linalg.norm(drift.at([7500.0])[0, :2] - drift.at([500.0])[0, :2]) / np.linalg.norm(moved))
        assert spans[0] < 0.8
        assert spans[1] == pytest.approx(1.0, abs=0.05)


class TestCost:
    def test_pairs_are_counted_right(self) -> None:
        for n in (2, 5, 12):
            for method in ("RCC", "DCC"):
                for reach in (-1, 0, 1, 3, 30):
                    assert count_pairs(n, method, reach) == len(choose_pairs(n, method, reach))

    def test_long_runs_say_what_they_cost(self, small: tuple[Localizations, Drift], monkeypatch: pytest.MonkeyPatch) -> None:
        told = []

        class Stop(Exception):
            pass

        class Listening(Context):
            def say(self, message: str) -> None:
                told.append(message)
                raise Stop

        # Spread over 200 um at 5 nm: far more than a test should wait for, but what it costs is known at once.
        rng = np.random.default_rng(0)
        x = rng.uniform(0, 4e4, 40_000)
        frame = np.sort(rng.integers(0, 40_000, 40_000))
        table = Localizations({"x": x, "y": rng.uniform(0, 4e4, 40_000), "frame": frame})
        with pytest.raises(Stop):
            measure(table, Listening("s", wanted=["output_drift"]), binsize=5.0, step=500, window=500, corr_window=-1)
        assert told[0].startswith("80 windows of 8")
        assert "3,160 pairs: about" in told[0]
        assert "GB of memory" in told[0]
        assert "corr_window: 5 (about" in told[0]

    def test_short_runs_say_nothing(self, small: tuple[Localizations, Drift]) -> None:
        ctx = Context("s", wanted=["output_drift"])
        measure(small[0], ctx)
        assert ctx.messages == []

    def test_endless_runs_are_refused(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match=r"7,\d\d\d windows make 2\d,\d\d\d,\d\d\d pairs") as raised:
            measure(small[0], step=1, window=1, corr_window=0)
        assert raised.value.code == "D416"
        assert "corr_window" in raised.value.hint

    def test_more_costs_more(self, small: tuple[Localizations, Drift]) -> None:
        cloud = make_cloud(small[0], 500, 500, deep=False)
        settings = Settings(500, 500, 20.0, True, 0.25, "RCC", 5.0, 5)
        base = estimate_cost(cloud, settings, 16, 2)
        assert estimate_cost(cloud, replace(settings, binsize=10.0), 16, 2).seconds > 2 * base.seconds
        assert estimate_cost(cloud, replace(settings, corr_window=-1), 16, 2).seconds > base.seconds
        assert estimate_cost(cloud, settings, 16, 1).seconds > base.seconds


class TestResiduals:
    def test_matrix_shows_which_pairs_disagree(self, small: tuple[Localizations, Drift]) -> None:
        made = Locs_RCC(**QUICK, corr_window=-1).apply(
            small[0], ctx=Context("s", wanted=["output_drift", "output_residuals_plot"])
        )
        pixels = made["output_residuals_plot"].panels[0].content[0].pixels
        assert pixels.shape == (8, 8)
        np.testing.assert_array_equal(pixels, pixels.T)
        np.testing.assert_array_equal(np.isnan(pixels), np.eye(8, dtype=bool))

    def test_places(self) -> None:
        pairs = np.array([(0, 1), (0, 2), (1, 2)])
        full, rows = residual_matrix(3, pairs, np.array([1.0, 2.0, np.nan]))
        np.testing.assert_array_equal(full, [[np.nan, 1, 2], [1, np.nan, np.nan], [2, np.nan, np.nan]])
        assert rows == "window"
        near = choose_pairs(40, "RCC", 2)
        band, _ = residual_matrix(40, near, (near[:, 1] - near[:, 0]).astype(float))
        assert band.shape[1] == 40
        assert (np.nanmax(band[0]), np.nanmin(band[-1])) == (1.0, 2.0)
        many = choose_pairs(5000, "DCC", 0)
        assert max(residual_matrix(5000, many, np.ones(len(many)))[0].shape) <= 800

    @pytest.mark.parametrize("method", ["RCC", "MCC", "DCC"])
    @pytest.mark.parametrize("behaviour", ["refined", "plugin"])
    def test_figure_is_drawn(self, small: tuple[Localizations, Drift], method: str, behaviour: str, tmp_path: Path) -> None:
        ctx = Context("s", wanted=["output_drift", "output_residuals_plot"])
        made = Locs_RCC(**QUICK, method=method, behaviour=behaviour).apply(small[0], ctx=ctx)
        assert made["output_residuals_plot"].save(tmp_path / "residuals.png").stat().st_size > 5000


class TestDiagnostics:
    def test_made_only_when_asked_for(self, small: tuple[Localizations, Drift]) -> None:
        made = Locs_RCC(**QUICK).apply(small[0])
        assert set(made) == {"output_drift"}

    def test_cross_correlations(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        made = Locs_RCC(**QUICK, corr_window=2).apply(small[0], ctx=Context("s"))
        images = made["output_cross_cor"].asarray()
        assert images.shape[0] == 7 + 6
        assert images.shape[1] == 1
        # The brightest pixel of the pair (first, second) lies where the drift between them says.
        pixel = made["output_cross_cor"].pixel_size[0]
        _, y, x = np.unravel_index(images[0].argmax(), images[0].shape)
        middle = (np.array(images.shape[2:]) - 1) / 2
        np.testing.assert_allclose([(x - middle[1]) * pixel, (y - middle[0]) * pixel], small_drift.correction[1, :2], atol=pixel)

    def test_corrected_localizations(self, small: tuple[Localizations, Drift]) -> None:
        table = small[0]
        made = Locs_RCC(**QUICK).apply(table, ctx=Context("s", wanted=["output_drift", "outputName"]))
        expected = table["x"] + made["output_drift"].at(table["frame"])[:, 0]
        np.testing.assert_allclose(made["outputName"]["x"], expected, atol=1e-3)

    def test_plot(self, small: tuple[Localizations, Drift]) -> None:
        made = Locs_RCC(**QUICK).apply(small[0], ctx=Context("s", wanted=["output_drift", "output_drift_plot"]))
        assert len(made["output_drift_plot"].panels) == 2


class TestBadInput:
    def test_z_is_demanded_only_where_it_counts(self, small: tuple[Localizations, Drift]) -> None:
        assert Locs_RCC(flatten_z=True).required_columns("input_for_correction") == ("x", "y", "frame")
        with pytest.raises(ColumnError, match="no column 'z'"):
            measure(small[0], flatten_z=False)

    def test_window_longer_than_movie(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(
            DataError, match=r"cover 8,000 frames \(0 to 7,999\).*window of 9,000.*Set window and step below 8000"
        ):
            measure(small[0], window=9000)

    @pytest.mark.parametrize("n", [0, 1])
    def test_too_few(self, small: tuple[Localizations, Drift], n: int) -> None:
        with pytest.raises(DataError, match="no localizations" if n == 0 else "1 localization"):
            measure(small[0].select(slice(0, n)))

    def test_all_nan(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="finite"):
            measure(small[0].with_columns({"x": np.full(len(small[0]), np.nan)}))

    def test_one_frame(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="cover 1 frame"):
            measure(small[0].with_columns({"frame": np.zeros(len(small[0]), np.int32)}))

    def test_one_filled_window(self, small: tuple[Localizations, Drift]) -> None:
        frame = np.zeros(len(small[0]), np.int32)
        frame[-1] = 1200
        with pytest.raises(DataError, match=r"no two windows correlate"):
            measure(small[0].with_columns({"frame": frame}), step=100, window=100)

    def test_identical_coordinates(self, small: tuple[Localizations, Drift]) -> None:
        n = len(small[0])
        with pytest.raises(DataError, match="the same position"):
            measure(small[0].with_columns({"x": np.full(n, 5.0), "y": np.full(n, 7.0)}))

    def test_nothing_in_common(self) -> None:
        rng = np.random.default_rng(0)
        frame = np.repeat([0, 1000], 500)
        corner = np.repeat([0.0, 25_000.0], 500)
        corner[-1] = 50_000.0
        table = Localizations({"x": rng.uniform(0, 100, 1000) + corner, "y": rng.uniform(0, 100, 1000) + corner, "frame": frame})
        with pytest.raises(DataError, match="nothing in common"):
            measure(table, step=500, window=500)

    def test_too_few_for_pairs_to_agree(self) -> None:
        """Each pair has a peak, for a handful of localizations is near another handful at some shift or other."""
        parameters = {"n_localizations": 5_000, "n_frames": 40_000, "field": 20.0, "n_filaments": 60, "precision": 14.0}
        table = Locs_Simulate(**parameters, drift_amplitude=(300.0, 300.0, 0.0)).apply(seed=1)["output_localizations"]
        with pytest.raises(DataError, match="the drift is lost: of the .* pairs") as raised:
            measure(table, step=2500, window=2500, binsize=30.0)
        assert raised.value.code == "D421"
        ctx = Context("s", wanted=["output_drift"])
        measure(table, ctx, step=2500, window=2500, binsize=60.0, behaviour="plugin")
        assert any("the drift is doubtful" in warning for warning in ctx.warnings)

    def test_windows_too_long_for_the_drift(self) -> None:
        """A micrometre to and fro; in short windows, or where the drift is straight, nothing is said."""
        parameters = {"n_localizations": 60_000, "n_frames": 4_000, "field": 8.0, "n_filaments": 12, "precision": 12.0}
        for drift, window, warned in (("sinusoid", 400, True), ("sinusoid", 50, False), ("linear", 400, False)):
            module = Locs_Simulate(**parameters, drift=drift, drift_amplitude=(1200.0, 600.0, 0.0), drift_roughness=0.0)
            made = module.apply(seed=3)
            ctx = Context("s", wanted=["output_drift"])
            found = measure(made["output_localizations"], ctx, step=window, window=window, binsize=30.0)
            told = [re.search(r"may be off by (\d+) nm", warning) for warning in ctx.warnings]
            assert [match is not None for match in told] == [True] * warned, (drift, window, ctx.warnings)
            if warned and told[0]:
                assert 0.5 < found.rmse(made["output_drift"])[0] / float(told[0][1]) < 1.5

    def test_localization_far_away(self, small: tuple[Localizations, Drift]) -> None:
        x = small[0]["x"].astype(float)
        x[0] = 1e9
        with pytest.raises(DataError, match=r"extend over 1e\+06 x .* um, which at a binsize of 20 nm .* Filter out"):
            measure(small[0].with_columns({"x": x}))

    def test_duplicated_rows(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        table = small[0]
        twice = measure(table.select(np.repeat(np.arange(len(table)), 2)))
        np.testing.assert_allclose(twice.correction, small_drift.correction, atol=0.5)

    def test_negative_frames(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        table = small[0]
        moved = measure(table.with_columns({"frame": table["frame"].astype(np.int64) - 5000}))
        np.testing.assert_allclose(moved.correction, small_drift.correction, atol=1e-9)
        np.testing.assert_allclose(moved.frames, small_drift.frames - 5000, atol=1e-9)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"x": np.full(20_000, 5.0), "y": np.full(20_000, 7.0)}, "the same position"),
            ({"frame": np.zeros(20_000, np.int32)}, "cover 1 frame"),
            ({"x": np.full(20_000, np.nan)}, "finite"),
        ],
    )
    def test_plugin_behaviour(self, small: tuple[Localizations, Drift], columns: dict[str, np.ndarray], message: str) -> None:
        with pytest.raises(DataError, match=message):
            measure(small[0].with_columns(columns), behaviour="plugin")

    def test_frame_far_away(self, small: tuple[Localizations, Drift]) -> None:
        frame = small[0]["frame"].astype(np.int64)
        frame[-1] = 2_000_000_000
        with pytest.raises(DataError, match="look for wrong numbers in the column 'frame'"):
            measure(small[0].with_columns({"frame": frame}))
