"""Output keys: which one a port gets that the file does not write."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from recipes_core.errors import Problem
from recipes_core.language.document import Mark, StepSpec
from recipes_core.module import ModuleBase


def settle_output_keys(steps: Sequence[StepSpec], *, reserved: Collection[str] = (), file: Path | None = None) -> list[Problem]:
    """Give every output its own key.

    A key that the file writes stays. A default key that is taken gets ``_1``, ``_2`` ... in the order of the steps; ports that
    are made on demand only (diagnostic, deprecated) come last, so that they never take a key from a regular output. Calling it
    again changes nothing.

    Parameters
    ----------
    steps : sequence of StepSpec
        In the order of the file. The ports of their modules are set.
    reserved : collection of str
        Keys that defaults must leave alone: the recipe's declared inputs.
    file : Path, optional
        For the places of faults.

    Returns
    -------
    list of Problem
        One for each written key that another port already writes.
    """
    claimed: dict[str, tuple[StepSpec, str]] = {}
    problems = []
    for spec, port, key in _keys(steps, written=True):
        if key in claimed:
            problems.append(_written_twice(spec, port, key, claimed[key], file))
        else:
            claimed[key] = (spec, port)
    taken = {*claimed, *reserved}
    numbers: dict[str, int] = {}
    for on_demand in (False, True):
        for spec, port, key in _keys(steps, written=False):
            declared = spec.module.outputs()[port]
            if declared.on_demand is not on_demand:
                continue
            free = key if key not in taken else _numbered(str(declared.default_value), taken, numbers)
            taken.add(free)
            if free != key:
                _set_quietly(spec.module, port, free)
    return problems


def _keys(steps: Sequence[StepSpec], *, written: bool) -> Iterator[tuple[StepSpec, str, str]]:
    for spec in steps:
        for port, key in spec.module.output_keys().items():
            if key and (port in spec.written) is written:
                yield spec, port, key


def _numbered(key: str, taken: Collection[str], numbers: dict[str, int]) -> str:
    """The first free one of key, key_1, key_2 ...; `numbers` remembers how far the search has come."""
    number = numbers.get(key, 0)
    free = f"{key}_{number}" if number else key
    while free in taken:
        number += 1
        free = f"{key}_{number}"
    numbers[key] = number
    return free


def _set_quietly(module: ModuleBase, port: str, key: str) -> None:
    # Past the recipe that watches the module: the key is settled by the recipe, not changed by the user.
    super(ModuleBase, module).__setattr__(port, key)


def _written_twice(spec: StepSpec, port: str, key: str, first: tuple[StepSpec, str], file: Path | None) -> Problem:
    mark = spec.marks.get(port) or spec.mark
    return Problem(
        "R310",
        f"{port} writes the key '{key}', which {_described(*first, spec)} already writes.",
        "Give one of them another key.",
        str(file) if file else None,
        mark.line if mark else None,
        mark.col if mark else None,
        spec.id,
    )


def _described(first: StepSpec, port: str, second: StepSpec) -> str:
    mark: Mark | None = first.marks.get(port) or first.mark
    place = f" (line {mark.line})" if mark else ""
    return f"its port {port}{place}" if first is second else f"{port} of step '{first.id}'{place}"
