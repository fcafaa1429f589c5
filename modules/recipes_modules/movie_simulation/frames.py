"""Blocks of frames, each made by one thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 32
"""Frames that one thread makes at a time."""


@dataclass
class Frames:
    """Makes the frames of one block.

    Parameters
    ----------
    movie : array (t, 1, y, x) uint16
        Receives the counts.
    truth : dict of array (n,)
        What shines, sorted by frame.
    bounds : array (t + 1,)
        Row of the truth at which each frame begins.
    spots : callable
        Adds the spots of some rows to an image.
    exposure : dict
        background and what `expose` takes besides.
    sequence : SeedSequence
        Each frame draws from a sequence of its own that follows from it, so that blocks and threads leave no trace.
    dark_frames : int
    """

    movie: npt.NDArray[np.uint16]
    truth: dict[str, npt.NDArray[Any]]
    bounds: npt.NDArray[np.int64]
    spots: Callable[[Any, dict[str, Any]], None]
    exposure: dict[str, Any]
    sequence: np.random.SeedSequence
    dark_frames: int

    def __post_init__(self) -> None:
        from recipes_modules.movie_simulation.exposure import poisson_table

        self.tables = {True: poisson_table(0.0), False: poisson_table(self.exposure.pop("background"))}

    def __call__(self, start: int) -> int:
        """Make the frames of the block that begins with `start`; how many pixels are at the full scale."""
        from recipes_modules.movie_simulation.exposure import expose

        stop = min(start + BLOCK, len(self.movie))
        full = 0
        signal = np.zeros(self.movie.shape[2:])
        for frame in range(start, stop):
            rows = slice(self.bounds[frame], self.bounds[frame + 1])
            signal[:] = 0.0
            self.spots(signal, {name: self.truth[name][rows] for name in ("x", "y", "z", "photons", "sigma_x", "sigma_y")})
            seed = np.random.SeedSequence(self.sequence.entropy, spawn_key=(frame,))
            rng = np.random.Generator(np.random.SFC64(seed))
            first, cumulative, guide = self.tables[frame < self.dark_frames]
            full += expose(rng, signal, first, cumulative, guide, out=self.movie[frame, 0], **self.exposure)
        return full
