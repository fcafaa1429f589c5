"""The cross-correlation as the drift plugin does it: one search, peaks by interpolation, plain least squares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from recipes_core.module import Context
from recipes_modules.correlation.cloud import Cloud
from recipes_modules.correlation.correlator import Correlator
from recipes_modules.correlation.grid import make_grid
from recipes_modules.correlation.localizations import REFINE_NM, LocalizationDrift, Settings, placeable
from recipes_modules.correlation.pairs import measure_pairs
from recipes_modules.correlation.redundant import agreement, choose_pairs, solve_pairs
from recipes_modules.correlation.spectra import correlation

Floats = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]

PART = 0.75
"""A peak is what exceeds this part of the way from the lowest to the highest value."""
GROWTH = 5
"""It grows by a cube of so many pixels before it is interpolated."""
MOST_PIXELS = 1500
"""Interpolation solves equations for so many pixels of the peak at most, the highest ones."""


def estimate_plain(ctx: Context, cloud: Cloud, settings: Settings, *, keep_correlations: bool = False) -> LocalizationDrift:
    """Drift of localizations by one search at the binsize.

    Windows stand for their centres. The peak of a pair is the highest place of a multiquadric through the pixels around the
    highest one. All pairs weigh the same; for RCC those whose shift differs from the least-squares solution by more than the bound
    are left out, the largest first, as long as every window stays connected.
    """
    still = np.zeros((0, 3), np.float32)
    grid = make_grid(*cloud.bounds(still), settings.binsize)
    correlator = Correlator(ctx, cloud, grid, settings.tukey_size, still, grid.reach)
    windows = cloud.windows
    pairs = choose_pairs(len(windows), settings.method, settings.corr_window)
    maps = ctx.scratch.array((len(pairs), *(2 * r + 1 for r in grid.reach)), np.float32) if keep_correlations else None

    def use(p: int, values: Maps) -> Floats:
        if maps is not None:
            maps[p] = values
        place = interpolated_peak(values) if correlator.coincide(values) else np.full(3, np.nan)
        return place[::-1] * grid.pixel

    found = measure_pairs(
        ctx, len(windows), pairs, correlator.spectrum_shape, correlator.window_spectrum,
        lambda p, a, b: use(p, correlation(a, b, grid.shape, grid.reach)),
        lambda done: ctx.progress(done, len(pairs)),
    )  # fmt: skip
    shifts = np.array(found)
    kept, pairs, shifts = placeable(windows, pairs, shifts)
    kept = replace(kept, node=(kept.starts + kept.stops - 1) / 2)
    bound = settings.shift_max if settings.method == "RCC" else None
    solution = solve_pairs(len(kept), pairs, shifts, np.ones(len(pairs)), reject_above=bound, robust=False)
    agreed = agreement(len(kept), solution.residual, max(2 * settings.binsize, REFINE_NM))
    return LocalizationDrift(kept, pairs, solution, len(windows) - len(kept), maps, settings.binsize, agreed)


def interpolated_peak(values: Maps) -> Floats:
    """Shift (z, y, x) of the highest peak, pixels; NaN where the values are all equal."""
    from scipy.interpolate import RBFInterpolator
    from scipy.ndimage import binary_dilation, label
    from scipy.optimize import minimize

    top, bottom = float(values.max()), float(values.min())
    if not top > bottom:
        return np.full(3, np.nan)
    parts, _ = label(values >= bottom + PART * (top - bottom))
    highest = np.unravel_index(int(np.argmax(values)), values.shape)
    peak = binary_dilation(parts == parts[highest], np.ones([GROWTH if n > 1 else 1 for n in values.shape], bool))
    places = np.argwhere(peak)
    heights = values[peak].astype(np.float64)
    if len(places) > MOST_PIXELS:
        chosen = np.sort(np.argsort(-heights, kind="stable")[:MOST_PIXELS])
        places, heights = places[chosen], heights[chosen]
    axes = [axis for axis, n in enumerate(values.shape) if n > 1]
    heights = (heights - bottom) / (top - bottom)
    surface = RBFInterpolator(places[:, axes].astype(np.float64), heights, kernel="multiquadric", epsilon=1.0, degree=-1)
    start = np.array(highest, dtype=np.float64)[axes]
    best = minimize(lambda place: -float(surface(place[np.newaxis])[0]), start, method="Nelder-Mead", options={"xatol": 1e-3})
    found = np.zeros(3)
    found[axes] = best.x - (np.array(values.shape)[axes] - 1) / 2
    return found
