"""What publishing an entry takes besides writing it: a place, clear errors, and a way out for what was there."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recipes_core.cache.layout import Layout
from recipes_core.cache.manifest import Manifest, StoredArray
from recipes_core.cache.npy import describe_dtype, nbytes_of
from recipes_core.cache.payload import SourceFailed, combined_digest
from recipes_core.cache.provenance import pack_history
from recipes_core.data import DataObject, Packed
from recipes_core.errors import CacheUnwritable, NotCacheable
from recipes_core.owner import own_name


@contextlib.contextmanager
def writing_to(root: Path, *, writable: bool, foreign: str) -> Iterator[None]:
    """Turn failures of the disk into CacheUnwritable."""
    if not writable:
        raise CacheUnwritable("the cache was opened for reading only.", code="V310")
    if foreign:
        raise CacheUnwritable(
            f"the cache in {root} has the format '{foreign}' of another version.",
            code="V311",
            hint="Name another folder in RECIPES_CACHE, or delete this one.",
        )
    try:
        yield
    except SourceFailed as failed:
        raise failed.cause from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
        raise CacheUnwritable(
            f"the cache in {root} cannot be written: {'no space is left' if full else error.strerror or error}.",
            code="V312",
            hint="Free some space (recipe cache gc), or name another folder in RECIPES_CACHE.",
        ) from error


@contextlib.contextmanager
def staged(layout: Layout) -> Iterator[Path]:
    """A folder in which an entry is written; nothing of it is left unless it was moved."""
    layout.prepare()
    stage = layout.folder("stage") / own_name()
    stage.mkdir(parents=True)
    try:
        yield stage
    finally:
        if stage.exists():
            import shutil

            shutil.rmtree(stage, ignore_errors=True)


def discard(layout: Layout, folder: Path) -> bool:
    """Take something out of sight, then delete it; what resists is left to the next sweep."""
    from recipes_core.cache.collection import delete

    layout.folder("trash").mkdir(parents=True, exist_ok=True)
    away = layout.folder("trash") / own_name()
    try:
        folder.rename(away)
    except FileNotFoundError:
        return False
    delete(away)
    return True


def packed_of(obj: DataObject) -> Packed:
    """The object taken apart; NotCacheable where it could not be put together again."""
    from recipes_core.plugins import registry

    try:
        packed = obj.pack()
    except TypeError as error:
        raise NotCacheable(str(error)) from error
    ref = registry().datatypes.get(packed.kind)
    if ref is None or ref.load() is not type(obj):
        raise NotCacheable(
            f"'{packed.kind}' is no registered type of data, so it could not be loaded again",
            hint="A plugin registers its types with register_datatypes.",
        )
    return packed


def manifest_of(key: str, obj: DataObject, packed: Packed, arrays: tuple[StoredArray, ...], origin: dict[str, Any]) -> Manifest:
    """The manifest of an object whose arrays are written."""
    from recipes_core.versions import versions

    parts = [(array.name, describe_dtype(array.dtype), array.shape, array.digest) for array in arrays]
    return Manifest(
        key=key,
        kind=packed.kind,
        digest=combined_digest(packed.kind, packed.spec, parts),
        nbytes=sum(nbytes_of(array.dtype, array.shape) for array in arrays),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        arrays=arrays,
        spec=packed.spec,
        metadata=dict(obj.metadata),
        history_text=pack_history(obj.history),
        **origin,
    )
