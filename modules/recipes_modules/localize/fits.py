"""From spots to columns: what the fit modules hand to the streaming base. Importing this file imports numba: do it on use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.localize.fitting import FitSettings, fit_spots
from recipes_modules.localize.movie import Spots
from recipes_modules.localize.spotfit.fit import compile_cutting, compile_fitting

Array = npt.NDArray[Any]

LEAST_COUNT = 1.0
"""PYME takes counts below this one (ADU) for this one when it estimates their noise."""


def mle(spots: Spots, settings: Mapping[str, Any]) -> dict[str, Array]:
    """Maximum likelihood of a Gaussian integrated over pixels.

    `settings` hold the ``model`` (fixed, sigma, sigma_xy), and ``spread``, how much the widths of the movie's spots differ (pixels), where
    that is known.
    """
    how = FitSettings(
        "mle", settings["model"], spots.half, spots.sigma, settings.get("spread"), noise_factor=spots.camera.noise_factor
    )
    found = _fit(spots, how)
    columns = _counted(found, spots) | {"log_likelihood": -0.5 * found["deviance"]}
    return _single(columns) | {"result_code": found["result_code"].astype(np.int32)}


def gauss_lsq(spots: Spots, settings: Mapping[str, Any]) -> dict[str, Array]:
    """Least squares of a Gaussian integrated over pixels, each weighted by the variance that the model expects.

    `settings` hold the ``model`` (fixed, sigma, sigma_xy).
    """
    how = FitSettings("lsq", settings["model"], spots.half, spots.sigma, noise_factor=spots.camera.noise_factor)
    found = _fit(spots, how)
    return _single(_counted(found, spots)) | {"result_code": found["result_code"].astype(np.int32)}


def lsq(spots: Spots, settings: Mapping[str, Any]) -> dict[str, Array]:
    """Least squares of a Gaussian on a plane with PYME's weights.

    `settings` hold the ``model`` (plane, plane_xy), and ``width_range``: by how much widths may differ from the guess, as a factor.
    """
    camera = spots.camera
    counts = camera.counts_per_electron
    reach = settings.get("width_range")
    how = FitSettings(
        "lsq", settings["model"], spots.half, spots.sigma, weighting="measured", noise_factor=camera.noise_factor,
        floor=LEAST_COUNT / counts, width_range=None if reach is None else (spots.sigma / reach, spots.sigma * reach),
    )  # fmt: skip
    found = _fit(spots, how)
    width_x, width_y = _pixels_wide(found, spots)
    columns = _shared(found, spots) | {
        "photons": found["A"] * 2 * np.pi * width_x * width_y, "A": found["A"] * counts, "error_A": found["error_A"] * counts
    }  # fmt: skip
    for axis, size in zip("xy", camera.pixel_size, strict=True):
        columns[f"fitResults_b{axis}"] = found[f"slope_{axis}"] * counts / size
        columns[f"fitError_b{axis}"] = found[f"error_slope_{axis}"] * counts / size
    whole = {"result_code": found["result_code"].astype(np.int32)}
    for axis, corner in zip("xy", reversed(spots.corners), strict=True):
        whole[f"slicesUsed_{axis}_start"] = corner.astype(np.int32)
        whole[f"slicesUsed_{axis}_stop"] = (corner + 2 * spots.half + 1).astype(np.int32)
    return _single(columns) | whole


def compile_first(spots: Spots, settings: Mapping[str, Any]) -> None:
    """Compile what cuts regions, where another process is at `compile_rest`; all fits share both."""
    compile_cutting()


def compile_rest(spots: Spots, settings: Mapping[str, Any]) -> None:
    """Compile what fits them."""
    compile_fitting()


def _fit(spots: Spots, how: FitSettings) -> dict[str, Array]:
    background = spots.backgrounds if len(spots.backgrounds) else None
    return fit_spots(spots.frames, spots.rows, spots.columns, spots.index, spots.variance, how, background)


def _counted(found: Mapping[str, Array], spots: Spots) -> dict[str, Array]:
    """Columns of the models that are integrated over pixels."""
    width_x, width_y = _pixels_wide(found, spots)
    return _shared(found, spots) | {
        "photons": found["photons"],
        "A": found["photons"] / (2 * np.pi * width_x * width_y) * spots.camera.counts_per_electron,
        "error_photons": found["error_photons"],
    }


def _pixels_wide(found: Mapping[str, Array], spots: Spots) -> tuple[Array, Array]:
    """Widths along x and y in pixels."""
    if "sigma_x" in found:
        return found["sigma_x"], found["sigma_y"]
    width = found["sigma"] if "sigma" in found else np.where(np.isfinite(found["x"]), spots.sigma, np.nan)
    return width, width


def _shared(found: Mapping[str, Array], spots: Spots) -> dict[str, Array]:
    """Places, widths and backgrounds in the units of the vocabulary."""
    size_x, size_y = spots.camera.pixel_size
    sizes = {"x": size_x, "y": size_y, "sigma": (size_x + size_y) / 2, "sigma_x": size_x, "sigma_y": size_y}
    columns = {}
    for name, size in sizes.items():
        for column in (name, f"error_{name}"):
            if column in found:
                columns[column] = found[column] * size
    known = spots.known_background()
    if "sigma" not in found and "sigma_x" not in found:
        columns["sigma"] = _pixels_wide(found, spots)[0] * sizes["sigma"]
    return columns | {
        "background": found["background"] + known,
        "error_background": found["error_background"],
        "subtracted_background": known,
        "chi2": found["chi2"],
    }


def _single(columns: Mapping[str, Array]) -> dict[str, Array]:
    """In single precision, as PYME stores them: a hundredth of a nanometre in a field of 100 um."""
    return {name: values.astype(np.float32) for name, values in columns.items()}
