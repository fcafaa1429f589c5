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
from recipes_core.ports import Bool, Choice, FilePath, Float, Input, Int, ListOf, Output, Range, Str
from recipes_modules.localize.camera import Camera
from recipes_modules.localize.movie import BLOCK_PIXELS, Fit, Gathered, Job, block_length, localize_block, reads_of, spans
from recipes_modules.localize.window import Window, window_of

Array = npt.NDArray[Any]

PSF_SIGMA = 250 / 2.35
"""PYME's: a spot of 250 nm full width at half maximum."""
WIDTHS = (0.3, 8.0)
"""Pixels; a PSF narrower or wider than these is doubted."""
MATCHED, BANDPASS = 4.5, 1.0
"""Thresholds where none is given."""
COMMON = ("frame", "x", "y", "photons", "background", "error_x", "error_y", "chi2", "A", "result_code", "detection")
"""Columns that every fit of this package makes."""
FWHM = 2.3548


class SpotFinder(ModuleBase):
    """Base of modules that look for spots in a movie: camera, background and detection."""

    version = 2

    fills_window: ClassVar[bool] = True
    """Whether the first frames take later ones as background, rather than the few before them as PYME does."""

    input_image = Input(ImageStack, "input", desc="the movie")

    threshold = Float(
        None, low=0.0, unit="noise",
        desc=f"height of a spot in units of noise: filtered frame's (matched; null: {MATCHED:g}), pixel's (bandpass; null: {BANDPASS:g})",
    )  # fmt: skip
    detection = Choice(("matched", "bandpass"), "matched", desc="filter matched to the PSF, or PYME's difference of Gaussians")
    start_at = Int(0, low=0, unit="frame", desc="earlier frames are left out")
    background = Str("-30:0", desc="frames whose mean is the background, from the current one on (a Python slice); 0:0: no such")
    percentile = Range(0.0, 1.0, 0.0, desc="part of these frames that lies below the background, pixel by pixel; 0: their mean")
    debounce_radius = Float(
        None,
        low=0.0,
        unit="pixel",
        desc="of spots nearer to each other only the brightest stays; null: 0 (matched), 4 (bandpass)",
    )
    clump_radius = Float(0.0, low=0.0, unit="pixel", desc="spots nearer to each other are all left out")
    lowpass = Float(1.0, low=0.1, high=50.0, unit="pixel", desc="bandpass: standard deviation of the narrow Gaussian")
    highpass = Float(3.0, low=0.1, high=50.0, unit="pixel", desc="bandpass: standard deviation of the wide Gaussian")
    snr_threshold = Bool(True, desc="bandpass: whether the threshold counts noise; false: ADU")
    psf_sigma_guess = Float(
        PSF_SIGMA, low=1.0, unit="nm", desc="width (standard deviation) of a spot to look for and to start from"
    )
    variance_map = FilePath("", desc="image of the variance of each pixel's read noise, electrons^2")
    dark_map = FilePath("", desc="image of each pixel's counts in the dark, ADU")
    flatfield_map = FilePath("", desc="image by which counts above the dark are multiplied, 1 in the mean")
    estimate_offset = Bool(False, desc="take the offset from dark frames instead of the metadata's Camera.ADOffset")
    dark_frames = ListOf(
        Int(0, low=0), None, length=2, unit="frame", desc="[first, end] of frames without light; null: Protocol.DarkFrameRange"
    )

    def check(self) -> Iterator[str]:
        try:
            window_of(self.background)
        except ValueError:
            yield f"background: '{self.background}' is no slice of frames; write for instance -30:0, or 0:0 for none"
        if self.detection == "bandpass" and self.highpass <= self.lowpass:
            yield f"highpass ({self.highpass:g}) must be above lowpass ({self.lowpass:g})"

    def camera(self, ctx: Context, movie: ImageStack) -> Camera:
        """The movie's camera, told to the user.

        Raises
        ------
        DataError
            Where the metadata do not describe it, or maps do not fit.
        """
        from recipes_modules.localize.camera_setup import camera_of

        camera = camera_of(
            ctx, movie, dark_map=self.dark_map, variance_map=self.variance_map, flatfield_map=self.flatfield_map,
            estimate_offset=self.estimate_offset, dark_frames=self.dark_frames,
        )  # fmt: skip
        width = self.sigma_pixels(camera)
        if not WIDTHS[0] <= width <= WIDTHS[1]:
            size = float(np.mean(camera.pixel_size))
            ctx.warn(
                f"psf_sigma_guess of {self.psf_sigma_guess:g} nm is {width:.2g} of the movie's pixels of {size:g} nm: both count nanometres "
                "in the sample (voxelsize.x: micrometres)"
            )
        return camera

    def window(self, movie: ImageStack) -> Window:
        """The frames that make the background of a frame: none in the dark, and none that are left out (but PYME takes these).

        Raises
        ------
        DataError
            D513 where the metadata name dark frames in a way that makes no sense.
        """
        from recipes_modules.localize.camera_setup import dark_range

        dark = dark_range(movie, self.dark_frames)
        laser = movie.metadata.get("EstimatedLaserOnFrameNo", movie.metadata.get("Protocol.DataStartsAt"))
        starts = [laser, dark[1] if dark is not None and dark[0] == 0 else None]
        starts.append(self.start_at if self.fills_window else None)
        first = max(
            (int(start) for start in starts if isinstance(start, (int, float)) and 0 <= start < movie.n_frames), default=0
        )
        return Window(*window_of(self.background), movie.n_frames, first, self.fills_window)

    def detector(self, camera: Camera) -> Any:
        """How spots are found."""
        from recipes_modules.localize.detection import EDGE, Detection

        matched = self.detection == "matched"
        threshold, debounce = self.threshold, self.debounce_radius
        level = (MATCHED if matched else BANDPASS) if threshold is None else threshold
        absolute = not matched and not self.snr_threshold
        return Detection(
            "matched" if matched else "bandpass",
            threshold=level / camera.counts_per_electron if absolute else level,
            sigma=self.sigma_pixels(camera),
            lowpass=self.lowpass,
            highpass=self.highpass,
            debounce=(0.0 if matched else 4.0) if debounce is None else debounce,
            clump=self.clump_radius,
            edge=0 if matched else EDGE,
            noise_factor=camera.noise_factor,
            electrons_per_count=1 / camera.counts_per_electron,
            absolute=absolute,
        )

    def sigma_pixels(self, camera: Camera) -> float:
        """Width of the PSF in pixels."""
        return float(self.psf_sigma_guess / np.mean(camera.pixel_size))


class FitModule(SpotFinder):
    """Base of fits: goes through a movie block by block, finds spots, has them fitted, and puts the table together.

    A subclass names a function at the top of a file that gets `Spots` and the values of the parameters named in `own_settings`, and
    returns columns in the units of the vocabulary, a row a spot. Blocks are fixed by the movie alone, so results do not depend on threads
    or workers; memory does not grow with the movie; finished blocks outlive a run that is killed.

    Examples
    --------
    >>> def centroids(spots, settings):
    ...     regions = spots.cut()                       # (n, k, k) photoelectrons
    ...     ...
    ...     return {"x": x, "y": y, "photons": photons}  # nm and photons
    >>> class CentroidFit(FitModule):
    ...     '''Centre of mass of each spot.'''
    ...     fit_columns = ("frame", "x", "y", "photons", "detection")
    ...     def fitter(self):
    ...         return centroids
    """

    spreads = True

    fit_columns: ClassVar[tuple[str, ...]] = COMMON
    own_settings: ClassVar[tuple[str, ...]] = ()
    block_pixels: ClassVar[int] = BLOCK_PIXELS
    """A block has about so many pixels; slow fits take fewer."""

    output_localizations = Output(Localizations, "Localizations", desc="one row a fitted spot")
    output_fiducials = Output(
        Table, "fiducials", diagnostic=True, desc="tracks of fiducial markers, for Locs_Fiducials; needs track_fiducials"
    )

    subtract_background = Bool(False, desc="the fit takes the frames' background as known and fits what is left of it")
    roi_half_size = Int(3, low=1, high=30, unit="pixel", desc="a fit takes 2 n + 1 pixels along x and y")
    track_fiducials = Bool(False, desc="follow fiducial markers, bright spots that stay: makes output_fiducials")
    fiducial_threshold = Float(20.0, low=0.0, unit="noise", desc="least height of a marker")
    fiducial_roi_size = Int(7, low=1, high=50, unit="pixel", desc="the fit of a marker takes 2 n + 1 pixels along x and y")
    fiducial_size = Float(400.0, low=1.0, unit="nm", desc="full width at half maximum of a marker's image")

    def fitter(self) -> Fit:
        """The function that fits spots; it must be found at the top of a file, so that workers can import it."""
        raise NotImplementedError(f"{type(self).__name__} does not name its fit")

    def settings(self) -> dict[str, Any]:
        """What the fit gets besides the spots."""
        return {name: getattr(self, name) for name in self.own_settings}

    def output_columns(self, port: str, known: Mapping[str, Any]) -> tuple[str, ...] | None:
        return self.fit_columns if port == "output_localizations" else super().output_columns(port, known)

    def prepared(self, ctx: Context, job: Job) -> Job:
        """The job with what a fit learns from the movie before it begins; from its first frames, so that later ones change nothing."""
        return job

    def run(self, ctx: Context, input_image: ImageStack) -> dict[str, Any]:
        from recipes_modules.localize.compiling import told

        job = self.job(ctx, input_image, beads=self.track_fiducials and ctx.wanted("output_fiducials"))
        with told(ctx, job):
            return self._localized(ctx, input_image, self.prepared(ctx, job))

    def _localized(self, ctx: Context, input_image: ImageStack, job: Job) -> dict[str, Any]:
        stop = input_image.n_frames
        gathered, tracks = Gathered(ctx.scratch), Gathered(ctx.scratch)
        notes = np.zeros(4, np.int64)
        reads = partial(reads_of, job, f"{type(self).name()} {type(self).version}")
        blocks = list(spans(self.start_at, stop, block_length(input_image.shape, len(job.window), self.block_pixels)))
        for (_, end), found in zip(
            blocks, ctx.map(partial(localize_block, job), blocks, keep="frames", reads=reads), strict=True
        ):
            notes += found[":notes"]
            gathered.add({name: values for name, values in found.items() if ":" not in name})
            beads = {name.removeprefix("bead:"): values for name, values in found.items() if name.startswith("bead:")}
            if beads:
                tracks.add(beads)
            ctx.progress(end - self.start_at, stop - self.start_at)
        metadata = self.metadata_of(job)
        columns = gathered.columns()
        # Blocks that were kept come back with their columns in another order.
        order = sorted(
            columns, key=lambda name: (self.fit_columns.index(name) if name in self.fit_columns else len(columns), name)
        )
        locs = Localizations({name: columns[name] for name in order}, metadata=metadata)
        tell(ctx, locs, notes, stop - self.start_at)
        made: dict[str, Any] = {"output_localizations": locs}
        if ctx.wanted("output_fiducials"):
            if not self.track_fiducials:
                ctx.warn("the table of fiducials is empty: track_fiducials is off")
            beads = tracks.columns() or {name: np.empty(0) for name in ("frame", "x", "y")}
            made["output_fiducials"] = Table({name: beads[name] for name in sorted(beads)}, metadata=metadata)
        return made

    def job(self, ctx: Context, movie: ImageStack, *, beads: bool = False) -> Job:
        """All that the blocks need.

        Raises
        ------
        DataError
            Where the movie or its metadata do not allow it.
        """
        from recipes_modules.localize.beads import Beads

        check_movie(movie, self.roi_half_size, self.start_at)
        camera = self.camera(ctx, movie)
        window = self.window(movie)
        names = {"dark": self.dark_map, "variance": self.variance_map, "flat": self.flatfield_map}
        pixel = float(np.mean(camera.pixel_size))
        return Job(
            movie, camera, window, self.detector(camera), self.fitter(), self.roi_half_size, self.sigma_pixels(camera),
            subtract=self.subtract_background and len(window) > 0,
            percentile=self.percentile,
            settings=self.settings(),
            maps={name: ctx.open(path, ImageStack) for name, path in names.items() if path},
            beads=Beads(self.fiducial_threshold, self.fiducial_roi_size, self.fiducial_size / FWHM / pixel) if beads else None,
        )  # fmt: skip

    def metadata_of(self, job: Job) -> dict[str, Any]:
        """Settings and camera under PYME's names."""
        settings = {
            "Analysis.FitModule": type(self).name(),
            "Analysis.DetectionThreshold": self.detector(job.camera).threshold if self.snr_threshold else self.threshold,
            "Analysis.DetectionFilter": self.detection,
            "Analysis.SNRThreshold": self.snr_threshold,
            "Analysis.DetectionRadiusLowpass": self.lowpass,
            "Analysis.DetectionRadiusHighpass": self.highpass,
            "Analysis.StartAt": self.start_at,
            "Analysis.BGRange": [job.window.first, job.window.stop],
            "Analysis.PCTBackground": self.percentile,
            "Analysis.subtractBackground": job.subtract,
            "Analysis.DebounceRadius": job.detection.debounce,
            "Analysis.ClumpRejectRadius": job.detection.clump,
            "Analysis.ROISize": self.roi_half_size,
            "Analysis.PSFSigmaGuess": job.sigma * float(np.mean(job.camera.pixel_size)),
            "Analysis.TrackFiducials": self.track_fiducials,
        }
        return job.camera.metadata() | settings


def check_movie(movie: ImageStack, half: int, start_at: int) -> None:
    """Raise DataError for what is no movie of spots."""
    t, z, y, x = movie.shape
    if z > 1:
        raise DataError(
            f"the movie has {z} planes or channels a frame; localization takes one.",
            code="D520",
            hint="Save one movie a channel, with one plane a frame.",
        )
    if movie.dtype.kind not in "uif":
        raise DataError(
            f"the pixels of the movie are {movie.dtype}; localization takes whole or floating-point numbers.", code="D520"
        )
    side = 2 * half + 1
    if min(y, x) < side:
        raise DataError(
            f"frames of {y} x {x} pixels hold no region of {side} x {side} pixels.", code="D521", hint="Set roi_half_size lower."
        )
    if start_at >= t:
        raise DataError(
            f"the movie has {t} frames; start_at: {start_at} leaves none of them.", code="D522", hint="Set start_at lower."
        )


def tell(ctx: Context, locs: Localizations, notes: Array, n_frames: int) -> None:
    """Say what came out, and what was odd."""
    n, saturated, empty, odd = (int(value) for value in notes)
    failed = int(np.count_nonzero(locs["result_code"] <= 0)) if "result_code" in locs else 0
    ctx.say(f"{n:,} spots in {n_frames:,} frames ({n / max(n_frames, 1):.1f} a frame)")
    if failed:
        ctx.say(f"{failed:,} fits failed: their result_code is 0 or below, their values are NaN")
    if saturated:
        ctx.warn(f"{saturated:,} frames hold saturated pixels: fits there are too dim and too wide")
    if empty:
        ctx.warn(f"{empty:,} frames hold nothing but zeros; no spots were looked for in them")
    if odd:
        ctx.warn(f"{odd:,} frames hold pixels without a number (NaN or infinite); they took no part")
