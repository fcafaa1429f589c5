"""Prepare an image series for the measurement of its drift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Float, Input, Int, ListOf, Output, Range, Str

Image = npt.NDArray[np.float32]

MOST_BACKGROUND = 1.0
"""Contrast that a faded background may have, as a part of the image's own."""


class Image_Pre_Clip_Filter(ModuleBase):
    """Removes noise, background and saturated pixels from images, and fades out their edges.

    In this order, plane by plane: a median filter; values at or below `threshold_lower` become `clip_to_lower`, those at or above
    `threshold_upper` become `clip_to_upper`; `threshold_lower` is subtracted; the edges fade out (Tukey window), so that they do not
    correlate. Pixels that are not finite become `clip_to_lower`. Background that is left would fade out with the edges and look like
    structure at rest: set `threshold_lower` to it.
    """

    module_name = "Image_Pre_Clip&Filter"
    version = 1

    input_name = Input(ImageStack, "input", desc="images")
    output_name = Output(ImageStack, "clipped_images", desc="prepared images, float32")

    median_filter_size = Int(3, unit="px", desc="width of the median filter; 0 or less for none")
    threshold_lower = Float(0.0, desc="values up to here are background")
    clip_to_lower = Float(0.0, desc="what background becomes, before threshold_lower is subtracted")
    threshold_upper = Float(65535.0, desc="values from here on are saturated")
    clip_to_upper = Float(0.0, desc="what saturated pixels become, before threshold_lower is subtracted")
    tukey_size = Range(0.0, 1.0, 0.25, desc="part of the width and height that fades out towards the edges")
    cache_clip = Str("clip_cache.bin", deprecated=True, desc="no longer needed: scratch cleans itself up")

    def check(self) -> Iterator[str]:
        if self.threshold_lower >= self.threshold_upper:
            yield f"threshold_lower ({self.threshold_lower:g}) must be below threshold_upper ({self.threshold_upper:g})"

    def run(self, ctx: Context, input_name: ImageStack) -> ImageStack:
        from recipes_modules.correlation.grid import outer_product, tukey_window

        result = ctx.scratch.array(input_name.shape, np.float32)
        taper = outer_product(tukey_window(input_name.shape[2:], self.tukey_size))

        def prepare(frame: int) -> int:
            bad = 0
            for z, plane in enumerate(input_name.frames(frame, frame + 1)[0]):
                image, n = self._prepared(plane)
                np.multiply(image, taper, out=result[frame, z])
                bad += n
            return bad

        n_bad = 0
        for done, bad in enumerate(ctx.map(prepare, range(input_name.n_frames)), 1):
            n_bad += bad
            ctx.progress(done, input_name.n_frames)
        if n_bad:
            ctx.say(f"{n_bad:,} pixels are not finite and became {self.clip_to_lower:g}")
        if input_name.n_frames:
            self._judge(ctx, self._prepared(input_name.frames(0, 1)[0, 0])[0], taper)
        return ImageStack(result, time=input_name.time, metadata=input_name.metadata)

    def _judge(self, ctx: Context, image: Image, taper: Image) -> None:
        # The faded background correlates in proportion to its own contrast squared, the structure to that of the image.
        background = float(np.median(image))
        if abs(background) * float(taper.std()) > MOST_BACKGROUND * float(image.std()):
            ctx.warn(
                f"the images keep a background of about {background:.4g}, which fades out with their edges and looks like structure "
                f"at rest: set threshold_lower to about {self.threshold_lower + background:.4g}"
            )

    def _prepared(self, plane: npt.NDArray[Any]) -> tuple[Image, int]:
        image = plane.astype(np.float32)
        finite = np.isfinite(image)
        n_bad = int(image.size - np.count_nonzero(finite))
        if n_bad:
            image[~finite] = self.clip_to_lower
        if self.median_filter_size == 3:
            from recipes_modules.median import median_3x3

            image = median_3x3(image)
        elif self.median_filter_size > 1:
            from scipy.ndimage import median_filter

            image = median_filter(image, self.median_filter_size)
        low, high = image <= self.threshold_lower, image >= self.threshold_upper
        image[low] = self.clip_to_lower
        image[high] = self.clip_to_upper
        image -= np.float32(self.threshold_lower)
        return image, n_bad


class Image_Pre_Downsample(ModuleBase):
    """Cuts out a part of an image series and averages blocks of pixels and of frames.

    Start and end count pixels of the original, both included; -1 is the last one. Pixels that do not fill a block at the right and
    lower edge are left out. Frames that do not fill the last block are averaged all the same. Pixel size, origin and time axis of the
    result are those of the blocks, so that a drift measured on it applies to the original.
    """

    version = 1

    inputName = Input(ImageStack, "input", desc="images")
    outputName = Output(ImageStack, "binned_image", desc="smaller images, float32")

    x_start = Int(0, unit="px", desc="first column")
    x_end = Int(-1, unit="px", desc="last column, included")
    y_start = Int(0, unit="px", desc="first row")
    y_end = Int(-1, unit="px", desc="last row, included")
    binsize = ListOf(Int(1, low=1), (1, 1, 1), length=3, desc="block along x, y (pixels) and t (frames)")
    cache_bin = Str("binning_cache_2.bin", deprecated=True, desc="no longer needed: scratch cleans itself up")

    def run(self, ctx: Context, inputName: ImageStack) -> ImageStack:
        bx, by, bt = self.binsize
        n_frames, nz, ny, nx = inputName.shape
        x0, x1 = _cut("x", self.x_start, self.x_end, nx, bx)
        y0, y1 = _cut("y", self.y_start, self.y_end, ny, by)
        n_out = -(-n_frames // bt)
        if n_frames % bt:
            ctx.say(f"the last image is the mean of {n_frames % bt} frames, the others of {bt}")
        result = ctx.scratch.array((n_out, nz, (y1 - y0) // by, (x1 - x0) // bx), np.float32)

        def average(block: int) -> None:
            first, last = block * bt, min((block + 1) * bt, n_frames)
            summed = np.zeros(result.shape[1:], np.float64)
            for frame in range(first, last):
                part = inputName.frames(frame, frame + 1)[0, :, y0:y1, x0:x1]
                summed += part.reshape(nz, part.shape[1] // by, by, part.shape[2] // bx, bx).sum(axis=(2, 4), dtype=np.float64)
            result[block] = summed / (bx * by * (last - first))

        for done, _ in enumerate(ctx.map(average, range(n_out)), 1):
            ctx.progress(done, n_out)
        metadata = _metadata(inputName, (x0, y0), (bx, by), (x1 - x0, y1 - y0))
        return ImageStack(result, time=inputName.time.binned(bt), metadata=metadata)


def _cut(axis: str, start: int, end: int, n: int, block: int) -> tuple[int, int]:
    """First pixel and the one behind the last of the largest run of whole blocks."""
    first = start if start >= 0 else n + start
    last = end if end >= 0 else n + end
    if not 0 <= first <= last < n:
        raise DataError(
            f"{axis}_start {start} and {axis}_end {end} name no columns or rows of an image of {n} pixels.", code="D440"
        )
    whole = (last + 1 - first) // block
    if not whole:
        raise DataError(
            f"the {last + 1 - first} pixels from {axis}_start to {axis}_end do not fill one block of {block}.", code="D441"
        )
    return first, first + whole * block


def _metadata(stack: ImageStack, start: tuple[int, int], block: tuple[int, int], kept: tuple[int, int]) -> dict[str, Any]:
    metadata = dict(stack.metadata)
    size = stack.pixel_size
    if size is None:
        return metadata
    for index, axis in enumerate("xy"):
        metadata[f"voxelsize.{axis}"] = metadata[f"voxelsize.{axis}"] * block[index]
        # Positions count from the centre of the first pixel, also in a block.
        origin = float(metadata.get(f"Origin.{axis}", 0.0))
        metadata[f"Origin.{axis}"] = origin + (start[index] + (block[index] - 1) / 2) * size[index]
        if f"ImageBounds.{axis}0" in metadata:
            corner = float(metadata[f"ImageBounds.{axis}0"]) + start[index] * size[index]
            metadata[f"ImageBounds.{axis}0"] = corner
            metadata[f"ImageBounds.{axis}1"] = corner + kept[index] * size[index]
    return metadata
