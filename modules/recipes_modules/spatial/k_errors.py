"""How much Ripley's K of positions at random scatters in a rectangle."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NODES = 24
"""Steps of the integrals along each axis."""
RADII = 16
"""Radii at which they are evaluated; between them the result is interpolated."""


def k_error(r: Floats, n: int, width: float, height: float, correction: str) -> Floats:
    """Standard deviation of K at each r of n positions at random.

    Parameters
    ----------
    correction : {'isotropic', 'translation'}
        For the first by the formula of Lotwick and Silverman (1982, doi:10.1111/j.2517-6161.1982.tb01221.x), for the second by
        integrals over the rectangle.
    """
    if correction == "translation":
        return _translation(r, n, width, height)
    area, edge = width * height, 2 * (width + height)
    b = np.pi * r**2 / area * (1 - np.pi * r**2 / area) + (1.0716 * edge * r**3 + 2.2375 * r**4) / area**2
    a1 = (0.21 * edge * r**3 + 1.3 * r**4) / area**2
    a2 = (0.24 * edge * r**5 + 2.62 * r**6) / area**3
    return np.asarray(np.sqrt(area**2 / (n * (n - 1.0)) * (2 * b - a1 + (n - 2) * a2)))


def _translation(r: Floats, n: int, width: float, height: float) -> Floats:
    """K is a U-statistic: its variance comes of that of a pair and that of a pair of which one position is given."""
    nodes = np.linspace(r[-1] / RADII, r[-1], RADII)
    pair, given = np.array([_variances(float(radius), width, height) for radius in nodes]).T
    # They grow about as r^2 and r^5; divided by that they change slowly.
    of_pair = np.interp(r, nodes, pair / nodes**2) * r**2
    of_given = np.interp(r, nodes, given / nodes**5) * r**5
    return np.asarray(np.sqrt((2 * of_pair + 4 * (n - 2) * of_given) / (n * (n - 1.0))))


@lru_cache(maxsize=4 * RADII)
def _variances(radius: float, width: float, height: float) -> tuple[float, float]:
    area = width * height
    middle = (np.arange(NODES) + 0.5) / NODES
    distance, angle = np.meshgrid(radius * middle, 2 * np.pi * (np.arange(4 * NODES) + 0.5) / (4 * NODES))
    u, v = distance * np.cos(angle), distance * np.sin(angle)
    element = distance * (radius / NODES) * (2 * np.pi / (4 * NODES))
    weight = element / ((width - np.abs(u)) * (height - np.abs(v)))
    of_pair = area**2 * weight.sum() - (np.pi * radius**2) ** 2
    # Farther than the radius from an edge it makes no difference how far.
    across, share_x = _places(radius, width, middle)
    down, share_y = _places(radius, height, middle)
    inside_x = (across[:, None] + u.ravel() >= 0) & (across[:, None] + u.ravel() <= width)
    inside_y = (down[:, None] + v.ravel() >= 0) & (down[:, None] + v.ravel() <= height)
    mean = area * (inside_x * weight.ravel()) @ inside_y.T.astype(np.float64)
    share = share_x[:, None] * share_y
    return of_pair, float((share * (mean - (share * mean).sum()) ** 2).sum())


def _places(radius: float, size: float, middle: Floats) -> tuple[Floats, Floats]:
    """Places along an axis, from one edge to the middle, and what part of the axis each stands for."""
    near = 2 * radius / size / len(middle)
    return np.append(radius * middle, size / 2), np.append(np.full(len(middle), near), 1 - near * len(middle))
