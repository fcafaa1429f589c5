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

from recipes_modules.localize.filters import along_x, along_y, border_gain, gaussian_taps, mirrored, power_sum
from recipes_modules.localize.psf import INNER

Floats = npt.NDArray[np.float32]

EDGE = 5
"""PYME looks for nothing so near the border, pixels."""


NARROWER = 0.8
"""Width of the matched filter over that of the PSF: parts close neighbours better, for 2.4% less signal over noise."""


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
        """The two filters, narrow and wide; the matched detection uses the first alone."""
        if self.matched:
            taps = gaussian_taps(NARROWER * self.sigma, 3.5)
            return taps, taps
        return gaussian_taps(self.lowpass), gaussian_taps(self.highpass)

    @cached_property
    def numbers(self) -> Floats:
        """What the compiled code reads.

        Threshold, debounce, clump, edge, noise factor squared, least signal, sums of the filter's squares and cubes around `absolute`.
        """
        gain, cubes = power_sum(self.taps[0], 2), power_sum(self.taps[0], 3)
        values = (
            self.threshold, self.debounce, self.clump, self.edge, self.noise_factor**2, self.electrons_per_count, gain,
            self.absolute, cubes,
        )  # fmt: skip
        return np.array(values, np.float32)


def detect(frame: Floats, background: Floats, variance: Floats, settings: Detection) -> tuple[Floats, Floats, Floats]:
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
    found = spots_of(frame, background, variance, 1.0, settings, workspace(frame.shape, settings))
    return found[:, 0].copy(), found[:, 1].copy(), found[:, 2].copy()


def spots_of(frame: Floats, background: Floats, variance: Floats, doubt: float, settings: Detection, work: Any) -> Floats:
    """Spots of one frame as rows (row, column, score), in the order of their rows in the frame.

    `doubt` is the factor by which the noise of the background itself raises the variance; `work` comes from `workspace`.
    """
    first, second = settings.taps
    if settings.matched:
        found = _matched(frame, background, variance, np.float32(doubt), first, settings.numbers, work)
    else:
        found = _bandpass(frame, background, variance, first, second, settings.numbers, work)
        # Regions are found at their tops and lie at their centroids.
        found = found[np.argsort(found[:, 0], kind="stable")]
    for radius, clumps in ((settings.clump, True), (settings.debounce, False)):
        if radius > 0 and len(found) > 1:
            found = found[_kept(found, float(radius), clumps)]
    return np.asarray(found)


def workspace(shape: tuple[int, int], settings: Detection) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
    """What `spots_of` needs: a padded line, three frames, and what the border adds to the noise of rows and of columns."""
    first, second = settings.taps
    line = np.empty(shape[1] + 2 * max(len(first), len(second)), np.float32)
    frames = [np.empty(shape, np.float32) for _ in range(3)]
    return line, frames[0], frames[1], frames[2], border_gain(first, shape[0]), border_gain(first, shape[1])


@numba.njit(**INNER)
def _difference(frame: Any, background: Any, result: Any) -> None:
    for y in range(frame.shape[0]):
        data, behind, out = frame[y], background[y], result[y]
        for x in range(out.shape[0]):
            out[x] = data[x] - behind[x]


@numba.njit(**INNER)
def _positive_difference(frame: Any, background: Any, result: Any) -> None:
    for y in range(frame.shape[0]):
        data, behind, out = frame[y], background[y], result[y]
        for x in range(out.shape[0]):
            out[x] = max(data[x] - behind[x], np.float32(0))


@numba.njit(**INNER)
def _in_noise(background: Any, variance: Any, shot: Any, gain: Any, across: Any, out: Any) -> None:
    """A filtered line in units of its noise. What lies below half an electron of variance counts as that."""
    for x in range(out.shape[0]):
        level = shot * max(background[x], np.float32(0)) + variance[x]
        out[x] /= np.sqrt(gain * across[x] * max(level, np.float32(0.25)))


@numba.njit(**INNER)
def _in_pixel_noise(wide: Any, frame: Any, variance: Any, shot: Any, least: Any, out: Any) -> None:
    for x in range(out.shape[0]):
        noise = np.sqrt(variance[x] + shot * (max(frame[x], least) + np.float32(1)))
        out[x] = max(out[x] - wide[x], np.float32(0)) / noise


@numba.njit(**INNER)
def _minus(wide: Any, out: Any) -> None:
    for x in range(out.shape[0]):
        out[x] = max(out[x] - wide[x], np.float32(0))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def matched_filter(frame: Any, background: Any, variance: Any, doubt: Any, taps: Any, numbers: Any, work: Any) -> Any:
    """The filtered frame in units of noise; it lies in the workspace."""
    line, clean, half, score, down, across = work
    shot, gain = numbers[4], numbers[6] * doubt
    _difference(frame, background, clean)
    along_x(clean, taps, line, half)
    for y in range(frame.shape[0]):
        along_y(half, taps, y, score[y])
        _in_noise(background[y], variance[y], shot, gain * down[y], across, score[y])
    return score


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _matched(frame: Any, background: Any, variance: Any, doubt: Any, taps: Any, numbers: Any, work: Any) -> Any:
    score = matched_filter(frame, background, variance, doubt, taps, numbers, work)
    return _maxima(score, background, variance, taps, doubt, numbers, work)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _bandpass(frame: Any, background: Any, variance: Any, narrow: Any, wide: Any, numbers: Any, work: Any) -> Any:
    line, clean, half, score, _, _ = work
    shot, least, absolute = numbers[4], numbers[5], numbers[7] > 0
    _positive_difference(frame, background, clean)
    along_x(clean, narrow, line, half)
    for y in range(frame.shape[0]):
        along_y(half, narrow, y, score[y])
    along_x(clean, wide, line, half)
    broad = clean[0]
    for y in range(frame.shape[0]):
        along_y(half, wide, y, broad)
        if absolute:
            _minus(broad, score[y])
        else:
            _in_pixel_noise(broad, frame[y], variance[y], shot, least, score[y])
    return _regions(score, numbers[0], int(numbers[3]))


@numba.njit(**INNER)
def _room(found: Any, n: int) -> Any:
    if n < found.shape[0]:
        return found
    larger = np.empty((2 * found.shape[0], found.shape[1]), found.dtype)
    # Not as slices: their checks take seconds to compile.
    for i in range(found.shape[0]):
        for k in range(found.shape[1]):
            larger[i, k] = found[i, k]
    return larger


@numba.njit(**INNER)
def _around(background: Any, variance: Any, shot: Any, taps: Any, y: int, x: int) -> Any:
    """Variance of the pixels around one, and its part that is shot noise, each weighted as the filter's noise is (weights sum to 1)."""
    height, width = background.shape
    radius = taps.shape[0] - 1
    total, light, weights = 0.0, 0.0, 0.0
    for i in range(-radius, radius + 1):
        row = mirrored(y + i, height)
        down = np.float64(taps[abs(i)]) ** 2
        for j in range(-radius, radius + 1):
            column = mirrored(x + j, width)
            weight = down * np.float64(taps[abs(j)]) ** 2
            level = shot * max(background[row, column], np.float32(0))
            total += weight * max(level + variance[row, column], np.float32(0.25))
            light += weight * level
            weights += weight
    return total / weights, light / weights


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _maxima(score: Any, background: Any, variance: Any, taps: Any, doubt: Any, numbers: Any, work: Any) -> Any:
    """Maxima of 3 x 3 pixels above the threshold; of equal neighbours the first one.

    The score counts the noise of its own pixel; what exceeds the threshold is judged again by the noise of all pixels under the filter, so
    that a noisy pixel makes no spots beside it. Counts of photons are skewed: high ones are more frequent than in Gaussian noise. The
    threshold is raised to where it is exceeded as rarely as the given one by a Gaussian (first term of the expansion of Cornish and Fisher).
    """
    height, width = score.shape
    threshold, shot, gain, cubes = numbers[0], numbers[4], numbers[6], numbers[8]
    raised = max(threshold * threshold - 1, np.float32(0)) / 6
    # The third cumulant of multiplied electrons is 6 times their number, that of plain ones their number.
    skew = raised * cubes * shot * (1 + np.float32(0.5) * (shot - 1))
    down, across = work[4], work[5]
    edge = int(numbers[3])
    found = np.empty((64, 3), np.float32)
    n = np.int64(0)
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
            total, light = _around(background, variance, shot, taps, y, x)
            own = max(shot * max(background[y, x], np.float32(0)) + variance[y, x], np.float32(0.25))
            exact = value * np.sqrt(own / total)
            noise = gain * doubt * down[y] * across[x] * total
            if exact <= threshold + skew * light / (noise * np.sqrt(noise)):
                continue
            found = _room(found, n)
            found[n, 0], found[n, 1], found[n, 2] = y, x, exact
            n += 1
    return found[:n].copy()


@numba.njit(cache=True, nogil=True, error_model="numpy")
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
                stack = _room(stack, n)
                stack[n, 0], stack[n, 1] = r, c
                score[r, c] = -score[r, c]
                n += 1
    return top, bottom, left, right, peak, stack


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _regions(score: Any, threshold: Any, edge: int) -> Any:
    """Centroids of connected regions above the threshold, weighted over the rectangle around each."""
    height, width = score.shape
    stack = np.empty((64, 2), np.int64)
    found = np.empty((64, 3), np.float32)
    n = np.int64(0)
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
    return found[:n].copy()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _kept(found: Any, radius: float, clumps: bool) -> Any:
    """Mask that leaves out spots with a neighbour (clumps), or with a brighter one, within `radius`.

    Rows of `found` come in the order of their rows in the frame.
    """
    n = found.shape[0]
    keep = np.ones(n, np.bool_)
    for i in range(n):
        for j in range(i + 1, n):
            down = found[j, 0] - found[i, 0]
            if down > radius:
                break
            across = found[j, 1] - found[i, 1]
            if down * down + across * across <= radius * radius:
                if clumps:
                    keep[i] = keep[j] = False
                elif found[j, 2] > found[i, 2]:
                    keep[i] = False
                else:
                    keep[j] = False
    return keep
