"""Background of each frame: the mean or a percentile of the frames around it, or of the neighbourhood in the frame; compiled.

Importing this file imports numba: do it on use. Sums run on from frame to frame. They hold counts, which are whole numbers for most
cameras, so nothing is lost; otherwise they begin anew every `RENEW` frames, counted from the start of the movie, so that results do not
depend on where a block begins.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

RENEW = 32
TILE = 32
"""Edge of the tiles whose means make the background where no other frames are taken, pixels."""


@numba.njit(cache=True, nogil=True, inline="always")
def background_part(value: Any, least: Any, most: Any) -> Any:
    """The value where it lies between the two, else their middle."""
    return value if least <= value <= most else np.float32(0.5) * (least + most)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _accumulate(frame: Any, caps: Any, sign: Any, sums: Any) -> None:
    clips = caps.shape[0] > 0
    for y in range(sums.shape[0]):
        row, out = frame[y], sums[y]
        if clips:
            least, most = caps[0, y], caps[1, y]
            for x in range(out.shape[0]):
                out[x] += sign * background_part(row[x], least[x], most[x])
        else:
            for x in range(out.shape[0]):
                out[x] += sign * row[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _exchange(new: Any, old: Any, caps: Any, sums: Any) -> None:
    clips = caps.shape[0] > 0
    for y in range(sums.shape[0]):
        come, go, out = new[y], old[y], sums[y]
        if clips:
            least, most = caps[0, y], caps[1, y]
            for x in range(out.shape[0]):
                out[x] += background_part(come[x], least[x], most[x]) - background_part(go[x], least[x], most[x])
        else:
            for x in range(out.shape[0]):
                out[x] += come[x] - go[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def advance_sum(ring: Any, caps: Any, sums: Any, held: Any, low: int, high: int) -> None:
    """Make `sums` the sum of the frames from `low` to `high`; `held` says which ones it holds.

    Frame ``f`` stands at ``ring[f % len(ring)]``. Values below `caps[0]` or above `caps[1]` (y, x) count as the middle of these;
    `caps` may be empty.
    """
    room = ring.shape[0]
    if low >= held[1] or low < held[0] or high < held[1]:
        sums[:] = 0
        held[0] = held[1] = low
    while held[1] < high and held[0] < low:
        _exchange(ring[held[1] % room], ring[held[0] % room], caps, sums)
        held[0] += 1
        held[1] += 1
    one = sums.dtype.type(1)
    while held[1] < high:
        _accumulate(ring[held[1] % room], caps, one, sums)
        held[1] += 1
    while held[0] < low:
        _accumulate(ring[held[0] % room], caps, -one, sums)
        held[0] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def renew_caps(
    ring: Any, low: int, high: int, level: Any, scale: Any, variance: Any, shot: Any, clip: Any, sums: Any, held: Any, caps: Any
) -> None:
    """Find which counts are no background: those farther from the mean than `clip` times their noise; the mean then counts itself in
    their place.

    `variance` is that of the read noise in photoelectrons^2, `shot` the noise factor squared.
    """
    share = np.float32(1) / np.float32(high - low)
    # Each time what is far off has less weight in the mean from which it is told.
    for k in range(3):
        held[0] = held[1] = -1
        advance_sum(ring, caps[: 0 if k == 0 else 2], sums, held, low, high)
        for y in range(caps.shape[1]):
            row, dark, gain, noise, least, most = sums[y], level[y], scale[y], variance[y], caps[0, y], caps[1, y]
            for x in range(least.shape[0]):
                mean = np.float32(row[x]) * share
                electrons = max((mean - dark[x]) * gain[x], np.float32(0))
                reach = clip * np.sqrt(shot * electrons + noise[x] + np.float32(0.25)) / gain[x]
                least[x] = mean - reach
                most[x] = mean + reach
    held[0] = held[1] = -1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _place(values: Any, n: int, gone: Any, come: Any) -> None:
    """Replace the value `gone` of `n` sorted ones by `come`."""
    k = 0
    while k < n - 1 and values[k] < gone:
        k += 1
    while k < n - 1 and values[k + 1] < come:
        values[k] = values[k + 1]
        k += 1
    while k > 0 and values[k - 1] > come:
        values[k] = values[k - 1]
        k -= 1
    values[k] = come


@numba.njit(cache=True, nogil=True, error_model="numpy")
def advance_sorted(ring: Any, ordered: Any, held: Any, low: int, high: int) -> None:
    """Make `ordered` (y, x, n) hold the values of the frames from `low` to `high` in order; see `advance_sum`."""
    room = ring.shape[0]
    if low >= held[1] or low < held[0] or high < held[1]:
        held[0] = held[1] = low
    while held[1] < high:
        new = ring[held[1] % room]
        n = held[1] - held[0]
        leaves = held[0] < low
        old = ring[held[0] % room]
        for y in range(new.shape[0]):
            for x in range(new.shape[1]):
                if leaves:
                    _place(ordered[y, x], n, old[y, x], new[y, x])
                else:
                    ordered[y, x, n] = np.inf
                    _place(ordered[y, x], n + 1, np.float32(np.inf), new[y, x])
        held[1] += 1
        held[0] += leaves
    while held[0] < low:
        n = held[1] - held[0]
        old = ring[held[0] % room]
        for y in range(old.shape[0]):
            for x in range(old.shape[1]):
                _place(ordered[y, x], n, old[y, x], np.float32(np.inf))
        held[0] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def percentile_of(ordered: Any, n: int, part: float, result: Any) -> None:
    """The value of rank ``int(n * part)`` of each pixel, moved by what the median image lies above it, in the median: PYME's rule."""
    rank = min(int(n * part), n - 1)
    middle = np.empty(result.size, np.float32)
    low = np.empty(result.size, np.float32)
    k = 0
    for y in range(result.shape[0]):
        for x in range(result.shape[1]):
            middle[k] = ordered[y, x, n // 2]
            low[k] = ordered[y, x, rank]
            result[y, x] = low[k]
            k += 1
    shift = np.float32(np.median(middle) - np.median(low))
    for y in range(result.shape[0]):
        for x in range(result.shape[1]):
            result[y, x] += shift


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _even_level(tile: Any) -> Any:
    """Mean of a tile without its spots: what lies more than 2.5 standard deviations from the mean is left out, three times."""
    low, high = np.float32(-np.inf), np.float32(np.inf)
    mean = np.float64(0)
    for _ in range(4):
        count = 0
        total = 0.0
        squares = 0.0
        for y in range(tile.shape[0]):
            for x in range(tile.shape[1]):
                value = tile[y, x]
                if low <= value <= high:
                    count += 1
                    total += value
                    squares += np.float64(value) * value
        if count == 0:
            break
        mean = total / count
        reach = 2.5 * np.sqrt(max(squares / count - mean * mean, 0.0))
        low, high = np.float32(mean - reach), np.float32(mean + reach)
    return np.float32(mean)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def neighbourhood(frame: Any, result: Any) -> None:
    """Smooth background of a frame from the means of tiles without their spots."""
    height, width = frame.shape
    rows, columns = max(1, (height + TILE // 2) // TILE), max(1, (width + TILE // 2) // TILE)
    tiles = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            tiles[i, j] = _even_level(
                frame[i * height // rows : (i + 1) * height // rows, j * width // columns : (j + 1) * width // columns]
            )
    for y in range(height):
        v = min(max((y + 0.5) * rows / height - 0.5, 0.0), rows - 1.0)
        i = min(int(v), max(rows - 2, 0))
        v -= i
        below = min(i + 1, rows - 1)
        for x in range(width):
            u = min(max((x + 0.5) * columns / width - 0.5, 0.0), columns - 1.0)
            j = min(int(u), max(columns - 2, 0))
            u -= j
            beside = min(j + 1, columns - 1)
            upper = tiles[i, j] * (1 - u) + tiles[i, beside] * u
            lower = tiles[below, j] * (1 - u) + tiles[below, beside] * u
            result[y, x] = upper * (1 - v) + lower * v
