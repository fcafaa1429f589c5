"""How far the drift at the frame of a knot may lie from the window that the knot stands for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEWEST = 6
"""Knots from which the roughness of the drift shows."""
FAR = 5.0
"""Differences that are so many standard deviations large are jumps."""
# Sums of squares of the weights (-1, 3, -3, 1) of a third difference, and of what is left of them for the steps of a random walk.
_NOISE, _WALK = 20.0, 6.0


def motion_within(positions: Floats, error: Floats, apart: int = 1) -> Floats:
    """Variance of the drift about the course that knots give it.

    A window tells where the sample was on average, not at one frame. What the sample does within a window is taken as the walk
    that it shows from one window to the next: third differences of the positions, which straight and curved courses do not
    have, less their errors. The drift in the middle of a window differs from that of the window by a twelfth of a step's variance.

    Parameters
    ----------
    positions, error : array (n, d)
        Positions of windows in the order of frames, and their standard errors.
    apart : int
        Windows from one to the next that shares no frame with it.

    Returns
    -------
    array (d,)
        Zero where windows are too few to tell.
    """
    result = np.zeros(positions.shape[1])
    if len(positions) < 3 * apart + FEWEST:
        return result
    parts = [positions[k * apart : len(positions) - (3 - k) * apart] for k in range(4)]
    third = parts[3] - 3 * parts[2] + 3 * parts[1] - parts[0]
    for axis in range(len(result)):
        sizes = np.abs(third[:, axis])
        usual = sizes[sizes <= FAR / 0.6745 * np.median(sizes)]
        noise = np.nanmean(error[:, axis] ** 2) if np.isfinite(error[:, axis]).any() else 0.0
        walk = (np.mean(usual**2) - _NOISE * noise) / _WALK if len(usual) else 0.0
        result[axis] = max(walk, 0.0) / 12
    return result
