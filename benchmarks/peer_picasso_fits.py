"""Picasso's tasks (picassosr 0.11) for `python -m benchmarks localize`, called as its users' scripts do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
from picasso import io, localize

BOX = 7
GRADIENT = 420
"""Its threshold, tuned on a movie of the same kind."""
CAMERA = {"Baseline": 100, "Sensitivity": 1 / 2.2, "Gain": 1, "Pixelsize": 100, "Qe": 1.0}
METHODS = {
    ("lsq", "sigma_xy"): "gausslq", ("lsq", "sigma"): "gausslq-spherical", ("mle", "sigma_xy"): "gaussmle",
    ("mle", "sigma"): "gaussmle-spherical",
}  # fmt: skip


def prepare(folder):
    """What all tasks share."""
    return {"folder": Path(folder)}


def _movie(shared, name):
    return io.load_movie(str(shared["folder"] / name))


def _workers(number):
    """It takes int(0.8 * processors) threads, which on two processors is one; more only by a change of its own function."""
    from picasso import lib

    lib.n_workers = lambda _: number
    localize._n_io_workers = lambda: number


def detect(shared):
    """Its spot finder on one thread."""
    movie, _ = _movie(shared, "short.tif")
    found = localize.identify(movie, GRADIENT, BOX, threaded=False, return_info=False)
    return {"count": len(movie), "spots": len(found)}


def fit(shared, method, model):
    """Cutting, fitting and building the table at given places, one thread."""
    movie, _ = _movie(shared, "short.tif")
    with np.load(shared["folder"] / "spots.npz") as file:
        half = BOX // 2
        inside = (file["x"] >= half) & (file["x"] < 256 - half) & (file["y"] >= half) & (file["y"] < 256 - half)
        places = {name: file[name][inside] for name in ("frame", "x", "y")}
    table = pd.DataFrame({**places, "net_gradient": np.full(len(places["x"]), 1000.0, np.float32)})
    cpu, start = time.process_time(), time.perf_counter()
    locs, _ = localize.fit(
        movie, camera_info=CAMERA, identifications=table, box=BOX, fitting_method=METHODS[method, model], multiprocess=False
    )
    return {"count": len(locs), "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def whole(shared, method, model, movie="short.tif", workers=0):
    """From the movie on disk to a table in memory."""
    if workers:
        _workers(workers)
    frames, info = _movie(shared, movie)
    locs, _ = localize.localize(
        frames, camera_info=CAMERA, identification_parameters={"Min. Net Gradient": GRADIENT, "Box Size": BOX}, movie_info=info,
        fitting_method=METHODS[method, model], threaded=True,
    )  # fmt: skip
    columns = {name: locs[name].to_numpy(float) for name in ("x", "y", "photons")}
    columns = {"frame": locs["frame"].to_numpy(), "x": columns["x"] * 100, "y": columns["y"] * 100, "photons": columns["photons"]}
    for axis in "xy":
        columns[f"error_{axis}"] = locs[f"lp{axis}"].to_numpy(float) * 100
    return {"count": len(locs), "columns": columns}


def read(shared, file):
    """A table that this project has written, read by Picasso's own reader."""
    locs, info = io.load_locs(file)
    columns = {"frame": locs["frame"].to_numpy(), "x": locs["x"].to_numpy(float) * 100, "y": locs["y"].to_numpy(float) * 100}
    pixel = next(float(part["Pixelsize"]) for part in info if "Pixelsize" in part)
    return {"count": len(locs), "pixel": pixel, "columns": columns | {"photons": locs["photons"].to_numpy(float)}}


def write(shared, file):
    """A table that Picasso writes."""
    movie, info = _movie(shared, "short.tif")
    found = localize.identify(movie, GRADIENT, BOX, frame_bounds=(0, 40), return_info=False)
    locs, more = localize.fit(movie, camera_info=CAMERA, identifications=found, box=BOX, fitting_method="gausslq")
    io.save_locs(file, locs, [*info, {**more, "Pixelsize": 100}] if isinstance(more, dict) else [*info, *more])
    columns = {name: locs[name].to_numpy(float) * scale for name, scale in (("x", 100), ("y", 100), ("photons", 1))}
    return {"count": len(locs), "columns": {"frame": locs["frame"].to_numpy(), **columns}}


TASKS = {"detect": detect, "fit": fit, "whole": whole, "read": read, "write": write}
