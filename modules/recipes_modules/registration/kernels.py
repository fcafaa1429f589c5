"""Compiled loops over localizations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


@njit(cache=True, nogil=True)
def histogram(points, low, size, shape):  # type: ignore[no-untyped-def]
    """Two-dimensional histogram (x, y) of points (n, 2), each shared linearly among the four bins around it."""
    counts = np.zeros(shape, np.float32)
    for i in range(len(points)):
        px, py = (points[i, 0] - low[0]) / size, (points[i, 1] - low[1]) / size
        ix, iy = int(np.floor(px)), int(np.floor(py))
        wx, wy = np.float32(px - ix), np.float32(py - iy)
        one = np.float32(1)
        counts[ix, iy] += (one - wx) * (one - wy)
        counts[ix + 1, iy] += wx * (one - wy)
        counts[ix, iy + 1] += (one - wx) * wy
        counts[ix + 1, iy + 1] += wx * wy
    return counts


@njit(cache=True, nogil=True)
def gradients(image, points, offset, low, size):  # type: ignore[no-untyped-def]
    """Gradient (n, 2) of an image (x, y) at points + offset, per nm: central differences, linear between bins."""
    nx, ny = image.shape
    found = np.zeros((len(points), 2))
    for i in range(len(points)):
        px, py = (points[i, 0] + offset[0] - low[0]) / size, (points[i, 1] + offset[1] - low[1]) / size
        ix, iy = int(np.floor(px)), int(np.floor(py))
        if ix < 1 or iy < 1 or ix > nx - 3 or iy > ny - 3:
            continue
        wx, wy = px - ix, py - iy
        for jx in range(2):
            for jy in range(2):
                weight = (wx if jx else 1 - wx) * (wy if jy else 1 - wy)
                a, b = ix + jx, iy + jy
                found[i, 0] += weight * (image[a + 1, b] - image[a - 1, b])
                found[i, 1] += weight * (image[a, b + 1] - image[a, b - 1])
    return found / (2 * size)


@njit(cache=True, nogil=True)
def columns(cell, z, low, size, n_cells, n_z):  # type: ignore[no-untyped-def]
    """Histogram along z for each cell (n_cells, n_z), each point shared linearly between two bins; cells below 0 are left out."""
    counts = np.zeros((n_cells, n_z), np.float32)
    for i in range(len(z)):
        if cell[i] < 0:
            continue
        p = (z[i] - low) / size
        k = int(np.floor(p))
        w = np.float32(p - k)
        counts[cell[i], k] += np.float32(1) - w
        counts[cell[i], k + 1] += w
    return counts


@njit(cache=True, nogil=True)
def slopes(rows, cell, z, low, size):  # type: ignore[no-untyped-def]
    """Slope along z of its cell's row at each point, per nm; 0 for cells below 0."""
    n_z = rows.shape[1]
    found = np.zeros((len(z), 1))
    for i in range(len(z)):
        if cell[i] < 0:
            continue
        p = (z[i] - low) / size
        k = int(np.floor(p))
        if k < 1 or k > n_z - 3:
            continue
        w = p - k
        row = rows[cell[i]]
        found[i, 0] = (1 - w) * (row[k + 1] - row[k - 1]) + w * (row[k + 2] - row[k])
    return found / (2 * size)
