"""Time of `Locs_RCC` against `benchmarks.plain_rcc`, on the same localizations with the same settings, in turn."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.plain_rcc import plain_rcc
from recipes_core.data import Drift, Localizations
from recipes_core.module import available_threads
from recipes_modules.drift_rcc import Locs_RCC
from recipes_modules.simulate import Locs_Simulate

SETTINGS = {"step": 500, "window": 500, "corr_window": 10, "binsize": 30.0}


def simulated() -> tuple[Localizations, Drift]:
    """One million localizations in 40 000 frames over 20 x 20 um, and the correction that undoes their drift."""
    made = Locs_Simulate(n_localizations=1_000_000, n_frames=40_000, field=20.0, n_filaments=150).apply(seed=0)
    return made["output_localizations"], made["output_drift"]


def error(frames: Any, correction: Any, truth: Drift) -> list[float]:
    """Root mean square error of knots along x and y, mean removed, nm."""
    return [round(float(value), 2) for value in np.std(np.asarray(correction)[:, :2] - truth.at(frames)[:, :2], axis=0)]


def measure(repeats: int = 5) -> dict[str, Any]:
    """Run both in turn; print and return times (s), their ratio, and the errors of both."""
    table, truth = simulated()
    # The plain version gets its columns ready made: double precision, in the order of frames.
    columns = (table["x"].astype(np.float64), table["y"].astype(np.float64), table["frame"].astype(np.int64))
    module = Locs_RCC(flatten_z=True, **SETTINGS)

    def project() -> tuple[Any, Any]:
        drift = module.apply(table)["output_drift"]
        return drift.frames, drift.correction

    def plain() -> tuple[Any, Any]:
        with threadpool_limits(1):
            return plain_rcc(*columns, **SETTINGS)

    start = time.perf_counter()
    project()
    first = time.perf_counter() - start
    times: dict[str, list[float]] = {"project": [], "plain": []}
    errors = {}
    for _ in range(repeats):
        for name, call in (("project", project), ("plain", plain)):
            start = time.perf_counter()
            knots = call()
            times[name].append(time.perf_counter() - start)
            errors[name] = error(*knots, truth)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["plain"] / medians["project"]
    print(f"{len(table):,} localizations, {SETTINGS}, {available_threads()} processors")
    print(f"first call, with loading or compiling of compiled code: {first:.2f} s")
    for name, values in times.items():
        told = " ".join(f"{value:.2f}" for value in values)
        print(f"{name:8} median {medians[name]:.2f} s   ({told})   error of knots {errors[name][0]} and {errors[name][1]} nm")
    print(f"plain / project = {ratio:.2f}")
    return {"settings": SETTINGS, "times": times, "first_call": first, "ratio": ratio, "errors": errors}
