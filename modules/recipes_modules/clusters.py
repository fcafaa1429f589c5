"""Clusters of localizations: DBSCAN and HDBSCAN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Localizations, Scalars, Table
from recipes_core.errors import DataError, EnvironmentFault
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Float, Input, Int, ListOf, Output, Str

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MANY = 300_000
"""Localizations for which HDBSCAN takes minutes."""


def labelled(
    ctx: Context, table: Table, columns: tuple[str, ...], find: Callable[[Floats], Ints], fewest: int
) -> tuple[Ints, int]:
    """Cluster of each row, counted from 0; -1 for noise, for rows with NaN and for clusters of fewer than `fewest` rows."""
    good = table.finite_rows(*columns)
    if not good.all():
        ctx.say(f"{int(np.count_nonzero(~good)):,} of {len(good):,} localizations have NaN and are in no cluster")
    points = np.column_stack([np.asarray(table[name][good], np.float64) for name in columns])
    label = np.full(len(good), -1, np.int64)
    if len(points):
        label[good] = find(points)
    count = int(label.max(initial=-1)) + 1
    if fewest > 1 and count:
        size = np.bincount(label[label >= 0], minlength=count)
        number = np.full(count + 1, -1, np.int64)
        large = size >= fewest
        number[:-1][large] = np.arange(np.count_nonzero(large))
        label, count = number[label], int(np.count_nonzero(large))
    inside = int(np.count_nonzero(label >= 0))
    ctx.say(f"{count:,} clusters hold {inside:,} of {len(label):,} localizations")
    return label, count


def _dimensions(table: Localizations, columns: tuple[str, ...] | None) -> tuple[str, ...]:
    if columns is not None:
        return columns
    deep = "z" in table and len(table) and np.nanmax(table["z"]) > np.nanmin(table["z"])
    return ("x", "y", "z") if deep else ("x", "y")


class _Clusters(ModuleBase):
    """Base: rows get the number of their cluster in column `group` (-1: none)."""

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y"), desc="localizations")
    output_localizations = Output(
        Localizations,
        "clustered",
        like="input_localizations",
        adds=("group",),
        desc="the same rows with column group; -1 for noise",
    )
    output_numbers = Output(Scalars, "cluster_numbers", desc="clusters, their mean size, part of the localizations in clusters")
    output_figure = Output(Figure, "cluster_plot", desc="the localizations in the colours of their clusters, and cluster sizes")

    columns = ListOf(Str(""), None, optional=True, desc="coordinates; null takes x, y and, where it varies, z")
    min_locs = Int(1, low=1, desc="fewest localizations of a cluster; smaller ones count as noise")
    drop_noise = Bool(False, desc="leave out localizations that are in no cluster")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(("x", "y", *(self.columns or ()))))

    def check(self) -> Iterator[str]:
        if self.columns is not None and len(self.columns) not in (2, 3):
            yield "columns must name two or three coordinates"

    def find(self, ctx: Context, points: Floats) -> Ints:
        """Cluster of each point, from 0; -1 for noise."""
        raise NotImplementedError(f"{type(self).__name__} does not find clusters")

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        table = input_localizations
        columns = _dimensions(table, self.columns)
        label, count = labelled(ctx, table, columns, lambda points: self.find(ctx, points), self.min_locs)
        kept = {name: table[name] for name in table.columns}
        made_table = Localizations({**kept, "group": label}, units={**table.units, "group": ""}, metadata=table.metadata)
        inside = int(np.count_nonzero(label >= 0))
        numbers = {
            "n_clusters": count, "n_localizations": len(label), "n_clustered": inside,
            "part_clustered": inside / len(label) if len(label) else 0.0, "mean_size": inside / count if count else 0.0,
        }  # fmt: skip
        made: dict[str, Any] = {
            "output_localizations": made_table.select(label >= 0) if self.drop_noise else made_table,
            "output_numbers": Scalars(numbers),
        }
        if ctx.wanted("output_figure"):
            from recipes_modules.cluster_figures import clusters_figure

            made["output_figure"] = clusters_figure(table["x"], table["y"], label, count)
        return made


class Locs_DBSCAN(_Clusters):
    """Finds clusters by density: DBSCAN (Ester et al. 1996).

    A localization with at least `min_samples` localizations (itself included) within `radius` is a core; cores within the radius of
    each other are of one cluster, and others belong to the cluster of the nearest core within it. Works on millions of localizations.
    """

    radius = Float(30.0, low=1e-3, unit="nm", desc="within which neighbours are counted")
    min_samples = Int(10, low=1, desc="localizations within the radius, itself included, that make a core")

    def find(self, ctx: Context, points: Floats) -> Ints:
        from recipes_modules.spatial.density_clusters import dbscan

        return dbscan(points, self.radius, self.min_samples)[0]


class Locs_HDBSCAN(_Clusters):
    """Finds clusters of different density: HDBSCAN (Campello et al. 2013, doi:10.1007/978-3-642-37456-2_14), by scikit-learn.

    Needs the extra `cluster`. Time grows faster than the number of localizations: for many use Locs_DBSCAN, or a region.
    """

    min_cluster_size = Int(10, low=2, desc="fewest localizations of a cluster")
    min_samples = Int(0, low=0, desc="neighbours that make a place dense; 0 takes min_cluster_size")
    merge_within = Float(0.0, low=0.0, unit="nm", desc="clusters nearer than this are one; 0 for none")
    leaf = Bool(False, desc="take the finest clusters instead of the most persistent ones")

    def find(self, ctx: Context, points: Floats) -> Ints:
        try:
            from sklearn.cluster import HDBSCAN
        except ImportError:
            raise EnvironmentFault(
                "Locs_HDBSCAN needs scikit-learn, which is not installed.",
                code="V400",
                hint="pip install 'smlm-recipes[cluster]'",
            ) from None
        if len(points) < max(self.min_cluster_size, self.min_samples):
            return np.full(len(points), -1, np.int64)
        if len(points) > MANY:
            ctx.warn(f"HDBSCAN of {len(points):,} localizations takes long; Locs_DBSCAN is made for as many")
        method = HDBSCAN(
            min_cluster_size=self.min_cluster_size, min_samples=self.min_samples or None, cluster_selection_epsilon=self.merge_within,
            cluster_selection_method="leaf" if self.leaf else "eom", n_jobs=ctx.n_threads, copy=True,
        )  # fmt: skip
        return np.asarray(method.fit_predict(points), np.int64)


class DBSCANClustering(ModuleBase):
    """Finds clusters by density as PYME does: numbers from 1, 0 for what is in none.

    PYME's defaults (10 nm, one localization) make a cluster of every localization.
    """

    inputName = Input(Table, "filtered", desc="positions")
    outputName = Output(Table, "dbscanClustered", like="inputName", desc="the same rows with the number of their cluster")

    columns = ListOf(Str(""), ("x", "y", "z"), desc="two or three coordinates")
    searchRadius = Float(10.0, low=1e-3, unit="nm", desc="within which neighbours are counted")
    minClumpSize = Int(1, low=1, desc="localizations within the radius, itself included, that make a core")
    clumpColumnName = Str("dbscanClumpID", desc="column that gets the numbers")
    numberOfJobs = Int(-1, deprecated=True, desc="takes no part: all processors are used")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return self.columns

    def check(self) -> Iterator[str]:
        if len(self.columns) not in (2, 3):
            yield "columns must name two or three coordinates"

    def output_columns(self, port: str, known: Any) -> tuple[str, ...] | None:
        columns = known.get("inputName")
        return None if columns is None else tuple(dict.fromkeys((*columns, self.clumpColumnName)))

    def run(self, ctx: Context, inputName: Table) -> Table:
        from recipes_modules.spatial.density_clusters import dbscan

        label, count = labelled(
            ctx, inputName, self.columns, lambda points: dbscan(points, self.searchRadius, self.minClumpSize)[0], 1
        )
        if count > 0.9 * len(label) and len(label) > 1:
            ctx.warn("nearly every localization is a cluster of its own; raise minClumpSize or searchRadius")
        if not self.clumpColumnName:
            raise DataError("clumpColumnName is empty.", code="D612", hint="Name the column, for instance dbscanClumpID.")
        columns = {name: inputName[name] for name in inputName.columns}
        columns[self.clumpColumnName] = (label + 1).astype(np.int32)
        return type(inputName)(columns, units=inputName.units, metadata=inputName.metadata)
