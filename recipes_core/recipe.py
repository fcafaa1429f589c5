"""`Recipe`: the object that users hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from traits.api import Any as AnyTrait

from recipes_core import language
from recipes_core.data import DataObject, HistoryEntry
from recipes_core.errors import DataError, RecipeInvalid, UsageError, did_you_mean
from recipes_core.graph import check_flow
from recipes_core.language import Override
from recipes_core.module import ModuleBase
from recipes_core.namespace import Namespace
from recipes_core.plan import Plan, StepState, make_plan
from recipes_core.ports import Bool, Int, Str
from recipes_core.run import Listener, Runner, RunReport
from recipes_core.run.binding import Bound, bind_named
from recipes_core.run.results import Layout, Selection, check_folder, refuse_unknown, select_results, stub_of
from recipes_core.run.saving import save_results
from recipes_core.structure import Structure


class Recipe(Structure):
    """A recipe: typed modules, connected by keys, run as far as it is asked for.

    Attributes
    ----------
    name : str
    seed : int
        Seed of all random numbers.
    execute_on_invalidation : bool
        Whether a change (parameter, wiring, module added or removed, input) runs the targets last asked for again, all sinks
        if none was asked for. Off by default: a change then marks what depends on it as stale, and nothing runs until asked.

    Examples
    --------
    >>> recipe = Recipe.load("correct_drift_locs.yaml")
    >>> recipe.load_inputs({"Localizations": "cell7.hdf"})
    >>> recipe["corrected_localizations"]["x"]
    """

    name = Str("recipe")
    seed = Int(0, low=0)
    execute_on_invalidation = Bool(False)

    _bound = AnyTrait()
    _last_targets = AnyTrait()

    def __init__(self, modules: Iterable[ModuleBase] = (), *, name: str = "recipe", seed: int = 0) -> None:
        super().__init__(name=name, seed=seed)
        self._bound = {}
        for module in modules:
            self.add(module)

    # -- loading ---------------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[Override] = ()) -> Self:
        """Read a recipe file; nothing runs.

        Raises
        ------
        UsageError
            Where the file does not exist.
        RecipeInvalid
            With every fault that was found.
        """
        return cls._from_document(language.load(path, overrides))

    @classmethod
    def from_yaml(cls, text: str, *, base: Path | None = None) -> Self:
        """Make a recipe from YAML text; files that it names are relative to `base`, else to the current folder."""
        return cls._from_document(language.loads(text, base=base))

    @classmethod
    def _from_document(cls, document: language.RecipeDocument) -> Self:
        recipe = cls(name=document.name, seed=document.seed)
        recipe._document = document
        recipe._specs = list(document.steps)
        graph = recipe.graph
        errors = [problem for problem in graph.problems if problem.severity == "error"]
        if errors:
            raise RecipeInvalid(errors[0].message, problems=errors)
        for spec in recipe._specs:
            spec.module.watch(recipe._module_changed)
        # Set last: building the recipe is not a change of it.
        recipe.execute_on_invalidation = document.execute_on_invalidation
        return recipe

    def to_yaml(self) -> str:
        """The recipe as YAML in the full form, with what was changed since it was loaded."""
        return language.dump(self._current_document())

    def _current_document(self) -> language.RecipeDocument:
        return language.RecipeDocument.updated(
            self._document,
            name=self.name,
            steps=tuple(self._specs),
            seed=self.seed,
            execute_on_invalidation=self.execute_on_invalidation,
        )

    # -- changes ----------------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        before = getattr(self, name, None) if name == "seed" else None
        super().__setattr__(name, value)
        if name == "seed" and self._store is not None and value != before:
            self._changed()

    def _changed(self) -> None:
        if self._editing:
            self._pending = True
        elif self.execute_on_invalidation:
            targets = [target for target in self._last_targets or () if self._is_target(target)]
            plan = self.plan(targets or None)
            if not plan.missing:
                self._run(plan)

    def _is_target(self, target: str) -> bool:
        return target in self.graph.producers or target in self.steps

    # -- inputs ----------------------------------------------------------------------------------------------------------

    def source_of(self, key: str) -> str:
        """The file behind an input; empty where it has none."""
        return str(self._bound[key].path) if key in self._bound else ""

    def load_inputs(self, files: Mapping[str, str | Path]) -> None:
        """Give inputs from files; a file is read when a step first needs it.

        Raises
        ------
        UsageError
            Where the recipe has no such input or the file does not exist.
        DataError
            Where the file does not fit.
        """
        refuse_unknown(files, self.inputs, "input")
        self.bind([bind_named(self.graph, key, path) for key, path in files.items()])

    def bind(self, bound: Iterable[Bound]) -> None:
        """Give inputs that are already matched to datasets, and check that types and columns fit all steps."""
        new = {item.key: self._with_declared_metadata(item) for item in bound}
        known = {key: item.known() for key, item in {**self._bound, **new}.items() if key in self.inputs}
        problems = check_flow(self.graph, known)
        if problems:
            raise RecipeInvalid(problems[0].message, problems=problems)
        self._bound.update(new)
        for key, item in new.items():
            self._store.put_later(key, item.load)
        if new:
            self._changed()

    def default_bindings(self, skip: Collection[str] = ()) -> list[Bound]:
        """Inputs whose files the recipe itself names, except those that have been given and those in `skip`."""
        wanted = {
            name: spec.path
            for name, spec in self._declared_inputs.items()
            if spec.path and name not in self._store and name not in skip and name in self.inputs
        }
        return [bind_named(self.graph, name, path) for name, path in wanted.items()]

    def _with_declared_metadata(self, item: Bound) -> Bound:
        declared = self._declared_inputs.get(item.key)
        if declared is None or not declared.metadata:
            return item
        return Bound(item.key, item.path, item.dataset, {**declared.metadata, **item.metadata}, item.notes)

    @property
    def namespace(self) -> Namespace:
        """Current objects by key; assign free inputs here."""
        return Namespace(self)

    def give(self, key: str, value: DataObject) -> None:
        """Give a free input an object; the same as assigning to the namespace."""
        refuse_unknown([key], self.inputs, "input")
        kind = self.inputs[key].kind
        if not isinstance(value, kind):
            raise DataError(f"input '{key}' takes {kind.__name__}, not {type(value).__name__}", code="D120")
        if not value.history:
            value = value.with_provenance(history=(HistoryEntry(key, "given", inputs={"object": type(value).__name__}),))
        self._bound.pop(key, None)
        self._store.put(key, value)
        self._changed()

    def take_back(self, key: str) -> None:
        """Leave a free input without an object again."""
        refuse_unknown([key], self.inputs, "input")
        self._bound.pop(key, None)
        self._store.drop([key])
        self._changed()

    # -- running ---------------------------------------------------------------------------------------------------------

    def plan(self, targets: Iterable[str] | None = None, *, forced: Collection[str] = ()) -> Plan:
        """What would run for `targets` (all sinks where None) and why; changes nothing."""
        asked = tuple(targets) if targets is not None else (*self.graph.sinks(), *self.graph.writers())
        for target in asked:
            self.graph.check_target(target)
        return make_plan(self.graph, self._store, asked, seed=self.seed, forced=lambda step: step in forced)

    def execute(self, targets: Iterable[str] | None = None, **inputs: DataObject) -> dict[str, DataObject]:
        """Bring targets up to date (all sinks where None); write no file.

        Parameters
        ----------
        targets : iterable of str, optional
            Keys or steps.
        **inputs
            Objects for free inputs.

        Returns
        -------
        dict
            Key -> object, for every target that is a key.
        """
        if inputs:
            self._editing += 1  # the inputs and the run are one change
            try:
                for key, value in inputs.items():
                    self.namespace[key] = value
            finally:
                self._editing -= 1
                self._pending = self._pending and self._editing > 0
        self._give_defaults()
        self._last_targets = None if targets is None else tuple(targets)
        plan = self.plan(self._last_targets)
        self._run(plan)
        return {key: self._store.get(key) for key in plan.targets if key in self._store}

    def _give_defaults(self) -> None:
        """Bind the recipe's own files without setting off a run."""
        for item in self.default_bindings():
            item = self._with_declared_metadata(item)
            self._bound[item.key] = item
            self._store.put_later(item.key, item.load)

    def _run(self, plan: Plan, **options: Any) -> RunReport:
        errors = [problem for problem in self.graph.problems if problem.severity == "error"]
        if errors:
            raise RecipeInvalid(errors[0].message, problems=errors)
        return Runner(self.graph, self._store, seed=self.seed, **options).run(plan)

    def run(
        self,
        selection: Selection,
        *,
        listener: Listener | None = None,
        n_threads: int | None = None,
        forced: Collection[str] = (),
    ) -> RunReport:
        """Run what a selection of results needs, dropping what nobody takes any more: for one run on the command line."""
        plan = self.plan(selection.targets, forced=forced)
        keep = {*selection.keys, *(key for step in selection.writers for _, key in self.graph.inputs_of(step))}
        return self._run(plan, listener=listener, n_threads=n_threads, keep=keep)

    def __getitem__(self, key: str) -> Any:
        """The object behind a key, current: what is missing or stale is computed."""
        if key not in self.graph.producers and key not in self.inputs:
            hint = did_you_mean(key, (*self.graph.producers, *self.inputs), what="its keys")
            raise UsageError(f"the recipe has no key '{key}'.", code="U120", hint=hint)
        self._give_defaults()
        self._run(self.plan([key]))
        return self._store.get(key)

    def current_keys(self) -> list[str]:
        """Keys whose objects are current."""
        graph = self.graph
        made = [key for key in self._store.keys() if key in graph.producers]
        plan = self.plan(made) if made else None
        current = {step.step for step in plan.steps if step.state is StepState.CURRENT} if plan else set()
        return [
            key
            for key in self._store.keys()
            if key in graph.free_inputs or (key in graph.producers and graph.producers[key].step in current)
        ]

    def current_object(self, key: str) -> DataObject:
        """The object behind a key that is current, without computing anything."""
        value: DataObject = self._store.get(key)
        return value

    # -- saving ----------------------------------------------------------------------------------------------------------

    def save(self, output_dir: str | Path, *, file_stub: str | None = None, targets: Iterable[str] = ()) -> dict[str, Path]:
        """Bring results up to date and write them as files.

        Parameters
        ----------
        output_dir : path
        file_stub : str, optional
            Beginning of default names; that of the first input's file, else of the recipe.
        targets : iterable of str
            Keys or steps; as for ``recipe run`` where none is given: ``outputs:``, else every sink and every drift.

        Returns
        -------
        dict
            Key (or writing step) -> path.
        """
        check_folder(Path(output_dir))
        selection = select_results(self.graph, self.outputs, targets)
        self.execute(selection.targets)
        return self.write(selection, Layout(Path(output_dir), file_stub or self.file_stub()))

    def write(self, selection: Selection, layout: Layout) -> dict[str, Path]:
        """Write results that are current."""
        destinations = layout.destinations(self.graph, selection, self._store.get)
        return save_results(destinations, self._store.get, recipe=self.to_yaml(), seed=self.seed)

    def file_stub(self, given: str | Path | None = None) -> str:
        """Beginning of the names of results: of `given`, else of the first input's file, else of the recipe."""
        first = next((self._bound[key].path for key in self.inputs if key in self._bound), None)
        return stub_of(given or first or self.file or self.name)

    def __repr__(self) -> str:
        return f"<Recipe '{self.name}': {', '.join(self.steps) or 'empty'}>"
