"""Which localizations are likely of one molecule. Importing this file imports numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_modules.entropy.blinks import DARK, link, step_lengths
from recipes_modules.entropy.events import MATES_WITHIN, longest_link

Ints = npt.NDArray[np.int64]

BINS = 40
CELLS = 4096
"""Most cells along an edge of the field."""


@numba.njit(cache=True, nogil=True)
def _number(previous: Any, label: Any) -> int:
    count = 0
    for i in range(len(previous)):
        j = previous[i]
        if j < -1:
            label[i] = label[-2 - j]
        elif j >= 0:
            label[i] = label[j]
        else:
            label[i] = count
            count += 1
    return count


def molecules(x: Any, y: Any, frame: Any, radius: float) -> tuple[Ints, int]:
    """Number the chains of localizations that follow each other at one place.

    Parameters
    ----------
    x, y : array (n,) of float32
        nm, in the order of frames.
    frame : array (n,) of int32
    radius : float
        Longest step that is thought of, nm.

    Returns
    -------
    array (n,) of int64, and the number of chains.
    """
    none = np.empty(0, np.int32)
    previous = np.empty(len(x), np.int32)

    def find(apart: int, reach: float) -> float:
        low_x, low_y = float(x.min()), float(y.min())
        width, height = float(x.max()) - low_x, float(y.max()) - low_y
        edge = max(reach, max(width, height) / CELLS)
        cells = np.full((int(height / edge) + 3, int(width / edge) + 3, 2), -1, np.int32)
        link(x, y, frame, none, apart, edge, low_x, low_y, cells, previous)
        return edge

    edge = find(DARK + 1, radius)
    histogram = np.zeros(BINS, np.int64)
    step_lengths(x, y, previous, edge, histogram)
    longest = longest_link(histogram, edge)
    if longest > 0:
        # Molecules that come back soon are one too; what lies as near by chance does no harm.
        find(MATES_WITHIN, longest)
    else:
        previous[previous >= 0] = -1
    label = np.empty(len(x), np.int64)
    return label, int(_number(previous, label))
