"""Background of a large group: bilinear between knots, fitted together with the counts of all emitters.

Importing this file imports numba: do it on use.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.localize.multi_scene import (
    BACK,
    LOWEST,
    MEAN,
    RESIDUAL,
    SCRATCH,
    SHAPE,
    SIGMA,
    WEIGHT,
    Scene,
    compose,
    reach,
    weigh,
)  # fmt: skip
from recipes_modules.localize.psf import FAST

Array = npt.NDArray[Any]

EVEN = 32
"""Up to so many pixels a side the background is even."""
MESH = 32
"""Pixels between knots, about."""
STEPS, ENOUGH = 15, 1e-4
"""Conjugate gradients: steps at most, and the part of the first residual at which they end."""


class Ground:
    """A background.

    Parameters
    ----------
    scene : Scene
        Its background is set.
    start : float
        Value everywhere.

    Attributes
    ----------
    even : bool
        Whether it has one value only.
    """

    def __init__(self, scene: Scene, start: float) -> None:
        height, width = scene.planes.shape[1:]
        self.scene = scene
        self.down, self.across = _hats(height), _hats(width)
        self.values = np.full((self.down.shape[1], self.across.shape[1]), float(start))
        self.even = self.values.size == 1
        scene.planes[BACK] = self.image(self.values)

    def image(self, values: Array) -> Array:
        """Values at knots, between them."""
        # Sums in a fixed order: those of BLAS may depend on its threads.
        return np.asarray(np.einsum("yk,kx->yx", self.down, np.einsum("kl,xl->kx", values, self.across)), np.float32)

    def sums(self, image: Array, power: int = 1) -> Array:
        """Products of an image with the light of each knot, or its square."""
        rows = np.einsum("yk,yx->kx", self.down**power, image.astype(float))
        return np.asarray(np.einsum("kx,xl->kl", rows, self.across**power))

    def fit(self, n: int, work: Array) -> None:
        """One step of Fisher scoring of the knots and of all counts, solved by conjugate gradients."""
        scene, planes = self.scene, self.scene.planes
        weigh(scene, (0, planes.shape[1], 0, planes.shape[2]))
        counts, shape, mean = scene.theta[:n, 2], scene.known[SHAPE], scene.known[MEAN]
        ridge = np.zeros(n + self.values.size)
        ridge[:n] = max(shape - 1.0, 0.0) / counts**2
        residual, diagonal = self._project(n, RESIDUAL, False), self._project(n, WEIGHT, True)
        residual[:n] += (shape - 1.0) / counts - shape / mean
        scale = 1.0 / np.maximum(diagonal + ridge, 1e-12)
        step, ahead = np.zeros_like(ridge), scale * residual
        first = rho = float((residual * ahead).sum())
        for _ in range(STEPS):
            if not rho > ENOUGH * first:
                break
            planes[SCRATCH] = self.image(ahead[n:].reshape(self.values.shape))
            light(scene, n, ahead)
            planes[SCRATCH] *= planes[WEIGHT]
            product = self._project(n, SCRATCH, False) + ridge * ahead
            length = rho / float((ahead * product).sum())
            step += length * ahead
            residual -= length * product
            last, rho = rho, float((residual * residual * scale).sum())
            ahead = scale * residual + rho / last * ahead
        counts[:] = np.maximum(counts + np.clip(step[:n], -0.7 * counts, 2.0 * counts), 0.5)
        self.values[:] = np.maximum(self.values + step[n:].reshape(self.values.shape), scene.known[LOWEST])
        planes[BACK] = self.image(self.values)
        compose(scene, n, work)

    def _project(self, n: int, plane: int, square: bool) -> Array:
        result = np.empty(n + self.values.size)
        seen(self.scene, n, plane, square, result)
        result[n:] = self.sums(self.scene.planes[plane], 2 if square else 1).ravel()
        return result


def _hats(length: int) -> Array:
    """Weights of the knots at each pixel, (length, knots)."""
    count = 1 if length <= EVEN else 2 + length // MESH
    if count == 1:
        return np.ones((length, 1))
    place = np.arange(length) * (count - 1) / (length - 1)
    return np.maximum(1.0 - np.abs(place[:, None] - np.arange(count)), 0.0)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def seen(scene: Any, n: int, plane: int, square: bool, result: Any) -> None:
    """Products of an image with the light of each emitter, or its square."""
    height, width = scene.planes.shape[1:]
    side = 2 * reach(scene.known[SIGMA]) + 1
    for i in range(n):
        left, top = scene.corner[i, 0], scene.corner[i, 1]
        total = 0.0
        for y in range(max(top, 0), min(top + side, height)):
            row, part = scene.planes[plane, y], scene.tables[i, 1, 0, y - top]
            for x in range(max(left, 0), min(left + side, width)):
                g = part * scene.tables[i, 0, 0, x - left]
                total += row[x] * (g * g if square else g)
        result[i] = total


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def light(scene: Any, n: int, counts: Any) -> None:
    """Add emitters of other counts to the scratch plane."""
    height, width = scene.planes.shape[1:]
    side = 2 * reach(scene.known[SIGMA]) + 1
    for i in range(n):
        left, top = scene.corner[i, 0], scene.corner[i, 1]
        for y in range(max(top, 0), min(top + side, height)):
            row, part = scene.planes[SCRATCH, y], np.float32(counts[i] * scene.tables[i, 1, 0, y - top])
            for x in range(max(left, 0), min(left + side, width)):
                row[x] += part * scene.tables[i, 0, 0, x - left]
