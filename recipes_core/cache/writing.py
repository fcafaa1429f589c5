"""Writing an entry: arrays are hashed on their way to the disk and flushed while the next one is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3

from recipes_core.cache.layout import flush_folder
from recipes_core.cache.manifest import NAME, StoredArray, file_name
from recipes_core.cache.npy import header_of, nbytes_of
from recipes_core.cache.payload import data_blocks
from recipes_core.data import Packed
from recipes_core.errors import NotCacheable

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

INLINE = 32 * 2**10
"""Arrays of an entry are kept in the manifest as long as they have no more bytes than this together."""

_INLINE_EACH = 4 * 2**10
_WORTH_A_THREAD = 2**20


def write_arrays(folder: Path, packed: Packed) -> tuple[StoredArray, ...]:
    """Write the arrays of an object; small ones are kept for the manifest.

    Raises
    ------
    OSError
        Where the disk does not take them.
    NotCacheable
        Where an array cannot be stored.
    """
    inline = _inline_names(packed)
    stored: list[StoredArray] = []
    with _Helpers() as helpers:
        for number, (name, values) in enumerate(packed.arrays.items()):
            # A source may count in numpy's integers, which read differently in a header.
            dtype, shape = np.dtype(values.dtype), tuple(int(n) for n in values.shape)
            if dtype.hasobject or not dtype.itemsize:
                raise NotCacheable(f"'{name}' of type {dtype} cannot be kept in the cache")
            if name in inline:
                data = b"".join(data_blocks(values))
                stored.append(StoredArray(name, dtype, shape, blake3(data).hexdigest(), data=data))
                continue
            digest = _write_array(folder / file_name(number), dtype, shape, data_blocks(values), helpers)
            stored.append(StoredArray(name, dtype, shape, digest, file=file_name(number)))
    return tuple(stored)


def write_manifest(folder: Path, content: bytes, *, alone: bool) -> None:
    """Write the manifest, the last file of an entry, and bring the names in the folder to the disk.

    Parameters
    ----------
    alone : bool
        Whether it is the only file. Its name then goes without a flush of its own: an entry that lost it to a power cut has no
        manifest and counts as damaged, which costs time only, and flushing twice would double the price of small results.
    """
    descriptor = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        _write_all(descriptor, memoryview(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if not alone:
        flush_folder(folder)


def _inline_names(packed: Packed) -> set[str]:
    sizes = {name: nbytes_of(np.dtype(values.dtype), values.shape) for name, values in packed.arrays.items()}
    if sum(sizes.values()) <= INLINE:
        return set(sizes)
    room, chosen = INLINE, set()
    for name, size in sizes.items():
        if size <= min(_INLINE_EACH, room):
            chosen.add(name)
            room -= size
    return chosen


class _Helpers:
    """Threads that hash blocks and flush files; at the end everything is on the disk, or an error is raised."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pending: list[Future[None]] = []

    def __enter__(self) -> _Helpers:
        return self

    def _threads(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        if self._pool is None:
            # Two flush, which is waiting; one hashes.
            self._pool = ThreadPoolExecutor(3, thread_name_prefix="cache")
        return self._pool

    def flush_and_close(self, descriptor: int) -> None:
        """Bring a file to the disk in the background."""
        self._pending = [future for future in self._pending if not future.done() or future.exception() is not None]
        while len(waiting := [future for future in self._pending if not future.done()]) >= 2:
            _wait_for_one(waiting)
        self._pending.append(self._threads().submit(_flush, descriptor))

    def hash(self, hasher: blake3, block: memoryview) -> Future[object]:
        """Hash a block in the background; the block must stay as it is until that is done."""
        return self._threads().submit(hasher.update, block)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._pool is None:
            return
        self._pool.shutdown(wait=True)
        failures = [failure for future in self._pending if (failure := future.exception()) is not None]
        if failures and error is None:
            raise failures[0]


def _wait_for_one(futures: list[Future[None]]) -> None:
    from concurrent.futures import FIRST_COMPLETED, wait

    wait(futures, return_when=FIRST_COMPLETED)


def _flush(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_array(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], blocks: Iterator[memoryview], helpers: _Helpers
) -> str:
    hasher = blake3()
    written = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        _write_all(descriptor, memoryview(header_of(dtype, shape)))
        for block in blocks:
            if len(block) < _WORTH_A_THREAD:
                hasher.update(block)
                _write_all(descriptor, block)
            else:
                hashed = helpers.hash(hasher, block)
                try:
                    _write_all(descriptor, block)
                finally:
                    hashed.result()
            written += len(block)
        if written != nbytes_of(dtype, shape):
            raise NotCacheable(f"{path.name} received {written} bytes of {nbytes_of(dtype, shape)}")
    except BaseException:
        os.close(descriptor)
        raise
    helpers.flush_and_close(descriptor)
    return str(hasher.hexdigest())


def _write_all(descriptor: int, content: memoryview) -> None:
    while len(content):
        content = content[os.write(descriptor, content) :]
