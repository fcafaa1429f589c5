"""``-p STEP.PARAM=VALUE`` and ``-p PARAM=VALUE``: values that a command gives instead of the file's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes_core.errors import Problem, UsageError, did_you_mean
from recipes_core.language.faults import Faults
from recipes_core.language.nodes import plain
from recipes_core.language.yamlload import parse_yaml
from recipes_core.module import ModuleBase


@dataclass(frozen=True)
class Override:
    """A value from the command line.

    Parameters
    ----------
    name : str
        ``STEP.PARAM`` or ``PARAM``.
    value : object
        Plain containers and scalars.
    base : Path
        Folder that names of files in the value are relative to: the current one.
    """

    name: str
    value: Any
    base: Path


def parse_override(text: str, base: Path | None = None) -> Override:
    """Read ``NAME=VALUE``; the value is YAML.

    Raises
    ------
    UsageError
        Where it is no such thing.

    Examples
    --------
    >>> parse_override("Locs_RCC.binsize=20").value
    20
    """
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise UsageError(f"'{text}' is not NAME=VALUE.", code="U130", hint="For example: -p Locs_RCC.binsize=20")
    return Override(name, parse_value(value, f"-p {name}"), (base or Path.cwd()).absolute())


def parse_value(text: str, what: str = "a value") -> Any:
    """Read a single value as a recipe would: ``1e-3`` is a number, ``no`` is text; nothing is empty text.

    Parameters
    ----------
    text : str
        YAML.
    what : str
        What the value is for, in messages.

    Raises
    ------
    UsageError
        Where it is not valid YAML.
    """
    if not text.strip():
        return ""
    faults = Faults()
    node = parse_yaml(text, faults)
    # A lone `null` reads as an empty document; as a value it is meant.
    found = [problem for problem in faults.errors if problem.code != "R107"]
    if found:
        raise UsageError(f"{what}: the value cannot be read: {found[0].message}", code="U141", hint=found[0].hint)
    return None if node is None else plain(node)


@dataclass
class Resolved:
    """Overrides, each with what it is for.

    Attributes
    ----------
    params : dict
        Entry of ``params:`` -> override.
    values : dict
        (step, port or parameter) -> override.
    problems : list of Problem
        Overrides that are for nothing.
    """

    params: dict[str, Override]
    values: dict[tuple[str, str], Override]
    problems: list[Problem]


def resolve_overrides(
    overrides: Iterable[Override], params: Mapping[str, Any], steps: Mapping[str, type[ModuleBase]]
) -> Resolved:
    """Find what each override is for: an entry of ``params:``, else a parameter that only one step has.

    Parameters
    ----------
    overrides : iterable of Override
        A later one for the same value wins.
    params : mapping
        Entries of ``params:``.
    steps : mapping
        Step -> class of its module.
    """
    resolved = Resolved({}, {}, [])
    for override in overrides:
        if override.name in params:
            resolved.params[override.name] = override
            continue
        find = _find_in_step if "." in override.name else _find_alone
        found = find(override.name, params, steps)
        if isinstance(found, Problem):
            resolved.problems.append(found)
        else:
            resolved.values[found] = override
    return resolved


def canonical_name(cls: type[ModuleBase], name: str) -> str | None:
    """The present name of a port or parameter that may be written with an old one; None where there is none."""
    declared = cls.declared()
    if name in declared:
        return name
    return next((present for present, trait in declared.items() if name in trait.aliases), None)


def _find_in_step(name: str, params: Mapping[str, Any], steps: Mapping[str, type[ModuleBase]]) -> tuple[str, str] | Problem:
    step, _, parameter = name.rpartition(".")
    step = step if step in steps else step.rpartition(".")[2]
    if step not in steps:
        hint = did_you_mean(step, steps, what="its steps")
        return Problem("U123", f"-p {name}: the recipe has no step '{step}'.", hint)
    found = canonical_name(steps[step], parameter)
    if found is None:
        hint = did_you_mean(parameter, steps[step].declared(), what="its parameters and ports")
        return Problem("U142", f"-p {name}: step '{step}' has no parameter '{parameter}'.", hint)
    return step, found


def _find_alone(name: str, params: Mapping[str, Any], steps: Mapping[str, type[ModuleBase]]) -> tuple[str, str] | Problem:
    owners = []
    for step, cls in steps.items():
        found = canonical_name(cls, name)
        if found is not None and found in cls.parameters():
            owners.append((step, found))
    if len(owners) == 1:
        return owners[0]
    if owners:
        several = ", ".join(f"{step}.{parameter}" for step, parameter in owners)
        return Problem("U143", f"-p {name}: several steps have a parameter '{name}'.", f"Say which: {several}.")
    known = {*params, *(parameter for cls in steps.values() for parameter in cls.parameters())}
    hint = did_you_mean(name, known, what="its parameters")
    return Problem("U142", f"-p {name}: no step has a parameter '{name}', and params: has no such entry.", hint)
