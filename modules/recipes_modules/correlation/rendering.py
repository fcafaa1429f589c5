"""Histograms of localizations, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _bin(distance: float, pixel: float) -> int:
    # Conversion cuts off towards zero, which is faster than floor and right for what lies on the grid.
    return int(distance / pixel) if distance >= 0.0 else -1


@numba.njit(cache=True, nogil=True)
def _voxel(positions: Any, moment: Any, shift: Any, k: int, origin: Any, pixel: float) -> Any:
    # Voxel (z, y, x) of row k, after its shift; it may lie outside of the grid.
    x, y, z = float(positions[k, 0]), float(positions[k, 1]), origin[0]
    deep = positions.shape[1] > 2
    if deep:
        z = float(positions[k, 2])
    if shift.shape[0] > 0:
        m = moment[k]
        x += shift[m, 0]
        y += shift[m, 1]
        if deep:
            z += shift[m, 2]
    return _bin(z - origin[0], pixel), _bin(y - origin[1], pixel), _bin(x - origin[2], pixel)


@numba.njit(cache=True, nogil=True)
def histogram(positions: Any, moment: Any, shift: Any, start: int, stop: int, origin: Any, pixel: float, image: Any) -> int:
    """Count localizations into the voxels of `image`.

    Parameters
    ----------
    positions : array (n, 2) or (n, 3) of float32
        x, y(, z), nm.
    moment : array (n,) of int32
        Row of `shift` for each localization.
    shift : array (m, 3) of float32
        Added to the positions first; no rows for none.
    start, stop : int
        Rows of `positions` that are counted.
    origin : array (3,)
        Lower corner of the grid in z, y, x, nm.
    pixel : float
        nm.
    image : array (z, y, x) of float32
        Counts are added here; one plane for positions without z.

    Returns
    -------
    int
        Localizations that lay outside.
    """
    outside = 0
    nz, ny, nx = image.shape
    for k in range(start, stop):
        iz, iy, ix = _voxel(positions, moment, shift, k, origin, pixel)
        if 0 <= ix < nx and 0 <= iy < ny and 0 <= iz < nz:
            image[iz, iy, ix] += np.float32(1.0)
        else:
            outside += 1
    return outside


@numba.njit(cache=True, nogil=True)
def squared_weight(
    positions: Any, moment: Any, shift: Any, start: int, stop: int, origin: Any, pixel: float, taper: Any
) -> float:
    """Sum of the squared `taper` over the voxels of rows `start` to `stop`; arguments as for `histogram`."""
    # In whole numbers, so that the sum does not depend on the order of rows.
    total = np.int64(0)
    nz, ny, nx = taper.shape
    for k in range(start, stop):
        iz, iy, ix = _voxel(positions, moment, shift, k, origin, pixel)
        if 0 <= ix < nx and 0 <= iy < ny and 0 <= iz < nz:
            weight = float(taper[iz, iy, ix])
            total += np.int64(np.rint(weight * weight * 2.0**30))
    return total / 2.0**30
