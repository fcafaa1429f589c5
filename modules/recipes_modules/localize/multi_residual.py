"""PYME's fit of overlapping emitters: least squares, one emitter more as long as the residual asks for it.

Importing this file imports numba: do it on use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.localize.movie import Spots
from recipes_modules.localize.multi_alone import BOTTOM, LEFT, RIGHT, TOP, cut, group
from recipes_modules.localize.multi_refine import bounds, refine, workspace
from recipes_modules.localize.multi_scene import ADDED, DATA, MU, RESIDUAL, TRUSTED, WEIGHT, Scene, compose, lanes, weigh
from recipes_modules.localize.multi_signs import middle_profile

Array = npt.NDArray[Any]

MOST = 10
"""PYME's: emitters of a region at most."""
STEPS = 40
CLEAR = 3.5
"""Where no limit is given: a residual this many times the noise of the filter asks for an emitter more."""


def multi_lsq(spots: Spots, settings: Mapping[str, Any]) -> dict[str, Array]:
    """Least squares of sums of Gaussians of one width on no background; `settings` hold ``residual_max``, None for `CLEAR`."""
    fit = _Regions(spots, settings["residual_max"])
    found, index = fit.all()
    camera, counts = spots.camera, spots.camera.counts_per_electron
    size_x, size_y = camera.pixel_size
    x, y, photons, chi2, error_x, error_y, error, code, number = found.T
    area = 2 * np.pi * spots.sigma**2
    known = _behind(spots, x, y, index)
    columns = {
        "x": x * size_x, "y": y * size_y, "photons": photons, "background": known, "error_x": error_x * size_x,
        "error_y": error_y * size_y, "chi2": chi2, "A": photons / area * counts, "error_A": error / area * counts,
        "error_photons": error, "subtracted_background": known, "sigma": np.where(code > 0, spots.sigma * (size_x + size_y) / 2, np.nan),
        "detection": photons / np.where(error > 0, error, np.nan),
    }  # fmt: skip
    made: dict[str, Array] = {name: values.astype(np.float32) for name, values in columns.items()}
    return made | {"index": index, "result_code": code.astype(np.int32), "emitters": number.astype(np.int32)}


class _Regions:
    """Regions of a block of frames."""

    def __init__(self, spots: Spots, residual_max: float | None) -> None:
        self.spots = spots
        self.known = np.array([spots.sigma, 1.0, 1e12, 0.0, -1e30, 1.0, 0.0, 0.0])
        self.lane = lanes(spots.sigma)
        self.room = workspace(MOST, self.lane)
        self.free = np.arange(MOST)
        line = middle_profile(spots.sigma)
        self.filter = line / line.sum()
        # Along each axis the filter lowers the noise of a pixel by the root of the sum of its squares.
        self.residual_max = CLEAR * float((self.filter**2).sum()) if residual_max is None else float(residual_max)

    def all(self) -> tuple[Array, Array]:
        """Rows of all frames, and the frame of each."""
        spots = self.spots
        rows, columns = spots.pixels
        parts, index = [np.empty((0, 9))], [np.empty(0, np.int64)]
        for frame in np.unique(spots.index):
            mine = np.flatnonzero(spots.index == frame)
            part = self.frame(int(frame), rows[mine], columns[mine])
            parts.append(part)
            index.append(np.full(len(part), frame))
        return np.concatenate(parts), np.concatenate(index)

    def frame(self, frame: int, rows: Array, columns: Array) -> Array:
        """Rows of a frame."""
        spots, n = self.spots, len(rows)
        counts = spots.frames[frame]
        owner, parent = np.full(counts.shape, -1, np.int32), np.empty(n, np.int64)
        extent = np.empty((n, 5), np.int64)
        group(rows, columns, spots.half, owner, parent, extent)
        back = spots.backgrounds[frame] if len(spots.backgrounds) else np.empty((0, 0), np.float32)
        variance = spots.variance[frame if len(spots.variance) > 1 else 0]
        images = (counts, variance, back, counts)
        firsts = np.flatnonzero(parent == np.arange(n))
        return np.concatenate([self.region(images, owner, int(first), extent[first]) for first in firsts])

    def region(self, images: Any, owner: Array, first: int, extent: Array) -> Array:
        """Rows of a region."""
        spots = self.spots
        shape = (7, int(extent[BOTTOM] - extent[TOP]), int(extent[RIGHT] - extent[LEFT]))
        scene = Scene(
            np.zeros(shape, np.float32), np.zeros((MOST, 3)), np.zeros((MOST, 2, 3, self.lane), np.float32),
            np.zeros((MOST, 2), np.int64), self.known.copy(),
        )  # fmt: skip
        if not cut(images, owner, first, extent, scene.planes, scene.known):
            return np.empty((0, 9))
        scene.known[:] = self.known
        used = scene.planes[ADDED] < TRUSTED
        # PYME takes counts below one for one when it estimates their noise.
        part = images[0][extent[TOP] : extent[BOTTOM], extent[LEFT] : extent[RIGHT]]
        floor = 1.0 / spots.camera.counts_per_electron
        read = images[1][extent[TOP] : extent[BOTTOM], extent[LEFT] : extent[RIGHT]]
        noise = spots.camera.noise_factor**2 * np.maximum(np.nan_to_num(part), floor) + np.where(used, read, 1.0)
        scene.planes[WEIGHT] = np.where(used, 1.0 / noise, 0.0)
        box, n, good = (0, shape[1], 0, shape[2]), 0, True
        pixels = int(np.count_nonzero(used))
        weigh(scene, box)
        while n < MOST and good and (n == 0 or pixels > 3 * (n + 1)):
            place = self._worst(scene, used, n)
            if place is None:
                break
            peak = max(float(scene.planes[DATA][place] - scene.planes[MU][place]), 1.0)
            before = scene.theta.copy()
            scene.theta[n] = place[1], place[0], peak * 2 * np.pi * spots.sigma**2
            compose(scene, n + 1, self.room[3])
            _, _, good = refine(scene, self.free, n + 1, False, 1e-3, STEPS, self.room)
            weigh(scene, box)
            if n > 0 and bounds(scene, self.free, n + 1, False, box, self.room) != 1:
                # PYME's: an emitter that leaves the fit without an answer is taken back.
                scene.theta[:] = before
                compose(scene, n, self.room[3])
                weigh(scene, box)
                good = True
                break
            n += 1
        return self._rows(scene, n, box, good, pixels, extent)

    def _worst(self, scene: Scene, used: Array, n: int) -> tuple[int, int] | None:
        """The pixel where the filtered residual is highest; None where it is below what is allowed."""
        from scipy.ndimage import correlate1d

        with np.errstate(divide="ignore", invalid="ignore"):
            # The plane holds residual times weight.
            scaled = np.where(used, scene.planes[RESIDUAL] / np.sqrt(scene.planes[WEIGHT]), 0.0)
        filtered = correlate1d(correlate1d(scaled, self.filter, 0, mode="constant"), self.filter, 1, mode="constant")
        filtered[~used] = -np.inf
        row, column = np.unravel_index(np.argmax(filtered), filtered.shape)
        return (int(row), int(column)) if n == 0 or filtered[row, column] > self.residual_max else None

    def _rows(self, scene: Scene, n: int, box: Any, good: bool, pixels: int, extent: Array) -> Array:
        used = scene.planes[WEIGHT] > 0
        square = float((scene.planes[RESIDUAL][used].astype(float) ** 2 / scene.planes[WEIGHT][used]).sum())
        chi2 = square / max(pixels - 3 * n, 1)
        out = np.full((n, 9), np.nan)
        out[:, 8] = n
        known = bounds(scene, self.free, n, False, box, self.room) == 1
        out[:, 7] = (1 if good else 5) if known else 0
        if known:
            out[:, :3] = scene.theta[:n] + np.array([extent[LEFT], extent[TOP], 0.0])
            out[:, 3] = chi2
            out[:, 4:7] = np.sqrt(np.diagonal(self.room[0][0])[: 3 * n].reshape(n, 3) * chi2)
        return out


def _behind(spots: Spots, x: Array, y: Array, index: Array) -> Array:
    """Known background at each emitter, photoelectrons."""
    if not len(spots.backgrounds):
        return np.zeros(len(x))
    height, width = spots.frames.shape[1:]
    row = np.clip(np.nan_to_num(np.rint(y)), 0, height - 1).astype(np.int64)
    column = np.clip(np.nan_to_num(np.rint(x)), 0, width - 1).astype(np.int64)
    return np.where(np.isfinite(x), spots.backgrounds[index, row, column], np.nan)
