"""From knots to a curve, to a file and back, and onto localizations."""

from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import UnivariateSpline, make_smoothing_spline

from recipes_core.data import Drift, Localizations
from recipes_core.errors import DataError, RecipeError, UsageError
from recipes_core.module import Context
from recipes_modules import (
    Drift_Combine,
    Drift_Interpolate,
    Drift_Load,
    Drift_Load_Interpolate,
    Drift_Plot,
    Drift_Save,
    Locs_Post_Shift,
)
from recipes_modules.drift_figures import drift_figure, path_figure
from recipes_modules.smoothing import cross_validated_spline, natural_spline


def knots(n: int = 12, *, noise: float = 0.0, first: float = 499.5, step: float = 1000.0) -> Drift:
    """Knots of a smooth drift, in windows of `step` frames."""
    frames = first + step * np.arange(n)
    t = np.arange(n) / max(1, n - 1)
    correction = np.column_stack([-900 * t + 60 * np.sin(4 * t), 400 * t**2, np.zeros(n)])
    correction[:, :2] += np.random.default_rng(0).normal(0, noise, (n, 2)) if noise else 0
    half = (step - 1) / 2
    return Drift(frames, correction - correction[0], measured=(frames[0] - half, frames[-1] + half))


def interpolate(drift: Drift, **parameters: object) -> Drift:
    return Drift_Interpolate(**parameters).apply(drift)["output_drift_interpolator"]


class TestInterpolated:
    def test_one_value_for_every_frame_of_the_measured_range(self) -> None:
        curve = interpolate(knots())
        np.testing.assert_array_equal(curve.frames, np.arange(12_000))
        assert curve.measured == (0, 11_999)
        assert curve.exact

    def test_without_smoothing_it_goes_through_the_knots(self) -> None:
        drift = knots(first=500.0)
        curve = interpolate(drift, smoothing_factor=0)
        np.testing.assert_allclose(curve.at(drift.frames), drift.correction, atol=1e-6)

    def test_without_smoothing_it_is_the_spline_of_scipy(self) -> None:
        drift = knots()
        curve = interpolate(drift, smoothing_factor=0)
        inside = curve.frames[(curve.frames >= drift.frames[0]) & (curve.frames <= drift.frames[-1])]
        for axis in range(2):
            expected = UnivariateSpline(drift.frames, drift.correction[:, axis], k=3, s=0)(inside)
            # Not the same conditions at the ends, which matter in the outer segments.
            np.testing.assert_allclose(curve.at(inside)[2000:-2000, axis], expected[2000:-2000], atol=0.1)

    @pytest.mark.parametrize(("factor", "bound"), [(10.0, 10.0), (100.0, 100.0), (-1.0, 30.0)])
    def test_squared_distances_of_the_knots_add_up_to_the_smoothing_factor(self, factor: float, bound: float) -> None:
        drift = knots(30, noise=3.0, first=500.0)
        curve = interpolate(drift, smoothing_factor=factor)
        left = ((curve.at(drift.frames) - drift.correction)[:, :2] ** 2).sum(axis=0)
        np.testing.assert_allclose(left, bound, rtol=0.05)

    def test_ends_go_on_straight_and_then_stay(self) -> None:
        drift = knots()
        curve = interpolate(drift, smoothing_factor=0)
        begin = curve.at(np.arange(0, 500))[:, 0]
        np.testing.assert_allclose(np.diff(begin), np.diff(begin)[0], atol=1e-9)
        # The slope there is that of the curve at the first knot.
        assert np.diff(begin)[0] == pytest.approx(np.diff(curve.at([500, 501])[:, 0])[0], abs=2e-3)
        np.testing.assert_array_equal(curve.at([-5000, 50_000]), curve.at([0, 11_999]))

    def test_it_does_not_run_away_beyond_the_outer_knots(self) -> None:
        drift = knots(8, noise=2.0)
        curve = interpolate(drift, smoothing_factor=0)
        slopes = np.abs(np.diff(curve.correction[:, :2], axis=0)).max()
        assert slopes < 3 * np.abs(np.diff(drift.correction[:, :2], axis=0)).max() / 1000

    @pytest.mark.parametrize(("n", "degree"), [(1, 0), (2, 1), (3, 2)])
    def test_few_knots_lower_the_degree(self, n: int, degree: int) -> None:
        ctx = Context("step")
        made = Drift_Interpolate().apply(knots(n), ctx=ctx)["output_drift_interpolator"]
        assert np.isfinite(made.correction).all()
        assert ctx.messages
        second = np.diff(made.correction[:, 0], n=degree + 1)
        np.testing.assert_allclose(second[second.size // 3 : -second.size // 3 or None], 0, atol=1e-6)

    def test_degree_one_is_linear(self) -> None:
        drift = knots(first=500.0)
        curve = interpolate(drift, degree_of_spline=1, smoothing_factor=0)
        frames = np.arange(500, 11_501)
        expected = np.interp(frames, drift.frames, drift.correction[:, 0])
        np.testing.assert_allclose(curve.at(frames)[:, 0], expected, atol=1e-6)

    def test_a_curve_passes_as_it_is(self) -> None:
        truth = Drift(np.arange(100), np.random.default_rng(0).normal(size=(100, 3)), exact=True)
        np.testing.assert_array_equal(interpolate(truth, smoothing_factor=1e6).correction, truth.correction)

    def test_knots_of_images_between_frames(self) -> None:
        drift = Drift([0.5, 2.5, 4.5], [[0, 0, 0], [2, 4, 0], [4, 8, 0]], measured=(0, 5))
        curve = interpolate(drift, smoothing_factor=0)
        np.testing.assert_array_equal(curve.frames, np.arange(6))
        np.testing.assert_allclose(curve.correction[:, 0], np.arange(6) - 0.5, atol=1e-9)

    def test_very_long_movies(self) -> None:
        drift = Drift([0.0, 4e9], [[0, 0, 0], [4e3, 0, 0]])
        curve = interpolate(drift)
        assert len(curve) < 6_000_000
        assert curve.at([1e9])[0, 0] == pytest.approx(1e3)

    def test_deterministic(self) -> None:
        one, other = (interpolate(knots(30, noise=3.0), smoothing_factor=10).correction.tobytes() for _ in range(2))
        assert one == other


class TestMethods:
    def measured(self, n: int, seed: int, noise: float = 8.0) -> tuple[Drift, Drift]:
        """Noisy knots with errors that say how noisy, and the truth."""
        rng = np.random.default_rng(seed)
        truth = Drift(np.arange(20_000), 300 * np.sin(np.arange(20_000)[:, None] / 4000 + np.arange(3)), exact=True)
        frames = (np.arange(n) + 0.5) * 20_000 / n
        error = noise * rng.uniform(0.3, 2.0, (n, 3))
        return Drift(frames, truth.at(frames) + error * rng.normal(size=error.shape), error=error, measured=(0, 19_999)), truth

    def test_linear_goes_straight_from_knot_to_knot(self) -> None:
        drift, _ = self.measured(20, 0)
        curve = interpolate(drift, method="linear")
        np.testing.assert_allclose(curve.correction, drift.at(curve.frames))
        np.testing.assert_allclose(curve.error[1000], (drift.error[1] + drift.error[0]) / 2)

    @pytest.mark.parametrize("n", [40, 400])
    def test_smooth_is_nearly_as_good_as_the_best_smoothing(self, n: int) -> None:
        for seed in range(4):
            drift, truth = self.measured(n, seed)
            found = interpolate(drift, method="smooth").rmse(truth)
            x = drift.frames
            for axis in range(3):
                weight = 1 / drift.error[:, axis] ** 2
                best = min(
                    np.std(natural_spline(x, drift.correction[:, axis], weight, length**4 * 1e-3)(x) - truth.at(x)[:, axis])
                    for length in np.geomspace(10, 20_000, 60)
                )
                assert found[axis] < 1.6 * best + 0.3
            assert found.max() < 0.7 * interpolate(drift, smoothing_factor=0).rmse(truth).min()

    def test_smooth_follows_what_is_no_noise(self) -> None:
        drift, truth = self.measured(200, 1, noise=0.01)
        assert interpolate(drift, method="smooth").rmse(truth).max() < 0.05

    def test_smooth_with_few_knots_goes_through_them(self) -> None:
        ctx = Context("step")
        drift = knots(6, first=500.0)
        curve = Drift_Interpolate(method="smooth").apply(drift, ctx=ctx)["output_drift_interpolator"]
        np.testing.assert_allclose(curve.at(drift.frames), drift.correction, atol=1e-6)
        assert any("cross-validation" in message for message in ctx.messages)

    @pytest.mark.parametrize("penalty", [1e-3, 1.0, 1e4])
    def test_the_natural_spline_is_that_of_scipy(self, penalty: float) -> None:
        rng = np.random.default_rng(0)
        x, w = np.sort(rng.uniform(0, 50, 60)), rng.uniform(0.5, 2, 60)
        y = np.sin(x / 5) + rng.normal(0, 0.1, 60)
        expected = make_smoothing_spline(x, y, w, lam=penalty)
        np.testing.assert_allclose(natural_spline(x, y, w, penalty)(x), expected(x), atol=1e-8)

    def test_cross_validation_does_not_depend_on_units(self) -> None:
        rng = np.random.default_rng(0)
        x = np.arange(50.0)
        y = np.sin(x / 8) + rng.normal(0, 0.1, 50)
        one, other = cross_validated_spline(x, y), cross_validated_spline(1000 * x + 7, 40 * y)
        np.testing.assert_allclose(40 * one(x), other(1000 * x + 7), atol=1e-6)


class TestCombined:
    def combine(self, *drifts: Drift, ctx: Context | None = None, how: str = "sum") -> Drift:
        return Drift_Combine(combine=how).apply(list(drifts), ctx=ctx)["output_drift"]

    def test_sum_at_different_knots(self) -> None:
        one = Drift([0.0, 100.0], [[0, 0, 0], [10, 0, 0]], error=np.full((2, 3), 3.0))
        other = Drift([0.0, 50.0, 100.0], [[0, 0, 0], [0, 5, 1], [0, 0, 0]], error=np.full((3, 3), 4.0))
        both = self.combine(one, other)
        np.testing.assert_allclose(both.at([0, 25, 50, 100]), [[0, 0, 0], [2.5, 2.5, 0.5], [5, 5, 1], [10, 0, 0]])
        np.testing.assert_allclose(both.error, 5.0)
        assert not both.exact

    def test_sum_of_curves_is_a_curve(self) -> None:
        curve = interpolate(knots())
        both = self.combine(curve, curve)
        np.testing.assert_allclose(both.at(np.arange(12_000)), 2 * curve.correction, atol=1e-9)
        assert both.exact

    def test_mean_weighs_by_errors(self) -> None:
        rng = np.random.default_rng(0)
        truth = Drift(np.arange(4000), 100 * np.sin(np.arange(4000)[:, None] / 700 + np.arange(3)), exact=True)
        drifts = []
        for frames, error, zero in ((np.arange(0, 4000, 10), 6.0, 50.0), (np.arange(5, 4000, 10), 2.0, -900.0)):
            noise = rng.normal(0, error, (len(frames), 3))
            drifts.append(
                Drift(frames, truth.at(frames) + noise + zero, error=np.full((len(frames), 3), error), measured=(0, 3999))
            )
        ctx = Context("step")
        both = self.combine(*drifts, ctx=ctx, how="mean")
        rmse = both.rmse(truth, drifts[1].frames)
        # Where one has a knot the other is interpolated, which halves its variance; the claimed error does not count on that.
        assert rmse.max() < 1.1 * both.error.mean()
        assert both.error.mean() == pytest.approx(1 / np.sqrt(1 / 36 + 1 / 4), rel=0.01)
        assert not ctx.warnings
        assert both.at([0.0])[0] == pytest.approx(drifts[0].at([0.0])[0])

    def test_drifts_that_contradict_each_other(self) -> None:
        frames = np.arange(0, 1000, 10)
        one = Drift(frames, np.column_stack([frames / 10, 0 * frames, 0 * frames]), error=np.ones((100, 3)))
        other = Drift(frames, np.column_stack([-frames / 10, 0 * frames, 0 * frames]), error=np.ones((100, 3)))
        ctx = Context("step")
        self.combine(one, other, ctx=ctx, how="mean")
        assert any("wrong" in warning for warning in ctx.warnings)

    def test_a_drift_counts_only_where_it_was_measured(self) -> None:
        whole = Drift(np.arange(100), np.zeros((100, 3)), error=np.ones((100, 3)))
        part = Drift(np.arange(40, 60), np.full((20, 3), 7.0), error=np.full((20, 3), 1e-3))
        both = self.combine(whole, part, how="mean")
        np.testing.assert_allclose(both.at(np.arange(100)), 0, atol=1e-9)
        assert both.error[0, 0] == 1

    def test_of_different_movies(self) -> None:
        one, other = Drift([0, 9], np.zeros((2, 3))), Drift([100, 109], np.zeros((2, 3)))
        with pytest.raises(DataError) as caught:
            self.combine(one, other, how="mean")
        assert caught.value.code == "D471"

    def test_none(self) -> None:
        with pytest.raises(DataError):
            self.combine()


class TestFigures:
    def test_knots_curve_and_truth(self) -> None:
        drift = knots(noise=2.0)
        truth = Drift(np.arange(12_000), knots(first=0.0, step=1091).at(np.arange(12_000)) + np.array([500, 500, 0]), exact=True)
        made = Drift_Interpolate(smoothing_factor=10).apply(drift, truth)
        figure, curve = made["output_drift_plot"], made["output_drift_interpolator"]
        assert len(figure.panels) == 2
        panel = figure.panels[0]
        assert {"points", "line"} <= {series.kind for series in panel.content}
        dashed = [series for series in panel.content if series.style == "dashed"]
        assert len(dashed) == 1
        # Drawn where it can be compared, although it counts from another zero.
        assert np.mean(dashed[0].y - np.interp(dashed[0].x, curve.frames, curve.correction[:, 0])) == pytest.approx(0, abs=1e-6)
        assert f"{curve.rmse(truth)[0]:.2f}" in panel.note

    def test_z_has_a_panel_only_where_it_moves(self) -> None:
        drift = knots()
        assert len(drift_figure([drift]).panels) == 2
        deep = Drift(drift.frames, drift.correction + np.array([0, 0, 1]), error=np.ones((12, 3)))
        figure = drift_figure([deep])
        assert len(figure.panels) == 3
        assert any(series.kind in ("band", "bars") for series in figure.panels[2].content)

    def test_path_and_differences(self, tmp_path: Path) -> None:
        truth = Drift(np.arange(12_000), knots(first=0.0, step=1091).at(np.arange(12_000)) + np.array([500, 500, 0]), exact=True)
        drift = Drift(truth.frames, truth.correction - truth.correction[0], error=np.ones((12_000, 3)), exact=True)
        made = Drift_Plot().apply(drift, truth)
        path = made["output_path_plot"].panels[0]
        assert path.equal
        ways = [series for series in path.content if series.kind == "path"]
        # The sample moves against its correction, and truth and drift lie on one another.
        assert ways[-1].x[0] == 0
        assert ways[-1].x[-1] == pytest.approx(-drift.correction[-1, 0])
        np.testing.assert_allclose(ways[0].x, ways[1].x, atol=1e-6)
        panels = made["output_drift_plot"].panels
        assert len(panels) == 4
        np.testing.assert_allclose(panels[1].content[-1].y, 0, atol=1e-6)
        for name in ("output_drift_plot", "output_path_plot"):
            assert made[name].save(tmp_path / f"{name}.png").stat().st_size > 5000
        assert len(path_figure(knots()).panels) == 1

    def test_it_can_be_drawn(self, tmp_path: Path) -> None:
        figure = Drift_Interpolate().apply(knots(noise=2.0))["output_drift_plot"]
        assert figure.save(tmp_path / "drift.png").stat().st_size > 5000


class TestFiles:
    def test_saved_and_loaded(self, tmp_path: Path) -> None:
        drift = knots(noise=2.0)
        path = drift.save(tmp_path / "drift.npz")
        loaded = Drift_Load(load_path=str(path)).apply()["output_drift_raw"]
        np.testing.assert_array_equal(loaded.correction, drift.correction)
        np.testing.assert_array_equal(loaded.frames, drift.frames)
        assert loaded.measured == drift.measured
        direct = interpolate(drift, smoothing_factor=10)
        again = Drift_Load_Interpolate(load_paths=[str(path)], smoothing_factor=10).apply()["output_drift_interpolator"]
        np.testing.assert_array_equal(again.correction, direct.correction)

    def test_several_files_add_up(self, tmp_path: Path) -> None:
        first = knots().save(tmp_path / "first.npz")
        exact = Drift(np.arange(3000, 6000), np.full((3000, 3), [5.0, 6.0, 7.0]), exact=True)
        second = exact.save(tmp_path / "second.npz")
        module = Drift_Load_Interpolate(load_paths=[str(first), str(second)], smoothing_factor=0)
        both = module.apply()["output_drift_interpolator"]
        alone = interpolate(knots(), smoothing_factor=0)
        np.testing.assert_allclose(both.at([4000.0]) - alone.at([4000.0]), [[5, 6, 7]], atol=1e-9)
        assert both.measured == (0, 11_999)
        assert both.exact

    def test_the_file_of_the_drift_plugin(self, data_file) -> None:
        path = data_file("cc_drift/drift.npz")
        loaded = Drift_Load(load_path=str(path)).apply()["output_drift_raw"]
        assert len(loaded) == 30
        np.testing.assert_allclose(loaded.correction[-1], [-889.3, -1148.1, 0], atol=0.1)

    @pytest.mark.parametrize("module", [Drift_Load(), Drift_Load_Interpolate(), Drift_Load_Interpolate(load_paths=[""])])
    def test_no_file_named(self, module: Drift_Load) -> None:
        assert list(module.check())
        with pytest.raises(UsageError):
            module.apply()

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=r"missing\.npz"):
            Drift_Load(load_path=str(tmp_path / "missing.npz")).apply()

    def test_writer_names_what_and_where(self) -> None:
        module = Drift_Save(input_name="drift_raw")
        assert module.destination() == "drift"
        assert module.suffix == ".npz"
        assert module.apply(knots()) == {}


class TestApplied:
    def table(self, n: int = 1000, **columns: np.ndarray) -> Localizations:
        rng = np.random.default_rng(0)
        basis = {
            "x": rng.uniform(0, 9000, n).astype(np.float32),
            "y": rng.uniform(0, 9000, n).astype(np.float32),
            "frame": rng.integers(0, 12_000, n).astype(np.int32),
        }
        return Localizations({**basis, **columns})

    def shift(self, table: Localizations, drift: Drift | None = None) -> Localizations:
        curve = drift if drift is not None else interpolate(knots())
        return Locs_Post_Shift().apply(table, curve)["output_name"]

    def test_correction_of_the_frame_is_added(self) -> None:
        table, curve = self.table(), interpolate(knots())
        moved = self.shift(table, curve)
        added = curve.at(table["frame"])
        for axis, name in enumerate("xy"):
            np.testing.assert_allclose(moved[name], table[name] + added[:, axis], atol=1e-3)
            np.testing.assert_allclose(moved[f"d{name}"], added[:, axis], atol=1e-4)
            assert moved[name].dtype == np.float32
        np.testing.assert_array_equal(moved["dz"], 0)
        assert "z" not in moved
        assert set(moved.columns) == {*table.columns, "dx", "dy", "dz"}

    def test_z(self) -> None:
        curve = Drift([0, 12_000], [[0, 0, 7.0], [0, 0, 7.0]])
        table = self.table(z=np.zeros(1000))
        moved = self.shift(table, curve)
        np.testing.assert_array_equal(moved["z"], 7)
        np.testing.assert_array_equal(moved["dz"], 7)

    def test_a_second_correction_adds_to_the_first(self) -> None:
        table = self.table()
        once = self.shift(table)
        twice = self.shift(once)
        np.testing.assert_allclose(twice["dx"], 2 * once["dx"], atol=1e-3)
        np.testing.assert_allclose(twice["x"], table["x"] + twice["dx"], atol=2e-3)

    def test_rows_stay_in_order_and_other_columns_as_they_are(self) -> None:
        table = self.table(photons=np.arange(1000.0))
        moved = self.shift(table)
        np.testing.assert_array_equal(moved["photons"], table["photons"])
        np.testing.assert_array_equal(moved["frame"], table["frame"])

    def test_other_names_of_columns_are_kept(self) -> None:
        table = self.table()
        renamed = Localizations({"x": table["x"], "y": table["y"], "tIndex": table["frame"]})
        assert "tIndex" in self.shift(renamed).columns

    def test_missing_values(self) -> None:
        table = self.table()
        x, frame = table["x"].copy(), table["frame"].astype(np.float64)
        x[3], frame[5] = np.nan, np.nan
        ctx = Context("step")
        bad = table.with_columns({"x": x, "frame": frame})
        moved = Locs_Post_Shift().apply(bad, interpolate(knots()), ctx=ctx)["output_name"]
        assert np.isnan(moved["x"][3])
        assert moved["x"][5] == x[5]
        assert moved["dx"][5] == 0
        others = np.setdiff1d(np.arange(1000), [3, 5])
        np.testing.assert_array_equal(moved["x"][others], self.shift(table)["x"][others])
        assert len(ctx.messages) == 2

    def test_frames_outside_the_measured_range_are_reported(self) -> None:
        ctx = Context("step")
        table = self.table(frame=np.arange(11_900, 12_900))
        curve = interpolate(knots())
        moved = Locs_Post_Shift().apply(table, curve, ctx=ctx)["output_name"]
        np.testing.assert_allclose(moved["dx"][100:], curve.at([11_999])[0, 0], rtol=1e-6)
        assert any("900" in warning for warning in ctx.warnings)

    def test_the_drift_of_another_movie(self) -> None:
        table = self.table(frame=np.arange(20_000, 21_000))
        with pytest.raises(DataError, match="another movie") as caught:
            Locs_Post_Shift().apply(table, interpolate(knots()))
        assert caught.value.code == "D472"

    def test_a_drift_that_goes_on_after_the_movie(self) -> None:
        ctx = Context("step")
        table = self.table(frame=np.arange(1000)).with_provenance(metadata={"Picasso.Frames": 1000})
        Locs_Post_Shift().apply(table, interpolate(knots()), ctx=ctx)
        assert any("1000 frames" in warning and "11999" in warning for warning in ctx.warnings)

    def test_duplicated_unsorted_and_negative_frames(self) -> None:
        curve = Drift([-50.0, 50.0], [[-5.0, 0, 0], [5.0, 0, 0]])
        table = Localizations({"x": np.zeros(5), "y": np.zeros(5), "frame": np.array([30, -40, 30, 0, -40])})
        np.testing.assert_allclose(self.shift(table, curve)["dx"], [3, -4, 3, 0, -4])

    def test_no_rows(self) -> None:
        assert len(self.shift(self.table(0))) == 0

    def test_whole_numbers_become_decimal(self) -> None:
        table = self.table(x=np.arange(1000))
        assert self.shift(table)["x"].dtype == np.float64

    def test_frames_far_apart(self) -> None:
        """Two localizations 2 ** 40 frames apart need no table of all frames between."""
        table = Localizations({"x": np.zeros(2), "y": np.zeros(2), "frame": np.array([0, 2**40])})
        curve = interpolate(knots())
        np.testing.assert_allclose(self.shift(table, curve)["dx"], curve.at([0, 11_999])[:, 0])
