"""Redundant cross-correlation the plain way, for comparison: numpy and scipy, one thread, nothing clever.

The algorithm of Wang et al. 2014 (doi:10.1364/OE.22.015982) as it is usually written down: a tapered histogram and one real
Fourier transform for each window, one inverse transform for each pair, the highest peak within an eighth of the field, refined by a
multiquadric interpolation of the pixels around it, and a pseudo-inverse for the redundant set of shifts. It is meant to be fair:
sizes are quick to transform, histograms are made by bincount, the Gaussian is applied once for each window, and nothing is
computed that is not used.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from scipy.interpolate import RBFInterpolator
from scipy.optimize import minimize
from scipy.signal.windows import tukey

Floats = npt.NDArray[np.float64]


def plain_rcc(
    x: Floats, y: Floats, frame: npt.NDArray[np.int64], *, step: int, window: int, binsize: float, corr_window: int,
    tukey_size: float = 0.25, shift_max: float = 5.0,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Drift of two-dimensional localizations.

    Returns
    -------
    frames (w,), correction (w, 2)
        Centre of each window, and what must be added to its localizations, nm.
    """
    origin = np.array([y.min(), x.min()])
    shape = tuple(fft.next_fast_len(int(size // binsize) + 1, real=True) for size in (np.ptp(y), np.ptp(x)))
    taper = np.outer(*(tukey(n, tukey_size) for n in shape))
    smooth = np.exp(-2 * (np.pi * 0.5 * np.hypot(np.fft.fftfreq(shape[0])[:, np.newaxis], np.fft.rfftfreq(shape[1]))) ** 2)

    starts = np.arange(frame.min(), frame.max() + 1, step)
    spectra = []
    for start in starts:
        rows = slice(*np.searchsorted(frame, (start, start + window)))
        iy = ((y[rows] - origin[0]) / binsize).astype(np.int64)
        ix = ((x[rows] - origin[1]) / binsize).astype(np.int64)
        image = np.bincount(iy * shape[1] + ix, minlength=shape[0] * shape[1]).reshape(shape)
        spectra.append(fft.rfft2(image * taper) * smooth)

    n = len(starts)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, min(n, i + corr_window + 1))]
    shifts = np.array([_shift(fft.irfft2(spectra[i] * spectra[j].conj(), s=shape)) for i, j in pairs]) * binsize
    matrix = np.zeros((len(pairs), n - 1))
    for row, (i, j) in enumerate(pairs):
        matrix[row, i:j] = 1.0
    steps = np.linalg.pinv(matrix) @ shifts
    residual = np.linalg.norm(matrix @ steps - shifts, axis=1)
    kept = np.ones(len(pairs), bool)
    for row in np.argsort(-residual):
        if residual[row] <= shift_max:
            break
        kept[row] = False
        if np.linalg.matrix_rank(matrix[kept]) < n - 1:
            kept[row] = True
    if not kept.all():
        steps = np.linalg.pinv(matrix[kept]) @ shifts[kept]
    correction = np.vstack([np.zeros(2), np.cumsum(steps, axis=0)])
    return starts + (window - 1) / 2, correction[:, ::-1]


def _shift(correlation: Floats) -> Floats:
    """Position (y, x) of the highest peak within an eighth of the field, pixels."""
    reach = [n // 8 for n in correlation.shape]
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    centre = correlation[np.ix_(rows, columns)]
    top = np.unravel_index(np.argmax(centre), centre.shape)
    labels, _ = ndimage.label(centre >= centre.min() + 0.75 * np.ptp(centre))
    region = ndimage.binary_dilation(labels == labels[top], np.ones((5, 5)))
    points = np.argwhere(region).astype(float)
    values = centre[region] / centre.max()
    surface = RBFInterpolator(points, values, kernel="multiquadric", epsilon=1.0)
    best = minimize(lambda place: -surface(place[np.newaxis])[0], np.array(top, float), method="BFGS")
    return np.asarray(best.x) - reach
