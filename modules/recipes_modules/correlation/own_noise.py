"""Error of a window's position that comes from its own noise: common to all of its pairs, and so not to be seen in their disagreement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recipes_modules.correlation.spectra import Spectrum

Floats = npt.NDArray[np.float64]


class OwnNoise:
    """Standard errors from the spectra of two windows that show the same.

    What both have in common is structure, what differs is noise. Noise ``n`` of one window moves the peak of ``|structure|^2`` by
    the slope of its correlation with the structure over the curvature of the peak.

    Parameters
    ----------
    shape : (z, y, x)
        Of the windows; x is even.
    gain : array (1, y, x / 2 + 1)
        What the spectra were multiplied by.
    kernel : array (3,)
        Gaussian under which the peak is looked for, standard deviation in z, y, x, pixels.
    """

    def __init__(self, shape: Sequence[int], gain: npt.NDArray[np.float32], kernel: Floats) -> None:
        frequencies = [np.fft.fftfreq(n) if axis < 2 else np.fft.rfftfreq(n) for axis, n in enumerate(shape)]
        self._frequencies = [
            f.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)]) for axis, f in enumerate(frequencies)
        ]
        exponent = sum((f * width) ** 2 for f, width in zip(self._frequencies, kernel, strict=True))
        self._smooth = np.exp(-2 * np.pi**2 * np.asarray(exponent)).astype(np.float32)
        twice = np.full(shape[2] // 2 + 1, 2.0, np.float32)
        twice[[0, -1]] = 1.0
        # Noise is white before the transfer; its power is measured where the peak's filter passes it.
        self._weight = self._smooth**2 * twice
        self._passed = float((self._weight * gain**2).sum(dtype=np.float64))
        self._noise = self._smooth * gain**2 * twice
        self._twice = twice

    def errors(self, a: Spectrum, b: Spectrum, shift: Floats) -> Floats:
        """Standard errors (z, y, x) of one window's position, pixels; NaN along axes without structure.

        Parameters
        ----------
        a, b : array
            Spectra; ``a`` equals ``b`` moved by `shift` (z, y, x), but for noise.
        """
        moved = b.copy()
        for frequency, distance in zip(self._frequencies, shift, strict=True):
            if frequency.size > 1:
                moved *= np.exp(-2j * np.pi * frequency * distance).astype(np.complex64)
        structure = (a.real * moved.real + a.imag * moved.imag) * self._smooth
        moved -= a
        power = float(np.vdot(self._weight, moved.real**2 + moved.imag**2)) / (2 * self._passed)
        found = np.full(3, np.nan)
        for axis, frequency in enumerate(self._frequencies):
            if frequency.size == 1:
                continue
            squared = frequency**2
            curvature = float((squared * structure * self._twice).sum(dtype=np.float64))
            slope = power * float((squared * structure * self._noise).sum(dtype=np.float64))
            if curvature > 0 and slope > 0:
                found[axis] = np.sqrt(slope) / (2 * np.pi * curvature)
        return found
