"""Colocalisation: whether the signals of two channels lie in the same places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from recipes_core.data import Figure, ImageStack, Panel, Series, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Float, Input, Output
from recipes_modules.image_base import Array, require_same


class Colocalisation(ModuleBase):
    """Pearson's correlation of two channels, and Manders' coefficients with masks (Manders et al. 1993, doi:10.1111/j.1365-2818.1993.tb03313.x).

    `M_A` is the part of A's intensity within A's mask that lies in the mask of B, `M_B` the like for B; `overlap_A` and `overlap_B` are
    the parts of the masks' areas. With a region of interest only what lies in it counts. All frames and planes are taken together.
    """

    version = 1

    inputImageA = Input(ImageStack, "chan0", desc="first channel")
    inputMaskA = Input(ImageStack, "mask0", desc="where the first channel has signal")
    inputImageB = Input(ImageStack, "chan1", desc="second channel")
    inputMaskB = Input(ImageStack, "mask1", desc="where the second channel has signal")
    inputRoiMask = Input(ImageStack, "", desc="region of interest", aliases=("roiMask",))
    outputTable = Output(Table, "coloc", desc="one row: pearson, M_A, M_B, overlap_A, overlap_B")

    def run(self, ctx: Context, **inputs: ImageStack | None) -> Table:
        a = inputs["inputImageA"]
        assert a is not None
        level = [float(stack.frames(0, 1).mean()) for stack in (a, inputs["inputImageB"]) if stack is not None]
        sums = np.zeros(6)
        mass: dict[str, float] = dict.fromkeys(("A", "B", "AB", "BA", "n_A", "n_B", "n_both"), 0.0)
        for part_a, mask_a, part_b, mask_b, roi in _blocks(ctx, a, inputs):
            first, second = (part_a[roi].astype(np.float64), part_b[roi].astype(np.float64))
            x, y = first - level[0], second - level[1]
            sums += [len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()]
            in_a, in_b = mask_a[roi], mask_b[roi]
            both = in_a & in_b
            mass["A"] += first[in_a].sum()
            mass["B"] += second[in_b].sum()
            mass["AB"] += first[both].sum()
            mass["BA"] += second[both].sum()
            mass["n_A"] += np.count_nonzero(in_a)
            mass["n_B"] += np.count_nonzero(in_b)
            mass["n_both"] += np.count_nonzero(both)
        values = {
            "pearson": _pearson(sums),
            "M_A": _ratio(mass["AB"], mass["A"]),
            "M_B": _ratio(mass["BA"], mass["B"]),
            "overlap_A": _ratio(mass["n_both"], mass["n_A"]),
            "overlap_B": _ratio(mass["n_both"], mass["n_B"]),
        }
        undefined = [name for name, value in values.items() if np.isnan(value)]
        if undefined:
            ctx.warn(f"{', '.join(undefined)} cannot be told: a mask marks nothing, or a channel is the same everywhere")
        return Table({name: np.array([value]) for name, value in values.items()})


def _blocks(ctx: Context, a: ImageStack, inputs: dict[str, ImageStack | None]) -> Iterator[tuple[Array, ...]]:
    names = {"inputMaskA": "mask A", "inputImageB": "channel B", "inputMaskB": "mask B", "inputRoiMask": "the region of interest"}
    for port, name in names.items():
        stack = inputs[port]
        if stack is not None:
            require_same(a, stack, name)
    for start, block in a.blocks():
        stop = start + len(block)
        found = {port: None if (stack := inputs[port]) is None else stack.frames(start, stop) for port in names}
        roi = found["inputRoiMask"]
        yield (
            block,
            found["inputMaskA"] > 0.5,  # type: ignore[operator]
            found["inputImageB"],  # type: ignore[misc]
            found["inputMaskB"] > 0.5,  # type: ignore[operator]
            np.ones(block.shape, bool) if roi is None else roi > 0.5,
        )
        ctx.progress(stop, a.n_frames)


def _pearson(sums: Array) -> float:
    n, x, y, xx, yy, xy = (float(each) for each in sums)
    if not n:
        return float("nan")
    spread = (xx - x * x / n) * (yy - y * y / n)
    return (xy - x * y / n) / spread**0.5 if spread > 0 else float("nan")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


class ColocalisationEDT(ModuleBase):
    """How much signal lies at each distance from a mask.

    Distances are to the edge of the mask, above 0 outside and below 0 inside. For each bin of distance, `enrichment` is the mean of the
    signal there over its mean everywhere, `enclosed` the part of the signal that lies nearer or inside, `area` the part of the pixels in
    the bin and `enclosed_area` the part of the pixels that lie nearer. A signal without relation to the mask has enrichment 1 at all
    distances.
    """

    version = 1

    inputImage = Input(ImageStack, "input", desc="signal")
    inputMask = Input(ImageStack, "mask", desc="mask from which distances are taken")
    inputImageB = Input(ImageStack, "", desc="second signal, for comparison")
    inputRoiMask = Input(ImageStack, "", desc="region of interest", aliases=("roiMask",))
    outputTable = Output(Table, "edt_coloc", desc="a row a bin of distance")
    outputPlot = Output(Figure, "coloc_plot", desc="enrichment over distance")

    minimumDistanceNM = Float(-500.0, unit="nm", desc="left edge of the first bin")
    maximumDistanceNM = Float(2000.0, unit="nm", desc="right edge of the last bin")
    binSizeNM = Float(100.0, low=1e-3, unit="nm", desc="width of a bin")

    def check(self) -> Iterator[str]:
        if not self.minimumDistanceNM < self.maximumDistanceNM:
            yield "minimumDistanceNM must be below maximumDistanceNM"

    def run(
        self,
        ctx: Context,
        inputImage: ImageStack,
        inputMask: ImageStack,
        inputImageB: ImageStack | None,
        inputRoiMask: ImageStack | None,
    ) -> dict[str, Any]:
        images = {"": inputImage, **({"_B": inputImageB} if inputImageB is not None else {})}
        for stack, name in (
            (inputMask, "the mask"),
            (inputImageB, "the second signal"),
            (inputRoiMask, "the region of interest"),
        ):
            if stack is not None:
                require_same(inputImage, stack, name)
        edges = np.arange(self.minimumDistanceNM, self.maximumDistanceNM + self.binSizeNM / 2, self.binSizeNM)
        pixels, nearer, signals, before = self._sums(ctx, images, inputMask, inputRoiMask, edges)
        total = pixels.sum() + nearer[0] + nearer[1]
        if not total or not np.isfinite(total):
            raise DataError("the region of interest marks nothing.", code="D442")
        columns: dict[str, Array] = {"bins": (edges[1:] + edges[:-1]) / 2, "area": pixels / total}
        columns["enclosed_area"] = (nearer[0] + np.cumsum(pixels)) / total
        for k, suffix in enumerate(images):
            whole = signals[k].sum() + before[k].sum()
            with np.errstate(invalid="ignore", divide="ignore"):
                columns[f"enrichment{suffix}"] = (signals[k] / pixels) / (whole / total)
                columns[f"enclosed{suffix}"] = (before[k, 0] + np.cumsum(signals[k])) / whole
        if (pixels == 0).any():
            ctx.say(f"{np.count_nonzero(pixels == 0)} bins of distance hold no pixel; their enrichment is NaN")
        table = Table(columns, units={"bins": "nm"}, metadata=inputImage.metadata)
        made: dict[str, Any] = {"outputTable": table}
        if ctx.wanted("outputPlot"):
            made["outputPlot"] = _figure(table, list(images))
        return made

    def _sums(
        self, ctx: Context, images: dict[str, ImageStack], mask: ImageStack, roi: ImageStack | None, edges: Array
    ) -> tuple[Array, Array, Array, Array]:
        from recipes_modules.image_morphology import signed_distance

        size = mask.require_pixel_size()
        depth = mask.shape[1] // mask.n_channels
        deep = depth > 1 and size[2] > 0
        n = len(edges) - 1

        def one(frame: int) -> tuple[Array, Array]:
            marked = mask.frames(frame, frame + 1)[0] > 0.5
            sampling = (size[2], size[1], size[0]) if deep else (size[1], size[0])
            planes = [marked] if deep else list(marked)
            distance = np.stack([signed_distance(part, sampling) for part in planes]).reshape(marked.shape)
            bins = np.clip(np.floor((distance - edges[0]) / self.binSizeNM), -1, n)
            bins = np.where(np.isnan(bins), n, bins).astype(np.int64) + 1
            inside = np.ones(marked.shape, bool) if roi is None else roi.frames(frame, frame + 1)[0] > 0.5
            counts = np.bincount(bins[inside], minlength=n + 2)
            content = [
                np.bincount(bins[inside], stack.frames(frame, frame + 1)[0][inside].astype(np.float64), n + 2)
                for stack in images.values()
            ]
            return counts, np.array(content)

        counts, content = np.zeros(n + 2), np.zeros((len(images), n + 2))
        for done, (part, signal) in enumerate(ctx.map(one, range(mask.n_frames)), 1):
            counts += part
            content += signal
            ctx.progress(done, mask.n_frames)
        return counts[1:-1], counts[[0, -1]], content[:, 1:-1], content[:, [0, -1]]


def _figure(table: Table, suffixes: list[str]) -> Figure:
    x = table["bins"]
    names = {"": "signal", "_B": "second signal"}
    series = [Series("line", x, table[f"enrichment{suffix}"], label=names[suffix], colour=k) for k, suffix in enumerate(suffixes)]
    even = Series("line", x[[0, -1]], np.ones(2), label="no relation", colour="#888888", style="dashed")
    edge = Series(
        "line", np.zeros(2), np.array([0.0, float(np.nanmax([np.nanmax(s.y) for s in series]))]), colour=6, style="dotted"
    )
    enclosed = [Series("line", x, table[f"enclosed{suffix}"], label=names[suffix], colour=k) for k, suffix in enumerate(suffixes)]
    area = Series("line", x, table["enclosed_area"], label="area", colour="#888888", style="dashed")
    label = "distance from the edge of the mask (nm)"
    panels = [
        Panel([*series, even, edge], title="Enrichment", x_label=label, y_label="mean signal / mean everywhere"),
        Panel([*enclosed, area], title="Enclosed", x_label=label, y_label="part nearer than this"),
    ]
    return Figure(panels, n_columns=2, panel_size=(4.6, 3.2))
