"""Shift between two chunks by cross-correlation of their histograms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError
from recipes_modules.registration.chunks import Chunks
from recipes_modules.registration.standard_errors import block_error
from recipes_modules.registration.transform import Transformation

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.float32]

MOST_BINS = 2**27
BORDER = 3
"""Empty bins around the localizations."""
CROP = 6
"""Bins on each side of the highest one through which the peak is interpolated."""
SIGNIFICANT = 6.0
"""A peak counts when it rises by this many standard deviations of the correlation above its median."""
CELL = 4
"""Edge of the columns along which z is compared, in bins."""


@dataclass(frozen=True)
class Settings:
    """How chunks are correlated; lengths in nm.

    Parameters
    ----------
    bin_size, bin_size_z : float
    smoothing : float
        Standard deviation of the Gaussian by which the correlation is smoothed, in bins.
    max_shift : float
    upsampling : int
        The peak is found to one part in so many of a bin; 0 does not round.
    """

    bin_size: float
    bin_size_z: float
    smoothing: float
    max_shift: float
    upsampling: int


class Correlator:
    """Finds the shift of chunks against one target on a common grid."""

    def __init__(self, chunks: Chunks, target: Floats, settings: Settings) -> None:
        from scipy.fft import next_fast_len

        self.settings = settings
        size = settings.bin_size
        flat = chunks.positions[:, :2]
        self.low = flat.min(axis=0) - BORDER * size
        extent = np.ptp(flat, axis=0) + settings.max_shift
        bins = np.ceil(extent / size) + 2 * BORDER
        if bins.prod() > MOST_BINS:
            raise DataError(
                f"the localizations extend over {extent[0] / 1000:,.0f} x {extent[1] / 1000:,.0f} um, which at a bin_size of {size:g} nm "
                f"makes {bins.prod():,.0f} bins; at most {MOST_BINS:,} are possible.",
                code="D414",
                hint="Filter out localizations far away, or set bin_size higher.",
            )  # fmt: skip
        self.shape = tuple(next_fast_len(int(n), real=True) for n in bins)
        self.target = target
        self.deep = chunks.dimensions == 3
        self.target_spectrum = self._spectrum(target) * _gauss(self.shape, settings.smoothing)

    def _spectrum(self, points: Floats) -> npt.NDArray[np.complex64]:
        from scipy.fft import rfft2

        from recipes_modules.registration.kernels import histogram

        counts = histogram(np.ascontiguousarray(points[:, :2]), self.low, self.settings.bin_size, self.shape)
        spectrum: npt.NDArray[np.complex64] = rfft2(counts, workers=1, overwrite_x=True)
        return spectrum

    @cached_property
    def template(self) -> Images:
        """The target, smoothed."""
        from scipy.fft import irfft2

        image: Images = irfft2(self.target_spectrum, s=self.shape, workers=1)
        return image

    def register(self, points: Floats) -> Transformation:
        """Shift (added to the points) at which they agree best with the target."""
        from scipy.fft import irfft2

        from recipes_modules.registration.kernels import gradients

        size = self.settings.bin_size
        spectrum = np.conj(self._spectrum(points))
        spectrum *= self.target_spectrum
        correlation = irfft2(spectrum, s=self.shape, workers=1, overwrite_x=True)
        near = _near_zero(correlation, round(self.settings.max_shift / size))
        shift, curvature, height, inside = find_peak(near, self.settings.upsampling)
        offset, error = np.zeros(len(points[0])), np.zeros(len(points[0]))
        offset[:2] = shift * size
        scores = gradients(self.template, np.ascontiguousarray(points[:, :2]), offset[:2], self.low, size)
        error[:2] = block_error(scores, curvature / size**2)
        facts = {"peak": height}
        found = height >= SIGNIFICANT and inside
        if self.deep:
            offset[2], error[2], facts["peak_z"], inside_z = self._along_z(points, offset)
            found = found and inside_z
        found = found and bool(np.isfinite(error).all())
        return Transformation(np.eye(len(offset)), offset, error, found, facts)

    @cached_property
    def _columns(self) -> Any:
        return _Columns(self.target, self.low, self.settings)

    def _along_z(self, points: Floats, offset: Floats) -> tuple[float, float, float, bool]:
        return self._columns.register(points, offset)  # type: ignore[no-any-return]


class _Columns:
    """The target as histograms along z, one for each column of the field that holds something."""

    def __init__(self, target: Floats, low: Floats, settings: Settings) -> None:
        from scipy.fft import irfft, next_fast_len, rfft

        from recipes_modules.registration.kernels import columns

        self.settings, self.low = settings, low
        self.edge = CELL * settings.bin_size
        self.keys, cell = np.unique(self._key(target[:, :2]), return_inverse=True)
        size, reach = settings.bin_size_z, settings.max_shift
        self.bottom = target[:, 2].min() - reach - BORDER * size
        self.n_z = next_fast_len(int(np.ceil((np.ptp(target[:, 2]) + 2 * reach) / size)) + 2 * BORDER, real=True)
        if self.n_z * len(self.keys) > MOST_BINS:
            raise DataError(
                f"the localizations extend over {np.ptp(target[:, 2]) / 1000:,.1f} um along z, which at a bin_size_z of {size:g} nm "
                "makes too many bins.",
                code="D414",
                hint="Filter out localizations far away, or set bin_size_z higher.",
            )
        self.spectrum = rfft(columns(cell, target[:, 2], self.bottom, size, len(self.keys), self.n_z), axis=1, workers=1)
        frequency = np.fft.rfftfreq(self.n_z)
        self.gauss = np.exp(-2 * (np.pi * settings.smoothing * frequency) ** 2).astype(np.float32)
        self.rows = irfft(self.spectrum * self.gauss, n=self.n_z, axis=1, workers=1)

    def _key(self, flat: Floats) -> npt.NDArray[np.int64]:
        cell = np.floor((flat - self.low) / self.edge).astype(np.int64)
        return cell[:, 0] * 2**31 + cell[:, 1]

    def register(self, points: Floats, offset: Floats) -> tuple[float, float, float, bool]:
        """Shift along z with its error, the height of the peak, and whether it lies inside the range."""
        from scipy.fft import irfft, rfft

        from recipes_modules.registration.kernels import columns, slopes

        size = self.settings.bin_size_z
        key = self._key(points[:, :2] + offset[:2])
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        z = points[:, 2]
        usable = (self.keys[place] == key) & (z >= self.bottom) & (z < self.bottom + (self.n_z - 2) * size)
        cell = np.where(usable, place, -1)
        spectrum = rfft(columns(cell, z, self.bottom, size, len(self.keys), self.n_z), axis=1, workers=1)
        product = np.einsum("ij,ij->j", np.conj(spectrum), self.spectrum, dtype=np.complex128) * self.gauss
        near = _near_zero(irfft(product, n=self.n_z), round(self.settings.max_shift / size))
        shift, curvature, height, inside = find_peak(near, self.settings.upsampling)
        scores = slopes(self.rows, cell, z + shift[0] * size, self.bottom, size)
        return float(shift[0] * size), float(block_error(scores, curvature / size**2)[0]), height, inside


def _gauss(shape: tuple[int, ...], sigma: float) -> npt.NDArray[np.float32]:
    x, y = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    weight = np.exp(-2 * (np.pi * sigma * x) ** 2)[:, np.newaxis] * np.exp(-2 * (np.pi * sigma * y) ** 2)
    return weight.astype(np.float32)


def _near_zero(correlation: npt.NDArray[Any], reach: int) -> Floats:
    """The part of a periodic correlation for shifts of up to `reach` bins, no shift in the middle."""
    rows = [np.arange(-min(reach, (n - 1) // 2), min(reach, (n - 1) // 2) + 1) for n in correlation.shape]
    return correlation[np.ix_(*rows)].astype(np.float64)


def find_peak(near: Floats, upsampling: int) -> tuple[Floats, Floats, float, bool]:
    """The highest point of a correlation, between bins.

    Parameters
    ----------
    near : array (m,) or (m, n)
        No shift in the middle.
    upsampling : int
        The shift is rounded to one part in so many of a bin; 0 does not round.

    Returns
    -------
    shift : array (d,)
        In bins.
    curvature : array (d, d)
        Minus the second derivative there.
    height : float
        Above the median, in standard deviations (estimated by the median absolute deviation).
    inside : bool
        False where the highest bin is at the edge.
    """
    middle = np.array(near.shape) // 2
    top = np.array(np.unravel_index(near.argmax(), near.shape))
    median = np.median(near)
    spread = 1.4826 * np.median(np.abs(near - median))
    height = float((near[tuple(top)] - median) / spread) if spread > 0 else float(np.inf if near[tuple(top)] > median else 0.0)
    inside = bool(((top > 0) & (top < np.array(near.shape) - 1)).all()) or min(near.shape) < 3
    crop = tuple(slice(max(0, t - CROP), t + CROP + 1) for t in top)
    start = np.array([part.start for part in crop])
    place, curvature = (_top_1d if near.ndim == 1 else _top_2d)(near[crop], (top - start).astype(np.float64))
    shift = start + place - middle
    if upsampling:
        shift = np.round(shift * upsampling) / upsampling
    return shift, curvature, height, inside


def _top_1d(values: Floats, at: Floats) -> tuple[Floats, Floats]:
    from scipy.interpolate import make_interp_spline

    spline = make_interp_spline(np.arange(len(values)), values, k=min(5, (len(values) - 1) // 2 * 2 + 1))
    slope, bend = spline.derivative(1), spline.derivative(2)
    return _climb(lambda p: (np.array([slope(p[0])]), np.array([[bend(p[0])]])), at)


def _top_2d(values: Floats, at: Floats) -> tuple[Floats, Floats]:
    from scipy.interpolate import RectBivariateSpline

    degree = [min(5, n - 1) for n in values.shape]
    spline = RectBivariateSpline(*(np.arange(n) for n in values.shape), values, kx=degree[0], ky=degree[1])

    def derivatives(p: Floats) -> tuple[Floats, Floats]:
        first = [float(spline(*p, dx=a, dy=b)[0, 0]) for a, b in ((1, 0), (0, 1))]
        xx, xy, yy = (float(spline(*p, dx=a, dy=b)[0, 0]) for a, b in ((2, 0), (1, 1), (0, 2)))
        return np.array(first), np.array([[xx, xy], [xy, yy]])

    return _climb(derivatives, at)


def _climb(derivatives: Any, at: Floats) -> tuple[Floats, Floats]:
    """Newton's method towards the maximum, at most one bin from where it starts."""
    start = at
    for _ in range(20):
        slope, bend = derivatives(at)
        if not (np.linalg.eigvalsh(bend) < 0).all():
            return start, -bend
        new = np.clip(at - np.linalg.solve(bend, slope), start - 1, start + 1)
        done = np.abs(new - at).max() < 1e-9
        at = new
        if done:
            break
    return at, -derivatives(at)[1]
