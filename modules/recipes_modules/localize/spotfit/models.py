"""The fitted models: their parameters, the ranges of these, and steps within the ranges, compiled.

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
height, and their background is a plane, ``background + slope_x (X - x) + slope_y (Y - y)``. Arrays of parameters hold a vector of lanes
for each: parameter `a` begins at ``a WIDTH``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from recipes_modules.localize import psf
from recipes_modules.localize.spotfit.vectors import WIDTH, absolute, load, root, splat, store, where_less

FIXED, SIGMA, SIGMA_XY, DEPTH, PLANE, PLANE_XY = range(6)
SIZES = (4, 5, 6, 5, 7, 8)
"""Number of parameters of each model."""
MOST = max(SIZES)

X, Y, NUMBER, GROUND, SIGMA_X, SIGMA_Y, SLOPE_X, SLOPE_Y, RATE_X, RATE_Y = (WIDTH * a for a in range(10))
"""Where the vectors of `expand` begin: the parameters of all models, and the derivatives of the widths by z."""
EXPANDED = 10 * WIDTH

LEAST_EXPECTED = np.float32(0.01)
"""Photons (with the variance that counts as such) that every pixel is taken to expect at least."""
LEAST_PHOTONS, LEAST_HEIGHT = 1.0, 1e-3
NARROWEST, WIDEST = 0.3, 0.75
"""Range of widths: pixels, and parts of the region's size."""

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
KEPT_PHOTONS = np.float32(0.3)
"""A step leaves at least this part of the photons: without them nothing would say where the spot is."""
_TINY = np.float32(1e-3)
_LEAST_SQUARE = np.float32(0.05)
_SLOWEST, _FASTEST = np.float32(0.9), np.float32(0.2)

_FAST = {"fastmath": {"contract", "nsz"}}
OPTIONS, INNER = {**psf.OUTER, **_FAST}, {**psf.INNER, **_FAST}
"""Of compiled functions, and of those that only others call. Not 'reassoc': each lane is to be the same whatever its place; not 'nnan':
whether a number is finite matters."""


@numba.njit(**INNER)
def expand(model: int, theta: Any, curves: Any, full: Any) -> None:
    """All parameters that any model has, from those of one."""
    for at in range(X, SIGMA_X, WIDTH):
        store(full, at, load(theta, at))
    for at in range(SIGMA_X, EXPANDED, WIDTH):
        store(full, at, splat(ZERO))
    if model == DEPTH:
        width_at(curves[0], theta, full, SIGMA_X, RATE_X)
        width_at(curves[1], theta, full, SIGMA_Y, RATE_Y)
        return
    two = model in (FIXED, SIGMA_XY, PLANE_XY)
    store(full, SIGMA_X, load(theta, 4 * WIDTH))
    store(full, SIGMA_Y, load(theta, 5 * WIDTH if two else 4 * WIDTH))
    if model >= PLANE:
        first = 6 * WIDTH if two else 5 * WIDTH
        store(full, SLOPE_X, load(theta, first))
        store(full, SLOPE_Y, load(theta, first + WIDTH))


@numba.njit(**INNER)
def width_at(curve: Any, theta: Any, full: Any, width: int, rate: int) -> None:
    """`recipes_modules.localize.psf.width_at` for the z of each lane; the width and its derivative are written to `full`."""
    u = (load(theta, 4 * WIDTH) - curve[1]) * np.float32(1.0 / curve[2])
    square = ONE + u * u * (ONE + u * (curve[3] + u * curve[4]))
    size = curve[0] * root(where_less(square, _LEAST_SQUARE, _LEAST_SQUARE, square))
    slope = u * (2.0 + u * (3.0 * curve[3] + u * (4.0 * curve[4]))) * np.float32(0.5 * curve[0] * curve[0] / curve[2]) / size
    store(full, width, size)
    store(full, rate, where_less(square, _LEAST_SQUARE, ZERO, slope))


@numba.njit(**INNER)
def begin(
    model: int, lane: int, ny: int, nx: int, least: float, expected: bool, widths: Any, reach: Any, curves: Any, theta: Any, longest: Any,
    low: Any, high: Any,
) -> None:  # fmt: skip
    """Complete the start values of a lane, and set the range of each parameter and the longest step that it may make at first.

    Parameters
    ----------
    model, lane, ny, nx : int
        The last two: size of the region.
    least : float
        The smallest variance that a pixel has beside the model's own.
    expected : bool
        Weights come from the model: the background does not make variances negative.
    widths : array (2,)
        Along x and y, pixels.
    reach : array (2,)
        Range of fitted widths, pixels.
    curves : array (3, 5)
        See `fit_block`.
    theta, longest, low, high : arrays (MOST WIDTH,)
        The first holds x, y, N and background; the others are written.
    """
    for at in range(lane, MOST * WIDTH, WIDTH):
        longest[at], low[at], high[at] = np.inf, -np.inf, np.inf
        if at >= 4 * WIDTH:
            theta[at] = ZERO
    x, y, number, ground, width = lane, lane + WIDTH, lane + 2 * WIDTH, lane + 3 * WIDTH, lane + 4 * WIDTH
    low[x], high[x], longest[x] = -0.5, nx - 0.5, 1.0
    low[y], high[y], longest[y] = -0.5, ny - 0.5, 1.0
    low[number] = LEAST_PHOTONS
    if model >= PLANE:
        theta[number] /= 2.0 * np.pi * widths[0] * widths[1]
        low[number] = LEAST_HEIGHT
    elif expected:
        low[ground] = LEAST_EXPECTED - least
    if model == DEPTH:
        low[width], high[width] = curves[2, 0], curves[2, 1]
        theta[width], longest[width] = 0.5 * (curves[2, 0] + curves[2, 1]), 0.25 * (curves[2, 1] - curves[2, 0])
    else:
        for a in range(2 if model in (FIXED, SIGMA_XY, PLANE_XY) else 1):
            at = width + a * WIDTH
            theta[at] = widths[a]
            if model != FIXED:
                low[at], high[at] = max(reach[0], NARROWEST), min(reach[1], WIDEST * max(ny, nx))
                longest[at] = 0.4 * widths[a]
    longest[number] = max(abs(theta[number]), np.float32(100))
    for at in range(lane, MOST * WIDTH, WIDTH):
        theta[at] = min(max(theta[at], low[at]), high[at])


@numba.njit(**INNER)
def advance(p: int, theta: Any, step: Any, longest: Any, low: Any, high: Any, trial: Any) -> Any:
    """Make a step within the limits to `trial`; `step` then holds what was made of it.

    Returns a vector: 1 in lanes where a parameter other than the background is at an end of its range, else 0.
    """
    ended = splat(ZERO)
    for a in range(p):
        at = a * WIDTH
        here, most = load(theta, at), load(longest, at)
        wanted = load(step, at)
        wanted = where_less(most, wanted, most, wanted)
        wanted = where_less(wanted, ZERO - most, ZERO - most, wanted)
        value = here + wanted
        if a == 2:
            value = where_less(value, KEPT_PHOTONS * here, KEPT_PHOTONS * here, value)
        bottom, top = load(low, at), load(high, at)
        if a != 3:
            ended = where_less(bottom, value, ended, ONE)
            ended = where_less(value, top, ended, ONE)
        value = where_less(value, bottom, bottom, value)
        value = where_less(top, value, top, value)
        store(trial, at, value)
        store(step, at, value - here)
    return ended


@numba.njit(**INNER)
def length(model: int, trial: Any, step: Any, curves: Any) -> Any:
    """Length of a step: the longest of what position and widths move in pixels, N by its part, and z by the part of its range."""
    number = absolute(load(trial, NUMBER))
    longest = absolute(load(step, NUMBER)) / where_less(number, _TINY, _TINY, number)
    longest = larger(longest, absolute(load(step, X)))
    longest = larger(longest, absolute(load(step, Y)))
    if model == FIXED:
        return longest
    size = absolute(load(step, 4 * WIDTH))
    if model == DEPTH:
        size = size * np.float32(1.0 / (curves[2, 1] - curves[2, 0]))
    longest = larger(longest, size)
    if model in (SIGMA_XY, PLANE_XY):
        longest = larger(longest, absolute(load(step, 5 * WIDTH)))
    return longest


@numba.njit(**INNER)
def larger(a: Any, b: Any) -> Any:
    """The larger of two vectors in each lane."""
    return where_less(a, b, b, a)


@numba.njit(**INNER)
def remains(length: Any, before: Any) -> Any:
    """How far the solution still is after a step, when steps go on to shrink as from the one before to this one."""
    ratio = length / before
    ratio = where_less(ratio, _FASTEST, _FASTEST, ratio)
    ratio = where_less(_SLOWEST, ratio, _SLOWEST, ratio)
    return length * ratio / (ONE - ratio)
