"""Sizes and shapes of clusters. Importing this file imports numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def hull_areas(x: Floats, y: Floats, starts: Ints) -> Floats:
    """Area of the convex hull of each cluster, nm^2; 0 for fewer than three points.

    Parameters
    ----------
    x, y : array (n,)
        Cluster by cluster, each in increasing order of x, then y.
    starts : array (m + 1,)
    """
    made = np.zeros(len(starts) - 1)
    _areas(x, y, starts, made)
    return made


@numba.njit(cache=True, nogil=True)
def _areas(x: Any, y: Any, starts: Any, made: Any) -> None:
    # Andrew's monotone chain: lower and upper hull, one after the other.
    most = 0
    for k in range(len(made)):
        most = max(most, starts[k + 1] - starts[k])
    hull = np.empty(most + 1, np.int64)
    for k in range(len(made)):
        a, b = starts[k], starts[k + 1]
        if b - a < 3:
            continue
        twice = 0.0
        for side in range(2):
            count = 0
            for step in range(b - a):
                i = a + step if side == 0 else b - 1 - step
                while count >= 2:
                    p, q = hull[count - 2], hull[count - 1]
                    if (x[q] - x[p]) * (y[i] - y[p]) - (y[q] - y[p]) * (x[i] - x[p]) > 0:
                        break
                    count -= 1
                hull[count] = i
                count += 1
            for step in range(count - 1):
                p, q = hull[step], hull[step + 1]
                # Seen from the cluster's first point: differences of large coordinates lose nothing.
                twice += (x[p] - x[a]) * (y[q] - y[a]) - (x[q] - x[a]) * (y[p] - y[a])
        made[k] = 0.5 * abs(twice)


def second_moments(points: Floats, label: Ints, count: int, centre: Floats) -> Floats:
    """Covariances (count, d, d) of the clusters' points about their centres, divided by the number of points."""
    d = points.shape[1]
    made = np.zeros((count, d, d))
    size = np.bincount(label, minlength=count)
    off = points - centre[label]
    for i in range(d):
        for j in range(i, d):
            made[:, i, j] = made[:, j, i] = np.bincount(label, off[:, i] * off[:, j], minlength=count) / size
    return made
