"""What all HDF5 formats share: opening with clear errors, and not following links into other files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py

from recipes_core.errors import FormatError

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(head: bytes) -> bool:
    """Whether a file begins like HDF5."""
    return head.startswith(SIGNATURE)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading; what is wrong with it becomes a FormatError."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, MemoryError) as error:
        # h5py words the same damage in many ways; the first line says what matters.
        reason = str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
        raise FormatError(f"{path} is damaged or cut off: {reason}") from error


def own_datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Datasets in the root of a file; links into other files are left alone."""
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            continue
        # Some old datasets have types that h5py refuses only when asked for; opening them is safe.
        item = file[name]
        if isinstance(item, h5py.Dataset) and _has_known_type(item):
            yield name, item


def _has_known_type(item: h5py.Dataset) -> bool:
    try:
        return item.dtype is not None
    except TypeError:  # the HDF5 time type of PYME's old Events
        return False
