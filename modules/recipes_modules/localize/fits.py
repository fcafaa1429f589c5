"""The fits of the modules: from spots to columns. Importing this file imports numba: do it on use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.localize.gauss_mle import fit_mle
from recipes_modules.localize.models import FIXED, SIGMA, SIGMA_XY, SIZES
from recipes_modules.localize.movie import Spots

Array = npt.NDArray[Any]

TOLERANCE = 1e-3
MOST_ITERATIONS = 50
NO_CURVES = np.zeros((3, 5))
MODELS = {"one sigma": SIGMA, "two sigmas": SIGMA_XY, "fixed sigma": FIXED}


def mle(spots: Spots, settings: Mapping[str, Any]) -> dict[str, Array]:
    """Maximum likelihood of a Gaussian integrated over pixels; `settings` hold ``model``, a key of `MODELS`."""
    model = MODELS[settings["model"]]
    camera = spots.camera
    excess = float(camera.noise_factor) ** 2
    theta, error, quality, how = fit_mle(
        spots.frames, spots.index, *spots.pixels, spots.half, spots.variance, spots.backgrounds, model, spots.sigma, NO_CURVES,
        excess, TOLERANCE, MOST_ITERATIONS,
    )  # fmt: skip
    size_x, size_y = camera.pixel_size
    size = (size_x + size_y) / 2
    known = spots.known_background()
    sigma_x = theta[:, 4] if model != FIXED else np.full(len(spots), spots.sigma)
    sigma_y = theta[:, 5] if model == SIGMA_XY else sigma_x
    peak = theta[:, 2] / (2 * np.pi * sigma_x * sigma_y) * camera.counts_per_electron
    columns = {
        "x": theta[:, 0] * size_x,
        "y": theta[:, 1] * size_y,
        "photons": theta[:, 2],
        "background": theta[:, 3] + known,
        **({"sigma_x": sigma_x * size_x, "sigma_y": sigma_y * size_y} if model == SIGMA_XY else {"sigma": sigma_x * size}),
        "error_x": error[:, 0] * size_x,
        "error_y": error[:, 1] * size_y,
        "error_photons": error[:, 2],
        "error_background": error[:, 3],
    }
    if model == SIGMA_XY:
        columns |= {"error_sigma_x": error[:, 4] * size_x, "error_sigma_y": error[:, 5] * size_y}
    elif model == SIGMA:
        columns |= {"error_sigma": error[:, 4] * size}
    with np.errstate(divide="ignore", invalid="ignore"):
        chi2 = quality[:, 0] / np.maximum(quality[:, 1] - SIZES[model], 1)
    columns |= {"chi2": chi2, "log_likelihood": -0.5 * quality[:, 0], "A": peak, "subtracted_background": known}
    found: dict[str, Array] = {name: values.astype(np.float32) for name, values in columns.items()}
    return found | {"result_code": how[:, 0]}
