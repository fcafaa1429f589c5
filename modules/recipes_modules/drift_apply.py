"""Undo a drift: in a table of localizations, or in an image series."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, ImageStack, Localizations
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Float, Input, Output, Str

Floats = npt.NDArray[np.float64]

MIRRORED = 16
"""Pixels that are mirrored at each edge, at least, before a fraction of a pixel is shifted by Fourier transform."""


class Locs_Post_Shift(ModuleBase):
    """Adds the drift correction of its frame to each localization.

    The columns dx, dy and dz hold what was added; where the table has them already (it was corrected before), they hold the total.
    Columns keep their type. Localizations before and after the measured range get the value at its nearer end. Rows whose frame
    is NaN stay as they are, rows with a NaN coordinate keep it.
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
    if outside:
        first, last = drift.measured
        ctx.warn(
            f"{outside:,} localizations lie outside the frames {first:g} to {last:g} in which the drift was measured; "
            "they got the value at the nearer end"
        )


class Image_Post_Shift(ModuleBase):
    """Moves each image of a series by its drift correction.

    Whole pixels are moved as they are; the remaining fraction by a Fourier transform, for which the image is mirrored at its
    edges so that they do not ring. Where nothing is known after the move the result is 0. An image without negative values keeps
    none: what the transform leaves slightly below 0 becomes 0. Every plane of a z stack moves alike; drift along z is not undone.
    """

    version = 1

    input_image = Input(ImageStack, "input", desc="series to correct")
    input_drift_interpolator = Input(Drift, "drift_interpolator", desc="correction to add")
    outputName = Output(ImageStack, "drift_corrected_image", desc="corrected series, float32")

    padding_multipler = Float(
        1.0, low=0.0,
        desc="mirrored border for the transform, as a multiple of 16 pixels; at 0 what leaves at one edge comes in at the other",
    )  # fmt: skip
    cache_image = Str("shifted_image.bin", deprecated=True, desc="no longer needed: scratch cleans itself up")

    def run(self, ctx: Context, input_image: ImageStack, input_drift_interpolator: Drift) -> ImageStack:
        size = np.array(input_image.require_pixel_size()[:2])
        correction = input_drift_interpolator.at(input_image.frame_numbers)
        if np.any(correction[:, 2]):
            ctx.warn("the drift has a z part, which Image_Post_Shift does not undo")
        pixels = correction[:, :2] / size
        result = ctx.scratch.array(input_image.shape, np.float32)
        border = math.ceil(MIRRORED * self.padding_multipler)
        move: Callable[[npt.NDArray[np.float32], float, float], npt.NDArray[np.float32]] = (
            (lambda plane, dy, dx: shift_image(plane, dy, dx, border)) if border else shift_periodic
        )

        def correct(frame: int) -> None:
            planes = input_image.frames(frame, frame + 1)[0]
            for z, plane in enumerate(planes):
                source = np.nan_to_num(plane.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
                moved = move(source, float(pixels[frame, 1]), float(pixels[frame, 0]))
                if source.min() >= 0:
                    np.maximum(moved, 0.0, out=moved)
                result[frame, z] = moved

        for done, _ in enumerate(ctx.map(correct, range(input_image.n_frames)), 1):
            ctx.progress(done, input_image.n_frames)
        return ImageStack(result, time=input_image.time, metadata=input_image.metadata)


def shift_image(image: npt.NDArray[np.float32], dy: float, dx: float, border: int) -> npt.NDArray[np.float32]:
    """Move an image (y, x) by `dy`, `dx` pixels; 0 comes in at the edges.

    Parameters
    ----------
    border : int
        Pixels that are mirrored at each edge for the transform.
    """
    from scipy.fft import next_fast_len

    whole_y, whole_x = round(dy), round(dx)
    ny, nx = image.shape
    if abs(whole_y) >= ny or abs(whole_x) >= nx:
        return np.zeros_like(image)
    part_y, part_x = dy - whole_y, dx - whole_x
    moved = image
    if part_y or part_x:
        pads = []
        for n in (ny, nx):
            low = min(border, n)
            pads.append((low, next_fast_len(n + 2 * low, real=True) - n - low))
        padded = np.pad(image, pads, mode="symmetric")
        moved = shift_periodic(padded, part_y, part_x)[pads[0][0] : pads[0][0] + ny, pads[1][0] : pads[1][0] + nx]
    result = np.zeros_like(image)
    to_y, from_y = _overlap(ny, whole_y)
    to_x, from_x = _overlap(nx, whole_x)
    result[to_y, to_x] = moved[from_y, from_x]
    return result


def shift_periodic(image: npt.NDArray[np.float32], dy: float, dx: float) -> npt.NDArray[np.float32]:
    """Move an image (y, x) by Fourier transform; what leaves at one edge comes in at the other."""
    from scipy.fft import irfft2, rfft2

    ny, nx = image.shape
    spectrum = rfft2(image, workers=1)
    spectrum *= _phase(np.fft.fftfreq(ny), dy)[:, np.newaxis]
    spectrum *= _phase(np.fft.rfftfreq(nx), dx)
    moved: npt.NDArray[np.float32] = irfft2(spectrum, s=(ny, nx), overwrite_x=True, workers=1)
    return moved


def _phase(frequency: Floats, shift: float) -> npt.NDArray[np.complex64]:
    phase = np.exp(-2j * np.pi * frequency * shift)
    # The highest frequency of an even size stands for both signs; only the real part moves it without making the image complex.
    phase = np.where(np.abs(frequency) == 0.5, phase.real, phase)
    return phase.astype(np.complex64)


def _overlap(n: int, shift: int) -> tuple[slice, slice]:
    return slice(max(0, shift), min(n, n + shift)), slice(max(0, -shift), min(n, n - shift))
