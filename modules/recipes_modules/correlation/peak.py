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
    m0 = 0.0
    m1 = np.zeros(3)
    m2 = np.zeros((3, 3))
    d = np.zeros(3)
    s2 = kernel * kernel
    scale = -0.5 / s2
    for iz in range(low[0], high[0]):
        d[0] = iz - place[0]
        wz = np.exp(scale[0] * d[0] * d[0])
        for iy in range(low[1], high[1]):
            d[1] = iy - place[1]
            wy = wz * np.exp(scale[1] * d[1] * d[1])
            for ix in range(low[2], high[2]):
                d[2] = ix - place[2]
                w = wy * np.exp(scale[2] * d[2] * d[2]) * (float(values[iz, iy, ix]) - mean)
                m0 += w
                for p in range(3):
                    m1[p] += w * d[p]
                    for q in range(p, 3):
                        m2[p, q] += w * d[p] * d[q]
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
        Receives the shift in z, y, x in pixels, and the height above the mean in standard deviations of `values`.

    Returns
    -------
    bool
        False where there is no peak: the highest value lies at the border, or the values are all equal.
    """
    nz, ny, nx = values.shape
    best = -np.inf
    total, square = 0.0, 0.0
    bz, by, bx = 0, 0, 0
    for iz in range(nz):
        for iy in range(ny):
            for ix in range(nx):
                value = float(values[iz, iy, ix])
                total += value
                square += value * value
                if value > best:
                    best, bz, by, bx = value, iz, iy, ix
    size = nz * ny * nx
    mean = total / size
    deviation = np.sqrt(max(square / size - mean * mean, 0.0))
    result[:] = np.nan
    if not np.isfinite(best) or deviation <= 1e-6 * max(abs(best), abs(mean)):
        return False
    if (nz > 1 and (bz in (0, nz - 1))) or (ny > 1 and (by in (0, ny - 1))) or (nx > 1 and (bx in (0, nx - 1))):
        return False
    place = np.array([float(bz), float(by), float(bx)])
    sizes = np.array([nz, ny, nx])
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
    for axis in range(3):
        result[axis] = place[axis] - (sizes[axis] - 1) / 2
    result[3] = (best - mean) / deviation
    return True
