"""A worker process of the executor `processes`: takes tasks from its input, one at a time, until that ends."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from typing import Any, BinaryIO

from recipes_core.run.executors.faults import Fault


class _Here:
    """The process as tasks see it."""

    def __init__(self, results: BinaryIO, n_threads: int) -> None:
        self.n_threads = n_threads
        self.name = f"pid {os.getpid()}"
        self._results = results
        self._lock = threading.Lock()

    def send(self, kind: str, content: Any) -> None:
        packed = pickle.dumps((kind, content), protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._results.write(packed)
            self._results.flush()

    def tell(self, event: tuple[Any, ...]) -> None:
        self.send("event", event)

    def cancelled(self) -> bool:
        return False  # whoever cancels ends this process


def main() -> None:
    """Run tasks until the input ends, which it also does when the other process dies."""
    tasks, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What modules print must not come between the results, nor may their children read tasks.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    # Ctrl-C reaches all processes of a terminal; the one that was started by hand decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # not for what modules may start
    n_threads, plugins = pickle.load(tasks)  # noqa: S301 - from the process that has started this one
    if not plugins:
        from recipes_core.plugins import Registry, use_registry

        use_registry(Registry(external=False))
    here = _Here(results, n_threads)
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(tasks, waiting), daemon=True).start()
    here.send("ready", None)
    while True:
        _answer(waiting.get(), here)


def _read(tasks: BinaryIO, waiting: queue.SimpleQueue[bytes]) -> None:
    try:
        while True:
            waiting.put(pickle.load(tasks))  # noqa: S301 - as above
    except (EOFError, OSError, pickle.UnpicklingError):
        # Nobody is there to take results. What is half written is invisible to others, and swept by `recipe cache gc`.
        os._exit(0)


def _answer(task: bytes, here: _Here) -> None:
    try:
        work, argument = pickle.loads(task)  # noqa: S301 - as above
        content = ("done", pickle.dumps(work(argument, here), protocol=pickle.HIGHEST_PROTOCOL))
    except BaseException as error:  # whatever it is, the other process waits for an answer
        content = ("failed", pickle.dumps(Fault.of(error)))
    try:
        here.send(*content)
    except OSError:
        sys.exit(0)
