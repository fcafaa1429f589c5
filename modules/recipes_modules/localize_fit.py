"""Fits of single emitters: from a movie to localizations."""

from __future__ import annotations

from typing import Any

from recipes_core.ports import Choice
from recipes_modules.localize.base import COMMON, FitModule
from recipes_modules.localize.movie import Fit


class GaussMLE(FitModule):
    """Localizes by maximum likelihood: a Gaussian integrated over pixels, shot noise and the camera's read noise, pixel by pixel.

    Errors are Cramer-Rao bounds at the fitted values. Source: Huang et al. 2013, doi:10.1038/nmeth.2488; Smith et al. 2010,
    doi:10.1038/nmeth.1449.
    """

    fit_columns = (*COMMON, "sigma", "error_photons", "error_background", "error_sigma", "log_likelihood", "subtracted_background")

    model = Choice(("one sigma", "fixed sigma"), "one sigma", desc="whether the width is fitted")

    own_settings = ("model",)

    def fitter(self) -> Fit:
        from recipes_modules.localize.fits import mle

        return mle


class AstigGaussMLE(FitModule):
    """Localizes by maximum likelihood with a width along x and one along y, for astigmatic 3D (see Astig_Z)."""

    fit_columns = (
        *COMMON, "sigma_x", "sigma_y", "error_photons", "error_background", "error_sigma_x", "error_sigma_y", "log_likelihood",
        "subtracted_background",
    )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        return {"model": "two sigmas"}

    def fitter(self) -> Fit:
        from recipes_modules.localize.fits import mle

        return mle
