"""From the tree of an expression and the columns of a table to a column.

Whole numbers are counted in 64 bits whatever the column's own type, so that ``frame - 10`` does not wrap; float32 stays float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.expressions.parse import CONSTANTS, ExpressionError, Node

Array = npt.NDArray[Any]
Value = Any
"""An array, or a plain number, which takes the type of the arrays that it meets."""

BLOCK = 65_536
"""Rows that are worked on at a time: the parts of an expression then stay in the cache of the processor."""

_MOST_WHOLE = 2**62


def evaluate(tree: Node, columns: Mapping[str, Array], n_rows: int) -> Array:
    """The values of an expression, one for each row.

    Parameters
    ----------
    tree : Node
    columns : mapping
        Name -> column of numbers or truth values, each of `n_rows`; constants are found where no column has their name.
    n_rows : int

    Raises
    ------
    ExpressionError
        Where an operator does not work on the values that it meets.
    KeyError
        Where there is no column of a name.
    """
    with np.errstate(all="ignore"):
        settled = _settle(tree, columns, n_rows)
        made: Array | None = None
        for start in range(0, max(n_rows, 1), BLOCK):
            part = {name: values[start : start + BLOCK] for name, values in columns.items()}
            value = _value(settled, part)
            length = min(n_rows - start, BLOCK)
            block = np.broadcast_to(np.asarray(value), (length,))
            if made is None:
                made = np.empty(n_rows, block.dtype)
            elif (common := np.result_type(made.dtype, block.dtype)) != made.dtype:
                # A division of whole numbers by zero somewhere makes all of them floating.
                made = made.astype(common)
            made[start : start + length] = block
    assert made is not None
    return made


def _settle(tree: Node, columns: Mapping[str, Array], n_rows: int) -> Node:
    """The tree with what is one number for the whole column put in its place."""
    parts = tuple(_settle(part, columns, n_rows) for part in tree.parts)
    if tree.kind == "reduce":
        values = evaluate(parts[0], columns, n_rows)
        return Node("number", _reduced(str(tree.value), values))
    return Node(tree.kind, tree.value, parts)


def _reduced(name: str, values: Array) -> float | int:
    if len(values) == 0 or (name.startswith("nan") and np.isnan(values).all()):
        return 0 if name.endswith("sum") else float("nan")
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    wide = (
        {"dtype": np.float64} if values.dtype == np.float32 and name.removeprefix("nan") in ("mean", "sum", "std", "var") else {}
    )
    found: float | int = getattr(np, name)(values, **wide).item()
    return found


def _value(tree: Node, columns: Mapping[str, Array]) -> Value:
    if tree.kind == "number":
        return tree.value
    if tree.kind == "name":
        return _column(str(tree.value), columns)
    values = [_value(part, columns) for part in tree.parts]
    if tree.kind == "call":
        return _called(str(tree.value), values)
    if tree.kind == "unary":
        return _UNARY[str(tree.value)](values[0])
    if tree.kind == "binary":
        return _binary(str(tree.value), *values)
    if tree.kind == "choose":
        return np.where(_truth(values[0]), _number(values[1]), _number(values[2]))
    assert isinstance(tree.value, tuple)
    held: Value = True
    for mark, one, other in zip(tree.value, values, values[1:], strict=False):
        held = np.logical_and(held, _COMPARE[mark](one, other))
    return held


def _column(name: str, columns: Mapping[str, Array]) -> Value:
    if name not in columns:
        if name in CONSTANTS:
            return CONSTANTS[name]
        raise KeyError(name)
    values = columns[name]
    if values.dtype.kind not in "iu" or values.dtype == np.int64:
        return values
    too_large = values.dtype == np.uint64 and values.size and int(values.max()) > _MOST_WHOLE
    return values.astype(np.float64 if too_large else np.int64)


def _is_whole(value: Value) -> bool:
    return value.dtype.kind in "biu" if isinstance(value, (np.ndarray, np.generic)) else isinstance(value, int)


def _is_truth(value: Value) -> bool:
    return value.dtype.kind == "b" if isinstance(value, (np.ndarray, np.generic)) else isinstance(value, bool)


def _number(value: Value) -> Value:
    """Truth values as 0 and 1."""
    if not _is_truth(value):
        return value
    return value.astype(np.int64) if isinstance(value, (np.ndarray, np.generic)) else int(value)


def _truth(value: Value) -> Value:
    return value if _is_truth(value) else np.not_equal(value, 0)


def _float(value: Value) -> Value:
    """Whole numbers as floating ones."""
    if not _is_whole(value):
        return value
    return value.astype(np.float64) if isinstance(value, (np.ndarray, np.generic)) else float(value)


def _plain(value: Value) -> bool:
    return not isinstance(value, np.ndarray)


def _binary(mark: str, one: Value, other: Value) -> Value:
    if mark in ("and", "or"):
        return (np.logical_and if mark == "and" else np.logical_or)(_truth(one), _truth(other))
    if mark in "&|^":
        return _bits(mark, one, other)
    return _arithmetic(mark, _number(one), _number(other))


def _arithmetic(mark: str, one: Value, other: Value) -> Value:
    if mark in ("/", "**") or (mark in ("//", "%") and _is_whole(other) and not np.all(other)):
        one, other = _float(one), _float(other)
    if _plain(one) and _plain(other):
        return _of_numbers(mark, one, other)
    return _ARITHMETIC[mark](one, other)


def _of_numbers(mark: str, one: float | int, other: float | int) -> float | int:
    """Two plain numbers: a plain number again, never one that needs more than 64 bits."""
    if isinstance(one, int) and isinstance(other, int) and abs(one) < _MOST_WHOLE and abs(other) < _MOST_WHOLE:
        exact = {"+": one.__add__, "-": one.__sub__, "*": one.__mul__, "//": one.__floordiv__, "%": one.__mod__}[mark](other)
        if abs(exact) < _MOST_WHOLE:
            return exact
    found: float = _ARITHMETIC[mark](np.float64(one), np.float64(other)).item()
    return found


def _bits(mark: str, one: Value, other: Value) -> Value:
    if not (_is_whole(one) and _is_whole(other)):
        raise ExpressionError(
            f"'{mark}' joins truth values or whole numbers; put comparisons in brackets: (a > 1) {mark} (b < 2)"
        )
    return {"&": np.bitwise_and, "|": np.bitwise_or, "^": np.bitwise_xor}[mark](one, other)


def _inverted(value: Value) -> Value:
    if not _is_whole(value):
        raise ExpressionError("'~' inverts truth values or whole numbers")
    return np.invert(value)


def _called(name: str, values: list[Value]) -> Value:
    if name == "where":
        return np.where(_truth(values[0]), _number(values[1]), _number(values[2]))
    if name in _AS_OPERATOR:
        return _arithmetic(_AS_OPERATOR[name], _number(values[0]), _number(values[1]))
    if name.startswith("logical_"):
        found = getattr(np, name)(*(_truth(value) for value in values))
    else:
        values = [_number(value) for value in values]
        found = _OWN[name](*values) if name in _OWN else getattr(np, name)(*values)
    # A number made of numbers stays one that takes the type of the column that it meets.
    return found.item() if isinstance(found, np.generic) and all(map(_plain, values)) else found


def _whole(value: Value) -> Value:
    """Towards zero, as int() does; what is no finite number, or too large, stays floating."""
    cut = np.trunc(value)
    return cut.astype(np.int64) if np.all(np.abs(cut) < _MOST_WHOLE) else cut


_ARITHMETIC: Mapping[str, Callable[[Value, Value], Value]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "//": np.floor_divide, "%": np.remainder, "**": np.power
}  # fmt: skip
_AS_OPERATOR = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "floor_divide": "//", "mod": "%", "power": "**"
}  # fmt: skip
_COMPARE: Mapping[str, Callable[[Value, Value], Value]] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal
}  # fmt: skip
_UNARY: Mapping[str, Callable[[Value], Value]] = {
    "+": _number,
    "-": lambda value: -_number(value),
    "~": _inverted,
    "not": lambda value: np.logical_not(_truth(value)),
}
_OWN: Mapping[str, Callable[..., Value]] = {
    "float": _float,
    "int": lambda value: value if _is_whole(value) else _whole(value),
    "reciprocal": lambda value: _arithmetic("/", 1.0, value),
    "fmod": lambda one, other: np.fmod(_float(one), _float(other)),
    "square": lambda value: _arithmetic("*", value, value),
    "negative": lambda value: -value,
    "ones_like": np.ones_like,
    "zeros_like": np.zeros_like,
    "clip": lambda value, low, high: np.minimum(np.maximum(value, low), high),
}
