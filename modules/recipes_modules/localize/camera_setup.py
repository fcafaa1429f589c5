"""The camera of a movie as a module's parameters and the movie itself tell it, with what is doubtful said."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.data.cameras import PRESET_KEY, camera_preset
from recipes_core.errors import DataError, UsageError
from recipes_core.module import Context
from recipes_modules.localize.camera import KEYS, Camera

LOOKED_AT = 16
"""Frames, spread over the movie, that are compared with the offset."""
MOST_BELOW = 0.05
"""Part of the pixels that may lie clearly below the offset before that is told."""
DARK_LIMIT = 5
"""The median of dark frames may lie this many read noises (and one count) above the offset that the metadata give."""
MOST_DARK = 200
"""Dark frames that are looked at."""
MAP_KEYS = {"dark": "Camera.DarkMapID", "variance": "Camera.VarianceMapID", "flat": "Camera.FlatfieldMapID"}
"""PYME's keys for the files of maps."""
_NONE = ("", "<none>", "none")


def camera_of(
    ctx: Context,
    movie: ImageStack,
    *,
    dark_map: str = "",
    variance_map: str = "",
    flatfield_map: str = "",
    estimate_offset: bool = False,
    dark_frames: tuple[int, int] | None = None,
) -> Camera:
    """The camera of a movie, in one line to the user, with warnings where the movie speaks against it.

    Parameters
    ----------
    dark_map, variance_map, flatfield_map : str
        Names of files, as file parameters give them; empty for none.
    estimate_offset : bool
        Take the offset from dark frames of the movie instead of ``Camera.ADOffset``.
    dark_frames : (first, last), optional
        Frames without light, the last one not included; ``Protocol.DarkFrameRange`` of the metadata where not given.

    Raises
    ------
    DataError
        D510 to D513.
    """
    maps = {
        name: open_map(ctx, path, name)
        for name, path in (("dark", dark_map), ("variance", variance_map), ("flat", flatfield_map))
    }
    offset = dark_level(ctx, movie, dark_frames) if estimate_offset and maps["dark"] is None else None
    shape = (movie.shape[2], movie.shape[3])
    camera = Camera.from_metadata(movie.metadata, shape=shape, offset=offset, **maps)
    ctx.say(f"camera: {camera}")
    tell_preset(ctx, movie)
    for name, key in MAP_KEYS.items():
        file = movie.metadata.get(key)
        if isinstance(file, str) and file.casefold() not in _NONE and maps[name] is None:
            parameter = "flatfield_map" if name == "flat" else f"{name}_map"
            ctx.warn(f"the metadata name a map in {key}: '{file}'; it is not used unless {parameter} names its file")
    check_level(ctx, movie, camera)
    return camera


def open_map(ctx: Context, path: str, name: str) -> npt.NDArray[np.float32] | None:
    """A map from a file; several dark frames are averaged.

    Raises
    ------
    DataError
        D512 where a file that should hold one image holds several.
    """
    if not path:
        return None
    stack: ImageStack = ctx.open(path, kind=ImageStack)
    planes = stack.asarray().reshape(-1, *stack.shape[2:])
    if len(planes) == 1:
        return np.asarray(planes[0], np.float32)
    if name != "dark":
        raise DataError(
            f"the {name} map's file holds {len(planes)} images; a map is one.",
            code="D512",
            hint="Name the file of the map itself.",
        )
    ctx.say(f"dark map: the mean of {len(planes)} images")
    return np.asarray(planes.mean(axis=0, dtype=np.float64), np.float32)


def dark_level(ctx: Context, movie: ImageStack, frames: tuple[int, int] | None = None) -> float:
    """Offset in ADU from dark frames: their median, refined to a part of a count; one line says so.

    Raises
    ------
    DataError
        D513 where no frames are named, or they are not in the movie.
    """
    named = dark_range(movie, frames)
    if named is None:
        raise DataError(
            "the offset is to be estimated from dark frames, and none are named.", code="D513",
            hint="Name them with the parameter dark_frames: [first, last], or give Camera.ADOffset.",
        )  # fmt: skip
    first, last = named
    if not 0 <= first < last <= movie.n_frames:
        raise DataError(
            f"dark frames {first} to {last} are not in the movie of {movie.n_frames} frames.", code="D513",
            hint="Name the first one and the one behind the last, from 0.",
        )  # fmt: skip
    chosen = np.unique(np.linspace(first, last - 1, min(last - first, MOST_DARK)).round().astype(int))
    dark = np.concatenate([movie.frames(k, k + 1) for k in chosen])
    # Whole counts make the median coarse: the mean of what lies near it is not, and leaves hot pixels out.
    median = float(np.median(dark))
    spread = 1.4826 * float(np.median(np.abs(dark - median))) + 1
    offset = float(np.mean(dark[np.abs(dark - median) <= 4 * spread], dtype=np.float64))
    ctx.say(f"offset: estimated as {offset:.2f} ADU from {len(chosen)} dark frames ({first} to {last - 1})")
    _doubt_dark(ctx, movie, dark, offset, last)
    return offset


def dark_range(movie: ImageStack, frames: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """First frame without light and the one behind the last: those given, or those that the metadata name.

    Raises
    ------
    DataError
        D513 where what the metadata say is no range of frames.
    """
    value = frames if frames is not None else movie.metadata.get("Protocol.DarkFrameRange")
    if value is None:
        return None
    if isinstance(value, (list, tuple, np.ndarray)) and len(value) == 2:
        try:
            return int(value[0]), int(value[1])
        except (TypeError, ValueError):
            pass
    raise DataError(
        f"Protocol.DarkFrameRange is {value!r}, not two frames.", code="D513", hint="Give [first, last], the last not included."
    )


def _doubt_dark(ctx: Context, movie: ImageStack, dark: npt.NDArray[np.generic], offset: float, behind: int) -> None:
    """Warn where frames that should be dark look like the others, change with time, or show spots."""
    told = movie.metadata.get(KEYS["offset"])
    noise = _noise_in_counts(movie)
    if told is not None and noise is not None and abs(offset - float(told)) > DARK_LIMIT * noise + 1:
        ctx.warn(f"the dark frames are not dark, or Camera.ADOffset is wrong: {offset:.1f} ADU against {float(told):g} ADU")
        return
    # Shot noise shows light that an even offset hides.
    steps = np.diff(dark.astype(np.float32), axis=0) if len(dark) > 1 else None
    if steps is not None and noise is not None:
        measured = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2)
        if measured > 2 * np.hypot(noise, 0.6):
            ctx.warn(
                f"the dark frames are not dark: their noise is {measured:.1f} ADU, where the read noise accounts for {noise:.1f} ADU"
            )
            return
    if behind < movie.n_frames:
        later = float(np.median(movie.frames(*_at(behind, movie.n_frames))))
        if later <= offset:
            ctx.warn(f"the dark frames are not darker than the movie: {offset:.1f} ADU against {later:.1f} ADU afterwards")


def _at(behind: int, n: int) -> tuple[int, int]:
    middle = (behind + n) // 2
    return middle, middle + 1


def _noise_in_counts(movie: ImageStack) -> float | None:
    values = [movie.metadata.get(KEYS[name]) for name in ("read_noise", "electrons_per_count")]
    if any(value is None for value in values) or float(values[1]) <= 0:  # type: ignore[arg-type]
        return None
    return float(values[0]) / float(values[1])  # type: ignore[arg-type]


def check_level(ctx: Context, movie: ImageStack, camera: Camera) -> None:
    """Warn where much of the movie lies below the offset: no light can explain that."""
    shape = (movie.shape[2], movie.shape[3])
    noise = np.sqrt(camera.variance_map(shape)) * camera.counts_per_electron
    floor = camera.level - 3 * noise - 1
    below, total = 0, 0
    for frame in np.unique(np.linspace(0, movie.n_frames - 1, min(movie.n_frames, LOOKED_AT)).round().astype(int)):
        pixels = movie.frames(int(frame), int(frame) + 1)
        below += int(np.count_nonzero(pixels < floor))
        total += pixels.size
    if total and below > MOST_BELOW * total:
        ctx.warn(
            f"{100 * below / total:.0f}% of the movie lies below the offset ({float(np.mean(camera.level)):.6g} ADU) by more than "
            "the read noise: check Camera.ADOffset and the dark map"
        )


def tell_preset(ctx: Context, movie: ImageStack) -> None:
    """One line where values come from a preset and not from the camera itself."""
    name = movie.metadata.get(PRESET_KEY)
    if name is None:
        return
    try:
        preset = camera_preset(name)
    except UsageError:
        return
    own = preset.metadata()
    typical = [key for key, value in own.items() if movie.metadata.get(key, value) == value]
    if typical:
        kind = "typical values, which no data sheet confirms," if preset.doubt else "typical values of a data sheet"
        ctx.say(
            f"camera '{preset.name}' ({preset.readout}): {kind} for {', '.join(typical)}"
            + (f" ({preset.doubt})" if preset.doubt else "")
            + "; compare them with your camera's own"
        )
