"""Which frames make the background of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def window_of(value: Any) -> tuple[int, int]:
    """First and end of a window, from text such as ``-30:0`` or from a pair; ValueError where it is neither.

    Both count from the current frame; the end is not part of the window, as in a Python slice.
    """
    if isinstance(value, str):
        first, colon, stop = value.partition(":")
        if not colon:
            raise ValueError(value)
        value = (int(first or 0), int(stop or 0))
    first, stop = value
    if int(first) != first or int(stop) != stop or stop < first:
        raise ValueError(value)
    return int(first), int(stop)


@dataclass(frozen=True)
class Window:
    """Which frames make the background of a frame.

    Attributes
    ----------
    first, stop : int
        Counted from the current frame; `stop` is not part of it.
    n_frames : int
        Length of the movie.
    start : int
        First frame that may be taken (the laser is on).
    fill : bool
        Frames near the start, whose window would be cut short, take as many later frames in its place; the frame itself is left out.
        Otherwise the window is cut, as PYME does.
    """

    first: int
    stop: int
    n_frames: int
    start: int = 0
    fill: bool = False

    def __len__(self) -> int:
        return self.stop - self.first

    def bounds(self, frames: Ints) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
        """First frame, end, and whether the frame itself lies between them but is left out, for each of `frames`."""
        low = np.clip(frames + self.first, self.start, self.n_frames)
        high = np.clip(frames + self.stop, self.start, self.n_frames)
        own = np.zeros(len(frames), np.bool_)
        if self.fill and len(self):
            short = frames + self.first < self.start
            without = self.stop <= 0 or self.first > 0
            low = np.where(short, self.start, low)
            high = np.where(short, min(self.start + len(self) + int(without), self.n_frames), high)
            own = short & without & (frames >= low) & (frames < high)
        return low, high, own

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """First frame and end of all that is needed for the frames from `start` to `stop`."""
        low, high, _ = self.bounds(np.arange(start, stop))
        taken = high > low
        if not taken.any():
            return start, stop
        return min(start, int(low[taken].min())), max(stop, int(high[taken].max()))
