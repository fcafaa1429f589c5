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
    WIDTH_INFORMATION,
    WIDTH_SCORE,
    X,
    Y,
    clear,
    cut,
    errors,
    floor_of,
    group,
    quality,
)
from recipes_modules.localize.multi_deconvolve import deconvolve, peaks
from recipes_modules.localize.multi_level import Ground
from recipes_modules.localize.multi_refine import refine, workspace
from recipes_modules.localize.multi_scene import ADDED, BACK, DATA, MEAN, SIGMA, SURE, TILE, Scene, compose, lanes
from recipes_modules.localize.multi_search import compile_trials, search
from recipes_modules.localize.multi_small import FEW, ROUNDS, fit_single_spots, fit_small, small_workspace
from recipes_modules.localize.multi_sweep import AT_ONCE, BORDER, MOST, gather, sweep
from recipes_modules.localize.multi_width import width_step

Array = npt.NDArray[Any]

PIECE, MARGIN = 64, 6
"""Deconvolution takes squares of so many pixels, and so many around them."""
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
        See `multi_small.fit_small`.
    """

    def __init__(self, half: int, known: Array, settings: Array) -> None:
        self.half, self.known, self.settings = half, known, settings
        self.lane = lanes(known[SIGMA])
        self.room = workspace(MOST, self.lane)
        self.free, self.saved = np.zeros(MOST, np.int64), np.zeros((MOST, 3))
        self.trials = np.zeros((2, 4), np.int64)
        self.store = small_workspace(known[SIGMA], MOST)
        self.owner = np.empty((0, 0), np.int32)
        self.counts = np.zeros(2, np.int64)

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
        if self.owner.shape != images[0].shape:
            self.owner = np.full(images[0].shape, -1, np.int32)
        owner, parent, left = self.owner, np.empty(n, np.int64), np.empty(n, np.bool_)
        extent, out = np.empty((n, 5), np.int64), np.empty((2 * n + AT_ONCE, COLUMNS))
        group(rows, columns, self.half, owner, parent, extent)
        args = (images, owner, rows, columns, parent, extent, self.half, self.known, self.settings, self.store)
        made = fit_single_spots(*args, out, left)
        self.counts += n, made
        # Where few spots stand alone, groups must tell of the width; that is done below.
        if left.any() and (not self.settings[3] > 0 or 3 * self.counts[1] > self.counts[0]):
            made = fit_small(*args, self.room, out, left, made)
        parts = [out[:made]]
        if left.any():
            order = np.argsort(parent, kind="stable")
            sizes = np.bincount(parent, minlength=n)
            ends = np.cumsum(sizes)
            for first in np.flatnonzero(left):
                members = order[ends[first] - sizes[first] : ends[first]]
                parts.append(self.group(images, owner, int(first), extent[first], rows[members], columns[members]))
        clear(rows, columns, self.half, owner)
        return np.concatenate(parts)

    def compile_report(self) -> None:
        """Have that compiled which tells of the emitters of groups, and which trials of them call late."""
        side = 2 * self.half + 1
        scene = Scene(
            np.ones((7, side, side), np.float32), np.full((1, 3), float(self.half)), np.zeros((1, 2, 3, self.lane), np.float32),
            np.zeros((1, 2), np.int64), self.known.copy(),
        )  # fmt: skip
        compile_trials(scene)
        compose(scene, 1, self.room[3])
        out = np.empty((1, COLUMNS))
        quality(scene, 1, self.half, out)
        errors(scene, 1, 1, self.free, True, self.room, out)

    def compile(self, images: tuple[Array, Array, Array, Array], rows: Array, columns: Array) -> None:
        """Have that compiled which small groups need."""
        n = len(rows)
        owner, parent, left = np.full(images[0].shape, -1, np.int32), np.empty(n, np.int64), np.empty(n, np.bool_)
        extent, out = np.empty((n, 5), np.int64), np.empty((2 * n + AT_ONCE, COLUMNS))
        group(rows, columns, self.half, owner, parent, extent)
        left[:] = parent == np.arange(n)
        args = (images, owner, rows, columns, parent, extent, self.half, self.known, self.settings, self.store)
        fit_small(*args, self.room, out, left, 0)

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
        free = self.free
        quality(scene, n, self.half, out)
        r = np.clip((scene.theta[:n, 1] + 0.5) // TILE, 0, late.shape[0] - 1).astype(int)
        c = np.clip((scene.theta[:n, 0] + 0.5) // TILE, 0, late.shape[1] - 1).astype(int)
        out[late[r, c] & (out[:, CODE] == CONVERGED), CODE] = UNFINISHED
        if joint:
            free[:n] = np.arange(n)
            self.tell(scene, n, n, True, out)
            return out
        rows, columns = late.shape
        for r in range(rows):
            for c in range(columns):
                x0, y0 = c * TILE - 0.5 - (c == 0), r * TILE - 0.5 - (r == 0)
                x1, y1 = (c + 1) * TILE - 0.5 + (c == columns - 1), (r + 1) * TILE - 0.5 + (r == rows - 1)
                m = gather(scene, n, x0, x1, y0, y1, free, 0)
                if m > 0:
                    around = gather(scene, n, x0 - BORDER, x1 + BORDER, y0 - BORDER, y1 + BORDER, free, m)
                    self.tell(scene, around, m, False, out)
        return out

    def tell(self, scene: Scene, m: int, wanted: int, joint: bool, out: Array) -> None:
        """Errors of the first `wanted` of the listed emitters, and what they tell of the width where that is to be learnt."""
        errors(scene, m, wanted, self.free, joint, self.room, out)
        if self.settings[3] > 0:
            out[self.free[0], WIDTH_SCORE], out[self.free[0], WIDTH_INFORMATION] = width_step(
                scene, self.free, m, wanted, joint, self.room
            )
