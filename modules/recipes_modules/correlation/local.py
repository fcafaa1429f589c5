"""Cross-correlation close to no shift only, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _add_scaled(total: Any, values: Any, factor: Any) -> None:
    # A loop of its own: with more arrays in it the compiler gives up proving that they do not overlap, and does not vectorize.
    for k in range(total.shape[0]):
        total[k] += values[k] * factor


@numba.njit(cache=True, nogil=True)
def correlate_near(a: Any, b: Any, waves_z: Any, waves_y: Any, waves_x: Any, values: Any) -> None:
    """Inverse transform of ``a * conj(b)`` for a few shifts around none, without transforming all the others.

    The sums run in a fixed order and vectors go along x, so no reordering of floating-point sums is needed to be fast.

    Parameters
    ----------
    a, b : array (z, y, x / 2 + 1) of complex64
        Spectra.
    waves_z, waves_y, waves_x : array (r + 1, n, 2) of float32
        Cosine and sine of the phase of each frequency for shifts 0 to r; those of x carry the weight of their frequency.
    values : array (2 rz + 1, 2 ry + 1, 2 rx + 1) of float64
        Receives the correlation; no shift is in the middle.
    """
    nz, ny, nx = a.shape
    rz, ry = waves_z.shape[0] - 1, waves_y.shape[0] - 1
    # Real and imaginary part of one frequency along y and of its negative.
    lines = np.empty((4, nx), np.float32)
    # What is multiplied by the cosine (real, imaginary) and by the sine (imaginary, real): these serve the shifts u and -u alike.
    even, odd = np.empty(2 * nx, np.float32), np.empty(2 * nx, np.float32)
    plane = np.empty((ry + 1, 2, 2 * nx), np.float32)
    block = np.zeros((2 * rz + 1, 2 * ry + 1, 2, nx), np.float32)
    for iz in range(nz):
        plane[:] = np.float32(0.0)
        for iy in range(ny // 2 + 1):
            partner = (ny - iy) % ny
            _product(a[iz, iy], b[iz, iy], lines[0], lines[1])
            if partner == iy:
                lines[2:] = np.float32(0.0)
            else:
                _product(a[iz, partner], b[iz, partner], lines[2], lines[3])
            # A frequency and its negative have the same cosine and opposite sines.
            for ix in range(nx):
                even[ix] = lines[0, ix] + lines[2, ix]
                even[nx + ix] = lines[1, ix] + lines[3, ix]
            for ix in range(nx):
                odd[ix] = lines[1, ix] - lines[3, ix]
                odd[nx + ix] = lines[0, ix] - lines[2, ix]
            for u in range(ry + 1):
                _add_scaled(plane[u, 0], even, waves_y[u, iy, 0])
                _add_scaled(plane[u, 1], odd, waves_y[u, iy, 1])
        _add_plane(plane, waves_z, iz, block)
    _sum_x(block, waves_x, values)


@numba.njit(cache=True, nogil=True)
def _product(a: Any, b: Any, real: Any, imag: Any) -> None:
    for k in range(a.shape[0]):
        p, q = a[k], b[k]
        real[k] = p.real * q.real + p.imag * q.imag
        imag[k] = p.imag * q.real - p.real * q.imag


@numba.njit(cache=True, nogil=True)
def _add_plane(plane: Any, waves_z: Any, iz: int, block: Any) -> None:
    rz, ry, nx = waves_z.shape[0] - 1, plane.shape[0] - 1, plane.shape[2] // 2
    for v in range(-ry, ry + 1):
        u = abs(v)
        sign = np.float32(1.0 if v >= 0 else -1.0)
        for w in range(-rz, rz + 1):
            c = waves_z[abs(w), iz, 0]
            s = waves_z[abs(w), iz, 1] * np.float32(1.0 if w >= 0 else -1.0)
            to_real, to_imag = block[w + rz, v + ry, 0], block[w + rz, v + ry, 1]
            for ix in range(nx):
                r = plane[u, 0, ix] - sign * plane[u, 1, ix]
                i = plane[u, 0, nx + ix] + sign * plane[u, 1, nx + ix]
                to_real[ix] += r * c - i * s
                to_imag[ix] += r * s + i * c


@numba.njit(cache=True, nogil=True)
def _sum_x(block: Any, waves_x: Any, values: Any) -> None:
    rx, nx = waves_x.shape[0] - 1, waves_x.shape[1]
    for w in range(block.shape[0]):
        for v in range(block.shape[1]):
            for u in range(rx + 1):
                cosine, sine = 0.0, 0.0
                for ix in range(nx):
                    cosine += block[w, v, 0, ix] * waves_x[u, ix, 0]
                    sine += block[w, v, 1, ix] * waves_x[u, ix, 1]
                values[w, v, rx + u] = cosine - sine
                values[w, v, rx - u] = cosine + sine
