"""Least-squares fits of spots, compiled: Levenberg and Marquardt's method with exact derivatives."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.gauss_mle import CONVERGED, EDGE, FAILED, LIMIT, expected_weights
from recipes_modules.localize.models import (
    DEPTH,
    FIXED,
    MOST,
    PLANE,
    PLANE_XY,
    SIGMA_XY,
    SIZES,
    advance,
    evaluate,
    first_steps,
    length,
    limits,
    remains,
)
from recipes_modules.localize.normal import accumulate, factor, invert, product, secant, solve
from recipes_modules.localize.psf import FAST, LANES
from recipes_modules.localize.spots import TRUSTED, corner, cut, room, start

EXPECTED, MEASURED, EQUAL = range(3)
"""Weights of pixels: 1 / variance that the model expects (from the first steps, then kept); 1 / variance from the measured counts, as PYME
does; equal."""

_REWEIGHTED, _FAR = 2, 0.1
"""Weights are kept once so many steps are made and the last was shorter than this many pixels."""
_DAMPING = 1e-3
_MOST_DAMPING = 1e7
_SIZES = np.array(SIZES)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def measured_weights(
    frames: Any, frame: int, top: int, left: int, ny: int, nx: int, variances: Any, added: Any, excess: float, floor: float, weights: Any
) -> None:  # fmt: skip
    """PYME's noise model: variance ``excess (v + max(counts, floor) + 1)`` with the counts as measured, background included."""
    plane = frame if variances.shape[0] > 1 else 0
    weights[:] = 0.0
    for i in range(ny):
        for j in range(nx):
            if added[i, j] < TRUSTED:
                extra = variances[plane, top + i, left + j]
                weights[i, j] = 1.0 / (excess * (extra + max(frames[frame, top + i, left + j], floor) + 1.0))


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def weigh(data: Any, mu: Any, weights: Any, residuals: Any) -> float:
    """Residuals times weight; returns the weighted sum of squares."""
    total = np.float32(0)
    for i in range(len(data)):
        d = data[i] - mu[i]
        r = d * weights[i]
        residuals[i] = r
        total += r * d
    return float(total)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def sandwich_weights(added: Any, mu: Any, weights: Any, result: Any) -> None:
    """Squared weight times expected variance."""
    for i in range(len(mu)):
        inside = added[i] < TRUSTED
        result[i] = weights[i] * weights[i] * max(mu[i] + added[i], np.float32(0.01)) if inside else np.float32(0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fit_lsq(
    frames: Any, index: Any, rows: Any, columns: Any, half: int, variances: Any, background: Any, model: int, widths: Any, curves: Any,
    weighting: int, floor: float, excess: float, tolerance: float, most: int,
) -> Any:  # fmt: skip
    """Fit every spot of a block.

    Parameters
    ----------
    frames, index, rows, columns, half, variances, background, widths, curves, excess, tolerance, most
        As in `fit_mle`.
    model : int
        Any of `recipes_modules.localize.models`.
    weighting : int
        `EXPECTED`, `MEASURED` or `EQUAL`.
    floor : float
        For MEASURED: counts below this many photoelectrons are taken for this many.

    Returns
    -------
    theta, errors : array (n, p) float64
        Parameters, with positions in pixels of the frame, and standard errors. EXPECTED: from the expected variances. EQUAL: likewise,
        though the weights differ. MEASURED: from the weights, times the root of the reduced chi square, as PYME does.
    quality : array (n, 2) float64
        Chi square, for EQUAL by the expected variances; number of pixels that took part.
    how : array (n, 2) int32
        As in `fit_mle`.
    """
    count = len(index)
    p = _SIZES[model]
    out, errors = np.full((count, p), np.nan), np.full((count, p), np.nan)
    quality, how = np.full((count, 2), np.nan), np.zeros((count, 2), np.int32)
    high, wide = room(half)
    data, added, mu = np.empty((high, wide), np.float32), np.empty((high, wide), np.float32), np.zeros((high, wide), np.float32)
    weights2 = np.empty((high, wide), np.float32)
    derivatives = np.zeros((8, high, wide), np.float32)
    derivatives[3] = 1.0
    n = high * wide
    flat_data, flat_added, flat_mu, flat_rows = data.reshape(n), added.reshape(n), mu.reshape(n), derivatives.reshape((8, n))
    weights, residuals, scratch = weights2.reshape(n), np.empty(n, np.float32), np.empty(n, np.float32)
    work, tx, ty = np.zeros((3, wide + LANES), np.float32), np.zeros((3, wide), np.float32), np.zeros((3, wide), np.float32)
    theta, trial, step, last = np.empty(MOST), np.empty(MOST), np.empty(MOST), np.zeros(MOST)
    longest, low, top_end = np.empty(MOST), np.empty(MOST), np.empty(MOST)
    matrix, lower, covariance, inverse, vector = np.empty((8, 8)), np.empty((8, 8)), np.empty((8, 8)), np.empty(8), np.empty(8)
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
        begin(model, widths, curves, theta)
        limits(model, ny, nx, least, curves, low, top_end)
        if weighting != EXPECTED:
            low[3] = -np.inf
        first_steps(model, theta, curves, longest)
        for a in range(p):
            theta[a] = min(max(theta[a], low[a]), top_end[a])
        # Not only the parameters: behind those of FIXED stand the widths.
        for a in range(MOST):
            trial[a] = theta[a]
        if weighting == MEASURED:
            measured_weights(frames, index[spot], top, left, ny, nx, variances, added, excess, floor, weights2)
        elif weighting == EQUAL:
            for i in range(n):
                weights[i] = 1.0 if flat_added[i] < TRUSTED else 0.0
        evaluate(model, theta, ny, nx, curves, work, tx, ty, mu, derivatives)
        if weighting == EXPECTED:
            expected_weights(flat_data, flat_added, flat_mu, weights, residuals)
        cost = weigh(flat_data, flat_mu, weights, residuals)
        accumulate(flat_rows, weights, residuals, p, matrix, vector)
        damping, code, iteration, taken = _DAMPING, LIMIT, 0, 0
        before, slope = 1.0, 0.0
        while iteration < most:
            iteration += 1
            if not factor(matrix, p, damping, lower, inverse):
                damping = max(damping, _DAMPING) * 10.0
                if damping > _MOST_DAMPING:
                    code = FAILED
                    break
                continue
            solve(lower, inverse, p, vector, step)
            if slope > 0.0:
                secant(matrix, vector, last, slope, p, step)
            for a in range(p):
                trial[a] = theta[a]
            free = advance(trial, p, step, longest, low, top_end)
            moved = length(model, trial, step, curves)
            if damping <= _DAMPING and remains(moved, before) < tolerance:
                # A step this short changes nothing but the last digits: what was summed up before it holds.
                code = CONVERGED if free else EDGE
                for a in range(p):
                    theta[a] = trial[a]
                break
            evaluate(model, trial, ny, nx, curves, work, tx, ty, mu, derivatives)
            reweigh = weighting == EXPECTED and (taken < _REWEIGHTED or before > _FAR)
            if reweigh:
                expected_weights(flat_data, flat_added, flat_mu, weights, residuals)
            reached = weigh(flat_data, flat_mu, weights, residuals)
            if reweigh or not reached > cost * (1.0 + 1e-6):
                cost, before, slope = reached, moved, product(step, vector, p)
                last, step = step, last
                taken += 1
                damping *= 0.1
                for a in range(p):
                    theta[a] = trial[a]
                accumulate(flat_rows, weights, residuals, p, matrix, vector)
            elif moved < tolerance:
                # No step, however short, lowers the sum: the minimum, to single precision.
                code = CONVERGED if free else EDGE
                break
            else:
                slope = 0.0
                damping = max(damping, _DAMPING) * 10.0
        how[spot, 1] = iteration
        if code == FAILED or not factor(matrix, p, 0.0, lower, inverse):
            continue
        invert(lower, inverse, p, covariance)
        scale = excess
        if weighting == MEASURED:
            scale = cost / (known - p)
        elif weighting == EQUAL:
            sandwich_weights(flat_added, flat_mu, weights, scratch)
            accumulate(flat_rows, scratch, residuals, p, matrix, vector)
            spread(covariance, matrix, p)
            expected_weights(flat_data, flat_added, flat_mu, scratch, residuals)
            cost = weigh(flat_data, flat_mu, scratch, residuals) / excess
        else:
            cost /= excess
        how[spot, 0] = code
        for a in range(p):
            out[spot, a] = theta[a]
            errors[spot, a] = math.sqrt(covariance[a, a] * scale)
        out[spot, 0] += left
        out[spot, 1] += top
        quality[spot, 0] = cost
    return out, errors, quality, how


@numba.njit(cache=True, nogil=True, error_model="numpy")
def begin(model: int, widths: Any, curves: Any, theta: Any) -> None:
    """Complete the start values: widths, depth, slopes, and for the sampled models the height in place of the number."""
    theta[4:] = 0.0
    if model == DEPTH:
        theta[4] = 0.5 * (curves[2, 0] + curves[2, 1])
    else:
        theta[4] = widths[0]
        if model in (FIXED, SIGMA_XY, PLANE_XY):
            theta[5] = widths[1]
    if model >= PLANE:
        theta[2] /= 2.0 * math.pi * widths[0] * widths[1]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def spread(covariance: Any, matrix: Any, p: int) -> None:
    """Diagonal of ``covariance matrix covariance`` into the diagonal of `covariance`; of both the lower triangle counts."""
    found = np.empty(p)
    for a in range(p):
        total = 0.0
        for b in range(p):
            left = covariance[max(a, b), min(a, b)]
            for c in range(p):
                total += left * matrix[max(b, c), min(b, c)] * covariance[max(a, c), min(a, c)]
        found[a] = total
    for a in range(p):
        covariance[a, a] = found[a]
