"""Tables put together: rows behind rows, and columns beside columns."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Table
from recipes_core.data.vocabulary import can_provide, resolve
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Input, Int, ListOf, Output, Str

Array = npt.NDArray[Any]
Known = Mapping[str, tuple[str, ...] | None]

MOST_PAIRS = 20_000_000
"""Rows that a join may always have; beyond, no more than twenty times those of its tables."""
CONCAT_SOURCE = "concatSource"


class ConcatenateTables(ModuleBase):
    """Puts the rows of tables behind each other: the columns that all have, and `concatSource`, which table a row comes from (0, 1 ...).

    With ``frames: append`` the frames of each table go on where those of the one before end. Where that one ends is the length of its
    movie, if `n_frames` or its metadata say it, else its last frame: frames at the end that hold nothing are then lost.
    """

    inputName0 = Input(Table, "chan0", desc="first table")
    inputName1 = Input(Table, "chan1", desc="second table")
    inputName2 = Input(Table, "", desc="third table")
    inputName3 = Input(Table, "", desc="fourth table")
    outputName = Output(Table, "output", like="inputName0", desc="the rows of all")
    frames = Choice(
        ("keep", "append"), "keep", desc="what becomes of frames: they stay, or go on behind those of the table before"
    )
    n_frames = Int(
        0, low=0, unit="frame", desc="frames of each table's movie, for append; 0: what the metadata say, else the last frame"
    )

    def output_columns(self, port: str, known: Known) -> tuple[str, ...] | None:
        given = [columns for name, columns in known.items() if getattr(self, name)]
        if any(columns is None for columns in given):
            return None
        return (*_shared([columns for columns in given if columns is not None]), CONCAT_SOURCE)

    def required_columns(self, port: str) -> tuple[str, ...]:
        return ("frame",) if self.frames == "append" else ()

    def run(
        self, ctx: Context, inputName0: Table, inputName1: Table, inputName2: Table | None, inputName3: Table | None
    ) -> Table:
        tables = [table for table in (inputName0, inputName1, inputName2, inputName3) if table is not None]
        names = [name for name in _shared([table.columns for table in tables]) if name != CONCAT_SOURCE]
        if not names:
            raise DataError("the tables have no column in common.", hint=f"The first has {', '.join(tables[0].columns)}.")
        _tell_left_out(ctx, tables, names)
        _tell_units(ctx, tables, names)
        merged = {name: np.concatenate([table[name] for table in tables]) for name in names}
        if self.frames == "append" and (own := resolve("frame", names)):
            merged[own] = np.concatenate(list(self._moved(ctx, tables)))
        merged[CONCAT_SOURCE] = np.repeat(np.arange(len(tables), dtype=np.int32), [len(table) for table in tables])
        kind = type(inputName0) if all(isinstance(table, type(inputName0)) for table in tables) else Table
        return kind(merged, units={name: tables[0].units.get(name, "") for name in names})

    def _moved(self, ctx: Context, tables: list[Table]) -> Iterator[Array]:
        offset = 0
        for number, table in enumerate(tables):
            frames = table["frame"].astype(np.int64)
            yield frames + offset
            length = self.n_frames or _movie_length(table)
            last = int(frames.max()) + 1 if len(frames) else 0
            if not length and number + 1 < len(tables):
                ctx.say(f"the length of the movie of table {number} is not known; it is taken to end with frame {last - 1}")
            if length < last and length:
                ctx.warn(f"table {number} has frame {last - 1}, but its movie is said to have {length} frames")
            offset += max(last, length)


def _movie_length(table: Table) -> int:
    for key in ("Picasso.Frames", "Camera.FrameCount", "n_frames"):
        value = table.metadata.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _shared(tables: list[tuple[str, ...]]) -> list[str]:
    """Columns of the first table that all others can give, under any name."""
    return [name for name in tables[0] if all(can_provide(name, columns) for columns in tables[1:])]


def _tell_left_out(ctx: Context, tables: list[Table], names: list[str]) -> None:
    for number, table in enumerate(tables):
        used = {resolve(name, table.columns) for name in names}
        if left := [name for name in table.columns if name not in used and name != CONCAT_SOURCE]:
            ctx.say(f"left out, as not all tables have them: {', '.join(left)} (table {number})")


def _tell_units(ctx: Context, tables: list[Table], names: list[str]) -> None:
    for name in names:
        units = {table.units.get(resolve(name, table.columns) or name, "") for table in tables}
        if len(units - {""}) > 1:
            raise DataError(
                f"column '{name}' is in {' and in '.join(sorted(units - {''}))}; tables of one unit can be put together."
            )


class AggregateTables(ModuleBase):
    """Puts the columns of up to four tables of equal length beside each other, each with its suffix.

    Row k of the result is row k of each table; to match rows by a column use Table_Join. Of columns that get the same name the last
    table's stays.
    """

    inputMeasurements1 = Input(Table, "meas1", desc="first table", aliases=("inputMeasurments1",))
    inputMeasurements2 = Input(Table, "", desc="second table", aliases=("inputMeasurments2",))
    inputMeasurements3 = Input(Table, "", desc="third table", aliases=("inputMeasurments3",))
    inputMeasurements4 = Input(Table, "", desc="fourth table", aliases=("inputMeasurments4",))
    outputName = Output(Table, "aggregatedMeasurements", desc="the columns of all")
    suffix1 = Str("", desc="put behind the names of the first table's columns")
    suffix2 = Str("", desc="the same for the second")
    suffix3 = Str("", desc="the same for the third")
    suffix4 = Str("", desc="the same for the fourth")

    def output_columns(self, port: str, known: Known) -> tuple[str, ...] | None:
        found: list[str] = []
        for number in range(1, 5):
            if not getattr(self, f"inputMeasurements{number}"):
                continue
            columns = known.get(f"inputMeasurements{number}")
            if columns is None:
                return None
            found += [name + getattr(self, f"suffix{number}") for name in columns]
        return tuple(dict.fromkeys(found))

    def run(self, ctx: Context, **inputs: Table | None) -> Table:
        columns: dict[str, Array] = {}
        units: dict[str, str] = {}
        first = inputs["inputMeasurements1"]
        assert first is not None
        for number in range(1, 5):
            table = inputs[f"inputMeasurements{number}"]
            if table is None:
                continue
            if len(table) != len(first):
                raise DataError(
                    f"the first table has {len(first):,} rows, table {number} has {len(table):,}; rows cannot stand side by side.",
                    hint="Table_Join matches rows by the values of a column.",
                )
            suffix = getattr(self, f"suffix{number}")
            replaced = [name + suffix for name in table.columns if name + suffix in columns]
            if replaced:
                ctx.warn(f"table {number} replaces {', '.join(replaced)} of the tables before it; a suffix keeps both")
            columns |= {name + suffix: table[name] for name in table.columns}
            units |= {name + suffix: table.units.get(name, "") for name in table.columns}
        kind = type(first) if {"x", "y", "frame"} <= set(columns) else Table
        return kind(columns, units=units)


class SelectTableColumns(ModuleBase):
    """Keeps some columns, in the order in which they are named."""

    inputMeasurements = Input(Table, "measurements", desc="table", aliases=("inputMeasurments",))
    outputName = Output(Table, "selectedMeasurements", desc="the columns that are kept")
    keys = Str("", desc="columns, with spaces between them; quotes around a name that has spaces")

    def _names(self) -> tuple[str, ...]:
        """The names; ValueError where a quote is not closed."""
        return tuple(dict.fromkeys(shlex.split(self.keys)))

    def _known_names(self) -> tuple[str, ...]:
        """The names; none where `check` complains of them."""
        with contextlib.suppress(ValueError):
            return self._names()
        return ()

    def check(self) -> Iterator[str]:
        try:
            names = self._names()
        except ValueError:
            yield f"keys: a quote is not closed in {self.keys!r}"
        else:
            if not names:
                yield "keys names no column"

    def required_columns(self, port: str) -> tuple[str, ...]:
        return self._known_names()

    def output_columns(self, port: str, known: Known) -> tuple[str, ...] | None:
        return self._known_names()

    def run(self, ctx: Context, inputMeasurements: Table) -> Table:
        names = self._names()
        chosen = inputMeasurements.only(names)
        located = all(can_provide(name, names) for name in ("x", "y", "frame"))
        return chosen if located else Table(dict(chosen), units=chosen.units)


class Table_Join(ModuleBase):
    """Joins two tables by the values of key columns, which must be equal.

    Each row of the left table is put together with each row of the right one that has the same keys; the order is that of the left
    table, then of the right one. Columns of the right table whose name is taken get a suffix. NaN is equal to nothing.
    """

    input_left = Input(Table, "left", desc="table whose rows stay in order")
    input_right = Input(Table, "right", desc="table whose columns are added")
    outputName = Output(Table, "joined", like="input_left", desc="matching rows, the columns of both")
    on = ListOf(Str(""), ("frame",), desc="key columns, which both tables have")
    how = Choice(
        ("inner", "left"), "inner", desc="inner: rows that match; left: all of the left table, NaN where nothing matches"
    )
    suffix = Str("_right", desc="put behind names of the right table's columns that are taken")

    def check(self) -> Iterator[str]:
        if not self.on:
            yield "on names no column"

    def required_columns(self, port: str) -> tuple[str, ...]:
        return tuple(self.on)

    def output_columns(self, port: str, known: Known) -> tuple[str, ...] | None:
        left, right = known.get("input_left"), known.get("input_right")
        return None if left is None or right is None else (*left, *self._added(left, right).values())

    def _added(self, left: tuple[str, ...], right: tuple[str, ...]) -> dict[str, str]:
        """Column of the right table -> its name in the result."""
        keys = {resolve(name, right) for name in self.on}
        names: dict[str, str] = {}
        for name in right:
            if name not in keys:
                free = name
                while free in left or free in names.values():
                    free += self.suffix or "_"
                names[name] = free
        return names

    def run(self, ctx: Context, input_left: Table, input_right: Table) -> Table:
        left_ids, right_ids = _key_ids([input_left[name] for name in self.on], [input_right[name] for name in self.on])
        rows_left, rows_right = _matches(left_ids, right_ids, keep_all=self.how == "left")
        missing = rows_right < 0
        added = self._added(input_left.columns, input_right.columns)
        columns = {name: input_left[name][rows_left] for name in input_left.columns}
        for name, target in added.items():
            columns[target] = _taken(input_right[name], rows_right, missing)
        units = {
            **input_left.units,
            **{target: input_right.units.get(name, "") for name, target in added.items()},
        }
        if count := int(np.count_nonzero(missing)):
            ctx.warn(f"{count:,} of {len(input_left):,} rows of the left table match no row; their new columns are NaN")
        ctx.say(f"{len(input_left):,} and {len(input_right):,} rows give {len(rows_left):,}")
        return type(input_left)(columns, units=units, metadata=input_left.metadata)


def _key_ids(left: list[Array], right: list[Array]) -> tuple[Array, Array]:
    """A number for each combination of keys, the same in both tables; -1 where a key is NaN."""
    n_left = len(left[0])
    ids: Array | None = None
    missing = np.zeros(n_left + len(right[0]), bool)
    for one, other in zip(left, right, strict=True):
        both = np.concatenate([one, other])
        if both.dtype.kind == "f":
            missing |= np.isnan(both)
        values, place = np.unique(both, return_inverse=True)
        # Renumbering keeps the product of many keys below 2**63.
        ids = place if ids is None else np.unique(ids * len(values) + place, return_inverse=True)[1]
    ids = np.where(missing, -1, ids)
    return ids[:n_left], ids[n_left:]


def _matches(left: Array, right: Array, *, keep_all: bool) -> tuple[Array, Array]:
    """Rows of both tables that belong together; -1 on the right where nothing does."""
    order = np.argsort(right, kind="stable")
    ordered = right[order]
    first = np.searchsorted(ordered, left, "left")
    count = np.searchsorted(ordered, left, "right") - first
    count[left < 0] = 0
    shown = np.maximum(count, 1) if keep_all else count
    total = int(shown.sum())
    if total > max(MOST_PAIRS, 20 * (len(left) + len(right))):
        raise DataError(
            f"the keys are so rarely different that {total:,} pairs of rows match.",
            hint="Name more key columns, or merge rows first.",
        )
    rows_left = np.repeat(np.arange(len(left)), shown)
    start = np.repeat(np.cumsum(shown) - shown, shown)
    found = np.repeat(first, shown) + np.arange(total) - start
    matched = np.repeat(count > 0, shown)
    rows_right = np.full(total, -1, np.int64)
    rows_right[matched] = order[found[matched]]
    return rows_left, rows_right


def _taken(values: Array, rows: Array, missing: Array) -> Array:
    if not missing.any():
        return values[rows]
    if values.dtype.kind not in "biuf":
        raise DataError("columns that hold no numbers cannot be left empty.", hint="how: inner keeps the rows that match.")
    taken = (
        values[np.where(missing, 0, rows)].astype(np.float64 if values.dtype.kind != "f" else values.dtype)
        if len(values)
        else None
    )
    if taken is None:
        return np.full(len(rows), np.nan)
    taken[missing] = np.nan
    return taken
