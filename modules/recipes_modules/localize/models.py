"""The fitted models: value and derivatives at every pixel of a region, compiled.

========  ==========================================================
model     parameters, in this order
========  ==========================================================
FIXED     x, y, N, background
SIGMA     x, y, N, background, sigma
SIGMA_XY  x, y, N, background, sigma_x, sigma_y
DEPTH     x, y, N, background, z; the widths follow from z
PLANE     x, y, A, background, sigma, slope_x, slope_y
PLANE_XY  x, y, A, background, sigma_x, sigma_y, slope_x, slope_y
========  ==========================================================

The first four are Gaussians integrated over pixels, with N photons. The last two are sampled at the centres of the pixels, A is their
height, and their background is a plane, ``background + slope_x (X - x) + slope_y (Y - y)``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from recipes_modules.localize.psf import FAST, LANES, integrated, sampled, width_at

FIXED, SIGMA, SIGMA_XY, DEPTH, PLANE, PLANE_XY = range(6)
SIZES = (4, 5, 6, 5, 7, 8)
"""Number of parameters of each model."""
MOST = max(SIZES)

LEAST_EXPECTED = 0.01
"""Photons (with the variance that counts as such) that every pixel is taken to expect at least."""
LEAST_PHOTONS = 1.0
NARROWEST, WIDEST = 0.3, 0.75
"""Range of widths: pixels, and parts of the region's size."""


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def evaluate(
    model: int, theta: Any, ny: int, nx: int, curves: Any, work: Any, tx: Any, ty: Any, mu: Any, rows: Any
) -> None:  # fmt: skip
    """Value and derivatives of a model at the pixels of a region.

    Parameters
    ----------
    model : int
    theta : array (MOST,)
        For FIXED the widths along x and y follow behind the parameters. Positions in pixels from the centre of the region's first pixel.
    ny, nx : int
        Size of the region.
    curves : array (3, 5)
        For DEPTH: the widths along x and along y over z; see `width_at`.
    work, tx, ty : arrays
        Scratch; see `integrated`.
    mu : array (>= ny, width) float32
        Receives the values.
    rows : array (>= p, >= ny, width) float32
        Receives the derivatives. Columns from `nx` on hold finite numbers that mean nothing.
    """
    if model < PLANE:
        evaluate_integrated(model, theta, ny, nx, curves, work, tx, ty, mu, rows)
        return
    x, y = theta[0], theta[1]
    wide, high = (nx // LANES + 1) * LANES, (ny // LANES + 1) * LANES
    separate = model == PLANE_XY
    sampled(x, theta[4], wide, tx)
    sampled(y, theta[5] if separate else theta[4], high, ty)
    fill(tx, ty, theta[2], theta[3], ny, wide, mu, rows, separate)
    p = 6 if separate else 5
    add_plane(x, y, theta[p], theta[p + 1], ny, wide, mu, rows, p)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def evaluate_integrated(
    model: int, theta: Any, ny: int, nx: int, curves: Any, work: Any, tx: Any, ty: Any, mu: Any, rows: Any
) -> None:  # fmt: skip
    """`evaluate` for the models that are integrated over pixels."""
    x, y = theta[0], theta[1]
    wide, high = (nx // LANES + 1) * LANES, (ny // LANES + 1) * LANES
    slope_x, slope_y = 1.0, 1.0
    if model == DEPTH:
        sx, slope_x = width_at(curves[0], theta[4])
        sy, slope_y = width_at(curves[1], theta[4])
    else:
        sx = theta[4]
        sy = theta[5] if model in (FIXED, SIGMA_XY) else sx
    integrated(x, sx, wide, work, tx)
    integrated(y, sy, high, work, ty)
    if model == DEPTH:
        for j in range(wide):
            tx[2, j] *= slope_x
        for i in range(high):
            ty[2, i] *= slope_y
    fill(tx, ty, theta[2], theta[3], ny, wide, mu, rows, model == SIGMA_XY)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def fill(tx: Any, ty: Any, number: float, background: float, ny: int, wide: int, mu: Any, rows: Any, separate: bool) -> None:
    """``mu = background + number gy gx`` and its derivatives by x, y, number and the widths, from tables along the axes."""
    n, level = np.float32(number), np.float32(background)
    if separate:
        for i in range(ny):
            u = ty[0, i]
            g, c, s = n * u, n * ty[1, i], n * ty[2, i]
            for j in range(wide):
                gx = tx[0, j]
                mu[i, j] = level + g * gx
                rows[0, i, j] = g * tx[1, j]
                rows[1, i, j] = c * gx
                rows[2, i, j] = u * gx
                rows[4, i, j] = g * tx[2, j]
                rows[5, i, j] = s * gx
        return
    for i in range(ny):
        u = ty[0, i]
        g, c, s = n * u, n * ty[1, i], n * ty[2, i]
        for j in range(wide):
            gx = tx[0, j]
            mu[i, j] = level + g * gx
            rows[0, i, j] = g * tx[1, j]
            rows[1, i, j] = c * gx
            rows[2, i, j] = u * gx
            rows[4, i, j] = g * tx[2, j] + s * gx


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_plane(x: float, y: float, slope_x: float, slope_y: float, ny: int, wide: int, mu: Any, rows: Any, p: int) -> None:
    """Add the slopes of the background to what `fill` left; they are the parameters `p` and ``p + 1``."""
    bx, by = np.float32(slope_x), np.float32(slope_y)
    for i in range(ny):
        v = np.float32(i - y)
        for j in range(wide):
            u = np.float32(j - x)
            mu[i, j] += bx * u + by * v
            rows[0, i, j] -= bx
            rows[1, i, j] -= by
            rows[p, i, j] = u
            rows[p + 1, i, j] = v


@numba.njit(cache=True, nogil=True, error_model="numpy")
def limits(model: int, ny: int, nx: int, least: float, curves: Any, low: Any, high: Any) -> None:
    """Range of each parameter; `least` is the smallest variance that a pixel has beside the model's own."""
    low[:] = -np.inf
    high[:] = np.inf
    low[0], high[0] = -0.5, nx - 0.5
    low[1], high[1] = -0.5, ny - 0.5
    if model == DEPTH:
        low[4], high[4] = curves[2, 0], curves[2, 1]
    elif model != FIXED:
        for a in range(4, 6 if model in (SIGMA_XY, PLANE_XY) else 5):
            low[a], high[a] = NARROWEST, WIDEST * max(ny, nx)
    if model < PLANE:
        low[2] = LEAST_PHOTONS
        low[3] = LEAST_EXPECTED - least
    else:
        low[2] = 1e-3


@numba.njit(cache=True, nogil=True, error_model="numpy")
def first_steps(model: int, theta: Any, curves: Any, longest: Any) -> None:
    """The longest step that each parameter may make at first, from its start values."""
    longest[:] = np.inf
    longest[0] = longest[1] = 1.0
    longest[2] = max(abs(theta[2]), 100.0)
    if model == DEPTH:
        longest[4] = 0.25 * (curves[2, 1] - curves[2, 0])
    elif model != FIXED:
        longest[4] = 0.4 * theta[4]
        if model in (SIGMA_XY, PLANE_XY):
            longest[5] = 0.4 * theta[5]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def advance(theta: Any, p: int, step: Any, longest: Any, low: Any, high: Any) -> bool:
    """Make a step within the limits, which `step` then holds; True where no parameter but the background is at an end of its range."""
    free = True
    for a in range(p):
        value = theta[a] + min(max(step[a], -longest[a]), longest[a])
        if a == 2:
            # Without photons nothing would say where the spot is.
            value = max(value, 0.3 * theta[a])
        if value < low[a] or value > high[a]:
            value = min(max(value, low[a]), high[a])
            free = free and a == 3
        step[a] = value - theta[a]
        theta[a] = value
    return free


@numba.njit(cache=True, nogil=True, error_model="numpy")
def length(model: int, theta: Any, step: Any, curves: Any) -> float:
    """Length of a step: the longest of what position and widths move in pixels, N by its part, and z by the part of its range."""
    longest = max(abs(step[0]), abs(step[1]), abs(step[2]) / max(abs(theta[2]), 1e-3))
    if model == DEPTH:
        return max(longest, abs(step[4]) / (curves[2, 1] - curves[2, 0]))
    if model == FIXED:
        return longest
    longest = max(longest, abs(step[4]))
    return longest if model in (SIGMA, PLANE) else max(longest, abs(step[5]))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def remains(length: float, before: float) -> float:
    """How far the solution still is after a step, when steps go on to shrink as from the one before to this one."""
    ratio = min(max(length / before, 0.2), 0.9)
    return length * ratio / (1.0 - ratio)
