"""Making a plan. Pure: nothing is changed or written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from recipes_core.graph import Graph
from recipes_core.module import ModuleBase, WriterModule
from recipes_core.plan.keys import identity_of, port_key, step_key
from recipes_core.plan.model import Past, Plan, PlannedStep, StepIdentity, StepState, Where
from recipes_core.plan.reasons import (
    CodeChanged,
    Damaged,
    Evicted,
    FileChanged,
    Forced,
    InputChanged,
    ModuleChanged,
    NeverRun,
    OutputMissing,
    ParameterChanged,
    Reason,
    SeedChanged,
    Upstream,
    WiringChanged,
)


class Knowledge(Protocol):
    """What a plan may ask about the present state; asking changes nothing."""

    def given(self, key: str) -> str:
        """Name of the object that a free input was given; empty where there is none."""

    def label(self, key: str) -> str:
        """What people call what a free input was given: the file's name."""

    def file_digest(self, path: str) -> str:
        """Digest of a file's content; empty where there is none."""

    def where(self, name: str) -> Where:
        """Where an object is."""

    def damaged(self, name: str) -> bool:
        """Whether the cache held it and it was damaged."""

    def past(self, step: str) -> Past | None:
        """How a step was last run."""


@dataclass
class _Draft:
    """A step before it is known whether it runs."""

    step: str
    module: ModuleBase
    identity: StepIdentity
    taken: tuple[tuple[str, str, str], ...]
    key: str
    made: dict[str, str] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    forced: bool = False
    asked: set[str] = field(default_factory=set)
    runs: bool = False
    needed: bool = False
    blocked: bool = False


def make_plan(
    graph: Graph,
    knowledge: Knowledge,
    targets: Iterable[str],
    *,
    seed: int = 0,
    forced: Callable[[str], bool] = lambda step: False,
) -> Plan:
    """Decide what must run so that `targets` are current.

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
        Whether a step, and with it what depends on it, runs even where it is current.
    """
    wanted = tuple(dict.fromkeys(targets))
    names: dict[str, str] = {key: name for key in graph.free_inputs if (name := knowledge.given(key))}
    drafts = _drafts(graph, knowledge, wanted, seed, forced, names)
    _ask(graph, knowledge, drafts, wanted)
    missing = _missing(graph, drafts, wanted, names)
    steps = tuple(_planned(graph, knowledge, draft, drafts) for draft in drafts.values())
    return Plan(wanted, steps, names, missing)


def _drafts(
    graph: Graph, knowledge: Knowledge, targets: tuple[str, ...], seed: int, forced: Callable[[str], bool], names: dict[str, str]
) -> dict[str, _Draft]:
    """Every step that the targets depend on with its key, in order; `names` receives the objects that they make."""
    needed = graph.steps_for(targets)
    drafts: dict[str, _Draft] = {}
    for step in graph.order:
        if step not in needed:
            continue
        module = graph.steps[step].module
        identity = identity_of(graph, step, seed, knowledge.file_digest)
        taken = tuple((port, key, names.get(key, "")) for port, key in identity.inputs)
        lacking = tuple(key for port, key, name in taken if not name and not module.inputs()[port].optional)
        draft = drafts[step] = _Draft(step, module, identity, taken, "", lacking=lacking)
        draft.forced = forced(step) or any(
            key in graph.producers and drafts[graph.producers[key].step].forced for _, key, _ in taken
        )
        if lacking:
            continue
        draft.key = step_key(identity, step, taken)
        for port, key in module.output_keys().items():
            if key:
                draft.made[port] = names[key] = port_key(draft.key, port)
    return drafts


def _ask(graph: Graph, knowledge: Knowledge, drafts: dict[str, _Draft], targets: tuple[str, ...]) -> None:
    """Walk back from the targets: what is there ends the way."""
    keys = {target for target in targets if target in graph.producers}
    for target in targets:
        if target in drafts and target not in graph.producers:
            draft = drafts[target]
            draft.needed = True
            outputs = draft.module.outputs()
            keys |= {key for port, key in draft.module.output_keys().items() if key and not outputs[port].on_demand}
    for draft in reversed(drafts.values()):
        draft.asked = {port for port, key in draft.module.output_keys().items() if key and key in keys}
        draft.needed = draft.needed or bool(draft.asked)
        if not draft.needed:
            continue
        there = bool(draft.key) and all(knowledge.where(draft.made[port]) is not Where.NOWHERE for port in draft.asked)
        writes = isinstance(draft.module, WriterModule) and not draft.asked
        draft.runs = not writes and (draft.forced or not there)
        if draft.runs or writes:
            keys |= {key for _, key, _ in draft.taken}


def _missing(graph: Graph, drafts: dict[str, _Draft], targets: tuple[str, ...], names: dict[str, str]) -> tuple[str, ...]:
    missing = {key: None for key in targets if key in graph.free_inputs and key not in names}
    for draft in drafts.values():
        makers = [graph.producers[key].step for _, key, _ in draft.taken if key in graph.producers]
        draft.blocked = bool(draft.lacking) or any(drafts[maker].blocked for maker in makers)
        if draft.needed and draft.blocked:
            missing.update(dict.fromkeys(key for key in draft.lacking if key in graph.free_inputs))
    return tuple(missing)


def _planned(graph: Graph, knowledge: Knowledge, draft: _Draft, drafts: dict[str, _Draft]) -> PlannedStep:
    past = knowledge.past(draft.step)
    reasons: tuple[Reason, ...] = ()
    if draft.runs:
        reasons = tuple(_reasons(graph, knowledge, draft, drafts, past))
    seconds = None if past is None else past.seconds
    wanted = frozenset(
        port for port, out in draft.module.outputs().items() if port in draft.asked or (draft.runs and not out.on_demand)
    )
    return PlannedStep(
        draft.step, draft.module.name(), _state(knowledge, draft), reasons, draft.identity, wanted, draft.key, draft.taken,
        draft.made, seconds, draft.forced and draft.runs,
    )  # fmt: skip


def _state(knowledge: Knowledge, draft: _Draft) -> StepState:
    if not draft.needed:
        return StepState.UNNEEDED
    if draft.runs:
        return StepState.BLOCKED if draft.blocked else StepState.RUN
    if not draft.asked:
        return StepState.WRITE if isinstance(draft.module, WriterModule) else StepState.CURRENT
    found = {knowledge.where(draft.made[port]) for port in draft.asked}
    return StepState.CURRENT if found == {Where.MEMORY} else StepState.CACHED


def _reasons(graph: Graph, knowledge: Knowledge, draft: _Draft, drafts: dict[str, _Draft], past: Past | None) -> Iterator[Reason]:
    own = draft.forced and not any(
        drafts[graph.producers[key].step].forced for _, key, _ in draft.taken if key in graph.producers
    )
    if own:
        yield Forced()
    if past is None:
        if not own:
            yield NeverRun()
        return
    found = False
    for reason in (*_own_changes(past.identity, draft.identity), *_changed_inputs(graph, knowledge, draft, drafts, past)):
        found = True
        yield reason
    if found or own:
        return
    for port in sorted(draft.asked):
        key = draft.module.output_keys()[port]
        if draft.key and knowledge.where(draft.made[port]) is Where.NOWHERE:
            if knowledge.damaged(draft.made[port]):
                yield Damaged(key)
            else:
                yield Evicted(key) if port in past.made else OutputMissing(key)


def _changed_inputs(graph: Graph, knowledge: Knowledge, draft: _Draft, drafts: dict[str, _Draft], past: Past) -> Iterator[Reason]:
    seen = set()
    for _, key, name in draft.taken:
        maker = graph.producers.get(key)
        if key in seen or (maker is None and key not in past.taken):
            continue  # a new wire is told as such
        seen.add(key)
        if maker is not None and (drafts[maker.step].forced or (key in past.taken and past.taken[key] != name)):
            yield Upstream(maker.step)
        elif maker is None and past.taken[key] != name:
            yield InputChanged(key, past.labels.get(key, ""), knowledge.label(key))


def _own_changes(old: StepIdentity, new: StepIdentity) -> Iterator[Reason]:
    if (old.module, old.version) != (new.module, new.version):
        yield ModuleChanged(f"{old.module} {old.version}", f"{new.module} {new.version}")
    elif old.code != new.code:
        yield CodeChanged()
    for name in {**old.parameters, **new.parameters}:
        before, after = old.parameters.get(name), new.parameters.get(name)
        if name in old.files and name in new.files:
            if old.files[name] != new.files[name]:
                yield ParameterChanged(name, before, after) if _plain(before) != _plain(after) else FileChanged(name)
        elif _plain(before) != _plain(after):
            yield ParameterChanged(name, before, after)
    if old.seed != new.seed:
        yield SeedChanged(old.seed, new.seed)
    for port in dict.fromkeys(port for port, _ in (*old.inputs, *new.inputs)):
        was, now = (", ".join(key for p, key in ports if p == port) for ports in (old.inputs, new.inputs))
        if was != now:
            yield WiringChanged(port, was, now)


def _plain(value: object) -> object:
    """Tuples as lists: what was read from JSON knows no others."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
