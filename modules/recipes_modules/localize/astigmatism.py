"""Widths of an astigmatic spot over z: calibration curves, and z from widths.

Source: B. Huang, W. Wang, M. Bates, X. Zhuang, "Three-dimensional super-resolution imaging by stochastic optical reconstruction
microscopy", Science 319, 810 (2008), doi:10.1126/science.1153529.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Table
from recipes_core.errors import DataError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

FOUND, FAILED, EDGE = 1, 0, 6
"""How the search for z ended: well, no widths, at an end of the calibrated range."""

MOST_POINTS = 4001
_AXES = ("x", "y")
_ROUNDS = 4
_LEAST_PLANES = 8
_MOST_OFF = 0.05
_MODEL_KEY = "Astig.Defocus"


@dataclass(frozen=True, eq=False)
class Calibration:
    """Curves of the widths over z.

    Attributes
    ----------
    z : array (n,)
        nm, evenly spaced, increasing.
    widths : array (2, n)
        sigma_x and sigma_y at these, nm.
    scatter : array (2, n)
        Standard deviation of the widths of beads about the curves beyond their errors, nm.
    coefficients : array (2, 5), optional
        w0, c, d (nm), A, B of the defocus curves; see `width_at`.
    """

    z: Floats
    widths: Floats
    scatter: Floats
    coefficients: Floats | None = None

    def to_table(self) -> Table:
        """As a table that any format can hold; the defocus curves, where they are what was fitted, are in the metadata."""
        columns = {"z": self.z}
        for axis, width, scatter in zip(_AXES, self.widths, self.scatter, strict=True):
            columns |= {f"sigma_{axis}": width, f"scatter_{axis}": scatter}
        metadata = {}
        if self.coefficients is not None:
            metadata = {f"{_MODEL_KEY}.{axis}": row.tolist() for axis, row in zip(_AXES, self.coefficients, strict=True)}
        return Table(columns, units={"z": "nm", "scatter_x": "nm", "scatter_y": "nm"}, metadata=metadata)

    @classmethod
    def from_table(cls, table: Table) -> Calibration:
        """The calibration in a table with the columns z, sigma_x and sigma_y; scatter_x and scatter_y may be missing.

        Raises
        ------
        DataError
            D551 where it is no curve over z.
        """
        columns = {name: np.asarray(table[name], np.float64) for name in ("z", "sigma_x", "sigma_y")}
        order = np.argsort(columns["z"], kind="stable")
        z = columns["z"][order]
        widths = np.stack([columns["sigma_x"][order], columns["sigma_y"][order]])
        fine = np.isfinite(z).all() and np.isfinite(widths).all() and (widths > 0).all()
        if len(z) < _LEAST_PLANES or not fine or (np.diff(z) <= 0).any():
            raise DataError(
                f"the calibration has {len(z)} rows that make no curves of sigma_x and sigma_y over z.", code="D551",
                hint=f"It needs at least {_LEAST_PLANES} rows, one for each z, with widths above 0 nm; Astig_Calibrate makes one.",
            )  # fmt: skip
        scatter = np.zeros_like(widths)
        if "scatter_x" in table and "scatter_y" in table:
            scatter = np.stack([np.asarray(table[f"scatter_{axis}"], np.float64)[order] for axis in _AXES])
        given = [table.metadata.get(f"{_MODEL_KEY}.{axis}") for axis in _AXES]
        known = all(row is not None and np.shape(row) == (5,) for row in given)
        coefficients = np.asarray(given, np.float64) if known else None
        return cls(*_even(z, widths, scatter), coefficients)

    def curves(self, pixel: tuple[float, float]) -> Floats:
        """For fits of z: the array `curves` of `fit_block`, with widths in pixels of the size (x, y) in nm.

        Raises
        ------
        DataError
            D552 where the calibration holds no defocus curves and none fits it.
        """
        coefficients = self.coefficients
        if coefficients is None:
            coefficients = np.stack([fit_defocus(self.z, width, 0.01 * width) for width in self.widths])
            off = max(float(np.abs(defocus(self.z, c) / w - 1).max()) for c, w in zip(coefficients, self.widths, strict=True))
            if off > _MOST_OFF:
                raise DataError(
                    f"a direct fit of z takes defocus curves; the calibration's differ from such by up to {off:.0%}.", code="D552",
                    hint="Set curve: defocus in Astig_Calibrate, or narrow z_min and z_max.",
                )  # fmt: skip
        result = np.zeros((3, 5))
        result[:2] = coefficients
        result[0, 0] /= pixel[0]
        result[1, 0] /= pixel[1]
        result[2, :2] = self.z[0], self.z[-1]
        return result


def defocus(z: Floats, c: Floats) -> Floats:
    """Widths at z from the coefficients w0, c, d, A, B; see `width_at`."""
    u = (z - c[1]) / c[2]
    return np.asarray(c[0] * np.sqrt(np.maximum(1 + u * u * (1 + u * (c[3] + u * c[4])), 0.05)))


def fit_defocus(z: Floats, width: Floats, error: Floats) -> Floats:
    """Coefficients of a defocus curve through measured widths; outliers count little."""
    from scipy.optimize import least_squares

    narrow = z[width <= np.quantile(width, 0.1)]
    start = np.array([np.quantile(width, 0.02), np.median(narrow), 400.0, 0.0, 0.0])
    scale = np.array([start[0], 100.0, 100.0, 0.1, 0.1])
    span = np.ptp(z) + 100.0
    low = [0.3 * start[0], z[0] - span, 30.0, -5.0, -5.0]
    high = [3.0 * start[0], z[-1] + span, 5e3, 5.0, 5.0]
    found = least_squares(
        lambda c: (defocus(z, c) - width) / error, start, bounds=(low, high), x_scale=scale, loss="soft_l1", f_scale=2.0
    )
    return np.asarray(found.x)


def fit_spline(z: Floats, width: Floats, error: Floats, at: Floats) -> Floats:
    """A smoothing spline through measured widths, its strength by generalized cross-validation, at the places `at`."""
    from scipy.interpolate import make_smoothing_spline

    # One knot a place: medians are robust, and the spline takes no place twice.
    places, which = np.unique(np.round(z / 5.0), return_inverse=True)
    median = np.array([np.median(width[which == k]) for k in range(len(places))])
    count = np.bincount(which)
    spread = np.array([np.median(error[which == k]) for k in range(len(places))]) / np.sqrt(count)
    spline = make_smoothing_spline(places * 5.0, median, 1 / spread**2)
    return np.asarray(spline(at))


def calibrate(
    z: Array, widths: Array, errors: Array, bead: Array, *, curve: str = "defocus", step: float = 5.0, zero: str = "crossing",
    limits: tuple[float, float] | None = None,
) -> tuple[Calibration, Floats]:  # fmt: skip
    """Curves from widths of beads at known z.

    Beads may lie at different heights: each is moved along z to where it fits the common curves best.

    Parameters
    ----------
    z : array (n,)
        Of the stage, nm.
    widths, errors : array (2, n)
        sigma_x, sigma_y and their errors, nm.
    bead : array (n,)
        Which bead a row belongs to, counted from 0.
    curve : {'defocus', 'spline'}
    step : float
        Spacing of the curves, nm.
    zero : {'crossing', 'stage'}
        What z counts from: where the widths are equal, or the stage's zero.
    limits : (low, high), optional
        Range of the result, nm; that of the beads where not given.

    Returns
    -------
    Calibration
    array (n_beads,)
        By which each bead's z was moved.

    Raises
    ------
    DataError
        D550 where there are too few planes, or the widths do not tell z.
    """
    z, widths = np.asarray(z, np.float64), np.asarray(widths, np.float64)
    places = len(np.unique(np.round(z, 3)))
    if places < _LEAST_PLANES:
        raise DataError(
            f"beads could be fitted at {places} heights; a calibration takes at least {_LEAST_PLANES}.", code="D550",
            hint="Take more planes, brighter beads, or a larger roi_half_size.",
        )  # fmt: skip
    # A curve is not the truth to better than a percent; without this the brightest planes would decide alone.
    floored = np.sqrt(np.asarray(errors, np.float64) ** 2 + (0.01 * widths) ** 2)
    moved = np.zeros(int(bead.max()) + 1)
    for _ in range(_ROUNDS if len(moved) > 1 else 1):
        place = z + moved[bead]
        at = _grid(place.min(), place.max(), step)
        found, coefficients = _fit_both(place, widths, floored, at, curve)
        if len(moved) > 1:
            moved += _moves(place, widths, floored, bead, at, found)
            moved -= moved.mean()
    place = z + moved[bead]
    if zero == "crossing":
        at = _grid(place.min(), place.max(), step)
        shift = -_crossing(at, _fit_both(place, widths, floored, at, curve)[0])
        place, moved = place + shift, moved + shift
    at = step * np.arange(np.ceil(place.min() / step), np.floor(place.max() / step) + 1)
    found, coefficients = _fit_both(place, widths, floored, at, curve)
    low, high = limits or (at[0], at[-1])
    keep = (at >= low - 0.5 * step) & (at <= high + 0.5 * step)
    if keep.sum() < _LEAST_PLANES:
        raise DataError(
            f"between {low:g} and {high:g} nm the calibration has no range; it was measured from {at[0]:.0f} to {at[-1]:.0f} nm.", code="D550",
            hint="Set z_min and z_max inside it, or leave them null.",
        )  # fmt: skip
    at, found = at[keep], found[:, keep]
    return Calibration(at, found, _scatter(place, widths, np.asarray(errors), at, found), coefficients), moved


def strays(calibration: Calibration, z: Floats, widths: Floats, errors: Floats) -> float:
    """By what part the curves pass the widths: the larger of both axes, exceeded at a tenth of the heights."""
    inside = (z >= calibration.z[0]) & (z <= calibration.z[-1])
    parts = []
    for curve, width, error in zip(calibration.widths, widths, errors, strict=True):
        spline = fit_spline(z[inside], width[inside], np.hypot(error, 0.01 * width)[inside], calibration.z)
        parts.append(float(np.quantile(np.abs(spline / curve - 1), 0.9)))
    return max(parts)


def _fit_both(z: Floats, widths: Floats, errors: Floats, at: Floats, curve: str) -> tuple[Floats, Floats | None]:
    if curve == "spline":
        return np.stack([fit_spline(z, w, e, at) for w, e in zip(widths, errors, strict=True)]), None
    coefficients = np.stack([fit_defocus(z, w, e) for w, e in zip(widths, errors, strict=True)])
    return np.stack([defocus(at, c) for c in coefficients]), coefficients


def _grid(low: float, high: float, step: float) -> Floats:
    n = min(max(int(np.floor((high - low) / step)) + 1, 2), MOST_POINTS)
    return np.asarray(np.linspace(low, high, n))


def _moves(z: Floats, widths: Floats, errors: Floats, bead: Array, at: Floats, curves: Floats) -> Floats:
    """By how much each bead fits the curves better when moved along z."""
    tried = np.linspace(-300.0, 300.0, 121)
    moves = np.zeros(int(bead.max()) + 1)
    for number in range(len(moves)):
        own = bead == number
        if not own.any():
            continue
        cost = np.zeros(len(tried))
        for curve, width, error in zip(curves, widths[:, own], errors[:, own], strict=True):
            model = np.interp(z[own] + tried[:, None], at, curve)
            cost += np.minimum(((model - width) / error) ** 2, 25.0).mean(axis=1)
        best = int(np.argmin(cost))
        moves[number] = tried[best]
        if 0 < best < len(tried) - 1:
            a, b, c = cost[best - 1 : best + 2]
            moves[number] += 0.5 * (tried[1] - tried[0]) * (a - c) / max(a - 2 * b + c, 1e-12)
    return moves


def _crossing(at: Floats, curves: Floats) -> float:
    """Where the widths are equal, between their minima."""
    difference = curves[0] - curves[1]
    changes = np.nonzero(np.diff(np.sign(difference)))[0]
    if not len(changes):
        raise DataError(
            "sigma_x and sigma_y are nowhere equal within the planes: this is no astigmatic PSF, or the planes do not reach the focus.",
            code="D550", hint="Check the optics and the range of the stage; zero: stage goes without.",
        )  # fmt: skip
    # Of several, the one with the steepest difference is between the foci; others come from noise at the ends.
    slope = np.abs(np.gradient(difference, at))
    k = int(changes[np.argmax(slope[changes])])
    a, b = difference[k], difference[k + 1]
    return float(at[k] + (at[k + 1] - at[k]) * (a / (a - b) if a != b else 0.5))


def _scatter(z: Floats, widths: Floats, errors: Floats, at: Floats, curves: Floats) -> Floats:
    """Scatter of beads about the curves beyond their errors, from a sliding robust spread."""
    result = np.zeros_like(curves)
    half = max((at[-1] - at[0]) / 12, 3 * (at[1] - at[0]))
    knots = np.linspace(at[0], at[-1], 13)
    for axis in range(2):
        inside = (z >= at[0]) & (z <= at[-1])
        rest = widths[axis] - np.interp(z, at, curves[axis])
        values = []
        for knot in knots:
            near = inside & (np.abs(z - knot) <= half)
            observed = 1.4826 * np.median(np.abs(rest[near])) if near.sum() >= 5 else 0.0
            expected = np.median(errors[axis][near]) if near.any() else 0.0
            values.append(np.sqrt(max(observed**2 - expected**2, 0.0)))
        result[axis] = np.interp(at, knots, values)
    return result


def _even(z: Floats, widths: Floats, scatter: Floats) -> tuple[Floats, Floats, Floats]:
    steps = np.diff(z)
    if np.ptp(steps) <= 1e-6 * steps.mean():
        return z, widths, scatter
    from scipy.interpolate import PchipInterpolator

    at = _grid(z[0], z[-1], float(np.median(steps)))
    return at, PchipInterpolator(z, widths, axis=1)(at), PchipInterpolator(z, scatter, axis=1)(at)


def find_z(
    calibration: Calibration, sigma_x: Array, sigma_y: Array, error_x: Array | None, error_y: Array | None,
    correlation: Array | None = None,
) -> dict[str, Floats]:  # fmt: skip
    """z whose widths are nearest to measured ones.

    `correlation` is that of the errors of the two widths; none: they are independent.

    Near means in units of the errors, with the calibration's own scatter; without errors, as roots of widths (Huang et al. 2008).

    Returns
    -------
    dict of str to array (n,)
        ``z`` and ``error_z`` in nm, ``mismatch``: distance from the curves in those units, ``code``: `FOUND`, `FAILED` (NaN) or `EDGE`.
        Without errors ``error_z`` is NaN.
    """
    from scipy.interpolate import CubicSpline

    from recipes_modules.localize.depth import match

    n = len(sigma_x)
    weighted = error_x is not None and error_y is not None
    curves = calibration.widths if weighted else np.sqrt(calibration.widths)
    slopes = np.ascontiguousarray(CubicSpline(calibration.z, curves, axis=1)(calibration.z, 1))
    measured = np.stack([np.asarray(sigma_x, np.float64), np.asarray(sigma_y, np.float64)])
    if weighted:
        errors = np.stack([np.asarray(error_x, np.float64), np.asarray(error_y, np.float64)])
    else:
        measured = np.sqrt(np.where(measured > 0, measured, np.nan))
        errors = np.ones((2, n))
    scatter = calibration.scatter if weighted else np.zeros_like(calibration.scatter)
    together = np.zeros(n) if correlation is None or not weighted else np.asarray(correlation, np.float64)
    z, error_z, mismatch, code = match(calibration.z, np.ascontiguousarray(curves), slopes, scatter, measured, errors, together)
    return {"z": z, "error_z": error_z if weighted else np.full(n, np.nan), "mismatch": mismatch, "code": code}
