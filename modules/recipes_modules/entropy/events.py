"""Localizations as events: what one molecule shows in successive frames, put together. Importing this file imports numba."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.entropy.blinks import DARK, find_mates, finish, link, merge, step_lengths
from recipes_modules.entropy.ordering import count_groups, group_by, order_by, place_keys, renumber

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

MOST_GROUPS = 8
SPAN = 500
"""Most frames that one event may cover."""
ALWAYS = 1000, 0.1
"""What is linked over so many frames, and over such a part of the movie, is a bead."""
MATES_WITHIN = 48
"""Events at one place within so many frames are likely one molecule."""
SURE = 9.0
"""Longest squared link, in mean squared ones: one right link in 8000 is longer."""
PLACE = 500.0
"""Edge of a place, nm."""
STRETCH = 1 << 15
"""Events that follow each other in time and are looked at together."""
_CHUNKS = 4
_BINS = 40


@dataclass
class Events:
    """Blinks, nearly in the order of frames.

    Attributes
    ----------
    x, y, z : array (n,) of float32
        nm; `z` is empty in two dimensions.
    frame : array (n,) of int32
        From 0 at the first frame of the movie.
    weight : array (n,) of float32
        What it counts in the density; whole numbers.
    group : array (n,) of uint8
        Events of like precision have one number, below `MOST_GROUPS`.
    mates : array (n, 2) of int32
        The events before and after it that are likely of the same molecule, -1 for none.
    n_frames : int
    field : array (3,)
        Extent along x, y, z without what lies far away, nm; of one channel.
    order : array (n,) of int32, optional
        What the rows were before `by_place`.
    """

    x: Floats32
    y: Floats32
    z: Floats32
    frame: Ints
    weight: Floats32
    group: npt.NDArray[np.uint8]
    mates: Ints
    n_frames: int
    field: Floats
    order: Ints | None = None

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def low(self) -> Floats:
        return np.array([float(column.min()) if len(column) else 0.0 for column in (self.x, self.y, self.z)])

    @cached_property
    def high(self) -> Floats:
        return np.array([float(column.max()) if len(column) else 0.0 for column in (self.x, self.y, self.z)])

    @cached_property
    def group_sizes(self) -> Floats:
        counts = np.zeros(MOST_GROUPS)
        count_groups(self.group, counts)
        return counts

    @cached_property
    def per_frame(self) -> Floats:
        """Number of events of each frame."""
        counts = np.zeros(self.n_frames)
        count_groups(self.frame, counts)
        return counts

    def ranges(self, n: int) -> list[tuple[int, int]]:
        """Rows cut into at most `n` ranges of nearly equal length."""
        edges = np.linspace(0, len(self), min(n, max(1, len(self))) + 1).astype(int)
        return [(int(a), int(b)) for a, b in itertools.pairwise(edges)]

    def _chosen(self, rows: npt.NDArray[Any], map_: Any) -> Events:
        number = np.full(len(self), -1, np.int32)
        number[rows] = np.arange(len(rows), dtype=np.int32)
        mates = np.empty((len(rows), 2), np.int32)
        columns = (self.x, self.y, self.z, self.frame, self.weight, self.group)

        def task(column: Any) -> Any:
            if column is None:
                return renumber(self.mates, rows, number, mates)
            return column.take(rows) if len(column) else column

        x, y, z, frame, weight, group, _ = map_(task, (*columns, None))
        return Events(x, y, z, frame, weight, group, mates, self.n_frames, self.field)

    def by_place(self, drift: Floats32, map_: Any) -> Events:
        """The events in the order of places, so that those that need the same part of a density follow each other."""
        keys = np.empty(len(self), np.int32)
        low = (self.low[:2] - drift[:, :2].max(axis=0)).astype(np.float32)
        high = self.high[:2] - drift[:, :2].min(axis=0)
        edge = np.float32(max(PLACE, float((high - low).max()) / 4096))
        width = int((high[0] - low[0]) / edge) + 2
        n_places = (int((high[1] - low[1]) / edge) + 2) * width
        place_keys(self.x, self.y, self.frame, drift, low, np.float32(1) / edge, width, keys)
        order = np.empty(len(self), np.int32)
        order_by(keys, n_places, order)
        moved = self._chosen(order, map_)
        moved.order = order
        return moved

    def in_time(self, most: int) -> npt.NDArray[np.int64]:
        """Rows in the order of frames; where there are more than `most`, those of a part of the movie's stretches."""
        if self.order is None:
            rows = np.arange(len(self))
        else:
            rows = np.empty(len(self), np.int64)
            rows[self.order] = np.arange(len(self))
        part = -(-len(rows) // most)
        if part == 1:
            return rows
        return np.concatenate([rows[start : start + STRETCH] for start in range(0, len(rows), part * STRETCH)])

    def fewer(self, most: int, map_: Any) -> Events:
        """Every so-many-th event, at most `most`, with its mates."""
        step = -(-len(self) // most)
        if step == 1:
            return self
        before, after = self.mates[:, 0] < 0, self.mates[:, 1] < 0
        single, begin = before & after, before & ~after
        kept = np.zeros(len(self), bool)
        for first in (single, begin):
            kept[np.flatnonzero(first)[::step]] = True
        # Molecules stay whole.
        here = np.flatnonzero(kept & begin)
        while len(here):
            there = self.mates[here, 1]
            here = there[there >= 0]
            kept[here] = True
        return self._chosen(np.flatnonzero(kept), map_)


def make_events(
    x: Floats32, y: Floats32, z: Floats32, frame: Ints, precision: Floats32, channel: Ints, n_frames: int, map_: Any
) -> Events:
    """Link localizations of successive frames and put those of one molecule together.

    Parameters
    ----------
    frame : array (n,)
        From 0, in order.
    precision : array (n,) or (0,)
        Standard errors, nm; positive.
    channel : array (n,) or (0,)
    """
    n = len(x)
    radius = float(np.clip(6 * np.median(precision[:: max(1, n // 100_000)]), 30, 200)) if len(precision) else 100.0
    field = np.array([_spread(column) for column in (x, y, z)])
    edges = np.linspace(0, n, _CHUNKS + 1).astype(int)
    ranges = [slice(int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]
    cells = _Cells(x, y, radius)
    previous = np.empty(n, np.int32)

    def find(rows: slice) -> Any:
        link(
            x[rows],
            y[rows],
            frame[rows],
            channel[rows],
            DARK + 1,
            cells.radius,
            cells.low_x,
            cells.low_y,
            cells(),
            previous[rows],
        )
        histogram = np.zeros(_BINS, np.int64)
        step_lengths(x[rows], y[rows], previous[rows], radius, histogram)
        return histogram

    longest = longest_link(sum(map_(find, ranges)), radius)
    apart = max(2 * field[:2].max(), float(np.ptp(x))) if len(channel) else 0.0
    always = max(ALWAYS[0], int(ALWAYS[1] * n_frames))

    def put_together(rows: slice) -> Any:
        m = rows.stop - rows.start
        sums, event, bead, before = np.empty((m, 5)), np.empty(m, np.int32), np.empty(m, np.bool_), np.empty(m, np.int32)
        linked = previous[rows]
        count = merge(
            x[rows], y[rows], z[rows], frame[rows], precision[rows], linked, longest, SPAN, always, event, sums, bead, before
        )
        made = [np.empty(count if len(column) else 0, np.float32) for column in (x, y, z)]
        at, error = np.empty(count, np.int32), np.empty(count, np.float32)
        finish(sums, count, *made, at, error)
        if len(channel):
            # Side by side, the channels have densities of their own.
            of_event = np.empty(count, np.int32)
            of_event[event] = channel[rows]
            made[0] += (apart * of_event).astype(np.float32)
        return (*made, at, error, bead[:count].copy(), before[:count].copy())

    parts = list(map_(put_together, ranges))
    ex, ey, ez, at, error, bead = map_(lambda k: np.concatenate([part[k] for part in parts]), range(6))
    group = np.empty(len(ex), np.uint8)
    limits = group_edges(error)

    def sort_in(start: int) -> None:
        group_by(error[start : start + STRETCH], limits, group[start : start + STRETCH])

    for _ in map_(sort_in, range(0, len(ex), STRETCH)):
        pass
    ends = np.cumsum([0, *(len(part[0]) for part in parts)])
    chunks = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]
    before = np.concatenate([np.where(part[6] >= 0, part[6] + rows.start, -1) for part, rows in zip(parts, chunks, strict=True)])
    mates = _mates(ex, ey, at, bead, before, chunks, longest if longest > 0 else radius, map_)
    return Events(ex, ey, ez, at, np.ones(len(ex), np.float32), group, mates, n_frames, field)


class _Cells:
    """Empty grids for `link`."""

    def __init__(self, x: Floats32, y: Floats32, radius: float) -> None:
        self.low_x, self.low_y = float(x.min()), float(y.min())
        width, height = float(x.max()) - self.low_x, float(y.max()) - self.low_y
        # What lies far away must not make the grid larger than it is worth.
        self.radius = max(radius, max(width, height) / 4096)
        self.shape = (int(height / self.radius) + 3, int(width / self.radius) + 3)

    def __call__(self) -> Ints:
        return np.full((*self.shape, 2), -1, np.int32)


def _mates(x: Floats32, y: Floats32, frame: Ints, bead: Any, before: Ints, chunks: list[slice], radius: float, map_: Any) -> Ints:
    cells = _Cells(x, y, radius)
    mates = np.empty((len(x), 2), np.int32)

    def task(rows: slice) -> None:
        previous = np.empty(rows.stop - rows.start, np.int32)
        none = np.empty(0, np.int32)
        link(x[rows], y[rows], frame[rows], none, MATES_WITHIN, cells.radius, cells.low_x, cells.low_y, cells(), previous)
        part = before[rows]
        # What is known of the parts of one blink comes first; two events at one place at once are no mates.
        previous = np.maximum(previous, -1)
        previous = np.where(part >= 0, part - rows.start, previous).astype(np.int32)
        find_mates(previous, bead[rows], mates[rows])
        mates[rows] += np.where(mates[rows] >= 0, rows.start, 0).astype(np.int32)

    for _ in map_(task, chunks):
        pass
    return mates


def longest_link(histogram: npt.NDArray[np.int64], radius: float) -> float:
    """Longest link that is more often right than wrong, nm.

    The squares of the lengths of right links are distributed exponentially, those of wrong ones evenly.
    """
    wrong = histogram[-len(histogram) // 4 :].mean()
    right = np.maximum(histogram - wrong, 0)
    if right.sum() <= 5 * np.sqrt(histogram.sum() + 1):
        return 0.0
    width = radius**2 / len(histogram)
    mean_square = (right * (np.arange(len(histogram)) + 0.5) * width).sum() / right.sum()
    mostly_wrong = np.flatnonzero(right < wrong)
    end = mostly_wrong[0] * width if len(mostly_wrong) else radius**2
    return float(np.sqrt(min(end, SURE * mean_square)))


def group_edges(error: Floats32) -> Floats32:
    """Standard errors between groups of nearly equal size."""
    sample = error[:: max(1, len(error) // 100_000)]
    return np.unique(np.quantile(sample, np.arange(1, MOST_GROUPS) / MOST_GROUPS)).astype(np.float32)


def _spread(column: Floats32) -> float:
    """From the first to the last percentile."""
    return float(np.subtract(*np.percentile(column[:: max(1, len(column) // 100_000)], (99, 1)))) if len(column) else 0.0
