"""Measures of clusters: where they are, how large, how round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Localizations, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Input, Int, Output, Str

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MEASURES = (
    "group", "n", "x", "y", "error_x", "error_y", "rg", "sigma_major", "sigma_minor", "eccentricity", "angle", "area", "density",
)  # fmt: skip
UNITS = {
    "x": "nm", "y": "nm", "z": "nm", "error_x": "nm", "error_y": "nm", "error_z": "nm", "rg": "nm", "sigma_major": "nm",
    "sigma_minor": "nm", "angle": "degree", "area": "nm^2", "density": "1/um^2", "first_frame": "frame", "last_frame": "frame",
    "mean_frame": "frame", "std_frame": "frame", "photons": "photon",
}  # fmt: skip


class Cluster_Measures(ModuleBase):
    """Measures clusters: one row for each.

    n (localizations), x, y, z (mean) with standard errors of the mean (from the spread of the localizations), rg (radius of gyration:
    root mean square distance from the mean, in x and y), sigma_major and sigma_minor (standard deviations along the axes of the
    cluster), eccentricity (0 for a round one, to 1), angle of the major axis from x, area (convex hull), density, and where the table
    has them frames and mean photons. By chance a round cluster of few localizations looks long: its eccentricity is about 0.6 at 50 of
    them. Clusters of one localization have no errors (NaN), and of fewer than three no area.
    """

    input_localizations = Input(Localizations, "clustered", requires=("x", "y"), desc="localizations with a cluster each")
    output_table = Output(Table, "clusters", columns=MEASURES, desc="one row for each cluster")
    output_figure = Output(Figure, "cluster_measures_plot", desc="histograms of size, radius, eccentricity and area")

    label_column = Str("group", desc="column with the number of the cluster")
    first_label = Int(0, desc="smallest number of a cluster: below it is noise (in PYME's tables 1)")
    min_locs = Int(2, low=1, desc="fewest localizations of a cluster that is measured")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return ("x", "y", self.label_column)

    def output_columns(self, port: str, known: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
        return None

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        table = input_localizations
        labels = table[self.label_column]
        good = table.finite_rows("x", "y", self.label_column) & (labels >= self.first_label)
        numbers, label, size = np.unique(labels[good], return_inverse=True, return_counts=True)
        large = size >= self.min_locs
        number = np.cumsum(large) - 1
        rows = np.flatnonzero(good)[large[label]]
        label = number[label[large[label]]]
        columns = measures(table, rows, label, numbers[large])
        ctx.say(
            f"{len(columns['n']):,} clusters of {len(rows):,} localizations; {int(np.count_nonzero(~large)):,} smaller ones left out"
        )
        made: dict[str, Any] = {
            "output_table": Table(columns, units={name: UNITS.get(name, "") for name in columns}, metadata=table.metadata)
        }
        if ctx.wanted("output_figure"):
            from recipes_modules.cluster_figures import measures_figure

            made["output_figure"] = measures_figure(columns)
        return made


def measures(table: Localizations, rows: Ints, label: Ints, numbers: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """The columns of `Cluster_Measures`; `label` counts from 0, and every number has a row."""
    from recipes_modules.spatial.shapes import hull_areas, second_moments

    count = len(numbers)
    size = np.bincount(label, minlength=count)
    deep = "z" in table and len(rows) > 0 and bool(np.isfinite(table["z"][rows]).all())
    names = ("x", "y", "z") if deep else ("x", "y")
    points = np.column_stack([np.asarray(table[name][rows], np.float64) for name in names])

    def mean(values: npt.NDArray[Any]) -> Floats:
        return np.asarray(np.bincount(label, values, minlength=count) / size)

    # About one point of each cluster: sums of squares of large coordinates would lose the small differences.
    first = np.full(count, 0)
    first[label[::-1]] = np.arange(len(label))[::-1]
    anchor = points[first] if count else np.zeros((0, len(names)))
    off = points - anchor[label]
    centre = np.column_stack([mean(off[:, k]) for k in range(len(names))]) if count else anchor
    moments = second_moments(off, label, count, centre)
    made: dict[str, npt.NDArray[Any]] = {"group": numbers, "n": size}
    for k, name in enumerate(names):
        made[name] = anchor[:, k] + centre[:, k]
    with np.errstate(divide="ignore", invalid="ignore"):
        for k, name in enumerate(names):
            made[f"error_{name}"] = np.where(size > 1, np.sqrt(moments[:, k, k] / (size - 1)), np.nan)
        spread = np.where(size > 1, size / (size - 1), np.nan)
    flat = moments[:, :2, :2]
    made["rg"] = np.sqrt(np.trace(flat, axis1=1, axis2=2))
    values, vectors = np.linalg.eigh(flat) if count else (np.zeros((0, 2)), np.zeros((0, 2, 2)))
    values = np.maximum(values, 0)
    made["sigma_major"], made["sigma_minor"] = np.sqrt(values[:, 1] * spread), np.sqrt(values[:, 0] * spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        made["eccentricity"] = np.sqrt(1 - np.where(values[:, 1] > 0, values[:, 0] / values[:, 1], np.nan))
    made["angle"] = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1])) % 180
    order = np.lexsort((off[:, 1], off[:, 0], label))
    starts = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    made["area"] = hull_areas(np.ascontiguousarray(off[order, 0]), np.ascontiguousarray(off[order, 1]), starts)
    with np.errstate(divide="ignore"):
        made["density"] = np.where(made["area"] > 0, size / made["area"] * 1e6, np.nan)
    if deep:
        made["rg_3d"] = np.sqrt(np.trace(moments, axis1=1, axis2=2))
    if "frame" in table and count:
        frame = table["frame"][rows].astype(np.float64)
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, label, frame)
        np.maximum.at(high, label, frame)
        middle = mean(frame)
        made |= {
            "first_frame": low,
            "last_frame": high,
            "mean_frame": middle,
            "std_frame": np.sqrt(mean((frame - middle[label]) ** 2)),
        }
    if "photons" in table:
        made["photons"] = mean(np.asarray(table["photons"][rows], np.float64))
    return made


class MeasureClusters3D(ModuleBase):
    """Measures clusters as PYME does: one row for each label, with its label (PYME leaves out none and counts from 0).

    count, x, y, z (mean), gyrationRadius, median_abs_deviation (median distance from the mean), axis0 to axis2 (their x, y and z),
    sigma_x, sigma_y, sigma_z (along them, the largest first), anisotropy (0 for a ball, 1 for a rod), theta and phi of the first axis
    (radians). What fewer than three localizations do not tell is 0.
    """

    inputName = Input(Localizations, "input", requires=("x", "y"), desc="localizations with a cluster each")
    outputName = Output(Table, "clusterMeasures", desc="one row for each cluster")

    labelKey = Str("clumpIndex", desc="column with the number of the cluster; 0 and below: none")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return ("x", "y", self.labelKey)

    def run(self, ctx: Context, inputName: Localizations) -> Table:
        table = inputName
        names = ("x", "y", "z") if "z" in table else ("x", "y")
        labels = table[self.labelKey]
        good = table.finite_rows(*names, self.labelKey) & (labels > 0)
        if not good.any():
            raise DataError(f"column '{self.labelKey}' assigns no localization to a cluster.", code="D612")
        points = np.zeros((int(np.count_nonzero(good)), 3))
        for k, name in enumerate(names):
            points[:, k] = table[name][good]
        order = np.argsort(labels[good], kind="stable")
        numbers, first = np.unique(labels[good][order], return_index=True)
        rows = [_shape(part) for part in np.split(points[order], first[1:])]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        lengths = ("x", "y", "z", "gyrationRadius", "median_abs_deviation", "sigma_x", "sigma_y", "sigma_z")
        return Table({"label": numbers, **columns}, units=dict.fromkeys(lengths, "nm"), metadata=table.metadata)


def _shape(points: Floats) -> dict[str, float]:
    middle = points.mean(axis=0)
    off = points - middle
    distance = np.sqrt((off**2).sum(axis=1))
    made: dict[str, float] = {"count": len(points), "x": middle[0], "y": middle[1], "z": middle[2]}
    made |= {"gyrationRadius": float(np.sqrt(np.mean(distance**2))), "median_abs_deviation": float(np.median(distance))}
    axes, sigma = np.zeros((3, 3)), np.zeros(3)
    if len(points) >= 3:
        _, s, axes = np.linalg.svd(off, full_matrices=False)
        sigma = s / np.sqrt(len(points) - 1)
    square = sigma**2
    whole = square.mean()
    made |= {f"axis{k}_{name}": float(axes[k, i]) for k in range(3) for i, name in enumerate("xyz")}
    made |= {f"sigma_{name}": float(sigma[k]) for k, name in enumerate("xyz")}
    made["anisotropy"] = float(np.sqrt(np.var(square, ddof=1)) / (np.sqrt(3) * whole)) if whole > 0 else 0.0
    made["theta"] = float(np.arctan2(axes[0, 0], axes[0, 1])) if len(points) >= 3 else 0.0
    made["phi"] = float(np.arcsin(np.clip(axes[0, 2], -1, 1))) if len(points) >= 3 else 0.0
    return made


class AddMeasurementsByLabel(ModuleBase):
    """Gives each position the measures of its cluster, in columns LABEL_MEASURE, as PYME does; NaN where its label has none."""

    input_points = Input(Localizations, "input", desc="positions with a label each")
    input_measurements = Input(Table, "clusterMeasures", desc="one row for each label")
    output_points = Output(Localizations, "annotated_points", like="input_points", desc="the same positions with the measures")

    label_key = Str("label", desc="column of both tables with the label")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return (self.label_key,)

    def output_columns(self, port: str, known: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
        return None

    def run(self, ctx: Context, input_points: Localizations, input_measurements: Table) -> Localizations:
        labels, rows = np.unique(input_measurements[self.label_key], return_index=True)
        if len(labels) < len(input_measurements):
            raise DataError(f"column '{self.label_key}' of the measurements names a label twice.", code="D612")
        wanted = input_points[self.label_key]
        place = np.minimum(np.searchsorted(labels, wanted), max(0, len(labels) - 1))
        known = labels[place] == wanted if len(labels) else np.zeros(len(wanted), bool)
        columns: dict[str, npt.NDArray[Any]] = {name: input_points[name] for name in input_points.columns}
        units = dict(input_points.units)
        for name in input_measurements.columns:
            values = input_measurements[name]
            if name == self.label_key or values.dtype.kind not in "fiub":
                continue
            made = np.full(len(wanted), np.nan)
            made[known] = values[rows[place[known]]]
            columns[f"{self.label_key}_{name}"] = made
            units[f"{self.label_key}_{name}"] = input_measurements.units.get(name, "")
        if not known.all():
            ctx.say(f"{int(np.count_nonzero(~known)):,} of {len(known):,} positions have a label without measures")
        return Localizations(columns, units=units, metadata=input_points.metadata)
