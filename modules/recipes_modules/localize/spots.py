"""Cutting regions out of frames, and where a fit starts, compiled."""

from __future__ import annotations

import math
from typing import Any

import numba

from recipes_modules.localize.psf import FAST, LANES, integrated

MASKED = 1e30
"""Variance of a pixel that takes no part."""
TRUSTED = 1e20
"""Pixels whose variance is below take part."""


@numba.njit(cache=True, nogil=True)
def corner(centre: int, half: int, length: int) -> tuple[int, int]:
    """First pixel and number of pixels of a region along an axis: moved inwards at a border, never beyond it."""
    n = min(2 * half + 1, length)
    return min(max(centre - half, 0), length - n), n


@numba.njit(cache=True, nogil=True)
def cut(
    frames: Any, frame: int, top: int, left: int, ny: int, nx: int, width: int, variance: Any, background: Any, data: Any, added: Any
) -> tuple[int, float]:
    """Copy a region to rows of length `width`.

    Parameters
    ----------
    frames : array (t, y, x)
        Photoelectrons.
    variance : array (t or 1, y, x)
        Read-noise variance of each pixel.
    background : array (t or 0, y, x)
        Background that the model does not hold; none where empty.
    data, added : array (>= ny * width) float32
        Receive the counts without background, and the variance that the model's own does not hold. Pixels that are not finite, or whose
        variance is not, get 0 and `MASKED`, as does what fills up the rows.

    Returns
    -------
    int, float
        Number of pixels that take part; the smallest value in `added`.
    """
    plane = frame if variance.shape[0] > 1 else 0
    with_background = background.shape[0] > 0
    known = 0
    least = MASKED
    for i in range(ny):
        for j in range(width):
            at = i * width + j
            data[at] = 0.0
            added[at] = MASKED
            if j >= nx:
                continue
            count, extra = frames[frame, top + i, left + j], variance[plane, top + i, left + j]
            if with_background:
                level = background[frame, top + i, left + j]
                count -= level
                extra += level
            if math.isfinite(count) and extra < TRUSTED:
                data[at] = count
                added[at] = extra
                known += 1
                least = min(least, extra)
    return known, least


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def start(data: Any, added: Any, ny: int, nx: int, width: int, row: float, column: float, sigma: float, work: Any, tx: Any, ty: Any, theta: Any) -> None:
    """Start values x, y, N and background of a Gaussian of known width near a pixel.

    The position is twice the offset of the centroid under the Gaussian itself, which is right for a spot of that width; N and
    background are the least-squares solution at that place.
    """
    total, count = 0.0, 0
    for i in range(ny):
        for j in range(nx):
            if (i == 0 or j == 0 or i == ny - 1 or j == nx - 1) and added[i * width + j] < TRUSTED:
                total += data[i * width + j]
                count += 1
    level = total / max(count, 1)
    high = (ny // LANES + 1) * LANES
    integrated(column, sigma, width, work, tx)
    integrated(row, sigma, high, work, ty)
    s0, sx, sy = 0.0, 0.0, 0.0
    for i in range(ny):
        for j in range(nx):
            at = i * width + j
            if added[at] < TRUSTED:
                value = (data[at] - level) * tx[0, j] * ty[0, i]
                s0 += value
                sx += value * (j - column)
                sy += value * (i - row)
    dx, dy = 0.0, 0.0
    if s0 > 0.0:
        dx = min(max(2.0 * sx / s0, -1.5), 1.5)
        dy = min(max(2.0 * sy / s0, -1.5), 1.5)
    theta[0], theta[1] = column + dx, row + dy
    integrated(theta[0], sigma, width, work, tx)
    integrated(theta[1], sigma, high, work, ty)
    n, g, gg, d, gd = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(ny):
        for j in range(nx):
            at = i * width + j
            if added[at] < TRUSTED:
                value = float(tx[0, j] * ty[0, i])
                n += 1.0
                g += value
                gg += value * value
                d += data[at]
                gd += value * data[at]
    spread = n * gg - g * g
    if spread > 1e-12:
        theta[2] = (n * gd - g * d) / spread
        theta[3] = (d - g * theta[2]) / n
    else:
        theta[2], theta[3] = d - n * level, level
