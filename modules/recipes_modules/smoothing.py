"""Smoothing splines with a bound on the residuals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ROUNDS = 60
_FOLDS = 5
_LONGEST = 2000.0
_CLEARLY = 0.5


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


def cross_validated_spline(x: Floats, y: Floats, weight: Floats | None = None) -> Any:
    """The cubic smoothing spline that predicts left out values best.

    The strength of the smoothing is the one for which the curve through four fifths of the values comes nearest to the others, each
    fifth being left out in turn (Wahba & Wold 1975, doi:10.1080/03610927508827223), or a stronger one that does as well within half a
    standard error. The outer values are never left out.

    Parameters
    ----------
    x : array (n,)
        Increasing; n at least 10.
    y : array (n,)
    weight : array (n,), optional
        Inverse variances, up to a factor.

    Returns
    -------
    scipy.interpolate.CubicSpline
    """
    n = len(x)
    # In units of the typical distance the fourth root of the penalty is about the length over which values are averaged.
    unit = float(x[-1] - x[0]) / (n - 1)
    place = (x - x[0]) / unit
    w = np.ones(n) if weight is None else weight / np.mean(weight)
    inner = np.arange(n)[1:-1]

    def missed(length: float) -> Floats:
        result = np.zeros(n)
        for fold in range(_FOLDS):
            out = inner[fold::_FOLDS]
            kept = np.ones(n, dtype=bool)
            kept[out] = False
            curve = natural_spline(place[kept], y[kept], w[kept], length**4)
            result[out] = w[out] * (curve(place[out]) - y[out]) ** 2
        return result[inner]

    lengths = np.geomspace(0.2, min(max(1.0, n / 2), _LONGEST), max(4, int(8 * np.log10(5 * n))))
    losses = np.array([missed(length) for length in lengths])
    best = int(np.argmin(losses.sum(axis=1)))
    # By chance too little smoothing often wins by a hair: the strongest is taken that is not clearly worse.
    for k in range(len(lengths) - 1, best, -1):
        worse = losses[k] - losses[best]
        if worse.sum() <= _CLEARLY * np.sqrt(len(inner)) * worse.std():
            best = k
            break
    length = float(lengths[best])
    return natural_spline(x, y, w, (length * unit) ** 3 * length)


def natural_spline(x: Floats, y: Floats, weight: Floats, penalty: float) -> Any:
    """The curve f with the least sum of weight (y - f)^2 plus penalty times the integral of f''^2 (Reinsch 1967).

    Parameters
    ----------
    x, y, weight : array (n,)
        x increasing; n at least 3.
    penalty : float
        In units of x cubed.

    Returns
    -------
    scipy.interpolate.CubicSpline
    """
    from scipy.interpolate import CubicSpline
    from scipy.linalg import solveh_banded

    gap = np.diff(x)
    before, after = 1 / gap[:-1], 1 / gap[1:]
    middle = -(before + after)
    v = 1 / weight
    # Bands of R + penalty Q^T W^-1 Q, the columns of Q being second differences.
    bands = np.zeros((3, len(x) - 2))
    bands[0] = (gap[:-1] + gap[1:]) / 3 + penalty * (before**2 * v[:-2] + middle**2 * v[1:-1] + after**2 * v[2:])
    bands[1, :-1] = gap[1:-1] / 6 + penalty * (middle[:-1] * v[1:-2] * before[1:] + after[:-1] * v[2:-1] * middle[1:])
    bands[2, :-2] = penalty * after[:-2] * v[2:-2] * before[2:]
    curvature = solveh_banded(bands, np.diff(np.diff(y) / gap), lower=True)
    push = np.zeros(len(x))
    push[:-2] += before * curvature
    push[1:-1] += middle * curvature
    push[2:] += after * curvature
    return CubicSpline(x, y - penalty * v * push, bc_type="natural")
