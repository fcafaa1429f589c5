"""A recipe's graph in the language of Graphviz."""

from __future__ import annotations

from collections.abc import Mapping

from recipes_core.drawing.diagram import Box, diagram_of, made_keys, takers_of
from recipes_core.drawing.looks import EDGE, RESULT, SUBTITLE, TITLE
from recipes_core.graph import Graph


def draw_dot(graph: Graph, states: Mapping[str, str] | None = None, details: Mapping[str, str] | None = None) -> str:
    """The graph for ``dot``: steps as boxes, inputs and results as ellipses, keys along the edges.

    Parameters
    ----------
    graph : Graph
    states, details : mapping, optional
        As for `draw_svg`.
    """
    boxes = diagram_of(graph, states, details)
    lines = [
        "digraph recipe {",
        f'  graph [rankdir="TB", fontname="Helvetica", bgcolor="transparent", tooltip={_quoted("graph of the recipe")}];',
        f'  node [fontname="Helvetica", fontsize="12", fontcolor="{TITLE}", style="filled,rounded", shape="box"];',
        f'  edge [fontname="Helvetica", fontsize="10", fontcolor="{SUBTITLE}", color="{EDGE}"];',
        *(_node(box) for box in boxes.values()),
        *_edges(boxes, dict(zip(boxes, [*graph.free_inputs, *graph.steps], strict=True))),
        *_results(graph, boxes),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _node(box: Box) -> str:
    label = "\n".join(
        line for line in (f"{box.title} [{box.look.word}]" if box.look.word else box.title, box.subtitle, box.detail) if line
    )
    style = ",".join(["filled", *([] if box.is_input else ["rounded"]), *(["dashed"] if box.look.dashed else [])])
    shape = ', shape="ellipse"' if box.is_input else ""
    return (
        f'  {box.name} [label={_quoted(label)}, tooltip={_quoted(box.note)}, fillcolor="{box.look.fill}", color="{box.look.line}", '
        f'style="{style}"{shape}];'
    )


def _edges(boxes: Mapping[str, Box], names: Mapping[str, str]) -> list[str]:
    found = []
    for box in boxes.values():
        for key in box.keys:
            # An input is called by its key already.
            label = "" if key.name == names[box.name] and box.is_input else f"label={_quoted(key.name)}"
            drawn = ", ".join(part for part in (label, 'style="dashed"' if box.is_input and box.look.dashed else "") if part)
            found += [f"  {box.name} -> {taker}" + (f" [{drawn}];" if drawn else ";") for taker in key.takers]
    return found


def _results(graph: Graph, boxes: Mapping[str, Box]) -> list[str]:
    found: list[str] = []
    steps = [box.name for box in boxes.values() if not box.is_input]
    for name, step in zip(steps, graph.steps, strict=True):
        for key in made_keys(graph, step):
            if takers_of(graph, key):
                continue
            result = f"r{len(found) // 2}"
            look = f'shape="ellipse", style="filled", fillcolor="{RESULT.fill}", color="{RESULT.line}", fontcolor="{RESULT.text}"'
            found += [f"  {result} [label={_quoted(key)}, {look}];", f"  {name} -> {result};"]
    return found


def _quoted(text: str) -> str:
    """A string of dot; a backslash in it means itself, where labels would otherwise read it with the next letter."""
    clean = "".join(letter if letter >= " " or letter == "\n" else " " for letter in text).encode("utf-8", "replace").decode()
    escaped = clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
