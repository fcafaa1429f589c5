"""Drift from measured knots to a value for every frame, and drift files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, Drift, Figure
from recipes_core.module import Context, ModuleBase, WriterModule
from recipes_core.ports import FilePath, FilePaths, Float, Input, Output, Range, Str
from recipes_modules.drift_figures import drift_figure
from recipes_modules.smoothing import smoothing_spline

Floats = npt.NDArray[np.float64]

MOST_FRAMES = 2_000_000
"""A curve has at most this many points; over longer movies, one every few frames, linear between."""

_DEGREE = "degree of the spline's pieces; 1 is linear"
_SMOOTHING = "squared distances of the knots from the curve may add up to this many nm^2; 0 goes through every knot, below 0 one nm^2 a knot"


class Drift_Interpolate(ModuleBase):
    """Makes a smooth curve of a measured drift: one smoothing spline an axis.

    The spline is used between the first knot and the last. From there to the ends of the measured range (half a window on each
    side) its end slope goes on, beyond them the value is held: a spline's own continuation would run away. A drift that is known at
    every frame already passes as it is.
    """

    version = 1

    input_drift_raw = Input(Drift, "drift_raw", desc="measured drift")
    input_truth = Input(Drift, "", desc="known drift of a simulation, drawn for comparison")
    output_drift_interpolator = Output(Drift, "drift_interpolator", desc="one value a frame")
    output_drift_plot = Output(Figure, "drift_plot", desc="knots, curve and truth over frames")

    degree_of_spline = Range(1, 5, 3, desc=_DEGREE)
    smoothing_factor = Float(-1.0, desc=_SMOOTHING)

    def run(self, ctx: Context, input_drift_raw: Drift, input_truth: Drift | None) -> dict[str, Any]:
        curve = interpolate(input_drift_raw, self.degree_of_spline, self.smoothing_factor, ctx)
        made: dict[str, Any] = {"output_drift_interpolator": curve}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([input_drift_raw], curve, input_truth)
        return made


class Drift_Save(WriterModule):
    """Saves a drift as .npz: tIndex (frame) and drift (nm, to be added), as the drift plugin does."""

    version = 1
    suffix = ".npz"

    input_name = Input(Drift, "drift", desc="drift to save")
    output_dummy = Output(DataObject, "dummy", deprecated=True, desc="kept for old recipes, where every module had an output")

    save_path = Str("drift", desc="name of the file, relative to the output folder; .npz is added")


class Drift_Load(ModuleBase):
    """Reads a drift from a file."""

    version = 1

    input_dummy = Input(DataObject, "input", optional=True, desc="takes anything, uses nothing")
    output_drift_raw = Output(Drift, "drift_raw", desc="the drift in the file")
    output_drift_plot = Output(Figure, "drift_plot", desc="the drift over frames")

    load_path = FilePath("", desc="drift file (.npz), relative to the recipe file")

    def check(self) -> Iterator[str]:
        if not self.load_path:
            yield "load_path names no file"

    def run(self, ctx: Context, input_dummy: DataObject | None) -> dict[str, Any]:
        drift = ctx.open(self.load_path, kind=Drift)
        made: dict[str, Any] = {"output_drift_raw": drift}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([drift], title="Drift from a file")
        return made


class Drift_Load_Interpolate(ModuleBase):
    """Reads drifts from files, makes a smooth curve of each as `Drift_Interpolate` does, and adds the curves up.

    Several files are steps of one correction: a coarse drift, and what remained after it. A file that holds a value for every frame
    is used as it is.
    """

    version = 1

    input_dummy = Input(DataObject, "input", optional=True, desc="takes anything, uses nothing")
    output_drift_interpolator = Output(Drift, "drift_interpolator", desc="one value a frame")
    output_drift_plot = Output(Figure, "drift_plot", desc="knots and curve over frames")

    load_paths = FilePaths((), desc="drift files (.npz), relative to the recipe file")
    degree_of_spline = Range(1, 5, 3, desc=_DEGREE)
    smoothing_factor = Float(-1.0, desc=_SMOOTHING)

    def check(self) -> Iterator[str]:
        if not self.load_paths:
            yield "load_paths names no file"

    def run(self, ctx: Context, input_dummy: DataObject | None) -> dict[str, Any]:
        loaded = [ctx.open(path, kind=Drift) for path in self.load_paths]
        curve = total([interpolate(drift, self.degree_of_spline, self.smoothing_factor, ctx) for drift in loaded])
        made: dict[str, Any] = {"output_drift_interpolator": curve}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure(loaded, curve, title="Drift from a file")
        return made


def interpolate(drift: Drift, degree: int, smoothing: float, ctx: Context) -> Drift:
    """A drift with one value a frame of the measured range.

    Parameters
    ----------
    drift : Drift
        Knots; returned as it is where it is exact.
    degree : int
        Of the spline; lowered where there are too few knots for it.
    smoothing : float
        Bound on the sum of squared residuals an axis, nm^2; below 0 the number of knots (scipy's default).

    Returns
    -------
    Drift
        With ``exact=True``.
    """
    if drift.exact:
        return drift
    knots, values = drift.frames, drift.correction
    frames = _frames_between(*drift.measured, knots)
    possible = min(degree, len(knots) - 1)
    if possible < degree:
        ctx.say(
            f"{len(knots)} knots allow no spline of degree {degree}: "
            + (f"degree {possible}" if possible else "a constant")
            + " is used"
        )
    curve = np.empty((len(frames), 3))
    for axis in range(3):
        curve[:, axis] = _axis(knots, values[:, axis], frames, possible, smoothing) if possible else values[0, axis]
    return Drift(frames, curve, measured=drift.measured, exact=True, metadata=drift.metadata, history=drift.history)


def _frames_between(first: float, last: float, knots: Floats) -> Floats:
    low, high = math.ceil(first), math.floor(last)
    if high < low:
        return np.asarray(knots)
    step = max(1, math.ceil((high - low + 1) / MOST_FRAMES))
    frames = np.arange(low, high + 1, step, dtype=np.float64)
    return frames if frames[-1] == high else np.append(frames, float(high))


def _axis(knots: Floats, values: Floats, frames: Floats, degree: int, smoothing: float) -> Floats:
    if not np.any(values):
        return np.zeros(len(frames))
    # Frames are scaled to 0..1, where derivatives are of the size of the values.
    span = knots[-1] - knots[0]
    spline = smoothing_spline((knots - knots[0]) / span, values, degree, float(len(knots)) if smoothing < 0 else smoothing)
    at = (frames - knots[0]) / span
    result = np.asarray(spline(np.clip(at, 0.0, 1.0)), dtype=np.float64)
    slope = spline.derivative()
    for outside, end in ((at < 0.0, 0.0), (at > 1.0, 1.0)):
        result[outside] += float(slope(end)) * (at[outside] - end)
    return result


def total(drifts: Sequence[Drift]) -> Drift:
    """The sum of drifts over the range that any of them covers; each holds its end values outside of its own."""
    if len(drifts) == 1:
        return drifts[0]
    first = min(drift.measured[0] for drift in drifts)
    last = max(drift.measured[1] for drift in drifts)
    frames = np.unique(
        np.concatenate([_frames_between(first, last, drifts[0].frames), *(np.array(drift.measured) for drift in drifts)])
    )
    correction = np.sum([drift.at(frames) for drift in drifts], axis=0)
    return Drift(frames, correction, measured=(first, last), exact=True)
