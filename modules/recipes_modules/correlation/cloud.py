"""Localizations as the compiled loops want them: in the order of frames, cut into windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_modules.correlation.windows import TimeWindows, cut_windows

Floats = npt.NDArray[np.float64]

SAMPLE = 100_000
"""Localizations that are enough for the middle of a field."""


@dataclass
class Cloud:
    """Localizations in the order of frames, as the compiled loops want them.

    Attributes
    ----------
    positions : array (n, 2 or 3) of float32
        Relative to `centre`, nm.
    moment : array (n,) of int32
        Index into `moments`.
    moments : array (m,)
        The frames that hold localizations.
    centre : array (3,)
        x, y, z, nm.
    """

    positions: npt.NDArray[np.float32]
    moment: npt.NDArray[np.int32]
    moments: Floats
    centre: Floats
    windows: TimeWindows
    n_left_out: int = 0

    @property
    def dimensions(self) -> int:
        return self.positions.shape[1]

    def frame_boundary(self, start: int, stop: int) -> int:
        """Row near the middle of `start` to `stop` at which a frame begins."""
        return start + int(np.searchsorted(self.moment[start:stop], self.moment[(start + stop) // 2]))

    def bounds(self, shift: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Corners (z, y, x) of the box that holds every localization, once shifted."""
        low, high = np.zeros(3), np.zeros(3)
        for axis in range(self.dimensions):
            column = self.positions[:, axis]
            if len(shift):
                column = column + shift[self.moment, axis]
            low[2 - axis], high[2 - axis] = column.min(), column.max()
        return low, high


def make_cloud(table: Localizations, step: int, window: int, *, deep: bool, partial: bool = False) -> Cloud:
    """Take the localizations that have finite coordinates out of a table and cut them into windows; see `cut_windows`."""
    names = ("x", "y", "z") if deep else ("x", "y")
    rows = table.finite_rows(*names, "frame")
    n_left_out = int(len(rows) - np.count_nonzero(rows))
    if n_left_out == len(rows):
        raise DataError(
            "no localization has finite coordinates." if len(rows) else "the table has no localizations.", code="D410"
        )
    chosen = table if not n_left_out else table.only((*names, "frame")).select(rows)
    frames = chosen.frames
    windows = cut_windows(frames, step, window, partial=partial)
    in_order = windows.sort(frames)
    new = np.concatenate([[False], np.diff(in_order) > 0])
    moment = np.cumsum(new, dtype=np.int32)
    first = np.flatnonzero(np.concatenate([[True], new[1:]]))
    centre = np.zeros(3)
    positions = np.empty((len(frames), len(names)), np.float32)
    for axis, name in enumerate(names):
        column = chosen[name]
        # The middle localization, not the middle of the field: what lies far away must not cost the others their digits.
        centre[axis] = float(np.median(column[:: max(1, len(column) // SAMPLE)]))
        positions[:, axis] = windows.sort(column).astype(np.float64, copy=False) - centre[axis]
    if np.ptp(positions[:, 0]) == 0 and np.ptp(positions[:, 1]) == 0:
        raise DataError("all localizations have the same position, so nothing shows a drift.", code="D415")
    return Cloud(positions, moment, in_order[first].astype(np.float64), centre, windows, n_left_out)


class Curve:
    """Smooth curve through the knots, straight outside of them, so that the drift inside the windows can be undone."""

    def __init__(self, node: Floats, positions: Floats) -> None:
        from scipy.interpolate import CubicSpline

        self.node = node
        self.spline = CubicSpline(node, positions, bc_type="natural")

    def __call__(self, frames: Floats) -> Floats:
        """Positions (n, 3) at any frames."""
        inside = np.clip(frames, self.node[0], self.node[-1])
        return np.asarray(self.spline(inside) + (frames - inside)[:, np.newaxis] * self.spline(inside, 1))
