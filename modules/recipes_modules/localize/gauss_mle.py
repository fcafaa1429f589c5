"""Maximum-likelihood fits of spots, compiled.

Source: F. Huang et al., "Video-rate nanoscopy using sCMOS camera-specific single-molecule localization algorithms", Nat. Methods 10, 653
(2013), doi:10.1038/nmeth.2488: photon counts are Poisson distributed; a pixel's read noise of variance v is taken for Poisson as well, so
that counts plus v have the mean model plus v. Solved by Fisher scoring.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.models import DEPTH, FIXED, SIGMA_XY, evaluate
from recipes_modules.localize.normal import accumulate, factor, inverse_factor, solve, variance
from recipes_modules.localize.psf import FAST, LANES
from recipes_modules.localize.spots import TRUSTED, corner, cut, start

FAILED, CONVERGED, LIMIT, EDGE = 0, 1, 5, 6
"""How a fit ended. The numbers are those of MINPACK, which PYME's files hold, where it has such."""

LEAST_EXPECTED = 0.01
LEAST_PHOTONS = 1.0
NARROWEST = 0.3


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def expected_weights(data: Any, added: Any, mu: Any, n: int, weights: Any, residuals: Any) -> None:
    """Weights 1 / expected variance, and residuals times weight."""
    least = mu.dtype.type(LEAST_EXPECTED)
    for i in range(n):
        w = 1 / max(mu[i] + added[i], least)
        weights[i] = w
        residuals[i] = (data[i] - mu[i]) * w


@numba.njit(cache=True, nogil=True)
def deviance(data: Any, added: Any, mu: Any, n: int) -> float:
    """Twice the log-likelihood ratio of the saturated model (each pixel its own mean) to this one."""
    total = 0.0
    for i in range(n):
        if added[i] < TRUSTED:
            m = max(mu[i] + added[i], LEAST_EXPECTED)
            d = data[i] + added[i]
            total += m - d
            if d > 0.0:
                total += d * math.log(d / m)
    return 2.0 * total


@numba.njit(cache=True, nogil=True)
def limits(model: int, ny: int, nx: int, least: float, curves: Any, low: Any, high: Any) -> None:
    """Range of each parameter of the integrated models."""
    low[0], high[0] = -0.5, nx - 0.5
    low[1], high[1] = -0.5, ny - 0.5
    low[2], high[2] = LEAST_PHOTONS, np.inf
    low[3], high[3] = LEAST_EXPECTED - least, np.inf
    if model == DEPTH:
        low[4], high[4] = curves[2, 0], curves[2, 1]
    else:
        for a in range(4, 6):
            low[a], high[a] = NARROWEST, 0.75 * max(ny, nx)


@numba.njit(cache=True, nogil=True)
def first_steps(model: int, theta: Any, sigma: float, curves: Any, longest: Any) -> None:
    """The longest step that each parameter of the integrated models may make at first."""
    longest[0] = longest[1] = sigma
    longest[2] = max(abs(theta[2]), 100.0)
    longest[3] = np.inf
    longest[4] = longest[5] = 0.4 * sigma
    if model == DEPTH:
        longest[4] = 0.25 * (curves[2, 1] - curves[2, 0])


@numba.njit(cache=True, nogil=True)
def advance(theta: Any, p: int, step: Any, last: Any, longest: Any, low: Any, high: Any) -> bool:
    """Make a limited step; True where no parameter is held at an end of its range.

    A parameter whose steps change direction gets half the room, which ends oscillations.
    """
    free = True
    for a in range(p):
        if step[a] * last[a] < 0.0:
            longest[a] = min(0.5 * longest[a], 0.75 * abs(last[a]))
        move = min(max(step[a], -longest[a]), longest[a])
        value = theta[a] + move
        if value < low[a] or value > high[a]:
            value = min(max(value, low[a]), high[a])
            free = free and a == 3
        step[a] = last[a] = value - theta[a]
        theta[a] = value
    return free


@numba.njit(cache=True, nogil=True)
def fit_mle(
    frames: Any, index: Any, rows: Any, columns: Any, half: int, variances: Any, background: Any, model: int, sigma: float, curves: Any,
    excess: float, tolerance: float, most: int,
) -> Any:  # fmt: skip
    """Fit every spot of a block.

    Parameters
    ----------
    frames : array (t, y, x) float32
        Photoelectrons.
    index, rows, columns : array (n,) int64
        Frame and pixel of each spot.
    half : int
        The region has ``2 half + 1`` pixels a side.
    variances : array (1 or t, y, x) float32
        Read-noise variance of each pixel, photoelectrons^2; infinite for pixels that are not to be used.
    background : array (0 or t, y, x) float32
        Known background below the spots, photoelectrons; the fitted one adds to it.
    model : int
        FIXED, SIGMA, SIGMA_XY or DEPTH of `recipes_modules.localize.models`.
    sigma : float
        Width to start from, or the fixed one, pixels.
    curves : array (3, 5)
        For DEPTH: curves of the widths along x and y in pixels; the third row begins with the range of z.
    excess : float
        Noise factor squared: 1, or 2 for electron multiplication.
    tolerance : float
        Steps of position and width below this (pixels; for z of its range) end a fit.
    most : int
        Iterations at most.

    Returns
    -------
    theta, errors : array (n, 6) float64
        Parameters, with positions in pixels of the frame, and their standard errors from the Cramer-Rao bound.
    quality : array (n, 2) float64
        Deviance, and the number of pixels that took part.
    how : array (n, 2) int32
        `CONVERGED`, `LIMIT`, `EDGE` or `FAILED`; number of iterations.
    """
    count = len(index)
    ny_all, nx_all = frames.shape[1], frames.shape[2]
    side = 2 * half + 1
    width = (side // LANES + 1) * LANES
    size = side * width
    p = 4 if model == FIXED else (6 if model == SIGMA_XY else 5)
    out, errors = np.full((count, 6), np.nan), np.full((count, 6), np.nan)
    quality, how = np.full((count, 2), np.nan), np.zeros((count, 2), np.int32)
    data, added, mu = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    weights, residuals = np.empty(size, np.float32), np.empty(size, np.float32)
    derivatives = np.empty((7, size), np.float32)
    work = np.zeros((3, width + LANES))
    tx, ty = np.zeros((3, width), np.float32), np.zeros((3, width), np.float32)
    theta, step, last, longest, low, high = np.empty(6), np.empty(6), np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    matrix, lower, inverse, vector = np.empty((6, 6)), np.empty((6, 6)), np.empty((6, 6)), np.empty(6)
    for spot in range(count):
        top, ny = corner(rows[spot], half, ny_all)
        left, nx = corner(columns[spot], half, nx_all)
        known, least = cut(frames, index[spot], top, left, ny, nx, width, variances, background, data, added)
        quality[spot, 1] = known
        if known <= p:
            continue
        n = ny * width
        start(data, added, ny, nx, width, rows[spot] - top, columns[spot] - left, sigma, work, tx, ty, theta)
        theta[4] = 0.5 * (curves[2, 0] + curves[2, 1]) if model == DEPTH else sigma
        theta[5] = sigma
        limits(model, ny, nx, least, curves, low, high)
        first_steps(model, theta, sigma, curves, longest)
        close = tolerance * (curves[2, 1] - curves[2, 0]) if model == DEPTH else tolerance
        for a in range(p):
            theta[a] = min(max(theta[a], low[a]), high[a])
            last[a] = 0.0
        code, iteration, free = LIMIT, 0, True
        while iteration < most:
            iteration += 1
            evaluate(model, theta, ny, nx, width, curves, work, tx, ty, mu, derivatives)
            expected_weights(data, added, mu, n, weights, residuals)
            accumulate(derivatives, weights, residuals, p, n, matrix, vector)
            if not factor(matrix, p, lower):
                code = FAILED
                break
            solve(lower, p, vector, step)
            free = advance(theta, p, step, last, longest, low, high)
            if (
                abs(step[0]) < tolerance
                and abs(step[1]) < tolerance
                and abs(step[2]) < tolerance * theta[2]
                and (p < 5 or abs(step[4]) < close)
                and (p < 6 or abs(step[5]) < tolerance)
            ):
                code = CONVERGED if free else EDGE
                break
        how[spot, 1] = iteration
        if code == FAILED:
            continue
        how[spot, 0] = code
        inverse_factor(lower, p, inverse)
        for a in range(p):
            out[spot, a] = theta[a]
            errors[spot, a] = math.sqrt(variance(inverse, p, a) * excess)
        out[spot, 0] += left
        out[spot, 1] += top
        quality[spot, 0] = deviance(data, added, mu, n) / excess
    return out, errors, quality, how
