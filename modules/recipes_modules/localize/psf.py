"""Models of a spot in compiled code: a Gaussian integrated over pixels. Importing this file imports numba: do it on use."""

from __future__ import annotations

import math
from typing import Any

import numba

LANES = 8
"""Tables along an axis have a multiple of this length, so that compiled loops need no remainder."""

# Not 'nnan' and 'ninf': whether a number is finite must stay a question.
FAST = {"contract", "reassoc", "nsz", "arcp"}

_EXP_STEPS = 64.0
_FARTHEST = 60.0
_ROOT_PI = math.sqrt(math.pi)


def padded(n: int) -> int:
    """Length of the tables for `n` pixels: room for ``n + 1`` edges, rounded up to `LANES`."""
    return (n // LANES + 1) * LANES


@numba.njit(cache=True, nogil=True, fastmath=FAST, inline="always")
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


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def integrated(centre: float, sigma: float, n: int, work: Any, table: Any) -> None:
    """Gaussian of sum 1 integrated over the pixels 0 to ``n - 1`` of an axis, with its derivatives.

    Parameters
    ----------
    centre, sigma : float
        In pixels; 0 is the centre of the first pixel.
    n : int
        Entries to fill, a multiple of `LANES`.
    work : array (3, >= n + 1) float64
        Scratch.
    table : array (3, >= n) float32
        Receives the integral, its derivative by `centre` and its derivative by `sigma`. The last entry holds no pixel.
    """
    scale = 1.0 / (math.sqrt(2.0) * sigma)
    for block in range(0, n, LANES):
        for lane in range(LANES):
            t = (block + lane - 0.5 - centre) * scale
            e, f = exp_erf(t)
            work[0, block + lane] = 0.5 * f
            work[1, block + lane] = e
            work[2, block + lane] = t * e
    by_centre = -scale / _ROOT_PI
    by_sigma = -1.0 / (_ROOT_PI * sigma)
    for block in range(0, n, LANES):
        for lane in range(LANES):
            j = block + lane
            table[0, j] = work[0, j + 1] - work[0, j]
            table[1, j] = by_centre * (work[1, j + 1] - work[1, j])
            table[2, j] = by_sigma * (work[2, j + 1] - work[2, j])


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def sampled(centre: float, sigma: float, n: int, table: Any) -> None:
    """Gaussian of height 1 at the centres of the pixels 0 to ``n - 1``, with its derivatives; as `integrated` otherwise."""
    scale = 1.0 / (math.sqrt(2.0) * sigma)
    for block in range(0, n, LANES):
        for lane in range(LANES):
            j = block + lane
            t = (j - centre) * scale
            e, _ = exp_erf(t)
            table[0, j] = e
            table[1, j] = e * (j - centre) / (sigma * sigma)
            table[2, j] = e * 2.0 * t * t / sigma
