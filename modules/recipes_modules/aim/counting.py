"""Localizations in cells and how many of them meet at each shift, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

from typing import Any

import numba

LANES = 8
"""Rows of shifts are summed so many at a time: a fixed number makes one vector instruction of it."""


@numba.njit(cache=True, nogil=True)
def _cell(value: float, n: int) -> int:
    # Positions outside of the grid come in again at its other end: large fields are folded, and drift may lead out of it.
    index = int(value) if value >= 0.0 else int(value) - 1
    if index < 0 or index >= n:
        index %= n
    return index


@numba.njit(cache=True, nogil=True)
def locate(
    positions: Any, moment: Any, shift: Any, start: int, every: int, origin: Any, scale: Any, shape: Any, strides: Any, first: int,
    block: int, found: Any,
) -> None:  # fmt: skip
    """Cell of every `every`-th row from `start` on.

    Parameters
    ----------
    positions : array (n, 2 or 3) of float32
        x, y(, z), nm.
    moment : array (n,) of int32
        Row of `shift` that is added to each position.
    origin, scale : array (3,)
        Lower corner of the grid (x, y, z), nm; one over the edge of a cell.
    shape, strides : array (3,) of int64
        Cells along x, y, z, and the steps between neighbours in the flat grid.
    first : int
        Place of the first inner cell in the flat grid.
    block : int
        Edge of the squares, in cells, that tell two halves of the field apart as on a chessboard.
    found : array (m,) of int32
        Receives twice the place in the flat grid, plus the half (0 or 1).
    """
    deep = positions.shape[1] > 2 and shape[2] > 1
    for n in range(len(found)):
        k = start + n * every
        m = moment[k]
        ix = _cell((positions[k, 0] + shift[m, 0] - origin[0]) * scale[0], shape[0])
        iy = _cell((positions[k, 1] + shift[m, 1] - origin[1]) * scale[1], shape[1])
        place = first + ix * strides[0] + iy * strides[1]
        if deep:
            place += _cell((positions[k, 2] + shift[m, 2] - origin[2]) * scale[2], shape[2]) * strides[2]
        found[n] = 2 * place + ((ix // block + iy // block) & 1)


@numba.njit(cache=True, nogil=True)
def add(counts: Any, weights: Any, table: Any, found: Any, step: int) -> None:
    """Put localizations into cells (`step` 1) or take them out (-1); `weights` follows as ``table[counts]``."""
    last = len(table) - 1
    for code in found:
        place = code >> 1
        count = counts[place] + step
        counts[place] = count
        weights[place] = table[min(count, last)]


@numba.njit(cache=True, nogil=True)
def weigh(counts: Any, weights: Any, table: Any) -> None:
    """``table[counts]`` for every cell."""
    last = len(table) - 1
    for k in range(len(counts)):
        if counts[k]:
            weights[k] = table[min(counts[k], last)]


@numba.njit(cache=True, nogil=True)
def fill(counts: Any, found: Any) -> None:
    """Count localizations into cells."""
    for code in found:
        counts[code >> 1] += 1


@numba.njit(cache=True, nogil=True)
def _add_lanes(total: Any, values: Any) -> None:
    for k in range(LANES):
        total[k] += values[k]


@numba.njit(cache=True, nogil=True)
def meet(weights: Any, found: Any, rows: Any, buffer: Any) -> None:
    """Add up the weights of the cells that the localizations meet, for every shift.

    Parameters
    ----------
    weights : array (cells,) of float32
    found : array (m,) of int32
        From `locate`.
    rows : array (r,) of int64
        Step in the flat grid to the first shift of each row of shifts; the shifts of a row follow each other.
    buffer : array (2, r, w) of float32
        Receives the sums for both halves of the field; w is a multiple of `LANES`.
    """
    parts = buffer.shape[2] // LANES
    for code in found:
        half, place = code & 1, code >> 1
        for row in range(len(rows)):
            begin = place + rows[row]
            for part in range(parts):
                a = part * LANES
                _add_lanes(buffer[half, row, a : a + LANES], weights[begin + a : begin + a + LANES])


@numba.njit(cache=True, nogil=True)
def background(weights: Any, found: Any, corners: Any) -> Any:
    """Sum and sum of squares of the weights met at the outermost shifts, mean over `corners` (steps in the flat grid)."""
    total, squares = 0.0, 0.0
    for code in found:
        place = code >> 1
        for corner in corners:
            value = float(weights[place + corner])
            total += value
            squares += value * value
    return total / len(corners), squares / len(corners)
