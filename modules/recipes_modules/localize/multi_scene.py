"""A group of emitters on a piece of a frame: the model, its likelihood and its normal equations, compiled.

Importing this file imports numba: do it on use. Lengths are pixels, 0 is the centre of the first pixel of the piece. Counts are
photoelectrons divided by the square of the camera's noise factor, so that their variance is their mean plus that of the read noise.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.localize.psf import FAST, INNER, LANES, OUTER, integrated, logarithm

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

REACH = 3.6
"""An emitter's image ends where a pixel's centre is farther away than this many widths."""
MASKED = np.float32(1e30)
"""Variance of a pixel that takes no part."""
TRUSTED = np.float32(1e20)
LEAST = np.float32(1e-2)
"""No expected variance is below this one."""
TINY = np.float32(1e-6)
MARGIN = 0.5
"""Emitters stay within so many pixels of the centres of the piece's outer pixels."""

ROAM = 2.0
"""A fit ends at emitters farther than this from where they began, pixels."""


DATA, ADDED, BACK, MU, WEIGHT, RESIDUAL, SCRATCH = range(7)
"""Planes of a scene: counts; variance of the read noise, `MASKED` where a pixel takes no part; background; whole model; 1 / expected
variance, and residual times weight, where `weigh` was last asked for them; anything."""
SIGMA, SHAPE, MEAN, DENSITY, LOWEST, LINEAR, LEVEL, SURE = range(8)
"""What is known beforehand: width of the PSF; shape and mean of the gamma distribution of counts; logarithm of the emitters expected in a
pixel; lowest background; whether squares are fitted with the weights that the plane holds; background and 1 / its variance."""

TILE, HALO = 8, 3
"""Large groups are fitted in squares of so many pixels, with the emitters up to so many pixels around them."""


class Scene(NamedTuple):
    """A piece of a frame and what stands on it.

    Attributes
    ----------
    planes : array (7, y, x) float32
        See `DATA` and those after it.
    theta : array (n, 3) float64
        x, y and counts of each emitter; there is room for more of them than there are.
    tables : array (n, 2, 3, lanes) float32
        Profiles along x and y with their derivatives, see `recipes_modules.localize.psf.integrated`.
    corner : array (n, 2) int64
        First column and row of each emitter's image.
    known : array (8,) float64
        See `SIGMA` and those after it.
    """

    planes: Floats
    theta: Doubles
    tables: Floats
    corner: Ints
    known: Doubles


@numba.njit(**INNER)
def reach(sigma: float) -> int:
    """Pixels from the middle of an emitter's image to its edge."""
    return math.ceil(REACH * sigma)


@numba.njit(**OUTER)
def lanes(sigma: float) -> int:
    """Length of the tables of profiles."""
    return ((2 * reach(sigma) + 1) // LANES + 1) * LANES


@numba.njit(**INNER)
def place(scene: Any, i: int, work: Any) -> None:
    """Bring the profiles of emitter `i` up to date."""
    sigma = scene.known[SIGMA]
    half = reach(sigma)
    n = scene.tables.shape[3]
    for axis in range(2):
        at = scene.theta[i, axis]
        first = int(np.rint(at)) - half
        scene.corner[i, axis] = first
        integrated(at - first, sigma, n, work, scene.tables[i, axis])


@numba.njit(**INNER, fastmath=FAST)
def paint(scene: Any, i: int, sign: float) -> None:
    """Add emitter `i` to the model, or take it away."""
    height, width = scene.planes.shape[1:]
    side = 2 * reach(scene.known[SIGMA]) + 1
    left, top = scene.corner[i, 0], scene.corner[i, 1]
    x0, x1 = max(left, 0), min(left + side, width)
    across = scene.tables[i, 0, 0]
    for y in range(max(top, 0), min(top + side, height)):
        part = np.float32(sign * scene.theta[i, 2] * scene.tables[i, 1, 0, y - top])
        row = scene.planes[MU, y]
        for x in range(x0, x1):
            row[x] += part * across[x - left]


@numba.njit(**OUTER)
def compose(scene: Any, n: int, work: Any) -> None:
    """The whole model anew."""
    for y in range(scene.planes.shape[1]):
        for x in range(scene.planes.shape[2]):
            scene.planes[MU, y, x] = scene.planes[BACK, y, x]
    for i in range(n):
        place(scene, i, work)
        paint(scene, i, 1.0)


@numba.njit(**INNER)
def patch(scene: Any, free: Any, m: int) -> Any:
    """The rectangle of pixels, as rows y0 to y1 and columns x0 to x1, that some emitters light, and will where they move."""
    height, width = scene.planes.shape[1:]
    side = 2 * reach(scene.known[SIGMA]) + 1
    y0, y1, x0, x1 = height, 0, width, 0
    for k in range(m):
        left, top = scene.corner[free[k], 0], scene.corner[free[k], 1]
        x0, x1 = min(x0, left), max(x1, left + side)
        y0, y1 = min(y0, top), max(y1, top + side)
    spare = math.ceil(ROAM) + 1
    return max(y0 - spare, 0), min(y1 + spare, height), max(x0 - spare, 0), min(x1 + spare, width)


@numba.njit(**INNER)
def whole(scene: Any) -> Any:
    """The rectangle of all pixels, see `patch`."""
    # Plain integers: numba compiles a function anew for each literal that it is given.
    return np.int64(0), np.int64(scene.planes.shape[1]), np.int64(0), np.int64(scene.planes.shape[2])


@numba.njit(**OUTER, fastmath=FAST)
def weigh(scene: Any, box: Any) -> float:
    """Weights and residuals of a rectangle (y0, y1, x0, x1); its log-likelihood, relative to a model in which each pixel has its own mean."""
    y0, y1, x0, x1 = box
    total = 0.0
    for y in range(y0, y1):
        if scene.known[LINEAR] > 0.0:
            for x in range(x0, x1):
                w = scene.planes[WEIGHT, y, x]
                r = scene.planes[DATA, y, x] - scene.planes[MU, y, x]
                scene.planes[RESIDUAL, y, x] = r * w
                total += 0.5 * r * r * w
            continue
        data, added, mu = scene.planes[DATA, y], scene.planes[ADDED, y], scene.planes[MU, y]
        weight, residual = scene.planes[WEIGHT, y], scene.planes[RESIDUAL, y]
        line = np.float32(0)
        for x in range(x0, x1):
            m = max(mu[x] + added[x], LEAST)
            d = max(data[x] + added[x], TINY)
            w = np.float32(1) / m
            weight[x] = w
            residual[x] = (d - m) * w
            term = m - d + d * logarithm(d / m)
            line += term if added[x] < TRUSTED else np.float32(0)
        total += line
    return -total


@numba.njit(**INNER)
def log_prior(known: Any, counts: float) -> float:
    """Logarithm of the gamma distribution's density."""
    shape, mean = known[SHAPE], known[MEAN]
    return shape * math.log(shape / mean) - math.lgamma(shape) + (shape - 1.0) * math.log(counts) - shape * counts / mean


@numba.njit(**INNER, fastmath=FAST)
def _pair(scene: Any, i: int, j: int, side: int, sums: Any) -> bool:
    """Information that emitters `i` and `j` share: 3 x 3; False where their images do not meet."""
    height, width = scene.planes.shape[1:]
    li, ti, lj, tj = scene.corner[i, 0], scene.corner[i, 1], scene.corner[j, 0], scene.corner[j, 1]
    x0, x1 = max(li, lj, 0), min(min(li, lj) + side, width)
    y0, y1 = max(ti, tj, 0), min(min(ti, tj) + side, height)
    if x0 >= x1 or y0 >= y1:
        return False
    a, b, c, d = scene.tables[i, 0], scene.tables[j, 0], scene.tables[i, 1], scene.tables[j, 1]
    zero = np.float32(0)
    xx, xy, xn, yx, yy, yn, nx, ny, nn = zero, zero, zero, zero, zero, zero, zero, zero, zero
    for y in range(y0, y1):
        weight = scene.planes[WEIGHT, y]
        gg, gd, dg, dd = zero, zero, zero, zero
        for x in range(x0, x1):
            w = weight[x]
            u, v = w * a[0, x - li], w * a[1, x - li]
            p, q = b[0, x - lj], b[1, x - lj]
            gg += u * p
            gd += u * q
            dg += v * p
            dd += v * q
        s, t = c[0, y - ti], c[1, y - ti]
        p, q = d[0, y - tj], d[1, y - tj]
        sp, sq, tp, tq = s * p, s * q, t * p, t * q
        xx += sp * dd
        xy += sq * dg
        xn += sp * dg
        yx += tp * gd
        yy += tq * gg
        yn += tp * gg
        nx += sp * gd
        ny += sq * gg
        nn += sp * gg
    n, m = scene.theta[i, 2], scene.theta[j, 2]
    sums[0, 0], sums[0, 1], sums[0, 2] = n * m * xx, n * m * xy, n * xn
    sums[1, 0], sums[1, 1], sums[1, 2] = n * m * yx, n * m * yy, n * yn
    sums[2, 0], sums[2, 1], sums[2, 2] = m * nx, m * ny, nn
    return True


@numba.njit(**INNER, fastmath=FAST)
def _single(scene: Any, i: int, side: int, vector: Any, border: Any) -> None:
    """Score of emitter `i`, and the information that it shares with an even background."""
    height, width = scene.planes.shape[1:]
    left, top = scene.corner[i, 0], scene.corner[i, 1]
    a, c = scene.tables[i, 0], scene.tables[i, 1]
    zero = np.float32(0)
    rx, ry, rn, bx, by, bn = zero, zero, zero, zero, zero, zero
    for y in range(max(top, 0), min(top + side, height)):
        weight, residual = scene.planes[WEIGHT, y], scene.planes[RESIDUAL, y]
        g, d, wg, wd = zero, zero, zero, zero
        for x in range(max(left, 0), min(left + side, width)):
            u, v = a[0, x - left], a[1, x - left]
            g += residual[x] * u
            d += residual[x] * v
            wg += weight[x] * u
            wd += weight[x] * v
        s, t = c[0, y - top], c[1, y - top]
        rx += s * d
        ry += t * g
        rn += s * g
        bx += s * wd
        by += t * wg
        bn += s * wg
    n = scene.theta[i, 2]
    vector[0], vector[1], vector[2] = n * rx, n * ry, rn
    border[0], border[1], border[2] = n * bx, n * by, bn


@numba.njit(**OUTER)
def normal(scene: Any, free: Any, m: int, joint: bool, box: Any, matrix: Any, vector: Any) -> None:
    """Expected information (lower triangle) and score of some emitters, with the prior of their counts.

    Parameters
    ----------
    scene : Scene
        `weigh` must have seen the emitters' images.
    free : array (m,) int64
        Emitters.
    joint : bool
        Whether an even background is the last parameter.
    box : (y0, y1, x0, x1)
        The pixels that tell about it, which `weigh` must have seen.
    matrix, vector : arrays
        Receive them; three parameters an emitter.
    """
    side = 2 * reach(scene.known[SIGMA]) + 1
    shape, mean = scene.known[SHAPE], scene.known[MEAN]
    p = 3 * m
    sums, border, part = np.empty((3, 3)), np.empty(3), np.empty(3)
    for k in range(m):
        for j in range(k + 1):
            if _pair(scene, free[k], free[j], side, sums):
                for a in range(3):
                    for b in range(3):
                        matrix[3 * k + a, 3 * j + b] = sums[a, b]
            else:
                for a in range(3):
                    for b in range(3):
                        matrix[3 * k + a, 3 * j + b] = 0.0
        _single(scene, free[k], side, part, border)
        counts = scene.theta[free[k], 2]
        part[2] += (shape - 1.0) / counts - shape / mean
        matrix[3 * k + 2, 3 * k + 2] += max(shape - 1.0, 0.0) / counts**2
        for a in range(3):
            vector[3 * k + a] = part[a]
        if joint:
            for a in range(3):
                matrix[p, 3 * k + a] = border[a]
    if joint:
        total, score = 0.0, 0.0
        for y in range(box[0], box[1]):
            for x in range(box[2], box[3]):
                total += scene.planes[WEIGHT, y, x]
                score += scene.planes[RESIDUAL, y, x]
        matrix[p, p] = total + scene.known[SURE]
        vector[p] = score + scene.known[SURE] * (scene.known[LEVEL] - scene.planes[BACK, 0, 0])
