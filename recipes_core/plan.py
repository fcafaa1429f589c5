"""The plan: what will run, what is current, and why. One pure function serves run, dry run and explain.

A step is *current* when what it last made was made from the same inputs, by the same module with the same parameters. A store
of results on disk fits in here: it would answer `Knowledge.record` for steps that this process has not run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from recipes_core.graph import Graph
from recipes_core.module import ModuleBase


@dataclass(frozen=True)
class StepIdentity:
    """What a step's results depend on, besides the data that it takes.

    Parameters
    ----------
    module : str
        Name of the module.
    version : int
    parameters : mapping
        Those that affect results, defaults included.
    inputs : tuple of (port, key)
    outputs : tuple of (port, key)
    seed : int or None
        None for modules that draw no random numbers.
    """

    module: str
    version: int
    parameters: Mapping[str, Any]
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    seed: int | None


@dataclass(frozen=True)
class Record:
    """How the results of a step were made.

    Parameters
    ----------
    identity : StepIdentity
    taken : mapping
        Key -> token of the object that was taken.
    made : mapping
        Key -> token of the object that was made.
    seconds : float
        How long it took.
    """

    identity: StepIdentity
    taken: Mapping[str, int]
    made: Mapping[str, int]
    seconds: float = 0.0


class Knowledge(Protocol):
    """What a plan may ask about the present state; reading it changes nothing."""

    def record(self, step: str) -> Record | None:
        """How a step's results were made, None where there are none."""

    def token(self, key: str) -> int | None:
        """Names the object behind a key; another object has another token. None where there is none."""


class StepState(Enum):
    """What a plan does with a step."""

    RUN = "run"
    CURRENT = "current"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Reason:
    """Why a step runs."""

    def __str__(self) -> str:
        return "for no known reason"


@dataclass(frozen=True)
class NeverRun(Reason):
    """There are no results yet."""

    def __str__(self) -> str:
        return "never run"


@dataclass(frozen=True)
class ParameterChanged(Reason):
    """A parameter has another value."""

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.name} {_short(self.old)} -> {_short(self.new)}"


@dataclass(frozen=True)
class InputChanged(Reason):
    """An input of the recipe was given other data."""

    key: str

    def __str__(self) -> str:
        return f"input '{self.key}' changed"


@dataclass(frozen=True)
class WiringChanged(Reason):
    """A port is connected to another key."""

    port: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.port} {self.old or 'nothing'} -> {self.new or 'nothing'}"


@dataclass(frozen=True)
class ModuleChanged(Reason):
    """Another module, or another version of it."""

    old: str
    new: str

    def __str__(self) -> str:
        return f"module {self.old} -> {self.new}"


@dataclass(frozen=True)
class SeedChanged(Reason):
    """The seed of the recipe changed, and the module draws random numbers."""

    old: int | None
    new: int | None

    def __str__(self) -> str:
        return f"seed {self.old} -> {self.new}"


@dataclass(frozen=True)
class Upstream(Reason):
    """A step that it depends on runs."""

    step: str

    def __str__(self) -> str:
        return f"after {self.step}"


@dataclass(frozen=True)
class OutputMissing(Reason):
    """A result is gone, or one is asked for that was not made before."""

    key: str

    def __str__(self) -> str:
        return f"'{self.key}' is not there"


@dataclass(frozen=True)
class Forced(Reason):
    """The user asked for it."""

    def __str__(self) -> str:
        return "forced"


@dataclass(frozen=True)
class PlannedStep:
    """One line of a plan.

    Parameters
    ----------
    step, module : str
    state : StepState
    reasons : tuple of Reason
        Why it runs; empty where it is current.
    identity : StepIdentity
    wanted : frozenset of str
        Output ports that are asked for.
    """

    step: str
    module: str
    state: StepState
    reasons: tuple[Reason, ...]
    identity: StepIdentity
    wanted: frozenset[str]

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
        Everything that the targets need, in the order in which it runs.
    missing : tuple of str
        Free inputs that are needed and not given.
    """

    targets: tuple[str, ...]
    steps: tuple[PlannedStep, ...]
    missing: tuple[str, ...] = ()
    times: Mapping[str, float] = field(default_factory=dict)

    @property
    def to_run(self) -> tuple[PlannedStep, ...]:
        """The steps that will run."""
        return tuple(step for step in self.steps if step.state is StepState.RUN)

    def explain(self) -> str:
        """The plan as text: a line a step, and a closing count."""
        if not self.steps:
            return "nothing to do"
        width = max(len(step.step) for step in self.steps)
        lines = [f"{step.step:<{width}}  {step.state.value:<7}  {step.reason}".rstrip() for step in self.steps]
        lines += [f"missing input: {key}" for key in self.missing]
        current = sum(step.state is StepState.CURRENT for step in self.steps)
        return "\n".join([*lines, f"{len(self.to_run)} to run, {current} current"])


def identity_of(graph: Graph, step: str, seed: int) -> StepIdentity:
    """What the results of a step depend on now."""
    module = graph.steps[step].module
    affects = {name: value for name, value in module.parameter_values().items() if module.parameters()[name].affects_result}
    inputs = tuple((port, key) for port, key in graph.inputs_of(step) if graph.is_connected(step, port, key))
    outputs = tuple((port, key) for port, key in module.output_keys().items() if key)
    return StepIdentity(module.name(), module.version, affects, inputs, outputs, seed if module.uses_seed else None)


def make_plan(
    graph: Graph,
    knowledge: Knowledge,
    targets: Iterable[str],
    *,
    seed: int = 0,
    forced: Callable[[str], bool] = lambda step: False,
) -> Plan:
    """Decide what must run so that `targets` are current. Pure: nothing is changed or written.

    Parameters
    ----------
    graph : Graph
    knowledge : Knowledge
        What is there.
    targets : iterable of str
        Keys or steps.
    seed : int
        Seed of the recipe.
    forced : callable
        Whether a step runs even where it is current.
    """
    wanted_targets = tuple(dict.fromkeys(targets))
    needed = graph.steps_for(wanted_targets)
    asked = _asked_keys(graph, needed, wanted_targets)
    running: set[str] = set()
    missing: dict[str, None] = {key: None for key in wanted_targets if _lacks(graph, knowledge, key)}
    steps = []
    for step in graph.order:
        if step not in needed:
            continue
        identity = identity_of(graph, step, seed)
        wanted = _wanted_ports(graph.steps[step].module, asked)
        reasons = _reasons(graph, knowledge, identity, step, wanted, running)
        if forced(step):
            reasons.insert(0, Forced())
        lacking = [key for _, key in identity.inputs if _lacks(graph, knowledge, key) and _required(graph, step, key)]
        missing.update(dict.fromkeys(lacking))
        if reasons:
            running.add(step)
        state = StepState.CURRENT if not reasons else StepState.BLOCKED if lacking else StepState.RUN
        steps.append(PlannedStep(step, identity.module, state, tuple(reasons), identity, wanted))
    return Plan(wanted_targets, tuple(steps), tuple(missing))


def _lacks(graph: Graph, knowledge: Knowledge, key: str) -> bool:
    return key in graph.free_inputs and knowledge.token(key) is None


def _required(graph: Graph, step: str, key: str) -> bool:
    ports = graph.steps[step].module.inputs()
    return any(not ports[port].optional for port, taken in graph.inputs_of(step) if taken == key)


def _asked_keys(graph: Graph, needed: set[str], targets: Iterable[str]) -> set[str]:
    return {*targets, *(key for step in needed for _, key in graph.inputs_of(step))}


def _wanted_ports(module: ModuleBase, asked: set[str]) -> frozenset[str]:
    keys = module.output_keys()
    return frozenset(port for port, out in module.outputs().items() if not out.on_demand or (keys[port] and keys[port] in asked))


def _reasons(
    graph: Graph, knowledge: Knowledge, identity: StepIdentity, step: str, wanted: frozenset[str], running: set[str]
) -> list[Reason]:
    record = knowledge.record(step)
    if record is None:
        return [NeverRun()]
    found: list[Reason] = list(_own_changes(record.identity, identity))
    outputs = dict(identity.outputs)
    for port in sorted(wanted):
        key = outputs.get(port)
        if key is not None and (record.made.get(key) is None or knowledge.token(key) != record.made[key]):
            found.append(OutputMissing(key))
    for key in dict.fromkeys(key for _, key in identity.inputs):
        maker = graph.producers.get(key)
        if maker is not None and maker.step in running:
            found.append(Upstream(maker.step))
        elif record.taken.get(key) != knowledge.token(key):
            found.append(Upstream(maker.step) if maker else InputChanged(key))
    return found


def _own_changes(old: StepIdentity, new: StepIdentity) -> Iterable[Reason]:
    if old == new:
        return
    if (old.module, old.version) != (new.module, new.version):
        yield ModuleChanged(f"{old.module} {old.version}", f"{new.module} {new.version}")
    for name in {**old.parameters, **new.parameters}:
        before, after = old.parameters.get(name), new.parameters.get(name)
        if before != after:
            yield ParameterChanged(name, before, after)
    if old.seed != new.seed:
        yield SeedChanged(old.seed, new.seed)
    for before_ports, after_ports in ((old.inputs, new.inputs), (old.outputs, new.outputs)):
        for port in dict.fromkeys(port for port, _ in (*before_ports, *after_ports)):
            was, now = (", ".join(key for p, key in ports if p == port) for ports in (before_ports, after_ports))
            if was != now:
                yield WiringChanged(port, was, now)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
