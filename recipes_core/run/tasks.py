"""What a scheduler keeps of jobs on their way and of the steps that they need."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from recipes_core.errors import RecipeError
from recipes_core.plan import Plan, PlannedStep
from recipes_core.run.events import Listener, RunReport, StepResult
from recipes_core.run.jobs import Job, Outcome
from recipes_core.run.runner import Runner


class TaskState(Enum):
    """How far a task is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"


@dataclass(eq=False)
class Course:
    """A job on its way.

    Parameters
    ----------
    number : int
        Its place among the jobs.
    plan : Plan
        The one in force; it is made anew where results get lost.
    results : dict
        Step -> how it went.
    failures : dict
        Step -> its error; ``""`` for one of the whole job.
    open : set of str
        Keys of tasks that have yet to end.
    """

    number: int
    job: Job
    listener: Listener
    runner: Runner
    plan: Plan
    report: RunReport
    results: dict[str, StepResult] = field(default_factory=dict)
    failures: dict[str, RecipeError] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    outcome: Outcome | None = None

    def record(self, result: StepResult) -> None:
        """Note how a step went, and tell."""
        self.results[result.step] = result
        self.listener.step_finished(result)

    def share(self, planned: PlannedStep, other: Course) -> None:
        """Hand what was made in this process and is not in the cache to another job, in memory."""
        space = self.job.space
        made = {port: space.get(name) for port, name in planned.made.items() if space.in_memory(name)}
        other.job.space.hold(planned, made)


@dataclass(eq=False)
class Task:
    """Steps of one key, in one or several jobs: they run once.

    Parameters
    ----------
    planned : PlannedStep
        As the first holder has it, with the outputs that any of them wants.
    rank : tuple
        Job, depth and place: the order in which tasks begin.
    holders : list
        Jobs that wait for it, each with its own step.
    needs, takers : set of str
        Tasks that must end before, and those that wait for this one.
    stays : bool
        Whether it runs in this process.
    told : list
        Messages and warnings that have been passed on.
    """

    planned: PlannedStep
    rank: tuple[int, int, int]
    holders: list[tuple[Course, PlannedStep]] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)
    takers: set[str] = field(default_factory=set)
    state: TaskState = TaskState.WAITING
    stays: bool = False
    started: bool = False
    told: list[tuple[str, str]] = field(default_factory=list)
    future: Future[Any] | None = None
