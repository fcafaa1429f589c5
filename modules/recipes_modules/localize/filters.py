"""Gaussian filters of single frames, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.localize.psf import INNER

Floats = npt.NDArray[np.float32]


def gaussian_taps(sigma: float, reach: float = 4.0) -> Floats:
    """Middle and right half of a sampled Gaussian of sum 1 (float32) that reaches `reach` standard deviations."""
    radius = max(1, math.ceil(reach * sigma))
    half = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    return (half / (half[0] + 2 * half[1:].sum())).astype(np.float32)


def power_sum(taps: Floats, power: int) -> float:
    """Sum over the two-dimensional filter's weights to some power; to 2: the variance that it leaves of white noise of variance 1."""
    half = taps.astype(np.float64) ** power
    return float(half[0] + 2 * half[1:].sum()) ** 2


def border_gain(taps: Floats, n: int) -> Floats:
    """How much more variance the filter leaves at each of `n` pixels of a line than far from its ends.

    There pixels count twice: once themselves, once as mirror images.
    """
    radius = len(taps) - 1
    whole = np.concatenate([taps[:0:-1], taps]).astype(np.float64)
    gain = np.ones(n)
    for x in {*range(min(radius, n)), *range(max(n - radius, 0), n)}:
        weights = np.zeros(n)
        for k, tap in enumerate(whole):
            place = (x + k - radius) % (2 * n)
            weights[min(place, 2 * n - 1 - place)] += tap
        gain[x] = (weights**2).sum() / (whole**2).sum()
    return gain.astype(np.float32)


@numba.njit(cache=True, nogil=True, inline="always")
def mirrored(index: int, n: int) -> int:
    """Index of the pixel that stands for one beyond the border: the border is a mirror, as in scipy.ndimage."""
    if 0 <= index < n:
        return index
    period = 2 * n
    index %= period
    return index if index < n else period - 1 - index


@numba.njit(**INNER)
def _weigh(line: Any, tap: Any, result: Any) -> None:
    for x in range(result.shape[0]):
        result[x] = tap * line[x]


@numba.njit(**INNER)
def _add_pair(left: Any, right: Any, tap: Any, result: Any) -> None:
    for x in range(result.shape[0]):
        result[x] += tap * (left[x] + right[x])


@numba.njit(**INNER)
def _add_two_pairs(left: Any, right: Any, left2: Any, right2: Any, tap: Any, tap2: Any, result: Any) -> None:
    for x in range(result.shape[0]):
        result[x] += tap * (left[x] + right[x]) + tap2 * (left2[x] + right2[x])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def along_x(image: Any, taps: Any, line: Any, result: Any) -> None:
    """Filter each row of `image` (y, x); `line` has room for a row and the filter's reach on both sides."""
    height, width = image.shape
    radius = taps.shape[0] - 1
    for y in range(height):
        row = image[y]
        for x in range(width):
            line[radius + x] = row[x]
        for j in range(1, radius + 1):
            line[radius - j] = row[mirrored(-j, width)]
            line[radius + width - 1 + j] = row[mirrored(width - 1 + j, width)]
        out = result[y]
        _weigh(line[radius : radius + width], taps[0], out)
        j = 1
        while j < radius:
            _add_two_pairs(
                line[radius - j : radius - j + width], line[radius + j : radius + j + width],
                line[radius - j - 1 : radius - j - 1 + width], line[radius + j + 1 : radius + j + 1 + width],
                taps[j], taps[j + 1], out,
            )  # fmt: skip
            j += 2
        if j == radius:
            _add_pair(line[:width], line[2 * radius : 2 * radius + width], taps[j], out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def along_y(image: Any, taps: Any, y: int, out: Any) -> None:
    """Row `y` of `image` (y, x) filtered along y."""
    height = image.shape[0]
    radius = taps.shape[0] - 1
    _weigh(image[y], taps[0], out)
    j = 1
    while j < radius:
        _add_two_pairs(
            image[mirrored(y - j, height)], image[mirrored(y + j, height)],
            image[mirrored(y - j - 1, height)], image[mirrored(y + j + 1, height)],
            taps[j], taps[j + 1], out,
        )  # fmt: skip
        j += 2
    if j == radius:
        _add_pair(image[mirrored(y - j, height)], image[mirrored(y + j, height)], taps[j], out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def smoothed(image: Any, taps: Any) -> Any:
    """A filtered copy of `image` (y, x; float32); the border is a mirror."""
    height, width = image.shape
    line = np.empty(width + 2 * taps.shape[0], np.float32)
    half = np.empty((height, width), np.float32)
    result = np.empty((height, width), np.float32)
    along_x(image, taps, line, half)
    for y in range(height):
        along_y(half, taps, y, result[y])
    return result
