"""From knots to a curve, to a file and back, and onto localizations."""

from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import UnivariateSpline

from recipes_core.data import Drift, Localizations
from recipes_core.errors import RecipeError, UsageError
from recipes_core.module import Context
from recipes_modules import Drift_Interpolate, Drift_Load, Drift_Load_Interpolate, Drift_Save, Locs_Post_Shift
from recipes_modules.drift_figures import drift_figure


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
        table = self.table(frame=np.arange(20_000, 21_000))
        curve = interpolate(knots())
        moved = Locs_Post_Shift().apply(table, curve, ctx=ctx)["output_name"]
        np.testing.assert_allclose(moved["dx"], curve.at([11_999])[0, 0], rtol=1e-6)
        assert any("1,000" in warning for warning in ctx.warnings)

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
