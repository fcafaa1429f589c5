"""Localizations of one molecule in successive frames, put together as one event. Importing this file imports numba."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

DARK = 3
"""Frames that a molecule may stay dark within a blink."""
BEAD_SPAN = 4
"""Most frames that are put together of what is always there: it shows how the sample moves from frame to frame."""


@numba.njit(cache=True, nogil=True)
def link(
    x: Any, y: Any, frame: Any, channel: Any, apart: int, radius: float, low_x: float, low_y: float, cells: Any, previous: Any
) -> None:  # fmt: skip
    """Find for each localization the one of the same molecule before it.

    A grid holds the last two localizations of each cell; neighbouring cells are looked at too. Cells that many molecules share
    within a few frames may lose a link, which does no harm. Rows that are the same as another one are found on the way.

    Parameters
    ----------
    frame : array (n,)
        In order, or nearly so.
    channel : array (n,) or (0,)
        Localizations of different channels are not linked.
    apart : int
        Most frames from one to the next.
    radius : float
        Longest step, nm.
    cells : array (ny, nx, 2) of int32
        -1 everywhere, with a rim of one cell; the edge of a cell is `radius`.
    previous : array (n,) of int32
        Gets the index or -1; ``-2 - index`` of the row that this one repeats.
    """
    successor = np.full(len(x), -1, np.int32)
    inverse = 1.0 / radius
    many = len(channel) > 0
    # The first row that is not too long ago.
    recent = 0
    for i in range(len(x)):
        while frame[i] - frame[recent] > apart:
            recent += 1
        cx, cy = int((x[i] - low_x) * inverse) + 1, int((y[i] - low_y) * inverse) + 1
        best, nearest, same = radius * radius, -1, -1
        for row in range(cy - 1, cy + 2):
            for column in range(cx - 1, cx + 2):
                for slot in range(2):
                    j = cells[row, column, slot]
                    if j < recent or frame[i] - frame[j] > apart or frame[i] < frame[j]:
                        continue
                    if many and channel[i] != channel[j]:
                        continue
                    dx, dy = x[i] - x[j], y[i] - y[j]
                    distance = dx * dx + dy * dy
                    if frame[i] == frame[j]:
                        if distance == 0:
                            same = j
                    elif distance < best:
                        rival = successor[j]
                        if rival >= 0:
                            dx, dy = x[rival] - x[j], y[rival] - y[j]
                            if frame[rival] < frame[i] or dx * dx + dy * dy <= distance:
                                continue
                        best, nearest = distance, j
        if same >= 0:
            previous[i] = -2 - same
            continue
        previous[i] = nearest
        if nearest >= 0:
            if successor[nearest] >= 0:
                # What lies nearer goes on; the other one was a passer-by.
                previous[successor[nearest]] = -1
            successor[nearest] = i
        # The one before stays too: this one may have been a passer-by.
        cells[cy, cx, 1] = cells[cy, cx, 0]
        cells[cy, cx, 0] = i


@numba.njit(cache=True, nogil=True)
def step_lengths(x: Any, y: Any, previous: Any, radius: float, histogram: Any) -> None:
    """Count the squared lengths of links, as a part of the squared radius, in bins of equal width."""
    bins = len(histogram)
    factor = bins / (radius * radius)
    for i in range(len(x)):
        j = previous[i]
        if j >= 0:
            dx, dy = x[i] - x[j], y[i] - y[j]
            histogram[min(bins - 1, int((dx * dx + dy * dy) * factor))] += 1


@numba.njit(cache=True, nogil=True)
def merge(
    x: Any, y: Any, z: Any, frame: Any, precision: Any, previous: Any, longest: float, span: int, always: int, event: Any, out: Any,
    bead: Any, before: Any,
) -> int:  # fmt: skip
    """Put linked localizations together; return the number of events.

    Parameters
    ----------
    precision : array (n,) or (0,)
        Standard errors that weigh the localizations of an event.
    longest : float
        Longest link that counts, nm; others are taken out of `previous`.
    span : int
        Most frames from the first to the last localization of an event.
    always : int
        What is linked over so many frames is a bead, which moves with the sample all the time.
    event : array (n,) of int32
        Gets the event of each localization.
    out : array (n, 5) of float64
        Gets sums over each event: weight, weight times x, y, z and frame.
    bead : array (n,) of bool
        Gets whether an event is part of a bead.
    before : array (n,) of int32
        Gets the event that an event goes on from, where it was too long to be one; -1 for none.
    """
    n = len(x)
    deep, known = len(z) > 0, len(precision) > 0
    limit = longest * longest
    root = np.empty(n, np.int32)
    last = np.empty(n, np.int32)
    for i in range(n):
        j = previous[i]
        if j < -1:
            continue
        if j >= 0:
            dx, dy = x[i] - x[j], y[i] - y[j]
            if dx * dx + dy * dy > limit:
                j = -1
        previous[i] = j
        root[i] = root[j] if j >= 0 else i
        last[root[i]] = frame[i]
    begin = np.empty(n, np.int32)
    count = 0
    for i in range(n):
        j = previous[i]
        if j < -1:
            # The same row twice says nothing new.
            event[i] = event[-2 - j]
            continue
        r = root[i]
        is_bead = last[r] - frame[r] >= always
        k = -1
        if j >= 0 and frame[i] - begin[event[j]] < (BEAD_SPAN if is_bead else span):
            k = event[j]
        if k < 0:
            k = count
            count += 1
            begin[k] = frame[i]
            bead[k] = is_bead
            before[k] = event[j] if j >= 0 else -1
            for column in range(5):
                out[k, column] = 0.0
        w = 1.0 / (precision[i] * precision[i]) if known else 1.0
        event[i] = k
        out[k, 0] += w
        out[k, 1] += w * x[i]
        out[k, 2] += w * y[i]
        if deep:
            out[k, 3] += w * z[i]
        out[k, 4] += w * frame[i]
    return count


@numba.njit(cache=True, nogil=True)
def find_mates(previous: Any, bead: Any, mates: Any) -> None:
    """Write the event before and the event after each one, -1 for none; parts of beads have none."""
    for i in range(len(previous)):
        mates[i, 0] = mates[i, 1] = -1
    for i in range(len(previous)):
        j = previous[i]
        if j >= 0 and not bead[i] and not bead[j]:
            mates[i, 0] = j
            mates[j, 1] = i


@numba.njit(cache=True, nogil=True)
def finish(sums: Any, count: int, x: Any, y: Any, z: Any, frame: Any, error: Any) -> None:
    """Write the events: means, the nearest frame (halves alternate) and the standard error relative to one localization."""
    deep = len(z) > 0
    for k in range(count):
        inverse = 1.0 / sums[k, 0]
        x[k], y[k] = sums[k, 1] * inverse, sums[k, 2] * inverse
        if deep:
            z[k] = sums[k, 3] * inverse
        frame[k] = int(sums[k, 4] * inverse + (0.499 if k % 2 else 0.501))
        error[k] = math.sqrt(inverse)
