"""A recipe's graph as text, and as a diagram in mermaid's language, in Graphviz's and as SVG."""

from __future__ import annotations

import re
from collections.abc import Callable

from recipes_core.drawing.diagram import made_keys, takers_of
from recipes_core.drawing.dot import draw_dot
from recipes_core.drawing.svg import draw_svg
from recipes_core.graph import Graph


def as_text(graph: Graph) -> str:
    """One line a step, in the order in which they run: what it takes and what it makes."""
    lines = [f"{key} ({item.kind.__name__}{'' if item.required else ', optional'})" for key, item in graph.free_inputs.items()]
    lines = ["inputs", *(f"  {line}" for line in lines), "steps"] if lines else ["steps"]
    width = max((len(step) for step in graph.steps), default=0)
    for step in graph.order:
        taken = ", ".join(dict.fromkeys(key for port, key in graph.inputs_of(step) if graph.is_connected(step, port, key)))
        made = ", ".join(made_keys(graph, step)) or "(a file)"
        lines.append(f"  {step:<{width}}  {taken or '-'} -> {made}")
    return "\n".join(lines)


def as_mermaid(graph: Graph) -> str:
    """A flow chart in mermaid's language."""
    names = {step: f"s{index}" for index, step in enumerate(graph.steps)}
    keys = {key: f"k{index}" for index, key in enumerate(graph.free_inputs)}
    lines = ["flowchart LR"]
    lines += [f'  {name}(["{_quoted(key)}"])' for key, name in keys.items()]
    lines += [f'  {name}["{_quoted(step)}"]' for step, name in names.items()]
    for key in graph.consumers:
        maker = graph.producers.get(key)
        source = names[maker.step] if maker else keys[key]
        lines += [f'  {source} -- "{_quoted(key)}" --> {names[taker]}' for taker in takers_of(graph, key)]
    sinks = [(key, place) for key, place in graph.producers.items() if key in graph.sinks()]
    lines += [f'  {names[place.step]} --> r{index}(["{_quoted(key)}"])' for index, (key, place) in enumerate(sinks)]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return re.sub(r'["\n]', lambda found: "#quot;" if found.group() == '"' else " ", text)


FORMATS: dict[str, Callable[[Graph], str]] = {"text": as_text, "mermaid": as_mermaid}
"""Name of a format without colours -> what draws it."""

COLOURED = {"dot": draw_dot, "svg": draw_svg}
"""Name of a format that shows the states of steps -> what draws it."""
