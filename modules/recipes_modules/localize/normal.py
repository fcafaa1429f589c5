"""Normal equations of a fit and their solution, compiled: a few parameters, a few dozen pixels."""

from __future__ import annotations

import math
from typing import Any

import numba

from recipes_modules.localize.psf import FAST


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def accumulate(rows: Any, weights: Any, residuals: Any, p: int, n: int, matrix: Any, vector: Any) -> None:
    """Sums over pixels: ``matrix = rows W rows^T`` (lower triangle) and ``vector = rows W residuals``.

    Parameters
    ----------
    rows : array (>= p + 1, >= n) float32
        Derivatives of the model by each parameter; the row after the last parameter's is scratch.
    weights, residuals : array (>= n) float32
        Weight of each pixel; residual times weight.
    p, n : int
        Parameters; pixels, a multiple of `LANES`.
    """
    zero = rows[0, 0] * 0
    for a in range(p):
        total = zero
        for i in range(n):
            total += residuals[i] * rows[a, i]
            rows[p, i] = weights[i] * rows[a, i]
        vector[a] = total
        for b in range(a + 1):
            total = zero
            for i in range(n):
                total += rows[p, i] * rows[b, i]
            matrix[a, b] = total


@numba.njit(cache=True, nogil=True)
def factor(matrix: Any, p: int, lower: Any) -> bool:
    """Cholesky factor of the lower triangle, scaled to unit diagonal for the test; False where it is not positive definite."""
    for a in range(p):
        diagonal = matrix[a, a]
        total = diagonal
        for c in range(a):
            total -= lower[a, c] * lower[a, c]
        if not total > 1e-9 * diagonal:
            return False
        # The diagonal holds inverses: divisions are slow and each would be needed again.
        inverse = 1.0 / math.sqrt(total)
        lower[a, a] = inverse
        for b in range(a + 1, p):
            total = matrix[b, a]
            for c in range(a):
                total -= lower[b, c] * lower[a, c]
            lower[b, a] = total * inverse
    return True


@numba.njit(cache=True, nogil=True)
def solve(lower: Any, p: int, vector: Any, result: Any) -> None:
    """Solve with the factor from `factor`."""
    for a in range(p):
        total = vector[a]
        for c in range(a):
            total -= lower[a, c] * result[c]
        result[a] = total * lower[a, a]
    for a in range(p - 1, -1, -1):
        total = result[a]
        for c in range(a + 1, p):
            total -= lower[c, a] * result[c]
        result[a] = total * lower[a, a]


@numba.njit(cache=True, nogil=True)
def inverse_factor(lower: Any, p: int, inverse: Any) -> None:
    """Inverse of the factor from `factor` (with a true diagonal): the inverse matrix is its transpose times itself."""
    for b in range(p):
        inverse[b, b] = lower[b, b]
        for a in range(b + 1, p):
            total = 0.0
            for c in range(b, a):
                total -= lower[a, c] * inverse[c, b]
            inverse[a, b] = total * lower[a, a]


@numba.njit(cache=True, nogil=True)
def variance(inverse: Any, p: int, a: int) -> float:
    """Diagonal element `a` of the inverse matrix, from `inverse_factor`."""
    total = 0.0
    for c in range(a, p):
        total += inverse[c, a] * inverse[c, a]
    return total


@numba.njit(cache=True, nogil=True)
def covariance(inverse: Any, p: int, a: int, b: int) -> float:
    """Element of the inverse matrix, from `inverse_factor`."""
    total = 0.0
    for c in range(max(a, b), p):
        total += inverse[c, a] * inverse[c, b]
    return total
