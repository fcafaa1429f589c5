"""Locks that save work. Nothing is wrong without them: whoever publishes second finds the entry there."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recipes_core.cache.layout import Layout, write_atomically

if TYPE_CHECKING:
    from filelock import FileLock

_FIRST_PAUSE = 0.01


OnWait = Callable[[str], None]
"""Receives a line such as ``another run (pid 12 on lab-pc) is at it``."""


@contextlib.contextmanager
def lock(layout: Layout, key: str, waiting: OnWait | None = None) -> Iterator[bool]:
    """Hold the lock of a key.

    The lock is the kernel's: it ends with the process that holds it, whatever happens to that.

    Parameters
    ----------
    layout : Layout
    key : str
    waiting : callable, optional
        Called again and again while somebody else holds it; what it raises ends the wait.

    Yields
    ------
    bool
        Whether somebody else had it, so that a second look for the entry is worth while. Where the file system knows no
        locks or cannot be written, nothing is locked.
    """
    taken, waited = _acquire(layout, key, waiting)
    try:
        yield waited
    finally:
        if taken is not None:
            with contextlib.suppress(OSError):
                _holder(layout, key).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                taken.release()


def _acquire(layout: Layout, key: str, waiting: OnWait | None) -> tuple[FileLock | None, bool]:
    try:
        layout.prepare()
        wanted = _file_lock(layout.folder("locks") / f"{key}.lock")
    except OSError:
        return None, False
    pause = _FIRST_PAUSE
    while not (taken := _try(wanted)):
        if taken is None:
            return None, False
        if waiting is not None:
            waiting(_holder_named(layout, key))
        time.sleep(pause)
        pause = min(0.25, pause * 1.5)
    _sign(layout, key)
    return wanted, pause > _FIRST_PAUSE


def _try(wanted: FileLock) -> bool | None:
    """Whether the lock was free; None where there are no locks here."""
    from filelock import Timeout

    try:
        wanted.acquire(timeout=0)
    except Timeout:
        return False
    except (OSError, NotImplementedError):
        return None
    return True


def _file_lock(path: Path) -> FileLock:
    from filelock import FileLock

    try:
        # A lock made of a mere file would outlive its holder where the kernel has none.
        return FileLock(path, thread_local=False, fallback_to_soft=False)
    except TypeError:
        return FileLock(path, thread_local=False)


def _holder_named(layout: Layout, key: str) -> str:
    place = _holder(layout, key)
    with contextlib.suppress(OSError, ValueError):
        text = place.read_text(encoding="utf-8") if os.name == "nt" else str(place.readlink())
        pid, _, host = text.partition("@")
        return f"another run (pid {int(pid)} on {host[:80]}) is at it"
    return "another run is at it"


def _holder(layout: Layout, key: str) -> Path:
    return layout.folder("locks") / f"{key}.holder"


def _sign(layout: Layout, key: str) -> None:
    """Say who holds a lock, in one step of the file system: it is done for every step of every recipe."""
    place, text = _holder(layout, key), f"{os.getpid()}@{platform.node()}"
    with contextlib.suppress(OSError):
        if os.name == "nt":  # links are a privilege there
            write_atomically(place, text.encode())
            return
        try:
            place.symlink_to(text)
        except FileExistsError:  # of a holder that was killed
            place.unlink()
            place.symlink_to(text)


def sweep(layout: Layout, older_than: float) -> None:
    """Delete the files of locks that nobody holds and that were not taken for `older_than` seconds."""
    from filelock import Timeout

    now = time.time()
    with contextlib.suppress(OSError):
        for item in list(os.scandir(layout.folder("locks"))):
            path = Path(item.path)
            with contextlib.suppress(OSError, NotImplementedError, Timeout):
                if now - item.stat(follow_symlinks=False).st_mtime < older_than:
                    continue
                if path.suffix != ".lock":
                    path.unlink()
                    continue
                # Whoever waits on the name finds it gone and makes it anew; at worst two compute the same.
                with _file_lock(path).acquire(timeout=0):
                    path.unlink()
