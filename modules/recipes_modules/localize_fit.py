"""Fits of single emitters: from a movie to localizations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from recipes_core.data import ImageStack
from recipes_core.module import Context
from recipes_core.ports import Bool, Choice, Float, Int
from recipes_modules.localize.base import COMMON, PSF_SIGMA, FitModule
from recipes_modules.localize.movie import Fit, Job, localize_block
from recipes_modules.localize.window import Window

LEARNT_FROM = (16, 64)
"""Frames on which the width of spots is measured: so many, and more where these show few spots."""
ENOUGH_SPOTS = 300

_LIKELIHOOD = (*COMMON, "error_photons", "error_background", "log_likelihood", "subtracted_background")
_SQUARES = (
    *COMMON, "error_A", "error_background", "subtracted_background", "fitResults_bx", "fitResults_by", "fitError_bx", "fitError_by",
    "slicesUsed_x_start", "slicesUsed_x_stop", "slicesUsed_y_start", "slicesUsed_y_stop",
)  # fmt: skip


class _RoundGauss(FitModule):
    """Fits of a round Gaussian integrated over pixels, which may learn its width from the movie."""

    fit_sigma = Bool(True, desc="whether the width is fitted; otherwise it is psf_sigma_guess")
    learn_sigma = Bool(
        True,
        desc="measure the spots' width and how much it differs on the first frames "
        f"({LEARNT_FROM[0]}, or {LEARNT_FROM[1]} where spots are few), and look for and fit spots with that in mind",
    )

    def settings(self) -> dict[str, Any]:
        return {"model": "sigma" if self.fit_sigma else "fixed"}

    def prepared(self, ctx: Context, job: Job) -> Job:
        from recipes_modules.localize.fitting import width_of_spots

        if not (self.fit_sigma and self.learn_sigma):
            return job
        pixel = float(np.mean(job.camera.pixel_size))
        known, n = None, 0
        for n in LEARNT_FROM:
            first = localize_block(job, (self.start_at, min(self.start_at + n, job.stack.n_frames)))
            known = width_of_spots(first["sigma"] / pixel, first["error_sigma"] / pixel, first["result_code"])
            if known is not None and len(first["sigma"]) > ENOUGH_SPOTS:
                break
        if known is None:
            ctx.say("too few spots in the first frames tell their width; psf_sigma_guess holds")
            return job
        width, spread = known
        ctx.say(f"width of the spots: {width * pixel:.1f} nm, differing by {spread * pixel:.1f} nm (first {n} frames)")
        return replace(
            job, sigma=width, settings={**job.settings, "spread": spread}, detection=replace(job.detection, sigma=width)
        )


class GaussMLE(_RoundGauss):
    """Localizes by maximum likelihood: a round Gaussian integrated over pixels, with the camera's noise pixel by pixel.

    Errors are Cramer-Rao bounds at the fitted values. `log_likelihood` is relative to a model in which each pixel has its own mean; chi2 is
    minus twice that, divided by the degrees of freedom. Where fits end, `result_code` tells: 1 well, 5 iterations used up, 6 at the end of
    a range, 0 not at all (then values are NaN).

    Source: F. Huang et al. 2013, doi:10.1038/nmeth.2488; C. S. Smith et al. 2010, doi:10.1038/nmeth.1449.
    """

    fit_columns = (*_LIKELIHOOD, "sigma", "error_sigma")

    def fitter(self) -> Fit:
        from recipes_modules.localize.fits import mle

        return mle


class GaussLSQ(_RoundGauss):
    """Localizes by least squares: a round Gaussian integrated over pixels, each pixel weighted by the variance that the model expects.

    As GaussMLE otherwise, in results too; the likelihood's own knowledge of weak spots is missing. chi2 is the weighted sum of squares over
    the degrees of freedom.
    """

    fit_columns = (*COMMON, "error_photons", "error_background", "subtracted_background", "sigma", "error_sigma")

    def fitter(self) -> Fit:
        from recipes_modules.localize.fits import gauss_lsq

        return gauss_lsq


class AstigGaussMLE(FitModule):
    """Localizes by maximum likelihood with a width along x and one along y, for astigmatic 3D (Astig_Z makes z of them).

    As GaussMLE otherwise.
    """

    fit_columns = (*_LIKELIHOOD, "sigma_x", "sigma_y", "error_sigma_x", "error_sigma_y")

    roi_half_size = Int(5, low=1, high=30, unit="pixel", desc="a fit takes 2 n + 1 pixels along x and y")

    def fitter(self) -> Fit:
        from recipes_modules.localize.fits import mle

        return mle

    def settings(self) -> dict[str, Any]:
        return {"model": "sigma_xy"}


WIDTH_RANGE = 2.0
"""Of LatGaussFitFR with the matched detection: fitted widths over psf_sigma_guess, and under."""


class _PymeFit(FitModule):
    """PYME's settings."""

    fills_window = False

    detection = Choice(("matched", "bandpass"), "bandpass", desc="filter matched to the PSF, or PYME's difference of Gaussians")
    start_at = Int(30, low=0, unit="frame", desc="earlier frames are left out")
    subtract_background = Bool(True, desc="the fit takes the frames' background as known and fits what is left of it")
    roi_half_size = Int(5, low=1, high=30, unit="pixel", desc="a fit takes 2 n + 1 pixels along x and y")
    psf_sigma_guess = Float(PSF_SIGMA, low=1.0, unit="nm", desc="width (standard deviation) of a spot to start from")

    def window(self, movie: ImageStack) -> Window:
        # PYME cuts the window of the first frames short; the mean of one frame is no background for spots of few photons.
        window = super().window(movie)
        matched = self.detection == "matched"
        return replace(window, fill=True, start=max(window.start, self.start_at)) if matched else window

    def fitter(self) -> Fit:
        from recipes_modules.localize.fits import lsq

        return lsq


class LatGaussFitFR(_PymeFit):
    """Localizes by least squares as PYME does: a round Gaussian on a plane, sampled at the centres of pixels.

    Model, weights, settings and columns are those of PYME's module of that name: detection by band-pass, background of the 30 frames before
    subtracted, errors scaled by the root of the reduced chi square. `A` is the peak's height in ADU, `photons` what lies below the peak.
    At the border regions are moved inwards rather than cut. Where a fit fails its errors are NaN (PYME: -5000) and `result_code` is 0.

    Seven parameters are many for a spot of few photons: its width can grow over the whole region, on a background far below zero, and the
    place is lost. `width_range` holds the width near the guess; a fit that ends there has the `result_code` 6.
    """

    fit_columns = (*_SQUARES, "sigma", "error_sigma")

    width_range = Float(
        None,
        low=1.0,
        desc="the fitted width lies between psf_sigma_guess over and times this number; null: any (bandpass, as PYME), "
        f"{WIDTH_RANGE:g} (matched)",
    )

    def settings(self) -> dict[str, Any]:
        reach = self.width_range
        if reach is None and self.detection == "matched":
            reach = WIDTH_RANGE
        return {"model": "plane", "width_range": reach}


class AstigGaussFitFR(_PymeFit):
    """Localizes by least squares with a width along x and one along y, as PYME's module of that name; Astig_Z makes z of them.

    As LatGaussFitFR otherwise.
    """

    fit_columns = (*_SQUARES, "sigma_x", "sigma_y", "error_sigma_x", "error_sigma_y")

    roi_half_size = Int(7, low=1, high=30, unit="pixel", desc="a fit takes 2 n + 1 pixels along x and y")

    def settings(self) -> dict[str, Any]:
        return {"model": "plane_xy"}
