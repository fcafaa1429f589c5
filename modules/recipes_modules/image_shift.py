"""Move images by any distance: whole pixels as they are, the rest by Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]

MODES = ("constant", "nearest", "reflect", "wrap")
"""What comes in at the edges; scipy.ndimage calls them so too."""


def shift_volume(
    volume: Image, shift: Sequence[float], border: int, mode: str = "constant", room: Sequence[tuple[int, int]] = ((0, 0),) * 3
) -> Image:
    """Move an image (z, y, x).

    Parameters
    ----------
    volume : array (z, y, x)
    shift : (dz, dy, dx)
        Pixels.
    border : int
        Pixels that are mirrored at each edge for the transform; 0 for periodic images.
    mode : {'constant', 'nearest', 'reflect', 'wrap'}
        What comes in at the edges: 0, the last pixel, the mirror image, the other edge.
    room : three of (before, behind)
        Pixels by which the result is larger than the image along z, y and x.

    Returns
    -------
    array (z, y, x)
    """
    whole = [round(value) for value in shift]
    part = [value - step for value, step in zip(shift, whole, strict=True)]
    if mode == "wrap":
        border = 0
    elif mode == "constant" and any(abs(step) > n + sum(more) for step, n, more in zip(whole, volume.shape, room, strict=True)):
        return np.zeros([n + sum(more) for n, more in zip(volume.shape, room, strict=True)], np.float32)
    moved = volume
    if part[0]:
        moved = _shift_depth(moved, part[0], border)
    if part[1] or part[2]:
        moved = np.stack([_shift_plane(plane, part[1], part[2], border) for plane in moved])
    for axis in range(3):
        moved = _move_whole(moved, axis, whole[axis], mode, room[axis])
    return moved


def _move_whole(values: Image, axis: int, step: int, mode: str, room: tuple[int, int]) -> Image:
    n = values.shape[axis]
    if not (step or any(room)):
        return values
    source = np.arange(-room[0], n + room[1]) - step
    if mode == "nearest":
        source = np.clip(source, 0, n - 1)
    elif mode == "reflect":
        source = n - 1 - np.abs(source % (2 * n) - n + 0.5).astype(np.int64)
    elif mode == "wrap":
        source %= n
    inside = (source >= 0) & (source < n)
    if inside.all():
        return np.take(values, source, axis=axis)
    shape = list(values.shape)
    shape[axis] = len(source)
    result = np.zeros(shape, np.float32)
    target: list[Any] = [slice(None)] * 3
    origin: list[Any] = [slice(None)] * 3
    kept = np.flatnonzero(inside)
    if len(kept):
        target[axis] = slice(int(kept[0]), int(kept[-1]) + 1)
        origin[axis] = slice(int(source[kept[0]]), int(source[kept[-1]]) + 1)
        result[tuple(target)] = values[tuple(origin)]
    return result


def _shift_plane(image: Image, dy: float, dx: float, border: int) -> Image:
    """Move an image (y, x) by fractions of a pixel."""
    if not border:
        return shift_periodic(image, dy, dx)
    pads = [_mirrored(n, border) for n in image.shape]
    moved = shift_periodic(np.pad(image, pads, mode="symmetric"), dy, dx)
    return moved[tuple(slice(low, low + n) for (low, _), n in zip(pads, image.shape, strict=True))]


def _mirrored(n: int, border: int) -> tuple[int, int]:
    from scipy.fft import next_fast_len

    low = min(border, n)
    return low, next_fast_len(n + 2 * low, real=True) - n - low


def shift_periodic(image: Image, dy: float, dx: float) -> Image:
    """Move an image (y, x) by Fourier transform; what leaves at one edge comes in at the other."""
    from scipy.fft import irfft2, rfft2

    ny, nx = image.shape
    spectrum = rfft2(image, workers=1)
    spectrum *= _phase(np.fft.fftfreq(ny), dy)[:, np.newaxis]
    spectrum *= _phase(np.fft.rfftfreq(nx), dx)
    moved: Image = irfft2(spectrum, s=(ny, nx), overwrite_x=True, workers=1)
    return moved


def _shift_depth(volume: Image, dz: float, border: int) -> Image:
    """Move planes (z, y, x) by a fraction of their distance."""
    from scipy.fft import irfft, rfft

    nz = len(volume)
    low, high = _mirrored(nz, border) if border else (0, 0)
    padded = np.pad(volume, ((low, high), (0, 0), (0, 0)), mode="symmetric") if border else volume
    spectrum = rfft(padded, axis=0, workers=1)
    spectrum *= _phase(np.fft.rfftfreq(len(padded)), dz)[:, np.newaxis, np.newaxis]
    return np.asarray(irfft(spectrum, n=len(padded), axis=0, overwrite_x=True, workers=1)[low : low + nz])


def _phase(frequency: npt.NDArray[Any], shift: float) -> npt.NDArray[np.complex64]:
    phase = np.exp(-2j * np.pi * frequency * shift)
    # The highest frequency of an even size stands for both signs; only the real part moves it without making the image complex.
    phase = np.where(np.abs(frequency) == 0.5, phase.real, phase)
    return np.asarray(phase, dtype=np.complex64)
