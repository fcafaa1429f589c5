"""Maximum-likelihood fits of spots, compiled.

Source: F. Huang et al., "Video-rate nanoscopy using sCMOS camera-specific single-molecule localization algorithms", Nat. Methods 10, 653
(2013), doi:10.1038/nmeth.2488: photon counts are Poisson distributed; the read noise of a pixel, of variance v, is taken for Poisson as
well, so that the counts plus v have the model plus v as their mean. Solved by Fisher scoring.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.models import (
    DEPTH,
    FIXED,
    LEAST_EXPECTED,
    SIGMA_XY,
    advance,
    evaluate_integrated,
    first_steps,
    length,
    limits,
    remains,
)
from recipes_modules.localize.normal import accumulate, factor, invert, product, secant, solve
from recipes_modules.localize.psf import FAST, LANES, logarithm
from recipes_modules.localize.spots import TRUSTED, corner, cut, room, start

FAILED, CONVERGED, LIMIT, EDGE = 0, 1, 5, 6
"""How a fit ended. The numbers are those of MINPACK, which PYME's files hold, where it has such."""

_LEAST = np.float32(LEAST_EXPECTED)
_TINY = np.float32(1e-6)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def expected_weights(data: Any, added: Any, mu: Any, weights: Any, residuals: Any) -> None:
    """Weights, which are 1 / expected variance, and residuals times weight."""
    for i in range(len(data)):
        w = np.float32(1) / max(mu[i] + added[i], _LEAST)
        weights[i] = w
        residuals[i] = (data[i] - mu[i]) * w


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def deviance(data: Any, added: Any, mu: Any) -> float:
    """Twice the log-likelihood ratio of the saturated model, in which each pixel has a mean of its own, to this one."""
    total = np.float32(0)
    for i in range(len(data)):
        m = max(mu[i] + added[i], _LEAST)
        d = max(data[i] + added[i], _TINY)
        term = m - d + d * logarithm(d / m)
        total += term if added[i] < TRUSTED else np.float32(0)
    return 2.0 * total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fit_mle(
    frames: Any, index: Any, rows: Any, columns: Any, half: int, variances: Any, background: Any, model: int, widths: Any, spread: float,
    curves: Any, excess: float, tolerance: float, most: int,
) -> Any:  # fmt: skip
    """Fit every spot of a block.

    Parameters
    ----------
    frames : array (t, y, x) float32
        Photoelectrons. What is not finite takes no part.
    index, rows, columns : array (n,) int64
        Frame and pixel of each spot.
    half : int
        The region has ``2 half + 1`` pixels a side; at a border it is moved inwards.
    variances : array (1 or t, y, x) float32
        Read-noise variance of each pixel, photoelectrons^2, divided by `excess`; infinite for pixels that are not to be used.
    background : array (0 or t, y, x) float32
        Known background below the spots, photoelectrons; the fitted one adds to it.
    model : int
        FIXED, SIGMA, SIGMA_XY or DEPTH of `recipes_modules.localize.models`.
    widths : array (2,) float64
        Widths along x and y to start from, or the fixed one, pixels.
    spread : float
        Standard deviation of the widths of real spots about `widths`, pixels, where it is known: they are then estimated with this
        knowledge (a Gaussian prior), which keeps weak spots from unlikely widths. Infinite: nothing is known.
    curves : array (3, 5) float64
        For DEPTH: widths along x and y in pixels over z (see `width_at`); the third row begins with the range of z.
    excess : float
        Noise factor squared: 1, or 2 for electron multiplication. Expected variances are `excess` times the mean, and likelihoods are
        quasi-likelihoods.
    tolerance : float
        A fit ends when position and widths will move by less than this many pixels, N and z by less than this part of N and of the range.
    most : int
        Iterations at most.

    Returns
    -------
    theta, errors : array (n, p) float64
        Parameters, with positions in pixels of the frame, and their standard errors from the Cramer-Rao bound.
    quality : array (n, 2) float64
        Deviance: twice the log-likelihood ratio to the saturated model; number of pixels that took part.
    how : array (n, 2) int32
        `CONVERGED`; `LIMIT`, iterations used up; `EDGE`, a parameter at an end of its range; `FAILED`, all is NaN: too few pixels, or they
        do not determine the parameters. Number of iterations.
    """
    count = len(index)
    p = 4 if model == FIXED else (6 if model == SIGMA_XY else 5)
    out, errors = np.full((count, p), np.nan), np.full((count, p), np.nan)
    quality, how = np.full((count, 2), np.nan), np.zeros((count, 2), np.int32)
    high, wide = room(half)
    data, added, mu = np.empty((high, wide), np.float32), np.empty((high, wide), np.float32), np.zeros((high, wide), np.float32)
    derivatives = np.zeros((8, high, wide), np.float32)
    derivatives[3] = 1.0
    n = high * wide
    flat_data, flat_added, flat_mu, flat_rows = data.reshape(n), added.reshape(n), mu.reshape(n), derivatives.reshape((8, n))
    weights, residuals = np.empty(n, np.float32), np.empty(n, np.float32)
    work, tx, ty = np.zeros((3, wide + LANES), np.float32), np.zeros((3, wide), np.float32), np.zeros((3, wide), np.float32)
    theta, step, last, longest, low, top_end = np.empty(6), np.empty(6), np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    matrix, lower, covariance, inverse, vector = np.empty((8, 8)), np.empty((8, 8)), np.empty((8, 8)), np.empty(8), np.empty(8)
    precision = 1.0 / spread**2
    for spot in range(count):
        top, ny = corner(rows[spot], half, frames.shape[1])
        left, nx = corner(columns[spot], half, frames.shape[2])
        known, least = cut(frames, index[spot], top, left, ny, nx, variances, background, data, added)
        quality[spot, 1] = known
        if known <= p:
            continue
        start(
            data, added, ny, nx, float(rows[spot] - top), float(columns[spot] - left), widths[0], widths[1], work, tx, ty, theta
        )
        theta[4], theta[5] = widths[0], widths[1]
        if model == DEPTH:
            theta[4] = 0.5 * (curves[2, 0] + curves[2, 1])
        limits(model, ny, nx, least, curves, low, top_end)
        first_steps(model, theta, curves, longest)
        for a in range(p):
            theta[a] = min(max(theta[a], low[a]), top_end[a])
        code, iteration, before = LIMIT, 0, 1.0
        slope = 0.0
        while iteration < most:
            iteration += 1
            evaluate_integrated(model, theta, ny, nx, curves, work, tx, ty, mu, derivatives)
            expected_weights(flat_data, flat_added, flat_mu, weights, residuals)
            accumulate(flat_rows, weights, residuals, p, matrix, vector)
            if precision > 0.0 and model != DEPTH:
                for a in range(4, p):
                    matrix[a, a] += precision
                    vector[a] += precision * (widths[a - 4] - theta[a])
            if not factor(matrix, p, 0.0, lower, inverse):
                code = FAILED
                break
            solve(lower, inverse, p, vector, step)
            if iteration > 1:
                secant(matrix, vector, last, slope, p, step)
            free = advance(theta, p, step, longest, low, top_end)
            moved = length(model, theta, step, curves)
            if remains(moved, before) < tolerance:
                code = CONVERGED if free else EDGE
                break
            before, slope = moved, product(step, vector, p)
            last, step = step, last
        how[spot, 1] = iteration
        if code == FAILED:
            continue
        how[spot, 0] = code
        invert(lower, inverse, p, covariance)
        for a in range(p):
            out[spot, a] = theta[a]
            errors[spot, a] = math.sqrt(covariance[a, a] * excess)
        out[spot, 0] += left
        out[spot, 1] += top
        quality[spot, 0] = deviance(flat_data, flat_added, flat_mu) / excess
    return out, errors, quality, how
