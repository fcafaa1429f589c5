"""Locks that save work. Nothing is wrong without them: whoever publishes second finds the entry there.

A process holds one kernel lock for as long as it uses a cache. It claims a key by giving its locked file a second name, that of the
key: to make a file costs more than all else that a small step does, another name next to nothing. The kernel lets go when the
process ends, however that happens; a claim whose file nobody locks any more is free.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recipes_core.cache.layout import Layout
from recipes_core.owner import own_name

if TYPE_CHECKING:
    from filelock import BaseFileLock

_FIRST_PAUSE = 0.01
_LONGEST_NAME = 200


OnWait = Callable[[str], None]
"""Receives a line such as ``another run (pid 12 on lab-pc) is at it``."""


@contextlib.contextmanager
def lock(layout: Layout, key: str, waiting: OnWait | None = None) -> Iterator[bool]:
    """Hold the lock of a key.

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
    place = layout.folder("locks") / f"{key}.lock"
    release, waited = _acquire(layout, place, waiting)
    try:
        yield waited
    finally:
        if release is not None:
            with contextlib.suppress(OSError):
                release()


def _acquire(layout: Layout, place: Path, waiting: OnWait | None) -> tuple[Callable[[], object] | None, bool]:
    from filelock import Timeout

    pause = _FIRST_PAUSE
    while True:
        try:
            layout.prepare()
            return _try(layout, place), pause > _FIRST_PAUSE
        except Timeout:
            pass
        except (OSError, NotImplementedError):
            return None, False
        if waiting is not None:
            waiting(_holder_named(place))
        time.sleep(pause)
        pause = min(0.25, pause * 1.5)


def _try(layout: Layout, place: Path) -> Callable[[], object]:
    """Take the lock and return what gives it back; Timeout where somebody has it."""
    own = _own_file(layout)
    if own is None:
        held = _file_lock(place)
        held.acquire(timeout=0)
        return held.release
    try:
        os.link(own, place)
    except FileExistsError:
        with _file_lock(place).acquire(timeout=0):  # nobody locks it: of a process that was killed
            stage = place.with_name(f".{own_name()}.claim")
            os.link(own, stage)
            stage.replace(place)
    return lambda: place.unlink(missing_ok=True)


class _Owner:
    """The locked file of this process in one cache."""

    def __init__(self, layout: Layout) -> None:
        self.path = layout.folder("locks") / f"{own_name()}.own"
        self.process = os.getpid()
        self._held = _file_lock(self.path)
        self._held.acquire(timeout=0)
        self.path.write_text(f"{self.process}@{platform.node()}", encoding="utf-8")

    def close(self) -> None:
        """Let go and leave nothing behind."""
        if self.process == os.getpid():  # a fork has it from its parent, who still needs it
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._held.release(force=True)


_owners: weakref.WeakKeyDictionary[Layout, _Owner] = weakref.WeakKeyDictionary()
_without_names: weakref.WeakSet[Layout] = weakref.WeakSet()


def _own_file(layout: Layout) -> Path | None:
    """The locked file of this process; None where locked files take no second name."""
    # On Windows a name of an open file cannot be removed.
    if os.name == "nt" or layout in _without_names:
        return None
    owner = _owners.get(layout)
    if owner is None or owner.process != os.getpid() or not owner.path.exists():
        owner = _Owner(layout)
        if not _takes_names(owner.path):
            owner.close()
            _without_names.add(layout)
            return None
        _owners[layout] = owner
        weakref.finalize(layout, owner.close)
    return owner.path


def _takes_names(path: Path) -> bool:
    other = path.with_suffix(".name")
    try:
        os.link(path, other)
        other.unlink()
    except OSError:
        return False
    return True


def _file_lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    try:
        # A lock made of a mere file would outlive its holder where the kernel has none.
        return FileLock(path, thread_local=False, fallback_to_soft=False)
    except TypeError:
        return FileLock(path, thread_local=False)


def _holder_named(place: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        with place.open("rb") as stream:
            pid, _, host = stream.read(_LONGEST_NAME).decode("utf-8").partition("@")
        return f"another run (pid {int(pid)} on {host[:80]}) is at it"
    return "another run is at it"


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
                if path.suffix not in (".lock", ".own"):
                    path.unlink()
                    continue
                # Whoever waits on the name finds it gone and makes it anew; at worst two compute the same.
                with _file_lock(path).acquire(timeout=0):
                    path.unlink()
