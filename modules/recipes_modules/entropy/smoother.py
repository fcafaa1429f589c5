"""A Kalman smoother for one coordinate of a drift, whose roughness is learned.

The model is the local linear trend of Harvey (1989, doi:10.1017/CBO9781107049994): the level walks at random and is carried on by a
slope that walks at random too. Without the walk of the slope it is a random walk with a trend, without the walk of the level it is
a smooth curve. Backward recursions: de Jong (1989, doi:10.1080/01621459.1989.10478853), tests for jumps: de Jong and Penzer
(1998, doi:10.1080/01621459.1998.10473756).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LANES = 8
"""Parameter sets whose likelihood is computed side by side: the recursion waits for its own divisions."""
MOST_JUMPS = 20
FEWEST = 25
"""Events before a jump and after it: fewer may be off by any distance, for their scores are not distributed normally."""
MOST_LEFT_OUT = 20
ROUGHLY = 8192
"""Measurements from which a roughness is learned that need not be known well."""
_STEP = math.log(10.0)
_SMALLEST_STEP = 0.25
_FLOOR = 1e-14
# Differences of log-likelihood: what is worth another step, what rules a roughness out, what is too unlikely to count.
_WORTH, _RULED_OUT, _UNLIKELY = 0.02, 4.0, 3.5


@dataclass
class Roughness:
    """Variances of the steps of one coordinate, a frame: of the level (nm^2) and of the slope (nm^2 / frame^2)."""

    level: float
    slope: float


@dataclass
class Smoothed:
    """What the smoother makes of one coordinate.

    Attributes
    ----------
    mean, variance : array (n_frames,)
        nm and nm^2.
    jumps : dict
        Frame before which the level jumps -> variance that was allowed to it, nm^2.
    """

    mean: Floats
    variance: Floats
    roughness: Roughness
    jumps: dict[int, float] = field(default_factory=dict)


@numba.njit(cache=True, nogil=True)
def log_likelihoods(y: Any, info: Any, extra: Any, level: Any, slope: Any, prior_level: float, prior_slope: float) -> Any:
    """Innovation log-likelihood for `LANES` sets of step variances.

    Parameters
    ----------
    y, info : array (n,) of float64
        Measurement and its inverse variance, 0 for frames without one.
    extra : array (n,) of float64
        Variance that is added to the step before each frame.
    level, slope : array (LANES,)
    """
    n = len(y)
    a = np.zeros(LANES)
    b = np.zeros(LANES)
    p = np.full(LANES, prior_level)
    c = np.zeros(LANES)
    q = np.full(LANES, prior_slope)
    product = np.ones(LANES)
    result = np.zeros(LANES)
    since = 0
    for t in range(n):
        if info[t] > 0:
            r = 1.0 / info[t]
            for k in range(LANES):
                f = p[k] + r
                inverse = 1.0 / f
                e = y[t] - a[k]
                gain, other = p[k] * inverse, c[k] * inverse
                a[k] += gain * e
                b[k] += other * e
                q[k] -= other * c[k]
                c[k] -= other * p[k]
                p[k] = gain * r
                result[k] -= 0.5 * e * e * inverse
                product[k] *= f
            since += 1
            if since == 8:
                since = 0
                for k in range(LANES):
                    result[k] -= 0.5 * math.log(product[k])
                    product[k] = 1.0
        if t + 1 < n:
            x = extra[t + 1]
            for k in range(LANES):
                a[k] += b[k]
                p[k] += 2.0 * c[k] + q[k] + level[k] + x
                c[k] += q[k]
                q[k] += slope[k]
    for k in range(LANES):
        result[k] -= 0.5 * math.log(product[k])
    return result


@numba.njit(cache=True, nogil=True)
def smooth(
    y: Any,
    info: Any,
    extra: Any,
    level: float,
    slope: float,
    prior_level: float,
    prior_slope: float,
    mean: Any,
    variance: Any,
    shock: Any,
) -> None:
    """Write the mean and the variance of the level in every frame, and how unlikely each step is.

    Parameters
    ----------
    shock : array (n,)
        Gets, for each step to this frame, its estimate over the standard deviation that it should have: standard normal where
        nothing jumps.
    """
    n = len(y)
    keep = np.empty((n, 6))
    a, b, p, c, q = 0.0, 0.0, prior_level, 0.0, prior_slope
    for t in range(n):
        keep[t, 0], keep[t, 1], keep[t, 2] = a, p, c
        keep[t, 3] = 0.0
        if info[t] > 0:
            r = 1.0 / info[t]
            inverse = 1.0 / (p + r)
            e = y[t] - a
            keep[t, 3], keep[t, 4] = inverse, e
            gain, other = p * inverse, c * inverse
            a += gain * e
            b += other * e
            q -= other * c
            c -= other * p
            p = gain * r
        if t + 1 < n:
            a += b
            p += 2.0 * c + q + level + extra[t + 1]
            c += q
            q += slope
    # r and N are what the later frames say about the state before them and how sure they are.
    r0 = r1 = n00 = n01 = n11 = 0.0
    for t in range(n - 1, -1, -1):
        p, c = keep[t, 1], keep[t, 2]
        # Back over the step: the state after it is (level + slope, slope).
        if t + 1 < n:
            r1 += r0
            n11 += 2.0 * n01 + n00
            n01 += n00
        if keep[t, 3] > 0:
            inverse, e = keep[t, 3], keep[t, 4]
            k0, k1 = p * inverse, c * inverse
            s0 = r0 * (1.0 - k0) - r1 * k1
            m00 = (1.0 - k0) * (n00 * (1.0 - k0) - n01 * k1) - k1 * (n01 * (1.0 - k0) - n11 * k1)
            m01 = n01 * (1.0 - k0) - n11 * k1
            r0 = s0 + e * inverse
            n00, n01 = m00 + inverse, m01
        mean[t] = keep[t, 0] + p * r0 + c * r1
        variance[t] = max(p - (p * p * n00 + 2.0 * p * c * n01 + c * c * n11), 0.0)
        shock[t] = r0 / math.sqrt(n00) if n00 > 0 else 0.0
    shock[0] = 0.0


def in_bins(y: Floats, info: Floats, extra: Floats, bins: int) -> tuple[Floats, Floats, Floats]:
    """Measurements of `bins` frames each, put together; a jump within them may lie before or after their mean."""
    edges = np.arange(0, len(y), bins)
    sums = np.add.reduceat(info, edges)
    means = np.add.reduceat(info * y, edges) / np.where(sums > 0, sums, 1)
    jumps = np.maximum.reduceat(extra, edges)
    jumps[1:] = np.maximum(jumps[1:], jumps[:-1])
    return means, sums, jumps


def _few_events(frame: int, jumps: Iterable[int], before: Floats) -> slice | None:
    """The frames on one side of a jump, as far as the next one, where they hold fewer than `FEWEST` events; None otherwise.

    Parameters
    ----------
    before : array (n + 1,)
        Events before each frame.
    """
    n = len(before) - 1
    sides = (
        slice(max((other for other in jumps if other < frame), default=0), frame),
        slice(frame, min((other for other in jumps if other > frame), default=n)),
    )
    held = [before[side.stop] - before[side.start] for side in sides]
    k = int(np.argmin(held))
    return sides[k] if held[k] < FEWEST else None


class Smoother:
    """Smooths one coordinate of a drift; remembers its roughness from one use to the next.

    Parameters
    ----------
    n : int
        Number of frames.
    reach : float
        Standard deviation that the drift has before anything is known, nm.
    jump_at : float
        How many standard deviations a step must be off to count as a jump.
    """

    def __init__(self, n: int, reach: float, *, jump_at: float = 7.0) -> None:
        self.n = n
        self.reach = reach
        self.jump_at = jump_at
        self.roughness: Roughness | None = None

    def __call__(self, y: Floats, info: Floats, counts: Floats, *, average: bool = False) -> Smoothed:
        """Smooth measurements `y` of inverse variance `info`.

        Where few events lie far from all others, they are left out rather than followed by a jump to and fro.

        Parameters
        ----------
        counts : array (n,)
            Events of each frame.
        average : bool
            Where the data leave the roughness open, average over what it may be: the variance then counts that too.
        """
        y, info = np.ascontiguousarray(y), np.array(info)
        before = np.concatenate([[0.0], np.cumsum(counts)])
        extra = np.zeros(self.n)
        jumps: dict[int, float] = {}
        # Roughness need not be known well before the end.
        bins = 1 if average else -(-self.n // ROUGHLY)
        likelihood = self._learn(y, info, extra, bins)
        mean, variance, shock = self._smooth(y, info, extra, self.roughness)
        for _ in range(MOST_JUMPS + MOST_LEFT_OUT):
            frame = int(np.argmax(np.abs(shock)))
            if abs(shock[frame]) < self.jump_at or frame in jumps or len(jumps) == MOST_JUMPS:
                break
            few = _few_events(frame, jumps, before)
            if few is None:
                jumps[frame] = extra[frame] = self.reach**2
            else:
                # Without them, what looked like jumps may be none.
                info[few], extra[:] = 0, 0
                jumps.clear()
            likelihood = self._learn(y, info, extra, bins)
            mean, variance, shock = self._smooth(y, info, extra, self.roughness)
        if average:
            mean, variance = self._average(y, info, extra, likelihood, mean, variance)
        assert self.roughness is not None
        return Smoothed(mean, variance, self.roughness, jumps)

    def _smooth(self, y: Floats, info: Floats, extra: Floats, roughness: Roughness | None) -> tuple[Floats, Floats, Floats]:
        assert roughness is not None
        mean, variance, shock = (np.empty(self.n) for _ in range(3))
        smooth(y, info, extra, roughness.level, roughness.slope, *self._priors, mean, variance, shock)
        return mean, variance, shock

    @property
    def _priors(self) -> tuple[float, float]:
        return self.reach**2, (2 * self.reach / self.n) ** 2

    # -- roughness -------------------------------------------------------------------------------------------------------

    def _learn(self, y: Floats, info: Floats, extra: Floats, bins: int) -> float:
        """Learn the roughness, from the means of so many frames at a time; return its log-likelihood."""
        if bins == 1:
            return self._climb(y, info, extra)
        coarse = Smoother(-(-self.n // bins), self.reach)
        scale = bins, bins**3
        if self.roughness is not None:
            coarse.roughness = Roughness(self.roughness.level * scale[0], self.roughness.slope * scale[1])
        likelihood = coarse._climb(*in_bins(y, info, extra, bins))
        assert coarse.roughness is not None
        self.roughness = Roughness(coarse.roughness.level / scale[0], coarse.roughness.slope / scale[1])
        return likelihood

    def _climb(self, y: Floats, info: Floats, extra: Floats) -> float:
        """Climb the likelihood over the logarithms of both variances: eight neighbours at a time, in steps that shrink."""
        if self.roughness is None:
            # Between no movement and one by its own reach within the movie, first without a slope, then with one.
            walks = [(10.0**k * self.reach**2 / self.n, 0.0) for k in range(-7, 1)]
            level = self._best(walks, y, info, extra)[0][0]
            slopes = [(level * part, 10.0**k * self.reach**2 / self.n**3) for part in (1.0, 1e-2) for k in (-3, -1, 1, 3)]
            best, value = self._best(slopes, y, info, extra)
            step = _STEP
        else:
            best, value = self._best([(self.roughness.level, self.roughness.slope)], y, info, extra)
            step = _STEP / 2
        for _ in range(40):
            at, found = self._best(self._neighbours(best, step), y, info, extra)
            if found > value + _WORTH:
                best, value = at, found
            elif step > 2 * _SMALLEST_STEP:
                step /= 2
            else:
                break
        self.roughness = Roughness(*best)
        return value

    def _neighbours(self, at: tuple[float, float], step: float) -> list[tuple[float, float]]:
        factor = math.exp(step)
        floors = self._floors
        columns = []
        for value, floor in zip(at, floors, strict=True):
            base = max(value, floor)
            columns.append((value, base * factor, base / factor if base > floor else 0.0))
        return [(level, slope) for level in columns[0] for slope in columns[1] if (level, slope) != at][:LANES]

    @property
    def _floors(self) -> tuple[float, float]:
        return _FLOOR * self.reach**2, _FLOOR * self.reach**2 / self.n**2

    def _values(self, tries: list[tuple[float, float]], y: Floats, info: Floats, extra: Floats) -> Floats:
        """Log-likelihood of each pair of variances."""
        values = []
        for start in range(0, len(tries), LANES):
            part = tries[start : start + LANES]
            filled = np.array(part + [part[-1]] * (LANES - len(part)))
            level, slope = np.ascontiguousarray(filled[:, 0]), np.ascontiguousarray(filled[:, 1])
            values.append(log_likelihoods(y, info, extra, level, slope, *self._priors)[: len(part)])
        return np.concatenate(values)

    def _best(
        self, tries: list[tuple[float, float]], y: Floats, info: Floats, extra: Floats
    ) -> tuple[tuple[float, float], float]:
        values = self._values(tries, y, info, extra)
        k = int(np.argmax(values))
        return tries[k], float(values[k])

    def _average(
        self, y: Floats, info: Floats, extra: Floats, likelihood: float, mean: Floats, variance: Floats
    ) -> tuple[Floats, Floats]:
        """Mean and variance over all that the roughness may be, each weighted with its likelihood."""
        assert self.roughness is not None
        level, slope = self.roughness.level, self.roughness.slope
        far = [(10 * level, slope), (level / 10, slope), (level, 10 * slope), (level, slope / 10), (10 * level, slope / 10)]
        far += [(level / 10, 10 * slope), (0.0, 10 * slope), (10 * level, 0.0)]
        if self._values(far, y, info, extra).max() < likelihood - _RULED_OUT:
            return mean, variance
        level = max(level, 1e-6 * self.reach**2 / self.n)
        slope = max(slope, 1e-3 * self.reach**2 / self.n**3)
        tries = [
            (a, b)
            for a in (0.0, *(level * 10 ** (k / 2) for k in range(-8, 5)))
            for b in (0.0, *(slope * 10 ** (k / 2) for k in range(-5, 6)))
        ]
        # What they have in common does not matter here, nor what happens within some frames.
        bins = -(-self.n // ROUGHLY)
        coarse = Smoother(-(-self.n // bins), self.reach)
        values = coarse._values([(a * bins, b * bins**3) for a, b in tries], *in_bins(y, info, extra, bins))
        chosen = np.flatnonzero(values > values.max() - _UNLIKELY)
        # Far more than these would differ from each other by nothing.
        chosen = chosen[np.argsort(values[chosen])[::-1]][: 2 * LANES]
        weights = np.exp(values[chosen] - values[chosen].max())
        weights /= weights.sum()
        first, second = np.zeros(self.n), np.zeros(self.n)
        for k, weight in zip(chosen, weights, strict=True):
            one, spread, _ = self._smooth(y, info, extra, Roughness(*tries[k]))
            first += weight * one
            second += weight * (spread + one**2)
        self.roughness = Roughness(*tries[chosen[0]])
        return first, np.maximum(second - first**2, 0)
