"""Fits of spots in blocks of frames, from arrays to named columns. Importing this file imports numba: do it on use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError
from recipes_modules.localize.spotfit.fit import fit_block
from recipes_modules.localize.spotfit.models import DEPTH, FIXED, PLANE, PLANE_XY, SIGMA, SIGMA_XY, SIZES
from recipes_modules.localize.spotfit.solving import CONVERGED, EDGE, FAILED, LIMIT
from recipes_modules.localize.spotfit.staging import EQUAL, EXPECTED, LIKELIHOOD, MEASURED, Way

Array = npt.NDArray[Any]

MODELS = {"fixed": FIXED, "sigma": SIGMA, "sigma_xy": SIGMA_XY, "depth": DEPTH, "plane": PLANE, "plane_xy": PLANE_XY}
WEIGHTINGS = {"expected": EXPECTED, "measured": MEASURED, "equal": EQUAL}
NAMES = {
    FIXED: (),
    SIGMA: ("sigma",),
    SIGMA_XY: ("sigma_x", "sigma_y"),
    DEPTH: ("z",),
    PLANE: ("sigma", "slope_x", "slope_y"),
    PLANE_XY: ("sigma_x", "sigma_y", "slope_x", "slope_y"),
}
"""Names of the parameters after x, y, photons (A for the sampled models) and background."""

WELL_KNOWN = 0.1
"""A width counts for `width_of_spots` where its error is below this part of it."""
LEAST_SPREAD = 0.05
"""The part of the width below which real spots are not taken to agree."""
ENOUGH = 30


@dataclass(frozen=True)
class FitSettings:
    """How spots are fitted; lengths in pixels.

    Attributes
    ----------
    method : {'mle', 'lsq'}
        Maximum likelihood, or least squares.
    model : {'fixed', 'sigma', 'sigma_xy', 'depth', 'plane', 'plane_xy'}
        See `recipes_modules.localize.spotfit.models`; the sampled ones are for 'lsq' only.
    half : int
        The region has ``2 half + 1`` pixels a side.
    sigma : float or (x, y)
        Width to start from, or the fixed one.
    spread : float, optional
        Standard deviation of the widths of real spots about `sigma`; None: nothing is known about them. 'mle' only.
    width_range : (lowest, highest), optional
        Of fitted widths; None: whatever fits into a region.
    weighting : {'expected', 'measured', 'equal'}
        Of the pixels, for 'lsq'.
    noise_factor : float
        By which electron multiplication widens shot noise: 1.41 for EMCCDs, else 1.
    floor : float
        For 'measured': counts below this many photoelectrons are taken for this many.
    curves : array (3, 5), optional
        For 'depth'; see `fit_block`.
    tolerance : float
        See `fit_block`.
    most_iterations : int
    """

    method: str = "mle"
    model: str = "sigma"
    half: int = 3
    sigma: float | tuple[float, float] = 1.3
    spread: float | None = None
    width_range: tuple[float, float] | None = None
    weighting: str = "expected"
    noise_factor: float = 1.0
    floor: float = 1.0
    curves: Array | None = None
    tolerance: float = 1e-3
    most_iterations: int = 50


def fit_spots(
    frames: Array, rows: Array, columns: Array, index: Array, variance: Array | float, settings: FitSettings, background: Array | None = None
) -> dict[str, Array]:  # fmt: skip
    """Cut and fit all spots of a block in one compiled pass.

    Parameters
    ----------
    frames : array (t, y, x)
        Photoelectrons. Pixels that are not finite take no part.
    rows, columns : array (n,)
        Places of the spots, pixels.
    index : array (n,)
        Frame of each spot, as an index into `frames`.
    variance : array (y, x) or (t, y, x), or float
        Read-noise variance, photoelectrons^2; infinite for pixels that are not to be used.
    settings : FitSettings
    background : array (t, y, x), optional
        Known background below the spots; the fitted one is what is left.

    Returns
    -------
    dict of str to array (n,)
        In pixels and photoelectrons, positions from the centre of the frame's first pixel: ``x``, ``y``, ``photons`` (``A``, the height,
        for the sampled models), ``background``, widths, ``z`` or slopes as the model has them; each with ``error_``; ``deviance`` (chi
        square for 'lsq') and ``chi2``, which is the same over the degrees of freedom; ``pixels``, ``iterations``, ``result_code``: 1
        converged, 5 iterations used up, 6 a parameter at an end of its range, 0 failed, with NaN everywhere.

    Raises
    ------
    DataError
        D100 where arrays or settings do not go together.
    """
    model, excess = _checked(settings, frames), float(settings.noise_factor) ** 2
    # Numba would compile all anew for arrays that are not to be written to.
    frames = np.require(frames, np.float32, ["C", "W"])
    shape = frames.shape[1:]
    noise = np.asarray(variance, np.float32) / np.float32(excess)
    if noise.ndim < 3:
        noise = np.broadcast_to(noise, shape)[np.newaxis]
    noise = np.require(noise, None, ["C", "W"])
    known = np.empty((0, *shape), np.float32) if background is None else np.require(background, np.float32, ["C", "W"])
    if noise.shape[1:] != shape or len(noise) not in (1, len(frames)) or (len(known) and known.shape != frames.shape):
        raise DataError(
            f"frames of {frames.shape} pixels do not go with a variance of {noise.shape} or a background of {known.shape}",
            code="D100",
        )
    places = [np.clip(np.rint(place), 0, size - 1).astype(np.int64) for place, size in zip((rows, columns), shape, strict=True)]
    which = np.require(index, np.int64, ["C", "W"])
    if len(which) and not (which.min() >= 0 and which.max() < len(frames)):
        raise DataError(f"spots lie in frames {which.min()} to {which.max()} of {len(frames)}", code="D100")
    widths = np.ones(2) * np.asarray(settings.sigma, np.float64)
    curves = np.zeros((3, 5), np.float32) if settings.curves is None else np.require(settings.curves, np.float32, ["C", "W"])
    method = LIKELIHOOD if settings.method == "mle" else WEIGHTINGS[settings.weighting]
    precision = 1.0 / settings.spread**2 if settings.method == "mle" and settings.spread else 0.0
    reach = np.array(settings.width_range or (0.0, np.inf), np.float64)
    way = Way(
        method, model, widths, reach, precision, curves, float(settings.floor), excess, float(settings.tolerance),
        settings.most_iterations,
    )  # fmt: skip
    theta, errors, quality, how = fit_block(frames, which, *places, settings.half, noise, known, way)
    names = ("x", "y", "A" if model >= PLANE else "photons", "background", *NAMES[model])
    found: dict[str, Array] = {name: theta[:, a] for a, name in enumerate(names)}
    found |= {f"error_{name}": errors[:, a] for a, name in enumerate(names)}
    free = np.maximum(quality[:, 1] - SIZES[model], 1)
    return found | {
        "deviance": quality[:, 0],
        "chi2": quality[:, 0] / free,
        "pixels": quality[:, 1].astype(np.int32),
        "iterations": how[:, 1],
        "result_code": how[:, 0],
    }


def fit_regions(
    regions: Array, variance: Array | float, settings: FitSettings, background: Array | None = None
) -> dict[str, Array]:
    """`fit_spots` for regions (n, k, k) that are cut already; positions are from the centre of the middle pixel."""
    n, ny, nx = regions.shape
    row, column = ny // 2, nx // 2
    found = fit_spots(regions, np.full(n, row), np.full(n, column), np.arange(n), variance, settings, background)
    return found | {"x": found["x"] - column, "y": found["y"] - row}


def width_of_spots(sigma: Array, error: Array, code: Array) -> tuple[float, float] | None:
    """Width of a movie's spots and how much it differs between them, for `FitSettings.spread`, from a first fit of some of them.

    Parameters
    ----------
    sigma, error, code : array (n,)
        Widths, their errors, and result codes.

    Returns
    -------
    (width, spread) or None
        Median, and standard deviation after that of the errors is taken off; None where too few widths are known well.
    """
    known = (code == CONVERGED) & (error < WELL_KNOWN * sigma)
    if np.count_nonzero(known) < ENOUGH:
        return None
    width = float(np.median(sigma[known]))
    observed = 1.4826 * float(np.median(np.abs(sigma[known] - width)))
    spread = np.sqrt(max(observed**2 - float(np.median(error[known])) ** 2, 0.0))
    return width, max(float(spread), LEAST_SPREAD * width)


def _checked(settings: FitSettings, frames: Array) -> int:
    if settings.model not in MODELS or settings.method not in ("mle", "lsq") or settings.weighting not in WEIGHTINGS:
        raise DataError(
            f"there is no fit '{settings.method}' of '{settings.model}' with '{settings.weighting}' weights", code="D100"
        )
    model = MODELS[settings.model]
    if model >= PLANE and settings.method == "mle":
        raise DataError(f"the model '{settings.model}' can be fitted by least squares only", code="D100")
    if model == DEPTH and settings.curves is None:
        raise DataError("a fit of z needs the curves of a calibration", code="D100", hint="Use Astig_Calibrate first.")
    if frames.ndim != 3:
        raise DataError(f"frames have axes (t, y, x), not {frames.ndim} of them", code="D100")
    return model


__all__ = ["CONVERGED", "EDGE", "FAILED", "LIMIT", "FitSettings", "fit_regions", "fit_spots", "width_of_spots"]
