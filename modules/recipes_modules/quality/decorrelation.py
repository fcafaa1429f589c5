"""Resolution of an image by decorrelation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from recipes_core.errors import DataError
from recipes_modules.tapers import tukey

Floats = npt.NDArray[np.float64]

FILTERS = 10
"""High-pass filters of the first search, and of the second."""
STRONGEST = 0.15
"""Narrowest Gaussian that is subtracted, pixels."""
DROP = 5e-4
"""By how much a curve must fall behind a maximum for it to be one."""
FADE = 20
"""Pixels over which the image fades out towards its edges."""
SMALLEST = 32


@dataclass(frozen=True)
class DecorrelationResult:
    """What the correlation of an image with its normalized spectrum says.

    Attributes
    ----------
    resolution : float
        Two pixels over the highest frequency at which a maximum lies, in units of the pixel size given.
    frequency : float
        That frequency, 1 at the highest that the pixels hold.
    snr : float
        Height of the maximum of the unfiltered image: how much of the image is signal, up to 1.
    radii : array (n,)
        Radius of the mask in Fourier space, 1 at the highest frequency.
    curves : array (m, n)
        Correlation for each high-pass filter; the unfiltered image's first.
    maxima : array (m, 2)
        Radius and height of each curve's maximum; NaN where it has none.
    """

    resolution: float
    frequency: float
    snr: float
    radii: Floats
    curves: Floats
    maxima: Floats


def decorrelation(image: npt.ArrayLike, pixel: float = 1.0) -> DecorrelationResult:
    """Resolution of one image by decorrelation analysis (Descloux et al. 2019, doi:10.1038/s41592-019-0515-7).

    The image is correlated with itself after each of its Fourier components was given length 1 and those beyond a radius were
    removed. Signal makes the correlation rise with the radius, noise makes it fall: it has a maximum, which moves to higher
    frequencies as stronger high-pass filters take away what is coarse. Where the farthest of all maxima lies, the signal ends.

    Parameters
    ----------
    image : array (y, x)
    pixel : float
        Size of a pixel; the resolution is in its unit.

    Raises
    ------
    DataError
        Where the image is too small, or no curve has a maximum: all is noise, or there is none (D456).
    """
    pixels = _faded(np.asarray(image, dtype=np.float64))
    amplitude, power, count = _rings(pixels)
    n = len(count)
    radii = np.arange(1, n + 1) / n
    frequency = (np.arange(n) + 0.5) / (2 * n)  # cycles a pixel

    def curve(sigma: float | None) -> Floats:
        passed = np.ones(n) if sigma is None else 1 - np.exp(-2 * (np.pi * sigma * frequency) ** 2)
        total = float((passed**2 * power).sum())
        return np.cumsum(passed * amplitude) / np.sqrt(np.maximum(total * np.cumsum(count), 1e-300))

    first = curve(None)
    maxima = [_maximum(first, radii)]
    start = maxima[0][0] if np.isfinite(maxima[0][0]) else 0.5
    # From a filter that takes away hardly more than the mean to one that leaves the finest details alone.
    widest = min(2 / max(start, 1 / n), min(pixels.shape) / 4)
    sigmas = np.geomspace(max(widest, 2 * STRONGEST), STRONGEST, FILTERS)
    curves = [first]
    for _ in range(2):
        found = [curve(float(sigma)) for sigma in sigmas]
        places = [_maximum(each, radii) for each in found]
        curves += found
        maxima += places
        known = [k for k, (radius, _) in enumerate(places) if np.isfinite(radius)]
        if not known:
            break
        # The second search goes on between the filters on either side of the best one.
        best = max(known, key=lambda k: places[k][0])
        sigmas = np.geomspace(sigmas[max(0, best - 1)], sigmas[min(len(sigmas) - 1, best + 1)], FILTERS)
    table = np.array(maxima)
    known_radii = table[np.isfinite(table[:, 0]), 0]
    if not len(known_radii):
        raise DataError(
            "the image has no frequency at which its signal ends: it is all noise, or its pixels are larger than what it resolves.",
            code="D456",
            hint="Render with smaller pixels, or with more localizations.",
        )
    farthest = float(known_radii.max())
    snr = float(table[0, 1]) if np.isfinite(table[0, 1]) else 0.0
    return DecorrelationResult(2 * pixel / farthest, farthest, snr, radii, np.array(curves), table)


def _faded(image: Floats) -> Floats:
    if image.ndim != 2 or min(image.shape) < SMALLEST:
        raise DataError(f"decorrelation needs an image of at least {SMALLEST} x {SMALLEST} pixels.", code="D456")
    if not np.isfinite(image).all():
        image = np.where(np.isfinite(image), image, 0.0)
    if not np.ptp(image) > 0:
        raise DataError("the image is the same everywhere: it has no resolution.", code="D456")
    size = min(image.shape)
    offset = [(n - size) // 2 for n in image.shape]
    image = image[offset[0] : offset[0] + size, offset[1] : offset[1] + size]
    image = image[: size - size % 2, : size - size % 2]
    window = tukey(len(image), min(1.0, 2 * FADE / len(image)))
    return (image - image.mean()) * np.outer(window, window)


def _rings(image: Floats) -> tuple[Floats, Floats, Floats]:
    """Sum of the amplitudes, sum of the powers and number of elements of each ring in Fourier space."""
    from scipy.fft import rfft2

    sums: Any = _ring_sums(np.abs(rfft2(image)), len(image))
    return sums[0], sums[1], sums[2]


@njit(cache=True, nogil=True)
def _ring_sums(amplitude, size):  # type: ignore[no-untyped-def] # pragma: no cover
    n = size // 2
    sums = np.zeros((3, n))
    for i in range(size):
        ky = i if i <= n else i - size
        for j in range(amplitude.shape[1]):
            ring = int(np.sqrt(float(ky * ky + j * j)))
            if ring >= n or (i == 0 and j == 0):
                continue
            # Elements of the half that a real transform leaves out.
            weight = 1.0 if j == 0 or 2 * j == size else 2.0
            sums[0, ring] += weight * amplitude[i, j]
            sums[1, ring] += weight * amplitude[i, j] ** 2
            sums[2, ring] += weight
    return sums


def _maximum(curve: Floats, radii: Floats) -> tuple[float, float]:
    """Radius and height of the highest maximum behind which the curve falls; NaN where there is none.

    A curve that still rises at its end has its maximum there only because it ends: then what lies before counts.
    """
    end = len(curve)
    while end > 2:
        k = int(np.argmax(curve[:end]))
        if k == 0:
            break
        if k < end - 1 and curve[k] - float(curve[k:].min()) >= DROP:
            return _between(curve, radii, k)
        end = k
    return float("nan"), float("nan")


def _between(curve: Floats, radii: Floats, k: int) -> tuple[float, float]:
    """The top of the parabola through a maximum and its neighbours."""
    if not 0 < k < len(curve) - 1:
        return float(radii[k]), float(curve[k])
    left, middle, right = (float(each) for each in curve[k - 1 : k + 2])
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(radii[k] + shift * (radii[1] - radii[0])), middle - 0.25 * (left - right) * shift
