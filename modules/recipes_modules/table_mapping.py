"""New columns by expressions over the columns that there are."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Table
from recipes_core.data.vocabulary import resolve, unit_of
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Input, MapOf, Output, Str
from recipes_modules.expressions import CONSTANTS, ExpressionError, Node, evaluate, names_in, parse

Array = npt.NDArray[Any]


class Expression(Str):
    """The text of an expression; a plain number is one."""

    def expected(self) -> str:
        return "an expression such as 'sqrt(x**2 + y**2)'"

    def coerce(self, value: Any) -> str:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return repr(value)
        return super().coerce(value)


class Mapping(ModuleBase):
    """Adds or replaces columns by expressions such as 'sqrt(x**2 + y**2)'.

    An expression is arithmetic over names of columns (any known name works; one that is no word stands in back quotes), with
    comparisons, ``and``, ``or``, ``not``, ``a if condition else b`` and functions of numpy such as ``sqrt``, ``where``, ``clip``,
    ``minimum``, and ``mean``, ``median``, ``min``, ``max``, ``sum``, ``std`` of a whole column. It is parsed, never executed: there
    are no attributes, no indices and no other calls.

    A name means the column of the input; only where there is none, that of another mapping. So ``x: 'x + dx'`` moves x.
    """

    inputName = Input(Table, "measurements", desc="table")
    outputName = Output(Table, "mapped", like="inputName", desc="the same with the new columns")
    mappings = MapOf(Expression(""), {}, desc="column: expression")
    units = MapOf(Str(""), {}, desc="column: unit, where its name does not tell")

    def check(self) -> Iterator[str]:
        for name, text in self.mappings.items():
            if not name.strip() or not name.isprintable():
                yield f"mappings: {name!r} is no name of a column"
            try:
                parse(text)
            except ExpressionError as error:
                yield f"mappings: {name}: '{_short(text)}' is no expression: {error}"
        for name in self.units:
            if name not in self.mappings:
                yield f"units: '{name}' is no column of mappings"

    def required_columns(self, port: str) -> tuple[str, ...]:
        wanted = []
        for name, text in self.mappings.items():
            try:
                used = names_in(parse(text))
            except ExpressionError:
                continue  # check tells it
            wanted += [word for word in sorted(used) if word not in CONSTANTS and (word not in self.mappings or word == name)]
        return tuple(dict.fromkeys(wanted))

    def output_columns(self, port: str, known: MappingType[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
        columns = known.get("inputName")
        return None if columns is None else tuple(dict.fromkeys((*columns, *(resolve(n, columns) or n for n in self.mappings))))

    def run(self, ctx: Context, inputName: Table) -> Table:
        trees = {name: parse(text) for name, text in self.mappings.items()}
        made: dict[str, Array] = {}
        for name in _in_order(trees, inputName):
            made[name] = self._column(ctx, name, trees[name], inputName, made)
        if not made:
            return inputName
        # A column that is replaced keeps the unit that it has, unless another is named.
        units = {resolve(n, inputName.columns) or n: u for n in made if (u := self.units.get(n, "") or unit_of(n))}
        return inputName.with_columns(made, units=units)

    def _column(self, ctx: Context, name: str, tree: Node, table: Table, made: MappingType[str, Array]) -> Array:
        columns = {}
        for word in names_in(tree):
            found = table[word] if word in table else made.get(word)
            if found is None:
                if word in CONSTANTS:
                    continue
                table.require(word)
                continue
            if found.dtype.kind not in "biuf":
                raise DataError(f"column '{word}' holds no numbers; the expression for '{name}' cannot use it.")
            columns[word] = found
        try:
            values = evaluate(tree, columns, len(table))
        except ExpressionError as error:
            raise DataError(f"mappings: {name}: '{_short(self.mappings[name])}': {error}.") from error
        _tell_missing(ctx, name, values, columns)
        return values


def _in_order(trees: MappingType[str, Node], table: Table) -> list[str]:
    """The new columns, each behind those of the others that it takes."""
    order: list[str] = []
    open_: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in open_:
            circle = " -> ".join((*open_[open_.index(name) :], name))
            raise DataError(f"mappings need each other in a circle: {circle}.", hint="Take a column of the table in one of them.")
        open_.append(name)
        for word in sorted(names_in(trees[name])):
            if word in trees and word not in table:
                visit(word)
        open_.pop()
        order.append(name)

    for name in trees:
        visit(name)
    return order


def _tell_missing(ctx: Context, name: str, values: Array, columns: MappingType[str, Array]) -> None:
    """Say where an expression makes no finite number of finite ones."""
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values)
    for column in columns.values():
        if column.dtype.kind == "f" and bad.any():
            bad &= np.isfinite(column)
    if count := int(np.count_nonzero(bad)):
        ctx.warn(f"{name}: {count:,} of {len(values):,} values are no finite numbers, such as 1/0 or sqrt(-1)")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
