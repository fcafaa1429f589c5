"""Background of movies, and counts to light: what a camera adds is taken away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from recipes_core.data import ImageStack, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import FilePath, Float, Input, Int, ListOf, Output, Range, Str
from recipes_modules.image_base import Array, like, per_frame

_LENGTH = 64
"""Frames of a block: windows of some tens of frames cost little more at its start."""
_WINDOW = "[first, end, step] of the frames that make the background, from the current one on; the end is not included"


class _MovingBackground(ModuleBase):
    """Base of modules that subtract a background of neighbouring frames."""

    lowest: ClassVar[bool] = False

    input_name = Input(ImageStack, "input", desc="movie")
    output_name = Output(ImageStack, "background_subtracted", desc="movie without background, float32")

    window = ListOf(Int(0), (-32, 0, 1), length=3, unit="frame", desc=_WINDOW)

    def check(self) -> Iterator[str]:
        start, stop, step = self.window
        if step < 1 or stop <= start:
            yield f"window [{start}, {stop}, {step}] names no frames"

    def part(self) -> float:
        """Part of the window that lies below the background; 0 for the mean."""
        raise NotImplementedError

    def run(self, ctx: Context, input_name: ImageStack) -> ImageStack:
        start, stop, _ = self.window
        n = input_name.n_frames
        result = ctx.scratch.array(input_name.shape, np.float32)

        def block(first: int) -> int:
            last = min(first + _LENGTH, n)
            low, high = max(0, min(first, first + start)), min(n, max(last, last - 1 + stop))
            frames = input_name.frames(low, high).astype(np.float32)
            flat = frames.reshape(len(frames), -1, frames.shape[-1])
            for frame, level in self._levels(flat, low, range(first, last), n):
                result[frame] = frames[frame - low] - level.reshape(frames.shape[1:])
            return last

        for done in ctx.map(block, range(0, n, _LENGTH)):
            ctx.progress(done, n)
        return like(input_name, result)

    def _levels(self, frames: Array, low: int, wanted: range, n: int) -> Iterator[tuple[int, Array]]:
        """The background of each wanted frame; `frames` begin with frame `low` of a movie of `n`."""
        start, stop, step = self.window
        sorted_ones = _Sorted(frames, stop - start, self.part()) if self.part() and step == 1 else None
        for frame in wanted:
            begin, end = max(0, frame + start), max(0, min(n, frame + stop))
            if begin >= end:  # before the first frame, or behind the last, there is none: the frame stands for itself
                yield frame, frames[frame - low]
            elif sorted_ones is not None:
                yield frame, sorted_ones.level(begin - low, end - low)
            else:
                yield frame, self._level(frames[begin - low : end - low : step])

    def _level(self, window: Array) -> Array:
        part = self.part()
        if not part:
            return np.asarray(window.mean(axis=0, dtype=np.float64), np.float32)
        rank = min(int(len(window) * part), len(window) - 1)
        ordered = np.sort(window, axis=0)
        level, middle = ordered[rank], ordered[len(window) // 2]
        return np.asarray(level + np.float32(np.median(middle) - np.median(level)))


class _Sorted:
    """Values of each pixel in a window of frames, kept in order while the window moves on."""

    def __init__(self, frames: Array, length: int, part: float) -> None:
        self.frames, self.part = frames, part
        self.ordered = np.empty((*frames.shape[1:], length + 1), np.float32)
        self.held = np.full(2, -1, np.int64)

    def level(self, begin: int, end: int) -> Array:
        """The percentile over frames `begin` to `end`, raised so that its median is that of the median image."""
        from recipes_modules.localize.background import advance_sorted, percentile_of

        result = np.empty(self.frames.shape[1:], np.float32)
        advance_sorted(self.frames, self.ordered, self.held, begin, end)
        percentile_of(self.ordered, end - begin, self.part, result)
        return result


class BackgroundSubtractionMovingAverage(_MovingBackground):
    """Subtracts the mean of neighbouring frames from each frame of a movie."""

    version = 1

    percentile = Float(0.0, deprecated=True, desc="without effect; BackgroundSubtractionMovingPercentile has one")

    def part(self) -> float:
        return 0.0


class BackgroundSubtractionMovingPercentile(_MovingBackground):
    """Subtracts a percentile of neighbouring frames, pixel by pixel, from each frame of a movie.

    The percentile image is raised by a constant, so that its median is that of the median image: bright spots do not count and the
    level is right.
    """

    version = 1

    percentile = Range(0.0, 1.0, 0.25, desc="part of the frames that lies below the background of a pixel; 0: their mean")

    def part(self) -> float:
        return float(self.percentile)


class FlatfieldAndDarkCorrect(ModuleBase):
    """Subtracts a dark image and multiplies by a flat field: (image - dark) x flat.

    Without a dark image the camera's offset in the metadata is subtracted where there is one. The flat field is a factor with mean 1.
    """

    version = 1

    inputImage = Input(ImageStack, "input", desc="movie in counts")
    outputName = Output(ImageStack, "corrected", desc="corrected counts, float32")

    flatfieldFilename = FilePath("", desc="image by which counts above the dark are multiplied")
    darkFilename = FilePath("", desc="image in the dark, counts; several frames are averaged")

    def run(self, ctx: Context, inputImage: ImageStack) -> ImageStack:
        from recipes_modules.localize.camera import fit_map, roi_named, roi_origin
        from recipes_modules.localize.camera_setup import open_map

        shape = (inputImage.shape[2], inputImage.shape[3])
        origin = roi_origin(inputImage.metadata, shape) if roi_named(inputImage.metadata) else None
        dark = open_map(ctx, self.darkFilename, "dark")
        flat = open_map(ctx, self.flatfieldFilename, "flat")
        level: Any = np.float32(inputImage.metadata.get("Camera.ADOffset", 0.0))
        if dark is not None:
            level = fit_map(dark, shape, origin, "dark")
        else:
            ctx.say(f"no dark image is named; {level:g} is subtracted (Camera.ADOffset, 0 where there is none)")
        factor: Any = np.float32(1.0) if flat is None else fit_map(flat, shape, origin, "flat")
        result = ctx.scratch.array(inputImage.shape, np.float32)

        def corrected(frame: int, volume: Array) -> None:
            result[frame] = (volume.astype(np.float32) - level) * factor

        for _ in per_frame(ctx, inputImage, corrected):
            pass
        return like(inputImage, result, **{"Camera.ADOffset": 0.0})


class RawADUToElectronsPerSecond(ModuleBase):
    """Turns counts of a camera into photoelectrons a second, with what the metadata tell of the camera and the exposure."""

    version = 1

    input_name = Input(ImageStack, "raw_adu", desc="movie in counts")
    output_name = Output(ImageStack, "electrons_per_s", desc="photoelectrons a second, float32")

    def run(self, ctx: Context, input_name: ImageStack) -> ImageStack:
        from recipes_modules.localize.camera_setup import camera_of

        seconds = input_name.metadata.get("Camera.IntegrationTime", input_name.metadata.get("Camera.CycleTime"))
        if not isinstance(seconds, (int, float)) or not seconds > 0:
            raise DataError(
                "the movie has no exposure time.", code="D510", hint="Give it in s: -m input.Camera.IntegrationTime=0.05"
            )
        camera = camera_of(ctx, input_name)
        result = ctx.scratch.array(input_name.shape, np.float32)

        def converted(frame: int, volume: Array) -> None:
            result[frame] = camera.to_electrons(volume) / np.float32(seconds)

        for _ in per_frame(ctx, input_name, converted):
            pass
        return like(input_name, result)


class DarkAndVarianceMap(ModuleBase):
    """Makes the maps of an sCMOS camera from frames in the dark: mean and variance of each pixel.

    Pixels beyond either threshold are blemishes: they get `blemish_variance`, so that they weigh nothing in a fit. The variance is in
    electrons^2 where the metadata give ``Camera.ElectronsPerCount``, else in counts^2, which is warned of.
    """

    version = 1

    input = Input(ImageStack, "input", desc="movie in the dark")
    output_variance = Output(ImageStack, "variance", desc="variance of each pixel")
    output_dark = Output(ImageStack, "dark", desc="mean of each pixel, counts")

    dark_threshold = Float(1e4, unit="ADU", desc="pixels that are brighter in the dark are blemishes")
    variance_threshold = Float(300.0**2, unit="electron^2", desc="pixels that vary more are blemishes")
    blemish_variance = Float(1e8, unit="electron^2", desc="variance that blemishes get")
    start = Int(0, low=0, unit="frame", desc="first frame")
    end = Int(-1, unit="frame", desc="last frame; -1: the last of the movie")

    def run(self, ctx: Context, input: ImageStack) -> dict[str, Any]:  # noqa: A002 - PYME's name
        last = input.n_frames if self.end < 0 else min(self.end + 1, input.n_frames)
        if last - self.start < 2:
            raise DataError(f"frames {self.start} to {last} are too few for a variance.", code="D440")
        level = input.frames(self.start, self.start + 1)[0].astype(np.float64)
        total, squares = np.zeros_like(level), np.zeros_like(level)
        for frame in range(self.start, last):
            difference = input.frames(frame, frame + 1)[0] - level
            total += difference
            squares += difference**2
            ctx.progress(frame - self.start + 1, last - self.start)
        n = last - self.start
        dark = level + total / n
        variance = (squares - total**2 / n) / (n - 1)
        gain = input.metadata.get("Camera.ElectronsPerCount")
        if isinstance(gain, (int, float)) and gain > 0:
            variance *= float(gain) ** 2
        else:
            ctx.warn("the movie has no Camera.ElectronsPerCount: the variance is in counts^2, and fits take it for electrons^2")
        blemishes = (dark > self.dark_threshold) | (variance > self.variance_threshold)
        ctx.say(
            f"{np.count_nonzero(blemishes):,} of {dark.size:,} pixels are blemishes; median variance {np.median(variance):.4g}"
        )
        variance[blemishes] = self.blemish_variance
        return {
            "output_variance": ImageStack(variance[np.newaxis].astype(np.float32), metadata=input.metadata),
            "output_dark": ImageStack(dark[np.newaxis].astype(np.float32), metadata=input.metadata),
        }


class AverageFramesByZStep(ModuleBase):
    """Averages the frames that were taken at one z: a movie becomes a stack of planes."""

    version = 1

    input_image = Input(ImageStack, "input", desc="movie")
    input_zvals = Input(Table, "", desc="z of each frame; the metadata's where there is none")
    output = Output(ImageStack, "averaged_by_frame", desc="a plane a z, float32")

    z_column_name = Str("z", desc="column with the z of each frame, nm")
    tolerance = Float(1.0, low=0.0, unit="nm", desc="frames whose z differ by less belong together")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return (self.z_column_name,) if port == "input_zvals" else ()

    def run(self, ctx: Context, input_image: ImageStack, input_zvals: Table | None) -> ImageStack:
        z = self._z(input_image, input_zvals)
        order = np.argsort(z, kind="stable")
        group = np.concatenate([[0], np.cumsum(np.diff(z[order]) > self.tolerance)])
        steps = [order[group == k] for k in range(int(group[-1]) + 1)]
        _, nz, ny, nx = input_image.shape
        result = np.zeros((1, len(steps) * nz, ny, nx), np.float32)
        for k, frames in enumerate(steps):
            total = np.zeros((nz, ny, nx))
            for frame in np.sort(frames):
                total += input_image.frames(int(frame), int(frame) + 1)[0]
            result[0, k * nz : (k + 1) * nz] = total / len(frames)
            ctx.progress(k + 1, len(steps))
        heights = np.array([z[frames].mean() for frames in steps])
        metadata = dict(input_image.metadata)
        if len(heights) > 1:
            metadata["voxelsize.z"] = float(np.median(np.diff(heights))) / 1000
        metadata["Origin.z"] = float(heights[0])
        sizes = [len(frames) for frames in steps]
        ctx.say(f"{len(steps)} planes from {heights[0]:.0f} to {heights[-1]:.0f} nm, {min(sizes)} to {max(sizes)} frames each")
        return ImageStack(result, metadata=metadata)

    def _z(self, stack: ImageStack, table: Table | None) -> Array:
        n = stack.n_frames
        if table is None:
            step = stack.metadata.get("StackSettings.StepSize")
            per = stack.metadata.get("StackSettings.FramesPerStep", 1)
            if not isinstance(step, (int, float)) or not isinstance(per, (int, float)) or not per >= 1:
                raise DataError(
                    "nothing tells the z of the frames.", code="D440",
                    hint="Connect input_zvals, or give StackSettings.StepSize (um) and StackSettings.FramesPerStep.",
                )  # fmt: skip
            return np.asarray(np.arange(n) // int(per) * float(step) * 1000)
        values = np.asarray(table[self.z_column_name], np.float64)
        if "frame" in table and len(values) != n:
            known = np.asarray(table["frame"], np.float64)
            kept = np.isfinite(known) & np.isfinite(values)
            at = np.argsort(known[kept], kind="stable")
            # Tables tell when z changes: it holds until the next entry.
            place = np.searchsorted(known[kept][at], np.arange(n), side="right") - 1
            return np.asarray(values[kept][at][np.maximum(place, 0)])
        if len(values) != n or not np.isfinite(values).all():
            raise DataError(f"the table tells the z of {len(values)} frames, the movie has {n}.", code="D440")
        return values
