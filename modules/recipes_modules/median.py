"""Median of 3 x 3 pixels, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, inline="always")
def _order(a: Any, b: Any) -> Any:
    return (a, b) if a < b else (b, a)


@numba.njit(cache=True, nogil=True)
def _median_line(above: Any, here: Any, below: Any, result: Any) -> None:
    """Median over three lines that are longer than `result` by one pixel at each end."""
    for x in range(result.shape[0]):
        # Each column in order. The median of all is that of the highest of the low ones, the middle one of the middle ones, and the
        # lowest of the high ones.
        a0, a1 = _order(above[x], here[x])
        a1, a2 = _order(a1, below[x])
        a0, a1 = _order(a0, a1)
        b0, b1 = _order(above[x + 1], here[x + 1])
        b1, b2 = _order(b1, below[x + 1])
        b0, b1 = _order(b0, b1)
        c0, c1 = _order(above[x + 2], here[x + 2])
        c1, c2 = _order(c1, below[x + 2])
        c0, c1 = _order(c0, c1)
        low = max(a0, b0, c0)
        high = min(a2, b2, c2)
        m0, m1 = _order(a1, b1)
        middle = max(m0, min(m1, c1))
        p, q = _order(low, middle)
        result[x] = max(p, min(q, high))


@numba.njit(cache=True, nogil=True)
def _median(padded: Any, result: Any) -> None:
    for y in range(result.shape[0]):
        _median_line(padded[y], padded[y + 1], padded[y + 2], result[y])


def median_3x3(image: Any) -> Any:
    """Median of each pixel (y, x; float32, finite) and its eight neighbours; the border is mirrored, as by scipy.ndimage."""
    result = np.empty_like(image)
    _median(np.pad(image, 1, mode="edge"), result)
    return result
