"""Who a temporary file belongs to: a process on a machine, and whether it still lives."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import time
from functools import cache
from pathlib import Path

_NAME = re.compile(r"([0-9a-f]{12})-([0-9]+)-[0-9a-f]{2,}")
_DAY = 86400.0


@cache
def machine() -> str:
    """Twelve digits for this machine, or for this container on it."""
    from blake3 import blake3

    names = [platform.node()]
    with contextlib.suppress(OSError):
        # Two containers may have one name, yet neither knows the processes of the other.
        names.append(str(Path("/proc/self/ns/pid").readlink()))
    return str(blake3("\n".join(names).encode()).hexdigest()[:12])


def own_name() -> str:
    """A name that nobody else takes and that says who took it: machine, process, number."""
    return f"{machine()}-{os.getpid()}-{os.urandom(8).hex()}"


def owner_is_gone(name: str) -> bool:
    """Whether the process that made `own_name` is known to be dead; False where that cannot be known.

    Parameters
    ----------
    name : str
        What `own_name` gave, as one of the parts that dots separate.
    """
    found = next((match for part in name.split(".") if (match := _NAME.fullmatch(part))), None)
    return found is not None and found[1] == machine() and not alive(int(found[2]))


def is_left_over(path: Path) -> bool:
    """Whether a temporary file with a name like ``.own_name.rest`` is of no use to anybody any more."""
    if not path.name.startswith(".") or not any(_NAME.fullmatch(part) for part in path.name.split(".")):
        return False
    return owner_is_gone(path.name) or time.time() - path.lstat().st_mtime > _DAY


def alive(pid: int) -> bool:
    """Whether a process of this machine lives."""
    if sys.platform == "win32":
        import ctypes

        # os.kill would end the process here.
        handle = ctypes.windll.kernel32.OpenProcess(0x100000, 0, pid)
        if not handle:
            return bool(ctypes.windll.kernel32.GetLastError() == 5)
        running = ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == 0x102
        ctypes.windll.kernel32.CloseHandle(handle)
        return bool(running)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
