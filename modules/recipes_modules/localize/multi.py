"""From spots to the emitters of groups: what the multi-emitter modules hand to the streaming base. Importing this file imports numba."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.localize.movie import Spots
from recipes_modules.localize.multi_alone import (
    BEHIND,
    CODE,
    COLUMNS,
    COUNTS,
    DEVIANCE,
    ERROR_COUNTS,
    ERROR_GROUND,
    ERROR_X,
    ERROR_Y,
    GROUND,
    PARAMETERS,
    PIXELS,
    SIZE,
    SNR,
    WIDTH_INFORMATION,
    WIDTH_SCORE,
    X,
    Y,
)
from recipes_modules.localize.multi_group import Frames
from recipes_modules.localize.multi_signs import NARROW

Array = npt.NDArray[Any]

SPLIT, SPLIT_KNOWN, ADD, ITERATIONS = -6.0, -15.0, 2.0, 16
"""Gain below which a split is not tried, the same where counts are near their mean; score below which an addition is not tried; iterations
of the deconvolution."""
BONUS = 1.0
"""Added to the logarithm of the density: Laplace's approximation makes too little of dim emitters, as simulations show."""


def multi_mle(spots: Spots, settings: Mapping[str, Any]) -> dict[str, Array]:
    """Joint maximum likelihood of groups of emitters.

    `settings` hold ``mean`` and ``shape`` of the gamma distribution of photons, and ``density``, the emitters to be expected in a pixel;
    ``shift`` and ``spread`` of the background against that of the detection, where they are known (photons); ``learning`` asks for
    columns from which all that can be learnt.
    """
    found, index = fit_groups(spots, settings)
    good = found[:, CODE] > 0
    found[~good, :CODE] = np.nan
    size_x, size_y = spots.camera.pixel_size
    excess = spots.camera.noise_factor**2
    photons = found[:, COUNTS] * excess
    known = _known_background(spots, found, index)
    freedom = np.maximum(found[:, PIXELS] - found[:, PARAMETERS], 1)
    columns = {
        "x": found[:, X] * size_x,
        "y": found[:, Y] * size_y,
        "photons": photons,
        "background": found[:, GROUND] * excess + known,
        "error_x": found[:, ERROR_X] * size_x,
        "error_y": found[:, ERROR_Y] * size_y,
        "error_photons": found[:, ERROR_COUNTS] * excess,
        "error_background": found[:, ERROR_GROUND] * excess,
        "chi2": found[:, DEVIANCE] / freedom,
        "A": photons / (2 * np.pi * spots.sigma**2) * spots.camera.counts_per_electron,
        "sigma": np.where(good, spots.sigma * (size_x + size_y) / 2, np.nan),
        "log_likelihood": -0.5 * found[:, DEVIANCE],
        "subtracted_background": known,
        "detection": found[:, SNR],
    }
    if settings.get("learning"):
        columns |= {
            "behind": found[:, BEHIND] * excess, "width_score": found[:, WIDTH_SCORE], "width_information": found[:, WIDTH_INFORMATION]
        }  # fmt: skip
    made: dict[str, Array] = {name: values.astype(np.float32) for name, values in columns.items()}
    return made | {
        "index": index,
        "result_code": found[:, CODE].astype(np.int32),
        "emitters": found[:, SIZE].astype(np.int32),
    }


def compile_first(spots: Spots, settings: Mapping[str, Any]) -> None:
    """Compile what spots alone need, where another process is at `compile_rest`; `spots` are any.

    That begins with fits and trials. So what tells of their results comes first here, and then what shares code with the trials.
    """
    Frames(spots.half, _known(spots, settings), np.zeros(4)).compile_report()
    alone = np.array([0])
    multi_mle(replace(spots, index=spots.index[alone], rows=spots.rows[alone], columns=spots.columns[alone]), settings)


def compile_rest(spots: Spots, settings: Mapping[str, Any]) -> None:
    """Compile what small groups need; `spots` are any that are close to each other. Few movies need more."""
    none = np.empty((0, 0), np.float32)
    how = np.array([SPLIT, ADD, ITERATIONS, 1.0])
    frames = Frames(spots.half, _known(spots, settings), how)
    images = (spots.frames[0], spots.variance[0], spots.backgrounds[0] if len(spots.backgrounds) else none, spots.frames[0])
    rows, columns = (places[spots.index == 0] for places in spots.pixels)
    frames.compile(images, rows, columns)


def _known(spots: Spots, settings: Mapping[str, Any]) -> Array:
    """See `multi_scene.SIGMA` and those after it."""
    excess, spread = np.float32(spots.camera.noise_factor**2), settings.get("spread")
    return np.array(
        [
            spots.sigma, settings["shape"], settings["mean"] / excess, np.log(settings["density"]) + BONUS, 1e-3, 0.0,
            settings.get("shift", 0.0) / excess, 0.0 if spread is None else (excess / spread) ** 2,
        ]
    )  # fmt: skip


def fit_groups(spots: Spots, settings: Mapping[str, Any]) -> tuple[Array, Array]:
    """All emitters of some frames (n, COLUMNS), see `multi_alone`, and their frames as indices.

    Counts are photoelectrons divided by the square of the noise factor.
    """
    excess = np.float32(spots.camera.noise_factor**2)
    rows, columns = spots.pixels
    order = np.argsort(spots.index, kind="stable")
    bounds = np.searchsorted(spots.index[order], np.arange(len(spots.frames) + 1))
    split = SPLIT_KNOWN if settings["shape"] > NARROW else SPLIT
    how = np.array([split, ADD, ITERATIONS, bool(settings.get("learning"))], float)
    variance = np.ascontiguousarray(spots.variance / excess**2)
    none = np.empty((0, 0), np.float32)

    def scaled(image: Array) -> Array:
        return image if excess == 1 else image / excess

    frames = Frames(spots.half, _known(spots, settings), how)
    parts, index = [np.empty((0, COLUMNS))], [np.empty(0, np.int64)]
    for frame in range(len(spots.frames)):
        mine = order[bounds[frame] : bounds[frame + 1]]
        if not len(mine):
            continue
        counts = scaled(spots.frames[frame])
        back = scaled(spots.backgrounds[frame]) if len(spots.backgrounds) else none
        guess = counts if spots.behind is None else scaled(spots.behind[frame])
        part = frames.fit((counts, variance[frame if len(variance) > 1 else 0], back, guess), rows[mine], columns[mine])
        parts.append(part)
        index.append(np.full(len(part), frame))
    return np.concatenate(parts), np.concatenate(index)


def _known_background(spots: Spots, found: Array, index: Array) -> Array:
    """Known background at each emitter, photoelectrons."""
    if not len(spots.backgrounds):
        return np.zeros(len(found))
    height, width = spots.frames.shape[1:]
    with np.errstate(invalid="ignore"):
        y = np.clip(np.nan_to_num(np.rint(found[:, Y])), 0, height - 1).astype(np.int64)
        x = np.clip(np.nan_to_num(np.rint(found[:, X])), 0, width - 1).astype(np.int64)
    return np.asarray(spots.backgrounds[index, y, x], np.float64)
