"""Chains of localizations that follow each other at one place. Importing this file imports numba."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError

Ints = npt.NDArray[np.int32]

MOST_CELLS = 1 << 10
"""Cells along an edge of the grid; what lies farther apart than so many cells shares them, which costs time and changes nothing."""
FAR = 1e15
"""Cells from the origin beyond which places are no longer told apart in the grid."""
SAMPLE = 100_000


def chains(
    x: npt.NDArray[Any], y: npt.NDArray[Any], frame: Ints, radius: npt.NDArray[Any], apart: int, *, by_end: bool,
    channel: Ints | None = None, closed: bool = True,
) -> tuple[Ints, int]:  # fmt: skip
    """Number localizations such that those of one chain have one number.

    Each row joins a chain that has a localization before it (in the order of rows) within its radius and at most `apart` frames
    earlier. Where several do, the chain whose localization stands first is joined.

    Parameters
    ----------
    x, y : array (n,)
        nm, finite.
    frame : array (n,) of int32
        In increasing order.
    radius : array (n,) or (1,)
        nm; of each row, or of all.
    apart : int
        Most frames from one localization to the next.
    by_end : bool
        Whether only the last localization of a chain counts, where it is of an earlier frame, and of several chains the one that
        began first is joined (Picasso's rule); else any localization of it, also of the same frame (PYME's rule).
    channel : array (n,) of int32, optional
        Rows of different channels are never of one chain.
    closed : bool
        Whether a distance that equals the radius counts.

    Returns
    -------
    array (n,) of int32
        Numbers from 0, in the order in which chains begin.
    int
        Number of chains.
    """
    n = len(x)
    label = np.empty(n, np.int32)
    if n == 0:
        return label, 0
    if n >= np.iinfo(np.int32).max:
        raise DataError(f"{n:,} localizations are more than can be linked at once.", code="D600", hint="Link parts of the table.")
    sample = radius[:: max(1, len(radius) // SAMPLE)]
    usable = sample[np.isfinite(sample) & (sample > 0)]
    edge = 2.0 * float(np.median(usable)) if len(usable) else 1.0
    none = np.empty(0, np.int32)
    size = min(MOST_CELLS, 1 << max(2, math.ceil(math.log2(math.sqrt(n) + 1))))
    head = np.full(size * size, -1, np.int32)
    count = _chains(
        x, y, frame, radius, apart, 1.0 / edge, by_end, closed, none if channel is None else channel, head, size - 1, label
    )
    return label, int(count)


@numba.njit(cache=True, nogil=True)
def _cell(place: float, inverse: float) -> int:
    value = math.floor(place * inverse)
    return int(min(max(value, -FAR), FAR))


@numba.njit(cache=True, nogil=True)
def _chains(
    x: Any, y: Any, frame: Any, radius: Any, apart: int, inverse: float, by_end: bool, closed: bool, channel: Any, head: Any,
    mask: int, label: Any,
) -> int:  # fmt: skip
    n = len(x)
    # The row before this one in the same cell: rows are in order of time, so that a walk back ends at the first that is too old.
    below = np.empty(n, np.int32)
    ended = np.empty(n if by_end else 0, np.bool_)
    each = len(radius) > 1
    many = len(channel) > 0
    width = mask + 1
    recent, count = 0, 0
    for i in range(n):
        while frame[i] - frame[recent] > apart:
            recent += 1
        xi, yi = float(x[i]), float(y[i])
        reach = float(radius[i] if each else radius[0])
        best, rank = -1, n
        if reach >= 0:
            limit = reach * reach
            c0, c1 = _cell(xi - reach, inverse), _cell(xi + reach, inverse)
            r0, r1 = _cell(yi - reach, inverse), _cell(yi + reach, inverse)
            # Each cell once, and none where it is quicker to look at every row that is recent enough.
            c1, r1 = min(c1, c0 + mask), min(r1, r0 + mask)
            if (c1 - c0 + 1) * (r1 - r0 + 1) > max(4, i - recent):
                c1, r1 = c0 - 1, r0 - 1
                for j in range(recent, i):
                    if by_end and (ended[j] or frame[j] == frame[i]):
                        continue
                    if many and channel[i] != channel[j]:
                        continue
                    dx, dy = xi - x[j], yi - y[j]
                    square = dx * dx + dy * dy
                    if square < limit or (closed and square == limit):
                        order = label[j] if by_end else j
                        if order < rank:
                            best, rank = j, order
            for row in range(r0, r1 + 1):
                start = (row & mask) * width
                for column in range(c0, c1 + 1):
                    j = head[start + (column & mask)]
                    while j >= recent:
                        if not (by_end and (ended[j] or frame[j] == frame[i])) and not (many and channel[i] != channel[j]):
                            dx, dy = xi - x[j], yi - y[j]
                            square = dx * dx + dy * dy
                            if square < limit or (closed and square == limit):
                                order = label[j] if by_end else j
                                if order < rank:
                                    best, rank = j, order
                        j = below[j]
        if best >= 0:
            label[i] = label[best]
        else:
            label[i] = count
            count += 1
        if by_end:
            ended[i] = False
            if best >= 0:
                ended[best] = True
        own = (_cell(yi, inverse) & mask) * width + (_cell(xi, inverse) & mask)
        below[i] = head[own]
        head[own] = i
    return count
