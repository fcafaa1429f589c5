"""What a run of the cross-correlation will cost, said before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recipes_core.errors import DataError

if TYPE_CHECKING:
    from recipes_core.module import Context
    from recipes_modules.correlation.cloud import Cloud
    from recipes_modules.correlation.localizations import Settings

WORTH_TELLING = 20.0
"""Runs that take longer than so many seconds are announced."""
MOST_PAIRS = 5_000_000
GAIN = 0.7
"""A parameter is named where it makes a run take less than this part of its time."""

# Seconds per voxel on one processor of 2024; they only have to be right within a factor of two.
_SPECTRUM, _SPECTRUM_LARGE, _LARGE = 4e-9, 11e-9, 2**22
_INVERSE, _NEAR, _NEAR_PLANES, _PEAK = 3.5e-9, 0.2e-9, 1.3e-9, 2e-8


@dataclass(frozen=True)
class Cost:
    """What a run costs.

    Attributes
    ----------
    windows, pairs : int
    shape : (z, y, x)
        Voxels of a window.
    seconds : float
        Rough.
    memory, scratch : float
        Bytes in memory and on disk.
    """

    windows: int
    pairs: int
    shape: tuple[int, ...]
    seconds: float
    memory: float
    scratch: float


def count_pairs(n: int, method: str, corr_window: int) -> int:
    """Pairs that `choose_pairs` gives."""
    if method == "DCC":
        return n - 1
    reach = min(corr_window, n - 1) if corr_window > 0 else n - 1
    return n * reach - reach * (reach + 1) // 2


def estimate_cost(cloud: Cloud, settings: Settings, n_windows: int, threads: int) -> Cost:
    """Cost of `estimate` for so many windows."""
    from recipes_modules.correlation.correlator import FEW
    from recipes_modules.correlation.grid import make_grid, search_reach
    from recipes_modules.correlation.localizations import nearest_reach, search_pixel
    from recipes_modules.correlation.pairs import IN_MEMORY

    low, high = cloud.bounds(np.zeros((0, 3), np.float32))
    if settings.flatten_z:
        low[0] = high[0] = 0.0
    plain = settings.behaviour == "plugin"
    fine = make_grid(low, high, settings.binsize).shape
    coarse = fine if plain else make_grid(low, high, search_pixel(settings)).shape
    pairs = count_pairs(n_windows, settings.method, settings.corr_window)
    voxels, rough = float(np.prod(fine)), float(np.prod(coarse))
    searched = float(np.prod([2 * r + 1 for r in search_reach(coarse)]))
    seconds = n_windows * _spectrum(rough) + pairs * (rough * _INVERSE + searched * _PEAK)
    maps = 0.0
    if not plain:
        near = nearest_reach(settings)
        reach = [min(r, near) for r in search_reach(fine)]
        summed = max(reach) <= (FEW if fine[0] == 1 else 3 * FEW)
        pair = voxels * (_NEAR * (reach[1] + 1) + (fine[0] > 1) * _NEAR_PLANES if summed else _INVERSE)
        around = float(np.prod([2 * r + 1 for r in reach]))
        seconds += n_windows * _spectrum(voxels) + pairs * (pair + around * _PEAK)
        if settings.method == "RCC":
            seconds += 2 * n_windows * (_spectrum(voxels) + pair + around * _PEAK)
        maps = 4 * around * pairs
    kept = n_windows if settings.corr_window <= 0 else min(n_windows, settings.corr_window + 16)
    spectra = kept * 4 * voxels if settings.method != "DCC" else 17 * 4 * voxels
    memory = 40.0 * len(cloud.positions) + min(spectra, IN_MEMORY) + threads * 24 * voxels
    scratch = maps + (spectra if spectra > IN_MEMORY else 0.0)
    return Cost(n_windows, pairs, fine, seconds / (0.8 * threads + 0.2), memory, scratch)


def _spectrum(voxels: float) -> float:
    return voxels * (_SPECTRUM if voxels < _LARGE else _SPECTRUM_LARGE)


def announce(ctx: Context, cloud: Cloud, settings: Settings) -> None:
    """Say what a long run will cost and which parameter to change; refuse one that would never end."""
    n = len(cloud.windows)
    if count_pairs(n, settings.method, settings.corr_window) > MOST_PAIRS:
        raise DataError(
            f"{n:,} windows make {count_pairs(n, settings.method, settings.corr_window):,} pairs, more than {MOST_PAIRS:,}.",
            code="D416",
            hint="Set corr_window (5 compares each window with the five that follow it), or a larger step and window.",
        )
    cost = estimate_cost(cloud, settings, n, ctx.n_threads)
    if cost.seconds < WORTH_TELLING:
        return
    size = " x ".join(str(voxels) for voxels in cost.shape[::-1] if voxels > 1)
    disk = f" and {_bytes(cost.scratch)} of scratch on disk" if cost.scratch > 1e8 else ""
    cheaper = "; ".join(_cheaper(cloud, settings, cost, ctx.n_threads))
    ctx.say(
        f"{cost.windows:,} windows of {size} pixels, {cost.pairs:,} pairs: about {_duration(cost.seconds)} on {ctx.n_threads} "
        f"threads, {_bytes(cost.memory)} of memory{disk}" + (f". Cheaper: {cheaper}" if cheaper else "")
    )


def _cheaper(cloud: Cloud, settings: Settings, cost: Cost, threads: int) -> Iterator[str]:
    n = cost.windows
    wide = max(10 * settings.binsize, 100.0) if cost.shape[0] > 1 else max(2 * settings.binsize, 60.0)
    choices = [("flatten_z: true", replace(settings, flatten_z=True), n)] if cost.shape[0] > 1 else []
    if settings.method != "DCC" and (settings.corr_window <= 0 or settings.corr_window > 5):
        choices.append(("corr_window: 5", replace(settings, corr_window=5), n))
    if 2 * settings.binsize <= wide:
        choices.append((f"binsize: {2 * settings.binsize:g}", replace(settings, binsize=2 * settings.binsize), n))
    if n > 20:
        choices.append((f"step and window: {2 * settings.step}", settings, -(-n // 2)))
    found = [(estimate_cost(cloud, changed, windows, threads).seconds, name) for name, changed, windows in choices]
    for seconds, name in sorted(found)[:2]:
        if seconds < GAIN * cost.seconds:
            yield f"{name} (about {_duration(seconds)})"


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(1.0, float(f'{seconds:.1g}')):.0f} s"


def _bytes(value: float) -> str:
    return f"{value / 1e9:.1f} GB" if value >= 1e8 else f"{max(1.0, value / 1e6):.0f} MB"
