"""Undo a drift: in a table of localizations, or in an image series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, ImageStack, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Float, Input, Output, Str
from recipes_modules.image_shift import MODES, shift_volume

Floats = npt.NDArray[np.float64]

MIRRORED = 16
"""Pixels that are mirrored at each edge, at least, before a fraction of a pixel is shifted by Fourier transform."""


class Locs_Post_Shift(ModuleBase):
    """Adds the drift correction of its frame to each localization.

    The columns dx, dy and dz hold what was added; where the table has them already (it was corrected before), they hold the total.
    Columns keep their type. Localizations before and after the measured range get the value at its nearer end. Rows whose frame
    is NaN stay as they are, rows with a NaN coordinate keep it. A drift that was measured in none of the frames of the localizations
    is of another movie, and an error.
    """

    version = 1

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations to correct")
    input_drift_interpolator = Input(Drift, "drift_interpolator", desc="correction to add")
    output_name = Output(
        Localizations,
        "corrected_localizations",
        like="input_localizations",
        adds=("dx", "dy", "dz"),
        desc="corrected localizations",
    )

    def run(self, ctx: Context, input_localizations: Localizations, input_drift_interpolator: Drift) -> Localizations:
        return shifted(input_localizations, input_drift_interpolator, ctx)


def shifted(table: Localizations, drift: Drift, ctx: Context) -> Localizations:
    """The table with the correction of its frame added to each row; see `Locs_Post_Shift`."""
    frames = table["frame"]
    valid = np.isfinite(frames) if frames.dtype.kind == "f" else None
    if valid is not None and valid.all():
        valid = None
    _tell(ctx, table, frames, valid, drift)
    rows, correction = _by_frame(frames, valid, drift)
    columns: dict[str, npt.ArrayLike] = {}
    deep = "z" in table
    for axis, name in enumerate("xyz"):
        old = table[name] if name in table else table["x"]
        kind = old.dtype if old.dtype.kind == "f" else np.dtype(np.float64)
        added = correction[:, axis][rows]
        if valid is not None:
            added = np.where(valid, added, 0.0)
        if name != "z" or deep:
            columns[name] = np.add(old, added, dtype=np.float64).astype(kind, copy=False)
        before = table.get(f"d{name}")
        columns[f"d{name}"] = (added if before is None else before + added).astype(kind, copy=False)
    if not deep and np.any(drift.correction[:, 2]):
        ctx.say("the drift has a z part, but the localizations have no z")
    return table.with_columns(columns)


def _by_frame(
    frames: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_] | None, drift: Drift
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Row of a table of corrections for each localization, and that table: interpolation once a frame, not once a row."""
    usable = frames if valid is None else np.where(valid, frames, drift.frames[0])
    if not len(usable):
        return np.zeros(0, np.int64), np.zeros((0, 3))
    low, high = math.floor(float(usable.min())), math.ceil(float(usable.max()))
    whole = frames.dtype.kind in "iu" or bool(np.array_equal(np.rint(usable), usable))
    if whole and high - low < 4 * len(usable) + 1_000_000:
        rows = np.asarray(usable, dtype=np.int64) - low
        return rows, drift.at(np.arange(low, high + 1))
    moments, rows = np.unique(usable, return_inverse=True)
    return rows.reshape(-1), drift.at(moments)


def _tell(
    ctx: Context, table: Localizations, frames: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_] | None, drift: Drift
) -> None:
    if valid is not None:
        ctx.say(f"{int(np.count_nonzero(~valid)):,} localizations have no frame and were not moved")
    missing = ~table.finite_rows("x", "y", *(("z",) if "z" in table else ()))
    if missing.any():
        ctx.say(f"{int(np.count_nonzero(missing)):,} localizations have NaN coordinates, which stay")
    # Comparisons with NaN are False, so rows without a frame do not count here.
    outside = int(np.count_nonzero((frames < drift.measured[0]) | (frames > drift.measured[1])))
    first, last = drift.measured
    _check_movie(ctx, table, frames, outside, drift)
    if outside:
        ctx.warn(
            f"{outside:,} localizations lie outside the frames {first:g} to {last:g} in which the drift was measured; "
            "they got the value at the nearer end"
        )


def _check_movie(ctx: Context, table: Localizations, frames: npt.NDArray[np.generic], outside: int, drift: Drift) -> None:
    """Whether the drift can be of the movie that the localizations are of."""
    first, last = drift.measured
    known = frames[np.isfinite(frames)] if frames.dtype.kind == "f" else frames
    if not len(known):
        return
    low, high = float(known.min()), float(known.max())
    if outside == len(known):
        raise DataError(
            f"the drift was measured in frames {first:g} to {last:g}, and all localizations lie in {low:g} to {high:g}: "
            "it is the drift of another movie.",
            code="D472",
            hint="Check the drift file, and whether one of the two counts frames from another number.",
        )
    length = table.metadata.get("Picasso.Frames")
    if isinstance(length, (int, float)) and last >= length:
        ctx.warn(f"the movie has {length:g} frames, but the drift was measured up to frame {last:g}: is it of this movie?")
    elif last - first > 2 * (high - low) + 100:
        ctx.say(f"the drift covers frames {first:g} to {last:g}, the localizations only {low:g} to {high:g}")


class Image_Post_Shift(ModuleBase):
    """Moves each image of a series by its drift correction.

    Whole pixels are moved as they are; the remaining fraction by a Fourier transform, for which the image is mirrored at its
    edges so that they do not ring. What comes in at the edges, where nothing is known, is up to `mode`; with `pad` the images grow so
    that nothing leaves them. An image without negative values keeps none: what the transform leaves slightly below 0 becomes 0. The
    planes of a z stack move along z too, where the drift has a z part and the distance of planes is known. A drift that was measured
    in none of the frames of the images is of another movie, and an error.
    """

    version = 2

    input_image = Input(ImageStack, "input", desc="series to correct")
    input_drift_interpolator = Input(Drift, "drift_interpolator", desc="correction to add")
    outputName = Output(ImageStack, "drift_corrected_image", desc="corrected series, float32")

    padding_multipler = Float(
        1.0, low=0.0,
        desc="mirrored border for the transform, as a multiple of 16 pixels; at 0 images are periodic for the transform, and for the "
        "move too where mode is constant",
    )  # fmt: skip
    mode = Choice(
        MODES, "constant",
        desc="what comes in at the edges: 0, the outermost pixel, the mirror image, or what leaves at the other edge",
    )  # fmt: skip
    pad = Bool(False, desc="enlarge the images by the range of the correction, so that nothing leaves them")
    flatten_z = Bool(False, desc="do not move planes along z")
    cache_image = Str("shifted_image.bin", deprecated=True, desc="no longer needed: scratch cleans itself up")

    def run(self, ctx: Context, input_image: ImageStack, input_drift_interpolator: Drift) -> ImageStack:
        n_frames, *shape = input_image.shape
        size = np.array(input_image.require_pixel_size())
        _check_images(ctx, input_image, input_drift_interpolator)
        correction = self._usable(ctx, input_image, input_drift_interpolator.at(input_image.frame_numbers))
        pixels = (correction / np.where(size > 0, size, np.inf))[:, ::-1]
        room = [(0, 0)] * 3
        if self.pad and n_frames:
            low, high = np.minimum(pixels.min(axis=0), 0), np.maximum(pixels.max(axis=0), 0)
            room = [(math.ceil(-first), math.ceil(last)) for first, last in zip(low, high, strict=True)]
        grown = tuple(n + sum(more) for n, more in zip(shape, room, strict=True))
        result = ctx.scratch.array((n_frames, *grown), np.float32)
        border = math.ceil(MIRRORED * self.padding_multipler)
        mode = "wrap" if self.mode == "constant" and not border else self.mode

        def correct(frame: int) -> None:
            planes = input_image.frames(frame, frame + 1)[0]
            source = np.nan_to_num(planes.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
            moved = shift_volume(source, [float(value) for value in pixels[frame]], border, mode, room)
            if source.min() >= 0:
                np.maximum(moved, 0.0, out=result[frame])
            else:
                result[frame] = moved

        for done, _ in enumerate(ctx.map(correct, range(n_frames)), 1):
            ctx.progress(done, n_frames)
        return ImageStack(result, time=input_image.time, metadata=_grown_metadata(input_image, size, room))

    def _usable(self, ctx: Context, stack: ImageStack, correction: Floats) -> Floats:
        """The correction without a z part that cannot be undone, or shall not."""
        if not np.any(correction[:, 2]):
            return correction
        if self.flatten_z:
            reason = "flatten_z is set"
        elif stack.shape[1] < 2:
            reason = "the images have one plane"
        elif stack.require_pixel_size()[2] <= 0:
            reason = "the distance of planes is not known (voxelsize.z, in um)"
        else:
            return correction
        ctx.warn(f"the z part of the drift is not undone: {reason}")
        return correction * (1, 1, 0)


def _check_images(ctx: Context, stack: ImageStack, drift: Drift) -> None:
    """Whether the drift can be of the movie that the images are of."""
    numbers = stack.frame_numbers
    first, last = drift.measured
    half = (stack.time.covered - 1) / 2
    outside = int(np.count_nonzero((numbers + half < first) | (numbers - half > last)))
    if outside and outside == len(numbers):
        raise DataError(
            f"the drift was measured in frames {first:g} to {last:g}, and all images lie in {numbers.min():g} to {numbers.max():g}: "
            "it is the drift of another movie.",
            code="D472",
            hint="Check the drift file, and whether one of the two counts frames from another number.",
        )
    if outside:
        ctx.warn(
            f"{outside:,} of {len(numbers):,} images lie outside the frames {first:g} to {last:g} in which the drift was measured; "
            "they got the value at the nearer end"
        )


def _grown_metadata(stack: ImageStack, size: Floats, room: list[tuple[int, int]]) -> dict[str, Any]:
    """Origin and bounds of images that grew by `room` (z, y, x) pixels."""
    metadata = dict(stack.metadata)
    for axis, (before, behind), edge in zip("xyz", room[::-1], size, strict=True):
        if before:
            metadata[f"Origin.{axis}"] = float(metadata.get(f"Origin.{axis}", 0.0)) - before * edge
        for name, more in ((f"ImageBounds.{axis}0", -before), (f"ImageBounds.{axis}1", behind)):
            if name in metadata and more:
                metadata[name] = float(metadata[name]) + more * edge
    return metadata
