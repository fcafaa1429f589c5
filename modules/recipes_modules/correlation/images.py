"""Drift of an image series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules.correlation.grid import LEAST_PIXELS, fast_even_length, search_reach
from recipes_modules.correlation.pairs import measure_pairs
from recipes_modules.correlation.redundant import Solution, choose_pairs, connected_windows, solve_pairs
from recipes_modules.correlation.spectra import Image, Spectrum, Transfer, correlation

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

KERNEL = np.ones(3)
"""Smoothing of a peak, pixels."""
BROAD = 5.0
"""Waves of fewer periods than this along an image are left out: uneven background, and background under a fading edge, stay where
they are while the sample moves, and would pull every shift towards none."""


@dataclass
class ImageDrift:
    """Result of `estimate_images`.

    Attributes
    ----------
    kept : array (t,) of bool
        Images that could be placed.
    solution : Solution
        Positions (x, y) of the kept images, pixels: what must be added.
    pairs : array (p, 2)
        Kept images that were compared.
    """

    kept: Mask
    solution: Solution
    pairs: Ints


class SeriesCorrelator:
    """Correlates images of a series.

    Parameters
    ----------
    ctx : Context
    stack : ImageStack
        Planes along z are averaged.
    images : array (p, 1, y, x), optional
        Receives the correlation of every pair.
    """

    def __init__(self, ctx: Context, stack: ImageStack) -> None:
        self.ctx = ctx
        self.stack = stack
        _, _, ny, nx = stack.shape
        if stack.n_frames < 2:
            raise DataError("the image series has one image; a drift needs two.", code="D430")
        if min(ny, nx) < LEAST_PIXELS:
            raise DataError(
                f"the images have {nx} x {ny} pixels; at least {LEAST_PIXELS} x {LEAST_PIXELS} are needed.", code="D431"
            )
        self.size = (ny, nx)
        self.shape = (1, fast_even_length(ny), fast_even_length(nx))
        self.reach = (0, *search_reach((ny, nx)))
        self.transfer = Transfer(self.shape, broad=BROAD)
        self.images: npt.NDArray[np.float32] | None = None
        self.n_not_finite = 0

    def spectrum(self, frame: int) -> Spectrum:
        """Spectrum of one image, its mean subtracted."""
        planes = self.stack.frames(frame, frame + 1)[0]
        plane = planes[0] if len(planes) == 1 else planes.mean(axis=0, dtype=np.float64)
        image = np.zeros(self.shape, np.float32)
        inside = image[0, : self.size[0], : self.size[1]]
        inside[:] = plane
        finite = np.isfinite(inside)
        if not finite.all():
            self.n_not_finite += int(np.count_nonzero(~finite))
            inside[~finite] = inside[finite].mean(dtype=np.float64) if finite.any() else 0.0
        inside -= inside.mean(dtype=np.float64)
        return self.transfer.spectrum(image)

    def peak(self, p: int, a: Spectrum, b: Spectrum) -> Floats:
        """Shift (x, y) in pixels to add to the second image of a pair; NaN where there is no peak."""
        from recipes_modules.correlation.peak import find_peak

        values = np.ascontiguousarray(correlation(a, b, self.shape, self.reach))
        if self.images is not None:
            self.images[p] = values
        found = np.empty(4)
        find_peak(values, KERNEL, found)
        return found[2:0:-1]


def estimate_images(
    ctx: Context, stack: ImageStack, method: str, shift_max: float, corr_window: int, *, keep_images: bool = False
) -> tuple[ImageDrift, Image | None]:
    """Drift of an image series in pixels, and the correlations of all pairs where they are asked for."""
    correlator = SeriesCorrelator(ctx, stack)
    n = stack.n_frames
    pairs = choose_pairs(n, method, corr_window)
    if keep_images:
        correlator.images = ctx.scratch.array((len(pairs), *(2 * r + 1 for r in correlator.reach)), np.float32)
    shifts = np.array(
        measure_pairs(
            ctx, n, pairs, correlator.transfer.spectrum_shape, correlator.spectrum, correlator.peak,
            lambda done: ctx.progress(done, len(pairs)),
        )
    )  # fmt: skip
    if correlator.n_not_finite:
        ctx.say(f"{correlator.n_not_finite:,} pixels are not finite and were taken as their image's mean")
    found = np.isfinite(shifts).all(axis=1)
    kept = connected_windows(n, pairs[found])
    if np.count_nonzero(kept) < 2:
        raise DataError(
            "no two images correlate: they are empty, or moved by more than an eighth of their width.",
            code="D432",
            hint="Look at the images; use a smaller corr_window for large drifts.",
        )
    if not kept.all():
        left_out = np.flatnonzero(~kept)
        ctx.warn(f"{len(left_out)} of {n} images correlate with no other and were left out: {_listed(left_out)}")
    inside = kept[pairs].all(axis=1)
    index = np.cumsum(kept) - 1
    pairs = index[pairs[inside]]
    solution = solve_pairs(
        int(np.count_nonzero(kept)),
        pairs,
        shifts[inside],
        np.ones(len(pairs)),
        reject_above=shift_max if method == "RCC" else None,
    )
    return ImageDrift(kept, solution, pairs), correlator.images


def _listed(numbers: Ints) -> str:
    shown = ", ".join(str(number) for number in numbers[:8])
    return shown + (", ..." if len(numbers) > 8 else "")
