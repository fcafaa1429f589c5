"""`Recipe`: the object that users hold."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from traits.api import Any as AnyTrait

from recipes_core import language
from recipes_core.data import DataObject
from recipes_core.editing import Debouncer
from recipes_core.errors import ExecutionError, RecipeInvalid, UsageError, did_you_mean
from recipes_core.inputs import Inputs
from recipes_core.language import Override
from recipes_core.module import ModuleBase
from recipes_core.namespace import Namespace
from recipes_core.plan import Past, Plan, Where, make_plan
from recipes_core.ports import Bool, Float, Int, Str
from recipes_core.run import ResultLost, Runner, RunReport
from recipes_core.run.past import PastBook
from recipes_core.run.results import Destination, Layout, Selection, check_folder, select_results, stub_of
from recipes_core.run.runner import MOST_LOSSES
from recipes_core.run.saving import ResultSaver, Saved

if TYPE_CHECKING:
    from recipes_core.cache.store import Cache
    from recipes_core.run.following import Following
    from recipes_core.run.jobs import Job


class Recipe(Inputs):
    """A recipe: typed modules, connected by keys, run as far as it is asked for.

    Attributes
    ----------
    name : str
    seed : int
        Seed of all random numbers.
    execute_on_invalidation : bool
        Whether a change (parameter, wiring, module added or removed, input) runs the targets last asked for again, all sinks
        if none was asked for. Off by default: a change then marks what depends on it as stale, and nothing runs until asked.
    quiet_time : float
        Seconds without a change before `execute_on_invalidation` runs anything. 0: each change runs at once, in the calling
        thread. Otherwise a thread of its own runs when it is quiet; `settle` waits for it and raises what it raised.
    n_threads : int or None
        Threads that a module may use; all processors where None. Results do not depend on it.

    Examples
    --------
    >>> recipe = Recipe.load("correct_drift_locs.yaml")
    >>> recipe.load_inputs({"Localizations": "cell7.hdf"})
    >>> recipe["corrected_localizations"]["x"]
    """

    name = Str("recipe")
    seed = Int(0, low=0)
    execute_on_invalidation = Bool(False)

    quiet_time = Float(0.0, low=0.0, high=3600.0, unit="s")
    n_threads = Int(None, low=1)

    _lock = AnyTrait()
    _debouncer = AnyTrait()
    _last_targets = AnyTrait()
    _settled = AnyTrait()

    def __init__(
        self, modules: Iterable[ModuleBase] = (), *, name: str = "recipe", seed: int = 0, cache: Cache | str | Path | bool = False
    ) -> None:
        self._lock = threading.RLock()
        self._debouncer = Debouncer(self._run_last_targets)
        super().__init__(name=name, seed=seed)
        self.add_all(modules)
        self.use_cache(cache)

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
            # A recipe that lists its inputs lists all of them.
            inputs=self._declared_inputs if self._document and self._document.inputs else None,
        )

    # -- changes ----------------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        before = getattr(self, name, None) if name == "seed" else None
        super().__setattr__(name, value)
        if name == "seed" and self._space is not None and value != before:
            self._changed()

    def _changed(self) -> None:
        self._revision += 1
        if self._editing:
            self._pending = True
        elif self.execute_on_invalidation:
            if self.quiet_time > 0:
                self._debouncer.call_later(self.quiet_time)
            else:
                self._run_last_targets()

    def _run_last_targets(self) -> None:
        with self._lock:
            targets = [target for target in self._last_targets or () if self._is_target(target)]
            plan = self.plan(targets or None)
            if not plan.missing:
                self._run(plan)

    def settle(self) -> None:
        """Run now what changes have set off, without waiting for quiet; return when it has ended.

        Raises
        ------
        RecipeError
            What the run raised.
        """
        self._debouncer.settle()

    def _is_target(self, target: str) -> bool:
        return target in self.graph.producers or target in self.steps

    @property
    def namespace(self) -> Namespace:
        """Current objects by key; assign free inputs here."""
        return Namespace(self)

    # -- the cache ---------------------------------------------------------------------------------------------------------

    def use_cache(self, cache: Cache | str | Path | bool = True, name: str = "") -> None:
        """Keep results on disk, so that they are there in other processes and after a restart; off in Python unless asked for.

        Parameters
        ----------
        cache : Cache, path or bool
            True for the folder that RECIPES_CACHE names, else the user's own; False for memory alone.
        name : str
            Tells runs of one recipe on several files apart, for the reasons that a plan gives.
        """
        store, book = None, None
        if cache is not False:
            from recipes_core.cache.store import Cache

            store = cache if isinstance(cache, Cache) else Cache(None if cache is True else Path(cache))
            own = str(self.file.resolve()) if self.file else self.name
            book = PastBook.of_recipe(store.root, f"{own} {name}".strip(), writable=store.writable and not store.is_foreign)
        self._space.use_cache(store, book)
        self._revision += 1

    def follow(self, following: Following | None) -> None:
        """Expect that files behind inputs grow while they are read; see `recipes_core.run.following`."""
        self._space.following = following

    @property
    def cache(self) -> Cache | None:
        """Where results are kept; None for memory alone."""
        found: Cache | None = self._space.cache
        return found

    # -- running ---------------------------------------------------------------------------------------------------------

    def plan(self, targets: Iterable[str] | None = None, *, forced: Collection[str] = ()) -> Plan:
        """What would run for `targets` (all sinks where None) and why; changes nothing."""
        asked = tuple(targets) if targets is not None else (*self.graph.sinks(), *self.graph.writers())
        for target in asked:
            self.graph.check_target(target)
        return make_plan(self.graph, self._space, asked, seed=self.seed, forced=lambda step: step in forced)

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
        self._last_targets = None if targets is None else tuple(targets)
        return self._bring_up(self._last_targets)

    def _bring_up(self, targets: tuple[str, ...] | None) -> dict[str, DataObject]:
        """Run what is missing for targets; return those that are keys."""
        with self._lock:
            return self._bring_up_alone(targets)

    def _bring_up_alone(self, targets: tuple[str, ...] | None) -> dict[str, DataObject]:
        settled = self._settled
        if settled is not None and settled[:2] == (self._revision, targets):
            names: dict[str, str] = settled[2]
            # Nothing has changed since the last time: what is in memory is current.
            if all(self._space.in_memory(name) for name in names.values()) and not self._space.any_file_changed():
                return {key: self._space.get(name) for key, name in names.items()}
        self._give_defaults()
        self._space.look_again()
        plan = self.plan(targets)
        self._run(plan)
        found = self._objects(plan)
        if plan.missing == ():
            made = {key: plan.names[key] for key in found if key in self.graph.producers}
            self._settled = (self._revision, targets, made) if len(made) == len(found) else None
        return found

    def _objects(self, plan: Plan, report: RunReport | None = None) -> dict[str, DataObject]:
        """The objects of a plan that was carried out; damaged ones are made again, and the report says so."""
        keys = [key for key in plan.targets if key in plan.names]
        for _ in range(MOST_LOSSES):
            try:
                return {key: self._object(plan, key) for key in keys}
            except ResultLost:
                plan = self.plan(plan.targets)
                made = self._run(plan)
                if report is not None:
                    report.add(made)
        raise ExecutionError("results are lost as fast as they are made.", code="X131", hint="Check the disk of the cache.")

    def _object(self, plan: Plan, key: str) -> DataObject:
        if key in self.graph.producers:
            place = self.graph.producers[key]
            outputs = self.steps[place.step].output_keys()
            found: DataObject = self._space.get_as(plan.names[key], plan[place.step], outputs)
            return found
        return self._space.given_object(key)  # type: ignore[no-any-return]

    def _refuse_faults(self) -> None:
        errors = [problem for problem in self.graph.problems if problem.severity == "error"]
        if errors:
            raise RecipeInvalid(errors[0].message, problems=errors)

    def _run(self, plan: Plan, **options: Any) -> RunReport:
        self._refuse_faults()
        return Runner(
            self.graph, self._space, partial(self.plan, plan.targets), seed=self.seed, n_threads=self.n_threads, **options
        ).run(plan)

    def job(self, selection: Selection, *, name: str = "", forced: Collection[str] = ()) -> Job:
        """What a selection of results needs, for `recipes_core.run.jobs.run_jobs`; objects that nobody takes any more are dropped."""
        from recipes_core.run.jobs import Job

        plan = self.plan(selection.targets, forced=forced)
        self._refuse_faults()
        keep = {*selection.keys, *(key for step in selection.writers for _, key in self.graph.inputs_of(step))}
        again = partial(self.plan, selection.targets)
        return Job(name=name, graph=self.graph, space=self._space, plan=plan, plan_again=again, seed=self.seed, keep=keep)

    def __getitem__(self, key: str) -> Any:
        """The object behind a key, current: what is missing or stale is computed."""
        if key not in self.graph.producers and key not in self.inputs:
            hint = did_you_mean(key, (*self.graph.producers, *self.inputs), what="its keys")
            raise UsageError(f"the recipe has no key '{key}'.", code="U120", hint=hint)
        return self._bring_up((key,))[key]

    def current_keys(self) -> list[str]:
        """Keys whose objects are current: given, in memory or in the cache."""
        graph = self.graph
        plan = self.plan(graph.producers)
        made = [key for key in graph.producers if key in plan.names and self._space.where(plan.names[key]) is not Where.NOWHERE]
        return [*(key for key in graph.free_inputs if self._space.has_given(key)), *made]

    def current_object(self, key: str) -> DataObject:
        """The object behind a key that is current, without computing anything."""
        return self._object(self.plan([key]), key)

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
        saved = self.write(selection, Layout(Path(output_dir), file_stub or self.file_stub()))
        return {item.label: item.path for item in saved}

    def write(self, selection: Selection, layout: Layout, report: RunReport | None = None) -> list[Saved]:
        """Write results that are current.

        Parameters
        ----------
        report : RunReport, optional
            Of the run that has made them; it receives what had to be made again.
        """
        saver = self._saver(selection, report)
        return saver.save(layout.destinations(self.graph, selection, saver.kind))

    def states_of_files(self, selection: Selection, destinations: Iterable[Destination]) -> dict[Path, str]:
        """Whether the files of results are ``current``, ``stale`` or ``missing``; nothing is computed or loaded."""
        saver = self._saver(selection)
        return {destination.path: saver.state(destination) for destination in destinations}

    def _saver(self, selection: Selection, report: RunReport | None = None) -> ResultSaver:
        about = {
            "seed": self.seed,
            "recipe": self.to_yaml(),
            "folder": str(self._document.base if self._document else Path.cwd()),
            "inputs": self.inputs_record(),
        }
        plan = self.plan(selection.targets)
        return ResultSaver(self._space, plan, lambda key: self._objects(self.plan([key]), report)[key], about)

    def digest_of(self, key: str) -> str:
        """Payload digest of the object behind a key, brought up to date; "the same" means equal digests."""
        from recipes_core.cache.payload import payload_digest

        return payload_digest(self[key].pack())

    def past(self, step: str) -> Past | None:
        """How a step was last run, in this process or, with a cache, in an earlier one."""
        found: Past | None = self._space.past(step)
        return found

    def file_stub(self, given: str | Path | None = None) -> str:
        """Beginning of the names of results: of `given`, else of the first input's file, else of the recipe."""
        first = next((self._bound[key].path for key in self.inputs if key in self._bound), None)
        return stub_of(given or first or self.file or self.name)

    def states(self) -> tuple[dict[str, str], dict[str, str]]:
        """For drawings: step -> ``current``, ``cached``, ``run`` or ``blocked``, and step -> why it would run."""
        graph = self.graph
        regular = [key for key, place in graph.producers.items() if not graph.output_port(place).on_demand]
        plan = self.plan([*regular, *graph.writers()])
        return {step.step: step.state.value for step in plan.steps}, {
            step.step: step.reason for step in plan.steps if step.reason
        }

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """The graph, coloured by state, for notebooks."""
        from recipes_core.drawing.svg import draw_svg

        return {"image/svg+xml": draw_svg(self.graph, *self.states()), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<Recipe '{self.name}': {', '.join(self.steps) or 'empty'}>"
