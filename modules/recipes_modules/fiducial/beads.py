"""Beads: which tracks belong to one, which can be trusted, and the drift that they have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from recipes_modules.fiducial.linking import Track
from recipes_modules.fiducial.smoother import random_walk

Floats = npt.NDArray[np.float64]

USED, RARE, BLINKS, JUMPS, MOVES = range(5)
REASONS = ("used", "found in too few frames", "blinks", "jumps", "moves against the others")
OUTLYING = 5.0
"""A localization farther from the common drift than so many of its bead's standard deviations does not count."""
TIMES_OTHERS = 4.0
"""A bead is dropped when it moves so many times as much against the others as the median of the beads."""
QUIET = 0.25
"""No bead is dropped for straying less than this share of the precision of one localization."""
MOSTLY = 0.7
"""Share of the whole way that a jump makes up at least."""
STRETCHES = 50
"""The movie is cut into so many stretches, in whose means the noise has averaged out."""


@dataclass(frozen=True, eq=False)
class Bead:
    """One marker.

    Attributes
    ----------
    track : Track
    presence : float
        Share of the frames of the movie in which it was found.
    reason : int
        Index into `REASONS`.
    precision : array (3,)
        Standard error of one localization, nm, from how its places differ from frame to frame.
    residual : array (3,)
        Root mean square distance from the common drift, nm.
    wander : array (3,)
        The same for means over stretches of the movie, in which the noise has averaged out.
    jump, range : float
        Largest change of those means over two stretches, and over all, nm.
    place : array (3,)
        Where it is when the drift is undone, nm.
    """

    track: Track
    presence: float
    reason: int = USED
    precision: Floats = field(default_factory=lambda: np.full(3, np.nan))
    residual: Floats = field(default_factory=lambda: np.full(3, np.nan))
    wander: Floats = field(default_factory=lambda: np.full(3, np.nan))
    jump: float = math.nan
    range: float = math.nan
    place: Floats = field(default_factory=lambda: np.full(3, np.nan))


@dataclass(frozen=True)
class Common:
    """What beads have in common.

    Attributes
    ----------
    frames : array (n,)
        Every frame of the movie.
    drift : array (n, 3)
        Displacement, nm; zero at the first frame.
    error : array (n, 3)
        Standard errors, nm.
    n_beads : array (n,)
        Beads that were seen.
    step : array (3,)
        Standard deviation of the movement from one frame to the next, nm.
    """

    frames: npt.NDArray[np.int64]
    drift: Floats
    error: Floats
    n_beads: npt.NDArray[np.int64]
    step: Floats


def joined(tracks: Sequence[Track], radius: float, n_frames: int) -> list[Track]:
    """Tracks of whole beads from the parts of their ways: parts that lie at one place when the common drift is undone."""
    if len(tracks) < 2:
        return list(tracks)
    long = [track for track in tracks if len(track) >= 0.2 * n_frames] or list(tracks)
    first = min(int(track.frames[0]) for track in tracks)
    last = max(int(track.frames[-1]) for track in tracks)
    drift = _level(_matrix(long, first, last), np.ones((len(long), 3)))[0]
    known = np.isfinite(drift[:, 0])
    moments = np.flatnonzero(known)
    drift = np.column_stack([np.interp(np.arange(len(drift)), moments, drift[known, axis]) for axis in range(3)])
    places = np.array([np.median(track.positions - drift[track.frames - first], axis=0) for track in tracks])
    result: list[list[int]] = []
    for k in sorted(range(len(tracks)), key=lambda k: -len(tracks[k])):
        for members in result:
            near = np.hypot(*(places[k] - places[members[0]])[:2]) < radius
            if near and all(_apart(tracks[k], tracks[m]) for m in members):
                members.append(k)
                break
        else:
            result.append([k])
    return [_merged([tracks[k] for k in members]) for members in result]


def _apart(one: Track, other: Track) -> bool:
    return bool(one.frames[-1] < other.frames[0] or other.frames[-1] < one.frames[0])


def _merged(tracks: Sequence[Track]) -> Track:
    frames = np.concatenate([track.frames for track in tracks])
    order = np.argsort(frames, kind="stable")
    return Track(frames[order], np.concatenate([track.positions for track in tracks])[order])


def _matrix(tracks: Sequence[Track], first: int, last: int) -> Floats:
    """Positions (n_beads, n_frames, 3), NaN where a bead was not found."""
    matrix = np.full((len(tracks), last - first + 1, 3), np.nan)
    for row, track in zip(matrix, tracks, strict=True):
        row[track.frames - first] = track.positions
    return matrix


def _level(matrix: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Common displacement (n_frames, 3), NaN where no bead is, and places (n_beads, 3): the least squares of their sum.

    Beads come and go, so that neither is a plain mean; the normal equations are solved for the places.
    """
    n_beads = len(matrix)
    drift, place = np.empty(matrix.shape[1:]), np.empty((n_beads, 3))
    for axis in range(3):
        values = matrix[:, :, axis]
        seen = np.isfinite(values)
        w = seen * weight[:, axis][:, np.newaxis]
        filled = np.where(seen, values, 0.0)
        total = w.sum(axis=0)
        some = total > 0
        share = w[:, some] / total[some]
        # Eliminating the displacement of each frame leaves one equation a bead; the sum of all places is free.
        normal = np.diag(w.sum(axis=1)) - share @ w[:, some].T
        right = (w * filled).sum(axis=1) - share @ (w * filled)[:, some].sum(axis=0)
        place[:, axis] = np.linalg.lstsq(normal, right, rcond=1e-10)[0]
        drift[:, axis] = np.nan
        drift[some, axis] = (share * (filled[:, some] - place[:, axis][:, np.newaxis])).sum(axis=0)
    return drift, place


def level_tracks(tracks: Sequence[Track]) -> tuple[npt.NDArray[np.int64], Floats]:
    """Frames in which any track is, and the mean of the tracks there (n, 3), nm, after each is moved to where they agree best.

    All positions count the same. The mean of the places of the tracks is not part of it.
    """
    first, last = min(int(track.frames[0]) for track in tracks), max(int(track.frames[-1]) for track in tracks)
    drift, _ = _level(_matrix(tracks, first, last), np.ones((len(tracks), 3)))
    seen = np.isfinite(drift[:, 0])
    return first + np.flatnonzero(seen), drift[seen]


def _precision(track: Track) -> Floats:
    """Standard error of a localization from differences of consecutive frames, in which drift hardly shows."""
    following = np.diff(track.frames) == 1
    steps = np.diff(track.positions, axis=0)[following if following.sum() >= 20 else slice(None)]
    if len(steps) < 2:
        return np.ones(3)
    spread = np.median(np.abs(steps - np.median(steps, axis=0)), axis=0) * 1.4826 / math.sqrt(2)
    return np.asarray(np.maximum(spread, 1e-3))


def judged(beads: Sequence[Bead], first: int, last: int, limit: float, *, drop: bool) -> tuple[list[Bead], Common]:
    """The common drift of beads, and which of them it leaves out.

    Parameters
    ----------
    beads : sequence of Bead
        Those whose reason is not `USED` are measured but do not count.
    first, last : int
        Frames of the movie.
    limit : float
        A bead that strays farther than this is left out, nm; 0: four times as far as the median of the beads.
    drop : bool
        Whether beads may be left out at all.
    """
    matrix = _matrix([bead.track for bead in beads], first, last)
    precision = np.array([_precision(bead.track) for bead in beads])
    used = np.array([bead.reason == USED for bead in beads])
    left_out = _strays(matrix, precision, used, limit) if drop else []
    used[left_out] = False
    drift, counted = _robust(matrix[used], precision[used])
    result = []
    for k, bead in enumerate(beads):
        known = _measured(bead, matrix[k] - drift, precision[k])
        if k in left_out:
            sudden = known.jump > MOSTLY * known.range
            known = replace(known, reason=JUMPS if sudden else MOVES)
        result.append(known)
    wander = np.array([result[k].wander for k in np.flatnonzero(used)])
    common, base = _common(counted, precision[used], wander, drift, first)
    return [replace(bead, place=bead.place + base) for bead in result], common


def _strays(matrix: Floats, precision: Floats, used: npt.NDArray[np.bool_], limit: float) -> list[int]:
    """Beads that move against most of the others, the worst first.

    Judged in pairs: a mean over all would follow the bad ones. A good bead moves like at least half of the others.
    """
    means, counts = zip(*(_stretches(values) for values in matrix), strict=True)
    n = len(matrix)
    apart = np.full((n, n), np.inf)
    for i in np.flatnonzero(used):
        for j in np.flatnonzero(used[:i]):
            both = (counts[i] > 0) & (counts[j] > 0)
            if np.count_nonzero(both) > 2:
                noise = precision[i] ** 2 / counts[i][both, None] + precision[j] ** 2 / counts[j][both, None]
                between = (means[i] - means[j])[both]
                squares = (between - np.median(between, axis=0)) ** 2 - noise
                apart[i, j] = apart[j, i] = math.sqrt(max(0.0, float(squares[:, :2].sum(axis=1).mean())))
    rows = list(np.flatnonzero(used))
    found: list[int] = []
    while len(rows) > 2:
        # The infinite distance to itself comes last.
        others = np.sort(apart[np.ix_(rows, rows)], axis=1)
        score = others[:, (len(rows) - 2) // 2]
        score = np.where(np.isfinite(score), score, 0.0)
        floor = QUIET * float(np.median(precision[rows][:, :2]))
        worst = int(np.argmax(score))
        if score[worst] <= (limit or max(TIMES_OTHERS * float(np.median(score)), floor)):
            break
        found.append(int(rows.pop(worst)))
    return found


def _robust(matrix: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """Common drift, and the positions without those that lie far off."""
    kept = matrix
    # The only bead of a frame cannot be an outlier.
    seen = np.isfinite(matrix[:, :, 0]).sum(axis=0)
    alone, several = seen == 1, seen > 2
    for _ in range(5):
        drift, place = _level(kept, 1 / precision**2)
        left = matrix - place[:, np.newaxis] - drift
        # One that lies far off draws the mean of few beads along until all of them lie far from it; it does not draw their median.
        left[:, several] -= np.nanmedian(left[:, several], axis=0)
        far = (np.abs(left) > OUTLYING * _scale(left, precision)).any(axis=2) & ~alone
        changed = np.where(far[:, :, np.newaxis], np.nan, matrix)
        if np.array_equal(np.isnan(changed), np.isnan(kept)):
            break
        kept = changed
    return drift, kept


def _scale(residuals: Floats, precision: Floats) -> Floats:
    typical = np.nanmedian(np.abs(residuals), axis=1) * 1.4826
    return np.asarray(np.maximum(typical, precision)[:, np.newaxis])


def _stretches(values: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Means (k, 3) over stretches of the movie, and how many positions each holds; NaN and 0 where there are too few."""
    n = len(values)
    length = max(10, n // STRETCHES)
    block = np.arange(n) // length
    seen = np.isfinite(values[:, 0])
    size = int(block[-1]) + 1
    count = np.bincount(block[seen], minlength=size)
    sums = np.column_stack([np.bincount(block[seen], values[seen, axis], size) for axis in range(3)])
    enough = count >= max(1, length // 10)
    means = np.where(enough[:, np.newaxis], sums / np.maximum(count, 1)[:, np.newaxis], np.nan)
    return means, np.where(enough, count, 0)


def _measured(bead: Bead, left: Floats, sigma: Floats) -> Bead:
    """The bead with what its way without the common drift, (n_frames, 3), tells of it."""
    seen = np.isfinite(left[:, 0])
    if not seen.any():
        return replace(bead, precision=sigma)
    place = np.median(left[seen], axis=0)
    left = left - place
    means, count = _stretches(left)
    full = count > 0
    jump, span, wander = 0.0, 0.0, np.zeros(3)
    if full.any():
        noise = np.mean(sigma**2 / count[full, np.newaxis], axis=0)
        wander = np.sqrt(np.maximum(np.mean(means[full] ** 2, axis=0) - noise, 0.0))
        # A jump within a stretch leaves its mean half way.
        steps = np.hypot(*(means[full][2:, :2] - means[full][:-2, :2]).T)
        jump = float(steps.max()) if len(steps) else 0.0
        span = float(np.hypot(*np.ptp(means[full][:, :2], axis=0)))
    residual = np.sqrt(np.mean(left[seen] ** 2, axis=0))
    return replace(bead, precision=sigma, residual=residual, wander=wander, jump=jump, range=span, place=place)


def _common(matrix: Floats, precision: Floats, wander: Floats, drift: Floats, first: int) -> tuple[Common, Floats]:
    """The common drift, zero at the first frame, and what it was there before."""
    seen = np.isfinite(matrix[:, :, 0])
    n = seen.sum(axis=0)
    smooth, error, step = np.zeros_like(drift), np.zeros_like(drift), np.zeros(3)
    for axis in range(3):
        values = np.nan_to_num(drift[:, axis])
        if not values.any():
            continue
        weight = seen / precision[:, axis, np.newaxis] ** 2
        total = weight.sum(axis=0)
        variance = np.where(n > 0, 1 / np.where(n > 0, total, 1.0), np.inf)
        smooth[:, axis], error[:, axis], step[axis] = random_walk(values, variance)
        # What the beads stray from one another is no noise that averages out in time.
        share = weight / np.where(n > 0, total, 1.0)
        stray = (share**2 * wander[:, axis, np.newaxis] ** 2).sum(axis=0) * n / np.maximum(n - 1, 1)
        error[:, axis] = np.sqrt(error[:, axis] ** 2 + stray)
    frames = np.arange(first, first + len(drift))
    return Common(frames, smooth - smooth[0], error, n, step), smooth[0]
