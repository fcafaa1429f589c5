"""Counts and sums of localizations in pixels. Importing this file imports numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

BLOCK = 1024
"""Rows whose pixels are found before any is counted: found in one go, they take a third of the time."""


@numba.njit(cache=True, nogil=True)
def _found(x: Any, y: Any, start: int, m: int, x0: float, y0: float, pixel: float, ny: int, nx: int, place: Any) -> None:
    for k in range(m):
        u, v = (x[start + k] - x0) / pixel, (y[start + k] - y0) / pixel
        inside = (u >= 0) & (v >= 0) & (u < nx) & (v < ny)
        place[k] = int(v if inside else 0.0) * nx + int(u if inside else 0.0) if inside else -1


@numba.njit(cache=True, nogil=True)
def count_pixels(image: Any, x: Any, y: Any, x0: float, y0: float, pixel: float) -> None:
    """Count localizations in the pixels of `image` (y, x); `x0` and `y0` are the outer edges of its first pixel, nm.

    What is NaN or outside is not counted.
    """
    ny, nx = image.shape
    counts = image.ravel()
    place = np.empty(BLOCK, np.int64)
    for start in range(0, len(x), BLOCK):
        m = min(BLOCK, len(x) - start)
        _found(x, y, start, m, x0, y0, pixel, ny, nx, place)
        for k in range(m):
            if place[k] >= 0:
                counts[place[k]] += 1


@numba.njit(cache=True, nogil=True)
def add_values(image: Any, x: Any, y: Any, value: Any, x0: float, y0: float, pixel: float) -> None:
    """Add up the values of localizations in the pixels of `image` (y, x); values that are NaN are not added."""
    ny, nx = image.shape
    sums = image.ravel()
    place = np.empty(BLOCK, np.int64)
    for start in range(0, len(x), BLOCK):
        m = min(BLOCK, len(x) - start)
        _found(x, y, start, m, x0, y0, pixel, ny, nx, place)
        for k in range(m):
            if place[k] >= 0 and value[start + k] == value[start + k]:
                sums[place[k]] += value[start + k]


@numba.njit(cache=True, nogil=True)
def extent(x: Any, y: Any) -> Any:
    """Smallest and largest x and y of the rows in which both are finite: (x0, x1, y0, y1), and how many rows that are."""
    x0, x1, y0, y1 = np.inf, -np.inf, np.inf, -np.inf
    count = 0
    for i in range(len(x)):
        a, b = x[i], y[i]
        if abs(a) < np.inf and abs(b) < np.inf:
            count += 1
            x0, x1, y0, y1 = min(x0, a), max(x1, a), min(y0, b), max(y1, b)
    return x0, x1, y0, y1, count
