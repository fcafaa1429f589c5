"""Cutting the regions of spots out of frames into lanes, and where their fits start, compiled.

Pixel k of a region, counted along rows, begins at ``k WIDTH``; the spots of a group follow each other in its lanes, the groups each other.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.spotfit.models import HALF, INNER, ONE, ZERO
from recipes_modules.localize.spotfit.vectors import WIDTH, load, splat, store, where_less

MASKED = np.float32(1e30)
"""Variance of a pixel that takes no part."""
TRUSTED = np.float32(1e20)
"""Pixels whose variance is below take part."""


@numba.njit(**INNER)
def corner(centre: int, half: int, length: int) -> tuple[int, int]:
    """First pixel and number of pixels of a region along an axis: moved inwards at a border, never beyond it."""
    n = min(2 * half + 1, length)
    return min(max(centre - half, 0), length - n), n


@numba.njit(**INNER)
def cut(
    frames: Any, frame: int, top: int, left: int, ny: int, nx: int, variances: Any, background: Any, data: Any, added: Any, first: int
) -> tuple[int, float]:  # fmt: skip
    """Copy a region into a lane.

    Parameters
    ----------
    frames : array (t, y, x) float32
        Photoelectrons.
    variances : array (1 or t, y, x) float32
        Read-noise variance of each pixel.
    background : array (0 or t, y, x) float32
        Background that the model does not hold; none where empty.
    data, added : array float32
        Receive, from `first` on, the counts without background, and the variance that the model's own does not hold. Pixels that are not
        finite, or whose variance is not, get 0 and `MASKED`.

    Returns
    -------
    int, float
        Number of pixels that take part; the smallest value in `added`.
    """
    plane = frame if variances.shape[0] > 1 else 0
    with_background = background.shape[0] > 0
    known = 0
    least = MASKED
    at = first
    for i in range(top, top + ny):
        for j in range(left, left + nx):
            count, extra = frames[frame, i, j], variances[plane, i, j]
            if with_background:
                level = background[frame, i, j]
                count -= level
                extra += level
            if math.isfinite(count) and extra < TRUSTED:
                known += 1
                least = min(least, extra)
            else:
                count, extra = ZERO, MASKED
            data[at] = count
            added[at] = extra
            at += WIDTH
    return known, least


@numba.njit(**INNER)
def given_weights(
    frames: Any, frame: int, top: int, left: int, ny: int, nx: int, variances: Any, added: Any, first: int, measured: bool, excess: float,
    floor: float, weights: Any,
) -> None:  # fmt: skip
    """Weights into a lane that a fit does not change: 1, or `measured`.

    The latter are PYME's noise model: variance ``excess (v + max(counts, floor) + 1)``, with the counts as measured, background included.
    """
    plane = frame if variances.shape[0] > 1 else 0
    at = first
    for i in range(top, top + ny):
        for j in range(left, left + nx):
            weight = ONE if added[at] < TRUSTED else ZERO
            if measured and weight > ZERO:
                weight = np.float32(1.0 / (excess * (variances[plane, i, j] + max(frames[frame, i, j], floor) + 1.0)))
            weights[at] = weight
            at += WIDTH


@numba.njit(**INNER)
def start(data: Any, added: Any, ny: int, nx: int, rows: Any, columns: Any, of_x: Any, of_y: Any, theta: Any) -> None:
    """Start values x, y, N and background: linear least squares with a Gaussian at a pixel and its derivatives by x and y.

    Parameters
    ----------
    data, added : array
        Of a group of spots.
    rows, columns : array (WIDTH,) float32
        The pixels of the spots in their regions.
    of_x, of_y : array
        Gaussians there, integrated over pixels; see `tabulate`.
    theta : array
        Receives the four vectors.
    """
    zero, one = splat(ZERO), splat(ONE)
    n = g = gg = d = gd = x = xx = y = yy = zero
    for i in range(ny):
        u, v = load(of_y, i * WIDTH), load(of_y, (ny + i) * WIDTH)
        for j in range(nx):
            k = (i * nx + j) * WIDTH
            part = where_less(load(added, k), TRUSTED, one, zero)
            along, slope = part * load(of_x, j * WIDTH), part * load(of_x, (nx + j) * WIDTH)
            value, by_x, by_y = u * along, u * slope, v * along
            count = load(data, k)
            n, g, d = n + part, g + value, d + count
            gg, gd = gg + value * value, gd + value * count
            x, xx = x + by_x * count, xx + by_x * by_x
            y, yy = y + by_y * count, yy + by_y * by_y
    varied = n * gg - g * g
    number = where_less(np.float32(1e-9) * n * gg, varied, (n * gd - g * d) / varied, zero)
    store(theta, 0, load(columns, 0) + towards(number, x, xx))
    store(theta, WIDTH, load(rows, 0) + towards(number, y, yy))
    store(theta, 2 * WIDTH, number)
    store(theta, 3 * WIDTH, where_less(HALF, n, (d - g * number) / n, zero))


@numba.njit(**INNER)
def towards(number: Any, product: Any, square: Any) -> Any:
    """Step to where the derivative explains nothing more: a pixel at most, none where there are no photons."""
    step = product / (number * square)
    step = where_less(step, ZERO - ONE, ZERO - ONE, step)
    step = where_less(ONE, step, ONE, step)
    return where_less(ZERO, number, where_less(ZERO, square, step, ZERO), ZERO)
