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
