"""The manifest of an entry: what it holds, written last and checked first.

The file is ``{"check":"<blake3 of the body>","body":<body>}``, so that its integrity is known before anything is parsed.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from recipes_core.cache.canonical import from_stored, to_stored
from recipes_core.cache.npy import describe_dtype, dtype_from, header_of, nbytes_of, shape_from
from recipes_core.cache.provenance import unpack_history
from recipes_core.data import HistoryEntry

NAME = "manifest.json"
_LARGEST = 64 * 2**20
_HEAD = b'{"check":"'
_MIDDLE = b'","body":'


class Damaged(Exception):
    """An entry is not what its manifest says, or has none that can be read."""


@dataclass(frozen=True)
class StoredArray:
    """One array of an entry.

    Parameters
    ----------
    name : str
    dtype : dtype
    shape : tuple of int
    digest : str
        blake3 of its bytes in C order.
    file : str
        Name of its .npy file; empty where it is kept in the manifest.
    data : bytes
        Its bytes where they are kept in the manifest.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    digest: str
    file: str = ""
    data: bytes = b""

    @property
    def file_size(self) -> int:
        """Bytes that the file must have."""
        return len(header_of(self.dtype, self.shape)) + nbytes_of(self.dtype, self.shape)

    def inline(self) -> npt.NDArray[Any]:
        """The array that is kept in the manifest, read-only."""
        return np.frombuffer(self.data, self.dtype).reshape(self.shape) if self.data else np.empty(self.shape, self.dtype)


@dataclass(frozen=True)
class Manifest:
    """What is known about an entry without reading its arrays.

    Parameters
    ----------
    key : str
        Under which it is kept.
    kind : str
        Registered name of its type.
    digest : str
        `recipes_core.cache.payload_digest` of the object.
    nbytes : int
        Bytes of its arrays.
    seconds : float
        How long it took to compute.
    step, module, port : str
        What made it.
    note : dict
        Free plain values of whoever published it.
    versions : dict
        Versions of the libraries at the time.
    created : str
        Time, ISO 8601 with its zone.
    arrays : tuple of StoredArray
    spec, metadata : dict
    history_text : bytes
        The history as `recipes_core.cache.provenance.pack_history` writes it.
    """

    key: str
    kind: str
    digest: str
    nbytes: int
    seconds: float
    step: str
    module: str
    port: str
    note: dict[str, Any]
    versions: dict[str, str]
    created: str
    arrays: tuple[StoredArray, ...] = ()
    spec: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    history_text: bytes = b"[]"

    @property
    def history(self) -> tuple[HistoryEntry, ...]:
        """How the object was made, oldest first; raises Damaged where that cannot be read."""
        try:
            return unpack_history(self.history_text)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Damaged(f"its history cannot be read: {error}") from error

    @property
    def files(self) -> dict[str, int]:
        """Name -> size of every file beside the manifest."""
        return {array.file: array.file_size for array in self.arrays if array.file}

    def to_bytes(self) -> bytes:
        """The text of the file.

        Raises
        ------
        TypeError
            Where metadata or note hold something that is not plain.
        """
        plain = {name: getattr(self, name) for name in _PLAIN_FIELDS}
        body = to_stored({**plain, "arrays": [_array_record(array) for array in self.arrays]})
        return _HEAD + blake3(body).hexdigest().encode() + _MIDDLE + body + b"}"

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Read the text of the file.

        Raises
        ------
        Damaged
            Where it is not what `to_bytes` wrote.
        """
        start = len(_HEAD) + 64 + len(_MIDDLE)
        body = content[start:-1]
        head = _HEAD + blake3(body).hexdigest().encode() + _MIDDLE
        if content[:start] != head or content[-1:] != b"}":
            raise Damaged("its manifest is damaged")
        try:
            return cls._from_plain(from_stored(json.loads(body)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
            raise Damaged(f"its manifest says what cannot be: {error}") from error

    @classmethod
    def _from_plain(cls, plain: Mapping[str, Any]) -> Manifest:
        values = {name: _typed(plain[name], kind, name) for name, kind in _PLAIN_FIELDS.items()}
        arrays = tuple(_array_from(record, number) for number, record in enumerate(plain["arrays"]))
        if values["nbytes"] != sum(nbytes_of(array.dtype, array.shape) for array in arrays):
            raise ValueError("its size is not that of its arrays")
        return cls(**values, arrays=arrays)


_PLAIN_FIELDS: dict[str, type] = {
    "key": str,
    "kind": str,
    "digest": str,
    "nbytes": int,
    "seconds": float,
    "step": str,
    "module": str,
    "port": str,
    "note": dict,
    "versions": dict,
    "created": str,
    "spec": dict,
    "metadata": dict,
    "history_text": bytes,
}


def _typed(value: Any, kind: type, name: str) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{name} is no {kind.__name__}")
    return value


def _array_record(array: StoredArray) -> dict[str, Any]:
    description = json.loads(json.dumps(describe_dtype(array.dtype)))
    record = {"name": array.name, "dtype": description, "shape": list(array.shape), "digest": array.digest}
    if array.file:
        return {**record, "file": array.file}
    return {**record, "data": base64.b64encode(array.data).decode("ascii")}


def _array_from(record: Mapping[str, Any], number: int) -> StoredArray:
    dtype, shape = dtype_from(record["dtype"]), shape_from(record["shape"])
    name, digest = _typed(record["name"], str, "name"), _typed(record["digest"], str, "digest")
    if "file" in record:
        if record["file"] != file_name(number):
            raise ValueError("a file has another name than it must have")
        return StoredArray(name, dtype, shape, digest, file=file_name(number))
    data = base64.b64decode(record["data"], validate=True)
    if len(data) != nbytes_of(dtype, shape):
        raise ValueError(f"array '{name}' has {len(data)} bytes, not {nbytes_of(dtype, shape)}")
    return StoredArray(name, dtype, shape, digest, data=data)


def file_name(number: int) -> str:
    """Name of the file of an array; names of columns may hold anything, these do not."""
    return f"{number}.npy"


def read_manifest(folder: Path, key: str) -> tuple[Manifest, tuple[tuple[int, int, int], ...]] | None:
    """The manifest of an entry, after comparing the sizes of all files.

    Returns
    -------
    (Manifest, state) or None
        None where there is no such entry. The state changes when a file does.

    Raises
    ------
    Damaged
        Where it cannot be read, or a file is missing or of another size.
    PermissionError
        Where it belongs to somebody else.
    """
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise Damaged("it is no folder")
    except (FileNotFoundError, NotADirectoryError):
        return None
    found = _regular_file(folder / NAME)
    if found.st_size > _LARGEST:
        raise Damaged(f"its manifest has {found.st_size} bytes")
    try:
        manifest = Manifest.from_bytes((folder / NAME).read_bytes())
    except PermissionError:
        raise
    except OSError as error:
        raise Damaged(f"its manifest cannot be read: {error.strerror}") from error
    if manifest.key != key:
        raise Damaged("it belongs to another key")
    states = [(found.st_ino, found.st_size, 0)]
    for name, size in manifest.files.items():
        found = _regular_file(folder / name)
        if found.st_size != size:
            raise Damaged(f"{name} has {found.st_size} bytes, not {size}")
        states.append((found.st_ino, found.st_size, found.st_mtime_ns))
    return manifest, tuple(states)


def _regular_file(path: Path) -> os.stat_result:
    """State of a file that must be one: a link could lead anywhere, a pipe would never answer."""
    try:
        found = path.lstat()
    except FileNotFoundError as error:
        raise Damaged(f"{path.name} is missing") from error
    except PermissionError:
        raise
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise Damaged(f"{path.name} is no file")
    return found
