"""The executor `processes`: workers on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from recipes_core.errors import Cancelled, EnvironmentFault, WorkerLost
from recipes_core.module.context import available_threads
from recipes_core.plugins import registry
from recipes_core.run.executors.base import Executor, Work

_MOST_STARTS = 2
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from recipes_core.run.executors.worker import main; main()"
_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(eq=False)
class _Task:
    packed: bytes
    what: str
    near: str
    future: Future[Any]
    starts: int = 0


class _Worker:
    """A process with what it is at."""

    def __init__(self, n_threads: int) -> None:
        environment = {**os.environ, **dict.fromkeys(_LIMITS, str(n_threads))}
        # A fresh interpreter rather than a fork: threads and libraries survive none. It never imports the main script, so that
        # needs no guard.
        with _deaf_to_ctrl_c():
            self.process = subprocess.Popen(  # noqa: S603 - this very interpreter
                [sys.executable, "-c", _BOOT, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        self.task: _Task | None = None
        self.near = ""
        self.ready = False
        self.send((n_threads, _with_plugins()))

    def send(self, content: Any) -> None:
        assert self.process.stdin is not None
        # A process that has died is noticed where its answers end.
        with contextlib.suppress(OSError):
            pickle.dump(content, self.process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Hold Ctrl-C back from processes that are started here, until they have chosen to ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _with_plugins() -> bool:
    return registry().external


class Processes(Executor):
    """Worker processes that are started when there is work for them, and kept until the executor is closed.

    Parameters
    ----------
    jobs : int, optional
        How many; one for each processor where not given. The processors are shared out among them.

    Notes
    -----
    Workers are connected by pipes alone: each side knows at once when the other one is gone, however it ended.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self._jobs = jobs or available_threads()
        self.n_threads = max(1, available_threads() // self._jobs)
        self._lock = threading.RLock()
        self._waiting: deque[_Task] = deque()
        self._workers: set[_Worker] = set()
        self._closed = False
        self._unready = 0

    @property
    def n_slots(self) -> int:
        return self._jobs

    def submit(self, work: Work, argument: Any, what: str, near: str = "") -> Future[Any]:
        task = _Task(pickle.dumps((work, argument), protocol=pickle.HIGHEST_PROTOCOL), what, near, Future())
        with self._lock:
            self._waiting.append(task)
            busy = sum(worker.task is not None for worker in self._workers)
            if len(self._workers) < min(self._jobs, busy + len(self._waiting)):
                self._start()
            self._feed()
        return task.future

    def cancel(self) -> None:
        with self._lock:
            dropped = [*self._waiting, *(worker.task for worker in self._workers if worker.task is not None)]
            self._waiting.clear()
        self.close()
        for task in dropped:
            if not task.future.done():
                task.future.set_exception(Cancelled("cancelled"))

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            workers = list(self._workers)
        for worker in workers:
            busy = worker.task is not None
            worker.process.kill() if busy else _close_input(worker)
        for worker in workers:
            try:
                worker.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            _close_input(worker)

    # -- workers -----------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        worker = _Worker(self.n_threads)
        self._workers.add(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()

    def _feed(self) -> None:
        for worker in self._workers:
            while worker.task is None and worker.ready and self._waiting:
                task = self._next_for(worker)
                if task.starts or task.future.set_running_or_notify_cancel():
                    worker.task, worker.near = task, task.near
                    task.starts += 1
                    worker.send(task.packed)

    def _next_for(self, worker: _Worker) -> _Task:
        """The next task; rather one whose data the worker has just had, of the few that are waiting."""
        index = next((place for place, task in enumerate(self._waiting) if task.near and task.near == worker.near), 0)
        task = self._waiting[index]
        del self._waiting[index]
        return task

    def _listen(self, worker: _Worker) -> None:
        stream = worker.process.stdout
        assert stream is not None
        with stream:
            while True:
                try:
                    kind, content = pickle.load(stream)  # noqa: S301 - from a process that was started here
                except Exception:  # an answer that is cut off may raise anything
                    break
                if kind == "event":
                    self.on_event(content)
                else:
                    self._take(worker, kind, content)
        self._bury(worker)

    def _take(self, worker: _Worker, kind: str, content: Any) -> None:
        with self._lock:
            task, worker.task = worker.task, None
            worker.ready, self._unready = True, 0
            self._feed()
        if task is None:
            return
        answer = pickle.loads(content)  # noqa: S301 - as above
        if kind == "done":
            task.future.set_result(answer)
        else:
            task.future.set_exception(answer.error())

    def _bury(self, worker: _Worker) -> None:
        """Replace a worker that has ended; its task is started once more."""
        code = worker.process.wait()
        _close_input(worker)
        lost: list[tuple[_Task, Exception]] = []
        with self._lock:
            self._workers.discard(worker)
            if self._closed:
                return
            task = worker.task
            if task is not None and task.starts < _MOST_STARTS:
                self._waiting.appendleft(task)
            elif task is not None:
                lost.append((task, worker_lost(task.what, code)))
            self._unready += not worker.ready
            if self._unready > 2 * self._jobs:
                fault = EnvironmentFault(
                    "the worker processes end as soon as they start.", code="V340", hint="What they print says why."
                )
                lost += [(waiting, fault) for waiting in self._waiting]
                self._waiting.clear()
            else:
                self._start()
            self._feed()
        for task, error in lost:
            task.future.set_exception(error)


def open_processes(*, jobs: int | None = None, **_: Any) -> Processes:
    """The executor for ``--executor processes``."""
    return Processes(jobs)


def _close_input(worker: _Worker) -> None:
    assert worker.process.stdin is not None
    with contextlib.suppress(OSError):
        worker.process.stdin.close()


def worker_lost(what: str, code: int | None = None) -> WorkerLost:
    """The error for a task at which two workers have died."""
    killed = getattr(signal, "SIGKILL", None)
    if code is not None and killed is not None and code == -killed:
        how, hint = "was killed twice by the system", "Most likely the memory did not suffice: use fewer --jobs, or smaller data."
    elif code is not None and code < 0:
        how, hint = (
            f"crashed twice ({signal.Signals(-code).name})",
            "A library that it uses is at fault; run it alone to see more.",
        )
    else:
        how, hint = "ended twice without a result", "Most likely the memory did not suffice: use fewer --jobs, or smaller data."
    return WorkerLost(f"the worker of {what} {how}.", hint=hint)
