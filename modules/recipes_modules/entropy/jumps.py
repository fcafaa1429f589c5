"""Where a jump lies: which of two levels the frames around it fit. Importing this file imports numba."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.entropy.density import Density, Map, build_density
from recipes_modules.entropy.events import Events
from recipes_modules.entropy.rounds import Kernel, floor_of

Floats = npt.NDArray[np.float64]

AROUND = 64
"""Frames on either side of a jump that may belong to its other side."""
SURE = 4.0
"""By so much the logarithm of the likelihood must rise before a jump is moved."""


@numba.njit(cache=True, nogil=True)
def log_densities(
    x: Any, y: Any, z: Any, frame: Any, shift: Any, first: int, origin: Any, scale: Any, bits: Any, table: Any, blocks: Any,
    floor: float, total: Any,
) -> None:  # fmt: skip
    """Add to ``total[frame - first]`` the logarithm of the density over `floor` at each event, less its ``shift[frame - first]``."""
    deep = len(z) > 0
    bz, by, bx = bits
    mz, my, mx = (1 << bz) - 1, (1 << by) - 1, (1 << bx) - 1
    nz, ny, nx = table.shape
    for i in range(len(x)):
        t = frame[i] - first
        u = (x[i] - shift[t, 0] - origin[0]) * scale[0]
        v = (y[i] - shift[t, 1] - origin[1]) * scale[1]
        w = (z[i] - shift[t, 2] - origin[2]) * scale[2] if deep else 0.0
        if u < 0 or v < 0 or w < 0:
            continue
        px, py, pz = int(u), int(v), int(w)
        if pz >> bz >= nz or py >> by >= ny or px >> bx >= nx:
            continue
        block = table[pz >> bz, py >> by, px >> bx]
        if block >= 0:
            # The rim along z is there in three dimensions only.
            value = blocks[block, (pz & mz) + (1 if deep else 0), (py & my) + 1, (px & mx) + 1]
            total[t] += np.log(max(value, 0.0) / floor + 1.0)


def place_jumps(
    events: Events, drift: Floats, kernel: Kernel, jumps: Iterable[int], *, deep: bool, map_: Map, n_parts: int
) -> bool:
    """Move jumps of the drift to where the frames around them fit best; return whether one was moved.

    A wide kernel places a jump within some frames only, and narrow ones see nothing of events that lie a whole jump away.

    Parameters
    ----------
    drift : array (n_frames, 3)
        Changed in place.
    jumps : iterable of int
        Frames before which the drift jumps.
    """
    n = len(drift)
    groups = _groups(sorted(set(jumps)))
    windows = [(max(0, first - AROUND), min(n, last + AROUND)) for first, last in groups]
    near = np.zeros(n, bool)
    for start, stop in windows:
        near[start:stop] = True
    inside = near[events.frame]
    # What these frames hold must not speak for where it is now.
    others = replace(events, weight=np.where(inside, np.float32(0), events.weight))
    density = build_density(others, drift.astype(np.float32), kernel, deep=deep, map_=map_, n_parts=n_parts)
    rows = np.flatnonzero(inside)
    frame = events.frame[rows]
    moved = False
    for (first, last), (start, stop) in zip(groups, windows, strict=True):
        chosen = rows[(frame >= start) & (frame < stop)]
        here = drift[start:stop]
        before, after = _levels(drift, first, last, start, stop)
        now, early, late = (_fit(events, chosen, density, level, start) for level in (here, before, after))
        # Frames before the jump fit the level before it, the others that after it.
        gain = np.concatenate([[0.0], np.cumsum(early)]) + late.sum() - np.concatenate([[0.0], np.cumsum(late)]) - now.sum()
        best = int(np.argmax(gain))
        if gain[best] > SURE:
            drift[start:stop] = np.concatenate([before[:best], after[best:]])
            moved = True
    return moved


def _groups(jumps: list[int]) -> list[tuple[int, int]]:
    """Jumps so near each other that they are likely one, along several axes or in several steps: the first and the last frame."""
    groups: list[tuple[int, int]] = []
    for frame in jumps:
        if groups and frame - groups[-1][1] <= AROUND:
            groups[-1] = groups[-1][0], frame
        else:
            groups.append((frame, frame))
    return groups


def _levels(drift: Floats, first: int, last: int, start: int, stop: int) -> tuple[Floats, Floats]:
    """The drift in frames `start` to `stop` if it jumped only after them, or already before them."""
    frames = np.arange(start, stop)
    before, after = drift[start:stop].copy(), drift[start:stop].copy()
    early, late = frames >= first, frames < last
    back, on = max(first - 1 - AROUND, 0), min(last + AROUND, len(drift) - 1)
    slope = (drift[first - 1] - drift[back]) / max(first - 1 - back, 1)
    before[early] = drift[first - 1] + slope * (frames[early] - (first - 1))[:, None]
    slope = (drift[on] - drift[last]) / max(on - last, 1)
    after[late] = drift[last] + slope * (frames[late] - last)[:, None]
    return before, after


def _fit(events: Events, rows: npt.NDArray[np.int64], density: Density, level: Floats, start: int) -> Floats:
    total = np.zeros(len(level))
    z = events.z[rows] if len(events.z) and density.deep else np.empty(0, np.float32)
    log_densities(
        events.x[rows], events.y[rows], z, events.frame[rows], level.astype(np.float32), start, density.origin, density.scale,
        density.bits, density.table, density.blocks, floor_of(events, density), total,
    )  # fmt: skip
    return total
