"""What the loader makes of a recipe file: steps, inputs, parameters, outputs, each with its place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recipes_core.data import DataObject
from recipes_core.errors import Problem, UsageError
from recipes_core.module import ModuleBase

_WORD = re.compile(r"[^\W\d][\w&+-]*")


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file; line and column count from 1."""

    line: int
    col: int

    def __str__(self) -> str:
        return f"{self.line}:{self.col}"


@dataclass
class StepSpec:
    """One step of a recipe.

    Parameters
    ----------
    id : str
        Name of the step, unique in its recipe.
    written_name : str
        The module's name as the file writes it.
    module : ModuleBase
        With all values set; names of files that it reads are absolute.
    mark : Mark, optional
        Place of the module's name; None for steps that Python made.
    marks : mapping
        Port or parameter (present name) -> place of its value.
    written : frozenset of str
        Ports and parameters (present names) that the file writes or the constructor was given.
    """

    id: str
    written_name: str
    module: ModuleBase
    mark: Mark | None = None
    marks: dict[str, Mark] = field(default_factory=dict)
    written: frozenset[str] = frozenset()


@dataclass(frozen=True)
class InputSpec:
    """An entry of ``inputs:``.

    Parameters
    ----------
    name : str
        Key that the steps take.
    type_name : str
        As written; ``''`` where the file gives none.
    kind : type, optional
        The data type, None where the file gives none.
    path : str, optional
        Absolute name of the file that is read where nothing else is given; may end in ``?table=NAME``.
    metadata : mapping
        Flat, dotted names.
    mark : Mark, optional
        Place of the name.
    """

    name: str
    type_name: str = ""
    kind: type[DataObject] | None = None
    path: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None


@dataclass(frozen=True)
class Reference:
    """A value that the file writes with ``${name}``.

    Parameters
    ----------
    written : object
        The value with its references, as plain containers.
    names : tuple of str
        Entries of ``params:`` that it uses.
    value : object
        What the value was after loading; as long as it is still this, `dump` writes the references again.
    """

    written: Any
    names: tuple[str, ...]
    value: Any


@dataclass(frozen=True)
class RecipeDocument:
    """A recipe file, read and checked.

    Parameters
    ----------
    file : Path, optional
        As it was named; None for text.
    base : Path
        Absolute folder that names of files in the recipe are relative to.
    name : str
    steps : tuple of StepSpec
        In the order of the file.
    inputs, params, outputs : mapping
        Sections of the full form; `outputs` maps keys to file patterns, ``''`` for the default name.
    seed : int
    execute_on_invalidation : bool
    text : str
        The file's text.
    references : mapping
        ``(step, parameter)``, ``("inputs", name, field)`` or ``("outputs", key, "")`` -> its use of ``${name}``.
    warnings : tuple of Problem
        What is allowed but worth telling: old names, entries of ``params:`` that nothing uses.
    """

    file: Path | None
    base: Path
    name: str
    steps: tuple[StepSpec, ...] = ()
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    execute_on_invalidation: bool = False
    text: str = ""
    references: Mapping[tuple[str, ...], Reference] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    @staticmethod
    def updated(
        document: RecipeDocument | None,
        *,
        name: str,
        steps: Sequence[StepSpec],
        seed: int,
        execute_on_invalidation: bool,
        inputs: Mapping[str, InputSpec] | None = None,
    ) -> RecipeDocument:
        """`document` with what has changed since it was read; a new one where there is None."""
        before = document or RecipeDocument(None, Path.cwd(), name)
        changed = replace(before, name=name, steps=tuple(steps), seed=seed, execute_on_invalidation=execute_on_invalidation)
        return changed if inputs is None else replace(changed, inputs=inputs)


def is_word(name: str) -> bool:
    """Whether `name` can be written as a step before a dot: ``STEP.PARAM``."""
    return _WORD.fullmatch(name) is not None


def default_id(short_name: str, taken: Collection[str]) -> str:
    """`short_name`, else with ``_2``, ``_3`` ... until it is not in `taken`.

    Examples
    --------
    >>> default_id("Locs_RCC", {"Locs_RCC"})
    'Locs_RCC_2'
    """
    return StepNames(taken).free(short_name)


class StepNames:
    """Names of steps that are taken; finds free ones without counting from one each time."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._taken

    def take(self, name: str) -> str:
        """Mark a name as taken."""
        self._taken.add(name)
        return name

    def free(self, short_name: str) -> str:
        """The name that `default_id` gives."""
        name, number = short_name, self._next.get(short_name, 1)
        if number > 1:
            name = f"{short_name}_{number}"
        while name in self._taken:
            number += 1
            name = f"{short_name}_{number}"
        self._next[short_name] = number
        return name


def make_step(module: ModuleBase, taken: Iterable[str] | StepNames = (), *, id: str = "") -> StepSpec:  # noqa: A002 - the word of recipes
    """A step for a module that Python made.

    Parameters
    ----------
    module : ModuleBase
    taken : iterable of str or StepNames
        Names of the steps that there are; the latter receives that of the new one.
    id : str
        Name of the step; by default that of the module, with a number where it is taken.

    Raises
    ------
    UsageError
        Where `id` is no word or is taken.
    """
    names = taken if isinstance(taken, StepNames) else StepNames(taken)
    if id and not is_word(id):
        raise UsageError(f"a step cannot be called '{id}'.", code="U124", hint="Use letters, digits and '_', a letter first.")
    if id in names:
        raise UsageError(f"the recipe already has a step '{id}'.", code="U125", hint="Give this one another id.")
    declared = type(module).declared()
    # Traits keep what was set, and only that, in the instance.
    written = frozenset(name for name in declared if name in module.__dict__)
    return StepSpec(names.take(id or names.free(module.name())), module.name(), module, written=written)
