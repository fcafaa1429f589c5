"""Locs_AIM: against truth, against theory, and against the ways in which data can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from drift_truth import wormlike

from recipes_core.data import Drift, Localizations
from recipes_core.errors import ColumnError, DataError
from recipes_core.module import Context
from recipes_modules.aim.cells import MOST_CELLS, Layout, Search
from recipes_modules.drift_aim import Locs_AIM

SMALL = {"n": 40_000, "n_frames": 8_000, "field": 4000.0, "amplitude": (200.0, 150.0, 0.0)}
QUICK = {"segmentation": 200, "flatten_z": True}


def measure(table: Localizations, ctx: Context | None = None, **parameters: object) -> Drift:
    ctx = ctx or Context("Locs_AIM", wanted=["output_drift"])
    return Locs_AIM(**{**QUICK, **parameters}).apply(table, ctx=ctx)["output_drift"]


@pytest.fixture(scope="module")
def small() -> tuple[Localizations, Drift]:
    return wormlike(3, **SMALL)


@pytest.fixture(scope="module")
def small_drift(small: tuple[Localizations, Drift]) -> Drift:
    return measure(small[0])


def grids(seed: int, drift: np.ndarray, *, per_frame: int, n_patterns: int, field: float = 8000.0) -> tuple[Localizations, Drift]:
    """Squares of 4 x 4 sites 50 nm apart, any way round, localized with 10 nm: the structure that the paper simulates."""
    rng = np.random.default_rng([seed, 7])
    lattice = 50.0 * (np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) - 1.5)
    angles = rng.uniform(0, 2 * np.pi, n_patterns)
    turned = [lattice @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles]
    sites = np.concatenate([t + rng.uniform(0, field, 2) for t in turned])
    frame = np.repeat(np.arange(len(drift)), per_frame)
    position = sites[rng.integers(0, len(sites), len(frame))] + drift[frame] + rng.normal(0, 10.0, (len(frame), 2))
    table = Localizations({"x": position[:, 0], "y": position[:, 1], "frame": frame.astype(np.int32)})
    return table, Drift(np.arange(len(drift)), -drift, exact=True)


def random_walk(seed: int, n_frames: int, step: float) -> np.ndarray:
    rng = np.random.default_rng([seed, 8])
    walk = np.cumsum(rng.normal(0, step, (n_frames, 2)), axis=0)
    return walk - walk[0]


class TestTruth:
    @pytest.mark.parametrize("seed", range(3))
    def test_filaments(self, seed: int) -> None:
        table, truth = wormlike(seed, **SMALL)
        assert measure(table).rmse(truth).max() <= 2.0

    def test_three_dimensions(self) -> None:
        table, truth = wormlike(2, **{**SMALL, "amplitude": (150.0, 100.0, 120.0)}, z_range=500.0, z_precision=25.0)
        drift = measure(table, flatten_z=False, segmentation_z=400)
        rmse = drift.rmse(truth)
        assert rmse[:2].max() <= 2.0
        assert rmse[2] <= 3.0
        assert (drift.error[:, 2] > 0).all()

    @pytest.mark.parametrize("per_frame", [5, 20])
    def test_random_walk(self, per_frame: int) -> None:
        # What linear pieces between 50-frame means leave of a random walk of 0.3 nm a frame: 0.3 sqrt(50 / 6) = 0.9 nm.
        table, truth = grids(0, random_walk(0, 6_000, 0.3), per_frame=per_frame, n_patterns=60)
        assert measure(table, segmentation=50).rmse(truth).max() <= (2.5 if per_frame == 5 else 1.5)

    def test_drift_beyond_the_search_radius_is_found(self) -> None:
        # Every other segment lies farther from the one before it than the search radius.
        ctx = Context("s", wanted=["output_drift"])
        table, truth = grids(1, random_walk(1, 4_000, 12.0), per_frame=30, n_patterns=100)
        drift = measure(table, ctx, segmentation=20)
        moved = np.abs(np.diff(truth.at(drift.frames)[:, :2], axis=0)).max(axis=1)
        assert (moved > 60).mean() > 0.3
        # The random walk leaves 12 sqrt(20 / 6) = 22 nm between knots; at the knots themselves less than a cell remains.
        difference = (drift.correction - truth.at(drift.frames))[:, :2]
        assert np.median(np.abs(difference - np.median(difference, axis=0))) < 20.0
        assert any("found by a wider search" in message for message in ctx.messages)
        assert any("a segmentation of about" in warning for warning in ctx.warnings)

    def test_jump_is_found(self) -> None:
        path = random_walk(2, 4_000, 0.2)
        path[2_000:] += (400.0, -250.0)
        table, truth = grids(2, path, per_frame=20, n_patterns=60)
        away = np.setdiff1d(np.arange(4_000), np.arange(1_900, 2_100))
        assert measure(table, segmentation=50).rmse(truth, away).max() <= 2.0

    def test_beads_do_not_rule(self) -> None:
        # A bead that is stuck to something else stands still in every frame, beside a structure that drifts.
        table, truth = grids(3, random_walk(3, 4_000, 0.5), per_frame=20, n_patterns=60)
        bead = np.arange(4_000)
        columns = {
            "x": np.append(table["x"], np.random.default_rng(0).normal(4000, 5, 4_000)),
            "y": np.append(table["y"], np.random.default_rng(1).normal(4000, 5, 4_000)),
            "frame": np.append(table["frame"], bead),
        }
        assert measure(Localizations(columns), segmentation=50).rmse(truth).max() <= 3.0


def test_standard_errors_say_how_far_knots_are_off() -> None:
    scores = []
    for seed in range(4):
        table, truth = wormlike(seed, **SMALL)
        drift = measure(table)
        difference = (drift.correction - truth.at(drift.frames))[:, :2]
        scores.append((difference - difference.mean(axis=0)) / drift.error[:, :2])
    # 4 seeds x 40 knots x 2 axes: the spread of a standard normal is known to about 4 %; the error bars to some 20 %.
    assert 0.6 < np.concatenate(scores).std() < 1.6


def test_standard_errors_count_what_happens_within_segments() -> None:
    scores = []
    for seed in range(4):
        # Within segments of 200 frames this walk strays by sqrt(200 / 12) 0.5 = 2 nm, ten times what is known of a mean position.
        table, truth = grids(seed, random_walk(seed, 8_000, 0.5), per_frame=20, n_patterns=100)
        drift = measure(table)
        difference = (drift.correction - truth.at(drift.frames))[:, :2]
        scores.append((difference - difference.mean(axis=0)) / drift.error[:, :2])
    assert 0.6 < np.concatenate(scores).std() < 1.5


def test_segments_are_left_out_of_their_own_reference() -> None:
    # Without a structure each segment would meet nobody but itself, exactly where it is, and be called found.
    rng = np.random.default_rng(0)
    n = 20_000
    table = Localizations({"x": rng.uniform(0, 2e4, n), "y": rng.uniform(0, 2e4, n), "frame": np.sort(rng.integers(0, 4000, n))})
    with pytest.raises(DataError, match=r"drift in x and y is lost: \d+ of 20 segments") as raised:
        measure(table)
    assert raised.value.code == "D421"
    assert "segmentation" in raised.value.hint


def test_lost_segments_are_left_out(small: tuple[Localizations, Drift]) -> None:
    table, truth = small
    rng = np.random.default_rng(0)
    noise = (table["frame"] >= 3000) & (table["frame"] < 3400)
    columns = {name: np.where(noise, rng.uniform(0, 4000, len(table)), table[name]) for name in "xy"}
    ctx = Context("s", wanted=["output_drift"])
    drift = measure(table.with_columns(columns), ctx)
    assert len(drift) == 38
    assert ctx.warnings == ["2 of 40 segments meet nothing of what the others show and were left out"]
    difference = (drift.correction - truth.at(drift.frames))[:, :2]
    assert (difference - difference.mean(axis=0)).std(axis=0).max() <= 2.0


def test_threads_do_not_matter(small: tuple[Localizations, Drift]) -> None:
    one, three = (measure(small[0], Context("s", n_threads=n, wanted=["output_drift"])) for n in (1, 3))
    assert one.correction.tobytes() == three.correction.tobytes()
    assert one.error.tobytes() == three.error.tobytes()


def test_order_between_frames_does_not_matter(small: tuple[Localizations, Drift], small_drift: Drift) -> None:
    mixed = small[0].select(np.random.default_rng(1).permutation(len(small[0])))
    found = measure(mixed)
    assert found.frames.tobytes() == small_drift.frames.tobytes()
    # Sums in single precision, and which rows the first round looks at, follow the order within a frame.
    np.testing.assert_allclose(found.correction, small_drift.correction, atol=0.5)


def test_duplicated_rows_do_not_matter(small: tuple[Localizations, Drift], small_drift: Drift) -> None:
    table = small[0]
    twice = table.select(np.repeat(np.arange(len(table)), 2))
    difference = measure(twice).correction - small_drift.correction
    assert difference.std(axis=0).max() < 0.5


def test_frames_may_begin_below_zero_and_have_gaps(small: tuple[Localizations, Drift], small_drift: Drift) -> None:
    table = small[0]
    moved = measure(table.with_columns({"frame": table["frame"].astype(np.int64) - 5000}))
    np.testing.assert_allclose(moved.correction, small_drift.correction, atol=1e-9)
    np.testing.assert_allclose(moved.frames, small_drift.frames - 5000, atol=1e-9)
    ctx = Context("s", wanted=["output_drift"])
    frame = table["frame"]
    drift = measure(table.select((frame < 3000) | (frame >= 5000)), ctx)
    assert ctx.warnings == ["10 segments hold no localizations and were left out"]
    assert len(drift) == 30
    outside = np.concatenate([np.arange(3000), np.arange(5000, 8000)])
    assert drift.rmse(small[1], outside).max() <= 2.0


def test_shifted_origin_does_not_matter(small: tuple[Localizations, Drift], small_drift: Drift) -> None:
    table = small[0]
    moved = table.with_columns({"x": table["x"].astype(float) + 5e5, "y": table["y"].astype(float) - 3e5})
    np.testing.assert_allclose(measure(moved).correction, small_drift.correction, atol=0.5)


def test_rows_with_nan_take_no_part(small: tuple[Localizations, Drift]) -> None:
    table = small[0]
    bad = np.random.default_rng(0).random(len(table)) < 0.05
    x = table["x"].copy()
    x[bad] = np.nan
    ctx = Context("s", wanted=["output_drift"])
    found = measure(table.with_columns({"x": x}), ctx)
    assert found.correction.tobytes() == measure(table.select(~bad)).correction.tobytes()
    assert f"{bad.sum():,} of {len(table):,} localizations have NaN" in ctx.messages[0]


def test_large_fields_are_folded() -> None:
    wide = Layout(np.zeros(3), np.array([4e5, 3e5, 0.0]), 10.0, 3, False)
    assert wide.size <= 1.1 * MOST_CELLS
    flat = Layout(np.zeros(3), np.array([9e6, 100.0, 0.0]), 10.0, 3, False)
    assert flat.size <= 1.1 * MOST_CELLS
    assert flat.shape[0] == 900_001
    assert Search(20.0, 3).reach == 60.0


def test_folded_field_shows_the_drift(monkeypatch: pytest.MonkeyPatch, small: tuple[Localizations, Drift]) -> None:
    # A quarter of the cells that the field needs.
    monkeypatch.setattr("recipes_modules.aim.cells.MOST_CELLS", 10_000)
    assert measure(small[0]).rmse(small[1]).max() <= 3.0


def test_plot(small: tuple[Localizations, Drift]) -> None:
    made = Locs_AIM(**QUICK).apply(small[0])
    assert set(made) == {"output_drift"}
    made = Locs_AIM(**QUICK).apply(small[0], ctx=Context("s", wanted=["output_drift", "output_drift_plot"]))
    assert len(made["output_drift_plot"].panels) == 2


def test_progress_never_goes_back(small: tuple[Localizations, Drift]) -> None:
    told: list[float] = []

    class Listening(Context):
        def progress(self, done: float, total: float) -> None:
            told.append(done / total)

    measure(small[0], Listening("s", wanted=["output_drift"]))
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


class TestBadInput:
    def test_z_is_demanded_only_where_it_counts(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(ColumnError, match="no column 'z'"):
            measure(small[0], flatten_z=False)

    def test_z_that_is_the_same_everywhere(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        ctx = Context("s", wanted=["output_drift"])
        flat = small[0].with_columns({"z": np.full(len(small[0]), 7.0)})
        drift = measure(flat, ctx, flatten_z=False)
        assert ctx.warnings == ["all localizations have the same z; no drift along z was measured"]
        np.testing.assert_array_equal(drift.correction, small_drift.correction)

    def test_segment_longer_than_movie(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match=r"cover 8,000 frames .* not more than one .* of 9,000 frames"):
            measure(small[0], segmentation=9000)

    @pytest.mark.parametrize("n", [0, 1])
    def test_too_few(self, small: tuple[Localizations, Drift], n: int) -> None:
        with pytest.raises(DataError, match="no localizations" if n == 0 else "1 localization"):
            measure(small[0].select(slice(0, n)))

    def test_two_localizations(self) -> None:
        with pytest.raises(DataError, match="is lost"):
            measure(Localizations({"x": [0.0, 500.0], "y": [0.0, 500.0], "frame": [0, 1000]}))

    def test_all_nan(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="finite"):
            measure(small[0].with_columns({"x": np.full(len(small[0]), np.nan)}))

    def test_one_frame(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="cover 1 frame"):
            measure(small[0].with_columns({"frame": np.zeros(len(small[0]), np.int32)}))

    def test_identical_coordinates(self, small: tuple[Localizations, Drift]) -> None:
        n = len(small[0])
        with pytest.raises(DataError, match="the same position"):
            measure(small[0].with_columns({"x": np.full(n, 5.0), "y": np.full(n, 7.0)}))

    @pytest.mark.parametrize("far", [1e7, 1e12])
    def test_localization_far_away(self, small: tuple[Localizations, Drift], far: float) -> None:
        # No drift ever reaches it; the field is folded and the rest is found as before.
        x = small[0]["x"].astype(float)
        x[0] = far
        assert measure(small[0].with_columns({"x": x})).rmse(small[1]).max() <= 3.0

    def test_frame_far_away(self, small: tuple[Localizations, Drift]) -> None:
        frame = small[0]["frame"].astype(np.int64)
        frame[-1] = 2_000_000_000
        with pytest.raises(DataError, match="look for wrong numbers in the column 'frame'"):
            measure(small[0].with_columns({"frame": frame}))
