"""Content digests of files, computed once per state of the file."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from recipes_core.cache.canonical import digest_of
from recipes_core.cache.layout import write_atomically

_BLOCK = 16 * 2**20
_RACY_NS = 2 * 10**9
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")

State = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Stamp:
    """State of a file, or of all files of a folder, without reading them.

    Parameters
    ----------
    path : str
        The real path.
    files : tuple
        (relative name, (device, inode, size, mtime, ctime)) of each; the name is empty for a single file.
    """

    path: str
    files: tuple[tuple[str, State], ...]


class FileDigests:
    """Digests of the contents of files and folders.

    Parameters
    ----------
    folder : Path, optional
        Where digests are remembered between processes.
    writable : bool
        Whether the folder may be written to.

    Notes
    -----
    A digest is remembered with device, inode, size, mtime and ctime of the file. Where a file was changed less than two seconds
    before it was read, a further change might leave no trace in these, so such a digest is not trusted.
    """

    def __init__(self, folder: Path | None, writable: bool = True) -> None:
        self.folder = folder
        self.writable = writable and folder is not None
        self._known: dict[str, tuple[State, str]] = {}
        self._lock = threading.Lock()

    def digest(self, path: Path) -> str:
        """blake3 of the content: of the bytes of a file; of relative names and digests for a folder.

        Raises
        ------
        OSError
            Where it cannot be read.
        """
        real = os.path.realpath(path)
        if not os.path.isdir(real):  # noqa: PTH112
            return self._file_digest(real)
        return digest_of([[name, self._file_digest(os.path.join(real, name))] for name in _files_of(real)])  # noqa: PTH118

    def stamp(self, path: Path) -> Stamp:
        """The state of a file or folder; equal as long as nothing has changed.

        Raises
        ------
        OSError
            Where it is not there.
        """
        real = os.path.realpath(path)
        if not os.path.isdir(real):  # noqa: PTH112
            return Stamp(real, (("", _state(os.stat(real))),))  # noqa: PTH116
        return Stamp(real, tuple((name, _state(os.stat(os.path.join(real, name)))) for name in _files_of(real)))  # noqa: PTH116, PTH118

    def _file_digest(self, real: str) -> str:
        state = _state(os.stat(real))  # noqa: PTH116
        with self._lock:
            known = self._known.get(real)
        known = known or self._remembered(real)
        if known is not None and known[0] == state:
            with self._lock:
                self._known[real] = known
            return known[1]
        started = time.time_ns()
        digest = hash_file(Path(real))
        settled = started - max(state[3], state[4]) > _RACY_NS
        if settled and _state(os.stat(real)) == state:  # noqa: PTH116
            with self._lock:
                self._known[real] = (state, digest)
            self._remember(real, state, digest)
        return digest

    def _memo(self, real: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{blake3(os.fsencode(real)).hexdigest()[:40]}.json"

    def _remembered(self, real: str) -> tuple[State, str] | None:
        memo = self._memo(real)
        if memo is None:
            return None
        try:
            if memo.lstat().st_size > 100_000:
                return None
            found = json.loads(memo.read_bytes())
            state = tuple(int(number) for number in found["state"])
            digest = str(found["digest"])
            if found["path"] != os.fsencode(real).hex() or len(state) != 5 or len(digest) != 64:
                return None
            if found["check"] != _check(found["path"], state, digest):
                return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None  # a memo saves time only
        return state, digest

    def _remember(self, real: str, state: State, digest: str) -> None:
        memo = self._memo(real)
        if memo is None or not self.writable:
            return
        name = os.fsencode(real).hex()
        content = {"path": name, "state": state, "digest": digest, "check": _check(name, state, digest)}
        with contextlib.suppress(OSError):
            memo.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(memo, json.dumps(content).encode())


def hash_file(path: Path) -> str:
    """blake3 of the bytes of a file, on all processors where it is large.

    Blocks are read, not mapped: a mapped file that is cut off meanwhile, or lies on a network that fails, would end the process.
    """
    with path.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        hasher = blake3(max_threads=blake3.AUTO if size > 2**20 else 1)
        buffer = memoryview(bytearray(max(1, min(_BLOCK, size + 1))))
        while n := stream.readinto(buffer):
            hasher.update(buffer[:n])
    return str(hasher.hexdigest())


def _state(found: os.stat_result) -> State:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _check(path: str, state: tuple[int, ...], digest: str) -> str:
    return digest_of([path, list(state), digest])


def _files_of(folder: str) -> list[str]:
    """Relative names of all files with ``/``, sorted; links are followed unless they lead upwards."""
    found: list[str] = []
    _collect(folder, "", (), found)
    return sorted(found)


def _collect(folder: str, prefix: str, above: tuple[str, ...], found: list[str]) -> None:
    real = os.path.realpath(folder)
    if real in above:
        return
    for item in os.scandir(folder):
        if item.is_dir():
            _collect(item.path, f"{prefix}{item.name}/", (*above, real), found)
        elif item.name not in _LITTER and item.is_file():
            found.append(prefix + item.name)
