"""Writes results, each as a whole or not at all; leaves files alone that already hold what would be written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes_core import io
from recipes_core.cache.canonical import digest_of
from recipes_core.cache.layout import write_atomically
from recipes_core.data import DataObject
from recipes_core.module import WriterModule
from recipes_core.plan import Plan
from recipes_core.plugins import registry
from recipes_core.run.results import Destination
from recipes_core.run.workspace import Workspace
from recipes_core.versions import versions

RECORD = 1
"""Form of the record inside a result."""


@dataclass(frozen=True)
class Saved:
    """A result on disk.

    Parameters
    ----------
    label : str
        The key, or the step that writes.
    path : Path
    digest : str
        Of its payload; empty where the type has none.
    unchanged : bool
        True where the file held it already and was left alone.
    """

    label: str
    path: Path
    digest: str
    unchanged: bool = False


class ResultSaver:
    """Saves the results of a plan that was carried out.

    Parameters
    ----------
    space : Workspace
    plan : Plan
    object_of : callable
        Key -> object.
    about : mapping
        What every record holds: recipe, seed, inputs.
    """

    def __init__(self, space: Workspace, plan: Plan, object_of: Callable[[str], DataObject], about: Mapping[str, Any]) -> None:
        self.space = space
        self.plan = plan
        self.object_of = object_of
        self.about = dict(about)

    def kind(self, key: str) -> type[DataObject]:
        """Type of the object behind a key; what the cache holds is not loaded for it."""
        name = self.plan.names.get(key, "")
        cache = self.space.cache
        if cache is not None and name and not self.space.in_memory(name):
            manifest = cache.manifest(name)
            ref = registry().datatypes.get(manifest.kind) if manifest is not None else None
            if ref is not None:
                found: type[DataObject] = ref.load()
                return found
        return type(self.object_of(key))

    def save(self, destinations: Iterable[Destination]) -> list[Saved]:
        """Write every destination that is not up to date.

        Each file carries a record of how it was made: recipe, seed, inputs, key, payload digest and the versions in use; no times.
        """
        wanted = list(destinations)
        for folder in {destination.path.parent for destination in wanted}:
            io.sweep(folder)
        return [self._save(destination) for destination in wanted]

    def state(self, destination: Destination) -> str:
        """Whether a file is ``current``, ``stale`` or ``missing``; nothing is loaded."""
        name = self.plan.names.get(destination.key, "")
        manifest = self.space.cache.manifest(name) if self.space.cache is not None and name else None
        if not destination.path.exists():
            return "missing"
        if manifest is None:
            return "stale"
        return "current" if _StampFile(self.space, destination.path).fits(self._told(destination, manifest.digest)) else "stale"

    def _record(self, destination: Destination, digest: str) -> dict[str, Any]:
        return {"record": RECORD, "key": destination.key, **self.about, "digest": digest, "versions": versions()}

    def _told(self, destination: Destination, digest: str) -> str:
        record = self._record(destination, digest)
        writer = destination.writer
        if writer is not None:
            others = [self._stored_digest(key) for _, key, _ in self.plan[destination.label].taken]
            record["writer"] = [writer.name(), writer.version, writer.parameter_values(), others]
        return digest_of(record)

    def _stored_digest(self, key: str) -> str:
        name = self.plan.names.get(key, "")
        manifest = self.space.cache.manifest(name) if self.space.cache is not None and name else None
        return manifest.digest if manifest is not None else name

    def _content(self, destination: Destination) -> DataObject:
        writer = destination.writer
        if writer is None or type(writer).content is WriterModule.content:
            return self.object_of(destination.key)
        inputs: dict[str, Any] = {port: [] if declared.many else None for port, declared in writer.inputs().items()}
        for port, key, _ in self.plan[destination.label].taken:
            found = self.object_of(key)
            if isinstance(inputs[port], list):
                inputs[port].append(found)
            else:
                inputs[port] = found
        return writer.content(inputs)

    def _save(self, destination: Destination) -> Saved:
        digest = self._digest(destination.key)
        stamp = _StampFile(self.space, destination.path)
        told = self._told(destination, digest)
        if digest and stamp.fits(told):
            return Saved(destination.label, destination.path, digest, unchanged=True)
        io.save(self._content(destination), destination.path, record=self._record(destination, digest))
        stamp.write(told)
        return Saved(destination.label, destination.path, digest)

    def _digest(self, key: str) -> str:
        from recipes_core.cache.payload import payload_digest

        name = self.plan.names.get(key, "")
        if self.space.cache is not None and name:
            manifest = self.space.cache.manifest(name)
            if manifest is not None:
                return manifest.digest
        try:
            return payload_digest(self.object_of(key).pack())
        except TypeError:  # a plugin's type that cannot be packed
            return ""


class _StampFile:
    """What the engine knows of a file that it wrote: where its stat is still the same, its content is too."""

    def __init__(self, space: Workspace, path: Path) -> None:
        cache = space.cache
        self.target = path
        self.writable = space.keeps
        self.place = cache.root / "stamps" / f"{digest_of(str(path))[:40]}.json" if cache is not None else None

    def _stat(self) -> list[int]:
        stat = self.target.stat()
        return [stat.st_size, stat.st_mtime_ns, stat.st_ino]

    def fits(self, told: str) -> bool:
        """Whether the file was written by this engine with this record and not touched since."""
        if self.place is None:
            return False
        try:
            return bool(json.loads(self.place.read_text(encoding="utf-8")) == [str(self.target), told, self._stat()])
        except (OSError, ValueError, RecursionError):
            return False

    def write(self, told: str) -> None:
        """Remember the file."""
        if self.place is None or not self.writable:
            return
        with contextlib.suppress(OSError):  # it will be written again next time
            self.place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.place, json.dumps([str(self.target), told, self._stat()]).encode())
