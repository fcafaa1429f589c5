"""The highest peak of a correlation, to a fraction of a pixel, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _solve(m: Any, right: Any, determinant: float) -> Any:
    # Cramer's rule: three unknowns do not need LAPACK.
    solution = np.zeros(3)
    for k in range(3):
        c = m.copy()
        for p in range(3):
            c[p, k] = right[p]
        solution[k] = (
            c[0, 0] * (c[1, 1] * c[2, 2] - c[1, 2] * c[2, 1])
            - c[0, 1] * (c[1, 0] * c[2, 2] - c[1, 2] * c[2, 0])
            + c[0, 2] * (c[1, 0] * c[2, 1] - c[1, 1] * c[2, 0])
        ) / determinant
    return solution


@numba.njit(cache=True, nogil=True)
def _step(values: Any, place: Any, low: Any, high: Any, kernel: Any, mean: float) -> Any:
    s2 = kernel * kernel
    width = int((high - low).max())
    weights = np.zeros((3, width))
    for axis in range(3):
        for k in range(low[axis], high[axis]):
            weights[axis, k - low[axis]] = np.exp(-0.5 * (k - place[axis]) ** 2 / s2[axis])
    m0 = 0.0
    m1 = np.zeros(3)
    m2 = np.zeros((3, 3))
    for iz in range(low[0], high[0]):
        dz = iz - place[0]
        for iy in range(low[1], high[1]):
            dy = iy - place[1]
            # Sums along x first: everything else is the same for the whole line.
            t0, t1, t2 = 0.0, 0.0, 0.0
            for ix in range(low[2], high[2]):
                dx = ix - place[2]
                w = weights[2, ix - low[2]] * (values[iz, iy, ix] - mean)
                t0 += w
                t1 += w * dx
                t2 += w * dx * dx
            outer = weights[0, iz - low[0]] * weights[1, iy - low[1]]
            t0, t1, t2 = outer * t0, outer * t1, outer * t2
            m0 += t0
            m1[0] += t0 * dz
            m1[1] += t0 * dy
            m1[2] += t1
            m2[0, 0] += t0 * dz * dz
            m2[0, 1] += t0 * dz * dy
            m2[0, 2] += t1 * dz
            m2[1, 1] += t0 * dy * dy
            m2[1, 2] += t1 * dy
            m2[2, 2] += t2
    gradient = m1 / s2
    hessian = np.zeros((3, 3))
    for p in range(3):
        for q in range(3):
            hessian[p, q] = m2[min(p, q), max(p, q)] / (s2[p] * s2[q])
        if high[p] - low[p] == 1:
            # An axis without extent: no step along it.
            for q in range(3):
                hessian[p, q] = 0.0
                hessian[q, p] = 0.0
            hessian[p, p] = -1.0
            gradient[p] = 0.0
        else:
            hessian[p, p] -= m0 / s2[p]
    minor = hessian[1, 1] * hessian[2, 2] - hessian[1, 2] ** 2
    cofactors = np.array(
        [
            minor,
            hessian[0, 2] * hessian[1, 2] - hessian[0, 1] * hessian[2, 2],
            hessian[0, 1] * hessian[1, 2] - hessian[0, 2] * hessian[1, 1],
        ]
    )
    determinant = (hessian[0] * cofactors).sum()
    if hessian[2, 2] < 0.0 and minor > 0.0 and determinant < 0.0:
        return _solve(hessian, -gradient, determinant)
    return m1 / m0 if m0 > 0.0 else np.full(3, np.nan)


@numba.njit(cache=True, nogil=True)
def _smoothed(values: Any, kernel: Any) -> Any:
    # One axis after the other, each brought to the middle of a (before, n, behind) view so that lines are added as wholes.
    sizes = values.shape
    result = values.astype(np.float64)
    for axis in range(3):
        n = sizes[axis]
        if n == 1:
            continue
        before, behind = 1, 1
        for other in range(3):
            if other < axis:
                before *= sizes[other]
            elif other > axis:
                behind *= sizes[other]
        radius = min(int(np.ceil(3.0 * kernel[axis])), n - 1)
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / kernel[axis]) ** 2)
        source = result.reshape((before, n, behind))
        target = np.zeros_like(source)
        for k in range(n):
            first, last = max(0, k - radius), min(n, k + radius + 1)
            total = taps[first - k + radius : last - k + radius].sum()
            for j in range(first, last):
                weight = taps[j - k + radius] / total
                for p in range(before):
                    for q in range(behind):
                        target[p, k, q] += weight * source[p, j, q]
        result = target.reshape(sizes)
    return result


@numba.njit(cache=True, nogil=True)
def find_peak(values: Any, kernel: Any, result: Any) -> bool:
    """Shift of the highest peak of a correlation.

    The peak is where the correlation, smoothed by a Gaussian, is highest: Newton steps from the highest pixel, and steps towards
    the weighted mean where the curvature does not allow those.

    Parameters
    ----------
    values : array (z, y, x) of float32
        Correlation with no shift in the middle; odd sizes, 1 for an axis without shift.
    kernel : array (3,)
        Standard deviation of the Gaussian in z, y, x, pixels; at least 0.6, so that sums over pixels stand for integrals.
    result : array (4,)
        Receives the shift in z, y, x in pixels, and the height above the mean in standard deviations of the smoothed values.

    Returns
    -------
    bool
        False where there is no peak: the highest value lies at the border, or the values are all equal.
    """
    result[:] = np.nan
    smooth = _smoothed(values, kernel)
    mean = smooth.mean()
    deviation = smooth.std()
    place = np.zeros(3)
    best = -np.inf
    for iz in range(values.shape[0]):
        for iy in range(values.shape[1]):
            for ix in range(values.shape[2]):
                if smooth[iz, iy, ix] > best:
                    best = smooth[iz, iy, ix]
                    place[0], place[1], place[2] = iz, iy, ix
    if not np.isfinite(best) or deviation <= 1e-6 * max(abs(best), abs(mean)):
        return False
    sizes = np.array([values.shape[0], values.shape[1], values.shape[2]])
    for axis in range(3):
        if sizes[axis] > 1 and (place[axis] == 0 or place[axis] == sizes[axis] - 1):
            return False
    radius = np.ceil(3.5 * kernel).astype(np.int64)
    start = place.copy()
    low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for _ in range(60):
        for axis in range(3):
            centre = int(np.rint(place[axis]))
            low[axis] = max(0, centre - radius[axis])
            high[axis] = min(sizes[axis], centre + radius[axis] + 1)
        step = _step(values, place, low, high, kernel, mean)
        length = np.sqrt((step * step).sum())
        if not np.isfinite(length):
            return False
        if length > 0.5:
            step *= 0.5 / length
        place += step
        if (np.abs(place - start) > radius).any() or (place < 0).any() or (place > sizes - 1).any():
            return False
        if length < 1e-5:
            break
    result[:3] = place - (sizes - 1) / 2
    result[3] = (best - mean) / deviation
    return True
