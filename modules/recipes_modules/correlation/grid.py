"""The grid on which windows are rendered: where it lies, how fine it is, how its edges fade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError
from recipes_modules.tapers import tukey

Floats = npt.NDArray[np.float64]

MOST_VOXELS = 2**27
"""A rendered window has at most this many voxels (512 MiB)."""
LEAST_PIXELS = 16
"""Below this an axis is too short for the search to be limited to a part of it."""


@dataclass(frozen=True)
class Grid:
    """Axes in array order: (z, y, x), with one plane for data without z.

    Attributes
    ----------
    origin : tuple of float
        Lower corner, nm.
    pixel : float
        Edge of a pixel, nm; the same along all axes.
    shape : tuple of int
        Pixels along each axis.
    """

    origin: tuple[float, ...]
    pixel: float
    shape: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """Largest shift in pixels that is searched for along each axis: an eighth of the axis."""
        return search_reach(self.shape)


def search_reach(shape: Sequence[int]) -> tuple[int, ...]:
    """Largest shift, in pixels, that is searched for: an eighth of each axis; nearly half of an axis below 16 pixels."""
    return tuple(n // 8 if n >= LEAST_PIXELS else max(0, (n - 1) // 2) for n in shape)


def make_grid(low: Floats, high: Floats, pixel: float) -> Grid:
    """A grid of even, quickly transformed sizes that covers the box from `low` to `high`.

    Parameters
    ----------
    low, high : array (3,)
        Corners in z, y, x, nm; an axis without extent gets one pixel.
    pixel : float
        nm.

    Raises
    ------
    DataError
        Where it would have too many pixels.
    """
    extent = high - low
    needed = np.floor(extent / pixel) + 1
    if not np.isfinite(needed).all() or np.prod(needed) > MOST_VOXELS:
        told = " x ".join(f"{value / 1000:,.4g}" for value in extent[::-1] if value > 0)
        raise DataError(
            f"the localizations extend over {told} um, which at a binsize of {pixel:g} nm is more than {MOST_VOXELS:.2g} pixels.",
            code="D414",
            hint="Filter out far-away localizations, or set a larger binsize.",
        )
    shape = tuple(1 if flat else fast_even_length(int(n)) for n, flat in zip(needed, extent == 0, strict=True))
    # The spare pixels are shared between both sides.
    origin = low - (np.array(shape) * pixel - extent) / 2
    return Grid(tuple(float(value) for value in origin), float(pixel), shape)


def fast_even_length(n: int) -> int:
    """The least even number from `n` on whose Fourier transform is fast."""
    from scipy.fft import next_fast_len

    length = int(next_fast_len(max(n, 2), real=True))
    while length % 2:
        length = int(next_fast_len(length + 1, real=True))
    return length


def tukey_window(shape: Sequence[int], size: float) -> list[npt.NDArray[np.float32]]:
    """Tapers of all axes: flat inside, a cosine over the outer `size` / 2 of each end.

    Parameters
    ----------
    shape : sequence of int
    size : float
        Part of an axis that tapers: 0 none, 1 all of it.
    """
    return [np.asarray(tukey(n, size), dtype=np.float32) for n in shape]


def outer_product(profiles: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """The product of one-dimensional profiles as an array of as many axes."""
    product = profiles[0]
    for profile in profiles[1:]:
        product = product[..., np.newaxis] * profile
    return product
