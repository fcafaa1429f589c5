"""What a drawing of a recipe shows: boxes of inputs and steps, the keys that they make, and who takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from recipes_core.drawing.looks import INPUT, PLAIN, Look, look_of
from recipes_core.drawing.text_size import shortened, text_width
from recipes_core.graph import Graph
from recipes_core.module import WriterModule

TITLE_SIZE, SUBTITLE_SIZE, KEY_SIZE = 13.0, 11.0, 10.5
KEY_HEIGHT, KEY_GAP, PADDING = 18.0, 6.0, 12.0
_MOST = 250.0


@dataclass
class Key:
    """A key that a step makes, drawn at the bottom of its box.

    Parameters
    ----------
    name, label : str
        In full, and as far as it fits.
    note : str
        Shown when the pointer rests on it.
    takers : tuple of str
        Boxes that take it.
    is_result : bool
        Whether no step takes it.
    offset : float
        Of its centre from the left edge of the box.
    """

    name: str
    label: str
    note: str
    takers: tuple[str, ...]
    is_result: bool
    width: float = 0.0
    offset: float = 0.0


@dataclass
class Box:
    """An input or a step."""

    name: str
    title: str
    subtitle: str
    detail: str
    note: str
    look: Look
    is_input: bool = False
    keys: list[Key] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0

    def __post_init__(self) -> None:
        for key in self.keys:
            key.width = text_width(key.label, KEY_SIZE) + 14
        lines = (
            text_width(self.title, TITLE_SIZE, bold=True)
            + (text_width(self.look.word, SUBTITLE_SIZE) + 14 if self.look.word else 0),
            text_width(self.subtitle, SUBTITLE_SIZE),
            text_width(self.detail, SUBTITLE_SIZE),
        )
        side = PADDING + (6 if self.is_input else 0)
        self.width = round(max(*lines, self._keys_width(), 70.0) + 2 * side)
        self.height = 18 + 2 * 8 + 15 * sum(map(bool, (self.subtitle, self.detail))) + (KEY_HEIGHT + 4 if self.shows_keys else 0)
        self.place_keys()

    @property
    def shows_keys(self) -> bool:
        """An input is its own key."""
        return bool(self.keys) and not self.is_input

    def place_keys(self) -> None:
        """Set the offsets of the keys, in their order; they stand in the middle together."""
        if self.is_input:
            for key in self.keys:
                key.offset = self.width / 2
            return
        left = (self.width - self._keys_width()) / 2
        for key in self.keys:
            key.offset = left + key.width / 2
            left += key.width + KEY_GAP

    def _keys_width(self) -> float:
        return 0.0 if self.is_input or not self.keys else sum(key.width + KEY_GAP for key in self.keys) - KEY_GAP


def diagram_of(graph: Graph, states: Mapping[str, str] | None = None, details: Mapping[str, str] | None = None) -> dict[str, Box]:
    """The boxes of a recipe by name: inputs first, then steps in the order in which they stand in the file.

    Parameters
    ----------
    graph : Graph
    states : mapping, optional
        Step (or input) -> state, such as ``run``, ``current``, ``cached``, ``blocked``, ``failed``.
    details : mapping, optional
        Step (or input) -> a few words more, such as why it runs.
    """
    states, details = states or {}, details or {}
    names = box_names(graph)
    boxes = [_input(graph, key, names, states.get(key, ""), details.get(key, "")) for key in graph.free_inputs]
    boxes += [_step(graph, step, names, states.get(step, ""), details.get(step, "")) for step in graph.steps]
    return {box.name: box for box in boxes}


def box_names(graph: Graph) -> dict[tuple[str, str], str]:
    """(``input`` or ``step``, name) -> a name of its own; an input and a step may share theirs."""
    inputs = {("input", key): f"i{index}" for index, key in enumerate(graph.free_inputs)}
    return inputs | {("step", step): f"s{index}" for index, step in enumerate(graph.steps)}


def made_keys(graph: Graph, step: str) -> list[str]:
    """Keys that a step makes; those made on demand only where something takes them."""
    module = graph.steps[step].module
    ports = module.outputs()
    return [key for port, key in module.output_keys().items() if key and (not ports[port].on_demand or key in graph.consumers)]


def takers_of(graph: Graph, key: str) -> tuple[str, ...]:
    """Steps that take a key, each once."""
    return tuple(dict.fromkeys(place.step for place in graph.consumers.get(key, ())))


def module_line(graph: Graph, step: str) -> str:
    """The module's name where the step is not called by it."""
    name = graph.steps[step].module.name()
    return "" if name.rpartition(".")[2] == step else name


def _input(graph: Graph, key: str, names: Mapping[tuple[str, str], str], state: str, detail: str) -> Box:
    free = graph.free_inputs[key]
    kind = free.kind.__name__
    note = f"input {key}: {kind}" + ("" if free.required else ", optional")
    takers = tuple(names["step", step] for step in takers_of(graph, key))
    title = shortened(key, _MOST, TITLE_SIZE, bold=True)
    subtitle = ", ".join(word for word in ("" if kind == key else kind, "" if free.required else "optional") if word)
    look = look_of(state, INPUT) if state else INPUT
    if not free.required:
        look = replace(look, dashed=True)
    keys = [Key(key, "", note, takers, is_result=False)]
    return Box(names["input", key], title, subtitle, _fitting(detail), _joined(note, detail), look, True, keys)


def _step(graph: Graph, step: str, names: Mapping[tuple[str, str], str], state: str, detail: str) -> Box:
    module = graph.steps[step].module
    keys = []
    for key in made_keys(graph, step):
        takers = tuple(names["step", taker] for taker in takers_of(graph, key))
        kind = graph.output_port(graph.producers[key]).data_type.__name__ if key in graph.producers else ""
        keys.append(
            Key(key, shortened(key, 160, KEY_SIZE), f"{key}: {kind}" + ("" if takers else ", a result"), takers, not takers)
        )
    if isinstance(module, WriterModule) and not keys:
        file = module.destination()
        keys.append(Key(file, shortened(f"file: {file}", 160, KEY_SIZE), f"writes {file}", (), is_result=True))
    note = _joined(
        step if module.name() == step else f"{step} ({module.name()})",
        module.summary(),
        f"{state}: {detail}" if state and detail else state or detail,
    )
    title = shortened(step, _MOST, TITLE_SIZE, bold=True)
    subtitle = shortened(module_line(graph, step), _MOST, SUBTITLE_SIZE)
    return Box(names["step", step], title, subtitle, _fitting(detail), note, look_of(state) if state else PLAIN, False, keys)


def _fitting(detail: str) -> str:
    return shortened(" ".join(detail.split()), _MOST, SUBTITLE_SIZE)


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
