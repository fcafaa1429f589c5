"""What travels with every object: metadata, and the history of how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

if TYPE_CHECKING:
    from recipes_core.data.packing import Packed


@dataclass(frozen=True)
class HistoryEntry:
    """One thing that happened to the data.

    Parameters
    ----------
    step : str
        Name of the step, or of the input for a file.
    module : str
        Full module name; ``file`` for data that were read.
    version : int
        Version of the module.
    parameters : mapping
        All parameters with their values, defaults included.
    inputs : mapping
        Port -> key that it was read from; for a file: ``path``, ``table`` and ``format``.
    outputs : mapping
        Port -> key that it was written to.
    seed : int, optional
        Seed of the step where the module draws random numbers.
    """

    step: str
    module: str
    version: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain containers, for JSON and YAML."""
        result: dict[str, Any] = {"step": self.step, "module": self.module, "version": self.version}
        for name in ("parameters", "inputs", "outputs"):
            result[name] = dict(getattr(self, name))
        if self.seed is not None:
            result["seed"] = self.seed
        return result

    def __getstate__(self) -> dict[str, Any]:
        # Without the texts that are kept beside the fields.
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @cached_property
    def identity(self) -> str:
        """A text that two entries share where they say the same."""
        return json.dumps(self.as_dict(), sort_keys=True, default=str)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HistoryEntry:
        """Inverse of `as_dict`; unknown keys are ignored."""
        known = ("step", "module", "version", "parameters", "inputs", "outputs", "seed")
        return cls(**{name: values[name] for name in known if name in values})


class History(Sequence[HistoryEntry]):
    """Entries in order, oldest first, each once; made of other histories without copying them.

    A chain of a thousand steps would otherwise hold half a million entries. They are put in order when somebody looks.

    Parameters
    ----------
    entries : iterable of HistoryEntry
    parents : iterable of History
        What came before, in order.
    """

    __slots__ = ("_flat", "_own", "_parents")

    def __init__(self, entries: Iterable[HistoryEntry] = (), parents: Iterable[History] = ()) -> None:
        self._own = tuple(entries)
        self._parents = tuple(parents)
        self._flat: tuple[HistoryEntry, ...] | None = None if self._parents else self._own

    @classmethod
    def of(cls, entries: Iterable[HistoryEntry]) -> History:
        """The same history where it is one already."""
        return entries if isinstance(entries, History) else cls(entries)

    def _entries(self) -> tuple[HistoryEntry, ...]:
        if self._flat is None:
            self._flat = tuple(self._walk())
        return self._flat

    def _walk(self) -> Iterator[HistoryEntry]:
        # Without recursion: chains may be longer than Python's stack.
        seen_nodes: set[int] = set()
        seen: set[str] = set()
        stack: list[tuple[History, bool]] = [(self, False)]
        while stack:
            node, ready = stack.pop()
            if not ready and id(node) in seen_nodes:
                continue
            if not ready and node._flat is None:
                seen_nodes.add(id(node))
                stack.append((node, True))
                stack.extend((parent, False) for parent in reversed(node._parents))
                continue
            seen_nodes.add(id(node))
            for entry in node._own if ready else node._flat or ():
                if entry.identity not in seen:
                    seen.add(entry.identity)
                    yield entry

    @overload
    def __getitem__(self, index: int) -> HistoryEntry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[HistoryEntry, ...]: ...
    def __getitem__(self, index: int | slice) -> HistoryEntry | tuple[HistoryEntry, ...]:
        return self._entries()[index]

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[HistoryEntry]:
        return iter(self._entries())

    def __bool__(self) -> bool:
        return bool(self._own or self._parents)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, (History, tuple)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<History of {len(self)} entries>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (History, (tuple(self),))


class DataObject:
    """Base of everything that travels along an edge of a recipe.

    Objects are not changed after they are made; ``with_...`` methods return changed copies that share the arrays.

    Attributes
    ----------
    metadata : dict
        Flat mapping of dotted names, PYME's where PYME has one (``voxelsize.x`` in um, ``Camera.ReadNoise`` in e-).
    history : History
        How it was made, oldest first.
    """

    metadata: dict[str, Any]
    history: History

    def _init_provenance(self, metadata: Mapping[str, Any] | None, history: Iterable[HistoryEntry]) -> None:
        self.metadata = dict(metadata or {})
        self.history = History.of(history)

    def with_provenance(self, metadata: Mapping[str, Any] | None = None, history: Iterable[HistoryEntry] | None = None) -> Self:
        """A copy with other metadata or history that shares the data."""
        # Much faster than copy.copy, and a recipe does it for every object that a step makes.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.metadata = dict(self.metadata if metadata is None else metadata)
        other.history = self.history if history is None else History.of(history)
        return other

    def read_only(self) -> Self:
        """A view whose arrays refuse to be written to; modules receive this."""
        return self

    def pack(self) -> Packed:
        """The object as plain arrays and a description, without metadata and history.

        A type that shall be kept in the cache implements `pack` and `unpack`, and is registered under its own name.
        """
        raise TypeError(f"{type(self).__name__} has no pack(), so the cache cannot hold it")

    @classmethod
    def unpack(
        cls,
        spec: Mapping[str, Any],
        arrays: Mapping[str, Any],
        metadata: Mapping[str, Any],
        history: Iterable[HistoryEntry],
    ) -> Self:
        """Inverse of `pack`; the arrays may be read-only memory maps."""
        raise TypeError(f"{cls.__name__} has no unpack(), so the cache cannot hold it")

    def summary(self) -> str:
        """One line for people: size, columns, range."""
        return type(self).__name__


DataT = TypeVar("DataT", bound=DataObject)
