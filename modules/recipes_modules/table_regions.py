"""Localizations of a region: a box, a circle, polygons, or where a mask is not 0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Bounds, Float, Input, ListOf, Output

Array = npt.NDArray[Any]

BLOCK = 1_000_000


class Locs_Region(ModuleBase):
    """Keeps the localizations inside a region: a box, a circle, polygons, a mask; several of them must all hold.

    Positions are in nm from the centre of the first pixel. A box holds low <= value < high. Polygons are given as a list of corners,
    or as a table of corners (`x`, `y`, and a `group` for each polygon where there are several), and a point must lie in one of
    them. The mask is an image whose pixels are not 0 inside the region; the position of its first pixel is that of its metadata
    Origin.x and Origin.y (nm), else 0.
    """

    inputName = Input(Table, "localizations", requires=("x", "y"), desc="localizations")
    input_corners = Input(Table, "", requires=("x", "y"), desc="corners of polygons, such as from a csv file")
    input_mask = Input(ImageStack, "", desc="image that is not 0 in the region")
    outputName = Output(Table, "region", like="inputName", desc="rows inside")
    x = Bounds((None, None), unit="nm", desc="[low, high) of x")
    y = Bounds((None, None), unit="nm", desc="[low, high) of y")
    z = Bounds((None, None), unit="nm", desc="[low, high) of z")
    circle = ListOf(Float(0.0), None, length=3, unit="nm", desc="[x, y, radius]")
    polygon = ListOf(ListOf(Float(0.0), (0, 0), length=2), (), unit="nm", desc="[x, y] of each corner, in order")
    invert = Bool(False, desc="keep what lies outside")

    def check(self) -> Iterator[str]:
        if 0 < len(self.polygon) < 3:
            yield f"polygon has {len(self.polygon)} corners; it needs three"
        if self.circle is not None and self.circle[2] <= 0:
            yield "the radius of circle must be above 0"
        nothing = not (self.polygon or self.circle or self.input_corners or self.input_mask)
        if nothing and not np.isfinite((*self.x, *self.y, *self.z)).any():
            yield "no region is given: write x, y, z, circle, polygon, or connect input_corners or input_mask"

    def required_columns(self, port: str) -> tuple[str, ...]:
        wanted = super().required_columns(port)
        return (*wanted, "z") if port == "inputName" and np.isfinite(self.z).any() else wanted

    def run(self, ctx: Context, inputName: Table, input_corners: Table | None, input_mask: ImageStack | None) -> Table:
        polygons = [np.asarray(self.polygon)] if self.polygon else []
        drawn = [] if input_corners is None else _polygons(input_corners)
        mask = None if input_mask is None else _Mask(input_mask)
        starts = range(0, max(len(inputName), 1), BLOCK)

        def look(start: int) -> Array:
            part = inputName.select(slice(start, start + BLOCK))
            inside = np.isfinite(part["x"]) & np.isfinite(part["y"])
            for name in "xyz":
                low, high = getattr(self, name)
                if np.isfinite((low, high)).any():
                    inside &= (part[name] >= low) & (part[name] < high)
            if self.circle is not None:
                x, y, radius = self.circle
                inside &= (part["x"] - x) ** 2 + (part["y"] - y) ** 2 < radius**2
            return _in_shapes(inside, part, polygons, drawn, mask)

        inside = np.concatenate(list(ctx.map(look, starts)))
        if self.invert:
            inside = ~inside
        ctx.say(f"{np.count_nonzero(inside):,} of {len(inside):,} rows are {'outside' if self.invert else 'inside'}")
        if len(inside) and not inside.any():
            ctx.warn(f"no localization is in the region; x is {_span(inputName['x'])}, y {_span(inputName['y'])} nm")
        return inputName.select(inside)


class _Mask:
    """A picture that says which positions are inside."""

    def __init__(self, stack: ImageStack) -> None:
        if stack.n_frames != 1 or stack.shape[1] != 1:
            raise DataError(f"the mask has {stack.n_frames} frames of {stack.shape[1]} planes; it must be one image.")
        self.pixel = stack.require_pixel_size()[:2]
        origin = [stack.metadata.get(f"Origin.{axis}", 0.0) for axis in "xy"]
        self.origin = [float(value) if isinstance(value, (int, float)) else 0.0 for value in origin]
        self.inside = stack.frames(0, 1)[0, 0] != 0

    def __call__(self, x: Array, y: Array) -> Array:
        height, width = self.inside.shape
        column = np.rint((x.astype(np.float64) - self.origin[0]) / self.pixel[0])
        row = np.rint((y.astype(np.float64) - self.origin[1]) / self.pixel[1])
        within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        found = np.zeros(len(x), bool)
        found[within] = self.inside[row[within].astype(np.int64), column[within].astype(np.int64)]
        return found


def _in_shapes(inside: Array, part: Table, polygons: list[Array], drawn: list[Array], mask: _Mask | None) -> Array:
    from recipes_modules.regions import in_polygons

    x, y = np.ascontiguousarray(part["x"]), np.ascontiguousarray(part["y"])
    for shapes in (polygons, drawn):
        if shapes:
            inside &= in_polygons(x, y, shapes)
    if mask is not None:
        inside &= mask(x, y)
    return inside


def _polygons(corners: Table) -> list[Array]:
    points = np.stack([corners["x"], corners["y"]], axis=1).astype(np.float64)
    if not np.isfinite(points).all():
        raise DataError("a corner of a polygon has no finite position.")
    if "group" not in corners:
        found = [points]
    else:
        groups = corners["group"]
        found = [points[groups == group] for group in dict.fromkeys(groups.tolist())]
    small = [shape for shape in found if len(shape) < 3]
    if small or not found:
        raise DataError(
            f"a polygon has {len(small[0]) if small else 0} corners; it needs three.", hint="A column 'group' numbers polygons."
        )
    return found


def _span(values: Array) -> str:
    finite = values[np.isfinite(values)]
    return f"from {finite.min():g} to {finite.max():g}" if len(finite) else "nowhere finite"
