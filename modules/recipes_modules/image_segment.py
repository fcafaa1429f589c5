"""Masks and labels: which pixels belong to an object, and to which."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Float, Input, Int, Output
from recipes_modules.image_base import Array, Blocks, ImageFilter, like, per_frame, require_same, skimage

_SAMPLE = 1_000_000
"""Pixels that are looked at for bins of equal content."""
_FINE = 4096


class SimpleThreshold(ImageFilter):
    """Marks the pixels above a threshold."""

    version = 1
    result_type = np.uint8

    threshold = Float(0.5, desc="higher values are marked with 1")

    def filtered(self, block: Array, found: Any) -> Array:
        return block > self.threshold


class FractionalThreshold(ImageFilter):
    """Marks the brightest pixels that together hold a given part of the signal.

    Negative pixels hold no signal.
    """

    version = 1
    result_type = np.uint8

    fractionThreshold = Float(0.5, low=0.0, high=1.0, desc="part of the summed signal that the marked pixels hold")

    def survey(self, blocks: Blocks) -> float:
        return holding(blocks, self.fractionThreshold)

    def filtered(self, block: Array, found: Any) -> Array:
        return block >= found


def holding(blocks: Blocks, part: float) -> float:
    """The highest value such that the pixels of at least this value hold a part of the sum."""
    sums = [(float(block.sum(where=block > 0, dtype=np.float64)), float(block.max())) for block in blocks()]
    total, top = sum(each for each, _ in sums), max(high for _, high in sums)
    if total <= 0 or part <= 0:
        return float("inf")
    # Two passes find the value exactly without sorting all pixels: first in which bin it lies, then where in it.
    edges = np.linspace(0.0, top, _FINE + 1)
    content = np.zeros(_FINE)
    for block in blocks():
        lit = block[block > 0].astype(np.float64)
        content += np.histogram(lit, edges, weights=lit)[0]
    above = np.cumsum(content[::-1])[::-1]
    k = int(np.flatnonzero(above >= part * total * (1 - 1e-12))[-1]) if above[0] >= part * total * (1 - 1e-12) else 0
    missing = part * total - (above[k + 1] if k + 1 < _FINE else 0.0)
    inside = [block[(block > 0) & (block >= edges[k]) & ((block < edges[k + 1]) | (k + 1 == _FINE))] for block in blocks()]
    values = np.sort(np.concatenate([each.ravel() for each in inside]))[::-1]
    reached = np.flatnonzero(np.cumsum(values, dtype=np.float64) >= missing * (1 - 1e-9))
    return float(values[reached[0] if len(reached) else -1])


class Threshold(ImageFilter):
    """Marks the pixels above a threshold that is found from the histogram: isodata, or Otsu's (which needs the extra `image`)."""

    version = 1
    result_type = np.uint8

    method = Choice(("isodata", "otsu"), "isodata", desc="how the threshold is found")
    n_histogram_bins = Int(255, low=2, high=65536, desc="bins of the histogram")
    bin_spacing = Choice(
        ("linear", "log", "adaptive"), "linear", desc="widths of the bins: equal, growing with the value, or of equal content"
    )

    def survey(self, blocks: Blocks) -> float:
        edges = self._edges(blocks)
        if len(edges) < 3:
            return float("inf")  # all pixels are the same: nothing stands out
        counts = sum(np.histogram(block[np.isfinite(block)], edges)[0] for block in blocks())
        hist = (np.asarray(counts), (edges[1:] + edges[:-1]) / 2)
        return float(skimage("filters").threshold_otsu(hist=hist)) if self.method == "otsu" else isodata(*hist)

    def _edges(self, blocks: Blocks) -> Array:
        spans = [(float(np.nanmin(block)), float(np.nanmax(block)), _least_positive(block)) for block in blocks()]
        low, high = min(span[0] for span in spans), max(span[1] for span in spans)
        if not low < high:
            return np.array([low, high])
        n = self.n_histogram_bins
        if self.bin_spacing == "log":
            least = min(span[2] for span in spans)
            return np.geomspace(least, high, n + 1) if least < high else np.array([low, high])
        if self.bin_spacing == "adaptive":
            values = np.concatenate([block[np.isfinite(block)] for block in blocks()])
            values = values[:: -(-len(values) // _SAMPLE)].astype(np.float64)
            inner = np.quantile(values, np.linspace(0, 1, n + 1))
            return np.unique(np.concatenate([[low], inner, [high]]))
        return np.linspace(low, high, n + 1)

    def filtered(self, block: Array, found: Any) -> Array:
        return block > found


def isodata(counts: Array, centres: Array) -> float:
    """The lowest threshold that is midway between the means of what lies below and above (Ridler and Calvard 1978).

    scikit-image's takes all bins for equally wide.
    """
    below, content = np.cumsum(counts)[:-1], np.cumsum(counts * centres)
    above = counts.sum() - below
    known = (below > 0) & (above > 0)
    midway = np.full(len(below), np.nan)
    midway[known] = (content[:-1][known] / below[known] + (content[-1] - content[:-1][known]) / above[known]) / 2
    # The threshold lies behind bin k: from there on the midway point is no longer ahead of it.
    reached = np.flatnonzero(known & (midway <= (centres[:-1] + centres[1:]) / 2))
    return float(midway[reached[0]]) if len(reached) else float(centres[-1])


def _least_positive(block: Array) -> float:
    lit = block[block > 0]
    return float(lit.min()) if lit.size else float("inf")


class Label(ImageFilter):
    """Numbers the connected regions of a mask from 1; regions of few pixels are left out.

    Pixels above 0.5 are connected where they share an edge. With XY each plane is numbered anew, with XYZ each volume.
    """

    version = 1
    result_type = np.int32

    minRegionPixels = Int(10, low=0, unit="px", desc="regions of up to so many pixels are left out")

    def reach(self) -> None:
        return None

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import label

        labels, n = label(block > 0.5)
        return without_small(labels, n, self.minRegionPixels)


def without_small(labels: Array, n: int, least: int) -> Array:
    """Labels of the regions with more than `least` pixels, numbered anew."""
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    kept = sizes > least
    kept[0] = False
    numbers = np.zeros(n + 1, np.int32)
    numbers[kept] = np.arange(1, np.count_nonzero(kept) + 1, dtype=np.int32)
    return numbers[labels]


class SelectLabel(ImageFilter):
    """Marks the pixels of one label."""

    version = 1
    result_type = np.uint8

    label = Int(1, desc="label that is marked")

    def filtered(self, block: Array, found: Any) -> Array:
        return np.asarray(np.rint(block) == self.label)


class SelectLargestLabel(ImageFilter):
    """Marks the pixels of the label that has most of them."""

    version = 1
    result_type = np.uint8

    def survey(self, blocks: Blocks) -> int:
        sizes = np.zeros(1, np.int64)
        for block in blocks():
            counts = np.bincount(np.rint(np.maximum(block, 0)).astype(np.int64).ravel())
            sizes = np.pad(sizes, (0, max(0, len(counts) - len(sizes))))
            sizes[: len(counts)] += counts
        return int(np.argmax(sizes[1:])) + 1 if len(sizes) > 1 else -1

    def filtered(self, block: Array, found: Any) -> Array:
        return np.asarray(np.rint(block) == found)


class LocalMaxima(ImageFilter):
    """Numbers the local maxima of images from 1, each one pixel; all others are 0 (needs the extra `image`).

    The result serves as a mask and as the markers of `Watershed`.
    """

    version = 1
    result_type = np.int32

    threshold = Float(0.3, desc="lowest maximum, as a part of the largest value of what is filtered together")
    minDistance = Int(10, low=1, unit="px", desc="of two maxima that are nearer only the higher one counts")

    def reach(self) -> None:
        return None

    def filtered(self, block: Array, found: Any) -> Array:
        result = np.zeros(block.shape, np.int32)
        top = float(block.max())
        if top > 0:
            places = skimage("feature").peak_local_max(
                block / np.float32(top), threshold_abs=self.threshold, min_distance=self.minDistance
            )
            places = places[np.lexsort(places.T[::-1])]
            result[tuple(places.T)] = np.arange(1, len(places) + 1)
        return result


class Watershed(ModuleBase):
    """Grows regions from markers over an image, from low values to high ones, until they meet (needs the extra `image`).

    To find bright objects, hand it the inverted image. Markers that are only 0 and 1 are numbered first.
    """

    version = 1

    inputImage = Input(ImageStack, "input", desc="image, low where objects are")
    inputMarkers = Input(ImageStack, "markers", desc="where each object starts")
    inputMask = Input(ImageStack, "", desc="where objects may be")
    outputName = Output(ImageStack, "watershed", desc="label of each pixel")

    processFramesIndividually = Bool(False, desc="plane by plane instead of the volume of each frame")

    def run(self, ctx: Context, inputImage: ImageStack, inputMarkers: ImageStack, inputMask: ImageStack | None) -> ImageStack:
        require_same(inputImage, inputMarkers, "the image of markers")
        if inputMask is not None:
            require_same(inputImage, inputMask, "the mask")
        result = ctx.scratch.array(inputImage.shape, np.int32)

        def grown(frame: int, volume: Array) -> None:
            markers = inputMarkers.frames(frame, frame + 1)[0]
            mask = None if inputMask is None else inputMask.frames(frame, frame + 1)[0] > 0.5
            for part in range(len(volume)) if self.processFramesIndividually else (slice(None),):
                result[frame, part] = _watershed(volume[part], markers[part], None if mask is None else mask[part])

        for _ in per_frame(ctx, inputImage, grown):
            pass
        return like(inputImage, result)


def _watershed(image: Array, markers: Array, mask: Array | None) -> Array:
    from scipy.ndimage import label

    numbers = np.rint(markers).astype(np.int32)
    if numbers.max(initial=0) <= 1:
        numbers = label(numbers > 0)[0]
    if not numbers.any():
        return np.zeros(image.shape, np.int32)
    return np.asarray(skimage("segmentation").watershed(image, numbers, mask=mask), dtype=np.int32)


class LabelsToChannels(ModuleBase):
    """Makes a colour channel of each label: 1 where it is, 0 elsewhere."""

    version = 1

    inputLabels = Input(ImageStack, "labels", desc="labels")
    output = Output(ImageStack, "channels", desc="a channel a label")

    most = Int(64, low=1, desc="more labels than this are refused")

    def run(self, ctx: Context, inputLabels: ImageStack) -> ImageStack:
        found: set[int] = set()
        for _, block in inputLabels.blocks():
            found |= set(np.unique(np.rint(block)).astype(int).tolist())
        labels = sorted(found - {0})
        if not 0 < len(labels) <= self.most:
            raise DataError(
                f"{len(labels):,} labels cannot become channels; 1 to {self.most} can.",
                code="D442",
                hint="Set most higher, or choose labels first.",
            )
        nt, nz, ny, nx = inputLabels.shape
        result = ctx.scratch.array((nt, nz * len(labels), ny, nx), np.uint8)
        for frame in range(nt):
            volume = np.rint(inputLabels.frames(frame, frame + 1)[0])
            for k, number in enumerate(labels):
                result[frame, k * nz : (k + 1) * nz] = volume == number
            ctx.progress(frame + 1, nt)
        return ImageStack(
            result, time=inputLabels.time, channels=[str(number) for number in labels], metadata=inputLabels.metadata
        )
