"""Images of localizations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, FrameAxis, ImageStack, Localizations, Panel, Picture
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Input, Int, ListOf, Output, Range

MOST_PIXELS = 2**28
_WIDTHS = ("error_x", "error_y")


@dataclass(frozen=True)
class View:
    """A rectangle of the sample and its pixels.

    Attributes
    ----------
    x0, y0 : float
        Outer edges of the first pixel, nm.
    pixel : float
        nm.
    shape : (y, x)
    """

    x0: float
    y0: float
    pixel: float
    shape: tuple[int, int]

    def metadata(self) -> dict[str, Any]:
        """PYME's names: pixel size in um, origin (centre of the first pixel) in nm."""
        size = self.pixel / 1000
        return {
            "voxelsize.x": size, "voxelsize.y": size, "voxelsize.units": "um",
            "Origin.x": self.x0 + self.pixel / 2, "Origin.y": self.y0 + self.pixel / 2,
        }  # fmt: skip


def view_of(table: Localizations, pixel: float, bounds: tuple[float, ...] | None) -> View:
    """The rectangle to render: given bounds, else those in the metadata (ImageBounds), else those of the data.

    Raises
    ------
    DataError
        Where there is nothing to render or it would take too many pixels.
    """
    names = ("x0", "x1", "y0", "y1")
    known = [value for name in names if _finite(value := table.metadata.get(f"ImageBounds.{name}"))]
    if bounds is not None:
        x0, x1, y0, y1 = bounds
    elif len(known) == len(names) and known[0] != known[1] and known[2] != known[3]:
        x0, x1, y0, y1 = (float(value) for value in known)
    else:
        good = table.finite_rows("x", "y")
        if not good.any():
            raise DataError("there are no localizations to render.", hint="Filters may have removed all of them.")
        x, y = table["x"][good], table["y"][good]
        x0, x1, y0, y1 = float(x.min()), float(x.max()), float(y.min()), float(y.max())
        # The outermost localizations lie inside the outermost pixels.
        x0, y0 = math.floor(x0 / pixel) * pixel, math.floor(y0 / pixel) * pixel
        x1, y1 = (math.floor(x1 / pixel) + 1) * pixel, (math.floor(y1 / pixel) + 1) * pixel
    if not (x1 >= x0 and y1 >= y0):
        raise DataError("the bounds of the image are empty.", hint="Write bounds as [x0, x1, y0, y1] in nm.")
    # Compared before they become integers: the ends of the numbers of the machine have a distance that is infinite.
    across, down = (max(1.0, (high - low) / pixel - 1e-6) for low, high in ((x0, x1), (y0, y1)))
    if across * down > MOST_PIXELS:
        raise DataError(
            f"the localizations extend over {(x1 - x0) / 1000:,.4g} x {(y1 - y0) / 1000:,.4g} um, which at a pixel_size of {pixel:g} nm "
            f"is more than {MOST_PIXELS:,} pixels.",
            hint="Filter out far-away localizations, give bounds, or set a larger pixel_size.",
        )
    return View(x0, y0, pixel, (math.ceil(down), math.ceil(across)))


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


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
    from recipes_modules import rendering

    columns = ("x", "y", *(_WIDTHS if method == "gaussian" and not sigma else ()))
    good = table.finite_rows(*columns)
    x, y = (np.ascontiguousarray(table[name][good], dtype=np.float64) for name in "xy")
    image = np.zeros(view.shape, np.float32)
    if method == "histogram":
        rendering.add_histogram(image, x, y, view.x0, view.y0, view.pixel)
        return image
    if sigma:
        sx = sy = np.full(len(x), float(sigma))
    else:
        sx, sy = (np.ascontiguousarray(table[name][good], dtype=np.float64) for name in _WIDTHS)
    edges = np.linspace(0, view.shape[0], (ctx.n_threads if bands else 1) + 1).astype(int)

    def band(index: int) -> None:
        rendering.add_gaussians(image, x, y, sx, sy, view.x0, view.y0, view.pixel, int(edges[index]), int(edges[index + 1]))

    for _ in ctx.map(band, range(len(edges) - 1)):
        pass
    return image


class Locs_Render(ModuleBase):
    """Renders localizations as an image, or as an image series with one image for every so many frames.

    Pixels count localizations (histogram), or every localization is a Gaussian of sum 1 as wide as its standard errors. Rows with NaN
    are left out. Frames that are left over at the end of a series become an image of their own where they are at least half as many
    as the others', else they join the last one.
    """

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y"), desc="localizations")
    output_image = Output(ImageStack, "rendered", desc="image or series, float32")
    output_figure = Output(Figure, "rendering", desc="the image (the sum of a series) with a scale bar")

    method = Choice(("histogram", "gaussian"), "gaussian", desc="count localizations, or draw each with its precision")
    pixel_size = Range(0.1, 100_000.0, 10.0, unit="nm", desc="edge of a pixel")
    sigma = Float(0.0, low=0.0, unit="nm", desc="width of all Gaussians; 0 takes the standard errors error_x and error_y")
    frames_per_image = Int(0, low=0, unit="frame", desc="0 for one image of everything")
    bounds = ListOf(
        Float(0.0), None, length=4, unit="nm", optional=True,
        desc="[x0, x1, y0, y1]; null takes ImageBounds of the metadata, else the extent of the data",
    )  # fmt: skip

    def check(self) -> Iterator[str]:
        if self.bounds is not None and not (self.bounds[0] < self.bounds[1] and self.bounds[2] < self.bounds[3]):
            yield "bounds must be [x0, x1, y0, y1] with x0 < x1 and y0 < y1"

    def required_columns(self, port: str) -> tuple[str, ...]:
        widths = _WIDTHS if self.method == "gaussian" and not self.sigma else ()
        return ("x", "y", *widths, *(("frame",) if self.frames_per_image else ()))

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        view = view_of(input_localizations, self.pixel_size, self.bounds)
        good = input_localizations.finite_rows(*self.required_columns("input_localizations"))
        if not good.all():
            ctx.say(f"{int(np.count_nonzero(~good)):,} of {len(good):,} localizations have NaN and were left out")
            input_localizations = input_localizations.select(good)
        if self.frames_per_image:
            pixels, time = self._series(ctx, input_localizations, view)
        else:
            pixels, time = render(ctx, input_localizations, view, self.method, self.sigma)[np.newaxis, np.newaxis], FrameAxis()
        stack = ImageStack(pixels, time=time, metadata=view.metadata())
        made: dict[str, Any] = {"output_image": stack}
        if ctx.wanted("output_figure"):
            made["output_figure"] = _figure(stack, view, len(input_localizations))
        return made

    def _series(self, ctx: Context, table: Localizations, view: View) -> tuple[npt.NDArray[np.float32], FrameAxis]:
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
            pixels[index, 0] = render(ctx, part, view, self.method, self.sigma, bands=False)

        ctx_map = ctx.map(one, range(count))
        for done, _ in enumerate(ctx_map, 1):
            ctx.progress(done, count)
        return pixels, FrameAxis(first + (n - 1) / 2, n)


def _figure(stack: ImageStack, view: View, n: int) -> Figure:
    total = np.zeros(view.shape, np.float32)
    for _, block in stack.blocks():
        total += block.sum(axis=(0, 1))
    series = f", {stack.n_frames} images" if stack.n_frames > 1 else ""
    note = f"{n:,} localizations, {view.pixel:g} nm pixels{series}"
    ny, nx = view.shape
    height = 6.0 * min(max(ny / nx, 0.3), 2.0) + 0.4
    return Figure([Panel([Picture(total, view.pixel)], note=note)], panel_size=(6.0, height))
