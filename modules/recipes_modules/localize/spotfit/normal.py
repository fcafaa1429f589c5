"""Normal equations in lanes: from all derivatives to a model's own, solution, inverse, compiled.

Symmetric matrices are stored as their lower triangles, row after row: element (a, b) begins at ``PLACE[a, b]``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from recipes_modules.localize.spotfit.models import (
    DEPTH,
    INNER,
    MOST,
    ONE,
    PLANE,
    RATE_X,
    RATE_Y,
    SIGMA,
    SLOPE_X,
    ZERO,
)
from recipes_modules.localize.spotfit.vectors import WIDTH, load, narrowed, splat, store, where_less, widened

SINGULAR = 1e-6
"""A parameter of whose information the others leave less than this part is not determined (single precision ends at 1e-7)."""

_LEAST_CURVATURE, _MOST_CURVATURE = np.float32(0.4), np.float32(2.5)


PLACE = np.array([[(max(a, b) * (max(a, b) + 1) // 2 + min(a, b)) * WIDTH for b in range(MOST)] for a in range(MOST)])
"""Where each element of a symmetric matrix begins."""


@numba.njit(**INNER)
def contract(model: int, full: Any, matrix: Any, vector: Any) -> None:
    """From the sums for the parameters of `expand` to those for a model's, in place, by the chain rule."""
    size = 8 if model >= PLANE else 6
    for target in range(5):
        source, own, other = 3, splat(ONE), splat(ONE)
        if target < 2 and model >= PLANE:
            # The background is the plane's height at the spot: it moves along.
            other = ZERO - load(full, SLOPE_X + target * WIDTH)
        elif target == 4 and model in (SIGMA, DEPTH, PLANE):
            # Both widths follow from one number.
            source = 5
            if model == DEPTH:
                own, other = load(full, RATE_X), load(full, RATE_Y)
        else:
            continue
        combine(matrix, vector, size, target, source, own, other)
    if model == PLANE:
        for a in range(5, 7):
            for b in range(a + 1):
                store(matrix, PLACE[a, b], load(matrix, PLACE[a + 1, b if b < 5 else b + 1]))
            store(vector, a * WIDTH, load(vector, (a + 1) * WIDTH))


@numba.njit(**INNER)
def combine(matrix: Any, vector: Any, p: int, target: int, source: int, own: Any, other: Any) -> None:
    """The derivative by one parameter becomes `own` times itself plus `other` times that by another parameter."""
    crossed = own * load(matrix, PLACE[target, source])
    square = own * own * load(matrix, PLACE[target, target]) + other * (
        np.float32(2) * crossed + other * load(matrix, PLACE[source, source])
    )
    for a in range(p):
        if a != target:
            place = PLACE[target, a]
            store(matrix, place, own * load(matrix, place) + other * load(matrix, PLACE[source, a]))
    store(matrix, PLACE[target, target], square)
    place = target * WIDTH
    store(vector, place, own * load(vector, place) + other * load(vector, source * WIDTH))


@numba.njit(**INNER)
def factor(matrix: Any, p: int, damping: Any, lower: Any, scaled: Any, inverse: Any) -> Any:
    """Factors L D L^T in double precision of matrices whose diagonals are raised by a part `damping`.

    Parameters
    ----------
    matrix : array (triangle,) float32
    p : int
    damping : vector float32
    lower, scaled : array (triangle,) float64
        Receive L (its diagonal is 1, not written), and L D.
    inverse : array (p,) float64
        Receives 1 / D.

    Returns
    -------
    vector float32
        1 in lanes where the matrix is positive definite, else 0; what is written there means nothing.
    """
    good = splat(ONE)
    for a in range(p):
        raised = widened(load(matrix, PLACE[a, a]) * (ONE + damping))
        total = raised
        for c in range(a):
            total -= load(lower, PLACE[a, c]) * load(scaled, PLACE[a, c])
        good = where_less(ZERO, narrowed(where_less(SINGULAR * raised, total, 1.0, 0.0)), good, ZERO)
        part = 1.0 / total
        store(inverse, a * WIDTH, part)
        for b in range(a + 1, p):
            total = widened(load(matrix, PLACE[b, a]))
            for c in range(a):
                total -= load(lower, PLACE[b, c]) * load(scaled, PLACE[a, c])
            store(scaled, PLACE[b, a], total)
            store(lower, PLACE[b, a], total * part)
    return good


@numba.njit(**INNER)
def solve(lower: Any, inverse: Any, p: int, vector: Any, work: Any, result: Any) -> None:
    """Solve with the factors of `factor`; `work` (p,) float64 is scratch."""
    for a in range(p):
        total = widened(load(vector, a * WIDTH))
        for c in range(a):
            total -= load(lower, PLACE[a, c]) * load(work, c * WIDTH)
        store(work, a * WIDTH, total)
    for a in range(p - 1, -1, -1):
        total = load(work, a * WIDTH) * load(inverse, a * WIDTH)
        for c in range(a + 1, p):
            total -= load(lower, PLACE[c, a]) * load(work, c * WIDTH)
        store(work, a * WIDTH, total)
        store(result, a * WIDTH, narrowed(total))


@numba.njit(**INNER)
def invert(lower: Any, scaled: Any, inverse: Any, p: int, result: Any) -> None:
    """The inverse matrices (triangle,) float64 from the factors of `factor`; `scaled` is used up."""
    # The inverse of L, from the left column to the right.
    for b in range(p):
        for a in range(b + 1, p):
            total = 0.0 - load(lower, PLACE[a, b])
            for c in range(b + 1, a):
                total -= load(lower, PLACE[a, c]) * load(scaled, PLACE[c, b])
            store(scaled, PLACE[a, b], total)
    for a in range(p):
        for b in range(a + 1):
            total = load(inverse, a * WIDTH)
            if a > b:
                total = total * load(scaled, PLACE[a, b])
            for c in range(a + 1, p):
                total += load(scaled, PLACE[c, a]) * load(scaled, PLACE[c, b]) * load(inverse, c * WIDTH)
            store(result, PLACE[a, b], total)


@numba.njit(**INNER)
def product(one: Any, other: Any, p: int) -> Any:
    """Sum of the products of the first `p` elements."""
    total = splat(ZERO)
    for at in range(0, p * WIDTH, WIDTH):
        total += load(one, at) * load(other, at)
    return total


@numba.njit(**INNER)
def secant(matrix: Any, vector: Any, last: Any, before: Any, p: int, step: Any) -> None:
    """Correct a step along the one before it, where two gradients have shown the true curvature.

    The matrix of the normal equations is the expected curvature. The data's own may be another, above all for weak spots, which then
    take many steps that shrink, or change sign, slowly.

    Parameters
    ----------
    matrix, vector : arrays
        Normal equations at the current place.
    last : array (p,)
        The step that led here.
    before : vector
        Product of `last` with the gradient at the place before; nothing is corrected where it is not positive.
    step : array (p,)
        The solution of the normal equations; changed in place.
    """
    now, square = product(last, vector, p), splat(ZERO)
    for a in range(p):
        row = np.float32(0.5) * load(matrix, PLACE[a, a]) * load(last, a * WIDTH)
        for b in range(a):
            row += load(matrix, PLACE[a, b]) * load(last, b * WIDTH)
        square += np.float32(2) * row * load(last, a * WIDTH)
    curvature = (before - now) / square
    curvature = where_less(curvature, _LEAST_CURVATURE, _LEAST_CURVATURE, curvature)
    curvature = where_less(_MOST_CURVATURE, curvature, _MOST_CURVATURE, curvature)
    along = now / square * (ONE / curvature - ONE)
    along = where_less(ZERO, square, along, ZERO)
    along = where_less(ZERO, before, along, ZERO)
    for at in range(0, p * WIDTH, WIDTH):
        store(step, at, load(step, at) + along * load(last, at))


@numba.njit(**INNER)
def spread(covariance: Any, middle: Any, p: int, result: Any) -> None:
    """Diagonals of ``covariance middle covariance`` (p,) float64, for symmetric matrices."""
    for a in range(p):
        total = splat(0.0)
        for b in range(p):
            row = splat(0.0)
            for c in range(p):
                row += widened(load(middle, PLACE[b, c])) * load(covariance, PLACE[a, c])
            total += load(covariance, PLACE[a, b]) * row
        store(result, a * WIDTH, total)
