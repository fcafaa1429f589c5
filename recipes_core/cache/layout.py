"""Where things lie in the folder of the cache."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from recipes_core.owner import own_name

FORMAT = "1"
SUBFOLDERS = ("entries", "stage", "trash", "quarantine", "locks", "memo", "history", "runs", "stamps", "pins")
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of smlm-recipes; it can be deleted at any time.\n"
_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{7,150}")


def default_root() -> Path:
    """RECIPES_CACHE, else the system's folder for caches."""
    named = os.environ.get("RECIPES_CACHE")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("smlm-recipes", appauthor=False)


class Layout:
    """Paths below the root; folders are made by `prepare`, never by looking."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._entries = str(root / "entries")
        self._prepared = False

    def folder(self, name: str) -> Path:
        """One of the folders at the top."""
        return self.root / name

    def entry(self, key: str) -> Path:
        """Folder of an entry.

        Raises
        ------
        ValueError
            Where the key is no word of digits, letters, ``-`` and ``_``.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key[:80]!r} is no key of a cache")
        return Path(f"{self._entries}/{key[:2].lower()}/{key}")  # half the time of joining three times

    def is_key(self, name: str) -> bool:
        """Whether a name could be a key."""
        return bool(_KEY.fullmatch(name))

    def foreign_format(self) -> str:
        """The format of a cache that this version cannot use; empty where it fits or nothing is there yet."""
        found = repr(_words(self.root / "FORMAT"))[2:-1]
        return "" if found in ("", FORMAT) else found

    def prepare(self) -> None:
        """Make the folders and the files that mark them.

        Raises
        ------
        OSError
            Where that is not possible.
        """
        if self._prepared and self.folder("entries").is_dir():
            return
        for name in SUBFOLDERS:
            self.folder(name).mkdir(parents=True, exist_ok=True)
        for name, content in (("CACHEDIR.TAG", _TAG), ("FORMAT", FORMAT + "\n")):
            if not _words(self.root / name):
                write_atomically(self.root / name, content.encode())
        self._prepared = True


def _words(path: Path) -> bytes:
    """The beginning of a small file; empty where a crash of the machine has left nothing, or zeros."""
    try:
        return path.read_bytes()[:20].strip(b"\0 \r\n")
    except OSError:
        return b""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file so that a reader sees the old or the new one; not flushed to the disk."""
    stage = path.with_name(f".{own_name()}.{path.name}")
    try:
        stage.write_bytes(content)
        stage.replace(path)
    finally:
        with contextlib.suppress(OSError):
            stage.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    # Windows cannot open folders; there the rename alone has to do.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
