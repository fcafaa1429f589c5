"""Rows of a drawing: each box below what it takes, and edges cut into pieces from row to row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx

Nets = Mapping[tuple[str, int], Sequence[str]]
"""(box, number of its key) -> boxes that take it."""


@dataclass(frozen=True)
class Bend:
    """Where the edge of a key passes a row."""

    source: str
    key: int
    row: int


Item = str | Bend


@dataclass(frozen=True)
class Link:
    """A piece of an edge, from an item to one in the row below; `key` is that of the box where it begins."""

    upper: Item
    lower: Item
    source: str
    key: int


@dataclass
class Rows:
    """Boxes and bends row by row, the pieces that connect them, and edges that lead back up (of recipes with circles)."""

    rows: list[list[Item]]
    links: list[Link] = field(default_factory=list)
    back: list[Link] = field(default_factory=list)


def layered(names: Sequence[str], nets: Nets) -> Rows:
    """Give each box a row; an edge that passes rows gets a bend in each, shared by all who take the same key.

    Parameters
    ----------
    names : sequence of str
        Boxes, in an order that decides where nothing else does.
    nets : mapping
    """
    graph, back = _acyclic(names, nets)
    row = _ranks(graph, names, nets)
    result = Rows([[] for _ in range(max(row.values(), default=-1) + 1)])
    for name in names:
        result.rows[row[name]].append(name)
    for (source, key), takers in nets.items():
        above: Item = source
        down = sorted((taker for taker in takers if (source, taker) not in back), key=row.__getitem__)
        last = max((row[taker] for taker in down), default=row[source])
        for level in range(row[source] + 1, last + 1):
            result.links += [Link(above, taker, source, key) for taker in down if row[taker] == level]
            if level < last:
                bend = Bend(source, key, level)
                result.rows[level].append(bend)
                result.links.append(Link(above, bend, source, key))
                above = bend
        result.back += [Link(source, taker, source, key) for taker in takers if (source, taker) in back]
    return result


def _acyclic(names: Sequence[str], nets: Nets) -> tuple[nx.DiGraph, set[tuple[str, str]]]:
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((source, taker) for (source, _), takers in nets.items() for taker in takers)
    back: set[tuple[str, str]] = set()
    while not nx.is_directed_acyclic_graph(graph):
        edge = nx.find_cycle(graph)[-1][:2]
        back.add(edge)
        graph.remove_edge(*edge)
    return graph, back


def _ranks(graph: nx.DiGraph, names: Sequence[str], nets: Nets) -> dict[str, int]:
    """The longest way from above; then boxes with more below than above are let down to where they are needed."""
    position = {name: index for index, name in enumerate(names)}
    order = list(nx.lexicographical_topological_sort(graph, key=position.__getitem__))
    rank: dict[str, int] = {}
    for name in order:
        rank[name] = max((rank[above] + 1 for above in graph.predecessors(name)), default=0)
    n_keys = dict.fromkeys(names, 0)
    for (source, _), takers in nets.items():
        n_keys[source] += bool(takers)
    for _ in range(3):
        for name in reversed(order):
            lowest = min((rank[below] - 1 for below in graph.successors(name)), default=rank[name])
            if graph.in_degree(name) < n_keys[name]:
                rank[name] = lowest
    lowest_rank = min(rank.values(), default=0)
    return {name: value - lowest_rank for name, value in rank.items()}
