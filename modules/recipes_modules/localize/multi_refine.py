"""Joint maximum-likelihood fit of some emitters of a group, and what it says for their number, compiled."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.multi_scene import (
    BACK,
    DENSITY,
    LEVEL,
    LOWEST,
    MARGIN,
    MEAN,
    MU,
    ROAM,
    SIGMA,
    SURE,
    log_prior,
    normal,
    paint,
    patch,
    place,
    weigh,
    whole,
)
from recipes_modules.localize.normal import factor, invert, solve
from recipes_modules.localize.psf import INNER, LANES, MERGED, OUTER

LONGEST = 0.7
"""Longest step along x and y, widths of the PSF."""
LEAST_COUNTS = 0.5
LOG_2_PI = math.log(2 * math.pi)


@numba.njit(**INNER)
def penalty(scene: Any, free: Any, m: int) -> float:
    """Logarithm of the prior of counts and background."""
    total = 0.0
    for k in range(m):
        total += log_prior(scene.known, scene.theta[free[k], 2])
    return total - 0.5 * scene.known[SURE] * (scene.planes[BACK, 0, 0] - scene.known[LEVEL]) ** 2


@numba.njit(**INNER)
def put(scene: Any, free: Any, m: int, places: Any, work: Any) -> None:
    """Move emitters, in the model too."""
    for k in range(m):
        i = free[k]
        paint(scene, i, -1.0)
        for a in range(3):
            scene.theta[i, a] = places[k, a]
        place(scene, i, work)
        paint(scene, i, 1.0)


@numba.njit(**OUTER)
def refine(scene: Any, free: Any, m: int, joint: bool, tolerance: float, most: int, room: Any) -> Any:
    """Fit some emitters, the others as they are, by damped Fisher scoring.

    Parameters
    ----------
    scene : Scene
        Changed in place.
    free : array (>= m,) int64
        Emitters that are fitted.
    joint : bool
        Whether the background, even over the whole piece, is fitted too.
    tolerance : float
        The fit ends when nothing moves by more, pixels.
    most : int
        Steps at most.
    room : tuple of arrays
        See `workspace`.

    Returns
    -------
    posterior, moved, converged : float, float, bool
        Log-likelihood of the pixels that the emitters light (all where `joint`), with the prior of counts; length of the last step.
    """
    matrix, lower = room[0][0], room[0][1]
    vector, inverse, step = room[1][0], room[1][1], room[1][2]
    held, begin, target, work = room[2][0], room[2][1], room[2][2], room[3]
    height, width = scene.planes.shape[1:]
    longest = LONGEST * scene.known[SIGMA]
    p = 3 * m + (1 if joint else 0)
    box = whole(scene) if joint else patch(scene, free, m)
    for k in range(m):
        for a in range(3):
            begin[k, a] = scene.theta[free[k], a]
    value, damping, moved, level = -np.inf, 0.0, np.inf, scene.planes[BACK, 0, 0]
    turn, stopping = 0, False
    # A turn that does not begin at a better place than the last one takes a shorter step from there.
    while True:
        after = weigh(scene, box) + penalty(scene, free, m)
        if stopping:
            return value, moved, False
        if turn == 0 or after >= value - 1e-3:
            value, level = after, scene.planes[BACK, 0, 0]
            if moved < tolerance or turn >= most:
                return value, moved, moved < tolerance
            normal(scene, free, m, joint, box, matrix, vector)
            damping = 0.0 if damping < 1e-3 else 0.2 * damping
            for k in range(m):
                for a in range(3):
                    held[k, a] = scene.theta[free[k], a]
        else:
            damping = max(8.0 * damping, 3e-2)
            stopping = turn >= most
        turn += 1
        while damping < 1e4 and not factor(matrix, p, damping, lower, inverse):
            damping = max(10.0 * damping, 1e-4)
        stopping |= damping >= 1e4
        for a in range(p):
            step[a] = 0.0
        if not stopping:
            solve(lower, inverse, p, vector, step)
        moved = 0.0
        for k in range(m):
            for a in range(2):
                shift = min(max(step[3 * k + a], -longest), longest)
                low = max(begin[k, a] - ROAM, -MARGIN)
                high = min(begin[k, a] + ROAM, (width if a == 0 else height) - 1 + MARGIN)
                target[k, a] = min(max(held[k, a] + shift, low), high)
                moved = max(moved, abs(target[k, a] - held[k, a]))
            counts = held[k, 2]
            target[k, 2] = max(counts + min(max(step[3 * k + 2], -0.7 * counts), 2.0 * counts), LEAST_COUNTS)
            moved = max(moved, abs(target[k, 2] - counts) / (counts + 100.0))
        put(scene, free, m, target, work)
        if joint:
            lift(scene, np.float32(max(level + step[p - 1], scene.known[LOWEST]) - scene.planes[BACK, 0, 0]))


@numba.njit(**INNER)
def lift(scene: Any, by: Any) -> None:
    """Raise the background."""
    for y in range(scene.planes.shape[1]):
        for x in range(scene.planes.shape[2]):
            scene.planes[BACK, y, x] += by
            scene.planes[MU, y, x] += by


@numba.njit(**MERGED)
def volume(scene: Any, free: Any, m: int, joint: bool, box: Any, room: Any) -> float:
    """Logarithm of the volume of the posterior, and of the density of emitters; minus infinity where it is singular.

    Laplace's approximation with at most the PSF's width in each direction: emitters that lie on each other do not know more.
    """
    matrix, lower = room[0][0], room[0][1]
    vector, inverse = room[1][0], room[1][1]
    normal(scene, free, m, joint, box, matrix, vector)
    least = 1.0 / scene.known[SIGMA] ** 2
    for k in range(m):
        for a in range(2):
            matrix[3 * k + a, 3 * k + a] += least
    p = 3 * m + (1 if joint else 0)
    if not factor(matrix, p, 1e-9, lower, inverse):
        return -np.inf
    total = 0.5 * 3 * m * LOG_2_PI + m * scene.known[DENSITY]
    for a in range(p):
        total += 0.5 * math.log(inverse[a])
    return total


@numba.njit(**MERGED)
def bounds(scene: Any, free: Any, m: int, joint: bool, box: Any, room: Any) -> int:
    """Covariance of some emitters, and of the background where `joint`, into the matrix of `room` (lower triangle).

    1: well; 0: emitters lie on each other, and are taken to be known to the PSF's width and the mean of counts; -1: not at all.
    """
    matrix, lower = room[0][0], room[0][1]
    vector, inverse = room[1][0], room[1][1]
    normal(scene, free, m, joint, box, matrix, vector)
    p = 3 * m + (1 if joint else 0)
    good = factor(matrix, p, 0.0, lower, inverse)
    if not good:
        least = 1.0 / scene.known[SIGMA] ** 2
        for k in range(3 * m):
            matrix[k, k] += least if k % 3 < 2 else 1.0 / scene.known[MEAN] ** 2
        if not factor(matrix, p, 1e-5, lower, inverse):
            return -1
    invert(lower, inverse, p, matrix)
    return 1 if good else 0


def workspace(most: int, lane: int) -> Any:
    """Arrays for fits of up to `most` emitters."""
    p = 3 * most + 1
    return np.zeros((2, p, p)), np.zeros((3, p)), np.zeros((3, most, 3)), np.zeros((3, lane + LANES), np.float32)
