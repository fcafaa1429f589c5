"""Distances of pairs of positions, corrected for the edges of a rectangle. Importing this file imports numba."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.spatial.cells import first_at_least, sort_into_cells

Floats = npt.NDArray[np.float64]
Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

PARTS = 64
"""Pieces of the work, the same whatever the number of threads: sums come out the same."""
ISOTROPIC, TRANSLATION = 0, 1


def pair_sums(
    points: Floats, region: tuple[float, float, float, float], reach: float, bins: int, correction: int, mapper: Mapper
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Corrected and plain numbers of pairs by distance.

    Parameters
    ----------
    points : array (n, 2)
        nm, inside the region.
    region : (x0, x1, y0, y1)
    reach : float
        Largest distance, nm.
    bins : int
        Of equal width between 0 and `reach`.
    correction : {ISOTROPIC, TRANSLATION}
        Ripley's: each pair counts as often as 1 over the part of the circle around one, through the other, that is inside the region
        (mean of both); or the area over that of the overlap of the region with itself, moved by the pair's vector.

    Returns
    -------
    corrected : array (bins,)
        Of ordered pairs.
    counts : array (bins,)
        Of pairs, each once, without correction.
    """
    cells = sort_into_cells(points, reach)
    edges = np.linspace(0, len(points), PARTS + 1).astype(np.int64)
    where = np.searchsorted(cells.starts, np.arange(len(points)), side="right") - 1

    def part(k: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        sums, counts = np.zeros(bins), np.zeros(bins, np.int64)
        _count(
            cells.points, cells.keys, cells.starts, cells.stride_y, where, *map(float, region), reach, correction, int(edges[k]),
            int(edges[k + 1]), sums, counts,
        )  # fmt: skip
        return sums, counts

    corrected, counts = np.zeros(bins), np.zeros(bins, np.int64)
    for sums, plain in mapper(part, range(PARTS)):
        corrected += sums
        counts += plain
    return corrected, counts


@numba.njit(cache=True, nogil=True)
def _count(
    points: Any, keys: Any, starts: Any, stride: int, where: Any, x0: float, x1: float, y0: float, y1: float, reach: float,
    correction: int, begin: int, end: int, sums: Any, counts: Any,
) -> None:  # fmt: skip
    bins = len(sums)
    factor = bins / reach
    width, height = x1 - x0, y1 - y0
    area = width * height
    for i in range(begin, end):
        x, y = points[i, 0], points[i, 1]
        c = where[i]
        # Half of the neighbours: the rest of this cell, the next one, and the row above.
        for dy in range(2):
            row = keys[c] + dy * stride
            low = i + 1 if dy == 0 else starts[first_at_least(keys, row - 1)]
            high = starts[first_at_least(keys, row + 2)]
            for j in range(low, high):
                dx, dz = points[j, 0] - x, points[j, 1] - y
                square = dx * dx + dz * dz
                if square >= reach * reach:
                    continue
                distance = math.sqrt(square)
                k = min(bins - 1, int(distance * factor))
                counts[k] += 1
                if correction == TRANSLATION:
                    sums[k] += 2.0 * area / ((width - abs(dx)) * (height - abs(dz)))
                else:
                    sums[k] += 1.0 / _inside(x - x0, x1 - x, y - y0, y1 - y, distance)
                    sums[k] += 1.0 / _inside(points[j, 0] - x0, x1 - points[j, 0], points[j, 1] - y0, y1 - points[j, 1], distance)


@numba.njit(cache=True, nogil=True)
def _inside(left: float, right: float, bottom: float, top: float, radius: float) -> float:
    """Part of a circle inside a rectangle whose sides are so far from its centre; radius at most half the shorter side."""
    if radius <= min(left, right, bottom, top) or radius == 0:
        return 1.0
    outside = 0.0
    for a in (left, right):
        if a < radius:
            outside += 2.0 * math.acos(a / radius)
    for b in (bottom, top):
        if b < radius:
            outside += 2.0 * math.acos(b / radius)
    # What is beyond two sides that meet was taken off twice.
    for a in (left, right):
        for b in (bottom, top):
            if a * a + b * b < radius * radius:
                outside -= math.acos(a / radius) + math.acos(b / radius) - 0.5 * math.pi
    return 1.0 - outside / (2.0 * math.pi)


def ripley_k(corrected: Floats, n: int, area: float) -> Floats:
    """K at the upper edges of the bins, nm^2: ``pi r^2`` where positions are at random."""
    return np.asarray(area / (n * (n - 1.0)) * np.cumsum(corrected))


def pair_correlation(corrected: Floats, n: int, area: float, reach: float) -> Floats:
    """g in each bin: 1 where positions are at random."""
    edges = np.linspace(0, reach, len(corrected) + 1)
    return np.asarray(area / (n * (n - 1.0)) * corrected / (np.pi * np.diff(edges**2)))


def neighbour_counts(points: Floats, radius: float, mapper: Mapper) -> npt.NDArray[np.int64]:
    """Other points within a radius of each point (n, 2 or 3)."""
    cells = sort_into_cells(points, radius)
    where = np.searchsorted(cells.starts, np.arange(len(points)), side="right") - 1
    edges = np.linspace(0, len(points), PARTS + 1).astype(np.int64)
    found = np.zeros(len(points), np.int64)

    def part(k: int) -> None:
        _neighbours(
            cells.points, cells.keys, cells.starts, cells.stride_y, cells.stride_z, points.shape[1] == 3, where, radius * radius,
            int(edges[k]), int(edges[k + 1]), found,
        )  # fmt: skip

    for _ in mapper(part, range(PARTS)):
        pass
    made = np.empty_like(found)
    made[cells.order] = found
    return made


@numba.njit(cache=True, nogil=True)
def _neighbours(
    points: Any, keys: Any, starts: Any, stride_y: int, stride_z: int, deep: bool, where: Any, limit: float, begin: int, end: int,
    found: Any,
) -> None:  # fmt: skip
    depth = 1 if deep else 0
    for i in range(begin, end):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        count = -1
        for dz in range(-depth, depth + 1):
            for dy in range(-1, 2):
                row = keys[where[i]] + dz * stride_z + dy * stride_y
                low, high = starts[first_at_least(keys, row - 1)], starts[first_at_least(keys, row + 2)]
                for j in range(low, high):
                    a, b, c = points[j, 0] - x, points[j, 1] - y, points[j, 2] - z
                    if a * a + b * b + c * c <= limit:
                        count += 1
        found[i] = count
