"""How positions are spread: Ripley's functions and the pair correlation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Localizations, Scalars, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Input, Int, ListOf, Output
from recipes_modules.neighbours import BOUNDS, good_bounds
from recipes_modules.spatial.region import Region, area_um2, points_in

Floats = npt.NDArray[np.float64]

BINS = 200


class _Pairs(ModuleBase):
    """Base: pairs of localizations in a rectangle by distance."""

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y"), desc="localizations")

    r_max = Float(500.0, low=1e-3, unit="nm", desc="largest distance; at most half the shorter side of the field")
    correction = Choice(
        ("isotropic", "translation"),
        "isotropic",
        desc="for edges: Ripley's, by the circle inside the field; or by the field's overlap",
    )
    bounds = ListOf(Float(0.0), None, length=4, unit="nm", optional=True, desc=BOUNDS)

    def check(self) -> Iterator[str]:
        yield from good_bounds(self.bounds)

    def pairs(self, ctx: Context, table: Localizations, bins: int) -> tuple[Floats, npt.NDArray[np.int64], int, Region]:
        """Corrected sums, plain counts, number of localizations, rectangle."""
        from recipes_modules.spatial import pairs

        points, region = points_in(ctx, table, self.bounds, 3)
        half = 0.5 * min(region[1] - region[0], region[3] - region[2])
        if self.r_max > half:
            raise DataError(
                f"r_max is {self.r_max:g} nm, more than half the shorter side of the field ({half:.4g} nm): edges cannot be corrected for.",
                code="D613", hint="Set a smaller r_max.",
            )  # fmt: skip
        how = pairs.ISOTROPIC if self.correction == "isotropic" else pairs.TRANSLATION
        corrected, counts = pairs.pair_sums(points, region, self.r_max, bins, how, ctx.map)
        return corrected, counts, len(points), region


class Locs_Ripley(_Pairs):
    """Ripley's K, L and H of localizations, beside those of positions at random (Ripley 1977, doi:10.1111/j.2517-6161.1977.tb01615.x).

    K(r) is the mean number of others within r over the density, corrected for the edges of the field: pi r^2 at random. L = sqrt(K / pi)
    is r there, and H = L - r is 0: above the band there are clusters, below it the localizations keep apart. The band holds 95% of the
    fields of as many positions at random, at each r by itself (for the isotropic correction Lotwick and Silverman 1982).
    """

    output_table = Output(
        Table, "ripley", columns=("r", "K", "L", "H", "K_error", "H_error"), desc="the functions and the band's half"
    )
    output_numbers = Output(Scalars, "ripley_numbers", desc="the largest H and where it is")
    output_figure = Output(Figure, "ripley_plot", desc="H with the band of random positions, and K")

    bins = Int(BINS, low=2, high=100_000, desc="distances at which the functions are given")

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        from recipes_modules.spatial.k_errors import k_error
        from recipes_modules.spatial.pairs import ripley_k

        corrected, _, n, region = self.pairs(ctx, input_localizations, self.bins)
        width, height = region[1] - region[0], region[3] - region[2]
        r = self.r_max / self.bins * np.arange(1, self.bins + 1)
        k = ripley_k(corrected, n, width * height)
        l_ = np.sqrt(k / np.pi)
        error = k_error(r, n, width, height, self.correction)
        # At random L is near r, where dL = dK / (2 pi r).
        band = error / (2 * np.pi * r)
        columns = {"r": r, "K": k, "L": l_, "H": l_ - r, "K_error": error, "H_error": band}
        peak = int(np.argmax(l_ - r))
        # At small r there are few pairs and the distribution is no normal one.
        enough = n * (n - 1) / 2 * np.pi * r**2 / (width * height) > 10
        off = float(np.max(np.abs((l_ - r) / band)[enough], initial=0.0))
        numbers = {
            "n": n, "density": n / area_um2(region), "h_max": float((l_ - r)[peak]), "r_at_h_max": float(r[peak]),
            "largest_deviation": off,
        }  # fmt: skip
        units = {"h_max": "nm", "r_at_h_max": "nm", "density": "1/um^2"}
        ctx.say(f"H is largest, {numbers['h_max']:.4g} nm, at r = {numbers['r_at_h_max']:.4g} nm")
        made: dict[str, Any] = {
            "output_table": Table(
                columns, units={"r": "nm", "K": "nm^2", "L": "nm", "H": "nm", "K_error": "nm^2", "H_error": "nm"}
            ),
            "output_numbers": Scalars(numbers, units=units),
        }
        if ctx.wanted("output_figure"):
            from recipes_modules.spatial_figures import ripley_figure

            made["output_figure"] = ripley_figure(columns, numbers)
        return made


class Locs_Pair_Correlation(_Pairs):
    """Pair correlation g(r): how much more often than at random localizations lie a distance apart.

    1 at random, more within clusters. Molecules that blink, and are localized again and again, make clusters of the size of the
    precision: link them first.
    """

    output_table = Output(
        Table, "pair_correlation", columns=("r", "g", "g_error", "pairs"), desc="g in bins, and its error at random"
    )
    output_figure = Output(Figure, "pair_correlation_plot", desc="g with the band of random positions")

    bin_size = Float(5.0, low=1e-3, unit="nm", desc="width of the bins")

    def check(self) -> Iterator[str]:
        yield from super().check()
        if self.bin_size > self.r_max:
            yield "bin_size is larger than r_max"

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        from recipes_modules.spatial.pairs import pair_correlation

        bins = max(1, round(self.r_max / self.bin_size))
        corrected, counts, n, region = self.pairs(ctx, input_localizations, bins)
        area = (region[1] - region[0]) * (region[3] - region[2])
        edges = np.linspace(0, self.r_max, bins + 1)
        g = pair_correlation(corrected, n, area, self.r_max)
        expected = n * (n - 1) / 2 * np.pi * np.diff(edges**2) / area
        columns = {"r": (edges[1:] + edges[:-1]) / 2, "g": g, "g_error": 1 / np.sqrt(expected), "pairs": counts}
        made: dict[str, Any] = {"output_table": Table(columns, units={"r": "nm"})}
        if ctx.wanted("output_figure"):
            from recipes_modules.spatial_figures import correlation_figure

            made["output_figure"] = correlation_figure(columns, n, n / area_um2(region))
        return made


class PairwiseDistanceHistogram(ModuleBase):
    """Histogram of the distances of all pairs of positions, as PYME does: within a table each pair twice, or between two tables."""

    inputPositions = Input(Table, "input", requires=("x", "y"), desc="positions")
    inputPositions2 = Input(Table, "", requires=("x", "y"), desc="other positions; not connected: the same")
    outputName = Output(Table, "distHist", columns=("bins", "counts"), desc="lower edges of the bins and numbers of pairs")

    nbins = Int(50, low=1, high=1_000_000, desc="number of bins")
    binSize = Float(50.0, low=1e-6, unit="nm", desc="their width")
    threeD = Int(-1, low=-1, high=1, desc="1 with z, 0 without, -1 with z where the tables have it")

    def run(self, ctx: Context, inputPositions: Table, inputPositions2: Table | None) -> Table:
        from scipy.spatial import cKDTree

        tables = [inputPositions] if inputPositions2 is None else [inputPositions, inputPositions2]
        deep = self.threeD == 1 or (self.threeD == -1 and all("z" in table for table in tables))
        names = ("x", "y", "z") if deep else ("x", "y")
        sets = []
        for table in tables:
            good = table.finite_rows(*names)
            sets.append(cKDTree(np.column_stack([table[name][good].astype(np.float64) for name in names])))
        edges = self.binSize * np.arange(self.nbins + 1)
        within = sets[0].count_neighbors(sets[-1], np.nextafter(edges[1:], 0))
        # Distances of 0 of positions with themselves are none.
        own = sets[0].n if len(sets) == 1 else 0
        return Table({"bins": edges[:-1], "counts": np.diff(np.concatenate([[own], within]))}, units={"bins": "nm"})


class Ripleys(ModuleBase):
    """Ripley's functions as PYME's module of this name gives them, in two dimensions and the smallest rectangle around the positions."""

    inputPositions = Input(Localizations, "input", requires=("x", "y"), desc="positions")
    outputName = Output(Table, "ripleys", columns=("bins", "vals"), desc="upper edges of the bins and the function")

    normalization = Choice(("K", "L", "H", "dL", "dH"), "K", desc="which function; d: its slope over r")
    nbins = Int(50, low=2, high=100_000, desc="number of bins")
    binSize = Float(50.0, low=1e-6, unit="nm", desc="their width")
    sampling = Float(5.0, low=0.0, unit="nm", deprecated=True, desc="takes no part: PYME's grid for the area of a mask")

    def run(self, ctx: Context, inputPositions: Localizations) -> Table:
        reach = self.nbins * self.binSize
        module = Locs_Ripley(r_max=reach, bins=self.nbins)
        table = module.run(Context(ctx.step, n_threads=ctx.n_threads, wanted=["output_table"]), inputPositions)["output_table"]
        values = table[self.normalization.removeprefix("d")]
        if self.normalization.startswith("d"):
            values = np.gradient(values, table["r"])
        return Table({"bins": table["r"], "vals": values}, units={"bins": "nm"})
