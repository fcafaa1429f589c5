"""Who a file in the cache belongs to: a process on a machine, and whether it still lives."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from functools import cache
from pathlib import Path

from blake3 import blake3


@cache
def machine() -> str:
    """Twelve digits for this machine, or for this container on it."""
    names = [platform.node()]
    with contextlib.suppress(OSError):
        # Two containers may have one name, yet neither knows the processes of the other.
        names.append(str(Path("/proc/self/ns/pid").readlink()))
    return str(blake3("\n".join(names).encode()).hexdigest()[:12])


def own_name() -> str:
    """A name that nobody else takes and that says who took it: machine, process, number."""
    return f"{machine()}-{os.getpid()}-{os.urandom(8).hex()}"


def owner_is_gone(name: str) -> bool:
    """Whether the process that made `own_name` is known to be dead; False where that cannot be known."""
    parts = name.split(".", maxsplit=1)[0].split("-")
    return len(parts) == 3 and parts[0] == machine() and parts[1].isdecimal() and not alive(int(parts[1]))


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
