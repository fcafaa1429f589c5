"""PYME's LocalPointDensity and GaussianMixtureModel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Table
from recipes_core.errors import DataError, EnvironmentFault
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Input, Int, Output, Str

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DENSITY = "local_density"
NARROWEST = 0.1
"""nm; components that shrink to one place keep this width."""
MANY = 10_000_000
"""Localizations times components above which mixtures take minutes."""


def _points(table: Table, names: tuple[str, ...]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Rows whose coordinates are finite, as points, and which rows they are."""
    good = table.finite_rows(*names)
    return np.column_stack([np.asarray(table[name][good], np.float64) for name in names]), good


class LocalPointDensity(ModuleBase):
    """Gives the density around each position from the distances to its nearest neighbours, as PYME's module of this name does.

    With k neighbours, the farthest at a distance r, it is (k - 1) / (pi r^2), or (k - 1) / (4/3 pi r^3) in three dimensions: right on
    average for positions at random (Silverman 1986, Density Estimation, ch. 5), with a relative error of 1 / sqrt(k - 2). At the edges
    of the field it comes out too low. `Locs_Density` takes a radius in place of a number, and corrects for edges.
    """

    version = 1

    input = Input(Table, "input", desc="positions")
    input_sample_locations = Input(Table, "", desc="where the density is asked for; not connected: at the positions themselves")
    output = Output(Table, "output", desc="the places with the column local_density (1/um^2, or 1/um^3 with three_d)")

    n_nearest_neighbours = Int(10, low=3, high=10_000, desc="neighbours, a position itself not included")
    three_d = Bool(True, desc="distances in x, y and z; else in x and y")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return ("x", "y", "z") if self.three_d else ("x", "y")

    def output_columns(self, port: str, known: Any) -> tuple[str, ...] | None:
        columns = known.get("input_sample_locations" if "input_sample_locations" in known else "input")
        return None if columns is None else tuple(dict.fromkeys((*columns, DENSITY)))

    def run(self, ctx: Context, input: Table, input_sample_locations: Table | None) -> Table:  # noqa: A002 - PYME's name
        from scipy.spatial import cKDTree

        names, k = self.required_columns("input"), self.n_nearest_neighbours
        points, _ = _points(input, names)
        same = input_sample_locations is None
        table = input if input_sample_locations is None else input_sample_locations
        places, good = _points(table, names)
        if len(points) < k + same:
            raise DataError(
                f"{len(points)} positions have no {k} neighbours.", code="D610", hint="Set n_nearest_neighbours lower."
            )
        if self.three_d and np.ptp(points[:, 2]) == 0:
            ctx.warn("all positions have the same z: a density per um^3 tells nothing; set three_d to false")
        if not good.all():
            ctx.say(f"{int(np.count_nonzero(~good)):,} of {len(good):,} places have NaN and get no density: NaN")
        radius = cKDTree(points).query(places, k=[k + same], workers=ctx.n_threads)[0][:, 0] / 1e3
        size = 4 / 3 * np.pi * radius**3 if self.three_d else np.pi * radius**2
        density = np.full(len(table), np.nan)
        some = np.zeros(len(places))
        density[good] = np.divide(k - 1, size, out=np.full_like(some, np.nan), where=size > 0)
        stacked = int(np.count_nonzero(size == 0))
        if stacked:
            ctx.warn(f"{stacked:,} places have {k} neighbours at the very same place, and no density: NaN")
        columns = {name: table[name] for name in table.columns} | {DENSITY: density}
        units = {**table.units, DENSITY: "1/um^3" if self.three_d else "1/um^2"}
        return type(table)(columns, units=units, metadata=table.metadata)


class GaussianMixtureModel(ModuleBase):
    """Assigns positions to the components of a mixture of Gaussians, by scikit-learn; as PYME's module of this name does.

    With mode n there are `n` components; with bic as many, up to `n`, as the Bayesian information criterion (Schwarz 1978,
    doi:10.1214/aos/1176344136) likes best; with bayesian up to `n`, those that are not needed being emptied by a Dirichlet process (Blei
    and Jordan 2006, doi:10.1214/06-BA104). Works in x, y and, where it varies, z. Labels count from 1; 0 for rows with NaN.

    Needs the extra `cluster`.
    """

    version = 1
    uses_seed = True

    input_points = Input(Table, "input", requires=("x", "y"), desc="positions")
    output_labeled = Output(Table, "labeled_points", like="input_points", desc="the same rows with the number of their component")
    output_components = Output(
        Table, "gmm_components", diagnostic=True, desc="each component that has positions: number, count, weight, centre, widths"
    )
    output_figure = Output(Figure, "gmm_plot", diagnostic=True, desc="the positions in the colours of their components")

    n = Int(1, low=1, high=10_000, desc="components; the most of them for bic and bayesian")
    mode = Choice(("n", "bic", "bayesian"), "n", desc="how the number of components is found")
    covariance = Choice(
        ("full", "tied", "diag", "spherical"), "full",
        desc="shape: each its own, one for all, each its own along the axes, round",
    )  # fmt: skip
    max_iter = Int(100, low=1, high=1_000_000, desc="most steps of the fit")
    init_params = Choice(("kmeans", "random"), "kmeans", desc="where the fit begins")
    label_key = Str("gmm_label", desc="column that gets the labels")

    def check(self) -> Iterator[str]:
        if not self.label_key:
            yield "label_key must name a column"

    def output_columns(self, port: str, known: Any) -> tuple[str, ...] | None:
        if port != "output_labeled":
            return super().output_columns(port, known)
        columns = known.get("input_points")
        return None if columns is None else tuple(dict.fromkeys((*columns, self.label_key)))

    def run(self, ctx: Context, input_points: Table) -> dict[str, Any]:
        table = input_points
        z = table.get("z")
        deep = z is not None and np.isfinite(z).any() and np.nanmax(z) > np.nanmin(z)
        names = ("x", "y", "z") if deep else ("x", "y")
        points, good = _points(table, names)
        if not good.all():
            ctx.say(f"{int(np.count_nonzero(~good)):,} of {len(good):,} positions have NaN and are of no component: 0")
        if len(points) < max(2, self.n):
            raise DataError(f"{len(points)} positions are too few for {self.n} components.", code="D610", hint="Set n lower.")
        centre = points.mean(axis=0)
        model = self._fitted(ctx, points - centre)
        found = np.asarray(model.predict(points - centre), np.int64)
        used, number = np.unique(found, return_inverse=True)
        label = np.zeros(len(table), np.int32)
        label[good] = number + 1
        ctx.say(f"{len(used)} of at most {self.n} components" if self.mode != "n" else f"{len(used)} components have positions")
        columns = {name: table[name] for name in table.columns} | {self.label_key: label}
        made: dict[str, Any] = {"output_labeled": type(table)(columns, units=table.units, metadata=table.metadata)}
        if ctx.wanted("output_components"):
            made["output_components"] = self._components(model, used, number, names, centre)
        if ctx.wanted("output_figure"):
            from recipes_modules.cluster_figures import clusters_figure

            made["output_figure"] = clusters_figure(table["x"], table["y"], label.astype(np.int64) - 1, len(used))
        return made

    def _fitted(self, ctx: Context, points: Floats) -> Any:
        try:
            from sklearn.exceptions import ConvergenceWarning
            from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
        except ImportError:
            raise EnvironmentFault(
                "GaussianMixtureModel needs scikit-learn, which is not installed.",
                code="V400",
                hint="pip install 'smlm-recipes[cluster]'",
            ) from None
        if len(points) * self.n > MANY:
            ctx.warn(f"a mixture of {self.n} components for {len(points):,} positions takes long")
        kind = BayesianGaussianMixture if self.mode == "bayesian" else GaussianMixture
        seed = int(ctx.rng.integers(2**31))
        best, lowest = None, np.inf
        numbers = range(1, self.n + 1) if self.mode == "bic" else (self.n,)
        for n in numbers:
            ctx.check_cancelled()
            model = kind(
                n_components=n, covariance_type=self.covariance, max_iter=self.max_iter, init_params=self.init_params, random_state=seed,
                reg_covar=NARROWEST**2,
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(points)
            score = model.bic(points) if self.mode == "bic" else 0.0
            if best is None or score < lowest:
                best, lowest = model, score
            ctx.progress(n if self.mode == "bic" else 1, len(numbers))
        if not best.converged_:  # type: ignore[union-attr]
            ctx.warn(f"the fit did not end within max_iter {self.max_iter} steps: raise it, or lower n")
        return best

    def _components(self, model: Any, used: Ints, number: Ints, names: tuple[str, ...], centre: Floats) -> Table:
        spread = model.covariances_
        if self.covariance == "tied":
            variance = np.tile(np.diag(spread), (len(model.weights_), 1))
        elif self.covariance == "full":
            variance = np.diagonal(spread, axis1=1, axis2=2)
        else:
            variance = spread if self.covariance == "diag" else np.tile(spread[:, np.newaxis], (1, len(names)))
        columns: dict[str, Any] = {
            self.label_key: np.arange(1, len(used) + 1), "count": np.bincount(number, minlength=len(used)), "weight": model.weights_[used],
        }  # fmt: skip
        for axis, name in enumerate(names):
            columns[name] = model.means_[used, axis] + centre[axis]
            columns[f"width_{name}"] = np.sqrt(variance[used, axis])
        return Table(columns, units={name: "nm" for name in columns if name in names or name.startswith("width_")})
