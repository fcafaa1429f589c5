"""What all HDF5 formats share: opening with clear errors, and reading nothing but the file itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from recipes_core.errors import FormatError
from recipes_core.io.hdf5_chunks import require_bounded

DAMAGED = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What h5py raises where a file is damaged; names that are no UTF-8 are a ValueError."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_COMPRESSED = 2000
"""How many times smaller than its content a dataset may be on disk; the compressors of HDF5 reach about 1000."""
TABLES_COMPRESSED = 200
"""The same for tables, which are read as a whole; those of molecules shrink to a tenth at best."""
_SMALL = 64 * 2**20
_SMALL_TABLE = 256 * 2**20
_LARGEST_ATTRIBUTE = 2**26


def is_hdf5(head: bytes) -> bool:
    """Whether a file begins like HDF5."""
    return head.startswith(SIGNATURE)


def answers(path: Path, question: Callable[[h5py.File], bool]) -> bool:
    """What a file says to a question of a reader; False where it is damaged, so that the reader of all HDF5 files says so."""
    try:
        with h5py.File(path, "r") as file:
            return question(file)
    except DAMAGED:
        return False


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading; what is wrong with it becomes a FormatError."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FormatError:
        raise
    except (*DAMAGED, MemoryError) as error:
        # h5py words the same damage in many ways; the first line says what matters.
        reason = str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
        raise FormatError(f"{path} is damaged or cut off: {reason}") from error


def own_dataset(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """A dataset whose values stand in this file, of a type that h5py knows; None otherwise.

    Links, virtual datasets and external storage make HDF5 read other files, which a data file must not make us do.
    """
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        return None
    item = group[name]
    # Some old datasets have types that h5py refuses only when asked for; opening them is safe.
    if not isinstance(item, h5py.Dataset) or not _has_known_type(item):
        return None
    return None if item.is_virtual or item.external else item


def own_attribute(item: h5py.Group | h5py.Dataset, name: str, default: Any = None) -> Any:
    """An attribute, or `default` where there is none.

    Raises
    ------
    ValueError
        Where its type is damaged, or it is larger than an attribute can be.
    """
    if name not in item.attrs:
        return default
    stored = item.attrs.get_id(name)
    if not _holds_its_parts(stored.get_type()) or not _lies_apart(stored.dtype):
        raise ValueError("its type is damaged")
    if stored.get_storage_size() > _LARGEST_ATTRIBUTE:
        raise ValueError("it is larger than an attribute can be")
    return item.attrs[name]


def own_datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Datasets in the root of a file; what stands in other files is left alone."""
    for name in file:
        item = own_dataset(file, name)
        if item is not None:
            yield name, item


def require_stored(path: Path, item: h5py.Dataset, *, lazy: bool = False) -> None:
    """Raise FormatError where a dataset claims to hold far more than the file can hold.

    Parameters
    ----------
    lazy : bool
        Whether it is read in parts; such data may be compressed as far as HDF5 can.
    """
    stored = item.id.get_storage_size()
    if item.nbytes > (_SMALL + MOST_COMPRESSED * stored if lazy else _SMALL_TABLE + TABLES_COMPRESSED * stored):
        raise FormatError(
            f"{path}: '{item.name.strip('/')}' claims to hold {item.nbytes / 2**30:.1f} GiB, but the file holds {stored} bytes of it."
        )
    if not lazy:
        require_bounded(path, item)


def _has_known_type(item: h5py.Dataset) -> bool:
    try:
        return item.dtype is not None and _lies_apart(item.dtype) and _holds_its_parts(item.id.get_type())
    except TypeError:  # the HDF5 time type of PYME's old Events
        return False


def _lies_apart(dtype: np.dtype[Any]) -> bool:
    """Whether the fields of a type do not overlap; converting such that do makes the library write where it must not."""
    if dtype.subdtype is not None:
        return _lies_apart(dtype.base)
    if dtype.names is None:
        return True
    assert dtype.fields is not None
    places = sorted(((offset, part) for part, offset, *_ in dtype.fields.values()), key=lambda place: place[0])
    ends = [offset + part.itemsize for offset, part in places]
    starts = [offset for offset, _ in places[1:]] + [dtype.itemsize]
    return all(end <= start for end, start in zip(ends, starts, strict=True)) and all(_lies_apart(part) for _, part in places)


def _holds_its_parts(stored: h5py.h5t.TypeID) -> bool:
    """The same of the type as the file stores it."""
    if isinstance(stored, h5py.h5t.TypeArrayID):
        return _holds_its_parts(stored.get_super())
    if not isinstance(stored, h5py.h5t.TypeCompoundID):
        return True
    members = [(stored.get_member_offset(k), stored.get_member_type(k)) for k in range(stored.get_nmembers())]
    places = sorted((offset, offset + part.get_size()) for offset, part in members)
    starts = [start for start, _ in places[1:]] + [stored.get_size()]
    return all(end <= start for (_, end), start in zip(places, starts, strict=True)) and all(
        _holds_its_parts(part) for _, part in members
    )
