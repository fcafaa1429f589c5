"""The graph of a recipe: which step makes what another one needs, and whether types and columns fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx as nx

from recipes_core.data import DataObject, Table
from recipes_core.data.vocabulary import can_provide
from recipes_core.errors import Problem, UsageError, did_you_mean
from recipes_core.language.document import StepSpec
from recipes_core.module import WriterModule
from recipes_core.ports import Input, Output

Columns = tuple[str, ...] | None


@dataclass(frozen=True)
class Place:
    """A port of a step."""

    step: str
    port: str


@dataclass(frozen=True)
class FreeInput:
    """A key that no step makes: the recipe must be given it.

    Parameters
    ----------
    key : str
    kind : type
        The most special type that its consumers ask for.
    required : bool
        False where only optional ports ask for it.
    consumers : tuple of Place
    """

    key: str
    kind: type[DataObject]
    required: bool
    consumers: tuple[Place, ...]


@dataclass(frozen=True)
class Known:
    """What is known of the data behind a key before anything runs."""

    kind: type[DataObject]
    columns: Columns = None


@dataclass(frozen=True)
class Graph:
    """Steps and the keys that connect them.

    Build it with `build_graph`, which also reports what is wrong.

    Attributes
    ----------
    steps : mapping
        Step -> its specification, in the order of the file.
    producers : mapping
        Key -> the port that makes it.
    consumers : mapping
        Key -> the ports that take it.
    declared : mapping
        Keys named under ``inputs:`` -> their type, DataObject where none is given.
    """

    steps: Mapping[str, StepSpec]
    producers: Mapping[str, Place]
    consumers: Mapping[str, tuple[Place, ...]]
    declared: Mapping[str, type[DataObject]]
    file: Path | None = None
    problems: list[Problem] = field(default_factory=list)

    @cached_property
    def digraph(self) -> Any:
        """networkx graph of the steps; an edge carries the keys that it stands for."""
        graph: Any = nx.DiGraph()
        graph.add_nodes_from(self.steps)
        for key, takers in self.consumers.items():
            maker = self.producers.get(key)
            for taker in takers if maker else ():
                assert maker is not None
                keys = graph.get_edge_data(maker.step, taker.step, {"keys": ()})["keys"]
                graph.add_edge(maker.step, taker.step, keys=(*keys, key))
        return graph

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Steps so that each comes after what it needs; ties in the order of the file."""
        position = {step: index for index, step in enumerate(self.steps)}
        return tuple(nx.lexicographical_topological_sort(self.digraph, key=position.__getitem__))

    @cached_property
    def free_inputs(self) -> dict[str, FreeInput]:
        """Keys that must be given, in the order of the file."""
        found = {}
        for key in dict.fromkeys((*self.declared, *self.consumers)):
            if key in self.producers:
                continue
            takers = self.consumers.get(key, ())
            kinds = [self.input_port(place).data_type for place in takers]
            if key in self.declared:
                kinds.append(self.declared[key])
            kind = kinds[0]
            for other in kinds[1:]:
                kind = other if issubclass(other, kind) else kind
            required = any(not self.input_port(place).optional for place in takers)
            found[key] = FreeInput(key, kind, required, takers)
        return found

    def input_port(self, place: Place) -> Input:
        """The declaration of an input."""
        return self.steps[place.step].module.inputs()[place.port]

    def output_port(self, place: Place) -> Output:
        """The declaration of an output."""
        return self.steps[place.step].module.outputs()[place.port]

    def inputs_of(self, step: str) -> Iterator[tuple[str, str]]:
        """(port, key) of every connected input of a step; a port that takes many comes several times."""
        for port, value in self.steps[step].module.input_keys().items():
            for key in value if isinstance(value, tuple) else (value,):
                if key:
                    yield port, key

    def is_connected(self, step: str, port: str, key: str) -> bool:
        """Whether a port takes a key; the default key of an optional port that nothing stands behind does not count."""
        return Place(step, port) in self.consumers.get(key, ())

    def writers(self) -> tuple[str, ...]:
        """Steps that write files."""
        return tuple(step for step, spec in self.steps.items() if isinstance(spec.module, WriterModule))

    def sinks(self) -> tuple[str, ...]:
        """Keys that are made, that nothing takes, and that are not made on demand only."""
        return tuple(
            key for key, place in self.producers.items() if key not in self.consumers and not self.output_port(place).on_demand
        )

    def steps_for(self, targets: Iterable[str]) -> set[str]:
        """The steps of `targets` (keys or steps) and everything that they need."""
        wanted: set[str] = set()
        for target in targets:
            if target in self.steps and target not in self.producers:
                wanted.add(target)
            elif target in self.producers:
                wanted.add(self.producers[target].step)
        for step in tuple(wanted):
            wanted |= nx.ancestors(self.digraph, step)
        return wanted

    def check_target(self, target: str) -> None:
        """Raise UsageError unless `target` is a key or a step of the recipe."""
        known = {*self.producers, *self.steps, *self.free_inputs}
        if target not in known:
            hint = did_you_mean(target, known, what="its keys and steps")
            raise UsageError(f"the recipe has no key '{target}'.", code="U120", hint=hint)

    def problem(
        self, code: str, message: str, hint: str = "", *, step: str = "", port: str = "", severity: str = "error"
    ) -> Problem:
        """A fault at a step or port, with its place in the file."""
        spec = self.steps.get(step)
        mark = spec and (spec.marks.get(port) or spec.mark)
        line, col = (mark.line, mark.col) if mark else (None, None)
        file = str(self.file) if self.file else None
        return Problem(code, message, hint, file, line, col, step or None, "warning" if severity == "warning" else "error")


def build_graph(
    steps: Sequence[StepSpec],
    declared: Mapping[str, type[DataObject]] | None = None,
    *,
    file: Path | None = None,
    closed: bool = False,
    outputs: Iterable[str] = (),
) -> Graph:
    """Connect steps by their keys.

    Parameters
    ----------
    steps : sequence of StepSpec
        In the order of the file.
    declared : mapping
        Keys named under ``inputs:`` -> type.
    closed : bool
        Whether every key that no step makes must be declared (a recipe with an ``inputs:`` section).
    outputs : iterable of str
        Keys named under ``outputs:``.

    Returns
    -------
    Graph
        Its `problems` lists every fault.
    """
    declared = dict(declared or {})
    producers: dict[str, Place] = {}
    consumers: dict[str, list[Place]] = {}
    graph = Graph({spec.id: spec for spec in steps}, producers, {}, declared, file)
    for spec in steps:
        for port, key in spec.module.output_keys().items():
            if not key:
                continue
            if key in producers:
                other = producers[key]
                graph.problems.append(
                    graph.problem("R310", f"key '{key}' is already made by step '{other.step}'.", "Give one of them another key.",
                                  step=spec.id, port=port))  # fmt: skip
            elif key in declared:
                graph.problems.append(
                    graph.problem("R311", f"key '{key}' is also an input of the recipe.", "Give the output another key.",
                                  step=spec.id, port=port))  # fmt: skip
            else:
                producers[key] = Place(spec.id, port)
    for spec in steps:
        for port, key in graph.inputs_of(spec.id):
            declaration = graph.input_port(Place(spec.id, port))
            stands_for_something = key in producers or key in declared
            if port not in spec.written and (declaration.deprecated or (declaration.optional and not stands_for_something)):
                continue  # a default key that nobody asks for or that nothing stands behind: not connected
            consumers.setdefault(key, []).append(Place(spec.id, port))
    graph = Graph(graph.steps, producers, {k: tuple(v) for k, v in consumers.items()}, declared, file, graph.problems)
    graph.problems.extend(_unknown_keys(graph, closed))
    graph.problems.extend(_cycles(graph))
    graph.problems.extend(_unknown_outputs(graph, outputs))
    graph.problems.extend(_conflicting_kinds(graph))
    if not any(problem.severity == "error" for problem in graph.problems):
        graph.problems.extend(check_flow(graph, {}))
    return graph


def _unknown_keys(graph: Graph, closed: bool) -> Iterator[Problem]:
    for key, places in graph.consumers.items():
        if key in graph.producers or key in graph.declared or not closed:
            continue
        for place in places:
            if graph.input_port(place).data_type is DataObject:
                continue  # takes anything, and may be absent
            hint = did_you_mean(key, (*graph.producers, *graph.declared), what="the recipe's keys")
            message = f"no step makes '{key}' and it is no input of the recipe ({place.port})."
            yield graph.problem("R320", message, hint, step=place.step, port=place.port)
    for key in graph.declared:
        if key not in graph.consumers:
            file = str(graph.file) if graph.file else None
            hint = did_you_mean(key, graph.consumers, what="the keys that steps take")
            yield Problem("R321", f"input '{key}' is taken by no step.", hint, file, severity="warning")


def _cycles(graph: Graph) -> Iterator[Problem]:
    for component in nx.strongly_connected_components(graph.digraph):
        step = next(iter(component))
        if len(component) == 1 and not graph.digraph.has_edge(step, step):
            continue
        step = next(step for step in graph.steps if step in component)
        edges = nx.find_cycle(graph.digraph.subgraph(component), step)
        path = " -> ".join([edges[0][0], *(edge[1] for edge in edges)])
        key = graph.digraph.edges[edges[-1][:2]]["keys"][0]
        port = next(place.port for place in graph.consumers[key] if place.step == edges[-1][1])
        message = f"the steps need each other in a circle: {path}."
        yield graph.problem("R330", message, f"Break it at key '{key}'.", step=edges[-1][1], port=port)


def _unknown_outputs(graph: Graph, outputs: Iterable[str]) -> Iterator[Problem]:
    for key in outputs:
        if key not in graph.producers and key not in graph.free_inputs:
            file = str(graph.file) if graph.file else None
            hint = did_you_mean(key, graph.producers, what="keys that steps make")
            yield Problem("R340", f"outputs: no step makes '{key}'.", hint, file)


def _conflicting_kinds(graph: Graph) -> Iterator[Problem]:
    for free in graph.free_inputs.values():
        for place in free.consumers:
            wanted = graph.input_port(place).data_type
            if not issubclass(free.kind, wanted):
                message = f"input '{free.key}' of the recipe is {free.kind.__name__}, but {place.port} takes {wanted.__name__}."
                yield graph.problem("R350", message, "Use another key.", step=place.step, port=place.port)


def check_flow(graph: Graph, bound: Mapping[str, Known]) -> list[Problem]:
    """Faults of types and columns, as far as they are known before anything runs.

    Parameters
    ----------
    bound : mapping
        Free input -> what is known of the data that it is given.
    """
    known, uncertain = data_flow(graph, bound)
    return [
        problem
        for step in graph.order
        for port, key in graph.inputs_of(step)
        if key in known
        for problem in _check_edge(graph, Place(step, port), key, known[key], key in uncertain)
    ]


def data_flow(graph: Graph, bound: Mapping[str, Known]) -> tuple[dict[str, Known], set[str]]:
    """What is known of every key before anything runs, and the keys whose type may turn out to be a more special one."""
    known = {key: bound.get(key, Known(free.kind)) for key, free in graph.free_inputs.items()}
    uncertain = {key for key in known if key not in bound}
    for step in graph.order:
        module = graph.steps[step].module
        columns = {port: known[key].columns for port, key in graph.inputs_of(step) if key in known}
        for port, key in module.output_keys().items():
            declared = module.outputs()[port]
            origin = module.input_keys().get(declared.like, "") if declared.like else ""
            kind = declared.data_type
            if origin in known and issubclass(known[origin].kind, kind):
                kind = known[origin].kind
                if origin in uncertain:
                    uncertain.add(key)
            if key:
                known[key] = Known(kind, module.output_columns(port, columns) if issubclass(kind, Table) else None)
    return known, uncertain


def _check_edge(graph: Graph, place: Place, key: str, known: Known, uncertain: bool) -> Iterator[Problem]:
    module = graph.steps[place.step].module
    wanted = module.inputs()[place.port].data_type
    # A key of uncertain type (a table that the user has yet to give) may turn out to be the more special one.
    if not issubclass(known.kind, wanted) and not (uncertain and issubclass(wanted, known.kind)):
        maker = graph.producers.get(key)
        source = f"made by step '{maker.step}'" if maker else "an input of the recipe"
        message = f"'{key}' ({source}) is {known.kind.__name__}, but {place.port} takes {wanted.__name__}."
        fitting = [k for k, p in graph.producers.items() if issubclass(graph.output_port(p).data_type, wanted)]
        hint = f"Keys of that type: {', '.join(fitting)}." if fitting else ""
        yield graph.problem("R351", message, hint, step=place.step, port=place.port)
        return
    if known.columns is None:
        return
    for column in module.required_columns(place.port):
        if not can_provide(column, known.columns):
            message = f"'{key}' has no column '{column}', which {module.name()} needs."
            hint = did_you_mean(column, known.columns, what="its columns")
            yield graph.problem("R360", message, hint, step=place.step, port=place.port)
