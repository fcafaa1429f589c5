"""Jobs: one recipe with its inputs, or one for each of many files, carried out in turn or on an executor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from recipes_core.errors import Cancelled, ExecutionError, RecipeError
from recipes_core.graph import Graph
from recipes_core.plan import Plan, PlannedStep
from recipes_core.run.events import Listener, RunReport, StepResult
from recipes_core.run.runner import Runner
from recipes_core.run.workspace import Workspace

if TYPE_CHECKING:
    from recipes_core.cache.store import Cache
    from recipes_core.run.executors.base import Executor


@dataclass(eq=False)
class Job:
    """A recipe with its inputs.

    Parameters
    ----------
    name : str
        Told before the names of its steps; empty where it is the only one.
    graph : Graph
    space : Workspace
    plan : Plan
    plan_again : callable
        Makes the plan anew where a result that it counted on turns out to be damaged.
    seed : int
    keep : collection of str, optional
        Keys whose objects stay in memory until the job is finished; None for all.

    Attributes
    ----------
    report : RunReport or None
        How it went, also where it failed; None before it has begun.
    """

    name: str
    graph: Graph
    space: Workspace
    plan: Plan
    plan_again: Callable[[], Plan]
    seed: int = 0
    keep: Collection[str] | None = None
    report: RunReport | None = field(default=None, compare=False)


Outcome: TypeAlias = RunReport | RecipeError
Finished: TypeAlias = Callable[[Job, Outcome], None]


def run_jobs(
    jobs: Sequence[Job],
    *,
    executor: Executor | None = None,
    listener: Listener | None = None,
    n_threads: int | None = None,
    keep_going: bool = False,
    finished: Finished = lambda job, outcome: None,
) -> list[Outcome]:
    """Carry out jobs.

    Parameters
    ----------
    jobs : sequence of Job
    executor : Executor, optional
        Where their steps run; in this process, one after the other, where not given.
    listener : Listener, optional
        Told of all jobs as of one run; steps of named jobs are called ``NAME: STEP``.
    n_threads : int, optional
        Threads of a module in this process; all processors where not given.
    keep_going : bool
        Whether to go on after a failure with what does not depend on it.
    finished : callable
        Called as soon as a job has ended; for several jobs on an executor by a thread of its own, one after the other. Objects of
        several jobs are dropped from memory after that.

    Returns
    -------
    list of RunReport or RecipeError
        In the order of the jobs. Nothing is raised for a job that fails or is cancelled.
    """
    with _pinned(jobs), _told(listener, jobs) as listeners:
        if executor is not None:
            from recipes_core.run.scheduler import Scheduler

            return Scheduler(jobs, listeners, executor, n_threads=n_threads, keep_going=keep_going, finished=finished).run()
        return _in_turn(jobs, listeners, n_threads, keep_going, finished)


def _in_turn(
    jobs: Sequence[Job], listeners: Sequence[Listener | None], n_threads: int | None, keep_going: bool, finished: Finished
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    ended: tuple[Job, RecipeError] | None = None
    for job, listener in zip(jobs, listeners, strict=True):
        if ended is not None and (not keep_going or isinstance(ended[1], Cancelled)):
            outcome: Outcome = not_run(job, *ended)
        else:
            outcome = _run(job, listener, n_threads, keep_going)
            if isinstance(outcome, RecipeError):
                ended = (job, outcome)
        outcomes.append(outcome)
        finished(job, outcome)
        if len(jobs) > 1:
            job.space.drop_all()
    return outcomes


def _run(job: Job, listener: Listener | None, n_threads: int | None, keep_going: bool) -> Outcome:
    runner = Runner(
        job.graph,
        job.space,
        job.plan_again,
        seed=job.seed,
        n_threads=n_threads,
        listener=listener or Listener(),
        keep=job.keep,
        keep_going=keep_going,
    )
    try:
        return runner.run(job.plan)
    except RecipeError as error:
        return error
    except KeyboardInterrupt:
        return Cancelled("cancelled")
    finally:
        job.report = runner.report


def not_run(job: Job, because: Job, error: RecipeError) -> RecipeError:
    """What becomes of a job that was not begun since another one failed or was cancelled."""
    job.report = RunReport(job.plan, [StepResult(step.step, step.module, "not run", key=step.key) for step in job.plan.steps])
    if isinstance(error, Cancelled):
        return Cancelled("cancelled before it began")
    return ExecutionError(f"not run, since '{because.name}' failed.", code="X140", hint="--keep-going goes on with other files.")


@contextmanager
def _pinned(jobs: Sequence[Job]) -> Iterator[None]:
    """Keep what the jobs need from being collected meanwhile."""
    names: dict[int, tuple[Cache, set[str]]] = {}
    for job in jobs:
        if job.space.cache is not None:
            _, wanted = names.setdefault(id(job.space.cache), (job.space.cache, set()))
            wanted.update(job.plan.names.values(), *(step.made.values() for step in job.plan.steps))
    with ExitStack() as pins:
        for cache, wanted in names.values():
            pins.enter_context(cache.pin(wanted))
        yield


# -- what listeners hear -----------------------------------------------------------------------------------------------------


@contextmanager
def _told(listener: Listener | None, jobs: Sequence[Job]) -> Iterator[list[Listener | None]]:
    """A listener for each job; the one that was given hears of one run."""
    if listener is None or all(not job.name for job in jobs):
        yield [listener for _ in jobs]
        return
    steps = tuple(named_step(job, step) for job in jobs for step in job.plan.steps)
    whole = Plan((), steps, {}, ())
    listener.run_started(whole)
    try:
        yield [_Named(job, listener) for job in jobs]
    finally:
        reports = [(job, job.report) for job in jobs if job.report is not None]
        results = [replace(result, step=f"{job.name}: {result.step}") for job, report in reports for result in report.steps]
        listener.run_finished(RunReport(whole, results, [note for _, report in reports for note in report.notes]))


def named_step(job: Job, step: PlannedStep) -> PlannedStep:
    """A step with the name of its job before its own."""
    return replace(step, step=f"{job.name}: {step.step}") if job.name else step


class _Named(Listener):
    """Passes the events of one job on, with its name."""

    def __init__(self, job: Job, listener: Listener) -> None:
        self.job = job
        self.listener = listener

    def _name(self, step: str) -> str:
        return f"{self.job.name}: {step}"

    def step_started(self, step: PlannedStep) -> None:
        self.listener.step_started(named_step(self.job, step))

    def progress(self, step: str, done: float, total: float) -> None:
        self.listener.progress(self._name(step), done, total)

    def message(self, step: str, text: str) -> None:
        self.listener.message(self._name(step), text)

    def warning(self, step: str, text: str) -> None:
        self.listener.warning(self._name(step), text)

    def step_finished(self, result: StepResult) -> None:
        self.listener.step_finished(replace(result, step=self._name(result.step)))
