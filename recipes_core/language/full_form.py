"""Writes a recipe in the full form, with comments on what differs from how it was written, and with the comments that it had."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from recipes_core.errors import UsageError
from recipes_core.language.document import InputSpec, RecipeDocument, Reference, StepSpec
from recipes_core.language.dump import dump, module_name
from recipes_core.language.faults import Faults, shown
from recipes_core.language.load import loads
from recipes_core.language.lookup import ID
from recipes_core.language.nodes import Entry, Sequence, plain
from recipes_core.language.nodes import Mapping as MappingNode
from recipes_core.language.overrides import canonical_name
from recipes_core.language.references import written_out
from recipes_core.language.steps import Item, read_items
from recipes_core.language.yamlload import parse_yaml
from recipes_core.ports import Output, Parameter, Port

_FILES = ("file", "files")
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*", re.MULTILINE)


def full_form(document: RecipeDocument, inputs: Mapping[str, str], base: Path | None = None) -> str:
    """The text of a recipe in the full form.

    Parameters
    ----------
    document : RecipeDocument
        As it was read, in either form.
    inputs : mapping
        Key -> type of what must be given to the recipe; declared where the recipe does not declare it itself.
    base : Path, optional
        Folder of the new file, which names of files in it are relative to; by default that of the old one.

    Raises
    ------
    UsageError
        Where the text would not give the same steps.
    """
    declared = {**document.inputs, **{k: InputSpec(k, kind) for k, kind in inputs.items() if k not in document.inputs}}
    moved = replace(document, inputs=declared, base=base or document.base)
    if moved.base != document.base:
        moved = replace(moved, references=_without_files(document))
    text = dump(moved)
    again = loads(text, base=moved.base)
    _require_same(document, again)
    head, comments = _comments(document)
    lines = text.splitlines()
    for spec, new, item in reversed(list(zip(document.steps, again.steps, _items(document), strict=True))):
        assert new.mark is not None
        notes = [*comments.get(spec.id, ()), *(f"# {note}" for note in _notes(spec, item))]
        lines[new.mark.line - 1 : new.mark.line - 1] = [f"  {note}" for note in notes]
    origin = f"# {document.file.name} in the full form; values that are defaults are left out." if document.file else ""
    return "\n".join([*filter(None, [origin]), *head, *lines]) + "\n"


def _without_files(document: RecipeDocument) -> dict[tuple[str, ...], Reference]:
    """The references that give no names of files: those are relative to the old folder, and are written out."""
    traits: dict[tuple[str, ...], Port | Parameter] = {
        (spec.id, name): trait for spec in document.steps for name, trait in type(spec.module).declared().items()
    }
    return {
        place: use
        for place, use in document.references.items()
        if place[-1] != "path" and getattr(traits.get(place[:2]), "kind", "") not in _FILES
    }


def _require_same(document: RecipeDocument, again: RecipeDocument) -> None:
    for one, other in zip(document.steps, again.steps, strict=True):
        names = type(one.module).declared()
        same = type(one.module) is type(other.module) and one.id == other.id
        if not same or any(getattr(one.module, name) != getattr(other.module, name) for name in names):
            raise UsageError(f"the full form of step '{one.id}' would not be the same step.", code="U145")


def _modules(document: RecipeDocument) -> Sequence | None:
    root = parse_yaml(document.text, Faults())
    if isinstance(root, MappingNode):
        entry = root.get("modules")
        root = entry.value if entry is not None else None
    return root if isinstance(root, Sequence) else None


def _items(document: RecipeDocument) -> list[Item]:
    modules = _modules(document)
    return [] if modules is None else read_items(modules, Faults())


def _notes(spec: StepSpec, item: Item) -> Iterator[str]:
    """What a reader of the old file would not find again in the new one."""
    cls = type(spec.module)
    new = module_name(spec)
    if item.written_name != new:
        yield f"was {item.written_name}"
    for entry in item.body:
        name = canonical_name(cls, entry.key)
        if entry.key == ID or name is None:
            continue
        if name != entry.key:
            yield f"{entry.key} is now {name}"
        trait = cls.declared()[name]
        yield from _of_value(entry, name, trait, getattr(spec.module, name))
    for port, trait in cls.outputs().items():
        key = getattr(spec.module, port)
        if key != trait.default_value and port not in spec.written:
            yield f"{port}: its default key {trait.default_value} is taken by another step"


def _of_value(entry: Entry, name: str, trait: Port | Parameter, value: Any) -> Iterator[str]:
    if getattr(trait, "deprecated", False):
        yield (
            f"{name} is made only where something asks for it" if isinstance(trait, Output) else f"{name} has no effect any more"
        )
        return
    written, read = plain(entry.value), written_out(value)
    if _differs(written, read) and getattr(trait, "kind", "") not in _FILES:
        yield f"{name}: {shown(written)} is read as {shown(read)}"


def _differs(written: Any, read: Any) -> bool:
    """Whether more than the way of writing a number has changed."""
    if isinstance(written, (list, tuple)) and isinstance(read, (list, tuple)):
        return len(written) != len(read) or any(_differs(one, other) for one, other in zip(written, read, strict=True))
    if isinstance(written, dict) and isinstance(read, dict):
        return written.keys() != read.keys() or any(_differs(written[key], read[key]) for key in written)
    if isinstance(written, str) and "${" in written:
        return False
    whole = isinstance(written, float) and isinstance(read, int)
    return whole or bool(written != read)


def _comments(document: RecipeDocument) -> tuple[list[str], dict[str, list[str]]]:
    """Comments of the old file: those of its head, and those of each step.

    A comment in lines of its own, no further in than the items of the list, belongs to the step that follows it.
    """
    modules = _modules(document)
    marks = [item.mark for item in modules.items] if modules is not None else []
    head: list[str] = []
    found: dict[str, list[str]] = {}
    dash = min((mark.col for mark in marks), default=3) - 2
    for line, column, own_line, comment in _found_comments(document.text):
        before = sum(mark.line <= line for mark in marks)
        index = before if own_line and column <= dash and before < len(marks) else before - 1
        if index < 0:
            head.append(comment)
        else:
            found.setdefault(document.steps[index].id, []).append(comment)
    return head, found


def _found_comments(text: str) -> Iterator[tuple[int, int, bool, str]]:
    """Line and column (from 1), whether it has its line alone, and the comment itself."""
    end = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        start = token.start_mark.index
        for match in _COMMENT.finditer(text, end, start) if start > end else ():
            yield _placed(text, match)
        end = max(end, token.end_mark.index)


def _placed(text: str, match: re.Match[str]) -> tuple[int, int, bool, str]:
    begin = text.rfind("\n", 0, match.start()) + 1
    before = text[begin : match.start()]
    return text.count("\n", 0, match.start()) + 1, len(before) + 1, not before.strip(), match.group().rstrip()
