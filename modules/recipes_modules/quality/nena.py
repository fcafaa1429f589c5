"""Localization precision from nearest neighbours in consecutive frames (NeNA)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError
from recipes_modules.quality.neighbours import BLOCKS, Mapper, Sequence, next_frame_distances
from recipes_modules.quality.nena_model import Model, choose

Floats = npt.NDArray[np.float64]

N_BINS = 96
FARTHEST = 1000.0
"""nm; the widest search for neighbours."""
REACH = 10.0
"""Distances are fitted up to so many times the precision."""
FEWEST = 50
ROUNDS = 4
LATER = 50
_NORMAL_95 = 1.96
_HALF, _AT_HALF = 0.5, 1.5936


@dataclass(frozen=True)
class NenaResult:
    """What the nearest neighbours in consecutive frames say.

    Attributes
    ----------
    precision : float
        Standard error of a localization along one axis, root mean square, nm.
    error : float
        Standard error of `precision`, nm, from parts of the movie left out one by one.
    band : (float, float)
        95 % confidence band of `precision`, nm.
    scale : float or None
        Precision over the claimed errors, where errors were given: 1 where they are right.
    spread : float
        Standard deviation over mean of the squared precisions, as far as the distances show that they differ; 0 with `error`.
    persistence : float
        Share of localizations whose molecule is localized in the next frame as well.
    density : float
        Localizations of other molecules around one, per um^2 and frame.
    edges : array (n + 1,)
        Bins of distance: nm, or multiples of the claimed error where errors were given.
    counts, fitted, same : array (n,)
        Nearest neighbours in each bin: found, of the fitted model, and of its part that is the same molecule.
    n : int
        Nearest neighbours within the fitted range.
    later : float
        How frequent such near neighbours still are 50 frames later, as a share of those in the next frame. Where that is not much
        below 1, molecules stay on for long, or the distances are those of a structure and not of one molecule.
    """

    precision: float
    error: float
    band: tuple[float, float]
    scale: float | None
    spread: float
    persistence: float
    density: float
    edges: Floats
    counts: Floats
    fitted: Floats
    same: Floats
    n: int
    later: float


def nena(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    frame: npt.ArrayLike,
    *,
    error: npt.ArrayLike | None = None,
    max_distance: float | None = None,
    mapper: Mapper = map,
) -> NenaResult:
    """Localization precision from nearest neighbours in consecutive frames (Endesfelder et al. 2014, doi:10.1007/s00418-014-1192-3).

    A molecule that is on in two consecutive frames is localized twice, at a distance d with the density d/(2 s^2) exp(-d^2/(4 s^2)),
    s being the precision along one axis. The corrections for other molecules are those of the paper: a Gaussian for neighbours in a
    structure and a term linear in d for those at random. They compete here for being the nearest: the probability that nothing
    is nearer than d is the product of theirs, which is the sum of the paper where localizations are sparse and holds where they
    are not. Where precisions differ, and no errors tell how, two of them stand for all: their root mean square is the result.
    Of these terms only those that the data ask for are used (by the Bayesian information criterion).

    Parameters
    ----------
    x, y : array (n,)
        nm; rows with NaN are left out.
    frame : array (n,)
        Whole numbers, in any order.
    error : array (n,), optional
        Claimed standard errors per axis, nm. With them, each distance is measured in units of the claimed errors, so that
        localizations of different precision do not blur the distribution; the result is their scale.
    max_distance : float, optional
        Distances are fitted up to here, nm; ten times the precision where not given.
    mapper : callable
        Applies a function to items in order; ``ctx.map`` uses threads. The result does not depend on it.

    Raises
    ------
    DataError
        Where too few localizations have a neighbour in the next frame (D451), or those that have show no peak (D452).
    """
    if max_distance is not None and not max_distance > 0:
        raise DataError("max_distance must be above 0 nm", code="D450")
    sequence = Sequence(x, y, frame, error)
    _require_neighbours(sequence)
    unit = 1.0 if sequence.error is None else float(np.quantile(sequence.error, 0.99))
    coarse = _first_look(sequence, max_distance or FARTHEST, mapper)
    for _ in range(ROUNDS):
        reach = min(REACH * coarse * unit, max_distance or math.inf)
        edges = np.linspace(0.0, reach / unit, N_BINS + 1)
        blocks = _histograms(sequence, reach, edges, 3 * coarse, mapper)
        model, counts, origins = _model(edges, blocks, coarse, may_spread=sequence.error is None)
        if max_distance is not None or 0.6 < coarse / model.sigma < 1.6:
            break
        coarse = min(model.sigma, 5 * coarse)
    later = _later(sequence, 3 * model.sigma, reach, mapper)
    return _result(edges, blocks, model, counts, origins, later, given=sequence.error is not None)


def _require_neighbours(sequence: Sequence) -> None:
    followed = np.flatnonzero(np.diff(sequence.numbers) == 1)
    sizes = np.diff(sequence.starts)
    if not len(followed) or int(np.minimum(sizes[followed], sizes[followed + 1]).sum()) < FEWEST:
        raise DataError(
            f"NeNA compares consecutive frames; fewer than {FEWEST} of {len(sequence):,} localizations have others in the next frame.",
            code="D451",
            hint="Use the localizations before they are linked or merged, and all of them.",
        )


def _first_look(sequence: Sequence, reach: float, mapper: Mapper) -> float:
    """Precision from where the density of neighbours has fallen by half, in units of the claimed errors or nm.

    Neighbours per area fall as exp(-d^2/(4 s^2)) from what they are at 0 to what the other molecules leave.
    """
    bounds = sequence.blocks(4 * BLOCKS)
    step = max(1, len(bounds) * FEWEST * 20 // max(1, len(sequence)))
    parts = range(0, len(bounds) - 1, 1 if step > 1 else 8)
    found = list(mapper(lambda k: next_frame_distances(sequence, reach, bounds[k], bounds[k + 1]), parts))
    distance = np.concatenate([d for d, _ in found])
    error = np.concatenate([e for _, e in found])
    inside = np.sort((distance / error)[np.isfinite(distance)])
    if len(inside) < FEWEST:
        raise DataError(
            f"fewer than {FEWEST} localizations have a neighbour within {reach:g} nm in the next frame.",
            code="D451",
            hint="Use the localizations before they are linked or merged, and all of them.",
        )
    return _half_width(inside)


def _half_width(inside: Floats) -> float:
    """From sorted distances: within r are 1 - exp(-r^2/(4 s^2)) of the neighbours that are the same molecule, beside the others."""
    number = np.arange(1, len(inside) + 1)
    few = max(30, len(inside) // 100)
    area = np.maximum(inside, 1e-9) ** 2
    outer = int(np.searchsorted(inside, 0.7 * inside[-1]))
    background = (len(inside) - outer) / (area[-1] * (1 - 0.49)) if inside[-1] > 0 else 0.0
    density = number / area - background
    peak = float(density[few - 1])
    below = np.flatnonzero(density[few:] < peak * _HALF)
    at = few + int(below[0]) if len(below) else len(inside) - 1
    # There r^2 is 4 s^2 times the solution of (1 - exp(-u)) / u = 1/2.
    return max(float(inside[at]) / (2 * math.sqrt(_AT_HALF)), 1e-6)


@dataclass(frozen=True)
class _Block:
    counts: Floats
    origins: int
    close: int
    squares: float


def _histograms(sequence: Sequence, reach: float, edges: Floats, close: float, mapper: Mapper) -> list[_Block]:
    bounds = sequence.blocks()
    last = len(sequence.numbers) - 1

    def look(k: int) -> _Block:
        first, end = int(bounds[k]), int(min(bounds[k + 1], last))
        if first >= end:
            return _Block(np.zeros(len(edges) - 1), 0, 0, 0.0)
        distance, error = next_frame_distances(sequence, reach, first, end)
        ratio = distance / error
        near = ratio < close
        counts = np.histogram(ratio, edges)[0].astype(float)
        return _Block(counts, len(distance), int(np.count_nonzero(near)), float(np.sum(error[near] ** 2)))

    return list(mapper(look, range(len(bounds) - 1)))


def _later(sequence: Sequence, near: float, reach: float, mapper: Mapper) -> float:
    bounds = sequence.blocks()
    last = int(np.searchsorted(sequence.numbers, sequence.numbers[-1] - LATER, side="right"))

    def count(k: int) -> npt.NDArray[np.int64]:
        end = int(min(bounds[k + 1], last))
        found = []
        for lag in (1, LATER):
            distance, error = next_frame_distances(sequence, reach, int(bounds[k]), max(end, int(bounds[k])), lag)
            found.append(np.count_nonzero(distance / error < near))
        return np.array(found)

    total = np.sum(list(mapper(count, range(0, len(bounds) - 1, 3))), axis=0)
    return float(total[1] / total[0]) if total[0] else math.nan


def _model(edges: Floats, blocks: list[_Block], coarse: float, *, may_spread: bool) -> tuple[Model, Floats, int]:
    counts = np.sum([block.counts for block in blocks], axis=0)
    origins = sum(block.origins for block in blocks)
    if counts.sum() < FEWEST:
        raise DataError(
            f"fewer than {FEWEST} localizations have a neighbour within {edges[-1]:.3g} nm in the next frame.",
            code="D451",
            hint="Set max_distance higher, or use more localizations.",
        )
    return choose(edges, counts, origins, coarse, may_spread=may_spread), counts, origins


def _result(
    edges: Floats, blocks: list[_Block], model: Model, counts: Floats, origins: int, later: float, *, given: bool
) -> NenaResult:
    same = model.same(edges, origins)
    peak = edges[1:] <= 4 * model.sigma
    wide = model.sigma * _unit(blocks, given=given) > FARTHEST / 4
    if wide or same[peak].sum() < 5 * math.sqrt(max(counts[peak].sum(), 1.0)):
        raise DataError(
            "no molecule seems to be localized in two consecutive frames: nearest neighbours show no peak at short distances.",
            code="D452",
            hint="NeNA needs molecules that stay on for more than one frame, and localizations that are not linked or merged.",
        )
    value = model.sigma * _unit(blocks, given=given)
    used = [k for k, block in enumerate(blocks) if block.counts.any()]
    left_out = []
    for k in used if len(used) > 2 else []:
        rest = [block for j, block in enumerate(blocks) if j != k]
        refit = model.refitted(edges, counts - blocks[k].counts, origins - blocks[k].origins)
        left_out.append(refit.sigma * _unit(rest, given=given))
    n = len(left_out)
    error = math.sqrt((n - 1) * float(np.var(left_out))) if n else math.inf
    return NenaResult(
        precision=value,
        error=error,
        band=(max(0.0, value - _NORMAL_95 * error), value + _NORMAL_95 * error),
        scale=model.sigma if given else None,
        spread=model.spread,
        persistence=model.persistence,
        density=model.density / _unit(blocks, given=given) ** 2 * 1e6,
        edges=edges,
        counts=counts,
        fitted=model.expected(edges, origins),
        same=same,
        n=int(counts.sum()),
        later=later,
    )


def _unit(blocks: list[_Block], *, given: bool) -> float:
    """Root mean square of the claimed errors of close pairs, nm; 1 where none are claimed."""
    pairs = sum(block.close for block in blocks)
    return math.sqrt(sum(block.squares for block in blocks) / pairs) if given and pairs else 1.0
