"""Standard errors from the scatter of blocks of localizations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BLOCKS = 40
"""Blinks that last several frames count as one measurement as long as they are short compared with a block."""


def block_error(scores: Floats, curvature: Floats) -> Floats:
    """Standard error of a shift at which scores add up to zero (the sandwich estimator, over blocks of rows in a row).

    What goes on linearly from block to block is the motion of the sample while the chunk was recorded and does not count.

    Parameters
    ----------
    scores : array (n, d)
        What each localization adds to the slope of the sum that is maximal at the shift; in the order of frames.
    curvature : array (d, d)
        Minus the second derivative of the sum.

    Returns
    -------
    array (d,), infinite where the sum has no maximum
    """
    n_blocks = min(BLOCKS, len(scores))
    edges = np.linspace(0, len(scores), n_blocks + 1).astype(np.int64)
    sums = np.add.reduceat(scores, edges[:-1], axis=0)
    time = np.column_stack([np.ones(n_blocks), np.linspace(-1, 1, n_blocks)])
    rest = sums - time @ np.linalg.lstsq(time, sums, rcond=None)[0]
    free = max(1, n_blocks - 2)
    meat = rest.T @ rest * (n_blocks / free)
    if np.linalg.cond(curvature) > 1e8:
        return np.full(len(curvature), np.inf)
    bread = np.linalg.inv(curvature)
    return np.sqrt(np.maximum(np.diag(bread @ meat @ bread.T), 0.0))
