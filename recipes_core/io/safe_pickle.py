"""Reads the pickles in PYME metadata: containers, numbers, text and numpy values, and nothing else. Nothing is executed."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

MOST_BYTES = 2**20
MOST_SHARED = 12
"""How often large values may be used again. A few dozen bytes that use each list twice in the next describe more than memory holds."""
_LONG = 1000
_MOST_BITS = 4096
_PLAIN = {"dict": dict, "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "complex": complex,
          "str": str, "unicode": str, "int": int, "long": int, "float": float, "bool": bool}  # fmt: skip
_NUMPY_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")


class Refused(ValueError):
    """A pickle names something that is not allowed; the message is its name."""


class _Array:
    """Stands for numpy's array while it is put together; checks what it is given."""

    def __init__(self) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        try:
            _, shape, dtype, fortran, data = state
            kind = _checked(dtype)
            if not isinstance(data, bytes):
                data = str(data).encode("latin-1")
            if len(shape) > 8 or any(n > len(data) for n in shape):
                raise Refused("an array larger than its content")
            self.value = np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C")
        except Refused:
            raise
        except (TypeError, ValueError) as error:
            raise Refused("an array that is not numeric") from error


class _Dtype:
    """Stands for numpy's dtype: only plain numbers and text of fixed length."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.value = np.dtype(str(code))
        if self.value.kind not in "biufcSU":
            raise Refused(f"numpy.dtype {code}")

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


def _checked(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, _Dtype):
        raise Refused("an array of unknown type")
    return dtype.value


def _scalar(dtype: Any, data: Any = b"") -> Any:
    kind = _checked(dtype)
    raw = data if isinstance(data, bytes) else str(data).encode("latin-1")
    return np.frombuffer(raw, kind, count=1)[0].item()


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: Any, coding: Any = "latin1") -> bytes:
    if coding not in ("latin1", "latin-1", "utf-8", "ascii") or not isinstance(text, str):
        raise Refused(f"_codecs.encode to {coding}")
    return text.encode(coding)


def _bytes(content: Any = (), coding: Any = "latin1") -> bytes:
    # bytes(10**12) would fill the memory.
    if isinstance(content, str):
        return _encode(content, coding)
    if isinstance(content, (list, tuple, bytes)):
        return bytes(content)
    raise Refused("bytes of a number")


class _Memo(dict[int, Any]):
    """What a pickle has named so far; counts how often large values are fetched."""

    def __init__(self) -> None:
        self.fetched = 0

    def __getitem__(self, index: int) -> Any:
        value = super().__getitem__(index)
        if isinstance(value, (list, tuple, dict, set, frozenset, _Array)) or (
            isinstance(value, (str, bytes)) and len(value) > _LONG
        ):
            self.fetched += 1
            if self.fetched > MOST_SHARED:
                raise Refused("a value that contains itself many times")
        return value


# The one in Python: that in C gives memory to whatever index a hostile memo names.
class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined,misc]
    dispatch = {**pickle._Unpickler.dispatch}  # type: ignore[attr-defined]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.memo = _Memo()

    def load_dup(self) -> NoReturn:
        # No pickler writes it, and it multiplies as the memo does.
        raise Refused("a value that is duplicated")

    dispatch[pickle.DUP[0]] = load_dup  # type: ignore[assignment]

    def find_class(self, module: str, name: str) -> Any:
        if module in ("builtins", "__builtin__") and name in _PLAIN:
            return _PLAIN[name]
        allowed: dict[tuple[str, str], Callable[..., Any]] = {
            ("_codecs", "encode"): _encode,
            **{(builtins, "bytes"): _bytes for builtins in ("builtins", "__builtin__")},
            ("numpy", "dtype"): _Dtype,
            ("numpy", "ndarray"): _Array,
            **{(core, "scalar"): _scalar for core in _NUMPY_CORES},
            **{(core, "_reconstruct"): _reconstruct for core in _NUMPY_CORES},
        }
        if (module, name) in allowed:
            return allowed[module, name]
        raise Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise Refused("a persistent object")


def loads(content: bytes) -> Any:
    """The value of a pickle.

    Raises
    ------
    Refused
        Where it names a class or function that is not allowed, or is too large. Nothing was executed.
    ValueError
        Where it is no pickle.
    """
    if len(content) > MOST_BYTES:
        raise Refused(f"a value of {len(content)} bytes")
    try:
        return _finished(_Unpickler(content).load())
    except Refused:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ValueError(f"no readable pickle: {error}") from error


def looks_like_pickle(content: bytes) -> bool:
    """Whether bytes are worth trying: pickles end in a full stop, protocol 0 is text, later ones begin with 0x80."""
    return (
        len(content) > 1
        and content.rstrip(b"\0").endswith(b".")
        and (content[:1] in b"(cIFLSVNd]}l\x80K" or content[:2] == b"I0")
    )


def _finished(value: Any, depth: int = 0) -> Any:
    """Stand-ins replaced by what they stand for."""
    if depth > 50:
        raise Refused("a value that is nested too deep")
    if isinstance(value, (_Array, _Dtype)):
        return value.value
    if isinstance(value, dict):
        return {_finished(key, depth + 1): _finished(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(_finished(item, depth + 1) for item in value)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise Refused("a number of thousands of digits")
    return value
