"""Models of what changes over frames, fitted by lmfit (doi:10.5281/zenodo.11813)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError, EnvironmentFault

Floats = npt.NDArray[np.float64]

KINDS = ("none", "constant", "linear", "polynomial", "spline")
DEFAULT_DEGREE = 3
MOST_KNOTS = 100
_NAME = re.compile(r"(none|constant|linear|polynomial|spline)(?:\((\d+)\))?")


@dataclass(frozen=True)
class Kind:
    """A model without its parameters.

    Parameters
    ----------
    name : {'none', 'constant', 'linear', 'polynomial', 'spline'}
    number : int, optional
        Degree of a polynomial, knots of a spline.
    """

    name: str
    number: int | None = None

    def __str__(self) -> str:
        return self.name if self.number is None else f"{self.name}({self.number})"


def parse(text: str) -> Kind:
    """A model from its name: ``linear``, ``polynomial(4)``, ``spline``, ...

    Raises
    ------
    ValueError
        Where it names none.
    """
    found = _NAME.fullmatch(text.strip().casefold())
    if found is None:
        raise ValueError(text)
    name, number = found[1], None if found[2] is None else int(found[2])
    lowest = {"polynomial": 1, "spline": 3}.get(name)
    if number is not None and (lowest is None or not lowest <= number <= 200):
        raise ValueError(text)
    return Kind(name, DEFAULT_DEGREE if name == "polynomial" and number is None else number)


@dataclass(frozen=True)
class Basis:
    """Functions of the frame whose sum, weighted by parameters, is the model."""

    names: tuple[str, ...]
    functions: Callable[[Floats], Floats]
    note: str = ""


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes
    ----------
    kind : Kind
        With the number of knots that was chosen.
    values, error : array (p,)
        Parameters and their standard errors; nan where the fit leaves them open.
    covariance : array (p, p)
    facts : dict
        chi_square, reduced_chi_square, aic, bic, r_square, n_data, n_parameters.
    correlations : dict
        ``"a, b"`` -> correlation of two parameters.
    report : str
        lmfit's own report.
    """

    kind: Kind
    basis: Basis
    values: Floats
    error: Floats
    covariance: Floats
    facts: dict[str, float]
    correlations: dict[str, float]
    report: str

    def __call__(self, frames: Floats) -> Floats:
        """The model (n,) at frames."""
        return np.asarray(self.basis.functions(frames) @ self.values)

    def change_error(self, frames: Floats, origin: float | None) -> Floats:
        """Standard error of the model, or of its change since a frame."""
        rows = self.basis.functions(frames)
        if origin is not None:
            rows = rows - self.basis.functions(np.array([origin]))
        return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", rows, self.covariance, rows), 0.0))


def fit(frames: Floats, values: Floats, error: Floats | None, kind: Kind, name: str = "") -> Fitted:
    """Fit a model to values at frames.

    Parameters
    ----------
    frames, values : array (n,)
    error : array (n,), optional
        Standard errors; the fit weighs by one over them. The errors of the parameters are widened where the values scatter by more.
    kind : Kind
        Not ``none``. A spline without a number gets the number of knots with the least information criterion.
    name : str
        What is fitted, for messages.

    Raises
    ------
    DataError
        Where there are fewer values than parameters.
    EnvironmentFault
        Where lmfit is not installed.
    """
    if kind.name == "spline" and kind.number is None:
        kind = _best_spline(frames, values, error)
    basis = make_basis(kind, frames)
    if len(frames) < len(basis.names):
        raise DataError(
            f"{kind} has {len(basis.names)} parameters, but {name or 'there are'} {'has ' if name else ''}{len(frames)} values.",
            code="D461",
            hint="Make more chunks, or choose a simpler model.",
        )
    return _run(frames, values, error, kind, basis)


def _run(frames: Floats, values: Floats, error: Floats | None, kind: Kind, basis: Basis) -> Fitted:
    lmfit = _lmfit()
    rows = basis.functions(frames)
    weights = None if error is None else 1 / error
    start = _solve(rows, values, weights)

    def function(frame: Floats, **parameters: float) -> Floats:
        return np.asarray(basis.functions(np.asarray(frame)) @ np.array([parameters[name] for name in basis.names]))

    # lmfit reads the names of the parameters from the signature.
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(one, named) for one in ("frame", *basis.names)])
    function.__signature__ = signature  # type: ignore[attr-defined]

    def slopes(_: Any, *__: Any, **___: Any) -> Floats:
        # The model is linear in its parameters. lmfit's residual is the model less the data, times the weights.
        return rows if weights is None else rows * weights[:, np.newaxis]

    model = lmfit.Model(function, independent_vars=["frame"], param_names=list(basis.names), name=str(kind))
    parameters = model.make_params(**dict(zip(basis.names, start.tolist(), strict=True)))
    free = len(frames) - len(basis.names)
    chi = float(np.sum(((values - rows @ start) * (1 if weights is None else weights)) ** 2))
    known = weights is not None and (free == 0 or chi < free)
    result = model.fit(
        values, parameters, frame=frames, weights=weights, scale_covar=not known, fit_kws={"Dfun": slopes, "col_deriv": False}
    )
    count = len(basis.names)
    covariance = np.full((count, count), np.nan) if result.covar is None else np.asarray(result.covar)
    if free == 0 and weights is None:
        covariance = np.full((count, count), np.nan)  # nothing is left that would show an error
    best = np.array([result.params[one].value for one in basis.names])
    facts = {
        "chi_square": float(result.chisqr),
        "reduced_chi_square": float(result.redchi) if free else float("nan"),
        "aic": float(result.aic),
        "bic": float(result.bic),
        "r_square": _r_square(values, rows @ best, weights),
        "n_data": len(frames),
        "n_parameters": count,
    }
    deviation = np.sqrt(np.diag(covariance))
    correlations = {
        f"{basis.names[i]}, {basis.names[j]}": float(covariance[i, j] / (deviation[i] * deviation[j]))
        for i in range(count)
        for j in range(i + 1, count)
        if deviation[i] > 0 and deviation[j] > 0
    }
    return Fitted(kind, basis, best, deviation, covariance, facts, correlations, result.fit_report())


def _lmfit() -> Any:
    try:
        import lmfit
    except ImportError as error:
        raise EnvironmentFault(
            "models of the drift are fitted with lmfit, which is not installed.",
            code="V400",
            hint="Install it with: pip install 'smlm-recipes[fit]'",
        ) from error
    return lmfit


def make_basis(kind: Kind, frames: Floats) -> Basis:
    """The functions of a model; knots of a spline lie evenly from the first frame to the last."""
    if kind.name == "constant":
        return Basis(("c",), lambda x: np.ones((len(x), 1)))
    if kind.name == "linear":
        return Basis(("slope", "intercept"), lambda x: np.column_stack([x, np.ones(len(x))]))
    if kind.name == "polynomial":
        degree = kind.number or DEFAULT_DEGREE
        names = tuple(f"c{power}" for power in range(degree + 1))
        # Powers of the frame itself span so many orders of magnitude that lmfit takes the smallest parameters for 0.
        middle, half = (frames[0] + frames[-1]) / 2, max((frames[-1] - frames[0]) / 2, 1.0)
        note = f"in powers of t = (frame - {middle:.10g}) / {half:.10g}"
        return Basis(names, lambda x: ((x - middle) / half)[:, np.newaxis] ** np.arange(degree + 1), note)
    assert kind.number is not None
    return _spline(np.linspace(frames[0], frames[-1], kind.number))


def _spline(knots: Floats) -> Basis:
    """A natural cubic spline; its parameters are its values at the knots, and it goes on straight beyond them."""
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(knots, np.eye(len(knots)), bc_type="natural")
    slope = spline.derivative()

    def functions(x: Floats) -> Floats:
        inside = np.clip(x, knots[0], knots[-1])
        return np.asarray(spline(inside) + (x - inside)[:, np.newaxis] * slope(inside))

    places = ", ".join(f"{knot:.10g}" for knot in knots)
    return Basis(tuple(f"value_{index}" for index in range(len(knots))), functions, f"values at the frames {places}")


def _best_spline(frames: Floats, values: Floats, error: Floats | None) -> Kind:
    """The number of knots with the least information criterion: Akaike's, corrected for few data where no error is known."""
    n = len(frames)
    most = min(MOST_KNOTS, n - 2)
    if most < 3:
        raise DataError(
            f"a spline needs at least 5 values, and there are {n}.",
            code="D461",
            hint="Make more chunks, or choose a simpler model.",
        )
    weights = np.ones(n) if error is None else 1 / error
    scores = []
    for number in range(3, most + 1):
        rows = make_basis(Kind("spline", number), frames).functions(frames)
        chi = float(np.sum((weights * (values - rows @ _solve(rows, values, weights))) ** 2))
        small = 2 * number + 2 * number * (number + 1) / max(n - number - 1, 1)
        scores.append(small + (chi if error is not None else n * np.log(max(chi, 1e-300) / n)))
    return Kind("spline", 3 + int(np.argmin(scores)))


def _solve(rows: Floats, values: Floats, weights: Floats | None) -> Floats:
    scaled = rows if weights is None else rows * weights[:, np.newaxis]
    size = np.linalg.norm(scaled, axis=0)
    size[size == 0] = 1
    found = np.linalg.lstsq(scaled / size, values if weights is None else values * weights, rcond=None)[0]
    return np.asarray(found / size)


def _r_square(values: Floats, fitted: Floats, weights: Floats | None) -> float:
    square = np.ones(len(values)) if weights is None else weights**2
    total = float(np.sum(square * (values - np.average(values, weights=square)) ** 2))
    rest = float(np.sum(square * (values - fitted) ** 2))
    return 1 - rest / total if total > 0 else 1.0
