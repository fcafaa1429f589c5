"""The methods by which a drift can be measured, with settings that follow from the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from recipes_core.data import Drift, Localizations
from recipes_core.module import Context

Item = TypeVar("Item")
Result = TypeVar("Result")

NAMES = {
    "entropy": "minimum entropy",
    "aim": "adaptive intersection maximization",
    "rcc": "redundant cross-correlation",
}
AIM_HOLDS, AIM_HOLDS_Z, RCC_HOLDS = 200, 600, 3000
"""Localizations of a segment or window."""
AIM_CELL, RCC_PIXEL = 2.0, 1.5
"""In precisions."""
MOST_WINDOWS = 200
IN_FRAMES = ("segmentation", "segmentation_z", "step", "window")


class Within(Context):
    """A part of a step: its progress is a part of the step's, and what it has to say is kept for whoever asked for it."""

    def __init__(self, outer: Context, begin: float, end: float) -> None:
        super().__init__(outer.step, seed=outer.seed, n_threads=outer.n_threads, wanted=())
        self.outer, self.begin, self.end = outer, begin, end

    def progress(self, done: float, total: float) -> None:
        self.outer.progress(self.begin + (self.end - self.begin) * done / total, 1.0)

    def check_cancelled(self) -> None:
        self.outer.check_cancelled()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item], *, keep: str = "") -> Iterator[Result]:
        return self.outer.map(function, items)


@dataclass(frozen=True)
class Method:
    """One way to measure the drift.

    Attributes
    ----------
    name : {'entropy', 'aim', 'rcc'}
    deep : bool
        Whether the drift along z is measured.
    channel : str
        Column of the colour; entropy alone takes it.
    settings : dict
        Of the module of that name.
    """

    name: str
    deep: bool
    channel: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self, ctx: Context, table: Localizations) -> Drift:
        """Measure the drift; a value for each frame."""
        if self.name == "entropy":
            from recipes_modules.entropy.drift import measure_drift

            return measure_drift(ctx, table, deep=self.deep, channel=self.channel, start=None)
        from recipes_modules.curves import interpolate

        return interpolate(
            self._module().run(ctx, table, *([None] if self.name == "rcc" else []))["output_drift"], 3, 0.0, ctx, "smooth"
        )

    def _module(self) -> Any:
        if self.name == "aim":
            from recipes_modules.drift_aim import Locs_AIM

            return Locs_AIM(flatten_z=not self.deep, **self.settings)
        from recipes_modules.drift_rcc import Locs_RCC

        return Locs_RCC(flatten_z=not self.deep, **self.settings)

    def for_half(self) -> Method:
        """The same method for half of the localizations: with windows that hold as many."""
        longer = {name: 2 * value if name in IN_FRAMES else value for name, value in self.settings.items()}
        return replace(self, settings=longer)

    def describe(self) -> str:
        """The method and what was chosen for it, in words."""
        told = {
            "segmentation": "segments of {} frames", "segmentation_z": "along z of {} frames", "intersect_distance": "cells of {:.3g} nm",
            "window": "windows of {} frames", "binsize": "pixels of {:.3g} nm",
        }  # fmt: skip
        chosen = [told[name].format(value) for name, value in self.settings.items() if name in told]
        return ", ".join([NAMES[self.name], *chosen])


def choose(name: str, n: int, length: int, precision: float, *, deep: bool, channel: str, segmentation: int | None) -> Method:
    """A method with settings from the number of localizations, the length of the movie (frames) and the precision (nm)."""
    if name == "entropy":
        return Method(name, deep, channel)
    a_frame = max(n / max(length, 1), 1e-9)
    if name == "aim":
        frames = segmentation or _frames(AIM_HOLDS / a_frame, 1, length // 10)
        cell = float(np.clip(AIM_CELL * precision, 2.0, 300.0))
        settings = {"segmentation": frames, "intersect_distance": cell, "search_radius": 3 * cell}
        if deep:
            settings["segmentation_z"] = max(frames, _frames(AIM_HOLDS_Z / a_frame, 1, length // 6))
        return Method(name, deep, settings=settings)
    frames = segmentation or _frames(RCC_HOLDS / a_frame, length // MOST_WINDOWS, length // 5)
    pixel = float(np.clip(RCC_PIXEL * precision, 5.0, 60.0))
    return Method(name, deep, settings={"step": frames, "window": frames, "binsize": pixel, "corr_window": 10})


def _frames(wanted: float, low: int, high: int) -> int:
    return int(max(1, low, min(np.ceil(wanted), max(high, 1))))
