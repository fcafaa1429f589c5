"""The fitted models: value and derivatives at every pixel of a region, compiled.

Parameters, in this order:

===========  ====================================================================================
FIXED        x, y, N, background
SIGMA        x, y, N, background, sigma
SIGMA_XY     x, y, N, background, sigma_x, sigma_y
DEPTH        x, y, N, background, z; widths follow from z
PLANE        x, y, A, background, sigma, slope_x, slope_y
PLANE_XY     x, y, A, background, sigma_x, sigma_y, slope_x, slope_y
===========  ====================================================================================

The first four are Gaussians integrated over pixels, with N photons. The last two are sampled at the centres of the pixels, A is their
height, and their background is a plane, ``background + slope_x (X - x) + slope_y (Y - y)``.
"""

from __future__ import annotations

import math
from typing import Any

import numba

from recipes_modules.localize.psf import FAST, LANES, integrated, sampled

FIXED, SIGMA, SIGMA_XY, DEPTH, PLANE, PLANE_XY = range(6)
SIZES = (4, 5, 6, 5, 7, 8)
"""Number of parameters of each model."""
MOST = max(SIZES)


@numba.njit(cache=True, nogil=True)
def width_at(curve: Any, z: float) -> tuple[float, float]:
    """Width and its derivative by z, from ``curve`` = (w0, c, d, A, B) with ``w0 sqrt(1 + u^2 + A u^3 + B u^4)``, ``u = (z - c) / d``.

    The defocus curve of Huang et al. 2008, doi:10.1126/science.1153529. What would be below 5% of w0^2 is held there.
    """
    u = (z - curve[1]) / curve[2]
    square = 1.0 + u * u * (1.0 + u * (curve[3] + u * curve[4]))
    if square < 0.05:
        return curve[0] * math.sqrt(0.05), 0.0
    width = curve[0] * math.sqrt(square)
    slope = u * (2.0 + u * (3.0 * curve[3] + u * 4.0 * curve[4])) / curve[2]
    return width, curve[0] * curve[0] * slope / (2.0 * width)


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def evaluate(
    model: int, theta: Any, ny: int, nx: int, width: int, curves: Any, work: Any, tx: Any, ty: Any, mu: Any, rows: Any
) -> None:
    """Value and derivatives of a model at the pixels of a region.

    Parameters
    ----------
    model : int
    theta : array (p,)
        Positions in pixels from the centre of the region's first pixel.
    ny, nx, width : int
        Size of the region; length of a row in `mu` and `rows`, a multiple of `LANES`.
    curves : array (2, 5)
        Width along x and along y over z, for DEPTH; see `width_at`.
    work, tx, ty : arrays
        Scratch; see `integrated`.
    mu : array (>= ny * width) float32
    rows : array (>= p, >= ny * width) float32
        Receives the derivatives. What lies in the columns from `nx` on is finite, and nothing else.
    """
    x, y, n, background = theta[0], theta[1], theta[2], theta[3]
    high = (ny // LANES + 1) * LANES
    one = rows.dtype.type(1.0)
    if model >= PLANE:
        separate = model == PLANE_XY
        sampled(x, theta[4], width, tx)
        sampled(y, theta[5] if separate else theta[4], high, ty)
        p = 6 if separate else 5
        bx, by = theta[p], theta[p + 1]
        fill(tx, ty, n, background, ny, width, mu, rows, separate)
        for i in range(ny):
            v = i - y
            for block in range(i * width, (i + 1) * width, LANES):
                for j in range(block, block + LANES):
                    u = (j - i * width) - x
                    mu[j] += bx * u + by * v
                    rows[0, j] -= bx
                    rows[1, j] -= by
                    rows[p, j] = u
                    rows[p + 1, j] = v
        return
    if model == DEPTH:
        sx, dsx = width_at(curves[0], theta[4])
        sy, dsy = width_at(curves[1], theta[4])
    else:
        sx = theta[4]
        sy = theta[5] if model == SIGMA_XY else sx
        dsx, dsy = 1.0, 1.0
    integrated(x, sx, width, work, tx)
    integrated(y, sy, high, work, ty)
    if model == DEPTH:
        for j in range(width):
            tx[2, j] *= dsx
        for i in range(high):
            ty[2, i] *= dsy
    fill(tx, ty, n, background, ny, width, mu, rows, model == SIGMA_XY)


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def fill(tx: Any, ty: Any, n: float, background: float, ny: int, width: int, mu: Any, rows: Any, separate: bool) -> None:
    """``mu = background + n gy gx`` and its derivatives by x, y, n, background and the widths, from tables along the axes."""
    number, level = tx.dtype.type(n), tx.dtype.type(background)
    for i in range(ny):
        g, c, s = number * ty[0, i], number * ty[1, i], number * ty[2, i]
        unit = ty[0, i]
        for block in range(0, width, LANES):
            at = i * width + block
            for lane in range(LANES):
                gx, cx, sx = tx[0, block + lane], tx[1, block + lane], tx[2, block + lane]
                mu[at + lane] = level + g * gx
                rows[0, at + lane] = g * cx
                rows[1, at + lane] = c * gx
                rows[2, at + lane] = unit * gx
                rows[3, at + lane] = 1.0
                if separate:
                    rows[4, at + lane] = g * sx
                    rows[5, at + lane] = s * gx
                else:
                    rows[4, at + lane] = g * sx + s * gx
