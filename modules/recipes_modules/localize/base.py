"""The base of modules that turn a movie into localizations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack, Localizations, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, FilePath, Float, Input, Int, Output, Range, Str
from recipes_modules.localize.movie import Fit, Gathered, Job, block_length, localize_block, spans

Array = npt.NDArray[Any]

PSF_SIGMA = 250 / 2.35
"""PYME's: a spot of 250 nm full width at half maximum."""
COMMON = ("frame", "x", "y", "photons", "background", "error_x", "error_y", "chi2", "A", "result_code", "detection")
"""Columns that every fit makes."""


class FitModule(ModuleBase):
    """Base of fits: goes through a movie block by block, finds spots, has them fitted, and puts the table together.

    A subclass names its `fit`, a function at the top of a file, which gets `Spots` and the values of the parameters named in
    `own_settings`, and returns columns in the units of the vocabulary, a row a spot. Blocks are fixed by the movie alone, so results do
    not depend on threads or workers; memory does not grow with the movie; finished blocks outlive a run that is killed.

    Examples
    --------
    >>> def centroids(spots, settings):
    ...     regions = spots.cut()                       # (n, k, k) photoelectrons
    ...     ...
    ...     return {"x": x, "y": y, "photons": photons}  # nm and photons
    >>> class CentroidFit(FitModule):
    ...     '''Centre of mass of each spot.'''
    ...     fit_columns = ("photons",)
    ...     def fitter(self):
    ...         return centroids
    """

    spreads = True

    fit_columns: ClassVar[tuple[str, ...]] = COMMON
    own_settings: ClassVar[tuple[str, ...]] = ()
    fills_window: ClassVar[bool] = True
    """Whether the first frames take later ones as background, rather than the few before them."""

    input_image = Input(ImageStack, "input", desc="the movie")
    output_localizations = Output(Localizations, "Localizations", desc="one row a fitted spot")
    output_fiducials = Output(Table, "fiducials", diagnostic=True, desc="tracks of fiducial markers, for Locs_Fiducials")

    threshold = Float(
        None, low=0.0, desc="height of a spot in units of noise: of the filtered frame (matched, null: 4.5), or of a pixel (bandpass, null: 1)"
    )
    detection = Choice(("matched", "bandpass"), "matched", desc="filter matched to the PSF, or PYME's difference of Gaussians")
    start_at = Int(0, low=0, unit="frame", desc="earlier frames are left out")
    background = Str("-30:0", desc="frames whose mean is the background, from the current one on (a Python slice); 0:0: none")
    percentile = Range(0.0, 1.0, 0.0, desc="part of these frames that lies below the background, pixel by pixel; 0: their mean")
    subtract_background = Bool(False, desc="the fit takes this background as known and fits what is left of it")
    debounce_radius = Float(
        None, low=0.0, unit="px", desc="of spots nearer to each other only the brightest is fitted; null: 0 (matched), 4 (bandpass)"
    )
    clump_radius = Float(0.0, low=0.0, unit="px", desc="spots nearer to each other are all left out")
    roi_half_size = Int(3, low=1, high=30, unit="px", desc="a fit takes 2 n + 1 pixels along x and y")
    psf_sigma_guess = Float(PSF_SIGMA, low=1.0, unit="nm", desc="width (standard deviation) of a spot to look for and to start from")
    variance_map = FilePath("", desc="image of the read noise's variance of each pixel of the sensor, electrons^2")
    dark_map = FilePath("", desc="image of the counts in the dark")
    flatfield_map = FilePath("", desc="image by which counts above the dark are multiplied, 1 in the mean")
    track_fiducials = Bool(False, desc="follow fiducial markers: makes output_fiducials")
    fiducial_threshold = Float(20.0, low=0.0, desc="height of a marker in units of noise")
    fiducial_roi_size = Int(7, low=1, high=50, unit="px", desc="the fit of a marker takes 2 n + 1 pixels")
    fiducial_size = Float(400.0, low=1.0, unit="nm", desc="full width at half maximum of a marker's image")

    # -- what subclasses say ---------------------------------------------------------------------------------------------

    def fitter(self) -> Fit:
        """The function that fits spots; it must be found at the top of a file, so that workers can import it."""
        raise NotImplementedError(f"{type(self).__name__} does not name its fit")

    def settings(self) -> dict[str, Any]:
        """What the fit gets besides the spots."""
        return {name: getattr(self, name) for name in self.own_settings}

    # -- the run ---------------------------------------------------------------------------------------------------------

    def check(self) -> Iterator[str]:
        from recipes_modules.localize.window import window_of

        try:
            window_of(self.background)
        except ValueError:
            yield f"background: '{self.background}' is no slice of frames; write for instance -30:0, or 0:0 for none"

    def output_columns(self, port: str, known: Mapping[str, Any]) -> tuple[str, ...] | None:
        return self.fit_columns if port == "output_localizations" else super().output_columns(port, known)

    def run(self, ctx: Context, input_image: ImageStack) -> dict[str, Any]:
        job = self.job(ctx, input_image, beads=self.track_fiducials and ctx.wanted("output_fiducials"))
        ctx.say(f"camera: {job.camera}")
        start, stop = self.start_at, input_image.n_frames
        gathered, tracks = Gathered(ctx.scratch), Gathered(ctx.scratch)
        notes = np.zeros(4, np.int64)
        blocks = list(spans(start, stop, block_length(input_image.shape, len(job.window))))
        for (_, end), found in zip(blocks, ctx.map(partial(localize_block, job), blocks, keep="frames"), strict=True):
            notes += found[":notes"]
            gathered.add({name: values for name, values in found.items() if ":" not in name})
            beads = {name.removeprefix("bead:"): values for name, values in found.items() if name.startswith("bead:")}
            if beads:
                tracks.add(beads)
            ctx.progress(end - start, stop - start)
        metadata = self.metadata_of(job)
        locs = Localizations(gathered.columns(), metadata=metadata)
        tell(ctx, locs, notes, stop - start, has_numbers=input_image.dtype.kind != "f")
        made: dict[str, Any] = {"output_localizations": locs}
        if ctx.wanted("output_fiducials"):
            made["output_fiducials"] = Table(tracks.columns(), metadata=metadata)
        return made

    def job(self, ctx: Context, stack: ImageStack, *, beads: bool = False) -> Job:
        """All that the blocks need.

        Raises
        ------
        DataError
            Where the movie or its metadata do not allow it.
        """
        from recipes_modules.localize.beads import Beads
        from recipes_modules.localize.window import Window, window_of

        check_movie(stack, self.roi_half_size, self.start_at)
        window = Window(*window_of(self.background), stack.n_frames, 0, self.fills_window)
        names = {"variance": self.variance_map, "dark": self.dark_map, "flat": self.flatfield_map}
        maps = {name: ctx.open(path, ImageStack) for name, path in names.items() if path}
        job = Job(
            stack, window, None, self.fitter(), self.roi_half_size, 0.0, self.subtract_background and len(window) > 0,
            self.percentile, self.settings(), maps,
        )  # fmt: skip
        pixel = float(np.mean(job.camera.pixel_size))
        marker = Beads(self.fiducial_threshold, self.fiducial_roi_size, self.fiducial_size / 2.355 / pixel) if beads else None
        values = job.__getstate__() | {
            "detection": self.detector(job.camera, pixel), "sigma": self.psf_sigma_guess / pixel, "beads": marker,
        }  # fmt: skip
        return Job(**values)

    def detector(self, camera: Any, pixel: float) -> Any:
        """How spots are found."""
        from recipes_modules.localize.detection import EDGE, Detection

        matched = self.detection == "matched"
        threshold, debounce = self.threshold, self.debounce_radius
        return Detection(
            "matched" if matched else "bandpass",
            threshold=(4.5 if matched else 1.0) if threshold is None else threshold,
            sigma=self.psf_sigma_guess / pixel,
            debounce=(0.0 if matched else 4.0) if debounce is None else debounce,
            clump=self.clump_radius,
            edge=0 if matched else EDGE,
            noise_factor=camera.noise_factor,
            electrons_per_count=1 / camera.counts_per_electron,
        )

    def metadata_of(self, job: Job) -> dict[str, Any]:
        """Settings and camera under PYME's names."""
        window = [job.window.first, job.window.stop]
        settings = {
            "Analysis.FitModule": type(self).name(),
            "Analysis.DetectionThreshold": job.detection.threshold,
            "Analysis.DetectionFilter": job.detection.kind,
            "Analysis.StartAt": self.start_at,
            "Analysis.BGRange": window,
            "Analysis.PCTBackground": self.percentile,
            "Analysis.subtractBackground": job.subtract,
            "Analysis.DebounceRadius": job.detection.debounce,
            "Analysis.ClumpRejectRadius": job.detection.clump,
            "Analysis.ROISize": self.roi_half_size,
            "Analysis.PSFSigmaGuess": self.psf_sigma_guess,
            "Analysis.TrackFiducials": self.track_fiducials,
        }
        return job.camera.metadata() | settings


def check_movie(stack: ImageStack, half: int, start_at: int) -> None:
    """Raise DataError for what is no movie of spots."""
    t, z, y, x = stack.shape
    if z > 1:
        raise DataError(
            f"the movie has {z} planes or channels a frame; a fit takes one.",
            code="D520",
            hint="Split the file into one movie a channel.",
        )
    if stack.dtype.kind not in "uif":
        raise DataError(f"the pixels of the movie are {stack.dtype}; a fit takes whole or floating-point numbers.", code="D520")
    side = 2 * half + 1
    if min(y, x) < side:
        raise DataError(
            f"frames of {y} x {x} pixels hold no region of {side} x {side} pixels.", code="D521", hint="Set roi_half_size lower."
        )
    if start_at >= t:
        raise DataError(
            f"the movie has {t} frames; start_at: {start_at} leaves none of them.", code="D522", hint="Set start_at lower."
        )


def tell(ctx: Context, locs: Localizations, notes: Array, n_frames: int, *, has_numbers: bool) -> None:
    """Say what came out, and what was odd."""
    n, saturated, empty, odd = (int(value) for value in notes)
    failed = int(np.count_nonzero(locs["result_code"] <= 0)) if "result_code" in locs else 0
    ctx.say(f"{n:,} spots in {n_frames:,} frames ({n / max(n_frames, 1):.1f} a frame)")
    if failed:
        ctx.say(f"{failed:,} fits failed: result_code 0, values NaN")
    if saturated:
        ctx.warn(f"{saturated:,} frames hold saturated pixels: fits there are too dim and too wide")
    if empty:
        ctx.warn(f"{empty:,} frames hold nothing but zeros; no spots were looked for in them")
    if odd:
        ctx.warn(f"{odd:,} frames hold pixels without a number (NaN or infinite); they took no part")
