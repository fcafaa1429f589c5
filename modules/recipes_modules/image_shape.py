"""Size and order of image series: channels, crops, zoom, projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recipes_core.data import FrameAxis, ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Input, Int, ListOf, Output, Str
from recipes_modules.image_base import DIMENSIONS, Array, like, per_frame

KINDS = ("Mean", "Sum", "Max", "Median", "Std", "Min")
_RANGE = "python's [start, stop]; a negative number counts from the end, so that [0, -1] leaves out the last {}"
_AXES = "xyzt"


def resized(
    stack: ImageStack, pixels: Array, step: Sequence[float], start: Sequence[float], time: FrameAxis | None = None
) -> ImageStack:
    """A series whose pixels lie elsewhere than those of the one it was made from.

    Parameters
    ----------
    step : (x, y, z)
        New pixel in old ones.
    start : (x, y, z)
        Centre of the first new pixel, in old ones.
    """
    metadata: dict[str, Any] = dict(stack.metadata)
    size = stack.pixel_size
    if size is not None:
        for index, axis in enumerate("xyz"):
            if metadata.get(f"voxelsize.{axis}"):
                metadata[f"voxelsize.{axis}"] = float(metadata[f"voxelsize.{axis}"]) * step[index]
            shift = start[index] * size[index]
            if shift or f"Origin.{axis}" in metadata:
                metadata[f"Origin.{axis}"] = float(metadata.get(f"Origin.{axis}", 0.0)) + shift
            # Bounds of the old image are no longer true.
            metadata.pop(f"ImageBounds.{axis}0", None)
            metadata.pop(f"ImageBounds.{axis}1", None)
    return ImageStack(pixels, time=time or stack.time, channels=stack.channels, metadata=metadata)


class ExtractChannel(ModuleBase):
    """Takes one colour channel of an image series."""

    version = 1

    inputName = Input(ImageStack, "input", desc="images")
    outputName = Output(ImageStack, "filtered_image", desc="the one channel")

    channelToExtract = Int(0, desc="which channel, counted from 0")

    def run(self, ctx: Context, inputName: ImageStack) -> ImageStack:
        single = inputName.channel(self.channelToExtract)
        name = inputName.channels[self.channelToExtract] if inputName.channels else "Image"
        return ImageStack(single.source, time=single.time, metadata={**single.metadata, "ChannelNames": [name]})


class JoinChannels(ModuleBase):
    """Makes one image series with several colour channels of up to four series; the channels are called as the keys are."""

    version = 1

    inputChan0 = Input(ImageStack, "input0", desc="first channel")
    inputChan1 = Input(ImageStack, "", desc="second channel")
    inputChan2 = Input(ImageStack, "", desc="third channel")
    inputChan3 = Input(ImageStack, "", desc="fourth channel")
    outputName = Output(ImageStack, "output", desc="image with channels")

    def run(self, ctx: Context, **inputs: ImageStack | None) -> ImageStack:
        named = [(getattr(self, port), stack) for port, stack in inputs.items() if stack is not None]
        return joined(ctx, [stack for _, stack in named], [key for key, _ in named])


def joined(ctx: Context, stacks: Sequence[ImageStack], names: Sequence[str]) -> ImageStack:
    """Series of one size as the channels of one.

    Raises
    ------
    DataError
        Where the sizes differ (D442).
    """
    first = stacks[0]
    if any(stack.shape != first.shape for stack in stacks):
        told = ", ".join(f"{name}: {' x '.join(map(str, stack.shape))}" for name, stack in zip(names, stacks, strict=True))
        raise DataError(f"channels of one image have one size (t, z, y, x), these have {told}.", code="D442")
    nt, nz, ny, nx = first.shape
    dtype = np.result_type(*(stack.dtype for stack in stacks))
    result = ctx.scratch.array((nt, nz * len(stacks), ny, nx), dtype)
    for frame in range(nt):
        for k, stack in enumerate(stacks):
            result[frame, k * nz : (k + 1) * nz] = stack.frames(frame, frame + 1)[0]
        ctx.progress(frame + 1, nt)
    metadata = {**first.metadata, "ChannelNames": list(names)}
    return ImageStack(result, time=first.time, channels=names, metadata=metadata)


class Crop(ModuleBase):
    """Cuts a part out of an image series."""

    version = 1

    input = Input(ImageStack, "input", desc="images")
    output = Output(ImageStack, "cropped", desc="the part")

    x_range = ListOf(Int(0), (0, -1), length=2, unit="px", desc=_RANGE.format("column"))
    y_range = ListOf(Int(0), (0, -1), length=2, unit="px", desc=_RANGE.format("row"))
    z_range = ListOf(Int(0), (0, -1), length=2, unit="px", desc=_RANGE.format("plane; a single plane stays"))
    t_range = ListOf(Int(0), (0, -1), length=2, unit="frame", desc=_RANGE.format("frame; a single frame stays"))

    def run(self, ctx: Context, input: ImageStack) -> ImageStack:  # noqa: A002 - PYME's name
        nt, nz, ny, nx = input.shape
        depth = nz // input.n_channels
        cuts = {axis: self._cut(axis, n, single_stays=axis in "zt") for axis, n in zip(_AXES, (nx, ny, depth, nt), strict=True)}
        x, y, z, t = (cuts[axis] for axis in _AXES)
        result = ctx.scratch.array((t[1] - t[0], (z[1] - z[0]) * input.n_channels, y[1] - y[0], x[1] - x[0]), input.dtype)
        for frame in range(t[0], t[1]):
            volume = input.frames(frame, frame + 1)[0].reshape(input.n_channels, depth, ny, nx)
            result[frame - t[0]] = volume[:, z[0] : z[1], y[0] : y[1], x[0] : x[1]].reshape(result.shape[1:])
            ctx.progress(frame + 1 - t[0], t[1] - t[0])
        time = FrameAxis(input.time.start + t[0] * input.time.step, input.time.step, input.time.span)
        return resized(input, result, (1, 1, 1), (x[0], y[0], z[0]), time)

    def _cut(self, axis: str, n: int, *, single_stays: bool) -> tuple[int, int]:
        given = getattr(self, f"{axis}_range")
        if n == 1 and single_stays and given == (0, -1):
            return 0, 1
        start, stop, _ = slice(*given).indices(n)
        if start >= stop:
            raise DataError(f"{axis}_range [{given[0]}, {given[1]}] leaves nothing of {n}.", code="D440")
        return start, stop


class Redimension(ModuleBase):
    """Says anew what the images of a series are: which of them are planes, frames and channels.

    The images, in their order, are taken to have the axes of `dim_order`, the first of which varies fastest.
    """

    version = 1

    input = Input(ImageStack, "imput", desc="images", aliases=("imput",))
    output = Output(ImageStack, "redimensioned", desc="the same images with other axes")

    dim_order = Choice(
        ("XYZTC", "XYZCT", "XYCZT", "XYCTZ", "XYTZC", "XYTCZ"), "XYZTC", desc="order of the axes, the fastest first"
    )
    size_z = Int(-1, low=-1, desc="planes; 0: as before, -1: what is left")
    size_t = Int(1, low=-1, desc="frames; 0: as before, -1: what is left")
    size_c = Int(1, low=-1, desc="channels; 0: as before, -1: what is left")

    def run(self, ctx: Context, input: ImageStack) -> ImageStack:  # noqa: A002 - PYME's name
        nt, nz, ny, nx = input.shape
        sizes = self._sizes({"Z": nz // input.n_channels, "T": nt, "C": input.n_channels}, nt * nz)
        order = self.dim_order[2:]
        places = np.arange(nt * nz).reshape([sizes[axis] for axis in order[::-1]])
        places = places.transpose([order[::-1].index(axis) for axis in "TCZ"]).reshape(sizes["T"], -1)
        result = ctx.scratch.array((*places.shape, ny, nx), input.dtype)
        for frame, row in enumerate(places):
            for plane, place in enumerate(row):
                result[frame, plane] = input.frames(place // nz, place // nz + 1)[0, place % nz]
            ctx.progress(frame + 1, len(places))
        names = [f"channel{k}" for k in range(sizes["C"])]
        metadata = {**input.metadata, "ChannelNames": names if len(names) > 1 else ["Image"]}
        return ImageStack(result, channels=names, metadata=metadata)

    def _sizes(self, before: dict[str, int], total: int) -> dict[str, int]:
        asked = {axis: getattr(self, f"size_{axis.lower()}") or before[axis] for axis in "ZTC"}
        open_axes = [axis for axis, n in asked.items() if n == -1]
        known = int(np.prod([n for n in asked.values() if n != -1]))
        if len(open_axes) == 1 and total % known == 0:
            asked[open_axes[0]] = total // known
        if -1 in asked.values() or int(np.prod(list(asked.values()))) != total:
            told = " x ".join(f"{axis} {self_size}" for axis, self_size in asked.items())
            raise DataError(
                f"{total:,} images cannot be arranged as {told}.", code="D440", hint="One size may be -1: what is left."
            )
        return asked


class Zoom(ModuleBase):
    """Resamples images by cubic splines, to larger or smaller pixels; the field of view stays."""

    version = 1

    inputName = Input(ImageStack, "input", desc="images")
    outputName = Output(ImageStack, "filtered_image", desc="images with other pixels, float32")

    zoom = Float(1.0, low=1e-3, high=1e3, desc="factor by which the number of pixels along an edge grows")
    dimensionality = Choice(DIMENSIONS[:2], "XY", desc="XY: z stays; XYZ: planes are resampled too")

    def run(self, ctx: Context, inputName: ImageStack) -> ImageStack:
        from scipy.ndimage import zoom

        nt, nz, ny, nx = inputName.shape
        depth = nz // inputName.n_channels
        deep = self.dimensionality == "XYZ" and depth > 1
        sizes = [max(1, round(n * self.zoom)) for n in ((depth, ny, nx) if deep else (ny, nx))]
        planes = sizes[0] if deep else depth
        result = ctx.scratch.array((nt, planes * inputName.n_channels, *sizes[-2:]), np.float32)
        factors = [new / old for new, old in zip(sizes, (depth, ny, nx)[3 - len(sizes) :], strict=True)]

        def one(frame: int, volume: Array) -> None:
            parts = volume.reshape(inputName.n_channels, depth, ny, nx).astype(np.float32)
            for channel, part in enumerate(parts):
                target = result[frame, channel * planes : (channel + 1) * planes]
                if deep:
                    target[:] = zoom(part, factors, mode="nearest", grid_mode=True)
                    continue
                for z, plane in enumerate(part):
                    target[z] = zoom(plane, factors, mode="nearest", grid_mode=True)

        for _ in per_frame(ctx, inputName, one):
            pass
        step = [1 / factors[-1], 1 / factors[-2], 1 / factors[0] if deep else 1.0]
        return resized(inputName, result, step, [(each - 1) / 2 for each in step])


class Subsample(ModuleBase):
    """Keeps every so many pixels along x and y (with XYZ also along z)."""

    version = 1

    inputName = Input(ImageStack, "input", desc="images")
    outputName = Output(ImageStack, "filtered_image", desc="fewer pixels")

    step = Int(2, low=1, unit="px", desc="distance of the pixels that are kept")
    dimensionality = Choice(DIMENSIONS[:2], "XY", desc="XY: all planes stay; XYZ: planes are left out too")

    def run(self, ctx: Context, inputName: ImageStack) -> ImageStack:
        nt, nz, ny, nx = inputName.shape
        along_z = self.step if self.dimensionality == "XYZ" else 1
        depth = nz // inputName.n_channels
        kept = np.concatenate([np.arange(c * depth, (c + 1) * depth, along_z) for c in range(inputName.n_channels)])
        result = ctx.scratch.array((nt, len(kept), -(-ny // self.step), -(-nx // self.step)), inputName.dtype)
        for frame in range(nt):
            result[frame] = inputName.frames(frame, frame + 1)[0, kept, :: self.step, :: self.step]
            ctx.progress(frame + 1, nt)
        return resized(inputName, result, (self.step, self.step, along_z), (0, 0, 0))


class Projection(ModuleBase):
    """Projects an image series along an axis."""

    version = 1

    inputName = Input(ImageStack, "input", desc="images")
    outputName = Output(ImageStack, "filtered_image", desc="projection, float32")

    kind = Choice(KINDS, "Mean", desc="what becomes of the pixels behind each other")
    axis = Int(2, low=0, high=3, desc="0: x, 1: y, 2: z (of a movie without planes: its frames), 3: frames")
    dimensionality = Str("XY", deprecated=True, desc="no longer needed")

    def run(self, ctx: Context, inputName: ImageStack) -> ImageStack:
        nt, nz, ny, nx = inputName.shape
        depth = nz // inputName.n_channels
        over_frames = self.axis == 3 or (self.axis == 2 and depth == 1 and nt > 1)
        if over_frames:
            result = _over_frames(inputName, self.kind, ctx)
            centre = inputName.time.binned(nt)
            return ImageStack(result, time=centre, channels=inputName.channels, metadata=inputName.metadata)
        axis = {0: 3, 1: 2, 2: 1}[self.axis]
        shape = [depth, ny, nx]
        shape[axis - 1] = 1
        result = ctx.scratch.array((nt, shape[0] * inputName.n_channels, shape[1], shape[2]), np.float32)

        def one(frame: int, volume: Array) -> None:
            parts = volume.reshape(inputName.n_channels, depth, ny, nx).astype(np.float32)
            result[frame] = reduced(parts, self.kind, axis).reshape(result.shape[1:])

        for _ in per_frame(ctx, inputName, one):
            pass
        return like(inputName, result)


def reduced(pixels: Array, kind: str, axis: int) -> Array:
    """Mean, sum, ... along an axis, which stays with length 1."""
    functions = {"Mean": np.mean, "Sum": np.sum, "Max": np.max, "Median": np.median, "Std": np.std, "Min": np.min}
    wide = pixels.astype(np.float64) if kind in ("Mean", "Sum", "Std") else pixels
    return np.asarray(functions[kind](wide, axis=axis, keepdims=True), dtype=np.float32)  # type: ignore[operator]


def _over_frames(stack: ImageStack, kind: str, ctx: Context) -> Array:
    """Projection over the frames of a movie, block by block; the median goes band by band."""
    nt, nz, ny, nx = stack.shape
    if kind == "Median":
        result = np.empty((1, nz, ny, nx), np.float32)
        rows = max(1, (64 * 2**20) // (4 * nt * nz * nx))
        for y in range(0, ny, rows):
            band = np.concatenate([block[:, :, y : y + rows] for _, block in stack.blocks()])
            result[0, :, y : y + rows] = np.median(band, axis=0)
            ctx.progress(min(y + rows, ny), ny)
        return result
    total = np.zeros((nz, ny, nx))
    squares = np.zeros((nz, ny, nx))
    level = stack.frames(0, 1)[0].astype(np.float64)
    extreme = level.copy()
    for start, block in stack.blocks():
        wide = block.astype(np.float64)
        if kind in ("Max", "Min"):
            extreme = np.maximum(extreme, wide.max(axis=0)) if kind == "Max" else np.minimum(extreme, wide.min(axis=0))
        else:
            wide -= level  # a variance from sums of squares would lose its digits to a high offset
            total += wide.sum(axis=0)
            squares += (wide**2).sum(axis=0)
        ctx.progress(start + len(block), nt)
    made = {
        "Mean": level + total / nt,
        "Sum": level * nt + total,
        "Std": np.sqrt(np.maximum(squares / nt - (total / nt) ** 2, 0.0)),
        "Max": extreme,
        "Min": extreme,
    }[kind]
    return np.asarray(made[np.newaxis], dtype=np.float32)


class ResampleZ(ModuleBase):
    """Resamples image volumes along z to an even distance of the planes, linearly."""

    version = 1

    input = Input(ImageStack, "input", desc="images with planes along z")
    output = Output(ImageStack, "regular_stack", desc="planes at even distance, float32")

    z_sampling = Float(0.05, low=1e-6, unit="um", desc="distance of the planes of the result")

    def run(self, ctx: Context, input: ImageStack) -> ImageStack:  # noqa: A002 - PYME's name
        nt, nz, ny, nx = input.shape
        depth = nz // input.n_channels
        size = input.require_pixel_size()[2] / 1000
        if depth < 2 or size <= 0:
            raise DataError("ResampleZ needs several planes and their distance.", code="D440", hint="Give voxelsize.z in um.")
        places = np.arange(0.0, (depth - 1) * size + 1e-9, self.z_sampling) / size
        low = np.minimum(places.astype(int), depth - 2)
        part = (places - low).astype(np.float32)[:, np.newaxis, np.newaxis]
        result = ctx.scratch.array((nt, len(places) * input.n_channels, ny, nx), np.float32)

        def one(frame: int, volume: Array) -> None:
            for channel, planes in enumerate(volume.reshape(input.n_channels, depth, ny, nx).astype(np.float32)):
                made = planes[low] * (1 - part) + planes[low + 1] * part
                result[frame, channel * len(places) : (channel + 1) * len(places)] = made

        for _ in per_frame(ctx, input, one):
            pass
        return resized(input, result, (1, 1, self.z_sampling / size), (0, 0, 0))
