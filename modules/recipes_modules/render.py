"""Images of localizations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, FrameAxis, ImageStack, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Float, Input, Int, ListOf, Output, Range, Str
from recipes_modules.render_view import MOST_PIXELS, View, view_of

__all__ = ["MOST_PIXELS", "Locs_Render", "Spots", "View", "render", "view_of"]

METHODS = ("histogram", "gaussian", "triangulation")
_WIDTHS = ("error_x", "error_y")
Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
_ONES = np.empty(0, np.float32)
COUNTED_BY = 1 << 21
"""Localizations that one thread counts in an image of its own; fewer are not worth a second one."""


@dataclass(frozen=True)
class Spots:
    """What is drawn: positions, widths of Gaussians and weights, nm.

    Attributes
    ----------
    sx, sy : array (n,) or (1,) or (0,)
        Widths; none for a histogram.
    weight : array (n,) of float32, or (0,)
        What each sums up to; 1 where there is none.
    """

    x: Array
    y: Array
    sx: Array
    sy: Array
    weight: Floats

    def select(self, rows: Any) -> Spots:
        """Some of them."""
        n = len(self.x)
        x, y, sx, sy, weight = (
            values[rows] if len(values) == n and n > 1 else values for values in (self.x, self.y, self.sx, self.sy, self.weight)
        )
        return Spots(x, y, sx, sy, weight) if n > 1 else replace(self, x=self.x[rows], y=self.y[rows])


def spots_of(table: Localizations, method: str, sigma: float, narrowest: float = 0.0) -> Spots:
    """What a table's rows are drawn as; rows with NaN draw nothing."""
    x, y = (_real(table[name]) for name in "xy")
    if method == "histogram":
        return Spots(x, y, _ONES, _ONES, _ONES)
    if sigma:
        width = np.array([sigma])
        return Spots(x, y, width, width, _ONES)
    widths = [_real(table[name]) for name in _WIDTHS]
    if narrowest:
        widths = [np.maximum(values, values.dtype.type(narrowest)) for values in widths]
    return Spots(x, y, widths[0], widths[1], _ONES)


def _real(values: Array) -> Array:
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def drawn(spots: Spots, view: View, mapper: Callable[..., Iterator[Any]]) -> Floats:
    """The image (y, x) of spots."""
    if not len(spots.sx):
        return _histogram(spots, view, mapper)
    from recipes_modules.pixels.gaussians import add_gaussians

    image = np.zeros(view.shape, np.float32)
    add_gaussians(image, spots.x, spots.y, spots.sx, spots.sy, spots.weight, view.x0, view.y0, view.pixel, mapper)
    return image


def _histogram(spots: Spots, view: View, mapper: Callable[..., Iterator[Any]]) -> Floats:
    from recipes_modules.pixels import counting

    if len(spots.weight):
        image = np.zeros(view.shape, np.float32)
        counting.add_values(image, spots.x, spots.y, spots.weight, view.x0, view.y0, view.pixel)
        return image
    n = len(spots.x)
    # Images of their own add up to the same whole numbers, however many there are.
    parts = int(min(4, max(1, n // COUNTED_BY)))
    edges = np.linspace(0, n, parts + 1).astype(int)

    def count(k: int) -> npt.NDArray[np.uint32]:
        image = np.zeros(view.shape, np.uint32)
        rows = slice(int(edges[k]), int(edges[k + 1]))
        counting.count_pixels(image, spots.x[rows], spots.y[rows], view.x0, view.y0, view.pixel)
        return image

    counts = iter(mapper(count, range(parts)))
    total = next(counts)
    for other in counts:
        total += other
    return total.astype(np.float32)


def render(
    ctx: Context, table: Localizations, view: View, method: str, sigma: float, *, bands: bool = True
) -> npt.NDArray[np.float32]:
    """Render rows of a table as one image (y, x).

    Parameters
    ----------
    method : {'histogram', 'gaussian'}
        Counts, or a Gaussian of sum 1 for each localization.
    sigma : float
        Width of the Gaussians, nm; 0 takes each localization's standard errors.
    bands : bool
        Whether parts of the image are worked on side by side; the result does not depend on it.
    """
    return drawn(spots_of(table, method, sigma), view, ctx.map if bands else map)


class Locs_Render(ModuleBase):
    """Renders localizations as an image: of all, of so many frames each, of slices along z, of channels, or coloured by a column.

    Pixels count localizations (histogram); or every localization is a Gaussian of sum 1 as wide as its standard errors; or pixels hold
    the density, localizations per um^2, of a triangulation of jittered copies of the table (Baddeley et al. 2010,
    doi:10.1017/S143192760999122X). Rows with NaN are left out. Frames that are left over at the end of a series become an image of
    their own where they are at least half as many as the others', else they join the last one.

    The picture and the figure show the sum of the image with the contrast that `intensity` tells.
    """

    version = 2
    uses_seed = True

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y"), desc="localizations")
    output_image = Output(ImageStack, "rendered", desc="image or series, float32; coloured by a column: red, green, blue")
    output_figure = Output(Figure, "rendering", desc="the picture with a scale bar")
    output_picture = Output(ImageStack, "picture", diagnostic=True, desc="the picture alone: colours of 8 bits, or grey of 16")

    method = Choice(METHODS, "gaussian", desc="count localizations, draw each with its precision, or triangulate them")
    pixel_size = Range(0.1, 100_000.0, 10.0, unit="nm", desc="edge of a pixel")
    sigma = Float(0.0, low=0.0, unit="nm", desc="width of all Gaussians; 0 takes the standard errors error_x and error_y")
    min_sigma = Float(0.0, low=0.0, unit="nm", desc="narrowest Gaussian")
    jitter_samples = Int(10, low=1, high=10_000, desc="triangulation: jittered copies of the table; jitter is sigma or error_x")
    frames_per_image = Int(0, low=0, unit="frame", desc="0 for one image of everything")
    z_step = Float(0.0, low=0.0, unit="nm", desc="thickness of slices along z; 0 for none")
    z_bounds = ListOf(Float(0.0), None, length=2, unit="nm", optional=True, desc="[z0, z1] of the slices; null takes all z")
    bounds = ListOf(
        Float(0.0), None, length=4, unit="nm", optional=True,
        desc="[x0, x1, y0, y1]; null takes ImageBounds of the metadata, else the extent of the data",
    )  # fmt: skip
    channel_column = Str("", desc="column whose values become channels of the image")
    colour_by = Str("", desc="column that gives each localization its colour, such as z, frame or channel")
    colour_range = ListOf(
        Float(0.0), None, length=2, optional=True, desc="values at the ends of the colours; null takes all but 1% of the rows"
    )
    colour_map = Str("", desc="matplotlib's name; '' takes hot, and turbo for colour_by")
    intensity = Choice(
        ("percentile", "unity", "equal", "gamma"), "percentile",
        desc="white of the picture: a percentile of the filled pixels, the largest value, ranks, or a percentile and a power",
    )  # fmt: skip
    percentile = Range(1.0, 100.0, 99.0, unit="%", desc="of the filled pixels that are not white")
    gamma = Range(0.05, 5.0, 0.5, desc="power of the brightness, for intensity gamma")
    picture = Choice(("rgb", "grey16"), "rgb", desc="what output_picture holds")
    scale_bar = Bool(False, desc="draw a scale bar into output_picture; the figure has one")

    def check(self) -> Iterator[str]:
        if self.bounds is not None and not (self.bounds[0] < self.bounds[1] and self.bounds[2] < self.bounds[3]):
            yield "bounds must be [x0, x1, y0, y1] with x0 < x1 and y0 < y1"
        for name in ("z_bounds", "colour_range"):
            pair = getattr(self, name)
            if pair is not None and not pair[0] < pair[1]:
                yield f"{name} must be [low, high] with low < high"
        several = [name for name in ("frames_per_image", "z_step", "channel_column", "colour_by") if getattr(self, name)]
        if len(several) > 1 and set(several) != {"z_step", "channel_column"}:
            yield f"{' and '.join(several)} do not go together: render twice"
        if self.method == "triangulation" and self.colour_by:
            yield "a triangulation cannot be coloured by a column"
        if self.colour_map:
            from recipes_modules.render_pictures import known_map

            if not known_map(self.colour_map):
                yield f"there is no colour map '{self.colour_map}'; try hot, gray, viridis, magma, turbo"

    def required_columns(self, port: str) -> tuple[str, ...]:
        widths = _WIDTHS if self.method == "gaussian" and not self.sigma else ()
        if self.method == "triangulation" and not self.sigma:
            widths = _WIDTHS[:1]
        deep = ("z", *(("error_z",) if self.method == "gaussian" and not self.sigma else ())) if self.z_step else ()
        more = [name for name in (self.channel_column, self.colour_by) if name]
        return tuple(dict.fromkeys(("x", "y", *widths, *deep, *(("frame",) if self.frames_per_image else ()), *more)))

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        from recipes_modules import render_stacks as stacks

        table = input_localizations
        view = view_of(table, self.pixel_size, self.bounds)
        names = self.required_columns("input_localizations")
        # A sum that is finite is quicker to come by than to look at each value.
        with np.errstate(over="ignore", invalid="ignore"):
            whole = all(np.isfinite(table[name].sum()) for name in names)
        good = np.ones(0, bool) if whole else table.finite_rows(*names)
        if not good.all():
            ctx.say(f"{int(np.count_nonzero(~good)):,} of {len(good):,} localizations have NaN and were left out")
            table = table.select(good)
        if self.frames_per_image:
            stack = self._series(ctx, table, view)
        elif self.colour_by:
            stack = stacks.coloured_stack(self, ctx, table, view)
        else:
            stack = stacks.planes_stack(self, ctx, table, view)
        made: dict[str, Any] = {"output_image": stack}
        if ctx.wanted("output_figure") or ctx.wanted("output_picture"):
            made.update(stacks.pictures(self, ctx, stack, view, len(table)))
        return made

    def image(self, ctx: Context, table: Localizations, view: View, *, threads: bool = True) -> Floats:
        """One plane of rows of a table."""
        if self.method != "triangulation":
            return drawn(spots_of(table, self.method, self.sigma, self.min_sigma), view, ctx.map if threads else map)
        from recipes_modules.pixels.triangles import jittered_triangles

        jitter = np.full(len(table), self.sigma) if self.sigma else table["error_x"].astype(np.float64)
        return jittered_triangles(
            table["x"], table["y"], np.maximum(jitter, self.pixel_size), view.x0, view.y0, view.pixel, view.shape,
            self.jitter_samples, ctx.rng, ctx.check_cancelled,
        )  # fmt: skip

    def _series(self, ctx: Context, table: Localizations, view: View) -> ImageStack:
        frames, n = table.frames, self.frames_per_image
        if not len(frames):
            raise DataError("there are no localizations to render.", hint="Filters may have removed all of them.")
        first = int(frames.min())
        covered = int(frames.max()) - first + 1
        count = max(1, covered // n + (1 if covered % n >= n / 2 else 0))
        which = np.minimum((frames - first) // n, count - 1)
        order = np.argsort(which, kind="stable")
        edges = np.searchsorted(which[order], np.arange(count + 1))
        ordered = table.select(order)
        pixels = ctx.scratch.array((count, 1, *view.shape), np.float32)

        def one(index: int) -> None:
            part = ordered.select(slice(int(edges[index]), int(edges[index + 1])))
            pixels[index, 0] = self.image(ctx, part, view, threads=False)

        # Copies are jittered by numbers of one stream, which images must take in turn.
        images = map(one, range(count)) if self.method == "triangulation" else ctx.map(one, range(count))
        for done, _ in enumerate(images, 1):
            ctx.progress(done, count)
        return ImageStack(pixels, time=FrameAxis(first + (n - 1) / 2, n), metadata=view.metadata())
