"""Shapes in images: growing, shrinking, holes, distances, slopes."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes_core.data import ImageStack
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Input, Int, Output
from recipes_modules.image_base import Array, ImageFilter, like, per_frame

_RADIUS = "radius of the disc or ball"
_PIXEL, _UM = "intensity/pixel", "intensity/um"


def ball(radius: int, ndim: int) -> Array:
    """Mask of a disc or ball; flat along t."""
    axes = np.ogrid[tuple(slice(-radius, radius + 1) for _ in range(min(ndim, 3)))]
    inside = np.asarray(sum(axis**2 for axis in axes) <= radius**2)
    return inside[np.newaxis] if ndim == 4 else inside


class _Shaped(ImageFilter):
    """Base of filters with a disc or ball."""

    radius = Int(1, low=0, unit="px", desc=_RADIUS)


class BinaryDilation(_Shaped):
    """Grows the regions of a mask."""

    version = 1
    result_type = np.uint8

    iterations = Int(1, low=1, desc="how often")

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import binary_dilation

        return np.asarray(binary_dilation(block > 0.5, ball(self.radius, block.ndim), iterations=self.iterations))


class BinaryErosion(_Shaped):
    """Shrinks the regions of a mask; what touches the edge of the image shrinks there too."""

    version = 1
    result_type = np.uint8

    iterations = Int(1, low=1, desc="how often")

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import binary_erosion

        return np.asarray(binary_erosion(block > 0.5, ball(self.radius, block.ndim), iterations=self.iterations))


class BinaryFillHoles(_Shaped):
    """Fills the holes in the regions of a mask."""

    version = 1
    result_type = np.uint8

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import binary_fill_holes

        if block.ndim < 4:
            return np.asarray(binary_fill_holes(block > 0.5, ball(self.radius, block.ndim)))
        return np.stack([binary_fill_holes(volume > 0.5, ball(self.radius, 3)) for volume in block])


class GreyDilation(_Shaped):
    """Replaces each pixel by the largest value within a radius."""

    version = 1

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import grey_dilation

        return np.asarray(grey_dilation(block, footprint=ball(self.radius, block.ndim)))


class GreyErosion(_Shaped):
    """Replaces each pixel by the smallest value within a radius."""

    version = 1

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import grey_erosion

        return np.asarray(grey_erosion(block, footprint=ball(self.radius, block.ndim)))


class WhiteTophat(_Shaped):
    """Keeps what is bright and smaller than a disc or ball."""

    version = 1

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import white_tophat

        return np.asarray(white_tophat(block, footprint=ball(self.radius, block.ndim)))


class DistanceTransform(ImageFilter):
    """Distance of each pixel from the edge of a mask, in pixels: above 0 outside, below 0 inside."""

    version = 1

    def reach(self) -> None:
        return None

    def filtered(self, block: Array, found: Any) -> Array:
        return signed_distance(block > 0.5)


def signed_distance(mask: Array, sampling: tuple[float, ...] | None = None) -> Array:
    """Distance from a mask: outside to the nearest pixel of it, inside (negative) to the nearest pixel that is not.

    Parameters
    ----------
    sampling : tuple of float, optional
        Size of a pixel along each axis; 1 where not given.
    """
    from scipy.ndimage import distance_transform_edt

    if not mask.any() or mask.all():
        return np.full(mask.shape, -np.inf if mask.all() else np.inf, np.float32)
    outside = distance_transform_edt(~mask, sampling=sampling)
    return np.asarray(outside - distance_transform_edt(mask, sampling=sampling), dtype=np.float32)


class Gradient(ModuleBase):
    """Slope of images along x and y."""

    version = 1

    inputName = Input(ImageStack, "input", desc="images")
    outputNameX = Output(ImageStack, "grad_x", desc="slope along x, the columns")
    outputNameY = Output(ImageStack, "grad_y", desc="slope along y, the rows")

    units = Choice((_PIXEL, _UM), _PIXEL, desc="intensity a pixel or a micrometre")

    def run(self, ctx: Context, inputName: ImageStack) -> dict[str, Any]:
        made = slopes(ctx, inputName, 2, in_um=self.units == _UM)
        return {"outputNameX": made[1], "outputNameY": made[0]}


class Gradient3D(ModuleBase):
    """Slope of image volumes along x, y and z."""

    version = 1

    inputName = Input(ImageStack, "input", desc="images with planes along z")
    outputNameX = Output(ImageStack, "grad_x", desc="slope along x, the columns")
    outputNameY = Output(ImageStack, "grad_y", desc="slope along y, the rows")
    outputNameZ = Output(ImageStack, "grad_z", desc="slope along z")

    units = Choice((_PIXEL, _UM), _PIXEL, desc="intensity a pixel or a micrometre")

    def run(self, ctx: Context, inputName: ImageStack) -> dict[str, Any]:
        made = slopes(ctx, inputName, 3, in_um=self.units == _UM)
        return {"outputNameX": made[2], "outputNameY": made[1], "outputNameZ": made[0]}


def slopes(ctx: Context, stack: ImageStack, ndim: int, *, in_um: bool) -> list[ImageStack]:
    """Slopes along the last `ndim` axes."""
    size = [value / 1000 for value in stack.require_pixel_size()[:ndim][::-1]] if in_um else [1.0] * ndim
    # A volume of one plane has no slope along z.
    results = [ctx.scratch.array(stack.shape, np.float32) for _ in range(ndim)]
    depth = stack.shape[1] // stack.n_channels

    def one(frame: int, volume: Array) -> None:
        for z in range(0, len(volume), depth):
            part = volume[z : z + depth].astype(np.float32)
            for k in range(ndim):
                axis = k + 3 - ndim
                if part.shape[axis] > 1:
                    results[k][frame, z : z + depth] = np.gradient(part, axis=axis) / (size[k] or 1.0)

    for _ in per_frame(ctx, stack, one):
        pass
    return [like(stack, result) for result in results]
