"""Frames for which a drift goes somewhere else although hardly any localizations say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift
from recipes_modules.verdict.compare import Moments

Floats = npt.NDArray[np.float64]

FEW = 40
"""Localizations that are too few to show that the sample was somewhere else."""
FAR = 3.0
"""In precisions: how far off such frames are at least."""
UNUSUAL = 10.0
"""In typical distances of a frame from those around it: how far off they are at least."""
BENT = 2.0
"""At both ends: how far off they are at least, over what the curve moves within twice so many localizations."""
_ROWS = 20_000
_TYPICAL = 1.4826
"""Standard deviation over the median of absolute values."""


@dataclass(frozen=True)
class Alone:
    """Successive frames that lie far from those around them.

    Attributes
    ----------
    first, last : float
    count : int
        Localizations that they hold.
    axis : int
    distance : float
        Largest, nm.
    """

    first: float
    last: float
    count: int
    axis: int
    distance: float


def find_alone(drift: Drift, moments: Moments, scale: Floats, axes: int) -> list[Alone]:
    """Frames that fewer than `FEW` localizations put far away from all those around them, the farthest of each axis.

    Each frame is compared with the median over the `FEW` localizations before it and as many after it, which a real step does not
    move, and fewer localizations than that cannot; at both ends, with a straight line through such medians.

    Parameters
    ----------
    scale : array (3,)
        Precision of a localization along each axis, nm.
    """
    frames, counts = moments.frames, moments.counts
    if counts.sum() < 6 * FEW or len(frames) < 3:
        return []
    path = drift.at(frames)
    found = []
    for axis in range(axes):
        off = _off(path[:, axis], frames, counts, FAR * scale[axis])
        typical = _TYPICAL * float(np.median(np.abs(off)))
        far = np.abs(off) > max(FAR * scale[axis], UNUSUAL * typical)
        if far.any():
            k = int(np.argmax(np.abs(off)))
            beside = np.flatnonzero(~far)
            first = int(beside[beside < k].max(initial=-1)) + 1
            last = int(beside[beside > k].min(initial=len(frames))) - 1
            held = int(counts[first : last + 1].sum())
            found.append(Alone(float(frames[first]), float(frames[last]), held, axis, float(np.abs(off[k]))))
    return found


def _off(path: Floats, frames: Floats, counts: Floats, far: float) -> Floats:
    """How far each frame lies from the median of those around it; 0 where that is surely less than `far`, nm."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    off = np.zeros(len(path))
    reach = int(min(FEW, len(path) - 1))
    size = 2 * reach + 1
    swing = maximum_filter1d(path, size, mode="nearest") - minimum_filter1d(path, size, mode="nearest")
    rows = np.flatnonzero(swing > far)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        off[part] = path[part] - _middles(path, counts, part, reach)
    for end in (slice(None), slice(None, None, -1)):
        _straighten(path[end], frames[end], counts[end], far, off[end])
    return off


def _middles(path: Floats, counts: Floats, rows: npt.NDArray[np.int64], reach: int) -> Floats:
    """Median over the `FEW` localizations before the middle of each frame, and as many after it."""
    around = rows[:, None] + np.arange(-reach, reach + 1)
    inside = (around >= 0) & (around < len(path))
    around = np.clip(around, 0, len(path) - 1)
    values, held = path[around], np.where(inside, counts[around], 0.0)
    before = np.cumsum(held, axis=1)
    # Localizations from the middle of the frame in question to either end of each frame, as far as `FEW`.
    middle = before[:, reach] - held[:, reach] / 2
    low, high = before - held - middle[:, None], before - middle[:, None]
    weight = np.clip(high, -FEW, FEW) - np.clip(low, -FEW, FEW)
    order = np.argsort(values, axis=1)
    total = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    at = (total < total[:, -1:] / 2).sum(axis=1)
    row = np.arange(len(rows))
    return np.asarray(values[row, order[row, at]])


def _straighten(path: Floats, frames: Floats, counts: Floats, far: float, off: Floats) -> None:
    """Replace `off` for the frames of the first `FEW` localizations, which have few before them; from a line through what follows."""
    passed = np.cumsum(counts)
    groups = [(passed - counts / 2 >= k * 2 * FEW) & (passed - counts / 2 < (k + 1) * 2 * FEW) for k in range(2)]
    if not all(group.any() for group in groups):
        return
    (y0, t0), (y1, t1) = ((_median(path[g], counts[g]), _median(frames[g], counts[g])) for g in groups)
    here = passed - counts < FEW
    slope = (y1 - y0) / (t1 - t0) if t1 != t0 else 0.0
    rest = path[here] - (y0 + slope * (frames[here] - t0))
    # A curve that bends or is rough lies beside a line.
    slack = BENT * float(np.ptp(path[groups[1]]))
    off[here] = np.where(np.abs(rest) > max(far, slack), rest, 0.0)


def _median(values: Floats, weight: Floats) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
