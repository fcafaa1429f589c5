"""Nearest neighbours, local density, and localizations per frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Localizations, Scalars, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Float, Input, Int, ListOf, Output, Str
from recipes_modules.spatial.region import area_um2, circle_in, points_in

Floats = npt.NDArray[np.float64]

BOUNDS = "[x0, x1, y0, y1] of the field; null takes the extent of the data"


def good_bounds(bounds: Any) -> Iterator[str]:
    """The fault of bounds that are none."""
    if bounds is not None and not (bounds[0] < bounds[1] and bounds[2] < bounds[3]):
        yield "bounds must be [x0, x1, y0, y1] with x0 < x1 and y0 < y1"


class Locs_Neighbours(ModuleBase):
    """Distance of each localization to its k-th neighbour, or to the nearest one of another table, beside what chance gives.

    Within one table the mean distance to the nearest neighbour is compared with that of positions at random (Clark and Evans 1954,
    doi:10.2307/1931034, with the correction for edges of Donnelly 1978): an index below 1 tells clusters, above 1 order.
    """

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y"), desc="localizations")
    input_others = Input(
        Localizations, "", requires=("x", "y"), desc="where neighbours are looked for; not connected: the same table"
    )
    output_localizations = Output(
        Localizations, "with_neighbours", like="input_localizations", adds=("nn_distance",), desc="the same rows with nn_distance"
    )
    output_numbers = Output(Scalars, "neighbour_numbers", desc="mean and median distance, and the Clark-Evans index")
    output_figure = Output(Figure, "neighbour_plot", desc="histogram of the distances beside that of positions at random")

    k = Int(1, low=1, high=1000, desc="which neighbour: 1 for the nearest")
    bounds = ListOf(Float(0.0), None, length=4, unit="nm", optional=True, desc=BOUNDS)

    def check(self) -> Iterator[str]:
        yield from good_bounds(self.bounds)

    def run(self, ctx: Context, input_localizations: Localizations, input_others: Localizations | None) -> dict[str, Any]:
        from scipy.spatial import cKDTree

        table = input_localizations
        good = table.finite_rows("x", "y")
        same = input_others is None
        if same and self.bounds is not None:
            x0, x1, y0, y1 = self.bounds
            good &= (table["x"] >= x0) & (table["x"] <= x1) & (table["y"] >= y0) & (table["y"] <= y1)
        points = np.column_stack([table[name][good].astype(np.float64) for name in "xy"])
        others, region = points_in(ctx, table if input_others is None else input_others, self.bounds, 1)
        if same and len(others) <= self.k:
            raise DataError(f"{len(others)} localizations have no neighbour number {self.k}.", code="D610")
        distance = np.full(len(table), np.nan)
        tree = cKDTree(others)
        order = self.k + 1 if same else self.k
        found = tree.query(points, k=[order], workers=ctx.n_threads)[0][:, 0]
        distance[good] = np.where(np.isfinite(found), found, np.nan)
        density = len(others) / area_um2(region) * 1e-6
        there = distance[np.isfinite(distance)]
        if not len(there):
            raise DataError("no localization has a neighbour.", code="D610", hint="There are none, or none within the bounds.")
        mean = float(there.mean())
        numbers: dict[str, Any] = {
            "mean_distance": mean, "median_distance": float(np.median(there)),
            "density": density * 1e6, "random_mean_distance": mean_at_random(density, self.k),
        }  # fmt: skip
        if same and self.k == 1:
            numbers |= clark_evans(mean, len(others), region)
        made: dict[str, Any] = {
            "output_localizations": table.with_columns({"nn_distance": distance}, units={"nn_distance": "nm"}),
            "output_numbers": Scalars(
                numbers, units={"mean_distance": "nm", "median_distance": "nm", "random_mean_distance": "nm", "density": "1/um^2"}
            ),
        }
        if ctx.wanted("output_figure"):
            from recipes_modules.spatial_figures import neighbours_figure

            made["output_figure"] = neighbours_figure(distance[good], density, self.k, numbers)
        return made


def density_at_random(r: Floats, density: float, k: int) -> Floats:
    """Probability density of the distance to the k-th neighbour of positions at random (density in 1/nm^2)."""
    from scipy.special import gammaln

    load = np.pi * density * r**2
    with np.errstate(divide="ignore"):
        logarithm = np.log(2 * np.pi * density * r) + (k - 1) * np.log(np.maximum(load, 1e-300)) - load - gammaln(k)
    return np.asarray(np.exp(logarithm))


def mean_at_random(density: float, k: int) -> float:
    """Mean distance to the k-th neighbour of positions at random without edges."""
    from scipy.special import gammaln

    return float(np.exp(gammaln(k + 0.5) - gammaln(k)) / np.sqrt(np.pi * density))


def clark_evans(mean: float, n: int, region: tuple[float, float, float, float]) -> dict[str, float]:
    """Mean nearest-neighbour distance over that of positions at random, and how many standard deviations off it is."""
    width, height = region[1] - region[0], region[3] - region[2]
    area, edge = width * height, 2 * (width + height)
    expected = 0.5 * np.sqrt(area / n) + (0.0514 + 0.041 / np.sqrt(n)) * edge / n
    spread = np.sqrt(0.0703 * area / n**2 + 0.037 * edge * np.sqrt(area / n**5))
    return {"clark_evans": float(mean / expected), "clark_evans_z": float((mean - expected) / spread)}


class Locs_Density(ModuleBase):
    """Counts the neighbours of each localization within a radius, and gives the density around it.

    The density is the number of localizations in the circle, itself included, over the part of its area inside the field.
    """

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y"), desc="localizations")
    output_localizations = Output(
        Localizations, "with_density", like="input_localizations", adds=("n_neighbours", "local_density"),
        desc="the same rows with the columns n_neighbours and local_density (1/um^2)",
    )  # fmt: skip
    output_figure = Output(Figure, "density_plot", desc="histogram of the densities, beside that of positions at random")

    radius = Float(100.0, low=1e-3, unit="nm", desc="of the circle")
    bounds = ListOf(Float(0.0), None, length=4, unit="nm", optional=True, desc=BOUNDS)

    def check(self) -> Iterator[str]:
        yield from good_bounds(self.bounds)

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        from recipes_modules.spatial.pairs import neighbour_counts

        table = input_localizations
        good = table.finite_rows("x", "y")
        points, region = points_in(ctx, table.select(good), None, 1)
        if self.bounds is not None:
            region = tuple(self.bounds)
        count = neighbour_counts(points, self.radius, ctx.map)
        inside = np.clip(points, (region[0], region[2]), (region[1], region[3]))
        density = (count + 1) / circle_in(inside, region, self.radius) * 1e6
        columns = {"n_neighbours": np.full(len(table), -1, np.int64), "local_density": np.full(len(table), np.nan)}
        columns["n_neighbours"][good], columns["local_density"][good] = count, density
        made: dict[str, Any] = {"output_localizations": table.with_columns(columns, units={"local_density": "1/um^2"})}
        if ctx.wanted("output_figure"):
            from recipes_modules.spatial_figures import density_figure

            made["output_figure"] = density_figure(count, self.radius, len(points) / area_um2(region))
        return made


class Locs_Per_Frame(ModuleBase):
    """Counts localizations per frame: bleaching, blinking that changes, frames that are missing."""

    input_localizations = Input(Localizations, "Localizations", requires=("frame",), desc="localizations")
    output_table = Output(
        Table, "per_frame", columns=("frame", "count", "rate"), desc="first frame of each bin, localizations, and per frame"
    )
    output_numbers = Output(Scalars, "per_frame_numbers", desc="mean, standard deviation and half-life")
    output_figure = Output(Figure, "per_frame_plot", desc="localizations per frame over the movie")

    bin_frames = Int(0, low=0, unit="frame", desc="frames that are counted together; 0 for a hundredth of the movie")

    def output_columns(self, port: str, known: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
        return super().output_columns(port, known)

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        frames = input_localizations.frames
        if not len(frames):
            raise DataError("there are no localizations.", code="D610", hint="Filters may have removed all of them.")
        first, last = int(frames.min()), int(frames.max())
        width = self.bin_frames or max(1, (last - first + 1) // 100)
        n = (last - first) // width + 1
        if n > 50_000_000:
            raise DataError(
                f"frames reach from {first} to {last}, too many bins of {width}.", code="D600", hint="Set bin_frames."
            )
        count = np.bincount((frames - first) // width, minlength=n)
        lasting = np.full(n, width)
        lasting[-1] = last - first + 1 - (n - 1) * width
        rate = count / lasting
        start = first + width * np.arange(n)
        half = int(np.searchsorted(np.cumsum(count), count.sum() / 2))
        numbers = {
            "localizations": len(frames), "frames": last - first + 1, "mean_per_frame": len(frames) / (last - first + 1),
            "empty_bins": int(np.count_nonzero(count == 0)), "half_by_frame": int(start[min(half, n - 1)]),
        }  # fmt: skip
        made: dict[str, Any] = {
            "output_table": Table({"frame": start, "count": count, "rate": rate}, units={"frame": "frame"}),
            "output_numbers": Scalars(numbers),
        }
        if ctx.wanted("output_figure"):
            from recipes_modules.spatial_figures import per_frame_figure

            made["output_figure"] = per_frame_figure(start, rate, lasting, numbers)
        return made


class NearestNeighbourDistances(ModuleBase):
    """Distance of each position to the nearest one of the table, or of another table, as PYME does."""

    inputChan0 = Input(Table, "input", desc="positions", aliases=("inputPositions",))
    inputChan1 = Input(Table, "", desc="where neighbours are looked for; not connected: the same table")
    outputName = Output(Table, "neighbourDists", desc="one row for each position of the first table, with the distance")

    columns = ListOf(Str(""), ("x", "y"), desc="coordinates")
    key = Str("neighbourDists", desc="column that gets the distances")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return self.columns

    def check(self) -> Iterator[str]:
        if not self.columns or not self.key:
            yield "columns must name coordinates, and key a column"

    def output_columns(self, port: str, known: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
        return (self.key,)

    def run(self, ctx: Context, inputChan0: Table, inputChan1: Table | None) -> Table:
        from scipy.spatial import cKDTree

        sets = []
        for table in (inputChan0, inputChan1 or inputChan0):
            good = table.finite_rows(*self.columns)
            sets.append((good, np.column_stack([table[name][good].astype(np.float64) for name in self.columns])))
        (good, points), (_, others) = sets
        order = 2 if inputChan1 is None else 1
        if len(others) < order:
            raise DataError(f"there are {len(others)} positions among which a neighbour is looked for.", code="D610")
        distance = np.full(len(good), np.nan)
        if not good.all():
            ctx.say(f"{int(np.count_nonzero(~good)):,} positions have NaN and no neighbour")
        distance[good] = cKDTree(others).query(points, k=[order], workers=ctx.n_threads)[0][:, 0]
        return Table(
            {self.key: distance}, units={self.key: inputChan0.units.get(self.columns[0], "nm")}, metadata=inputChan0.metadata
        )
