import numpy as np
import pytest

from recipes_core import Localizations
from recipes_core.errors import DataError
from recipes_modules import DensityMapping

RNG = np.random.default_rng(9)
N = 4000
LOCS = Localizations(
    {
        "x": RNG.uniform(0, 2000, N),
        "y": RNG.uniform(0, 1000, N),
        "z": RNG.uniform(-200, 200, N),
        "error_x": RNG.uniform(10, 30, N),
    },
    metadata={"Camera.ROIWidth": 25, "Camera.ROIHeight": 12, "voxelsize.x": 0.1, "voxelsize.y": 0.1},
)


def mapped(table=LOCS, **parameters):
    return DensityMapping(**{"renderingModule": "Histogram", "pixelSize": 20.0, **parameters}).apply(table)["outputImage"]


def test_histogram_counts():
    made = mapped(xyBoundsMode="manual", manualXYBounds=[0, 0, 2000, 1000])
    # PYME's edges reach one pixel beyond the bounds.
    assert made.shape == (1, 1, 51, 101)
    expected = np.histogram2d(LOCS["y"], LOCS["x"], (51, 101), [[0, 1020], [0, 2020]])[0]
    np.testing.assert_array_equal(made.asarray()[0, 0], expected)
    assert made.metadata["Rendering.NEventsRendered"] == N
    assert mapped().asarray().sum() == N
    assert mapped(xyBoundsMode="metadata").shape == (1, 1, 61, 126)
    with pytest.raises(DataError, match="ImageBounds"):
        mapped(xyBoundsMode="inherit")


def test_gaussians_have_a_height_of_one_over_sigma():
    one = Localizations({"x": [500.0], "y": [300.0], "error_x": [40.0]})
    field = {"renderingModule": "Gaussian", "xyBoundsMode": "manual", "manualXYBounds": [0, 0, 1000, 600]}
    made = mapped(one, jitterVariable="error_x", pixelSize=5.0, **field)
    assert made.asarray().max() == pytest.approx(1 / 40, rel=0.01)
    # No narrower than a pixel.
    thin = mapped(one, pixelSize=10.0, **field)
    assert thin.asarray().sum() == pytest.approx(2 * np.pi * 10 / 100, rel=1e-4)


def test_three_dimensions():
    counts = mapped(renderingModule="3D Histogram")
    assert counts.shape[1] == 20
    assert counts.asarray().sum() == N
    soft = mapped(
        renderingModule="3D Gaussian", jitterVariable="error_x", jitterVariableZ="1.0", jitterScaleZ=30.0, zSliceThickness=25.0
    )
    inner = soft.asarray()[0, 16:24, 10:40, 10:90]
    # A thousand times the density per nm^3.
    assert inner.mean() == pytest.approx(1e3 * N / (2000 * 1000 * 400), rel=0.03)
    with pytest.raises(DataError, match="'z'"):
        mapped(LOCS.only(["x", "y"]), renderingModule="3D Gaussian")
    assert DensityMapping().renderingModule == "3D Gaussian", "PYME's default"


@pytest.mark.parametrize("renderer", ["Jittered Triangulation", "Voronoi"])
def test_densities_are_per_square_micrometre(renderer):
    made = mapped(renderingModule=renderer, jitterVariable="neighbourErrorMin", numSamples=5).asarray()[0, 0, 5:-5, 5:-5]
    assert np.median(made) == pytest.approx(N / 2, rel=0.4)


def test_voronoi_cells_fill_the_plane():
    from recipes_modules.density_mapping import voronoi_density
    from recipes_modules.render_view import View

    points = np.column_stack([LOCS["x"], LOCS["y"]])
    made = voronoi_density(points, View(200.0, 200.0, 2.0, (300, 800)))
    inside = (points[:, 0] > 200) & (points[:, 0] < 1800) & (points[:, 1] > 200) & (points[:, 1] < 800)
    assert made.sum(dtype=float) * 4e-6 == pytest.approx(inside.sum(), rel=0.03)


def test_channels_are_those_of_process_colour():
    red = LOCS["x"] < 800
    table = LOCS.with_columns({"p_a": red * 1.0, "p_b": ~red * 1.0, "ColourNorm": np.ones(N)})
    made = mapped(table)
    assert made.channels == ("a", "b")
    assert [made.channel(k).asarray().sum() for k in (0, 1)] == [red.sum(), N - red.sum()]
    assert mapped(table, colours=["b"]).asarray().sum() == N - red.sum()


FIELD = {"xyBoundsMode": "manual", "manualXYBounds": [0, 0, 2000, 1000]}
INNER = (slice(5, -6), slice(5, -6))


def test_weighted_triangles_of_one_copy_hold_the_localizations():
    # Two triangles for each localization, each half of one; the border has fewer.
    made = mapped(renderingModule="Jittered Triangulation - weighted", numSamples=1, pixelSize=2.0, **FIELD).asarray()
    assert made.sum(dtype=float) * 4 == pytest.approx(N, rel=0.03)


def test_weights_keep_small_triangles_down():
    settings = {"jitterVariable": "error_x", "numSamples": 30, **FIELD}
    plain = mapped(renderingModule="Jittered Triangulation", **settings).asarray()[0, 0][INNER]
    weighted = mapped(renderingModule="Jittered Triangulation - weighted", **settings).asarray()[0, 0][INNER] * 1e6
    assert weighted.std() / weighted.mean() < plain.std() / plain.mean()
    # Copies that have nothing to do with each other would read pi^2 2 / 35 of the density (E[a]^2 / E[a^2] of Poisson triangles).
    assert 2 * np.pi**2 / 35 * N / 2 < np.median(weighted) < N / 2


def test_one_triangle_is_half_a_localization():
    corners = Localizations({"x": [100.0, 1800.0, 400.0], "y": [100.0, 200.0, 900.0]})
    made = mapped(corners, renderingModule="Jittered Triangulation - weighted", pixelSize=1.0, numSamples=3, **FIELD).asarray()
    area = abs(1700 * 800 - 300 * 100) / 2
    assert made[0, 0, 350, 700] == pytest.approx(1 / (2 * area), rel=0.02)
    assert made[0, 0, 900, 1800] == 0


def test_tetrahedra_hold_their_number():
    settings = {"renderingModule": "3D Triangularisation", "zBounds": [-300, 300], "xyBoundsMode": "manual"}
    made = mapped(manualXYBounds=[-300, -300, 2300, 1300], zSliceThickness=25.0, numSamples=2, **settings).asarray()[0]
    assert made.shape[0] == 24
    # Poisson tetrahedra: 24 pi^2 / 35 for each point (Miles 1974).
    each = 24 * np.pi**2 / 35
    density = made[8:16, 35:45, 35:95].mean() / (20 * 20 * 25)
    assert density == pytest.approx(each * N / (2000 * 1000 * 400), rel=0.1)
    with pytest.raises(DataError, match="too few"):
        mapped(LOCS.select(slice(0, 4)), **settings)


def test_slices_of_tetrahedra_sum_to_the_whole():
    from scipy.spatial import Delaunay

    from recipes_modules.pixels.tetrahedra import jittered_tetrahedra

    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(5, 35, 200), rng.uniform(5, 35, 200), rng.uniform(5, 35, 200)])
    count = len(Delaunay(points).simplices)

    def drawn(shape, voxel):
        still = np.zeros_like(points)
        return jittered_tetrahedra(points, still, (0, 0, 0), voxel, shape, 1, np.random.default_rng(1))

    fine, coarse = drawn((80, 80, 80), (0.5, 0.5, 0.5)), drawn((1, 1, 1), (40, 40, 40))
    assert fine.sum(dtype=float) == pytest.approx(count, rel=0.02)
    assert coarse.item() == count, "all are smaller than the voxel"
    # An independent search: which tetrahedron a voxel's middle lies in.
    tetrahedra = Delaunay(points / 0.5)
    edges = tetrahedra.points[tetrahedra.simplices]
    volume = np.abs(np.linalg.det(edges[:, 1:] - edges[:, :1])) / 6
    middles = np.stack(np.meshgrid(*[np.arange(80) + 0.5] * 3, indexing="ij"), -1)[..., ::-1]
    inside = tetrahedra.find_simplex(middles)
    large = (inside >= 0) & (volume[inside] > 1)
    expected = np.where(large, 1 / volume[inside], 0)
    np.testing.assert_allclose(fine[large & (fine < 1)], expected[large & (fine < 1)], rtol=1e-5)


def test_log_likelihoods_add_up():
    table = Localizations({"x": [500.0, 540.0, 2900.0], "y": [300.0, 330.0, 20.0], "error_x": [40.0, 60.0, 5000.0]})
    made = mapped(table, renderingModule="Log Likelihood", jitterVariable="error_x", pixelSize=10.0, **FIELD).asarray()[0, 0]
    x, y = np.meshgrid(10 * np.arange(made.shape[1]) + 5, 10 * np.arange(made.shape[0]) + 5)
    expected = 0
    for u, v, sigma in zip(table["x"], table["y"], table["error_x"], strict=True):
        density = np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
        expected = expected + np.log(np.maximum(density, 1e-4) / 1e-4)
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert made.max() > 8


def test_density_fit_is_pi_times_the_density():
    made = mapped(renderingModule="Density Fit", numSamples=50, **FIELD).asarray()[0, 0][10:-10, 10:-10]
    assert made.mean() / np.pi == pytest.approx(N / 2e6, rel=0.05)
    # On a line of points 100 nm apart, the distances from the middle of a pixel are known.
    line = Localizations({"x": np.arange(5) * 100.0, "y": np.zeros(5)})
    one = mapped(line, renderingModule="Density Fit", numSamples=3, pixelSize=20.0, **FIELD).asarray()[0, 0]
    square = np.array([10**2, 90**2, 110**2]) + 10.0**2
    assert one[0, 10] == pytest.approx((square * [0, 1, 2]).sum() / (square**2).sum(), rel=1e-5)
    with pytest.raises(DataError, match="neighbours"):
        mapped(line, renderingModule="Density Fit", numSamples=6)


@pytest.mark.parametrize(
    "renderer", ["Jittered Triangulation - weighted", "3D Triangularisation", "Log Likelihood", "Density Fit"]
)
def test_channels_of_these_renderers(renderer):
    red = LOCS["x"] < 800
    table = LOCS.with_columns({"p_a": red * 1.0, "p_b": ~red * 1.0, "ColourNorm": np.ones(N)})
    made = mapped(table, renderingModule=renderer, numSamples=2, pixelSize=50.0, **FIELD)
    planes = [made.channel(k).asarray() for k in (0, 1)]
    assert planes[0][..., 2:18, 2:14].mean() > 3 * planes[0][..., 2:18, 20:].mean()
    assert planes[1][..., 2:18, 20:38].mean() > 3 * planes[1][..., 2:18, :12].mean()
    again = mapped(table, renderingModule=renderer, numSamples=2, pixelSize=50.0, **FIELD)
    np.testing.assert_array_equal(again.asarray(), made.asarray())


def test_quadtree_is_refused():
    with pytest.raises(Exception, match="QuadTree"):
        mapped(renderingModule="QuadTree")
    with pytest.raises(Exception, match="at least 2 neighbours"):
        mapped(renderingModule="Density Fit", numSamples=1)
