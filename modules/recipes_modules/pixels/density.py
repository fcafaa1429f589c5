"""Renderings by likelihood and by distances to neighbours. Importing this file imports numba."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

LEAST = 1e-4
"""Likelihood per nm from which Log Likelihood counts: smaller ones are raised to it."""
BLOCK = 1 << 20
"""Distances held at a time."""


def log_likelihood(
    x: npt.ArrayLike, y: npt.ArrayLike, sigma: npt.ArrayLike, x0: float, y0: float, pixel: float, shape: tuple[int, int],
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Sum over localizations of the log of their Gaussian likelihood at the middle of each pixel, above that of LEAST.

    A localization at a distance of r nm adds ``max(0, log(exp(-r**2 / 2 sigma**2) / (sigma sqrt(2 pi))) - log(LEAST))``.
    """
    image = np.zeros(shape, np.float64)
    values = (np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(sigma, np.float64))
    _add_logs(*values, x0, y0, pixel, -math.log(LEAST) - math.log(2 * math.pi) / 2, image)
    return np.asarray(image, np.float32)


@numba.njit(cache=True, nogil=True)
def _add_logs(x: Any, y: Any, sigma: Any, x0: float, y0: float, pixel: float, height: float, image: Any) -> None:
    ny, nx = image.shape
    for k in range(len(x)):
        top = height - math.log(sigma[k])
        if top <= 0:
            continue
        u, v = (x[k] - x0) / pixel - 0.5, (y[k] - y0) / pixel - 0.5
        bend = 0.5 * (pixel / sigma[k]) ** 2
        reach = math.sqrt(top / bend)
        first, last = max(0.0, np.ceil(v - reach)), min(ny - 1.0, np.floor(v + reach))
        left, right = max(0.0, np.ceil(u - reach)), min(nx - 1.0, np.floor(u + reach))
        if not (first <= last and left <= right):
            continue
        for row in range(int(first), int(last) + 1):
            for column in range(int(left), int(right) + 1):
                value = top - bend * ((column - u) ** 2 + (row - v) ** 2)
                if value > 0:
                    image[row, column] += value


def fitted_density(
    points: npt.NDArray[np.float64], x0: float, y0: float, pixel: float, shape: tuple[int, int], neighbours: int,
    threads: int = 1, check: Callable[[], None] = lambda: None,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Density at the middle of each pixel from the distances to its nearest localizations, times pi, per nm^2.

    Closer than the k-th neighbour, at the distance d_k, are k - 1 others. ``a`` of ``k - 1 = a d_k**2``, fitted by least squares to the
    nearest `neighbours`, is pi times the density.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    ny, nx = shape
    closer = np.arange(neighbours, dtype=np.float64)
    image = np.empty(shape, np.float32)
    columns = x0 + pixel * (np.arange(nx) + 0.5)
    rows_at_once = max(1, BLOCK // (nx * neighbours))
    for first in range(0, ny, rows_at_once):
        check()
        rows = y0 + pixel * (np.arange(first, min(ny, first + rows_at_once)) + 0.5)
        middles = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        distance = tree.query(middles, k=neighbours, workers=threads)[0].reshape(len(middles), neighbours)
        # No closer than a thousandth of a nm: localizations upon each other at a pixel's very middle would divide by 0.
        square = np.maximum(distance, 1e-3) ** 2
        fitted = (square @ closer) / np.einsum("ij,ij->i", square, square)
        image[first : first + len(rows)] = fitted.reshape(len(rows), nx)
    return image
