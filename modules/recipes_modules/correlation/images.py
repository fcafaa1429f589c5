"""Drift of an image series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules.correlation.grid import LEAST_PIXELS, fast_even_length, search_reach
from recipes_modules.correlation.own_noise import OwnNoise
from recipes_modules.correlation.pairs import measure_pairs
from recipes_modules.correlation.redundant import Solution, choose_pairs, connected_windows, solve_pairs
from recipes_modules.correlation.series import cut_series, mean_image
from recipes_modules.correlation.spectra import Image, Spectrum, Transfer, correlation

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

KERNEL = np.ones(3)
"""Smoothing of a peak, pixels."""
BROAD = 5.0
"""Waves of fewer periods than this along an image are left out: uneven background, and background under a fading edge, stay where
they are while the sample moves, and would pull every shift towards none."""
MOST_PAIRS = 2_000_000
"""More pairs than these are refused: they would take days, and their list alone a gigabyte."""
LEAST_REFINED = 5
"""Fewer windows are not compared with the mean of the others, which would be little better than any of them."""
MANY_PAIRS = 20_000
"""From so many pairs on the user is told what would be faster."""


@dataclass(frozen=True)
class ImageSettings:
    """How an image series is compared with itself.

    Attributes
    ----------
    method : {'RCC', 'MCC', 'DCC'}
    shift_max : float
        RCC leaves out pairs whose shift differs by more from the verdict of the others, nm.
    corr_window : int
        Windows that each is compared with; 0 or less: all that follow.
    step, window : int
        Images from one window to the next, and in each.
    deep : bool
        Measure z.
    """

    method: str
    shift_max: float
    corr_window: int
    step: int
    window: int
    deep: bool


@dataclass
class ImageDrift:
    """Result of `estimate_images`.

    Attributes
    ----------
    starts, stops : array (w,)
        Images of the windows that could be placed: the first, and the one behind the last.
    solution : Solution
        Positions (x, y) or (x, y, z) of these windows, nm: what must be added.
    pairs : array (p, 2)
        Windows that were compared.
    """

    starts: Ints
    stops: Ints
    solution: Solution
    pairs: Ints


class SeriesCorrelator:
    """Correlates windows of a series.

    Parameters
    ----------
    ctx : Context
    stack : ImageStack
    starts, stops : array (w,)
        Windows; see `cut_series`.
    deep : bool
        Correlate along z too; otherwise planes are averaged.

    Attributes
    ----------
    apart : int
        Windows with so many numbers between them share no image.
    own : array (w, 3)
        Standard error along x, y and z from the noise of each window, pixels; NaN where it is not known.
    n_not_finite : list of int
        Values that took no part.
    """

    def __init__(self, ctx: Context, stack: ImageStack, starts: Ints, stops: Ints, *, deep: bool) -> None:
        self.ctx = ctx
        self.stack = stack
        self.starts, self.stops = starts, stops
        self.deep = deep
        _, nz, ny, nx = stack.shape
        if min(ny, nx) < LEAST_PIXELS:
            raise DataError(
                f"the images have {nx} x {ny} pixels; at least {LEAST_PIXELS} x {LEAST_PIXELS} are needed.", code="D431"
            )
        self.size = (ny, nx)
        # Planes that leave at one end must not come in at the other; the sides of images fade out, their first planes do not.
        reach_z = (nz - 1) // 2 if deep else 0
        depth = fast_even_length(nz + reach_z) if deep else 1
        self.shape = (depth, fast_even_length(ny), fast_even_length(nx))
        self.reach = (reach_z, *search_reach((ny, nx)))
        self.transfer = Transfer((1, *self.shape[1:]), broad=BROAD)
        self.apart = int(np.argmax(starts >= stops[0]))
        self.n_not_finite: list[int] = []
        self.own = np.full((len(starts), 3), np.nan)
        self._noise = OwnNoise(self.shape, self.transfer.gain, KERNEL)
        if deep:
            from recipes_modules.correlation.planes import PlaneEnergy

            self.energy = PlaneEnergy(self.transfer, len(starts), nz)

    @property
    def spectrum_shape(self) -> tuple[int, ...]:
        """Shape of a spectrum."""
        return (self.shape[0], *self.transfer.spectrum_shape[1:])

    def spectrum(self, window: int) -> Spectrum:
        """Spectrum of the mean image of a window, without the mean of each plane."""
        planes, bad = mean_image(self.stack, int(self.starts[window]), int(self.stops[window]), deep=self.deep)
        if bad:
            self.n_not_finite.append(bad)
        spectra = np.zeros(self.spectrum_shape, np.complex64)
        padded = np.zeros((1, *self.shape[1:]), np.float32)
        for z, plane in enumerate(planes):
            inside = padded[0, : self.size[0], : self.size[1]]
            np.subtract(plane, plane.mean(dtype=np.float64), out=inside, casting="same_kind")
            spectra[z] = self.transfer.spectrum(padded)[0]
        if not self.deep:
            return spectra
        from scipy.fft import fft

        self.energy.measure(window, spectra)
        deep: Spectrum = fft(spectra, axis=0, overwrite_x=True, workers=1)
        return deep

    def peak(self, pair: Ints, a: Spectrum, b: Spectrum, image: npt.NDArray[np.float32] | None) -> Floats:
        """Shift (x, y, z) in pixels to add to the second window of a pair; NaN where there is no peak."""
        from recipes_modules.correlation.peak import find_peak

        values = np.ascontiguousarray(correlation(a, b, self.shape, self.reach))
        if self.deep:
            values *= self.energy.gain(int(pair[0]), int(pair[1]), self.reach[0])[:, np.newaxis, np.newaxis]
        if image is not None:
            image[:] = values
        found = np.empty(4)
        if find_peak(values, KERNEL, found) and pair[1] - pair[0] == self.apart:
            self.own[pair[0]] = self._noise.errors(a, b, found[:3])[::-1]
        return found[2::-1]

    def refined(self, windows: Ints, solution: Solution, own: Floats, size: Floats, done: Callable[[int], None]) -> Solution:
        """Positions against the mean of all other windows; as they are where that mean would mix parts of the sample."""
        from recipes_modules.correlation.refine_images import Refinement

        rough = solution.positions / size[:2]
        if (np.ptp(rough, axis=0) > self.reach[:0:-1]).any():
            self.ctx.say("the sample moves too far to compare images with the mean of all; their errors add up along the series")
            return replace(solution, error=_with_own(solution.error, own))
        refinement = Refinement(self.ctx, self.spectrum, self.shape, self.reach, self._noise, KERNEL)
        positions, error = refinement.positions(windows, rough, done)
        return replace(solution, positions=positions * size[:2], error=_with_own(None, error * size[:2]))


def pairs_apart(n: int, method: str, corr_window: int, apart: int) -> Ints:
    """`choose_pairs` for windows of which only every `apart`-th shares no image with the first.

    Raises
    ------
    DataError
        Where there are more than `MOST_PAIRS`.
    """
    reach = max(corr_window, 2 if apart > 1 else 1) + apart - 1 if corr_window > 0 else 0
    number = n if method == "DCC" else n * (reach or n)
    if number > MOST_PAIRS and (reach or n * (n - 1) // 2 > MOST_PAIRS):
        raise DataError(
            f"{n:,} windows of the image series make {number if reach else n * (n - 1) // 2:,} pairs; at most {MOST_PAIRS:,} are compared.",
            code="D434",
            hint="Set corr_window lower (5 is usual), or step and window higher.",
        )
    pairs = choose_pairs(n, method, reach)
    return pairs[pairs[:, 1] - pairs[:, 0] >= apart]


def estimate_images(
    ctx: Context, stack: ImageStack, size: Floats, settings: ImageSettings, *, keep_images: bool = False
) -> tuple[ImageDrift, Image | None]:
    """Drift of an image series.

    Parameters
    ----------
    size : array (3,)
        Pixel along x, y and z, nm.
    keep_images : bool
        Return the correlations of all pairs too.

    Raises
    ------
    DataError
        Where images are too few, too small or show nothing in common, or there would be too many pairs.
    """
    starts, stops = cut_series(stack.n_frames, settings.step, settings.window)
    correlator = SeriesCorrelator(ctx, stack, starts, stops, deep=settings.deep)
    n = len(starts)
    pairs = pairs_apart(n, settings.method, settings.corr_window, correlator.apart)
    if len(pairs) >= MANY_PAIRS:
        ctx.say(
            f"{len(pairs):,} pairs of {n:,} windows are compared; a larger window and step, or a smaller corr_window, is faster"
        )
    images = ctx.scratch.array((len(pairs), *(2 * r + 1 for r in correlator.reach)), np.float32) if keep_images else None
    axes = 3 if settings.deep else 2
    refines = settings.method == "RCC" and not settings.deep and correlator.apart == 1 and n >= LEAST_REFINED
    steps = len(pairs) + 2 * n * refines
    shifts = np.array(
        measure_pairs(
            ctx, n, pairs, correlator.spectrum_shape, correlator.spectrum,
            lambda p, a, b: correlator.peak(pairs[p], a, b, None if images is None else images[p]),
            lambda done: ctx.progress(done, steps),
        )
    )[:, :axes] * size[:axes]  # fmt: skip
    if correlator.n_not_finite:
        ctx.say(f"{sum(correlator.n_not_finite):,} pixels are not finite and took no part")
    kept = _placed(ctx, n, pairs, shifts)
    inside = kept[pairs].all(axis=1)
    index = np.cumsum(kept) - 1
    all_pairs, pairs = pairs, index[pairs[inside]]
    solution = solve_pairs(
        int(np.count_nonzero(kept)), pairs, shifts[inside], np.ones(len(pairs)),
        reject_above=settings.shift_max if settings.method == "RCC" else None,
    )  # fmt: skip
    own = correlator.own[kept, :axes] * size[:axes]
    if refines:
        solution = correlator.refined(
            np.flatnonzero(kept), solution, own, size, lambda done: ctx.progress(len(all_pairs) + done, steps)
        )
    else:
        solution = replace(solution, error=_with_own(solution.error, own))
    return ImageDrift(starts[kept], stops[kept], solution, pairs), images


def _with_own(error: Floats | None, own: Floats) -> Floats | None:
    """Standard errors from the pairs' disagreement with those from each window's own noise; 0 for the first window."""
    if not np.isfinite(own).any(axis=0).all():
        return error
    # The last windows, and those next to a pair without a peak, have no partner: the middle of the others stands for them.
    own = np.where(np.isfinite(own), own, np.nanmedian(own, axis=0))
    own[0] = 0.0
    return own if error is None else np.hypot(error, own)


def _placed(ctx: Context, n: int, pairs: Ints, shifts: Floats) -> Mask:
    """Windows that hang together."""
    kept = connected_windows(n, pairs[np.isfinite(shifts).all(axis=1)])
    if np.count_nonzero(kept) < 2:
        raise DataError(
            "no two images correlate: they are empty, or moved by more than an eighth of their width.",
            code="D432",
            hint="Look at the images; use a smaller corr_window for large drifts.",
        )
    if not kept.all():
        left_out = np.flatnonzero(~kept)
        shown = ", ".join(str(number) for number in left_out[:8]) + (", ..." if len(left_out) > 8 else "")
        ctx.warn(f"{len(left_out)} of {n} images correlate with no other and were left out: {shown}")
    return kept
