"""A YAML document as a tree that knows the place of every key and value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from recipes_core.language.document import Mark

_LETTERS_PER_NODE = 64


@dataclass
class Scalar:
    """A single value: text, number, true or false, null; `faulty` where a fault is noted that hides which."""

    value: Any
    mark: Mark
    faulty: bool = False

    @property
    def size(self) -> int:
        """Number of nodes; long text counts as several."""
        return 1 + (len(self.value) // _LETTERS_PER_NODE if isinstance(self.value, str) else 0)


@dataclass
class Sequence:
    """A list."""

    mark: Mark
    items: list[Node] = field(default_factory=list)
    size: int = 1


@dataclass
class Entry:
    """A key of a mapping and its value."""

    key: str
    mark: Mark
    value: Node


@dataclass
class Mapping:
    """A mapping; keys are text, each there once."""

    mark: Mark
    entries: dict[str, Entry] = field(default_factory=dict)
    size: int = 1

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def get(self, key: str) -> Entry | None:
        """The entry of that key, or None."""
        return self.entries.get(key)


Node = Scalar | Sequence | Mapping
"""`size` is the number of nodes below, aliases counted each time."""


def plain(node: Node) -> Any:
    """The value as dicts, lists and scalars."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {entry.key: plain(entry.value) for entry in node}


def kind_of(node: Node) -> str:
    """What a node is, for people."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "null"
    if isinstance(node.value, bool):
        return "true or false"
    return "text" if isinstance(node.value, str) else "a number"
