"""The scalars of YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema), which differ from PyYAML's.

``1e-3`` is a number; ``no``, ``on``, ``12:30`` and dates are text; ``017`` is 17 and ``0o17`` is 15.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any

NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
FLOAT = re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_MAX_LETTERS = 1000  # of a number; Python itself refuses whole numbers of more than 4300 digits


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar.

    Raises
    ------
    ValueError
        For a whole number that is larger than any floating-point number.

    Examples
    --------
    >>> [plain_scalar(text) for text in ("1e-3", "no", "017", "0o17", "~")]
    [0.001, 'no', 17, 15, None]
    """
    if NULL.match(text):
        return None
    if BOOL.match(text):
        return text.casefold() == "true"
    if INT.match(text):
        return _integer(text)
    if FLOAT.match(text):
        return _floating(text.casefold())
    return text


def _integer(text: str) -> int:
    if len(text) <= _MAX_LETTERS:
        value = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if abs(value) <= sys.float_info.max:
            return value
    raise ValueError("the number is too large")


def _floating(text: str) -> float:
    if text.endswith(".inf"):
        return -math.inf if text.startswith("-") else math.inf
    return math.nan if text == ".nan" else float(text)


def is_number(text: str) -> bool:
    """Whether text would be a number if it stood without quotes."""
    return INT.match(text) is not None or FLOAT.match(text) is not None
