"""First round: segments are followed one after the other, each compared with those before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.module import Context
from recipes_modules.aim.cells import FOUND, FOUND_FAR, Cells, Search, peak
from recipes_modules.correlation.cloud import Cloud
from recipes_modules.correlation.windows import TimeWindows

Floats = npt.NDArray[np.float64]

MOST_ROWS = 2000
"""Localizations of a segment that take part in the first round; the second takes all."""
WIDER = 4
"""Each wider search takes cells this much larger, and so reaches this much farther."""
CONTROL = 500
"""Localizations of a segment that look whether the peak lies farther away."""
CERTAIN = 0.75
"""Within this part of the search radius a peak needs no wider search."""
USUAL = 0.8
"""A peak that is this much of the last one needs no look farther away."""
LEAST_FIELD = 8
"""A search reaches at most as far as one over this of the field."""


@dataclass
class Track:
    """What the first round found.

    Attributes
    ----------
    positions : array (w, 3)
        What must be added to each segment (x, y, z), nm; those of the one before where a segment was not found.
    found : array (w,) of bool
    widened : int
        Segments for which the search radius was too small.
    """

    positions: Floats
    found: npt.NDArray[np.bool_]
    widened: int


@dataclass(frozen=True)
class Peak:
    """Shift (x, y, z; nm) of a peak, NaN where there is none; its significance and its height a localization."""

    step: Floats
    significance: float
    height: float

    def at_least(self, significance: float) -> bool:
        """Whether there is a peak of that significance."""
        return self.significance >= significance and bool(np.isfinite(self.step).all())


class Tracker:
    """Follows the segments of a cloud.

    Parameters
    ----------
    cloud : Cloud
    windows : TimeWindows
        The segments.
    base : array (m, 3) of float32
        Correction of each moment of the cloud that is known already, nm.
    search : Search
    """

    def __init__(self, cloud: Cloud, windows: TimeWindows, base: npt.NDArray[np.float32], search: Search) -> None:
        self.cloud, self.windows, self.search = cloud, windows, search
        self.cell, self.radius, axial = search.cell, search.radius, search.axial
        self.base = base
        self.shift = base.copy()
        low, high = cloud.bounds(np.zeros((0, 3), np.float32))
        self.low, self.high = low[::-1].copy(), high[::-1].copy()
        extent = (self.high - self.low)[2:] if axial else (self.high - self.low)[:2]
        self.farthest = max(search.reach, float(extent.max()) / (2 if axial else LEAST_FIELD))
        self.levels: dict[int, Cells] = {}
        self.done: list[int] = []
        self.usual = np.inf

    def run(self, ctx: Context, progress: tuple[float, float]) -> Track:
        """Follow all segments; look for those that were not found once more when all the others are in place."""
        n = len(self.windows)
        positions, found = np.zeros((n, 3)), np.zeros(n, bool)
        begin, end = progress
        widened = 0
        found[0] = True
        self._remember(0)
        for k in range(1, n):
            step, found[k], wide = self._search(k, positions[k - 1])
            positions[k] = positions[k - 1] + step
            widened += wide
            if found[k]:
                self._remember(k)
            ctx.progress(begin + (end - begin) * k / n, 1.0)
        node = self.windows.node
        for k in np.flatnonzero(~found).tolist():
            known = found.copy()
            place = np.array([np.interp(node[k], node[known], positions[known, axis]) for axis in range(3)])
            step, found[k], wide = self._search(k, place)
            positions[k] = place + step
            widened += wide
            if found[k]:
                self._remember(k)
        return Track(positions, found, widened)

    def _level(self, level: int) -> Cells:
        if level not in self.levels:
            cells = Cells(self.search.layout(self.low, self.high, WIDER**level))
            for k in self.done:
                cells.fill(self._codes(cells, k, level))
            cells.weigh()
            self.levels[level] = cells
        return self.levels[level]

    def _codes(self, cells: Cells, k: int, level: int) -> npt.NDArray[np.int32]:
        start, stop = int(self.windows.first_row[k]), int(self.windows.last_row[k])
        every = max(1, -(-(stop - start) // (CONTROL if level else MOST_ROWS)))
        return cells.layout.codes(self.cloud, self.shift, start, stop, every)

    def _place(self, k: int, place: Floats) -> None:
        moments = self._moments(k)
        self.shift[moments] = self.base[moments] + place.astype(np.float32)

    def _moments(self, k: int) -> slice:
        moment = self.cloud.moment
        return slice(int(moment[self.windows.first_row[k]]), int(moment[self.windows.last_row[k] - 1]) + 1)

    def _remember(self, k: int) -> None:
        self.done.append(k)
        for level, cells in self.levels.items():
            cells.add(self._codes(cells, k, level))
        if not self.levels:
            self._level(0)

    def _look(self, k: int, level: int) -> Peak:
        """The peak for a segment that is placed as it is."""
        cells = self._level(level)
        codes = self._codes(cells, k, level)
        sums = cells.meet(codes).sum(axis=0)
        return Peak(peak(sums, cells.layout.cell), cells.significance(codes, sums), float(sums.max()) / max(1, len(codes)))

    def _search(self, k: int, place: Floats) -> tuple[Floats, bool, bool]:
        """Where a segment lies from `place`, whether that is certain, and whether a wider search was needed."""
        reach = self.cell * self.radius
        self._place(k, place)
        near = self._look(k, 0)
        ok = near.at_least(FOUND)
        if ok and np.abs(near.step).max() <= CERTAIN * reach:
            # Who meets as many others as the segments before did is in its place.
            far = self._look(k, 1) if near.height < USUAL * self.usual else Peak(near.step, 0.0, 0.0)
            if not (far.at_least(FOUND_FAR) and np.abs(far.step - near.step).max() > reach):
                self._place(k, place + near.step)
                self.usual = near.height
                return near.step, True, False
        coarse, fine = self._descend(k, place)
        if coarse is not None:
            better = fine if fine is not None else (coarse if not ok else None)
            if better is not None and (not ok or better.height > near.height):
                self._place(k, place + better.step)
                return better.step, True, bool(np.abs(better.step).max() > reach)
        step = near.step if ok else np.zeros(3)
        self._place(k, place + step)
        return step, ok, False

    def _descend(self, k: int, place: Floats) -> tuple[Peak | None, Peak | None]:
        """Coarse to fine: the nearest of the wider searches that finds something, then finer ones from there.

        Returns the best that was found, and what the finest search says where that shows something too.
        """
        level, best = 1, None
        while self.cell * WIDER ** (level - 1) * self.radius < self.farthest:
            self._place(k, place)
            best = self._look(k, level)
            if best.at_least(FOUND_FAR):
                break
            best = None
            level += 1
        if best is None:
            return None, None
        for finer in range(level - 1, -1, -1):
            self._place(k, place + best.step)
            more = self._look(k, finer)
            if not more.at_least(FOUND):
                return best, None
            best = Peak(best.step + more.step, more.significance, more.height)
        return best, best
