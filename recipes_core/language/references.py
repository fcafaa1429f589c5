"""``${name}`` in values: entries of ``params:``. ``$${`` stands for a plain ``${``."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes_core.errors import did_you_mean
from recipes_core.language.document import Mark
from recipes_core.language.faults import Faults, shown
from recipes_core.language.nodes import Mapping, Node, Scalar, Sequence
from recipes_core.language.yamlload import MAX_BYTES, MAX_NODES

_USE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_FIRST_FOLDER = re.compile(r"\$\{([^{}]*)\}(?=/|\Z)")


class Unresolved(Exception):
    """A value cannot be made because of a fault that is noted already."""


@dataclass
class Params:
    """The entries of ``params:`` and who uses them.

    Parameters
    ----------
    values : mapping
        Name -> plain value.
    faults : Faults
    used : set of str
        Names that some value uses; kept up to date.
    """

    values: MappingType[str, Any]
    faults: Faults
    used: set[str] = field(default_factory=set)
    _nodes: int = 0
    _letters: int = 0

    def fill(self, node: Node, *, step: str | None = None) -> tuple[Any, tuple[str, ...]]:
        """The plain value of a node with its references replaced, and the names that it uses.

        A reference that is the whole text keeps its type.

        Raises
        ------
        Unresolved
            Where a reference or the value itself is wrong; the fault is noted.
        """
        names: list[str] = []
        failed = len(self.faults.errors)
        try:
            value = self._fill(node, names, step)
        finally:
            self.used.update(names)
        if len(self.faults.errors) > failed:
            raise Unresolved
        return value, tuple(dict.fromkeys(names))

    def _fill(self, node: Node, names: list[str], step: str | None) -> Any:
        if isinstance(node, Sequence):
            return [self._fill(item, names, step) for item in node.items]
        if isinstance(node, Mapping):
            return {entry.key: self._fill(entry.value, names, step) for entry in node}
        if node.faulty:
            raise Unresolved
        if not isinstance(node.value, str) or "${" not in node.value:
            return node.value
        return self._replace(node, names, step)

    def _replace(self, node: Scalar, names: list[str], step: str | None) -> Any:
        parts: list[str] = []
        end = 0
        for use in _USE.finditer(node.value):
            parts.append(node.value[end : use.start()])
            end = use.end()
            if use.group(0) == "$${":
                parts.append("${")
                continue
            if not self._check(use.group(1), node.mark, step):
                continue
            names.append(use.group(1))
            value = self.values[use.group(1)]
            self._spend(value, node.mark)
            if use.group(0) == node.value:
                return value
            parts.append(self._as_text(use.group(1), value, node.mark, step))
        return "".join([*parts, node.value[end:]])

    def _check(self, name: str | None, mark: Mark, step: str | None) -> bool:
        if name is None:
            message = "'${' begins the use of an entry of params: but has no matching '}'."
            self.faults.add("R131", message, "Write '$${' for a plain '${'.", mark=mark, step=step)
        elif name not in self.values:
            hint = did_you_mean(name, self.values, what="params") or "The recipe has no params: section."
            self.faults.add("R130", f"params: has no entry '{name}'.", hint, mark=mark, step=step)
        return name is not None and name in self.values

    def _as_text(self, name: str, value: Any, mark: Mark, step: str | None) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        message = f"'${{{name}}}' stands inside text and must be text or a number, not {shown(value)}."
        self.faults.add("R131", message, "Use it as a whole value.", mark=mark, step=step)
        return ""

    def _spend(self, value: Any, mark: Mark) -> None:
        """Bound how much a small file can grow by references."""
        self._nodes += _count(value)
        self._letters += len(value) if isinstance(value, str) else 0
        if self._nodes > MAX_NODES or self._letters > MAX_BYTES:
            self.faults.add("R105", "the values of params: grow too large where they are used.", "Shorten them.", mark=mark)
            raise Unresolved


def base_of(written: Any, bases: MappingType[str, Path], base: Path) -> Path:
    """The folder that the name of a file is relative to.

    Parameters
    ----------
    written : object
        The name as the recipe writes it, its references in place.
    bases : mapping
        Entries of ``params:`` that an override gives -> folder that names of files in them are relative to.
    base : Path
        Folder that names in the recipe are relative to.

    Examples
    --------
    >>> base_of("${folder}/a.npz", {"folder": Path("here")}, Path("recipe")).name
    'here'
    >>> base_of("data/${cell}.npz", {"cell": Path("here")}, Path("recipe")).name
    'recipe'
    """
    # Only what begins a name says where it starts; further on an override merely fills a gap in the recipe's own name.
    begin = _FIRST_FOLDER.match(written) if isinstance(written, str) else None
    return bases.get(begin.group(1), base) if begin else base


def written_out(value: Any) -> Any:
    """A plain value so that reading it again gives the same: ``${`` becomes ``$${``."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, (list, tuple)):
        return [written_out(item) for item in value]
    if isinstance(value, MappingType):
        return {name: written_out(item) for name, item in value.items()}
    return value


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1
