"""Comparison of each image with all the others together, once their drift is known roughly.

Positions that follow from comparisons of near neighbours wander: their errors add up along a series. A comparison with the mean of all
others has no such memory, and the mean has next to no noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from recipes_core.module import Context
from recipes_modules.correlation.own_noise import OwnNoise
from recipes_modules.correlation.spectra import Spectrum, correlation

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

REACH = 8
"""Largest correction of a position, pixels."""


class Refinement:
    """Positions against the mean of all other windows.

    Parameters
    ----------
    ctx : Context
    spectrum : callable
        Window -> spectrum (1, y, x / 2 + 1).
    shape, reach : (z, y, x)
        Of the windows, and how far peaks are looked for.
    noise : OwnNoise
    kernel : array (3,)
        Gaussian under which peaks are looked for, pixels.
    """

    def __init__(
        self,
        ctx: Context,
        spectrum: Callable[[int], Spectrum],
        shape: tuple[int, ...],
        reach: tuple[int, ...],
        noise: OwnNoise,
        kernel: Floats,
    ) -> None:
        self.ctx = ctx
        self.spectrum = spectrum
        self.shape = shape
        self.reach = tuple(min(r, REACH) for r in reach)
        self.noise = noise
        self.kernel = kernel
        self._y = np.fft.fftfreq(shape[1])[:, np.newaxis]
        self._x = np.fft.rfftfreq(shape[2])

    def positions(self, windows: Ints, rough: Floats, done: Callable[[int], None]) -> tuple[Floats, Floats]:
        """Positions of windows and their standard errors.

        Parameters
        ----------
        windows : array (n,)
        rough : array (n, 2)
            Positions (x, y) so far, pixels.
        done : callable
            Told how many steps of 2 n are done.

        Returns
        -------
        positions (n, 2), errors (n, 2), pixels
            The first position is 0. NaN errors where a window shows nothing that the others show; it keeps its position.
        """
        n = len(windows)
        total = np.zeros((1, self.shape[1], self.shape[2] // 2 + 1), np.complex128)
        for k, moved in enumerate(self.ctx.map(lambda k: self._moved(int(windows[k]), rough[k]), range(n)), 1):
            total += moved
            done(k)

        def compare(k: int) -> Floats:
            moved = self._moved(int(windows[k]), rough[k])
            return self._compare(((total - moved) / (n - 1)).astype(np.complex64), moved)

        found = np.empty((n, 4))
        for k, values in enumerate(self.ctx.map(compare, range(n))):
            found[k] = values
            done(n + k + 1)
        better = np.where(np.isfinite(found[:, :2]).all(axis=1)[:, np.newaxis], rough + found[:, :2], rough)
        return better - better[0], found[:, 2:]

    def _moved(self, window: int, position: Floats) -> Spectrum:
        phase = np.exp(-2j * np.pi * (self._y * position[1] + self._x * position[0])).astype(np.complex64)
        moved: Spectrum = self.spectrum(window) * phase
        return moved

    def _compare(self, others: Spectrum, moved: Spectrum) -> Floats:
        from recipes_modules.correlation.peak import find_peak

        result = np.full(4, np.nan)
        found = np.empty(4)
        if not find_peak(np.ascontiguousarray(correlation(others, moved, self.shape, self.reach)), self.kernel, found):
            return result
        result[:2] = found[2:0:-1]
        # Bleaching makes later images weaker than the mean.
        power = float((others.real**2 + others.imag**2).sum(dtype=np.float64))
        common = float((others.real * moved.real + others.imag * moved.imag).sum(dtype=np.float64))
        if power > 0 and common > 0:
            # Only one of the two has noise, not both.
            result[2:] = np.sqrt(2) * self.noise.errors(others * np.float32(common / power), moved, found[:3])[2:0:-1]
        return result
