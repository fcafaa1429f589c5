import numpy as np
import pytest

import recipes_modules as modules
from recipes_core import Context, FrameAxis, ImageStack, Localizations, Table
from recipes_core.errors import DataError

SIZE = {"voxelsize.x": 0.1, "voxelsize.y": 0.1, "voxelsize.z": 0.2}
RNG = np.random.default_rng(12)


def stack(pixels, **options):
    return ImageStack(pixels, metadata={**SIZE, **options.pop("metadata", {})}, **options)


class TestMeasure2D:
    labels = np.zeros((2, 1, 30, 40))
    labels[0, 0, 5:11, 10:22] = 1
    labels[0, 0, 20:24, 3:7] = 2
    labels[1, 0, 2:4, 30:32] = 5
    image = RNG.random(labels.shape).astype(np.float32)

    def test_each_object_is_a_row(self):
        found = modules.Measure2D().apply(stack(self.labels), stack(self.image))["outputName"]
        assert found["t"].tolist() == [0, 0, 1]
        assert found["label"].tolist() == [1, 2, 5]
        assert found["area"].tolist() == [72, 16, 4]
        np.testing.assert_allclose(found["x"], [1550, 450, 3050])
        np.testing.assert_allclose(found["y"], [750, 2150, 250])
        inside = self.image[0, 0, 5:11, 10:22].astype(float)
        assert found["mean_intensity"][0] == pytest.approx(inside.mean())
        assert found["max_intensity"][0] == pytest.approx(inside.max())
        assert found["integrated_intensity"][0] == pytest.approx(inside.sum())

    def test_an_ellipse_has_its_axes(self):
        y, x = np.mgrid[:200, :200]
        ellipse = ((x - 100) / 60) ** 2 + ((y - 100) / 25) ** 2 <= 1
        found = modules.Measure2D().apply(stack(ellipse.astype(float)), None)["outputName"]
        assert found["major_axis_length"][0] == pytest.approx(120, rel=0.01)
        assert found["minor_axis_length"][0] == pytest.approx(50, rel=0.01)
        assert found["eccentricity"][0] == pytest.approx(np.sqrt(1 - (25 / 60) ** 2), rel=0.01)
        assert found["area"][0] == pytest.approx(np.pi * 60 * 25, rel=0.01)
        assert found["solidity"][0] > 0.97

    def test_no_object_is_told(self):
        ctx = Context("Measure2D")
        found = modules.Measure2D().apply(stack(np.zeros((3, 8, 8))), None, ctx=ctx)["outputName"]
        assert len(found) == 0
        assert "all labels are 0" in ctx.warnings[0]

    def test_sizes_must_be_the_same_and_pixels_known(self):
        with pytest.raises(DataError, match="intensities"):
            modules.Measure2D().apply(stack(self.labels), stack(self.image[:1]))
        with pytest.raises(DataError, match="pixel size"):
            modules.Measure2D().apply(ImageStack(self.labels), None)


def test_metadata_become_columns():
    ctx = Context("x")
    table = Table({"a": np.arange(3.0)})
    image = stack(np.zeros((2, 2)), metadata={"Camera.TrueEMGain": 20.0, "Sample.Notes": "fixed"})
    module = modules.AddMetadataToMeasurements(keys="gain notes lost", metadataKeys="Camera.TrueEMGain Sample.Notes No.Such")
    found = module.apply(table, image, ctx=ctx)["outputName"]
    assert found["gain"].tolist() == [20, 20, 20]
    assert np.isnan(found["notes"]).all()
    assert found.metadata["Measurements.notes"] == "fixed"
    assert "No.Such" in ctx.warnings[0]
    assert list(modules.AddMetadataToMeasurements(keys="a b").check())


def test_statistics_of_frames():
    movie = RNG.normal(5, 2, (4, 1, 9, 9))
    mask = RNG.random((1, 1, 9, 9)) > 0.5
    found = modules.StatisticsByFrame().apply(stack(movie), stack(mask.astype(float)))["output_name"]
    inside = movie[2, 0][mask[0, 0]]
    told = [found[name][2] for name in ("mean", "variance", "std", "median", "min", "max")]
    expected = [inside.mean(), inside.var(), inside.std(), np.median(inside), inside.min(), inside.max()]
    np.testing.assert_allclose(told, expected)


def test_intensity_within_radii():
    movie = RNG.random((3, 1, 30, 30))
    points = Localizations({"x": [1000.0, 1500.0, 100.0], "y": [1200.0, 700.0, 100.0], "frame": [0, 2, 1]})
    ctx = Context("x")
    found = modules.IntensityAtPoints(radii=[0, 3]).apply(stack(movie), points, ctx=ctx)["outputName"]
    y, x = np.mgrid[:30, :30]
    expected = movie[2, 0][(y - 7) ** 2 + (x - 15) ** 2 <= 9].sum()
    assert found["r3"][1] == pytest.approx(expected)
    assert found["r0"][0] == pytest.approx(movie[0, 0, 12, 10])
    assert np.isnan(found["r3"][2])
    assert "1 discs reach beyond" in ctx.warnings[0]


def test_small_images_around_positions():
    movie = RNG.random((3, 1, 30, 30)).astype(np.float32)
    points = Localizations({"x": [1040.0, 100.0, 1500.0], "y": [1200.0, 100.0, 730.0], "frame": [2, 0, 1]})
    found = modules.ExtractROIs(roi_half_size=3).apply(stack(movie), points)
    rois, relative = found["output_rois"], found["output_relative_positions"]
    assert rois.shape == (2, 1, 7, 7)
    np.testing.assert_array_equal(rois.asarray()[0, 0], movie[2, 0, 9:16, 7:14])
    np.testing.assert_allclose(relative["x"], [40, 0])
    np.testing.assert_allclose(relative["y"], [0, 30])


def test_points_get_the_label_of_their_pixel():
    labels = np.zeros((1, 1, 20, 20))
    labels[0, 0, 4:9, 10:15] = 3
    points = Localizations({"x": [1200.0, 1049.0, 300.0, 9e9], "y": [600.0, 440.0, 300.0, 0.0]})
    found = modules.LabelsFromImage().apply(points, stack(labels))["outputName"]
    assert found["objectID"].tolist() == [3, 3, 0, 0]
    assert found["NEvents"].tolist() == [2, 2, 0, 0]
    few = modules.LabelsFromImage(minimum_localizations=3).apply(points, stack(labels))["outputName"]
    assert not few["objectID"].any()


class TestHistograms:
    image = RNG.normal(50, 10, (3, 1, 40, 40)).astype(np.float32)

    def test_of_pixels(self):
        found = modules.ImageHistogram(left=20, right=80, nbins=30).apply(stack(self.image), None)["outputName"]
        np.testing.assert_array_equal(found["counts"], np.histogram(self.image, 30, (20, 80))[0])

    def test_of_marked_pixels_as_parts(self):
        mask = (self.image > 50).astype(np.float32)
        module = modules.ImageHistogram(left=0, right=200, nbins=200, normalize=True)
        found = module.apply(stack(self.image), stack(mask))["outputName"]
        assert found["counts"].sum() == pytest.approx(1)
        assert found["counts"][found["bins"] < 49].sum() == 0

    def test_cumulative(self):
        found = modules.ImageCumulativeHistogram().apply(stack(self.image), None)["outputName"]
        np.testing.assert_array_equal(found["bins"], np.unique(self.image))
        assert found["cumulative"][-1] == pytest.approx(1)
        at = np.searchsorted(found["bins"], 50)
        assert found["cumulative"][at] == pytest.approx(np.mean(self.image <= found["bins"][at]))

    def test_of_a_column(self):
        module = modules.Histogram(key="a", left=0, right=4, nbins=4)
        found = module.apply(Table({"a": [0.5, 0.6, 3.9, np.nan, 7.0]}))["outputName"]
        assert found["counts"].tolist() == [2, 0, 0, 1]

    def test_in_bins_of_a_second_image(self):
        by = RNG.uniform(0, 10, self.image.shape)
        values = self.image + 3 * np.floor(by).astype(np.float32)
        module = modules.BinnedHistogram(left=0, right=10, nbins=10)
        found = module.apply(stack(values), None, stack(by))["outputName"]
        inside = values[(by >= 4) & (by < 5)]
        assert found["mean"][4] == pytest.approx(inside.mean(dtype=float), rel=1e-5)
        assert found["std"][4] == pytest.approx(inside.std(dtype=float), rel=1e-4)
        assert found["counts"].sum() == by.size


class TestColocalisation:
    def test_pearson_and_manders(self):
        a = RNG.gamma(2, 10, (2, 1, 30, 30))
        b = 0.5 * a + RNG.gamma(2, 5, a.shape)
        mask_a, mask_b = a > 25, b > 20
        found = modules.Colocalisation().apply(*map(stack, (a, mask_a.astype(float), b, mask_b.astype(float))))["outputTable"]
        assert found["pearson"][0] == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
        assert found["M_A"][0] == pytest.approx(a[mask_a & mask_b].sum() / a[mask_a].sum())
        assert found["overlap_B"][0] == pytest.approx((mask_a & mask_b).sum() / mask_b.sum())

    def test_signal_at_a_distance(self):
        y, x = np.mgrid[:80, :80]
        distance = np.hypot(y - 40, x - 40)
        mask = distance <= 10
        ring = ((distance > 14) & (distance <= 17)).astype(float)
        module = modules.ColocalisationEDT(minimumDistanceNM=-400, maximumDistanceNM=1600, binSizeNM=200)
        made = module.apply(stack(ring), stack(mask.astype(float)))
        table = made["outputTable"]
        at = int(np.nanargmax(table["enrichment"]))
        assert table["bins"][at] == 500  # 4 to 7 pixels of 100 nm behind the edge
        assert table["enclosed"][-1] == pytest.approx(1)
        assert table["enclosed"][table["bins"] < 300].max() < 0.05
        assert len(made["outputPlot"].panels) == 2

    def test_a_signal_without_relation_has_enrichment_one(self):
        mask = RNG.random((100, 100)) > 0.995
        module = modules.ColocalisationEDT(minimumDistanceNM=0, maximumDistanceNM=600, binSizeNM=200)
        table = module.apply(stack(RNG.gamma(4, 1, (100, 100))), stack(mask.astype(float)))["outputTable"]
        np.testing.assert_allclose(table["enrichment"], 1, atol=0.05)


class TestShape:
    movie = RNG.random((6, 2, 12, 15)).astype(np.float32)

    def test_channels_go_in_and_out(self):
        joined = modules.JoinChannels(inputChan0="red", inputChan1="green").apply(stack(self.movie), stack(self.movie * 2))[
            "outputName"
        ]
        assert joined.channels == ("red", "green")
        assert joined.shape == (6, 4, 12, 15)
        green = modules.ExtractChannel(channelToExtract=1).apply(joined)["outputName"]
        np.testing.assert_array_equal(green.asarray(), self.movie * 2)
        assert green.channels == ()
        assert green.metadata["ChannelNames"] == ["green"]
        with pytest.raises(DataError, match="no channel 2"):
            modules.ExtractChannel(channelToExtract=2).apply(joined)

    def test_channels_are_kept_in_the_cache_form(self):
        packed = stack(self.movie, channels=("a", "b")).pack()
        again = ImageStack.unpack(packed.spec, packed.arrays, {}, ())
        assert again.channels == ("a", "b")
        with pytest.raises(DataError, match="shared out"):
            stack(self.movie, channels=("a", "b", "c"))

    def test_crop_is_a_slice_and_keeps_places(self):
        source = stack(self.movie, time=FrameAxis(10, 2))
        found = modules.Crop(x_range=[3, -1], y_range=[2, 9], t_range=[1, 4], z_range=[0, 2]).apply(source)["output"]
        np.testing.assert_array_equal(found.asarray(), self.movie[1:4, :, 2:9, 3:-1])
        assert found.metadata["Origin.x"] == pytest.approx(300)
        assert found.metadata["Origin.y"] == pytest.approx(200)
        assert found.time.start == 12

    def test_axes_are_said_anew(self):
        pixels = np.arange(12)[:, None, None] * np.ones((12, 3, 3))
        found = modules.Redimension(dim_order="XYZCT", size_z=2, size_c=3, size_t=-1).apply(stack(pixels))["output"]
        assert found.shape == (2, 6, 3, 3)
        assert found.n_channels == 3
        assert found.asarray()[:, :, 0, 0].tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
        swapped = modules.Redimension(dim_order="XYTZC", size_z=4, size_t=3).apply(stack(pixels))["output"]
        assert swapped.asarray()[:, :, 0, 0].tolist() == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
        with pytest.raises(DataError, match="cannot be arranged"):
            modules.Redimension(size_z=5).apply(stack(pixels))

    @pytest.mark.parametrize("zoom", [0.5, 2.0, 3.0])
    def test_zoom_keeps_places_in_nm(self, zoom):
        y, x = np.mgrid[:40, :40]
        spot = np.exp(-((x - 17.0) ** 2 + (y - 24.0) ** 2) / 32).astype(np.float32)
        found = modules.Zoom(zoom=zoom).apply(stack(spot))["outputName"]
        size = found.pixel_size[0]
        assert size == pytest.approx(100 / zoom)
        weights = found.asarray()[0, 0].astype(float)
        place = (weights.sum(axis=0) @ np.arange(weights.shape[1])) / weights.sum() * size + found.metadata["Origin.x"]
        assert place == pytest.approx(1700, abs=3)

    def test_subsample(self):
        found = modules.Subsample(step=3).apply(stack(self.movie))["outputName"]
        np.testing.assert_array_equal(found.asarray(), self.movie[:, :, ::3, ::3])
        assert found.pixel_size[0] == pytest.approx(300)

    @pytest.mark.parametrize(
        ("kind", "function"),
        [("Mean", np.mean), ("Sum", np.sum), ("Max", np.max), ("Min", np.min), ("Median", np.median), ("Std", np.std)],
    )
    @pytest.mark.parametrize(("axis", "ours"), [(0, 3), (1, 2), (2, 1), (3, 0)])
    def test_projections(self, kind, function, axis, ours):
        found = modules.Projection(kind=kind, axis=axis).apply(stack(self.movie))["outputName"].asarray()
        np.testing.assert_allclose(found, function(self.movie.astype(float), axis=ours, keepdims=True), rtol=2e-5)

    def test_of_a_movie_without_planes_z_is_time(self):
        found = modules.Projection(kind="Max").apply(stack(self.movie[:, :1]))["outputName"]
        np.testing.assert_array_equal(found.asarray()[0, 0], self.movie[:, 0].max(axis=0))

    def test_planes_at_even_distance(self):
        volume = np.arange(5.0)[None, :, None, None] * np.ones((1, 5, 2, 2))
        found = modules.ResampleZ(z_sampling=0.05).apply(stack(volume))["output"]
        np.testing.assert_allclose(found.asarray()[0, :, 0, 0], np.arange(17) / 4, rtol=1e-6)
        assert found.pixel_size[2] == pytest.approx(50)


class TestBackground:
    movie = RNG.poisson(100, (150, 1, 8, 8)).astype(np.float32)

    @pytest.mark.parametrize("window", [[-32, 0, 1], [-10, 11, 1], [-30, 0, 5], [5, 9, 1]])
    def test_mean_of_the_window(self, window):
        found = modules.BackgroundSubtractionMovingAverage(window=window).apply(stack(self.movie))["output_name"].asarray()
        for frame in (40, 63, 64, 100):
            chosen = self.movie[frame + window[0] : frame + window[1] : window[2]]
            np.testing.assert_allclose(found[frame], self.movie[frame] - chosen.mean(axis=0), atol=1e-4)
        # At the start only what is there counts; the first frame has nothing before it.
        if window[1] == 0:
            assert not found[0].any()

    def test_percentile_is_not_moved_by_spots(self):
        bright = self.movie.copy()
        bright[::7, 0, 4, 4] += 5000
        found = modules.BackgroundSubtractionMovingPercentile().apply(stack(bright))["output_name"].asarray()
        dark = np.arange(150) % 7 != 0
        assert abs(found[40:][dark[40:], 0, 4, 4].mean()) < 4
        assert abs(np.median(found[40:])) < 1.5

    @pytest.mark.parametrize("window", [[-32, 0, 1], [-6, 7, 1], [-30, 0, 3]])
    def test_percentile_is_that_of_sorted_frames(self, window):
        module = modules.BackgroundSubtractionMovingPercentile(window=window, percentile=0.25)
        found = module.apply(stack(self.movie))["output_name"].asarray()
        for frame in (5, 40, 63, 64, 130):
            chosen = np.sort(self.movie[max(0, frame + window[0]) : frame + window[1] : window[2]], axis=0)
            low, middle = chosen[int(len(chosen) * 0.25)], chosen[len(chosen) // 2]
            expected = self.movie[frame] - (low + np.median(middle) - np.median(low))
            np.testing.assert_allclose(found[frame], expected, atol=1e-4)

    def test_dark_and_variance_maps(self):
        rng = np.random.default_rng(4)
        level, spread = rng.uniform(90, 110, (10, 12)), rng.uniform(1, 4, (10, 12))
        dark = rng.normal(level, spread, (4000, 10, 12)).astype(np.float32)
        dark[:, 2, 3] += 20000
        found = modules.DarkAndVarianceMap().apply(stack(dark, metadata={"Camera.ElectronsPerCount": 0.5}))
        good = np.ones((10, 12), bool)
        good[2, 3] = False
        np.testing.assert_allclose(found["output_dark"].asarray()[0, 0][good], level[good], atol=0.3)
        np.testing.assert_allclose(found["output_variance"].asarray()[0, 0][good], (spread[good] * 0.5) ** 2, rtol=0.12)
        assert found["output_variance"].asarray()[0, 0, 2, 3] == pytest.approx(1e8)

    def test_dark_and_flat(self, tmp_path):
        flat = RNG.uniform(0.8, 1.2, (8, 8)).astype(np.float32)
        flat /= flat.mean()
        ImageStack(flat).save(tmp_path / "flat.tif")
        ImageStack(np.full((8, 8), 50, np.float32)).save(tmp_path / "dark.tif")
        module = modules.FlatfieldAndDarkCorrect(
            flatfieldFilename=str(tmp_path / "flat.tif"), darkFilename=str(tmp_path / "dark.tif")
        )
        found = module.apply(stack(self.movie))["outputName"].asarray()
        np.testing.assert_allclose(found, (self.movie - 50) * flat, rtol=1e-5, atol=1e-4)

    def test_electrons_a_second(self):
        camera = {"Camera.ADOffset": 40.0, "Camera.ElectronsPerCount": 0.5, "Camera.ReadNoise": 1.0, "Camera.NoiseFactor": 1.0,
                  "Camera.TrueEMGain": 1.0, "Camera.IntegrationTime": 0.1}  # fmt: skip
        found = modules.RawADUToElectronsPerSecond().apply(stack(self.movie, metadata=camera))["output_name"].asarray()
        np.testing.assert_allclose(found, (self.movie - 40) * 5, rtol=1e-5, atol=1e-3)
        with pytest.raises(DataError, match="exposure"):
            modules.RawADUToElectronsPerSecond().apply(stack(self.movie))

    def test_frames_of_one_z(self):
        z = np.repeat([100.0, -100.0, 0.0], 4)
        movie = stack(z[:, None, None] + RNG.normal(0, 1, (12, 5, 5)))
        table = Table({"frame": np.arange(12), "z": z})
        found = modules.AverageFramesByZStep().apply(movie, table)["output"]
        np.testing.assert_allclose(found.asarray().mean(axis=(0, 2, 3)), [-100, 0, 100], atol=0.5)
        assert found.pixel_size[2] == pytest.approx(100)
        steps = Table({"frame": [0, 4, 8], "z": [100.0, -100.0, 0.0]})
        again = modules.AverageFramesByZStep().apply(movie, steps)["output"]
        np.testing.assert_array_equal(found.asarray(), again.asarray())


class TestSpots:
    def movie(self, n=4, photons=2000.0, seed=2):
        rng = np.random.default_rng(seed)
        grid = np.stack(np.meshgrid(np.arange(14, 90, 15), np.arange(14, 90, 15)), axis=-1).reshape(-1, 2)
        places = np.concatenate(
            [np.column_stack([grid + rng.uniform(-2, 2, grid.shape), np.full(len(grid), k)]) for k in range(n)]
        )
        y, x = np.mgrid[:104, :104]
        frames = np.full((n, 104, 104), 10.0)
        for row, column, frame in places:
            frames[int(frame)] += photons / (2 * np.pi * 1.3**2) * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 1.3**2))
        camera = {"Camera.ADOffset": 0.0, "Camera.ElectronsPerCount": 1.0, "Camera.ReadNoise": 1.0, "Camera.NoiseFactor": 1.0,
                  "Camera.TrueEMGain": 1.0}  # fmt: skip
        return stack(rng.poisson(frames).astype(np.float32), metadata=camera), places

    @staticmethod
    def matched(found, places, reach):
        from scipy.spatial import cKDTree

        truth = np.column_stack([places[:, 1] * 100, places[:, 0] * 100, places[:, 2] * 1e6])
        distance, index = cKDTree(truth).query(np.column_stack([found["x"], found["y"], found["frame"] * 1e6]))
        return distance < reach, index, distance

    def test_spots_are_found_and_fitted_at_their_places(self):
        movie, places = self.movie()
        flat = ImageStack(movie.asarray() - 10, metadata=movie.metadata)
        found = modules.DetectPoints2D(threshold=2.0).apply(flat)["output_name"]
        good, index, _ = self.matched(found, places, 150)
        assert good.mean() > 0.97
        assert len(np.unique(index[good])) == len(places)
        np.testing.assert_allclose(found["x_pixel"] * 100, found["x"], rtol=1e-5)
        ctx = Context("FitPoints")
        fitted = modules.FitPoints(roiHalfSize=4).apply(movie, found, ctx=ctx)["outputName"]
        good, _, distance = self.matched(fitted, places, 60)
        # 2000 photons at a width of 130 nm: 2.9 nm along each axis without background, 4 to 5 with it.
        assert 3 < np.median(distance[good]) < 7
        assert good.mean() > 0.97

    def test_blobs_that_overlap_are_parted(self):
        rng = np.random.default_rng(9)
        sigma = 2.0
        pairs = np.array([[15.0, 15.0], [15.0, 20.5], [40.0, 12.0], [44.0, 16.0], [30.0, 45.0]])
        y, x = np.mgrid[:60, :60]
        image = sum(0.3 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2)) for row, column in pairs)
        noisy = rng.poisson((image + 0.01) * 1000) / 1000
        found = modules.MultifitBlobs(blobSigma=200.0, threshold=4.0).apply(stack(noisy))["outputName"]
        assert len(found) == 5
        order = np.lexsort([pairs[:, 1], pairs[:, 0]])
        got = np.column_stack([found["y"], found["x"]]) / 100
        got = got[np.lexsort([got[:, 1].round(), got[:, 0].round()])]
        np.testing.assert_allclose(got, pairs[order], atol=0.25)
        np.testing.assert_allclose(found["A"], 0.3, rtol=0.12)
        assert (found["error_x"] < 15).all()


def test_mean_distance_over_the_triangulation():
    y, x = np.mgrid[:6, :6].astype(float)
    rng = np.random.default_rng(0)
    x, y = x.ravel() + rng.normal(0, 0.05, 36), y.ravel() + rng.normal(0, 0.05, 36)
    found = modules.MeanNeighbourDistances().apply(Table({"x": x, "y": y}))["outputName"]["neighbourDists"]
    # On a square grid a point has four neighbours at 1 and up to four across at the root of 2.
    inner = (x > 0.5) & (x < 4.5) & (y > 0.5) & (y < 4.5)
    assert ((found[inner] > 0.95) & (found[inner] < (4 + 4 * np.sqrt(2)) / 8 + 0.1)).all()
    with pytest.raises(DataError, match="one line"):
        modules.MeanNeighbourDistances().apply(Table({"x": np.arange(5.0), "y": np.arange(5.0)}))
