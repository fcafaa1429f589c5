"""What a report tells, gathered from a run."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import DataObject, Figure, ImageStack, Picture, Scalars, Table
from recipes_core.drawing.svg import draw_svg
from recipes_core.module import ModuleBase
from recipes_core.recipe import Recipe
from recipes_core.run import RunReport, StepResult
from recipes_core.run.saving import Saved

MOST_PIXELS = 3000
"""Edge of the largest image that a page holds; larger ones are binned."""
MOST_TILES = 8
"""Numbers of one result that stand out; the others are folded away."""
MOST_COLUMNS = 60
PANEL = 5.2
"""Inches; wider panels would have letters too small for a phone."""
_RANGES = {"band_95": "95 %", "quartiles": "quartiles"}
SAMPLE = 200_000
"""Values of a column from which its median is taken."""


@dataclass(frozen=True)
class Value:
    """A parameter or a number of a result."""

    name: str
    text: str
    unit: str = ""
    note: str = ""
    changed: bool = False
    is_text: bool = False


@dataclass(frozen=True)
class Step:
    """A step as the page shows it."""

    result: StepResult
    parameters: tuple[Value, ...]
    summary: str

    @property
    def n_changed(self) -> int:
        """Parameters that differ from their default."""
        return sum(value.changed for value in self.parameters)


@dataclass(frozen=True)
class Shot:
    """A picture: PNG as a data address."""

    label: str
    address: str
    pixelated: bool = False
    note: str = ""


@dataclass(frozen=True)
class TableView:
    """A table: what it holds, and (name, unit, lowest, median, highest) of its columns."""

    label: str
    text: str
    columns: tuple[tuple[str, str, str, str, str], ...] = ()


@dataclass
class Section:
    """One run of a recipe: all there is for a single file.

    Parameters
    ----------
    name : str
        The file of ``--each``; empty for a run of its own.
    """

    name: str = ""
    graph: str = ""
    steps: list[Step] = field(default_factory=list)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    saved: Sequence[Saved] = ()
    shots: list[Shot] = field(default_factory=list)
    numbers: list[tuple[str, list[Value]]] = field(default_factory=list)
    tables: list[TableView] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    most_tiles: int = MOST_TILES

    @property
    def seconds(self) -> float:
        """Time that the steps took in this run."""
        return sum(step.result.seconds for step in self.steps)

    def add(self, label: str, value: DataObject) -> None:
        """Show a result."""
        if isinstance(value, Figure):
            self.shots += _shots(label, value)
        elif isinstance(value, ImageStack):
            self.shots.append(Shot(label, _address(_png_of_image(value)), pixelated=True, note=_size_of(value)))
        elif isinstance(value, Scalars):
            self.numbers.append((label, list(_numbers(value))))
        elif isinstance(value, Table):
            self.tables.append(TableView(label, value.summary(), tuple(_columns(value))))
        else:
            self.tables.append(TableView(label, value.summary()))

    @property
    def done(self) -> str:
        """How much of the work this run did, in a few words."""
        states = [step.result.state for step in self.steps]
        counted = {
            "ran": states.count("done"),
            "were there already": states.count("cached") + states.count("current"),
            "failed": states.count("failed") + states.count("cancelled"),
        }
        told = [f"{n} step{'s' if n != 1 else ''} {what}" for what, n in counted.items() if n]
        return ", ".join(told)

    @property
    def warnings(self) -> list[str]:
        """Everything that a reader must know before trusting a number."""
        return [
            *self.problems,
            *(f"{step.result.step}: {text}" for step in self.steps for text in step.result.warnings),
            *self.notes,
        ]


def section_of(
    recipe: Recipe, report: RunReport, saved: Sequence[Saved], *, name: str = "", problems: Sequence[str] = ()
) -> Section:
    """Gather what a run left; results are loaded where they are not in memory."""
    states = {result.step: result.state for result in report.steps}
    details = {result.step: f"{result.seconds:.2f} s" for result in report.steps if result.state == "done"}
    steps = [
        Step(result, tuple(_parameters(recipe.steps[result.step])), recipe.steps[result.step].summary())
        for result in report.steps
    ]
    section = Section(
        name, draw_svg(recipe.graph, states, details), steps, recipe.inputs_record(), saved, problems=list(problems)
    )
    section.notes = list(report.notes)
    for key in _shown(recipe, saved):
        section.add(key, recipe[key])
    return section


def _shown(recipe: Recipe, saved: Sequence[Saved]) -> list[str]:
    """Keys of what was saved, and of what steps that write files took."""
    graph = recipe.graph
    keys: dict[str, None] = {}
    for item in saved:
        taken = [item.label] if item.label in graph.producers else [key for _, key in graph.inputs_of(item.label)]
        keys.update(dict.fromkeys(key for key in taken if key in graph.producers))
    return list(keys)


def _parameters(module: ModuleBase) -> Iterator[Value]:
    for name, parameter in module.parameters().items():
        value = getattr(module, name)
        if not parameter.deprecated:
            yield Value(name, _text(value), parameter.unit, parameter.description, value != parameter.default_value)


def _numbers(scalars: Scalars) -> Iterator[Value]:
    """The values, with those that are a range of another one beside it."""
    values = scalars.values
    first = next(iter(values), "")
    ranges: dict[str, str] = {}
    told = set()
    for name, value in values.items():
        for ending, word in _RANGES.items():
            of = first if name == ending else name.removesuffix(f"_{ending}")
            if of in values and of != name and isinstance(value, list) and len(value) == 2:
                ranges[of] = f"{word}: {_text(value[0])} to {_text(value[1])}"
                told.add(name)
    for name, value in values.items():
        if name not in told and value not in ("", [], None):
            yield Value(
                name, _text(value), scalars.units.get(name, ""), ranges.get(name, ""), is_text=isinstance(value, (str, list))
            )


def _columns(table: Table) -> Iterator[tuple[str, str, str, str, str]]:
    for name in table.columns[:MOST_COLUMNS]:
        values = table[name]
        if values.dtype.kind not in "fiub" or not len(values):
            yield (name, table.units.get(name, ""), "", "", "")
            continue
        sample = values[:: -(-len(values) // SAMPLE)].astype(np.float64)
        sample = sample[np.isfinite(sample)]
        known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if not len(known) or not len(sample):
            yield (name, table.units.get(name, ""), "", "NaN", "")
            continue
        low, middle, high = (_text(float(number)) for number in (known.min(), np.median(sample), known.max()))
        yield (name, table.units.get(name, ""), low, middle, high)


def _size_of(stack: ImageStack) -> str:
    size = stack.pixel_size
    pixels = f"{stack.shape[3]} x {stack.shape[2]} pixels"
    return f"{pixels} of {size[0]:.4g} nm" if size else pixels


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if 1e5 <= abs(value) < 1e9 and value % 1 == 0 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(_text(item) for item in value[:24])
        return f"[{shown}{', ...' if len(value) > 24 else ''}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_text(item)}" for name, item in value.items()) + "}"
    return str(value)


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _shots(label: str, figure: Figure) -> Iterator[Shot]:
    """A picture of a figure; panels beside each other become pictures of their own, which a narrow page puts below each other."""
    spec = figure.spec
    if min(spec.n_columns, len(figure.panels)) < 2 or spec.share_x:
        yield Shot(label, _address(_png_of_figure(figure)))
        return
    for number, panel in enumerate(figure.panels, 1):
        single = Figure([panel], panel_size=spec.panel_size)
        yield Shot(label, _address(_png_of_figure(single)), note=f"{number} of {len(figure.panels)}")


def _png_of_figure(figure: Figure) -> bytes:
    from recipes_core.io.draw import to_png

    spec = figure.spec
    width, height = spec.panel_size
    if any(isinstance(item, Picture) for panel in figure.panels for item in panel.content):
        height *= min(1.0, PANEL / width)
    # Letters have one size in inches: narrow panels make them readable on a narrow page.
    narrow = Figure(figure.panels, title=spec.title, panel_size=(min(width, PANEL), height), share_x=spec.share_x)
    return to_png(narrow)


def _png_of_image(stack: ImageStack) -> bytes:
    """The sum over frames and planes, one screen pixel a pixel, so that zooming in shows what is there; channels in colour."""
    from recipes_core.io.draw import contrast
    from recipes_core.io.png_image import to_png

    total = np.zeros((stack.n_channels, *stack.shape[2:]), dtype=np.float64)
    for _, block in stack.blocks():
        total += np.nan_to_num(block.reshape(len(block), stack.n_channels, -1, *block.shape[2:])).sum(
            axis=(0, 2), dtype=np.float64
        )
    step = -(-max(total.shape[1:]) // MOST_PIXELS)
    if step > 1:
        y, x = (n // step * step for n in total.shape[1:])
        total = total[:, :y, :x].reshape(len(total), y // step, step, x // step, step).sum(axis=(2, 4))
    scaled = []
    for channel in total:
        low, high = contrast(channel)
        scaled.append(np.clip((channel - low) / (high - low), 0, 1))
    if len(scaled) == 1:
        from matplotlib import colormaps

        return to_png(np.asarray(colormaps["hot"](scaled[0])[..., :3] * 255 + 0.5, np.uint8))
    colours = np.zeros((*scaled[0].shape, 3))
    for channel, colour in zip(scaled, _COLOURS, strict=False):
        colours += channel[..., np.newaxis] * np.array(colour)
    return to_png(np.asarray(np.clip(colours, 0, 1) * 255 + 0.5, np.uint8))


_COLOURS = ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.0, 0.6, 1.0), (1.0, 0.6, 0.0))
"""Of channels; magenta and green are told apart also by the colour-blind."""


def short_path(path: str | Path) -> str:
    """The last part of a path, for a narrow page."""
    return Path(str(path)).name
