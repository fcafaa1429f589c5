"""One step as plain values, and the function that carries it out in another process.

Only specifications and keys travel; data move through the cache, and files are read where they are needed.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes_core import io
from recipes_core.cache.digests import FileDigests, Stamp
from recipes_core.cache.store import Cache
from recipes_core.data import DataObject
from recipes_core.errors import Cancelled, EnvironmentFault
from recipes_core.module import ModuleBase
from recipes_core.plan import PlannedStep
from recipes_core.plan.keys import code_of, module_name
from recipes_core.plugins import registry
from recipes_core.run.binding import Bound
from recipes_core.run.events import Listener, StepResult
from recipes_core.run.executors.base import Here
from recipes_core.run.executors.faults import Fault
from recipes_core.run.past import PastBook
from recipes_core.run.stepping import RunContext, StepFailed, Stepper, file_changed, is_there
from recipes_core.run.workspace import ResultLost, Workspace

_PROGRESS_EVERY = 0.1

Files = tuple[tuple[str, tuple[tuple[str, int, int], ...]], ...]
"""(path, (relative name, size, mtime) of each file in it) of each."""


@dataclass(frozen=True)
class FileSource:
    """A dataset of a file that stands behind an input.

    Parameters
    ----------
    path : str
        Absolute.
    options : mapping
        What the name of the file says behind a question mark.
    dataset, kind : str
        Name and type of the dataset.
    metadata : mapping
        What the user gives on top of the file's own.
    """

    path: str
    options: Mapping[str, str]
    dataset: str
    kind: str
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, bound: Bound) -> FileSource:
        """Where a bound input comes from."""
        path = os.path.abspath(bound.path)  # noqa: PTH100 - links stay as they are, they may lead elsewhere on other machines
        return cls(path, dict(bound.options), bound.dataset.name, bound.dataset.kind.__name__, dict(bound.metadata))

    def load(self) -> DataObject:
        """Read it; images come lazily."""
        content = io.open_file(self.path, **self.options)
        dataset = next(item for item in content.datasets if (item.name, item.kind.__name__) == (self.dataset, self.kind))
        return Bound("", content.path, dataset, self.metadata).load()


@dataclass(frozen=True)
class NodeSpec:
    """A step that can run in any process that sees the same cache and files.

    Parameters
    ----------
    planned : PlannedStep
    module : str
        Full name, or ``package.file:Class``.
    parameters : mapping
        All of them.
    keys : mapping
        Port -> key, or keys.
    seed : int
    cache : str
        Folder of the cache.
    sources : mapping
        Free input -> file that stands behind it; other inputs are in the cache.
    files : tuple
        What the files that the step is made from were like when the plan was made.
    folder : str
        The current folder of the run, to which names of files that modules open may be relative.
    """

    planned: PlannedStep
    module: str
    parameters: Mapping[str, Any]
    keys: Mapping[str, Any]
    seed: int
    cache: str
    sources: Mapping[str, FileSource] = field(default_factory=dict)
    files: Files = ()
    folder: str = ""


@dataclass
class NodeResult:
    """How a step went elsewhere.

    Parameters
    ----------
    state : str
        ``done``, ``cached``, ``failed``, ``lost`` (an input is gone), ``stays`` (the module cannot be had there) or ``unkept``
        (what it made could not be put into the cache, and so is gone).
    result : StepResult
    made : tuple of str
        Output ports.
    compared : mapping
        See `Workspace.compared`.
    notes : list of str
        What the cache has to say.
    unkept : str
        Why nothing can be put into the cache.
    fault : Fault, optional
    """

    state: str
    result: StepResult
    made: tuple[str, ...] = ()
    compared: Mapping[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unkept: str = ""
    fault: Fault | None = None


def files_of(stamps: Mapping[Path, Stamp]) -> Files:
    """Stamps without what differs between machines that share a folder: device, inode and time of the last change of either."""
    return tuple((os.path.abspath(path), _portable(stamp)) for path, stamp in sorted(stamps.items()))  # noqa: PTH100


def _portable(stamp: Stamp) -> tuple[tuple[str, int, int], ...]:
    return tuple((name, state[2], state[3]) for name, state in stamp.files)


def run_node(spec: NodeSpec, here: Here) -> NodeResult:
    """Carry out a step and put what it makes into the cache."""
    planned = spec.planned
    result = StepResult(planned.step, planned.module, "failed", planned.reason, key=planned.key)
    space = _workspace(spec.cache)
    listener = _Telling(planned.key, here)
    stepper = Stepper(
        space,
        lambda step: _NodeContext(step, listener, spec, here),
        _Inputs(spec, space, here).get,
        lambda step: refuse_changed(spec.files, here),
        listener,
        tells=True,
    )
    try:
        module = make_module(spec, here)
        stepper.run(planned, module, result)
    except _Stays as stays:
        return NodeResult("stays", result, unkept=str(stays))
    except ResultLost:
        return _told("lost", space, result)
    except StepFailed as failed:
        return _told("failed", space, result, Fault.of(failed.__cause__ or failed))
    except EnvironmentFault as error:
        return _told("failed", space, result, Fault.of(error))
    finally:
        space.drop_all()
    past = space.past(planned.step)
    state = result.state if is_there(space, planned) else "unkept"
    found = _told(state, space, result)
    found.made = past.made if past is not None else ()
    return found


def _told(state: str, space: Workspace, result: StepResult, fault: Fault | None = None) -> NodeResult:
    assert space.cache is not None
    notes, space.cache.warnings = space.cache.warnings, []
    compared, space.compared = space.compared, {}
    unkept, space.unkept = space.unkept, ""
    return NodeResult(state, result, compared=compared, notes=notes, unkept=unkept, fault=fault)


class _Stays(Exception):
    """A module that is to be had in the first process only."""


def make_module(spec: NodeSpec, here: Here) -> ModuleBase:
    """The module of a step.

    Raises
    ------
    EnvironmentFault
        Where this process has another version of it.
    """
    kind = _find(spec.module)
    identity = spec.planned.identity
    found, wanted = (module_name(kind), kind.version, code_of(kind)), (identity.module, identity.version, identity.code)
    if found != wanted:
        raise other_module(here.name, spec.module)
    return kind(**spec.parameters, **spec.keys)


def _find(name: str) -> type[ModuleBase]:
    ref = registry().modules.get(name)
    if ref is not None:
        found: type[ModuleBase] = ref.load()
        return found
    package, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(package), attribute or package)
    except Exception as error:  # whatever an import raises, the first process has the module
        raise _Stays(f"{type(error).__name__}: {error}") from error
    return found


def other_module(where: str, module: str) -> EnvironmentFault:
    """The error for a worker that has another version of a module."""
    return EnvironmentFault(
        f"the worker {where} has no module '{module}' of the version that is used here.",
        code="V331",
        hint="Install the same versions of smlm-recipes and of plugins on all machines.",
    )


def refuse_changed(files: Files, here: Here) -> None:
    """Raise DataError where a file is not what it was when the plan was made."""
    digests = FileDigests(None, writable=False)
    for path, state in files:
        try:
            now = _portable(digests.stamp(Path(path)))
        except OSError as error:
            raise EnvironmentFault(
                f"the worker {here.name} cannot read {path}: {error.strerror or error}.",
                code="V330",
                hint="Put inputs and cache into folders that all machines see under the same name.",
            ) from error
        if now != state:
            raise file_changed(Path(path))


# -- what a step finds in this process ----------------------------------------------------------------------------------------

_local = threading.local()


def _workspace(root: str) -> Workspace:
    """A workspace of this thread; the cache remembers which entries were found whole."""
    known: dict[str, Workspace] = _local.__dict__.setdefault("spaces", {})
    if root not in known:
        known[root] = Workspace()
        known[root].use_cache(Cache(Path(root)))
    known[root].book = PastBook()
    return known[root]


class _Inputs:
    """Objects that a step takes: from the cache, or read from files. The file that was read last is kept for the next step."""

    def __init__(self, spec: NodeSpec, space: Workspace, here: Here) -> None:
        self.spec = spec
        self.space = space
        self.here = here

    def get(self, name: str, key: str) -> DataObject:
        source = self.spec.sources.get(key)
        if source is None:
            return self.space.get(name)
        last: tuple[str, DataObject] | None = _local.__dict__.get("last")
        if last is None or last[0] != name:
            refuse_changed(self.spec.files, self.here)
            _local.last = None  # two large tables need not be in memory at once
            _local.last = last = (name, source.load())
        return last[1]


class _Telling(Listener):
    """Sends what a step tells to the process that waits for it."""

    def __init__(self, key: str, here: Here) -> None:
        self.key = key
        self.here = here
        self._last = 0.0

    def step_started(self, step: PlannedStep) -> None:
        self.here.tell(("started", self.key))

    def progress(self, step: str, done: float, total: float) -> None:
        now = time.monotonic()
        if now - self._last >= _PROGRESS_EVERY:
            self._last = now
            self.here.tell(("progress", self.key, float(done), float(total)))

    def message(self, step: str, text: str) -> None:
        self.here.tell(("message", self.key, text))

    def warning(self, step: str, text: str) -> None:
        self.here.tell(("warning", self.key, text))


class _NodeContext(RunContext):
    """The context of a module that runs elsewhere."""

    def __init__(self, planned: PlannedStep, listener: Listener, spec: NodeSpec, here: Here) -> None:
        cache = _workspace(spec.cache).cache
        super().__init__(planned, listener, seed=spec.seed, n_threads=here.n_threads, cache=cache)
        self._here = here
        self._folder = spec.folder

    def check_cancelled(self) -> None:
        if self._here.cancelled():
            raise Cancelled("cancelled")

    def open(self, path: str | Path, kind: type | None = None) -> Any:
        # Names are absolute in recipes; those that were set in Python are relative to the folder of that process.
        return super().open(Path(self._folder) / path if str(path) else path, kind)


def names_taken(planned: PlannedStep) -> Iterable[tuple[str, str]]:
    """(object's name, key) of everything that stands behind a step's inputs."""
    return dict.fromkeys((name, key) for _, key, name in planned.taken if name)
