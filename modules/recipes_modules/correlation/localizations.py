"""Drift of localizations: search on a coarse grid, refine on the fine one with the drift inside the windows undone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules.correlation.grid import Grid, make_grid, outer_product, tukey_window
from recipes_modules.correlation.pairs import measure_pairs
from recipes_modules.correlation.redundant import Solution, choose_pairs, connected_windows, solve_pairs
from recipes_modules.correlation.spectra import SMOOTHING, Image, Spectrum, Transfer, correlation, waves
from recipes_modules.correlation.width import peak_widths
from recipes_modules.correlation.windows import TimeWindows, cut_windows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEARCH_PIXEL = 50.0
"""The search takes pixels of twice the binsize, up to this many nm, where the binsize is smaller."""
SEARCH_KERNEL = 1.0
"""Smoothing of a peak in the search, in its pixels."""
REFINE_PIXELS, REFINE_NM = 2, 120.0
"""The refinement looks for a peak within so many pixels of the search, or so many nm if that is more."""
LEAST_KERNEL = 0.6
"""Peaks are smoothed by at least this, pixels: sums over pixels then stand for integrals."""


@dataclass(frozen=True)
class Settings:
    """Parameters of the method; see `Locs_RCC`."""

    step: int
    window: int
    binsize: float
    flatten_z: bool
    tukey_size: float
    method: str
    shift_max: float
    corr_window: int


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

    def bounds(self, shift: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Corners (z, y, x) of the box that holds every localization, once shifted."""
        low, high = np.zeros(3), np.zeros(3)
        for axis in range(self.dimensions):
            column = self.positions[:, axis]
            if len(shift):
                column = column + shift[self.moment, axis]
            low[2 - axis], high[2 - axis] = column.min(), column.max()
        return low, high


def make_cloud(table: Localizations, settings: Settings) -> Cloud:
    """Take the localizations that have finite coordinates out of a table and cut them into windows."""
    names = ("x", "y") if settings.flatten_z else ("x", "y", "z")
    rows = table.finite_rows(*names, "frame")
    n_left_out = int(len(rows) - np.count_nonzero(rows))
    if n_left_out == len(rows):
        raise DataError(
            "no localization has finite coordinates." if len(rows) else "the table has no localizations.", code="D410"
        )
    chosen = table if not n_left_out else table.only((*names, "frame")).select(rows)
    frames = chosen.frames
    windows = cut_windows(frames, settings.step, settings.window)
    in_order = windows.sort(frames)
    new = np.concatenate([[False], np.diff(in_order) > 0])
    moment = np.cumsum(new, dtype=np.int32)
    first = np.flatnonzero(np.concatenate([[True], new[1:]]))
    centre = np.zeros(3)
    positions = np.empty((len(frames), len(names)), np.float32)
    for axis, name in enumerate(names):
        column = chosen[name]
        low, high = float(column.min()), float(column.max())
        centre[axis] = (low + high) / 2
        positions[:, axis] = windows.sort(column).astype(np.float64, copy=False) - centre[axis]
    if np.ptp(positions[:, 0]) == 0 and np.ptp(positions[:, 1]) == 0:
        raise DataError("all localizations have the same position, so nothing shows a drift.", code="D415")
    return Cloud(positions, moment, in_order[first].astype(np.float64), centre, windows, n_left_out)


@dataclass
class Correlator:
    """Correlates the windows of a cloud on one grid."""

    ctx: Context
    cloud: Cloud
    grid: Grid
    tukey_size: float
    shift: npt.NDArray[np.float32]
    reach: tuple[int, ...]
    _taper: Image = field(init=False)

    def __post_init__(self) -> None:
        self._taper = outer_product(tukey_window(self.grid.shape, self.tukey_size))
        self._transfer = Transfer(self.grid.shape)

    def _rows(self, start: int, stop: int) -> tuple[Any, ...]:
        cloud, grid = self.cloud, self.grid
        return cloud.positions, cloud.moment, self.shift, start, stop, np.array(grid.origin), grid.pixel

    def render(self, window: int) -> Image:
        """Histogram of a window with tapered edges."""
        from recipes_modules.correlation.rendering import histogram

        image = np.zeros(self.grid.shape, np.float32)
        windows = self.cloud.windows
        histogram(*self._rows(int(windows.first_row[window]), int(windows.last_row[window])), image)
        image *= self._taper
        return image

    def spectrum(self, window: int) -> Spectrum:
        """Spectrum of a rendered window."""
        return self._transfer.spectrum(self.render(window))

    def correlations(self, pairs: Ints, near: bool, begin: float, end: float) -> npt.NDArray[np.float32]:
        """Correlation of every pair, (p, z, y, x); progress goes from `begin` to `end`."""
        from recipes_modules.correlation.local import correlate_near

        result = self.ctx.scratch.array((len(pairs), *(2 * r + 1 for r in self.reach)), np.float32)
        phases = waves(self.grid.shape, self.reach) if near else []
        shared, response = self._shared(pairs), self._transfer.response(self.reach)

        def correlate(p: int, a: Spectrum, b: Spectrum) -> None:
            if near:
                correlate_near(a, b, *phases, result[p])
            else:
                result[p] = correlation(a, b, self.grid.shape, self.reach)
            if shared[p]:
                result[p] -= np.float32(shared[p]) * response

        measure_pairs(
            self.ctx, len(self.cloud.windows), pairs, self._transfer.spectrum_shape, self.spectrum, correlate,
            lambda done: self.ctx.progress(begin + (end - begin) * done / len(pairs), 1.0),
        )  # fmt: skip
        return result

    def _shared(self, pairs: Ints) -> Floats:
        """What each pair's localizations that are in both windows add to the correlation at no shift.

        Overlapping windows share localizations. A localization correlates perfectly with itself, wherever the sample went; this
        would pull the peak towards no shift, and is taken away.
        """
        from recipes_modules.correlation.rendering import squared_weight

        windows, shared = self.cloud.windows, np.zeros(len(pairs))
        for p, (i, j) in enumerate(pairs):
            start, stop = int(windows.first_row[j]), int(windows.last_row[i])
            if stop > start:
                shared[p] = squared_weight(*self._rows(start, stop), self._taper)
        return shared

    def peaks(self, correlations: npt.NDArray[np.float32], kernel: Floats) -> Floats:
        """Shift (x, y, z) in nm to add to the second window of each pair; NaN where there is no peak."""
        from recipes_modules.correlation.peak import find_peak

        def peak(p: int) -> Floats:
            found = np.empty(4)
            find_peak(correlations[p], kernel, found)
            return found[2::-1] * self.grid.pixel

        return np.array(list(self.ctx.map(peak, range(len(correlations)))))


@dataclass
class LocalizationDrift:
    """Result of `estimate`.

    Attributes
    ----------
    windows : TimeWindows
        The windows that could be placed.
    solution : Solution
        Positions of the windows (x, y, z: what must be added), nm.
    pairs : array (p, 2)
        Windows that were compared.
    n_unplaced : int
        Windows that correlate with no other.
    correlations : array (p, z, y, x) or None
        What was searched for peaks, where it was asked for.
    search_pixel : float
        Pixel of the correlations, nm.
    """

    windows: TimeWindows
    solution: Solution
    pairs: Ints
    n_unplaced: int
    correlations: npt.NDArray[np.float32] | None
    search_pixel: float


def estimate(ctx: Context, cloud: Cloud, settings: Settings, *, keep_correlations: bool = False) -> LocalizationDrift:
    """Drift of localizations, one value a window.

    First every pair is searched for its highest peak, on pixels of at least the binsize. Then the drift found so far is undone
    also inside the windows, which are rendered again on pixels of the binsize, and the peaks are looked for close to no shift:
    motion inside a window neither blurs its peaks nor moves them, and chance peaks far away are out of reach.
    """
    pixel = max(settings.binsize, min(2 * settings.binsize, SEARCH_PIXEL))
    reject = settings.shift_max if settings.method == "RCC" else None
    still = np.zeros((0, 3), np.float32)
    grid = make_grid(*cloud.bounds(still), pixel)
    search = Correlator(ctx, cloud, grid, settings.tukey_size, still, grid.reach)
    pairs = choose_pairs(len(cloud.windows), settings.method, settings.corr_window)
    searched = search.correlations(pairs, False, 0.0, 0.5)
    shifts = search.peaks(searched, np.full(3, SEARCH_KERNEL))
    n = len(cloud.windows)
    cloud, pairs, shifts = _placeable(cloud, pairs, shifts)
    windows = cloud.windows
    weights = _weights(windows, pairs)
    rough = solve_pairs(len(windows), pairs, shifts, weights, reject_above=None if reject is None else max(reject, pixel))

    curve = Curve(windows.node, rough.positions)
    shift = curve(cloud.moments).astype(np.float32)
    grid = make_grid(*cloud.bounds(shift), settings.binsize)
    near = math.ceil(max(REFINE_PIXELS * pixel, REFINE_NM) / settings.binsize)
    reach = tuple(min(r, near) for r in grid.reach)
    refine = Correlator(ctx, cloud, grid, settings.tukey_size, shift, reach)
    correlations = refine.correlations(pairs, max(reach) <= 6 or grid.shape[0] > 1, 0.5, 1.0)
    shifts = refine.peaks(correlations, matched_kernel(correlations))
    base = curve(windows.node)
    # A pair without a peak close to its place keeps what the search found.
    lost = ~np.isfinite(shifts).all(axis=1)
    shifts[lost] = _apart(rough.positions, pairs[lost]) - _apart(base, pairs[lost])
    solution = solve_pairs(len(windows), pairs, shifts, np.where(lost, 1e-3, 1.0) * weights, reject_above=reject)
    solution = replace(solution, positions=solution.positions + base - base[0])
    return LocalizationDrift(windows, solution, pairs, n - len(windows), searched if keep_correlations else None, pixel)


def matched_kernel(correlations: npt.NDArray[np.float32]) -> Floats:
    """The filter (z, y, x; pixels) under which peaks as wide as these stand out best from noise: one of their own width."""
    mean = np.mean(correlations, axis=0, dtype=np.float64)
    widths = peak_widths(mean)
    if widths is None:
        return np.ones(3)
    # What is seen is widened by the pixels of both windows; the smoothing of both is part of the filter already.
    kernel = np.sqrt(np.maximum(widths**2 - 1 / 6 - 4 * SMOOTHING**2, 0.0))
    return np.clip(kernel, LEAST_KERNEL, np.maximum(LEAST_KERNEL, (np.array(mean.shape) - 1) / 4))


def _apart(positions: Floats, pairs: Ints) -> Floats:
    return np.asarray(positions[pairs[:, 1]] - positions[pairs[:, 0]])


def _weights(windows: TimeWindows, pairs: Ints) -> Floats:
    # The variance of a pair's shift is about the sum of what both windows contribute, each as one over its localizations.
    counts = windows.counts.astype(np.float64)
    a, b = counts[pairs[:, 0]], counts[pairs[:, 1]]
    weights = a * b / (a + b)
    return np.asarray(weights / weights.max())


def _placeable(cloud: Cloud, pairs: Ints, shifts: Floats) -> tuple[Cloud, Ints, Floats]:
    """Leave out windows that correlate with no other."""
    n = len(cloud.windows)
    found = np.isfinite(shifts).all(axis=1)
    kept = connected_windows(n, pairs[found])
    if np.count_nonzero(kept) < 2:
        raise DataError(
            "no two windows correlate: their localizations have nothing in common.",
            code="D420",
            hint="Use longer windows or a larger binsize; drift by more than an eighth of the field is not found.",
        )
    inside = kept[pairs].all(axis=1)
    index = np.cumsum(kept) - 1
    return replace(cloud, windows=cloud.windows.subset(kept)), index[pairs[inside]], shifts[inside]


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
