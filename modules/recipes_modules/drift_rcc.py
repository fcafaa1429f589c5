"""Drift by redundant cross-correlation, from localizations or from an image series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Figure, ImageStack, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Float, Input, Int, Output, Range, Str
from recipes_modules.correlation.redundant import Solution
from recipes_modules.drift_apply import shifted
from recipes_modules.drift_figures import drift_figure
from recipes_modules.drift_residuals import residual_figure

METHODS = ("RCC", "MCC", "DCC")
DOUBTFUL = 0.7
"""Where fewer of the pairs that could agree by more than chance do so, a warning says so."""
_NO_CACHE = "no longer needed: large intermediate arrays go to scratch, which cleans itself up"


class Locs_RCC(ModuleBase):
    """Drift of localizations by redundant cross-correlation (Wang et al. 2014, doi:10.1364/OE.22.015982).

    The movie is cut into windows of `window` frames, one every `step` frames. The windows are rendered as histograms, and each is
    correlated with those that follow it; where the correlation peaks is how far the structure has moved. The positions that agree
    best with all these shifts are the drift, as a correction to add: zero for the first window, one value for each, at the mean
    frame of its localizations. `Drift_Interpolate` makes a curve of them, `Locs_Post_Shift` applies it.

    Shifts are searched up to an eighth of the field. The search is followed by a refinement, for which the drift found so far is
    undone also within the windows; so windows may be long compared with the drift. RCC ends with a comparison of each window with
    all the others together, which keeps errors from adding up along the movie; MCC and DCC are left as they are known.

    Rows with NaN take no part. Windows without localizations are left out. A last window that the movie fills by less than half
    joins the one before it. Localizations that overlapping windows share are not compared with themselves.

    Where pairs agree no better than chance makes them, the drift is lost and the step fails; where many disagree, a warning says so.
    DCC, and a `corr_window` of 1, have no pairs to spare for that.

    The standard errors of RCC come from how far the earlier and the later half of each window lie apart, and from how far the drift
    strays from its course within a window, judged by how it does from one to the next. Those of MCC come from
    the disagreement among the pairs; what a window's own localizations contribute is common to all of its pairs and does not show
    there, so they are too small.

    With `behaviour: plugin` the drift is found as the drift plugin finds it: one search on pixels of the binsize, peaks as the
    highest place of a multiquadric through the pixels around them, equal weights, windows that stand for their centres and a last
    one as short as it comes; nothing is refined, and shared localizations do compare with themselves. Only of several peaks the
    highest is taken, where the plugin takes the first.

    Runs that will take long say so at their beginning, with the parameter that makes them cheaper.
    """

    version = 1

    input_for_correction = Input(
        Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations that show the drift"
    )
    input_for_mapping = Input(
        Localizations, "Localizations", deprecated=True,
        desc="deprecated: localizations for outputName; use Locs_Post_Shift",
    )  # fmt: skip
    output_drift = Output(Drift, "drift", desc="correction to add, one value a window")
    output_drift_plot = Output(Figure, "drift_plot", diagnostic=True, desc="the drift over frames")
    output_cross_cor = Output(ImageStack, "cross_cor", diagnostic=True, desc="the correlations that were searched, one a pair")
    output_residuals_plot = Output(Figure, "residuals_plot", diagnostic=True, desc="how well the pairs agree, one by one")
    outputName = Output(
        Localizations, "corrected_localizations", like="input_for_mapping", adds=("dx", "dy", "dz"), deprecated=True,
        desc="input_for_mapping with the drift undone, linear between windows; use Drift_Interpolate and Locs_Post_Shift",
    )  # fmt: skip

    step = Int(2500, low=1, unit="frame", desc="frames from the beginning of one window to the next")
    window = Int(2500, low=1, unit="frame", desc="length of a window")
    binsize = Range(1.0, 1000.0, 30.0, unit="nm", desc="pixel of the rendered windows")
    flatten_z = Bool(False, desc="ignore z; otherwise the drift along z is measured too")
    tukey_size = Range(0.0, 1.0, 0.25, desc="part of the field that fades out towards its edges")
    method = Choice(
        METHODS,
        "RCC",
        desc="RCC: all pairs within corr_window, contradicting ones left out; MCC: all of them; DCC: first with every other",
    )
    shift_max = Float(5.0, low=0.0, unit="nm", desc="RCC leaves out a pair whose shift differs by more from the others' verdict")
    corr_window = Int(5, unit="window", desc="each window is compared with so many that follow it; 0 or less: with all")
    behaviour = Choice(
        ("refined", "plugin"), "refined", desc="refined: search, then refinement; plugin: the drift plugin's own procedure"
    )
    cache_fft = Str("rcc_cache.bin", deprecated=True, desc=_NO_CACHE)
    multiprocessing = Bool(False, deprecated=True, desc="no longer needed: all processors are used")
    debug_cor_file = Str("", deprecated=True, desc="no longer needed: use output_cross_cor")

    def required_columns(self, port: str) -> tuple[str, ...]:
        if port == "input_for_correction" and not self.flatten_z:
            return ("x", "y", "z", "frame")
        return super().required_columns(port)

    def output_columns(self, port: str, known: Any) -> Any:
        if port == "outputName" and known.get("input_for_mapping") is None:
            known = {**known, "input_for_mapping": known.get("input_for_correction")}
        return super().output_columns(port, known)

    def run(self, ctx: Context, input_for_correction: Localizations, input_for_mapping: Localizations | None) -> dict[str, Any]:
        from recipes_modules.correlation.cloud import make_cloud
        from recipes_modules.correlation.cost import announce
        from recipes_modules.correlation.localizations import Settings, estimate
        from recipes_modules.correlation.plain import estimate_plain

        settings = Settings(
            self.step, self.window, self.binsize, self.flatten_z, self.tukey_size, self.method, self.shift_max, self.corr_window,
            self.behaviour,
        )  # fmt: skip
        plain = self.behaviour == "plugin"
        cloud = make_cloud(input_for_correction, self.step, self.window, deep=not self.flatten_z, partial=plain)
        if cloud.n_left_out:
            ctx.say(f"{cloud.n_left_out:,} of {len(input_for_correction):,} localizations have NaN and took no part")
        if cloud.windows.n_empty:
            ctx.warn(f"{cloud.windows.n_empty} windows hold no localizations and were left out")
        announce(ctx, cloud, settings)
        method = estimate_plain if plain else estimate
        found = method(ctx, cloud, settings, keep_correlations=ctx.wanted("output_cross_cor"))
        if found.n_unplaced:
            ctx.warn(f"{found.n_unplaced} windows do not correlate with the others and were left out")
        if found.agreement < DOUBTFUL:
            ctx.warn(
                f"only {found.agreement:.0%} of the pairs of windows that could contradict the others agree with them: the drift is "
                "doubtful; windows may be too short for the localizations, or too long for the drift"
            )
        _tell(ctx, found.solution, self.shift_max, "nm")
        windows = found.windows
        bend = _bend(windows.node, found.solution.positions)
        if bend > self.binsize:
            ctx.warn(
                f"the drift changes its course by much from window to window: half way between them it may be off by {bend:.0f} nm, which "
                "its errors do not show; a shorter window and step follow it better"
            )
        drift = Drift(windows.node, found.solution.positions, error=found.solution.error, measured=windows.measured)
        made: dict[str, Any] = {"output_drift": drift}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([drift], title="Drift by redundant cross-correlation")
        if ctx.wanted("output_residuals_plot"):
            bound = self.shift_max if self.method == "RCC" else None
            solution = found.solution
            made["output_residuals_plot"] = residual_figure(windows.node, found.pairs, solution.residual, solution.used, bound)
        if found.correlations is not None:
            size = found.search_pixel / 1000
            made["output_cross_cor"] = ImageStack(
                found.correlations, metadata={"voxelsize.x": size, "voxelsize.y": size, "voxelsize.z": size}
            )
        if ctx.wanted("outputName"):
            mapped = input_for_mapping if input_for_mapping is not None else input_for_correction
            made["outputName"] = shifted(mapped, drift, ctx)
        return made


class Image_RCC(ModuleBase):
    """Drift of an image series by redundant cross-correlation (Wang et al. 2014, doi:10.1364/OE.22.015982).

    Each image, or each mean of `window` images, is correlated with those that follow it; where the correlation peaks is how far the
    sample has moved. The positions that agree best with all these shifts are the drift, as a correction to add: zero for the first
    image, one value for each, in nm and at the frame of the movie that the image stands for (binned and rendered series stand for
    several frames each). Shifts are searched up to an eighth of the image's width; along z, in stacks of three planes or more, up to
    half of the stack. Windows that overlap share images and are not compared with each other.

    What varies by less than five periods over an image (uneven background, vignetting) takes no part, for it does not move with the
    sample. Nothing is done to the edges of the images: `Image_Pre_Clip&Filter` fades them out. Along z the correlation is divided by the
    power of the structure in the planes that both stacks share.
    """

    version = 2

    input_image = Input(ImageStack, "input", desc="series in which the sample moves")
    output_drift = Output(Drift, "drift", desc="correction to add, one value a window")
    output_drift_plot = Output(Figure, "drift_plot", diagnostic=True, desc="the drift over frames")
    output_cross_cor = Output(ImageStack, "cross_cor", diagnostic=True, desc="the correlations that were searched, one a pair")

    window = Int(1, low=1, unit="image", desc="images that are averaged before they are compared")
    step = Int(None, low=1, unit="image", desc="images from the beginning of one window to the next; null: as many as window")
    flatten_z = Bool(False, desc="average the planes of z stacks; otherwise the drift along z is measured too")
    method = Choice(
        METHODS,
        "RCC",
        desc="RCC: all pairs within corr_window, contradicting ones left out; MCC: all of them; DCC: first with every other",
    )
    shift_max = Float(
        None, low=0.0, unit="nm",
        desc="RCC leaves out a pair whose shift differs by more from the others' verdict; null: five pixels",
    )  # fmt: skip
    corr_window = Int(5, unit="window", desc="each window is compared with so many that follow it; 0 or less: with all")
    cache_fft = Str("rcc_cache.bin", deprecated=True, desc=_NO_CACHE)
    multiprocessing = Bool(False, deprecated=True, desc="no longer needed: all processors are used")
    debug_cor_file = Str("", deprecated=True, desc="no longer needed: use output_cross_cor")

    def check(self) -> Iterator[str]:
        if self.method == "DCC" and self.step is not None and self.step < self.window:
            yield f"DCC compares with the first window only: step ({self.step}) must not be below window ({self.window})"

    def run(self, ctx: Context, input_image: ImageStack) -> dict[str, Any]:
        from recipes_modules.correlation.images import ImageSettings, estimate_images

        size = np.array(input_image.require_pixel_size())
        bound = 5 * float(size[:2].mean()) if self.shift_max is None else self.shift_max
        settings = ImageSettings(
            self.method, bound, self.corr_window, self.step or self.window, self.window, self._deep(ctx, input_image, size)
        )
        found, correlations = estimate_images(ctx, input_image, size, settings, keep_images=ctx.wanted("output_cross_cor"))
        _tell(ctx, found.solution, bound, "nm")
        numbers = input_image.frame_numbers
        half = (input_image.time.covered - 1) / 2
        drift = Drift(
            (numbers[found.starts] + numbers[found.stops - 1]) / 2,
            found.solution.positions,
            error=found.solution.error,
            measured=(numbers[found.starts[0]] - half, numbers[found.stops[-1] - 1] + half),
        )
        made: dict[str, Any] = {"output_drift": drift}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([drift], title="Drift by redundant cross-correlation")
        if correlations is not None:
            names = ("voxelsize.x", "voxelsize.y", "voxelsize.z")
            made["output_cross_cor"] = ImageStack(correlations, metadata=dict(zip(names, size / 1000, strict=True)))
        return made

    def _deep(self, ctx: Context, stack: ImageStack, size: Any) -> bool:
        planes = stack.shape[1]
        if planes == 1:
            return False
        if self.flatten_z or planes < 3:
            ctx.say(f"the {planes} planes of each image were averaged; no drift along z is measured")
            return False
        if size[2] <= 0:
            raise DataError(
                f"the distance of the {planes} planes is not known, so no drift along z can be measured.",
                code="D435",
                hint="Give it in um (-m INPUT.voxelsize.z=0.25, or under 'metadata:' of the input), or set flatten_z: true.",
            )
        return True


def _bend(node: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]) -> float:
    """How far a curve through windows and straight lines between them lie apart half way, nm; what three of four do not exceed."""
    if len(node) < 3:
        return 0.0
    slope = np.diff(positions, axis=0) / np.diff(node)[:, np.newaxis]
    # A parabola through three points, half way between two of them.
    bends = np.linalg.norm(np.diff(slope, axis=0), axis=1) * np.minimum(np.diff(node)[1:], np.diff(node)[:-1]) / 8
    return float(np.quantile(bends, 0.75))


def _tell(ctx: Context, solution: Solution, bound: float, unit: str) -> None:
    for line in _messages(solution, bound, unit):
        ctx.say(line)
    if solution.bridges.any():
        ctx.warn(
            f"{np.count_nonzero(solution.bridges)} pairs disagree by more than shift_max ({bound:g} {unit}) but were kept, because they "
            "alone connect parts of the movie; the drift there is doubtful"
        )


def _messages(solution: Solution, bound: float, unit: str) -> Iterator[str]:
    rejected = int(np.count_nonzero(~solution.used))
    if rejected:
        yield f"{rejected} of {len(solution.used)} pairs disagree with the others by more than {bound:g} {unit} and were left out"
