"""z from two widths, compiled."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

COARSE = 96
"""Places at which the search begins."""
_STEPS = 12
_CLOSE = 0.01


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hermite(at: float, z0: float, step: float, values: Any, slopes: Any) -> tuple[float, float]:
    """Value and slope of a curve at a place, from values and slopes at evenly spaced ones."""
    last = len(values) - 2
    u = (at - z0) / step
    k = min(max(int(u), 0), last)
    t = u - k
    a, b = values[k], values[k + 1]
    da, db = slopes[k] * step, slopes[k + 1] * step
    c2, c3 = 3.0 * (b - a) - 2.0 * da - db, 2.0 * (a - b) + da + db
    return a + t * (da + t * (c2 + t * c3)), (da + t * (2.0 * c2 + t * 3.0 * c3)) / step


@numba.njit(cache=True, nogil=True, error_model="numpy")
def distance(
    at: float, z0: float, step: float, curves: Any, slopes: Any, x: float, y: float, wx: float, wy: float, wxy: float
) -> float:
    """Weighted squared distance of two widths from the curves at a place."""
    a, _ = hermite(at, z0, step, curves[0], slopes[0])
    b, _ = hermite(at, z0, step, curves[1], slopes[1])
    return wx * (x - a) ** 2 + wy * (y - b) ** 2 + 2.0 * wxy * (x - a) * (y - b)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def weights(variance_x: float, variance_y: float, shared: float) -> tuple[float, float, float]:
    """Inverse of a covariance of two."""
    det = variance_x * variance_y - shared * shared
    return variance_y / det, variance_x / det, -shared / det


@numba.njit(cache=True, nogil=True, error_model="numpy")
def match(z: Any, curves: Any, slopes: Any, scatter: Any, measured: Any, errors: Any, correlation: Any) -> Any:
    """Nearest place on the curves for each pair of widths.

    Parameters
    ----------
    z : array (m,)
        Evenly spaced.
    curves, slopes, scatter : array (2, m)
        Widths, their slopes, and their standard deviations between spots.
    measured, errors : array (2, n)
        Widths and their errors.
    correlation : array (n,)
        Of the errors of the two widths.

    Returns
    -------
    z, error_z, mismatch : array (n,)
    code : array (n,) int32
        1 found, 6 at an end of the range, 0 where a width or an error is no positive number.
    """
    n, m = measured.shape[1], len(z)
    found, error, mismatch = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    code = np.zeros(n, np.int32)
    z0, z1 = z[0], z[m - 1]
    step = (z1 - z0) / (m - 1)
    jump = (z1 - z0) / (COARSE - 1)
    for i in range(n):
        x, y, ex, ey = measured[0, i], measured[1, i], errors[0, i], errors[1, i]
        if not (x > 0.0 and y > 0.0 and ex > 0.0 and ey > 0.0 and math.isfinite(x * y * ex * ey)):
            continue
        shared = correlation[i] * ex * ey
        wx, wy, wxy = weights(ex * ex, ey * ey, shared)
        best, place = np.inf, z0
        for c in range(COARSE):
            d = distance(z0 + c * jump, z0, step, curves, slopes, x, y, wx, wy, wxy)
            if d < best:
                best, place = d, z0 + c * jump
        k = min(max(int((place - z0) / step + 0.5), 0), m - 1)
        # The curves' own scatter is that of the place found, which hardly moves from here on.
        wx, wy, wxy = weights(ex * ex + scatter[0, k] ** 2, ey * ey + scatter[1, k] ** 2, shared)
        best = distance(place, z0, step, curves, slopes, x, y, wx, wy, wxy)
        low, high = max(place - jump, z0), min(place + jump, z1)
        information = 0.0
        for _ in range(_STEPS):
            a, da = hermite(place, z0, step, curves[0], slopes[0])
            b, db = hermite(place, z0, step, curves[1], slopes[1])
            information = wx * da * da + wy * db * db + 2.0 * wxy * da * db
            gain = wx * da * (x - a) + wy * db * (y - b) + wxy * (da * (y - b) + db * (x - a))
            move = gain / max(information, 1e-30)
            trial = min(max(place + move, low), high)
            d = distance(trial, z0, step, curves, slopes, x, y, wx, wy, wxy)
            while d > best and abs(trial - place) > _CLOSE:
                trial = 0.5 * (trial + place)
                d = distance(trial, z0, step, curves, slopes, x, y, wx, wy, wxy)
            if not d <= best:
                break
            shift = abs(trial - place)
            place, best = trial, d
            if shift < _CLOSE:
                break
        found[i] = place
        error[i] = 1.0 / math.sqrt(max(information, 1e-30))
        mismatch[i] = math.sqrt(best)
        code[i] = 6 if place <= z0 or place >= z1 else 1
    return found, error, mismatch, code
