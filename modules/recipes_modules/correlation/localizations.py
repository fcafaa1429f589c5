"""Drift of localizations: search all pairs on a coarse grid, then refine with the drift inside the windows undone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules.correlation.cloud import Cloud, Curve
from recipes_modules.correlation.correlator import Correlator
from recipes_modules.correlation.grid import make_grid
from recipes_modules.correlation.motion import motion_within
from recipes_modules.correlation.redundant import Solution, agreement, choose_pairs, connected_windows, lone_windows, solve_pairs
from recipes_modules.correlation.template import compare_with_rest
from recipes_modules.correlation.width import matched_kernel
from recipes_modules.correlation.windows import TimeWindows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SEARCH_PIXEL = 60.0
"""The search takes pixels of twice the binsize, up to this many nm, where the binsize is smaller."""
SEARCH_KERNEL = 1.0
"""Smoothing of a peak in the search, in its pixels."""
REFINE_PIXELS, REFINE_NM = 2, 120.0
"""The refinement looks for a peak within so many pixels of the search, or so many nm if that is more."""

MOST_IN_DOUBT = 0.2
"""Up to this part of the windows may be left out for doubts; where more are, it is the doubts that are doubtful."""
LOST = 0.3
"""Where no more than this part of the pairs that could agree by more than chance does so in the search, the drift is lost."""
LOST_WEIGHT = 1e-3
"""Weight of a pair whose peak the refinement did not find."""


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
    behaviour: str = "refined"


@dataclass
class LocalizationDrift:
    """Result of `estimate`.

    Attributes
    ----------
    windows : TimeWindows
        The windows that could be placed.
    pairs : array (p, 2)
        The pairs of these windows that were compared.
    solution : Solution
        Positions of the windows (x, y, z: what must be added), nm; residuals are those of the pairs among each other.
    n_unplaced : int
        Windows that do not correlate with the others.
    correlations : array (p, z, y, x) or None
        What was searched for peaks, where it was asked for.
    search_pixel : float
        Pixel of the correlations, nm.
    agreement : float
        How many pairs agree by more than chance; see `redundant.agreement`.
    """

    windows: TimeWindows
    pairs: Ints
    solution: Solution
    n_unplaced: int
    correlations: npt.NDArray[np.float32] | None
    search_pixel: float
    agreement: float = math.nan


def estimate(ctx: Context, cloud: Cloud, settings: Settings, *, keep_correlations: bool = False) -> LocalizationDrift:
    """Drift of localizations, one value a window.

    First every pair is searched for its highest peak, on pixels of at least the binsize. Then the drift found so far is undone
    also inside the windows, which are rendered again on pixels of the binsize, and the peaks are looked for close to no shift:
    motion inside a window neither blurs its peaks nor moves them, and chance peaks far away are out of reach. For RCC, each
    window is finally compared with all the others together (see `template`).
    """
    pixel = search_pixel(settings)
    rough, maps = _search(ctx, cloud, settings, pixel, keep_correlations)
    n, windows = len(cloud.windows), rough.windows
    cloud = replace(cloud, windows=windows)
    near = nearest_reach(settings)
    if rough.agreement <= LOST:
        raise DataError(
            f"the drift is lost: of the {len(rough.pairs)} pairs of windows, no more agree with each other than chance makes agree.",
            code="D421",
            hint="Use longer windows where localizations are few, shorter ones where the drift is fast, or a larger binsize.",
        )
    solution, pairs = _refine(ctx, cloud, settings, rough, near), rough.pairs
    if settings.method == "RCC":
        solution, kept = _anchor(ctx, cloud, settings, solution, near)
        solution, pairs = _only(solution, pairs, kept)
        windows = windows if kept.all() else windows.subset(kept)
        solution = _with_motion(solution, math.ceil(settings.window / settings.step))
    return LocalizationDrift(windows, pairs, solution, n - len(windows), maps, pixel, rough.agreement)


def _with_motion(solution: Solution, apart: int) -> Solution:
    if solution.error is None:
        return solution
    motion = motion_within(solution.positions, solution.error, apart)
    return replace(solution, error=np.where(solution.error > 0, np.sqrt(solution.error**2 + motion), solution.error))


def search_pixel(settings: Settings) -> float:
    """Pixel of the search, nm."""
    return max(settings.binsize, min(2 * settings.binsize, SEARCH_PIXEL))


def nearest_reach(settings: Settings) -> int:
    """Pixels around no shift in which the refinement looks for peaks."""
    return math.ceil(max(REFINE_PIXELS * search_pixel(settings), REFINE_NM) / settings.binsize)


@dataclass(frozen=True)
class _Rough:
    windows: TimeWindows
    pairs: Ints
    weights: Floats
    positions: Floats
    agreement: float


def _search(
    ctx: Context, cloud: Cloud, settings: Settings, pixel: float, keep: bool
) -> tuple[_Rough, npt.NDArray[np.float32] | None]:
    """Positions from the highest peak of every pair within an eighth of the field."""
    still = np.zeros((0, 3), np.float32)
    # The refinement needs a grid of the binsize itself: what is too large for that is refused before the search.
    make_grid(*cloud.bounds(still), settings.binsize)
    grid = make_grid(*cloud.bounds(still), pixel)
    search = Correlator(ctx, cloud, grid, settings.tukey_size, still, grid.reach)
    pairs = choose_pairs(len(cloud.windows), settings.method, settings.corr_window)
    maps = ctx.scratch.array((len(pairs), *(2 * r + 1 for r in grid.reach)), np.float32) if keep else None
    kernel = np.full(3, SEARCH_KERNEL)

    def use(p: int, values: npt.NDArray[np.float32]) -> Floats:
        if maps is not None:
            maps[p] = values
        return search.peak(values, kernel)

    shifts = np.array(search.each_pair(pairs, use, (0.0, 0.4)))
    windows, pairs, shifts = placeable(cloud.windows, pairs, shifts)
    bound = max(settings.shift_max, pixel) if settings.method == "RCC" else None
    rough = _solved(windows, pairs, shifts, bound)
    lone = lone_windows(len(windows), pairs, rough[1])
    if lone.any():
        rough = _solved(*placeable(*_keep(windows, pairs, shifts, ~lone)), bound)
    return rough[0], maps


def _solved(windows: TimeWindows, pairs: Ints, shifts: Floats, bound: float | None) -> tuple[_Rough, Solution]:
    weights = _weights(windows, pairs)
    solution = solve_pairs(len(windows), pairs, shifts, weights, reject_above=bound)
    pixel = 0.0 if bound is None else bound
    agreed = agreement(len(windows), solution.residual, max(pixel, REFINE_NM))
    return _Rough(windows, pairs, weights, solution.positions, agreed), solution


def _close_up(ctx: Context, cloud: Cloud, settings: Settings, positions: Floats, near: int) -> tuple[Correlator, Floats]:
    """Windows with the drift through `positions` undone, ready to be compared close by; and that drift at their nodes."""
    windows = cloud.windows
    curve = Curve(windows.node, positions)
    shift = curve(cloud.moments).astype(np.float32)
    grid = make_grid(*cloud.bounds(shift), settings.binsize)
    reach = tuple(min(r, near) for r in grid.reach)
    return Correlator(ctx, cloud, grid, settings.tukey_size, shift, reach), curve(windows.node)


def _refine(ctx: Context, cloud: Cloud, settings: Settings, rough: _Rough, near: int) -> Solution:
    """Positions from the same pairs, looked at closely."""
    correlator, base = _close_up(ctx, cloud, settings, rough.positions, near)
    pairs, n = rough.pairs, len(cloud.windows)
    maps = ctx.scratch.array((len(pairs), *(2 * r + 1 for r in correlator.reach)), np.float32)

    def use(p: int, values: npt.NDArray[np.float32]) -> None:
        maps[p] = values

    correlator.each_pair(pairs, use, (0.4, 0.8))
    shifts = correlator.peaks(maps, matched_kernel(maps))
    # A pair without a peak close to its place keeps what the search found, at little weight.
    lost = ~np.isfinite(shifts).all(axis=1)
    shifts[lost] = 0.0
    weights = np.where(lost, LOST_WEIGHT, 1.0) * rough.weights
    bound = settings.shift_max if settings.method == "RCC" else None
    solution = solve_pairs(n, pairs, shifts, weights, reject_above=bound)
    return replace(solution, positions=solution.positions + base - base[0])


def _anchor(ctx: Context, cloud: Cloud, settings: Settings, solution: Solution, near: int) -> tuple[Solution, Mask]:
    """Positions from each window against all the others together, and which are kept: windows in doubt are left out."""
    every = np.ones(len(cloud.windows), bool)
    correlator, base = _close_up(ctx, cloud, settings, solution.positions, near)
    found = compare_with_rest(correlator, (0.8, 0.9))
    if found.doubtful.any() and np.count_nonzero(found.doubtful) <= MOST_IN_DOUBT * len(base):
        # Once more without them: their positions bend the drift that was undone inside their neighbours.
        every = ~found.doubtful
        cloud = replace(cloud, windows=cloud.windows.subset(every))
        correlator, base = _close_up(ctx, cloud, settings, solution.positions[every], near)
        found = compare_with_rest(correlator, (0.9, 1.0))
    known = np.isfinite(found.shifts).all(axis=1, keepdims=True)
    positions = base + np.where(known, found.shifts, 0.0)
    return replace(solution, positions=positions - positions[0], error=found.error), every


def _only(solution: Solution, pairs: Ints, kept: Mask) -> tuple[Solution, Ints]:
    """The pairs of the windows that are kept."""
    inside = kept[pairs].all(axis=1)
    index = np.cumsum(kept) - 1
    chosen = {name: getattr(solution, name)[inside] for name in ("used", "residual", "bridges")}
    return replace(solution, **chosen), index[pairs[inside]]


def _weights(windows: TimeWindows, pairs: Ints) -> Floats:
    # The variance of a pair's shift is about the sum of what both windows contribute, each as one over its localizations.
    counts = windows.counts.astype(np.float64)
    a, b = counts[pairs[:, 0]], counts[pairs[:, 1]]
    weights = a * b / (a + b)
    return np.asarray(weights / weights.max())


def placeable(windows: TimeWindows, pairs: Ints, shifts: Floats) -> tuple[TimeWindows, Ints, Floats]:
    """Leave out windows that correlate with no other."""
    n = len(windows)
    found = np.isfinite(shifts).all(axis=1)
    kept = connected_windows(n, pairs[found])
    if np.count_nonzero(kept) < 2:
        raise DataError(
            "no two windows correlate: their localizations have nothing in common.",
            code="D420",
            hint="Use longer windows or a larger binsize; drift by more than an eighth of the field is not found.",
        )
    return _keep(windows, pairs, shifts, kept)


def _keep(windows: TimeWindows, pairs: Ints, shifts: Floats, kept: Mask) -> tuple[TimeWindows, Ints, Floats]:
    inside = kept[pairs].all(axis=1)
    index = np.cumsum(kept) - 1
    return windows.subset(kept), index[pairs[inside]], shifts[inside]
