"""Points in polygons by the even-odd rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def in_polygon(x: Array, y: Array, corners: Array) -> Array:
    """Mask of the points inside a polygon.

    Parameters
    ----------
    x, y : array (n,)
    corners : array (m, 2) of float64
        In order; the last is joined with the first. Where edges cross, what lies in an even number of turns is outside.

    Notes
    -----
    Of points on an edge those on its lower and left sides count as inside, so that regions that share an edge share no point.
    """
    m = len(corners)
    inside = np.zeros(len(x), np.bool_)
    low_x, high_x = corners[:, 0].min(), corners[:, 0].max()
    low_y, high_y = corners[:, 1].min(), corners[:, 1].max()
    for k in range(len(x)):
        px, py = float(x[k]), float(y[k])
        if not (low_x <= px <= high_x and low_y <= py <= high_y):
            continue
        within = False
        j = m - 1
        for i in range(m):
            yi, yj = corners[i, 1], corners[j, 1]
            if (yi > py) != (yj > py):
                crossing = corners[i, 0] + (py - yi) / (yj - yi) * (corners[j, 0] - corners[i, 0])
                if px < crossing:
                    within = not within
            j = i
        inside[k] = within
    return inside


def in_polygons(x: Array, y: Array, polygons: Sequence[Array]) -> Array:
    """Mask of the points inside any of several polygons."""
    inside = np.zeros(len(x), bool)
    for corners in polygons:
        inside |= in_polygon(x, y, np.ascontiguousarray(corners, np.float64))
    return inside
