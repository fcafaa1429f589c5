import numpy as np
import pytest
from scipy.special import erf

from recipes_core import Context, Localizations
from recipes_core.errors import DataError, UsageError
from recipes_modules import Image_Compare, Locs_Render, Render_Compare

RNG = np.random.default_rng(7)
N = 500
LOCS = Localizations(
    {"x": RNG.uniform(0, 1000, N), "y": RNG.uniform(0, 500, N), "frame": np.sort(RNG.integers(10, 110, N)),
     "error_x": RNG.uniform(5, 20, N), "error_y": RNG.uniform(5, 20, N)}
)  # fmt: skip
BOUNDS = [0, 1000, 0, 500]


def image(table=LOCS, **parameters):
    return Locs_Render(**{"bounds": BOUNDS, "pixel_size": 20.0, **parameters}).apply(table)["output_image"]


def test_histogram_counts_like_numpy():
    expected = np.histogram2d(LOCS["y"], LOCS["x"], bins=(25, 50), range=[[0, 500], [0, 1000]])[0]
    np.testing.assert_array_equal(image(method="histogram").asarray()[0, 0], expected)


def expected_gaussians(table, shape, pixel, x0, y0, *, reach=None):
    """Integrals by erf, one by one; cut at `reach` standard deviations and scaled to a sum of 1."""

    def profile(centre, sigma, first, n):
        edges = (np.arange(n + 1) * pixel + first - centre) / sigma
        if reach is None:
            return np.diff(erf(edges / np.sqrt(2))) / 2
        return np.diff(erf(np.clip(edges, -reach, reach) / np.sqrt(2))) / 2 / erf(reach / np.sqrt(2))

    made = np.zeros(shape)
    for x, y, sx, sy in zip(table["x"], table["y"], table["error_x"], table["error_y"], strict=True):
        made += np.outer(profile(y, sy, y0, shape[0]), profile(x, sx, x0, shape[1]))
    return made


def test_gaussians_are_integrated_over_pixels():
    made = image().asarray()[0, 0]
    np.testing.assert_allclose(made, expected_gaussians(LOCS, (25, 50), 20.0, 0, 0, reach=3.5), atol=2e-5)
    # What lies beyond 3.5 standard deviations, 0.05% along an axis, is shared out.
    whole = expected_gaussians(LOCS, (25, 50), 20.0, 0, 0)
    assert np.abs(made - whole).max() < 2e-3 * whole.max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaussians_of_all_widths_across_tiles_and_edges(dtype):
    rng = np.random.default_rng(11)
    n = 400
    # Narrower than a pixel, wider than a tile; also outside of the image, and more than one tile of it.
    table = Localizations(
        {"x": rng.uniform(-300, 3500, n), "y": rng.uniform(-300, 1900, n), "error_x": 10 ** rng.uniform(-1, 3.0, n),
         "error_y": 10 ** rng.uniform(-1, 3.0, n)}
    )  # fmt: skip
    table = Localizations({name: table[name].astype(dtype) for name in table.columns})
    made = image(table, pixel_size=10.0, bounds=[0, 3200, 0, 1700]).asarray()[0, 0]
    wide = table.with_columns({name: np.maximum(table[name], 0.5).astype(dtype) for name in ("error_x", "error_y")})
    expected = expected_gaussians(wide, (170, 320), 10.0, 0, 0, reach=3.5)
    # float32 positions of some thousand nm are told apart to a few 1e-4 nm, and the narrowest are 0.5 nm wide.
    np.testing.assert_allclose(made, expected, atol=3e-5 if dtype is np.float64 else 2e-3)


def test_every_localization_counts_one():
    inside = Localizations({"x": [500.0], "y": [250.0], "frame": [0], "error_x": [10.0], "error_y": [30.0]})
    assert image(inside).asarray().sum() == pytest.approx(1, abs=1e-6)
    rng = np.random.default_rng(12)
    n = 50_000
    many = Localizations(
        {
            "x": rng.uniform(1000, 9000, n),
            "y": rng.uniform(1000, 5000, n),
            "error_x": rng.uniform(1, 100, n),
            "error_y": rng.uniform(1, 100, n),
        }
    )
    for method in ("gaussian", "histogram"):
        made = image(many, method=method, pixel_size=10.0, bounds=[0, 10_000, 0, 6000])
        assert made.asarray().sum(dtype=np.float64) == pytest.approx(n, rel=1e-6)


def test_one_width_for_all():
    table = LOCS.only(["x", "y", "frame"])
    wide = image(table, sigma=30, bounds=[-200, 1200, -200, 700])
    assert wide.asarray().sum() == pytest.approx(N, rel=1e-3)


@pytest.mark.parametrize("method", ["gaussian", "histogram", "triangulation"])
def test_bytes_do_not_depend_on_threads(method):
    results = set()
    for n_threads in (1, 2, 5):
        ctx = Context("r", n_threads=n_threads, wanted=["output_image"])
        made = Locs_Render(bounds=BOUNDS, pixel_size=2.0, method=method).apply(LOCS, ctx=ctx)
        results.add(made["output_image"].asarray().tobytes())
    assert len(results) == 1


def with_z(n=3000):
    rng = np.random.default_rng(13)
    columns = {name: rng.uniform(200, 800, n) for name in "xy"}
    return Localizations(
        {**columns, "z": rng.uniform(-200, 200, n), "frame": np.sort(rng.integers(0, 100, n)), "channel": rng.integers(0, 2, n),
         "error_x": np.full(n, 10.0), "error_y": np.full(n, 10.0), "error_z": np.full(n, 25.0)}
    )  # fmt: skip


def test_slices_along_z_add_up():
    table = with_z()
    field = {"bounds": [0, 1000, 0, 1000], "z_step": 50.0}
    counts = image(table, method="histogram", **field)
    assert counts.shape == (1, 8, 50, 50)
    assert counts.asarray().sum(axis=(0, 2, 3)).tolist() == np.histogram(table["z"], np.arange(-200, 201, 50))[0].tolist()
    assert (counts.metadata["voxelsize.z"], counts.metadata["Origin.z"]) == (0.05, -175)
    soft = image(table, z_bounds=[-400, 400], **field)
    assert soft.asarray().sum() == pytest.approx(len(table), rel=2e-3)
    edges = np.arange(-400, 401, 50)
    profile = np.diff(0.5 * (1 + erf((edges[:, None] - table["z"]) / (25 * np.sqrt(2)))), axis=0).sum(axis=1)
    np.testing.assert_allclose(soft.asarray().sum(axis=(0, 2, 3)), profile, atol=2.0)


def test_channels_have_planes_of_their_own():
    table = with_z()
    made = image(table, method="histogram", channel_column="channel", bounds=[0, 1000, 0, 1000])
    assert made.channels == ("channel 0", "channel 1")
    for k in (0, 1):
        alone = image(table.select(table["channel"] == k), method="histogram", bounds=[0, 1000, 0, 1000])
        np.testing.assert_array_equal(made.channel(k).asarray(), alone.asarray())
    both = image(table, method="histogram", channel_column="channel", z_step=100.0, bounds=[0, 1000, 0, 1000])
    assert both.shape == (1, 8, 50, 50)
    assert both.asarray().sum() == len(table)


@pytest.mark.parametrize("method", ["gaussian", "histogram"])
def test_colours_tell_the_column(method):
    table = Localizations(
        {
            "x": [100.0, 300, 500],
            "y": [100.0, 100, 100],
            "z": [-100.0, 0, 100],
            "error_x": [8.0] * 3,
            "error_y": [8.0] * 3,
            "frame": [0, 1, 2],
        }
    )
    ctx = Context("r", wanted=["output_image", "output_picture", "output_figure"])
    module = Locs_Render(
        method=method, colour_by="z", colour_range=[-100, 100], colour_map="jet", bounds=[0, 600, 0, 200], pixel_size=20.0
    )
    made = module.apply(table, ctx=ctx)
    picture = made["output_picture"]
    assert picture.channels == ("red", "green", "blue")
    assert picture.dtype == np.uint8
    red, green, blue = picture.asarray()[0].astype(int)
    for column, strongest in ((5, blue), (15, green), (25, red)):
        area = np.s_[4:6, column - 1 : column + 1]
        assert strongest[area].sum() == max(plane[area].sum() for plane in (red, green, blue)) > 0
    assert "z (nm) -100 to 100" in made["output_figure"].panels[0].title


def picture(table=LOCS, **parameters):
    ctx = Context("r", wanted=["output_picture"])
    return (
        Locs_Render(**{"bounds": BOUNDS, "pixel_size": 20.0, **parameters}).apply(table, ctx=ctx)["output_picture"].asarray()[0]
    )


def test_contrast_is_what_is_asked_for():
    counts = image(method="histogram").asarray()[0, 0]
    grey = {"method": "histogram", "picture": "grey16"}
    unity = picture(intensity="unity", **grey)[0]
    np.testing.assert_allclose(unity, counts / counts.max() * 65535, atol=1)
    white = np.percentile(counts[counts > 0], 90)
    linear = picture(percentile=90.0, **grey)[0]
    np.testing.assert_allclose(linear, np.minimum(counts / white, 1) * 65535, atol=1)
    gamma = picture(intensity="gamma", gamma=0.5, percentile=90.0, **grey)[0]
    np.testing.assert_allclose(gamma, np.sqrt(np.minimum(counts / white, 1)) * 65535, atol=2)
    equal = picture(intensity="equal", **grey)[0] / 65535
    smooth = picture(intensity="equal", picture="grey16")[0].ravel() / 65535
    assert equal.max() == 1
    assert (equal[counts == 0] == 0).all()
    ranks = smooth[smooth > 0]
    np.testing.assert_allclose(np.histogram(ranks, 10, (0, 1))[0] / len(ranks), 0.1, atol=0.01)
    # A pixel that is far brighter than all others does not make these black.
    hot = Localizations({name: np.append(LOCS[name], np.full(5000, LOCS[name][0])) for name in LOCS.columns})
    assert np.median(picture(hot, **grey)[0][counts > 0]) > 0.1 * 65535


def test_scale_bar_and_colours():
    plain, barred = picture(colour_map="gray"), picture(colour_map="gray", scale_bar=True)
    changed = (plain != barred).any(axis=0)
    # A fifth of 1000 nm is 200 nm: 10 pixels of 20 nm.
    assert (barred[:, changed] == 255).all()
    assert np.flatnonzero((barred == 255).all(axis=(0, 1)) | changed.any(axis=0)).size >= 8
    assert (plain[0] == plain[1]).all()
    assert not (picture()[0] == picture()[2]).all()


def test_pictures_are_written_and_read(tmp_path):
    import tifffile
    from matplotlib.image import imread

    ctx = Context("r", wanted=["output_picture"])
    made = Locs_Render(bounds=BOUNDS).apply(LOCS, ctx=ctx)["output_picture"]
    made.save(tmp_path / "a.png")
    pixels = np.moveaxis(made.asarray()[0], 0, -1)
    np.testing.assert_allclose(imread(tmp_path / "a.png")[..., :3] * 255, pixels, atol=0.01)
    made.save(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(np.moveaxis(tifffile.imread(tmp_path / "a.ome.tif"), 0, -1), pixels)


def test_triangulation_gives_the_density():
    rng = np.random.default_rng(14)
    n = 20_000
    table = Localizations({"x": rng.uniform(0, 4000, n), "y": rng.uniform(0, 2000, n)})
    made = image(
        table, method="triangulation", sigma=20.0, pixel_size=20.0, bounds=[200, 3800, 200, 1800], jitter_samples=4
    ).asarray()
    # The value of a triangle is 1e6 / (e^2 / 2) for its median edge e: about the density, 2500 per um^2, by construction somewhat above.
    assert 0.7 < np.median(made) / 2500 < 1.5
    half = table.select(table["x"] > 2000)
    left = image(
        half, method="triangulation", sigma=20.0, pixel_size=20.0, bounds=[200, 3800, 200, 1800], jitter_samples=4
    ).asarray()
    assert left[..., :80].max() < 0.05 * np.median(left[..., 100:])
    with pytest.raises(DataError, match="too few"):
        image(table.select(slice(0, 2)), method="triangulation", sigma=20.0, bounds=BOUNDS)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="do not go together"):
        image(with_z(), colour_by="z", frames_per_image=10)
    with pytest.raises(UsageError, match="no colour map"):
        image(colour_map="rainbowish")
    with pytest.raises(DataError, match="values, and an image at most"):
        image(with_z(), channel_column="x")


def test_pixel_size_and_origin_are_in_the_metadata():
    metadata = image().metadata
    assert metadata["voxelsize.x"] == pytest.approx(0.02)
    assert (metadata["Origin.x"], metadata["Origin.y"]) == (10.0, 10.0)


def test_the_field_comes_from_metadata_or_from_the_data():
    named = LOCS.with_provenance(
        metadata={"ImageBounds.x0": 0.0, "ImageBounds.x1": 2000.0, "ImageBounds.y0": 0.0, "ImageBounds.y1": 1000.0}
    )
    assert image(named, bounds=None).shape == (1, 1, 50, 100)
    assert image(bounds=None).asarray().sum() == pytest.approx(N, rel=0.05)
    assert image(bounds=None, method="histogram").asarray().sum() == N


def test_bounds_that_are_no_numbers_are_passed_over():
    named = LOCS.with_provenance(
        metadata={"ImageBounds.x0": 0.0, "ImageBounds.x1": np.inf, "ImageBounds.y0": 0.0, "ImageBounds.y1": 500.0}
    )
    np.testing.assert_array_equal(image(named, bounds=None).asarray(), image(bounds=None).asarray())


def test_a_series_has_one_image_for_so_many_frames():
    series = image(frames_per_image=30, method="histogram")
    frames = LOCS["frame"]
    first = frames.min()
    assert series.n_frames == 3, "ten frames that are left over join the last image"
    for k in range(3):
        inside = (frames >= first + 30 * k) & ((frames < first + 30 * (k + 1)) | (k == 2))
        assert series.frames(k, k + 1).sum() == np.count_nonzero(inside)
    np.testing.assert_allclose(series.frame_numbers, first + 14.5 + 30 * np.arange(3))


def test_half_an_image_is_an_image():
    assert image(frames_per_image=40, method="histogram").n_frames == 3


def test_rows_with_nan_are_left_out():
    table = LOCS.with_columns({"x": np.where(np.arange(N) < 5, np.nan, LOCS["x"])})
    ctx = Context("r")
    made = Locs_Render(bounds=BOUNDS, method="histogram").apply(table, ctx=ctx)["output_image"]
    assert made.asarray().sum() == N - 5
    assert "5 of 500" in ctx.messages[0]


def test_what_cannot_be_rendered_is_refused():
    far = LOCS.with_columns({"x": np.append(LOCS["x"][:-1], 1e12)})
    with pytest.raises(DataError, match=r"um, which at a pixel_size of 20 nm"):
        image(far, bounds=None)
    ends = LOCS.with_columns({"x": np.where(np.arange(N) % 2, 1.7e308, -1.7e308)})
    with pytest.raises(DataError, match=r"um, which at a pixel_size of 20 nm"):
        image(ends, bounds=None)
    with pytest.raises(DataError, match="no localizations"):
        image(LOCS.select(np.zeros(N, bool)), bounds=None)
    with pytest.raises(DataError, match="no localizations"):
        image(LOCS.select(np.zeros(N, bool)), frames_per_image=10)
    with pytest.raises(UsageError, match="x0 < x1"):
        image(bounds=[5, 1, 0, 1])


def test_comparisons_share_field_and_contrast():
    moved = LOCS.with_columns({"x": LOCS["x"] + 50})
    figure = Render_Compare(pixel_size=20.0, detail=200).apply(moved, LOCS)["output_figure"]
    before, after, detail_before, detail_after = (panel.content[0] for panel in figure.panels)
    assert before.limits == after.limits
    assert detail_before.limits == detail_after.limits
    assert before.pixels.shape == after.pixels.shape
    assert after.pixels.sum() == pytest.approx(N, rel=0.05)
    series = image(frames_per_image=30)
    left, right = (panel.content[0] for panel in Image_Compare().apply(series, series)["output_figure"].panels)
    np.testing.assert_allclose(left.pixels, series.asarray().mean(axis=(0, 1)), rtol=1e-5)
    assert left.limits == right.limits
