"""The cache: whole entries under keys, found or not, never half."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes_core.cache.canonical import digest_of
from recipes_core.cache.digests import FileDigests
from recipes_core.cache.layout import Layout, default_root
from recipes_core.cache.manifest import NAME, Damaged, Manifest, read_manifest
from recipes_core.cache.publishing import discard, manifest_of, packed_of, staged, writing_to
from recipes_core.cache.reading import read_object, verify_files
from recipes_core.cache.writing import write_arrays, write_manifest
from recipes_core.data import DataObject
from recipes_core.errors import NotCacheable
from recipes_core.owner import own_name

if TYPE_CHECKING:
    from recipes_core.cache.collection import GcReport
    from recipes_core.cache.locks import OnWait

MAX_BYTES = 20 * 10**9
MAX_AGE_DAYS = 90.0
_VERIFIED_ON_USE = 2 * 2**30
_LOOKS = 4
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST}


@dataclass(frozen=True)
class Entry:
    """An entry with its use of the disk.

    Parameters
    ----------
    manifest : Manifest
    last_used : float
        Seconds since 1970.
    disk_bytes : int
        Size of all its files.
    """

    manifest: Manifest
    last_used: float
    disk_bytes: int


class Cache:
    """Objects under keys, in a folder that several processes may share.

    Parameters
    ----------
    root : Path, optional
        The folder; RECIPES_CACHE or the system's folder for caches where not given. Nothing is made before the first write.
    writable : bool
        False leaves the folder exactly as it is, times of files included.
    max_bytes : int, optional
        Size that `gc` brings it down to; RECIPES_CACHE_SIZE, else 20 GB.
    max_age_days : float
        Entries that were not used for longer are removed by `gc`.

    Attributes
    ----------
    warnings : list of str
        What a user should know, such as damaged entries. Nothing is raised for these: a damaged entry costs time only.
    files : FileDigests
        Digests of input files.

    Notes
    -----
    An entry is written to a folder of its own and appears under its key by one rename. Readers need no lock.
    """

    def __init__(
        self, root: Path | None = None, *, writable: bool = True, max_bytes: int | None = None, max_age_days: float = MAX_AGE_DAYS
    ) -> None:
        self.root = Path(root) if root is not None else default_root()
        self.writable = writable
        self._max_bytes = max_bytes
        self.max_age_days = max_age_days
        self.warnings: list[str] = []
        self.layout = Layout(self.root)
        self._foreign = self.layout.foreign_format()
        self.files = FileDigests(None if self._foreign else self.root / "memo", writable)
        self._damaged: set[str] = set()
        self._stuck: set[str] = set()
        self._verified: dict[str, object] = {}

    @property
    def is_foreign(self) -> bool:
        """Whether the folder is of another version, so that nothing in it is read or written."""
        return bool(self._foreign)

    @property
    def max_bytes(self) -> int:
        """Size that `gc` brings the cache down to."""
        from recipes_core.cache.collection import size_limit

        return size_limit(MAX_BYTES) if self._max_bytes is None else self._max_bytes

    # reading

    def has(self, key: str) -> bool:
        """Whether there is an entry that looks whole: its manifest can be read and all files have their sizes."""
        return self._read(key) is not None

    def manifest(self, key: str) -> Manifest | None:
        """What is known about an entry, or None where there is none that is whole."""
        found = self._read(key)
        return found[0] if found else None

    def damaged(self, key: str) -> bool:
        """Whether an entry was there, and was found damaged by this object."""
        return key in self._damaged

    def load(self, key: str, *, verify: bool | None = None) -> DataObject | None:
        """The object under a key; its arrays are read-only memory maps.

        Parameters
        ----------
        key : str
        verify : bool, optional
            Whether to compare the digests of all arrays. Where not given: once per process, for entries below 2 GiB.

        Returns
        -------
        DataObject or None
            None where there is no entry, or a damaged one.
        """
        folder = self.layout.entry(key)
        for _ in range(_LOOKS):
            seen = _state_of(folder)
            found = self._read(key)
            if found is None:
                return None
            manifest, state = found
            due = verify if verify is not None else self._verified.get(key) != state and manifest.nbytes < _VERIFIED_ON_USE
            try:
                if due:
                    verify_files(folder, manifest)
                made = read_object(folder, manifest)
            except Damaged as problem:
                if self._set_aside(key, manifest.step, str(problem), seen):
                    return None
            except PermissionError:
                return None
            else:
                if due:
                    self._verified[key] = state
                self.touch(key)
                return made
        return None

    def touch(self, key: str) -> None:
        """Note that an entry is used, so that `gc` keeps it longer."""
        if self.writable:
            with contextlib.suppress(OSError):
                os.utime(self.layout.entry(key) / NAME)

    def entries(self) -> Iterator[Entry]:
        """All entries that are whole, in no order.

        Raises
        ------
        OSError
            Where the folder cannot be read.
        """
        from recipes_core.cache.collection import scan

        for key, used, size in scan(self.layout):
            manifest = self.manifest(key)
            if manifest is not None:
                yield Entry(manifest, used, size)

    def verify(self) -> list[str]:
        """Read every entry in full; return the keys of those that are damaged. They are set aside."""
        from recipes_core.cache.collection import scan

        bad = []
        for key, _, _ in scan(self.layout):
            seen = _state_of(self.layout.entry(key))
            found = self._read(key)
            if found is None:
                bad += [key] if key in self._damaged else []
                continue
            try:
                verify_files(self.layout.entry(key), found[0])
            except Damaged as problem:
                if self._set_aside(key, found[0].step, str(problem), seen):
                    bad.append(key)
            except PermissionError:
                continue
        return bad

    def _read(self, key: str) -> tuple[Manifest, object] | None:
        folder = self.layout.entry(key)
        if self._foreign or key in self._stuck:
            return None
        for _ in range(_LOOKS):
            seen = _state_of(folder)
            try:
                return read_manifest(folder, key)
            except Damaged as problem:
                if self._set_aside(key, "", str(problem), seen):
                    return None
            except OSError:
                return None  # what may not be read is not there for us
        return None

    def _set_aside(self, key: str, step: str, why: str, seen: object) -> bool:
        """Move a damaged entry out of the way; False where it has been removed or replaced meanwhile, so that another look is due.

        Parameters
        ----------
        seen : object
            `_state_of` the folder before it was read. Who reads while others remove and publish anew may see a part of both.
        """
        folder = self.layout.entry(key)
        if seen is None or _state_of(folder) != seen:
            return False
        moved = False
        if self.writable:
            with contextlib.suppress(OSError):
                self.layout.folder("quarantine").mkdir(parents=True, exist_ok=True)
                folder.rename(self.layout.folder("quarantine") / f"{int(time.time())}.{key[:16]}.{own_name()}")
                moved = True
        if not moved:
            self._stuck.add(key)
        if key not in self._damaged:
            self._damaged.add(key)
            of = f" of step '{step}'" if step else ""
            then = "it was set aside" if moved else "it is left where it is"
            self.warnings.append(f"the cache entry {key[:12]}{of} is damaged ({why}); {then}, and the result is made anew.")
        self._verified.pop(key, None)
        return True

    # writing

    def publish(
        self,
        key: str,
        obj: DataObject,
        *,
        step: str,
        module: str,
        port: str,
        seconds: float,
        note: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> Manifest:
        """Keep an object under a key.

        Parameters
        ----------
        key : str
        obj : DataObject
        step, module, port : str
            What made it.
        seconds : float
            How long that took.
        note : mapping, optional
            Further plain values for the manifest.
        replace : bool
            Whether an entry that is there gives way. Otherwise it stays, with a warning where the new object differs.

        Returns
        -------
        Manifest
            Of the entry that is now under the key.

        Raises
        ------
        CacheUnwritable
            Where the folder cannot be written; nothing of the entry is left visible.
        NotCacheable
            Where the object cannot be stored.
        """
        target = self.layout.entry(key)
        packed = packed_of(obj)
        origin = {"step": step, "module": module, "port": port, "seconds": float(seconds), "note": dict(note or {})}
        with self._disk(), staged(self.layout) as stage:
            arrays = write_arrays(stage, packed)
            try:
                manifest = manifest_of(key, obj, packed, arrays, origin)
                content = manifest.to_bytes()
            except TypeError as error:
                raise NotCacheable(f"the metadata of a {packed.kind} cannot be kept: {error}") from error
            write_manifest(stage, content, alone=not manifest.files)
            there = self._put_in_place(stage, target, manifest, replace)
        self._damaged.discard(key)
        self._stuck.discard(key)
        return there

    def remove(self, key: str) -> bool:
        """Remove an entry; whether there was one.

        Raises
        ------
        CacheUnwritable
            Where it cannot be removed.
        """
        with self._disk():
            gone = discard(self.layout, self.layout.entry(key))
        self._verified.pop(key, None)
        self._stuck.discard(key)
        return gone

    def lock(self, key: str, waiting: OnWait | None = None) -> AbstractContextManager[bool]:
        """Keep others from computing the same thing meanwhile; see `recipes_core.cache.locks.lock`."""
        from recipes_core.cache.locks import lock

        self.layout.entry(key)
        return lock(self.layout, key, waiting) if self.writable and not self._foreign else contextlib.nullcontext(False)

    def pin(self, keys: Iterable[str]) -> AbstractContextManager[None]:
        """Keep `gc` of every process away from these entries while the context is open."""
        from recipes_core.cache.collection import pin

        return pin(self.layout, keys) if self.writable and not self._foreign else contextlib.nullcontext()

    def gc(self, pinned: Container[str] = (), *, max_bytes: int | None = None, max_age: float | None = None) -> GcReport:
        """Remove what was not used for longest until the cache is within its limits; see `recipes_core.cache.collection`."""
        from recipes_core.cache.collection import collect

        with self._disk():
            return collect(
                self.layout,
                pinned,
                self.max_bytes if max_bytes is None else max_bytes,
                self.max_age_days if max_age is None else max_age,
            )

    def _disk(self) -> AbstractContextManager[None]:
        return writing_to(self.root, writable=self.writable, foreign=self._foreign)

    def _put_in_place(self, stage: Path, target: Path, manifest: Manifest, replace: bool) -> Manifest:
        for _ in range(8):
            try:
                stage.rename(target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                if not os.path.lexists(target):
                    if error.errno in _TAKEN:
                        continue  # it was there a moment ago
                    raise
                there = None if replace or manifest.key in self._stuck else self._read(manifest.key)
                if there is not None:
                    return self._yield_to(there[0], manifest)
                discard(self.layout, target)
            else:
                self._verified.pop(manifest.key, None)
                return manifest
        raise OSError(errno.EBUSY, f"{target.name[:12]} is being replaced all the time")

    def _yield_to(self, there: Manifest, made: Manifest) -> Manifest:
        if there.digest != made.digest:
            self.warnings.append(
                f"step '{made.step}' ({made.module}) gave another '{made.port}' than before from the same inputs and parameters: "
                "it is not deterministic. The earlier result is kept."
            )
        return there


def _state_of(folder: Path) -> object:
    """What changes when a folder is replaced; None where there is none."""
    try:
        found = os.lstat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def block_key(step_key: str, name: str, index: int | str) -> str:
    """Key of one block of a long computation."""
    return digest_of(["block", step_key, name, index])
