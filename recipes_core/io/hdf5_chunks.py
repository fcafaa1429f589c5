"""Compressed chunks of HDF5, unpacked only as far as they may reach.

The library unpacks a chunk to whatever length its content says: a file of one megabyte can ask for a gigabyte. Chunks that are too
small to do so are left to it.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from recipes_core.errors import FormatError

DEFLATE, SHUFFLE = 1, 2
HARMLESS = 2**18
"""Bytes that deflate cannot unpack to more than 256 MiB."""

Offset = tuple[int, ...]


def filters_of(item: h5py.Dataset) -> list[int]:
    """Numbers of the filters of a dataset, in the order in which they were applied."""
    plist = item.id.get_create_plist()
    return [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]


def require_bounded(path: Path, item: h5py.Dataset, start: int = 0, stop: int | None = None) -> None:
    """Raise FormatError where chunks of the rows `start` to `stop` would unpack to more than their place holds."""
    if item.chunks is None:
        return
    filters = filters_of(item)
    if DEFLATE not in filters:
        return
    if filters.count(DEFLATE) > 1:
        raise FormatError(f"{path}: '{item.name.strip('/')}' is compressed twice; it is refused.", code="D211")
    for offset in _large(item, start, len(item) if stop is None else stop):
        _unpacked(path, item, offset, filters)


def can_unpack(item: h5py.Dataset) -> bool:
    """Whether `read_frames` knows how the frames are stored: one a chunk, deflated, maybe shuffled."""
    whole = item.ndim == 3 and item.chunks == (1, *item.shape[1:])
    return whole and DEFLATE in (filters := filters_of(item)) and filters in ([DEFLATE], [SHUFFLE, DEFLATE])


def read_frames(path: Path, item: h5py.Dataset, start: int, stop: int) -> npt.NDArray[Any]:
    """Frames of a dataset for which `can_unpack` holds."""
    filters = filters_of(item)
    block = np.empty((stop - start, *item.shape[1:]), item.dtype)
    for index in range(start, stop):
        info = item.id.get_chunk_info_by_coord((index, 0, 0))
        if info.byte_offset is None or not info.size:
            block[index - start] = item.fillvalue
            continue
        content = _unpacked(path, item, (index, 0, 0), filters)
        block[index - start] = np.frombuffer(content, item.dtype).reshape(item.shape[1:])
    return block


def _large(item: h5py.Dataset, start: int, stop: int) -> list[Offset]:
    """Chunks of some rows that are not harmless; only those that are stored are looked at, however many a file claims to have."""
    assert item.chunks is not None
    found: list[Offset] = []
    height = item.chunks[0]

    def look(info: Any) -> None:
        first = info.chunk_offset[0]
        if info.size > HARMLESS and first < stop and first + height > start:
            found.append(tuple(info.chunk_offset))

    item.id.chunk_iter(look)
    return found


def _unpacked(path: Path, item: h5py.Dataset, offset: Offset, filters: list[int]) -> bytes | npt.NDArray[Any]:
    """The content of a chunk; what is longer or shorter than its place is refused."""
    assert item.chunks is not None
    size = int(np.prod(item.chunks)) * item.dtype.itemsize
    content: bytes | npt.NDArray[Any]
    skipped, content = item.id.read_direct_chunk(offset)
    for position in reversed(range(len(filters))):
        if skipped & (1 << position):
            continue
        if filters[position] == DEFLATE:
            content = _inflated(path, item, bytes(content), size)
        elif filters[position] == SHUFFLE and len(content) == size:
            width = item.dtype.itemsize
            content = np.ascontiguousarray(np.frombuffer(content, np.uint8).reshape(width, -1).T).reshape(-1)
    if set(filters) <= {DEFLATE, SHUFFLE} and len(content) != size:
        raise FormatError(
            f"{path}: a part of '{item.name.strip('/')}' has {len(content)} bytes in place of {size}; it is damaged."
        )
    found: bytes | npt.NDArray[Any] = content
    return found


def _inflated(path: Path, item: h5py.Dataset, content: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        # A checksum of another filter may follow.
        found = unpacker.decompress(content, size + 64)
    except zlib.error as error:
        raise FormatError(f"{path}: a part of '{item.name.strip('/')}' cannot be unpacked; it is damaged: {error}") from error
    if len(found) > size + 8:
        raise FormatError(
            f"{path}: a part of '{item.name.strip('/')}' would unpack to far more than its place holds; it is refused.",
            code="D211",
        )
    return found
