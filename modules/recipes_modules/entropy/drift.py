"""From a table to a drift."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes_core.data import Drift, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules.entropy.density import TooFine
from recipes_modules.entropy.estimate import Estimator
from recipes_modules.entropy.prepare import Prepared, prepare

MOST_PARTS = 4


def measure_drift(ctx: Context, table: Localizations, *, deep: bool, channel: str, start: float | None) -> Drift:
    """Estimate the drift and say what is doubtful about it."""
    parts = min(ctx.n_threads, MOST_PARTS)
    given = prepare(table, deep=deep, channel=channel, map_=ctx.map)
    if given.n_left_out:
        ctx.say(f"{given.n_left_out:,} of {len(table):,} localizations have NaN and took no part")
    rounds = Rounds(ctx, deep)
    estimator = Estimator(given.events, ctx.map, parts, rounds)
    try:
        estimator.lateral(start)
        if deep:
            estimator.axial(given.ratio)
    except TooFine as error:
        size = " x ".join(f"{value / 1000:,.4g}" for value in (given.events.high - given.events.low)[: 3 if deep else 2])
        raise DataError(
            f"the localizations extend over {size} um, too far for a density of them.",
            code="D414",
            hint="Filter out localizations that lie far away.",
        ) from error
    ctx.progress(1, 1)
    return _drift(ctx, given, estimator, deep)


class Rounds:
    """Tells the progress; how many rounds there will be shows only on the way."""

    def __init__(self, ctx: Context, deep: bool) -> None:
        self.ctx = ctx
        self.done = 0
        self.expected = 15 if deep else 11

    def __call__(self, *_: Any) -> None:
        self.done += 1
        self.ctx.progress(min(self.done, self.expected - 1), self.expected)


def _drift(ctx: Context, given: Prepared, estimator: Estimator, deep: bool) -> Drift:
    found = estimator.found
    axes = 3 if deep else 2
    if not (found.information[:axes] > 0).all():
        raise DataError(
            "the localizations have nothing in common from which a drift could be seen.",
            code="D420",
            hint="They may be too few, or show no structure.",
        )
    for axis, smoothed in zip("xyz", found.smoothed, strict=False):
        for frame in sorted(smoothed.jumps):
            ctx.say(f"the drift along {axis} jumps before frame {given.first + frame:,}")
    for doubt in estimator.doubts():
        ctx.warn(f"the drift is doubtful {doubt}; its standard errors may be too small")
    frames = given.first + np.arange(len(found.drift), dtype=np.float64)
    error = np.sqrt(found.variance)
    correction = -(found.drift - found.drift[0])
    if not deep:
        correction[:, 2] = error[:, 2] = 0
    return Drift(frames, correction, error=error, exact=True)
