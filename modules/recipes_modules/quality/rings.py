"""Sums over rings in Fourier space, of pairs of renderings of a field that is cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from recipes_modules.quality.neighbours import Mapper
from recipes_modules.tapers import tukey

Floats = npt.NDArray[np.float64]

LARGEST_TILE = 2048
EDGE = 0.125
"""Part of a tile's width over which it fades out at either side."""


@dataclass(frozen=True)
class Tiles:
    """Localizations sorted into square tiles of a field.

    Attributes
    ----------
    pixel : float
        nm.
    size : int
        Pixels along the edge of a tile.
    order : array (n,)
        Rows, tile by tile.
    starts : array (m + 1,)
        First of each tile that holds anything, in `order`.
    row, column : array (n,) of int
        Pixel within the tile, in the order of `order`.
    """

    pixel: float
    size: int
    order: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    row: npt.NDArray[np.int16]
    column: npt.NDArray[np.int16]

    @classmethod
    def cut(cls, x: Floats, y: Floats, pixel: float) -> Tiles:
        """Cut a field into equal tiles that cover it; each is at most `LARGEST_TILE` wide."""
        from scipy.fft import next_fast_len

        low = np.array([x.min(), y.min()])
        extent = float(max(x.max() - low[0], y.max() - low[1], 2 * pixel))
        pixels = extent / pixel
        per_side = max(1, int(np.ceil(pixels / LARGEST_TILE)))
        size = next_fast_len(max(64, int(np.floor(pixels / per_side)) + 1), real=True)
        column = ((x - low[0]) / pixel).astype(np.int64)
        row = ((y - low[1]) / pixel).astype(np.int64)
        wide = int(column.max()) // size + 1
        tile = (row // size) * wide + column // size
        order = np.argsort(tile, kind="stable")
        changes = np.flatnonzero(np.diff(tile[order])) + 1
        starts = np.concatenate([[0], changes, [len(order)]])
        return cls(pixel, size, order, starts, (row % size)[order].astype(np.int16), (column % size)[order].astype(np.int16))

    @property
    def frequency(self) -> Floats:
        """Middle of each ring, 1/nm; up to the highest that the pixels hold."""
        return np.arange(1, self.size // 2) / (self.size * self.pixel)


def ring_sums(tiles: Tiles, half: npt.NDArray[np.bool_], mapper: Mapper) -> Floats:
    """Sums over rings for two halves of the localizations.

    Parameters
    ----------
    half : array (n,) of bool
        Which half a localization belongs to.

    Returns
    -------
    array (6, n_rings)
        Real part of the product of one spectrum with the conjugate of the other; power of the one, and of the other; elements;
        the power that each of the two would have if its localizations lay at random.
    """
    from scipy.fft import rfft2

    size = tiles.size
    window = _window(size)
    sorted_half = half[tiles.order]

    def one(k: int) -> Floats:
        part = slice(tiles.starts[k], tiles.starts[k + 1])
        first, second, *noise = _render(tiles.row[part], tiles.column[part], sorted_half[part], size, window)
        sums = _rings(rfft2(first, overwrite_x=True, workers=1), rfft2(second, overwrite_x=True, workers=1), size)
        return np.concatenate([sums, np.outer(noise, sums[3])])

    sums = np.zeros((6, size // 2 - 1))
    for found in mapper(one, range(len(tiles.starts) - 1)):
        sums += found
    return sums


def _window(size: int) -> npt.NDArray[np.float32]:
    return np.asarray(tukey(size, 2 * EDGE), dtype=np.float32)


@njit(cache=True, nogil=True)
def _render(row, column, half, size, window):  # type: ignore[no-untyped-def] # pragma: no cover
    first = np.zeros((size, size), np.float32)
    second = np.zeros((size, size), np.float32)
    noise_first, noise_second = 0.0, 0.0
    for k in range(len(row)):
        weight = window[row[k]] * window[column[k]]
        if half[k]:
            first[row[k], column[k]] += weight
            noise_first += float(weight) ** 2
        else:
            second[row[k], column[k]] += weight
            noise_second += float(weight) ** 2
    # What is spread evenly would show as the window itself, in either half, at the lowest frequencies.
    for image in (first, second):
        total = 0.0
        for i in range(size):
            for j in range(size):
                total += image[i, j]
        level = np.float32(total / float(window.sum()) ** 2)
        for i in range(size):
            for j in range(size):
                image[i, j] -= level * window[i] * window[j]
    return first, second, noise_first, noise_second


@njit(cache=True, nogil=True)
def _rings(first, second, size):  # type: ignore[no-untyped-def] # pragma: no cover
    n = size // 2 - 1
    sums = np.zeros((4, n))
    for i in range(size):
        ky = i if i <= size // 2 else i - size
        for j in range(first.shape[1]):
            ring = int(np.sqrt(float(ky * ky + j * j)) + 0.5) - 1
            if ring < 0 or ring >= n:
                continue
            # Elements of the half that a real transform leaves out.
            weight = 1.0 if j == 0 or 2 * j == size else 2.0
            a, b = first[i, j], second[i, j]
            sums[0, ring] += weight * (a.real * b.real + a.imag * b.imag)
            sums[1, ring] += weight * (a.real * a.real + a.imag * a.imag)
            sums[2, ring] += weight * (b.real * b.real + b.imag * b.imag)
            sums[3, ring] += weight
    return sums
