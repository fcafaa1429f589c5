"""Fits of all spots of a block: maximum likelihood or least squares. Importing this file imports numba: do it on use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.localize.spotfit.gaussian import deviance, tabulate, weigh
from recipes_modules.localize.spotfit.models import HALF, MOST, ONE, OPTIONS, ZERO, expand
from recipes_modules.localize.spotfit.normal import PLACE, factor, invert, spread
from recipes_modules.localize.spotfit.solving import FAILED, solve_all
from recipes_modules.localize.spotfit.staging import (
    EQUAL,
    LIKELIHOOD,
    MEASURED,
    PARAMETERS,
    Scratch,
    Stage,
    Way,
    add_up,
    fill,
    sandwich_weights,
    workspace,
)
from recipes_modules.localize.spotfit.vectors import WIDTH, load, splat, store

Array = npt.NDArray[Any]


def fit_block(
    frames: Array, index: Array, rows: Array, columns: Array, half: int, variances: Array, background: Array, way: Way
) -> tuple[Array, Array, Array, Array]:
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
        Read-noise variance of each pixel, photoelectrons^2, divided by the excess; infinite for pixels that are not to be used.
    background : array (0 or t, y, x) float32
        Known background below the spots, photoelectrons; the fitted one adds to it.
    way : Way
        Method: LIKELIHOOD (not for PLANE and PLANE_XY), EXPECTED, MEASURED or EQUAL. Model: see `models`. Widths (2,) float64 along x
        and y to start from, or the fixed ones, pixels. Precision: for LIKELIHOOD 1 / variance of the widths of real spots about these,
        where it is known: they are then estimated with this knowledge (a Gaussian prior), which keeps weak spots from unlikely widths;
        else 0. Curves (3, 5) float32, for DEPTH: widths along x and y in pixels over z (see
        `recipes_modules.localize.psf.width_at`); the third row begins with the range of z. Floor, for MEASURED: counts below this many
        photoelectrons are taken for this many. Excess: noise factor squared: 1, or 2 for electron multiplication; expected variances are
        this many times the mean, and likelihoods are quasi-likelihoods. Tolerance: a fit ends when position and widths will move by less
        than this many pixels, N and z by less than this part of N and of the range. Most: iterations.

    Returns
    -------
    theta, errors : array (n, p) float64
        Parameters, with positions in pixels of the frame, and standard errors. LIKELIHOOD and EXPECTED: from the expected variances, which
        is the Cramer-Rao bound. EQUAL: likewise, though the weights differ. MEASURED: from the weights, times the root of the reduced chi
        square, as PYME does.
    quality : array (n, 2) float64
        Deviance, which is twice the log-likelihood ratio to the saturated model, or chi square (for EQUAL by the expected variances);
        number of pixels that took part.
    how : array (n, 2) int32
        `CONVERGED`; `LIMIT`, iterations used up; `EDGE`, a parameter at an end of its range; `FAILED`, all is NaN: too few pixels, or they
        do not determine the parameters. Number of iterations.

    Notes
    -----
    Likelihood: F. Huang et al., "Video-rate nanoscopy using sCMOS camera-specific single-molecule localization algorithms", Nat. Methods
    10, 653 (2013), doi:10.1038/nmeth.2488: photon counts are Poisson distributed; the read noise of a pixel, of variance v, is taken for
    Poisson as well, so that the counts plus v have the model plus v as their mean.
    """
    count, p = len(index), int(PARAMETERS[way.model])
    theta, errors, quality = np.full((count, p), np.nan), np.full((count, p), np.nan), np.full((count, 2), np.nan)
    how = np.zeros((count, 2), np.int32)
    stage, scratch, lanes = workspace(half, *frames.shape[1:], way.method)
    known, iterations = np.empty(len(stage.least), np.int64), np.empty(WIDTH, np.int64)
    for first in range(0, count, len(known)):
        part = slice(first, first + len(known))
        pixels = known[: len(index[part])]
        fill(frames, index[part], rows[part], columns[part], half, variances, background, way, stage, scratch, pixels)
        quality[part, 1] = pixels
        solve_all(way, stage, scratch, lanes, np.full(WIDTH, -1), iterations, pixels, how[part])
        finish(way, stage, scratch, theta[part], errors[part], quality[part], how[part])
    theta[:, 0] += np.clip(columns - half, 0, frames.shape[2] - stage.nx)
    theta[:, 1] += np.clip(rows - half, 0, frames.shape[1] - stage.ny)
    return theta, errors, quality, how


_ANY = Way(
    LIKELIHOOD, 0, np.ones(2), np.ones(2), 0.0, np.zeros((3, 5), np.float32), 0.0, 1.0, 1e-3, 1
)  # fmt: skip
_NONE = np.empty(0, np.int64)


def compile_cutting() -> None:
    """Have the code compiled that cuts regions."""
    frames = np.zeros((1, 1, 1), np.float32)
    stage, scratch, _ = workspace(1, 1, 1, LIKELIHOOD)
    fill(frames, _NONE, _NONE, _NONE, 1, frames, frames[:0], _ANY, stage, scratch, _NONE)


def compile_fitting() -> None:
    """Have the code compiled that fits what is cut."""
    stage, scratch, lanes = workspace(1, 1, 1, LIKELIHOOD)
    how, values = np.empty((0, 2), np.int32), np.empty((0, 4))
    solve_all(_ANY, stage, scratch, lanes, np.full(WIDTH, -1), np.zeros(WIDTH, np.int64), _NONE, how)
    finish(_ANY, stage, scratch, values, values, values, how)


@numba.njit(**OPTIONS)
def finish(way: Way, stage: Stage, scratch: Scratch, theta: Any, errors: Any, quality: Any, how: Any) -> None:
    """Errors and quality of staged spots at the parameters that were found."""
    p, ny, nx, pixels = PARAMETERS[way.model], stage.ny, stage.nx, stage.ny * stage.nx
    covariance, variance, good, cost = scratch.covariance, scratch.variance, scratch.good, scratch.cost
    for first in range(0, len(theta), WIDTH):
        data, added = stage.data[first * pixels :][: pixels * WIDTH], stage.added[first * pixels :][: pixels * WIDTH]
        found = stage.theta[first * MOST :][: MOST * WIDTH]
        expand(way.model, found, way.curves, scratch.full)
        tabulate(way.model, scratch.full, ny, nx, scratch.edges, scratch.of_x, scratch.of_y)
        # Where pixels count equally, first the covariance that would be right for equal noise, then with the noise that there is.
        for again in range(2 if way.method == EQUAL else 1):
            weights, anew = scratch.weights, splat(ONE)
            if way.method >= MEASURED and again == 0:
                weights, anew = stage.given[first * pixels :][: pixels * WIDTH], splat(ZERO)
            total = weigh(scratch.full, ny, nx, scratch.of_x, scratch.of_y, data, added, anew, weights, scratch.residuals)
            if again == 1:
                sandwich_weights(pixels, stage.given[first * pixels :], weights)
            add_up(way, ny, nx, scratch, weights, found)
            if again == 1:
                spread(covariance, scratch.matrix, p, variance)
                continue
            store(good, 0, factor(scratch.matrix, p, splat(ZERO), scratch.lower, scratch.scaled, scratch.inverse))
            invert(scratch.lower, scratch.scaled, scratch.inverse, p, covariance)
            for a in range(p):
                store(variance, a * WIDTH, load(covariance, PLACE[a, a]))
        if way.method == LIKELIHOOD:
            total = deviance(scratch.full, ny, nx, scratch.of_x, scratch.of_y, data, added)
        store(cost, 0, total)
        for lane in range(min(WIDTH, len(theta) - first)):
            spot = first + lane
            if how[spot, 0] == FAILED or good[lane] < HALF:
                how[spot, 0] = FAILED
                continue
            scale = way.excess
            if way.method == MEASURED:
                scale = cost[lane] / (quality[spot, 1] - p)
            quality[spot, 0] = cost[lane] if way.method == MEASURED else cost[lane] / way.excess
            for a in range(p):
                theta[spot, a] = found[a * WIDTH + lane]
                errors[spot, a] = np.sqrt(variance[a * WIDTH + lane] * scale)
