"""What a table holds, in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Scalars, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Input, ListOf, Output, Str

Array = npt.NDArray[Any]

NM2_PER_UM2 = 1e6
_SUMMED = ("photons", "background", "A", "detections")
_DIRECTIONS = 16
"""Directions whose outermost points bound which points can lie on the hull."""
_BLOCK = 16_384


class Table_Properties(ModuleBase):
    """Counts, centroid, bounding box, area, density, frames, and the statistics of columns.

    Positions give the centroid (mean), the bounding box with its area and density, and those of the convex hull, which depends less
    on how a cell lies in the field; with a `z` that varies also volume and density in space. Frames give first, last, how many hold
    something, and the mean over all from first to last. Each column gives its minimum, maximum, mean, median and standard deviation,
    and columns of photons their sum. Values that are no finite numbers are left out and counted.
    """

    inputName = Input(Table, "localizations", desc="table")
    outputName = Output(Scalars, "properties", desc="named numbers")
    columns = ListOf(Str(""), (), desc="columns whose statistics are made; empty for all that hold numbers")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return tuple(self.columns)

    def run(self, ctx: Context, inputName: Table) -> Scalars:
        values: dict[str, Any] = {"rows": len(inputName)}
        units: dict[str, str] = {}
        if len(inputName):
            for found, found_units in (_of_positions(inputName), _of_frames(inputName), self._of_columns(ctx, inputName)):
                values |= found
                units |= found_units
        else:
            ctx.warn("the table has no rows; there is nothing but their count")
        return Scalars(values, units=units)

    def _of_columns(self, ctx: Context, table: Table) -> tuple[dict[str, Any], dict[str, str]]:
        values: dict[str, Any] = {}
        units: dict[str, str] = {}
        for name in self.columns or [name for name in table.columns if table[name].dtype.kind in "biuf"]:
            column = table[name]
            if column.dtype.kind not in "biuf":
                raise DataError(f"column '{name}' holds no numbers and has no statistics.", hint=f"Leave {name} out of columns.")
            finite = column[np.isfinite(column)].astype(np.float64)
            if missing := len(column) - len(finite):
                ctx.say(f"{name}: {missing:,} of {len(column):,} values are no finite numbers and are left out")
                values[f"{name}_missing"] = missing
            if not len(finite):
                ctx.warn(f"column '{name}' holds no finite number; it has no statistics")
                continue
            found = {
                "min": finite.min(),
                "max": finite.max(),
                "mean": finite.mean(),
                "median": np.median(finite),
                "std": finite.std(ddof=1) if len(finite) > 1 else 0.0,
            }
            if name in _SUMMED:
                found["sum"] = finite.sum()
            unit = table.units.get(name, "")
            for word, number in found.items():
                values[f"{name}_{word}"] = float(number)
                units[f"{name}_{word}"] = unit
        return values, units


def _of_positions(table: Table) -> tuple[dict[str, Any], dict[str, str]]:
    if not ("x" in table and "y" in table):
        return {}, {}
    points = np.stack([table["x"], table["y"]], axis=1).astype(np.float64)
    kept = np.isfinite(points).all(axis=1)
    points = points[kept]
    if not len(points):
        return {}, {}
    low, high = points.min(axis=0), points.max(axis=0)
    centre = points.mean(axis=0)
    box = float(np.prod(high - low)) / NM2_PER_UM2
    hull = hull_area(points) / NM2_PER_UM2
    values: dict[str, Any] = {
        "centroid_x": centre[0], "centroid_y": centre[1], "box_x_min": low[0], "box_x_max": high[0], "box_y_min": low[1],
        "box_y_max": high[1], "box_width": high[0] - low[0], "box_height": high[1] - low[1], "box_area": box, "hull_area": hull,
    }  # fmt: skip
    units = {name: "um^2" if name.endswith("area") else "nm" for name in values}
    values |= {f"density_{name}": len(points) / area for name, area in (("box", box), ("hull", hull)) if area > 0}
    units |= dict.fromkeys(("density_box", "density_hull"), "1/um^2")
    if "z" in table:
        _add_depth(table["z"].astype(np.float64)[kept], box, values, units)
    return {name: float(value) for name, value in values.items()}, units


def _add_depth(z: Array, box: float, values: dict[str, Any], units: dict[str, str]) -> None:
    z = z[np.isfinite(z)]
    if not len(z) or z.min() == z.max():
        return
    depth = z.max() - z.min()
    found = {"centroid_z": z.mean(), "box_z_min": z.min(), "box_z_max": z.max(), "box_depth": depth}
    values |= found
    units |= dict.fromkeys(found, "nm")
    volume = box * depth / 1000
    if volume > 0:
        values |= {"box_volume": volume, "density_volume": len(z) / volume}
        units |= {"box_volume": "um^3", "density_volume": "1/um^3"}


def _of_frames(table: Table) -> tuple[dict[str, Any], dict[str, str]]:
    if "frame" not in table:
        return {}, {}
    frames = table["frame"]
    frames = frames[np.isfinite(frames)]
    if not len(frames):
        return {}, {}
    first, last = int(frames.min()), int(frames.max())
    values = {
        "frame_first": first,
        "frame_last": last,
        "frames_with_rows": len(np.unique(frames)),
        "rows_per_frame": len(frames) / (last - first + 1),
    }
    return values, {"frame_first": "frame", "frame_last": "frame", "rows_per_frame": "1/frame"}


def hull_area(points: Array) -> float:
    """Area of the convex hull of points (n, 2); 0 where they lie on a line."""
    from scipy.spatial import ConvexHull, QhullError

    points = points - points.mean(axis=0)
    outer = points[_may_be_outer(points)]
    if len(np.unique(outer, axis=0)) < 3:
        return 0.0
    try:
        return float(ConvexHull(outer).volume)
    except QhullError:  # all on one line
        return 0.0


def _may_be_outer(points: Array) -> Array:
    """Mask without the points inside the polygon of the outermost ones in some directions; they cannot lie on the hull."""
    angles = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    blocks = [points[start : start + _BLOCK] for start in range(0, len(points), _BLOCK)]
    # The outermost of each block, then of those.
    best = np.concatenate([block[np.argmax(block @ directions, axis=0)] for block in blocks])
    corners = best[np.argmax(best @ directions, axis=0)]
    following = np.roll(corners, -1, axis=0)
    edges = (following - corners)[(following != corners).any(axis=1)]
    starts = corners[(following != corners).any(axis=1)]
    if not len(edges):
        return np.ones(len(points), dtype=bool)
    # Left of every edge of a polygon that goes round against the clock is inside: a product of vectors above 0.
    normals = np.stack([-edges[:, 1], edges[:, 0]])
    least = np.sum(starts.T * normals, axis=0)
    # Beyond the rounding of both products, so that no corner lies inside by chance.
    least += 1e-9 * np.abs(normals).sum(axis=0) * np.abs(corners).max()
    return np.concatenate([~((block @ normals) > least).all(axis=1) for block in blocks])
