"""From the text of an expression to a tree.

The language is the arithmetic of Python with its precedences: numbers, names of columns, ``+ - * / // % **``, comparisons (also
chained), ``and or not & | ^ ~``, ``a if condition else b``, and calls of the functions that are listed here. A name that is no word
stands in back quotes: ```x [nm]```.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

MOST_PARTS = 400
"""Numbers, names and marks of an expression; more would exhaust the stack of Python."""
MOST_LETTERS = 20_000
MOST_DEPTH = 25

CONSTANTS: Mapping[str, float | bool] = MappingProxyType(
    {"pi": math.pi, "e": math.e, "nan": math.nan, "inf": math.inf, "True": True, "False": False}
)

ELEMENTWISE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *(
                    "sqrt",
                    "cbrt",
                    "square",
                    "exp",
                    "exp2",
                    "expm1",
                    "log",
                    "log2",
                    "log10",
                    "log1p",
                    "sin",
                    "cos",
                    "tan",
                    "arcsin",
                ),
                *("arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "abs", "absolute", "fabs", "sign"),
                *("floor", "ceil", "rint", "trunc", "round", "deg2rad", "rad2deg", "radians", "degrees", "isnan", "isfinite"),
                *("isinf", "reciprocal", "negative", "logical_not", "ones_like", "zeros_like", "float", "int"),
            ),
            (1,),
        ),
        **dict.fromkeys(
            (
                *(
                    "arctan2",
                    "hypot",
                    "minimum",
                    "maximum",
                    "fmin",
                    "fmax",
                    "power",
                    "mod",
                    "fmod",
                    "add",
                    "subtract",
                    "multiply",
                ),
                *("divide", "floor_divide", "logical_and", "logical_or", "logical_xor", "copysign"),
            ),
            (2,),
        ),
        "where": (3,),
        "clip": (3,),
    }
)
"""Functions of each row -> how many arguments they take."""

REDUCTIONS = frozenset(
    (
        "min",
        "max",
        "mean",
        "median",
        "sum",
        "std",
        "var",
        "nanmin",
        "nanmax",
        "nanmean",
        "nanmedian",
        "nansum",
        "nanstd",
        "nanvar",
    )
)
"""Functions of a whole column that give one number."""

FUNCTIONS: Mapping[str, tuple[int, ...]] = MappingProxyType({**ELEMENTWISE, **dict.fromkeys(REDUCTIONS, (1,))})


class ExpressionError(ValueError):
    """A text that is no expression of this language; the message says where and why."""


@dataclass(frozen=True)
class Node:
    """A part of an expression.

    Parameters
    ----------
    kind : str
        ``number``, ``name``, ``call``, ``reduce``, ``unary``, ``binary``, ``compare`` or ``choose``.
    value : object
        The number, the name, the function or the operators.
    parts : tuple of Node
    """

    kind: str
    value: float | int | bool | str | tuple[str, ...]
    parts: tuple[Node, ...] = ()


_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    |(?P<quoted>`[^`\n]+`)
    |(?P<name>(?:(?:np|numpy)\.)?[^\W\d]\w*)
    |(?P<mark>\*\*|//|<=|>=|==|!=|[-+*/%<>&|^~(),])
    )""",
    re.VERBOSE,
)
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_WORDS = ("and", "or", "not", "if", "else")
_REFUSED = ("lambda", "for", "in", "is", "import", "await", "yield", "None", "while", "def", "class", "del", "with", "async")
# Binary operators from weak to strong; those of one level are taken from the left.
_LEVELS = (("|",), ("^",), ("&",), ("+", "-"), ("*", "/", "//", "%"))


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises
    ------
    ExpressionError
        Where the text is none.
    """
    if len(text) > MOST_LETTERS:
        raise ExpressionError(f"it has {len(text):,} letters, more than the {MOST_LETTERS:,} that an expression may have")
    tokens = list(islice(_tokens(text), MOST_PARTS + 1))
    if len(tokens) > MOST_PARTS:
        raise ExpressionError(f"it is longer than an expression may be ({MOST_PARTS} numbers, names and marks)")
    parser = _Parser(tokens)
    tree = parser.choice()
    if parser.kind != "end":
        raise ExpressionError(f"'{parser.text}' is not expected there")
    return tree


def names_in(tree: Node) -> set[str]:
    """Names that an expression takes: columns, and constants that no column hides."""
    own = {str(tree.value)} if tree.kind == "name" else set()
    return own.union(*(names_in(part) for part in tree.parts))


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise ExpressionError(_refusal(text[at:].lstrip()))
        kind = str(found.lastgroup)
        token = found.group(kind)
        at = found.end()
        if kind == "name":
            if text[at : at + 1] == ".":
                raise ExpressionError(f"'{token}.' reads an attribute, which is not possible; write sqrt(x), not x.sqrt()")
            if token in _REFUSED:
                raise ExpressionError(f"'{token}' is no part of expressions over columns")
            if token in _WORDS:
                kind = "mark"
        yield kind, token.strip("`") if kind == "quoted" else token
    yield "end", "the end"


def _refusal(rest: str) -> str:
    letter = rest[:1]
    if letter in "'\"":
        return "text in quotes is not possible; a column whose name is no word stands in back quotes"
    if letter in "[{":
        return f"'{letter}' is not possible: there are no lists and no indices"
    if letter == ".":
        return "'.' reads an attribute, which is not possible"
    if letter == "=":
        return "'=' is not possible; '==' compares"
    if letter.isdigit():
        return f"'{rest.split(maxsplit=1)[0][:20]}' is no number"
    return f"'{letter}' is not possible"


class _Parser:
    """Reads tokens from left to right; one method for each level of precedence."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def text(self) -> str:
        return self.tokens[self.at][1]

    def _take(self, *marks: str) -> str:
        """The mark, if it comes next."""
        if self.kind == "mark" and self.text in marks:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def _need(self, mark: str) -> None:
        if not self._take(mark):
            raise ExpressionError(f"'{mark}' is missing before {self._here()}")

    def _here(self) -> str:
        return self.text if self.kind == "end" else f"'{self.text}'"

    def choice(self) -> Node:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise ExpressionError(f"it is nested more than {MOST_DEPTH} times")
        value = self._either()
        if self._take("if"):
            condition = self._either()
            self._need("else")
            value = Node("choose", "", (condition, value, self.choice()))
        self.depth -= 1
        return value

    def _either(self) -> Node:
        return self._joined("or", lambda: self._joined("and", self._negated))

    def _joined(self, word: str, operand: Callable[[], Node]) -> Node:
        value = operand()
        while self._take(word):
            value = Node("binary", word, (value, operand()))
        return value

    def _negated(self) -> Node:
        count = 0
        while self._take("not"):
            count += 1
        value = self._compared()
        for _ in range(min(count, 2 + count % 2)):  # of many the rest cancel out
            value = Node("unary", "not", (value,))
        return value

    def _compared(self) -> Node:
        parts, marks = [self._level(0)], []
        while mark := self._take(*_COMPARISONS):
            marks.append(mark)
            parts.append(self._level(0))
        return Node("compare", tuple(marks), tuple(parts)) if marks else parts[0]

    def _level(self, number: int) -> Node:
        if number == len(_LEVELS):
            return self._signed()
        value = self._level(number + 1)
        while mark := self._take(*_LEVELS[number]):
            value = Node("binary", mark, (value, self._level(number + 1)))
        return value

    def _signed(self) -> Node:
        marks = []
        while mark := self._take("+", "-", "~"):
            marks.append(mark)
        if len(marks) > MOST_DEPTH:
            raise ExpressionError(f"it has {len(marks)} signs in a row")
        value = self._power()
        for mark in reversed(marks):
            value = Node("unary", mark, (value,))
        return value

    def _power(self) -> Node:
        value = self._atom()
        if self._take("**"):
            self.depth += 1
            if self.depth > MOST_DEPTH:
                raise ExpressionError(f"it is nested more than {MOST_DEPTH} times")
            value = Node("binary", "**", (value, self._signed()))
            self.depth -= 1
        return value

    def _atom(self) -> Node:
        kind, text = self.kind, self.text
        if kind == "number":
            self.at += 1
            return Node("number", _number(text))
        if kind == "quoted":
            self.at += 1
            return Node("name", text)
        if kind == "name":
            self.at += 1
            return self._call(text) if self._take("(") else _name(text)
        if self._take("("):
            value = self.choice()
            self._need(")")
            return value
        raise ExpressionError(f"{self._here()} is not expected there; a number or a column is missing")

    def _call(self, written: str) -> Node:
        name = written.rpartition(".")[2]
        if name not in FUNCTIONS:
            raise ExpressionError(f"there is no function '{written}'; there are {', '.join(sorted(FUNCTIONS))}")
        parts = []
        while True:
            parts.append(self.choice())
            if not self._take(","):
                break
        self._need(")")
        # As in numpy, min(a, b) would take b for an axis; the smaller of two columns is minimum(a, b).
        if len(parts) not in FUNCTIONS[name]:
            more = f"; {name}imum(a, b) takes two" if name in ("min", "max") else ""
            wanted = "1 value" if FUNCTIONS[name] == (1,) else f"{FUNCTIONS[name][0]} values"
            raise ExpressionError(f"{name} takes {wanted}, not {len(parts)}{more}")
        return Node("reduce" if name in REDUCTIONS else "call", name, tuple(parts))


def _name(written: str) -> Node:
    prefix, _, name = written.rpartition(".")
    if prefix and name not in CONSTANTS:
        raise ExpressionError(f"'{written}' is no constant; there are {', '.join(CONSTANTS)}")
    return Node("name", name)


def _number(text: str) -> float | int:
    plain = text.replace("_", "")
    if plain.isascii() and plain.isdigit() and len(plain) < 19:
        return int(plain)
    return float(plain)
