"""Second round: each segment is compared with all the others, as often as that changes something."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt

from recipes_core.module import Context
from recipes_modules.aim.cells import FOUND, Cells, Search, peak
from recipes_modules.aim.track import Track
from recipes_modules.correlation.cloud import Cloud
from recipes_modules.correlation.windows import TimeWindows

Floats = npt.NDArray[np.float64]
Sums = npt.NDArray[np.float32]
Compared = tuple[Floats, float, Sums]

MOST_ROUNDS = 6
STILL = 0.05
"""Rounds end when segments move by less than this part of a cell (root mean square)."""
COARSEST = 4
"""Motion within a segment blurs its peak: where it is fast, up to so many doublings of the cell come first."""
TASK = 200_000
"""Localizations that a thread takes at a time."""
MOST_COPIES = 2**30
"""Memory for the threads' own cells, bytes."""


@dataclass
class Refined:
    """Positions after the second round.

    Attributes
    ----------
    positions : array (w, 3)
        What must be added to each segment, nm.
    significance : array (w,)
        Height of each peak above the background, in standard deviations; 0 where there is none.
    apart : array (w, 3)
        How far both halves of the field lie apart, nm; NaN where a half shows nothing.
    change : float
        By how much the last round moved the segments, root mean square, nm.
    """

    positions: Floats
    significance: Floats
    apart: Floats
    change: float


def interpolated(node: Floats, positions: Floats, frames: Floats) -> Floats:
    """Correction (m, 3) at any frames: linear between the nodes, the outer slopes going on outside of them."""
    found = np.column_stack([np.interp(frames, node, positions[:, axis]) for axis in range(3)])
    if len(node) < 2:
        return found
    for inner, other, outside in ((0, 1, frames < node[0]), (-1, -2, frames > node[-1])):
        slope = (positions[inner] - positions[other]) / (node[inner] - node[other])
        found[outside] += (frames[outside] - node[inner])[:, np.newaxis] * slope
    return found


def refine(
    ctx: Context, cloud: Cloud, windows: TimeWindows, start: Track, base: Floats, search: Search, progress: tuple[float, float]
) -> Refined:
    """Positions of segments from all the other segments.

    The localizations of a segment are taken out of the cells before it is compared with them: with them, it would find itself
    where it is. What was found is undone also within segments before the next round.

    Parameters
    ----------
    start : Track
        What the first round found.
    base : array (m, 3)
        Correction of each moment that is known already.
    """
    positions, known = start.positions, start.found
    level = _coarsest(positions[known], search.reach)
    begin, end = progress
    rounds = MOST_ROUNDS + level
    part = (end - begin) / rounds
    for number in range(rounds):
        # Segments that are not found must not bend the drift that is undone inside their neighbours.
        known = known if np.count_nonzero(known) > 1 else np.ones(len(known), bool)
        node, values = windows.node[known], positions[known]
        shift = (interpolated(node, values, cloud.moments) + base).astype(np.float32)
        between = (begin + part * number, begin + part * (number + 1))
        steps, significance, halves = _round(ctx, cloud, windows, shift, search, 2**level, between)
        steps = np.nan_to_num(steps)
        positions = interpolated(node, values, windows.node) + steps
        known = significance >= FOUND
        change = float(np.sqrt(np.mean((steps[known] ** 2).max(axis=1)))) if known.any() else 0.0
        if level:
            level -= 1
        elif change < STILL * search.cell:
            break
    ctx.progress(end, 1.0)
    apart = np.array([peak(a, search.cell) - peak(b, search.cell) for a, b in halves])
    return Refined(positions, significance, apart, change)


def _coarsest(positions: Floats, reach: float) -> int:
    steps = np.abs(np.diff(positions, axis=0)).max(axis=1)
    typical = float(np.quantile(steps, 0.9)) if len(steps) else 0.0
    return int(np.clip(np.ceil(np.log2(max(typical, 1e-9) / (reach / 2))), 0, COARSEST))


def _round(
    ctx: Context, cloud: Cloud, windows: TimeWindows, shift: npt.NDArray[np.float32], search: Search, coarser: int,
    progress: tuple[float, float],
) -> tuple[Floats, Floats, Sums]:  # fmt: skip
    """Each segment compared with the others once: shifts, significances, sums of both halves."""
    low, high = cloud.bounds(shift)
    cells = Cells(search.layout(low[::-1].copy(), high[::-1].copy(), coarser))
    n = len(cloud.positions)
    codes = np.empty(n, np.int32)

    def locate(first: int) -> None:
        codes[first : first + TASK] = cells.layout.codes(cloud, shift, first, min(n, first + TASK))

    for _ in ctx.map(locate, range(0, n, TASK)):
        pass
    cells.fill(codes)
    cells.weigh()
    groups = _groups(windows)
    copies: SimpleQueue[Cells] = SimpleQueue()
    for index in range(max(1, min(ctx.n_threads, len(groups), MOST_COPIES // (8 * cells.layout.size)))):
        copies.put(cells if index == 0 else cells.copy())

    def compare(group: range) -> list[Compared]:
        own = copies.get()
        try:
            return [_compare(own, codes[int(windows.first_row[k]) : int(windows.last_row[k])]) for k in group]
        finally:
            copies.put(own)

    found: list[Compared] = []
    begin, end = progress
    for several in ctx.map(compare, groups):
        found.extend(several)
        ctx.progress(begin + (end - begin) * len(found) / len(windows), 1.0)
    steps, significance, halves = (np.array(values) for values in zip(*found, strict=True))
    return steps, np.where(np.isfinite(steps).all(axis=1), significance, 0.0), halves


def _compare(cells: Cells, codes: npt.NDArray[np.int32]) -> Compared:
    # In the order of the grid: neighbours are in the processor's cache, and sums do not depend on the order of rows.
    codes = np.sort(codes)
    cells.add(codes, -1)
    halves = cells.meet(codes)
    sums = halves[0] + halves[1]
    significance = cells.significance(codes, sums)
    cells.add(codes, 1)
    return peak(sums, cells.layout.cell), significance, halves


def _groups(windows: TimeWindows) -> list[range]:
    """Neighbouring segments, so many that a thread has something to do."""
    edges = [0]
    rows = 0
    for k, count in enumerate(windows.counts):
        rows += int(count)
        if rows >= TASK:
            edges.append(k + 1)
            rows = 0
    if edges[-1] != len(windows):
        edges.append(len(windows))
    return [range(a, b) for a, b in pairwise(edges)]
