"""Fitting a movie block by block: what a block needs, what is done with it, and how the results are put together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.module.context import Reads
from recipes_core.module.scratch import Scratch
from recipes_modules.localize.camera import Camera, fit_map
from recipes_modules.localize.window import Window

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Fit = Callable[["Spots", Mapping[str, Any]], Mapping[str, Array]]

BLOCK_PIXELS = 2**24
"""A block has about so many pixels: some tenths of a second of work."""
MAPS = ("dark", "variance", "flat")
LIGHT = 2**19
"""Bytes of maps that travel with each block."""
ALIGN = 64
"""Blocks begin at multiples of this frame number, so that nothing depends on where a block begins."""


@dataclass(frozen=True)
class Spots:
    """What is fitted at a time: some frames, and where in them spots were found.

    Attributes
    ----------
    frames : array (t, y, x), float32
        Photoelectrons; NaN where a pixel holds no number.
    backgrounds : array (t, y, x) or (0, y, x), float32
        Known background, photoelectrons; none where the fit shall find it all.
    variance : array (1, y, x), float32
        Variance of the read noise, photoelectrons^2.
    index : array (n,)
        Frame of each spot, as an index into `frames`.
    rows, columns : array (n,), float32
        Places in pixels.
    half : int
        A region has ``2 half + 1`` pixels a side; at the border it is moved inwards.
    sigma : float
        Width of the PSF to start from, pixels.
    camera : Camera
    behind : array (t, y, x), float32, optional
        Background that the detection took, photoelectrons.
    """

    frames: Floats
    backgrounds: Floats
    variance: Floats
    index: Array
    rows: Floats
    columns: Floats
    half: int
    sigma: float
    camera: Camera
    behind: Floats | None = None

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def pixels(self) -> tuple[Array, Array]:
        """Row and column of the pixel at each place."""
        height, width = self.frames.shape[1:]
        rows = np.clip(np.rint(self.rows), 0, height - 1).astype(np.int64)
        return rows, np.clip(np.rint(self.columns), 0, width - 1).astype(np.int64)

    @cached_property
    def corners(self) -> tuple[Array, Array]:
        """First row and column of each region."""
        side = 2 * self.half + 1
        height, width = self.frames.shape[1:]
        rows, columns = self.pixels
        return (
            np.clip(rows - self.half, 0, max(height - side, 0)),
            np.clip(columns - self.half, 0, max(width - side, 0)),
        )

    def cut(self, images: Floats | None = None) -> Floats:
        """The regions, (n, k, k): of the frames without their known background, or of other images of that shape.

        A single image (1, y, x) serves all frames.
        """
        span = np.arange(2 * self.half + 1)
        tops, lefts = self.corners
        y, x = (tops[:, None] + span)[:, :, None], (lefts[:, None] + span)[:, None, :]
        t = self.index[:, None, None]
        if images is not None:
            return np.asarray(images[t if len(images) > 1 else 0, y, x])
        regions = np.asarray(self.frames[t, y, x])
        return regions - self.backgrounds[t, y, x] if len(self.backgrounds) else regions

    def known_background(self) -> Floats:
        """Mean of the known background over each region, photoelectrons; 0 where there is none."""
        if not len(self.backgrounds):
            return np.zeros(len(self), np.float32)
        return self.cut(self.backgrounds).mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


@dataclass(frozen=True)
class Job:
    """All that a block of a movie needs; it travels to other processes.

    Attributes
    ----------
    stack : ImageStack
    camera : Camera
    window : Window
    detection : Detection
    fit : callable
        Gets `Spots` and `settings`, returns columns.
    half : int
        See `Spots`.
    sigma : float
        Pixels.
    subtract : bool
        Whether the fit takes the background as known.
    percentile : float
        Of the window's frames; 0 for their mean.
    settings : mapping
        Further settings of the fit.
    maps : mapping
        ``dark``, ``variance`` and ``flat``: the files behind the camera's maps, read again where these are too large to travel.
    beads : Beads, optional
        How fiducials are tracked.
    """

    stack: ImageStack
    camera: Camera
    window: Window
    detection: Any
    fit: Fit
    half: int
    sigma: float
    subtract: bool = False
    percentile: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    maps: Mapping[str, ImageStack] = field(default_factory=dict)
    beads: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x) of a frame."""
        return self.stack.shape[2], self.stack.shape[3]

    @cached_property
    def scanner(self) -> Any:
        """Goes through the frames."""
        from recipes_modules.localize.scan import Scanner

        return Scanner(self.stack, self.camera, self.window, self.detection, self.percentile)

    def __reduce__(self) -> tuple[Any, ...]:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        camera = self.camera
        held = [getattr(camera, name) for name in MAPS]
        heavy = sum(values.nbytes for values in held if values is not None) > LIGHT
        if heavy and set(self.maps) == {name for name, values in zip(MAPS, held, strict=True) if values is not None}:
            values["camera"] = replace(camera, **dict.fromkeys(MAPS))
            return _with_maps, (values,)
        return _job, (values,)


def _job(values: dict[str, Any]) -> Job:
    return Job(**values)


def _with_maps(values: dict[str, Any]) -> Job:
    job = Job(**values)
    maps = {
        name: fit_map(
            stack.asarray().reshape(-1, *stack.shape[2:]).mean(axis=0, dtype=np.float64), job.shape, job.camera.origin, name
        )
        for name, stack in job.maps.items()
    }
    return replace(job, camera=replace(job.camera, **maps))


def block_length(shape: tuple[int, int, int, int], window: int, pixels: int = BLOCK_PIXELS) -> int:
    """Frames in a block of about so many pixels: fixed by the size of a frame and the background's window alone."""
    n = max(pixels // max(1, shape[2] * shape[3]), 2 * window)
    return max(1, -(-n // ALIGN)) * ALIGN


def spans(start: int, stop: int, length: int) -> Iterator[tuple[int, int]]:
    """First frame and end of each block; blocks begin at multiples of their length."""
    first = start
    while first < stop:
        end = min((first // length + 1) * length, stop)
        yield first, end
        first = end


def localize_block(job: Job, span: tuple[int, int]) -> dict[str, Array]:
    """Find and fit the spots of some frames.

    Returns
    -------
    dict
        Columns of the fit, with ``frame`` and ``detection`` (height in units of noise); ``:notes`` counts the spots, and the frames
        that are saturated, empty, or hold pixels without a number; with beads their columns as ``bead:NAME``.
    """
    from recipes_modules.localize.beads import find, track
    from recipes_modules.localize.compiling import wait_for_fit

    parts: list[Mapping[str, Array]] = []
    tracked: list[Mapping[str, Array]] = []
    notes = np.zeros(4, np.int64)
    none = np.empty((0, *job.scanner.shape), np.float32)
    variance = job.scanner.variance[None]
    reach = job.window.reach(*span)[0]
    stretches = find(job.stack, span, reach, variance, job.camera, job.beads) if job.beads is not None else ()
    for chunk in job.scanner.chunks(*span):
        if chunk.bad is not None:
            chunk.frames[chunk.bad] = np.nan
            notes[3] += int(np.count_nonzero(chunk.bad.any(axis=(1, 2))))
        notes[:3] += len(chunk.index), chunk.saturated, chunk.empty
        spots = Spots(
            chunk.frames, chunk.backgrounds if job.subtract else none, variance, chunk.index, chunk.rows, chunk.columns,
            job.half, job.sigma, job.camera, chunk.backgrounds,
        )  # fmt: skip
        wait_for_fit()
        found = dict(job.fit(spots, job.settings))
        # A fit that finds more or fewer emitters than there are spots says in which frame each is, and how it stands out of the noise.
        frame = (found.pop("index", chunk.index) + chunk.first).astype(np.int32)
        parts.append({"frame": frame, "detection": chunk.scores, **found})
        if job.beads is not None:
            tracked.append(track(chunk, stretches, variance, job.camera, job.beads))
    made = {name: _one_nan(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    if tracked:
        made |= {f"bead:{name}": np.concatenate([part[name] for part in tracked]) for name in tracked[0]}
    return made | {":notes": notes}


def _one_nan(values: Array) -> Array:
    """Of the many ways to write NaN, one."""
    if values.dtype.kind == "f":
        values[np.isnan(values)] = np.nan
    return values


def reads_of(job: Job, fit: str, span: tuple[int, int]) -> Reads:
    """All that `localize_block` follows from: the frames that it reads, and everything else as text."""
    first, stop = job.window.reach(*span)
    values = {item.name: getattr(job, item.name) for item in fields(job) if item.name not in ("stack", "maps")}
    # Of the length of the movie only what is read for the background counts, and that is among the frames.
    values["window"] = replace(job.window, n_frames=stop)
    return Reads(f"{fit} {span} {_as_text(values)}", job.stack, first, stop)


def _as_text(value: Any) -> str:
    """The same text for values that mean the same, whatever process they live in."""
    if isinstance(value, np.ndarray):
        return f"array {value.dtype.str} {value.shape} {hashlib.blake2b(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_as_text(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_as_text, value)) + "]"
    if is_dataclass(value):
        return _as_text({item.name: getattr(value, item.name) for item in fields(value)} | {"": type(value).__qualname__})
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


class Gathered:
    """Rows of many blocks; what is much goes to scratch files.

    Parameters
    ----------
    scratch : Scratch
    in_memory : int
        Bytes that are held in memory.
    """

    def __init__(self, scratch: Scratch, in_memory: int = 48 * 2**20) -> None:
        self._scratch = scratch
        self._most = in_memory
        self._parts: list[Mapping[str, Array]] = []
        self._stored: list[Mapping[str, Array]] = []
        self._held = 0

    def add(self, columns: Mapping[str, Array]) -> None:
        """Add the rows of the next block."""
        self._parts.append(columns)
        self._held += sum(values.nbytes for values in columns.values())
        if self._held > self._most:
            self._stored.append(self._joined(self._parts))
            self._parts, self._held = [], 0

    def columns(self) -> dict[str, Array]:
        """All rows, column by column."""
        return self._joined([*self._stored, *self._parts])

    def _joined(self, parts: list[Mapping[str, Array]]) -> dict[str, Array]:
        joined: dict[str, Array] = {}
        for name in parts[0] if parts else ():
            n = sum(len(part[name]) for part in parts)
            column = self._scratch.array((n,), parts[0][name].dtype)
            at = 0
            for part in parts:
                column[at : at + len(part[name])] = part[name]
                at += len(part[name])
            joined[name] = column
        return joined
