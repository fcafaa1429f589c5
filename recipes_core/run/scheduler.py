"""Carries out the plans of several jobs at once: each step on an executor as soon as what it takes is there."""

from __future__ import annotations

import heapq
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from functools import partial
from typing import Any

from recipes_core.errors import Cancelled, RecipeError
from recipes_core.plan import Plan, PlannedStep, StepState
from recipes_core.run.ending import HandOver, end_of
from recipes_core.run.events import Listener, RunReport, StepResult
from recipes_core.run.executors.base import Executor
from recipes_core.run.executors.faults import Fault
from recipes_core.run.failures import missing_inputs, step_failure
from recipes_core.run.jobs import Finished, Job, Outcome
from recipes_core.run.lane import Lane
from recipes_core.run.nodes import NodeResult, NodeSpec, run_node
from recipes_core.run.runner import MOST_LOSSES, Runner, lost_too_often
from recipes_core.run.stepping import is_there
from recipes_core.run.tasks import Course, Task, TaskState
from recipes_core.run.travelling import Stays, node_spec

_PATIENCE = 0.5


class Scheduler:
    """See `recipes_core.run.jobs.run_jobs`.

    Jobs come in their order and each goes deep before the next is begun, so that first results are early and few intermediate
    ones are held.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        listeners: Sequence[Listener | None],
        executor: Executor,
        *,
        n_threads: int | None,
        keep_going: bool,
        finished: Finished,
    ) -> None:
        self.executor = executor
        self.keep_going = keep_going
        self._inbox: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._lane = Lane(executor, self._inbox.put, n_threads)
        self._courses = [
            Course(
                number,
                job,
                listener or Listener(),
                Runner(job.graph, job.space, job.plan_again, seed=job.seed, n_threads=n_threads),
                job.plan,
                RunReport(job.plan),
            )
            for number, (job, listener) in enumerate(zip(jobs, listeners, strict=True))
        ]
        self._tasks: dict[str, Task] = {}
        # False for workers, True for this process.
        self._ready: dict[bool, list[tuple[tuple[int, int, int], str]]] = {False: [], True: []}
        self._running = {False: 0, True: 0}
        self._stopped: tuple[Job, RecipeError] | None = None
        self._losses = 0
        self._hand_over = HandOver(finished, several=len(jobs) > 1)
        self._told_stays: set[tuple[str, str]] = set()

    def run(self) -> list[Outcome]:
        """Carry out all jobs."""
        self.executor.on_event = self._inbox.put
        try:
            self._work()
            for course in self._courses:
                if course.outcome is None:
                    self._end(course)
            self._hand_over.wait()
        finally:
            self._hand_over.close()
        return [course.outcome for course in self._courses if course.outcome is not None]

    def _work(self) -> None:
        try:
            self._begin()
            while self._go_on():
                self._hear()
        except KeyboardInterrupt:
            self._stopped = (self._courses[0].job, Cancelled("cancelled"))
            self._lane.stop()
            self.executor.cancel()
            if self._hand_over.drop():
                raise
        finally:
            self._lane.close()

    def _begin(self) -> None:
        for course in self._courses:
            course.job.report = course.report
            course.listener.run_started(course.plan)
            if course.plan.missing:
                given = course.job.space.given_keys()
                failure = missing_inputs(course.job.graph, course.plan.missing, given)
                course.failures[""] = failure
                if not self.keep_going:
                    self._stop(course.job, failure)
            else:
                self._adopt(course, course.plan)
        try:
            self._prepare()
        except RecipeError as error:
            for course in self._courses:
                course.failures[""] = error
                course.open.clear()
            self._stop(self._courses[0].job, error)
        for course in self._courses:
            self._end_if_complete(course)

    def _prepare(self) -> None:
        found = {
            (task.planned.identity.module, task.planned.identity.version, task.planned.identity.code)
            for task in self._tasks.values()
        }
        self.executor.prepare(sorted(item for item in found if ":" not in item[0]))

    def _go_on(self) -> bool:
        """Start what can be started; whether anything runs."""
        if self._stopped is None:
            self._start_ready()
        return any(self._running.values())

    def _hear(self) -> None:
        """Wait for an event, and take those that have come besides."""
        try:
            self._handle(self._inbox.get(timeout=_PATIENCE))
            while not self._inbox.empty():
                self._handle(self._inbox.get_nowait())
        except queue.Empty:
            return

    # -- the tasks -----------------------------------------------------------------------------------------------------------

    def _adopt(self, course: Course, plan: Plan) -> None:
        """Make tasks of what a plan runs."""
        course.plan = plan
        self._leave(course, course.open - {planned.key for planned in plan.in_state(StepState.RUN)})
        makers = {name: planned.key for planned in plan.steps if planned.state is StepState.RUN for name in planned.made.values()}
        depths: dict[str, int] = {}
        for position, planned in enumerate(plan.steps):
            if planned.state is not StepState.RUN:
                continue
            needs = {makers[name] for _, _, name in planned.taken if name in makers}
            depths[planned.key] = 1 + max((depths[key] for key in needs), default=0)
            task = self._tasks.setdefault(planned.key, Task(planned, (course.number, -depths[planned.key], position)))
            if task.state is TaskState.DONE:
                if is_there(course.job.space, planned):
                    self._note_shared(course, planned, task)
                    continue
                task.state, task.holders = TaskState.WAITING, []
            task.needs |= {key for key in needs if self._tasks[key].state is not TaskState.DONE}
            for key in task.needs:
                self._tasks[key].takers.add(planned.key)
            task.planned = replace(task.planned, wanted=task.planned.wanted | planned.wanted)
            if all(holder is not course or step.step != planned.step for holder, step in task.holders):
                task.holders.append((course, planned))
            if task.state is TaskState.WAITING and any(self._is_dead(key) for key in task.needs):
                task.state = TaskState.BLOCKED
            if not self._is_dead(planned.key):
                course.open.add(planned.key)
            self._queue(task)

    def _leave(self, course: Course, keys: set[str]) -> None:
        """A new plan of a job needs some tasks no more."""
        for key in keys:
            task = self._tasks[key]
            if task.state is TaskState.WAITING:
                task.holders = [holder for holder in task.holders if holder[0] is not course]
                task.state = task.state if task.holders else TaskState.BLOCKED
            if task.state is not TaskState.RUNNING:
                course.open.discard(key)

    def _is_dead(self, key: str) -> bool:
        return self._tasks[key].state in (TaskState.FAILED, TaskState.BLOCKED)

    def _queue(self, task: Task) -> None:
        """Have a task started in its turn, if it can be."""
        if task.state is TaskState.WAITING and not task.needs:
            heapq.heappush(self._ready[task.stays], (task.rank, task.planned.key))

    def _start_ready(self) -> None:
        # One more than runs waits for each worker, so that none is idle while results are saved here.
        for stays, most in ((False, 2 * self.executor.n_slots), (True, 1)):
            ready = self._ready[stays]
            while ready and self._running[stays] < most:
                task = self._tasks[heapq.heappop(ready)[1]]
                if task.state is not TaskState.WAITING or task.needs or task.stays is not stays:
                    continue
                if stays:
                    self._submitted(task, self._lane.submit(task.planned, task.holders[0][0].runner))
                else:
                    self._send(task)

    def _send(self, task: Task) -> None:
        """Submit a task, or have it stay here where it cannot travel."""
        try:
            spec: NodeSpec = node_spec(task.planned, task.holders[0][0].runner)
        except Stays as why:
            self._keep_here(task, str(why))
            self._queue(task)
            return
        self._submitted(task, self.executor.submit(run_node, spec, f"step '{task.planned.step}'", near=str(task.rank[0])))

    def _submitted(self, task: Task, future: Future[Any]) -> None:
        task.state, task.future, task.started, task.told = TaskState.RUNNING, future, False, []
        self._running[task.stays] += 1
        future.add_done_callback(lambda done: self._inbox.put(("ended", task.planned.key, done)))

    def _keep_here(self, task: Task, why: str) -> None:
        task.stays = True
        course, planned = task.holders[0]
        if why and (planned.module, why) not in self._told_stays:
            self._told_stays.add((planned.module, why))
            course.listener.message(planned.step, f"runs in this process: {why}")

    # -- what happens ----------------------------------------------------------------------------------------------------------

    def _handle(self, event: tuple[Any, ...]) -> None:
        kind, key, *content = event
        task = self._tasks.get(key)
        if task is None or not task.holders:
            return
        course, planned = task.holders[0]
        if kind == "ended":
            if task.future is not None and task.future is content[0]:  # not one that was given up
                self._ended(task, task.future)
        elif task.state is not TaskState.RUNNING:
            return
        elif kind == "started":
            self._tell_started(task)
        elif kind == "progress":
            course.listener.progress(planned.step, *content)
        elif kind in ("message", "warning"):
            task.told.append((kind, content[0]))
            getattr(course.listener, kind)(planned.step, content[0])

    def _tell_started(self, task: Task) -> None:
        course, planned = task.holders[0]
        if not task.started:
            task.started = True
            course.listener.step_started(planned)

    def _tell_rest(self, task: Task, found: NodeResult) -> None:
        """Events travel by another way than results, and may come after them."""
        course, planned = task.holders[0]
        if found.state != "cached":
            self._tell_started(task)
        for kind, texts in (("message", found.result.messages), ("warning", found.result.warnings)):
            for text in texts:
                if (kind, text) not in task.told:
                    getattr(course.listener, kind)(planned.step, text)

    def _ended(self, task: Task, future: Future[Any]) -> None:
        task.future = None
        self._running[task.stays] -= 1
        try:
            found: NodeResult = future.result()
        except (CancelledError, Cancelled):
            task.state = TaskState.WAITING  # it had not begun
            self._queue(task)
            return
        except Exception as error:  # a worker died, or the executor failed
            planned = task.planned
            found = NodeResult("failed", StepResult(planned.step, planned.module, "failed", planned.reason, key=planned.key))
            found.fault = Fault.of(error)
        ends: dict[str, Callable[[Task, NodeResult], None]] = {
            "failed": self._failed,
            "lost": self._lost,
            "stays": partial(self._stays, "its module cannot be had elsewhere"),
            "unkept": partial(self._stays, ""),
        }
        ends.get(found.state, self._done)(task, found)

    def _done(self, task: Task, found: NodeResult) -> None:
        self._tell_rest(task, found)
        task.state = TaskState.DONE
        first, own = task.holders[0]
        first.report.notes += found.notes
        first.job.space.compared.update(found.compared)
        holders, unsatisfied = task.holders, []
        for course, planned in holders:
            if course is first and planned is own:
                result = replace(found.result, step=planned.step)
                course.job.space.note(planned, found.made, found.result.seconds, found.result.warnings)
                course.record(result)
                continue
            if task.stays:
                first.share(planned, course)
            if is_there(course.job.space, planned):
                self._note_shared(course, planned, task)
            else:
                unsatisfied.append((course, planned))
        for key in task.takers:
            self._tasks[key].needs.discard(task.planned.key)
            self._queue(self._tasks[key])
        self._close(task, but=unsatisfied)
        if unsatisfied:
            task.holders, task.state = unsatisfied, TaskState.WAITING
            self._queue(task)

    def _close(self, task: Task, but: Sequence[tuple[Course, PlannedStep]] = ()) -> None:
        """A task has ended for those who hold it."""
        still = {course.number for course, _ in but}
        for course in {course.number: course for course, _ in task.holders}.values():
            if course.number not in still:
                course.open.discard(task.planned.key)
                self._end_if_complete(course)

    def _note_shared(self, course: Course, planned: PlannedStep, task: Task) -> None:
        origin = task.holders[0][0].job.name if task.holders else ""
        reason = f"made for {origin}" if origin and origin != course.job.name else "made by another step of the same key"
        course.job.space.note(planned, planned.wanted, 0.0)
        course.record(StepResult(planned.step, planned.module, "cached", reason, key=planned.key))

    def _failed(self, task: Task, found: NodeResult) -> None:
        self._tell_rest(task, found)
        task.state = TaskState.FAILED
        assert found.fault is not None
        error = found.fault.error()
        task.holders[0][0].report.notes += found.notes
        for course, planned in task.holders:
            failure = step_failure(course.job.graph, planned, error)
            failure.__cause__ = error
            course.failures[planned.step] = failure
            course.record(replace(found.result, step=planned.step))
            if not self.keep_going and self._stopped is None:
                self._stop(course.job, failure)
        self._block(task.planned.key)
        self._close(task)

    def _block(self, key: str) -> None:
        """Nothing will come of what takes the results of a task."""
        dead = [key]
        while dead:
            task = self._tasks[dead.pop()]
            for taker in task.takers:
                if self._tasks[taker].state is TaskState.WAITING:
                    self._tasks[taker].state = TaskState.BLOCKED
                    dead.append(taker)
                    self._close(self._tasks[taker])

    def _stop(self, job: Job, error: RecipeError) -> None:
        """Begin nothing more."""
        self._stopped = (job, error)
        for task in self._tasks.values():
            if task.future is not None:
                task.future.cancel()

    def _lost(self, task: Task, found: NodeResult) -> None:
        """An input was damaged or removed: what makes it runs again."""
        self._losses += 1
        if self._losses >= MOST_LOSSES:
            found.fault = Fault.of(lost_too_often())
            self._failed(task, found)
            return
        task.state = TaskState.WAITING
        task.holders[0][0].report.notes += found.notes
        for course in {course.number: course for course, _ in task.holders}.values():
            self._adopt(course, course.job.plan_again())
            self._end_if_complete(course)

    def _stays(self, why: str, task: Task, found: NodeResult) -> None:
        task.state = TaskState.WAITING
        if found.unkept and found.state == "unkept":
            for course in self._courses:
                course.job.space.unkept = course.job.space.unkept or found.unkept
        self._keep_here(task, why)
        self._queue(task)

    # -- ends ------------------------------------------------------------------------------------------------------------------

    def _end_if_complete(self, course: Course) -> None:
        if course.outcome is None and not course.open:
            self._end(course)

    def _end(self, course: Course) -> None:
        course.outcome = end_of(course, self._stopped)
        self._hand_over.give(course.job, course.outcome)
