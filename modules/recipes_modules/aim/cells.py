"""A grid of cells that counts localizations, and the shifts at which others are compared with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.correlation.cloud import Cloud

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

MOST_CELLS = 2**25
"""Larger fields are folded into a grid of so many cells: what comes to lie on each other adds background, no peak."""
BLOCK = 500.0
"""Edge of the squares of the chessboard that halves the field, nm."""
KERNEL = 0.75
"""Standard deviation of the Gaussian under which the peak of intersections is sought, cells."""
FOUND = 5.0
"""A peak close to where it is expected counts from so many standard deviations of the background on."""
FOUND_FAR = 8.0
"""So does a peak anywhere."""
ENOUGH = 400
"""Localizations of a segment from which the background is taken."""
LARGEST_COUNT = 4096
_KERNEL = np.full(3, KERNEL)
_TABLE = np.log1p(np.arange(LARGEST_COUNT)).astype(np.float32)


@dataclass(frozen=True)
class Layout:
    """Where cells lie, and which shifts are looked at.

    Parameters
    ----------
    low, high : array (3,)
        Corners (x, y, z) of what the cells cover, nm.
    cell : float
        Edge of a cell along the axes of the shifts, nm.
    radius : int
        Largest shift, cells.
    axial : bool
        Look for shifts along z instead of x and y.
    lateral : float
        Edge of a cell along x and y where shifts along z are looked for, nm; 0 for `cell`.
    """

    low: Floats
    high: Floats
    cell: float
    radius: int
    axial: bool
    lateral: float = 0.0
    edges: Floats = field(init=False)
    rows: npt.NDArray[np.int64] = field(init=False)
    shape: npt.NDArray[np.int64] = field(init=False)
    strides: npt.NDArray[np.int64] = field(init=False)
    size: int = field(init=False)
    first: int = field(init=False)

    def __post_init__(self) -> None:
        from recipes_modules.aim.counting import LANES

        put = object.__setattr__
        lateral = self.lateral if self.axial and self.lateral else self.cell
        put(self, "edges", np.array([lateral, lateral, self.cell]))
        needed = np.floor((self.high - self.low) / self.edges).astype(np.int64) + 1
        if not self.axial:
            needed[2] = 1
        pad = np.array([0, 0, self.radius]) if self.axial else np.array([self.radius, self.radius, 0])
        most = MOST_CELLS // int(needed[2] + 2 * pad[2])
        if needed[0] * needed[1] > most:
            side = max(64, int(np.sqrt(most)))
            wide = int(np.argmax(needed[:2]))
            other = 1 - wide
            needed[other] = min(needed[other], side)
            needed[wide] = min(needed[wide], max(64, most // int(needed[other])))
        padded = needed + 2 * pad
        strides = np.array([padded[2], padded[2] * padded[0], 1], dtype=np.int64)
        put(self, "shape", needed)
        put(self, "strides", strides)
        put(self, "size", int(np.prod(padded)) + LANES)
        put(self, "first", int((pad * strides).sum()))
        # The first shift of each row of shifts, as a step in the flat grid.
        lines = np.zeros(1, np.int64) if self.axial else np.arange(-self.radius, self.radius + 1) * strides[1]
        put(self, "rows", lines - self.radius)

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Shape (y, x, z) of the sums over shifts."""
        width = 2 * self.radius + 1
        return (1, 1, width) if self.axial else (width, width, 1)

    @property
    def corners(self) -> npt.NDArray[np.int64]:
        """Steps to the outermost shifts."""
        r, y = self.radius, self.radius * self.strides[1]
        return np.array([-r, r] if self.axial else [-y - r, -y + r, y - r, y + r], dtype=np.int64)

    def codes(self, cloud: Cloud, shift: npt.NDArray[np.float32], start: int, stop: int, every: int = 1) -> Codes:
        """Cells of rows of a cloud; see `counting.locate`."""
        from recipes_modules.aim.counting import locate

        found = np.empty(len(range(start, stop, every)), np.int32)
        block = max(1, round(BLOCK / self.edges[0]))
        locate(
            cloud.positions, cloud.moment, shift, start, every, self.low, 1 / self.edges, self.shape, self.strides, self.first,
            block, found,
        )  # fmt: skip
        return found


@dataclass(frozen=True)
class Search:
    """How far and how finely shifts are looked for; see `Layout`."""

    cell: float
    radius: int
    axial: bool = False

    def layout(self, low: Floats, high: Floats, coarser: int = 1) -> Layout:
        """Cells from `low` to `high`, so many times coarser along the axes of the shifts."""
        return Layout(low, high, self.cell * coarser, self.radius, self.axial, self.cell)

    @property
    def reach(self) -> float:
        """Largest shift, nm."""
        return self.cell * self.radius


class Cells:
    """Localizations counted into cells.

    Attributes
    ----------
    counts : array (cells,) of int32
    weights : array (cells,) of float32
        Logarithm of one more than the counts. It makes of the sum over localizations the log-likelihood of a shift, the reference
        being the density; cells with many localizations (beads) do not outweigh the rest.
    """

    def __init__(self, layout: Layout, counts: Any = None, weights: Any = None) -> None:
        self.layout = layout
        self.table = _TABLE
        self.counts = np.zeros(layout.size, np.int32) if counts is None else counts
        self.weights = np.zeros(layout.size, np.float32) if weights is None else weights

    def copy(self) -> Cells:
        """Cells of the same content."""
        return Cells(self.layout, self.counts.copy(), self.weights.copy())

    def fill(self, codes: Codes) -> None:
        """Add many localizations; `weigh` afterwards."""
        from recipes_modules.aim.counting import fill

        fill(self.counts, codes)

    def weigh(self) -> None:
        """Make the weights follow the counts."""
        from recipes_modules.aim.counting import weigh

        weigh(self.counts, self.weights, self.table)

    def add(self, codes: Codes, step: int = 1) -> None:
        """Add some localizations, or take them out."""
        from recipes_modules.aim.counting import add

        add(self.counts, self.weights, self.table, codes, step)

    def meet(self, codes: Codes) -> npt.NDArray[np.float32]:
        """Sums (2, y, x, z) of the weights that localizations meet at each shift, for both halves of the field."""
        from recipes_modules.aim.counting import LANES, meet

        layout = self.layout
        width = 2 * layout.radius + 1
        buffer = np.zeros((2, len(layout.rows), -(-width // LANES) * LANES), np.float32)
        meet(self.weights, codes, layout.rows, buffer)
        return np.ascontiguousarray(buffer[:, :, :width]).reshape(2, *layout.map_shape)

    def significance(self, codes: Codes, sums: npt.NDArray[np.float32]) -> float:
        """How far the highest of the sums lies above the background, in its standard deviations."""
        from recipes_modules.aim.counting import background

        if not len(codes):
            return 0.0
        sample = codes[:: max(1, len(codes) // ENOUGH)]
        mean, squares = (value * len(codes) / len(sample) for value in background(self.weights, sample, self.layout.corners))
        variance = squares - mean * mean / len(codes)
        # One localization that meets one other is no proof, however empty the background is.
        return float((sums.max() - mean) / np.sqrt(max(variance, 0.0) + 1.0))


def peak(sums: npt.NDArray[np.float32], cell: float) -> Floats:
    """Shift (x, y, z) of the peak of the sums (y, x, z), nm; NaN where there is none inside."""
    from recipes_modules.correlation.peak import find_peak

    found = np.empty(4)
    find_peak(sums, _KERNEL, found)
    y, x, z, _ = found
    return np.array([x * cell, y * cell, z * cell])
