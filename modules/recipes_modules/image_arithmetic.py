"""Arithmetic on the pixels of one or two image series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from recipes_core.data import ImageStack
from recipes_core.module import Context
from recipes_core.ports import Choice, Float
from recipes_modules.image_base import Array, Blocks, ImageFilter, ImagePair

_LARGEST = float(np.finfo(np.float32).max)


class Add(ImagePair):
    """Adds two image series."""

    version = 1

    def combined(self, first: Array, second: Array) -> Array:
        return first + second


class Subtract(ImagePair):
    """Subtracts the second image series from the first."""

    version = 1

    def combined(self, first: Array, second: Array) -> Array:
        return first - second


class Multiply(ImagePair):
    """Multiplies two image series."""

    version = 1

    def combined(self, first: Array, second: Array) -> Array:
        return first * second


class Divide(ImagePair):
    """Divides the first image series by the second; where that is 0 the result is 0, and the log says how often."""

    version = 1

    def combined(self, first: Array, second: Array) -> Array:
        return np.divide(
            first, second, out=np.zeros(np.broadcast_shapes(first.shape, second.shape), np.float32), where=second != 0
        )

    def run(self, ctx: Context, inputName0: ImageStack, inputName1: ImageStack) -> ImageStack:
        made = super().run(ctx, inputName0, inputName1)
        zeros = sum(int(np.count_nonzero(block == 0)) for _, block in inputName1.blocks())
        if zeros:
            ctx.warn(f"{zeros:,} pixels of the divisor are 0; the result is set to 0 there")
        return made


class BinaryOr(ImagePair):
    """Marks the pixels that are set in either of two masks."""

    version = 1
    result_type = np.uint8

    def combined(self, first: Array, second: Array) -> Array:
        return first + second > 0.5


class LogicalAnd(ImagePair):
    """Marks the pixels that are set in both of two masks."""

    version = 1
    result_type = np.uint8

    def combined(self, first: Array, second: Array) -> Array:
        return np.logical_and(first, second)


class IsClose(ImagePair):
    """Marks the pixels in which two image series agree."""

    version = 1
    result_type = np.uint8

    abs_tolerance = Float(1e-8, low=0.0, desc="largest difference")
    rel_tolerance = Float(1e-5, low=0.0, desc="largest difference, as a part of the second value; comes on top")

    def combined(self, first: Array, second: Array) -> Array:
        return np.isclose(first, second, atol=self.abs_tolerance, rtol=self.rel_tolerance)


class Pow(ImageFilter):
    """Raises each pixel to a power; what has no real result (such as a root of a negative number) becomes NaN, and the log says so."""

    version = 1

    power = Float(2.0, desc="exponent")

    def filtered(self, block: Array, found: Any) -> Array:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.asarray(block ** np.float32(self.power))

    def run(self, ctx: Context, inputName: ImageStack) -> ImageStack:
        made = super().run(ctx, inputName)
        bad = sum(int(block.size - np.count_nonzero(np.isfinite(block))) for _, block in made.blocks())
        if bad:
            ctx.warn(f"{bad:,} pixels have no finite power {self.power:g}")
        return made


class Scale(ImageFilter):
    """Multiplies each pixel by a constant."""

    version = 1

    scale = Float(1.0, desc="factor")

    def filtered(self, block: Array, found: Any) -> Array:
        return block * np.float32(self.scale)


class Offset(ImageFilter):
    """Adds a constant to each pixel, or subtracts a constant or the smallest value.

    PYME has two modules of this name: `base.Offset` adds `offset`, `processing.Offset` subtracts `offset_constant` or the minimum
    of what is filtered together.
    """

    version = 1

    offset = Float(0.0, desc="is added")
    offset_constant = Float(0.0, desc="is subtracted")
    offset_selection = Choice(
        ("offset by a constant", "offset by minimum"),
        "offset by a constant",
        desc="what is subtracted: offset_constant, or the minimum",
    )

    def survey(self, blocks: Blocks) -> Any:
        if self.offset_selection == "offset by minimum":
            return min(float(block.min()) for block in blocks())
        return self.offset_constant

    def filtered(self, block: Array, found: Any) -> Array:
        return block + np.float32(self.offset - found)


class Clip(ImageFilter):
    """Limits pixels to a range."""

    version = 1

    min = Float(0.0, desc="lower values become this")
    max = Float(_LARGEST, desc="higher values become this")

    def check(self) -> Iterator[str]:
        if self.min > self.max:
            yield f"min ({self.min:g}) is above max ({self.max:g})"

    def filtered(self, block: Array, found: Any) -> Array:
        return np.clip(block, np.float32(self.min), np.float32(self.max))


class Normalize(ImageFilter):
    """Divides by the largest value of what is filtered together: the plane, the volume, or the series."""

    version = 1

    def survey(self, blocks: Blocks) -> float:
        return max(float(block.max()) for block in blocks())

    def filtered(self, block: Array, found: Any) -> Array:
        # A plane without a signal has nothing to be scaled to.
        return block / np.float32(found) if found else block


class NormalizeMean(ImageFilter):
    """Subtracts an offset and divides by the mean of what is filtered together."""

    version = 1

    offset = Float(0.0, desc="is subtracted first")

    def survey(self, blocks: Blocks) -> float:
        sums = [(float(block.sum(dtype=np.float64)), block.size) for block in blocks()]
        return sum(total for total, _ in sums) / sum(size for _, size in sums) - self.offset

    def filtered(self, block: Array, found: Any) -> Array:
        shifted = block - np.float32(self.offset)
        return shifted / np.float32(found) if found else shifted


class Invert(ImageFilter):
    """Subtracts each pixel from 1: of a mask, what was not marked."""

    version = 1

    def filtered(self, block: Array, found: Any) -> Array:
        return 1 - block
