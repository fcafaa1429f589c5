"""The fit of a spot that stands alone, compiled: the joint fit of `multi_refine` with one emitter, in tables of its own.

Counts, background, priors and evidence are those of `multi_refine`; what differs is that all pixels of the piece lie in one row, so that
each step is a few passes over it.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.multi_refine import LEAST_COUNTS, LOG_2_PI, LONGEST
from recipes_modules.localize.multi_scene import (
    ADDED,
    BACK,
    DATA,
    DENSITY,
    LEAST,
    LEVEL,
    LOWEST,
    MARGIN,
    MEAN,
    MU,
    RESIDUAL,
    ROAM,
    SHAPE,
    SIGMA,
    SURE,
    TINY,
    TRUSTED,
    WEIGHT,
    log_prior,
)
from recipes_modules.localize.normal import accumulate, factor, product, solve
from recipes_modules.localize.psf import FAST, INNER, LANES, integrated, logarithm

BY_X, BY_Y, LIGHT, EVEN, BY_WIDTH = range(5)
"""Derivatives of the model by x, y, counts, background and width."""
STEPS = 20
NEWTON = 8


@numba.njit(**INNER, fastmath=FAST)
def slopes(scene: Any, single: Any) -> None:
    """Derivatives of the model at the emitter's place."""
    height, width = scene.planes.shape[1:]
    x, y, counts = scene.theta[0, 0], scene.theta[0, 1], np.float32(scene.theta[0, 2])
    across, down, work, rows = single[0][0], single[0][1], single[0][2], single[1]
    sigma = scene.known[SIGMA]
    integrated(x, sigma, (width // LANES + 1) * LANES, work, across)
    integrated(y, sigma, (height // LANES + 1) * LANES, work, down)
    for v in range(height):
        g, by, wide = down[0, v], counts * down[1, v], counts * down[2, v]
        at = v * width
        for u in range(width):
            a = across[0, u]
            rows[BY_X, at + u] = counts * g * across[1, u]
            rows[BY_Y, at + u] = by * a
            rows[LIGHT, at + u] = g * a
            rows[EVEN, at + u] = np.float32(1)
            rows[BY_WIDTH, at + u] = counts * g * across[2, u] + wide * a


@numba.njit(**INNER, fastmath=FAST)
def compare(planes: Any, light: Any, counts: float, level: float) -> Any:
    """Model, weights and residuals; the log-likelihood as `multi_scene.weigh` counts it, and the information on counts at the background."""
    n, amount, ground = planes.shape[1], np.float32(counts), np.float32(level)
    data, added, mu, weight, residual = planes[DATA], planes[ADDED], planes[MU], planes[WEIGHT], planes[RESIDUAL]
    total, square = np.float32(0), np.float32(0)
    for k in range(n):
        model = ground + amount * light[k]
        m = max(model + added[k], LEAST)
        d = max(data[k] + added[k], TINY)
        w = np.float32(1) / m
        mu[k], weight[k], residual[k] = model, w, (d - m) * w
        term = m - d + d * logarithm(d * w)
        total += term if added[k] < TRUSTED else np.float32(0)
        square += light[k] * light[k] / max(ground + added[k], LEAST)
    return -total, square


@numba.njit(**INNER, fastmath=FAST)
def differ(planes: Any, light: Any, counts: float, level: float) -> None:
    """Weights and residuals alone."""
    amount, ground = np.float32(counts), np.float32(level)
    data, added, weight, residual = planes[DATA], planes[ADDED], planes[WEIGHT], planes[RESIDUAL]
    for k in range(planes.shape[1]):
        m = max(ground + amount * light[k] + added[k], LEAST)
        w = np.float32(1) / m
        weight[k], residual[k] = w, (max(data[k] + added[k], TINY) - m) * w


@numba.njit(**INNER)
def equations(scene: Any, rows: Any, planes: Any, p: int, level: float, matrix: Any, vector: Any) -> None:
    """Normal equations of `p` parameters, with the priors of counts and background."""
    known = scene.known
    accumulate(rows, planes[WEIGHT], planes[RESIDUAL], p, matrix, vector)
    counts, shape = scene.theta[0, 2], known[SHAPE]
    vector[LIGHT] += (shape - 1.0) / counts - shape / known[MEAN]
    matrix[LIGHT, LIGHT] += max(shape - 1.0, 0.0) / counts**2
    vector[EVEN] += known[SURE] * (known[LEVEL] - level)
    matrix[EVEN, EVEN] += known[SURE]


@numba.njit(**INNER)
def fit_single(scene: Any, single: Any, tolerance: float) -> bool:
    """Fit emitter 0 and an even background; whether that came to an end.

    `single` are the arrays of `single_workspace`, the second as wide as the piece has pixels.
    """
    height, width = scene.planes.shape[1:]
    rows, matrix, lower = single[1], single[2][0], single[2][1]
    vector, inverse, step = single[3][0], single[3][1], single[3][2]
    planes = scene.planes.reshape((7, height * width))
    known, theta = scene.known, scene.theta
    begin_x, begin_y, longest, level = theta[0, 0], theta[0, 1], LONGEST * known[SIGMA], np.float64(scene.planes[BACK, 0, 0])
    p = np.int64(4)
    for _ in range(STEPS):
        slopes(scene, single)
        counts = theta[0, 2]
        differ(planes, rows[LIGHT], counts, level)
        equations(scene, rows, planes, p, level, matrix, vector)
        if not factor(matrix, p, 0.0, lower, inverse):
            return False
        solve(lower, inverse, p, vector, step)
        moved = 0.0
        for a in range(2):
            begin, last = (begin_x if a == 0 else begin_y), theta[0, a]
            low, high = max(begin - ROAM, -MARGIN), min(begin + ROAM, (width if a == 0 else height) - 1 + MARGIN)
            theta[0, a] = min(max(last + min(max(step[a], -longest), longest), low), high)
            moved = max(moved, abs(theta[0, a] - last))
        theta[0, 2] = max(counts + min(max(step[LIGHT], -0.7 * counts), 2.0 * counts), LEAST_COUNTS)
        moved = max(moved, abs(theta[0, 2] - counts) / (counts + 100.0))
        level = max(level + step[EVEN], known[LOWEST])
        if moved < tolerance:
            for k in range(planes.shape[1]):
                planes[BACK, k] = level
            return True
    return False


@numba.njit(**INNER)
def evidence_alone(scene: Any, value: float, matrix: Any, lower: Any, inverse: Any) -> float:
    """Logarithm of the evidence of the emitter and its background, as `multi_search.worth` counts it; `matrix` is changed."""
    known, p = scene.known, np.int64(4)
    least = 1.0 / known[SIGMA] ** 2
    matrix[BY_X, BY_X] += least
    matrix[BY_Y, BY_Y] += least
    if not factor(matrix, p, 1e-9, lower, inverse):
        return -np.inf
    off = scene.planes[BACK, 0, 0] - known[LEVEL]
    total = value + log_prior(known, scene.theta[0, 2]) - 0.5 * known[SURE] * off * off + 1.5 * LOG_2_PI + known[DENSITY]
    for a in range(p):
        total += 0.5 * math.log(inverse[a])
    return total


@numba.njit(**INNER, fastmath=FAST)
def evidence_without(planes: Any, level: float, known: Any) -> float:
    """The same of an even background alone, which is fitted from `level` on."""
    data, added = planes[DATA], planes[ADDED]
    information = 0.0
    for _ in range(NEWTON):
        ground, score, sum_of_weights = np.float32(level), np.float32(0), np.float32(0)
        for k in range(planes.shape[1]):
            w = np.float32(1) / max(ground + added[k], LEAST)
            score += (max(data[k] + added[k], TINY) - ground - added[k]) * w
            sum_of_weights += w
        information = sum_of_weights + known[SURE]
        step = (score + known[SURE] * (known[LEVEL] - level)) / information
        level = max(level + step, known[LOWEST])
        if step * step * information < 1e-6:
            break
    ground, total = np.float32(level), np.float32(0)
    for k in range(planes.shape[1]):
        m, d = max(ground + added[k], LEAST), max(data[k] + added[k], TINY)
        term = m - d + d * logarithm(d / m)
        total += term if added[k] < TRUSTED else np.float32(0)
    off = level - known[LEVEL]
    return -total - 0.5 * known[SURE] * off * off - 0.5 * math.log(information)


@numba.njit(**INNER)
def width_alone(single: Any) -> Any:
    """Score and information of the width, where place, counts and background adapt to it, from normal equations of five parameters."""
    matrix, lower = single[2][0], single[2][1]
    vector, inverse, step = single[3][0], single[3][1], single[3][2]
    p = np.int64(4)
    if not factor(matrix, p, 0.0, lower, inverse):
        return 0.0, 0.0
    solve(lower, inverse, p, matrix[BY_WIDTH], step)
    return vector[BY_WIDTH] - product(step, vector, p), matrix[BY_WIDTH, BY_WIDTH] - product(step, matrix[BY_WIDTH], p)


def single_workspace(side: int) -> Any:
    """Arrays for fits of an emitter on up to `side` times `side` pixels: tables, derivatives (flat), matrices, vectors."""
    length = (side // LANES + 1) * LANES
    return (
        np.zeros((3, 3, length + LANES), np.float32),
        np.zeros(8 * side * side, np.float32),
        np.zeros((2, 8, 8)),
        np.zeros((3, 8)),
    )
