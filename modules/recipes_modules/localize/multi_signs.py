"""What the model and its residual say for and against a trial before it is made, compiled."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.multi_refine import LOG_2_PI
from recipes_modules.localize.multi_scene import (
    ADDED,
    DENSITY,
    LEAST,
    MU,
    RESIDUAL,
    SHAPE,
    SIGMA,
    WEIGHT,
    log_prior,
    reach,
)
from recipes_modules.localize.psf import FAST, INNER, OUTER

ASIDE, CAREFUL, FIRM = 3.0, 0.9, 4.0
"""Emitters without another within so many widths are not tried to be removed if so much of their score says that they gain so much."""
PROMISING = -3.0
"""Emitters are tried to be added where the gain that is to be expected is at least this."""
NARROW = 5.0
"""Counts whose distribution has at least this shape are near their mean."""


@numba.njit(**INNER)
def quadrupole(scene: Any, i: int) -> Any:
    """How much wider than one emitter the light around emitter `i` is: largest second moment of the residual over its error, direction."""
    height, width = scene.planes.shape[1:]
    sigma = scene.known[SIGMA]
    side = 2 * reach(sigma) + 1
    left, top = scene.corner[i, 0], scene.corner[i, 1]
    x, y = scene.theta[i, 0], scene.theta[i, 1]
    xx, xy, yy, vxx, vyy, vxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for v in range(max(top, 0), min(top + side, height)):
        for u in range(max(left, 0), min(left + side, width)):
            g = scene.tables[i, 0, 0, u - left] * scene.tables[i, 1, 0, v - top]
            p, q = (u - x) / sigma, (v - y) / sigma
            r, w = scene.planes[RESIDUAL, v, u] * g, scene.planes[WEIGHT, v, u] * g * g
            a, b, c = p * p - 1.0, q * q - 1.0, p * q
            xx += r * a
            yy += r * b
            xy += r * c
            vxx += w * a * a
            vyy += w * b * b
            vxy += w * c * c
    angle = 0.5 * math.atan2(2.0 * xy, xx - yy)
    c, s = math.cos(angle), math.sin(angle)
    cc, ss, cs = c * c, s * s, c * s
    spread = cc * cc * vxx + ss * ss * vyy + 4.0 * cs * cs * vxy
    return (cc * xx + 2.0 * cs * xy + ss * yy) / math.sqrt(max(spread, 1e-12)), angle


@numba.njit(**INNER)
def score_at(scene: Any, x: int, y: int, table: Any) -> Any:
    """Residual filtered with the PSF at the centre of a pixel, over its noise, and the counts that it stands for."""
    height, width = scene.planes.shape[1:]
    half = len(table) // 2
    top, norm = 0.0, 0.0
    for v in range(max(y - half, 0), min(y + half + 1, height)):
        a = table[v - y + half]
        for u in range(max(x - half, 0), min(x + half + 1, width)):
            g = a * table[u - x + half]
            top += g * scene.planes[RESIDUAL, v, u]
            norm += g * g * scene.planes[WEIGHT, v, u]
    if norm < 1e-12:
        return 0.0, 0.0
    return top / math.sqrt(norm), top / norm


@numba.njit(**OUTER)
def middle_profile(sigma: float) -> Any:
    """Profile of an emitter at the centre of a pixel."""
    half = math.ceil(2.5 * sigma)
    out = np.empty(2 * half + 1)
    scale = 1.0 / (math.sqrt(2.0) * sigma)
    for j in range(2 * half + 1):
        out[j] = 0.5 * (math.erf((j - half + 0.5) * scale) - math.erf((j - half - 0.5) * scale))
    return out


@numba.njit(**INNER)
def split_gain(scene: Any, i: int, score: float) -> float:
    """What two emitters in place of emitter `i` may gain, about; `score` is that of `quadrupole`."""
    counts = scene.theta[i, 2]
    whole, halves = log_prior(scene.known, counts), 2.0 * log_prior(scene.known, 0.5 * counts)
    return halves - whole + 0.5 * max(score, 0.0) ** 2 + scene.known[DENSITY]


@numba.njit(**OUTER, fastmath=FAST)
def scores(residual: Any, weight: Any, table: Any, score: Any) -> None:
    """`score_at` of all pixels, row by row and then column by column."""
    height, width = residual.shape
    half = len(table) // 2
    lines = np.empty((2, width + 2 * half), np.float32)
    top, norm = np.empty(width, np.float32), np.empty(width, np.float32)
    above, below = lines[0], lines[1]
    for k in range(half):
        above[k], below[k] = 0.0, 0.0
        above[half + width + k], below[half + width + k] = 0.0, 0.0
    for y in range(height):
        for x in range(width):
            above[half + x] = 0.0
            below[half + x] = 0.0
            top[x] = 0.0
            norm[x] = np.float32(1e-12)
        for v in range(max(y - half, 0), min(y + half + 1, height)):
            a = np.float32(table[v - y + half])
            square = a * a
            for x in range(width):
                above[half + x] += a * residual[v, x]
                below[half + x] += square * weight[v, x]
        for k in range(2 * half + 1):
            a = np.float32(table[k])
            square = a * a
            for x in range(width):
                top[x] += a * above[k + x]
                norm[x] += square * below[k + x]
        for x in range(width):
            score[y, x] = top[x] / math.sqrt(norm[x])


@numba.njit(**INNER)
def add_gain(known: Any, score: float, light: float) -> float:
    """What an emitter may gain, about, that stands for so many counts (`light`) with this score, see `score_at`."""
    if not (score > 0.0 and light > 0.0):
        return -np.inf
    norm = (score / light) ** 2
    volume = 1.5 * LOG_2_PI - 0.5 * math.log(norm) - math.log((0.5 * score**2 + 1.0) / known[SIGMA] ** 2)
    return 0.5 * score**2 + log_prior(known, light) + known[DENSITY] + volume


@numba.njit(**INNER)
def promising(known: Any, score: float, light: float) -> bool:
    """Whether an emitter should be tried there. Where counts are near their mean, the residual does not tell what others took of its light."""
    return known[SHAPE] > NARROW or add_gain(known, score, light) >= PROMISING


@numba.njit(**INNER)
def firm(scene: Any, n: int, i: int) -> bool:
    """Whether emitter `i` needs no trial without it: no other can take its light, and the evidence for it is plain."""
    x, y = scene.theta[i, 0], scene.theta[i, 1]
    for j in range(n):
        dx, dy = scene.theta[j, 0] - x, scene.theta[j, 1] - y
        if j != i and dx * dx + dy * dy < (ASIDE * scene.known[SIGMA]) ** 2:
            return False
    height, width = scene.planes.shape[1:]
    side = 2 * reach(scene.known[SIGMA]) + 1
    left, top = scene.corner[i, 0], scene.corner[i, 1]
    across, down = scene.tables[i, 0, 0], scene.tables[i, 1, 0]
    total = 0.0
    for v in range(max(top, 0), min(top + side, height)):
        mu, added = scene.planes[MU, v], scene.planes[ADDED, v]
        for u in range(max(left, 0), min(left + side, width)):
            g = across[u - left] * down[v - top]
            total += g * g / max(mu[u] + added[u], LEAST)
    counts = scene.theta[i, 2]
    return add_gain(scene.known, CAREFUL * counts * math.sqrt(total), counts) > FIRM
