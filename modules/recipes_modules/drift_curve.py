"""Drift from measured knots to a value for every frame, and drift files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recipes_core.data import DataObject, Drift, Figure
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase, WriterModule
from recipes_core.ports import Choice, FilePath, FilePaths, Float, Input, Output, Range, Str
from recipes_modules.curves import METHODS, interpolate, mean, total
from recipes_modules.drift_figures import drift_figure, path_figure

_DEGREE = "degree of the spline's pieces; 1 is linear"
_METHOD = (
    "spline: with the smoothing_factor below; linear: straight from knot to knot; smooth: a smoothing spline whose strength is chosen "
    "by cross-validation, for which knots count by their errors"
)
_PIXEL = "pixel, for Picasso's .txt, which counts in pixels; 0: what the file says, or ?pixel_size=130 behind its name"
_SMOOTHING = "squared distances of the knots from the curve may add up to this many nm^2; 0 goes through every knot, below 0 one nm^2 a knot"


class Drift_Interpolate(ModuleBase):
    """Makes a curve of a measured drift: one smoothing spline an axis.

    The curve is used between the first knot and the last. From there to the ends of the measured range (half a window on each
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
    method = Choice(METHODS, "spline", desc=_METHOD)

    def run(self, ctx: Context, input_drift_raw: Drift, input_truth: Drift | None) -> dict[str, Any]:
        curve = interpolate(input_drift_raw, self.degree_of_spline, self.smoothing_factor, ctx, self.method)
        made: dict[str, Any] = {"output_drift_interpolator": curve}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([input_drift_raw], curve, input_truth)
        return made


class Drift_Save(WriterModule):
    """Saves a drift, in the format that the name's ending says.

    - .npz: tIndex (frame) and drift (nm, to be added), as the drift plugin does
    - .csv: frame, correction to add along x, y and z in nm, and their standard errors
    - .txt: for Picasso: a row for each frame from 0, in pixels (z in nm), with the sign that Picasso subtracts

    Each holds how the drift was made: module and parameters of every step.
    """

    version = 1
    suffix = ".npz"

    input_name = Input(Drift, "drift", desc="drift to save")
    output_dummy = Output(DataObject, "dummy", deprecated=True, desc="kept for old recipes, where every module had an output")

    save_path = Str("drift", desc="name of the file, relative to the output folder; .npz is added where it has no ending")


class Drift_Load(ModuleBase):
    """Reads a drift from a file."""

    version = 1

    input_dummy = Input(DataObject, "input", optional=True, desc="takes anything, uses nothing")
    output_drift_raw = Output(Drift, "drift_raw", desc="the drift in the file")
    output_drift_plot = Output(Figure, "drift_plot", desc="the drift over frames")

    load_path = FilePath("", desc="drift file (.npz, .csv, Picasso's .txt), relative to the recipe file")
    pixel_size = Float(0.0, low=0.0, unit="nm", desc=_PIXEL)

    def check(self) -> Iterator[str]:
        if not self.load_path:
            yield "load_path names no file"

    def run(self, ctx: Context, input_dummy: DataObject | None) -> dict[str, Any]:
        drift = _opened(ctx, self.load_path, self.pixel_size)
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

    load_paths = FilePaths((), desc="drift files (.npz, .csv, Picasso's .txt), relative to the recipe file")
    degree_of_spline = Range(1, 5, 3, desc=_DEGREE)
    smoothing_factor = Float(-1.0, desc=_SMOOTHING)
    method = Choice(METHODS, "spline", desc=_METHOD)
    pixel_size = Float(0.0, low=0.0, unit="nm", desc=_PIXEL)

    def check(self) -> Iterator[str]:
        if not self.load_paths:
            yield "load_paths names no file"

    def run(self, ctx: Context, input_dummy: DataObject | None) -> dict[str, Any]:
        loaded = [_opened(ctx, path, self.pixel_size) for path in self.load_paths]
        curve = total([interpolate(drift, self.degree_of_spline, self.smoothing_factor, ctx, self.method) for drift in loaded])
        made: dict[str, Any] = {"output_drift_interpolator": curve}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure(loaded, curve, title="Drift from a file")
        return made


class Drift_Combine(ModuleBase):
    """Makes one drift of several: their sum, or their mean.

    `sum`: steps of one correction, a coarse drift and what remained after it. `mean`: several measurements of the same drift, each
    weighted by its inverse variance; each is moved by a constant first, for drifts count from zeros of their own, and the result
    has the zero of the first. Frames may differ; the result has the knots of all, and the errors that follow.
    """

    version = 1

    input_drifts = Input(Drift, ("drift",), many=True, desc="drifts to combine")
    output_drift = Output(Drift, "drift_combined", desc="the one drift")
    output_drift_plot = Output(Figure, "drift_plot", desc="all of them over frames")

    combine = Choice(("sum", "mean"), "sum", desc="sum of the steps of a correction, or mean of measurements of the same drift")

    def run(self, ctx: Context, input_drifts: list[Drift]) -> dict[str, Any]:
        if not input_drifts:
            raise DataError("Drift_Combine has no drift to combine.", code="D110", hint="Write input_drifts: [one, other].")
        drift = total(input_drifts) if self.combine == "sum" else mean(input_drifts, ctx)
        made: dict[str, Any] = {"output_drift": drift}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure(input_drifts, drift, title=f"Drift: {self.combine} of {len(input_drifts)}")
        return made


class Drift_Plot(ModuleBase):
    """Shows a drift: over the frames with its standard errors, and as the path of the sample coloured by time."""

    version = 1

    input_drift = Input(Drift, "drift", desc="measured knots or a curve")
    input_truth = Input(Drift, "", desc="known drift of a simulation, drawn for comparison")
    output_drift_plot = Output(Figure, "drift_plot", desc="correction over frames, one panel an axis")
    output_path_plot = Output(Figure, "path_plot", desc="path of the sample in x and y")

    def run(self, ctx: Context, input_drift: Drift, input_truth: Drift | None) -> dict[str, Any]:
        measured, curve = ([], input_drift) if input_drift.exact else ([input_drift], None)
        return {
            "output_drift_plot": drift_figure(measured, curve, input_truth, differences=True),
            "output_path_plot": path_figure(input_drift, input_truth),
        }


def _opened(ctx: Context, path: str, pixel_size: float) -> Drift:
    # Only what counts in pixels takes the option.
    asks = pixel_size and path.lower().endswith(".txt")
    drift: Drift = ctx.open(f"{path}?pixel_size={pixel_size:.12g}" if asks else path, kind=Drift)
    return drift
