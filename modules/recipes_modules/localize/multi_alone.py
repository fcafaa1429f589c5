"""Groups of spots of a frame, their pixels, and what is told of their emitters, compiled."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.multi_refine import bounds
from recipes_modules.localize.multi_scene import (
    ADDED,
    BACK,
    DATA,
    LEAST,
    LEVEL,
    LOWEST,
    MASKED,
    MU,
    SIGMA,
    SURE,
    TINY,
    TRUSTED,
    patch,
    reach,
    weigh,
    whole,
)
from recipes_modules.localize.psf import INNER, MERGED, OUTER

X, Y, COUNTS, GROUND, ERROR_X, ERROR_Y, ERROR_COUNTS, ERROR_GROUND, DEVIANCE, PIXELS, PARAMETERS, CODE, SNR, SIZE, BEHIND = range(
    15
)
WIDTH_SCORE, WIDTH_INFORMATION = 15, 16
COLUMNS = 17
"""Columns of what is found, in pixels and counts: parameters, their errors, likelihood; for learning: background that the detection took,
score and information of the width."""
FAILED, CONVERGED, UNFINISHED, EDGE, ON_EACH_OTHER = 0, 1, 5, 6, 7
TOP, BOTTOM, LEFT, RIGHT, MEMBERS = range(5)
BRIGHT = 9.0
"""A spot alone that stands out of the noise by this much needs no trial without it."""


@numba.njit(**INNER)
def _root(parent: Any, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(**OUTER)
def group(rows: Any, columns: Any, half: int, owner: Any, parent: Any, extent: Any) -> None:
    """Join spots whose regions, ``2 half + 1`` pixels a side, meet.

    Parameters
    ----------
    rows, columns : array (n,) int64
    owner : array (y, x) int32
        -1 everywhere; receives the first spot of each pixel's group.
    parent : array (n,) int64
        Receives the first spot of each spot's group.
    extent : array (n, 5) int64
        Receives rows and columns, from and to, and the number of spots of each group, at its first spot.
    """
    height, width = owner.shape
    for i in range(len(rows)):
        parent[i] = i
        for y in range(max(rows[i] - half, 0), min(rows[i] + half + 1, height)):
            for x in range(max(columns[i] - half, 0), min(columns[i] + half + 1, width)):
                if owner[y, x] < 0:
                    owner[y, x] = i
                else:
                    a, b = _root(parent, np.int64(owner[y, x])), _root(parent, i)
                    parent[max(a, b)] = min(a, b)
    for i in range(len(rows)):
        parent[i] = _root(parent, i)
        k = parent[i]
        y0, y1 = max(rows[i] - half, 0), min(rows[i] + half + 1, height)
        x0, x1 = max(columns[i] - half, 0), min(columns[i] + half + 1, width)
        if k == i:
            extent[k, TOP], extent[k, BOTTOM], extent[k, LEFT], extent[k, RIGHT], extent[k, MEMBERS] = y0, y1, x0, x1, 1
        else:
            extent[k, TOP], extent[k, BOTTOM] = min(extent[k, TOP], y0), max(extent[k, BOTTOM], y1)
            extent[k, LEFT], extent[k, RIGHT] = min(extent[k, LEFT], x0), max(extent[k, RIGHT], x1)
            extent[k, MEMBERS] += 1
    for i in range(len(rows)):
        for y in range(max(rows[i] - half, 0), min(rows[i] + half + 1, height)):
            for x in range(max(columns[i] - half, 0), min(columns[i] + half + 1, width)):
                owner[y, x] = parent[owner[y, x]]


@numba.njit(**OUTER)
def clear(rows: Any, columns: Any, half: int, owner: Any) -> None:
    """Give the pixels around spots back, as `group` wants them."""
    for i in range(len(rows)):
        for y in range(max(rows[i] - half, 0), min(rows[i] + half + 1, owner.shape[0])):
            for x in range(max(columns[i] - half, 0), min(columns[i] + half + 1, owner.shape[1])):
                owner[y, x] = -1


@numba.njit(**MERGED)
def cut(images: Any, owner: Any, first: int, extent: Any, planes: Any, known: Any) -> bool:
    """Counts and variance of a group; False where no pixel takes part.

    Parameters
    ----------
    images : tuple of array (y, x) float32
        Counts, variance of the read noise, known background or (0, 0), background as the detection guesses it.
    planes, known : arrays
        See `multi_scene.Scene`; of `known` the background's guess, its certainty and its lower end are set.
    """
    frame, variance, background, behind = images
    y0, y1, x0, x1 = extent[TOP], extent[BOTTOM], extent[LEFT], extent[RIGHT]
    least, guess, pixels = MASKED, 0.0, 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            count, extra = frame[y, x], variance[y, x]
            if background.shape[0] > 0:
                count -= background[y, x]
                extra += background[y, x]
            mine = owner[y, x] == first and math.isfinite(count) and extra < TRUSTED
            planes[DATA, y - y0, x - x0] = count if mine else np.float32(0)
            planes[ADDED, y - y0, x - x0] = extra if mine else MASKED
            if mine:
                least = min(least, extra)
                guess += behind[y, x]
                pixels += 1
    if pixels == 0:
        return False
    known[LEVEL] += guess / pixels
    if background.shape[0] > 0:
        known[SURE] = 0.0
        known[LOWEST] = 1e-3 - least
    return True


@numba.njit(**MERGED)
def floor_of(scene: Any) -> float:
    """A first guess of the background: mean of the pixels below the mean of those below the mean."""
    limit = math.inf
    for _ in range(3):
        total, number = 0.0, 0
        for y in range(scene.planes.shape[1]):
            for x in range(scene.planes.shape[2]):
                if scene.planes[ADDED, y, x] < TRUSTED and scene.planes[DATA, y, x] <= limit:
                    total += scene.planes[DATA, y, x]
                    number += 1
        if number == 0:
            break
        limit = total / number
    return max(limit, scene.known[LOWEST]) if limit < math.inf else 0.0


@numba.njit(**OUTER)
def errors(scene: Any, m: int, wanted: int, free: Any, joint: bool, room: Any, out: Any) -> None:
    """Errors of the first `wanted` emitters of a list into their rows."""
    box = whole(scene) if joint else patch(scene, free, m)
    weigh(scene, box)
    even = m > 0
    good = bounds(scene, free, m, even, box, room)
    matrix = room[0][0]
    for k in range(wanted):
        row = free[k]
        for a in range(3):
            out[row, ERROR_X + a] = math.sqrt(matrix[3 * k + a, 3 * k + a]) if good >= 0 else math.nan
        out[row, ERROR_GROUND] = math.sqrt(matrix[3 * m, 3 * m]) if good >= 0 else math.nan
        if good < 1:
            out[row, CODE] = ON_EACH_OTHER if good == 0 else FAILED


@numba.njit(**OUTER)
def quality(scene: Any, n: int, half: int, out: Any) -> None:
    """Parameters of all emitters, the likelihood of their regions, and how they stand out of the noise."""
    height, width = scene.planes.shape[1:]
    side = 2 * reach(scene.known[SIGMA]) + 1
    for i in range(n):
        x, y = scene.theta[i, 0], scene.theta[i, 1]
        column, line = min(max(int(np.rint(x)), 0), width - 1), min(max(int(np.rint(y)), 0), height - 1)
        x0, x1 = max(column - half, 0), min(column + half + 1, width)
        y0, y1 = max(line - half, 0), min(line + half + 1, height)
        left, top = scene.corner[i, 0], scene.corner[i, 1]
        total, pixels, square = 0.0, 0, 0.0
        for v in range(y0, y1):
            for u in range(x0, x1):
                if not scene.planes[ADDED, v, u] < TRUSTED:
                    continue
                m = max(scene.planes[MU, v, u] + scene.planes[ADDED, v, u], LEAST)
                d = max(scene.planes[DATA, v, u] + scene.planes[ADDED, v, u], TINY)
                total += 2.0 * (m - d + d * math.log(d / m))
                pixels += 1
                if left <= u < left + side and top <= v < top + side:
                    g = scene.tables[i, 0, 0, u - left] * scene.tables[i, 1, 0, v - top]
                    square += g * g / max(m - scene.theta[i, 2] * g, LEAST)
        inside = 0
        for j in range(n):
            inside += x0 - 0.5 <= scene.theta[j, 0] < x1 - 0.5 and y0 - 0.5 <= scene.theta[j, 1] < y1 - 0.5
        out[i, X], out[i, Y], out[i, COUNTS] = x, y, scene.theta[i, 2]
        out[i, DEVIANCE], out[i, PIXELS], out[i, PARAMETERS] = total, pixels, 3 * inside + 1
        out[i, SNR] = scene.theta[i, 2] * math.sqrt(square)
        out[i, GROUND], out[i, BEHIND], out[i, SIZE] = scene.planes[BACK, line, column], scene.known[LEVEL], n
        out[i, WIDTH_SCORE], out[i, WIDTH_INFORMATION] = 0.0, 0.0
        edge = x <= -0.5 or y <= -0.5 or x >= width - 0.5 or y >= height - 0.5
        out[i, CODE] = EDGE if edge else CONVERGED
