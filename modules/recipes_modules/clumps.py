"""PYME's FindClumps and MergeClumps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Float, Input, Int, Output, Str
from recipes_modules.linking import in_order, merged_columns

Ints = npt.NDArray[np.int32]
Array = npt.NDArray[Any]

ADDED = ("clumpIndex", "clumpSize", "trackVelocity", "clumpEdge")
SUMMED = ("A", "Ag", "Ar", "nPhotons", "photons", "fitResults_A", "fitResults_Ag", "fitResults_Ar")
_ERRORS = ("error", "fitError", "slicesUsed")


def clumped(ctx: Context, table: Localizations, radius: Array, window: int, column: str) -> Localizations:
    """The table with the columns `ADDED`; rows with NaN are a clump of their own.

    Parameters
    ----------
    radius : array (n,) or (1,)
        nm; a localization joins a clump that has one closer than this.
    window : int
        Most dark frames within a clump.
    column : str
        Where the radius comes from, for messages; '' for none.
    """
    from recipes_modules.grouping import merge
    from recipes_modules.grouping.chains import chains

    n = len(table)
    if len(radius) == n and n and not (np.isfinite(radius) & (radius > 0)).any():
        raise DataError(f"column '{column}' holds no value above 0, and nothing can be linked.", code="D601")
    rows, frame = in_order(ctx, table, ("x", "y"))
    x, y = (table[name][rows] for name in "xy")
    each = radius if len(radius) != n else np.nan_to_num(radius[rows], nan=0.0, posinf=0.0, neginf=0.0)
    label, count = chains(x, y, frame, each, window + 1, by_end=False, closed=False)
    size = merge.sizes(label, count)
    edge = np.zeros(len(label), np.uint8)
    edge[merge.first_rows(label, count)] = edge[merge.last_rows(label, count)] = 1
    made = {
        "clumpIndex": label + np.int32(1), "clumpSize": size[label].astype(np.int32), "trackVelocity": _steps(x, y, label, count),
        "clumpEdge": edge,
    }  # fmt: skip
    alone = n - len(label)
    columns: dict[str, Array] = {name: table[name] for name in table.columns}
    for name, values in made.items():
        full = np.ones(n, values.dtype) if name != "trackVelocity" else np.zeros(n, values.dtype)
        full[rows] = values
        columns[name] = full
    if alone:
        left = np.ones(n, bool)
        left[rows] = False
        columns["clumpIndex"][left] = count + 1 + np.arange(alone)
    ctx.say(f"{n:,} localizations in {count + alone:,} clumps, {int(np.count_nonzero(size > 1)):,} of more than one")
    units = {**table.units, "trackVelocity": "nm"}
    return Localizations(columns, units=units, metadata=table.metadata)


def _steps(x: Array, y: Array, label: Ints, count: int) -> npt.NDArray[np.float32]:
    """Mean length of the steps to a localization and from it, within its clump; 0 where it is alone."""
    from recipes_modules.grouping import merge

    before = merge.rows_before(label, count)
    later = np.flatnonzero(before >= 0)
    earlier = before[later]
    step = np.hypot(x[later].astype(np.float64) - x[earlier], y[later].astype(np.float64) - y[earlier])
    total, number = np.zeros(len(label)), np.zeros(len(label), np.int8)
    total[later] += step
    number[later] += 1
    total[earlier] += step
    number[earlier] += 1
    return (total / np.maximum(number, 1)).astype(np.float32)


class FindClumps(ModuleBase):
    """Numbers localizations that are likely of one molecule, as PYME's tracking.FindClumps does.

    A localization joins the clump of the earliest one that is closer than 2 * clumpRadiusScale * clumpRadiusVariable (the later one's;
    with the defaults 4 standard errors) and at most `timeWindow` dark frames back; localizations of one frame may be of one clump.
    Adds clumpIndex (from 1), clumpSize, trackVelocity (mean length of the steps to and from it, nm) and clumpEdge (1 for the first and
    the last of a clump).
    """

    inputName = Input(Localizations, "input", requires=("x", "y", "frame"), desc="localizations")
    outputName = Output(Localizations, "with_clumps", like="inputName", adds=ADDED, desc="the same rows with their clump")
    outputClumps = Output(
        Localizations, "clumps", diagnostic=True, like="inputName", adds=ADDED,
        desc="rows of clumps of at least minClumpSize, clump by clump",
    )  # fmt: skip

    timeWindow = Int(3, low=0, unit="frame", desc="most dark frames within a clump")
    clumpRadiusScale = Float(2.0, low=0.0, desc="factor of the radius")
    clumpRadiusVariable = Str("error_x", desc="column that the radius is a multiple of; '1.0' for the same everywhere, 1 nm")
    minClumpSize = Int(2, low=1, desc="fewest localizations of a clump in outputClumps")
    double_radius = Bool(
        True, desc="link within twice clumpRadiusScale * clumpRadiusVariable, as PYME does; false links within once that"
    )

    def required_columns(self, port: str) -> tuple[str, ...]:
        return ("x", "y", "frame", *(() if _is_number(self.clumpRadiusVariable) else (self.clumpRadiusVariable,)))

    def run(self, ctx: Context, inputName: Localizations) -> dict[str, Any]:
        scale, name = self.clumpRadiusScale * (2.0 if self.double_radius else 1.0), self.clumpRadiusVariable
        radius = np.array([scale * float(name)]) if _is_number(name) else scale * inputName[name]
        found = clumped(ctx, inputName, radius, self.timeWindow, name)
        made = {"outputName": found}
        if ctx.wanted("outputClumps"):
            large = np.flatnonzero(found["clumpSize"] >= self.minClumpSize)
            order = np.lexsort((found["frame"][large], found["clumpIndex"][large]))
            made["outputClumps"] = found.select(large[order])
        return made


class MultiviewFindClumps(ModuleBase):
    """Numbers localizations that are likely of one molecule, as PYME's multiview.FindClumps does.

    As tracking.FindClumps, within 2 * (radius_scale * error_x + radius_offset), with the error of the later localization.
    """

    version = 2

    module_name = "FindClumps"

    input_name = Input(Localizations, "registered", requires=("x", "y", "frame", "error_x"), desc="localizations")
    output_name = Output(Localizations, "clumped", like="input_name", adds=ADDED, desc="the same rows with their clump")

    time_gap_tolerance = Int(1, low=0, unit="frame", desc="most dark frames within a clump")
    radius_scale = Float(2.0, low=0.0, desc="factor of the standard error; localizations are linked within twice that")
    radius_offset = Float(0.0, low=0.0, unit="nm", desc="added to radius_scale standard errors")
    probe_aware = Bool(False, desc="link only localizations that have the same value in column probe")
    double_radius = Bool(
        True, desc="link within twice radius_scale * error_x + radius_offset, as PYME does; false links within once that"
    )

    def required_columns(self, port: str) -> tuple[str, ...]:
        return ("x", "y", "frame", "error_x", *(("probe",) if self.probe_aware else ()))

    def run(self, ctx: Context, input_name: Localizations) -> Localizations:
        radius = (self.radius_scale * input_name["error_x"] + self.radius_offset) * (2.0 if self.double_radius else 1.0)
        if not self.probe_aware:
            return clumped(ctx, input_name, radius, self.time_gap_tolerance, "error_x")
        made: dict[str, Array] = {}
        count = 0
        for probe in np.unique(input_name["probe"]):
            rows = np.flatnonzero(input_name["probe"] == probe)
            part = clumped(ctx, input_name.select(rows), radius[rows], self.time_gap_tolerance, "error_x")
            for name in ADDED:
                made.setdefault(name, np.zeros(len(input_name), part[name].dtype))[rows] = part[name] + (
                    count if name == "clumpIndex" else 0
                )
            count += int(part["clumpIndex"].max(initial=0))
        columns = {**{name: input_name[name] for name in input_name.columns}, **made}
        return Localizations(columns, units={**input_name.units, "trackVelocity": "nm"}, metadata=input_name.metadata)


class MergeClumps(ModuleBase):
    """Makes one localization of each clump, as PYME's MergeClumps does.

    Columns with an ``error_`` column become means weighted by 1 / error**2 with the error of that mean; A, Ag, Ar and photons sums;
    all others plain means, the frame to the nearest whole number. Rows come in the order of labels, one for each that there is (PYME
    also writes rows for labels that no localization has, unless discardTrivial).
    """

    inputName = Input(Localizations, "clumped", desc="localizations with clumps", aliases=("input_name",))
    outputName = Output(Localizations, "merged", like="inputName", desc="one row for each clump", aliases=("output_name",))

    labelKey = Str("clumpIndex", desc="column that numbers the clumps")
    discardTrivial = Bool(False, deprecated=True, desc="labels that no localization has get no row here")
    first_label = Int(1, desc="smallest number of a clump: rows with smaller ones (0 in PYME's tables: none) are left out")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return (self.labelKey,)

    def output_columns(self, port: str, known: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
        columns = known.get("inputName")
        return None if columns is None else tuple(name for name in columns if _kept(name, columns))

    def run(self, ctx: Context, inputName: Localizations) -> Localizations:
        table = inputName
        labels = table[self.labelKey]
        good = np.isfinite(labels) & (labels >= self.first_label)
        if not good.all():
            ctx.say(f"{int(np.count_nonzero(~good)):,} of {len(good):,} localizations are of no clump and were left out")
            table, labels = table.select(good), labels[good]
        from recipes_modules.grouping import merge

        numbers, label = np.unique(labels, return_inverse=True)
        label = label.astype(np.int32)
        size = merge.sizes(label, len(numbers))
        kept = [name for name in table.columns if _kept(name, table.columns)]
        columns = merged_columns(ctx.map, table.only(kept), label, size, merge.first_rows(label, len(numbers)), SUMMED)
        if "frame" in table:
            # Frames stay whole numbers, which drift and movies count in.
            columns["frame"] = np.rint(merge.means(table.frames, label, size)).astype(np.int64)
        columns.setdefault(self.labelKey, numbers)
        hurt = [name for name, values in columns.items() if values.dtype.kind == "f" and np.isnan(values).any()]
        if hurt:
            ctx.warn(f"some clumps have NaN in {', '.join(hurt)}: their localizations have NaN or no standard error there")
        ctx.say(f"{len(label):,} localizations became {len(numbers):,}")
        units = {name: unit for name, unit in table.units.items() if name in columns}
        return Localizations(columns, units=units, metadata=table.metadata)


def _kept(name: str, columns: tuple[str, ...]) -> bool:
    """Whether a column has a place in the merged table: errors only beside what they are errors of."""
    return not name.startswith(_ERRORS) or name.removeprefix("error_") in columns


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
