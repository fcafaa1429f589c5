"""Collect what speaks for and against a drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules.verdict.alone import find_alone
from recipes_modules.verdict.compare import Difference, Moments, compare, mean_error, mean_of
from recipes_modules.verdict.judge import Evidence, Verdict, judge
from recipes_modules.verdict.methods import Method, Within
from recipes_modules.verdict.parts import Blinks, find_blinks, halves, middles, runs, sides, without_beads
from recipes_modules.verdict.sharpness import measure_sharpness, thinned
from recipes_modules.verdict.windows import compare_windows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HALF = 250_000
"""Localizations of a half, at most: more would show smaller errors, but no other mistakes."""
COMPARED = 500_000
"""Localizations that take part in the comparison of windows, at most."""
FEWEST = 50
DOUBTFUL = "doubtful"


@dataclass(frozen=True)
class Found:
    """A drift, how it was measured, and what the method said about it."""

    drift: Drift
    method: Method
    warnings: tuple[str, ...]
    messages: tuple[str, ...]


def check(
    ctx: Context, table: Localizations, corrected: Localizations, found: Found, precision: Floats
) -> tuple[Evidence, Verdict]:
    """Look at a drift from all sides.

    Parameters
    ----------
    table, corrected : Localizations
        Before and after.
    found : Found
    precision : array (3,)
        Of a localization along each axis, nm; 0 where it is not known.
    """
    rng = ctx.rng
    moments = Moments.of(np.asarray(table["frame"], dtype=np.float64))
    blinks = find_blinks(table, float(precision[0]))
    rows = without_beads(blinks, int(np.ptp(moments.frames)) + 1)
    seen = [tab if rows is None else tab.select(rows) for tab in (table, corrected)]
    seed = int(rng.integers(2**31))
    before = measure_sharpness(ctx, seen[0], seed)
    ctx.progress(0.1, 1.0)
    after = measure_sharpness(ctx, seen[1], seed)
    ctx.progress(0.2, 1.0)
    scale = _scale(precision, after.nena)
    sizes = blinks.sizes.astype(np.float64)
    weight = moments.counts / moments.counts.sum()
    path = found.drift.at(moments.frames)
    evidence = Evidence(
        scale=scale,
        claimed=mean_error(found.drift, moments),
        span=np.sqrt(np.maximum(weight @ (path - weight @ path) ** 2, 0.0)),
        axes=3 if found.method.deep else 2,
        places=float(sizes.sum() ** 2 / (sizes**2).sum()),
        before=before,
        after=after,
        doubts=[warning for warning in found.warnings if DOUBTFUL in warning],
        alone=find_alone(found.drift, moments, scale, 3 if found.method.deep else 2),
    )
    for split in _splits(table, corrected, blinks, rng):
        outcome = _measured(ctx, table, split, found.method, moments)
        if isinstance(outcome, str):
            evidence.missing.append(outcome)
            continue
        evidence.differences.append(outcome)
        if split.short == "halves":
            inner = mean_of(outcome.drifts, moments)
            name = "all localizations, and those away from the edges of the field,"
            evidence.differences.append(compare(name, "edges", (found.drift, inner), moments, share=1.0))
    if found.method.name != "entropy":
        other = _other(Within(ctx, 0.8, 0.9), table, found, moments)
        evidence.differences += [] if other is None else [other]
    try:
        evidence.windows = compare_windows(Within(ctx, 0.9, 1.0), thinned(seen[1], COMPARED), float(scale[:2].mean()))
    except DataError as error:
        evidence.missing.append(f"parts of the corrected movie cannot be compared: {error.message.rstrip('.')}")
    return evidence, judge(evidence)


def _scale(precision: Floats, nena: float | None) -> Floats:
    """Precision along each axis, nm; what is not known is taken from the others, and from nearest neighbours."""
    lateral = precision[:2].copy()
    lateral[lateral <= 0] = lateral.max() if lateral.max() > 0 else (nena or 20.0)
    return np.append(lateral, precision[2] if precision[2] > 0 else 2.5 * lateral.mean())


@dataclass(frozen=True)
class Split:
    """Rows of two parts of a table, and what part of the check they are."""

    name: str
    short: str
    rows: tuple[Ints, Ints]
    progress: tuple[float, float]


def _splits(table: Localizations, corrected: Localizations, blinks: Blinks, rng: np.random.Generator) -> list[Split]:
    places = middles(blinks, corrected)
    made = [
        Split("two random halves of the molecules", "halves", halves(blinks, places, rng, HALF), (0.2, 0.5)),
        Split("the left and the right half of the field", "sides", sides(blinks, places, rng, HALF), (0.5, 0.8)),
    ]
    again = runs(np.asarray(table["frame"], dtype=np.float64), blinks)
    if again is not None:
        made.append(Split("rows before and after the frames of the table begin anew", "runs", again, (0.8, 0.9)))
    return made


def _measured(ctx: Context, table: Localizations, split: Split, method: Method, moments: Moments) -> Difference | str:
    """Difference of the drifts of two parts, or why there is none."""
    begin, end = split.progress
    middle = (begin + end) / 2
    drifts = []
    for rows, part in zip(split.rows, ((begin, middle), (middle, end)), strict=True):
        if len(rows) < FEWEST:
            return f"{split.name} cannot be compared: one holds {len(rows)} localizations"
        try:
            drifts.append(method.for_half()(Within(ctx, *part), table.select(np.sort(rows))))
        except DataError as error:
            return f"{split.name} cannot be compared, because one of them alone shows no drift: {error.message.rstrip('.')}"
    return compare(split.name, split.short, (drifts[0], drifts[1]), moments)


def _other(ctx: Within, table: Localizations, found: Found, moments: Moments) -> Difference | None:
    """Difference to minimum entropy, which follows the drift from frame to frame: windows do not see what moves within them."""
    try:
        drift = Method("entropy", found.method.deep)(ctx, table)
    except DataError:
        return None
    if any(DOUBTFUL in warning for warning in ctx.warnings):
        return None
    return compare("this method and that of minimum entropy", "entropy", (found.drift, drift), moments, share=1.0)
