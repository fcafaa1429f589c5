"""PYME's DensityMapping: its renderers by name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Float, Input, Int, ListOf, Output, Range, Str
from recipes_modules.render import Spots, drawn
from recipes_modules.render_view import MOST_PIXELS, View

Floats = npt.NDArray[np.float64]

TRIANGLES = ("Jittered Triangulation", "Jittered Triangulation - weighted")
RENDERERS = (
    *("Histogram", "Gaussian", *TRIANGLES, "Log Likelihood", "Density Fit", "Voronoi"),
    *("3D Histogram", "3D Gaussian", "3D Triangularisation"),
)
JITTERED = ("Gaussian", *TRIANGLES, "Log Likelihood", "3D Gaussian", "3D Triangularisation")
JITTERED_Z = ("3D Gaussian", "3D Triangularisation")
NEIGHBOURS = ("neighbourDistances", "neighbourErrorMin")
MEMBER, OTHER = 0.1, 0.1
"""A localization is of a channel where its part of the probabilities is above the first and that of no other above the second."""


class DensityMapping(ModuleBase):
    """Renders localizations as PYME's module of this name does, with its renderers and the values of its pixels.

    Histogram counts. Gaussian has a height of 1 / sigma (nm). Jittered Triangulation and Voronoi give localizations per um^2, 3D Gaussian
    a thousand times the density per nm^3. For images in which each localization sums up to 1 take Locs_Render.

    Jittered Triangulation - weighted is the mean density of the jittered copies, weighted by the area of their triangles, per nm^2. 3D
    Triangularisation is the mean of one over the volume (in voxels) of the tetrahedra of the jittered copies: each of them sums up to 1,
    and a localization has about 6.77. Log Likelihood is the sum over localizations of the log of their Gaussian likelihood at a pixel,
    ``max(0, log(exp(-r^2 / 2 sigma^2) / (sigma sqrt(2 pi))) - log(1e-4))`` for r and sigma in nm. Density Fit is pi times the density per
    nm^2, fitted to the distances of the numSamples nearest localizations. PYME's QuadTree does not run in its recipes and is not here.
    """

    version = 1
    uses_seed = True

    inputLocalizations = Input(Localizations, "localizations", requires=("x", "y"), desc="localizations")
    outputImage = Output(ImageStack, "output", desc="image, with channels for columns p_...")

    renderingModule = Choice(RENDERERS, "3D Gaussian", desc="how localizations become pixels")
    pixelSize = Range(0.1, 100_000.0, 5.0, unit="nm", desc="edge of a pixel")
    jitterVariable = Str(
        "1.0", desc="column that gives the width of Gaussians and jitter; 1.0, neighbourDistances, neighbourErrorMin"
    )
    jitterScale = Float(1.0, low=0.0, desc="factor of jitterVariable")
    jitterVariableZ = Str("1.0", desc="the same along z")
    jitterScaleZ = Float(1.0, low=0.0, desc="factor of jitterVariableZ")
    MCProbability = Range(0.0, 1.0, 1.0, desc="triangulation: part of the localizations in each jittered copy")
    numSamples = Int(10, low=1, high=100_000, desc="triangulation: jittered copies; Density Fit: neighbours")
    colours = ListOf(Str(""), ("all",), desc="channels: names of columns p_..., or all")
    zBoundsMode = Choice(("manual", "min-max"), "manual", desc="where slices begin and end")
    zBounds = ListOf(Float(0.0), (-500.0, 500.0), length=2, unit="nm", desc="for manual")
    zSliceThickness = Float(50.0, low=1e-3, unit="nm", desc="of the slices of 3D renderers")
    softRender = Bool(True, deprecated=True, desc="takes no part: how PYME drew triangles")
    xyBoundsMode = Choice(
        ("estimate", "inherit", "metadata", "manual"), "estimate", desc="extent of the data, ImageBounds, camera, given"
    )
    manualXYBounds = ListOf(Float(0.0), (0.0, 0.0, 5e3, 5e3), length=4, unit="nm", desc="[x0, y0, x1, y1] for manual")

    def check(self) -> Iterator[str]:
        if self.zBounds[0] >= self.zBounds[1]:
            yield "zBounds must be [low, high]"
        x0, y0, x1, y1 = self.manualXYBounds
        if self.xyBoundsMode == "manual" and not (x0 < x1 and y0 < y1):
            yield "manualXYBounds must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1"

        if self.renderingModule == "Density Fit" and self.numSamples < 2:
            yield "Density Fit takes at least 2 neighbours: numSamples"

    @property
    def _deep(self) -> bool:
        return bool(self.renderingModule.startswith("3D"))

    def required_columns(self, port: str) -> tuple[str, ...]:
        names = ["x", "y", *(("z",) if self._deep else ())]
        used = [self.jitterVariable] if self.renderingModule in JITTERED else []
        used += [self.jitterVariableZ] if self.renderingModule in JITTERED_Z else []
        names += [name for name in used if name not in NEIGHBOURS and not _number(name)]
        names += ["error_x"] if "neighbourErrorMin" in used else []
        return tuple(dict.fromkeys(names))

    def run(self, ctx: Context, inputLocalizations: Localizations) -> ImageStack:
        table = inputLocalizations
        good = table.finite_rows(*self.required_columns("inputLocalizations"))
        if not good.all():
            ctx.say(f"{int(np.count_nonzero(~good)):,} of {len(good):,} localizations have NaN and were left out")
            table = table.select(good)
        if not len(table):
            raise DataError("there are no localizations to render.", hint="Filters may have removed all of them.")
        view = self._view(table)
        slices = self._slices(table)
        channels = self._channels(table)
        depth = max(1, len(slices) - 1)
        if view.shape[0] * view.shape[1] * depth * len(channels) > MOST_PIXELS:
            raise DataError(
                f"the image would have more than {MOST_PIXELS:,} pixels.",
                hint="Set a larger pixelSize or zSliceThickness, or bounds.",
            )
        pixels = ctx.scratch.array((1, depth * len(channels), *view.shape), np.float32)
        for k, (_, part) in enumerate(channels):
            if self.renderingModule == "3D Triangularisation" and len(part):
                ctx.progress(k, len(channels))
                pixels[0, k * depth : (k + 1) * depth] = self._tetrahedra(ctx, part, view, slices)
                continue
            for index in range(depth):
                ctx.progress(k * depth + index, len(channels) * depth)
                if len(part):
                    pixels[0, k * depth + index] = self._plane(ctx, part, view, slices, index)
        metadata = view.metadata() | {"Rendering.Method": self.renderingModule, "Rendering.JitterScale": self.jitterScale}
        metadata |= {"Rendering.JitterVariable": self.jitterVariable, "Rendering.NEventsRendered": len(table)}
        if len(slices):
            metadata |= {"voxelsize.z": self.zSliceThickness / 1000, "Origin.z": float(slices[0]) + self.zSliceThickness / 2}
        return ImageStack(pixels, channels=[name for name, _ in channels] if len(channels) > 1 else (), metadata=metadata)

    def _view(self, table: Localizations) -> View:
        if self.xyBoundsMode == "manual":
            x0, y0, x1, y1 = self.manualXYBounds
        elif self.xyBoundsMode == "inherit":
            x0, x1, y0, y1 = _named(table, [f"ImageBounds.{name}" for name in ("x0", "x1", "y0", "y1")], 1.0)
        elif self.xyBoundsMode == "metadata":
            nx, ny, px, py = _named(table, ["Camera.ROIWidth", "Camera.ROIHeight", "voxelsize.x", "voxelsize.y"], 1.0)
            x0, y0, x1, y1 = 0.0, 0.0, nx * px * 1000, ny * py * 1000
        else:
            x0, x1, y0, y1 = (float(f(table[name])) for name in "xy" for f in (np.min, np.max))
        across, down = (max(1.0, (high - low) / self.pixelSize + 1.01) for low, high in ((x0, x1), (y0, y1)))
        if not across * down <= MOST_PIXELS:
            raise DataError(
                f"the image would have more than {MOST_PIXELS:,} pixels.", hint="Set a larger pixelSize, or xyBoundsMode: manual."
            )
        return View(x0, y0, self.pixelSize, (math.floor(down), math.floor(across)))

    def _slices(self, table: Localizations) -> Floats:
        if not self._deep:
            return np.empty(0)
        low, high = self.zBounds if self.zBoundsMode == "manual" else (float(table["z"].min()), float(table["z"].max()))
        count = max(1.0, math.ceil((high - low) / self.zSliceThickness - 1e-6) if high - low < 1e12 else 1e12)
        if count > MOST_PIXELS:
            raise DataError(f"z reaches from {low:g} to {high:g} nm: too many slices.", hint="Use zBoundsMode: manual.")
        return low + self.zSliceThickness * np.arange(int(count) + 1)

    def _channels(self, table: Localizations) -> list[tuple[str, Localizations]]:
        names = [name for name in table.columns if name.startswith("p_")]
        wanted = names if "all" in self.colours else [name if name.startswith("p_") else f"p_{name}" for name in self.colours]
        if not wanted:
            return [("Image", table)]
        table.require(*wanted)
        norm = table.get("ColourNorm", 1.0)
        part = {name: np.asarray(table[name], np.float64) for name in names}
        total = sum(part.values()) + 0.01 * norm
        made = []
        for name in wanted:
            rest = np.max([part[other] for other in names if other != name], axis=0) if len(names) > 1 else np.zeros(len(table))
            with np.errstate(invalid="ignore", divide="ignore"):
                rows = (part[name] / total > MEMBER) & (rest / total < OTHER)
            made.append((name.removeprefix("p_"), table.select(rows)))
        return made

    def _jitter(self, table: Localizations, name: str, scale: float) -> Floats:
        if _number(name):
            return np.full(len(table), float(name) * scale)
        if name not in NEIGHBOURS:
            return np.asarray(table[name], np.float64) * scale
        distance = edge_lengths(table)
        return scale * (distance if name == "neighbourDistances" else np.minimum(distance, table["error_x"]))

    def _sigma(self, table: Localizations) -> Floats:
        return np.maximum(self._jitter(table, self.jitterVariable, self.jitterScale), self.pixelSize)

    def _sigma_z(self, table: Localizations) -> Floats:
        return np.maximum(self._jitter(table, self.jitterVariableZ, self.jitterScaleZ), self.zSliceThickness)

    def _plane(self, ctx: Context, table: Localizations, view: View, slices: Floats, index: int) -> npt.NDArray[Any]:
        x, y = (np.asarray(table[name], np.float64) for name in "xy")
        none = np.empty(0, np.float32)
        method = self.renderingModule
        if method in ("Histogram", "3D Histogram"):
            rows: Any = slice(None)
            if self._deep:
                z = table["z"]
                rows = (z >= slices[index]) & (z < slices[index + 1])
            return drawn(Spots(x[rows], y[rows], none, none, none), view, ctx.map)
        if method == "Voronoi":
            return voronoi_density(np.column_stack([x, y]), view)
        field = (view.x0, view.y0, view.pixel, view.shape)
        if method == "Density Fit":
            from recipes_modules.pixels.density import fitted_density

            if len(table) < self.numSamples:
                raise DataError(
                    f"{len(table)} localizations are fewer than the {self.numSamples} neighbours of Density Fit.",
                    code="D610",
                    hint="Set a smaller numSamples, or use another renderer.",
                )
            return fitted_density(np.column_stack([x, y]), *field, self.numSamples, ctx.n_threads, ctx.check_cancelled)
        sigma = self._sigma(table)
        if method in TRIANGLES:
            from recipes_modules.pixels.triangles import jittered_triangles, weighted_triangles

            draw = weighted_triangles if method == TRIANGLES[1] else jittered_triangles
            return draw(x, y, sigma, *field, self.numSamples, ctx.rng, ctx.check_cancelled, self.MCProbability)
        if method == "Log Likelihood":
            from recipes_modules.pixels.density import log_likelihood

            return log_likelihood(x, y, sigma, *field)
        if method == "Gaussian":
            weight = 2 * np.pi * sigma / view.pixel**2
            return drawn(Spots(x, y, sigma, sigma, weight.astype(np.float32)), view, ctx.map)
        from scipy.special import ndtr

        low, high = slices[index], slices[index + 1]
        width = self._sigma_z(table)
        part = ndtr((high - table["z"]) / width) - ndtr((low - table["z"]) / width)
        rows = np.flatnonzero(part > 1e-4)
        weight = 1e3 * part[rows] / (view.pixel**2 * (high - low))
        spots = Spots(x[rows], y[rows], sigma[rows], sigma[rows], weight.astype(np.float32))
        return drawn(replace(spots), view, ctx.map)

    def _tetrahedra(self, ctx: Context, table: Localizations, view: View, slices: Floats) -> npt.NDArray[np.float32]:
        from recipes_modules.pixels.tetrahedra import jittered_tetrahedra

        sigma = self._sigma(table)
        return jittered_tetrahedra(
            np.column_stack([np.asarray(table[name], np.float64) for name in "xyz"]),
            np.column_stack([sigma, sigma, self._sigma_z(table)]),
            (view.x0, view.y0, float(slices[0])),
            (view.pixel, view.pixel, self.zSliceThickness),
            (len(slices) - 1, *view.shape),
            self.numSamples,
            ctx.rng,
            ctx.check_cancelled,
            self.MCProbability,
        )


def edge_lengths(table: Localizations) -> Floats:
    """Mean length of the edges of the Delaunay triangulation at each localization, nm."""
    triangles = _triangulated(np.column_stack([np.asarray(table[name], np.float64) for name in "xy"]))
    starts, ends = triangles.vertex_neighbor_vertices
    points = triangles.points
    owner = np.repeat(np.arange(len(points)), np.diff(starts))
    length = np.hypot(*(points[owner] - points[ends]).T)
    number = np.maximum(np.diff(starts), 1)
    return np.asarray(np.bincount(owner, length, minlength=len(points)) / number)


def voronoi_density(points: Floats, view: View) -> npt.NDArray[np.float32]:
    """One over the area of the Voronoi cell that each pixel's middle lies in, per um^2; cells that have no end have 0."""
    from scipy.spatial import ConvexHull, Voronoi, cKDTree

    points = np.unique(points, axis=0)
    _triangulated(points)
    cells = Voronoi(points)
    area = np.full(len(points), np.inf)
    for k, region in enumerate(cells.point_region):
        corners = cells.regions[region]
        if corners and -1 not in corners:
            area[k] = ConvexHull(cells.vertices[corners]).volume
    ny, nx = view.shape
    columns, rows = np.meshgrid(view.x0 + view.pixel * (np.arange(nx) + 0.5), view.y0 + view.pixel * (np.arange(ny) + 0.5))
    nearest = cKDTree(points).query(np.column_stack([columns.ravel(), rows.ravel()]))[1]
    return np.asarray(1e6 / area[nearest], np.float32).reshape(ny, nx)


def _triangulated(points: Floats) -> Any:
    from scipy.spatial import Delaunay, QhullError

    if len(points) < 4:
        raise DataError(
            f"{len(points)} localizations are too few for a triangulation.", code="D610", hint="Use another renderer."
        )
    try:
        return Delaunay(points)
    except QhullError:
        raise DataError("the localizations cannot be triangulated.", code="D610", hint="They may lie on a line.") from None


def _named(table: Localizations, names: list[str], scale: float) -> list[float]:
    missing = [name for name in names if not isinstance(table.metadata.get(name), (int, float))]
    if missing:
        raise DataError(
            f"the metadata have no {', '.join(missing)}, which tell the field.", hint="Use xyBoundsMode: estimate or manual."
        )
    return [float(table.metadata[name]) * scale for name in names]


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
