"""How the jobs of a scheduler end: their outcome, their report, and whom both are handed to."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from recipes_core.errors import RecipeError
from recipes_core.run.failures import together
from recipes_core.run.jobs import Finished, Job, Outcome, not_run
from recipes_core.run.runner import result_of, tell_cache
from recipes_core.run.tasks import Course


def end_of(course: Course, stopped: tuple[Job, RecipeError] | None) -> Outcome:
    """Close the report of a job that has ended, and tell its listener.

    Parameters
    ----------
    stopped : (Job, RecipeError), optional
        Why nothing more is begun.
    """
    outcome = _outcome(course, stopped)
    job = course.job
    job.report = course.report
    course.report.steps = [result_of(step, course.results, job.space) for step in course.plan.steps]
    job.space.book.save()
    tell_cache(job.space, course.report)
    course.listener.run_finished(course.report)
    return outcome


def _outcome(course: Course, stopped: tuple[Job, RecipeError] | None) -> Outcome:
    if course.failures:
        order = ["", *(step.step for step in course.plan.steps)]
        return together([course.failures[step] for step in order if step in course.failures])
    if course.open and stopped is not None:
        return not_run(course.job, *stopped)
    return course.report


class HandOver:
    """Hands outcomes on, to be saved: of several jobs by a thread of its own, so that results of one are saved while others run.

    Parameters
    ----------
    finished : callable
        Takes a job and its outcome.
    several : bool
        Whether there are several jobs; objects of each are then dropped when it has been handed on.
    """

    def __init__(self, finished: Finished, *, several: bool) -> None:
        self._finished = finished
        self._several = several
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="recipe-save") if several else None
        self._saves: list[Future[None]] = []
        self._on_its_way = False

    def give(self, job: Job, outcome: Outcome) -> None:
        """Hand an outcome on."""
        if self._saver is not None:
            self._saves.append(self._saver.submit(self._hand_on, job, outcome))
            return
        self._on_its_way = True
        self._hand_on(job, outcome)
        self._on_its_way = False

    def _hand_on(self, job: Job, outcome: Outcome) -> None:
        self._finished(job, outcome)
        if self._several:
            job.space.drop_all()

    def drop(self) -> bool:
        """Give up what has not begun to be saved; whether an outcome stays unsaved by that or by an interruption."""
        dropped = [save.cancel() for save in self._saves]
        return any(dropped) or self._on_its_way

    def wait(self) -> None:
        """Return when all is saved; raise what saving raised."""
        for save in self._saves:
            save.result()

    def close(self) -> None:
        """End the thread."""
        if self._saver is not None:
            self._saver.shutdown(cancel_futures=True)
