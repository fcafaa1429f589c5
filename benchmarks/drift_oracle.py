"""The limit of drift estimation: what an aligner reaches that knows where every molecule is.

It takes the precision-weighted mean displacement of each frame and smooths it optimally: Kalman filter and Rauch-Tung-Striebel smoother
of a random walk with the true step. Where the drift is no walk but smooth over many frames, another step allows a smaller error: `best`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from benchmarks.drift_data import Dataset

Floats = npt.NDArray[np.float64]

LEAP = 30.0
"""Steps of more than this many times the median are jumps, which the oracle is told."""


@njit(cache=True, nogil=True)
def smooth_walk(measured: Floats, variance: Floats, step: float) -> Floats:
    """Random walk through measurements of each frame (variance inf where there is none)."""
    n = len(measured)
    mean, spread = np.empty(n), np.empty(n)
    m, p = 0.0, 1e12
    for i in range(n):
        if np.isfinite(variance[i]):
            m += p / (p + variance[i]) * (measured[i] - m)
            p = p * variance[i] / (p + variance[i])
        mean[i], spread[i] = m, p
        p += step
    for i in range(n - 2, -1, -1):
        mean[i] += spread[i] / (spread[i] + step) * (mean[i + 1] - mean[i])
    return mean


def frame_means(data: Dataset, axis: int) -> tuple[Floats, Floats]:
    """Precision-weighted mean displacement of each frame along an axis, and its variance (inf where the frame is empty)."""
    name = "xyz"[axis]
    n = len(data.moved)
    error = data.locs[f"error_{name}"].astype(float)
    weight = error**-2.0
    shift = data.locs[name].astype(float) - data.molecules[:, axis]
    total = np.bincount(data.locs["frame"], weight, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.bincount(data.locs["frame"], weight * shift, n) / total), 1 / total


def oracle(data: Dataset, *, best: bool = False) -> dict[str, float]:
    """Offset-free root mean square error along each axis that drifts, nm.

    Parameters
    ----------
    best : bool
        With the step that gives the smallest error; else with the true one.
    """
    errors = {}
    for axis, name in enumerate(data.axes):
        measured, variance = frame_means(data, axis)
        truth = data.moved[:, axis]
        steps = np.diff(truth, prepend=truth[0])
        leaps = np.cumsum(np.where(np.abs(steps) > LEAP * np.median(np.abs(steps)), steps, 0.0))
        step = float(np.mean(np.diff(truth - leaps) ** 2))
        grid = step * 10.0 ** np.arange(-6, 2.01, 0.25) if best else [step]
        errors[name] = min(float(np.std(smooth_walk(measured - leaps, variance, q) + leaps - truth)) for q in grid)
    return errors


def limit(data: Dataset) -> dict[str, float]:
    """`oracle` with the true step; where the drift is a line, `line`: a line has no step."""
    frames = np.arange(len(data.moved))
    straight = all(np.ptp(path - np.polynomial.Polynomial.fit(frames, path, 1)(frames)) < 1e-6 for path in data.moved.T)
    return line(data) if straight else oracle(data)


def line(data: Dataset) -> dict[str, float]:
    """The same for an aligner that is also told that the drift is linear."""
    errors = {}
    frames = np.arange(len(data.moved))
    for axis, name in enumerate(data.axes):
        measured, variance = frame_means(data, axis)
        fit = np.polynomial.Polynomial.fit(frames, measured, 1, w=1 / np.sqrt(variance))
        errors[name] = float(np.std(fit(frames) - data.moved[:, axis]))
    return errors


if __name__ == "__main__":
    import sys

    from benchmarks.drift_data import MAKERS, describe, load

    for dataset in sys.argv[1:] or MAKERS:
        data = load(dataset)
        print(describe(data))
        for what, found in (("true step", oracle(data)), ("best step", oracle(data, best=True)), ("line", line(data))):
            print(f"    {what:10}", "  ".join(f"{name} {value:.3f}" for name, value in found.items()), flush=True)
