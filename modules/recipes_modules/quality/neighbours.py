"""Nearest neighbours between consecutive frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from recipes_core.errors import DataError

Floats = npt.NDArray[np.float64]
Mapper = Callable[[Callable[[int], Any], Iterable[int]], Iterator[Any]]

BLOCKS = 32
"""The movie is looked at in so many parts of about as many localizations; their spread gives the standard errors."""


class Sequence:
    """Localizations in the order of their frames.

    Parameters
    ----------
    x, y : array (n,), nm
    frame : array (n,)
    error : array (n,), optional
        Standard error per axis, nm; rows where it is not above 0 are left out.

    Attributes
    ----------
    starts : array (m + 1,)
        First row of each of the m frames that hold localizations, and n.
    numbers : array (m,)
        Those frames.
    """

    def __init__(self, x: npt.ArrayLike, y: npt.ArrayLike, frame: npt.ArrayLike, error: npt.ArrayLike | None = None) -> None:
        columns = [np.asarray(x), np.asarray(y), np.asarray(frame)]
        if error is not None:
            columns.append(np.asarray(error))
        if len({values.shape for values in columns}) != 1 or columns[0].ndim != 1:
            raise DataError("positions, frames and errors must be columns of one length", code="D450")
        good = np.isfinite(columns[0]) & np.isfinite(columns[1])
        if columns[2].dtype.kind == "f":
            good &= np.isfinite(columns[2])
        if error is not None:
            good &= np.isfinite(columns[3]) & (columns[3] > 0)
        self.n_left_out = int(np.count_nonzero(~good))
        if self.n_left_out:
            columns = [values[good] for values in columns]
        frames = _whole(columns[2])
        if len(frames) and (np.diff(frames) < 0).any():
            order = np.argsort(frames, kind="stable")
            frames, columns = frames[order], [values[order] for values in columns]
        self.x, self.y = (_real(values) for values in columns[:2])
        self.error = None if error is None else _real(columns[3])
        changes = np.flatnonzero(np.diff(frames)) + 1 if len(frames) else np.zeros(0, np.int64)
        self.starts = np.concatenate([[0], changes, [len(frames)]]).astype(np.int64) if len(frames) else np.zeros(1, np.int64)
        self.numbers = frames[self.starts[:-1]]
        self.frame = frames

    def __len__(self) -> int:
        return len(self.x)

    def blocks(self, n: int = BLOCKS) -> npt.NDArray[np.int64]:
        """Bounds (n + 1,) of runs of frames, as indices into `numbers`, with about as many localizations each."""
        wanted = np.linspace(0, len(self), n + 1)
        bounds = np.searchsorted(self.starts, wanted)
        bounds[0], bounds[-1] = 0, len(self.numbers)
        return np.maximum.accumulate(bounds).astype(np.int64)


def _whole(frame: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if frame.dtype.kind == "f":
        rounded = np.rint(frame)
        if not np.array_equal(rounded, frame):
            raise DataError("column 'frame' holds numbers that are not whole", code="D450")
        frame = rounded
    return frame.astype(np.int64)


def _real(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    kind = np.float32 if values.dtype == np.float32 else np.float64
    return np.ascontiguousarray(values, dtype=kind)


def next_frame_distances(sequence: Sequence, reach: float, first: int, last: int, lag: int = 1) -> tuple[Floats, Floats]:
    """Distance to the nearest localization of the next frame (or `lag` frames later), for those of a run of frames.

    Parameters
    ----------
    reach : float
        nm; what is farther away is not looked for.
    first, last : int
        Run of frames, as indices into ``sequence.numbers``; where the frame looked at is empty, distances are infinite.

    Returns
    -------
    distance : array (k,), nm
        One for each localization of the run; infinite where none is within reach.
    error : array (k,), nm
        Root of half the sum of the pair's squared errors; 1 where the sequence has no errors.
    """
    errors = sequence.error
    given = errors is not None
    return _search(
        sequence.x, sequence.y, errors if errors is not None else sequence.x[:0], given,
        sequence.starts, sequence.numbers, float(reach), first, last, lag,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _search(x, y, error, given, starts, numbers, reach, first, last, lag):  # type: ignore[no-untyped-def] # pragma: no cover
    a, b = starts[first], starts[last]
    distance = np.full(b - a, np.inf)
    pair_error = np.ones(b - a)
    later = first
    for f in range(first, last):
        while later < len(numbers) and numbers[later] < numbers[f] + lag:
            later += 1
        if later == len(numbers):
            break
        s0, s1, s2 = starts[f], starts[later], starts[later + 1]
        if numbers[later] == numbers[f] + lag:
            order = np.argsort(x[s0 : starts[f + 1]])
            following = np.argsort(x[s1:s2])
            n = s2 - s1
            low = 0
            for k in range(len(order)):
                i = s0 + order[k]
                xi, yi = float(x[i]), float(y[i])
                # Both frames go along x, so the window of candidates only moves forwards.
                while low < n and x[s1 + following[low]] < xi - reach:
                    low += 1
                best = reach * reach
                found = -1
                for m in range(low, n):
                    j = s1 + following[m]
                    dx = x[j] - xi
                    if dx > reach or (dx > 0 and dx * dx > best):
                        break
                    dy = y[j] - yi
                    square = dx * dx + dy * dy
                    if square < best:
                        best = square
                        found = j
                if found >= 0:
                    distance[i - a] = np.sqrt(best)
                    if given:
                        pair_error[i - a] = np.sqrt((float(error[i]) ** 2 + float(error[found]) ** 2) / 2)
    return distance, pair_error
