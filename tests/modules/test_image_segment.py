import numpy as np
import pytest

import recipes_modules as modules
from recipes_core import Context, ImageStack
from recipes_core.errors import DataError

SIZE = {"voxelsize.x": 0.1, "voxelsize.y": 0.1, "voxelsize.z": 0.3}
RNG = np.random.default_rng(8)


def apply(name, *stacks, ctx=None, **parameters):
    stacks = [ImageStack(stack, metadata=SIZE) for stack in stacks]
    found = getattr(modules, name)(**parameters).apply(*stacks, ctx=ctx)
    return next(iter(found.values())).asarray()


def discs(places, radius=5, shape=(60, 60)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.any([(y - row) ** 2 + (x - column) ** 2 <= radius**2 for row, column in places], axis=0)


def flooded(mask):
    """Connected regions, found by flooding; edge neighbours only."""
    labels = np.zeros(mask.shape, int)
    n = 0
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        n += 1
        todo = [start]
        while todo:
            y, x = todo.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not labels[y, x]:
                labels[y, x] = n
                todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return labels


def test_labels_are_those_of_flooding():
    mask = RNG.random((40, 50)) < 0.55
    np.testing.assert_array_equal(apply("Label", mask.astype(float), minRegionPixels=0)[0, 0], flooded(mask))


def test_small_regions_are_left_out_and_the_rest_numbered_anew():
    mask = discs([(10, 10), (30, 30)]).astype(float)
    mask[0, 50:60] = 1  # ten pixels
    found = apply("Label", mask, minRegionPixels=10)[0, 0]
    assert found.max() == 2
    assert not found[0].any()
    assert apply("Label", mask, minRegionPixels=9)[0, 0].max() == 3


def test_labels_of_planes_volumes_and_series():
    blocks = np.zeros((2, 3, 8, 8))
    blocks[:, :, 1:4, 1:4] = 1
    assert apply("Label", blocks, minRegionPixels=0).max() == 1
    blocks[1, 1] = 0
    volumes = apply("Label", blocks, minRegionPixels=0, dimensionality="XYZ")
    assert [volumes[0].max(), volumes[1].max()] == [1, 2]
    assert apply("Label", blocks, minRegionPixels=0, dimensionality="XYZT").max() == 1  # joined through the other frame


def test_one_label():
    labels = flooded(discs([(10, 10), (30, 30), (30, 41)])).astype(float)
    labels[0, 0] = 7
    assert apply("SelectLabel", labels, label=7).sum() == 1
    assert (apply("SelectLargestLabel", labels)[0, 0] == (labels == 2)).all()
    assert not apply("SelectLargestLabel", np.zeros((4, 4))).any()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_a_part_of_the_signal(part):
    image = RNG.exponential(3, (50, 40))
    found = apply("FractionalThreshold", image, fractionThreshold=part)[0, 0].astype(bool)
    ordered = np.sort(image.ravel())[::-1]
    fewest = np.argmax(np.cumsum(ordered) >= part * ordered.sum() * (1 - 1e-6)) + 1
    assert abs(found.sum() - fewest) <= 1
    assert image[found].min() > image[~found].max()


@pytest.mark.parametrize("method", ["isodata", "otsu"])
@pytest.mark.parametrize("spacing", ["linear", "log", "adaptive"])
def test_thresholds_part_two_populations(method, spacing):
    bright = discs([(15, 15), (40, 40), (15, 42)], 8)
    image = np.where(bright, RNG.normal(100, 8, bright.shape), RNG.normal(20, 4, bright.shape)).clip(1)
    found = apply("Threshold", image, method=method, bin_spacing=spacing)[0, 0].astype(bool)
    wrong = np.count_nonzero(found != bright) / bright.size
    # Bins of equal content hide how far apart the two are.
    assert wrong < (0.002 if spacing != "adaptive" else 0.35)


def test_otsu_is_the_split_of_least_variance_within():
    image = np.concatenate([RNG.normal(10, 3, 3000), RNG.normal(30, 5, 1000)]).reshape(40, 100)
    found = apply("Threshold", image, method="otsu", n_histogram_bins=400)[0, 0].astype(bool)
    tried = np.linspace(image.min(), image.max(), 800)[1:-1]
    within = [image[image > t].var() * (image > t).mean() + image[image <= t].var() * (image <= t).mean() for t in tried]
    best = tried[int(np.argmin(within))]
    assert image[found].min() == pytest.approx(best, abs=0.4)


def test_nothing_stands_out_of_an_even_image():
    assert not apply("Threshold", np.full((8, 8), 3.0)).any()
    assert not apply("FractionalThreshold", np.zeros((8, 8))).any()


def test_maxima_and_watershed_part_what_touches():
    places = [(20, 18), (20, 31), (42, 25)]
    y, x = np.mgrid[:60, :50]
    image = sum(np.exp(-((y - row) ** 2 + (x - column) ** 2) / 40) for row, column in places)
    image[5, 5] = 0.2  # below the threshold of 0.3
    markers = apply("LocalMaxima", image, minDistance=5)[0, 0]
    assert sorted(map(tuple, np.argwhere(markers))) == sorted(places)
    assert sorted(markers[markers > 0]) == [1, 2, 3]
    mask = (image > 0.3).astype(float)
    regions = apply("Watershed", -image, markers.astype(float), mask)[0, 0]
    assert set(np.unique(regions)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(regions > 0, mask > 0)
    # The two that touch are of one shape and meet in the middle.
    assert regions[20, 24] == markers[20, 18]
    assert regions[20, 25] == markers[20, 31]
    nearest = np.argmin([(y - row) ** 2 + (x - column) ** 2 for row, column in places], axis=0)
    expected = np.array([markers[place] for place in places])[nearest]
    assert np.mean(regions[mask > 0] == expected[mask > 0]) > 0.99


def test_markers_that_are_only_a_mask_are_numbered():
    mask = np.zeros((30, 30))
    mask[5, 5] = mask[20, 20] = 1
    assert apply("Watershed", np.zeros((30, 30)), mask).max() == 2


def test_watershed_refuses_other_sizes():
    with pytest.raises(DataError, match="markers"):
        apply("Watershed", np.zeros((5, 5)), np.zeros((5, 6)))


def test_labels_become_channels():
    labels = np.array([[[[0, 1], [3, 3]]]], float)
    found = modules.LabelsToChannels().apply(ImageStack(labels))["output"]
    assert found.channels == ("1", "3")
    np.testing.assert_array_equal(found.channel(1).asarray()[0, 0], [[0, 0], [1, 1]])


class TestMorphology:
    mask = discs([(20, 20)], 6, (40, 40)).astype(float)

    def test_growing_and_shrinking_by_a_radius(self):
        y, x = np.mgrid[:40, :40]
        distance = np.hypot(y - 20, x - 20)
        grown = apply("BinaryDilation", self.mask, radius=3)[0, 0].astype(bool)
        assert grown[distance <= 8].all()
        assert not grown[distance > 9.5].any()
        shrunk = apply("BinaryErosion", self.mask, radius=3)[0, 0].astype(bool)
        assert shrunk[distance <= 2.4].all()
        assert not shrunk[distance > 4].any()

    def test_holes(self):
        ring = self.mask.copy()
        ring[19:22, 19:22] = 0
        np.testing.assert_array_equal(apply("BinaryFillHoles", ring)[0, 0], self.mask)

    def test_grey_filters_are_those_of_a_loop(self):
        image = RNG.normal(0, 1, (15, 15))
        offsets = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a * a + b * b <= 1]
        around = np.array([np.roll(image, shift, (0, 1)) for shift in offsets])
        inner = (slice(2, -2), slice(2, -2))
        np.testing.assert_allclose(apply("GreyDilation", image)[0, 0][inner], around.max(axis=0)[inner], rtol=1e-6)
        np.testing.assert_allclose(apply("GreyErosion", image)[0, 0][inner], around.min(axis=0)[inner], rtol=1e-6)

    def test_a_tophat_keeps_small_things(self):
        slope = 2.0 * np.mgrid[:40, :40][1]
        small = discs([(12, 12)], 2, (40, 40)) * 30.0
        found = apply("WhiteTophat", slope + small, radius=6)[0, 0]
        assert found[12, 12] > 25
        assert found[25:35, 10:30].max() < 13

    def test_distance_from_an_edge(self):
        half = np.zeros((4, 10))
        half[:, 5:] = 1
        found = apply("DistanceTransform", half)[0, 0]
        np.testing.assert_allclose(found[2], [5, 4, 3, 2, 1, -1, -2, -3, -4, -5])

    def test_slopes(self):
        z, y, x = np.mgrid[:4, :6, :8]
        volume = (3 * x + 5 * y + 7 * z)[np.newaxis].astype(float)
        stack = ImageStack(volume, metadata=SIZE)
        flat = modules.Gradient().apply(stack)
        assert np.allclose(flat["outputNameX"].asarray(), 3)
        assert np.allclose(flat["outputNameY"].asarray(), 5)
        deep = modules.Gradient3D(units="intensity/um").apply(stack)
        assert np.allclose(deep["outputNameX"].asarray(), 30)
        assert np.allclose(deep["outputNameZ"].asarray(), 7 / 0.3)


class TestDeconvolution:
    """A known scene, blurred and noisy: what comes out is nearer to the scene."""

    @staticmethod
    def scene(seed=3):
        rng = np.random.default_rng(seed)
        truth = np.zeros((64, 64))
        truth[rng.integers(8, 56, 25), rng.integers(8, 56, 25)] = 400
        from scipy.ndimage import gaussian_filter

        blurred = gaussian_filter(truth, 2.0)
        return gaussian_filter(truth, 0.7), rng.poisson(blurred + 2).astype(np.float32)

    @pytest.mark.parametrize("method", ["Richardson-Lucy", "ICTM"])
    def test_it_sharpens(self, method):
        truth, data = self.scene()
        fwhm = 2.0 * 2.3548 * 100
        found = apply(
            "Deconvolve", data, method=method, iterations=30, psfType="Gaussian", gaussianFWHM=fwhm, offset=2.0, padding=10,
            regularisationLambda=0.01,
        )[0, 0]  # fmt: skip
        assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > np.corrcoef(data.ravel(), truth.ravel())[0, 1] + 0.1
        assert found.min() >= 0

    def test_light_is_kept(self):
        _, data = self.scene()
        found = apply("Deconvolve", data, psfType="Gaussian", gaussianFWHM=470.0, padding=12)[0, 0]
        assert found.sum() == pytest.approx(data.sum(), rel=0.03)

    @pytest.mark.parametrize("kind", ["bead", "Lorentzian"])
    def test_other_shapes(self, kind):
        _, data = self.scene()
        found = apply("Deconvolve", data, psfType=kind, beadDiameter=500.0, lorentzianFWHM=300.0)[0, 0]
        assert np.isfinite(found).all()
        assert found.max() > data.max()

    def test_a_psf_from_a_file(self, tmp_path):
        y, x = np.mgrid[-8:9, -8:9]
        psf = np.exp(-(x**2 + y**2) / 8.0).astype(np.float32)
        ImageStack(psf, metadata=SIZE).save(tmp_path / "psf.tif")
        _, data = self.scene()
        from_file = apply("Deconvolve", data, psfType="file", psfFilename=str(tmp_path / "psf.tif"))
        shaped = apply("Deconvolve", data, psfType="Gaussian", gaussianFWHM=2.0 * 235.48)
        np.testing.assert_allclose(from_file, shaped, rtol=0.02, atol=0.3)


def test_the_log_tells_of_an_empty_region_of_interest():
    ctx = Context("Colocalisation")
    image, nothing = RNG.random((8, 8)), np.zeros((8, 8))
    stacks = [ImageStack(each) for each in (image, nothing, image, nothing)]
    modules.Colocalisation().apply(*stacks, ctx=ctx)
    assert "cannot be told" in ctx.warnings[0]
