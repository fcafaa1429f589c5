"""Cutting regions out of frames, and where a fit starts, compiled."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.psf import FAST, LANES, integrated

MASKED = np.float32(1e30)
"""Variance of a pixel that takes no part."""
TRUSTED = np.float32(1e20)
"""Pixels whose variance is below take part."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def room(half: int) -> tuple[int, int]:
    """Rows and length of a row of the arrays for a region of ``2 half + 1`` pixels a side: a multiple of 32 elements in all."""
    side = 2 * half + 1
    wide = (side // LANES + 1) * LANES
    high = side
    while (high * wide) % 32:
        high += 1
    return high, wide


@numba.njit(cache=True, nogil=True, error_model="numpy")
def corner(centre: int, half: int, length: int) -> tuple[int, int]:
    """First pixel and number of pixels of a region along an axis: moved inwards at a border, never beyond it."""
    n = min(2 * half + 1, length)
    return min(max(centre - half, 0), length - n), n


@numba.njit(cache=True, nogil=True, error_model="numpy")
def cut(
    frames: Any, frame: int, top: int, left: int, ny: int, nx: int, variances: Any, background: Any, data: Any, added: Any
) -> tuple[int, float]:  # fmt: skip
    """Copy a region.

    Parameters
    ----------
    frames : array (t, y, x) float32
        Photoelectrons.
    variances : array (1 or t, y, x) float32
        Read-noise variance of each pixel.
    background : array (0 or t, y, x) float32
        Background that the model does not hold; none where empty.
    data, added : array (high, wide) float32
        Receive the counts without background, and the variance that the model's own does not hold. Pixels that are not finite, or whose
        variance is not, get 0 and `MASKED`, as does what fills up the arrays.

    Returns
    -------
    int, float
        Number of pixels that take part; the smallest value in `added`.
    """
    plane = frame if variances.shape[0] > 1 else 0
    with_background = background.shape[0] > 0
    data[:] = 0.0
    added[:] = MASKED
    known = 0
    least = MASKED
    for i in range(ny):
        counts, extras = frames[frame, top + i, left : left + nx], variances[plane, top + i, left : left + nx]
        for j in range(nx):
            count, extra = counts[j], extras[j]
            if with_background:
                level = background[frame, top + i, left + j]
                count -= level
                extra += level
            if math.isfinite(count) and extra < TRUSTED:
                data[i, j] = count
                added[i, j] = extra
                known += 1
                least = min(least, extra)
    return known, least


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def start(
    data: Any, added: Any, ny: int, nx: int, row: float, column: float, sigma_x: float, sigma_y: float, work: Any, tx: Any, ty: Any, theta: Any
) -> None:  # fmt: skip
    """Start values x, y, N and background: linear least squares with the Gaussian at a pixel and its derivatives by x and y."""
    wide = (nx // LANES + 1) * LANES
    integrated(column, sigma_x, wide, work, tx)
    integrated(row, sigma_y, (ny // LANES + 1) * LANES, work, ty)
    zero, one = np.float32(0), np.float32(1)
    n, g, gg, d, gd, x, xx, y, yy = zero, zero, zero, zero, zero, zero, zero, zero, zero
    for i in range(ny):
        u, v = ty[0, i], ty[1, i]
        for j in range(wide):
            part = one if added[i, j] < TRUSTED else zero
            value = part * u * tx[0, j]
            by_x, by_y = part * u * tx[1, j], part * v * tx[0, j]
            count = data[i, j]
            n += part
            g += value
            gg += value * value
            d += count
            gd += value * count
            x += by_x * count
            xx += by_x * by_x
            y += by_y * count
            yy += by_y * by_y
    spread = n * gg - g * g
    number = (n * gd - g * d) / spread if spread > 1e-9 * n * gg else zero
    theta[0], theta[1] = column, row
    theta[2], theta[3] = number, (d - g * number) / n
    if number > zero:
        if xx > zero:
            theta[0] += min(max(x / (number * xx), -1.0), 1.0)
        if yy > zero:
            theta[1] += min(max(y / (number * yy), -1.0), 1.0)
