"""Least squares over redundant pairs: from shifts between windows to one position of each window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LONG = 2048
"""From so many windows on their errors are taken from the band of the inverse alone; its columns would fill the memory."""
LEAST_SPARE = 3
"""Pairs more than the positions need, from which it shows whether they agree."""


def choose_pairs(n: int, method: str, corr_window: int) -> Ints:
    """Which windows are compared.

    Parameters
    ----------
    n : int
        Number of windows.
    method : {'RCC', 'MCC', 'DCC'}
        DCC compares the first window with every other; the others compare each with its successors.
    corr_window : int
        How many successors; all of them where 0 or less.

    Returns
    -------
    array (p, 2)
        Pairs (i, j) with i < j, ordered by j.
    """
    if method == "DCC":
        return np.array([(0, j) for j in range(1, n)], dtype=np.int64)
    reach = corr_window if corr_window > 0 else n
    return np.array([(i, j) for j in range(1, n) for i in range(max(0, j - reach), j)], dtype=np.int64)


@dataclass(frozen=True)
class Solution:
    """Positions of the windows.

    Attributes
    ----------
    positions : array (n, d)
        What must be added to each window; 0 for the first.
    error : array (n, d) or None
        Standard error from the residuals of the pairs, 0 for the first; None where there is no redundancy.
    used : array (p,) of bool
        Pairs that took part.
    residual : array (p,)
        Distance of each pair's shift from the positions.
    bridges : array (p,) of bool
        Pairs that were kept in spite of their residual, because they alone hold some windows to the others.
    """

    positions: Floats
    error: Floats | None
    used: Mask
    residual: Floats
    bridges: Mask


def solve_pairs(
    n: int, pairs: Ints, shifts: Floats, weights: Floats, *, reject_above: float | None, robust: bool = True
) -> Solution:
    """Positions of `n` windows from the shifts between pairs of them.

    The shift of pair (i, j) measures ``position[j] - position[i]``. Pairs that contradict the others are first found by a
    robust fit (iteratively reweighted towards least absolute residuals: a gross outlier must not drag good pairs over the
    bound), then left out, largest residual first, as long as every window stays connected; the rest is solved by weighted least
    squares. (Wang et al. 2014 find them by an ordinary fit.)

    Parameters
    ----------
    n : int
    pairs : array (p, 2)
    shifts : array (p, d)
        Not finite where a pair gave no peak.
    weights : array (p,)
    reject_above : float or None
        Bound on the residual; None keeps all pairs.
    robust : bool
        Take the residuals from a robust fit; otherwise from an ordinary one.

    Raises
    ------
    ValueError
        Where the pairs with finite shifts do not connect all windows; see `connected_windows`.
    """
    found = np.isfinite(shifts).all(axis=1)
    if not connected_windows(n, pairs[found]).all():
        raise ValueError("the pairs do not connect all windows")
    used = found.copy()
    bridges = np.zeros(len(pairs), bool)
    if reject_above is not None:
        fit = _robust_positions if robust else _positions
        rough = fit(n, pairs[found], shifts[found], weights[found])
        residual = _residuals(pairs, shifts, rough)
        used &= residual <= reject_above
        bridges = _reconnect(n, pairs, residual, used, found)
    positions = _positions(n, pairs[used], shifts[used], weights[used])
    residual = _residuals(pairs, shifts, positions)
    error = _standard_errors(n, pairs[used], shifts[used], weights[used], positions)
    return Solution(positions, error, used, residual, bridges)


def _residuals(pairs: Ints, shifts: Floats, positions: Floats) -> Floats:
    return np.asarray(np.linalg.norm(shifts - (positions[pairs[:, 1]] - positions[pairs[:, 0]]), axis=1))


def _robust_positions(n: int, pairs: Ints, shifts: Floats, weights: Floats, rounds: int = 30) -> Floats:
    factor = np.ones(len(pairs))
    positions = np.zeros((n, shifts.shape[1]))
    for _ in range(rounds):
        before = positions
        positions = _positions(n, pairs, shifts, weights * factor)
        residual = _residuals(pairs, shifts, positions)
        floor = max(1e-3, 0.1 * float(np.median(residual)))
        factor = 1.0 / np.maximum(residual, floor)
        factor /= factor.max()
        if np.abs(positions - before).max() < 1e-3:
            break
    return positions


def agreement(n: int, residual: Floats, within: float) -> float:
    """How many of the pairs that could contradict the others do not; NaN where too few could.

    A position for each window makes as many pairs fit as there are windows but one, whatever they show: those do not count.

    Parameters
    ----------
    n : int
        Number of windows.
    residual : array (p,)
        Distance of each pair's shift from the positions; not finite where it has no peak.
    within : float
        Up to this residual a pair agrees.
    """
    spare = len(residual) - (n - 1)
    if spare < LEAST_SPARE:
        return float("nan")
    return max(0, np.count_nonzero(residual <= within) - (n - 1)) / spare


def _laplacian(n: int, pairs: Ints, weights: Floats) -> Floats:
    # Normal matrix without the first window, whose position is 0, as the upper bands that LAPACK takes.
    reach = int((pairs[:, 1] - pairs[:, 0]).max())
    bands = np.zeros((reach + 1, n))
    for side in (0, 1):
        np.add.at(bands[reach], pairs[:, side], weights)
    np.add.at(bands, (reach - (pairs[:, 1] - pairs[:, 0]), pairs[:, 1]), -weights)
    bands = bands[:, 1:]
    return bands[max(0, reach - (n - 2)) :]


def _positions(n: int, pairs: Ints, shifts: Floats, weights: Floats) -> Floats:
    from scipy.linalg import solveh_banded

    right = np.zeros((n, shifts.shape[1]))
    np.add.at(right, pairs[:, 1], weights[:, np.newaxis] * shifts)
    np.subtract.at(right, pairs[:, 0], weights[:, np.newaxis] * shifts)
    positions = np.zeros_like(right)
    positions[1:] = solveh_banded(_laplacian(n, pairs, weights), right[1:], check_finite=False)
    return positions


def _standard_errors(n: int, pairs: Ints, shifts: Floats, weights: Floats, positions: Floats) -> Floats | None:
    from scipy.linalg import cho_solve_banded, cholesky_banded

    freedom = len(pairs) - (n - 1)
    if freedom <= 0:
        return None
    error = np.zeros_like(positions)
    difference = shifts - (positions[pairs[:, 1]] - positions[pairs[:, 0]])
    variance = (weights[:, np.newaxis] * difference**2).sum(axis=0) / freedom
    factor = cholesky_banded(_laplacian(n, pairs, weights), check_finite=False)
    if n > LONG:
        from recipes_modules.correlation.banded import inverse_diagonal

        error[1:] = np.sqrt(np.maximum(inverse_diagonal(factor), 0.0)[:, np.newaxis] * variance)
        return error
    block = 512
    for start in range(0, n - 1, block):
        stop = min(start + block, n - 1)
        unit = np.zeros((n - 1, stop - start))
        unit[np.arange(start, stop), np.arange(stop - start)] = 1.0
        columns = cho_solve_banded((factor, False), unit, check_finite=False)
        diagonal = columns[np.arange(start, stop), np.arange(stop - start)]
        error[1 + start : 1 + stop] = np.sqrt(np.maximum(diagonal, 0.0)[:, np.newaxis] * variance)
    return error


def _find(parent: Ints, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = int(parent[node])
    return node


def connected_windows(n: int, pairs: Ints) -> Mask:
    """Which windows belong to the largest set that pairs connect; of equal ones, that of the earliest window."""
    parent = np.arange(n)
    for i, j in pairs:
        parent[_find(parent, int(i))] = _find(parent, int(j))
    roots = np.array([_find(parent, window) for window in range(n)])
    sizes = np.bincount(roots, minlength=n)
    return np.asarray(roots == roots[int(np.argmax(sizes[roots]))])


def _reconnect(n: int, pairs: Ints, residual: Floats, used: Mask, found: Mask) -> Mask:
    """Take rejected pairs back, smallest residual first, where they connect windows that nothing else does; say which.

    This is what dropping the largest residuals first while the rank stays full comes to.
    """
    parent = np.arange(n)
    for i, j in pairs[used]:
        parent[_find(parent, int(i))] = _find(parent, int(j))
    candidates = np.flatnonzero(found & ~used)
    bridges = np.zeros(len(pairs), bool)
    for index in candidates[np.argsort(residual[candidates], kind="stable")]:
        a, b = _find(parent, int(pairs[index, 0])), _find(parent, int(pairs[index, 1]))
        if a != b:
            parent[a] = b
            bridges[index] = True
    used |= bridges
    return bridges


def lone_windows(n: int, pairs: Ints, solution: Solution) -> Mask:
    """Windows that agree with no other while most of the others agree: what they show is not what the rest shows."""
    agreeing = pairs[solution.used & ~solution.bridges]
    main = connected_windows(n, agreeing)
    lone = np.ones(n, bool)
    lone[agreeing.ravel()] = False
    return lone if 2 * np.count_nonzero(main) > n else np.zeros(n, bool)
