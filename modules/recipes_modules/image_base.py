"""Bases of modules that compute images from images, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.errors import DataError, EnvironmentFault
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Input, Output

Array = npt.NDArray[Any]
Blocks = Callable[[], Iterator[Array]]

DIMENSIONS = ("XY", "XYZ", "XYZT")
BLOCK = 64 * 2**20
"""Bytes of float32 pixels in a block of frames that is filtered at once."""
_OLD_FORM = "PYME's older form: true for XY, false for XYZ"


class ImageFilter(ModuleBase):
    """Base of filters: an image series in, one of the same size out, in float32.

    A filter works on single planes (XY), on the volume of each frame (XYZ), or on the whole series (XYZT); always channel by channel.
    Series are read, filtered and written block by block.
    """

    result_type: ClassVar[Any] = np.float32

    inputName = Input(ImageStack, "input", desc="images")
    outputName = Output(ImageStack, "filtered_image", desc="filtered images")

    dimensionality = Choice(
        DIMENSIONS, "XY", desc="what is filtered at a time: a plane, the volume of a frame, or the whole series"
    )
    processFramesIndividually = Bool(None, desc=_OLD_FORM)

    @property
    def together(self) -> str:
        """What is filtered at a time: XY, XYZ or XYZT."""
        if self.processFramesIndividually is None:
            return str(self.dimensionality)
        return "XY" if self.processFramesIndividually else "XYZ"

    def reach(self) -> int | None:
        """Frames to either side on which a frame's result depends with XYZT; None where it depends on all."""
        return 0

    def survey(self, blocks: Blocks) -> Any:
        """What must be known of everything that is filtered together, such as its maximum; `blocks()` goes through it."""
        return None

    def filtered(self, block: Array, found: Any) -> Array:
        """A plane, volume or series (float32, axes (t, z, y, x) from the right), filtered."""
        raise NotImplementedError(f"{type(self).__name__} does not filter")

    def run(self, ctx: Context, inputName: ImageStack) -> ImageStack:
        result = ctx.scratch.array(inputName.shape, self.result_type)
        work = self._series(inputName, result) if self.together == "XYZT" else self._frames(inputName, result)
        total = inputName.n_frames * inputName.n_channels
        done = 0
        for n in ctx.map(lambda job: job(), work):
            done += n
            ctx.progress(done, total)
        return like(inputName, result)

    def _frames(self, stack: ImageStack, result: Array) -> Iterator[Callable[[], int]]:
        depth = stack.shape[1] // stack.n_channels if self.together == "XYZ" else 1

        def one(frame: int) -> int:
            volume = stack.frames(frame, frame + 1)[0].astype(np.float32)
            for z in range(0, len(volume), depth):
                part = volume[z] if self.together == "XY" else volume[z : z + depth]
                made = self.filtered(part, self.survey(lambda part=part: iter((part,))))  # type: ignore[misc]
                result[frame, z : z + depth] = made
            return stack.n_channels

        for frame in range(stack.n_frames):
            yield lambda frame=frame: one(frame)  # type: ignore[misc]

    def _series(self, stack: ImageStack, result: Array) -> Iterator[Callable[[], int]]:
        depth = stack.shape[1] // stack.n_channels
        reach = self.reach()
        n = stack.n_frames if reach is None else frames_in_block(stack, 4 * reach)
        for channel in range(stack.n_channels):
            single = stack.channel(channel)
            found = self.survey(lambda single=single: float_blocks(single))  # type: ignore[misc]

            def block(start: int, single: ImageStack = single, found: Any = found, channel: int = channel) -> int:
                stop = min(start + n, single.n_frames)
                first, last = max(0, start - (reach or 0)), min(single.n_frames, stop + (reach or 0))
                made = self.filtered(single.frames(first, last).astype(np.float32), found)
                result[start:stop, channel * depth : (channel + 1) * depth] = made[start - first : stop - first]
                return stop - start

            for start in range(0, single.n_frames, n):
                yield lambda start=start, block=block: block(start)  # type: ignore[misc]


class ImagePair(ModuleBase):
    """Base of arithmetic with two image series of one size; a single frame or plane stands for all of the other's."""

    result_type: ClassVar[Any] = np.float32

    inputName0 = Input(ImageStack, "input", desc="first images")
    inputName1 = Input(ImageStack, "input", desc="second images, of the same size or a single frame")
    outputName = Output(ImageStack, "filtered_image", desc="result, pixel by pixel")

    processFramesIndividually = Bool(
        False, affects_result=False, desc="accepted for old recipes: pixels do not look at each other"
    )

    def combined(self, first: Array, second: Array) -> Array:
        """Two blocks (float32) pixel by pixel."""
        raise NotImplementedError(f"{type(self).__name__} does not combine")

    def run(self, ctx: Context, inputName0: ImageStack, inputName1: ImageStack) -> ImageStack:
        shape = _common(inputName0, inputName1)
        larger = inputName0 if inputName0.shape == shape else inputName1
        result = ctx.scratch.array(shape, self.result_type)
        n = frames_in_block(larger, 0)

        def block(start: int) -> int:
            stop = min(start + n, shape[0])
            first, second = (
                stack.frames(*((start, stop) if stack.n_frames > 1 else (0, 1))).astype(np.float32)
                for stack in (inputName0, inputName1)
            )
            result[start:stop] = self.combined(first, second)
            return stop

        for done in ctx.map(block, range(0, shape[0], n)):
            ctx.progress(done, shape[0])
        return like(larger, result)


def _common(first: ImageStack, second: ImageStack) -> tuple[int, ...]:
    if first.shape[2:] == second.shape[2:]:
        pairs = list(zip(first.shape[:2], second.shape[:2], strict=True))
        if all(a == b or 1 in (a, b) for a, b in pairs):
            shape = (*(max(pair) for pair in pairs), *first.shape[2:])
            if shape in (first.shape, second.shape):
                return shape
    raise DataError(
        f"images of {_told(first.shape)} and {_told(second.shape)} (t, z, y, x) cannot be combined pixel by pixel.",
        code="D442",
        hint="Both must have one size; only a single frame or plane may stand for many.",
    )


def _told(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def require_same(first: ImageStack, second: ImageStack, what: str) -> None:
    """Raise DataError unless two series have one shape; `what` names the second for people."""
    if first.shape != second.shape:
        raise DataError(
            f"{what} has {_told(second.shape)} pixels (t, z, y, x), the image {_told(first.shape)}.",
            code="D442",
            hint="Both must have one size.",
        )


def frames_in_block(stack: ImageStack, least: int) -> int:
    """Frames in a block of `BLOCK` bytes as float32, at least `least` and one; the same on every machine."""
    per_frame = 4 * int(np.prod(stack.shape[1:], dtype=np.int64))
    return max(1, least, BLOCK // max(per_frame, 1))


def float_blocks(stack: ImageStack) -> Iterator[Array]:
    """Go through a series in blocks of float32."""
    n = frames_in_block(stack, 1)
    for start in range(0, stack.n_frames, n):
        yield stack.frames(start, min(start + n, stack.n_frames)).astype(np.float32)


def skimage(part: str) -> Any:
    """A part of scikit-image, which comes with the extra `image`.

    Raises
    ------
    EnvironmentFault
        Where it is not installed.
    """
    try:
        return import_module(f"skimage.{part}")
    except ImportError as error:
        raise EnvironmentFault(
            "this module works with scikit-image, which is not installed.", code="V400", hint="pip install 'smlm-recipes[image]'"
        ) from error


def like(stack: ImageStack, pixels: Array, **metadata: Any) -> ImageStack:
    """Pixels of the same place and time as those of a series."""
    return ImageStack(pixels, time=stack.time, channels=stack.channels, metadata={**stack.metadata, **metadata})


def per_frame(ctx: Context, stack: ImageStack, work: Callable[[int, Array], Any]) -> Iterator[Any]:
    """Call `work(frame, volume (z, y, x))` for each frame on all threads; results in order."""

    def one(frame: int) -> Any:
        return work(frame, stack.frames(frame, frame + 1)[0])

    for done, made in enumerate(ctx.map(one, range(stack.n_frames)), 1):
        ctx.progress(done, stack.n_frames)
        yield made
