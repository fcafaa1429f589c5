"""Drift of image series: measured, undone, on simulated and on real images."""

import math
from pathlib import Path

import numpy as np
import pytest

from recipes_core.data import Drift, FrameAxis, ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import Drift_Interpolate, Image_Post_Shift, Image_Pre_Clip_Filter, Image_Pre_Downsample, Image_RCC

NM = 20.0
METADATA = {"voxelsize.x": NM / 1000, "voxelsize.y": NM / 1000, "voxelsize.z": 1.0}

# Displacement (x, y) of images 1 to 9 of the real series against image 0, nm, from a plain cross-correlation.
REAL = np.array([(-160, 402), (24, 492), (24, 676), (112, 720), (160, 748), (310, 820), (362, 870), (644, 956), (764, 956)])


def spots(moved: np.ndarray, *, shape: tuple[int, int] = (96, 128), n: int = 60, width: float = 1.6, seed: int = 0) -> np.ndarray:
    """Images (t, y, x) of Gaussian spots, moved by `moved` (t, 2: x, y) pixels."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-10, shape[1] + 10, n), rng.uniform(-10, shape[0] + 10, n)
    height = rng.uniform(50, 150, n)
    column, row = np.arange(shape[1]), np.arange(shape[0])
    images = []
    for dx, dy in moved:
        along_x = np.exp(-((column - (x + dx)[:, None]) ** 2) / (2 * width**2))
        along_y = np.exp(-((row - (y + dy)[:, None]) ** 2) / (2 * width**2))
        images.append(np.einsum("k,ky,kx->yx", height, along_y, along_x))
    return np.array(images, dtype=np.float32)


def smooth_motion(n: int = 20) -> np.ndarray:
    t = np.arange(n) / n
    return np.column_stack([5 * t + 1.3 * np.sin(5 * t), -4 * t**2])


def series(moved: np.ndarray, **options: object) -> ImageStack:
    return ImageStack(spots(moved, **options), metadata=METADATA)


def measure(stack: ImageStack, *, n_threads: int = 2, **parameters: object) -> Drift:
    ctx = Context("Image_RCC", n_threads=n_threads, wanted=["output_drift"])
    return Image_RCC(**parameters).apply(stack, ctx=ctx)["output_drift"]


def clipped(stack: ImageStack, **parameters: object) -> ImageStack:
    return Image_Pre_Clip_Filter(median_filter_size=-1, **parameters).apply(stack)["output_name"]


def interpolated(drift: Drift) -> Drift:
    return Drift_Interpolate(smoothing_factor=0.0).apply(drift)["output_drift_interpolator"]


def displacements(stack: ImageStack) -> np.ndarray:
    """Displacement (x, y) of each image against the first, whole pixels, from the plain cross-correlation."""
    images = stack.asarray().mean(axis=1, dtype=float)
    spectra = np.fft.fft2(images - images.mean(axis=(1, 2), keepdims=True))
    found = []
    for spectrum in spectra[1:]:
        values = np.fft.ifft2(spectrum * spectra[0].conj()).real
        peak = np.unravel_index(np.argmax(values), values.shape)
        found.append([(k + n // 2) % n - n // 2 for k, n in zip(peak, values.shape, strict=True)][::-1])
    return np.array(found)


class TestMeasured:
    @pytest.mark.parametrize("method", ["RCC", "MCC", "DCC"])
    def test_simulated_to_a_fraction_of_a_pixel(self, method: str) -> None:
        motion = smooth_motion()
        found = measure(clipped(series(motion)), method=method)
        np.testing.assert_array_equal(found.correction[0], 0)
        # The fading edges stay where they are, which pulls every shift towards 0 by a percent or two.
        np.testing.assert_allclose(found.correction[:, :2], -(motion - motion[0]) * NM, rtol=0.03, atol=0.05 * NM)
        np.testing.assert_array_equal(found.correction[:, 2], 0)

    def test_noise(self) -> None:
        motion = smooth_motion()
        images = np.random.default_rng(1).normal(spots(motion) + 100, 10).astype(np.float32)
        found = measure(clipped(ImageStack(images, metadata=METADATA), threshold_lower=110), corr_window=-1)
        assert (np.std(found.correction[:, :2] + motion * NM, axis=0) < 0.2 * NM).all()
        assert (found.error[1:, :2] > 0).all()

    def test_pixels_need_not_be_square(self) -> None:
        motion = smooth_motion()
        stack = ImageStack(spots(motion), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.05})
        found = measure(clipped(stack))
        np.testing.assert_allclose(found.correction[:, :2], -(motion - motion[0]) * (100, 50), rtol=0.03, atol=5)

    def test_frames_of_a_series_whose_images_stand_for_many(self) -> None:
        stack = ImageStack(spots(smooth_motion()), metadata=METADATA, time=FrameAxis(499.5, 1000, 1000))
        found = measure(clipped(stack))
        np.testing.assert_array_equal(found.frames, 499.5 + 1000 * np.arange(20))
        assert found.measured == (0, 19_999)

    def test_planes_are_averaged(self) -> None:
        motion = smooth_motion(6)
        planes = np.stack([spots(motion, seed=1), spots(motion, seed=2)], axis=1)
        found = measure(clipped(ImageStack(planes, metadata=METADATA)))
        np.testing.assert_allclose(found.correction[:, :2], -(motion - motion[0]) * NM, atol=0.1 * NM)

    def test_an_empty_image_is_left_out(self) -> None:
        motion = smooth_motion()
        images = spots(motion)
        images[7] = 0
        ctx = Context("Image_RCC", wanted=["output_drift"])
        found = Image_RCC().apply(clipped(ImageStack(images, metadata=METADATA)), ctx=ctx)["output_drift"]
        assert len(found) == 19
        assert 7 not in found.frames
        assert any("7" in warning for warning in ctx.warnings)

    def test_threads_do_not_change_a_byte(self) -> None:
        stack = clipped(series(smooth_motion()))
        for corr_window in (5, -1):
            one, many = (measure(stack, n_threads=n, corr_window=corr_window) for n in (1, 3))
            assert one.correction.tobytes() == many.correction.tobytes()

    def test_correlations_on_demand(self) -> None:
        motion = smooth_motion(6)
        ctx = Context("Image_RCC", wanted=["output_drift", "output_cross_cor", "output_drift_plot"])
        made = Image_RCC(method="DCC").apply(clipped(series(motion)), ctx=ctx)
        images = made["output_cross_cor"].asarray()[:, 0]
        peaks = np.array([np.unravel_index(np.argmax(image), image.shape) for image in images])[:, ::-1]
        centre = (np.array(images.shape[:0:-1]) - 1) / 2
        np.testing.assert_array_equal(peaks - centre, np.rint(motion[0] - motion[1:]))
        assert set(measure_ports(series(motion))) == {"output_drift"}

    @pytest.mark.parametrize(
        ("images", "match"),
        [
            (np.zeros((5, 64, 64)), "no two images correlate"),
            (np.full((5, 64, 64), 7.0), "no two images correlate"),
            (np.ones((1, 64, 64)), "one image"),
            (np.ones((5, 64, 8)), "8 x 64 pixels"),
            (np.full((5, 64, 64), np.nan), "no two images correlate"),
        ],
    )
    def test_bad_input(self, images: np.ndarray, match: str) -> None:
        with pytest.raises(DataError, match=match):
            measure(ImageStack(images.astype(np.float32), metadata=METADATA))

    def test_no_pixel_size(self) -> None:
        with pytest.raises(DataError, match="voxelsize"):
            measure(ImageStack(spots(smooth_motion(3))))


def measure_ports(stack: ImageStack) -> dict[str, object]:
    return Image_RCC().apply(stack, ctx=Context("Image_RCC", wanted=["output_drift"]))


class TestUndone:
    def shift(self, image: np.ndarray, dx: float, dy: float, **parameters: object) -> np.ndarray:
        stack = ImageStack(image, metadata=METADATA)
        drift = Drift([0], [[dx * NM, dy * NM]])
        return Image_Post_Shift(**parameters).apply(stack, drift)["outputName"].asarray()[0, 0]

    def test_images_come_to_rest(self) -> None:
        motion = smooth_motion()
        still = spots(np.zeros((1, 2)))[0]
        drift = Drift(np.arange(20), -motion * NM, exact=True)
        corrected = Image_Post_Shift().apply(series(motion), drift)["outputName"].asarray()[:, 0]
        # Away from what moved in over the edges.
        inside = np.s_[:, 10:-10, 10:-10]
        np.testing.assert_allclose(corrected[inside], np.broadcast_to(still, corrected.shape)[inside], atol=1)

    def test_whole_pixels_are_moved_exactly(self) -> None:
        image = np.random.default_rng(0).uniform(0, 1, (40, 50)).astype(np.float32)
        moved = self.shift(image, 3, -2)
        np.testing.assert_array_equal(moved[:-2, 3:], image[2:, :-3])
        np.testing.assert_array_equal(moved[-2:], 0)
        np.testing.assert_array_equal(moved[:, :3], 0)

    def test_no_drift_changes_nothing(self) -> None:
        image = np.random.default_rng(0).uniform(0, 1, (40, 50)).astype(np.float32)
        np.testing.assert_array_equal(self.shift(image, 0, 0), image)

    def test_a_fraction_of_a_pixel_against_theory(self) -> None:
        """A wave that fits into the image moves as a whole."""
        x = np.arange(64)
        image = np.broadcast_to(2 + np.cos(2 * np.pi * 3 * x / 64), (48, 64)).astype(np.float32)
        moved = self.shift(image, 0.3, 0.0, padding_multipler=0)
        np.testing.assert_allclose(moved[5], 2 + np.cos(2 * np.pi * 3 * (x - 0.3) / 64), atol=1e-4)

    def test_a_bright_even_background_does_not_ring(self) -> None:
        moved = self.shift(np.full((64, 64), 1000.0, np.float32), 0.4, 0.4)
        np.testing.assert_allclose(moved, 1000, rtol=1e-5)

    def test_light_is_kept_and_not_negative(self) -> None:
        row, column = np.mgrid[:64, :64]
        image = (100 * np.exp(-((row - 31.2) ** 2 + (column - 31.7) ** 2) / (2 * 1.3**2))).astype(np.float32)
        moved = self.shift(image, 4.5, -3.3)
        assert moved.min() >= 0
        assert moved.sum() == pytest.approx(image.sum(), rel=0.005)
        centre = [np.average(np.arange(64), weights=moved.sum(axis=axis)) for axis in (0, 1)]
        np.testing.assert_allclose(centre, [31.7 + 4.5, 31.2 - 3.3], atol=0.02)

    def test_images_with_negative_values_keep_them(self) -> None:
        image = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
        assert self.shift(image, 0.5, 0.5).min() < 0

    def test_drift_beyond_the_image(self) -> None:
        np.testing.assert_array_equal(self.shift(np.ones((32, 32), np.float32), 1000.25, 0.5), 0)

    def test_every_plane_moves_and_z_drift_is_mentioned(self) -> None:
        planes = np.random.default_rng(0).uniform(0, 1, (1, 3, 32, 32)).astype(np.float32)
        ctx = Context("Image_Post_Shift")
        drift = Drift([0], [[2 * NM, 0, 50.0]])
        moved = (
            Image_Post_Shift(flatten_z=True).apply(ImageStack(planes, metadata=METADATA), drift, ctx=ctx)["outputName"].asarray()
        )
        np.testing.assert_array_equal(moved[0, :, :, 2:], planes[0, :, :, :-2])
        assert any("z" in warning for warning in ctx.warnings)

    def test_time_axis_and_metadata_stay(self) -> None:
        time = FrameAxis(0.5, 2)
        stack = ImageStack(spots(smooth_motion(4)), metadata=METADATA, time=time)
        made = Image_Post_Shift().apply(stack, Drift([0, 10], np.zeros((2, 3))))["outputName"]
        assert made.time == time
        assert made.metadata == METADATA
        assert made.dtype == np.float32

    def test_integers_and_nan(self) -> None:
        assert self.shift(np.full((32, 32), 7, np.uint16), 1, 0)[0, 5] == 7
        image = np.ones((32, 32), np.float32)
        image[4, 4] = np.nan
        assert np.isfinite(self.shift(image, 0.5, 0)).all()


class TestPrepared:
    def prepare(self, image: np.ndarray, **parameters: object) -> np.ndarray:
        options = {"median_filter_size": -1, "tukey_size": 0.0, **parameters}
        return Image_Pre_Clip_Filter(**options).apply(ImageStack(image))["output_name"].asarray()[0, 0]

    def test_clipping(self) -> None:
        image = np.array([[0, 10, 11, 50, 99, 100, 200]], np.uint16)
        made = self.prepare(image, threshold_lower=10, clip_to_lower=10, threshold_upper=100, clip_to_upper=60)
        np.testing.assert_array_equal(made[0], [0, 0, 1, 40, 89, 50, 50])

    def test_defaults_leave_ordinary_values(self) -> None:
        np.testing.assert_array_equal(self.prepare(np.array([[1.5, 300, 65535, -4]]))[0], [1.5, 300, 0, 0])

    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_median_removes_hot_pixels(self, size: int) -> None:
        image = np.full((20, 20), 10.0, np.float32)
        image[7, 8] = 5000
        np.testing.assert_array_equal(self.prepare(image, median_filter_size=size), 10)

    def test_median_against_numpy(self) -> None:
        image = np.random.default_rng(0).uniform(1, 2, (20, 30)).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
        np.testing.assert_array_equal(self.prepare(image, median_filter_size=3)[1:-1, 1:-1], np.median(windows, axis=(2, 3)))

    def test_edges_fade_out(self) -> None:
        made = self.prepare(np.ones((65, 129), np.float32), tukey_size=0.25)
        np.testing.assert_allclose(made[[0, -1]], 0, atol=1e-7)
        np.testing.assert_allclose(made[:, [0, -1]], 0, atol=1e-7)
        np.testing.assert_array_equal(made[32, 20:-20], 1)
        # Half-way through the taper, an eighth of half the width from the edge.
        assert made[32, 8] == pytest.approx(0.5)

    def test_pixels_that_are_not_finite(self) -> None:
        ctx = Context("step")
        image = np.array([[np.nan, np.inf, 5.0]], np.float32)
        made = Image_Pre_Clip_Filter(median_filter_size=0, tukey_size=0.0).apply(ImageStack(image), ctx=ctx)
        np.testing.assert_array_equal(made["output_name"].asarray()[0, 0], [[0, 0, 5]])
        assert any("2 pixels" in message for message in ctx.messages)

    @pytest.mark.parametrize(("threshold", "warned"), [(0, True), (100, False)])
    def test_background_that_would_look_like_structure_is_reported(self, threshold: float, warned: bool) -> None:
        images = np.random.default_rng(1).normal(spots(np.zeros((1, 2))) + 100, 3)
        ctx = Context("step")
        Image_Pre_Clip_Filter(threshold_lower=threshold).apply(ImageStack(images), ctx=ctx)
        assert any("threshold_lower to about 10" in warning for warning in ctx.warnings) == warned

    def test_bounds_in_the_wrong_order(self) -> None:
        faults = list(Image_Pre_Clip_Filter(threshold_lower=10, threshold_upper=10).check())
        assert len(faults) == 1
        assert "threshold_lower" in faults[0]


class TestDownsampled:
    def test_mean_of_blocks(self) -> None:
        image = np.arange(3 * 5 * 7, dtype=np.uint16).reshape(3, 5, 7)
        made = Image_Pre_Downsample(binsize=[3, 2, 2]).apply(ImageStack(image, metadata=METADATA))["outputName"]
        assert made.shape == (2, 1, 2, 2)
        assert made.asarray()[0, 0, 0, 0] == image[:2, :2, :3].mean()
        # Rows and columns that fill no block are dropped, frames are not.
        assert made.asarray()[1, 0, 1, 1] == image[2, 2:4, 3:6].mean()

    def test_crop_includes_both_ends(self) -> None:
        image = np.arange(5 * 7).reshape(5, 7)
        made = Image_Pre_Downsample(x_start=2, x_end=4, y_start=1, y_end=-1).apply(ImageStack(image))["outputName"]
        np.testing.assert_array_equal(made.asarray()[0, 0], image[1:, 2:5])

    def test_pixel_size_origin_and_time(self) -> None:
        metadata = {**METADATA, "Origin.x": 100.0, "ImageBounds.x0": 90.0, "ImageBounds.x1": 90.0 + 16 * NM}
        stack = ImageStack(np.zeros((8, 8, 16)), metadata=metadata, time=FrameAxis(10, 5))
        made = Image_Pre_Downsample(binsize=[4, 2, 3], x_start=4).apply(stack)["outputName"]
        assert made.require_pixel_size()[:2] == (80.0, 40.0)
        # The centre of the first block lies 1.5 pixels behind that of pixel 4.
        assert made.metadata["Origin.x"] == 100 + 5.5 * NM
        assert made.metadata["Origin.y"] == 0.5 * NM
        assert (made.metadata["ImageBounds.x0"], made.metadata["ImageBounds.x1"]) == (90 + 4 * NM, 90 + 16 * NM)
        assert (made.time.start, made.time.step) == (15, 15)

    @pytest.mark.parametrize("wrong", [{"x_start": 16}, {"x_end": 16}, {"x_start": 5, "x_end": 4}, {"binsize": [17, 1, 1]}])
    def test_bad_input(self, wrong: dict[str, object]) -> None:
        with pytest.raises(DataError):
            Image_Pre_Downsample(**wrong).apply(ImageStack(np.zeros((2, 16, 16))))


def test_chain_with_binned_images_corrects_the_series_itself() -> None:
    """Clip & filter, bin by (2, 2, 2), measure, interpolate, correct what was not binned."""
    motion = smooth_motion(40) * 2
    stack = series(motion, shape=(128, 128), n=80, width=2.5)
    binned = Image_Pre_Downsample(binsize=[2, 2, 2]).apply(clipped(stack))["outputName"]
    found = measure(binned)
    np.testing.assert_array_equal(found.frames, 0.5 + 2 * np.arange(20))
    curve = interpolated(found)
    truth = Drift(np.arange(40), -motion * NM, exact=True)
    assert (curve.rmse(truth)[:2] < 0.1 * NM).all()
    corrected = Image_Post_Shift().apply(stack, curve)["outputName"]
    assert corrected.shape == stack.shape
    np.testing.assert_array_equal(displacements(corrected), 0)


@pytest.fixture(scope="module")
def real_series(data_file) -> ImageStack:
    """The drift plugin's example: 10 images of 448 x 448 pixels of 20 nm."""
    path: Path = data_file("cc_drift/wormlike_simulated_images_with_drift.h5")
    return ImageStack.load(path)


class TestRealSeries:
    def test_drift_agrees_with_a_plain_cross_correlation(self, real_series: ImageStack) -> None:
        found = measure(clipped(real_series), corr_window=-1)
        np.testing.assert_allclose(found.correction[1:, :2], -REAL, atol=40)

    def test_corrected_images_stand_still(self, real_series: ImageStack) -> None:
        curve = interpolated(measure(clipped(real_series), corr_window=-1))
        corrected = Image_Post_Shift().apply(real_series, curve)["outputName"]
        assert np.abs(displacements(corrected)).max() <= 1

    def test_binned_pixels(self, real_series: ImageStack) -> None:
        binned = Image_Pre_Downsample(binsize=[2, 2, 1]).apply(clipped(real_series))["outputName"]
        found = measure(binned, corr_window=-1)
        np.testing.assert_allclose(found.correction[1:, :2], -REAL, atol=40)
        corrected = Image_Post_Shift().apply(real_series, interpolated(found))["outputName"]
        assert np.abs(displacements(corrected)).max() <= math.ceil(40 / NM)
