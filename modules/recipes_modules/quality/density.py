"""How many localizations lie around each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MOST_CELLS = 2**26


def local_density(x: npt.ArrayLike, y: npt.ArrayLike, radius: float) -> npt.NDArray[np.float64]:
    """Other localizations in the square around each, over its area, 1/um^2.

    Cells of a grid stand for the places within them, so the square is centred on the cell and not on the localization.

    Parameters
    ----------
    x, y : array (n,)
        nm, finite.
    radius : float
        Half of the square's edge, nm.
    """
    cell = 2 * radius / 3
    places = [np.floor((np.asarray(values, dtype=np.float64) - np.min(values)) / cell).astype(np.int64) for values in (x, y)]
    wide, high = (int(place.max()) + 3 for place in places)
    column, row = places[0] + 1, places[1] + 1
    key = row * wide + column
    if wide * high <= MOST_CELLS:
        counts = np.bincount(key, minlength=wide * high)
        total = sum(counts[key + dy * wide + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    else:
        # A field with strays far away: only cells that hold something are kept.
        cells, numbers = np.unique(key, return_counts=True)
        total = np.zeros(len(key), dtype=np.int64)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                wanted = key + dy * wide + dx
                at = np.minimum(np.searchsorted(cells, wanted), len(cells) - 1)
                total += np.where(cells[at] == wanted, numbers[at], 0)
    return np.asarray((total - 1) / (2 * radius / 1000) ** 2)
