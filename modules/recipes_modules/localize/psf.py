"""A Gaussian along an axis and its derivatives, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

LANES = 8
"""Tables along an axis have a multiple of this length, so that compiled loops need little remainder."""

# Not 'nnan' and 'ninf': whether a number is finite must stay a question.
FAST = {"contract", "reassoc", "nsz", "arcp"}
OUTER: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
INNER: dict[str, Any] = {**OUTER, "no_cpython_wrapper": True}
MERGED: dict[str, Any] = {**OUTER, "inline": "always"}
"""Options of compiled functions. Each is compiled again within every function that calls it, so the first run takes the longer the deeper
calls are nested: inner ones have nothing that only Python calls need; merged ones, which few others call, become part of their callers."""

_EXP_STEPS = 64.0
_FARTHEST = 60.0
_ROOT_PI = math.sqrt(math.pi)
_ROOT_2 = np.float32(math.sqrt(2.0))
_LN_2 = np.float32(math.log(2.0))
_HALF, _TWO = np.float32(0.5), np.float32(2.0)
_C3, _C5, _C7 = np.float32(2 / 3), np.float32(2 / 5), np.float32(2 / 7)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy", inline="always")
def exp_erf(t: float) -> tuple[float, float]:
    """``exp(-t^2)`` and ``erf(t)``, free of branches and calls so that loops over it become vector code.

    The exponential is a short series at ``t^2 / 64``, raised to the 64th power (absolute error below 1e-9). The error function
    is the rational form 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions" (error below 1.5e-7).
    """
    u = min(t * t, _FARTHEST) / _EXP_STEPS
    e = 1.0 - u * (1.0 - u * (1 / 2 - u * (1 / 6 - u * (1 / 24 - u * (1 / 120)))))
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    s = 1.0 / (1.0 + 0.3275911 * abs(t))
    rest = s * (0.254829592 + s * (-0.284496736 + s * (1.421413741 + s * (-1.453152027 + s * 1.061405429)))) * e
    return e, math.copysign(1.0 - rest, t)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy", inline="always")
def logarithm(x: float) -> float:
    """Natural logarithm of a normal float32 above 0, relative to its size within 2e-7; likewise free of branches and calls."""
    bits = np.float32(x).view(np.int32)
    exponent = np.float32((bits >> 23) - 127)
    mantissa = np.int32((bits & 0x7FFFFF) | 0x3F800000).view(np.float32)
    s = (mantissa - _ROOT_2) / (mantissa + _ROOT_2)
    q = s * s
    return (exponent + _HALF) * _LN_2 + s * (_TWO + q * (_C3 + q * (_C5 + q * _C7)))


@numba.njit(**INNER, fastmath=FAST)
def integrated(centre: float, sigma: float, n: int, work: Any, table: Any) -> None:
    """Gaussian of sum 1 integrated over the pixels 0 to ``n - 2`` of an axis, with its derivatives.

    Parameters
    ----------
    centre, sigma : float
        In pixels; 0 is the centre of the first pixel.
    n : int
        Edges of pixels, a multiple of `LANES`.
    work : array (3, > n) float32
        Scratch.
    table : array (3, >= n) float32
        Receives the integral, its derivative by `centre` and its derivative by `sigma`. Entry ``n - 1`` is finite and means nothing.
    """
    scale = 1.0 / (math.sqrt(2.0) * sigma)
    for j in range(n):
        t = (j - 0.5 - centre) * scale
        e, f = exp_erf(t)
        work[0, j] = 0.5 * f
        work[1, j] = e
        work[2, j] = t * e
    by_centre = np.float32(-scale / _ROOT_PI)
    by_sigma = np.float32(-1.0 / (_ROOT_PI * sigma))
    for j in range(n):
        table[0, j] = work[0, j + 1] - work[0, j]
        table[1, j] = by_centre * (work[1, j + 1] - work[1, j])
        table[2, j] = by_sigma * (work[2, j + 1] - work[2, j])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def width_at(curve: Any, z: float) -> tuple[float, float]:
    """Width and its derivative by z from ``curve`` = (w0, c, d, A, B): ``w0 sqrt(1 + u^2 + A u^3 + B u^4)``, ``u = (z - c) / d``.

    The defocus curve of B. Huang et al., Science 319, 810 (2008), doi:10.1126/science.1153529. The root's content is held at 0.05.
    """
    u = (z - curve[1]) / curve[2]
    square = 1.0 + u * u * (1.0 + u * (curve[3] + u * curve[4]))
    if square < 0.05:
        return curve[0] * math.sqrt(0.05), 0.0
    width = curve[0] * math.sqrt(square)
    slope = u * (2.0 + u * (3.0 * curve[3] + u * 4.0 * curve[4])) / curve[2]
    return width, curve[0] * curve[0] * slope / (2.0 * width)
