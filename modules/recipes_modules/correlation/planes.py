"""How much light the planes of z stacks hold: what a correlation along z is divided by.

Two z stacks that are shifted along z share only some of their planes, so that a plain correlation favours no shift; dividing by the
number of shared planes favours large shifts where the structure lies in the middle of the stack. Dividing by the structure's own power
in the shared planes, as a correlation coefficient does, favours neither.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recipes_modules.correlation.spectra import Spectrum, Transfer

Floats = npt.NDArray[np.float64]

COARSE = 1.5
"""Power is taken after a Gaussian of this standard deviation, pixels, which passes structure rather than noise."""
FINE = 0.4
"""Above this frequency, per pixel, there is noise alone: no optics passes so much."""
LEAST = 0.05
"""Part of its power that a plane keeps at least when that of the noise is subtracted."""


class PlaneEnergy:
    """Power of the structure in each plane of each window.

    Parameters
    ----------
    transfer : Transfer
        Of single planes.
    n : int
        Windows.
    nz : int
        Planes.
    """

    def __init__(self, transfer: Transfer, n: int, nz: int) -> None:
        _, ny, nx = transfer.shape
        frequency = np.hypot(np.fft.fftfreq(ny)[:, np.newaxis], np.fft.rfftfreq(nx))
        gain = transfer.gain[0].astype(np.float64)
        # Each frequency along x also stands for its negative, but for the lowest and the highest.
        twice = np.full(nx // 2 + 1, 2.0)
        twice[[0, -1]] = 1.0
        self._coarse = (np.exp(-((2 * np.pi * COARSE * frequency) ** 2)) * twice).astype(np.float32)
        self._fine = frequency > FINE
        self._noise = float((self._coarse * gain**2).sum()) / float((gain[self._fine] ** 2).sum())
        self._energy = np.zeros((n, nz))

    def measure(self, window: int, planes: Spectrum) -> None:
        """Take the spectra (z, y, x) of a window's planes."""
        for z in range(self._energy.shape[1]):
            power = planes[z].real ** 2 + planes[z].imag ** 2
            total = float(np.vdot(self._coarse, power))
            noise = self._noise * float(power[self._fine].sum(dtype=np.float64))
            self._energy[window, z] = max(total - noise, LEAST * total)

    def gain(self, i: int, j: int, reach: int) -> npt.NDArray[np.float32]:
        """What the correlation of windows `i` and `j` is multiplied by at shifts from -`reach` to `reach` along z."""
        a, b = self._energy[i], self._energy[j]
        nz = len(a)
        whole = np.sqrt(a.sum() * b.sum())
        if whole <= 0:
            return np.ones(2 * reach + 1, np.float32)
        shared = []
        for shift in range(-reach, reach + 1):
            first, last = max(0, shift), min(nz, nz + shift)
            shared.append(np.sqrt(a[first:last].sum() * b[first - shift : last - shift].sum()) / whole)
        return (1 / np.maximum(shared, 0.1)).astype(np.float32)
