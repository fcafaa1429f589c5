"""Normal equations of a fit and their solution, compiled: a few parameters, a few dozen pixels."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from recipes_modules.localize.psf import FAST, INNER

SINGULAR = 1e-6
"""A parameter of whose information the others leave less than this part is not determined (single precision ends at 1e-7)."""


@numba.njit(**INNER, fastmath=FAST)
def accumulate(rows: Any, weights: Any, residuals: Any, p: int, matrix: Any, vector: Any) -> None:
    """Sums over pixels: ``matrix = rows W rows^T`` (lower triangle) and ``vector = rows residuals``.

    Parameters
    ----------
    rows : array (multiple of 4, n) float32
        Derivatives of the model by each parameter.
    weights, residuals : array (n,) float32
        Weight of each pixel; residual times weight.
    p : int
        Parameters.
    matrix : array (q, q), vector : array (p,)
        With q a multiple of 4; what lies above the diagonal means nothing.
    """
    zero = np.float32(0)
    n = len(weights)
    for a in range(p):
        row = rows[a]
        for b in range(0, a + 1, 4):
            # Four sums in one pass: each weighted derivative is used four times before it is lost.
            r0, r1, r2, r3 = rows[b], rows[b + 1], rows[b + 2], rows[b + 3]
            t, t0, t1, t2, t3 = zero, zero, zero, zero, zero
            for i in range(n):
                weighted = weights[i] * row[i]
                t += residuals[i] * row[i]
                t0 += weighted * r0[i]
                t1 += weighted * r1[i]
                t2 += weighted * r2[i]
                t3 += weighted * r3[i]
            vector[a] = t
            matrix[a, b], matrix[a, b + 1], matrix[a, b + 2], matrix[a, b + 3] = t0, t1, t2, t3


@numba.njit(**INNER)
def factor(matrix: Any, p: int, damping: float, lower: Any, inverse: Any) -> bool:
    """Factors L D L^T of a symmetric matrix, its diagonal raised by a part `damping`; False where it is not positive definite.

    Parameters
    ----------
    matrix : array (p, p)
        Lower triangle.
    lower : array (p, p)
        Receives L below the diagonal, and L D above it.
    inverse : array (p,)
        Receives 1 / D.
    """
    for a in range(p):
        diagonal = matrix[a, a] * (1.0 + damping)
        total = diagonal
        for c in range(a):
            total -= lower[a, c] * lower[c, a]
        if not total > SINGULAR * diagonal:
            return False
        inverse[a] = 1.0 / total
        for b in range(a + 1, p):
            total = matrix[b, a]
            for c in range(a):
                total -= lower[b, c] * lower[c, a]
            lower[a, b] = total
            lower[b, a] = total * inverse[a]
    return True


@numba.njit(**INNER)
def solve(lower: Any, inverse: Any, p: int, vector: Any, result: Any) -> None:
    """Solve with the factors from `factor`."""
    for a in range(p):
        total = vector[a]
        for c in range(a):
            total -= lower[a, c] * result[c]
        result[a] = total
    for a in range(p - 1, -1, -1):
        total = result[a] * inverse[a]
        for c in range(a + 1, p):
            total -= lower[c, a] * result[c]
        result[a] = total


@numba.njit(**INNER)
def invert(lower: Any, inverse: Any, p: int, result: Any) -> None:
    """The inverse matrix (lower triangle and diagonal) from the factors of `factor`; `lower` is used up."""
    # The inverse of L takes the place of L, from the left column to the right.
    for b in range(p):
        for a in range(b + 1, p):
            total = -lower[a, b]
            for c in range(b + 1, a):
                total -= lower[a, c] * result[c, b]
            result[a, b] = total
    for a in range(p):
        for b in range(a + 1):
            total = inverse[a] * (result[a, b] if a > b else 1.0)
            for c in range(a + 1, p):
                total += result[c, a] * result[c, b] * inverse[c]
            lower[a, b] = total
    for a in range(p):
        for b in range(a + 1):
            result[a, b] = lower[a, b]


@numba.njit(**INNER)
def product(one: Any, other: Any, p: int) -> float:
    """Sum of the products of the first `p` elements."""
    total = 0.0
    for a in range(p):
        total += one[a] * other[a]
    return total
