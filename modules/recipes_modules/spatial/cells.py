"""Positions sorted into square or cubic cells. Importing this file imports numba."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_CELLS = 2**62


@dataclass(frozen=True, eq=False)
class Cells:
    """Positions in the order of the cells that they lie in.

    Attributes
    ----------
    points : array (n, 3)
        nm; z is 0 in two dimensions.
    order : array (n,)
        The row that each point was.
    keys : array (m,)
        Cells that hold something, in increasing order; along x they follow each other.
    starts : array (m + 1,)
        First point of each cell, and n.
    stride_y, stride_z : int
        From a cell's key to that of its neighbour along y and z. No cell is at the rim: neighbours on three sides are other cells.
    """

    points: Floats
    order: Ints
    keys: Ints
    starts: Ints
    stride_y: int
    stride_z: int


def sort_into_cells(points: Floats, edge: float) -> Cells:
    """Sort points (n, 2 or 3), nm, into cells of an edge, nm.

    Raises
    ------
    DataError
        Where the points lie too far apart for cells as small.
    """
    flat = np.zeros((len(points), 3))
    flat[:, : points.shape[1]] = points
    rim = 3
    low, high = (flat.min(axis=0), flat.max(axis=0)) if len(flat) else (np.zeros(3), np.zeros(3))
    size = np.floor((high - low) / edge) + 1 + 2 * rim
    if not np.prod(size) < MOST_CELLS:
        raise DataError(
            f"the localizations extend over {high[0] - low[0]:.3g} x {high[1] - low[1]:.3g} nm, too far for a distance of {edge:.3g} nm.",
            code="D611", hint="Filter out far-away localizations.",
        )  # fmt: skip
    width, height, _ = (int(value) for value in size)
    cell = np.floor((flat - low) / edge).astype(np.int64) + rim
    key = (cell[:, 2] * height + cell[:, 1]) * width + cell[:, 0]
    order = np.argsort(key, kind="stable")
    keys, starts = np.unique(key[order], return_index=True)
    return Cells(flat[order], order, keys, np.append(starts, len(flat)), width, width * height)


@numba.njit(cache=True, nogil=True)
def first_at_least(keys: Any, key: int) -> int:
    """Index of the first cell whose key is not below `key`."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low
