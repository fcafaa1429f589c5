"""The movie that every program localizes, and the truth beside it; made by this project's simulator, kept for one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PIXEL = 100.0
SIGMA = 1.3
PHOTONS, BACKGROUND, READ_NOISE, ELECTRONS_PER_COUNT, OFFSET = 1000.0, 20.0, 1.5, 1 / 2.2, 100.0
SHORT, LONG, TINY = 600, 2400, 20
"""Frames of the movie, of the long one, and of the one for the first use."""


def make(folder: Path, frames: int = LONG) -> None:
    """Write ``long.tif``, ``short.tif`` and ``tiny.tif`` (its first frames) and ``truth.npz`` into a folder."""
    import tifffile

    from recipes_core.module import Context
    from recipes_modules import Movie_Simulate

    simulation = Movie_Simulate(
        n_frames=frames, size=(256, 256), pixel_size=PIXEL, emitters_per_frame=50.0, photons=PHOTONS, background=BACKGROUND,
        psf_sigma=SIGMA * PIXEL, read_noise=READ_NOISE, electrons_per_count=ELECTRONS_PER_COUNT, offset=OFFSET,
    )  # fmt: skip
    made = simulation.apply(ctx=Context("movie", seed=11))
    movie, truth = made["output_image"], made["output_localizations"]
    # Plain, as cameras' own programs write them; every program reads these.
    camera = movie.metadata | {"Camera.ElectronsPerCount": ELECTRONS_PER_COUNT}
    for name, end in (("long", frames), ("short", min(SHORT, frames)), ("tiny", min(TINY, frames))):
        tifffile.imwrite(folder / f"{name}.tif", movie.frames(0, end)[:, 0], photometric="minisblack")
        (folder / f"{name}.json").write_text(json.dumps(camera))
    np.savez(folder / "truth.npz", **{name: truth[name] for name in truth.columns})


def truth(folder: Path, n_frames: int) -> Any:
    """The truth of the first frames as a table."""
    from recipes_core.data import Localizations

    with np.load(folder / "truth.npz") as file:
        kept = file["frame"] < n_frames
        columns = {name: file[name][kept] for name in file.files}
    metadata = {
        "voxelsize.x": PIXEL / 1000, "voxelsize.y": PIXEL / 1000, "Camera.ADOffset": OFFSET,
        "Camera.ElectronsPerCount": ELECTRONS_PER_COUNT, "Camera.ReadNoise": READ_NOISE, "Camera.TrueEMGain": 1.0,
        "Camera.NoiseFactor": 1.0,
    }  # fmt: skip
    edge = 256 * PIXEL - PIXEL / 2
    bounds = {"ImageBounds.x0": -PIXEL / 2, "ImageBounds.y0": -PIXEL / 2, "ImageBounds.x1": edge, "ImageBounds.y1": edge}
    return Localizations(columns, metadata=metadata | bounds)


def judge(found: dict[str, npt.NDArray[Any]], true: Any, half: int, widths: int) -> dict[str, float]:
    """Scores of positions in nm against the truth; all emitters count.

    The bound is that of a fit of `widths` widths that sees ``2 half + 1`` pixels a side.
    """
    from recipes_core.data import Localizations
    from recipes_core.module import Context
    from recipes_modules import Evaluate_Localizations

    table = Localizations(found, metadata=true.metadata)
    judged = Evaluate_Localizations(bound_half_size=half, bound_widths=widths)
    scores = judged.apply(table, true, ctx=Context("scores", wanted=["output_scores"]))["output_scores"]
    return {name: float(value) for name, value in scores.values.items() if isinstance(value, (int, float))}
