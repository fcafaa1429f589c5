"""The structure of a recipe: its steps, how they are connected, and changing both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from traits.api import Any as AnyTrait
from traits.api import HasStrictTraits

from recipes_core import language
from recipes_core.data import DataObject
from recipes_core.editing import Snapshot
from recipes_core.errors import Problem, RecipeInvalid, UsageError, did_you_mean
from recipes_core.graph import FreeInput, Graph, build_graph
from recipes_core.language import InputSpec, StepSpec
from recipes_core.module import ModuleBase
from recipes_core.run import Workspace


class Structure(HasStrictTraits):
    """Steps and their connections; `Recipe` adds inputs, running and saving.

    A change that leaves the recipe with a fault is undone; results that it makes meaningless are forgotten.
    """

    _document = AnyTrait()
    _specs = AnyTrait()
    _replaced = AnyTrait()
    _space = AnyTrait()
    _cached_graph = AnyTrait()
    _editing = AnyTrait(0)
    _pending = AnyTrait(False)
    _revision = AnyTrait(0)

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._specs = []
        self._replaced = {}
        self._space = Workspace()

    def _changed(self) -> None:
        """Called after every change."""

    @property
    def graph(self) -> Graph:
        """How the steps are connected now; its `problems` lists what is wrong."""
        if self._cached_graph is None:
            document = self._document
            declared = {name: spec.kind or DataObject for name, spec in self._declared_inputs.items()}
            self._cached_graph = build_graph(
                self._specs,
                declared,
                file=document.file if document else None,
                closed=bool(document and document.inputs),
                outputs=document.outputs if document else (),
            )
        graph: Graph = self._cached_graph
        return graph

    @property
    def problems(self) -> list[Problem]:
        """Faults and warnings of the recipe as it is now."""
        return [*(self._document.warnings if self._document else ()), *self.graph.problems]

    @property
    def _declared_inputs(self) -> Mapping[str, InputSpec]:
        return {**(self._document.inputs if self._document else {}), **self._replaced}

    @property
    def outputs(self) -> Mapping[str, str]:
        """Key -> file pattern, as the recipe's ``outputs:`` says."""
        return self._document.outputs if self._document else {}

    @property
    def file(self) -> Path | None:
        """The file that the recipe was read from."""
        return self._document.file if self._document else None

    @property
    def steps(self) -> dict[str, ModuleBase]:
        """Step -> module. Changing a parameter marks what depends on it as stale."""
        return {spec.id: spec.module for spec in self._specs}

    @property
    def inputs(self) -> dict[str, FreeInput]:
        """Keys that the recipe must be given."""
        return self.graph.free_inputs

    def add(self, module: ModuleBase, *, id: str = "") -> str:  # noqa: A002 - the word that recipes use
        """Add a module; return the name of its step.

        Raises
        ------
        RecipeInvalid
            Where it makes a key that is made already, or closes a circle; the recipe is then as before.
        """
        spec = language.make_step(module, language.StepNames(self.steps), id=id)
        self._adopt([*self._specs, spec], Snapshot(self._specs))
        return str(spec.id)

    def add_all(self, modules: Iterable[ModuleBase]) -> None:
        """Add modules and check them together: much faster than one by one.

        Raises
        ------
        RecipeInvalid
            Where they do not fit; the recipe is then as before.
        """
        before = Snapshot(self._specs)
        taken = language.StepNames(self.steps)
        specs = [*self._specs, *(language.make_step(module, taken) for module in modules)]
        if len(specs) > len(self._specs):
            self._adopt(specs, before)

    def _adopt(self, specs: list[StepSpec], before: Snapshot) -> None:
        new = specs[len(self._specs) :]
        self._specs = specs
        problems = language.settle_output_keys(self._specs, reserved=self._declared_inputs)
        self._restructure()
        problems = problems or [problem for problem in self.graph.problems if problem.severity == "error"]
        if problems:
            self._specs = before.restore(self._module_changed)
            self._restructure()
            raise RecipeInvalid(problems[0].message, problems=problems)
        for spec in new:
            spec.module.watch(self._module_changed)
        self._changed()

    def take_from_outside(self, key: str) -> str:
        """Make a key that a step produces an input, to be given from a file; returns the name of that step.

        The step runs only if something else that it makes is asked for.
        """
        place = self.graph.producers[key]
        module = self.steps[place.step]
        kind = module.outputs()[place.port].data_type
        setattr(module, place.port, "")
        self._replaced[key] = InputSpec(key, kind.__name__, kind)
        self._restructure()
        return place.step

    def remove(self, step: str | ModuleBase) -> None:
        """Remove a step by name or module; what depended on it becomes stale."""
        found = [spec for spec in self._specs if step in (spec.id, spec.module)]
        if not found:
            hint = did_you_mean(str(step), self.steps, what="its steps")
            raise UsageError(f"the recipe has no step '{step}'.", code="U122", hint=hint)
        found[0].module.watch(None)
        self._specs = [spec for spec in self._specs if spec is not found[0]]
        self._restructure()
        self._changed()

    @contextlib.contextmanager
    def edit(self) -> Iterator[Self]:
        """Several changes as one: with `execute_on_invalidation` the recipe runs once, at the end; an error undoes them all."""
        before = Snapshot(self._specs)
        self._editing += 1
        try:
            yield self
        except BaseException:
            self._editing -= 1
            self._specs = before.restore(self._module_changed)
            self._pending = self._pending and self._editing > 0
            self._restructure()
            raise
        self._editing -= 1
        if self._pending and not self._editing:
            self._pending = False
            self._changed()

    def _module_changed(self, module: ModuleBase, names: tuple[str, ...]) -> None:
        ports = frozenset(names) - module.parameters().keys()
        if ports:
            for spec in self._specs:
                if spec.module is module:
                    spec.written |= ports
            self._restructure()
        self._changed()

    def _restructure(self) -> None:
        self._cached_graph = None
        self._space.forget_all_but(self.steps)
