"""Finding spots in single frames: a filter matched to the PSF, or PYME's band-pass; compiled.

Importing this file imports numba: do it on use. Frames are float32 in photoelectrons, axes (y, x).

Matched: the frame minus its background, filtered with the PSF, in units of that filter's noise; the best linear detector of a spot of
known shape on even background. A spot is a maximum of 3 x 3 pixels above the threshold.

Band-pass, as PYME does it: difference of two Gaussians, above the threshold times the noise of the single pixel; spots are the
connected regions (four neighbours), placed at their centroids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.localize.filters import along_x, along_y, gaussian_taps, sum_of_squares

Floats = npt.NDArray[np.float32]

EDGE = 5
"""PYME looks for nothing so near the border, pixels."""


@dataclass(frozen=True)
class Detection:
    """How spots are found.

    Attributes
    ----------
    kind : {'matched', 'bandpass'}
    threshold : float
        In units of noise: of the filtered frame (matched), or of a single pixel (bandpass); with `absolute`, photoelectrons.
    sigma : float
        Standard deviation of the PSF, pixels (matched).
    lowpass, highpass : float
        Standard deviations of the two Gaussians, pixels (bandpass).
    debounce : float
        Of spots nearer to each other than this only the brightest stays, pixels.
    clump : float
        Spots nearer to each other than this are all left out, pixels.
    edge : int
        Pixels along the border in which no spot is looked for.
    noise_factor : float
        Of the camera.
    electrons_per_count : float
        Photoelectrons for one count, the least signal in PYME's noise.
    absolute : bool
        Whether the threshold of the band-pass counts photoelectrons rather than noise.
    """

    kind: Literal["matched", "bandpass"] = "matched"
    threshold: float = 4.5
    sigma: float = 1.3
    lowpass: float = 1.0
    highpass: float = 3.0
    debounce: float = 0.0
    clump: float = 0.0
    edge: int = 0
    noise_factor: float = 1.0
    electrons_per_count: float = 1.0
    absolute: bool = False

    @property
    def matched(self) -> bool:
        """Whether the filter is the matched one."""
        return self.kind == "matched"

    @cached_property
    def taps(self) -> tuple[Floats, Floats]:
        """The two filters; the second is of no use to the matched one."""
        if self.matched:
            taps = gaussian_taps(self.sigma, 3.5)
            return taps, taps
        return gaussian_taps(self.lowpass), gaussian_taps(self.highpass)

    @cached_property
    def numbers(self) -> Floats:
        """What the compiled code reads: threshold, debounce, clump, edge, noise factor squared, least signal, noise gain, absolute."""
        gain = sum_of_squares(self.taps[0])
        values = (
            self.threshold, self.debounce, self.clump, self.edge, self.noise_factor**2, self.electrons_per_count, gain, self.absolute
        )  # fmt: skip
        return np.array(values, np.float32)


def detect(
    frame: Floats, background: Floats, variance: Floats, settings: Detection
) -> tuple[Floats, Floats, Floats]:
    """Spots of one frame.

    Parameters
    ----------
    frame, background : array (y, x), float32
        Photoelectrons.
    variance : array (y, x), float32
        Variance of the read noise, electrons^2.
    settings : Detection

    Returns
    -------
    rows, columns, scores : array (n,)
        Places in pixels from the centre of the first one, and the height of the filtered frame in units of its noise.
    """
    first, second = settings.taps
    work = workspace(frame.shape, max(len(first), len(second)))
    static = variance_of_filter(variance, settings)
    found = np.empty((64, 3), np.float32)
    found, n = spots_of(frame, background, static, settings.matched, first, second, settings.numbers, work, found, 0)
    return found[:n, 0].copy(), found[:n, 1].copy(), found[:n, 2].copy()


def workspace(shape: tuple[int, int], reach: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Buffers for `spots_of`: a padded line, and three frames."""
    line = np.empty(shape[1] + 2 * reach, np.float32)
    return line, np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)


def variance_of_filter(variance: Floats, settings: Detection) -> Floats:
    """Read noise as the detection counts it: for the matched filter, what that filter leaves of it."""
    if not settings.matched:
        return variance
    taps = settings.taps[0].astype(np.float64) ** 2
    # The filter's squared weights sum to the gain that multiplies the background as well.
    squared = (taps / (taps[0] + 2 * taps[1:].sum())).astype(np.float32)
    if float(variance.min()) == float(variance.max()):
        return variance
    from recipes_modules.localize.filters import smoothed

    return np.asarray(smoothed(variance, squared))


@numba.njit(cache=True, nogil=True)
def _difference(frame: Any, background: Any, result: Any) -> None:
    for y in range(frame.shape[0]):
        data, behind, out = frame[y], background[y], result[y]
        for x in range(out.shape[0]):
            out[x] = data[x] - behind[x]


@numba.njit(cache=True, nogil=True)
def _positive_difference(frame: Any, background: Any, result: Any) -> None:
    for y in range(frame.shape[0]):
        data, behind, out = frame[y], background[y], result[y]
        for x in range(out.shape[0]):
            out[x] = max(data[x] - behind[x], np.float32(0))


@numba.njit(cache=True, nogil=True)
def _in_noise(background: Any, variance: Any, shot: Any, gain: Any, out: Any) -> None:
    """A filtered line in units of its noise. What lies below half an electron of variance counts as that."""
    for x in range(out.shape[0]):
        level = shot * max(background[x], np.float32(0)) + variance[x]
        out[x] /= np.sqrt(gain * max(level, np.float32(0.25)))


@numba.njit(cache=True, nogil=True)
def _in_pixel_noise(wide: Any, frame: Any, variance: Any, shot: Any, least: Any, out: Any) -> None:
    for x in range(out.shape[0]):
        noise = np.sqrt(variance[x] + shot * (max(frame[x], least) + np.float32(1)))
        out[x] = max(out[x] - wide[x], np.float32(0)) / noise


@numba.njit(cache=True, nogil=True)
def _minus(wide: Any, out: Any) -> None:
    for x in range(out.shape[0]):
        out[x] = max(out[x] - wide[x], np.float32(0))


@numba.njit(cache=True, nogil=True)
def filtered(frame: Any, background: Any, variance: Any, matched: bool, first: Any, second: Any, numbers: Any, work: Any) -> Any:
    """The filtered frame in units of noise; it lies in the workspace."""
    line, clean, half, score = work
    shot, least, gain, absolute = numbers[4], numbers[5], numbers[6], numbers[7] > 0
    if matched:
        _difference(frame, background, clean)
    else:
        _positive_difference(frame, background, clean)
    along_x(clean, first, line, half)
    for y in range(frame.shape[0]):
        along_y(half, first, y, score[y])
        if matched:
            _in_noise(background[y], variance[y], shot, gain, score[y])
    if not matched:
        along_x(clean, second, line, half)
        wide = clean[0]
        for y in range(frame.shape[0]):
            along_y(half, second, y, wide)
            if absolute:
                _minus(wide, score[y])
            else:
                _in_pixel_noise(wide, frame[y], variance[y], shot, least, score[y])
    return score


@numba.njit(cache=True, nogil=True)
def _room(found: Any, n: int) -> Any:
    if n < found.shape[0]:
        return found
    larger = np.empty((2 * found.shape[0], found.shape[1]), found.dtype)
    larger[: found.shape[0]] = found
    return larger


@numba.njit(cache=True, nogil=True)
def _maxima(score: Any, threshold: Any, edge: int, found: Any, n: int) -> Any:
    """Maxima of 3 x 3 pixels above the threshold, from the `n`-th row of `found` on; of equal neighbours the first one."""
    height, width = score.shape
    for y in range(edge, height - edge):
        here = score[y]
        above = score[max(y - 1, 0)]
        below = score[min(y + 1, height - 1)]
        for x in range(edge, width - edge):
            value = here[x]
            if not value > threshold:
                continue
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            if y > 0 and (above[left] >= value or above[x] >= value or above[right] >= value):
                continue
            if y < height - 1 and (below[left] > value or below[x] > value or below[right] > value):
                continue
            if (x > 0 and here[left] >= value) or (x < width - 1 and here[right] > value):
                continue
            found = _room(found, n)
            found[n, 0], found[n, 1], found[n, 2] = y, x, value
            n += 1
    return found, n


@numba.njit(cache=True, nogil=True)
def _region(score: Any, threshold: Any, edge: int, y: int, x: int, stack: Any) -> Any:
    """Bounds of the region around a pixel, and its height; its pixels in `stack`, negative in `score` so that they count once."""
    height, width = score.shape
    top = bottom = y
    left = right = x
    peak = score[y, x]
    stack[0, 0], stack[0, 1] = y, x
    score[y, x] = -score[y, x]
    n = 1
    k = 0
    while k < n:
        row, column = stack[k, 0], stack[k, 1]
        k += 1
        top, bottom = min(top, row), max(bottom, row)
        left, right = min(left, column), max(right, column)
        for step in range(4):
            r = row + (step == 0) - (step == 1)
            c = column + (step == 2) - (step == 3)
            if edge <= r < height - edge and edge <= c < width - edge and score[r, c] > threshold:
                peak = max(peak, score[r, c])
                if n == stack.shape[0]:
                    larger = np.empty((2 * n, 2), stack.dtype)
                    larger[:n] = stack
                    stack = larger
                stack[n, 0], stack[n, 1] = r, c
                score[r, c] = -score[r, c]
                n += 1
    return top, bottom, left, right, peak, stack


@numba.njit(cache=True, nogil=True)
def _regions(score: Any, threshold: Any, edge: int, found: Any, n: int) -> Any:
    """Centroids of connected regions above the threshold, weighted over the rectangle around each."""
    height, width = score.shape
    stack = np.empty((64, 2), np.int64)
    for y in range(edge, height - edge):
        for x in range(edge, width - edge):
            if not score[y, x] > threshold:
                continue
            top, bottom, left, right, peak, stack = _region(score, threshold, edge, y, x, stack)
            weight = np.float64(0)
            row = np.float64(0)
            column = np.float64(0)
            for r in range(top, bottom + 1):
                for c in range(left, right + 1):
                    value = abs(np.float64(score[r, c]))
                    weight += value
                    row += value * r
                    column += value * c
            found = _room(found, n)
            found[n, 0], found[n, 1], found[n, 2] = row / weight, column / weight, peak
            n += 1
    return found, n


@numba.njit(cache=True, nogil=True)
def _thinned(found: Any, start: int, stop: int, radius: float, clumps: bool, slack: float) -> int:
    """Leave out spots with a neighbour (clumps), or with a brighter one, within `radius`; return the new end.

    Rows of `found` come in the order of their rows in the frame, give or take `slack` pixels.
    """
    keep = np.ones(stop - start, np.bool_)
    for i in range(start, stop):
        for j in range(i + 1, stop):
            down = found[j, 0] - found[i, 0]
            if down > radius + slack:
                break
            across = found[j, 1] - found[i, 1]
            if down * down + across * across <= radius * radius:
                if clumps:
                    keep[i - start] = keep[j - start] = False
                elif found[j, 2] > found[i, 2]:
                    keep[i - start] = False
                else:
                    keep[j - start] = False
    n = start
    for i in range(start, stop):
        if keep[i - start]:
            for k in range(found.shape[1]):
                found[n, k] = found[i, k]
            n += 1
    return n


@numba.njit(cache=True, nogil=True)
def spots_of(
    frame: Any, background: Any, variance: Any, matched: bool, first: Any, second: Any, numbers: Any, work: Any, found: Any, n: int
) -> Any:
    """Spots of one frame: rows (row, column, score) of `found` from the `n`-th on, and how many there are then."""
    score = filtered(frame, background, variance, matched, first, second, numbers, work)
    start = n
    edge = int(numbers[3])
    if matched:
        found, n = _maxima(score, numbers[0], edge, found, n)
    else:
        found, n = _regions(score, numbers[0], edge, found, n)
    if n - start > 1:
        slack = 0.0
        if not matched:
            # A tall region is found at its top and lies at its centroid.
            ordered = np.argsort(found[start:n, 0])
            found[start:n] = found[start:n][ordered]
        if numbers[2] > 0:
            n = _thinned(found, start, n, numbers[2], True, slack)
        if numbers[1] > 0:
            n = _thinned(found, start, n, numbers[1], False, slack)
    return found, n
