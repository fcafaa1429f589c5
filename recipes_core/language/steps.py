"""The list of modules of a recipe, read into steps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from traits.api import TraitError

from recipes_core.errors import RecipeError, did_you_mean
from recipes_core.language.document import Mark, Reference, StepSpec, default_id, is_word
from recipes_core.language.faults import Faults, shown
from recipes_core.language.lookup import ID, find_class
from recipes_core.language.nodes import Entry, Node, Scalar, Sequence, kind_of, plain
from recipes_core.language.nodes import Mapping as MappingNode
from recipes_core.language.overrides import Override, canonical_name
from recipes_core.language.references import Params, Unresolved, base_of
from recipes_core.language.scalars import is_number
from recipes_core.module import ModuleBase
from recipes_core.ports import FilePath, FilePaths, Parameter, Port, map_paths

_ITEM_HINT = "Each item of the list is 'Module: {parameter: value}'."


@dataclass
class Item:
    """An item of the list of modules, before its values are looked at."""

    written_name: str
    mark: Mark
    body: MappingNode
    short_name: str
    cls: type[ModuleBase] | None = None
    id: str = ""


def read_items(modules: Node, faults: Faults) -> list[Item]:
    """Find the module of every item, and name the steps."""
    if not isinstance(modules, Sequence):
        faults.add("R123", f"modules: must be a list, not {kind_of(modules)}.", "Begin each module with '- '.", mark=modules.mark)
        return []
    items = [item for node in modules.items if (item := _read_item(node, faults)) is not None]
    _name_steps(items, faults)
    return items


def _read_item(node: Node, faults: Faults) -> Item | None:
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
        hint = f"Write '{node.value}: {{}}' for a module with nothing but defaults."
        faults.add("R123", "an item of the list of modules must be a mapping, not text.", hint, mark=node.mark)
        return None
    if not isinstance(node, MappingNode):
        faults.add("R123", f"an item of the list of modules must be a mapping, not {kind_of(node)}.", _ITEM_HINT, mark=node.mark)
        return None
    entries = list(node)
    if not entries:
        faults.add("R123", "an item of the list of modules names no module.", _ITEM_HINT, mark=node.mark)
        return None
    head, *others = entries
    for other in others:
        message = f"'{other.key}' stands beside the module '{head.key}' in one item."
        hint = f"Indent it further if it belongs to '{head.key}', or begin a new item with '- '."
        faults.add("R123", message, hint, mark=other.mark)
    body = head.value
    if isinstance(body, Scalar) and body.value is None:
        body = MappingNode(body.mark)
    if not isinstance(body, MappingNode):
        message = f"what belongs to the module '{head.key}' must be a mapping, not {kind_of(body)}."
        faults.add("R124", message, "Write 'parameter: value' in lines of their own, indented.", mark=body.mark)
        body = MappingNode(body.mark)
    names = [entry.key for entry in body if entry.key != ID]
    found = find_class(head.key, names, head.mark, faults)
    short_name, cls = found or (head.key.rpartition(".")[2], None)
    return Item(head.key, head.mark, body, short_name, cls)


def _name_steps(items: list[Item], faults: Faults) -> None:
    places: dict[str, Mark] = {}
    for item in items:
        entry = item.body.get(ID)
        if entry is None:
            continue
        name = plain(entry.value)
        if not isinstance(name, str) or not is_word(name):
            hint = "Use letters, digits and '_', a letter first."
            faults.add("R125", f"{ID} must be a word, not {shown(name)}.", hint, mark=entry.value.mark)
        elif name in places:
            message = f"the id '{name}' is already that of a step (line {places[name].line})."
            faults.add("R126", message, "Give one of them another id.", mark=entry.value.mark)
        else:
            item.id = name
            places[name] = entry.value.mark
    taken = set(places)
    for item in items:
        if not item.id:
            item.id = default_id(item.short_name, taken)
            taken.add(item.id)


@dataclass
class StepReader:
    """Makes steps of items.

    Parameters
    ----------
    params : Params
        Entries of ``params:``, overrides included.
    base : Path
        Absolute folder that names of files in the recipe are relative to.
    overrides : mapping
        (step, port or parameter) -> override.
    param_bases : mapping
        Entries of ``params:`` that an override gives -> folder that names of files in them are relative to.
    faults, override_faults : Faults
        Faults of the recipe, and of values that overrides give.
    references : dict
        Receives the uses of ``${name}``.
    """

    params: Params
    base: Path
    overrides: Mapping[tuple[str, str], Override]
    param_bases: Mapping[str, Path]
    faults: Faults
    override_faults: Faults
    references: dict[tuple[str, ...], Reference] = field(default_factory=dict)

    def read(self, item: Item) -> StepSpec | None:
        """Set all values of a module; None, with the fault noted, where it cannot be made."""
        if item.cls is None:
            self._mark_uses(item)
            return None
        faults_before = len(self.faults.errors) + len(self.override_faults.errors)
        values: dict[str, Any] = {}
        marks: dict[str, Mark] = {}
        for entry, name in self._known_entries(item, item.cls):
            marks[name] = entry.value.mark
            self._read_value(item, item.cls, entry, name, values)
        for (step, name), override in self.overrides.items():
            if step == item.id:
                self._override(item, item.cls, name, override, values)
        self._resolve_default_files(item.cls, values)
        module = self._make(item, item.cls, values)
        if module is None:
            return None
        if len(self.faults.errors) + len(self.override_faults.errors) == faults_before:
            self._check(item, module)
        written = frozenset(marks) | {name for step, name in self.overrides if step == item.id}
        return StepSpec(item.id, item.written_name, module, item.mark, marks, written)

    def _mark_uses(self, item: Item) -> None:
        """Look at the references of a module that is not known: they are right or wrong all the same."""
        for entry in item.body:
            if entry.key != ID:
                self._filled(entry, item.id)

    def _known_entries(self, item: Item, cls: type[ModuleBase]) -> Iterator[tuple[Entry, str]]:
        seen: dict[str, Entry] = {}
        for entry in item.body:
            if entry.key == ID:
                continue
            name = canonical_name(cls, entry.key)
            if name is None:
                hint = did_you_mean(entry.key, (*cls.declared(), ID), what=f"{item.short_name} takes")
                message = f"{item.short_name} has no parameter or port '{entry.key}'."
                self.faults.add("R203", message, hint, mark=entry.mark, step=item.id)
                self._filled(entry, item.id)
            elif name in seen:
                first = seen[name]
                message = f"'{entry.key}' and '{first.key}' (line {first.mark.line}) are names of the same value."
                self.faults.add("R205", message, f"Keep '{name}'.", mark=entry.mark, step=item.id)
            else:
                if name != entry.key:
                    message = f"'{entry.key}' is an old name of '{name}'."
                    self.faults.warn("R208", message, "Write the new one.", mark=entry.mark, step=item.id)
                seen[name] = entry
                yield entry, name

    def _filled(self, entry: Entry, step: str) -> tuple[Any, tuple[str, ...]] | None:
        try:
            return self.params.fill(entry.value, step=step)
        except Unresolved:
            return None

    def _read_value(self, item: Item, cls: type[ModuleBase], entry: Entry, name: str, values: dict[str, Any]) -> None:
        filled = self._filled(entry, item.id)
        if filled is None or (item.id, name) in self.overrides:
            return
        raw, used = filled
        written = plain(entry.value)
        bases = self._bases(written, raw)
        trait = cls.declared()[name]
        try:
            value = _absolute(trait, accept(trait, raw), bases)
        except ValueError:
            given = f" (from {', '.join('${' + word + '}' for word in used)})" if used else ""
            faults = self.override_faults if self.param_bases.keys() & set(used) else self.faults
            message = f"{name} must be {trait.expected()}, not {shown(raw)}{given}."
            faults.add("R204", message, _hint_for_value(trait, raw), mark=entry.value.mark, step=item.id)
            return
        values[name] = value
        # In a recipe that is written again the name would be relative to the recipe, and so another file.
        moved = isinstance(trait, (FilePath, FilePaths)) and any(base != self.base for base in bases)
        if used and not moved:
            self.references[item.id, name] = Reference(written, used, value)

    def _bases(self, written: Any, raw: Any) -> list[Path]:
        """For each name of a file in a value the folder that it is relative to; other values do not use it."""
        if isinstance(written, list):
            # Empty names are left out of the value.
            return [base_of(item, self.param_bases, self.base) for item, name in zip(written, raw, strict=True) if name != ""]
        names = len(raw) if isinstance(raw, list) else 1
        return [base_of(written, self.param_bases, self.base)] * names

    def _override(self, item: Item, cls: type[ModuleBase], name: str, override: Override, values: dict[str, Any]) -> None:
        trait = cls.declared()[name]
        try:
            values[name] = _absolute(trait, accept(trait, override.value), repeat(override.base))
        except ValueError:
            message = f"-p {override.name}: {name} must be {trait.expected()}, not {shown(override.value)}."
            self.override_faults.add("U144", message, _hint_for_value(trait, override.value))

    def _resolve_default_files(self, cls: type[ModuleBase], values: dict[str, Any]) -> None:
        for name, parameter in cls.parameters().items():
            if name in values:
                continue
            resolved = _absolute(parameter, parameter.default_value, repeat(self.base))
            if resolved != parameter.default_value:
                values[name] = resolved

    def _make(self, item: Item, cls: type[ModuleBase], values: dict[str, Any]) -> ModuleBase | None:
        try:
            return cls(**values)
        except TraitError as error:
            self.faults.add("R204", f"{error}.", mark=item.mark, step=item.id)
        except RecipeError as error:
            self.faults.add("R206", error.message, error.hint, mark=item.mark, step=item.id)
        except Exception as error:  # a third party's module may raise anything
            message = f"the module cannot be made: {type(error).__name__}: {error}."
            self.faults.add("P123", message, "This is a fault of its plugin.", mark=item.mark, step=item.id)
        return None

    def _check(self, item: Item, module: ModuleBase) -> None:
        try:
            for sentence in module.check():
                self.faults.add("R206", sentence, mark=item.mark, step=item.id)
        except RecipeError as error:
            self.faults.add("R206", error.message, error.hint, mark=item.mark, step=item.id)
        except Exception as error:  # a third party's module may raise anything
            message = f"its check fails: {type(error).__name__}: {error}."
            self.faults.add("P123", message, "This is a fault of its plugin.", mark=item.mark, step=item.id)


def accept(trait: Port | Parameter, value: Any) -> Any:
    """The value in the form in which the module stores it; ValueError where it is not allowed."""
    try:
        return trait.accept(value) if isinstance(trait, Parameter) else trait.coerce(value)
    except (TypeError, OverflowError) as error:
        # What a third party's parameter raises for a kind of value that it did not think of.
        raise ValueError(str(error)) from error


def _absolute(trait: Port | Parameter, value: Any, bases: Iterable[Path]) -> Any:
    remaining = iter(bases)

    def change(name: str) -> str:
        if "\0" in name:
            raise ValueError(name)
        return os.path.normpath(next(remaining) / name)

    return map_paths(trait, value, change) if isinstance(trait, Parameter) else value


def _hint_for_value(trait: Port | Parameter, value: Any) -> str:
    kind = getattr(trait, "kind", "")
    if isinstance(value, str) and kind in ("integer", "number") and is_number(value):
        return "Remove the quotes."
    if isinstance(value, str) and kind == "choice":
        return did_you_mean(value, getattr(trait, "choices", ()), what="choices")
    if isinstance(value, str) and kind == "boolean" and value.casefold() in ("yes", "no", "on", "off"):
        return "In YAML 1.2 yes, no, on and off are text."
    if value is None and isinstance(trait, Port):
        return "Write '' to leave it unconnected."
    return ""
