"""Windows that fade out towards both ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def tukey(n: int, size: float) -> npt.NDArray[np.float64]:
    """Flat in the middle, a cosine over the outer `size` / 2 of each end.

    `scipy.signal.windows` has it too, but the import of scipy.signal costs half a second in every worker.

    Parameters
    ----------
    n : int
        Samples.
    size : float
        Part that fades: 0 none, 1 all of it.
    """
    if n <= 1 or size <= 0:
        return np.ones(n)
    distance = np.minimum(np.arange(n), np.arange(n)[::-1])
    width = min(size, 1.0) * (n - 1) / 2
    return np.where(distance < width, 0.5 * (1 - np.cos(np.pi * np.minimum(distance, width) / width)), 1.0)
