"""A drift that is known, and how far a measured one is from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Figure, Localizations, Panel, Scalars, Series
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Float, Input, ListOf, Output

Floats = npt.NDArray[np.float64]

MOST_FRAMES = 50_000_000
MOST_POINTS = 2000


class Locs_Add_Drift(ModuleBase):
    """Moves localizations by a drift of known velocity and diffusion.

    The displacement is 0 at frame 0. From frame to frame it grows by the velocity and by a normally distributed step whose variance
    along each axis is 2 D, D being the diffusion constant. What was added is returned as the drift that undoes it. A table
    without z is not moved along z.
    """

    uses_seed = True

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations to move")
    output_localizations = Output(Localizations, "drifting", like="input_localizations", desc="localizations with the drift")
    output_drift = Output(Drift, "drift_truth", desc="correction to add, for every frame")

    velocity = ListOf(Float(0.0), (0.0, 0.0, 0.0), length=3, unit="nm/frame", desc="along x, y and z")
    diffusion = ListOf(
        Float(0.0, low=0.0), (0.0, 0.0, 0.0), length=3, unit="nm^2/frame", desc="diffusion constant along x, y and z"
    )

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        table = input_localizations
        frames = table["frame"]
        valid = np.isfinite(frames)
        if not valid.any():
            raise DataError("no localization has a frame, so there is no time in which the sample could drift.", code="D410")
        if not valid.all():
            ctx.say(f"{int(np.count_nonzero(~valid)):,} localizations have no frame and were not moved")
        first, last = min(0, int(np.floor(frames[valid].min()))), int(np.ceil(frames[valid].max()))
        if last - first >= MOST_FRAMES:
            raise DataError(
                f"the frames reach from {first:,} to {last:,}; at most {MOST_FRAMES:,} are possible.",
                code="D411",
                hint="Look for wrong numbers in the column 'frame'.",
            )
        if first < 0:
            ctx.warn(f"the frames begin at {first}; the displacement is 0 at frame 0 and counts backwards before it")
        every = np.arange(first, last + 1)
        moved = self._displacement(ctx.rng, every)
        at = np.where(valid, frames, 0) - first
        rows = np.asarray(np.rint(at), dtype=np.int64)
        columns: dict[str, npt.ArrayLike] = {}
        for axis, name in enumerate("xyz"):
            if name in table:
                old = table[name]
                kind = old.dtype if old.dtype.kind == "f" else np.dtype(np.float64)
                columns[name] = (old + np.where(valid, moved[rows, axis], 0.0)).astype(kind)
            elif name == "z" and np.any(moved[:, 2]):
                ctx.say("the localizations have no z and were not moved along it")
                moved[:, 2] = 0
        return {"output_localizations": table.with_columns(columns), "output_drift": Drift(every, -moved, exact=True)}

    def _displacement(self, rng: np.random.Generator, frames: npt.NDArray[np.int64]) -> Floats:
        moved = frames[:, np.newaxis] * np.asarray(self.velocity)
        scale = np.sqrt(2 * np.asarray(self.diffusion))
        if scale.any():
            walk = np.cumsum(rng.normal(size=moved.shape) * scale, axis=0)
            moved = moved + walk - walk[int(np.searchsorted(frames, 0))]
        return np.asarray(moved, dtype=np.float64)


class Locs_RMSE(ModuleBase):
    """How far a drift is from a known one, or a table of localizations from another: root mean square difference along each axis.

    Compared are either two drifts (`input_drift`, `input_truth`), at every frame in which both were measured, or two tables of the same
    rows (`input_localizations`, `input_reference`), such as a simulation before its drift was added and after its correction. The raw
    value counts everything; the offset-free value leaves out the mean difference, which moves the whole picture and blurs nothing.
    """

    input_drift = Input(Drift, "", desc="drift to judge")
    input_truth = Input(Drift, "", desc="drift that is known")
    input_localizations = Input(Localizations, "", requires=("x", "y"), desc="localizations to judge")
    input_reference = Input(Localizations, "", requires=("x", "y"), desc="the same localizations where they should be")
    output_rmse = Output(Scalars, "rmse", desc="raw and offset-free root mean square difference and mean difference, nm")
    output_figure = Output(Figure, "rmse_figure", diagnostic=True, desc="difference over frames")

    def run(
        self,
        ctx: Context,
        input_drift: Drift | None,
        input_truth: Drift | None,
        input_localizations: Localizations | None,
        input_reference: Localizations | None,
    ) -> dict[str, Any]:
        drifts, tables = (input_drift, input_truth), (input_localizations, input_reference)
        given = [pair for pair in (drifts, tables) if any(one is not None for one in pair)]
        if len(given) != 1 or any(one is None for one in given[0]):
            raise DataError(
                "Locs_RMSE compares two drifts or two tables.",
                code="D110",
                hint="Connect input_drift and input_truth, or input_localizations and input_reference.",
            )
        if input_drift is not None and input_truth is not None:
            frames, difference = _between_drifts(ctx, input_drift, input_truth)
        else:
            assert input_localizations is not None
            assert input_reference is not None
            frames, difference = _between_tables(ctx, input_localizations, input_reference)
        made: dict[str, Any] = {"output_rmse": _scalars(difference)}
        if ctx.wanted("output_figure"):
            made["output_figure"] = _figure(frames, difference)
        return made


def _between_drifts(ctx: Context, drift: Drift, truth: Drift) -> tuple[Floats, dict[str, Floats]]:
    first, last = max(drift.measured[0], truth.measured[0]), min(drift.measured[1], truth.measured[1])
    frames = np.arange(np.ceil(first), np.floor(last) + 1)
    if not len(frames):
        raise DataError(
            f"the drifts have no frame in common ({drift.measured[0]:g} to {drift.measured[1]:g}, and {truth.measured[0]:g} to "
            f"{truth.measured[1]:g}).",
            code="D463",
            hint="Compare drifts of the same movie.",
        )
    lacking = np.floor(truth.measured[1]) - np.ceil(truth.measured[0]) + 1 - len(frames)
    if lacking > 0:
        ctx.say(f"{lacking:,.0f} frames of the known drift were not measured and do not count")
    difference = drift.at(frames) - truth.at(frames)
    axes = "xyz" if np.any(drift.correction[:, 2]) or np.any(truth.correction[:, 2]) else "xy"
    return frames, {axis: difference[:, index] for index, axis in enumerate(axes)}


def _between_tables(ctx: Context, table: Localizations, reference: Localizations) -> tuple[Floats, dict[str, Floats]]:
    if len(table) != len(reference):
        raise DataError(
            f"the tables have {len(table):,} and {len(reference):,} rows; only the same rows can be compared.",
            code="D463",
            hint="Compare tables before rows are filtered or linked.",
        )
    timed = "frame" in table and "frame" in reference
    if timed and not np.array_equal(table["frame"], reference["frame"], equal_nan=True):
        raise DataError(
            "the frames of the tables differ from row to row, so they do not hold the same localizations in the same order.",
            code="D463",
            hint="Compare tables of the same rows.",
        )
    axes = "xyz" if all("z" in one and np.any(one["z"] != one["z"][:1]) for one in (table, reference)) else "xy"
    columns = [np.asarray(table[axis], dtype=np.float64) - np.asarray(reference[axis], dtype=np.float64) for axis in axes]
    good = np.isfinite(columns).all(axis=0)
    if not good.any():
        raise DataError("no row has finite coordinates in both tables.", code="D463")
    if not good.all():
        ctx.say(f"{int(np.count_nonzero(~good)):,} of {len(good):,} rows have NaN and do not count")
    frames = np.asarray(table["frame"], dtype=np.float64) if timed else np.arange(len(table), dtype=np.float64)
    return frames[good], {axis: column[good] for axis, column in zip(axes, columns, strict=True)}


def _scalars(difference: dict[str, Floats]) -> Scalars:
    values = {f"rmse_{axis}": float(np.sqrt(np.mean(one**2))) for axis, one in difference.items()}
    values |= {f"rmse_{axis}_offset_free": float(np.std(one)) for axis, one in difference.items()}
    values |= {f"offset_{axis}": float(np.mean(one)) for axis, one in difference.items()}
    return Scalars(values, units=dict.fromkeys(values, "nm"))


def _figure(frames: Floats, difference: dict[str, Floats]) -> Figure:
    order = np.argsort(frames, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_POINTS)).round().astype(np.int64))]
    panels = []
    for index, (axis, one) in enumerate(difference.items()):
        note = f"RMSE {np.sqrt(np.mean(one**2)):.2f} nm, offset-free {np.std(one):.2f} nm"
        content = [Series("line", frames[chosen], one[chosen], label="difference")]
        last = index == len(difference) - 1
        panels.append(Panel(content, x_label="frame" if last else "", y_label=f"{axis} difference (nm)", note=note))
    return Figure(panels, title="Difference", share_x=True)
