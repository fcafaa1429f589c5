"""Two drifts of the same sample compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift

Floats = npt.NDArray[np.float64]

TRIMMED = 0.005
"""This part of the localizations, where drifts differ most, does not count: a jump that is found a frame too late."""
STRETCHES = 20
"""Parts of the movie, of equally many localizations, that are looked at one by one."""


@dataclass(frozen=True)
class Difference:
    """How far two drifts lie apart.

    Attributes
    ----------
    name, short : str
        What was compared, in words and in one.
    drifts : (Drift, Drift)
    apart : array (3,)
        Root mean square difference over the localizations, mean removed, nm.
    expected : array (3,)
        What the standard errors of both let expect, nm.
    worst, worst_expected : array (3,)
        Difference in the stretch of the movie where it is largest against the expected one, and that one, nm.
    where : array (3, 2)
        First and last frame of that stretch.
    share : float
        Standard error of the drift over the difference: a half where both are of halves of the data, one where the drift itself
        is compared.
    """

    name: str
    short: str
    drifts: tuple[Drift, Drift]
    apart: Floats
    expected: Floats
    worst: Floats
    worst_expected: Floats
    where: Floats
    share: float = 0.5

    @property
    def ratio(self) -> Floats:
        """Difference over the expected one, (3,); 0 where none is known."""
        return np.asarray(np.where(self.expected > 0, self.apart / np.where(self.expected > 0, self.expected, 1), 0.0))


@dataclass(frozen=True)
class Moments:
    """The frames that hold localizations, and how many."""

    frames: Floats
    counts: Floats

    @classmethod
    def of(cls, frames: npt.NDArray[np.float64]) -> Moments:
        """Count the localizations of each frame; those without a frame do not count."""
        values, counts = np.unique(frames[np.isfinite(frames)], return_counts=True)
        return cls(values.astype(np.float64), counts.astype(np.float64))


def compare(name: str, short: str, drifts: tuple[Drift, Drift], moments: Moments, share: float = 0.5) -> Difference:
    """Difference of two drifts, each frame counting by its localizations."""
    low = max(drift.measured[0] for drift in drifts)
    high = min(drift.measured[1] for drift in drifts)
    inside = (moments.frames >= low) & (moments.frames <= high)
    frames, weight = moments.frames[inside], moments.counts[inside] / max(moments.counts[inside].sum(), 1.0)
    difference = drifts[0].at(frames) - drifts[1].at(frames)
    difference -= weight @ difference
    variance = error_at(drifts[0], frames) ** 2 + error_at(drifts[1], frames) ** 2
    everywhere = np.sqrt(weight @ np.asarray(variance))
    worst, beside, where = np.zeros(3), np.zeros(3), np.zeros((3, 2))
    stretch = np.minimum((np.cumsum(weight) - weight / 2) * STRETCHES, STRETCHES - 1).astype(np.int64)
    for k in np.unique(stretch):
        rows = stretch == k
        part = weight[rows] / weight[rows].sum()
        likely = np.sqrt(part @ variance[rows])
        for axis in range(3):
            here = _trimmed_rms(difference[rows, axis], part)
            if here * max(beside[axis], 1e-9) > worst[axis] * max(likely[axis], 1e-9):
                worst[axis], beside[axis], where[axis] = here, likely[axis], frames[rows][[0, -1]]
    apart = np.array([_trimmed_rms(difference[:, axis], weight) for axis in range(3)])
    return Difference(name, short, drifts, apart, everywhere, worst, beside, where, share)


def _trimmed_rms(values: Floats, weight: Floats) -> float:
    order = np.argsort(np.abs(values))
    kept = order[np.cumsum(weight[order]) <= 1 - TRIMMED]
    return float(np.sqrt(weight[kept] @ values[kept] ** 2 / weight[kept].sum())) if len(kept) else 0.0


def mean_of(drifts: tuple[Drift, Drift], moments: Moments) -> Drift:
    """The mean of two independent drifts at the frames that hold localizations."""
    frames = moments.frames
    error = np.sqrt(error_at(drifts[0], frames) ** 2 + error_at(drifts[1], frames) ** 2) / 2
    return Drift(frames, (drifts[0].at(frames) + drifts[1].at(frames)) / 2, error=error)


def error_at(drift: Drift, frames: Floats) -> Floats:
    """Standard errors (n, 3) at any frames; 0 where none are known."""
    if drift.error is None:
        return np.zeros((len(frames), 3))
    return np.column_stack([np.interp(frames, drift.frames, np.nan_to_num(drift.error[:, axis])) for axis in range(3)])


def mean_error(drift: Drift, moments: Moments) -> Floats:
    """Root mean square standard error over the localizations (3,), nm."""
    weight = moments.counts / max(moments.counts.sum(), 1.0)
    return np.asarray(np.sqrt(weight @ error_at(drift, moments.frames) ** 2))
