"""What a running module may use besides its inputs and parameters."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from recipes_core.data.persistence import persistence
from recipes_core.errors import UsageError
from recipes_core.module.scratch import Scratch

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_threads() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def seed_sequence(seed: int, step: str) -> np.random.SeedSequence:
    """Entropy for one step: depends on the recipe's seed and the name of the step, on nothing else."""
    digest = hashlib.blake2b(step.encode(), digest_size=8).digest()
    return np.random.SeedSequence([seed & (2**64 - 1), int.from_bytes(digest, "little")])


class Reads(NamedTuple):
    """All that the result of one item of `Context.map` follows from.

    Attributes
    ----------
    says : str
        Everything but the frames: settings, and which part of them the item is; the same text means the same.
    stack : ImageStack
    start, stop : int
        Frames that are read.
    """

    says: str
    stack: Any
    start: int
    stop: int


class Context:
    """Handed to `ModuleBase.run` as `ctx`.

    This class runs everything in the calling thread's process and prints nothing; the engine derives its own.

    Attributes
    ----------
    step : str
        Name of the step.
    n_threads : int
        Threads that the module may use. Results must not depend on it.
    scratch : Scratch
        Room for big intermediate arrays.
    warnings, messages : list of str
        What the module said.
    """

    def __init__(
        self,
        step: str = "",
        *,
        seed: int = 0,
        n_threads: int | None = None,
        wanted: Iterable[str] | None = None,
    ) -> None:
        self.step = step
        self.seed = seed
        self.n_threads = n_threads or available_threads()
        self.warnings: list[str] = []
        self.messages: list[str] = []
        self._wanted = None if wanted is None else frozenset(wanted)

    @cached_property
    def scratch(self) -> Scratch:
        """Room for big intermediate arrays."""
        return Scratch()

    @cached_property
    def rng(self) -> np.random.Generator:
        """Random numbers of this step: the same for the same seed and step."""
        return np.random.default_rng(seed_sequence(self.seed, self.step))

    def wanted(self, port: str) -> bool:
        """Whether anything asks for an output; diagnostic ones need not be made otherwise."""
        return self._wanted is None or port in self._wanted

    def progress(self, done: float, total: float) -> None:
        """Say how far the module is; also a place where a run can be cancelled."""
        self.check_cancelled()

    def check_cancelled(self) -> None:
        """Raise `Cancelled` where the user has stopped the run."""

    def warn(self, message: str) -> None:
        """Tell the user that something may be wrong with the result."""
        self.warnings.append(message)

    def say(self, message: str) -> None:
        """Tell the user a fact about the result."""
        self.messages.append(message)

    def open(self, path: str | Path, kind: type | None = None) -> Any:
        """Read an object from a file parameter's file.

        Raises
        ------
        UsageError
            Where no file is named or it does not exist.
        FormatError
            Where it cannot be read as `kind`.
        """
        if not str(path):
            raise UsageError(f"step '{self.step}' needs a file and none is named", code="U210")
        return persistence().load(path, kind=kind)

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        keep: str = "",
        reads: Callable[[Item], Reads] | None = None,
    ) -> Iterator[Result]:
        """Apply a function to items on `n_threads` threads; results come in order, and few are held at a time.

        Parameters
        ----------
        keep : str
            A name for these results, for work that takes long: with a cache the result of each item (a mapping from name to
            array, or a `DataObject`) is kept until the step is done, so that a run that was killed goes on where it was. Items
            must then not depend on the number of threads, nor an item's result on other items.
        reads : callable, optional
            With `keep`: what an item's result follows from, where that is not the whole input. ``recipe watch`` then takes what is kept of
            an item when the input has grown.
        """
        if self.n_threads <= 1:
            for item in items:
                self.check_cancelled()
                yield function(item)
            return
        pending: deque[Future[Result]] = deque()
        with ThreadPoolExecutor(self.n_threads) as pool:
            try:
                for item in items:
                    pending.append(pool.submit(function, item))
                    if len(pending) > self.n_threads:
                        self.check_cancelled()
                        yield pending.popleft().result()
                while pending:
                    self.check_cancelled()
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()
