"""Some of the rows of a table: at random, by an id, by a column, by colour, by time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations, Table
from recipes_core.errors import ColumnError, DataError, did_you_mean
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Bounds, Float, Input, Int, ListOf, Output, Str

Array = npt.NDArray[Any]
Known = Mapping[str, tuple[str, ...] | None]

EVERYTHING = "everything"
MEMBER = 0.1
"""Part of all probability above which a localization belongs to a channel, and below which it must be in each other one."""


class FilterTableByIds(ModuleBase):
    """Keeps the rows whose id is in a list."""

    inputName = Input(Table, "measurements", desc="table")
    outputName = Output(Table, "filtered", like="inputName", desc="rows that are kept")
    idColumnName = Str("clumpID", desc="column of ids")
    ids = ListOf(Int(0), (), desc="ids that are kept")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return (self.idColumnName,)

    def run(self, ctx: Context, inputName: Table) -> Table:
        values = inputName[self.idColumnName]
        kept = np.isin(values, np.asarray(self.ids, np.int64))
        absent = [number for number in self.ids if not np.any(values[kept] == number)]
        if absent:
            ctx.warn(f"no row has the id {', '.join(map(str, absent[:10]))}{' ...' if len(absent) > 10 else ''}")
        ctx.say(f"{np.count_nonzero(kept):,} of {len(kept):,} rows kept")
        return inputName.select(kept)


class RandomSubset(ModuleBase):
    """Draws rows at random, each at most once; they stay in order."""

    uses_seed = True

    input = Input(Table, "input", desc="table")
    output = Output(Table, "output", like="input", desc="rows that were drawn")
    num_to_select = Int(100, low=0, desc="rows to draw; all where there are fewer")
    strict = Bool(False, desc="fewer rows than are to be drawn are an error")
    fraction = Float(None, low=0.0, high=1.0, desc="part of the rows to draw, in place of num_to_select")

    def run(self, ctx: Context, input: Table) -> Table:  # noqa: A002 - PYME's name of the port
        n = len(input)
        wanted = self.num_to_select if self.fraction is None else round(self.fraction * n)
        if wanted > n:
            if self.strict:
                raise DataError(f"the table has {n:,} rows, fewer than the {wanted:,} to draw.", hint="strict: false takes all.")
            ctx.say(f"all {n:,} rows are taken, as there are fewer than {wanted:,}")
            return input
        rows = np.sort(ctx.rng.choice(n, wanted, replace=False))
        return input.select(rows)


class Table_Split(ModuleBase):
    """Splits a table in two by a column: rows that are meant, and the rest.

    Meant are rows whose value is in `values`, or lies in `bounds`: low <= value < high. ``column: frame, bounds: [null, 5000]`` cuts a
    movie in two. NaN goes with the rest.
    """

    inputName = Input(Table, "localizations", desc="table")
    output_chosen = Output(Table, "chosen", like="inputName", desc="rows that are meant")
    output_rest = Output(Table, "rest", like="inputName", desc="the other rows")
    column = Str("frame", desc="column that decides")
    values = ListOf(Float(0.0), (), desc="values of the rows that are meant")
    bounds = Bounds((None, None), desc="[low, high): rows that are meant, where no values are named")
    restart_frames = Bool(False, desc="with column frame, bounds and no low side: the frames of the rest count from 0 at the cut")

    def check(self) -> Iterator[str]:
        if not self.values and not np.isfinite(self.bounds).any():
            yield "neither values nor bounds say which rows are meant"
        if self.values and np.isfinite(self.bounds).any():
            yield "values and bounds cannot both say which rows are meant"
        if self.restart_frames and (
            self.values or self.column != "frame" or np.isfinite(self.bounds[0]) or not np.isfinite(self.bounds[1])
        ):
            yield "restart_frames needs column: frame and bounds: [null, FRAME]"

    def required_columns(self, port: str) -> tuple[str, ...]:
        return (self.column,)

    def run(self, ctx: Context, inputName: Table) -> dict[str, Any]:
        column = inputName[self.column]
        if column.dtype.kind not in "biuf":
            raise DataError(f"column '{self.column}' holds no numbers and cannot split a table.")
        chosen = np.isin(column, self.values) if self.values else (column >= self.bounds[0]) & (column < self.bounds[1])
        ctx.say(f"{np.count_nonzero(chosen):,} of {len(chosen):,} rows are meant")
        rest = inputName.select(~chosen)
        if self.restart_frames:
            rest = rest.with_columns({"frame": rest["frame"] - np.int64(np.ceil(self.bounds[1]))})
        return {"output_chosen": inputName.select(chosen), "output_rest": rest}


class TimeBlocks(ModuleBase):
    """Assigns localizations to two channels, block of frames by block in turn, such as for Fourier ring correlation.

    Adds `p_block1`, 1 in the first, third, ... block of `block_size` frames and 0 in others, `p_block0`, the opposite, `block_id`, which
    is `p_block0` as a whole number, and `ColourNorm`: names and order are PYME's. Blocks count from frame 0.
    """

    version = 2

    input = Input(Localizations, "localizations", requires=("frame",), desc="localizations")
    output = Output(
        Localizations,
        "time_blocks",
        like="input",
        adds=("block_id", "p_block0", "p_block1", "ColourNorm"),
        desc="with two channels",
    )
    block_size = Int(100, low=1, unit="frame", desc="frames of a block")

    def run(self, ctx: Context, input: Localizations) -> Localizations:  # noqa: A002 - PYME's name of the port
        odd = (input.frames // self.block_size) % 2
        # Other channels would share the localizations with these two.
        others = [name for name in input.columns if name.startswith("p_") and name not in ("p_block0", "p_block1")]
        if others:
            ctx.warn(f"the channels {', '.join(others)} are replaced by blocks of time")
        kept = input.only([name for name in input.columns if name not in others])
        for number in (0, 1):
            if len(odd) and np.all(odd == number):
                ctx.warn(f"no localization is in a block of channel {number}; a smaller block_size divides the movie")
        return kept.with_columns(
            {
                "block_id": odd.astype(np.int32),
                "p_block0": (odd == 1).astype(np.float32),
                "p_block1": (odd == 0).astype(np.float32),
                "ColourNorm": np.ones(len(odd), np.float32),
            }
        )


class ExtractTableChannel(ModuleBase):
    """Keeps the localizations of one colour channel, as told by the columns `p_<channel>` that ProcessColour makes.

    A localization belongs to a channel where its probability is above a tenth of that of all channels together, and that of every
    other channel below a tenth.
    """

    inputName = Input(Table, "measurements", desc="table with columns of membership")
    outputName = Output(Table, "filtered", like="inputName", desc="rows of the channel")
    channel = Str(EVERYTHING, desc=f"channel, without p_; '{EVERYTHING}' keeps all")

    def run(self, ctx: Context, inputName: Table) -> Table:
        if self.channel == EVERYTHING:
            return inputName
        kept = in_channel(inputName, self.channel)
        ctx.say(f"{np.count_nonzero(kept):,} of {len(kept):,} rows are of the channel '{self.channel}'")
        return inputName.select(kept)


def channels_of(table: Table) -> list[str]:
    """Names of the colour channels of a table."""
    return [name[2:] for name in table.columns if name.startswith("p_")]


def in_channel(table: Table, channel: str) -> Array:
    """Mask of the rows that belong to a colour channel.

    Raises
    ------
    ColumnError
        Where the table has no such channel.
    """
    names = channels_of(table)
    name = channel.removeprefix("p_")
    if name not in names:
        told = did_you_mean(name, names, what="its channels") if names else "ProcessColour makes channels."
        raise ColumnError(f"the table has no channel '{name}'.", hint=told)
    norm = table["ColourNorm"].astype(np.float64) if "ColourNorm" in table else np.ones(len(table))
    own = table[f"p_{name}"].astype(np.float64)
    others = [table[f"p_{other}"].astype(np.float64) for other in names if other != name]
    total = MEMBER / 10 * norm + own
    for values in others:
        total = total + values
    with np.errstate(divide="ignore", invalid="ignore"):
        mask: Array = own / total > MEMBER
        for values in others:
            mask &= values / total < MEMBER
    return mask
