"""Precision and resolution before and after a correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context

STRETCH = 50
"""Frames that are kept or left out together where there are more localizations than needed."""
SPLITS = 4
NEAREST, RINGS = 300_000, 2_000_000
"""Localizations that take part in NeNA and in FRC, at most."""


@dataclass(frozen=True)
class Sharpness:
    """How sharp a table is; None with a reason where that cannot be told.

    Attributes
    ----------
    nena, nena_error : float or None
        Precision by nearest neighbours, nm.
    frc, frc_error : float or None
        Resolution by Fourier ring correlation and its standard deviation over splits, nm.
    later : float
        How frequent near neighbours still are 50 frames later; 1 where distances are those of a structure.
    reasons : dict
        'nena' or 'frc' -> why it could not be measured.
    """

    nena: float | None
    nena_error: float | None
    frc: float | None
    frc_error: float | None
    later: float
    reasons: dict[str, str]


def thinned(table: Localizations, most: int) -> Localizations:
    """About `most` localizations at most, in stretches of frames that are spread over the movie."""
    every = -(-len(table) // most)
    if every <= 1:
        return table
    frames = np.nan_to_num(np.asarray(table["frame"], dtype=np.float64), nan=-1.0)
    return table.select(np.flatnonzero((np.floor(frames / STRETCH)).astype(np.int64) % every == 0))


def measure_sharpness(ctx: Context, table: Localizations, seed: int) -> Sharpness:
    """Precision and resolution of a table."""
    from recipes_modules.quality import frc, nena

    reasons: dict[str, str] = {}
    near: Any = None
    rings: Any = None
    try:
        near = nena(*_columns(table, NEAREST), mapper=ctx.map)
    except DataError as error:
        reasons["nena"] = error.message
    try:
        rings = frc(*_columns(table, RINGS), n_splits=SPLITS, rng=seed, mapper=ctx.map)
    except DataError as error:
        reasons["frc"] = error.message
    return Sharpness(
        nena=near and float(near.precision),
        nena_error=near and float(near.error),
        frc=rings and float(rings.resolution),
        frc_error=rings and float(rings.error),
        later=float(near.later) if near else 1.0,
        reasons=reasons,
    )


def _columns(table: Localizations, most: int) -> tuple[Any, Any, Any]:
    few = thinned(table.only(["x", "y", "frame"]), most)
    return few["x"], few["y"], few["frame"]
