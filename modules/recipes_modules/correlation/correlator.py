"""Correlations between the windows of a cloud, on one grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from recipes_core.module import Context
from recipes_modules.correlation.cloud import Cloud
from recipes_modules.correlation.grid import Grid, outer_product, tukey_window
from recipes_modules.correlation.pairs import measure_pairs
from recipes_modules.correlation.spectra import Image, Spectrum, Transfer, correlation, waves

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Maps = npt.NDArray[np.float32]

Result = TypeVar("Result")

FEW = 10
"""Up to this reach, pixels, shifts are summed one by one."""
LEAST_COINCIDENCE = 0.05
"""A peak is at least this part of what one localization contributes that both windows have at the same place."""


@dataclass
class Correlator:
    """Correlates the windows of a cloud on one grid.

    Parameters
    ----------
    ctx : Context
    cloud : Cloud
    grid : Grid
    tukey_size : float
        Part of the field that fades out.
    shift : array (m, 3) or (0, 3)
        What is added to the localizations of each moment of the cloud, nm; no rows for none.
    reach : (z, y, x)
        Largest shift that is looked at, pixels.
    """

    ctx: Context
    cloud: Cloud
    grid: Grid
    tukey_size: float
    shift: npt.NDArray[np.float32]
    reach: tuple[int, ...]
    _taper: Image = field(init=False)
    _transfer: Transfer = field(init=False)
    _waves: list[Image] = field(init=False)
    _single: float = field(init=False)

    def __post_init__(self) -> None:
        self._taper = outer_product(tukey_window(self.grid.shape, self.tukey_size))
        self._transfer = Transfer(self.grid.shape)
        self._waves = waves(self.grid.shape, self.reach)
        self._single = float(self._transfer.response((0, 0, 0))[0, 0, 0])

    def _rows(self, start: int, stop: int) -> tuple[Any, ...]:
        cloud, grid = self.cloud, self.grid
        return cloud.positions, cloud.moment, self.shift, start, stop, np.array(grid.origin), grid.pixel

    @property
    def spectrum_shape(self) -> tuple[int, ...]:
        """Shape of the spectrum of a window."""
        return self._transfer.spectrum_shape

    def spectrum(self, start: int, stop: int) -> Spectrum:
        """Spectrum of rows `start` to `stop` of the cloud, rendered with fading edges."""
        from recipes_modules.correlation.rendering import histogram

        image = np.zeros(self.grid.shape, np.float32)
        histogram(*self._rows(start, stop), image)
        image *= self._taper
        return self._transfer.spectrum(image)

    def window_spectrum(self, window: int) -> Spectrum:
        """Spectrum of a window."""
        windows = self.cloud.windows
        return self.spectrum(int(windows.first_row[window]), int(windows.last_row[window]))

    def correlate(self, a: Spectrum, b: Spectrum) -> Maps:
        """Correlation (z, y, x) for shifts up to the reach."""
        from recipes_modules.correlation.local import correlate_near

        # In three dimensions few of the transforms would be of use, and in two they are quick.
        if (self.grid.shape[0] == 1 and max(self.reach) > FEW) or max(self.reach) > 3 * FEW:
            return correlation(a, b, self.grid.shape, self.reach)
        values = np.empty([2 * r + 1 for r in self.reach], np.float32)
        correlate_near(a, b, *self._waves, values)
        return values

    def each_pair(self, pairs: Ints, use: Callable[[int, Maps], Result], progress: tuple[float, float]) -> list[Result]:
        """Call ``use(p, correlation)`` for every pair; the bar goes from one end of `progress` to the other."""
        shared, response = self._shared(pairs), self._transfer.response(self.reach)
        begin, end = progress

        def compare(p: int, a: Spectrum, b: Spectrum) -> Result:
            values = self.correlate(a, b)
            if shared[p]:
                values = values - np.float32(shared[p]) * response
            return use(p, values)

        return measure_pairs(
            self.ctx, len(self.cloud.windows), pairs, self.spectrum_shape, self.window_spectrum, compare,
            lambda done: self.ctx.progress(begin + (end - begin) * done / len(pairs), 1.0),
        )  # fmt: skip

    def _shared(self, pairs: Ints) -> Floats:
        """What each pair's localizations that are in both windows add to the correlation at no shift.

        Overlapping windows share localizations. A localization correlates perfectly with itself, wherever the sample went; this
        would pull the peak towards no shift, and is taken away.
        """
        from recipes_modules.correlation.rendering import squared_weight

        windows, shared = self.cloud.windows, np.zeros(len(pairs))
        for p, (i, j) in enumerate(pairs):
            start, stop = int(windows.first_row[j]), int(windows.last_row[i])
            if stop > start:
                shared[p] = squared_weight(*self._rows(start, stop), self._taper)
        return shared

    def coincide(self, values: Maps) -> bool:
        """Whether any localizations of two windows coincide: where none do, rounding still leaves a highest value."""
        return float(values.max()) - float(values.mean(dtype=np.float64)) >= LEAST_COINCIDENCE * self._single

    def peak(self, values: Maps, kernel: Floats) -> Floats:
        """Shift (x, y, z) in nm to add to the second of two windows; NaN where their correlation has no peak."""
        from recipes_modules.correlation.peak import find_peak

        found = np.full(4, np.nan)
        if self.coincide(values):
            find_peak(np.ascontiguousarray(values), kernel, found)
        return found[2::-1] * self.grid.pixel

    def peaks(self, maps: Maps, kernel: Floats) -> Floats:
        """Shift of each of several correlations, (n, 3) nm."""
        return np.array(list(self.ctx.map(lambda values: self.peak(values, kernel), maps)))
