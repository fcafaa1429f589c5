"""Fiducial markers in a movie: bright spots that stay; they are found in every stretch of frames and fitted in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_modules.localize.camera import Camera

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

MOST = 20
"""More in a frame are not followed; the brightest are."""
STRETCH = 64
"""Frames in which beads stay where they were found: drift is slow, and few molecules shine for so long."""
LOOKS = 7
"""Frames of a stretch in which beads are looked for."""


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


@dataclass(frozen=True)
class Stretch:
    """Some frames, and where in them beads were found.

    Attributes
    ----------
    first, stop : int
        Frames.
    rows, columns : array (n,)
        Pixels.
    """

    first: int
    stop: int
    rows: Floats
    columns: Floats


def find(stack: ImageStack, span: tuple[int, int], reach: int, variance: Floats, camera: Camera, beads: Beads) -> list[Stretch]:
    """Where beads are, stretch by stretch of a block of frames.

    Parameters
    ----------
    stack : ImageStack
    span : (first, stop)
        The block.
    reach : int
        First frame that may be looked at; a short stretch looks back so far.
    variance : array (1, y, x)
    camera : Camera
    beads : Beads
    """
    found = []
    for first in range(*span, STRETCH):
        stop = min(first + STRETCH, span[1])
        looked = np.unique(np.linspace(min(first, max(reach, stop - STRETCH)), stop - 1, LOOKS).round().astype(int))
        images = np.stack([camera.to_electrons(stack.frames(int(frame), int(frame) + 1)[0, 0]) for frame in looked])
        found.append(Stretch(first, stop, *_lasting(images, variance, camera, beads)))
    return found


def _lasting(images: Floats, variance: Floats, camera: Camera, beads: Beads) -> tuple[Floats, Floats]:
    """Spots that are there in all of the images but one: that one may be dark, and molecules that blink are lost."""
    from recipes_modules.localize.background import neighbourhood
    from recipes_modules.localize.detection import Detection, detect

    # Pixels without a number say nothing against a bead.
    images[~np.isfinite(images)] = np.inf
    rank = 1 if len(images) == LOOKS else 0
    lasting = np.ascontiguousarray(np.partition(images, rank, axis=0)[rank])
    lasting[~np.isfinite(lasting)] = 0
    smooth = np.empty_like(lasting)
    neighbourhood(lasting, smooth)
    settings = Detection(
        threshold=beads.threshold, sigma=beads.sigma, debounce=beads.half, edge=min(beads.half, min(lasting.shape) // 4),
        noise_factor=camera.noise_factor,
    )  # fmt: skip
    rows, columns, scores = detect(lasting, smooth, variance[0], settings)
    best = np.sort(np.argsort(-scores, kind="stable")[:MOST])
    return rows[best], columns[best]


def track(chunk: Any, stretches: Sequence[Stretch], variance: Floats, camera: Camera, beads: Beads) -> dict[str, Array]:
    """Fit the beads in the frames of a chunk."""
    from recipes_modules.localize.fits import mle
    from recipes_modules.localize.movie import Spots

    n = len(chunk.frames)
    index, rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for part in stretches:
        frames = np.arange(max(part.first - chunk.first, 0), min(part.stop - chunk.first, n))
        index.append(np.repeat(frames, len(part.rows)))
        rows.append(np.tile(part.rows, len(frames)))
        columns.append(np.tile(part.columns, len(frames)))
    frame = np.concatenate(index)
    none = np.empty((0, *chunk.frames.shape[1:]), np.float32)
    spots = Spots(
        chunk.frames, none, variance, frame, np.concatenate(rows), np.concatenate(columns), beads.half, beads.sigma, camera
    )  # fmt: skip
    found = mle(spots, {"model": "sigma"})
    kept = ("x", "y", "photons", "background", "sigma", "error_x", "error_y", "chi2", "A", "result_code")
    return {"frame": (frame + chunk.first).astype(np.int32)} | {name: found[name] for name in kept}
