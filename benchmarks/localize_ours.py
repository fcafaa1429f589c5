"""Tasks of this project for `python -m benchmarks localize`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import ImageStack, Localizations
from recipes_core.module import Context

PSF = 130.0
LONGER = 6
WANTED = ("output_localizations",)


def prepare(folder: str) -> dict[str, Any]:
    """What all tasks share."""
    return {"folder": Path(folder)}


def _movie(shared: dict[str, Any], name: str) -> ImageStack:
    return ImageStack.load(shared["folder"] / name)


def _fit(name: str, **settings: Any) -> Any:
    import recipes_modules

    return getattr(recipes_modules, name)(psf_sigma_guess=PSF, **settings)


def detect(shared: dict[str, Any], fit: str, **settings: Any) -> dict[str, Any]:
    """Reading, photoelectrons, noise, background and detection of the movie on one thread."""
    movie = _movie(shared, "short.tif")
    job = _fit(fit, **settings).job(Context("detect"), movie)
    spots = sum(len(chunk.index) for chunk in job.scanner.chunks(0, movie.n_frames))
    return {"count": movie.n_frames, "spots": spots}


def _prepared_spots(shared: dict[str, Any], half: int) -> list[Any]:
    """Frames in photoelectrons and the spots in them, as the fits get them."""
    from recipes_modules.localize.movie import Spots

    key = f"spots{half}"
    if key not in shared:
        job = _fit("GaussMLE").job(Context("fit"), _movie(shared, "short.tif"))
        none, variance = np.empty((0, *job.scanner.shape), np.float32), job.scanner.variance[None]
        shared[key] = [
            Spots(chunk.frames.copy(), none, variance, chunk.index, chunk.rows, chunk.columns, half, job.sigma, job.camera)
            for chunk in job.scanner.chunks(0, job.stack.n_frames)
        ]
    return list(shared[key])


def fit(shared: dict[str, Any], method: str, model: str, half: int = 3, spread: float | None = None) -> dict[str, Any]:
    """Cutting, fitting and building columns, one thread."""
    from recipes_modules.localize import fits

    spots, make = _prepared_spots(shared, half), getattr(fits, method)
    settings = {"model": model} if spread is None else {"model": model, "spread": spread}
    cpu, start = time.process_time(), time.perf_counter()
    made = sum(len(make(part, settings)["x"]) for part in spots)
    return {"count": made, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def spots(shared: dict[str, Any]) -> dict[str, Any]:
    """Places of all spots, for programs that fit at given places."""
    parts = _prepared_spots(shared, 3)
    steps = np.cumsum([0, *(len(part.frames) for part in parts)])
    return {
        "columns": {
            "frame": np.concatenate([part.index + first for part, first in zip(parts, steps, strict=False)]),
            "x": np.concatenate([part.pixels[1] for part in parts]),
            "y": np.concatenate([part.pixels[0] for part in parts]),
        }
    }


def whole(shared: dict[str, Any], fit: str, threads: int, movie: str = "short.tif", **settings: Any) -> dict[str, Any]:
    """From the movie on disk to a table in memory."""
    stack = _movie(shared, movie)
    table = _fit(fit, **settings).apply(stack, ctx=Context("fit", n_threads=threads, wanted=WANTED))["output_localizations"]
    good = table.finite_rows("x", "y")
    if "result_code" in table:
        good &= np.asarray(table["result_code"]) > 0
    names = [name for name in ("frame", "x", "y", "photons", "error_x", "error_y") if name in table]
    return {"count": len(table), "columns": {name: np.asarray(table[name])[good] for name in names}}


def recipe(shared: dict[str, Any], fit: str, movie: str) -> dict[str, Any]:
    """A recipe from file to file, as `recipe run` does it; for its memory."""
    from recipes_core import Recipe

    text = f"recipe: 1\ninputs:\n  movie: {{type: ImageStack}}\nmodules:\n  - {fit}: {{input_image: movie, output_localizations: locs}}\n"
    made = Recipe.from_yaml(text)
    made.load_inputs({"movie": shared["folder"] / movie})
    made.execute()
    saved = made["locs"].save(shared["folder"] / "recipe.hdf")
    return {"count": len(made["locs"]), "file": str(saved)}


def write_picasso(shared: dict[str, Any]) -> dict[str, Any]:
    """A table as Picasso's .hdf5 with its .yaml, and the same numbers beside it."""
    table = _fit("GaussMLE").apply(_movie(shared, "short.tif"), ctx=Context("fit", wanted=WANTED))["output_localizations"]
    table.save(shared["folder"] / "ours.hdf5")
    return {"count": len(table), "columns": {name: np.asarray(table[name]) for name in ("frame", "x", "y", "photons")}}


def read_picasso(shared: dict[str, Any], file: str) -> dict[str, Any]:
    """A table that Picasso has written."""
    table = Localizations.load(file)
    return {"count": len(table), "columns": {name: np.asarray(table[name]) for name in ("frame", "x", "y", "photons")}}


def dense(shared: dict[str, Any], movie: str, truth: str, fit: str, **settings: Any) -> dict[str, Any]:
    """The dense movie of Deep-STORM's tutorial: Jaccard index, error per axis, frames a second on one thread."""
    import csv

    from recipes_modules import Evaluate_Localizations

    stack = ImageStack.load(movie)
    camera = {
        "Camera.ADOffset": 0.0, "Camera.ElectronsPerCount": 1.0, "Camera.ReadNoise": 0.0, "Camera.NoiseFactor": 1.0,
        "Camera.TrueEMGain": 1.0, "voxelsize.x": 0.1, "voxelsize.y": 0.1,
    }  # fmt: skip
    stack = stack.with_provenance(metadata={**stack.metadata, **camera})
    with Path(truth).open() as file:
        rows = list(csv.DictReader(file))
    names = {name.strip().lower(): name for name in rows[0]}
    frame = np.array([float(row[names["frame"]]) for row in rows])
    # Deep-STORM counts frames from 1 and measures from the corner of the first pixel.
    x, y = (np.array([float(row[names[axis]]) for row in rows]) - 50.0 for axis in ("x [nm]", "y [nm]"))
    true = Localizations({"frame": (frame - frame.min()).astype(int), "x": x, "y": y}, metadata=camera)
    module = _fit(fit, **settings)
    module.psf_sigma_guess = 110.0
    module.apply(stack, ctx=Context("dense", n_threads=1, wanted=WANTED))
    cpu, start = time.process_time(), time.perf_counter()
    found = module.apply(stack, ctx=Context("dense", n_threads=1, wanted=WANTED))["output_localizations"]
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - start
    scores = Evaluate_Localizations().apply(found, true, ctx=Context("scores", wanted=["output_scores"]))["output_scores"].values
    # What is learnt at the start counts once: the rate of a long movie is that of the frames that more of them add.
    several = ImageStack(np.concatenate([stack.asarray()] * LONGER), metadata=stack.metadata)
    start = time.perf_counter()
    module.apply(several, ctx=Context("dense", n_threads=1, wanted=WANTED))
    longer = (LONGER - 1) * stack.n_frames / (time.perf_counter() - start - seconds)
    kept = {name: float(scores[name]) for name in ("jaccard", "recall", "precision", "rmse_per_axis")}
    return {"count": stack.n_frames, "cpu": cpu, "seconds": seconds, "longer": longer, **kept}


TASKS = {
    "detect": detect, "fit": fit, "spots": spots, "whole": whole, "recipe": recipe, "write_picasso": write_picasso,
    "read_picasso": read_picasso, "dense": dense,
}  # fmt: skip
