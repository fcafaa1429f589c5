"""Drift of localizations against simulated truth. The truth is a correction: what undoes the simulated motion."""

from functools import cache

import numpy as np
import pytest
from drift_truth import wormlike

from recipes_core.data import Drift, Localizations
from recipes_core.errors import ColumnError, DataError
from recipes_core.module import Context
from recipes_modules import Drift_Interpolate, Locs_RCC

SEED_RECIPE = {"step": 1000, "window": 1000, "binsize": 20.0, "flatten_z": True}
FINE = {"step": 500, "window": 500, "binsize": 10.0, "corr_window": 20, "flatten_z": True}
SMALL = {"step": 500, "window": 500, "binsize": 20.0, "flatten_z": True}
DEPTH = {"z_range": 600.0, "amplitude": (900.0, 1100.0, 150.0)}


@cache
def small(seed=3, **options):
    return wormlike(seed, n=20_000, n_frames=5000, field=5000.0, amplitude=(150.0, 200.0, 0.0), **options)


def measure(locs, *, n_threads=2, wanted=("output_drift",), **parameters):
    """The drift, and what the module said."""
    ctx = Context("Locs_RCC", n_threads=n_threads, wanted=wanted)
    return Locs_RCC(**parameters).apply(locs, ctx=ctx), ctx


def drift_of(locs, **parameters):
    return measure(locs, **parameters)[0]["output_drift"]


def rmse(locs, truth, **parameters):
    curve = Drift_Interpolate(smoothing_factor=10.0).apply(drift_of(locs, **parameters))["output_drift_interpolator"]
    return curve.rmse(truth)


def error_of_knots(drift, truth):
    return np.std(drift.correction - truth.at(drift.frames), axis=0)


class TestAccuracy:
    """The bounds that the project promises: 100 000 localizations, 30 000 frames, 9 um, 10 nm precision, drift of about 1 um."""

    def test_settings_of_the_seed_recipe(self):
        assert (rmse(*wormlike(0), **SEED_RECIPE)[:2] <= 2.0).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(5))
    def test_settings_of_the_seed_recipe_five_seeds(self, seed):
        assert (rmse(*wormlike(seed), **SEED_RECIPE)[:2] <= 2.0).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(5))
    def test_fine_settings(self, seed):
        assert (rmse(*wormlike(seed), **FINE)[:2] <= 2.5).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(5))
    def test_three_dimensions(self, seed):
        error = rmse(*wormlike(seed, **DEPTH), **{**SEED_RECIPE, "flatten_z": False})
        assert (error[:2] <= 2.5).all()
        assert error[2] <= 4.0

    def test_small_data_in_three_dimensions(self):
        locs, truth = wormlike(1, n=30_000, n_frames=5000, field=4000.0, z_range=400.0, amplitude=(150.0, 200.0, 100.0))
        found = drift_of(locs, step=500, window=500, binsize=30.0)
        assert (error_of_knots(found, truth) <= 4.0).all()
        assert np.ptp(found.correction[:, 2]) > 50

    def test_every_frame_including_both_ends(self):
        locs, truth = small()
        drift = drift_of(locs, **SMALL)
        curve = Drift_Interpolate(smoothing_factor=10.0).apply(drift)["output_drift_interpolator"]
        assert drift.measured == (locs["frame"].min(), locs["frame"].max())
        difference = curve.at(np.arange(5000)) - truth.at(np.arange(5000))
        assert np.abs(difference - difference.mean(axis=0)).max() < 10

    @pytest.mark.parametrize("method", ["RCC", "MCC", "DCC"])
    def test_every_method(self, method):
        locs, truth = small()
        assert (error_of_knots(drift_of(locs, method=method, **SMALL), truth)[:2] < 4).all()

    def test_all_pairs(self):
        locs, truth = small()
        assert (error_of_knots(drift_of(locs, corr_window=-1, **SMALL), truth)[:2] < 3).all()

    def test_overlapping_windows_are_not_pulled_towards_no_drift(self):
        """A localization in both windows correlates with itself at no shift."""
        locs, truth = small()
        for corr_window in (1, 3):
            found = drift_of(locs, step=125, window=500, binsize=20.0, flatten_z=True, corr_window=corr_window)
            slope = np.polyfit(truth.at(found.frames)[:, 1], found.correction[:, 1], 1)[0]
            assert slope == pytest.approx(1, abs=0.03)

    def test_the_drift_inside_long_windows_is_undone(self):
        """Windows in which the sample moves by 40 nm, four times the precision."""
        locs, truth = small()
        assert (error_of_knots(drift_of(locs, **{**SMALL, "step": 1000, "window": 1000}), truth)[:2] < 4).all()

    def test_standard_errors_tell_the_size_of_the_errors(self):
        locs, truth = wormlike(0)
        found = drift_of(locs, **SEED_RECIPE)
        expected, actual = np.median(found.error[1:, :2], axis=0), error_of_knots(found, truth)[:2]
        assert (actual / expected < 3).all()
        assert (actual / expected > 1 / 3).all()

    def test_a_structure_at_rest_does_not_drift(self):
        locs, _ = wormlike(2, n=20_000, n_frames=5000, field=5000.0, amplitude=(0.0, 0.0, 0.0))
        assert np.abs(drift_of(locs, **SMALL).correction).max() < 6

    def test_one_jump(self):
        locs, _ = wormlike(2, n=20_000, n_frames=5000, field=5000.0, amplitude=(0.0, 0.0, 0.0))
        moved = locs.with_columns({"x": locs["x"] + np.where(locs["frame"] >= 2500, np.float32(300), np.float32(0))})
        found = drift_of(moved, **SMALL).correction[:, 0]
        np.testing.assert_allclose(found[5:].mean() - found[:5].mean(), -300, atol=3)


class TestConventions:
    def test_first_value_is_zero_and_sign_is_that_of_the_correction(self):
        locs, truth = small()
        found = drift_of(locs, **SMALL)
        np.testing.assert_array_equal(found.correction[0], 0)
        expected = truth.at(found.frames) - truth.at(found.frames[:1])
        np.testing.assert_allclose(found.correction, expected, atol=10)

    def test_knots_are_at_the_mean_frame_of_their_localizations(self):
        locs, _ = small()
        found = drift_of(locs, **SMALL)
        frames = locs["frame"]
        windows = (frames - frames.min()) // 500
        expected = [frames[windows == window].mean() for window in range(windows.max() + 1)]
        np.testing.assert_allclose(found.frames, expected[: len(found.frames)], rtol=1e-12)
        assert not found.exact

    def test_frames_may_begin_anywhere(self):
        locs, _ = small()
        later = locs.with_columns({"frame": locs["frame"] + 100_000})
        first, second = drift_of(locs, **SMALL), drift_of(later, **SMALL)
        np.testing.assert_array_equal(first.correction, second.correction)
        np.testing.assert_array_equal(first.frames + 100_000, second.frames)

    def test_position_of_the_field_does_not_matter(self):
        locs, truth = small()
        columns = {name: locs[name].astype(np.float64) + 1e6 for name in "xy"}
        assert (error_of_knots(drift_of(locs.with_columns(columns), **SMALL), truth)[:2] < 3).all()

    def test_axes_are_not_exchanged(self):
        locs, _ = small()
        turned = locs.with_columns({"x": locs["y"], "y": locs["x"]})
        straight, exchanged = drift_of(locs, **SMALL).correction, drift_of(turned, **SMALL).correction
        np.testing.assert_allclose(straight[:, :2], exchanged[:, 1::-1], atol=1.5)

    def test_known_names_of_columns(self):
        locs, _ = small()
        renamed = Localizations({"x": locs["x"], "y": locs["y"], "tIndex": locs["frame"]})
        np.testing.assert_array_equal(drift_of(renamed, **SMALL).correction, drift_of(locs, **SMALL).correction)

    def test_deprecated_parameters_are_accepted(self):
        module = Locs_RCC(cache_fft="x.bin", multiprocessing=True, debug_cor_file="y")
        assert module.binsize == 30
        for name in ("cache_fft", "multiprocessing", "debug_cor_file"):
            assert not module.parameters()[name].affects_result


class TestPurity:
    def test_threads_do_not_change_a_byte(self):
        for locs, settings in (
            (small()[0], SMALL),
            (small(z_range=400.0)[0], {**SMALL, "binsize": 40.0, "flatten_z": False}),
        ):
            one, many = (drift_of(locs, n_threads=n, **settings) for n in (1, 3))
            assert one.correction.tobytes() == many.correction.tobytes()
            assert one.error.tobytes() == many.error.tobytes()

    def test_order_of_rows_does_not_matter(self):
        locs, _ = small()
        shuffled = locs.select(np.random.default_rng(0).permutation(len(locs)))
        one, other = drift_of(locs, **SMALL), drift_of(shuffled, **SMALL)
        assert one.correction.tobytes() == other.correction.tobytes()
        assert one.frames.tobytes() == other.frames.tobytes()


class TestWindows:
    def test_windows_without_localizations_are_left_out(self):
        locs, truth = small()
        frames = locs["frame"]
        gap = locs.select((frames < 1500) | (frames >= 2600))
        made, ctx = measure(gap, **SMALL)
        found = made["output_drift"]
        assert len(found) == 8
        assert any("2 windows hold no localizations" in warning for warning in ctx.warnings)
        assert (error_of_knots(found, truth)[:2] < 4).all()

    def test_rows_with_nan_take_no_part_and_are_counted(self):
        locs, _ = small()
        bad = np.zeros(len(locs), bool)
        bad[::100] = True
        x = np.where(bad, np.float32(np.nan), locs["x"])
        made, ctx = measure(locs.with_columns({"x": x}), **SMALL)
        expected = drift_of(locs.select(~bad), **SMALL)
        assert made["output_drift"].correction.tobytes() == expected.correction.tobytes()
        assert any(f"{bad.sum():,} of" in message for message in ctx.messages)

    def test_a_short_rest_does_not_become_a_window(self):
        locs, _ = small()
        first = int(locs["frame"].min())
        for length, windows in ((4100, 8), (4400, 9)):
            cut = locs.select(locs["frame"] - first < length)
            found = drift_of(cut, **SMALL)
            assert len(found) == windows
            assert found.measured == (first, first + length - 1)


class TestOnDemand:
    WANTED = ("output_drift", "output_drift_plot", "output_cross_cor", "outputName")

    def test_only_what_is_wanted(self):
        assert set(measure(small()[0], **SMALL)[0]) == {"output_drift"}

    def test_correlations_peak_where_the_sample_moved(self):
        locs, truth = small()
        made, _ = measure(locs, wanted=self.WANTED, **{**SMALL, "method": "DCC"})
        stack, drift = made["output_cross_cor"], made["output_drift"]
        assert stack.n_frames == len(drift) - 1
        pixel = stack.require_pixel_size()[0]
        for image, frame in zip(stack.asarray()[:, 0], drift.frames[1:], strict=True):
            peak = np.array(np.unravel_index(np.argmax(image), image.shape))[::-1] - np.array(image.shape)[::-1] // 2
            expected = (truth.at([frame]) - truth.at(drift.frames[:1]))[0, :2]
            assert np.abs(peak * pixel - expected).max() <= 1.5 * pixel

    def test_deprecated_output_applies_the_drift(self):
        locs, truth = small()
        made, _ = measure(locs, wanted=self.WANTED, **SMALL)
        moved = made["outputName"]
        added = made["output_drift"].at(locs["frame"])
        np.testing.assert_allclose(moved["dx"], added[:, 0], atol=1e-3)
        np.testing.assert_allclose(moved["x"], locs["x"] + added[:, 0], atol=2e-3)
        assert made["output_drift_plot"].panels

    def test_mapping_goes_to_the_other_table(self):
        locs, _ = small()
        few = locs.select(slice(0, 10))
        ctx = Context("step")
        made = Locs_RCC(**SMALL).apply(locs, few, ctx=ctx)
        assert len(made["outputName"]) == 10


class TestBadInput:
    def table(self, frames, **columns):
        n = len(frames)
        rng = np.random.default_rng(0)
        return Localizations({"x": rng.uniform(0, 5000, n), "y": rng.uniform(0, 5000, n), "frame": frames, **columns})

    def refused(self, table, match, **parameters):
        with pytest.raises(DataError, match=match) as caught:
            drift_of(table, **{**SMALL, **parameters})
        assert str(caught.value).count("\n") == 0

    def test_empty(self):
        self.refused(self.table(np.zeros(0, int)), "no localizations")

    def test_one_localization(self):
        self.refused(self.table(np.array([3])), "1 localization")

    def test_one_frame(self):
        self.refused(self.table(np.full(1000, 7)), "1 frame")

    def test_only_nan(self):
        self.refused(self.table(np.arange(1000), x=np.full(1000, np.nan)), "finite")

    def test_a_window_longer_than_the_movie(self):
        self.refused(self.table(np.arange(1000)), "1,000 frames.*window and step below 1000", window=2500, step=2500)

    def test_only_one_window_is_filled(self):
        frames = np.concatenate([np.zeros(500, int), np.full(1, 100_000)])
        with pytest.raises(DataError):
            drift_of(self.table(frames), **{**SMALL, "step": 500, "window": 500})

    def test_identical_positions(self):
        n = 1000
        self.refused(self.table(np.arange(n), x=np.full(n, 5.0), y=np.full(n, 6.0)), "same position")

    def test_a_far_away_localization(self):
        x = np.random.default_rng(0).uniform(0, 5000, 1000)
        x[10] = 1e9
        y = x[::-1].copy()
        self.refused(self.table(np.arange(1000), x=x, y=y), "extend over.*binsize of 20 nm", window=100, step=100)

    def test_infinite_coordinates_count_as_missing(self):
        locs, _ = small()
        x = locs["x"].copy()
        x[5] = np.inf
        made, ctx = measure(locs.with_columns({"x": x}), **SMALL)
        assert np.isfinite(made["output_drift"].correction).all()
        assert any("1 of" in message for message in ctx.messages)

    def test_z_is_demanded_only_where_it_is_used(self):
        locs, _ = small()
        with pytest.raises(ColumnError, match="'z'"):
            drift_of(locs, step=500, window=500)
        assert Locs_RCC(flatten_z=True).required_columns("input_for_correction") == ("x", "y", "frame")
        assert "z" in Locs_RCC().required_columns("input_for_correction")

    def test_localizations_on_a_line(self):
        n = 5000
        table = self.table(np.sort(np.random.default_rng(1).integers(0, 5000, n)), y=np.zeros(n))
        try:
            found = drift_of(table, **SMALL)
        except DataError:
            return
        assert np.isfinite(found.correction).all()

    def test_nothing_in_common(self):
        """Noise without structure must end with a number or with one clear error, never with NaN."""
        table = self.table(np.sort(np.random.default_rng(2).integers(0, 5000, 3000)))
        try:
            found = drift_of(table, **SMALL)
        except DataError as error:
            assert "windows" in str(error)
        else:
            assert np.isfinite(found.correction).all()

    def test_two_windows(self):
        locs, truth = small()
        found = drift_of(locs, step=2500, window=2500, binsize=20.0, flatten_z=True)
        assert len(found) == 2
        assert (error_of_knots(found, truth)[:2] < 5).all()


def test_result_is_a_drift_that_can_be_interpolated():
    locs, truth = small()
    found = drift_of(locs, **SMALL)
    assert isinstance(found, Drift)
    assert (rmse(locs, truth, **SMALL)[:2] < 4).all()
