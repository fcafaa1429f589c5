"""Undoing a change of a recipe that went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from recipes_core.language import StepSpec
from recipes_core.module import ModuleBase


class Snapshot:
    """The steps of a recipe and all values of their modules at one moment."""

    def __init__(self, specs: Iterable[StepSpec]) -> None:
        self._specs = list(specs)
        self._values = [{name: getattr(spec.module, name) for name in spec.module.declared()} for spec in self._specs]
        self._written = [spec.written for spec in self._specs]

    def restore(self, changed: Callable[[ModuleBase, str], None]) -> list[StepSpec]:
        """Set everything back and return the steps; `changed` watches the modules from then on."""
        for spec, values, written in zip(self._specs, self._values, self._written, strict=True):
            spec.module.watch(None)
            spec.module.trait_set(**values)
            spec.module.watch(changed)
            spec.written = written
        return list(self._specs)
