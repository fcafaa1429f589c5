"""What plans are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from recipes_core.plan.reasons import Reason


@dataclass(frozen=True)
class StepIdentity:
    """What a step's results depend on, besides the data that it takes.

    Parameters
    ----------
    module : str
        Full name of the module.
    version : int
    parameters : mapping
        Those that affect results, defaults included; names of files as they are written.
    files : mapping
        File parameter -> digest of the content.
    inputs : tuple of (port, key)
    seed : int or None
        None for modules that draw no random numbers.
    code : str
        Digest of the source of a module that no installed distribution provides; empty for the others.
    """

    module: str
    version: int
    parameters: Mapping[str, Any]
    files: Mapping[str, str]
    inputs: tuple[tuple[str, str], ...]
    seed: int | None
    code: str = ""


@dataclass(frozen=True)
class Past:
    """How a step was last run.

    Parameters
    ----------
    identity : StepIdentity
    key : str
    taken : mapping
        Key -> what stood behind it.
    made : tuple of str
        Output ports.
    seconds : float
    labels : mapping
        Input of the recipe -> what people call what was given.
    warnings : tuple of str
        What the module warned of; true of the results for as long as they are used.
    """

    identity: StepIdentity
    key: str
    taken: Mapping[str, str]
    made: tuple[str, ...]
    seconds: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Where(Enum):
    """Where an object is."""

    NOWHERE = ""
    MEMORY = "memory"
    DISK = "disk"


class StepState(Enum):
    """What a plan does with a step."""

    RUN = "run"
    CURRENT = "current"
    CACHED = "cached"
    UNNEEDED = "not needed"
    WRITE = "write"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class PlannedStep:
    """One line of a plan.

    Parameters
    ----------
    step, module : str
        The step, and the module's short name.
    state : StepState
    reasons : tuple of Reason
        Why it runs; empty where it does not.
    identity : StepIdentity
    wanted : frozenset of str
        Output ports that are asked for.
    key : str
        Under which its results are kept; empty where an input is missing.
    taken : tuple of (port, key, object's name)
        What it takes; the last is empty where nothing stands behind an input.
    made : mapping
        Output port -> name of its object.
    seconds : float or None
        How long it took the last time.
    forced : bool
        Whether it runs because the user wants it, or after a step of which that is true, though its results may be there.
    """

    step: str
    module: str
    state: StepState
    reasons: tuple[Reason, ...]
    identity: StepIdentity
    wanted: frozenset[str]
    key: str = ""
    taken: tuple[tuple[str, str, str], ...] = ()
    made: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    forced: bool = False

    @property
    def reason(self) -> str:
        """The reasons as one line."""
        return ", ".join(str(reason) for reason in self.reasons)


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes
    ----------
    targets : tuple of str
        Keys and steps that were asked for.
    steps : tuple of PlannedStep
        Everything that the targets depend on, in the order in which it runs.
    names : mapping
        Key -> name of the object that stands behind it; keys without one are left out.
    missing : tuple of str
        Free inputs that are needed and not given.
    """

    targets: tuple[str, ...]
    steps: tuple[PlannedStep, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def to_run(self) -> tuple[PlannedStep, ...]:
        """The steps that will run."""
        return tuple(self.in_state(StepState.RUN))

    def in_state(self, *states: StepState) -> Iterator[PlannedStep]:
        """The steps in one of some states."""
        return (step for step in self.steps if step.state in states)

    def __getitem__(self, step: str) -> PlannedStep:
        for planned in self.steps:
            if planned.step == step:
                return planned
        raise KeyError(step)

    def explain(self) -> str:
        """The plan as text: a line a step, and a closing count."""
        from recipes_core.plan.explaining import explain

        return explain(self)
