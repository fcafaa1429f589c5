"""Carries out a plan, step by step, in this process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path

from recipes_core.data import DataObject
from recipes_core.errors import Cancelled, ExecutionError, RecipeError
from recipes_core.graph import Graph
from recipes_core.module.context import available_threads
from recipes_core.plan import Plan, PlannedStep, StepState
from recipes_core.run.events import Listener, RunReport, StepResult
from recipes_core.run.failures import missing_inputs, step_failure, together
from recipes_core.run.stepping import RunContext, StepFailed, Stepper, file_changed, file_parameters, is_there
from recipes_core.run.workspace import ResultLost, Workspace

MOST_LOSSES = 100
"""Damaged results that one run makes again before it gives up on the disk."""


class Runner:
    """Runs plans in a workspace.

    Parameters
    ----------
    graph : Graph
    space : Workspace
    plan_again : callable
        Makes the plan anew where a result that it counted on turns out to be damaged.
    seed : int
        Seed of the recipe.
    n_threads : int, optional
        Threads that a module may use; all processors where not given.
    listener : Listener, optional
    keep : collection of str, optional
        Where given, a key that no later step takes and that is not in it is dropped from memory as soon as it can be.
    keep_going : bool
        Whether to go on after a failure with what does not depend on it.

    Attributes
    ----------
    report : RunReport or None
        How the run went, also where it failed.
    """

    def __init__(
        self,
        graph: Graph,
        space: Workspace,
        plan_again: Callable[[], Plan],
        *,
        seed: int = 0,
        n_threads: int | None = None,
        listener: Listener | None = None,
        keep: Collection[str] | None = None,
        keep_going: bool = False,
    ) -> None:
        self.graph = graph
        self.space = space
        self.plan_again = plan_again
        self.seed = seed
        self.n_threads = n_threads or available_threads()
        self.listener = listener or Listener()
        self.keep = keep
        self.keep_going = keep_going
        self.report: RunReport | None = None
        self._failures: dict[str, RecipeError] = {}
        self._stepper = Stepper(
            space, self._context, self.object, self.refuse_changed_files, self.listener, tells=listener is not None
        )

    def run(self, plan: Plan) -> RunReport:
        """Carry out a plan.

        Raises
        ------
        DataError
            Where an input is missing or data do not fit.
        ModuleFailed
            Where a module raises; what earlier steps made stays.
        Cancelled
            On Ctrl-C.
        """
        if plan.missing:
            raise missing_inputs(self.graph, plan.missing, self.space.given_keys())
        report = self.report = RunReport(plan)
        results: dict[str, StepResult] = {}
        self.listener.run_started(plan)
        try:
            for _ in range(MOST_LOSSES):
                try:
                    self._pass(plan, results)
                    break
                except ResultLost:
                    plan = self.plan_again()
            else:
                raise lost_too_often()
        finally:
            report.steps += [result_of(step, results, self.space) for step in plan.steps]
            self.space.book.save()
            tell_cache(self.space, report)
            self.listener.run_finished(report)
        if self._failures:
            raise together(list(self._failures.values()))
        return report

    def _pass(self, plan: Plan, results: dict[str, StepResult]) -> None:
        takers = _last_takers(plan) if self.keep is not None else {}
        blocked: set[str] = set()
        for index, planned in enumerate(plan.steps):
            if planned.state is StepState.RUN and not self._is_done(planned, results):
                if planned.step in self._failures or (blocked and not blocked.isdisjoint(name for _, _, name in planned.taken)):
                    blocked.update(planned.made.values())
                    continue
                result = results[planned.step] = StepResult(
                    planned.step, planned.module, "failed", planned.reason, key=planned.key
                )
                if not self._run_step(planned, result):
                    blocked.update(planned.made.values())
            self._release(plan, index, takers)

    def _is_done(self, planned: PlannedStep, results: Mapping[str, StepResult]) -> bool:
        done = results.get(planned.step)
        return done is not None and done.key == planned.key and is_there(self.space, planned)

    def _run_step(self, planned: PlannedStep, result: StepResult) -> bool:
        """Run a step; whether it went well."""
        try:
            self._stepper.run(planned, self.graph.steps[planned.step].module, result)
        except StepFailed as failed:
            failure = step_failure(self.graph, planned, failed.__cause__)
            if not self.keep_going or isinstance(failure, Cancelled):
                raise failure from failed.__cause__
            failure.__cause__ = failed.__cause__
            self._failures[planned.step] = failure
            return False
        return True

    def _context(self, planned: PlannedStep) -> RunContext:
        cache = None if self.space.unkept else self.space.cache
        return RunContext(
            planned, self.listener, seed=self.seed, n_threads=self.n_threads, cache=cache, following=self.space.following
        )

    # -- objects ---------------------------------------------------------------------------------------------------------

    def object(self, name: str, key: str) -> DataObject:
        """The object of a name, which stands behind a key.

        Raises
        ------
        ResultLost
            Where a plan must be made again to have it.
        """
        if key in self.graph.producers:
            return self.space.get(name)
        return self.space.given_object(key)

    def refuse_changed_files(self, planned: PlannedStep) -> None:
        """Raise DataError where a file was written to while it was read: what was made of it belongs to no content."""
        if not self.space.reads_files():
            return
        changed = self.space.changed_files(self.files_behind(planned))
        if changed:
            self.space.look_again()
            raise file_changed(changed[0])

    def files_behind(self, planned: PlannedStep) -> set[Path]:
        """Files whose content a step's results come from."""
        return {*self.space.files_behind(self._roots[planned.step]), *file_parameters(planned)}

    @cached_property
    def _roots(self) -> Mapping[str, frozenset[str]]:
        return roots_of(self.graph)

    def _release(self, plan: Plan, done: int, takers: Mapping[str, int]) -> None:
        if self.keep is None:
            return
        kept = {plan.names[key] for key in self.keep if key in plan.names}
        step = plan.steps[done]
        touched = {*step.made.values(), *(name for _, _, name in step.taken)}
        self.space.drop_memory(name for name in touched if takers.get(name, -1) <= done and name not in kept)


def roots_of(graph: Graph) -> dict[str, frozenset[str]]:
    """Step -> free inputs that it depends on."""
    found: dict[str, frozenset[str]] = {}
    for step in graph.order:
        parts = [
            found[graph.producers[key].step] if key in graph.producers else frozenset((key,)) for _, key in graph.inputs_of(step)
        ]
        found[step] = parts[0].union(*parts[1:]) if parts else frozenset()
    return found


def result_of(step: PlannedStep, results: Mapping[str, StepResult], space: Workspace) -> StepResult:
    """How a step went, for the report. What warned when it was made warns as long as it is used."""
    if step.step in results:
        return results[step.step]
    waiting = step.state in (StepState.RUN, StepState.BLOCKED)
    told = [] if waiting or not step.key else list(space.warnings_of(step))
    return StepResult(
        step.step, step.module, "not run" if waiting else step.state.value, step.reason, key=step.key, warnings=told
    )


def tell_cache(space: Workspace, report: RunReport) -> None:
    """Put what the cache has to say into a report."""
    if space.cache is not None:
        report.notes += space.cache.warnings
        space.cache.warnings.clear()
    if space.unkept:
        report.notes.append(f"results are not kept in the cache: {space.unkept}")


def lost_too_often() -> ExecutionError:
    """The error for a disk that does not hold what is written to it."""
    return ExecutionError("results are lost as fast as they are made.", code="X131", hint="Check the disk of the cache.")


def _last_takers(plan: Plan) -> dict[str, int]:
    """Object -> index of the last step that takes it."""
    last: dict[str, int] = {}
    for index, planned in enumerate(plan.steps):
        if planned.state in (StepState.RUN, StepState.WRITE):
            last.update((name, index) for _, _, name in planned.taken if name)
    return last
