"""Time windows: which rows of a table belong to which stretch of the movie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_WINDOWS = 50_000


@dataclass(frozen=True)
class TimeWindows:
    """Stretches of a movie and the localizations in them.

    Attributes
    ----------
    order : array (n,) or None
        Row of the table for each position in the order of frames; None where the table is in that order already.
    starts, stops : array (w,)
        First frame of each window, and the one behind its last.
    first_row, last_row : array (w,)
        Each window holds the positions ``first_row`` to ``last_row`` (exclusive) of `order`.
    node : array (w,)
        Frame that a window stands for: the mean frame of its localizations.
    measured : (int, int)
        First frame of the first window, last frame of the last.
    n_empty : int
        Windows without localizations, which were left out.
    """

    order: Ints | None
    starts: Ints
    stops: Ints
    first_row: Ints
    last_row: Ints
    node: Floats
    measured: tuple[int, int]
    n_empty: int

    def __len__(self) -> int:
        return len(self.node)

    @property
    def counts(self) -> Ints:
        """Localizations in each window."""
        return self.last_row - self.first_row

    def subset(self, kept: npt.NDArray[np.bool_]) -> TimeWindows:
        """Only some of the windows; what was measured shrinks with them."""
        inside = np.flatnonzero(kept)
        span = (int(self.starts[inside[0]]), int(self.stops[inside[-1]]) - 1)
        names = ("starts", "stops", "first_row", "last_row", "node")
        return replace(self, measured=span, **{name: getattr(self, name)[kept] for name in names})

    def sort(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A column in the order of frames."""
        return values if self.order is None else values[self.order]


def cut_windows(frames: Ints, step: int, window: int, *, partial: bool = False) -> TimeWindows:
    """Cut a movie into windows of `window` frames that begin every `step` frames at the first frame.

    A last window that the movie fills by less than half joins the one before it: alone, its few localizations would give a
    noisy knot exactly where the drift has to be extrapolated. Where windows stand apart (`step` above `window`) it grows
    backwards into the gap instead, as far as it needs to be whole.

    A window stands for the mean frame of its localizations, not for its centre: what a correlation sees is the mean drift of
    the localizations, which bleaching and blinking shift away from the centre.

    Parameters
    ----------
    frames : array (n,) of int
    step, window : int
        In frames.
    partial : bool
        Leave the last windows as short as the movie does, and let windows begin until its end.

    Raises
    ------
    DataError
        Where the movie gives fewer than two windows with localizations.
    """
    if len(frames) < 2:
        raise DataError(f"drift cannot be measured from {len(frames)} localization{'s' * (len(frames) != 1)}.", code="D410")
    order = None if (np.diff(frames) >= 0).all() else np.argsort(frames, kind="stable")
    in_order = frames if order is None else frames[order]
    first, last = int(in_order[0]), int(in_order[-1])
    length = last - first + 1
    if length <= window:
        hint = f"Set window and step below {length}: {max(1, length // 10)} gives ten windows."
        if length == 1:
            hint = "A drift needs localizations from many frames; look at the column 'frame'."
        raise DataError(
            f"the localizations cover {length:,} frame{'s' * (length > 1)} ({first:,} to {last:,}), "
            f"which is not more than one window of {window:,} frames.",
            code="D411",
            hint=hint,
        )
    starts, stops = _stretches(first, last, step, window, partial)
    first_row = np.searchsorted(in_order, starts, side="left")
    last_row = np.searchsorted(in_order, stops, side="left")
    filled = last_row > first_row
    n_filled = int(np.count_nonzero(filled))
    if n_filled < 2:
        raise DataError(
            f"only {n_filled} window of {window:,} frames holds localizations; a drift needs two.",
            code="D412",
            hint="Set window and step lower.",
        )
    starts, stops, first_row, last_row = starts[filled], stops[filled], first_row[filled], last_row[filled]
    # Frames relative to the first: sums of int64 are exact, so that a node does not depend on the order of rows.
    total = np.concatenate([[0], np.cumsum(in_order - first)])
    node = first + (total[last_row] - total[first_row]) / (last_row - first_row)
    return TimeWindows(
        order, starts, stops, first_row, last_row, node, (int(starts[0]), int(stops[-1]) - 1), len(filled) - n_filled
    )


def _stretches(first: int, last: int, step: int, window: int, partial: bool) -> tuple[Ints, Ints]:
    end = last + 1
    if (end - first) // step >= MOST_WINDOWS:
        raise DataError(
            f"a step of {step:,} frames cuts the frames {first:,} to {last:,} into {(end - first) // step + 1:,} windows.",
            code="D413",
            hint=f"Set step higher, or look for wrong numbers in the column 'frame'; at most {MOST_WINDOWS:,} windows are used.",
        )
    starts = np.arange(first, end, step, dtype=np.int64)
    if partial:
        return starts, np.minimum(starts + window, end)
    # Windows behind the first one that reaches the end would hold nothing that it does not hold.
    starts = starts[: int(np.argmax(starts + window >= end)) + 1] if starts[-1] + window >= end else starts
    stops = np.minimum(starts + window, end)
    if len(starts) > 1 and 2 * (stops[-1] - starts[-1]) < window:
        starts[-1] = max(int(stops[-2]), end - window)
        if 2 * (stops[-1] - starts[-1]) < window:
            starts, stops = starts[:-1], stops[:-1]
            stops[-1] = end
    return starts, stops
