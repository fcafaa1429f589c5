"""A random walk seen through noise."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


def random_walk(values: Floats, variances: Floats) -> tuple[Floats, Floats, float]:
    """The most probable walk behind noisy values, its standard errors, and the step that the values show.

    Kalman filter and Rauch-Tung-Striebel smoother (1965, doi:10.2514/3.3166) of a walk whose step is normally distributed; the
    variance of the step is the one of maximum likelihood.

    Parameters
    ----------
    values : array (n,)
        One for each frame; whatever where nothing was measured.
    variances : array (n,)
        Of the noise; infinite where nothing was measured.

    Returns
    -------
    walk : array (n,)
    error : array (n,)
        Standard errors.
    step : float
        Standard deviation of the step from one frame to the next.
    """
    from scipy.optimize import minimize_scalar

    seen = np.isfinite(variances)
    filled = np.where(seen, values, 0.0)
    noise = float(np.median(variances[seen]))
    # A step much below the noise over the whole series does nothing; one far above it means that there is no noise.
    low, high = math.log(noise * 1e-3 / max(len(values), 2) ** 2), math.log(max(noise, float(np.var(values[seen])), 1e-12) * 100)
    grid = np.linspace(low, high, 25)
    cost = [_filter(filled, variances, math.exp(g))[0] for g in grid]
    k = int(np.argmin(cost))
    found = minimize_scalar(
        lambda g: _filter(filled, variances, math.exp(g))[0],
        bounds=(float(grid[max(k - 1, 0)]), float(grid[min(k + 1, len(grid) - 1)])), method="bounded", options={"xatol": 0.01},
    )  # fmt: skip
    step = math.exp(float(found.x))
    _, level, spread = _filter(filled, variances, step)
    walk, variance = _smooth(level, spread, step)
    return walk, np.sqrt(variance), math.sqrt(step)


@njit(cache=True, nogil=True)
def _filter(values, variances, step):  # type: ignore[no-untyped-def] # pragma: no cover
    n = len(values)
    level, spread = np.empty(n), np.empty(n)
    cost = 0.0
    known = False
    m, p = 0.0, 0.0
    for f in range(n):
        p += step
        if np.isfinite(variances[f]):
            if known:
                total = p + variances[f]
                left = values[f] - m
                cost += np.log(total) + left * left / total
                m += p / total * left
                p = p * variances[f] / total
            else:
                m, p, known = values[f], variances[f], True
        elif not known:
            p = np.inf
        level[f], spread[f] = m, p
    return cost, level, spread


@njit(cache=True, nogil=True)
def _smooth(level, spread, step):  # type: ignore[no-untyped-def] # pragma: no cover
    n = len(level)
    walk, variance = level.copy(), spread.copy()
    for f in range(n - 2, -1, -1):
        if np.isfinite(spread[f]):
            gain = spread[f] / (spread[f] + step)
            walk[f] = level[f] + gain * (walk[f + 1] - level[f])
            variance[f] = spread[f] + gain * gain * (variance[f + 1] - spread[f] - step)
        else:
            # Before the first value the walk goes back from it.
            walk[f] = walk[f + 1]
            variance[f] = variance[f + 1] + step
    return walk, variance
