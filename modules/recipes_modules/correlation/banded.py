"""Part of the inverse of a banded matrix, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def inverse_diagonal(factor: Any) -> Any:
    """Diagonal of the inverse of a positive definite banded matrix, in time and memory that grow with its band alone.

    The recursion of Takahashi et al. 1973: elements of the inverse within the band follow from those below and to the right.

    Parameters
    ----------
    factor : array (b + 1, n)
        Upper Cholesky factor as `scipy.linalg.cholesky_banded` gives it.

    Returns
    -------
    array (n,)
    """
    bands, n = factor.shape
    reach = bands - 1
    # Rows i to i + reach of the inverse, each from its diagonal on; row i is kept at i modulo the number of rows.
    kept = np.zeros((reach + 1, reach + 1))
    diagonal = np.empty(n)
    for i in range(n - 1, -1, -1):
        last = min(reach, n - 1 - i)
        pivot = factor[reach, i]
        row = kept[i % (reach + 1)]
        for d in range(last, 0, -1):
            total = 0.0
            for k in range(1, last + 1):
                low, high = min(k, d), max(k, d)
                total += factor[reach - k, i + k] * kept[(i + low) % (reach + 1), high - low]
            row[d] = -total / pivot
        total = 0.0
        for k in range(1, last + 1):
            total += factor[reach - k, i + k] * row[k]
        row[0] = (1.0 / pivot - total) / pivot
        diagonal[i] = row[0]
    return diagonal
