"""Carries out one step: what a run in this process and a worker elsewhere have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recipes_core.data import DataObject
from recipes_core.errors import Cancelled, DataError
from recipes_core.module import Context, ModuleBase, run_module
from recipes_core.plan import PlannedStep, Where
from recipes_core.run.events import Listener, StepResult
from recipes_core.run.workspace import ResultLost, Workspace

if TYPE_CHECKING:
    from recipes_core.cache.store import Cache
    from recipes_core.module.context import Reads
    from recipes_core.run.blocks import BlockStore
    from recipes_core.run.executors.base import Executor
    from recipes_core.run.following import Following

Item = TypeVar("Item")
Result = TypeVar("Result")
ObjectOf = Callable[[str, str], DataObject]
"""(object's name, key) -> object; raises ResultLost where it is gone."""


class StepFailed(Exception):
    """A step ended in an error, which is this one's cause; the step's result is complete."""


class RunContext(Context):
    """The context that the engine hands to modules: it passes on what they say, and keeps parts of long steps.

    Parameters
    ----------
    planned : PlannedStep
    listener : Listener
    seed : int
    n_threads : int, optional
    cache : Cache, optional
        Where results of ``map(..., keep=NAME)`` are kept.
    executor : Executor, optional
        Where ``map`` runs; threads of this process where not given.
    following : Following, optional
        Where files that grow are followed: parts are then kept under names of their own.
    """

    def __init__(
        self,
        planned: PlannedStep,
        listener: Listener,
        *,
        seed: int,
        n_threads: int | None,
        cache: Cache | None = None,
        executor: Executor | None = None,
        following: Following | None = None,
    ) -> None:
        super().__init__(planned.step, seed=seed, n_threads=n_threads, wanted=planned.wanted)
        self._planned = planned
        self._listener = listener
        self._cache = cache
        self._executor = executor
        self._following = following
        self._store: BlockStore | None = None

    def progress(self, done: float, total: float) -> None:
        super().progress(done, total)
        self._listener.progress(self.step, done, total)

    def warn(self, message: str) -> None:
        super().warn(message)
        self._listener.warning(self.step, message)

    def say(self, message: str) -> None:
        super().say(message)
        self._listener.message(self.step, message)

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        keep: str = "",
        reads: Callable[[Item], Reads] | None = None,
    ) -> Iterator[Result]:
        numbered: Iterable[tuple[int | str, Item]] = enumerate(items)
        if keep and reads is not None and self._following is not None:
            from recipes_core.run.blocks import named_items

            store = self._blocks(named=True)
            numbered = named_items(items, reads, self._following, self.step)
        else:
            store = self._blocks(named=False) if keep else None
        if self._executor is not None:
            from recipes_core.run.blocks import Spread

            spread = Spread(self._executor, f"step '{self.step}'", self._stays, self.n_threads)
            for result in spread.map(function, numbered, keep, store):
                self.check_cancelled()
                yield result
        elif store is not None:
            from recipes_core.run.blocks import kept

            yield from super().map(partial(kept, function, store, keep), numbered)
        else:
            yield from super().map(function, items)

    def _stays(self, why: str) -> None:
        self._listener.message(self.step, f"its blocks stay in this process: {why}")

    def _blocks(self, *, named: bool) -> BlockStore | None:
        if self._store is None and self._cache is not None and self._cache.writable:
            from recipes_core.run.blocks import BlockStore

            self._store = BlockStore(self._cache, "" if named else self._planned.key, self.step, self._planned.module)
        return self._store

    def published(self) -> None:
        """The step is done, and its parts need not be kept any more."""
        if self._store is not None:
            self._store.clear()


class Stepper:
    """Carries out steps in a workspace.

    Parameters
    ----------
    space : Workspace
    context : callable
        PlannedStep -> `Context` for its module.
    object_of : callable
        (object's name, key) -> object.
    check_files : callable
        Raises where a file that a step was made from has changed meanwhile.
    listener : Listener
    tells : bool
        Whether results shall say what came in and went out.
    """

    def __init__(
        self,
        space: Workspace,
        context: Callable[[PlannedStep], RunContext],
        object_of: ObjectOf,
        check_files: Callable[[PlannedStep], None],
        listener: Listener,
        *,
        tells: bool,
    ) -> None:
        self.space = space
        self.context = context
        self.object_of = object_of
        self.check_files = check_files
        self.listener = listener
        self.tells = tells

    def run(self, planned: PlannedStep, module: ModuleBase, result: StepResult) -> None:
        """Run a step while others are held off; where another run has made its results meanwhile, they are taken.

        Raises
        ------
        StepFailed
            From what the module raised.
        ResultLost
            Where an input is gone.
        """
        cache = self.space.cache
        if cache is None or not self.space.keeps:
            self._run_now(planned, module, result)
            return
        told: list[str] = []

        def waiting(info: str) -> None:
            if not told:
                told.append(info)
                self.listener.message(planned.step, f"waiting: {info}")

        with cache.lock(planned.key, waiting=waiting):
            # Another run may have made it since the plan was made, with or without a wait.
            if not planned.forced and is_there(self.space, planned):
                result.state, result.reason = "cached", "made by another run meanwhile"
                self.space.note(planned, planned.wanted, 0.0)
                self.listener.step_finished(result)
            else:
                self._run_now(planned, module, result)

    def _run_now(self, planned: PlannedStep, module: ModuleBase, result: StepResult) -> None:
        self.listener.step_started(planned)
        context = self.context(planned)
        result.warnings, result.messages = context.warnings, context.messages
        started = time.perf_counter()
        try:
            objects = {name: self.object_of(name, key) for _, key, name in planned.taken if name}
            if self.tells:
                result.inputs = {key: objects[name].summary() for _, key, name in planned.taken if name}
            started = time.perf_counter()
            made = run_module(module, context, inputs_by_port(planned, module, objects))
            self.check_files(planned)
        except ResultLost:
            raise
        except (Exception, KeyboardInterrupt) as error:
            result.seconds = time.perf_counter() - started
            result.state = "cancelled" if isinstance(error, (Cancelled, KeyboardInterrupt)) else "failed"
            self.space.forget(planned.step)
            self.listener.step_finished(result)
            raise StepFailed from error
        result.seconds = time.perf_counter() - started
        self.space.publish(planned, made, result.seconds, result.warnings)
        context.published()
        result.state = "done"
        if self.tells:
            keys = module.output_keys()
            result.outputs = {keys[port]: value.summary() for port, value in made.items() if keys[port]}
        self.listener.step_finished(result)


def is_there(space: Workspace, planned: PlannedStep) -> bool:
    """Whether all that is asked of a step is there."""
    return all(space.where(planned.made[port]) is not Where.NOWHERE for port in planned.wanted if port in planned.made)


def inputs_by_port(planned: PlannedStep, module: ModuleBase, objects: Mapping[str, DataObject]) -> dict[str, Any]:
    """What a module receives: port -> object, or list of them for ports that take many."""
    ports = module.inputs()
    values: dict[str, Any] = {port: [] for port, declared in ports.items() if declared.many}
    for port, _, name in planned.taken:
        value = objects[name] if name else None
        if ports[port].many:
            values[port].append(value)
        else:
            values[port] = value
    return values


def file_changed(path: Path) -> DataError:
    """The error for a file that was written to while it was read."""
    return DataError(
        f"{path} changed while it was read; nothing that was made of it is kept.",
        code="D140",
        hint="Run again when it is complete, or 'recipe watch' to follow a file that grows.",
    )


def file_parameters(planned: PlannedStep) -> Iterable[Path]:
    """Files that a step's parameters name."""
    for name in planned.identity.files:
        value = planned.identity.parameters.get(name) or ()
        for path in (value,) if isinstance(value, str) else value:
            yield Path(str(path).partition("?")[0])
