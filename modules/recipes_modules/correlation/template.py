"""Last step: compare each window with all that is not in it, so that errors do not add up along the movie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_modules.correlation.correlator import Correlator
from recipes_modules.correlation.width import matched_kernel

Floats = npt.NDArray[np.float64]

DOUBTFUL = 8.0
"""Halves of a window that lie apart by more than so many standard errors, or of which one has no peak, are in doubt."""


@dataclass(frozen=True)
class AgainstRest:
    """Windows compared with all localizations that are not in them.

    Attributes
    ----------
    shifts : array (w, 3)
        What must be added to each window (x, y, z), nm; NaN where no peak is near.
    error : array (w, 3) or None
        Standard errors; None where no window has a peak in both of its halves.
    doubtful : array (w,) of bool
        Windows whose two halves say quite different things: what they show is not what the others show.
    """

    shifts: Floats
    error: Floats | None
    doubtful: npt.NDArray[np.bool_]


def compare_with_rest(correlator: Correlator, progress: tuple[float, float]) -> AgainstRest:
    """Compare each window with all localizations that are not in it.

    Pairs within a bounded reach join the beginning of a movie to its end by many steps, whose errors add up. The sum of all
    windows, brought together by the drift found so far, is one template for all of them.

    Each window is compared in two parts, its earlier and its later localizations. How much they disagree shows how uncertain
    their sum is, including what the localizations themselves contribute.
    """
    cloud, ctx = correlator.cloud, correlator.ctx
    windows = cloud.windows
    n = len(windows)
    total = _everything(correlator)
    sizes = [2 * r + 1 for r in correlator.reach]
    parts = ctx.scratch.array((n, 2, *sizes), np.float32)

    def compare(window: int) -> None:
        start, stop = int(windows.first_row[window]), int(windows.last_row[window])
        middle = cloud.frame_boundary(start, stop)
        early, late = correlator.spectrum(start, middle), correlator.spectrum(middle, stop)
        rest = total - early
        rest -= late
        parts[window, 0] = correlator.correlate(rest, early)
        parts[window, 1] = correlator.correlate(rest, late)

    begin, end = progress
    for done, _ in enumerate(ctx.map(compare, range(n)), 1):
        ctx.progress(begin + (end - begin) * done / n, 1.0)
    whole = parts.sum(axis=1)
    kernel = matched_kernel(whole)
    shifts = correlator.peaks(whole, kernel)
    apart = correlator.peaks(parts[:, 0], kernel) - correlator.peaks(parts[:, 1], kernel)
    error = _standard_errors(apart, windows.counts.astype(np.float64))
    doubtful = np.zeros(n, bool) if error is None else ~(np.abs(apart) / 2 <= DOUBTFUL * error).all(axis=1)
    return AgainstRest(shifts, error, doubtful)


def _everything(correlator: Correlator) -> npt.NDArray[np.complex64]:
    """Spectrum of all localizations that are in a window, each counted once although windows may overlap."""
    windows = correlator.cloud.windows
    total = np.zeros(correlator.spectrum_shape, np.complex64)
    start, stop = int(windows.first_row[0]), int(windows.last_row[0])
    for first, last in zip(windows.first_row[1:], windows.last_row[1:], strict=True):
        if first > stop:
            total += correlator.spectrum(start, stop)
            start = int(first)
        stop = int(last)
    total += correlator.spectrum(start, stop)
    return total


def _standard_errors(apart: Floats, counts: Floats) -> Floats | None:
    """Standard errors of windows from how far their halves lie apart.

    A half has twice the variance of the whole, the difference of both halves four times. One variance per localization is
    taken for all windows, from the median, which a few missed peaks do not change.
    """
    known = np.isfinite(apart).all(axis=1)
    if not known.any():
        return None
    scaled = np.abs(apart[known]) * np.sqrt(counts[known])[:, np.newaxis] / 2
    # Median of the absolute value of a normal distribution: 0.6745 standard deviations.
    spread = np.median(scaled, axis=0) / 0.6745
    return np.asarray(spread / np.sqrt(counts)[:, np.newaxis])
