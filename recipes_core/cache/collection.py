"""Keeping the cache within its limits."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from recipes_core.cache import locks
from recipes_core.cache.layout import Layout, write_atomically
from recipes_core.cache.manifest import NAME
from recipes_core.errors import UsageError
from recipes_core.owner import is_left_over, own_name, owner_is_gone

DAY = 86400.0
_PIN_DAYS = 7.0
_LEFTOVER_DAYS = 1.0
_QUARANTINE_DAYS = 30.0
_WITH_SMALL_FILES = (".", "memo", "pins", "locks", "history", "runs", "stamps")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True)
class GcReport:
    """What was removed and what is left.

    Parameters
    ----------
    removed, removed_bytes : int
        Entries, and their bytes on the disk.
    kept, kept_bytes : int
    swept : int
        Leftovers of processes that died, and old damaged entries.
    """

    removed: int = 0
    removed_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    swept: int = 0


def parse_size(text: str) -> int:
    """Bytes of a size such as ``20GB``, ``512 MiB`` or ``1e9``.

    Raises
    ------
    UsageError
        Where it is none.
    """
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    try:
        assert found is not None
        return int(float(found[1]) * _UNITS[found[2]])
    except (AssertionError, ValueError, KeyError, OverflowError):
        raise UsageError(f"'{text}' is no size.", code="U170", hint="Write it like 20GB or 500MB.") from None


def size_limit(default: int) -> int:
    """The size from RECIPES_CACHE_SIZE, or the default."""
    named = os.environ.get("RECIPES_CACHE_SIZE", "").strip()
    return parse_size(named) if named else default


def scan(layout: Layout) -> Iterator[tuple[str, float, int]]:
    """All entries as (key, last use, bytes on the disk), whole or not.

    Raises
    ------
    OSError
        Where the folder is there and cannot be read.
    """
    try:
        shelves = sorted(layout.folder("entries").iterdir())
    except FileNotFoundError:
        return
    for shelf in shelves:
        try:
            folders = sorted(shelf.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        for folder in folders:
            if layout.is_key(folder.name):
                used, size = _use(folder)
                yield folder.name, used, size


def _use(folder: Path) -> tuple[float, int]:
    used, size = 0.0, 0
    with contextlib.suppress(OSError):
        used = folder.lstat().st_mtime
        for item in os.scandir(folder):
            found = item.stat(follow_symlinks=False)
            size += found.st_size
            if item.name == NAME:
                used = found.st_mtime
    return used, size


def collect(layout: Layout, pinned: Container[str], max_bytes: int, max_age_days: float) -> GcReport:
    """Remove the entries that were not used for longest.

    Removal goes on until all entries together have at most `max_bytes`, and none is older than `max_age_days`. Pinned
    entries stay, those of `pinned` and those that any process holds with `pin`, even where the limits are then passed.

    Returns
    -------
    GcReport
    """
    swept = _sweep(layout)
    now = time.time()
    found = sorted(scan(layout), key=lambda item: item[1])
    # Read after the scan: an entry that a new run has pinned since is not touched.
    held = _held(layout)
    total = sum(size for _, _, size in found)
    removed = removed_bytes = 0
    for key, used, size in found:
        expired = now - used > max_age_days * DAY
        if not expired and total <= max_bytes:
            break
        if key in held or key in pinned:
            continue
        if _remove(layout, key, used):
            removed += 1
            removed_bytes += size
            total -= size
    return GcReport(removed, removed_bytes, len(found) - removed, total, swept)


def _remove(layout: Layout, key: str, used: float) -> bool:
    folder = layout.entry(key)
    if _use(folder)[0] != used:
        return False  # somebody has used it since
    away = layout.folder("trash") / own_name()
    try:
        away.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(away)
    except OSError:
        return False  # gone already, or open on a system that does not let go of open files: the next sweep
    delete(away)
    return True


def delete(path: Path) -> bool:
    """Delete a file or folder; whether nothing is left."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            import shutil

            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return True
    return False


@contextlib.contextmanager
def pin(layout: Layout, keys: Iterable[str]) -> Iterator[None]:
    """Keep every process from removing these entries; see `recipes_core.cache.Cache.pin`."""
    path = layout.folder("pins") / f"{own_name()}.json"
    with contextlib.suppress(OSError):
        layout.prepare()
        write_atomically(path, json.dumps(sorted(set(keys))).encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _held(layout: Layout) -> set[str]:
    held: set[str] = set()
    for path in _children(layout.folder("pins")):
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            if owner_is_gone(path.name) or _age_days(path) > _PIN_DAYS:
                path.unlink(missing_ok=True)
            elif path.suffix == ".json" and not path.name.startswith("."):
                held.update(json.loads(path.read_bytes()))
    return held


def _sweep(layout: Layout) -> int:
    """Delete what died processes have left."""
    swept = 0
    for folder, days in (("stage", _LEFTOVER_DAYS), ("trash", _LEFTOVER_DAYS), ("quarantine", _QUARANTINE_DAYS)):
        for path in _children(layout.folder(folder)):
            with contextlib.suppress(OSError):
                if (folder != "quarantine" and owner_is_gone(path.name)) or _age_days(path) > days:
                    swept += delete(path)
    for folder in _WITH_SMALL_FILES:
        for path in _children(layout.folder(folder)):
            with contextlib.suppress(OSError):
                old = path.name.startswith(".") and _age_days(path) > _LEFTOVER_DAYS
                if (old or is_left_over(path)) and path.is_file():
                    swept += delete(path)
    locks.sweep(layout, DAY)
    return swept


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _age_days(path: Path) -> float:
    return (time.time() - path.lstat().st_mtime) / DAY
