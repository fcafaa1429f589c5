"""Iterative closest point: pairs of nearest neighbours, brought together, until they stay (Besl and McKay 1992, doi:10.1109/34.121791).

The mean way to the neighbours is a rough function of the shift: it falls while the pairs stay and jumps back where they change, and
in the middle of dense clusters there is a neighbour nearby wherever the chunk is. The plain iteration therefore creeps, and stops
somewhere in the roughness. Here the mean way is averaged over places on both sides of each, some neighbour distances apart, and
Newton's method finds where that is zero: fewer steps, and an error that is about half as large.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_modules.registration.motion import Frame, best_motion
from recipes_modules.registration.standard_errors import block_error
from recipes_modules.registration.transform import Transformation

Floats = npt.NDArray[np.float64]

COARSE_POINTS = 2000
"""So few points find most of the way."""
ROUGHLY = 5.0
"""They are followed until steps are shorter than so many times the tolerance."""
WIDTH = 3.0
"""Places at which pairs are looked for lie so many times the pairs' distance on either side."""
WEAKEST = 0.01
"""Where the mean way answers to a shift by less than this part of it, Newton's method is not used."""
LEAST_PAIRS = 10
LEAST_SHARE = 0.1
"""A chunk is not found where fewer of its points have a neighbour."""


@dataclass(frozen=True)
class Settings:
    """How chunks are matched; lengths in nm.

    Parameters
    ----------
    motion : {'translation', 'rotation', 'similarity'}
        Similarity is translation, rotation and a common scale.
    max_distance : float
        Pairs farther apart do not count.
    iterations : int
    tolerance : float
        Steps below this end the search.
    points : int
        So many points of the chunk, evenly spaced over its rows, look for neighbours; 0 means all.
    workers : int
        Threads of the search.
    """

    motion: str
    max_distance: float
    iterations: int
    tolerance: float
    points: int
    workers: int = 1


class Target:
    """A chunk that others are moved onto."""

    def __init__(self, points: Floats) -> None:
        from scipy.spatial import cKDTree

        self.points = points
        self.tree = cKDTree(points)

    def pairs(self, moved: Floats, settings: Settings) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
        """Rows of `moved` with a neighbour, the ways to the neighbours (n, d), and the distances."""
        distance, index = self.tree.query(moved, distance_upper_bound=settings.max_distance, workers=settings.workers)
        rows = np.flatnonzero(index < len(self.points))
        if len(rows) == len(moved):
            return rows, self.points[index] - moved, distance
        return rows, self.points[index[rows]] - moved[rows], distance[rows]


def register(target: Target, points: Floats, start: Transformation, settings: Settings) -> Transformation:
    """Move points (n, d) onto a target; `start` is where the search begins.

    The standard error comes from how the ways to the neighbours scatter, divided by how strongly their mean answers to a shift.
    """
    chosen = _thinned(points, settings.points)
    few = _thinned(chosen, COARSE_POINTS)
    frame = Frame(chosen, settings.motion)
    search = _Search(target, frame, settings)
    place = frame.vector(start.matrix, start.offset)
    rough = ROUGHLY * settings.tolerance if len(few) < len(chosen) else settings.tolerance
    place, converged = search.climb(few, place, rough, adapt=True)
    if len(few) < len(chosen):
        place, converged = search.climb(chosen, place, settings.tolerance)
    matrix, offset = frame.motion(place)
    n_pairs, distance = search.pairs(chosen @ matrix.T + offset)
    seen = search.seen if settings.motion == "translation" else search.look(chosen, place, turning=False)
    facts = {
        "iterations": float(search.count),
        "converged": float(converged),
        "pairs": n_pairs / len(chosen),
        "distance": distance,
    }
    if not np.isfinite(seen.change).all() or n_pairs < LEAST_SHARE * len(chosen):
        return Transformation(matrix, offset, np.full(len(offset), np.inf), False, facts)
    error = block_error(seen.scores, -seen.change * len(chosen))
    return Transformation(matrix, offset, error, bool(np.isfinite(error).all()), facts)


def _thinned(points: Floats, number: int) -> Floats:
    if not number or len(points) <= number:
        return points
    return points[np.linspace(0, len(points) - 1, number).round().astype(np.int64)]


@dataclass
class _Seen:
    """What pairs on both sides of a place say.

    Attributes
    ----------
    step : array (p,)
        The plain step, averaged over the places.
    change : array (p, p)
        How it changes with the place; nan where there are too few pairs.
    scores : array (n, d)
        What each point adds to the step; only for translations.
    """

    step: Floats
    change: Floats
    scores: Floats


class _Search:
    """Looks for the motion at which the plain iteration would stay on average."""

    def __init__(self, target: Target, frame: Frame, settings: Settings) -> None:
        self.target, self.frame, self.settings = target, frame, settings
        self.count = 0
        self.width = 0.0
        self.seen = _Seen(np.zeros(0), np.full((1, 1), np.nan), np.zeros((0, 0)))

    def pairs(self, moved: Floats) -> tuple[int, float]:
        """Number and root mean square distance of the pairs of points that are moved already."""
        distance = self.target.pairs(moved, self.settings)[2]
        return len(distance), float(np.sqrt(np.mean(distance**2))) if len(distance) else np.nan

    def climb(self, points: Floats, place: Floats, tolerance: float, *, adapt: bool = False) -> tuple[Floats, bool]:
        """Newton's method from `place`; also whether steps became shorter than the tolerance.

        With `adapt`, the places at which pairs are looked for come nearer as the pairs do. Steps that do not become shorter go to
        and fro in the roughness, and are shortened until they settle.
        """
        before, damping = np.inf, 1.0
        while self.count < self.settings.iterations:
            self.count += 1
            if adapt:
                self._set_width(points, place)
            seen = self.seen = self.look(points, place)
            if not np.isfinite(seen.change).all():
                return place, False
            way = damping * _newton(seen, self.width)
            length = float(np.linalg.norm(way))
            if length > 0.7 * before:
                damping *= 0.7
            before = length
            place = place + way
            if np.abs(way).max() < tolerance:
                return place, True
        return place, False

    def look(self, points: Floats, place: Floats, *, turning: bool = True) -> _Seen:
        """Pairs on both sides of a place along each of its coordinates."""
        turning = turning and self.frame.kind != "translation"
        n = len(place) if turning else self.frame.d
        change, step, scores = np.zeros((n, n)), np.zeros(n), np.zeros_like(points)
        for axis in range(n):
            for sign in (1, -1):
                aside = np.zeros(n)
                aside[axis] = sign * self.width
                found = self._plain(points, place, aside, scores, turning)
                change[:, axis] += sign * found / (2 * self.width)
                step += found / (2 * n)
        return _Seen(step, change, scores / (2 * n))

    def _plain(self, points: Floats, place: Floats, aside: Floats, scores: Floats, turning: bool) -> Floats:
        """The plain step from a place aside; nan where there are too few pairs."""
        matrix, offset = self.frame.motion(place + aside if turning else place)
        moved = points @ matrix.T + offset
        if not turning:
            moved += aside
        rows, ways, _ = self.target.pairs(moved, self.settings)
        if len(rows) < LEAST_PAIRS:
            return np.full(len(aside), np.nan)
        if not turning:
            scores[rows] += ways
            return np.asarray(ways.sum(axis=0) / len(points))
        step_matrix, step_offset = best_motion(moved[rows], moved[rows] + ways, scaled=self.frame.kind == "similarity")
        return self.frame.vector(step_matrix @ matrix, step_matrix @ offset + step_offset) - place - aside

    def _set_width(self, points: Floats, place: Floats) -> None:
        matrix, offset = self.frame.motion(place)
        _, distance = self.pairs(points @ matrix.T + offset)
        widest = self.settings.max_distance / 2
        self.width = widest if np.isnan(distance) else max(min(WIDTH * distance, widest), self.settings.tolerance)


def _newton(seen: _Seen, width: float) -> Floats:
    """Where Newton's method goes; the plain step where its change says nothing."""
    if np.linalg.eigvals(seen.change).real.max() > -WEAKEST:
        return seen.step
    way = -np.linalg.solve(seen.change, seen.step)
    most = max(3 * width, float(np.linalg.norm(seen.step)))
    return np.asarray(way * min(1.0, most / max(float(np.linalg.norm(way)), 1e-300)))
