"""Carries out a plan, step by step, in this process."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from recipes_core.data import DataObject
from recipes_core.errors import Cancelled, DataError, ExecutionError, ModuleFailed, Problem, RecipeError
from recipes_core.graph import Graph
from recipes_core.module import Context, run_module
from recipes_core.plan import Plan, PlannedStep, Record, StepState
from recipes_core.run.events import Listener, RunReport, StepResult
from recipes_core.run.namespace import Store


class RunContext(Context):
    """The context that the engine hands to modules: it passes on what they say."""

    def __init__(self, planned: PlannedStep, listener: Listener, *, seed: int, n_threads: int | None) -> None:
        super().__init__(planned.step, seed=seed, n_threads=n_threads, wanted=planned.wanted)
        self._listener = listener

    def progress(self, done: float, total: float) -> None:
        super().progress(done, total)
        self._listener.progress(self.step, done, total)

    def warn(self, message: str) -> None:
        super().warn(message)
        self._listener.warning(self.step, message)

    def say(self, message: str) -> None:
        super().say(message)
        self._listener.message(self.step, message)


class Runner:
    """Runs plans on a store.

    Parameters
    ----------
    graph : Graph
    store : Store
    seed : int
        Seed of the recipe.
    n_threads : int, optional
        Threads that a module may use; all processors where not given.
    listener : Listener, optional
    keep : collection of str, optional
        Where given, a key that no later step takes and that is not in it is dropped as soon as it can be, to save memory.
    """

    def __init__(
        self,
        graph: Graph,
        store: Store,
        *,
        seed: int = 0,
        n_threads: int | None = None,
        listener: Listener | None = None,
        keep: Collection[str] | None = None,
    ) -> None:
        self.graph = graph
        self.store = store
        self.seed = seed
        self.n_threads = n_threads
        self.listener = listener or Listener()
        self.keep = keep

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
            raise missing_inputs(self.graph, plan.missing, self.store.keys())
        report = RunReport(plan)
        self.listener.run_started(plan)
        try:
            for index, planned in enumerate(plan.steps):
                if planned.state is StepState.RUN:
                    self._run_step(planned, report)
                else:
                    report.steps.append(StepResult(planned.step, planned.module, planned.state.value))
                self._release(plan, index)
        finally:
            started = len(report.steps)
            report.steps += [StepResult(step.step, step.module, "not run", step.reason) for step in plan.steps[started:]]
            self.listener.run_finished(report)
        return report

    def _run_step(self, planned: PlannedStep, report: RunReport) -> None:
        self.listener.step_started(planned)
        inputs = self._inputs(planned.step)
        context = RunContext(planned, self.listener, seed=self.seed, n_threads=self.n_threads)
        result = StepResult(planned.step, planned.module, "failed", planned.reason)
        result.warnings, result.messages = context.warnings, context.messages
        result.inputs = {key: self.store.get(key).summary() for _, key in planned.identity.inputs if key in self.store}
        report.steps.append(result)
        taken = {key: token for _, key in planned.identity.inputs if (token := self.store.token(key)) is not None}
        started = time.perf_counter()
        try:
            made = self._by_key(planned, run_module(self.graph.steps[planned.step].module, context, inputs))
        except (Exception, KeyboardInterrupt) as error:
            result.seconds = time.perf_counter() - started
            failure = self._failure(planned, error)
            result.state = "cancelled" if isinstance(failure, Cancelled) else "failed"
            self.store.forget(planned.step)
            self.listener.step_finished(result)
            raise failure from error
        result.seconds = time.perf_counter() - started
        self.store.publish(planned.step, Record(planned.identity, taken, {}, result.seconds), made)
        result.state = "done"
        result.outputs = {key: value.summary() for key, value in made.items()}
        self.listener.step_finished(result)

    def _inputs(self, step: str) -> dict[str, Any]:
        module = self.graph.steps[step].module
        values: dict[str, Any] = {}
        for port, declared in module.inputs().items():
            keys = module.input_keys()[port]
            if declared.many:
                values[port] = [self.store.get(key) for key in keys]
            elif keys and self.graph.is_connected(step, port, keys):
                values[port] = self.store.get(keys)
        return values

    @staticmethod
    def _by_key(planned: PlannedStep, made: Mapping[str, DataObject]) -> dict[str, DataObject]:
        keys = dict(planned.identity.outputs)
        return {keys[port]: value for port, value in made.items() if keys.get(port)}

    def _release(self, plan: Plan, done: int) -> None:
        if self.keep is None:
            return
        later = {key for planned in plan.steps[done + 1 :] for _, key in planned.identity.inputs}
        gone = [key for key in self.store.keys() if key not in later and key not in self.keep]
        self.store.drop(gone)

    def _failure(self, planned: PlannedStep, error: BaseException) -> RecipeError:
        """The error as users see it: with the step and its place in the recipe."""
        if isinstance(error, (KeyboardInterrupt, Cancelled)):
            return Cancelled(f"cancelled in step '{planned.step}'")
        if isinstance(error, RecipeError):
            return error.relocated(self._place(planned, problem) for problem in error.problems)
        if isinstance(error, MemoryError):
            message, hint = (
                "the memory of this machine does not suffice.",
                "Use smaller windows, a coarser pixel or fewer threads.",
            )
        else:
            text = f"{type(error).__name__}: {error}".rstrip(": ")
            message, hint = f"{planned.module} failed: {text}.", "Run again with -v to see where."
        return ModuleFailed(message, problems=[self.graph.problem("X200", message, hint, step=planned.step)])

    def _place(self, planned: PlannedStep, problem: Problem) -> Problem:
        if problem.line is not None or problem.step:
            return problem
        return self.graph.problem(problem.code, problem.message, problem.hint, step=planned.step)


def missing_inputs(graph: Graph, missing: Collection[str], present: Collection[str]) -> RecipeError:
    """The error for free inputs that were not given: which there are, their types and who takes them."""
    problems = []
    for key in missing:
        free = graph.free_inputs.get(key)
        if free is None:
            return ExecutionError(f"'{key}' is not there", code="X130")
        takers = ", ".join(f"{place.step}.{place.port}" for place in free.consumers)
        place = free.consumers[0] if free.consumers else None
        message = f"input '{key}' ({free.kind.__name__}, taken by {takers}) is missing."
        given = [name for name in present if name in graph.free_inputs]
        hint = f"Give it with -i {key}=FILE." + (f" Given: {', '.join(given)}." if given else "")
        problems.append(graph.problem("D110", message, hint, step=place.step if place else "", port=place.port if place else ""))
    return DataError(problems[0].message, code="D110", problems=problems)
