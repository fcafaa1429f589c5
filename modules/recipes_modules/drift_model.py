"""Models of the drift over frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Figure, Scalars, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Input, Int, ListOf, MapOf, Output, Str
from recipes_modules.registration.models import Fitted, Kind, fit, parse
from recipes_modules.transform_figures import transformations_figure
from recipes_modules.transform_tables import axes_of, matrix_names, offset_names

Floats = npt.NDArray[np.float64]

MOST_FRAMES = 2_000_000
"""A model is written out for at most this many frames; for longer movies one every few frames, linear between."""


class ModelName(Str):
    """none, constant, linear, polynomial, polynomial(degree), spline or spline(knots)."""

    def expected(self) -> str:
        return "none, constant, linear, polynomial, polynomial(DEGREE), spline or spline(KNOTS of 3 to 200)"

    def coerce(self, value: Any) -> str:
        return str(parse(super().coerce(value)))


class Drift_Model(ModuleBase):
    """Fits models to the transformations of chunks, or to the values of a drift, over frames.

    Each component (an element of the offset or of the matrix) has a model of its own: none (the component stays 0, or that of the
    unit matrix), constant, linear, polynomial or spline. They are fitted by lmfit to the values at the mean frames of the chunks,
    weighted by one over their standard errors. A spline is a natural cubic spline that goes on straight beyond the outer chunks;
    without a number, as many evenly spaced knots as have the least information criterion (Akaike's). The parameters of a polynomial
    are those of t, which goes from -1 at the first chunk to 1 at the last; those of a spline are its values at its knots.

    With `anchor: first_frame` the model is then moved so that the first frame that was measured stays where it is. Chunks are
    moved onto the first chunk, which is not where the sample was at its first frame, but where it was on average while the chunk was
    recorded.

    The model is given for every frame of the measured range: as a drift (the offset; a matrix has no place in it), and as
    transformations for `Locs_Apply_Transformations`. The standard errors are those of the fitted model, and of its change since the
    first frame where it is anchored; they hold if the model is right.
    """

    version = 1

    input_transformations = Input(Table, "transformations", optional=True, desc="transformations of chunks")
    input_drift = Input(Drift, "", desc="knots of a measured drift; used where no transformations are connected")
    output_drift = Output(Drift, "drift_model", desc="correction to add, for every frame")
    output_model = Output(Table, "transformations_model", desc="matrix and offset for every frame")
    output_report = Output(
        Scalars, "fit_report",
        desc="parameters, errors, chi square, AIC, BIC, R square and correlations of each component, and lmfit's report",
    )  # fmt: skip
    output_figure = Output(Figure, "drift_model_figure", desc="components over frames with their models")

    offset = ModelName("linear", desc="model of each element of the offset: none, constant, linear, polynomial(3) or spline")
    matrix = ModelName("none", desc="model of each element of the matrix")
    components = MapOf(ModelName("none"), desc="models of single components, such as {offset_x: spline, matrix_xx: constant}")
    slice_data = ListOf(Int(None), desc="which values are fitted: [start, stop, step], as Python slices; empty for all")
    weighted = Bool(True, desc="weigh values by one over their standard errors, where they have them")
    anchor = Choice(
        ("first_frame", "none"), "first_frame", desc="what stays in place: the first frame, or what the values say is 0"
    )

    def check(self) -> Iterator[str]:
        if len(self.slice_data) > 3:
            yield "slice_data takes at most three numbers: [start, stop, step]"
        elif len(self.slice_data) == 3 and self.slice_data[2] == 0:
            yield "the step of slice_data cannot be 0"
        known = [*offset_names("xyz"), *matrix_names("xyz")]
        for name in self.components:
            if name not in known:
                yield f"components names '{name}'; components are offset_x, offset_y, offset_z, matrix_xx, matrix_xy, ..."

    def run(self, ctx: Context, input_transformations: Table | None, input_drift: Drift | None) -> dict[str, Any]:
        table = _values(input_transformations, input_drift)
        axes = axes_of(table)
        frames = np.asarray(table["frame"], dtype=np.float64)
        measured = float(table["frame_first"].min()), float(table["frame_last"].max())
        chosen = np.arange(len(frames))[slice(*(self.slice_data or (None,)))]
        chosen = chosen[np.argsort(frames[chosen])]
        if not len(chosen):
            raise DataError(f"slice_data {list(self.slice_data)} leaves none of {len(frames)} values.", code="D461")
        if len(np.unique(frames[chosen])) < len(chosen):
            raise DataError(
                "several transformations have the same mean frame, so they show no drift over time.",
                code="D461",
                hint="Use chunks in successive order.",
            )
        fits = {name: self._fit(ctx, table, frames, chosen, name) for name in self._names(axes, table)}
        made = {name: one for name, one in fits.items() if one is not None}
        model, drift = self._evaluate(ctx, table, axes, measured, made)
        results: dict[str, Any] = {"output_drift": drift, "output_model": model, "output_report": _report(fits)}
        if ctx.wanted("output_figure"):
            shown = None if self.anchor == "none" else _anchored_values(table, axes, made, measured[0])
            results["output_figure"] = transformations_figure(shown or table, model, title="Model of the drift")
        return results

    def _names(self, axes: str, table: Table) -> list[str]:
        names = [*offset_names(axes), *(name for name in matrix_names(axes) if name in table.columns)]
        absent = [name for name in self.components if name not in names]
        if absent:
            raise DataError(f"the data have no component '{absent[0]}'.", code="D461", hint=f"Components: {', '.join(names)}.")
        return names

    def _kind(self, name: str) -> Kind:
        return parse(self.components.get(name) or (self.offset if name.startswith("offset") else self.matrix))

    def _fit(self, ctx: Context, table: Table, frames: Floats, chosen: npt.NDArray[np.int64], name: str) -> Fitted | None:
        kind = self._kind(name)
        if kind.name == "none":
            return None
        values = np.asarray(table[name], dtype=np.float64)[chosen]
        error = table.get(f"error_{name}") if self.weighted else None
        if error is not None:
            error = np.asarray(error, dtype=np.float64)[chosen]
            if not (np.isfinite(error).all() and (error > 0).all()):
                error = None
        found = fit(frames[chosen], values, error, kind, name)
        if np.isnan(found.error).any():
            ctx.warn(f"{name}: {found.kind} has as many parameters as there are values, so their errors are not known")
        reduced = found.facts["reduced_chi_square"]
        if error is not None and reduced > POOR:
            ctx.warn(f"{name}: values lie farther from {found.kind} than their errors allow (reduced chi square {reduced:.1f})")
        ctx.say(f"{name}: {found.kind}, " + _few_words(found))
        return found

    def _evaluate(
        self, ctx: Context, table: Table, axes: str, measured: tuple[float, float], fits: Mapping[str, Fitted]
    ) -> tuple[Table, Drift]:
        first, last = measured
        step = max(1, math.ceil((last - first + 1) / MOST_FRAMES))
        frames = np.arange(math.ceil(first), math.floor(last) + 1, step, dtype=np.float64)
        frames = frames if frames[-1] == math.floor(last) else np.append(frames, math.floor(last))
        origin = first if self.anchor == "first_frame" else None
        matrix, offset = _components(fits, axes, frames)
        if origin is not None:
            matrix, offset = _anchored(matrix, offset, *_components(fits, axes, np.array([origin])))
        error = np.zeros_like(offset)
        for index, name in enumerate(offset_names(axes)):
            if name in fits:
                error[:, index] = fits[name].change_error(frames, origin)
        columns: dict[str, npt.ArrayLike] = {"frame": frames}
        columns |= dict(zip(offset_names(axes), offset.T, strict=True))
        if np.isfinite(error).all():
            columns |= {f"error_{name}": error[:, index] for index, name in enumerate(offset_names(axes))}
        turning = any(name.startswith("matrix") for name in fits)
        if turning:
            columns |= dict(zip(matrix_names(axes), matrix.reshape(len(frames), -1).T, strict=True))
            columns |= {f"centre_{axis}": np.full(len(frames), table[f"centre_{axis}"][0]) for axis in axes}
            ctx.say("the model has matrices, which a drift cannot hold; Locs_Apply_Transformations applies them")
        units = {name: "nm" for name in columns if name.partition("_")[0] in ("offset", "error", "centre")}
        drift = Drift(frames, offset, error=error if np.isfinite(error).all() else None, measured=measured, exact=True)
        return Table(columns, units=units), drift


POOR = 4.0
"""Reduced chi square above which a model does not fit."""


def _values(table: Table | None, drift: Drift | None) -> Table:
    """What is fitted, as a table of transformations."""
    if table is not None:
        table.require("frame", "offset_x", "offset_y", "frame_first", "frame_last")
        return table
    if drift is None:
        raise DataError(
            "Drift_Model needs transformations or a drift.", code="D110", hint="Connect input_transformations or input_drift."
        )
    axes = "xyz" if np.any(drift.correction[:, 2]) else "xy"
    columns: dict[str, npt.ArrayLike] = {"frame": drift.frames}
    columns |= {"frame_first": np.full(len(drift), drift.measured[0]), "frame_last": np.full(len(drift), drift.measured[1])}
    columns |= {f"offset_{axis}": drift.correction[:, index] for index, axis in enumerate(axes)}
    if drift.error is not None:
        columns |= {f"error_offset_{axis}": drift.error[:, index] for index, axis in enumerate(axes)}
    return Table(columns)


def _components(fits: Mapping[str, Fitted], axes: str, frames: Floats) -> tuple[Floats, Floats]:
    """Matrices (n, d, d) and offsets (n, d) of the models at frames."""
    d = len(axes)
    offset = np.zeros((len(frames), d))
    matrix = np.tile(np.eye(d), (len(frames), 1, 1))
    for index, name in enumerate(offset_names(axes)):
        if name in fits:
            offset[:, index] = fits[name](frames)
    for index, name in enumerate(matrix_names(axes)):
        if name in fits:
            matrix[:, index // d, index % d] = fits[name](frames)
    return matrix, offset


def _anchored(matrix: Floats, offset: Floats, first_matrix: Floats, first_offset: Floats) -> tuple[Floats, Floats]:
    """Transformations after which that of the first frame is undone."""
    back = np.linalg.inv(first_matrix[0])
    return back @ matrix, (offset - first_offset) @ back.T


def _anchored_values(table: Table, axes: str, fits: Mapping[str, Fitted], origin: float) -> Table:
    names = matrix_names(axes)
    matrix, offset = _components({}, axes, np.asarray(table["frame"], dtype=np.float64))
    offset = np.column_stack([table[name] for name in offset_names(axes)])
    turning = all(name in table.columns for name in names)
    if turning:
        matrix = np.column_stack([table[name] for name in names]).reshape(matrix.shape)
    matrix, offset = _anchored(matrix, offset, *_components(fits, axes, np.array([origin])))
    columns = dict(zip(offset_names(axes), offset.T, strict=True))
    if turning:
        columns |= dict(zip(names, matrix.reshape(len(matrix), -1).T, strict=True))
    return table.with_columns(columns)


def _few_words(found: Fitted) -> str:
    parts = [
        f"{name} {value:.6g}" + ("" if np.isnan(error) else f" +- {error:.2g}")
        for name, value, error in zip(found.basis.names, found.values, found.error, strict=True)
    ]
    return ", ".join(parts[:4]) + (", ..." if len(parts) > 4 else "")


def _report(fits: Mapping[str, Fitted | None]) -> Scalars:
    values: dict[str, Any] = {}
    for name, found in fits.items():
        values[f"{name}.model"] = "none" if found is None else str(found.kind)
        if found is None:
            continue
        if found.basis.note:
            values[f"{name}.parameters"] = found.basis.note
        for parameter, value, error in zip(found.basis.names, found.values, found.error, strict=True):
            values[f"{name}.{parameter}"] = float(value)
            values[f"{name}.{parameter}.error"] = None if np.isnan(error) else float(error)
        values |= {f"{name}.{fact}": None if math.isnan(value) else value for fact, value in found.facts.items()}
        values |= {f"{name}.correlation({pair})": value for pair, value in found.correlations.items()}
        values[f"{name}.report"] = found.report
    return Scalars(values)
