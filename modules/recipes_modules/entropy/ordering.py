"""Orders and groups of rows, compiled. Importing this file imports numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def in_order(values: Any) -> bool:
    """Whether no value is below the one before it."""
    ordered = True
    for i in range(1, len(values)):
        ordered &= values[i] >= values[i - 1]
    return ordered


@numba.njit(cache=True, nogil=True)
def group_by(values: Any, edges: Any, group: Any) -> None:
    """Number of edges below each value."""
    for i in range(len(values)):
        count = 0
        for edge in edges:
            count += edge < values[i]
        group[i] = count


@numba.njit(cache=True, nogil=True)
def count_groups(group: Any, counts: Any) -> None:
    """Add the number of rows of each group."""
    for k in group:
        counts[k] += 1


@numba.njit(cache=True, nogil=True)
def place_keys(x: Any, y: Any, frame: Any, drift: Any, low: Any, inverse: Any, width: int, keys: Any) -> None:
    """Number of the square place that each event lies in."""
    for i in range(len(x)):
        t = frame[i]
        keys[i] = int((y[i] - drift[t, 1] - low[1]) * inverse) * width + int((x[i] - drift[t, 0] - low[0]) * inverse)


@numba.njit(cache=True, nogil=True)
def order_by(keys: Any, n_keys: int, order: Any) -> None:
    """Indices that sort keys from 0 to `n_keys` - 1; equal ones keep their order."""
    begin = np.zeros(n_keys + 1, np.int64)
    for key in keys:
        begin[key + 1] += 1
    for key in range(n_keys):
        begin[key + 1] += begin[key]
    for i in range(len(keys)):
        key = keys[i]
        order[begin[key]] = i
        begin[key] += 1


@numba.njit(cache=True, nogil=True)
def renumber(mates: Any, rows: Any, number: Any, result: Any) -> None:
    """Mates of chosen rows, by their new numbers; `number` is -1 for rows that were left out."""
    for i in range(len(rows)):
        for side in range(2):
            j = mates[rows[i], side]
            result[i, side] = number[j] if j >= 0 else -1
