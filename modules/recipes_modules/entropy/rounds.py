"""One round: density, scores, and what they say of each frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.entropy.density import VOXELS_PER_SIGMA, Density, Map, build_density
from recipes_modules.entropy.events import MOST_GROUPS, Events
from recipes_modules.entropy.scores import score_2d, score_3d, sum_frames

Floats = npt.NDArray[np.float64]
Kernel = tuple[float, float, float]

ROWS = 1 << 17
"""Events that one task works on; fixed, so that sums do not depend on the number of threads."""
FLOOR = 0.5
"""Added to the density, in peaks of single events: where there is less, nothing is known."""


@dataclass
class Scores:
    """What one kernel says of the events and of each frame.

    Attributes
    ----------
    gradients : array (n_events, axes) of float32
        Scores, 1/nm.
    step : array (n_frames, axes)
        Movement that is still to be undone, nm; 0 where nothing is known.
    info : array (n_frames, axes)
        Its inverse variance.
    curvature, power : array (groups, axes)
        Mean curvature and mean squared score of the events of a group, 1/nm^2.
    counts : array (groups,)
    log_density : float
        Mean logarithm of the density that the others make at an event, over `FLOOR`.
    """

    gradients: npt.NDArray[np.float32]
    step: Floats
    info: Floats
    curvature: Floats
    power: Floats
    counts: Floats
    log_density: float

    @property
    def gain(self) -> Floats:
        """Weight of a score, (groups, axes): its response to a movement over its variance."""
        return _gain(self.curvature, self.power)

    @property
    def neighbours(self) -> float:
        """Geometric mean of the density that the others make at an event, in peaks of single events."""
        return max(FLOOR * math.exp(self.log_density) - FLOOR, 0.0)

    @property
    def group_information(self) -> Floats:
        """Information of an event, (groups, axes), 1/nm^2."""
        return self.gain * np.maximum(self.curvature, 0)

    @property
    def information(self) -> Floats:
        """Information of a mean event, (axes,), 1/nm^2."""
        return np.asarray(self.counts @ self.group_information / max(self.counts.sum(), 1))

    @property
    def excess(self) -> Floats:
        """Curvature over squared score, (axes,): 1 for a density that is the truth, more for a smoother or a noisier one."""
        power = self.counts @ self.power
        return np.asarray(np.where(power > 0, self.counts @ self.curvature / np.where(power > 0, power, 1), np.inf))


def _gain(curvature: Floats, power: Floats) -> Floats:
    known = (curvature > 0) & (power > 0)
    return np.where(known, curvature / np.where(known, power, 1), 0)


def score_round(events: Events, drift: Floats, kernel: Kernel, *, deep: bool, map_: Map, n_parts: int) -> Scores:
    """Scores of all events, less their drift, at one kernel."""
    shift = np.ascontiguousarray(drift, dtype=np.float32)
    density = build_density(events, shift, kernel, deep=deep, map_=map_, n_parts=n_parts)
    gradients, sums = _score(events, shift, density, deep=deep, map_=map_)
    counts = events.group_sizes
    mean = sums[:, :, :2] / np.maximum(counts, 1)[:, None, None]
    curvature, power = mean[:, :, 0], mean[:, :, 1]
    gain = _gain(curvature, power)
    total = sum_over_frames(events, gradients, gain, gain * np.maximum(curvature, 0), map_)
    there = total[:, :, 1] > 0
    step = np.where(there, -total[:, :, 0] / np.where(there, total[:, :, 1], 1), 0)
    return Scores(gradients, step, total[:, :, 1], curvature, power, counts, float(sums[:, 0, 2].sum() / max(len(events), 1)))


def _score(events: Events, shift: Any, density: Density, *, deep: bool, map_: Map) -> tuple[npt.NDArray[np.float32], Floats]:
    axes = 3 if deep else 2
    gradients = np.empty((len(events), axes), np.float32)
    floor = floor_of(events, density)

    def task(bounds: tuple[int, int]) -> Floats:
        sums = np.zeros((MOST_GROUPS, axes, 3))
        common = (
            events.weight, events.group, events.mates, events.frame, *bounds, shift, density.origin, density.scale, density.bits,
            density.table, density.blocks, density.taps, np.float32(VOXELS_PER_SIGMA**2), floor, gradients, sums,
        )  # fmt: skip
        if deep:
            score_3d(events.x, events.y, events.z, *common)
        else:
            score_2d(events.x, events.y, *common)
        return sums

    sums = np.zeros((MOST_GROUPS, axes, 3))
    for part in map_(task, events.ranges(-(-len(events) // ROWS))):
        sums += part
    return gradients, sums


def floor_of(events: Events, density: Density) -> np.float32:
    """What is added to a density of these events, in its own unit; see `FLOOR`."""
    axes = 3 if density.deep else 2
    return np.float32(FLOOR * float(density.taps[0]) ** axes * float(events.weight.mean(dtype=np.float64)))


def sum_over_frames(events: Events, gradients: Any, gain: Floats, info: Floats, map_: Map) -> Floats:
    """Weighted scores and information per frame: (n_frames, axes, 2)."""
    axes = gradients.shape[1]

    def task(bounds: tuple[int, int]) -> tuple[int, Floats]:
        rows = slice(*bounds)
        frame = events.frame[rows]
        first = int(frame.min())
        total = np.zeros((int(frame.max()) - first + 1, axes, 2))
        sum_frames(frame, events.group[rows], gradients[rows], gain, info, first, total)
        return first, total

    total = np.zeros((events.n_frames, axes, 2))
    for first, part in map_(task, events.ranges(-(-len(events) // ROWS))):
        total[first : first + len(part)] += part
    return total
