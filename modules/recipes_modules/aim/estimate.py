"""Drift by adaptive intersection maximization: x and y first, then z in segments of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules.aim.cells import FOUND, Search
from recipes_modules.aim.refine import interpolated, refine
from recipes_modules.aim.track import Tracker
from recipes_modules.correlation.cloud import Cloud
from recipes_modules.correlation.motion import motion_within
from recipes_modules.correlation.windows import TimeWindows, cut_windows

Floats = npt.NDArray[np.float64]

AXIAL = 2.0
"""Cells for z are so much larger: positions along z are known about so much worse."""
LEAST_RADIUS = 3
"""Cells that are looked at on either side, at least: the peak needs room."""
MOST_LOST = 0.5
"""Where more than this part of the segments is lost, so is the drift."""


@dataclass(frozen=True)
class Knots:
    """Positions of segments along some axes.

    Attributes
    ----------
    windows : TimeWindows
        The segments that were found.
    positions, error : array (w, 3)
        What must be added and its standard error, nm; 0 along the axes that were not looked at.
    n_lost : int
        Segments that meet nothing of the others, which were left out.
    widened : int
        Segments that moved farther than the search radius.
    apart : float
        Part of the segments in which both halves of the field say quite different things.
    fastest : float
        What 90 % of the segments move less than from one to the next, nm.
    change : float
        By how much the last round still moved them, nm.
    """

    windows: TimeWindows
    positions: Floats
    error: Floats
    n_lost: int
    widened: int
    apart: float
    fastest: float
    change: float


def lateral(ctx: Context, cloud: Cloud, distance: float, radius: float, progress: tuple[float, float]) -> Knots:
    """Drift along x and y."""
    search = Search(distance, _cells(radius, distance))
    return _estimate(ctx, cloud, cloud.windows, np.zeros((len(cloud.moments), 3)), search, progress)


def axial(
    ctx: Context, cloud: Cloud, xy: Knots, segmentation: int, distance: float, radius: float, progress: tuple[float, float]
) -> Knots:
    """Drift along z of a cloud whose drift along x and y is known."""
    frames = cloud.moments.astype(np.int64)[cloud.moment]
    windows = cut_windows(frames, segmentation, segmentation)
    search = Search(AXIAL * distance, _cells(radius, distance), axial=True)
    return _estimate(ctx, cloud, windows, interpolated(xy.windows.node, xy.positions, cloud.moments), search, progress)


def _cells(radius: float, distance: float) -> int:
    return max(LEAST_RADIUS, math.ceil(radius / distance - 1e-9))


def _estimate(
    ctx: Context, cloud: Cloud, windows: TimeWindows, base: Floats, search: Search, progress: tuple[float, float]
) -> Knots:
    begin, end = progress
    middle = begin + 0.4 * (end - begin)
    track = Tracker(cloud, windows, base.astype(np.float32), search).run(ctx, (begin, middle))
    refined = refine(ctx, cloud, windows, track, base, search, (middle, end))
    found = refined.significance >= FOUND
    n_lost = len(found) - int(np.count_nonzero(found))
    if n_lost > MOST_LOST * len(found) or len(found) - n_lost < 2:
        along = "along z" if search.axial else "in x and y"
        raise DataError(
            f"the drift {along} is lost: {n_lost} of {len(found)} segments meet nothing of what the others show.",
            code="D421",
            hint="Set the segmentation higher where localizations are few, lower where the drift is fast; or the search radius higher.",
        )
    kept = windows if not n_lost else windows.subset(found)
    positions = refined.positions[found]
    error, doubtful = _standard_errors(refined.apart[found], kept.counts.astype(np.float64), search.axial)
    known = error > 0
    error[known] = np.sqrt(error**2 + motion_within(positions, error))[known]
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    return Knots(
        kept, positions - positions[0], error, n_lost, track.widened, doubtful, float(np.quantile(steps, 0.9)), refined.change
    )


def _standard_errors(apart: Floats, counts: Floats, along_z: bool) -> tuple[Floats, float]:
    """Standard errors from how far both halves of the field lie apart, and the part of the segments where they disagree.

    A half has twice the variance of the whole, the difference of both halves four times. One variance per localization is
    taken for all segments, from the median, which a few missed peaks do not change.
    """
    error = np.zeros_like(apart)
    doubtful = np.zeros(len(apart), bool)
    for axis in (2,) if along_z else (0, 1):
        half = np.abs(apart[:, axis]) / 2
        known = np.isfinite(half)
        if not known.any():
            return np.full_like(apart, np.nan), 1.0
        # Median of the absolute value of a normal distribution: 0.6745 standard deviations.
        error[:, axis] = np.median(half[known] * np.sqrt(counts[known])) / 0.6745 / np.sqrt(counts)
        doubtful |= ~(half <= 8 * error[:, axis])
    return error, float(np.mean(doubtful))
