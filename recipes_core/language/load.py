"""Reads recipes, in both forms of the language."""

from __future__ import annotations

import os
from collections.abc import Sequence as SequenceType
from pathlib import Path
from typing import Any

from recipes_core.errors import Problem, UsageError, did_you_mean
from recipes_core.language.document import RecipeDocument, Reference
from recipes_core.language.faults import Faults, shown
from recipes_core.language.keys import settle_output_keys
from recipes_core.language.nodes import Entry, Mapping, Node, Sequence, kind_of, plain
from recipes_core.language.overrides import Override, resolve_overrides
from recipes_core.language.references import Params
from recipes_core.language.scanning import decode
from recipes_core.language.sections import SectionReader, read_flag, read_params, read_text, read_whole_number
from recipes_core.language.steps import StepReader, read_items
from recipes_core.language.yamlload import MAX_BYTES, parse_yaml

VERSION = 1
TOP_KEYS = ("recipe", "name", "inputs", "params", "modules", "outputs", "seed", "execute_on_invalidation")
_NO_RECIPE_HINT = "A recipe is a list of modules, or a mapping with a list under 'modules:'."


def load(path: str | Path, overrides: SequenceType[Override] = ()) -> RecipeDocument:
    """Read a recipe file; nothing runs.

    Parameters
    ----------
    path : path
        YAML or JSON, PYME's form or the full one.
    overrides : sequence of Override
        Values that take the place of the file's.

    Raises
    ------
    UsageError
        Where there is no such file, or an override is for nothing or has a value that is not allowed.
    RecipeInvalid
        With every fault that was found.
    PluginError
        Where modules cannot be imported and nothing else is wrong.
    """
    file = Path(path)
    faults = Faults(file)
    text = decode(_read(file), faults)
    if text is None:
        raise faults.error()
    return loads(text, file=file, overrides=overrides)


def loads(
    text: str, *, file: Path | None = None, base: Path | None = None, overrides: SequenceType[Override] = ()
) -> RecipeDocument:
    """Read a recipe from text; see `load`.

    Parameters
    ----------
    text : str
    file : Path, optional
        For the places of faults.
    base : Path, optional
        Folder that names of files in the recipe are relative to: by default that of `file`, else the current one.
    """
    faults = Faults(file)
    folder = base if base is not None else file.parent if file is not None else Path()
    root = parse_yaml(text, faults)
    if root is None:
        raise faults.error()
    return _Loader(text, file, Path(os.path.normpath(folder.absolute())), faults).read(root, overrides)


def _read(file: Path) -> bytes:
    if file.is_dir():
        raise UsageError(f"'{file}' is a folder.", code="U110", hint="Name a recipe file in it.")
    try:
        with file.open("rb") as stream:
            # A file that is too long is reported by the parser, which needs only its beginning for that.
            return stream.read(4 * MAX_BYTES + 1)
    except FileNotFoundError:
        hint = did_you_mean(file.name, _recipes_beside(file), what="recipes there")
        raise UsageError(f"there is no recipe file '{file}'.", code="U110", hint=hint) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"'{file}' cannot be read: {reason}.", code="U110") from None


def _recipes_beside(file: Path) -> list[str]:
    try:
        return [path.name for path in file.parent.iterdir() if path.suffix in (".yaml", ".yml", ".json")]
    except OSError:
        return []


class _Loader:
    """One recipe on its way from nodes to a document."""

    def __init__(self, text: str, file: Path | None, base: Path, faults: Faults) -> None:
        self.text, self.file, self.base, self.faults = text, file, base, faults
        self.override_faults = Faults()

    def read(self, root: Node, overrides: SequenceType[Override]) -> RecipeDocument:
        top = self._top(root)
        modules = top.get("modules")
        items = read_items(modules.value, self.faults) if modules is not None else []
        written_params = read_params(top.get("params"), self.faults)
        classes = {item.id: item.cls for item in items if item.cls is not None}
        resolved = resolve_overrides(overrides, written_params, classes)
        self.override_faults.errors.extend(resolved.problems)

        values = {**written_params, **{name: override.value for name, override in resolved.params.items()}}
        bases = {name: override.base for name, override in resolved.params.items()}
        params = Params(values, self.faults)
        references: dict[tuple[str, ...], Reference] = {}
        reader = StepReader(params, self.base, resolved.values, bases, self.faults, self.override_faults, references)
        steps = tuple(spec for item in items if (spec := reader.read(item)) is not None)
        sections = SectionReader(params, self.base, bases, self.faults, references)
        inputs = sections.inputs(top.get("inputs"))
        outputs = sections.outputs(top.get("outputs"))
        self.faults.errors.extend(settle_output_keys(steps, reserved=inputs, file=self.file))
        document = RecipeDocument(
            file=self.file,
            base=self.base,
            name=read_text(top.get("name"), self.file.stem if self.file else "recipe", self.faults),
            steps=steps,
            inputs=inputs,
            params=values,
            outputs=outputs,
            seed=read_whole_number(top.get("seed"), 0, self.faults),
            execute_on_invalidation=read_flag(top.get("execute_on_invalidation"), self.faults),
            text=self.text,
            references=references,
            warnings=self._warnings(top.get("params"), params),
        )
        self._raise_faults()
        return document

    def _top(self, root: Node) -> dict[str, Entry]:
        if isinstance(root, Sequence):
            return {"modules": Entry("modules", root.mark, root)}
        if not isinstance(root, Mapping):
            self.faults.add("R120", f"this is no recipe but {kind_of(root)}.", _NO_RECIPE_HINT, mark=root.mark)
            raise self.faults.error()
        if root.get("modules") is None and not any(key in TOP_KEYS for key in root.entries):
            first = next(iter(root), None)
            hint = _NO_RECIPE_HINT
            if first is not None and isinstance(first.value, Mapping):
                hint += f" Write '- ' before '{first.key}' if it is a module."
            self.faults.add("R120", "this is no recipe: it has no modules.", hint, mark=root.mark)
            raise self.faults.error()
        for entry in root:
            if entry.key not in TOP_KEYS:
                hint = did_you_mean(entry.key, TOP_KEYS, what="a recipe has")
                self.faults.add("R121", f"a recipe has no '{entry.key}:'.", hint, mark=entry.mark)
        if root.get("modules") is None:
            self.faults.add("R120", "this is no recipe: it has no 'modules:'.", _NO_RECIPE_HINT, mark=root.mark)
        version = root.get("recipe")
        if version is not None and not _is_version(plain(version.value)):
            message = f"recipe: must be {VERSION}, the version of the language, not {shown(plain(version.value))}."
            hint = "The recipe's name stands under 'name:'; a newer version of the language needs a newer smlm-recipes."
            self.faults.add("R122", message, hint, mark=version.value.mark)
        return dict(root.entries)

    def _warnings(self, section: Entry | None, params: Params) -> tuple[Problem, ...]:
        if section is not None and isinstance(section.value, Mapping):
            for entry in section.value:
                if entry.key not in params.used:
                    self.faults.warn(
                        "R132", f"params: nothing uses '{entry.key}'.", f"Write '${{{entry.key}}}'.", mark=entry.mark
                    )
        return tuple(self.faults.warnings)

    def _raise_faults(self) -> None:
        if self.faults.errors:
            self.faults.errors.extend(self.override_faults.errors)
            raise self.faults.error()
        if self.override_faults.errors:
            problems = self.override_faults.errors
            first = problems[0]
            raise UsageError(first.message, code=first.code, hint=first.hint, problems=problems)


def _is_version(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == VERSION
