"""How wide the peaks are, so that each can be found by the filter that fits it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recipes_modules.correlation.spectra import SMOOTHING

Floats = npt.NDArray[np.float64]

LEAST_KERNEL = 0.6
"""Peaks are smoothed by at least this, pixels: sums over pixels then stand for integrals."""


def matched_kernel(correlations: npt.NDArray[np.float32]) -> Floats:
    """The filter (z, y, x; pixels) under which peaks as wide as these stand out best from noise: one of their own width."""
    mean = np.mean(correlations, axis=0, dtype=np.float64)
    widths = peak_widths(mean)
    if widths is None:
        return np.ones(3)
    # What is seen is widened by the pixels of both windows; the smoothing of both is part of the filter already.
    kernel = np.sqrt(np.maximum(widths**2 - 1 / 6 - 4 * SMOOTHING**2, 0.0))
    return np.clip(kernel, LEAST_KERNEL, np.maximum(LEAST_KERNEL, (np.array(mean.shape) - 1) / 4))


def peak_widths(mean: Floats) -> Floats | None:
    """Standard deviation along each axis of a Gaussian on a constant, fitted to a peak in the middle.

    Parameters
    ----------
    mean : array (z, y, x)
        Mean of many correlations whose peaks are close to the middle.

    Returns
    -------
    array (3,) or None
        Pixels; 0 for an axis without extent. None where there is no peak to fit.
    """
    from scipy.optimize import least_squares

    axes = [axis for axis, n in enumerate(mean.shape) if n > 1]
    top, bottom = float(mean.max()), float(mean.min())
    if not axes or not np.isfinite(top) or top <= bottom:
        return None
    scaled = (mean - bottom) / (top - bottom)
    distance = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in mean.shape), indexing="ij")
    coordinates = [distance[axis].ravel() for axis in axes]
    values = scaled.ravel()

    def misfit(parameters: Floats) -> Floats:
        height, floor, *rest = parameters
        centres, logs = rest[: len(axes)], rest[len(axes) :]
        exponent = sum(((c - m) / np.exp(w)) ** 2 for c, m, w in zip(coordinates, centres, logs, strict=True))
        return np.asarray(height * np.exp(-0.5 * exponent) + floor - values)

    start = np.array([1.0, 0.0, *([0.0] * len(axes)), *(np.log(max(1.0, mean.shape[axis] / 8)) for axis in axes)])
    fit = least_squares(misfit, start, max_nfev=200)
    widths = np.exp(fit.x[2 + len(axes) :])
    if not np.isfinite(widths).all() or fit.x[0] <= 0:
        return None
    found = np.zeros(3)
    found[axes] = widths
    return found
