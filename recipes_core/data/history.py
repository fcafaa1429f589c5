"""What travels with every object: metadata, and the history of how it was made."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar


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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HistoryEntry:
        """Inverse of `as_dict`; unknown keys are ignored."""
        known = ("step", "module", "version", "parameters", "inputs", "outputs", "seed")
        return cls(**{name: values[name] for name in known if name in values})


def merge_histories(histories: Iterable[tuple[HistoryEntry, ...]]) -> tuple[HistoryEntry, ...]:
    """Join histories in order, each entry once."""
    merged: list[HistoryEntry] = []
    for history in histories:
        merged.extend(entry for entry in history if entry not in merged)
    return tuple(merged)


class DataObject:
    """Base of everything that travels along an edge of a recipe.

    Objects are not changed after they are made; ``with_...`` methods return changed copies that share the arrays.

    Attributes
    ----------
    metadata : dict
        Flat mapping of dotted names, PYME's where PYME has one (``voxelsize.x`` in um, ``Camera.ReadNoise`` in e-).
    history : tuple of HistoryEntry
        How it was made, oldest first.
    """

    metadata: dict[str, Any]
    history: tuple[HistoryEntry, ...]

    def _init_provenance(self, metadata: Mapping[str, Any] | None, history: Iterable[HistoryEntry]) -> None:
        self.metadata = dict(metadata or {})
        self.history = tuple(history)

    def with_provenance(self, metadata: Mapping[str, Any] | None = None, history: Iterable[HistoryEntry] | None = None) -> Self:
        """A copy with other metadata or history that shares the data."""
        other = copy.copy(self)
        other.metadata = dict(self.metadata if metadata is None else metadata)
        other.history = tuple(self.history if history is None else history)
        return other

    def read_only(self) -> Self:
        """A view whose arrays refuse to be written to; modules receive this."""
        return self

    def summary(self) -> str:
        """One line for people: size, columns, range."""
        return type(self).__name__


DataT = TypeVar("DataT", bound=DataObject)
