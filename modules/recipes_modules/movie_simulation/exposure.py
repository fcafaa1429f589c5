"""What a camera makes of the light. Importing this file imports numba: do it on use."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GUIDES = 4096
_FAINT = 1e-9


def poisson_table(mean: float) -> tuple[int, Floats, npt.NDArray[np.int64]]:
    """Tables from which numbers of a Poisson law with one mean are drawn: first value, cumulative probabilities, guide into them.

    The background is the same everywhere: looking its counts up is many times faster than drawing each anew.
    """
    from scipy.special import pdtr

    reach = 9 * math.sqrt(mean) + 30
    first = max(0, int(mean - reach))
    cumulative = pdtr(np.arange(first, int(mean + reach) + 2), mean) if mean > 0 else np.ones(1)
    cumulative[-1] = 1.0
    guide = np.searchsorted(cumulative, np.arange(GUIDES) / GUIDES, side="right")
    return first, cumulative, np.minimum(guide, len(cumulative) - 1)


@numba.njit(cache=True, nogil=True)
def expose(
    rng: Any, signal: Any, first: int, cumulative: Any, guide: Any, em_gain: float, multiplied: bool, full_well: float,
    dark: Any, per_electron: Any, noise: Any, full_scale: float, out: Any,
) -> int:  # fmt: skip
    """Counts of one frame; returns the number of pixels at the full scale.

    Parameters
    ----------
    rng : numpy.random.Generator
    signal : array (y, x) float
        Photons expected from the emitters.
    first, cumulative, guide
        Of the background: `poisson_table`.
    em_gain : float
    multiplied : bool
        Whether electrons go through an EM register: n become a number of the gamma law of shape n and scale `em_gain` (Basden et
        al. 2003, doi:10.1046/j.1365-8711.2003.07020.x).
    full_well : float
        Most electrons that a pixel (or the register) holds.
    dark, per_electron, noise : array (y, x)
        Offset in ADU, ADU per electron behind the register, read noise in electrons behind the register.
    full_scale : float
        Highest number that the converter gives.
    out : array (y, x) of an integer type
    """
    height, width = signal.shape
    full = 0
    for i in range(height):
        for j in range(width):
            u = rng.random()
            k = guide[int(u * GUIDES)]
            while cumulative[k] <= u:
                k += 1
            electrons = float(first + k)
            if signal[i, j] > _FAINT:
                electrons += rng.poisson(signal[i, j])
            if multiplied and electrons > 0:
                electrons = em_gain * rng.standard_gamma(electrons)
            electrons = min(electrons, full_well)
            if noise[i, j] > 0:
                electrons += noise[i, j] * rng.standard_normal()
            counts = math.floor(dark[i, j] + per_electron[i, j] * electrons + 0.5)
            full += counts >= full_scale
            out[i, j] = int(min(max(counts, 0.0), full_scale))
    return full
