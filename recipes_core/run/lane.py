"""Steps of a run on an executor that stay in this process, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from recipes_core.errors import Cancelled
from recipes_core.plan import PlannedStep
from recipes_core.run.events import Listener, StepResult
from recipes_core.run.executors.faults import Fault
from recipes_core.run.nodes import NodeResult
from recipes_core.run.runner import Runner
from recipes_core.run.stepping import RunContext, StepFailed, Stepper
from recipes_core.run.workspace import ResultLost

if TYPE_CHECKING:
    from recipes_core.run.executors.base import Executor


class Lane:
    """A thread for steps that cannot travel, that take what only this process has, or that spread their own parts.

    Parameters
    ----------
    executor : Executor
        Takes the parts of steps that spread.
    tell : callable
        Receives the events of steps.
    n_threads : int, optional
    """

    def __init__(self, executor: Executor, tell: Callable[[tuple[Any, ...]], None], n_threads: int | None) -> None:
        self.executor = executor
        self.tell = tell
        self.n_threads = n_threads
        self._stopped = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recipe-step")

    def submit(self, planned: PlannedStep, runner: Runner) -> Future[NodeResult]:
        """Carry out a step in the workspace of its job."""
        return self._thread.submit(self._run, planned, runner)

    def _run(self, planned: PlannedStep, runner: Runner) -> NodeResult:
        module = runner.graph.steps[planned.step].module
        listener = _Telling(planned.key, self.tell)
        cache = None if runner.space.unkept else runner.space.cache

        def context(step: PlannedStep) -> RunContext:
            return _LaneContext(
                step,
                listener,
                seed=runner.seed,
                n_threads=self.n_threads,
                cache=cache,
                executor=self.executor if type(module).spreads else None,
                following=runner.space.following,
                stopped=self._stopped,
            )

        result = StepResult(planned.step, planned.module, "failed", planned.reason, key=planned.key)
        stepper = Stepper(runner.space, context, runner.object, runner.refuse_changed_files, listener, tells=True)
        try:
            stepper.run(planned, module, result)
        except ResultLost:
            return NodeResult("lost", result)
        except StepFailed as failed:
            return NodeResult("failed", result, fault=Fault.of(failed.__cause__ or failed))
        if cache is not None:  # others load it from there
            touched = {*planned.made.values(), *(name for _, _, name in planned.taken)}
            runner.space.drop_memory(name for name in touched if cache.has(name))
        past = runner.space.past(planned.step)
        return NodeResult(result.state, result, made=past.made if past is not None else ())

    def stop(self) -> None:
        """Cancel the step that runs at its next word."""
        self._stopped.set()

    def close(self) -> None:
        """Wait for the step that runs."""
        self._thread.shutdown(wait=True, cancel_futures=True)


class _LaneContext(RunContext):
    """The context of a module in the lane: it can be stopped from another thread."""

    def __init__(self, planned: PlannedStep, listener: Listener, *, stopped: threading.Event, **options: Any) -> None:
        super().__init__(planned, listener, **options)
        self._stopped = stopped

    def check_cancelled(self) -> None:
        if self._stopped.is_set():
            raise Cancelled("cancelled")


class _Telling(Listener):
    """Passes what a step tells to the thread that schedules."""

    def __init__(self, key: str, tell: Callable[[tuple[Any, ...]], None]) -> None:
        self.key = key
        self.tell = tell

    def step_started(self, step: PlannedStep) -> None:
        self.tell(("started", self.key))

    def progress(self, step: str, done: float, total: float) -> None:
        self.tell(("progress", self.key, done, total))

    def message(self, step: str, text: str) -> None:
        self.tell(("message", self.key, text))

    def warning(self, step: str, text: str) -> None:
        self.tell(("warning", self.key, text))
