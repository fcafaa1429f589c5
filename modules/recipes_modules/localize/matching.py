"""Which found position is which true one, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DENSE = 1_000_000
"""Groups with more combinations than this are solved as sparse graphs."""


@dataclass(frozen=True)
class Matches:
    """Pairs of found and true positions; each row is in one pair at most.

    Attributes
    ----------
    found, truth : array (m,)
        Rows of the two tables, sorted by the row of the truth.
    distance : array (m,)
        nm.
    """

    found: Ints
    truth: Ints
    distance: Floats

    def __len__(self) -> int:
        return len(self.found)


def match(
    found: npt.ArrayLike,
    found_frame: npt.ArrayLike,
    truth: npt.ArrayLike,
    truth_frame: npt.ArrayLike,
    *,
    radius: float = 250.0,
    axial: float | None = None,
    method: str = "optimal",
) -> Matches:
    """Match positions of the same frame.

    Parameters
    ----------
    found, truth : array (n, 2) or (n, 3)
        nm, finite.
    found_frame, truth_frame : array (n,) of int
    radius : float
        Largest distance in the plane, nm.
    axial : float, optional
        Largest distance along z, nm; then z counts in the distance that is made small.
    method : {'optimal', 'greedy'}
        As many pairs as there can be and then the least sum of distances (Kuhn 1955, doi:10.1002/nav.3800020109), or the
        nearest pair first.

    Returns
    -------
    Matches
    """
    a, b = _spatial(found, axial), _spatial(truth, axial)
    frame_a, frame_b = np.asarray(found_frame, np.int64), np.asarray(truth_frame, np.int64)
    order_a, order_b = np.lexsort((a[:, 0], frame_a)), np.lexsort((b[:, 0], frame_b))
    reach = np.inf if axial is None else float(axial)
    pairs = _pairs(a[order_a], frame_a[order_a], b[order_b], frame_b[order_b], float(radius), reach)
    first, second, distance = order_a[pairs[0]], order_b[pairs[1]], pairs[2]
    # Ties are broken by rows, so that the order in which pairs were met does not count.
    order = np.lexsort((first, second, distance))
    first, second, distance = first[order], second[order], distance[order]
    keep = _greedy(first, second, len(a), len(b)) if method == "greedy" else _optimal(first, second, distance, len(a), len(b))
    kept = keep[np.argsort(second[keep], kind="stable")]
    return Matches(first[kept], second[kept], distance[kept])


def _spatial(values: npt.ArrayLike, axial: float | None) -> Floats:
    array = np.asarray(values, np.float64)
    out = np.zeros((len(array), 3))
    used = min(array.shape[1], 2 if axial is None else 3)
    out[:, :used] = array[:, :used]
    return out


@numba.njit(cache=True, nogil=True)
def _sweep(
    a: Any, frame_a: Any, b: Any, frame_b: Any, radius: float, axial: float, first: Any, second: Any, distance: Any
) -> int:
    """Pairs within reach; rows are sorted by frame, then x. Counts only where the outputs are empty."""
    n, low = 0, 0
    fill = first.size > 0
    for i in range(a.shape[0]):
        while low < b.shape[0] and (frame_b[low] < frame_a[i] or (frame_b[low] == frame_a[i] and b[low, 0] < a[i, 0] - radius)):
            low += 1
        j = low
        while j < b.shape[0] and frame_b[j] == frame_a[i] and b[j, 0] <= a[i, 0] + radius:
            dx, dy, dz = a[i, 0] - b[j, 0], a[i, 1] - b[j, 1], a[i, 2] - b[j, 2]
            if dx * dx + dy * dy <= radius * radius and abs(dz) <= axial:
                if fill:
                    first[n], second[n], distance[n] = i, j, np.sqrt(dx * dx + dy * dy + dz * dz)
                n += 1
            j += 1
    return n


def _pairs(a: Floats, frame_a: Ints, b: Floats, frame_b: Ints, radius: float, axial: float) -> tuple[Ints, Ints, Floats]:
    none = np.empty(0, np.int64)
    n = _sweep(a, frame_a, b, frame_b, radius, axial, none, none, np.empty(0))
    first, second, distance = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    if n:
        _sweep(a, frame_a, b, frame_b, radius, axial, first, second, distance)
    return first, second, distance


@numba.njit(cache=True, nogil=True)
def _nearest_first(first: Any, second: Any, used_a: Any, used_b: Any, keep: Any) -> int:
    n = 0
    for k in range(first.size):
        if not used_a[first[k]] and not used_b[second[k]]:
            used_a[first[k]] = used_b[second[k]] = True
            keep[n] = k
            n += 1
    return n


def _greedy(first: Ints, second: Ints, n_a: int, n_b: int) -> Ints:
    """Indices of the pairs that are taken; pairs are sorted by distance."""
    keep = np.empty(len(first), np.int64)
    n = _nearest_first(first, second, np.zeros(n_a, bool), np.zeros(n_b, bool), keep)
    return keep[:n]


def _optimal(first: Ints, second: Ints, distance: Floats, n_a: int, n_b: int) -> Ints:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(first):
        return np.empty(0, np.int64)
    graph = coo_array((np.ones(len(first), np.int8), (first, n_a + second)), shape=(n_a + n_b, n_a + n_b))
    _, label = connected_components(graph, directed=False)
    group = label[first]
    order = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1))
    alone = np.diff(bounds) == 1
    kept = [order[bounds[:-1][alone]]]
    for start, stop in zip(bounds[:-1][~alone], bounds[1:][~alone], strict=True):
        part = order[start:stop]
        kept.append(part[_assign(first[part], second[part], distance[part])])
    return np.concatenate(kept)


def _assign(first: Ints, second: Ints, distance: Floats) -> Ints:
    """Indices of the pairs of one group that are taken: most pairs, then the least sum of distances."""
    rows, i = np.unique(first, return_inverse=True)
    columns, j = np.unique(second, return_inverse=True)
    n, m = len(rows), len(columns)
    if min(n, m) == 1:
        # Pairs are sorted by distance.
        return np.zeros(1, np.int64)
    # Leaving a pair out costs more than all distances together.
    dear = (distance.sum() + 1.0) * 2
    which = np.full((n, m), -1) if n * m <= DENSE else None
    if which is not None:
        from scipy.optimize import linear_sum_assignment

        cost = np.full((n, m), dear)
        cost[i, j] = distance
        which[i, j] = np.arange(len(first))
        taken = which[linear_sum_assignment(cost)]
        return np.asarray(taken[taken >= 0])
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    # Each row has a partner of its own that stands for none; weights of 0 would be taken as absent.
    weights = np.concatenate([distance + 1.0, np.full(n, dear)])
    graph = coo_array((weights, (np.concatenate([i, np.arange(n)]), np.concatenate([j, m + np.arange(n)]))), shape=(n, m + n))
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph.tocsr())
    number = {(int(p), int(q)): k for k, (p, q) in enumerate(zip(i, j, strict=True))}
    pairs = zip(matched_rows.tolist(), matched_columns.tolist(), strict=True)
    return np.array([number[pair] for pair in pairs if pair[1] < m], np.int64)
