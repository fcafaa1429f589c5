"""Where a recipe's objects are: given, in memory, in the cache. What plans ask is answered here."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes_core.cache.canonical import digest_of
from recipes_core.data import DataObject, HistoryEntry
from recipes_core.data.history import History
from recipes_core.errors import CacheUnwritable, NotCacheable
from recipes_core.plan import Past, PlannedStep, Where
from recipes_core.run.past import PastBook
from recipes_core.versions import versions

if TYPE_CHECKING:
    from recipes_core.cache.digests import FileDigests, Stamp
    from recipes_core.cache.store import Cache
    from recipes_core.run.binding import Bound
    from recipes_core.run.following import Following

READING = 1
"""Raise it where readers make other data of the same file: what was made from files is then made again."""

_numbers = itertools.count(1)


class ResultLost(Exception):
    """A result that the plan counted on cannot be loaded: it was damaged, or removed meanwhile."""


@dataclass
class Given:
    """What stands behind a free input.

    Parameters
    ----------
    value : DataObject, optional
    load : callable, optional
        Reads it on first use.
    label : str
        What people call it.
    files : tuple of Path
        Whose content it is.
    part : object
        Which part of the files, read in which way; plain values.
    source : Bound, optional
        How another process reads it.
    """

    value: DataObject | None = None
    load: Callable[[], DataObject] | None = None
    label: str = ""
    files: tuple[Path, ...] = ()
    part: Any = None
    source: Bound | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    content: str = ""

    def get(self) -> DataObject:
        """The object."""
        if self.value is None:
            assert self.load is not None
            self.value = self.load()
        return self.value


class Workspace:
    """Objects by name, in memory and in the cache; implements `recipes_core.plan.Knowledge`.

    The name of an object that a step made follows from the step's key. That of a given object follows from its content where
    there is a cache; otherwise it is a number, and files are not read to find it out.

    Attributes
    ----------
    cache : Cache or None
    following : Following or None
        Where files that are still being written are followed.
    unkept : str
        Why results are not kept, empty where they are.
    compared : dict
        ``step.port`` of results that were made again while the cache held them -> whether they came out the same.
    """

    def __init__(self) -> None:
        self.cache: Cache | None = None
        self._digests: FileDigests | None = None
        self.book = PastBook()
        self.unkept = ""
        self.following: Following | None = None
        self.compared: dict[str, bool] = {}
        self._given: dict[str, Given] = {}
        self._objects: dict[str, DataObject] = {}
        self._loaded: set[str] = set()
        self._made: dict[str, list[str]] = {}
        self._stamps: dict[Path, Stamp] = {}

    def use_cache(self, cache: Cache | None, book: PastBook | None = None) -> None:
        """Keep results in a cache; None for memory alone."""
        self.cache = cache
        self._digests = None
        self.book = book or PastBook()
        self.unkept = ""

    @property
    def keeps(self) -> bool:
        """Whether results go into the cache."""
        growing = self.following is not None and bool(self.following.growing)
        return self.cache is not None and self.cache.writable and not self.unkept and not growing

    def _grows(self, path: Path) -> bool:
        return self.following is not None and self.following.is_growing(path)

    @property
    def digests(self) -> FileDigests:
        """Digests of files, remembered in the cache."""
        if self._digests is None:
            from recipes_core.cache.digests import FileDigests

            self._digests = self.cache.files if self.cache is not None else FileDigests(None, False)
        return self._digests

    # -- given ---------------------------------------------------------------------------------------------------------

    def give(self, key: str, given: Given) -> None:
        """Put an object behind a free input."""
        self._given[key] = given

    def take_back(self, key: str) -> None:
        """Leave a free input without an object."""
        self._given.pop(key, None)

    def has_given(self, key: str) -> bool:
        """Whether a free input was given an object."""
        return key in self._given

    def given_keys(self) -> tuple[str, ...]:
        """Free inputs that were given an object."""
        return tuple(self._given)

    def given_object(self, key: str) -> DataObject:
        """The object behind a free input."""
        return self._given[key].get()

    def source_of(self, key: str) -> Bound | None:
        """How another process reads what stands behind a free input; None for objects in memory."""
        return self._given[key].source

    def stamps_of(self, paths: Iterable[Path]) -> dict[Path, Stamp]:
        """States of files at the time when their digest was taken."""
        return {path: self._stamps[path] for path in paths if path in self._stamps}

    # -- what plans ask --------------------------------------------------------------------------------------------------

    def given(self, key: str) -> str:
        """Name of the object behind a free input; empty where there is none."""
        given = self._given.get(key)
        if given is None:
            return ""
        if self.cache is None:
            return f"given {given.number}"
        return self.given_content(key)

    def given_content(self, key: str) -> str:
        """Digest of the content behind a free input, whether there is a cache or not."""
        given = self._given[key]
        if not given.content:
            given.content = self._content_of(given)
        return given.content

    def _content_of(self, given: Given) -> str:
        if given.files:
            return digest_of(["file", READING, [self._file(path) for path in given.files], given.part])
        from recipes_core.cache.payload import payload_digest

        value = given.get()
        return digest_of(["object", payload_digest(value.pack()), dict(value.metadata)])

    def label(self, key: str) -> str:
        """What people call the object behind a free input."""
        return self._given[key].label if key in self._given else ""

    def file_digest(self, path: str) -> str:
        """Digest of a file's content, empty where there is none."""
        name = Path(path.partition("?")[0])
        return digest_of([self._file(name), path.partition("?")[2]]) if name.exists() else ""

    def _file(self, path: Path) -> str:
        if self._grows(path):
            # Not read: what is there now has no name that anybody could ask for again.
            found = path.stat()
            return digest_of(["growing", str(path), found.st_ino, found.st_size, found.st_mtime_ns])
        if path not in self._stamps:
            self._stamps[path] = self.digests.stamp(path)
        return self.digests.digest(path)

    def where(self, name: str) -> Where:
        """Where an object is."""
        if name in self._objects:
            return Where.MEMORY
        return Where.DISK if self.cache is not None and self.cache.has(name) else Where.NOWHERE

    def damaged(self, name: str) -> bool:
        """Whether the cache held an object that was damaged."""
        return self.cache is not None and self.cache.damaged(name)

    def past(self, step: str) -> Past | None:
        """How a step was last run."""
        return self.book.get(step)

    # -- objects ---------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> DataObject:
        """An object that a step made.

        Raises
        ------
        ResultLost
            Where it is nowhere.
        """
        if name not in self._objects:
            loaded = self.cache.load(name) if self.cache is not None else None
            if loaded is None:
                raise ResultLost(name)
            self._objects[name] = loaded
            self._loaded.add(name)
        return self._objects[name]

    def get_as(self, name: str, planned: PlannedStep, outputs: Mapping[str, str]) -> DataObject:
        """An object with this recipe's own names in its history: another recipe may have put it into the cache."""
        found = self.get(name)
        if name in self._loaded:
            self._loaded.discard(name)
            found = self._objects[name] = _relabelled(found, planned, outputs)
        return found

    def in_memory(self, name: str) -> bool:
        """Whether an object is in memory."""
        return name in self._objects

    def publish(self, planned: PlannedStep, made: Mapping[str, DataObject], seconds: float, warnings: Iterable[str] = ()) -> None:
        """Keep what a step made, by port, and note how it ran and what it warned of."""
        warnings = tuple(warnings)
        self.forget(planned.step, but=set(planned.made.values()))
        for port, value in made.items():
            name = planned.made.get(port)
            if name is None:
                continue
            self._objects[name] = value
            self._made.setdefault(planned.step, []).append(name)
            self._keep(planned, port, name, value, seconds, warnings)
        self.note(planned, made, seconds, warnings)

    def hold(self, planned: PlannedStep, made: Mapping[str, DataObject]) -> None:
        """Take what a step of the same key has made elsewhere into memory, by port."""
        for port, value in made.items():
            if port in planned.made:
                self._objects[planned.made[port]] = value
                self._made.setdefault(planned.step, []).append(planned.made[port])

    def warnings_of(self, planned: PlannedStep) -> tuple[str, ...]:
        """What a step warned of when its present results were made, by whatever run."""
        past = self.book.get(planned.step)
        if past is not None and past.key == planned.key:
            return past.warnings
        for name in planned.made.values():
            manifest = self.cache.manifest(name) if self.cache is not None else None
            if manifest is not None:
                found = manifest.note.get("warnings", ())
                return tuple(str(text) for text in found) if isinstance(found, (list, tuple)) else ()
        return ()

    def note(self, planned: PlannedStep, made: Iterable[str], seconds: float, warnings: Iterable[str] | None = None) -> None:
        """Write down how a step ran, for later plans; `warnings` None where another run has made it."""
        told = self.warnings_of(planned) if warnings is None else tuple(warnings)
        taken = {key: name for _, key, name in planned.taken if name}
        labels = {key: self.label(key) for key in taken if key in self._given}
        before = self.book.get(planned.step)
        ports = dict.fromkeys(made)
        if before is not None and before.key == planned.key:
            ports = dict.fromkeys((*before.made, *ports))
        self.book.put(planned.step, Past(planned.identity, planned.key, taken, tuple(ports), seconds, labels, told))

    def _keep(
        self, planned: PlannedStep, port: str, name: str, value: DataObject, seconds: float, warnings: tuple[str, ...]
    ) -> None:
        if self.cache is None or not self.keeps:
            return
        note = {"key": planned.key, "parameters": dict(planned.identity.parameters), "versions": versions()}
        if warnings:
            note["warnings"] = list(warnings)
        before = self.cache.manifest(name)
        try:
            now = self.cache.publish(
                name,
                value,
                step=planned.step,
                module=planned.identity.module,
                port=port,
                seconds=seconds,
                note=note,
                replace=True,
            )
            if before is not None:
                self.compared[f"{planned.step}.{port}"] = before.digest == now.digest
                if before.digest != now.digest:
                    self.cache.warnings.append(
                        f"step '{planned.step}' gave another '{port}' than before from the same inputs and parameters."
                    )
        except CacheUnwritable as error:
            self.unkept = str(error)
        except NotCacheable as error:
            self.cache.warnings.append(f"'{port}' of step '{planned.step}' is not kept: {error}")

    def drop_memory(self, names: Iterable[str]) -> None:
        """Free memory; what the cache holds stays there."""
        for name in names:
            self._objects.pop(name, None)

    def drop_all(self) -> None:
        """Free memory: what steps made, and what can be read from files again."""
        self._objects.clear()
        self._made.clear()
        for given in self._given.values():
            if given.load is not None:
                given.value = None

    def forget(self, step: str, but: Collection[str] = ()) -> None:
        """Drop from memory what a step made."""
        self.drop_memory(name for name in self._made.pop(step, ()) if name not in but)

    def forget_all_but(self, steps: Iterable[str]) -> None:
        """Drop from memory what steps made that are no longer there."""
        kept = set(steps)
        for step in [step for step in self._made if step not in kept]:
            self.forget(step)
        self.book.keep_only(kept)

    # -- files that are read -----------------------------------------------------------------------------------------------

    def files_behind(self, keys: Iterable[str]) -> Iterator[Path]:
        """Files behind free inputs."""
        for key in keys:
            if key in self._given:
                yield from self._given[key].files

    def reads_files(self) -> bool:
        """Whether digests of files were taken, so that a change of them would be noticed."""
        return bool(self._stamps)

    def any_file_changed(self) -> bool:
        """Whether a file is no longer what it was when its digest was taken."""
        return bool(self._stamps) and bool(self.changed_files(self._stamps))

    def changed_files(self, paths: Iterable[Path]) -> list[Path]:
        """Files that are no longer what they were when their digest was taken."""
        return [path for path in paths if path in self._stamps and self.digests.stamp(path) != self._stamps[path]]

    def look_again(self) -> None:
        """Forget digests of files, so that the next plan sees what has changed."""
        changed = set(self.changed_files(self._stamps))
        for path in changed:
            del self._stamps[path]
        for given in self._given.values():
            if changed & set(given.files):
                given.content = ""
                if given.load is not None:
                    given.value = None


def _relabelled(value: DataObject, planned: PlannedStep, outputs: Mapping[str, str]) -> DataObject:
    """An object from the cache with this recipe's own names in its last history entry; another recipe may have made it."""
    if not value.history:
        return value
    *before, last = value.history
    ports = {port: outputs[port] for port in last.outputs if port in outputs}
    inputs = {port: key for port, key, name in planned.taken if name}
    entry: HistoryEntry = replace(
        last, step=planned.step, inputs={p: inputs.get(p, k) for p, k in last.inputs.items()}, outputs=ports
    )
    return value.with_provenance(history=History((*before, entry)))
