"""Stretches of the corrected movie, each compared with each other one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules.correlation.cloud import make_cloud
from recipes_modules.correlation.correlator import Correlator
from recipes_modules.correlation.grid import make_grid
from recipes_modules.correlation.redundant import choose_pairs, connected_windows, solve_pairs
from recipes_modules.correlation.template import compare_with_rest
from recipes_modules.correlation.width import matched_kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HOLDS = 1500
"""Localizations that a window should hold, at least."""
FEWEST, MOST = 4, 10
PIXELS = 1024, 3072
"""Along an edge of the field: for the search, and for the close look."""
NEAR = 120.0
"""How far the close look reaches, nm, or five pixels."""
TAPER = 0.1


@dataclass(frozen=True)
class Windows:
    """What is left between stretches of the corrected movie.

    Attributes
    ----------
    nodes : array (w,)
        Mean frame of each.
    pairs : array (p, 2)
    shifts : array (p, 3)
        How far the second is shifted against the first, nm; NaN where no peak is near.
    left : array (w, 3)
        Shift of each window against all the others, nm; NaN where there is no peak.
    error : array (w, 3) or None
        Standard error of `left`.
    agree : float
        Part of the pairs that, searched far and wide, tell the same places of the windows.
    far : float
        How far a window lies from the others at most, by that search, nm; 0 where pairs do not agree.
    pixel : float
        Of that search, nm.
    """

    nodes: Floats
    pairs: Ints
    shifts: Floats
    left: Floats
    error: Floats | None
    agree: float
    far: float
    pixel: float

    @property
    def rms(self) -> Floats:
        """Root mean square of what is left, (3,), nm; NaN where nothing is known."""
        known = np.isfinite(self.left).all(axis=1)
        return np.sqrt(np.mean(self.left[known] ** 2, axis=0)) if known.sum() > 1 else np.full(3, np.nan)

    @property
    def expected(self) -> Floats:
        """What the standard errors let expect, (3,), nm."""
        if self.error is None:
            return np.full(3, np.nan)
        return np.asarray(np.sqrt(np.mean(self.error**2, axis=0)))


def compare_windows(ctx: Context, table: Localizations, scale: float) -> Windows:
    """Compare windows of a corrected table, in x and y.

    Parameters
    ----------
    scale : float
        Precision of a localization, nm.

    Raises
    ------
    DataError
        Where the movie cannot be cut into windows, or they show nothing.
    """
    frames = table["frame"]
    finite = frames[np.isfinite(frames)]
    n_windows = int(np.clip(len(finite) / HOLDS, FEWEST, MOST))
    length = float(np.ptp(finite)) + 1
    window = max(1, math.ceil(length / n_windows))
    cloud = make_cloud(table.only(["x", "y", "frame"]), window, window, deep=False)
    n = len(cloud.windows)
    still = np.zeros((0, 3), np.float32)
    low, high = cloud.bounds(still)
    extent = float((high - low).max())
    pairs = choose_pairs(n, "RCC", 0)
    coarse = max(float(np.clip(3 * scale, 20.0, 100.0)), extent / PIXELS[0])
    grid = make_grid(low, high, coarse)
    search = Correlator(ctx, cloud, grid, TAPER, still, grid.reach)
    wide = np.array(search.each_pair(pairs, lambda _, values: search.peak(values, np.ones(3)), (0.0, 0.4)))
    agree, far = _consensus(n, pairs, wide, coarse)
    fine = max(float(np.clip(scale, 2.0, 30.0)), extent / PIXELS[1])
    grid = make_grid(low, high, fine)
    reach = tuple(min(r, math.ceil(max(NEAR, 5 * fine) / fine)) for r in grid.reach)
    if max(reach) < 2:
        raise DataError("the field is too small to compare windows.", code="D420")
    near = Correlator(ctx, cloud, grid, TAPER, still, reach)
    maps = ctx.scratch.array((len(pairs), *(2 * r + 1 for r in reach)), np.float32)

    def keep(p: int, values: npt.NDArray[np.float32]) -> None:
        maps[p] = values

    near.each_pair(pairs, keep, (0.4, 0.7))
    shifts = near.peaks(maps, matched_kernel(maps))
    rest = compare_with_rest(near, (0.7, 1.0))
    left = rest.shifts - np.nanmean(rest.shifts, axis=0) if np.isfinite(rest.shifts).any() else rest.shifts
    return Windows(cloud.windows.node, pairs, shifts, left, rest.error, agree, far, coarse)


def _consensus(n: int, pairs: Ints, shifts: Floats, pixel: float) -> tuple[float, float]:
    """Which part of the pairs agrees on places of the windows, and how far the outermost of those lies from their middle."""
    found = np.isfinite(shifts).all(axis=1)
    if not connected_windows(n, pairs[found]).all():
        return float(np.mean(found)) / 2, 0.0
    solution = solve_pairs(n, pairs, shifts, np.ones(len(pairs)), reject_above=1.5 * pixel)
    agreeing = solution.used & ~solution.bridges
    agree = float(np.mean(agreeing))
    # A window that agrees with few others may be anywhere.
    support = np.bincount(pairs[agreeing].ravel(), minlength=n)
    sure = support > n / 2
    if not sure.any():
        return agree, 0.0
    places = solution.positions[sure] - np.median(solution.positions[sure], axis=0)
    return agree, float(np.linalg.norm(places, axis=1).max())
