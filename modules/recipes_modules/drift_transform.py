"""Apply transformations of chunks, or a model of them, to localizations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Localizations, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Input, Output
from recipes_modules.transform_tables import axes_of, has_matrix, matrix_names, offset_names

Floats = npt.NDArray[np.float64]


class Locs_Apply_Transformations(ModuleBase):
    """Moves localizations by the transformations of the chunks they belong to, or by a model of them.

    Which of the two follows from the transformations: those of `Locs_ICP` and `Locs_CC` hold for chunks, those of `Drift_Model` for
    single frames. corrected = matrix (position - centre) + centre + offset. Any table can be corrected, not only the one in which
    the drift was measured; frames decide which transformation is used.

    With chunks, all frames from the first to the last of a chunk move alike; what the sample does within a chunk stays. Frames between
    two chunks go with the nearer one. With `anchor: first_frame` all chunks are moved by one shift, so that the first frame stays
    where it is, as far as the line through the first two chunks tells; otherwise the first chunk stays.

    The columns dx, dy and dz hold what was added; where the table has them already they hold the total. Frames outside the
    measured range move like the nearest ones in it. Rows without a frame stay where they are, NaN coordinates stay NaN.
    """

    version = 1

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations to correct")
    input_transformations = Input(
        Table, "transformations", requires=("frame", "offset_x", "offset_y"), desc="transformations of chunks or a model of them"
    )
    output_localizations = Output(
        Localizations, "corrected_localizations", like="input_localizations", adds=("dx", "dy", "dz"),
        desc="corrected localizations",
    )  # fmt: skip

    anchor = Choice(("first_frame", "first_chunk"), "first_frame", desc="what stays in place; a model is anchored already")

    def run(self, ctx: Context, input_localizations: Localizations, input_transformations: Table) -> Localizations:
        table = _in_order(input_transformations)
        by_chunk = "frame_first" in table.columns
        frames = np.asarray(input_localizations["frame"], dtype=np.float64)
        valid = np.isfinite(frames)
        rows = _chunk_of(table, frames, valid) if by_chunk else None
        ctx.say(f"corrected by {len(table):,} chunks" if by_chunk else "corrected by a model of the transformations")
        _tell(ctx, table, frames, valid)
        shift = _anchor(table) if by_chunk and self.anchor == "first_frame" else np.zeros(len(axes_of(table)))
        moved = _moved(input_localizations, table, rows, frames, valid, shift, ctx)
        return _with_shifts(input_localizations, moved)


def _in_order(table: Table) -> Table:
    frames = np.asarray(table["frame"], dtype=np.float64)
    if not len(frames):
        raise DataError("the table of transformations is empty.", code="D462")
    names = [name for name in table.columns if name.startswith(("offset", "matrix", "centre", "frame"))]
    for name in names:
        if not np.isfinite(table[name]).all():
            raise DataError(f"the transformations hold values in '{name}' that are not finite.", code="D462")
    order = np.argsort(frames, kind="stable")
    table = table.select(order)
    if "frame_first" in table.columns:
        table.require("frame_last")
        if (table["frame_first"][1:] <= table["frame_last"][:-1]).any():
            raise DataError(
                "chunks overlap in time, so a frame does not say which transformation holds.",
                code="D462",
                hint="Measure with order: successive.",
            )
    elif (np.diff(table["frame"]) <= 0).any():
        raise DataError("the transformations have two values for one frame.", code="D462")
    return table


def _chunk_of(table: Table, frames: Floats, valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Row of the table for each localization."""
    first, last = (np.asarray(table[name], dtype=np.float64) for name in ("frame_first", "frame_last"))
    return np.searchsorted((first[1:] + last[:-1]) / 2, np.where(valid, frames, first[0]), side="right")


def _anchor(table: Table) -> Floats:
    """Offset of the first measured frame on the line through the first two chunks."""
    names = offset_names(axes_of(table))
    offset = np.column_stack([table[name] for name in names])
    if len(table) < 2:
        return np.asarray(offset[0])
    first = float(table["frame_first"][0])
    drift = Drift(table["frame"], offset, measured=(first, float(table["frame_last"][-1])))
    return drift.at([first])[0, : len(names)]


def _moved(
    locs: Localizations,
    table: Table,
    rows: npt.NDArray[np.int64] | None,
    frames: Floats,
    valid: npt.NDArray[np.bool_],
    shift: Floats,
    ctx: Context,
) -> dict[str, Floats]:
    """What is added along each axis."""
    axes = axes_of(table)
    known = np.where(valid, frames, table["frame"][0])

    def value(name: str) -> Floats:
        values = np.asarray(table[name], dtype=np.float64)
        return values[rows] if rows is not None else np.interp(known, table["frame"], values)

    added = {axis: value(name) - shift[index] for index, (axis, name) in enumerate(zip(axes, offset_names(axes), strict=True))}
    if has_matrix(table):
        if "z" in axes and "z" not in locs:
            raise DataError(
                "the transformations turn in three dimensions, but the localizations have no z.",
                code="D462",
                hint="Measure with flatten_z: true.",
            )
        centred = {axis: np.asarray(locs[axis], dtype=np.float64) - value(f"centre_{axis}") for axis in axes}
        for name in matrix_names(axes):
            to, source = name[-2], name[-1]
            added[to] = added[to] + (value(name) - (to == source)) * centred[source]
    if "z" in axes and "z" not in locs and np.any(added["z"]):
        ctx.say("the transformations have a z part, but the localizations have no z")
    return {axis: np.where(valid, values, 0.0) for axis, values in added.items()}


def _with_shifts(locs: Localizations, added: dict[str, Floats]) -> Localizations:
    columns: dict[str, npt.ArrayLike] = {}
    for axis in "xyz":
        old = locs[axis] if axis in locs else locs["x"]
        kind = old.dtype if old.dtype.kind == "f" else np.dtype(np.float64)
        shift = added.get(axis, np.zeros(len(locs)))
        if axis in locs and axis in added:
            columns[axis] = np.add(old, shift, dtype=np.float64).astype(kind, copy=False)
        before = locs.get(f"d{axis}")
        columns[f"d{axis}"] = (shift if before is None else before + shift).astype(kind, copy=False)
    return locs.with_columns(columns)


def _tell(ctx: Context, table: Table, frames: Floats, valid: npt.NDArray[np.bool_]) -> None:
    if not valid.all():
        ctx.say(f"{int(np.count_nonzero(~valid)):,} localizations have no frame and were not moved")
    ends = ("frame_first", "frame_last") if "frame_first" in table.columns else ("frame", "frame")
    first, last = float(table[ends[0]][0]), float(table[ends[1]][-1])
    outside = int(np.count_nonzero((frames < first) | (frames > last)))
    if outside and outside == np.count_nonzero(valid):
        raise DataError(
            f"the transformations were measured in frames {first:g} to {last:g}, and all localizations lie in "
            f"{frames[valid].min():g} to {frames[valid].max():g}: they are of another movie.",
            code="D472",
            hint="Check which table is corrected with which transformations, and whether both count frames from the same number.",
        )
    if outside:
        ctx.warn(
            f"{outside:,} localizations lie outside the frames {first:g} to {last:g} in which the drift was measured; "
            "they were moved like those at the nearer end"
        )
