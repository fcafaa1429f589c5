"""Plain values as JSON that is the same in every process, and back.

Two forms share one notation. The canonical form serves keys: sorted, strict, lists and tuples alike. The stored form serves
metadata and history: it keeps order and tuples, and also takes bytes, dates and small arrays, so that what is read back
equals what was written. What JSON cannot say is a mapping with one key that begins with ``~``; keys of users that begin with
``~`` get a second one, so no two values share a text.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
from blake3 import blake3

_DEEPEST = 100
_SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_ORDERED = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_AS_IT_IS = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str})
Encoder = Callable[[Any, int], Any]


def canonical_json(value: Any) -> bytes:
    """The one text of a plain value.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, numpy scalars of these kinds, and lists, tuples and mappings with text keys of them.

    Returns
    -------
    bytes
        ASCII. ``1``, ``1.0`` and ``True`` differ, ``[1]`` and ``(1,)`` do not; NaN and infinity are written out.

    Raises
    ------
    TypeError
        Where it holds anything else.

    Examples
    --------
    >>> canonical_json({"b": (1, 2.0), "a": float("nan")})
    b'{"a":{"~float":"nan"},"b":[1,2.0]}'
    """
    return _dump(_strict(value, 0), sort=True)


def digest_of(value: Any) -> str:
    """blake3 of `canonical_json`, 64 hexadecimal digits."""
    return str(blake3(canonical_json(value)).hexdigest())


def to_stored(value: Any) -> bytes:
    """A value as JSON from which `from_stored` makes an equal one.

    Raises
    ------
    TypeError
        Where it holds something that is not plain, such as an object of a class.
    """
    return _dump(_lenient(value, 0), sort=False)


def from_stored(plain: Any) -> Any:
    """The value behind parsed JSON that `to_stored` wrote."""
    if isinstance(plain, list):
        return [from_stored(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) == 1:
        mark, content = next(iter(plain.items()))
        if mark in _DECODERS:
            return _DECODERS[mark](content)
    return {name.removeprefix("~"): from_stored(item) for name, item in plain.items()}


def _dump(plain: Any, *, sort: bool) -> bytes:
    return (_SORTED if sort else _ORDERED).encode(plain).encode("ascii")


def _strict(value: Any, depth: int) -> Any:
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, tuple):
        value = list(value)
    return _encode(value, depth, _strict)


def _lenient(value: Any, depth: int) -> Any:
    if type(value) in _AS_IT_IS:  # most are
        return value
    if isinstance(value, tuple):
        return {"~tuple": [_lenient(item, depth + 1) for item in value]}
    if isinstance(value, (bytes, bytearray)):
        return {"~bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (date, datetime)):
        return {"~datetime" if isinstance(value, datetime) else "~date": value.isoformat()}
    if isinstance(value, (complex, np.complexfloating)):
        return {"~complex": [_lenient(float(value.real), depth), _lenient(float(value.imag), depth)]}
    if isinstance(value, (set, frozenset)):
        items = sorted(value, key=lambda item: (type(item).__name__, item))
        return {"~set": [_lenient(item, depth + 1) for item in items]}
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, Mapping) and not (set(map(type, value)) <= _TEXT or all(isinstance(name, str) for name in value)):
        return {"~map": [[_lenient(name, depth + 1), _lenient(item, depth + 1)] for name, item in value.items()]}
    return _encode(value, depth, _lenient)


def _encode(value: Any, depth: int, inner: Encoder) -> Any:
    if depth > _DEEPEST:
        raise TypeError(f"values are nested more than {_DEEPEST} deep")
    if isinstance(value, np.generic):
        value = _python_scalar(value)
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"~float": repr(float(value))}
    if isinstance(value, list):
        return [inner(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {_name(name): inner(item, depth + 1) for name, item in value.items()}
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} is no plain value")


def _python_scalar(value: np.generic) -> Any:
    plain = value.item()
    if value.dtype.kind not in "biufUS" or isinstance(plain, np.generic):
        raise TypeError(f"a numpy {value.dtype} is no plain value")
    return plain


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the key {name!r} of a mapping is a {type(name).__qualname__}, not text")
    return "~" + name if name.startswith("~") else str(name)


def _array(value: np.ndarray[Any, Any]) -> dict[str, Any]:
    if value.dtype.kind not in "biufcUS":
        raise TypeError(f"an array of {value.dtype} is no plain value")
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
    return {"~array": [value.dtype.str, list(value.shape), data]}


def _decode_array(content: list[Any]) -> Any:
    kind, shape, data = content
    dtype = np.dtype(kind)
    if dtype.kind not in "biufcUS":
        raise ValueError(f"an array of {kind}")
    return np.frombuffer(base64.b64decode(data, validate=True), dtype).reshape(shape).copy()


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "~float": float,
    "~tuple": lambda content: tuple(from_stored(item) for item in content),
    "~bytes": lambda content: base64.b64decode(content, validate=True),
    "~date": date.fromisoformat,
    "~datetime": datetime.fromisoformat,
    "~complex": lambda content: complex(from_stored(content[0]), from_stored(content[1])),
    "~set": lambda content: {from_stored(item) for item in content},
    "~map": lambda content: {from_stored(name): from_stored(item) for name, item in content},
    "~array": _decode_array,
}
