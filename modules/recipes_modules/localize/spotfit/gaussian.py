"""Gaussian spots on the pixels of a region: values, weights, and sums over pixels of products of derivatives, compiled.

A spot is a product of a function of x and one of y. Sums over a row of pixels therefore need the functions of x alone, and the sums of the
rows are then put together with the functions of y.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.spotfit.models import (
    GROUND,
    HALF,
    INNER,
    LEAST_EXPECTED,
    NUMBER,
    ONE,
    PLANE,
    SIGMA_X,
    SIGMA_Y,
    SLOPE_X,
    SLOPE_Y,
    ZERO,
    X,
    Y,
)
from recipes_modules.localize.spotfit.pixels import TRUSTED
from recipes_modules.localize.spotfit.vectors import (
    WIDTH,
    absolute,
    add,
    exponent,
    load,
    nearest,
    scaled,
    signed,
    splat,
    store,
    where_less,
)

ENTRIES, PLANE_ENTRIES = 21, 36
"""Elements of the lower triangles of matrices of the six and the eight parameters of `expand`."""

_FARTHEST = np.float32(60)
_LOG2_E = np.float32(1 / math.log(2))
_E1, _E2, _E3, _E4, _E5, _E6 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in range(1, 7))
_A1, _A2, _A3, _A4, _A5 = (np.float32(v) for v in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))
_AP = np.float32(0.3275911)
_ROOT_HALF, _ROOT_2 = np.float32(math.sqrt(0.5)), np.float32(math.sqrt(2))
_BY_CENTRE, _BY_SIGMA = np.float32(1 / math.sqrt(math.pi)), np.float32(math.sqrt(2 / math.pi))
_LN_2, _TWO = np.float32(math.log(2)), np.float32(2)
_C3, _C5, _C7 = np.float32(2 / 3), np.float32(2 / 5), np.float32(2 / 7)
_LEAST_COUNT = np.float32(1e-6)


@numba.njit(**INNER)
def bell(t: Any) -> Any:
    """``exp(-t^2)``: a power of two, and a series for what is left of the exponent (relative error below 2e-7 near 0)."""
    square = t * t
    power = where_less(square, _FARTHEST, square, _FARTHEST) * (-_LOG2_E)
    whole = nearest(power)
    r = power - whole
    return scaled(ONE + r * (_E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * _E6))))), whole)


@numba.njit(**INNER)
def half_error_function(t: Any, e: Any) -> Any:
    """``erf(t) / 2`` from ``e = exp(-t^2)``.

    The rational form 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions" (error of erf below 1.5e-7).
    """
    s = ONE / (ONE + _AP * absolute(t))
    rest = s * (_A1 + s * (_A2 + s * (_A3 + s * (_A4 + s * _A5)))) * e
    return signed(HALF - HALF * rest, t)


@numba.njit(**INNER)
def logarithm(x: Any) -> Any:
    """Natural logarithm of normal float32 numbers above 0, relative to its size within 2e-7."""
    power = exponent(x)
    mantissa = scaled(x, ZERO - power)
    s = (mantissa - _ROOT_2) / (mantissa + _ROOT_2)
    q = s * s
    return (power + HALF) * _LN_2 + s * (_TWO + q * (_C3 + q * (_C5 + q * _C7)))


@numba.njit(**INNER)
def tabulate(model: int, full: Any, ny: int, nx: int, edges: Any, of_x: Any, of_y: Any) -> None:
    """The functions of x and of y, and their derivatives by centre and width, at every column and row.

    Parameters
    ----------
    model : int
    full : array (EXPANDED,)
        See `expand`.
    ny, nx : int
        Size of the region.
    edges : array (3 (max(ny, nx) + 1) WIDTH,)
        Scratch.
    of_x, of_y : array (3 nx WIDTH,), (3 ny WIDTH,)
        Receive vectors: the function at each column (row), then its derivatives by x and by sigma_x (by y and by sigma_y).
    """
    if model >= PLANE:
        sample(load(full, X), load(full, SIGMA_X), nx, of_x)
        sample(load(full, Y), load(full, SIGMA_Y), ny, of_y)
    else:
        integrate(load(full, X), load(full, SIGMA_X), nx, edges, of_x)
        integrate(load(full, Y), load(full, SIGMA_Y), ny, edges, of_y)


@numba.njit(**INNER)
def integrate(centre: Any, sigma: Any, n: int, edges: Any, table: Any) -> None:
    """A Gaussian of sum 1 integrated over pixels, and its derivatives by centre and width."""
    scale = _ROOT_HALF / sigma
    length = (n + 1) * WIDTH
    for j in range(n + 1):
        t = (np.float32(j - 0.5) - centre) * scale
        e = bell(t)
        store(edges, j * WIDTH, half_error_function(t, e))
        store(edges, length + j * WIDTH, e)
        store(edges, 2 * length + j * WIDTH, t * e)
    by_centre, by_sigma = scale * _BY_CENTRE, scale * _BY_SIGMA
    size = n * WIDTH
    for at in range(0, size, WIDTH):
        after = at + WIDTH
        store(table, at, load(edges, after) - load(edges, at))
        store(table, size + at, by_centre * (load(edges, length + at) - load(edges, length + after)))
        store(table, 2 * size + at, by_sigma * (load(edges, 2 * length + at) - load(edges, 2 * length + after)))


@numba.njit(**INNER)
def sample(centre: Any, sigma: Any, n: int, table: Any) -> None:
    """A Gaussian of height 1 at the centres of pixels, and its derivatives by centre and width."""
    scale = _ROOT_HALF / sigma
    by_centre, by_sigma = _TWO * scale, _TWO / sigma
    size = n * WIDTH
    for j in range(n):
        t = (np.float32(j) - centre) * scale
        e = bell(t)
        slope = t * e
        store(table, j * WIDTH, e)
        store(table, size + j * WIDTH, by_centre * slope)
        store(table, 2 * size + j * WIDTH, by_sigma * t * slope)


@numba.njit(**INNER)
def weigh(
    full: Any, ny: int, nx: int, of_x: Any, of_y: Any, data: Any, added: Any, anew: Any, weights: Any, residuals: Any
) -> Any:  # fmt: skip
    """Residuals times weight, where a lane of `anew` is 1 with the weights 1 / expected variance; returns the weighted sums of squares."""
    number, total = load(full, NUMBER), splat(ZERO)
    slope_x, slope_y = load(full, SLOPE_X), load(full, SLOPE_Y)
    level = load(full, GROUND) - slope_x * load(full, X) - slope_y * load(full, Y)
    for i in range(ny):
        u = number * load(of_y, i * WIDTH)
        base = level + slope_y * np.float32(i)
        for j in range(nx):
            k = (i * nx + j) * WIDTH
            value = base + slope_x * np.float32(j) + u * load(of_x, j * WIDTH)
            variance = value + load(added, k)
            w = where_less(HALF, anew, ONE / where_less(variance, LEAST_EXPECTED, LEAST_EXPECTED, variance), load(weights, k))
            off = load(data, k) - value
            r = off * w
            store(weights, k, w)
            store(residuals, k, r)
            total += off * r
    return total


@numba.njit(**INNER)
def deviance(full: Any, ny: int, nx: int, of_x: Any, of_y: Any, data: Any, added: Any) -> Any:
    """Twice the log-likelihood ratio of the saturated model, in which each pixel has a mean of its own, to this one without slopes."""
    number, level, total = load(full, NUMBER), load(full, GROUND), splat(ZERO)
    for i in range(ny):
        u = number * load(of_y, i * WIDTH)
        for j in range(nx):
            k = (i * nx + j) * WIDTH
            extra = load(added, k)
            m = level + u * load(of_x, j * WIDTH) + extra
            m = where_less(m, LEAST_EXPECTED, LEAST_EXPECTED, m)
            d = load(data, k) + extra
            d = where_less(d, _LEAST_COUNT, _LEAST_COUNT, d)
            total += where_less(extra, TRUSTED, m - d + d * logarithm(d / m), ZERO)
    return _TWO * total


@numba.njit(**INNER)
def accumulate(
    full: Any, ny: int, nx: int, of_x: Any, of_y: Any, weights: Any, residuals: Any, matrix: Any, vector: Any
) -> None:  # fmt: skip
    """Sums over pixels of weight times the products of two derivatives (lower triangle), and of residual times derivative.

    The derivatives are those by x, y, N, background, sigma_x and sigma_y. In the names below p stands for sums over a row of weights, q of
    residuals; g, c and s for the function of x and its derivatives by centre and width; u, v, t for those of y.
    """
    zero, number = splat(ZERO), load(full, NUMBER)
    for entry in range(ENTRIES):
        store(matrix, entry * WIDTH, zero)
    for a in range(6):
        store(vector, a * WIDTH, zero)
    size = nx * WIDTH
    for i in range(ny):
        p = pg = pc = ps = pgg = pgc = pgs = pcc = pcs = pss = q = qg = qc = qs = zero
        for j in range(nx):
            k, at = (i * nx + j) * WIDTH, j * WIDTH
            w, r = load(weights, k), load(residuals, k)
            g, c, s = load(of_x, at), load(of_x, size + at), load(of_x, 2 * size + at)
            wg, wc, ws = w * g, w * c, w * s
            p, pg, pc, ps = p + w, pg + wg, pc + wc, ps + ws
            pgg, pgc, pgs = pgg + wg * g, pgc + wg * c, pgs + wg * s
            pcc, pcs, pss = pcc + wc * c, pcs + wc * s, pss + ws * s
            q, qg, qc, qs = q + r, qg + r * g, qc + r * c, qs + r * s
        u, v, t = load(of_y, i * WIDTH), load(of_y, (ny + i) * WIDTH), load(of_y, (2 * ny + i) * WIDTH)
        nu, nv, nt = number * u, number * v, number * t
        nupgc, nvpgg, nupgs, ntpgg = nu * pgc, nv * pgg, nu * pgs, nt * pgg
        add(matrix, 0 * WIDTH, nu * nu * pcc)
        add(matrix, 1 * WIDTH, nv * nupgc)
        add(matrix, 2 * WIDTH, nv * nvpgg)
        add(matrix, 3 * WIDTH, u * nupgc)
        add(matrix, 4 * WIDTH, u * nvpgg)
        add(matrix, 5 * WIDTH, u * u * pgg)
        add(matrix, 6 * WIDTH, nu * pc)
        add(matrix, 7 * WIDTH, nv * pg)
        add(matrix, 8 * WIDTH, u * pg)
        add(matrix, 9 * WIDTH, p)
        add(matrix, 10 * WIDTH, nu * nu * pcs)
        add(matrix, 11 * WIDTH, nv * nupgs)
        add(matrix, 12 * WIDTH, u * nupgs)
        add(matrix, 13 * WIDTH, nu * ps)
        add(matrix, 14 * WIDTH, nu * nu * pss)
        add(matrix, 15 * WIDTH, nt * nupgc)
        add(matrix, 16 * WIDTH, nt * nvpgg)
        add(matrix, 17 * WIDTH, u * ntpgg)
        add(matrix, 18 * WIDTH, nt * pg)
        add(matrix, 19 * WIDTH, nt * nupgs)
        add(matrix, 20 * WIDTH, nt * ntpgg)
        add(vector, 0 * WIDTH, nu * qc)
        add(vector, 1 * WIDTH, nv * qg)
        add(vector, 2 * WIDTH, u * qg)
        add(vector, 3 * WIDTH, q)
        add(vector, 4 * WIDTH, nu * qs)
        add(vector, 5 * WIDTH, nt * qg)


@numba.njit(**INNER)
def accumulate_plane(
    full: Any, ny: int, nx: int, of_x: Any, of_y: Any, weights: Any, residuals: Any, matrix: Any, vector: Any
) -> None:  # fmt: skip
    """`accumulate` for the two slopes, the parameters after the widths; h stands for the distance from the centre along x."""
    zero, number = splat(ZERO), load(full, NUMBER)
    x, y = load(full, X), load(full, Y)
    for entry in range(ENTRIES, PLANE_ENTRIES):
        store(matrix, entry * WIDTH, zero)
    store(vector, 6 * WIDTH, zero)
    store(vector, 7 * WIDTH, zero)
    size = nx * WIDTH
    for i in range(ny):
        p = pg = pc = ps = ph = pgh = pch = psh = phh = q = qh = zero
        for j in range(nx):
            k, at = (i * nx + j) * WIDTH, j * WIDTH
            w, r = load(weights, k), load(residuals, k)
            g, c, s = load(of_x, at), load(of_x, size + at), load(of_x, 2 * size + at)
            h = np.float32(j) - x
            wh = w * h
            p, pg, pc, ps = p + w, pg + w * g, pc + w * c, ps + w * s
            ph, pgh, pch, psh, phh = ph + wh, pgh + wh * g, pch + wh * c, psh + wh * s, phh + wh * h
            q, qh = q + r, qh + r * h
        u, v, t = load(of_y, i * WIDTH), load(of_y, (ny + i) * WIDTH), load(of_y, (2 * ny + i) * WIDTH)
        nu, nv, nt = number * u, number * v, number * t
        d = np.float32(i) - y
        dp, dpg = d * p, d * pg
        add(matrix, 21 * WIDTH, nu * pch)
        add(matrix, 22 * WIDTH, nv * pgh)
        add(matrix, 23 * WIDTH, u * pgh)
        add(matrix, 24 * WIDTH, ph)
        add(matrix, 25 * WIDTH, nu * psh)
        add(matrix, 26 * WIDTH, nt * pgh)
        add(matrix, 27 * WIDTH, phh)
        add(matrix, 28 * WIDTH, nu * d * pc)
        add(matrix, 29 * WIDTH, nv * dpg)
        add(matrix, 30 * WIDTH, u * dpg)
        add(matrix, 31 * WIDTH, dp)
        add(matrix, 32 * WIDTH, nu * d * ps)
        add(matrix, 33 * WIDTH, nt * dpg)
        add(matrix, 34 * WIDTH, d * ph)
        add(matrix, 35 * WIDTH, d * dp)
        add(vector, 6 * WIDTH, qh)
        add(vector, 7 * WIDTH, d * q)
