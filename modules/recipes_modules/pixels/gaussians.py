"""A Gaussian of sum 1 for each localization, integrated over pixels. Importing this file imports numba.

Localizations are sorted into tiles of the image; each tile is drawn in a small buffer, which stays in the processor's cache, and the
buffers are added to the image in an order that does not depend on how many threads there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.pixels.vector import LANES, REACH, add_scaled, normal_between

Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

TILE = 128
"""Edge of a tile, pixels."""
HALO = 56
"""Most pixels that a Gaussian may reach beyond its tile; wider ones are drawn without tiles."""
CHUNK = 1 << 21
"""Localizations that are sorted into tiles at a time."""
NARROWEST = 0.05
"""Pixels; narrower Gaussians fall into one pixel all the same."""
PARTS = 8
"""Pieces of a chunk that are sorted side by side."""


def add_gaussians(
    image: npt.NDArray[np.float32],
    x: Any,
    y: Any,
    sx: Any,
    sy: Any,
    weight: Any,
    x0: float,
    y0: float,
    pixel: float,
    mapper: Mapper,
) -> None:
    """Add a Gaussian for each localization to `image` (y, x).

    Parameters
    ----------
    x, y : array (n,)
        nm; rows in which one of them or a width is NaN are left out.
    sx, sy : array (n,) or (1,)
        Widths (standard deviations), nm.
    weight : array (n,) of float32, or (0,)
        What each one sums up to; 1 where it is empty.
    x0, y0 : float
        Outer edges of the first pixel, nm.
    """
    n = len(x)
    rest: list[npt.NDArray[np.int64]] = []
    # Memory is used again: to get it from the system takes as long as to fill it.
    most = min(n, CHUNK)
    room = np.empty(most, np.int32), np.empty((most, 4 if len(weight) == 0 else 5), np.float32)
    for start in range(0, n, CHUNK):
        stop = min(n, start + CHUNK)
        part = [values[start:stop] if len(values) == n else values for values in (x, y, sx, sy, weight)]
        rest.append(_chunk(image, part, x0, y0, pixel, mapper, *room) + start)
    others = np.concatenate(rest) if rest else np.empty(0, np.int64)
    if len(others):
        chosen = [values[others] if len(values) == n else values for values in (x, y, sx, sy, weight)]
        edges = np.linspace(0, image.shape[0], PARTS + 1).astype(int)

        def band(k: int) -> None:
            _add_wide(image, *chosen, x0, y0, pixel, int(edges[k]), int(edges[k + 1]))

        for _ in mapper(band, range(PARTS)):
            pass


def _chunk(
    image: Any, columns: Any, x0: float, y0: float, pixel: float, mapper: Mapper, tile: Any, spots: Any
) -> npt.NDArray[np.int64]:  # fmt: skip
    """Draw what fits into tiles; return the rows that do not. `tile` and `spots` are room to work in."""
    x, y, sx, sy, weight = columns
    n = len(x)
    down, across = (-(-size // TILE) for size in image.shape)
    tile = tile[:n]
    edges = np.linspace(0, n, PARTS + 1).astype(int)
    counts = np.zeros((PARTS, down * across), np.int64)

    def sort(k: int) -> float:
        rows = slice(int(edges[k]), int(edges[k + 1]))
        widths = (values[rows] if len(values) == n else values for values in (sx, sy))
        return float(_tiles(x[rows], y[rows], *widths, x0, y0, pixel, *image.shape, across, tile[rows], counts[k]))

    halo = math.ceil(REACH * max(mapper(sort, range(PARTS)))) + 1
    # Where the first row of each tile and part goes: tile by tile, and in each the parts in order.
    ends = np.cumsum(counts.T.ravel()).reshape(counts.T.shape).T
    place = np.ascontiguousarray(ends - counts)
    starts = np.concatenate([[0], ends[-1]])

    def move(k: int) -> None:
        rows = slice(int(edges[k]), int(edges[k + 1]))
        others = (values[rows] if len(values) == n else values for values in (sx, sy, weight))
        _move(x[rows], y[rows], *others, x0, y0, pixel, across, tile[rows], place[k], spots)

    for _ in mapper(move, range(PARTS)):
        pass

    def draw(row: int) -> None:
        buffer = np.zeros((TILE + 2 * halo, TILE + 2 * halo + 2 * LANES), np.float32)
        for column in range(across):
            k = row * across + column
            if starts[k + 1] > starts[k]:
                buffer[:] = 0
                _draw(spots[starts[k] : starts[k + 1]], halo, buffer)
                _add_tile(image, buffer, row * TILE - halo, column * TILE - halo, TILE + 2 * halo)

    # Rows of tiles overlap with their neighbours only: every second one at a time.
    for first in (0, 1):
        for _ in mapper(draw, range(first, down, 2)):
            pass
    return np.flatnonzero(tile == -2)


@numba.njit(cache=True, nogil=True)
def _tiles(
    x: Any, y: Any, sx: Any, sy: Any, x0: float, y0: float, pixel: float, ny: int, nx: int, across: int, tile: Any, counts: Any
) -> float:  # fmt: skip
    """Tile of each row: -1 where nothing of it is in the image, -2 where it is wide or its middle is outside; the widest sigma, pixels."""
    inverse = 1.0 / pixel
    widest = 0.0
    limit = (HALO - 1) / REACH
    each_x, each_y = len(sx) > 1, len(sy) > 1
    for i in range(len(x)):
        u, v = (x[i] - x0) * inverse, (y[i] - y0) * inverse
        a, b = sx[i if each_x else 0] * inverse, sy[i if each_y else 0] * inverse
        if a <= limit and b <= limit and u >= 0 and v >= 0 and u < nx and v < ny:
            k = (int(v) // TILE) * across + int(u) // TILE
            tile[i] = k
            counts[k] += 1
            widest = max(widest, a, b)
        else:
            # A width that is NaN or infinite compares with nothing.
            touches = (
                u > -REACH * a and u < nx + REACH * a and v > -REACH * b and v < ny + REACH * b and a < np.inf and b < np.inf
            )
            tile[i] = -2 if touches else -1
    return widest


@numba.njit(cache=True, nogil=True)
def _move(
    x: Any, y: Any, sx: Any, sy: Any, weight: Any, x0: float, y0: float, pixel: float, across: int, tile: Any, place: Any, spots: Any
) -> None:  # fmt: skip
    inverse = 1.0 / pixel
    each_x, each_y, weighted = len(sx) > 1, len(sy) > 1, len(weight) > 0
    for i in range(len(x)):
        k = tile[i]
        if k >= 0:
            p = place[k]
            place[k] = p + 1
            spots[p, 0] = (x[i] - x0) * inverse - (k % across) * TILE
            spots[p, 1] = (y[i] - y0) * inverse - (k // across) * TILE
            spots[p, 2] = max(sx[i if each_x else 0] * inverse, NARROWEST)
            spots[p, 3] = max(sy[i if each_y else 0] * inverse, NARROWEST)
            if weighted:
                spots[p, 4] = weight[i]


@numba.njit(cache=True, nogil=True)
def _draw(spots: Any, halo: int, buffer: Any) -> None:
    pixels = buffer.ravel()
    stride = buffer.shape[1]
    room = 2 * halo + TILE + 4 * LANES
    wx, wy = np.zeros(room, np.float32), np.zeros(room, np.float32)
    reach = np.float32(REACH)
    one = np.float32(1)
    weighted = spots.shape[1] > 4
    for i in range(len(spots)):
        cx, cy, ax, ay = spots[i, 0], spots[i, 1], reach * spots[i, 2], reach * spots[i, 3]
        left, top = int(math.floor(cx - ax)), int(math.floor(cy - ay))  # noqa: RUF046 - compiled, floor gives a float
        across, down = int(cx + ax) - left + 1, int(cy + ay) - top + 1
        step = one / ax
        start = (np.float32(left) - cx) * step
        for c in range(0, across, LANES):
            normal_between(wx, c, start + np.float32(c) * step, step)
        step = one / ay
        start = (np.float32(top) - cy) * step
        for c in range(0, down, LANES):
            normal_between(wy, c, start + np.float32(c) * step, step)
        factor = spots[i, 4] if weighted else one
        for c in range(0, across, LANES):
            at = (top + halo) * stride + left + halo + c
            for row in range(down):
                add_scaled(pixels, at, wx, c, factor * wy[row])
                at += stride


@numba.njit(cache=True, nogil=True)
def _add_tile(image: Any, buffer: Any, top: int, left: int, size: int) -> None:
    ny, nx = image.shape
    first, last = max(0, -left), min(size, nx - left)
    for row in range(max(0, -top), min(size, ny - top)):
        for column in range(first, last):
            image[top + row, left + column] += buffer[row, column]


@numba.njit(cache=True, nogil=True)
def _weights(centre: float, sigma: float, first: int, last: int, result: Any) -> None:
    scale = 1.0 / (math.sqrt(2.0) * sigma)
    whole = math.erf(REACH / math.sqrt(2.0))
    before = math.erf((first - centre) * scale)
    before = min(max(before, -whole), whole)
    for pixel in range(first, last):
        after = min(max(math.erf((pixel + 1 - centre) * scale), -whole), whole)
        result[pixel - first] = 0.5 * (after - before) / whole
        before = after


@numba.njit(cache=True, nogil=True)
def _add_wide(
    image: Any, x: Any, y: Any, sx: Any, sy: Any, weight: Any, x0: float, y0: float, pixel: float, row0: int, row1: int
) -> None:  # fmt: skip
    """Draw Gaussians of any width into the rows `row0` to `row1`, in the order of localizations."""
    ny, nx = image.shape
    each_x, each_y = len(sx) > 1, len(sy) > 1
    wx, wy = np.empty(nx), np.empty(ny)
    for i in range(len(x)):
        cx, cy = (x[i] - x0) / pixel, (y[i] - y0) / pixel
        ux, uy = max(sx[i if each_x else 0] / pixel, NARROWEST), max(sy[i if each_y else 0] / pixel, NARROWEST)
        top, bottom = max(float(row0), math.floor(cy - REACH * uy)), min(float(row1), math.floor(cy + REACH * uy) + 1.0)
        left, right = max(0.0, math.floor(cx - REACH * ux)), min(float(nx), math.floor(cx + REACH * ux) + 1.0)
        if top >= bottom or left >= right:
            continue
        first_row, first = int(top), int(left)
        down, across = int(bottom) - first_row, int(right) - first
        _weights(cx, ux, first, first + across, wx)
        _weights(cy, uy, first_row, first_row + down, wy)
        factor = float(weight[i]) if len(weight) else 1.0
        for row in range(down):
            for column in range(across):
                image[first_row + row, first + column] += factor * wy[row] * wx[column]
