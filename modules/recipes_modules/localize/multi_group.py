"""The emitters of groups of spots, frame by frame. Importing this file imports numba: do it on use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.localize.multi_alone import (
    BOTTOM,
    CODE,
    COLUMNS,
    CONVERGED,
    LEFT,
    RIGHT,
    TOP,
    UNFINISHED,
    X,
    Y,
    cut,
    errors,
    fit_alone,
    floor_of,
    group,
    quality,
)
from recipes_modules.localize.multi_deconvolve import deconvolve, peaks
from recipes_modules.localize.multi_level import Ground
from recipes_modules.localize.multi_refine import refine, workspace
from recipes_modules.localize.multi_scene import ADDED, BACK, DATA, MEAN, SIGMA, SURE, TILE, Scene, compose, lanes
from recipes_modules.localize.multi_search import search
from recipes_modules.localize.multi_sweep import AT_ONCE, BORDER, MOST, gather, sweep

Array = npt.NDArray[Any]

PIECE, MARGIN = 64, 6
"""Deconvolution takes squares of so many pixels, and so many around them."""
FEW = 3
"""Up to so many spots a group is not deconvolved."""
ROUNDS = 6
SWEEPS, STEPS = 1, 2
"""Between rounds of trials the emitters need not come to rest: sweeps, and steps in each tile."""
TOLERANCE = 1e-2
"""Pixels that an emitter may still move at the end."""
DIMMEST = 0.1
"""Deconvolved light counts where it is at least this part of the mean."""


class Frames:
    """Fits frames one after the other.

    Parameters
    ----------
    half : int
        A group is fitted on the pixels not farther than this from one of its spots, along x and y.
    known : array (8,)
        See `multi_scene.SIGMA`.
    settings : array (4,)
        See `multi_alone.fit_alone`.
    """

    def __init__(self, half: int, known: Array, settings: Array) -> None:
        self.half, self.known, self.settings = half, known, settings
        self.lane = lanes(known[SIGMA])
        self.room = workspace(MOST, self.lane)
        self.free, self.saved = np.zeros(MOST, np.int64), np.zeros((MOST, 3))
        self.trials = np.zeros((2, 4), np.int64)

    def fit(self, images: tuple[Array, Array, Array, Array], rows: Array, columns: Array) -> Array:
        """All emitters of a frame, (n, COLUMNS) as `multi_alone.X` and those after it say.

        Parameters
        ----------
        images : tuple
            See `multi_alone.cut`.
        rows, columns : array (n,) int64
            Pixels of the spots.
        """
        n = len(rows)
        owner, parent = np.empty(images[0].shape, np.int32), np.empty(n, np.int64)
        extent, out = np.empty((n, 5), np.int64), np.empty((n, COLUMNS))
        group(rows, columns, self.half, owner, parent, extent)
        done = fit_alone(images, owner, rows, columns, extent, self.half, self.known, self.settings, self.room, out)
        parts = [out[done]]
        order = np.argsort(parent, kind="stable")
        sizes = np.bincount(parent, minlength=n)
        ends = np.cumsum(sizes)
        for first in np.flatnonzero((sizes > 0) & ~done):
            members = order[ends[first] - sizes[first] : ends[first]]
            parts.append(self.group(images, owner, int(first), extent[first], rows[members], columns[members]))
        return np.concatenate(parts)

    def group(
        self, images: tuple[Array, Array, Array, Array], owner: Array, first: int, extent: Array, rows: Array, columns: Array
    ) -> Array:
        """The emitters of a group."""
        height, width = int(extent[BOTTOM] - extent[TOP]), int(extent[RIGHT] - extent[LEFT])
        most = 6 * len(rows) + 12
        scene = Scene(
            np.zeros((7, height, width), np.float32), np.zeros((most, 3)), np.zeros((most, 2, 3, self.lane), np.float32),
            np.zeros((most, 2), np.int64), self.known.copy(),
        )  # fmt: skip
        if not cut(images, owner, first, extent, scene.planes, scene.known):
            return np.empty((0, COLUMNS))
        n, joint, late = self.solve(scene, rows - extent[TOP], columns - extent[LEFT])
        out = self.report(scene, n, joint, late)
        out[:, X] += extent[LEFT]
        out[:, Y] += extent[TOP]
        return out

    def solve(self, scene: Scene, rows: Array, columns: Array) -> tuple[int, bool, Array]:
        """Find the emitters; their number, whether the background is fitted with them, and tiles in which they were still moving."""
        height, width = scene.planes.shape[1:]
        room, free, work = self.room, self.free, self.room[3]
        ground, sure = Ground(scene, floor_of(scene)), scene.known[SURE]
        n = self.begin(scene, rows, columns)
        compose(scene, n, work)
        tiles = (-(-height // TILE), -(-width // TILE))
        dirty, late = np.ones(tiles, bool), np.zeros(tiles, bool)
        for turn in range(ROUNDS):
            joint = ground.even and n <= AT_ONCE
            # A background that is no parameter has no prior.
            scene.known[SURE] = sure if joint else 0.0
            if joint:
                free[:n] = np.arange(n)
                late[:] = not refine(scene, free, n, True, 1e-3, 30, room)[2]
            else:
                if turn == 0:
                    ground.fit(n, work)
                for _ in range(SWEEPS):
                    if sweep(scene, n, dirty, late, TOLERANCE, STEPS, room, free) == 0:
                        break
                ground.fit(n, work)
            if turn == ROUNDS - 1:
                break
            n, kept = search(scene, n, joint, self.settings[0], self.settings[1], dirty, free, self.saved, room, self.trials)
            if not kept:
                break
        joint = ground.even and n <= AT_ONCE
        scene.known[SURE] = sure if joint else 0.0
        if not joint:
            for _ in range(4):
                if sweep(scene, n, dirty, late, TOLERANCE, 5, room, free) == 0:
                    break
        return n, joint, late

    def begin(self, scene: Scene, rows: Array, columns: Array) -> int:
        """Emitters to start from: the spots, or the peaks of a deconvolution; their number."""
        sigma = float(scene.known[SIGMA])
        if len(rows) <= FEW:
            n = len(rows)
            peak = scene.planes[DATA, rows, columns] - scene.planes[BACK, rows, columns]
            scene.theta[:n] = np.column_stack([columns, rows, np.maximum(2 * np.pi * sigma**2 * peak, 10.0)])
            return n
        n = 0
        height, width = scene.planes.shape[1:]
        for top in range(0, height, PIECE):
            for left in range(0, width, PIECE):
                y0, x0 = max(top - MARGIN, 0), max(left - MARGIN, 0)
                part = np.s_[y0 : top + PIECE + MARGIN, x0 : left + PIECE + MARGIN]
                data, added, back = (np.ascontiguousarray(scene.planes[plane][part]) for plane in (DATA, ADDED, BACK))
                fine = deconvolve(data, added, back, sigma, int(self.settings[2]))
                found = peaks(fine, DIMMEST * scene.known[MEAN], len(scene.theta)) + np.array([x0, y0, 0.0])
                inside = (found[:, 0] >= left - 0.5) & (found[:, 0] < left + PIECE - 0.5)
                inside &= (found[:, 1] >= top - 0.5) & (found[:, 1] < top + PIECE - 0.5)
                found = found[inside][: len(scene.theta) - n]
                scene.theta[n : n + len(found)] = found
                n += len(found)
        return n

    def report(self, scene: Scene, n: int, joint: bool, late: Array) -> Array:
        """Rows of the emitters."""
        out = np.empty((n, COLUMNS))
        if n == 0:
            return out
        room, free, learn = self.room, self.free, self.settings[3] > 0
        quality(scene, n, self.half, out)
        r = np.clip((scene.theta[:n, 1] + 0.5) // TILE, 0, late.shape[0] - 1).astype(int)
        c = np.clip((scene.theta[:n, 0] + 0.5) // TILE, 0, late.shape[1] - 1).astype(int)
        out[late[r, c] & (out[:, CODE] == CONVERGED), CODE] = UNFINISHED
        if joint:
            free[:n] = np.arange(n)
            errors(scene, n, n, free, True, learn, room, out)
            return out
        rows, columns = late.shape
        for r in range(rows):
            for c in range(columns):
                x0, y0 = c * TILE - 0.5 - (c == 0), r * TILE - 0.5 - (r == 0)
                x1, y1 = (c + 1) * TILE - 0.5 + (c == columns - 1), (r + 1) * TILE - 0.5 + (r == rows - 1)
                m = gather(scene, n, x0, x1, y0, y1, free, 0)
                if m > 0:
                    around = gather(scene, n, x0 - BORDER, x1 + BORDER, y0 - BORDER, y1 + BORDER, free, m)
                    errors(scene, around, m, free, False, learn, room, out)
        return out
