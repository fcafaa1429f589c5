"""Smoothing splines with a bound on the residuals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ROUNDS = 60


def smoothing_spline(x: Floats, y: Floats, degree: int, bound: float) -> Any:
    """The smoothest spline whose squared distances from the values add up to at most `bound` (Reinsch 1967, doi:10.1007/BF02162161).

    Of all splines of this degree with a knot at every value, the one that has the least integral of the square of its m-th
    derivative, m being half of the degree plus one. Unlike splines whose knots are chosen one by one until the bound is met, it
    changes smoothly with the data and does not swing between knots.

    Parameters
    ----------
    x : array (n,)
        Increasing; n above `degree`.
    y : array (n,)
    degree : int
        1 to 5.
    bound : float
        0 goes through every value.

    Returns
    -------
    scipy.interpolate.BSpline
    """
    from scipy.interpolate import BSpline, make_interp_spline
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    exact = make_interp_spline(x, y, k=degree)
    if bound <= 0 or len(x) <= degree + 1:
        return exact
    knots = exact.t
    design = csc_array(BSpline.design_matrix(x, knots, degree))
    penalty = _penalty(knots, degree, (degree + 1) // 2)
    normal, right = (design.T @ design).tocsc(), design.T @ y
    scale = abs(normal).max() / abs(penalty).max()

    def fit(log_weight: float) -> tuple[Floats, float]:
        coefficients = splu((normal + scale * 10.0**log_weight * penalty).tocsc()).solve(right)
        return coefficients, float(np.sum((design @ coefficients - y) ** 2))

    # The residuals grow with the weight of the penalty, from none to those of a polynomial.
    low, high = -14.0, 14.0
    if fit(high)[1] <= bound:
        return BSpline(knots, fit(high)[0], degree)
    if fit(low)[1] > bound:
        return exact
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if fit(middle)[1] <= bound else (low, middle)
    return BSpline(knots, fit(low)[0], degree)


def _penalty(knots: Floats, degree: int, order: int) -> Any:
    """Integrals of products of the basis functions' derivatives, by Gauss's rule, which is exact for them."""
    from scipy.interpolate import BSpline
    from scipy.sparse import csc_array, diags_array

    edges = np.unique(knots)
    nodes, weights = np.polynomial.legendre.leggauss(degree + 1)
    half = np.diff(edges) / 2
    at = (edges[:-1] + half)[:, np.newaxis] + half[:, np.newaxis] * nodes
    weight = (half[:, np.newaxis] * weights).ravel()
    n = len(knots) - degree - 1
    lower = BSpline(knots, np.eye(n), degree).derivative(order)
    # Derivatives have few basis functions at each place; what is zero is not kept.
    values = csc_array(lower(at.ravel()))
    return (values.T @ diags_array(weight) @ values).tocsc()
