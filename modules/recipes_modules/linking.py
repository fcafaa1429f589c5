"""Localizations of one molecule in successive frames, put together as one: Picasso's link."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Float, Input, Int, Output

Ints = npt.NDArray[np.int32]
Array = npt.NDArray[Any]

REACH = 5.0
"""Standard errors within which the next localization of a molecule is looked for: two of its localizations are farther apart in one
case of 500."""
SUMMED = ("photons", "background")
FIRST = ("frame", "channel", "group", "probe", "site", "structure")
"""Columns of which a molecule keeps the first value: means of them say nothing."""
_FRAMES = 2**31 - 2


def in_order(ctx: Context, table: Localizations, names: Iterable[str]) -> tuple[Array, Ints]:
    """Rows of a table in the order of frames, and their frames; rows in which a column is not finite are left out.

    Returns
    -------
    rows : array (m,) of int64, or slice
        The rows; a slice where all of them are in order already.
    frame : array (m,) of int32
        From 0 at the first.
    """
    good = table.finite_rows(*names, "frame")
    rows: Any = slice(None)
    frame = table.frames if good.all() else Localizations({"frame": table["frame"][good]}).frames
    if not good.all():
        rows = np.flatnonzero(good)
        ctx.say(f"{len(good) - len(rows):,} of {len(good):,} localizations have NaN and were left out")
    if not len(frame):
        return rows, np.empty(0, np.int32)
    first, last = int(frame.min()), int(frame.max())
    if last - first > _FRAMES:
        raise DataError(
            f"frames reach from {first} to {last}.", code="D600", hint="Filter out rows with a frame that cannot be right."
        )
    short = (frame - first).astype(np.int32)
    if not (short[1:] >= short[:-1]).all():
        order = np.argsort(short, kind="stable")
        short = short[order]
        rows = order if isinstance(rows, slice) else rows[order]
    return rows, short


class Link(ModuleBase):
    """Links localizations of successive frames that are one molecule's, and makes one of them, as Picasso's link does.

    A localization continues the chain whose last one lies within `r_max` and no more than `max_dark_time` dark frames back; where
    several do, the one that began first. Positions (and all columns that have an ``error_`` column) become means weighted by
    1 / error**2 with the error of that mean, photons and background sums, frame the first, other columns means. Columns are added:
    len (frames from first to last), n (localizations), photon_rate (photons per localization).
    """

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations")
    output_localizations = Output(
        Localizations, "linked", like="input_localizations", adds=("len", "n", "photon_rate"), desc="one row for each molecule"
    )
    output_grouped = Output(
        Localizations, "linked_groups", diagnostic=True, like="input_localizations", adds=("group",),
        desc="the input in order of frames with the number of the molecule",
    )  # fmt: skip
    output_figure = Output(Figure, "link_plot", desc="lengths, steps and photons of what was linked")

    r_max = Float(
        None, low=0.0, unit="nm",
        desc="longest step; null takes 5 times the median standard error, and where there is none 100 nm",
    )  # fmt: skip
    max_dark_time = Int(3, low=0, unit="frame", desc="most frames without a localization within one molecule's time")
    remove_ambiguous_lengths = Bool(
        True, desc="leave out what begins in the first frame or ends in the last one: how long it lasted is not known"
    )

    def output_columns(self, port: str, known: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
        columns = super().output_columns(port, known)
        if columns is None or port != "output_localizations":
            return columns
        return (
            columns if "photons" in Localizations(dict.fromkeys(columns, ())) else tuple(c for c in columns if c != "photon_rate")
        )

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        from recipes_modules.grouping.chains import chains

        table = input_localizations
        rows, frame = in_order(ctx, table, ("x", "y"))
        x, y = (table[name][rows] for name in "xy")
        reach = self._reach(ctx, table)
        channel = _channels(table, rows)
        label, count = chains(x, y, frame, np.array([reach]), self.max_dark_time + 1, by_end=True, channel=channel)
        ordered = table if isinstance(rows, slice) else table.select(rows)
        merged, kept = self._merged(ctx, ordered, frame, label, count)
        made: dict[str, Any] = {"output_localizations": merged}
        if ctx.wanted("output_grouped"):
            made["output_grouped"] = ordered.with_columns({"group": label}, units={"group": ""})
        if ctx.wanted("output_figure"):
            from recipes_modules.linking_figures import link_figure

            made["output_figure"] = link_figure(x, y, label, count, merged, reach, ordered.get("error_x"), ordered.get("error_y"))
        ctx.say(f"{len(label):,} localizations within {reach:.3g} nm are {count:,} molecules, {kept:,} of them kept")
        return made

    def _reach(self, ctx: Context, table: Localizations) -> float:
        if self.r_max is not None:
            return float(self.r_max)
        errors = [np.asarray(table[name]) for name in ("error_x", "error_y") if name in table]
        known = [values[np.isfinite(values) & (values > 0)] for values in errors]
        if known and all(len(values) for values in known):
            return REACH * float(np.sqrt(np.mean([np.median(values) ** 2 for values in known])))
        ctx.warn("the localizations have no standard errors; they are linked within 100 nm. Give r_max.")
        return 100.0

    def _merged(self, ctx: Context, table: Localizations, frame: Ints, label: Ints, count: int) -> tuple[Localizations, int]:
        from recipes_modules.grouping import merge

        size = merge.sizes(label, count)
        first, last = merge.first_rows(label, count), merge.last_rows(label, count)
        begin, end = frame[first], frame[last]
        kept = np.ones(count, bool)
        if self.remove_ambiguous_lengths and len(frame):
            kept = (begin > 0) & (end < frame[-1])
            ctx.say(
                f"{count - np.count_nonzero(kept):,} molecules begin in the first frame or end in the last one and were left out"
            )
        columns = merged_columns(ctx.map, table, label, size, first, SUMMED)
        columns["len"] = end - begin + 1
        columns["n"] = size
        if "photons" in columns:
            columns["photon_rate"] = columns["photons"] / size
        if not kept.all():
            columns = {name: values[kept] for name, values in columns.items()}
        _tell_nan(ctx, columns)
        units = {**{name: unit for name, unit in table.units.items() if name in columns}, "len": "frame", "photon_rate": "photon"}
        return Localizations(columns, units=units, metadata=table.metadata), int(np.count_nonzero(kept))


def merged_columns(
    mapper: Callable[..., Iterator[Any]], table: Localizations, label: Ints, size: Array, first: Array, summed: Iterable[str]
) -> dict[str, Array]:
    """The columns of a table in which rows with one number have become one.

    Columns with an ``error_`` column become means weighted by it, those named in `summed` sums, those in `FIRST` and words the first
    value, others plain means. Types stay, except that whole numbers become real ones in means.
    """
    from recipes_modules.grouping import merge

    names = table.columns
    partner = {name: f"error_{name}" for name in names if f"error_{name}" in names}
    # The error of a column comes with it; a photon count's standard error is that of a sum.
    done_with = {error for name, error in partner.items() if name not in summed}

    def one(name: str) -> dict[str, Array]:
        values = table[name]
        if name in FIRST or values.dtype.kind not in "fiub":
            return {name: values[first]}
        kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
        if name in summed:
            return {name: merge.sums(values, label, len(size)).astype(kind)}
        if name in partner:
            errors = table[partner[name]]
            mean, error = merge.weighted_means(values, errors, label, size)
            return {name: mean.astype(kind), partner[name]: error.astype(errors.dtype if errors.dtype.kind == "f" else kind)}
        if name.startswith("error_") and name.removeprefix("error_") in summed:
            return {name: np.sqrt(merge.sums(values.astype(np.float64) ** 2, label, len(size))).astype(kind)}
        return {name: merge.means(values, label, size).astype(kind)}

    found: dict[str, Array] = {}
    for made in mapper(one, [name for name in names if name not in done_with]):
        found.update(made)
    return {name: found[name] for name in names}


def _tell_nan(ctx: Context, columns: Mapping[str, Array]) -> None:
    hurt = [name for name, values in columns.items() if values.dtype.kind == "f" and len(values) and np.isnan(values).any()]
    if hurt:
        ctx.warn(f"some molecules have NaN in {', '.join(hurt)}: their localizations have NaN or no standard error there")


def _channels(table: Localizations, rows: Any) -> Ints | None:
    """Numbers that tell channels and earlier groups apart; None where there are none."""
    found: Any = None
    for name in ("channel", "group"):
        if name in table:
            values = np.unique(table[name][rows], return_inverse=True)[1].astype(np.int64)
            found = values if found is None else found * (int(values.max(initial=0)) + 1) + values
    return None if found is None else np.unique(found, return_inverse=True)[1].astype(np.int32)
