"""Arrays as .npy files whose header is known beforehand.

The manifest says type and shape, and from these follows every byte of the header. Reading compares the header and parses
nothing, so a file can neither ask for an unpickling nor for more memory than it has bytes.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_ALIGN = 64


def describe_dtype(dtype: np.dtype[Any]) -> Any:
    """The type as plain values, byte order included."""
    return dtype.str if dtype.names is None and dtype.subdtype is None else np.lib.format.dtype_to_descr(dtype)


def dtype_from(description: Any) -> np.dtype[Any]:
    """Inverse of `describe_dtype` for parsed JSON.

    Raises
    ------
    ValueError
        Where it is no type, or one that holds Python objects or nothing at all.
    """
    try:
        dtype = np.lib.format.descr_to_dtype(_descr(description))
    except (TypeError, SyntaxError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(f"{description!r} is no type of an array") from error
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"arrays of {dtype} are refused")
    return dtype


def _descr(description: Any) -> Any:
    """JSON has no tuples; the description of a type with fields is a list of them."""
    if isinstance(description, str):
        return description
    # A field may have a title beside its name; then the two are a pair.
    names = [tuple(field[0]) if isinstance(field[0], list) else field[0] for field in description]
    return [
        (name, _descr(field[1]), *(tuple(part) for part in field[2:])) for name, field in zip(names, description, strict=True)
    ]


def shape_from(plain: Any) -> tuple[int, ...]:
    """A shape out of parsed JSON; ValueError where it is none."""
    if not isinstance(plain, list) or len(plain) > 32 or not all(type(n) is int and 0 <= n < 2**62 for n in plain):
        raise ValueError(f"{str(plain)[:80]} is no shape of an array")
    return tuple(plain)


def nbytes_of(dtype: np.dtype[Any], shape: Sequence[int]) -> int:
    """Size of the data in bytes, exact for any shape."""
    return math.prod(shape) * dtype.itemsize


def header_of(dtype: np.dtype[Any], shape: Sequence[int]) -> bytes:
    """The header of the file, a multiple of 64 bytes long.

    Raises
    ------
    ValueError
        Where a type has so many fields that they do not fit.
    """
    description = describe_dtype(dtype)
    text = f"{{'descr': {description!r}, 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    content = text.encode("utf-8")
    # Version 3 is version 2 in UTF-8; version 1 is what every reader knows.
    version, width = (b"\x01\x00", 2) if content.isascii() and len(content) < 65000 else (b"\x03\x00", 4)
    start = len(b"\x93NUMPY") + 2 + width
    content += b" " * (-(start + len(content) + 1) % _ALIGN) + b"\n"
    if len(content) > 2**20:
        raise ValueError("the type has too many fields")
    return b"\x93NUMPY" + version + len(content).to_bytes(width, "little") + content


def map_npy(path: Path, dtype: np.dtype[Any], shape: Sequence[int]) -> npt.NDArray[Any]:
    """A read-only memory map of a file that must hold exactly this type and shape.

    Raises
    ------
    ValueError
        Where its size or header are others.
    OSError
        Where it cannot be opened.
    """
    header = header_of(dtype, shape)
    size = len(header) + nbytes_of(dtype, shape)
    with path.open("rb") as stream:
        if stream.seek(0, 2) != size:
            raise ValueError(f"{path.name} has {stream.tell()} bytes, not {size}")
        stream.seek(0)
        if stream.read(len(header)) != header:
            raise ValueError(f"{path.name} has another header")
        if size == len(header):
            return _frozen(np.empty(shape, dtype))
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return _frozen(np.ndarray(tuple(shape), dtype, buffer=mapped, offset=len(header)))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
