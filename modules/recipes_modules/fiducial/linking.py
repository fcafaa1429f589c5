"""Tracks of markers through the frames of a movie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FOLLOW = 0.3
"""How fast the place where a marker is looked for follows the places where it was found."""
AROUND = 11
"""Localizations of a marker are compared with the median of so many."""
FAR = 6.0
"""Standard deviations beyond which one is of another molecule."""


@dataclass(frozen=True, eq=False)
class Track:
    """One marker, or a part of its way.

    Attributes
    ----------
    frames : array (n,)
        Increasing.
    positions : array (n, 3)
        nm; z is 0 where there is none.
    """

    frames: Ints
    positions: Floats

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def span(self) -> int:
        """Frames from the first to the last in which it was found."""
        return int(self.frames[-1] - self.frames[0]) + 1


def cleaned(track: Track) -> Track:
    """The track without localizations that lie far from those around them in time: of molecules that shone beside the marker."""
    from scipy.ndimage import median_filter

    if len(track) < AROUND:
        return track
    left = track.positions - median_filter(track.positions, size=(AROUND, 1), mode="nearest")
    spread = 1.4826 * np.median(np.abs(left), axis=0)
    good = (np.abs(left) <= FAR * spread).all(axis=1)
    return track if good.all() else Track(track.frames[good], track.positions[good])


def link(frame: Ints, positions: Floats, radius: float, gap: int, fewest: int) -> list[Track]:
    """Tracks of localizations that follow one another within a radius.

    Parameters
    ----------
    frame : array (n,)
        In increasing order.
    positions : array (n, 3)
        nm.
    radius : float
        From the place where a track was last; it may be missing for up to `gap` frames, and for twice as many as it has been found.
    fewest : int
        Shorter tracks are left out.
    """
    x, y = np.ascontiguousarray(positions[:, 0]), np.ascontiguousarray(positions[:, 1])
    starts = np.concatenate([[0], np.flatnonzero(np.diff(frame)) + 1, [len(frame)]]).astype(np.int64)
    track = _link(x, y, frame, starts, radius, gap)
    sizes = np.bincount(track)
    long = np.flatnonzero(sizes >= fewest)
    order = np.argsort(track, kind="stable")
    ends = np.cumsum(sizes)
    rows = [order[ends[k] - sizes[k] : ends[k]] for k in long]
    return [Track(frame[part], positions[part]) for part in rows]


@njit(cache=True, nogil=True)
def _link(x, y, frame, starts, radius, gap):  # type: ignore[no-untyped-def] # pragma: no cover
    n = len(x)
    track = np.empty(n, np.int64)
    # Tracks that may go on: number, place, frame in which it was found last, how often.
    room = 1024
    number, last, count = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    px, py = np.empty(room), np.empty(room)
    active, made = 0, 0
    for f in range(len(starts) - 1):
        a, b = starts[f], starts[f + 1]
        now = frame[a]
        kept = 0
        for k in range(active):
            missing = now - last[k] - 1
            if missing <= gap and missing <= 2 * count[k]:
                number[kept], last[kept], count[kept], px[kept], py[kept] = number[k], last[k], count[k], px[k], py[k]
                kept += 1
        active = kept
        m = b - a
        order = np.argsort(x[a:b])
        sorted_x = x[a:b][order]
        best_of_loc = np.full(m, -1, np.int64)
        distance_of_loc = np.full(m, np.inf)
        best_of_track = np.full(active, -1, np.int64)
        for k in range(active):
            nearest = radius * radius
            j = np.searchsorted(sorted_x, px[k] - radius)
            while j < m and sorted_x[j] <= px[k] + radius:
                i = order[j]
                d = (x[a + i] - px[k]) ** 2 + (y[a + i] - py[k]) ** 2
                if d < nearest:
                    nearest = d
                    best_of_track[k] = i
                # A track that has been followed for long goes before one that has just begun.
                d = d / count[k]
                if d < distance_of_loc[i] and d * count[k] < radius * radius:
                    distance_of_loc[i] = d
                    best_of_loc[i] = k
                j += 1
        if active + m > room:
            room = 2 * (active + m)
            number, last, count = _longer(number, room), _longer(last, room), _longer(count, room)
            px, py = _longer(px, room), _longer(py, room)
        before = active
        for i in range(m):
            k = best_of_loc[i]
            if k >= 0 and k < before and best_of_track[k] == i:
                share = max(FOLLOW, 1.0 / (count[k] + 1))
                px[k] += share * (x[a + i] - px[k])
                py[k] += share * (y[a + i] - py[k])
                last[k] = now
                count[k] += 1
                track[a + i] = number[k]
            else:
                number[active], last[active], count[active] = made, now, 1
                px[active], py[active] = x[a + i], y[a + i]
                track[a + i] = made
                active += 1
                made += 1
    return track


@njit(cache=True, nogil=True)
def _longer(values, room):  # type: ignore[no-untyped-def] # pragma: no cover
    result = np.empty(room, values.dtype)
    result[: len(values)] = values
    return result
