import numpy as np
import pytest

import recipes_modules as modules
from recipes_core import Context, ImageStack
from recipes_core.errors import DataError

RNG = np.random.default_rng(5)
MOVIE = RNG.normal(10, 3, (7, 2, 21, 17)).astype(np.float32)
SIZE = {"voxelsize.x": 0.1, "voxelsize.y": 0.1, "voxelsize.z": 0.2}


def apply(name, *stacks, ctx=None, **parameters):
    stacks = [stack if isinstance(stack, ImageStack) else ImageStack(stack, metadata=SIZE) for stack in stacks]
    found = getattr(modules, name)(**parameters).apply(*stacks, ctx=ctx)
    return next(iter(found.values())).asarray()


def mirrored(image, radius):
    return np.pad(image, radius, mode="symmetric")


def windows(plane, radius):
    """All windows of a plane as plain loops see them."""
    padded = mirrored(plane, radius)
    side = 2 * radius + 1
    return np.array([[padded[y : y + side, x : x + side] for x in range(plane.shape[1])] for y in range(plane.shape[0])])


@pytest.mark.parametrize(
    ("name", "function"),
    [("MedianFilter", np.median), ("MeanFilter", np.mean), ("MaxFilter", np.max), ("MinFilter", np.min)],
)
@pytest.mark.parametrize("size", [3, 5])
def test_rank_filters_are_those_of_a_loop(name, function, size):
    found = apply(name, MOVIE, sizeX=size, sizeY=size)
    expected = function(windows(MOVIE[3, 1], size // 2), axis=(2, 3))
    np.testing.assert_allclose(found[3, 1], expected, rtol=1e-5)


def test_a_gaussian_is_the_sum_of_shifted_images():
    sigma = 1.3
    radius = int(4 * sigma + 0.5)
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    plane = mirrored(MOVIE[2, 0].astype(float), radius)
    along_x = sum(tap * plane[:, k : k + 17] for k, tap in enumerate(taps))
    expected = sum(tap * along_x[k : k + 21] for k, tap in enumerate(taps))
    found = apply("GaussianFilter", MOVIE, sigmaX=sigma, sigmaY=sigma)
    np.testing.assert_allclose(found[2, 0], expected, rtol=1e-5)


def test_x_is_the_column():
    image = np.zeros((11, 11), np.float32)
    image[5, 5] = 1
    found = apply("GaussianFilter", image, sigmaX=2.0, sigmaY=0.0)[0, 0]
    assert found[5, 8] > 0
    assert found[8, 5] == 0


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("GaussianFilter", {"sigmaT": 0.8}),
        ("MedianFilter", {"sizeT": 3}),
        ("MaxFilter", {"sizeT": 5}),
        ("Normalize", {}),
        ("NormalizeMean", {}),
        ("FractionalThreshold", {"fractionThreshold": 0.3}),
        ("Offset", {"offset_selection": "offset by minimum"}),
        ("SelectLargestLabel", {}),
    ],
)
def test_a_series_in_blocks_is_the_series_as_a_whole(monkeypatch, name, parameters):
    movie = np.rint(MOVIE / 5) if name == "SelectLargestLabel" else MOVIE
    whole = apply(name, movie, dimensionality="XYZT", **parameters)
    monkeypatch.setattr("recipes_modules.image_base.BLOCK", 1)
    blocks = apply(name, movie, dimensionality="XYZT", **parameters)
    np.testing.assert_array_equal(whole, blocks)


def test_what_is_filtered_together():
    planes = apply("Normalize", MOVIE)
    assert planes.max(axis=(2, 3)) == pytest.approx(1)
    volumes = apply("Normalize", MOVIE, dimensionality="XYZ")
    np.testing.assert_allclose(volumes, MOVIE / MOVIE.max(axis=(1, 2, 3), keepdims=True), rtol=1e-6)
    series = apply("Normalize", MOVIE, dimensionality="XYZT")
    np.testing.assert_allclose(series, MOVIE / MOVIE.max(), rtol=1e-6)
    np.testing.assert_array_equal(apply("Normalize", MOVIE, processFramesIndividually=True), planes)
    np.testing.assert_array_equal(apply("Normalize", MOVIE, processFramesIndividually=False), volumes)


def test_channels_are_filtered_by_themselves():
    stack = ImageStack(MOVIE, channels=("a", "b"), metadata=SIZE)
    found = apply("GaussianFilter", stack, dimensionality="XYZ", sigmaZ=5.0)
    np.testing.assert_array_equal(found, apply("GaussianFilter", MOVIE))


@pytest.mark.parametrize("threads", [1, 3])
def test_results_do_not_depend_on_threads(threads):
    found = apply("DespeckleFilter", MOVIE, ctx=Context("x", n_threads=threads))
    np.testing.assert_array_equal(found, apply("DespeckleFilter", MOVIE, ctx=Context("x", n_threads=2)))


def test_despeckle_takes_single_bright_pixels_and_leaves_edges():
    image = np.zeros((12, 12), np.float32)
    image[:, 6:] = 100
    image[3, 2] = 1000
    found = apply("DespeckleFilter", image)[0, 0]
    expected = np.zeros((12, 12))
    expected[:, 6:] = 100
    np.testing.assert_array_equal(found, expected)


def test_the_difference_of_gaussians_is_one_gaussian_minus_the_other():
    narrow = apply("GaussianFilter", MOVIE, sigmaX=1.0, sigmaY=1.0)
    wide = apply("GaussianFilter", MOVIE, sigmaX=3.0, sigmaY=3.0)
    found = apply("DoGFilter", MOVIE, sigma2X=3.0, sigma2Y=3.0)
    np.testing.assert_allclose(found, narrow - wide, atol=1e-5)


def test_a_smooth_background_comes_out_without_the_noise():
    y, x = np.mgrid[:40, :50]
    truth = 100 + 0.5 * x + 0.02 * (y - 20) ** 2
    noisy = truth + RNG.normal(0, 2, truth.shape)
    found = apply("SplineFitBackgroundEstimate", noisy, smooth=4.0 * truth.size)[0, 0]
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.6


def test_edges_and_rotation():
    found = apply("MaskEdges", np.ones((10, 12), np.float32), widthPixels=3)[0, 0]
    assert found.sum() == 4 * 6
    assert found[3:7, 3:9].all()
    assert not apply("MaskEdges", np.ones((10, 12), np.float32), widthPixels=5).any()
    np.testing.assert_array_equal(apply("Rotate180", MOVIE), np.rot90(MOVIE, 2, axes=(2, 3)))


class TestArithmetic:
    other = RNG.normal(4, 1, MOVIE.shape).astype(np.float32)

    @pytest.mark.parametrize(
        ("name", "function"),
        [("Add", np.add), ("Subtract", np.subtract), ("Multiply", np.multiply), ("Divide", np.divide)],
    )
    def test_pixel_by_pixel(self, name, function):
        np.testing.assert_allclose(apply(name, MOVIE, self.other), function(MOVIE, self.other), rtol=1e-6)

    def test_a_single_frame_stands_for_all(self):
        np.testing.assert_allclose(apply("Subtract", MOVIE, MOVIE[:1]), MOVIE - MOVIE[:1])

    def test_sizes_must_go_together(self):
        with pytest.raises(DataError, match="7 x 2 x 21 x 17") as caught:
            apply("Add", MOVIE, MOVIE[..., :-1])
        assert caught.value.code == "D442"

    def test_division_by_zero_is_told(self):
        ctx = Context("Divide")
        divisor = np.ones_like(MOVIE)
        divisor[0, 0, 0, :3] = 0
        found = apply("Divide", MOVIE, divisor, ctx=ctx)
        assert not found[0, 0, 0, :3].any()
        assert "3 pixels of the divisor" in ctx.warnings[0]

    def test_masks(self):
        a, b = np.array([[0, 1, 0, 1]]), np.array([[0, 0, 1, 1]])
        assert apply("BinaryOr", a, b).ravel().tolist() == [0, 1, 1, 1]
        assert apply("LogicalAnd", a, b).ravel().tolist() == [0, 0, 0, 1]
        assert apply("Invert", a).ravel().tolist() == [1, 0, 1, 0]
        assert apply("IsClose", [[1.0, 1.0]], [[1.00001, 1.1]], rel_tolerance=1e-3).ravel().tolist() == [1, 0]

    def test_constants(self):
        np.testing.assert_allclose(apply("Scale", MOVIE, scale=2.5), MOVIE * 2.5, rtol=1e-6)
        np.testing.assert_allclose(apply("Pow", np.abs(MOVIE), power=1.5), np.abs(MOVIE) ** 1.5, rtol=1e-5)
        np.testing.assert_allclose(apply("Offset", MOVIE, offset=3), MOVIE + 3, rtol=1e-6)
        np.testing.assert_allclose(apply("Offset", MOVIE, offset_constant=3), MOVIE - 3, rtol=1e-6)
        np.testing.assert_array_equal(apply("Clip", MOVIE, min=9, max=11), np.clip(MOVIE, 9, 11))

    def test_roots_of_negative_numbers_are_told(self):
        ctx = Context("Pow")
        apply("Pow", [[-1.0, 4.0]], power=0.5, ctx=ctx)
        assert "1 pixels have no finite power" in ctx.warnings[0]


class TestSkimage:
    """The family SKF_: PYME makes it of the functions of skimage.filters."""

    def test_the_functions_are_called_with_the_parameters(self):
        import skimage.filters

        image = np.abs(MOVIE[0, 0])
        found = apply("SKF_sobel", image)[0, 0]
        np.testing.assert_allclose(found, skimage.filters.sobel(image), rtol=1e-5)
        found = apply("SKF_gaussian", image, sigma=2.0)[0, 0]
        np.testing.assert_allclose(found, skimage.filters.gaussian(image, sigma=2.0), rtol=1e-5)

    def test_thresholds_become_masks(self):
        import skimage.filters

        image = np.abs(MOVIE[0, 0])
        expected = image > skimage.filters.threshold_otsu(image)
        np.testing.assert_array_equal(apply("SKF_threshold_otsu", image)[0, 0], expected)
        expected = image > skimage.filters.threshold_local(image, 11)
        np.testing.assert_array_equal(apply("SKF_threshold_local", image, block_size=11)[0, 0], expected)

    def test_all_of_them_run(self):
        from recipes_modules import MODULES

        names = [ref.short_name for ref in MODULES if ref.short_name.startswith("SKF_")]
        assert len(names) > 30
        y, x = np.mgrid[:32, :32]
        image = (np.exp(-((x - 10) ** 2 + (y - 12) ** 2) / 30) + np.exp(-((x - 22) ** 2 + (y - 20) ** 2) / 20)).astype(np.float32)
        for name in names:
            required = {"SKF_apply_hysteresis_threshold": {"low": 0.2, "high": 0.6}}.get(name, {})
            found = apply(name, image, **required)
            assert np.isfinite(found).all(), name
            assert found.any(), name
