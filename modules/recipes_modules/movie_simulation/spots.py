"""Spots of emitters on the pixels of a camera. Importing this file imports numba: do it on use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

REACH = 5.0
"""A Gaussian spot is drawn to this many sigmas: the rest is below a millionth."""
_HALF = math.sqrt(0.5)


@numba.njit(cache=True, nogil=True)
def _profile(centre: float, sigma: float, first: int, n: int, out: Any) -> None:
    before = math.erf((first - 0.5 - centre) / sigma * _HALF)
    for k in range(n):
        after = math.erf((first + k + 0.5 - centre) / sigma * _HALF)
        out[k] = 0.5 * (after - before)
        before = after


@numba.njit(cache=True, nogil=True)
def add_gaussians(image: Any, x: Any, y: Any, sigma_x: Any, sigma_y: Any, photons: Any) -> None:
    """Add Gaussian spots, integrated over pixels.

    Parameters
    ----------
    image : array (y, x) float
        Receives the expected photons.
    x, y, sigma_x, sigma_y : array (n,)
        Pixels; 0 is the centre of the first one.
    photons : array (n,)
        In the whole spot.
    """
    height, width = image.shape
    column, row = np.empty(width), np.empty(height)
    for i in range(x.size):
        x0 = max(0, math.floor(x[i] - REACH * sigma_x[i] + 0.5))
        y0 = max(0, math.floor(y[i] - REACH * sigma_y[i] + 0.5))
        nx = min(width, math.ceil(x[i] + REACH * sigma_x[i] + 0.5)) - x0
        ny = min(height, math.ceil(y[i] + REACH * sigma_y[i] + 0.5)) - y0
        if nx <= 0 or ny <= 0:
            continue
        _profile(x[i], sigma_x[i], x0, nx, column)
        _profile(y[i], sigma_y[i], y0, ny, row)
        for r in range(ny):
            weight = photons[i] * row[r]
            for c in range(nx):
                image[y0 + r, x0 + c] += weight * column[c]


@dataclass(frozen=True)
class StackPsf:
    """A point spread function given as a stack, ready for cubic interpolation.

    Attributes
    ----------
    coefficients : array (z, y, x)
        Of cubic B-splines (Unser 1999, doi:10.1109/79.799930); the plane in focus sums to 1 over the pixels of the camera.
    centre : (z, y, x)
        Index of the emitter.
    step : (z, y, x)
        Voxels for one nm along z, for one pixel of the camera along y and x.
    parts : int
        Points along each axis over which a pixel of the camera is averaged.
    """

    coefficients: Floats
    centre: tuple[float, float, float]
    step: tuple[float, float, float]
    parts: int

    @property
    def z_range(self) -> tuple[float, float]:
        """Lowest and highest z of an emitter that the stack holds, nm."""
        n, centre, step = len(self.coefficients), self.centre[0], self.step[0]
        return (0 - centre) / step, (n - 1 - centre) / step


def prepare_stack(
    stack: npt.ArrayLike, voxel: tuple[float, float, float], pixel: tuple[float, float], centre: tuple[float, float, float] | None
) -> StackPsf:
    """A stack as a point spread function.

    Parameters
    ----------
    stack : array (z, y, x)
    voxel : (x, y, z)
        nm.
    pixel : (x, y)
        Of the camera, nm.
    centre : (x, y, z), optional
        Voxel of the emitter; the middle of the stack where not given.

    Notes
    -----
    The background, the median of the outermost pixels of all planes, is taken away. The plane in focus (the middle one) is scaled
    to sum 1, the others with it. A stack as coarse as the camera is taken as integrated over pixels; a finer one is averaged over
    each pixel.
    """
    from scipy.ndimage import spline_filter

    array = np.asarray(stack, np.float64)
    rim = np.concatenate([array[:, 0].ravel(), array[:, -1].ravel(), array[:, :, 0].ravel(), array[:, :, -1].ravel()])
    array = np.maximum(array - np.median(rim), 0.0)
    middle = tuple((n - 1) / 2 for n in array.shape) if centre is None else (centre[2], centre[1], centre[0])
    step_x, step_y = pixel[0] / voxel[0], pixel[1] / voxel[1]
    focus = array[round(middle[0])].sum()
    coefficients = spline_filter(array * (step_x * step_y / focus), order=3, mode="mirror")
    finest = max(step_x, step_y)
    return StackPsf(
        np.ascontiguousarray(coefficients),
        (middle[0], middle[1], middle[2]),
        (1 / voxel[2] if voxel[2] > 0 else 0.0, step_y, step_x),
        1 if finest < 1.01 else math.ceil(2 * finest),
    )


@numba.njit(cache=True, nogil=True)
def _cubic(at: float, n: int, index: Any, weight: Any) -> bool:
    """Indices (mirrored) and weights of the four B-splines at a position; False beyond the ends."""
    if at < 0.0 or at > n - 1.0:
        return False
    base = math.floor(at)
    t = at - base
    weight[0] = (1 - t) ** 3 / 6
    weight[1] = (4 - 6 * t * t + 3 * t**3) / 6
    weight[2] = (1 + 3 * t + 3 * t * t - 3 * t**3) / 6
    weight[3] = t**3 / 6
    for k in range(4):
        j = base - 1 + k
        if j < 0:
            j = -j
        if j > n - 1:
            j = 2 * (n - 1) - j
        index[k] = max(j, 0)
    return True


@numba.njit(cache=True, nogil=True)
def _axis_weights(first: int, n: int, centre: float, middle: float, step: float, parts: int, size: int, out: Any) -> None:
    """Rows of ``out (n, size)``: what each voxel along an axis gives to each pixel of the camera."""
    index, weight = np.empty(4, np.int64), np.empty(4)
    out[:n] = 0.0
    for k in range(n):
        for p in range(parts):
            at = middle + (first + k - 0.5 + (p + 0.5) / parts - centre) * step
            if _cubic(at, size, index, weight):
                for q in range(4):
                    out[k, index[q]] += weight[q] / parts


@numba.njit(cache=True, nogil=True)
def add_stack_spots(
    image: Any, x: Any, y: Any, z: Any, photons: Any, coefficients: Any, centre: Any, step: Any, parts: int
) -> None:
    """Add spots of a point spread function that is given as a stack, by cubic B-splines; see `StackPsf`.

    z is in nm and is held at the ends of the stack.
    """
    height, width = image.shape
    depth, rows, columns = coefficients.shape
    half_x, half_y = int(columns / step[2]) + 2, int(rows / step[1]) + 2
    across, down = np.empty((min(width, 2 * half_x + 2), columns)), np.empty((min(height, 2 * half_y + 2), rows))
    plane, partial = np.empty((rows, columns)), np.empty(columns)
    index, weight = np.zeros(4, np.int64), np.zeros(4)
    for i in range(x.size):
        x0 = max(0, math.floor(x[i] - centre[2] / step[2]) - 1)
        y0 = max(0, math.floor(y[i] - centre[1] / step[1]) - 1)
        nx = min(width, math.ceil(x[i] + (columns - 1 - centre[2]) / step[2]) + 2) - x0
        ny = min(height, math.ceil(y[i] + (rows - 1 - centre[1]) / step[1]) + 2) - y0
        nx, ny = min(nx, across.shape[0]), min(ny, down.shape[0])
        if nx <= 0 or ny <= 0:
            continue
        if depth == 1:
            plane[:] = coefficients[0]
        else:
            _cubic(min(max(centre[0] + z[i] * step[0], 0.0), depth - 1.0), depth, index, weight)
            plane[:] = 0.0
            for q in range(4):
                for r in range(rows):
                    for c in range(columns):
                        plane[r, c] += weight[q] * coefficients[index[q], r, c]
        _axis_weights(x0, nx, x[i], centre[2], step[2], parts, columns, across)
        _axis_weights(y0, ny, y[i], centre[1], step[1], parts, rows, down)
        for r in range(ny):
            partial[:] = 0.0
            for k in range(rows):
                if down[r, k] != 0.0:
                    for c in range(columns):
                        partial[c] += down[r, k] * plane[k, c]
            for c in range(nx):
                value = 0.0
                for k in range(columns):
                    value += across[c, k] * partial[k]
                # Cubic splines may undershoot beside a peak; light does not.
                image[y0 + r, x0 + c] += photons[i] * max(value, 0.0)
