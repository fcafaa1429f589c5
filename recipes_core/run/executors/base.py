"""What every executor does: run tasks somewhere else, and say when they are done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol


class Here(Protocol):
    """The place where a task runs."""

    n_threads: int
    name: str

    def tell(self, event: tuple[Any, ...]) -> None:
        """Send an event, of plain values, to the process that submitted the task."""

    def cancelled(self) -> bool:
        """Whether nobody waits for the task any more."""


Work = Callable[[Any, Here], Any]
"""A function of a module, of a picklable argument and the place where it runs; what it returns is pickled too."""


class Executor(ABC):
    """Runs tasks in other processes. Plugins derive their own and register it with `ExecutorRef`.

    Attributes
    ----------
    on_event : callable
        Receives the events of tasks, in any thread.
    """

    on_event: Callable[[tuple[Any, ...]], None] = staticmethod(lambda event: None)

    @property
    @abstractmethod
    def n_slots(self) -> int:
        """Tasks that run at the same time."""

    @abstractmethod
    def submit(self, work: Work, argument: Any, what: str, near: str = "") -> Future[Any]:
        """Start a task as soon as there is room for it.

        A task whose worker dies is started a second time; then the future raises `recipes_core.errors.WorkerLost`.

        Parameters
        ----------
        what : str
            What people call the task.
        near : str
            Tasks of the same word take the same data, so that they are best done by the same worker.

        Returns
        -------
        Future
            It can be cancelled until the task begins.
        """

    def prepare(self, modules: Sequence[tuple[str, int, str]]) -> None:  # noqa: B027 - workers of this machine have them
        """Find out before anything runs whether workers have the modules: (name, version, digest of code) each.

        Raises
        ------
        EnvironmentFault
            Where they have not.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Drop what has not begun and stop what runs."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the workers."""
