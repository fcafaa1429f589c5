"""The emitters of small groups of spots, a frame at a time, compiled: first those of spots that stand alone, at the cost of a single fit."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.multi_alone import (
    BEHIND,
    BOTTOM,
    CODE,
    CONVERGED,
    COUNTS,
    DEVIANCE,
    EDGE,
    ERROR_X,
    GROUND,
    LEFT,
    MEMBERS,
    PARAMETERS,
    PIXELS,
    RIGHT,
    SIZE,
    SNR,
    TOP,
    UNFINISHED,
    WIDTH_INFORMATION,
    WIDTH_SCORE,
    X,
    Y,
    cut,
    errors,
    floor_of,
    quality,
)
from recipes_modules.localize.multi_level import EVEN
from recipes_modules.localize.multi_refine import refine
from recipes_modules.localize.multi_scene import (
    ADDED,
    BACK,
    DATA,
    LEVEL,
    MEAN,
    RESIDUAL,
    SCRATCH,
    SIGMA,
    SURE,
    TRUSTED,
    WEIGHT,
    Scene,
    compose,
    lanes,
    place,
)
from recipes_modules.localize.multi_search import DIM, MARGIN, search
from recipes_modules.localize.multi_signs import (
    CAREFUL,
    FIRM,
    add_gain,
    middle_profile,
    promising,
    quadrupole,
    score_at,
    scores,
    split_gain,
)
from recipes_modules.localize.multi_single import (
    LIGHT,
    compare,
    equations,
    evidence_alone,
    evidence_without,
    fit_single,
    single_workspace,
    slopes,
    width_alone,
)
from recipes_modules.localize.multi_sweep import AT_ONCE
from recipes_modules.localize.normal import factor, invert
from recipes_modules.localize.psf import INNER, MERGED, OUTER

FEW = 6
"""Up to so many spots a group is not deconvolved."""
ROUNDS = 6
"""Rounds of trials at most."""
TOLERANCE = 1e-3
"""Pixels that emitters may still move at the end."""
NONE, ONE, MORE = range(3)
"""What a spot alone is: noise, one emitter, or something that asks for trials."""


@numba.njit(**MERGED)
def alone(scene: Any, single: Any, table: Any, half: int, how: Any, row: Any) -> int:
    """Fit emitter 0 of a piece and see whether it tells all; `row` receives what `multi_alone.X` and those after it say."""
    if not fit_single(scene, single, TOLERANCE):
        return MORE
    height, width = scene.planes.shape[1:]
    planes, known, theta = scene.planes.reshape((7, height * width)), scene.known, scene.theta
    rows, matrix, lower, vector, inverse = single[1], single[2][0], single[2][1], single[3][0], single[3][1]
    slopes(scene, single)
    counts, level, learn = theta[0, 2], np.float64(planes[BACK, 0]), how[3] > 0.0
    value, square = compare(planes, rows[LIGHT], counts, level)
    p = np.int64(5 if learn else 4)
    equations(scene, rows, planes, p, level, matrix, vector)
    information = matrix[LIGHT, LIGHT]
    # An emitter that is dim must show that there is one at all.
    if counts < DIM * known[MEAN] and not add_gain(known, CAREFUL * counts * math.sqrt(information), counts) > FIRM:
        before = matrix[0, 0], matrix[1, 1]
        one = evidence_alone(scene, value, matrix, lower, inverse)
        matrix[0, 0], matrix[1, 1] = before
        if evidence_without(planes, level, known) > one + MARGIN:
            return NONE
    first = np.int64(0)
    place(scene, first, single[0][2])
    if split_gain(scene, first, quadrupole(scene, first)[0]) >= how[0]:
        return MORE
    scores(scene.planes[RESIDUAL], scene.planes[WEIGHT], table, scene.planes[SCRATCH])
    pixels = 0
    for v in range(height):
        for u in range(width):
            if not scene.planes[ADDED, v, u] < TRUSTED:
                continue
            pixels += 1
            if scene.planes[SCRATCH, v, u] >= how[1]:
                score, light = score_at(scene, u, v, table)
                if promising(known, score, light):
                    return MORE
    if learn:
        row[WIDTH_SCORE], row[WIDTH_INFORMATION] = width_alone(single)
    if not factor(matrix, np.int64(4), 0.0, lower, inverse):
        return MORE
    invert(lower, inverse, np.int64(4), matrix)
    for a in range(4):
        row[ERROR_X + a] = math.sqrt(matrix[a, a])
    x, y = theta[0, 0], theta[0, 1]
    row[X], row[Y], row[COUNTS], row[GROUND], row[BEHIND], row[SIZE] = x, y, counts, level, known[LEVEL], 1
    row[DEVIANCE], row[PIXELS], row[PARAMETERS], row[SNR] = -2.0 * value, pixels, 4, counts * math.sqrt(square)
    edge = x <= -0.5 or y <= -0.5 or x >= width - 0.5 or y >= height - 0.5
    row[CODE] = EDGE if edge else CONVERGED
    return ONE


@numba.njit(**MERGED)
def together(scene: Any, n: int, half: int, how: Any, store: Any, room: Any, out: Any) -> int:
    """Find and fit the emitters of a piece with an even background, from `n` of them on; their number, -1 where they are too many."""
    free, saved, dirty, trials = store[4], store[5], store[6], store[7]
    compose(scene, n, room[3])
    joint, converged = n > 0, False
    for turn in range(ROUNDS):
        for k in range(n):
            free[k] = k
        _, _, converged = refine(scene, free, n, joint, TOLERANCE, np.int64(30), room)
        if turn == ROUNDS - 1:
            break
        n, kept = search(scene, n, joint, how[0], how[1], dirty, free, saved, room, trials)
        if kept == 0:
            break
        if n > AT_ONCE:
            return -1
    if n > len(out):
        return -1
    if n > 0:
        quality(scene, n, half, out)
        for k in range(n):
            free[k] = k
            if not converged and out[k, CODE] == CONVERGED:
                out[k, CODE] = UNFINISHED
        errors(scene, n, n, free, joint, room, out)
    return n


@numba.njit(**INNER)
def piece(images: Any, owner: Any, first: int, extent: Any, known: Any, own: Any, store: Any, guessed: bool) -> Any:
    """The scene of a group, and whether it has a pixel; its background is the detection's where it is `guessed` and that is sure."""
    height, width = extent[first, BOTTOM] - extent[first, TOP], extent[first, RIGHT] - extent[first, LEFT]
    scene = Scene(store[0][: 7 * height * width].reshape((7, height, width)), store[1], store[2], store[3], own)
    for k in range(len(known)):
        own[k] = known[k]
    good = cut(images, owner, first, extent[first], scene.planes, own)
    if good:
        ground = np.float32(own[LEVEL] if guessed and own[SURE] > 0.0 else floor_of(scene))
        for y in range(height):
            for x in range(width):
                scene.planes[BACK, y, x] = ground
    return scene, good


@numba.njit(**INNER)
def start(scene: Any, n: int, y: int, x: int) -> None:
    """Let emitter `n` begin at a pixel."""
    scene.theta[n, 0], scene.theta[n, 1] = x, y
    height = scene.planes[DATA, y, x] - scene.planes[BACK, y, x]
    scene.theta[n, 2] = max(2.0 * math.pi * scene.known[SIGMA] ** 2 * height, 10.0)


@numba.njit(**OUTER)
def fit_single_spots(
    images: Any, owner: Any, rows: Any, columns: Any, parent: Any, extent: Any, half: int, known: Any, how: Any, store: Any, out: Any,
    left: Any,
) -> int:  # fmt: skip
    """The emitters of the spots of a frame that stand alone and are one emitter, or none.

    Parameters
    ----------
    images, owner, parent, extent
        See `multi_alone.cut` and `multi_alone.group`.
    how : array (4,)
        Least gain for splits, least score for additions, iterations of the deconvolution, whether something is to be learnt.
    store : tuple of arrays
        See `small_workspace`.
    out : array (m, COLUMNS)
        Receives a row for each emitter.
    left : array (n,) bool
        Receives which groups, by their first spots, are not fitted.

    Returns
    -------
    int
        Rows of `out`.
    """
    own, table, lone = known.copy(), middle_profile(known[SIGMA]), store[8]
    made = 0
    for i in range(len(rows)):
        left[i] = parent[i] == i
        y0, x0 = extent[i, TOP], extent[i, LEFT]
        if not left[i] or extent[i, MEMBERS] > 1 or extent[i, BOTTOM] - y0 > EVEN or extent[i, RIGHT] - x0 > EVEN:
            continue
        scene, good = piece(images, owner, i, extent, known, own, store, left[i])
        state = NONE
        if good:
            start(scene, 0 * i, rows[i] - y0, columns[i] - x0)
            pixels = scene.planes.shape[1] * scene.planes.shape[2]
            single = (lone[0], lone[1][: 8 * pixels].reshape((8, pixels)), lone[2], lone[3])
            state = alone(scene, single, table, half, how, out[made])
        left[i] = state == MORE
        if state == ONE:
            out[made, X] += x0
            out[made, Y] += y0
            made += 1
    return made


@numba.njit(**OUTER)
def fit_small(
    images: Any, owner: Any, rows: Any, columns: Any, parent: Any, extent: Any, half: int, known: Any, how: Any, store: Any,
    room: Any, out: Any, left: Any, made: int,
) -> int:  # fmt: skip
    """The emitters of those groups, among the ones that are `left`, that have few spots and are not wide.

    `room` is of `multi_refine.workspace`; the rest is as for `fit_single_spots`, which `made` the first rows of `out`.
    """
    own = known.copy()
    for i in range(len(rows)):
        members = extent[i, MEMBERS]
        y0, x0 = extent[i, TOP], extent[i, LEFT]
        if not left[i] or members > FEW or extent[i, BOTTOM] - y0 > EVEN or extent[i, RIGHT] - x0 > EVEN:
            continue
        scene, _ = piece(images, owner, i, extent, known, own, store, members < 0)
        n, j = np.int64(0), i
        while n < members:
            if parent[j] == i:
                start(scene, n, rows[j] - y0, columns[j] - x0)
                n += 1
            j += 1
        n = together(scene, n, half, how, store, room, out[made:])
        left[i] = n < 0
        for k in range(made, made + n):
            out[k, X] += x0
            out[k, Y] += y0
        made += max(n, 0)
    return made


def small_workspace(sigma: float, most: int) -> Any:
    """Arrays for `fit_small`; `most` emitters are fitted together at most."""
    lane, n = lanes(sigma), AT_ONCE + 2
    return (
        np.zeros(7 * EVEN * EVEN, np.float32), np.zeros((n, 3)), np.zeros((n, 2, 3, lane), np.float32), np.zeros((n, 2), np.int64),
        np.zeros(most, np.int64), np.zeros((most, 3)), np.zeros((1, 1), np.bool_), np.zeros((2, 4), np.int64), single_workspace(EVEN),
    )  # fmt: skip
