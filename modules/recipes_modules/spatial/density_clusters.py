"""DBSCAN (Ester et al. 1996) on a grid. Importing this file imports numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.spatial.cells import first_at_least, sort_into_cells

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def dbscan(points: Floats, radius: float, fewest: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Clusters of points that have at least `fewest` points (themselves included) within a radius.

    Cells are so small that all points of one lie within the radius of each other: pairs are looked at only where that does not tell,
    and time and memory do not grow with the number of neighbours.

    Parameters
    ----------
    points : array (n, 2 or 3)
        nm, finite.

    Returns
    -------
    label : array (n,)
        From 0 in the order of each cluster's first core point; -1 for noise. A point that is no core belongs to the nearest core
        within the radius.
    core : array (n,) of bool
    """
    cells = sort_into_cells(points, radius / np.sqrt(points.shape[1]))
    n = len(points)
    core = np.zeros(n, np.bool_)
    deep = points.shape[1] == 3
    arguments = (cells.points, cells.keys, cells.starts, cells.stride_y, cells.stride_z, deep, radius * radius)
    _find_cores(*arguments, fewest, core)
    parent = np.arange(len(cells.keys))
    _join(*arguments, core, parent)
    found = np.full(n, -1, np.int64)
    _assign(*arguments, core, parent, found)
    sorted_label, sorted_core = np.empty(n, np.int64), np.empty(n, np.bool_)
    sorted_label[cells.order], sorted_core[cells.order] = found, core
    return _numbered(sorted_label, sorted_core), sorted_core


def _numbered(label: Ints, core: npt.NDArray[np.bool_]) -> Ints:
    rows = np.flatnonzero(core)
    numbers, first = np.unique(label[rows], return_index=True)
    rank = np.empty(len(numbers), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(numbers))
    made = np.full(len(label), -1, np.int64)
    inside = label >= 0
    made[inside] = rank[np.searchsorted(numbers, label[inside])]
    return made


@numba.njit(cache=True, nogil=True)
def _near(points: Any, i: int, j: int) -> float:
    dx, dy, dz = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1], points[i, 2] - points[j, 2]
    return dx * dx + dy * dy + dz * dz


@numba.njit(cache=True, nogil=True)
def _find_cores(
    points: Any, keys: Any, starts: Any, stride_y: int, stride_z: int, deep: bool, limit: float, fewest: int, core: Any
) -> None:  # fmt: skip
    depth = 2 if deep else 0
    runs = np.empty((25, 2), np.int64)
    for c in range(len(keys)):
        a, b = starts[c], starts[c + 1]
        if b - a >= fewest:
            core[a:b] = True
            continue
        count = 0
        for dz in range(-depth, depth + 1):
            for dy in range(-2, 3):
                row = keys[c] + dz * stride_z + dy * stride_y
                first, last = first_at_least(keys, row - 2), first_at_least(keys, row + 3)
                if last > first:
                    runs[count, 0], runs[count, 1] = starts[first], starts[last]
                    count += 1
        for i in range(a, b):
            seen = 0
            for k in range(count):
                for j in range(runs[k, 0], runs[k, 1]):
                    if _near(points, i, j) <= limit:
                        seen += 1
                        if seen >= fewest:
                            break
                if seen >= fewest:
                    break
            core[i] = seen >= fewest


@numba.njit(cache=True, nogil=True)
def _root(parent: Any, c: int) -> int:
    while parent[c] != c:
        parent[c] = parent[parent[c]]
        c = parent[c]
    return c


@numba.njit(cache=True, nogil=True)
def _touch(points: Any, starts: Any, core: Any, c: int, d: int, limit: float) -> bool:
    for i in range(starts[c], starts[c + 1]):
        if core[i]:
            for j in range(starts[d], starts[d + 1]):
                if core[j] and _near(points, i, j) <= limit:
                    return True
    return False


@numba.njit(cache=True, nogil=True)
def _join(
    points: Any, keys: Any, starts: Any, stride_y: int, stride_z: int, deep: bool, limit: float, core: Any, parent: Any
) -> None:  # fmt: skip
    """Cores of one cell are of one cluster; so are those of two cells of which two lie within the radius."""
    depth = 2 if deep else 0
    for c in range(len(keys)):
        for dz in range(-depth, depth + 1):
            for dy in range(-2, 3):
                row = keys[c] + dz * stride_z + dy * stride_y
                for d in range(first_at_least(keys, row - 2), len(keys)):
                    if keys[d] > row + 2:
                        break
                    # Each pair of cells once.
                    if d <= c:
                        continue
                    root, other = _root(parent, c), _root(parent, d)
                    if root != other and _touch(points, starts, core, c, d, limit):
                        parent[max(root, other)] = min(root, other)


@numba.njit(cache=True, nogil=True)
def _assign(
    points: Any, keys: Any, starts: Any, stride_y: int, stride_z: int, deep: bool, limit: float, core: Any, parent: Any, label: Any
) -> None:  # fmt: skip
    depth = 2 if deep else 0
    for c in range(len(keys)):
        for i in range(starts[c], starts[c + 1]):
            if core[i]:
                label[i] = _root(parent, c)
                continue
            nearest = limit
            for dz in range(-depth, depth + 1):
                for dy in range(-2, 3):
                    row = keys[c] + dz * stride_z + dy * stride_y
                    for d in range(first_at_least(keys, row - 2), len(keys)):
                        if keys[d] > row + 2:
                            break
                        for j in range(starts[d], starts[d + 1]):
                            if core[j]:
                                square = _near(points, i, j)
                                if square < nearest or (square <= nearest and label[i] < 0):
                                    nearest = square
                                    label[i] = _root(parent, d)
