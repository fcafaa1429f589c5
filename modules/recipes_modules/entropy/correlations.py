"""How much the scores of successive events have in common. Importing this file imports numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.entropy.density import Map
from recipes_modules.entropy.events import MATES_WITHIN, STRETCH, Events
from recipes_modules.entropy.rounds import Scores

Floats = npt.NDArray[np.float64]

WITHIN = MATES_WITHIN
"""Frames over which an event may go on."""
ENOUGH = 300_000
"""Events that are looked at, at most."""


@numba.njit(cache=True, nogil=True)
def sum_products(
    x: Any, y: Any, frame: Any, drift: Any, scores: Any, radius: float, low_x: float, low_y: float, lag: int, within: int,
    cells: Any, result: Any,
) -> None:  # fmt: skip
    """Products of the score of each event and those before it at the same place.

    Parameters
    ----------
    drift : array (n_frames, 3) of float32
        Subtracted.
    scores : array (n, axes)
        Weighted so that they are alike in all groups.
    lag, within : int
        An event continues the last one of its cell that began `lag` to `lag + within` frames before it.
    cells : array (ny, nx) of int32
        -1 everywhere; edges of `radius`.
    result : array (axes,)
        Added to.
    """
    n, axes = scores.shape
    inverse = 1.0 / radius
    late = 0
    for i in range(n):
        while late < n and (frame[late] <= frame[i] - lag if lag > 0 else late < i):
            t = frame[late]
            row, column = int((y[late] - drift[t, 1] - low_y) * inverse), int((x[late] - drift[t, 0] - low_x) * inverse)
            cells[row, column] = late
            late += 1
        t = frame[i]
        u, v = x[i] - drift[t, 0], y[i] - drift[t, 1]
        j = cells[int((v - low_y) * inverse), int((u - low_x) * inverse)]
        goes_on = False
        if j >= 0 and 0 < t - frame[j] <= lag + within:
            s = frame[j]
            dx, dy = u - (x[j] - drift[s, 0]), v - (y[j] - drift[s, 1])
            goes_on = dx * dx + dy * dy < radius * radius
        if goes_on:
            for axis in range(axes):
                result[axis] += scores[i, axis] * scores[j, axis]


def inflation(events: Events, drift: Floats, scores: Scores, axes: list[int], radius: float, map_: Map) -> Floats:
    """Factor by which events that are not independent raise the variance, per axis; 1 where they are.

    Events at one place that follow each other are likely one molecule, which is always off in the same direction. What events
    far apart in time have in common at one place is the structure, and is subtracted.

    Parameters
    ----------
    radius : float
        How near events of one molecule lie, nm.
    """
    shift = drift.astype(np.float32)
    rows = events.in_time(ENOUGH)
    x, y, frame = events.x[rows], events.y[rows], events.frame[rows]
    weighted = scores.gradients[rows][:, axes] * scores.gain.astype(np.float32)[:, axes][events.group[rows]]
    low = np.array([x.min(), y.min()]) - drift[:, :2].max(axis=0) - 1
    high = np.array([x.max(), y.max()]) - drift[:, :2].min(axis=0) + 1
    radius = max(radius, float((high - low).max()) / 8192)
    shape = tuple(int(v) + 2 for v in ((high - low) / radius)[::-1])

    def task(start: int) -> Floats:
        part = slice(start, start + STRETCH)
        found = np.zeros((2, len(axes)))
        for k, lag in enumerate((0, 4 * WITHIN)):
            cells = np.full(shape, -1, np.int32)
            sum_products(
                x[part], y[part], frame[part], shift, weighted[part], radius, low[0], low[1], lag, WITHIN, cells, found[k]
            )
        return found

    near, far = sum(map_(task, range(0, len(rows), STRETCH)), np.zeros((2, len(axes))))
    power = (weighted.astype(np.float64) ** 2).sum(axis=0)
    common = np.clip((near - far) / np.where(power > 0, power, 1), 0, 0.9)
    # Of a chain of events each is as like its neighbour as the next is like that one.
    return np.asarray(1 + 2 * common / (1 - common))
