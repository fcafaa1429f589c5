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


def test_gaussians_are_integrated_over_pixels():
    def profile(centre, sigma, n):
        edges = (np.arange(n + 1) * 20.0 - centre) / (np.sqrt(2) * sigma)
        return np.diff(erf(edges)) / 2

    expected = np.zeros((25, 50))
    for x, y, sx, sy in zip(LOCS["x"], LOCS["y"], LOCS["error_x"], LOCS["error_y"], strict=True):
        expected += np.outer(profile(y, sy, 25), profile(x, sx, 50))
    np.testing.assert_allclose(image().asarray()[0, 0], expected, atol=2e-4)


def test_every_localization_counts_one():
    inside = Localizations({"x": [500.0], "y": [250.0], "frame": [0], "error_x": [10.0], "error_y": [30.0]})
    assert image(inside).asarray().sum() == pytest.approx(1, abs=2e-4)


def test_one_width_for_all():
    table = LOCS.only(["x", "y", "frame"])
    wide = image(table, sigma=30, bounds=[-200, 1200, -200, 700])
    assert wide.asarray().sum() == pytest.approx(N, rel=1e-3)


def test_bytes_do_not_depend_on_threads():
    results = set()
    for n_threads in (1, 2, 5):
        ctx = Context("r", n_threads=n_threads, wanted=["output_image"])
        results.add(Locs_Render(bounds=BOUNDS).apply(LOCS, ctx=ctx)["output_image"].asarray().tobytes())
    assert len(results) == 1


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
