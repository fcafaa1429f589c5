"""Spectra of windows, and the part of their cross-correlation that is searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]

SMOOTHING = 0.5
"""Gaussian by which each window is smoothed before it is correlated: standard deviation in pixels (Wang et al. 2014)."""
LEAST_PERIOD = 20.0
"""Waves shorter than this, pixels, count as structure in any image."""


class Transfer:
    """Forward transform of a window, smoothed, without its mean.

    Parameters
    ----------
    shape : (z, y, x)
        Of the windows; x is even.
    smoothing : float
        Standard deviation of the Gaussian, pixels.
    broad : float
        Waves of fewer than about so many periods along an axis are left out; 0 keeps them.
    """

    def __init__(self, shape: Sequence[int], smoothing: float = SMOOTHING, broad: float = 0.0) -> None:
        self.shape = tuple(shape)
        # x always: the real transform goes along the last of the axes.
        self.axes = tuple(axis for axis, n in enumerate(self.shape) if n > 1 or axis == 2)
        frequencies = [np.fft.fftfreq(n) for n in self.shape[:-1]] + [np.fft.rfftfreq(self.shape[-1])]
        self._gains = [
            np.exp(-2 * (np.pi * smoothing * frequency) ** 2).astype(np.float32) if n > 1 else np.ones(1, np.float32)
            for frequency, n in zip(frequencies, self.shape, strict=True)
        ]
        self._gain = np.ones((1, 1, 1), np.float32)
        for axis, gain in enumerate(self._gains):
            self._gain = self._gain * _along(axis, gain)
        if broad:
            periods = np.zeros((1, 1, 1))
            for axis, (frequency, n) in enumerate(zip(frequencies, self.shape, strict=True)):
                periods = periods + _along(axis, frequency * n / min(broad, n / LEAST_PERIOD)) ** 2
            self._gain = self._gain * (1 - np.exp(-periods / 2)).astype(np.float32)
        # Without the mean the taper of the field would otherwise make a broad hill around no shift.
        self._gain[0, 0, 0] = 0.0

    @property
    def gain(self) -> Image:
        """What spectra are multiplied by."""
        return self._gain

    @property
    def spectrum_shape(self) -> tuple[int, ...]:
        """Shape of a spectrum."""
        return (*self.shape[:-1], self.shape[-1] // 2 + 1)

    def spectrum(self, image: Image) -> Spectrum:
        """Spectrum (z, y, x / 2 + 1) of a window (z, y, x)."""
        from scipy.fft import rfftn

        spectrum: Spectrum = rfftn(image, axes=self.axes, workers=1)
        spectrum *= self._gain
        return spectrum

    def response(self, reach: Sequence[int]) -> Image:
        """Correlation of one voxel of value 1 with itself, for shifts up to `reach`."""
        profiles = []
        for axis, (gain, n) in enumerate(zip(self._gains, self.shape, strict=True)):
            full = gain if axis < 2 or n == 1 else np.concatenate([gain, gain[1 : (n + 1) // 2][::-1]])
            around = np.arange(-reach[axis], reach[axis] + 1)
            profiles.append(np.fft.ifft(full.astype(np.float64) ** 2).real[around].astype(np.float32))
        return profiles[0][:, None, None] * profiles[1][:, None] * profiles[2]


def _along(axis: int, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.reshape([-1 if a == axis else 1 for a in range(3)])


def correlation(a: Spectrum, b: Spectrum, shape: Sequence[int], reach: Sequence[int]) -> Image:
    """Cross-correlation of two windows for shifts up to `reach` along each axis.

    Its value at a shift is high where ``a`` equals ``b`` moved by that shift; no shift is in the middle.

    Parameters
    ----------
    a, b : array
        Spectra from `Transfer.spectrum`.
    shape : (z, y, x)
        Of the windows.
    reach : (z, y, x)
        Largest shift, pixels.

    Returns
    -------
    array (2 * reach + 1)
    """
    from scipy.fft import ifft, irfft

    product = a * np.conj(b)
    for axis in (0, 1):
        if shape[axis] > 1:
            product = ifft(product, axis=axis, overwrite_x=True, workers=1)
        # Only what is kept along one axis is transformed along the next.
        product = _middle(product, axis, reach[axis])
    return _middle(irfft(product, n=shape[2], axis=2, overwrite_x=True, workers=1), 2, reach[2])


def _middle(values: npt.NDArray[np.generic], axis: int, reach: int) -> npt.NDArray[np.generic]:
    n = values.shape[axis]
    if n == 1:
        return values
    low = np.take(values, np.arange(n - reach, n), axis=axis)
    high = np.take(values, np.arange(0, reach + 1), axis=axis)
    return np.concatenate([low, high], axis=axis)


def waves(shape: Sequence[int], reach: Sequence[int]) -> list[Image]:
    """Cosines and sines for `correlate_near`: one array (reach + 1, frequencies, 2) an axis."""
    found = []
    for axis, n in enumerate(shape):
        half = axis == len(shape) - 1
        frequency = np.fft.rfftfreq(n) if half else np.fft.fftfreq(n)
        phase = 2 * np.pi * np.outer(np.arange(reach[axis] + 1), frequency)
        wave = np.stack([np.cos(phase), np.sin(phase)], axis=-1) / n
        if half:
            # Each frequency along x also stands for its negative, but for the lowest and, at even sizes, the highest.
            wave[:, 1 : (n + 1) // 2] *= 2.0
        found.append(wave.astype(np.float32))
    return found
