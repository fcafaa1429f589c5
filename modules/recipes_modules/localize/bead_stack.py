"""Beads in a stack of planes: where they lie, and their widths in every plane. Importing this file imports numba: do it on use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError
from recipes_modules.localize.fitting import CONVERGED, FitSettings, fit_spots

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

BRIGHT = 10.0
"""A bead stands out of the filtered projection by so many times its noise."""
RELATIVE_PEAK = 1e4
"""Photoelectrons that the brightest pixel is taken for where the camera is not known."""
_MOST_OFF = 2.5
_LEAST_PART = 0.3


@dataclass(frozen=True, eq=False)
class Widths:
    """Widths of beads: rows of plane and bead. Positions in pixels, widths in nm."""

    plane: Array
    bead: Array
    x: Floats
    y: Floats
    widths: Floats
    errors: Floats


def find_beads(planes: Array, sigma: float, half: int) -> tuple[Array, Array]:
    """Pixels of beads that stand alone, brightest first: rows and columns.

    Parameters
    ----------
    planes : array (n, y, x)
        Photoelectrons.
    sigma : float
        Width in focus, pixels.
    half : int
        Beads nearer to each other or to the border than this are left out, unless the whole image is hardly larger.
    """
    from scipy import ndimage

    # A bead is bright in some planes only; the brightest of each pixel keeps it whole.
    smooth = ndimage.gaussian_filter(np.nan_to_num(planes), (0, sigma, sigma)).max(axis=0)
    ny, nx = smooth.shape
    level = np.median(smooth)
    noise = 1.4826 * np.median(np.abs(smooth - level))
    if min(ny, nx) < 4 * half:
        noise = 0.0
    highest = ndimage.maximum_filter(smooth, size=2 * half + 1)
    rows, columns = np.nonzero((smooth == highest) & (smooth > level + max(BRIGHT * noise, 0.1 * (smooth.max() - level))))
    margin = min(half, (min(ny, nx) - 1) // 2)
    inside = (rows >= margin) & (rows < ny - margin) & (columns >= margin) & (columns < nx - margin)
    order = np.argsort(-smooth[rows[inside], columns[inside]], kind="stable")
    return rows[inside][order], columns[inside][order]


def measure(
    planes: Array, variance: Array | float, sigma: float, half: int, pixel: tuple[float, float], excess: float = 1.0
) -> Widths:
    """Fit every bead in every plane; what is no good fit is left out.

    Raises
    ------
    DataError
        D550 where no bead is found.
    """
    rows, columns = find_beads(planes, sigma, half)
    n, m = len(planes), len(rows)
    if not m:
        raise DataError(
            "no bead stands out in the stack.",
            code="D550",
            hint="Check psf_sigma_guess and roi_half_size, and that beads do not touch.",
        )
    plane, bead = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    settings = FitSettings(model="sigma_xy", half=half, sigma=sigma, noise_factor=excess**0.5, most_iterations=100)
    found = fit_spots(planes, rows[bead], columns[bead], plane, variance, settings)
    good = (found["result_code"] == CONVERGED) & (np.abs(found["x"] - columns[bead]) < _MOST_OFF)
    good &= np.abs(found["y"] - rows[bead]) < _MOST_OFF
    for number in range(m):
        own = good & (bead == number)
        if own.any():
            # Out of focus a fit may take the background for the bead.
            bright = np.median(found["photons"][own])
            good &= (bead != number) | ((found["photons"] > _LEAST_PART * bright) & (found["photons"] < bright / _LEAST_PART))
    widths = np.stack([found["sigma_x"] * pixel[0], found["sigma_y"] * pixel[1]])
    errors = np.stack([found["error_sigma_x"] * pixel[0], found["error_sigma_y"] * pixel[1]])
    good &= (errors < 0.3 * widths).all(axis=0)
    numbered = np.unique(bead[good], return_inverse=True)[1]
    return Widths(plane[good], numbered, found["x"][good], found["y"][good], widths[:, good], errors[:, good])
