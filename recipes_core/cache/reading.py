"""Reading an entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from recipes_core.cache.frames import NpyFrames
from recipes_core.cache.manifest import Damaged, Manifest, StoredArray
from recipes_core.cache.npy import describe_dtype, map_npy
from recipes_core.cache.payload import combined_digest
from recipes_core.data import DataObject, FrameSource, ImageStack
from recipes_core.errors import PluginError, RecipeError

_BLOCK = 64 * 2**20


def read_object(folder: Path, manifest: Manifest) -> DataObject:
    """The object of an entry.

    Raises
    ------
    Damaged
        Where it cannot be made.
    """
    cls = _class_of(manifest.kind)
    frames = issubclass(cls, ImageStack)
    try:
        arrays = {array.name: _open(folder, array, frames=frames) for array in manifest.arrays}
        return cls.unpack(manifest.spec, arrays, manifest.metadata, manifest.history)
    except PermissionError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, RecipeError) as error:
        raise Damaged(f"no {manifest.kind} can be made of it: {error}") from error


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare every array with its digest, and these with the digest of the whole.

    Raises
    ------
    Damaged
        Where one differs.
    """
    for array in manifest.arrays:
        try:
            values = _values(folder, array)
        except PermissionError:
            raise
        except (OSError, ValueError) as error:
            raise Damaged(str(error)) from error
        if _digest(values) != array.digest:
            raise Damaged(f"'{array.name}' holds other values than were written")
    parts = [(array.name, describe_dtype(array.dtype), array.shape, array.digest) for array in manifest.arrays]
    try:
        whole = combined_digest(manifest.kind, manifest.spec, parts)
    except RecipeError as error:
        raise Damaged(str(error)) from error
    if whole != manifest.digest:
        raise Damaged("its digest differs")


def _class_of(kind: str) -> type[DataObject]:
    from recipes_core.plugins import registry

    ref = registry().datatypes.get(kind)
    if ref is None:
        raise Damaged(f"there is no type '{kind}' of data here")
    try:
        cls = ref.load()
    except PluginError as error:
        raise Damaged(str(error)) from error
    if not (isinstance(cls, type) and issubclass(cls, DataObject)):
        raise Damaged(f"'{kind}' is no type of data")
    return cls


def _values(folder: Path, array: StoredArray) -> npt.NDArray[Any]:
    return map_npy(folder / array.file, array.dtype, array.shape) if array.file else array.inline()


def _open(folder: Path, array: StoredArray, *, frames: bool) -> npt.NDArray[Any] | FrameSource:
    if frames and array.file and len(array.shape) == 4:
        t, z, y, x = array.shape
        pixels = map_npy(folder / array.file, array.dtype, array.shape)
        return NpyFrames(folder / array.file, array.dtype, (t, z, y, x), pixels)
    return _values(folder, array)


def _digest(values: npt.NDArray[Any]) -> str:
    hasher = blake3(max_threads=blake3.AUTO if values.nbytes > 2**20 else 1)
    if values.size:
        raw = values.reshape(-1).view(np.uint8).data
        for start in range(0, len(raw), _BLOCK):
            hasher.update(raw[start : start + _BLOCK])
    return str(hasher.hexdigest())
