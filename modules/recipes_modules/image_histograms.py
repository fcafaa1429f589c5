"""How often values occur, in columns and in images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from recipes_core.data import Figure, ImageStack, Panel, Series, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Float, Input, Int, Output, Str
from recipes_modules.image_base import Array, require_same

_BINS, _LEFT, _RIGHT, _PARTS = (
    "number of bins",
    "left edge of the first bin",
    "right edge of the last bin",
    "parts of all instead of counts",
)


class _Bins(ModuleBase):
    nbins = Int(50, low=1, high=100_000, desc=_BINS)
    left = Float(0.0, desc=_LEFT)
    right = Float(1000.0, desc=_RIGHT)

    def check(self) -> Iterator[str]:
        if not self.left < self.right:
            yield f"left ({self.left:g}) must be below right ({self.right:g})"

    def edges(self) -> Array:
        """Edges of the bins."""
        return np.linspace(self.left, self.right, self.nbins + 1)


class Histogram(_Bins):
    """How often the values of a column occur."""

    version = 1

    inputMeasurements = Input(Table, "input", desc="table")
    outputName = Output(Table, "hist", desc="bins and counts")
    output_figure = Output(Figure, "hist_plot", diagnostic=True, desc="the histogram")

    key = Str("key", desc="column")
    normalize = Bool(False, desc=_PARTS)

    def required_columns(self, port: str) -> tuple[str, ...]:
        return (self.key,)

    def run(self, ctx: Context, inputMeasurements: Table) -> dict[str, Any]:
        values = np.asarray(inputMeasurements[self.key], np.float64)
        counts = np.histogram(values[np.isfinite(values)], self.edges())[0]
        return _made(ctx, self.edges(), counts, len(values), normalize=self.normalize, name=self.key)


class ImageHistogram(_Bins):
    """How often the values of pixels occur, of all or of those that a mask marks."""

    version = 1

    inputImage = Input(ImageStack, "input", desc="images")
    inputMask = Input(ImageStack, "", desc="which pixels count: those above 0.5")
    outputName = Output(Table, "hist", desc="bins and counts")
    output_figure = Output(Figure, "hist_plot", diagnostic=True, desc="the histogram")

    normalize = Bool(False, desc=_PARTS)

    def run(self, ctx: Context, inputImage: ImageStack, inputMask: ImageStack | None) -> dict[str, Any]:
        counts, total = np.zeros(self.nbins, np.int64), 0
        for values in _marked(ctx, inputImage, inputMask):
            counts += np.histogram(values, self.edges())[0]
            total += len(values)
        return _made(ctx, self.edges(), counts, total, normalize=self.normalize, name="intensity")


class ImageCumulativeHistogram(ModuleBase):
    """Part of the pixels up to each value, of all or of those that a mask marks."""

    version = 1

    inputImage = Input(ImageStack, "input", desc="images")
    inputMask = Input(ImageStack, "", desc="which pixels count: those above 0.5")
    outputName = Output(Table, "hist", desc="value, and part of the pixels that is not above it")

    most = Int(100_000, low=2, desc="rows; of more values every so many stand")

    def run(self, ctx: Context, inputImage: ImageStack, inputMask: ImageStack | None) -> Table:
        values: Array = np.zeros(0)
        counts: Array = np.zeros(0, np.int64)
        for part in _marked(ctx, inputImage, inputMask):
            new, n = np.unique(part, return_counts=True)
            values, places = np.unique(np.concatenate([values, new]), return_inverse=True)
            counts = np.bincount(places, np.concatenate([counts, n]), len(values))
        if not len(values):
            raise DataError("the mask marks no pixel.", code="D442")
        parts = np.cumsum(counts) / counts.sum()
        kept = np.unique(np.linspace(0, len(values) - 1, min(self.most, len(values))).astype(int))
        return Table({"bins": values[kept], "cumulative": parts[kept]}, metadata=inputImage.metadata)


class BinnedHistogram(_Bins):
    """Statistics of the pixels of an image, in bins of the values of a second image of the same size."""

    version = 1

    inputImage = Input(ImageStack, "input", desc="images")
    inputMask = Input(ImageStack, "", desc="which pixels count: those above 0.5")
    binBy = Input(ImageStack, "indepvar", desc="images whose values make the bins")
    outputName = Output(Table, "hist", desc="for each bin count, mean, standard deviation and sum")

    def run(self, ctx: Context, inputImage: ImageStack, inputMask: ImageStack | None, binBy: ImageStack) -> Table:
        require_same(inputImage, binBy, "the image that makes the bins")
        if inputMask is not None:
            require_same(inputImage, inputMask, "the mask")
        edges = self.edges()
        sums = np.zeros((3, self.nbins))
        level = float(inputImage.frames(0, 1).mean())
        for start, block in inputImage.blocks():
            stop = start + len(block)
            places = binBy.frames(start, stop)
            inside = (places >= edges[0]) & (places < edges[-1]) & np.isfinite(block)
            if inputMask is not None:
                inside &= inputMask.frames(start, stop) > 0.5
            bins = np.minimum(np.searchsorted(edges, places[inside], side="right") - 1, self.nbins - 1)
            shifted = block[inside].astype(np.float64) - level
            for power in range(3):
                sums[power] += np.bincount(bins, shifted**power, self.nbins)
            ctx.progress(stop, inputImage.n_frames)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = sums[1] / sums[0]
            std = np.sqrt(np.maximum(sums[2] / sums[0] - mean**2, 0))
        if (sums[0] == 0).any():
            ctx.say(f"{np.count_nonzero(sums[0] == 0)} bins hold no pixel; their mean is NaN")
        return Table(
            {"bins": (edges[1:] + edges[:-1]) / 2, "counts": sums[0].astype(np.int64), "mean": mean + level, "std": std,
             "sum": sums[1] + sums[0] * level},
            metadata=inputImage.metadata,
        )  # fmt: skip


def _marked(ctx: Context, stack: ImageStack, mask: ImageStack | None) -> Iterator[Array]:
    """Finite pixels, or those of them that a mask marks, block by block."""
    if mask is not None:
        require_same(stack, mask, "the mask")
    for start, block in stack.blocks():
        ctx.progress(start, stack.n_frames)
        marked = np.ones(block.shape, bool) if mask is None else mask.frames(start, start + len(block)) > 0.5
        yield block[marked & np.isfinite(block)]


def _made(ctx: Context, edges: Array, counts: Array, total: int, *, normalize: bool, name: str) -> dict[str, Any]:
    inside = int(counts.sum())
    if inside < total:
        ctx.say(f"{total - inside:,} of {total:,} values lie outside {edges[0]:g} to {edges[-1]:g}, or are NaN")
    if normalize and not inside:
        ctx.warn("no value lies in the bins")
    heights = counts / max(inside, 1) if normalize else counts
    middle = (edges[1:] + edges[:-1]) / 2
    made: dict[str, Any] = {"outputName": Table({"bins": middle, "counts": heights})}
    if ctx.wanted("output_figure"):
        panel = Panel([Series("bars", middle, heights)], x_label=name, y_label="part" if normalize else "count")
        made["output_figure"] = Figure([panel], panel_size=(7.0, 3.2))
    return made
