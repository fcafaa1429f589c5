"""Memory and scratch of an image series' drift correction, 200 frames of 2048 x 2048 pixels.

The series is computed frame by frame, so that what is measured is what the modules hold. The work runs in a process of its own, whose
anonymous memory is read from outside; a second one is interrupted half-way, as by Ctrl-C.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import ImageStack
from recipes_core.module import Context
from recipes_modules.drift_apply import Image_Post_Shift
from recipes_modules.drift_curve import Drift_Interpolate
from recipes_modules.drift_rcc import Image_RCC
from recipes_modules.image_prepare import Image_Pre_Clip_Filter

N_FRAMES, SIZE, PIXEL = 200, 2048, 100.0
BOUND = 1500.0
"""What the anonymous memory has to stay under, MB."""


class DriftingSpots:
    """A frame source: spots on a noisy background, moved by a smooth drift."""

    def __init__(self, n_frames: int = N_FRAMES, size: int = SIZE, n_spots: int = 4000) -> None:
        rng = np.random.default_rng(0)
        self.shape = (n_frames, 1, size, size)
        self.dtype = np.dtype(np.uint16)
        self._spots = rng.uniform(0, size, (n_spots, 2))
        self._height = rng.uniform(100, 1000, n_spots)
        t = np.arange(n_frames) / n_frames
        self.motion = np.column_stack([12 * t + 3 * np.sin(6 * t), -8 * t + 2 * np.cos(5 * t)])
        """Position (x, y) of the sample in each frame, pixels."""

    def read(self, start: int, stop: int) -> np.ndarray:
        return np.stack([self._frame(frame) for frame in range(start, stop)])[:, np.newaxis]

    def _frame(self, frame: int, radius: int = 4, width: float = 1.3) -> np.ndarray:
        size = self.shape[2]
        rng = np.random.default_rng([1, frame])
        image = 100 + 5 * rng.standard_normal((size, size), dtype=np.float32)
        x, y = (self._spots + self.motion[frame]).T
        around = np.arange(-radius, radius + 1)
        column, row = (np.rint(value).astype(int)[:, np.newaxis] + around for value in (x, y))
        profile_x, profile_y = (
            np.exp(-((index - value[:, np.newaxis]) ** 2) / (2 * width**2)) for index, value in ((column, x), (row, y))
        )
        spots = self._height[:, np.newaxis, np.newaxis] * profile_y[:, :, np.newaxis] * profile_x[:, np.newaxis, :]
        inside = ((column >= 0) & (column < size))[:, np.newaxis, :] & ((row >= 0) & (row < size))[:, :, np.newaxis]
        rows, columns = np.broadcast_arrays(row[:, :, np.newaxis], column[:, np.newaxis, :])
        np.add.at(image, (rows[inside], columns[inside]), spots[inside])
        return np.clip(image, 0, 65535).astype(np.uint16)


def work() -> None:
    """What the measured process does: the chain, then the error of the drift that it found, printed."""
    source = DriftingSpots()
    stack = ImageStack(source, metadata={"voxelsize.x": PIXEL / 1000, "voxelsize.y": PIXEL / 1000})

    def context(step: str) -> Context:
        print("step", step, f"{time.time():.2f}", flush=True)
        return Context(step, wanted=("output_drift", "output_drift_interpolator"))

    clipped = Image_Pre_Clip_Filter(threshold_lower=130).apply(stack, ctx=context("Image_Pre_Clip&Filter"))["output_name"]
    drift = Image_RCC(corr_window=5).apply(clipped, ctx=context("Image_RCC"))["output_drift"]
    curve = Drift_Interpolate(smoothing_factor=0).apply(drift, ctx=context("Drift_Interpolate"))["output_drift_interpolator"]
    corrected = Image_Post_Shift().apply(stack, curve, ctx=context("Image_Post_Shift"))["outputName"]
    print("step", "end", f"{time.time():.2f}")
    error = np.std(drift.correction[:, :2] / PIXEL + source.motion, axis=0)
    print("error", f"{error[0]:.4f}", f"{error[1]:.4f}", "shape", *corrected.shape)


def watch(scratch: Path, *, interrupt_after: float | None = None) -> dict[str, Any]:
    """Run `work` in a new process; peak of its anonymous memory, and what is left in the scratch folder.

    Parameters
    ----------
    scratch : path
        Folder that the process takes for scratch.
    interrupt_after : float, optional
        Send SIGINT so many seconds after the drift began to be measured.
    """
    command = [sys.executable, "-m", "benchmarks.image_memory", "--work"]
    environment = {**os.environ, "RECIPES_SCRATCH": str(scratch)}
    output = scratch.parent / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.DEVNULL)
        peak, seen, began = 0.0, 0, None
        while process.poll() is None:
            peak = max(peak, anonymous_megabytes(process.pid))
            seen = max(seen, open_scratch(process.pid, scratch))
            if interrupt_after is not None:
                if began is None and "step Image_RCC" in output.read_text():
                    began = time.monotonic()
                if began is not None and time.monotonic() - began > interrupt_after:
                    process.send_signal(signal.SIGINT)
                    interrupt_after = None
            time.sleep(0.02)
    lines = [line.split() for line in output.read_text().splitlines()]
    steps = [(line[1], float(line[2])) for line in lines if line[0] == "step"]
    return {
        "exit": process.returncode,
        "peak_anonymous_MB": round(peak, 1),
        "scratch_files_seen_open": seen,
        "left_in_scratch": sorted(path.name for path in scratch.iterdir()),
        "seconds": {name: round(later - begin, 1) for (name, begin), (_, later) in itertools.pairwise(steps)},
        "drift_error_px": [float(value) for line in lines if line[0] == "error" for value in line[1:3]],
    }


def anonymous_megabytes(process: int) -> float:
    """Anonymous resident memory of a process; file-backed pages, which the system may drop at any time, do not count."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return 0.0


def open_scratch(process: int, folder: Path) -> int:
    """Files in a folder, with or without a name there, that a process has mapped."""
    try:
        maps = Path(f"/proc/{process}/maps").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return len({line.split()[4] for line in maps if str(folder) in line})


def measure(repeats: int = 1) -> dict[str, Any]:
    """One run to the end and one that is interrupted; print and return memory and what is left."""
    if not Path("/proc/self/status").exists():
        raise SystemExit("image_memory reads /proc, which this system does not have")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        whole = watch(scratch)
        interrupted = watch(scratch, interrupt_after=2.0)
    print(
        f"{N_FRAMES} frames of {SIZE} x {SIZE}: anonymous memory peaks at {whole['peak_anonymous_MB']:.0f} MB (bound {BOUND:.0f})"
    )
    print("seconds:", ", ".join(f"{name} {seconds}" for name, seconds in whole["seconds"].items()))
    print(f"error of the drift along x and y: {whole['drift_error_px']} px")
    for name, run in (("whole run", whole), ("interrupted run", interrupted)):
        print(
            f"{name}: exit {run['exit']}, {run['scratch_files_seen_open']} scratch files in use, "
            f"{len(run['left_in_scratch'])} left behind"
        )
    return {"bound_MB": BOUND, "whole": whole, "interrupted": interrupted}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", action="store_true")
    if parser.parse_args().work:
        work()
