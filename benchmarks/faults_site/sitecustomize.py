"""Ends this process at its n-th change of certain folders; Python imports it at its start where it finds it.

FAULT_FOLDERS names the folders, FAULT_AT which change (0: none), FAULT_TORN=1 asks that a write is left half done. FAULT_WHO says
whether the command itself ends ("driver") or a process that it has started ("worker"). Where FAULT_ONCE names a file, it is made
at the end and nothing ends once it is there. The number of changes that a process has made is written to FAULT_COUNT, where that
names a file.

FAULT_MEMORY and FAULT_FILE_SIZE limit the address space and the size of files, in bytes; FAULT_USER names the user to become.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.utime", "os.truncate", "os.link"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Counter:
    """Counts what changes folders, and ends the process when it is told to.

    Parameters
    ----------
    folders : sequence of str
    at : int
    torn : bool
        Write half of what is to be written before the end.
    told : int
        Descriptor of the file that receives the number; negative for none.
    """

    def __init__(self, folders: tuple[str, ...], at: int, *, torn: bool, told: int) -> None:
        self.folders = folders
        self.at = at
        self.torn = torn
        self.told = told
        self.seen = 0

    def watch(self) -> None:
        """Begin to count."""
        sys.addaudithook(self._hear)
        self._write, self._fsync = os.write, os.fsync
        os.write, os.fsync = self.write, self.fsync  # type: ignore[assignment]

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)
        if (opened or event in _CHANGES) and any(self._concerns(argument) for argument in arguments[:2]):
            self._count()

    def _concerns(self, argument: Any) -> bool:
        if isinstance(argument, os.PathLike):
            argument = os.fspath(argument)
        if isinstance(argument, bytes):
            argument = os.fsdecode(argument)
        return isinstance(argument, str) and argument.startswith(self.folders)

    def _file_concerns(self, descriptor: int) -> bool:
        try:
            return self._concerns(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        except OSError:
            return False

    def _count(self, descriptor: int = -1, content: Any = None) -> None:
        self.seen += 1
        if self.seen == self.at and not self._is_first():
            self.at = 0
        if self.told >= 0:
            os.pwrite(self.told, str(self.seen).encode(), 0)
        if self.seen == self.at:
            if self.torn and content is not None:
                self._write(descriptor, memoryview(content).cast("B")[: len(content) // 2])
            self.end()

    def _is_first(self) -> bool:
        once = os.environ.get("FAULT_ONCE")
        if once:
            try:
                os.close(os.open(once, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return False
        return True

    def end(self) -> None:
        """End the process as a crash would."""
        os.kill(os.getpid(), signal.SIGKILL)

    def write(self, descriptor: int, content: Any) -> int:
        """`os.write`, which is left half done where it is the last one."""
        if self._file_concerns(descriptor):
            self._count(descriptor, content)
        return self._write(descriptor, content)

    def fsync(self, descriptor: int) -> None:
        """`os.fsync`, before which the process may end."""
        if self._file_concerns(descriptor):
            self._count()
        self._fsync(descriptor)


def _limit() -> None:
    import resource

    for name, kind in (("FAULT_MEMORY", resource.RLIMIT_AS), ("FAULT_FILE_SIZE", resource.RLIMIT_FSIZE)):
        if os.environ.get(name):
            resource.setrlimit(kind, (int(os.environ[name]), int(os.environ[name])))
    if os.environ.get("FAULT_USER") and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(int(os.environ["FAULT_USER"]))
        os.setuid(int(os.environ["FAULT_USER"]))


def arm() -> None:
    """Do what the environment says."""
    _limit()
    folders = tuple(part for part in os.environ.get("FAULT_FOLDERS", "").split(os.pathsep) if part)
    if not folders:
        return
    driver = os.environ.setdefault("FAULT_DRIVER", str(os.getpid())) == str(os.getpid())
    if driver != (os.environ.get("FAULT_WHO", "driver") == "driver"):
        return
    name = os.environ.get("FAULT_COUNT")
    told = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if name else -1
    Counter(folders, int(os.environ.get("FAULT_AT", "0")), torn=os.environ.get("FAULT_TORN") == "1", told=told).watch()


arm()
