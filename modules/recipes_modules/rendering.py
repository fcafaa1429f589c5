"""Compiled rendering of localizations. Importing this file imports numba: do it on use."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

REACH = 4.0
"""Standard deviations after which a Gaussian ends; what is beyond (6e-5 of it along an axis) is left out."""


@numba.njit(cache=True, nogil=True)
def add_histogram(image: Any, x: Any, y: Any, x0: float, y0: float, pixel: float) -> None:
    """Count localizations in the pixels of `image` (y, x); `x0` and `y0` are the outer edges of its first pixel, nm."""
    ny, nx = image.shape
    for index in range(len(x)):
        column = int(math.floor((x[index] - x0) / pixel))
        row = int(math.floor((y[index] - y0) / pixel))
        if 0 <= column < nx and 0 <= row < ny:
            image[row, column] += 1.0


@numba.njit(cache=True, nogil=True)
def _weights(centre: float, sigma: float, first: int, last: int, result: Any) -> None:
    scale = 1.0 / (math.sqrt(2.0) * sigma)
    before = math.erf((first - centre) * scale)
    for pixel in range(first, last):
        after = math.erf((pixel + 1 - centre) * scale)
        result[pixel - first] = 0.5 * (after - before)
        before = after


@numba.njit(cache=True, nogil=True)
def add_gaussians(image: Any, x: Any, y: Any, sx: Any, sy: Any, x0: float, y0: float, pixel: float, row0: int, row1: int) -> None:
    """Add a Gaussian of sum 1 for each localization, integrated over pixels, to the rows `row0` to `row1` of `image` (y, x).

    Each pixel adds up in the order of the localizations, so that bands of rows may be worked on side by side.
    """
    ny, nx = image.shape
    wx = np.empty(nx)
    wy = np.empty(ny)
    for index in range(len(x)):
        cx, cy = (x[index] - x0) / pixel, (y[index] - y0) / pixel
        ux, uy = max(sx[index] / pixel, 0.05), max(sy[index] / pixel, 0.05)
        top, bottom = max(row0, int(math.floor(cy - REACH * uy))), min(row1, int(math.floor(cy + REACH * uy)) + 1)
        if top >= bottom:
            continue
        left, right = max(0, int(math.floor(cx - REACH * ux))), min(nx, int(math.floor(cx + REACH * ux)) + 1)
        if left >= right:
            continue
        _weights(cx, ux, left, right, wx)
        _weights(cy, uy, top, bottom, wy)
        for row in range(top, bottom):
            for column in range(left, right):
                image[row, column] += wy[row - top] * wx[column - left]
