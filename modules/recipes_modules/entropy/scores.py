"""Scores: how the logarithm of a density changes when a localization moves. Importing this file imports numba."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

HALF, ONE, TWO, THREE_QUARTERS, NONE = np.float32(0.5), np.float32(1), np.float32(2), np.float32(0.75), np.float32(0)
FAR = np.float32(9)
"""Squared distance, in standard deviations of the kernel, from which a mate contributes nothing."""
MOST_MATES = 4
"""So many events of the same molecule before an event, and after it, are left out of its density."""
_PRODUCT = 16


@numba.njit(inline="always")
def _spline(t: Any) -> Any:
    """Quadratic B-spline at the voxels before, at and after a place `t` from the middle of a voxel, and its derivative."""
    before, after = HALF - t, HALF + t
    return HALF * before * before, THREE_QUARTERS - t * t, HALF * after * after, -before, -TWO * t, after


@numba.njit(cache=True, nogil=True, fastmath=True)
def score_2d(
    x: Any, y: Any, weight: Any, group: Any, mates: Any, frame: Any, start: int, stop: int, drift: Any, origin: Any, scale: Any,
    bits: Any, table: Any, blocks: Any, taps: Any, variance: Any, floor: Any, gradients: Any, sums: Any,
) -> None:  # fmt: skip
    """Score of events `start` to `stop` along x and y, without what they and their mates contribute to the density.

    Parameters
    ----------
    variance : float32
        Of the kernel, voxels^2.
    floor : float32
        Added to the density, so that places with nearly nothing tell nearly nothing.
    gradients : array (n, 2) of float32
        Gets the scores, 1/nm.
    sums : array (n_groups, 2, 3)
        Added to, per group and axis: curvature (minus the second derivative of the log density) and squared score; and, at the
        first axis alone, the logarithm of the density over `floor`.
    """
    _, by, bx = bits
    my, mx = (1 << by) - 1, (1 << bx) - 1
    o00, o01, o11 = taps[0] * taps[0], taps[0] * taps[1], taps[1] * taps[1]
    sx, sy = scale[0], scale[1]
    narrow = ONE / variance
    peak = narrow / np.float32(2 * math.pi)
    product, logs = 1.0, 0.0
    for i in range(start, stop):
        t = frame[i]
        u = (x[i] - drift[t, 0] - origin[0]) * sx
        v = (y[i] - drift[t, 1] - origin[1]) * sy
        px, py = int(u), int(v)
        block = table[0, py >> by, px >> bx]
        if block < 0:
            gradients[i, 0] = NONE
            gradients[i, 1] = NONE
            continue
        x0, x1, x2, gx0, gx1, gx2 = _spline(u - np.float32(px) - HALF)
        y0, y1, y2, gy0, gy1, gy2 = _spline(v - np.float32(py) - HALF)
        jx, jy = px & mx, py & my
        first, second, third = blocks[block, 0, jy], blocks[block, 0, jy + 1], blocks[block, 0, jy + 2]
        w = weight[i]
        q00, q01, q11 = w * o00, w * o01, w * o11
        a0, a1, a2 = first[jx] - q11, first[jx + 1] - q01, first[jx + 2] - q11
        b0, b1, b2 = second[jx] - q01, second[jx + 1] - q00, second[jx + 2] - q01
        c0, c1, c2 = third[jx] - q11, third[jx + 1] - q01, third[jx + 2] - q11
        # Along x in each row, then along y; and the other way round.
        a, b, c = x0 * a0 + x1 * a1 + x2 * a2, x0 * b0 + x1 * b1 + x2 * b2, x0 * c0 + x1 * c1 + x2 * c2
        e, f, g = y0 * a0 + y1 * b0 + y2 * c0, y0 * a1 + y1 * b1 + y2 * c1, y0 * a2 + y1 * b2 + y2 * c2
        density = y0 * a + y1 * b + y2 * c
        dx, dxx = gx0 * e + gx1 * f + gx2 * g, e - TWO * f + g
        dy, dyy = gy0 * a + gy1 * b + gy2 * c, a - TWO * b + c
        for side in range(2):
            j = mates[i, side]
            for _ in range(MOST_MATES):
                if j < 0:
                    break
                s = frame[j]
                du = (x[j] - drift[s, 0] - origin[0]) * sx - u
                dv = (y[j] - drift[s, 1] - origin[1]) * sy - v
                away = (du * du + dv * dv) * narrow
                if away < FAR:
                    q = weight[j] * peak * np.float32(math.exp(-HALF * away))
                    density -= q
                    dx -= q * du * narrow
                    dy -= q * dv * narrow
                    dxx -= q * (du * du * narrow - ONE) * narrow
                    dyy -= q * (dv * dv * narrow - ONE) * narrow
                j = mates[j, side]
        inverse = ONE / (max(density, NONE) + floor)
        dx *= inverse * sx
        dy *= inverse * sy
        gradients[i, 0] = dx
        gradients[i, 1] = dy
        k = group[i]
        sums[k, 0, 0] += dx * dx - dxx * inverse * sx * sx
        sums[k, 1, 0] += dy * dy - dyy * inverse * sy * sy
        sums[k, 0, 1] += dx * dx
        sums[k, 1, 1] += dy * dy
        product *= inverse * floor
        if i % _PRODUCT == 0:
            logs -= math.log(product)
            product = 1.0
    sums[0, 0, 2] += logs - math.log(product)


@numba.njit(cache=True, nogil=True, fastmath=True)
def score_3d(
    x: Any, y: Any, z: Any, weight: Any, group: Any, mates: Any, frame: Any, start: int, stop: int, drift: Any, origin: Any,
    scale: Any, bits: Any, table: Any, blocks: Any, taps: Any, variance: Any, floor: Any, gradients: Any, sums: Any,
) -> None:  # fmt: skip
    """As `score_2d`, along x, y and z: `gradients` is (n, 3) and `sums` (n_groups, 3, 3)."""
    bz, by, bx = bits
    mz, my, mx = (1 << bz) - 1, (1 << by) - 1, (1 << bx) - 1
    own = (taps[1], taps[0], taps[1])
    sx, sy, sz = scale[0], scale[1], scale[2]
    narrow = ONE / variance
    peak = (narrow / np.float32(2 * math.pi)) * np.float32(math.sqrt(narrow / (2 * math.pi)))
    product, logs = 1.0, 0.0
    for i in range(start, stop):
        t = frame[i]
        u = (x[i] - drift[t, 0] - origin[0]) * sx
        v = (y[i] - drift[t, 1] - origin[1]) * sy
        w = (z[i] - drift[t, 2] - origin[2]) * sz
        px, py, pz = int(u), int(v), int(w)
        block = table[pz >> bz, py >> by, px >> bx]
        if block < 0:
            gradients[i, 0] = NONE
            gradients[i, 1] = NONE
            gradients[i, 2] = NONE
            continue
        x0, x1, x2, gx0, gx1, gx2 = _spline(u - np.float32(px) - HALF)
        wy = _spline(v - np.float32(py) - HALF)
        wz = _spline(w - np.float32(pz) - HALF)
        jx, jy, jz = px & mx, py & my, pz & mz
        density = dx = dy = dz = dxx = dyy = dzz = NONE
        for c in range(3):
            plane = plane_x = plane_y = plane_xx = plane_yy = NONE
            for b in range(3):
                row = blocks[block, jz + c, jy + b]
                f = weight[i] * own[c] * own[b]
                r0, r1, r2 = row[jx] - f * own[0], row[jx + 1] - f * own[1], row[jx + 2] - f * own[2]
                line = x0 * r0 + x1 * r1 + x2 * r2
                plane += wy[b] * line
                plane_y += wy[b + 3] * line
                plane_yy += (ONE if b != 1 else -TWO) * line
                plane_x += wy[b] * (gx0 * r0 + gx1 * r1 + gx2 * r2)
                plane_xx += wy[b] * (r0 - TWO * r1 + r2)
            density += wz[c] * plane
            dz += wz[c + 3] * plane
            dzz += (ONE if c != 1 else -TWO) * plane
            dx += wz[c] * plane_x
            dy += wz[c] * plane_y
            dxx += wz[c] * plane_xx
            dyy += wz[c] * plane_yy
        for side in range(2):
            j = mates[i, side]
            for _ in range(MOST_MATES):
                if j < 0:
                    break
                s = frame[j]
                du = (x[j] - drift[s, 0] - origin[0]) * sx - u
                dv = (y[j] - drift[s, 1] - origin[1]) * sy - v
                dw = (z[j] - drift[s, 2] - origin[2]) * sz - w
                away = (du * du + dv * dv + dw * dw) * narrow
                if away < FAR:
                    q = weight[j] * peak * np.float32(math.exp(-HALF * away))
                    density -= q
                    dx -= q * du * narrow
                    dy -= q * dv * narrow
                    dz -= q * dw * narrow
                    dxx -= q * (du * du * narrow - ONE) * narrow
                    dyy -= q * (dv * dv * narrow - ONE) * narrow
                    dzz -= q * (dw * dw * narrow - ONE) * narrow
                j = mates[j, side]
        inverse = ONE / (max(density, NONE) + floor)
        dx *= inverse * sx
        dy *= inverse * sy
        dz *= inverse * sz
        gradients[i, 0] = dx
        gradients[i, 1] = dy
        gradients[i, 2] = dz
        k = group[i]
        sums[k, 0, 0] += dx * dx - dxx * inverse * sx * sx
        sums[k, 1, 0] += dy * dy - dyy * inverse * sy * sy
        sums[k, 2, 0] += dz * dz - dzz * inverse * sz * sz
        sums[k, 0, 1] += dx * dx
        sums[k, 1, 1] += dy * dy
        sums[k, 2, 1] += dz * dz
        product *= inverse * floor
        if i % _PRODUCT == 0:
            logs -= math.log(product)
            product = 1.0
    sums[0, 0, 2] += logs - math.log(product)


@numba.njit(cache=True, nogil=True)
def sum_frames(frame: Any, group: Any, gradients: Any, gain: Any, info: Any, first: int, total: Any) -> None:
    """Weighted sums per frame.

    Parameters
    ----------
    gain, info : array (n_groups, axes)
        Weight of a score, and the information that an event brings.
    first : int
        Frame of the first row of `total`.
    total : array (n, axes, 2)
        Added to: weighted score and information.
    """
    axes = gradients.shape[1]
    for i in range(len(frame)):
        t = frame[i] - first
        k = group[i]
        for axis in range(axes):
            total[t, axis, 0] += gain[k, axis] * gradients[i, axis]
            total[t, axis, 1] += info[k, axis]
