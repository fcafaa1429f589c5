"""The namespace of a recipe: objects by key, and how each was made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from recipes_core.data import DataObject
from recipes_core.plan import Record


class Store:
    """Objects in memory. Every object that is put in gets a new token, by which plans tell it from its predecessor."""

    def __init__(self) -> None:
        self._objects: dict[str, DataObject] = {}
        self._tokens: dict[str, int] = {}
        self._records: dict[str, Record] = {}
        self._later: dict[str, Callable[[], DataObject]] = {}
        self._made: dict[str, str] = {}
        self._next = itertools.count(1)

    def record(self, step: str) -> Record | None:
        """How a step's results were made."""
        return self._records.get(step)

    def token(self, key: str) -> int | None:
        """Token of the object behind a key."""
        return self._tokens.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self._tokens

    def keys(self) -> tuple[str, ...]:
        """Keys that hold an object, current or not."""
        return tuple(self._tokens)

    def made_keys(self) -> tuple[str, ...]:
        """Keys whose objects steps made."""
        return tuple(self._made)

    def get(self, key: str) -> Any:
        """The object behind a key, None where there is none; whether it is current is for a plan to say."""
        if key in self._later:
            self._objects[key] = self._later[key]()
            del self._later[key]
        return self._objects.get(key)

    def put(self, key: str, value: DataObject) -> int:
        """Store an object; return its token."""
        self.drop([key])
        self._objects[key] = value
        self._tokens[key] = next(self._next)
        return self._tokens[key]

    def put_later(self, key: str, load: Callable[[], DataObject]) -> None:
        """Store an object that is read when it is first asked for."""
        self.drop([key])
        self._later[key] = load
        self._tokens[key] = next(self._next)

    def drop(self, keys: Iterable[str]) -> None:
        """Forget objects."""
        for key in keys:
            for mapping in (self._objects, self._tokens, self._later, self._made):
                mapping.pop(key, None)

    def publish(self, step: str, record: Record, made: Mapping[str, DataObject]) -> None:
        """Store what a step made, together with how."""
        self.forget(step)
        tokens = {key: self.put(key, value) for key, value in made.items()}
        self._made.update(dict.fromkeys(made, step))
        self._records[step] = Record(record.identity, record.taken, tokens, record.seconds)

    def forget(self, step: str) -> None:
        """Drop a step's results and record."""
        record = self._records.pop(step, None)
        if record is not None:
            self.drop([key for key, token in record.made.items() if self._tokens.get(key) == token])

    def forget_all_but(self, steps: Iterable[str]) -> None:
        """Drop the results of steps that are no longer there."""
        kept = set(steps)
        for step in tuple(self._records):
            if step not in kept:
                self.forget(step)
