"""PYME's tasks (python-microscopy) for `python -m benchmarks localize`: its spot finder and LatGaussFitFR, frame by frame.

Background is the mean of the 30 frames before, the noise map that of its camera model, as its own task does.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import tifffile

warnings.simplefilter("ignore")

from PYME.IO.MetaDataHandler import DictMDHandler  # noqa: E402
from PYME.localization import ofind  # noqa: E402
from PYME.localization.FitFactories import LatGaussFitFR  # noqa: E402

THRESHOLD = 0.9
"""Tuned on a movie of the same kind."""
OFFSET, ELECTRONS, READ_NOISE = 100.0, 1 / 2.2, 1.5
FRAMES = 100


def prepare(folder):
    """What all tasks share."""
    metadata = DictMDHandler({
        "voxelsize.x": 0.1, "voxelsize.y": 0.1, "voxelsize.z": 0.2, "voxelsize.units": "um", "Camera.ADOffset": OFFSET,
        "Camera.ElectronsPerCount": ELECTRONS, "Camera.ReadNoise": READ_NOISE, "Camera.NoiseFactor": 1.0, "Camera.TrueEMGain": 1.0,
        "Analysis.ROISize": 5, "Analysis.PSFSigmaGuess": 130.0, "Analysis.subtractBackground": True, "tIndex": 0,
    })  # fmt: skip
    return {"folder": Path(folder), "metadata": metadata}


def _prepared(frames, frame):
    """A frame in counts (x, y, 1), its noise and its background."""
    data = frames[frame].astype(np.float32) - OFFSET
    noise = np.sqrt(READ_NOISE**2 + ELECTRONS * np.maximum(data, 1) + 1) / ELECTRONS
    before = frames[max(frame - 30, 0) : frame]
    background = before.mean(axis=0) - OFFSET if len(before) else np.zeros_like(data)
    return [np.ascontiguousarray(image.T[:, :, None], dtype=np.float32) for image in (data, noise, background)]


def _find(data, noise, background):
    finder = ofind.ObjectIdentifier(np.maximum(data - background, 0), filterRadiusLowpass=1.0, filterRadiusHighpass=3.0)
    finder.FindObjects(THRESHOLD * noise.squeeze(), 0, splitter=None, debounceRadius=4)
    return list(finder)


def detect(shared):
    """Noise map, background and spot finder."""
    frames = tifffile.imread(shared["folder"] / "short.tif")
    cpu, start = time.process_time(), time.perf_counter()
    spots = sum(len(_find(*_prepared(frames, frame))) for frame in range(FRAMES))
    return {"count": FRAMES, "spots": spots, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def _fitted(shared, data, noise, background, places):
    factory = LatGaussFitFR.FitFactory(data, shared["metadata"], background=background, noiseSigma=noise)
    return [factory.FromPoint(place.x, place.y) for place in places]


def fit(shared):
    """Fits at its own places, 11 x 11 pixels."""
    frames = tifffile.imread(shared["folder"] / "short.tif")
    ready = [_prepared(frames, frame) for frame in range(20)]
    places = [_find(*images) for images in ready]
    cpu, start = time.process_time(), time.perf_counter()
    made = sum(len(_fitted(shared, *images, here)) for images, here in zip(ready, places, strict=True))
    return {"count": made, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def whole(shared, frames=FRAMES):
    """From the movie on disk to positions, on one thread."""
    movie = tifffile.imread(shared["folder"] / "short.tif")
    columns = {name: [] for name in ("frame", "x", "y", "error_x", "error_y")}
    for frame in range(frames):
        images = _prepared(movie, frame)
        for row in _fitted(shared, *images, _find(*images)):
            row = np.atleast_1d(row)[0]
            columns["frame"].append(frame)
            for axis in "xy":
                columns[axis].append(float(row["fitResults"][f"{axis}0"]))
                columns[f"error_{axis}"].append(float(row["fitError"][f"{axis}0"]))
    return {"count": len(columns["frame"]), "columns": {name: np.array(values) for name, values in columns.items()}}


TASKS = {"detect": detect, "fit": fit, "whole": whole}
