"""Subsets of rows, and regions: against matplotlib's paths, shapely's rule, and counts that are known."""

import numpy as np
import pytest
from matplotlib.path import Path

from recipes_core import Context, ImageStack, Localizations, Table
from recipes_core.errors import ColumnError, DataError, UsageError
from recipes_modules import (
    ExtractTableChannel,
    FilterTableByIds,
    Locs_Region,
    ProcessColour,
    RandomSubset,
    Table_Split,
    TimeBlocks,
)

RNG = np.random.default_rng(21)
N = 20_000
LOCS = Localizations(
    {"x": RNG.uniform(0, 10_000, N), "y": RNG.uniform(0, 5_000, N).astype(np.float32), "z": RNG.normal(0, 200, N),
     "frame": np.sort(RNG.integers(0, 1000, N)), "clumpIndex": RNG.integers(0, 50, N)}
)  # fmt: skip


def region(table=LOCS, ctx=None, **parameters):
    inputs = {name: parameters.pop(name) for name in ("input_corners", "input_mask") if name in parameters}
    connected = dict.fromkeys(inputs, "connected")
    return Locs_Region(**connected, **parameters).apply(table, ctx=ctx, **inputs)["outputName"]


def rows(table):
    """Rows of LOCS, told by their x."""
    return np.flatnonzero(np.isin(LOCS["x"], table["x"]))


def test_ids():
    ctx = Context("FilterTableByIds")
    kept = FilterTableByIds(idColumnName="clumpIndex", ids=[3, 7, 99]).apply(LOCS, ctx=ctx)["outputName"]
    np.testing.assert_array_equal(rows(kept), np.flatnonzero((LOCS["clumpIndex"] == 3) | (LOCS["clumpIndex"] == 7)))
    assert ctx.warnings == ["no row has the id 99"]


def test_random_rows():
    drawn = RandomSubset(num_to_select=5000).apply(LOCS)["output"]
    chosen = rows(drawn)
    assert len(chosen) == len(drawn) == 5000
    assert np.all(np.diff(drawn["frame"]) >= 0)
    # Each fifth of the table has the same chance: 1000 +- 3.5 standard errors of a hypergeometric draw.
    assert np.abs(np.bincount(chosen // 4000, minlength=5) - 1000).max() < 3.5 * np.sqrt(1000 * 0.8 * 0.75)
    np.testing.assert_array_equal(rows(RandomSubset(num_to_select=5000).apply(LOCS)["output"]), chosen)
    other = rows(RandomSubset(num_to_select=5000).apply(LOCS, seed=1)["output"])
    # Two draws of a quarter share a quarter: 1250 +- 5 standard errors.
    assert abs(len(np.intersect1d(other, chosen)) - 1250) < 5 * np.sqrt(1250 * 0.75)
    assert len(RandomSubset(fraction=0.1).apply(LOCS)["output"]) == 2000
    assert len(RandomSubset(num_to_select=10**9).apply(LOCS)["output"]) == N
    with pytest.raises(DataError, match="fewer than the 30,000"):
        RandomSubset(num_to_select=30_000, strict=True).apply(LOCS)


def test_splitting_a_movie():
    parts = Table_Split(bounds=[None, 400], restart_frames=True).apply(LOCS)
    first, rest = parts["output_chosen"], parts["output_rest"]
    assert (first["frame"].max(), rest["frame"].min(), rest["frame"].max()) == (399, 0, 599)
    assert len(first) == np.count_nonzero(LOCS["frame"] < 400)
    assert len(first) + len(rest) == N
    parts = Table_Split(column="clumpIndex", values=[1, 2]).apply(LOCS)
    assert set(parts["output_chosen"]["clumpIndex"].tolist()) == {1, 2}
    assert not set(parts["output_rest"]["clumpIndex"].tolist()) & {1, 2}
    for wrong in ({}, {"values": [1], "bounds": [0, 1]}, {"column": "x", "bounds": [None, 3], "restart_frames": True}):
        with pytest.raises(UsageError):
            Table_Split(**wrong).apply(LOCS)


def test_blocks_of_time():
    table = TimeBlocks(block_size=100).apply(LOCS)["output"]
    np.testing.assert_array_equal(table["p_block1"], (LOCS["frame"] // 100) % 2 == 0)
    np.testing.assert_array_equal(table["p_block0"], (LOCS["frame"] // 100) % 2 == 1)
    assert (table["ColourNorm"] == 1).all()
    parts = [ExtractTableChannel(channel=name).apply(table)["outputName"] for name in ("block1", "p_block0")]
    assert len(parts[0]) + len(parts[1]) == N
    assert set(np.unique(parts[1]["frame"] // 100)) == {1, 3, 5, 7, 9}
    ctx = Context("TimeBlocks")
    again = TimeBlocks(block_size=5000).apply(LOCS.with_columns({"p_red": np.ones(N)}), ctx=ctx)["output"]
    assert "p_red" not in again.columns
    assert len(ctx.warnings) == 2


def test_blocks_of_time_have_pymes_names():
    # Columns of python-microscopy 26.9.3 for block_size 3 and these frames.
    frames = [2, 2, 3, 4, 7, 8, 11, 13, 14, 14]
    locs = Localizations({"x": np.arange(10.0), "y": np.zeros(10), "frame": np.array(frames)})
    made = TimeBlocks(block_size=3).apply(locs)["output"]
    assert made["block_id"].tolist() == [0, 0, 1, 1, 0, 0, 1, 0, 0, 0]
    assert made["p_block0"].tolist() == [0, 0, 1, 1, 0, 0, 1, 0, 0, 0]
    assert made["p_block1"].tolist() == [1, 1, 0, 0, 1, 1, 0, 1, 1, 1]


def test_probes_without_localizations_have_a_channel():
    # Columns of python-microscopy 26.9.3 for these probes.
    locs = Localizations({"x": np.arange(5.0), "y": np.zeros(5), "frame": np.arange(5), "probe": np.array([0, 0, 1, 1, 3])})
    made = ProcessColour().apply(locs)["output"]
    assert [name for name in made.columns if name.startswith("p_")] == ["p_chan0", "p_chan1", "p_chan2", "p_chan3"]
    assert made["p_chan2"].tolist() == [0] * 5
    assert made["p_chan3"].tolist() == [0, 0, 0, 0, 1]


def test_channels_by_ratio():
    """Two dyes whose ratios lie 0.4 apart with errors of 0.05: PYME's rule leaves out those between."""
    truth = RNG.integers(0, 2, N)
    ratio = np.where(truth == 0, 0.3, 0.7) + RNG.normal(0, 0.05, N)
    table = LOCS.with_columns({"gFrac": ratio, "error_gFrac": np.full(N, 0.05)})
    coloured = ProcessColour(species_ratios={"a": 0.3, "b": 0.7}).apply(table)["output"]
    found = ExtractTableChannel(channel="a").apply(coloured)["outputName"]
    p = [np.exp(-((ratio - centre) ** 2) / (2 * 0.05**2)) / (0.05 * np.sqrt(2 * np.pi)) for centre in (0.3, 0.7)]
    total = p[0] + p[1] + 0.01
    np.testing.assert_array_equal(rows(found), np.flatnonzero((p[0] / total > 0.1) & (p[1] / total < 0.1)))
    assert np.mean(truth[rows(found)] == 0) > 0.999
    assert ExtractTableChannel().apply(LOCS)["outputName"] is not None
    with pytest.raises(ColumnError, match="no channel 'c'"):
        ExtractTableChannel(channel="c").apply(coloured)


def test_a_box_and_a_circle():
    kept = region(x=[1000, 3000], y=[None, 2500], z=[-100, 100])
    known = (LOCS["x"] >= 1000) & (LOCS["x"] < 3000) & (LOCS["y"] < 2500) & (np.abs(LOCS["z"]) < 100)
    np.testing.assert_array_equal(rows(kept), np.flatnonzero(known))
    # Boxes that share an edge share no row and lose none.
    assert sum(len(region(x=[low, low + 1000])) for low in range(0, 10_000, 1000)) == N
    disc = region(circle=[5000, 2500, 2000])
    assert len(disc) == np.count_nonzero(np.hypot(LOCS["x"] - 5000, LOCS["y"] - 2500) < 2000)
    assert len(region(circle=[5000, 2500, 2000], invert=True)) == N - len(disc)


STAR = [[0, 0], [9000, 300], [4000, 2500], [9000, 4800], [200, 4900], [3000, 2000]]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_polygon(turn):
    kept = region(polygon=STAR[::turn])
    known = Path([*STAR, STAR[0]]).contains_points(np.stack([LOCS["x"], LOCS["y"]], axis=1))
    np.testing.assert_array_equal(rows(kept), np.flatnonzero(known))


def test_neighbouring_polygons_share_no_point_even_on_the_edge():
    grid = np.stack(np.meshgrid(np.arange(21.0), np.arange(21.0)), axis=-1).reshape(-1, 2)
    table = Table({"x": grid[:, 0], "y": grid[:, 1]})
    squares = [[[x, y], [x + 5, y], [x + 5, y + 5], [x, y + 5]] for x in range(0, 20, 5) for y in range(0, 20, 5)]
    assert sum(len(region(table, polygon=square)) for square in squares) == 20 * 20
    halves = [[[0, 0], [20, 0], [20, 20]], [[0, 0], [20, 20], [0, 20]]]
    assert sum(len(region(table, polygon=half)) for half in halves) == 20 * 20


def test_polygons_from_a_table():
    corners = Table(
        {"x": [0, 2000, 2000, 0, 8000, 9000, 9000], "y": [0, 0, 2000, 2000, 0, 0, 3000], "group": [1, 1, 1, 1, 2, 2, 2]}
    )
    kept = region(input_corners=corners)
    square = (LOCS["x"] < 2000) & (LOCS["y"] < 2000)
    triangle = (LOCS["x"] >= 8000) & (LOCS["x"] < 9000) & (LOCS["y"] < 3 * (LOCS["x"] - 8000))
    np.testing.assert_array_equal(rows(kept), np.flatnonzero(square | triangle))
    with pytest.raises(DataError, match="has 2 corners"):
        region(input_corners=corners.select(slice(0, 6)))


def test_a_mask():
    pixels = RNG.random((60, 80)) < 0.3
    mask = ImageStack(
        pixels[None, None].astype(np.uint8),
        metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.05, "Origin.x": 1000.0, "Origin.y": 500.0},
    )
    kept = region(input_mask=mask)
    column, row = np.rint((LOCS["x"] - 1000) / 100).astype(int), np.rint((LOCS["y"].astype(float) - 500) / 50).astype(int)
    inside = (column >= 0) & (column < 80) & (row >= 0) & (row < 60)
    known = inside & pixels[np.clip(row, 0, 59), np.clip(column, 0, 79)]
    np.testing.assert_array_equal(rows(kept), np.flatnonzero(known))
    with pytest.raises(DataError, match="2 frames"):
        region(input_mask=ImageStack(np.zeros((2, 1, 4, 4)), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1}))
    with pytest.raises(DataError, match="voxelsize"):
        region(input_mask=ImageStack(np.zeros((1, 1, 4, 4))))


def test_nan_lies_nowhere_and_empty_regions_are_told():
    table = Localizations({"x": [1.0, np.nan], "y": [1.0, 1.0], "frame": [0, 0]})
    assert len(region(table, x=[None, 5])) == 1
    ctx = Context("Locs_Region")
    assert len(region(table, ctx, x=[5, 9])) == 0
    assert "x is from 1 to 1" in ctx.warnings[0]
    assert len(region(table.select(slice(0, 0)), x=[5, 9])) == 0
    for wrong in ({}, {"polygon": [[0, 0], [1, 1]]}, {"circle": [0, 0, 0]}):
        with pytest.raises(UsageError):
            region(table, **wrong)
