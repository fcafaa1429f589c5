"""What a group tells of the width of the PSF, compiled."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from recipes_modules.localize.multi_scene import RESIDUAL, SCRATCH, SIGMA, WEIGHT, normal, patch, reach, weigh, whole
from recipes_modules.localize.normal import factor, product, solve
from recipes_modules.localize.psf import FAST


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _slope(scene: Any, free: Any, wanted: int, box: Any) -> Any:
    """Derivative of the light of the first `wanted` emitters by the width, into the scratch plane; its score and information."""
    y0, y1, x0, x1 = box
    side = 2 * reach(scene.known[SIGMA]) + 1
    height, width = scene.planes.shape[1:]
    for y in range(y0, y1):
        for x in range(x0, x1):
            scene.planes[SCRATCH, y, x] = 0.0
    for k in range(wanted):
        i = free[k]
        left, top = scene.corner[i, 0], scene.corner[i, 1]
        a, c = scene.tables[i, 0], scene.tables[i, 1]
        for y in range(max(top, 0), min(top + side, height)):
            p, q = np.float32(scene.theta[i, 2] * c[0, y - top]), np.float32(scene.theta[i, 2] * c[2, y - top])
            for x in range(max(left, 0), min(left + side, width)):
                scene.planes[SCRATCH, y, x] += p * a[2, x - left] + q * a[0, x - left]
    score, information = 0.0, 0.0
    for y in range(y0, y1):
        for x in range(x0, x1):
            s = scene.planes[SCRATCH, y, x]
            score += s * scene.planes[RESIDUAL, y, x]
            scene.planes[SCRATCH, y, x] = s * scene.planes[WEIGHT, y, x]
            information += s * s * scene.planes[WEIGHT, y, x]
    return score, information


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _shared(scene: Any, i: int, result: Any) -> None:
    """Information that the width shares with emitter `i`, from the scratch plane."""
    side = 2 * reach(scene.known[SIGMA]) + 1
    height, width = scene.planes.shape[1:]
    left, top = scene.corner[i, 0], scene.corner[i, 1]
    a, c = scene.tables[i, 0], scene.tables[i, 1]
    by_x, by_y, by_n = 0.0, 0.0, 0.0
    for y in range(max(top, 0), min(top + side, height)):
        g, d = 0.0, 0.0
        for x in range(max(left, 0), min(left + side, width)):
            g += scene.planes[SCRATCH, y, x] * a[0, x - left]
            d += scene.planes[SCRATCH, y, x] * a[1, x - left]
        by_x += d * c[0, y - top]
        by_y += g * c[1, y - top]
        by_n += g * c[0, y - top]
    n = scene.theta[i, 2]
    result[0], result[1], result[2] = n * by_x, n * by_y, by_n


@numba.njit(cache=True, nogil=True, error_model="numpy")
def width_step(scene: Any, free: Any, m: int, wanted: int, joint: bool, room: Any) -> Any:
    """Score and information of the width by the first `wanted` of `m` emitters, where all of them and the background adapt to it."""
    matrix, lower = room[0][0], room[0][1]
    vector, inverse, step = room[1][0], room[1][1], room[1][2]
    box = whole(scene) if joint else patch(scene, free, m)
    weigh(scene, box)
    even = m > 0
    normal(scene, free, m, even, box, matrix, vector)
    p = 3 * m + 1
    if not factor(matrix, p, 1e-6, lower, inverse):
        return 0.0, 0.0
    score, information = _slope(scene, free, wanted, box)
    shared = np.empty(p)
    for k in range(m):
        _shared(scene, free[k], shared[3 * k :])
    shared[p - 1] = 0.0
    for y in range(box[0], box[1]):
        for x in range(box[2], box[3]):
            shared[p - 1] += scene.planes[SCRATCH, y, x]
    solve(lower, inverse, p, shared, step)
    return score - product(step, vector, p), information - product(step, shared, p)
