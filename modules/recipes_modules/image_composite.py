"""PYME's Composite: images of several channels on one grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, FilePath, Input, Output
from recipes_modules.image_base import like, per_frame
from recipes_modules.image_shape import joined

Floats = npt.NDArray[np.float64]

_SHIFT_MAP = "shift map of this channel: not read here, and an error where it is given"


class Composite(ModuleBase):
    """Makes one image with a channel for each of up to four images, on the pixels of the first, as PYME's module of this name does.

    Images whose pixel size (voxelsize), origin (Origin.x, ... in nm) or number of pixels differ are resampled so that places in nm stay;
    what lies outside an image is 0. Where pixel sizes are not known they count as equal. A single frame stands for all frames. Channels
    are called as the images say (ChannelNames), or as their keys are.
    """

    version = 1

    input0 = Input(ImageStack, "input", desc="first channel, whose pixels the others get")
    input1 = Input(ImageStack, "", desc="second channel")
    input2 = Input(ImageStack, "", desc="third channel")
    input3 = Input(ImageStack, "", desc="fourth channel")
    output = Output(ImageStack, "composite", desc="image with channels")

    shiftmap0 = FilePath("", desc=_SHIFT_MAP)
    shiftmap1 = FilePath("", desc=_SHIFT_MAP)
    shiftmap2 = FilePath("", desc=_SHIFT_MAP)
    shiftmap3 = FilePath("", desc=_SHIFT_MAP)
    ignoreZOrigin = Bool(True, desc="take the first planes of all images as of one height, whatever Origin.z says")
    interpolate = Bool(True, desc="interpolate linearly where pixels differ; false takes the nearest pixel")

    def check(self) -> Iterator[str]:
        for k in range(4):
            if getattr(self, f"shiftmap{k}"):
                yield f"shiftmap{k}: shift maps are not read; leave it empty, and register the channels before"

    def run(self, ctx: Context, **inputs: ImageStack | None) -> ImageStack:
        fault = next(self.check(), None)
        if fault:
            raise DataError(fault, code="D444")
        named = [(getattr(self, port), stack) for port, stack in inputs.items() if stack is not None]
        for name, stack in named:
            if stack.n_channels > 1:
                raise DataError(
                    f"'{name}' has {stack.n_channels} channels; Composite takes images of one.",
                    code="D442",
                    hint="Take one of them by ExtractChannel.",
                )
        first = named[0][1]
        n_frames = max(stack.n_frames for _, stack in named)
        if any(stack.n_frames not in (1, n_frames) for _, stack in named) or first.n_frames != n_frames:
            told = ", ".join(f"{name}: {stack.n_frames:,}" for name, stack in named)
            raise DataError(f"the images have different numbers of frames ({told}).", code="D442")
        stacks = [first, *(self._on_grid(ctx, first, stack, name) for name, stack in named[1:])]
        return joined(ctx, stacks, _names(named))

    def _on_grid(self, ctx: Context, first: ImageStack, stack: ImageStack, name: str) -> ImageStack:
        """An image on the pixels and frames of the first one."""
        from scipy.ndimage import affine_transform

        step, start = _grid(first, stack, ignore_z=self.ignoreZOrigin)
        same = np.allclose(step, 1) and np.allclose(start, 0, atol=1e-3) and stack.shape[1:] == first.shape[1:]
        if same and stack.n_frames == first.n_frames:
            return stack
        shape = first.shape[1:]
        if not same:
            ctx.say(f"'{name}' was resampled to the pixels of the first image")
            corner = start + step * (np.array(shape) - 1)
            if (corner < -0.5).any() or (start > np.array(stack.shape[1:]) - 0.5).any():
                ctx.warn(f"'{name}' lies wholly outside the first image, and its channel is empty; check Origin and voxelsize")
        kind = np.result_type(stack.dtype, np.float32) if self.interpolate and not same else stack.dtype
        result = ctx.scratch.array((first.n_frames, *shape), kind)

        def resampled(volume: Any) -> Any:
            if same:
                return volume
            if not self.interpolate:
                return _nearest(volume, step, start, shape)
            # One more pixel at each edge, so that pixels do not fade half a pixel before it.
            padded = np.pad(volume.astype(kind), 1, mode="edge")
            made = affine_transform(padded, step, offset=start + 1, output_shape=shape, order=1, mode="constant", cval=0.0)
            return made * _inside(volume.shape, step, start, shape)

        if stack.n_frames == 1:
            result[:] = resampled(stack.frames(0, 1)[0])
        else:
            for frame, made in enumerate(per_frame(ctx, stack, lambda frame, volume: resampled(volume))):
                result[frame] = made
        return like(first, result)


def _grid(first: ImageStack, stack: ImageStack, *, ignore_z: bool) -> tuple[Floats, Floats]:
    """Pixel of the first image in pixels of the other (z, y, x), and where its first pixel's centre lies in the other."""
    sizes = [image.pixel_size for image in (first, stack)]
    step, start = np.ones(3), np.zeros(3)
    if sizes[0] is None or sizes[1] is None:
        return step, start
    for k, axis in enumerate("zyx"):
        mine, other = (size["xyz".index(axis)] for size in sizes if size is not None)
        if not (mine > 0 and other > 0):
            continue
        step[k] = mine / other
        if axis != "z" or not ignore_z:
            start[k] = (
                float(first.metadata.get(f"Origin.{axis}", 0.0)) - float(stack.metadata.get(f"Origin.{axis}", 0.0))
            ) / other
    return step, start


def _places(size: int, step: float, start: float, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Nearest pixel for each of `n` along one axis, and whether the place is inside the image."""
    place = start + step * np.arange(n)
    nearest = np.floor(place + 0.5)
    return np.clip(nearest, 0, size - 1).astype(np.int64), (nearest >= 0) & (nearest < size)


def _inside(size: Any, step: Floats, start: Floats, shape: Any) -> npt.NDArray[np.bool_]:
    z, y, x = (_places(size[k], step[k], start[k], shape[k])[1] for k in range(3))
    return np.asarray(z[:, np.newaxis, np.newaxis] & y[:, np.newaxis] & x)


def _nearest(volume: Any, step: Floats, start: Floats, shape: Any) -> Any:
    taken = volume[np.ix_(*(_places(volume.shape[k], step[k], start[k], shape[k])[0] for k in range(3)))]
    return np.where(_inside(volume.shape, step, start, shape), taken, 0)


def _names(named: list[tuple[str, ImageStack]]) -> list[str]:
    names = []
    for key, stack in named:
        own = stack.metadata.get("ChannelNames")
        names.append(str(own[0]) if isinstance(own, (list, tuple)) and len(own) == 1 and own[0] != "Image" else key)
    return names if len(set(names)) == len(names) else [key for key, _ in named]
