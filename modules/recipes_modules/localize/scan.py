"""Through a movie in chunks: counts to photoelectrons, background, spots. Importing this file imports numba: do it on use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_modules.localize.background import (
    RENEW,
    advance_sorted,
    advance_sum,
    background_part,
    neighbourhood,
    percentile_of,
    renew_caps,
)
from recipes_modules.localize.camera import Camera
from recipes_modules.localize.detection import Detection, spots_of, workspace
from recipes_modules.localize.window import Window

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

CLIP = 3.0
"""A count farther from the mean than this many times its noise is no background: the matched detection's mean leaves it out."""
CHUNK_PIXELS = 2**20
"""Frames are read in chunks of about so many pixels: they and their backgrounds stay in the processor's cache."""


@dataclass
class Chunk:
    """Some frames in photoelectrons, and the spots in them.

    Attributes
    ----------
    first : int
        Number of the first frame in the movie.
    frames, backgrounds : array (n, y, x), float32
        Photoelectrons; valid until the next chunk is asked for.
    index : array (m,)
        Frame of each spot, counted from `first`.
    rows, columns, scores : array (m,), float32
        Places in pixels, and heights in units of noise.
    bad : array (n, y, x) of bool, optional
        Pixels that hold no number, where there are any; the dark level stands in their place.
    saturated, empty : int
        Frames with pixels at the highest count that the type holds; frames of zeros only.
    """

    first: int
    frames: Floats
    backgrounds: Floats
    index: Ints
    rows: Floats
    columns: Floats
    scores: Floats
    bad: npt.NDArray[np.bool_] | None = None
    saturated: int = 0
    empty: int = 0


@dataclass(frozen=True)
class Scanner:
    """Goes through a movie in chunks.

    Attributes
    ----------
    stack : ImageStack
    camera : Camera
    window : Window
    percentile : float
        Part of the window's values that lie below the background; 0 for their mean.
    detection : Detection
    """

    stack: ImageStack
    camera: Camera
    window: Window
    detection: Detection
    percentile: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x) of a frame."""
        return self.stack.shape[2], self.stack.shape[3]

    @cached_property
    def variance(self) -> Floats:
        """Variance of the read noise, (y, x)."""
        return self.camera.variance_map(self.shape)

    def chunks(self, start: int, stop: int) -> Iterator[Chunk]:
        """Frames from `start` to `stop`."""
        step = max(1, CHUNK_PIXELS // max(1, self.shape[0] * self.shape[1]))
        state = _State(self, start, stop, step)
        for first in range(start, stop, step):
            yield state.chunk(first, min(first + step, stop))


class _State:
    """Buffers of one pass."""

    def __init__(self, scanner: Scanner, start: int, stop: int, step: int) -> None:
        self.scanner = scanner
        self.first = start
        shape = scanner.shape
        window, camera, detection = scanner.window, scanner.camera, scanner.detection
        self.filled = window.reach(start, stop)[0]
        self.ring = np.empty((self._room(start, stop, step), *shape), np.float32)
        self.full = np.zeros(len(self.ring), np.bool_)
        self.bad: dict[int, npt.NDArray[np.bool_]] = {}
        self.level = np.ascontiguousarray(np.broadcast_to(camera.level, shape), np.float32)
        self.scale = np.ascontiguousarray(np.broadcast_to(camera.scale, shape), np.float32)
        kind = scanner.stack.dtype
        # Sums of whole numbers are exact in float32 below 2**24.
        exact = kind.kind in "iu" and np.iinfo(kind).max * (len(window) + 1) < 2**24
        self.clip = CLIP if detection.matched else 0.0
        self.renew = not exact or self.clip > 0
        self.sums = np.zeros(shape, np.float32 if exact or self.clip else np.float64)
        deep = len(window) + 2 if scanner.percentile and len(window) else 1
        self.ordered = np.empty((*shape, deep) if deep > 1 else (1, 1, 1), np.float32)
        self.caps = np.empty((2, *shape) if self.clip and not scanner.percentile else (0, 1, 1), np.float32)
        self.held = np.full(2, -1, np.int64)
        self.work = workspace(shape, detection)
        self.electrons = np.empty((step, *shape), np.float32)
        self.backgrounds = np.empty((step, *shape), np.float32)

    def _room(self, start: int, stop: int, step: int) -> int:
        """Frames that must be held at a time."""
        low, high, _ = self.scanner.window.bounds(np.arange(start, stop))
        most = step
        for k in range(0, stop - start, step):
            end = max(int(high[k : k + step].max()), min(start + k + step, stop))
            begin = min(int(low[max(k - 1, 0)]), start + k)
            most = max(most, end - begin)
        return most + 1

    def _read(self, stop: int) -> None:
        """Fill the ring up to `stop`."""
        scanner = self.scanner
        kind = scanner.stack.dtype
        top = np.iinfo(kind).max if kind.kind in "iu" else None
        while self.filled < stop:
            end = min(stop, self.filled + len(self.electrons))
            frames = scanner.stack.frames(self.filled, end)[:, 0]
            for frame in frames:
                place = self.filled % len(self.ring)
                slot = self.ring[place]
                slot[...] = frame
                self.bad.pop(self.filled - len(self.ring), None)
                if top is None:
                    self._mend(slot)
                else:
                    self.full[place] = frame.max() == top
                self.filled += 1

    def _mend(self, slot: Floats) -> None:
        bad = ~np.isfinite(slot)
        if bad.any():
            slot[bad] = self.level[bad]
            self.bad[self.filled] = bad

    def chunk(self, first: int, stop: int) -> Chunk:
        """The frames from `first` to `stop`."""
        scanner = self.scanner
        self.first = first
        low, high, own = scanner.window.bounds(np.arange(first, stop))
        self._read(max(stop, int(high.max())))
        saturated = int(np.count_nonzero(self.full[np.arange(first, stop) % len(self.full)]))
        found, index, empty = [], [], 0
        for k in range(stop - first):
            frame, data, behind = first + k, self.electrons[k], self.backgrounds[k]
            size = int(high[k] - low[k] - own[k])
            filled = _convert(self.ring[frame % len(self.ring)], self.level, self.scale, data)
            self._background(frame, int(low[k]), int(high[k]), bool(own[k]), size)
            if not filled:
                empty += 1
                continue
            # The mean of few frames has noise of its own.
            doubt = 1 + 1 / size if size > 0 else 1.0
            spots = spots_of(data, behind, scanner.variance, doubt, scanner.detection, self.work)
            found.append(spots)
            index.append(np.full(len(spots), k))
        places = np.concatenate([*found, np.empty((0, 3), np.float32)])
        bad = None
        if any(frame in self.bad for frame in range(first, stop)):
            none = np.zeros(scanner.shape, np.bool_)
            bad = np.stack([self.bad.get(frame, none) for frame in range(first, stop)])
        n = stop - first
        return Chunk(
            first, self.electrons[:n], self.backgrounds[:n], np.concatenate([*index, np.empty(0, np.int64)]),
            places[:, 0], places[:, 1], places[:, 2], bad, saturated, empty,
        )  # fmt: skip

    def _background(self, frame: int, low: int, high: int, own: bool, size: int) -> None:
        """Background of a frame, photoelectrons, from the frames `low` to `high`."""
        scanner = self.scanner
        data, behind = self.electrons[frame - self.first], self.backgrounds[frame - self.first]
        if size <= 0 and scanner.detection.matched:
            neighbourhood(data, behind)
        elif size <= 0:
            behind[:] = 0
        elif scanner.percentile > 0:
            advance_sorted(self.ring, self.ordered, self.held, low, high)
            percentile_of(self.ordered, high - low, scanner.percentile, behind)
            _convert(behind, self.level, self.scale, behind)
        else:
            if self.renew and (frame % RENEW == 0 or self.held[0] < 0):
                self.held[:] = -1
                if self.clip:
                    shot = np.float32(scanner.camera.noise_factor**2)
                    renew_caps(
                        self.ring, low, high, self.level, self.scale, scanner.variance, shot, np.float32(self.clip), self.sums, self.held,
                        self.caps,
                    )  # fmt: skip
            advance_sum(self.ring, self.caps, self.sums, self.held, low, high)
            share = self.sums.dtype.type(1) / self.sums.dtype.type(size)
            _mean(self.sums, self.ring[frame % len(self.ring)], self.caps, own, share, self.level, self.scale, behind)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _convert(counts: Any, level: Any, scale: Any, result: Any) -> bool:
    """Photoelectrons of one frame; whether the frame holds anything but zeros."""
    filled = False
    for y in range(counts.shape[0]):
        row, dark, gain, out = counts[y], level[y], scale[y], result[y]
        for x in range(out.shape[0]):
            out[x] = (row[x] - dark[x]) * gain[x]
        if not filled:
            for x in range(out.shape[0]):
                filled |= row[x] != 0
    return filled


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mean(sums: Any, own: Any, caps: Any, leave_out: bool, share: Any, level: Any, scale: Any, result: Any) -> None:
    for y in range(sums.shape[0]):
        row, dark, gain, out = sums[y], level[y], scale[y], result[y]
        if leave_out:
            counts = own[y]
            clips = caps.shape[0] > 0
            for x in range(out.shape[0]):
                count = background_part(counts[x], caps[0, y, x], caps[1, y, x]) if clips else counts[x]
                out[x] = ((row[x] - count) * share - dark[x]) * gain[x]
        else:
            for x in range(out.shape[0]):
                out[x] = (row[x] * share - dark[x]) * gain[x]
