"""The digest of an object: the same in memory, in the cache and in every process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from recipes_core.cache.canonical import digest_of
from recipes_core.cache.npy import describe_dtype
from recipes_core.data import FrameSource, Packed
from recipes_core.errors import NotCacheable, RecipeError

BLOCK = 16 * 2**20
"""Bytes that are read, hashed and written at a time."""

_BLOCKS_OF_FRAMES = 32 * 2**20


def payload_digest(packed: Packed) -> str:
    """blake3 over the type, the description and every array with its name, type and shape.

    Memory maps, views and copies of the same values give the same digest; pixels are read block by block.

    Raises
    ------
    NotCacheable
        Where the description holds something that is not plain.
    """
    parts = []
    for name, values in packed.arrays.items():
        hasher = blake3(max_threads=blake3.AUTO)
        try:
            for block in data_blocks(values):
                hasher.update(block)
        except SourceFailed as failed:
            raise failed.cause from None
        parts.append((name, describe_dtype(np.dtype(values.dtype)), values.shape, hasher.hexdigest()))
    return combined_digest(packed.kind, packed.spec, parts)


def combined_digest(kind: str, spec: dict[str, Any], parts: Iterable[tuple[str, Any, Iterable[int], str]]) -> str:
    """The digest from those of the arrays, each as (name, type, shape, digest of its bytes in C order)."""
    arrays = [[name, dtype, list(shape), digest] for name, dtype, shape, digest in parts]
    try:
        return digest_of({"kind": kind, "spec": spec, "arrays": arrays})
    except TypeError as error:
        raise NotCacheable(f"a {kind} cannot be kept in the cache: {error}") from error


def data_blocks(values: npt.NDArray[Any] | FrameSource) -> Iterator[memoryview]:
    """The bytes in C order, block by block; contiguous arrays are not copied."""
    if isinstance(values, np.ndarray):
        yield from _array_blocks(values)
        return
    shape, dtype = tuple(values.shape), np.dtype(values.dtype)
    if dtype.hasobject or not dtype.itemsize:
        raise NotCacheable(f"pixels of type {dtype} cannot be kept in the cache")
    per_frame = max(1, int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize)
    n = max(1, _BLOCKS_OF_FRAMES // per_frame)
    for start in range(0, shape[0], n):
        stop = min(start + n, shape[0])
        block = _read(values, start, stop)
        if block.shape != (stop - start, *shape[1:]) or block.dtype != dtype:
            raise NotCacheable(
                f"frames {start} to {stop} of a stack {shape} {dtype} came as {block.shape} {block.dtype}",
                hint="Its source breaks its own declaration.",
            )
        yield from _array_blocks(block)


def _read(source: FrameSource, start: int, stop: int) -> npt.NDArray[Any]:
    try:
        return source.read(start, stop)
    except RecipeError:
        raise
    except OSError as error:
        # Not the cache has failed, but what the pixels come from.
        raise SourceFailed(error) from error


class SourceFailed(Exception):
    """The pixels of a stack could not be read; the cause is the error that says why."""

    @property
    def cause(self) -> OSError:
        """Why."""
        error = self.args[0]
        assert isinstance(error, OSError)
        return error


def _array_blocks(values: npt.NDArray[Any]) -> Iterator[memoryview]:
    if not values.size:
        return
    if values.flags.c_contiguous:
        raw = values.reshape(-1).view(np.uint8).data
        for start in range(0, len(raw), BLOCK):
            yield raw[start : start + BLOCK]
        return
    if values.nbytes <= BLOCK or values.ndim == 1:
        rows = max(1, BLOCK // values.dtype.itemsize) if values.ndim == 1 else len(values)
    else:
        rows = max(1, BLOCK // max(1, values.nbytes // len(values)))
    for start in range(0, len(values), rows):
        yield from _array_blocks(np.ascontiguousarray(values[start : start + rows]))
