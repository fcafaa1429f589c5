"""Drifts as curves: from knots to a value for every frame, and several drifts made one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules.smoothing import cross_validated_spline, smoothing_spline

Floats = npt.NDArray[np.float64]

MOST_FRAMES = 2_000_000
"""A curve has at most this many points; over longer movies, one every few frames, linear between."""
METHODS = ("spline", "linear", "smooth")
FEWEST_SMOOTH = 10
"""Knots that cross-validation needs."""


def interpolate(drift: Drift, degree: int, smoothing: float, ctx: Context, method: str = "spline") -> Drift:
    """A drift with one value a frame of the measured range.

    Parameters
    ----------
    drift : Drift
        Knots; returned as it is where it is exact.
    degree : int
        Of the spline; lowered where there are too few knots for it.
    smoothing : float
        Bound on the sum of squared residuals an axis, nm^2; below 0 the number of knots (scipy's default).
    method : {'spline', 'linear', 'smooth'}
        A spline with that bound; straight lines from knot to knot; a smoothing spline chosen by cross-validation, for
        which knots count by their errors.

    Returns
    -------
    Drift
        With ``exact=True``; its errors are those of the knots, linear between.
    """
    if drift.exact:
        return drift
    knots = drift.frames
    frames = frames_between(*drift.measured, knots)
    error = None
    if drift.error is not None:
        error = np.column_stack([np.interp(frames, knots, drift.error[:, axis]) for axis in range(3)])
    if method == "linear":
        curve = drift.at(frames)
    elif method == "smooth" and len(knots) >= FEWEST_SMOOTH:
        curve = np.column_stack([_smooth_axis(drift, axis, frames) for axis in range(3)])
    else:
        if method == "smooth":
            ctx.say(f"{len(knots)} knots are too few for cross-validation: a curve through all of them is used")
            degree, smoothing = 3, 0.0
        curve = _splines(drift, frames, degree, smoothing, ctx)
    return Drift(frames, curve, error=error, measured=drift.measured, exact=True, metadata=drift.metadata, history=drift.history)


def _splines(drift: Drift, frames: Floats, degree: int, smoothing: float, ctx: Context) -> Floats:
    knots, values = drift.frames, drift.correction
    possible = min(degree, len(knots) - 1)
    if possible < degree:
        ctx.say(
            f"{len(knots)} knots allow no spline of degree {degree}: "
            + (f"degree {possible}" if possible else "a constant")
            + " is used"
        )
    curve = np.empty((len(frames), 3))
    for axis in range(3):
        curve[:, axis] = _axis(knots, values[:, axis], frames, possible, smoothing) if possible else values[0, axis]
    return curve


def frames_between(first: float, last: float, knots: Floats) -> Floats:
    """Whole frames from first to last, not more than `MOST_FRAMES`; the knots where there are none."""
    low, high = math.ceil(first), math.floor(last)
    if high < low:
        return np.asarray(knots)
    step = max(1, math.ceil((high - low + 1) / MOST_FRAMES))
    frames = np.arange(low, high + 1, step, dtype=np.float64)
    return frames if frames[-1] == high else np.append(frames, float(high))


def _axis(knots: Floats, values: Floats, frames: Floats, degree: int, smoothing: float) -> Floats:
    if not np.any(values):
        return np.zeros(len(frames))
    # Frames are scaled to 0..1, where derivatives are of the size of the values.
    span = knots[-1] - knots[0]
    spline = smoothing_spline((knots - knots[0]) / span, values, degree, float(len(knots)) if smoothing < 0 else smoothing)
    return _straight_outside(spline, (frames - knots[0]) / span)


def _smooth_axis(drift: Drift, axis: int, frames: Floats) -> Floats:
    values = drift.correction[:, axis]
    if not np.any(values):
        return np.zeros(len(frames))
    weight = None
    if drift.error is not None and np.any(drift.error[:, axis] > 0):
        error = drift.error[:, axis]
        # A knot that is known exactly, such as a reference, counts more than others but not without bound.
        weight = 1 / np.maximum(error, 0.3 * np.median(error[error > 0])) ** 2
    span = drift.frames[-1] - drift.frames[0]
    spline = cross_validated_spline((drift.frames - drift.frames[0]) / span, values, weight)
    return _straight_outside(spline, (frames - drift.frames[0]) / span)


def _straight_outside(spline: object, at: Floats) -> Floats:
    """Values of a curve over 0..1; its end slopes go on outside."""
    result = np.asarray(spline(np.clip(at, 0.0, 1.0)), dtype=np.float64)  # type: ignore[operator]
    slope = spline.derivative()  # type: ignore[attr-defined]
    for outside, end in ((at < 0.0, 0.0), (at > 1.0, 1.0)):
        result[outside] += float(slope(end)) * (at[outside] - end)
    return result


def _of_another_movie(number: int, drift: Drift, first: Drift) -> DataError:
    return DataError(
        f"drift {number} was measured in frames {drift.measured[0]:g} to {drift.measured[1]:g}, "
        f"the first in {first.measured[0]:g} to {first.measured[1]:g}: they have no frame in common.",
        code="D471",
        hint="Are they of the same movie?",
    )


def total(drifts: Sequence[Drift]) -> Drift:
    """The sum of drifts over the range that any of them covers; each holds its end values outside of its own.

    The knots are those of all of them; errors are taken to be independent, and those of drifts without errors 0.

    Raises
    ------
    DataError
        Where a drift covers no frame of the first one.
    """
    if len(drifts) == 1:
        return drifts[0]
    for number, drift in enumerate(drifts[1:], 2):
        if drift.measured[0] > drifts[0].measured[1] or drift.measured[1] < drifts[0].measured[0]:
            raise _of_another_movie(number, drift, drifts[0])
    first, last = _range(drifts)
    frames = _joined(drifts, first, last)
    correction = np.sum([drift.at(frames) for drift in drifts], axis=0)
    error = None
    if any(drift.error is not None for drift in drifts):
        error = np.sqrt(np.sum([error_at(drift, frames) ** 2 for drift in drifts if drift.error is not None], axis=0))
    return Drift(frames, correction, error=error, measured=(first, last), exact=all(drift.exact for drift in drifts))


def mean(drifts: Sequence[Drift], ctx: Context) -> Drift:
    """The mean of several measurements of one drift, weighted by their inverse variances.

    Drifts count from zeros of their own: each is moved by a constant so that all agree on average. Outside the range in which it was
    measured a drift does not count.

    Raises
    ------
    DataError
        Where a drift covers no frame of the first one.
    """
    if len(drifts) == 1:
        return drifts[0]
    first, last = _range(drifts)
    frames = _joined(drifts, first, last)
    inside = np.array([(frames >= drift.measured[0]) & (frames <= drift.measured[1]) for drift in drifts])
    for number, covered in enumerate(inside[1:], 2):
        if not (inside[0] & covered).any():
            raise _of_another_movie(number, drifts[number - 1], drifts[0])
    values = np.array([drift.at(frames) for drift in drifts])
    variances = _variances(drifts, frames, ctx)
    for axis in range(3):
        _align(values[:, :, axis], variances[:, :, axis], inside)
    weight = inside[:, :, np.newaxis] / variances
    sums = weight.sum(axis=0)
    correction = (weight * values).sum(axis=0) / sums
    known = all(drift.error is not None for drift in drifts)
    _compare(values - correction, variances, inside, known, ctx)
    correction -= correction[0] - drifts[0].at(frames[:1])[0]
    error = 1 / np.sqrt(sums) if known else None
    return Drift(frames, correction, error=error, measured=(first, last), exact=all(drift.exact for drift in drifts))


def error_at(drift: Drift, frames: Floats) -> Floats:
    """Standard errors of a drift at any frames, linear between knots; (n, 3), nm."""
    assert drift.error is not None
    return np.column_stack([np.interp(frames, drift.frames, drift.error[:, axis]) for axis in range(3)])


def _range(drifts: Sequence[Drift]) -> tuple[float, float]:
    return min(drift.measured[0] for drift in drifts), max(drift.measured[1] for drift in drifts)


def _joined(drifts: Sequence[Drift], first: float, last: float) -> Floats:
    if any(drift.exact for drift in drifts):
        inner = frames_between(first, last, drifts[0].frames)
    else:
        inner = np.concatenate([drift.frames for drift in drifts])
    return np.unique(np.concatenate([inner, *(np.array(drift.measured) for drift in drifts)]))


def _variances(drifts: Sequence[Drift], frames: Floats, ctx: Context) -> Floats:
    if any(drift.error is None for drift in drifts):
        ctx.say("not all of the drifts have errors: all count alike")
        return np.ones((len(drifts), len(frames), 3))
    variances = np.array([error_at(drift, frames) ** 2 for drift in drifts])
    known = variances[variances > 0]
    return np.maximum(variances, 0.01 * float(np.median(known)) if len(known) else 1.0)


def _align(values: Floats, variances: Floats, inside: npt.NDArray[np.bool_]) -> None:
    """Move each drift by a constant so that it agrees with the mean of all; in place, to a common minimum in a few rounds."""
    weight = inside / variances
    values -= np.array([np.average(row, weights=w) for row, w in zip(values, inside[0] * weight, strict=True)])[:, np.newaxis]
    for _ in range(20):
        middle = (weight * values).sum(axis=0) / weight.sum(axis=0)
        offsets = ((values - middle) * weight).sum(axis=1) / weight.sum(axis=1)
        values -= offsets[:, np.newaxis]
        if np.abs(offsets).max() < 1e-9:
            break


def _compare(left: Floats, variances: Floats, inside: npt.NDArray[np.bool_], known: bool, ctx: Context) -> None:
    several = inside.sum(axis=0) > 1
    if not several.any():
        return
    used = inside & several
    rms = [math.sqrt(float(np.mean(left[:, :, axis][used] ** 2))) for axis in range(3)]
    ctx.say("the drifts differ from their mean by " + ", ".join(f"{a} {v:.2f}" for a, v in zip("xyz", rms, strict=True) if v) + " nm"
            if any(rms) else "the drifts are the same")  # fmt: skip
    if known and any(rms):
        n = inside.sum(axis=0)[several]
        expected = np.sum(n - 1)
        chi = max(
            float(np.sum((left[:, :, axis] ** 2 / variances[:, :, axis])[used])) / expected for axis in range(3) if rms[axis]
        )
        if chi > 4:
            ctx.warn(f"the drifts differ {math.sqrt(chi):.1f} times as much as their errors say; one of them may be wrong")
