"""What a report tells, gathered from a run."""

from __future__ import annotations

import base64
import io as streams
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import DataObject, Figure, ImageStack, Scalars, Table
from recipes_core.drawing.svg import draw_svg
from recipes_core.module import ModuleBase
from recipes_core.recipe import Recipe
from recipes_core.run import RunReport, StepResult
from recipes_core.run.saving import Saved

MOST_PIXELS = 3000
"""Edge of the largest image that a page holds; larger ones are binned."""


@dataclass(frozen=True)
class Value:
    """A parameter or a number of a result."""

    name: str
    text: str
    unit: str = ""
    note: str = ""
    changed: bool = False


@dataclass(frozen=True)
class Step:
    """A step as the page shows it."""

    result: StepResult
    parameters: tuple[Value, ...]
    summary: str


@dataclass(frozen=True)
class Shot:
    """A picture: PNG as a data address."""

    label: str
    address: str
    pixelated: bool = False


@dataclass
class Section:
    """One run of a recipe: all there is for a single file.

    Parameters
    ----------
    name : str
        The file of ``--each``; empty for a run of its own.
    """

    name: str
    graph: str
    steps: list[Step]
    inputs: dict[str, dict[str, Any]]
    saved: Sequence[Saved]
    shots: list[Shot] = field(default_factory=list)
    numbers: list[tuple[str, list[Value]]] = field(default_factory=list)
    tables: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Time that the steps took in this run."""
        return sum(step.result.seconds for step in self.steps)

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
    for item in saved:
        if item.label in recipe.graph.producers:
            _add_result(section, item.label, recipe[item.label])
    return section


def _add_result(section: Section, label: str, value: DataObject) -> None:
    if isinstance(value, Figure):
        section.shots.append(Shot(label, _address(_png_of_figure(value))))
    elif isinstance(value, ImageStack):
        section.shots.append(Shot(label, _address(_png_of_image(value)), pixelated=True))
    elif isinstance(value, Scalars):
        section.numbers.append((label, list(_numbers(value))))
    elif isinstance(value, Table):
        section.tables.append((label, f"{value.summary()}: {', '.join(value.columns)}"))
    else:
        section.tables.append((label, value.summary()))


def _parameters(module: ModuleBase) -> Iterator[Value]:
    for name, parameter in module.parameters().items():
        value = getattr(module, name)
        if not parameter.deprecated:
            yield Value(name, _text(value), parameter.unit, parameter.description, value != parameter.default_value)


def _numbers(scalars: Scalars) -> Iterator[Value]:
    for name, value in scalars.values.items():
        yield Value(name, _text(value), scalars.units.get(name, ""))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(_text(item) for item in value[:24])
        return f"[{shown}{', ...' if len(value) > 24 else ''}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_text(item)}" for name, item in value.items()) + "}"
    return str(value)


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _png_of_figure(figure: Figure) -> bytes:
    from recipes_core.io.draw import to_png

    return to_png(figure)


def _png_of_image(stack: ImageStack) -> bytes:
    """The mean over frames and planes, one screen pixel a pixel, so that zooming in shows what is there."""
    from matplotlib.image import imsave

    total = np.zeros(stack.shape[2:], dtype=np.float64)
    for _, block in stack.blocks():
        total += block.sum(axis=(0, 1), dtype=np.float64)
    step = -(-max(total.shape) // MOST_PIXELS)
    if step > 1:
        y, x = (n // step * step for n in total.shape)
        total = total[:y, :x].reshape(y // step, step, x // step, step).sum(axis=(1, 3))
    lit = total[total > total.min()]
    high = float(np.percentile(lit, 99.5)) if lit.size else 1.0
    buffer = streams.BytesIO()
    imsave(buffer, total, vmin=float(total.min()), vmax=max(high, float(total.min()) + 1e-12), cmap="hot", format="png")
    return buffer.getvalue()


def short_path(path: str | Path) -> str:
    """The last part of a path, for a narrow page."""
    return Path(str(path)).name
