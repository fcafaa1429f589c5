"""Table_Properties against known shapes, known distributions and brute force."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from recipes_core import Context, Localizations, Table
from recipes_core.errors import DataError
from recipes_modules import Table_Properties
from recipes_modules.table_properties import hull_area

RNG = np.random.default_rng(8)


def properties(table, ctx=None, **parameters):
    return Table_Properties(**parameters).apply(table, ctx=ctx)["outputName"]


@pytest.fixture(scope="module")
def disc():
    """4000 molecules, evenly spread over a disc of 5 um radius around (7, 9) um and 400 nm of depth."""
    n = 4000
    angle, radius = RNG.uniform(0, 2 * np.pi, n), 5000 * np.sqrt(RNG.uniform(0, 1, n))
    return Localizations(
        {"x": 7000 + radius * np.cos(angle), "y": 9000 + radius * np.sin(angle), "z": RNG.uniform(-200, 200, n),
         "frame": RNG.integers(10, 110, n), "photons": RNG.exponential(500, n)}
    )  # fmt: skip


def test_a_disc(disc):
    found = properties(disc)
    assert (found["rows"], found["frame_first"], found["frame_last"], found["frames_with_rows"]) == (4000, 10, 109, 100)
    assert found["rows_per_frame"] == 40
    # The standard error of a centre is 5000 / 2 / sqrt(4000) = 40 nm.
    assert (found["centroid_x"], found["centroid_y"]) == pytest.approx((7000, 9000), abs=160)
    assert found["hull_area"] == pytest.approx(np.pi * 25, rel=0.02)
    assert found["box_area"] == pytest.approx(100, rel=0.02)
    assert found["density_hull"] == pytest.approx(4000 / (np.pi * 25), rel=0.02)
    assert found["density_box"] == pytest.approx(40, rel=0.02)
    assert found["density_volume"] == pytest.approx(40 / 0.4, rel=0.02)
    assert found["photons_mean"] == pytest.approx(500, rel=0.08)
    assert found.units["density_hull"] == "1/um^2"
    assert found.units["box_width"] == found.units["centroid_z"] == "nm"
    assert found.units["photons_sum"] == "photon"


def test_statistics_are_those_of_numpy(disc):
    found = properties(disc, columns=["photons", "z"])
    for name in ("photons", "z"):
        for word, function in (("min", np.min), ("max", np.max), ("mean", np.mean), ("median", np.median)):
            assert found[f"{name}_{word}"] == pytest.approx(function(disc[name]), rel=1e-12)
        assert found[f"{name}_std"] == pytest.approx(np.std(disc[name], ddof=1), rel=1e-12)
    assert found["photons_sum"] == pytest.approx(disc["photons"].sum())
    assert "x_mean" not in found.keys()


def test_sums_of_many_float32_are_exact():
    found = properties(Table({"photons": np.full(3_000_000, 0.1, np.float32)}))
    assert found["photons_sum"] == pytest.approx(3_000_000 * float(np.float32(0.1)), rel=1e-9)


@pytest.mark.parametrize("n", [3, 10, 1000])
@pytest.mark.parametrize("shape", ["normal", "square", "arc", "few places"])
def test_the_hull_is_that_of_all_points(n, shape):
    angle = RNG.uniform(0, np.pi, n)
    points = {
        "normal": RNG.normal(size=(n, 2)),
        "square": RNG.uniform(size=(n, 2)),
        "arc": np.stack([np.cos(angle), np.sin(angle)], axis=1),
        "few places": RNG.integers(0, 4, (n, 2)).astype(float) + [[0, 0]] * n,
    }[shape]
    points[:3] = [[0, 0], [5, 0], [0, 5]]
    assert hull_area(points * 1000 + 1e5) == pytest.approx(ConvexHull(points).volume * 1e6, rel=1e-9)


@pytest.mark.parametrize("points", [[[1, 1]], [[0, 0], [3, 4]], [[0, 0], [1, 1], [2, 2], [5, 5]], [[2, 2]] * 50])
def test_points_on_a_line_have_no_area(points):
    points = np.asarray(points, float)
    found = properties(Table({"x": points[:, 0], "y": points[:, 1]}))
    assert found["hull_area"] == 0
    assert "density_hull" not in found.keys()


def test_what_is_missing_is_told_and_never_nan(disc):
    ctx = Context("Table_Properties")
    table = Localizations(
        {
            "x": [1.0, np.nan, 3.0, 2.0],
            "y": [1.0, 2.0, np.inf, 5.0],
            "frame": [0, 1, 2, 3],
            "error_x": [np.nan] * 4,
            "one": [1, 2, 3, 4],
        }
    )
    found = properties(table, ctx)
    assert (found["x_missing"], found["y_missing"], found["centroid_x"], found["box_y_max"]) == (1, 1, 1.5, 5)
    assert "error_x_mean" not in found.keys()
    assert any("'error_x' holds no finite number" in text for text in ctx.warnings)
    assert all(np.isfinite(value) for value in found.values.values())
    assert properties(disc.select(slice(0, 0)), ctx).values == {"rows": 0}
    with pytest.raises(DataError, match="'name' holds no numbers"):
        properties(Table({"name": np.array(["a"])}), columns=["name"])
