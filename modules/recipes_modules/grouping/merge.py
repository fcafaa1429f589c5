"""One row of all rows that have one number: sums, means, means weighted by standard errors. Importing this file imports numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Array = npt.NDArray[Any]


def sizes(label: Ints, count: int) -> npt.NDArray[np.int64]:
    """Rows that have each number."""
    return np.bincount(label, minlength=count)


def sums(values: Array, label: Ints, count: int) -> Floats:
    """Sum of each number's rows, added up in the order of rows."""
    made = np.zeros(count)
    _sum(values, label, made)
    return made


def means(values: Array, label: Ints, size: Array) -> Floats:
    """Mean of each number's rows; NaN where there is none."""
    with np.errstate(invalid="ignore"):
        return np.asarray(sums(values, label, len(size)) / size)


def weighted_means(values: Array, errors: Array, label: Ints, size: Array) -> tuple[Floats, Floats]:
    """Mean weighted by 1 / error**2, and its standard error.

    Rows whose error is not above 0 take no part where others of their number have one; where none has, the mean is the plain one and
    the error NaN.
    """
    sum_w, sum_wx = np.zeros(len(size)), np.zeros(len(size))
    _weighted(values, errors, label, sum_w, sum_wx)
    known = sum_w > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, error = sum_wx / sum_w, 1.0 / np.sqrt(sum_w)
    if not known.all():
        mean[~known] = means(values, label, size)[~known]
        error[~known] = np.nan
    return mean, error


def first_rows(label: Ints, count: int) -> npt.NDArray[np.int64]:
    """The first row of each number; -1 where there is none."""
    made = np.full(count, -1, np.int64)
    _first(label, made)
    return made


def last_rows(label: Ints, count: int) -> npt.NDArray[np.int64]:
    """The last row of each number; -1 where there is none."""
    made = np.full(count, -1, np.int64)
    made[label] = np.arange(len(label))
    return made


def rows_before(label: Ints, count: int) -> Ints:
    """The row before each one that has the same number; -1 for the first."""
    made = np.empty(len(label), np.int32)
    _before(label, np.full(count, -1, np.int32), made)
    return made


@numba.njit(cache=True, nogil=True)
def _sum(values: Any, label: Any, made: Any) -> None:
    for i in range(len(label)):
        made[label[i]] += values[i]


@numba.njit(cache=True, nogil=True)
def _weighted(values: Any, errors: Any, label: Any, sum_w: Any, sum_wx: Any) -> None:
    for i in range(len(label)):
        error = float(errors[i])
        if error > 0 and error < np.inf:
            w = 1.0 / (error * error)
            sum_w[label[i]] += w
            sum_wx[label[i]] += w * values[i]


@numba.njit(cache=True, nogil=True)
def _first(label: Any, made: Any) -> None:
    for i in range(len(label)):
        if made[label[i]] < 0:
            made[label[i]] = i


@numba.njit(cache=True, nogil=True)
def _before(label: Any, last: Any, made: Any) -> None:
    for i in range(len(label)):
        made[i] = last[label[i]]
        last[label[i]] = i
