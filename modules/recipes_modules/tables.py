"""Modules on tables of any kind."""

from __future__ import annotations

import numpy as np

from recipes_core.data import Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bounds, Input, MapOf, Output

FEW_ROWS = 100
FEW_PARTS = 0.01


class FilterTable(ModuleBase):
    """Keeps the rows whose columns lie between bounds: low < value < high for every listed column.

    A value that is NaN lies between no bounds. The log says how many rows each bound removed, and warns when few are left: bounds
    made for another camera or program can empty a table unnoticed.
    """

    inputName = Input(Table, "measurements", desc="table to filter")
    outputName = Output(Table, "filtered", like="inputName", desc="rows that are kept")
    filters = MapOf(Bounds(), {}, desc="column: [low, high]; null leaves a side open")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return tuple(self.filters)

    def run(self, ctx: Context, inputName: Table) -> Table:
        kept = np.ones(len(inputName), dtype=bool)
        for column, (low, high) in self.filters.items():
            values = inputName[column]
            if values.dtype.kind not in "biuf":
                raise DataError(
                    f"column '{column}' holds no numbers and cannot lie between bounds.", hint=f"Leave {column} out of filters."
                )
            with np.errstate(over="ignore"):  # a bound beyond what a float32 column can hold is no bound
                inside = (values > low) & (values < high)
            removed = int(np.count_nonzero(~inside))
            alone = int(np.count_nonzero(kept & ~inside))
            missing = int(np.count_nonzero(np.isnan(values))) if values.dtype.kind == "f" else 0
            ctx.say(
                f"{column} in ({low:g}, {high:g}): {removed:,} of {len(values):,} rows outside, {alone:,} more removed"
                + (f", {missing:,} of them NaN" if missing else "")
            )
            kept &= inside
        left = int(np.count_nonzero(kept))
        ctx.say(f"{left:,} of {len(kept):,} rows kept")
        if len(kept) and (left < FEW_ROWS or left < FEW_PARTS * len(kept)) and left < len(kept):
            ctx.warn(f"only {left:,} of {len(kept):,} rows are left; the bounds may not suit these data")
        return inputName if left == len(kept) else inputName.select(kept)
