"""How many emitters a group has: trials that remove, merge, split and add them, compiled.

A trial counts by the evidence of its model: the posterior at its maximum times its volume (Laplace's approximation), with emitters spread
at random over the frame and counts that follow a gamma distribution.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.multi_refine import lift, penalty, put, refine, volume
from recipes_modules.localize.multi_scene import (
    ADDED,
    BACK,
    DENSITY,
    HALO,
    MEAN,
    RESIDUAL,
    SCRATCH,
    SHAPE,
    SIGMA,
    TILE,
    TRUSTED,
    WEIGHT,
    log_prior,
    paint,
    patch,
    place,
    weigh,
    whole,
)
from recipes_modules.localize.multi_signs import NARROW, firm, middle_profile, promising, quadrupole, score_at, scores, split_gain
from recipes_modules.localize.psf import INNER, MERGED, OUTER

AROUND = 3.0
"""Emitters within so many widths of a trial take part in it."""
STEPS = 8
MARGIN = 1e-2
"""Evidence that a change must bring at least."""
REMOVE, MERGE, SPLIT, ADD = range(4)
KINDS = 4
DIM = 0.5
"""Emitters dimmer than this part of the mean are tried to be removed."""
CLOSE = 1.2
"""Emitters nearer to each other than this many widths are tried to be merged."""
APART = 0.6
"""A split puts the two halves this many widths from where the whole was."""
HOPELESS = -15.0
"""Emitters are not tried to be merged where the priors alone lose by more than this."""


@numba.njit(**INNER)
def near(scene: Any, n: int, x: float, y: float, radius: float, free: Any, m: int, most: int) -> int:
    """Append the emitters within `radius` that are not listed yet."""
    start = m
    for i in range(n):
        dx, dy = scene.theta[i, 0] - x, scene.theta[i, 1] - y
        if m < most and dx * dx + dy * dy < radius * radius:
            known = False
            for k in range(start):
                known |= free[k] == i
            if not known:
                free[m] = i
                m += 1
    return m


@numba.njit(**INNER)
def worth(scene: Any, free: Any, m: int, joint: bool, box: Any, room: Any) -> float:
    """Logarithm of the evidence of some emitters for the pixels of a rectangle."""
    value = weigh(scene, box)
    return value + penalty(scene, free, m) + volume(scene, free, m, joint, box, room)


@numba.njit(**MERGED)
def attempt(
    scene: Any, n: int, gone: Any, n_gone: int, fresh: Any, n_fresh: int, joint: bool, free: Any, saved: Any, room: Any
) -> Any:  # fmt: skip
    """Replace some emitters by others, fit these with their surroundings, and keep that if its evidence is higher.

    Parameters
    ----------
    gone : array of int64
        Emitters that go.
    fresh : array (n_fresh, 3)
        Those that come.

    Returns
    -------
    n, kept : int, bool
        Emitters now.
    """
    work = room[3]
    if n + n_fresh > scene.theta.shape[0]:
        return n, False
    x, y = fresh[0, 0], fresh[0, 1]
    if n_gone > 0:
        x, y = 0.0, 0.0
        for k in range(n_gone):
            x += scene.theta[gone[k], 0] / n_gone
            y += scene.theta[gone[k], 1] / n_gone
            free[k] = gone[k]
    m = near(scene, n, x, y, 1e9 if joint else AROUND * scene.known[SIGMA], free, n_gone, len(free) - n_fresh)
    for k in range(n_fresh):
        for a in range(3):
            scene.theta[n + k, a] = fresh[k, a]
        place(scene, n + k, work)
        free[m + k] = n + k
    # It holds the images of all that take part, before and after.
    box = whole(scene) if joint else patch(scene, free, m + n_fresh)
    before = worth(scene, free, m, joint, box, room)
    for k in range(m):
        for a in range(3):
            saved[k, a] = scene.theta[free[k], a]
    back = scene.planes[BACK, 0, 0]
    for k in range(n_gone):
        paint(scene, gone[k], -1.0)
    for k in range(n_fresh):
        paint(scene, n + k, 1.0)
    # In the list, what stays stands behind what goes, and what comes behind that.
    rest, count = free[n_gone:], m - n_gone + n_fresh
    if count > 0 or joint:
        refine(scene, rest, count, joint, 0.02, np.int64(STEPS), room)
    after = worth(scene, rest, count, joint, box, room)
    if after > before + MARGIN:
        n += n_fresh
        # From the highest number down, so that the last one is never among those that still go.
        if n_gone == 2 and gone[0] < gone[1]:
            gone[0], gone[1] = gone[1], gone[0]
        for k in range(n_gone):
            n -= 1
            if gone[k] != n:
                # It gets another number; the model stays.
                for a in range(3):
                    scene.theta[gone[k], a] = scene.theta[n, a]
                place(scene, gone[k], work)
        return n, True
    for k in range(n_fresh):
        paint(scene, n + k, -1.0)
    for k in range(n_gone):
        paint(scene, gone[k], 1.0)
    put(scene, free, m, saved, work)
    if joint:
        lift(scene, np.float32(back - scene.planes[BACK, 0, 0]))
    return n, False


@numba.njit(**INNER)
def _split(scene: Any, i: int, least: float, gone: Any, fresh: Any) -> bool:
    """The two emitters that may stand in place of emitter `i`, where that is promising."""
    height, width = scene.planes.shape[1:]
    gone[0] = i
    weigh(scene, patch(scene, gone, np.int64(1)))
    score, angle = quadrupole(scene, i)
    x, y, counts = scene.theta[i, 0], scene.theta[i, 1], scene.theta[i, 2]
    if split_gain(scene, i, score) < least:
        return False
    for k in range(2):
        by = (2 * k - 1) * APART * scene.known[SIGMA]
        fresh[k, 0] = min(max(x + by * math.cos(angle), -0.5), width - 0.5)
        fresh[k, 1] = min(max(y + by * math.sin(angle), -0.5), height - 0.5)
        fresh[k, 2] = 0.5 * counts
    return True


@numba.njit(**INNER)
def _merge(scene: Any, n: int, i: int, gone: Any, fresh: Any) -> bool:
    """The emitter that may stand in place of emitter `i` and its nearest neighbour of a higher number."""
    nearest, other = (CLOSE * scene.known[SIGMA]) ** 2, -1
    for j in range(i + 1, n):
        dx, dy = scene.theta[i, 0] - scene.theta[j, 0], scene.theta[i, 1] - scene.theta[j, 1]
        if dx * dx + dy * dy < nearest:
            nearest, other = dx * dx + dy * dy, j
    if other < 0:
        return False
    a, b = scene.theta[i, 2], scene.theta[other, 2]
    # The fit does not get better by it; counts stay about the same, and may be none that an emitter has.
    if log_prior(scene.known, a + b) - log_prior(scene.known, a) - log_prior(scene.known, b) - scene.known[DENSITY] < HOPELESS:
        return False
    gone[0], gone[1] = i, other
    for axis in range(2):
        fresh[0, axis] = (a * scene.theta[i, axis] + b * scene.theta[other, axis]) / (a + b)
    fresh[0, 2] = a + b
    return True


@numba.njit(**INNER)
def _find(scene: Any, table: Any, least: float, list_x: Any, list_y: Any) -> int:
    """Pixels where the filtered residual, which the scratch plane holds, has a maximum of at least `least`; their number."""
    score, found = scene.planes[SCRATCH], 0
    height, width = score.shape
    for y in range(height):
        for x in range(width):
            here = score[y, x]
            if here < least or found >= len(list_x) or not scene.planes[ADDED, y, x] < TRUSTED:
                continue
            top = True
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    higher = here > score[v, u] or (here == score[v, u] and (v > y or (v == y and u >= x)))
                    top &= higher or not scene.planes[ADDED, v, u] < TRUSTED
            if top:
                list_x[found], list_y[found] = x, y
                found += 1
    return found


@numba.njit(**INNER)
def _mark(dirty: Any, x: float, y: float) -> None:
    """Mark the tile of a place and those that its emitters reach."""
    for r in range(max(int(y + 0.5 - HALO) // TILE, 0), min(int(y + 0.5 + HALO) // TILE + 1, dirty.shape[0])):
        for c in range(max(int(x + 0.5 - HALO) // TILE, 0), min(int(x + 0.5 + HALO) // TILE + 1, dirty.shape[1])):
            dirty[r, c] = True


@numba.njit(**OUTER)
def search(
    scene: Any, n: int, joint: bool, least_split: float, least_add: float, dirty: Any, free: Any, saved: Any, room: Any, counts: Any
) -> Any:  # fmt: skip
    """One round of trials; emitters now, and changes that were kept.

    Parameters
    ----------
    least_split : float
        Emitters are split where the gain that is to be expected is above this.
    least_add : float
        Emitters are added where the filtered residual is above this times its noise.
    dirty : array of bool
        Tiles; those around a change are marked.
    counts : array (2, 4) int64
        Trials of each kind and those kept are added.
    """
    table = middle_profile(scene.known[SIGMA])
    gone, fresh = np.empty(2, np.int64), np.empty((2, 3))
    list_x, list_y = np.empty(scene.theta.shape[0], np.int64), np.empty(scene.theta.shape[0], np.int64)
    kept = 0
    typical = 0.5 * scene.known[MEAN] if scene.known[SHAPE] > NARROW else 0.0
    for kind in range(KINDS):
        length = n
        if kind == ADD:
            weigh(scene, whole(scene))
            scores(scene.planes[RESIDUAL], scene.planes[WEIGHT], table, scene.planes[SCRATCH])
            length = _find(scene, table, least_add, list_x, list_y)
        cursor = 0
        while cursor < length:
            n_gone, n_fresh = 0, 0
            i = cursor if kind in (MERGE, ADD) else length - 1 - cursor
            cursor += 1
            if kind == REMOVE:
                if scene.theta[i, 2] < DIM * scene.known[MEAN] and not firm(scene, n, i):
                    gone[0] = i
                    n_gone = 1
            elif kind == MERGE:
                if i < n and _merge(scene, n, i, gone, fresh):
                    n_gone, n_fresh = 2, 1
            elif kind == SPLIT:
                if _split(scene, i, least_split, gone, fresh):
                    n_gone, n_fresh = 1, 2
            else:
                score, light = score_at(scene, list_x[i], list_y[i], table)
                if score >= least_add and promising(scene.known, score, light):
                    fresh[0, 0], fresh[0, 1] = list_x[i], list_y[i]
                    fresh[0, 2] = max(0.5 * light + typical, 0.5 * light) if typical > 0.0 else light
                    n_fresh = 1
            if n_gone + n_fresh == 0:
                continue
            counts[0, kind] += 1
            x, y = fresh[0, 0], fresh[0, 1]
            if n_fresh == 0:
                x, y = scene.theta[gone[0], 0], scene.theta[gone[0], 1]
            n, good = attempt(scene, n, gone, n_gone, fresh, n_fresh, joint, free, saved, room)
            if good:
                counts[1, kind] += 1
                kept += 1
                _mark(dirty, x, y)
    return n, kept


def compile_trials(scene: Any) -> None:
    """Have that compiled which finds trials: of what `search` calls, the part that it comes to last."""
    floats, ints, number, real = np.zeros(1), np.zeros(2, np.int64), 1, 1.0
    for function, args in (
        (_split, (scene, number, real, ints, np.zeros((2, 3)))),
        (_merge, (scene, number, number, ints, np.zeros((2, 3)))),
        (firm, (scene, number, number)),
        (_find, (scene, floats, real, ints, ints)),
    ):
        function.compile(tuple(numba.typeof(arg) for arg in args))
