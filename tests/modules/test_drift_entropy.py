"""Locs_Entropy: against truth, against theory, and against the ways in which data can be wrong."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from recipes_core.data import Drift, Localizations
from recipes_core.errors import ColumnError, DataError, UsageError
from recipes_core.module import Context
from recipes_modules.drift_entropy import Locs_Entropy
from recipes_modules.simulate import Locs_Simulate

FILAMENTS = {
    "n_localizations": 100_000, "n_frames": 8_000, "field": 8.0, "n_filaments": 12, "on_time": 2.0, "precision": 14.0,
    "drift": "sinusoid", "drift_roughness": 0.35, "drift_amplitude": (200.0, 150.0, 0.0),
}  # fmt: skip


def simulate(seed: int = 1, **parameters: object) -> tuple[Localizations, Drift]:
    made = Locs_Simulate(**{**FILAMENTS, **parameters}).apply(seed=seed)
    return made["output_localizations"], made["output_drift"]


def measure(table: Localizations, ctx: Context | None = None, **parameters: object) -> Drift:
    ctx = ctx or Context("Locs_Entropy", wanted=["output_drift"])
    return Locs_Entropy(**{"flatten_z": True, **parameters}).apply(table, ctx=ctx)["output_drift"]


def difference(drift: Drift, truth: Drift) -> np.ndarray:
    """How far each frame is off along x and y, the mean removed."""
    rest = (drift.correction - truth.at(drift.frames))[:, :2]
    return rest - rest.mean(axis=0)


def oracle(table: Localizations, truth: Drift, molecules: Localizations) -> np.ndarray:
    """Root mean square error along x and y of a random-walk smoother that knows every molecule's place and the walk's true step.

    Written with a dense inverse-covariance system, independently of the smoother under test.
    """
    from scipy.linalg import solveh_banded

    frame, n = table["frame"], len(truth.frames)
    result = []
    for axis, name in enumerate("xy"):
        weight = 1 / table[f"error_{name}"].astype(float) ** 2
        info = np.bincount(frame, weight, n)
        seen = np.bincount(frame, weight * (table[name].astype(float) - molecules[name]), n)
        moved = -truth.correction[:, axis]
        step = 1 / np.mean(np.diff(moved) ** 2)
        diagonal = info + step * np.concatenate([[1], np.full(n - 2, 2), [1]])
        bands = np.vstack([np.concatenate([[0], np.full(n - 1, -step)]), diagonal])
        result.append(np.std(solveh_banded(bands, seen) - moved))
    return np.array(result)


@pytest.fixture(scope="module")
def small() -> tuple[Localizations, Drift]:
    return simulate()


@pytest.fixture(scope="module")
def small_drift(small: tuple[Localizations, Drift]) -> Drift:
    return measure(small[0])


class TestTruth:
    def test_near_the_oracle(self) -> None:
        ctx = Context("s", seed=1)
        made = Locs_Simulate(**FILAMENTS).apply(ctx=ctx)
        table, truth = made["output_localizations"], made["output_drift"]
        limit = oracle(table, truth, made["output_truth"])
        # Who does not know the molecules sees filaments across only (half of the information) and blinks that repeat: sqrt(2) to 2.
        assert (measure(table).rmse(truth)[:2] < 2.0 * limit).all()

    def test_error_bars(self) -> None:
        scores = []
        for seed in range(1, 6):
            table, truth = simulate(seed)
            drift = measure(table)
            scores.append(np.sqrt(np.mean(difference(drift, truth) ** 2, axis=0) / np.mean(drift.error[:, :2] ** 2, axis=0)))
        # Ten curves of some hundred independent stretches each: known to about 3 % together, 10 % one by one.
        assert 0.87 < np.sqrt(np.mean(np.square(scores))) < 1.15
        assert 0.7 < np.min(scores) < np.max(scores) < 1.35

    def test_straight_drift_is_told_from_a_walk(self) -> None:
        parameters = {
            "kind": "thomas",
            "field": 1.0,
            "localizations_per_frame": 3.0,
            "on_time": 1.0,
            "precision": 0.0,
            "background": 0.0,
        }
        table, truth = simulate(
            1, **parameters, cluster_size=300.0, drift="linear", drift_amplitude=(60.0, 30.0, 0.0), drift_roughness=0.0
        )
        assert measure(table).rmse(truth)[:2].max() < 0.4

    def test_smooth_drift_beats_the_random_walk_oracle(self) -> None:
        parameters = {
            "kind": "grids",
            "n_clusters": 60,
            "site_spacing": 50.0,
            "on_time": 1.0,
            "precision": 10.0,
            "background": 0.0,
        }
        made = Locs_Simulate(**{**FILAMENTS, **parameters, "drift": "knots", "drift_roughness": 0.0}).apply(
            ctx=Context("s", seed=1)
        )
        limit = oracle(made["output_localizations"], made["output_drift"], made["output_truth"])
        assert (measure(made["output_localizations"]).rmse(made["output_drift"])[:2] < limit).all()

    def test_micrometres(self) -> None:
        table, truth = simulate(3, drift_amplitude=(3000.0, 2500.0, 0.0), drift_roughness=0.1)
        assert measure(table).rmse(truth)[:2].max() < 5.0

    @pytest.mark.parametrize("size", [60.0, 200.0, 1000.0, 2000.0])
    def test_jump(self, size: float) -> None:
        ctx = Context("s", wanted=["output_drift"])
        table, truth = simulate(4, jump=(size, 0.0, 0.0))
        drift = measure(table, ctx)
        assert np.count_nonzero(np.abs(difference(drift, truth)).max(axis=1) > 20) <= 5
        at = int(np.argmax(np.abs(np.diff(truth.correction[:, 0])))) + 1
        assert any(
            f"along x jumps before frame {frame:,}" in message for message in ctx.messages for frame in (at - 1, at, at + 1)
        )

    @pytest.mark.parametrize("size", [400.0, 1200.0])
    def test_jump_along_z(self, size: float) -> None:
        ctx = Context("s", wanted=["output_drift"])
        table, truth = simulate(4, depth=600.0, axial_precision=35.0, jump=(0.0, 0.0, size))
        drift = measure(table, ctx, flatten_z=False)
        off = (drift.correction - truth.at(drift.frames))[:, 2]
        assert np.count_nonzero(np.abs(off - np.median(off)) > 40) <= 5
        assert any("along z jumps" in message for message in ctx.messages)

    @pytest.mark.parametrize(("early", "axis"), [(16, 0), (-11, 1), (40, 0)])
    def test_misplaced_jump_is_moved(self, early: int, axis: int) -> None:
        """Kernels of micrometres place a jump within some frames only; events a whole jump away tell narrow ones nothing."""
        from recipes_modules.entropy.jumps import place_jumps
        from recipes_modules.entropy.prepare import prepare

        jump = (1000.0, 0.0, 0.0) if axis == 0 else (0.0, 1000.0, 0.0)
        table, truth = simulate(4, jump=jump)
        at = int(np.argmax(np.abs(np.diff(truth.correction[:, axis])))) + 1
        right = -truth.correction
        wrong = right.copy()
        between = slice(min(at, at - early), max(at, at - early))
        wrong[between, axis] += 1000.0 if early > 0 else -1000.0
        given = prepare(table, deep=False, channel="", map_=map)
        assert place_jumps(given.events, wrong, (40.0,) * 3, [at - early], deep=False, map_=map, n_parts=1)
        # What it moves goes on from the drift on either side, in a straight line.
        assert np.count_nonzero(np.abs(wrong - right)[:, axis] > 30) <= 1
        before = right.copy()
        assert not place_jumps(given.events, right, (40.0,) * 3, [at], deep=False, map_=map, n_parts=1)
        np.testing.assert_array_equal(right, before)

    def test_no_jump_is_seen_where_none_is(self, small: tuple[Localizations, Drift]) -> None:
        ctx = Context("s", wanted=["output_drift"])
        measure(small[0], ctx)
        assert ctx.messages == []
        assert ctx.warnings == []

    def test_few_localizations_far_away_are_no_jump(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        """Frames at both ends and one in the middle lie micrometres away; nothing else says so."""
        table, truth = small
        off = np.isin(table["frame"], (0, 1, 4_000, len(truth) - 1))
        ctx = Context("s", wanted=["output_drift"])
        drift = measure(table.with_columns({"x": table["x"] + np.where(off, 1600.0, 0.0)}), ctx)
        assert np.abs(difference(drift, small_drift)).max() < 3.0
        assert not any("jumps" in message for message in ctx.messages)

    def test_micrometres_along_z(self) -> None:
        table, truth = simulate(
            3, depth=600.0, axial_precision=35.0, drift_amplitude=(2000.0, 1500.0, 3000.0), drift_roughness=0.1, n_frames=4_000
        )
        ctx = Context("s", wanted=["output_drift"])
        drift = measure(table, ctx, flatten_z=False)
        assert drift.rmse(truth).max() < 6.0
        assert ctx.warnings == []

    def test_z_has_its_own_roughness(self) -> None:
        parameters = {"depth": 600.0, "axial_precision": 35.0, "drift_amplitude": (200.0, 150.0, 100.0)}
        table, truth = simulate(5, **parameters)
        deep, flat = measure(table, flatten_z=False), measure(table)
        rmse = deep.rmse(truth)
        assert rmse[2] < 2.5
        assert 0.6 < np.std((deep.correction - truth.correction)[:, 2]) / np.sqrt(np.mean(deep.error[:, 2] ** 2)) < 1.5
        assert (rmse[:2] < 1.05 * flat.rmse(truth)[:2]).all()
        assert not flat.correction[:, 2].any()
        assert not flat.error[:, 2].any()

    def test_molecules_that_stay_on(self) -> None:
        scores = []
        for seed in (6, 7):
            table, truth = simulate(seed, on_time=25.0)
            drift = measure(table)
            off = np.sqrt(np.mean(difference(drift, truth) ** 2, axis=0))
            assert off.max() < 8.0
            scores.append(off / np.sqrt(np.mean(drift.error[:, :2] ** 2, axis=0)))
        # Four curves of some thirty independent stretches each.
        assert np.sqrt(np.mean(np.square(scores))) < 1.6

    def test_beads_count(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        table, truth = small
        rng = np.random.default_rng(0)
        columns = {name: [table[name]] for name in ("x", "y", "frame", "error_x", "error_y")}
        for _ in range(4):
            frame = np.flatnonzero(rng.random(8_000) < 0.95)
            place = rng.uniform(1000, 7000, 2) - truth.correction[frame, :2] + 2 * rng.normal(size=(len(frame), 2))
            values = (place[:, 0], place[:, 1], frame, np.full(len(frame), 2.0), np.full(len(frame), 2.0))
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
        with_beads = Localizations({name: np.concatenate(parts) for name, parts in columns.items()})
        assert (measure(with_beads).rmse(truth)[:2] < 0.7 * small_drift.rmse(truth)[:2]).all()

    def test_channels_have_one_drift(self) -> None:
        table, truth = simulate(7, n_channels=2, channel_shift=(30.0, 0.0, 0.0))
        together = measure(table, channel_column="channel")
        alone = [measure(table.select(table["channel"] == channel)) for channel in (0, 1)]
        assert (together.rmse(truth)[:2] < np.min([drift.rmse(truth)[:2] for drift in alone], axis=0)).all()

    def test_precision_helps(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        table, truth = small
        without = measure(table.only(["x", "y", "frame"]))
        assert small_drift.rmse(truth)[:2].mean() < without.rmse(truth)[:2].mean()


class TestResult:
    def test_a_value_and_an_error_for_each_frame(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        frame = small[0]["frame"]
        np.testing.assert_array_equal(small_drift.frames, np.arange(frame.min(), frame.max() + 1))
        assert small_drift.exact
        assert small_drift.measured == (frame.min(), frame.max())
        np.testing.assert_array_equal(small_drift.correction[0], 0)
        assert (small_drift.error[:, :2] > 0).all()

    def test_frames_without_localizations(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        table, truth = small
        frame = table["frame"]
        drift = measure(table.select((frame < 3000) | (frame >= 4000)))
        assert len(drift) == 8_000
        assert (drift.error[3500, :2] > 3 * small_drift.error[3500, :2]).all()
        off = difference(drift, truth)
        assert off[np.r_[0:3000, 4000:8000]].std(axis=0).max() < 4.0
        assert np.abs(off[3000:4000] / drift.error[3000:4000, :2]).max() < 5

    def test_order_of_rows_does_not_matter(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        # Within a frame the order decides between links that are equally good: the result may change by a part of its error.
        mixed = measure(small[0].select(np.random.default_rng(1).permutation(len(small[0]))))
        rest = np.std(mixed.correction - small_drift.correction, axis=0)[:2]
        assert (rest < 0.5 * np.sqrt(np.mean(small_drift.error[:, :2] ** 2, axis=0))).all()

    def test_first_frame_may_be_any(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        table = small[0]
        shifted = measure(table.with_columns({"frame": table["frame"].astype(np.int64) - 5000}))
        np.testing.assert_array_equal(shifted.frames, small_drift.frames - 5000)
        assert shifted.correction.tobytes() == small_drift.correction.tobytes()

    @pytest.mark.parametrize("deep", [False, True])
    def test_threads_do_not_matter(self, deep: bool) -> None:
        table, _ = simulate(8, n_localizations=20_000, n_frames=2_000, depth=300.0)
        one, three = (measure(table, Context("s", n_threads=n, wanted=["output_drift"]), flatten_z=not deep) for n in (1, 3))
        assert one.correction.tobytes() == three.correction.tobytes()
        assert one.error.tobytes() == three.error.tobytes()

    def test_origin_does_not_matter(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        table = small[0]
        moved = table.with_columns({"x": table["x"].astype(float) + 5e6, "y": table["y"].astype(float) - 3e6})
        np.testing.assert_allclose(measure(moved).correction, small_drift.correction, atol=0.2)

    def test_inputs_stay_as_they_are(self, small: tuple[Localizations, Drift]) -> None:
        before = {name: small[0][name].tobytes() for name in small[0]}
        measure(small[0])
        assert before == {name: small[0][name].tobytes() for name in small[0]}

    def test_plot_and_progress(self) -> None:
        table, _ = simulate(8, n_localizations=20_000, n_frames=2_000)
        told: list[float] = []

        class Told(Context):
            def progress(self, done: float, total: float) -> None:
                told.append(done / total)

        made = Locs_Entropy(flatten_z=True).apply(table, ctx=Told("s"))
        assert len(made["output_drift_plot"].panels) == 2
        assert told[-1] == 1
        assert all(a <= b for a, b in pairwise(told))


class TestDoubt:
    @pytest.mark.parametrize("n", [1_000, 5_000])
    def test_few_localizations(self, small: tuple[Localizations, Drift], n: int) -> None:
        table, truth = small
        ctx = Context("s", wanted=["output_drift"])
        drift = measure(table.select(np.sort(np.random.default_rng(0).choice(len(table), n, replace=False))), ctx)
        off = difference(drift, truth).std(axis=0) / np.sqrt(np.mean(drift.error[:, :2] ** 2, axis=0))
        assert off.max() < 1.6 or "doubtful" in " ".join(ctx.warnings)
        assert off.max() < 3

    def test_no_structure(self) -> None:
        rng = np.random.default_rng(0)
        columns = {"x": rng.uniform(0, 20_000, 30_000), "y": rng.uniform(0, 20_000, 30_000), "frame": np.arange(30_000) // 5}
        with pytest.raises(DataError, match="nothing in common.*no structure"):
            measure(Localizations(columns))

    def test_structure_that_hardly_shows(self, small: tuple[Localizations, Drift]) -> None:
        rng = np.random.default_rng(0)
        blurred = small[0].with_columns({name: small[0][name] + 400 * rng.normal(size=len(small[0])) for name in "xy"})
        ctx = Context("s", wanted=["output_drift"])
        try:
            measure(blurred.only(["x", "y", "frame"]), ctx)
        except DataError as error:
            assert "nothing in common" in str(error)  # noqa: PT017 - either way of saying so is right
        else:
            assert "doubtful" in " ".join(ctx.warnings)


class TestBadInput:
    def test_rows_with_nan_take_no_part(self, small: tuple[Localizations, Drift]) -> None:
        table = small[0]
        bad = np.random.default_rng(0).random(len(table)) < 0.05
        x = table["x"].copy()
        x[bad] = np.nan
        ctx = Context("s", wanted=["output_drift"])
        found = measure(table.with_columns({"x": x}), ctx)
        assert found.correction.tobytes() == measure(table.select(~bad)).correction.tobytes()
        assert f"{bad.sum():,} of {len(table):,} localizations have NaN" in ctx.messages[0]

    def test_useless_errors_are_not_used(self, small: tuple[Localizations, Drift]) -> None:
        table = small[0]
        plain = measure(table.only(["x", "y", "frame"]))
        for value in (0.0, np.nan, -1.0):
            found = measure(table.with_columns({"error_x": np.full(len(table), value), "error_y": np.full(len(table), value)}))
            assert found.correction.tobytes() == plain.correction.tobytes()

    def test_localization_far_away(self, small: tuple[Localizations, Drift], small_drift: Drift) -> None:
        x = small[0]["x"].astype(float)
        x[0] = 1e6
        truth = small[1]
        found = measure(small[0].with_columns({"x": x}))
        assert (found.rmse(truth)[:2] < 1.2 * small_drift.rmse(truth)[:2]).all()

    def test_much_too_far_away(self, small: tuple[Localizations, Drift]) -> None:
        x, y = small[0]["x"].astype(float), small[0]["y"].astype(float)
        x[0], y[1] = 1e12, 1e12
        with pytest.raises(DataError, match="extend over .* Filter out"):
            measure(small[0].with_columns({"x": x, "y": y}))

    @pytest.mark.parametrize("n", [0, 1])
    def test_too_few(self, small: tuple[Localizations, Drift], n: int) -> None:
        with pytest.raises(DataError, match="no localizations" if n == 0 else "1 localization"):
            measure(small[0].select(slice(0, n)))

    def test_two(self) -> None:
        with pytest.raises(DataError, match="nothing in common"):
            measure(Localizations({"x": [0.0, 5000.0], "y": [0.0, 4000.0], "frame": [0, 100]}))

    def test_all_nan(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="finite"):
            measure(small[0].with_columns({"x": np.full(len(small[0]), np.nan)}))

    def test_one_frame(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="cover 1 frame"):
            measure(small[0].with_columns({"frame": np.zeros(len(small[0]), np.int32)}))

    def test_frame_far_away(self, small: tuple[Localizations, Drift]) -> None:
        frame = small[0]["frame"].astype(np.int64)
        frame[-1] = 2_000_000_000
        with pytest.raises(DataError, match="wrong numbers in the column 'frame'"):
            measure(small[0].with_columns({"frame": frame}))

    def test_identical_coordinates(self, small: tuple[Localizations, Drift]) -> None:
        n = len(small[0])
        with pytest.raises(DataError, match="the same position"):
            measure(small[0].with_columns({"x": np.full(n, 5.0), "y": np.full(n, 7.0)}))

    def test_identical_z(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="same z.*flatten_z"):
            measure(small[0].with_columns({"z": np.zeros(len(small[0]))}), flatten_z=False)

    def test_z_is_demanded_only_where_it_counts(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(ColumnError, match="no column 'z'"):
            measure(small[0].only(["x", "y", "frame"]), flatten_z=False)

    def test_duplicated_rows(self, small: tuple[Localizations, Drift]) -> None:
        table, truth = small
        twice = table.select(np.repeat(np.arange(len(table)), 2))
        assert measure(twice).rmse(truth)[:2].max() < 3.0

    def test_channels(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(ColumnError, match="no column 'colour'"):
            measure(small[0], channel_column="colour")
        with pytest.raises(DataError, match="at most 64 channels"):
            measure(small[0], channel_column="photons")
        with pytest.raises(UsageError, match="cannot be 'x'"):
            measure(small[0], channel_column="x")


class TestSmoother:
    def test_is_the_posterior_of_its_model(self) -> None:
        """Against a dense solution of the same Gaussian model."""
        from recipes_modules.entropy.smoother import smooth

        rng = np.random.default_rng(0)
        n, level, slope, prior = 60, 0.3, 0.01, (50.0, 2.0)
        info = np.where(rng.random(n) < 0.7, rng.uniform(0.1, 2, n), 0)
        y = rng.normal(size=n).cumsum()
        extra = np.zeros(n)
        extra[20] = 30.0
        # Everything is linear in the first level and slope and in all later disturbances.
        effects = np.zeros((n, 2 + 2 * (n - 1)))
        effects[:, 0], effects[:, 1] = 1, np.arange(n)
        for t in range(1, n):
            effects[t:, 2 * t] = 1
            effects[t:, 2 * t + 1] = np.arange(n - t)
        variances = np.concatenate([prior, np.column_stack([level + extra[1:], np.full(n - 1, slope)]).ravel()])
        covariance = effects @ np.diag(variances) @ effects.T
        seen = info > 0
        gain = covariance[:, seen] @ np.linalg.inv(covariance[np.ix_(seen, seen)] + np.diag(1 / info[seen]))
        mean, variance, shock = (np.empty(n) for _ in range(3))
        smooth(y, info, extra, level, slope, *prior, mean, variance, shock)
        np.testing.assert_allclose(mean, gain @ y[seen], atol=1e-9)
        np.testing.assert_allclose(variance, np.diag(covariance - gain @ covariance[seen]), atol=1e-9)

    def test_a_jump_needs_events_on_both_sides(self) -> None:
        from recipes_modules.entropy.smoother import FEWEST, Smoother

        rng = np.random.default_rng(3)
        level = np.where(np.arange(600) < 200, 0.0, 300.0)
        y = level + 10 * rng.normal(size=600)
        y[[0, 400, 599]] += 1000.0
        few, many = np.full(600, 2.0), np.full(600, FEWEST)
        found = Smoother(600, 2000.0)(y, np.full(600, 0.01), few)
        assert list(found.jumps) == [200]
        assert np.abs(found.mean - level).max() < 10.0
        # What holds many events is believed.
        assert {1, 200, 400, 401, 599} <= set(Smoother(600, 2000.0)(y, np.full(600, 0.01), many).jumps)

    def test_likelihood(self) -> None:
        from scipy.stats import multivariate_normal

        from recipes_modules.entropy.smoother import LANES, log_likelihoods

        rng = np.random.default_rng(1)
        n, prior = 40, (20.0, 0.5)
        info = np.where(rng.random(n) < 0.8, rng.uniform(0.1, 2, n), 0)
        y = rng.normal(size=n).cumsum()
        seen = info > 0
        t = np.arange(n)
        level, slope = np.geomspace(0.01, 3, LANES), np.geomspace(1, 1e-4, LANES)
        found = log_likelihoods(y, info, np.zeros(n), level, slope, *prior)
        for k in range(LANES):
            smaller = np.minimum(t[:, None], t[None, :])
            walk = np.array([[sum((a - s) * (b - s) for s in range(1, min(a, b))) for b in t] for a in t], float)
            covariance = prior[0] + prior[1] * np.outer(t, t) + level[k] * smaller + slope[k] * walk
            inside = covariance[np.ix_(seen, seen)] + np.diag(1 / info[seen])
            expected = multivariate_normal(np.zeros(seen.sum()), inside).logpdf(y[seen]) + seen.sum() * np.log(2 * np.pi) / 2
            np.testing.assert_allclose(found[k], expected, atol=1e-6)

    def test_shocks_are_standard_normal(self) -> None:
        from recipes_modules.entropy.smoother import smooth

        rng = np.random.default_rng(2)
        n, level = 20_000, 0.2
        truth = np.sqrt(level) * rng.normal(size=n).cumsum()
        mean, variance, shock = (np.empty(n) for _ in range(3))
        smooth(truth + 3 * rng.normal(size=n), np.full(n, 1 / 9), np.zeros(n), level, 0.0, 1e8, 0.0, mean, variance, shock)
        # Neighbours are alike over sqrt(9 / 0.2) = 7 frames: some 1500 independent ones.
        assert 0.93 < shock.std() < 1.07
        assert np.mean(((mean - truth) ** 2)[100:-100] / variance[100:-100]) == pytest.approx(1, abs=0.15)


class TestScores:
    @pytest.mark.parametrize("deep", [False, True])
    def test_are_derivatives_of_the_others_density(self, deep: bool) -> None:
        """Against a direct sum over all other events, mates left out."""
        from recipes_modules.entropy.density import VOXELS_PER_SIGMA
        from recipes_modules.entropy.events import Events
        from recipes_modules.entropy.rounds import FLOOR, score_round

        rng = np.random.default_rng(0)
        n, kernel = 600, (20.0, 20.0, 50.0)
        places = rng.normal(size=(n, 3)) * (60.0, 60.0, 90.0)
        frame = np.sort(rng.integers(0, 50, n)).astype(np.int32)
        drift = rng.normal(size=(50, 3)) * 20
        mates = np.full((n, 2), -1, np.int32)
        mates[100, 1], mates[101, 0] = 101, 100
        columns = (places + drift[frame]).astype(np.float32).T.copy()
        weight = rng.integers(1, 5, n).astype(np.float32)
        z = columns[2] if deep else columns[2][:0]
        events = Events(columns[0], columns[1], z, frame, weight, np.zeros(n, np.uint8), mates, 50, np.ones(3))
        axes = 3 if deep else 2
        scores = score_round(events, drift, kernel, deep=deep, map_=map, n_parts=2)
        width = np.array(kernel[:axes])
        apart = (places[None, :, :axes] - places[:, None, :axes]) / width
        peaks = weight[None] * np.exp(-0.5 * (apart**2).sum(axis=2))
        np.fill_diagonal(peaks, 0)
        peaks[100, 101] = peaks[101, 100] = 0
        # The floor is that of a voxel's own share, a little below the peak of a kernel.
        floor = FLOOR * weight.mean()
        expected = (peaks[:, :, None] * apart / width).sum(axis=1) / (peaks.sum(axis=1) + floor)[:, None]
        found = scores.gradients
        slope = [np.polyfit(expected[:, axis], found[:, axis], 1)[0] for axis in range(axes)]
        np.testing.assert_allclose(slope, 1, atol=0.05)
        spread = np.std(found - expected, axis=0) / np.std(expected, axis=0)
        # The voxels of a grid of VOXELS_PER_SIGMA to a kernel round each event to its voxel.
        assert spread.max() < 0.35 / VOXELS_PER_SIGMA
