"""Joint fits of groups of any size, compiled: small ones at once, large ones in overlapping tiles."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from recipes_modules.localize.multi_refine import refine
from recipes_modules.localize.multi_scene import HALO, TILE

AT_ONCE = 12
"""Emitters up to which a group is fitted at once, with its background."""
MOST = 60
"""Emitters that are fitted together at most."""
BORDER = 4
"""For errors, the emitters up to so many pixels around a tile count."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gather(scene: Any, n: int, x0: float, x1: float, y0: float, y1: float, free: Any, m: int) -> int:
    """Append the emitters of a rectangle (upper ends left out) that are not yet listed; the number in the list."""
    start = m
    for i in range(n):
        x, y = scene.theta[i, 0], scene.theta[i, 1]
        if m < len(free) and x0 <= x < x1 and y0 <= y < y1:
            known = False
            for k in range(start):
                known |= free[k] == i
            if not known:
                free[m] = i
                m += 1
    return m


@numba.njit(cache=True, nogil=True, error_model="numpy")
def sweep(scene: Any, n: int, dirty: Any, late: Any, tolerance: float, most: int, room: Any, free: Any) -> int:
    """Fit the emitters tile by tile, each with those of its surroundings; the number of tiles in which something moved.

    `dirty` (rows, columns of tiles) tells which tiles need it, and afterwards which still do, as they or their neighbours moved; `late` tells
    of those that were fitted which were still moving.
    """
    rows, columns = dirty.shape
    # No literals: numba compiles a function anew for each that it is given.
    busy, none, joint = 0, np.int64(0), n < 0
    again = np.zeros(dirty.shape, np.bool_)
    for r in range(rows):
        for c in range(columns):
            if not dirty[r, c]:
                continue
            late[r, c] = False
            x0, y0 = c * TILE - 0.5, r * TILE - 0.5
            x1, y1 = x0 + TILE, y0 + TILE
            # The outer tiles take what lies on the border.
            x0, y0 = x0 - (c == 0), y0 - (r == 0)
            x1, y1 = x1 + (c == columns - 1), y1 + (r == rows - 1)
            m = gather(scene, n, x0, x1, y0, y1, free, none)
            if m == 0:
                continue
            m = gather(scene, n, x0 - HALO, x1 + HALO, y0 - HALO, y1 + HALO, free, m)
            _, _, converged = refine(scene, free, m, joint, tolerance, most, room)
            if not converged:
                busy += 1
                late[r, c] = True
                for a in range(max(r - 1, 0), min(r + 2, rows)):
                    for b in range(max(c - 1, 0), min(c + 2, columns)):
                        again[a, b] = True
    for r in range(rows):
        for c in range(columns):
            dirty[r, c] = again[r, c]
    return busy
