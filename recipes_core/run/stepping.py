"""Carries out one step: what a run in this process and a worker elsewhere have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from recipes_core.data import DataObject
from recipes_core.errors import Cancelled, DataError
from recipes_core.module import Context, ModuleBase, run_module
from recipes_core.plan import PlannedStep, Where
from recipes_core.plan.reasons import Forced
from recipes_core.run.events import Listener, StepResult
from recipes_core.run.workspace import ResultLost, Workspace

ObjectOf = Callable[[str, str], DataObject]
"""(object's name, key) -> object; raises ResultLost where it is gone."""


class StepFailed(Exception):
    """A step ended in an error, which is this one's cause; the step's result is complete."""


class RunContext(Context):
    """The context that the engine hands to modules: it passes on what they say."""

    def __init__(self, planned: PlannedStep, listener: Listener, *, seed: int, n_threads: int | None) -> None:
        super().__init__(planned.step, seed=seed, n_threads=n_threads, wanted=planned.wanted)
        self._listener = listener

    def progress(self, done: float, total: float) -> None:
        super().progress(done, total)
        self._listener.progress(self.step, done, total)

    def warn(self, message: str) -> None:
        super().warn(message)
        self._listener.warning(self.step, message)

    def say(self, message: str) -> None:
        super().say(message)
        self._listener.message(self.step, message)


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
        context: Callable[[PlannedStep], Context],
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
        if cache is None or not cache.writable or self.space.unkept:
            self._run_now(planned, module, result)
            return
        told: list[str] = []

        def waiting(info: str) -> None:
            if not told:
                told.append(info)
                self.listener.message(planned.step, f"waiting: {info}")

        with cache.lock(planned.key, waiting=waiting):
            # Another run may have made it since the plan was made, with or without a wait.
            if not is_forced(planned) and is_there(self.space, planned):
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
        self.space.publish(planned, made, result.seconds)
        result.state = "done"
        if self.tells:
            keys = module.output_keys()
            result.outputs = {keys[port]: value.summary() for port, value in made.items() if keys[port]}
        self.listener.step_finished(result)


def is_forced(planned: PlannedStep) -> bool:
    """Whether a step runs although its results are there."""
    return any(isinstance(reason, Forced) for reason in planned.reasons)


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
