"""Fits of emitters whose images overlap: from a movie to localizations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from recipes_core.module import Context
from recipes_core.ports import Bool, Choice, Float, Int, Str
from recipes_modules.localize.base import COMMON, FitModule
from recipes_modules.localize.camera import Camera
from recipes_modules.localize.movie import Fit, Job

FAINT = 4.0
"""Threshold where none is given."""
_COLUMNS = (
    *COMMON, "error_photons", "error_background", "log_likelihood", "subtracted_background", "sigma", "emitters",
)  # fmt: skip


class MultiMLE(FitModule):
    """Localizes emitters whose images overlap: joint maximum likelihood of Gaussians integrated over pixels.

    Spots whose regions meet are a group. A group of many spots starts from a Richardson-Lucy deconvolution on a finer grid. Then
    emitters are added where the residual has a maximum, split, merged and removed, as long as the evidence of the model rises
    (Laplace's approximation), and all of them are fitted jointly, with the camera's noise pixel by pixel and a background of the group's
    own. A spot that stands alone costs about as much as a single fit. Errors are Cramer-Rao bounds of the joint fit. All emitters have
    the same width.

    With `learn`, a first pass through some frames measures that width, how many emitters there are and how bright: where all are about
    as bright, light for two is told from light for one even where both lie on one place; `error_photons` and the other errors then
    hold this knowledge, too.

    `emitters` is the number of emitters in the group. Where fits end, `result_code` tells: 1 well, 5 before all moves were below a
    hundredth of a pixel, 6 at the border, 7 on another emitter from which it cannot be told apart (errors are then of the PSF's order), 0 not at
    all (then values are NaN).

    Source: F. Huang et al. 2011, doi:10.1364/BOE.2.001377; F. Huang et al. 2013, doi:10.1038/nmeth.2488; W. H. Richardson 1972,
    doi:10.1364/JOSA.62.000055.
    """

    fit_columns = _COLUMNS
    block_pixels = 2**20

    threshold = Float(
        None,
        low=0.0,
        unit="noise",
        desc=f"height of a spot in units of noise; null: {FAINT:g} (bandpass: 1); what is none, the fit drops",
    )
    roi_half_size = Int(5, low=1, high=30, unit="pixel", desc="pixels around each spot that a group is fitted on, along x and y")
    background = Str("0:0", desc="frames whose mean is the background, from the current one on (a Python slice); 0:0: no such")
    learn = Bool(True, desc="measure the spots' width, brightness and density on the first frames")
    photons_guess = Float(1000.0, low=1.0, unit="photon", desc="mean brightness, where it is not learnt")
    density_guess = Float(0.5, low=0.0, unit="1/um^2", desc="emitters in a frame, where it is not learnt")

    def detector(self, camera: Camera) -> Any:
        found = super().detector(camera)
        return replace(found, threshold=FAINT) if self.threshold is None and found.matched else found

    def fitter(self) -> Fit:
        from recipes_modules.localize.multi import multi_mle

        return multi_mle

    def settings(self) -> dict[str, Any]:
        return {"mean": self.photons_guess, "shape": 1.0}

    def job(self, ctx: Context, movie: Any, *, beads: bool = False) -> Job:
        job = super().job(ctx, movie, beads=beads)
        area = float(np.prod(job.camera.pixel_size)) / 1e6
        return replace(job, settings={**job.settings, "density": max(self.density_guess * area, 1e-9)})

    def prepared(self, ctx: Context, job: Job) -> Job:
        from recipes_modules.localize.multi_learn import learnt

        if not self.learn:
            return job
        job, told = learnt(job, self.start_at)
        ctx.say(told)
        return job


class GaussMultiFitSR(FitModule):
    """Localizes emitters whose images overlap by least squares, as PYME's module of that name.

    Regions of spots that meet are fitted with one Gaussian of a fixed width, on no background, and with one more where the residual, over
    the noise and filtered with the PSF, is highest, as long as it is above `residual_max` there; ten at most, so that it is no fit for
    dense frames (use MultiMLE). PYME's own limit of 0.25 is about the noise of that filter: with it, every second emitter is taken for
    two. Spots are found as all fits find them; PYME's module has a detection of its own, which finds fewer. `emitters` (PYME: nFit) is
    their number in the region; errors are scaled by the root of the reduced chi square. Where a fit fails `result_code` is 0 and values
    are NaN.
    """

    fills_window = False

    fit_columns = (*COMMON, "error_A", "error_photons", "subtracted_background", "sigma", "emitters")
    own_settings = ("residual_max",)
    block_pixels = 2**21

    detection = Choice(("matched", "bandpass"), "bandpass", desc="filter matched to the PSF, or PYME's difference of Gaussians")
    start_at = Int(30, low=0, unit="frame", desc="earlier frames are left out")
    subtract_background = Bool(True, desc="the background is taken off; the model has none")
    roi_half_size = Int(5, low=1, high=30, unit="pixel", desc="a region holds the pixels this near to a spot, along x and y")
    psf_sigma_guess = Float(130.0, low=1.0, unit="nm", desc="width (standard deviation) of all spots")
    residual_max = Float(
        None,
        low=0.0,
        unit="noise",
        desc="a residual above this (in noise of a pixel, filtered with the PSF) asks for an emitter more; null: 3.5 times the "
        "filter's own noise, 0.76 for a width of 1.3 pixels; PYME: 0.25",
    )

    def fitter(self) -> Fit:
        from recipes_modules.localize.multi_residual import multi_lsq

        return multi_lsq

    def metadata_of(self, job: Job) -> dict[str, Any]:
        known = super().metadata_of(job)
        known["Analysis.PSFSigma"] = known["Analysis.PSFSigmaGuess"]
        return known if self.residual_max is None else known | {"Analysis.ResidualMax": self.residual_max}
