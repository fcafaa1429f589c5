"""Looking for spots alone: to choose the settings of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes_core.data import Figure, ImageStack, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_core.ports import Int, ListOf, Output
from recipes_modules.localize.base import SpotFinder, check_movie

SHOWN = 4
"""Frames that are looked at where none are chosen."""


class Detect(SpotFinder):
    """Finds spots in chosen frames and shows them, as a test of the settings before a whole movie is fitted (PYME's `Test`).

    Prints the camera's offset and the maps in use, and how many spots each frame has. Settings are those of the fits.
    """

    output_localizations = Output(
        Localizations, "spots", columns=("frame", "x", "y", "detection"),
        desc="places of the spots, not fitted; detection: height in units of noise",
    )  # fmt: skip
    output_figure = Output(Figure, "spots_on_frames", desc="the frames with circles around the spots")

    frames = ListOf(Int(0, low=0), (), unit="frame", desc=f"frames to look at; none: {SHOWN}, spread over the movie")

    def run(self, ctx: Context, input_image: ImageStack) -> dict[str, Any]:
        from recipes_modules.localize.compiling import told
        from recipes_modules.localize.scan import Scanner
        from recipes_modules.localize_figures import frame_figure

        check_movie(input_image, 1, self.start_at)
        camera = self.camera(ctx, input_image)
        chosen = self._chosen(input_image)
        scanner = Scanner(input_image, camera, self.window(input_image), self.detector(camera), self.percentile)
        parts, notes = [], []
        with told(ctx):
            for k, frame in enumerate(chosen):
                chunk = next(iter(scanner.chunks(frame, frame + 1)))
                parts.append((np.full(len(chunk.rows), frame, np.int32), chunk.rows, chunk.columns, chunk.scores))
                notes.append(f"{len(chunk.rows)} spots")
                ctx.say(f"frame {frame}: {len(chunk.rows)} spots")
                ctx.progress(k + 1, len(chosen))
        frame_of, rows, columns, scores = (np.concatenate(values) for values in zip(*parts, strict=True))
        size_x, size_y = camera.pixel_size
        spots = Localizations(
            {
                "frame": frame_of,
                "x": (columns * size_x).astype(np.float32),
                "y": (rows * size_y).astype(np.float32),
                "detection": scores,
            },
            metadata=camera.metadata(),
        )
        made: dict[str, Any] = {"output_localizations": spots}
        if ctx.wanted("output_figure"):
            detector = scanner.detection
            title = f"{detector.kind}, threshold {detector.threshold:g}: {len(spots)} spots in {len(chosen)} frames"
            shown = input_image.with_provenance(metadata={**input_image.metadata, **camera.metadata()})
            made["output_figure"] = frame_figure(shown, chosen, spots, title=title, notes=notes)
        return made

    def _chosen(self, movie: ImageStack) -> list[int]:
        beyond = [frame for frame in self.frames if frame >= movie.n_frames]
        if beyond:
            raise DataError(
                f"there is no frame {beyond[0]} in a movie of {movie.n_frames} frames.", code="D522", hint="Frames count from 0."
            )
        if self.frames:
            return list(dict.fromkeys(self.frames))
        return [int(frame) for frame in np.unique(np.linspace(self.start_at, movie.n_frames - 1, SHOWN).round())]
