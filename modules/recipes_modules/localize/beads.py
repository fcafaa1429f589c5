"""Fiducial markers in a movie: bright spots that stay; they are found once a block and fitted in every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.localize.camera import Camera

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

MOST = 20
"""More in a frame are not followed; the brightest are."""


@dataclass(frozen=True)
class Beads:
    """How fiducials are tracked.

    Attributes
    ----------
    threshold : float
        Height of a bead in units of noise.
    half : int
        The region fitted has ``2 half + 1`` pixels a side.
    sigma : float
        Width of a bead's image, pixels.
    """

    threshold: float
    half: int
    sigma: float


def track(chunk: Any, variance: Floats, camera: Camera, beads: Beads) -> dict[str, Array]:
    """Fit the beads of a chunk's frames.

    A pixel's lowest value over the first, the middle and the last frame keeps what is there all the time and loses molecules that blink.
    """
    from recipes_modules.localize.background import neighbourhood
    from recipes_modules.localize.detection import Detection, detect
    from recipes_modules.localize.fits import mle
    from recipes_modules.localize.movie import Spots

    n = len(chunk.frames)
    lasting = np.nan_to_num(chunk.frames[[0, n // 2, n - 1]].min(axis=0))
    smooth = np.empty_like(lasting)
    neighbourhood(lasting, smooth)
    settings = Detection(
        threshold=beads.threshold, sigma=beads.sigma, debounce=beads.half, edge=min(beads.half, min(lasting.shape) // 4),
        noise_factor=camera.noise_factor,
    )  # fmt: skip
    rows, columns, scores = detect(lasting, smooth, variance[0], settings)
    best = np.sort(np.argsort(-scores, kind="stable")[:MOST])
    index = np.repeat(np.arange(n), len(best))
    none = np.empty((0, *lasting.shape), np.float32)
    spots = Spots(
        chunk.frames, none, variance, index, np.tile(rows[best], n), np.tile(columns[best], n), beads.half, beads.sigma, camera
    )  # fmt: skip
    found = mle(spots, {"model": "sigma"})
    kept = ("x", "y", "photons", "background", "sigma", "error_x", "error_y", "chi2", "A", "result_code")
    return {"frame": (index + chunk.first).astype(np.int32)} | {name: found[name] for name in kept}
