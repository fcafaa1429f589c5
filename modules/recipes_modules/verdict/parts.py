"""Parts of a table from which the drift can be measured independently. Importing this file imports numba."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_modules.verdict.linking import molecules

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

LARGE = 0.002
"""A chain that holds more than this part of the localizations is dealt out by turns, not by chance."""
RESTART = 0.1
"""Frames that fall back by this part of the movie begin a new run of rows."""
MOST_RUNS = 50
FEWEST_PLACES = 10
"""Effective number of molecules that such a part should hold."""
MANY = 100
"""Chains that are enough to leave some out."""
EDGE = 0.1
"""Part of the field at each edge in which chains become fewer towards it."""
BETWEEN = 0.35, 0.65
"""Quantiles between which chains go to either side."""
BEAD_FRAMES, BEAD_PART = 1000, 0.1
"""A chain of so many localizations, and of such a part of the movie, is a bead."""


@dataclass(frozen=True)
class Blinks:
    """Localizations in the order of frames, and which chain each belongs to.

    Attributes
    ----------
    rows : array (n,)
        Row of the table; rows without position or frame are not there.
    label : array (n,)
    n : int
        Number of chains.
    """

    rows: Ints
    label: Ints
    n: int

    @property
    def sizes(self) -> Ints:
        """Localizations of each chain."""
        return np.bincount(self.label, minlength=self.n)


def find_blinks(table: Localizations, precision: float) -> Blinks:
    """Chains of localizations that are likely of one molecule.

    Parameters
    ----------
    precision : float
        Of a localization, nm; 0 where it is not known.
    """
    rows = np.flatnonzero(table.finite_rows("x", "y", "frame"))
    frames = table.frames if len(rows) == len(table) else table.select(rows).frames
    if (np.diff(frames) < 0).any():
        order = np.argsort(frames, kind="stable")
        rows, frames = rows[order], frames[order]
    x, y = (np.asarray(table[name])[rows] for name in "xy")
    near = [(column - np.median(column)).astype(np.float32) for column in (x, y)]
    radius = float(np.clip(6 * precision, 30, 200)) if precision > 0 else 100.0
    label, n = molecules(*near, (frames - frames[0]).astype(np.int32), radius)
    return Blinks(rows, label, n)


def middles(blinks: Blinks, corrected: Localizations) -> Floats:
    """Mean positions (n, 2) of the chains, drift corrected, so that they do not change place, nm."""
    sizes = np.maximum(blinks.sizes, 1)
    columns = [np.asarray(corrected[name], dtype=np.float64)[blinks.rows] for name in "xy"]
    return np.column_stack([np.bincount(blinks.label, column, blinks.n) / sizes for column in columns])


def halves(blinks: Blinks, places: Floats, rng: np.random.Generator, most: int) -> tuple[Ints, Ints]:
    """Rows of two halves; each chain is wholly in one of them, by chance.

    Towards the edges of the field chains are left out by chance, ever more of them: where localizations end sharply at an edge of the
    camera's field, this edge looks like a structure that does not move.

    Parameters
    ----------
    places : array (n, 2)
        Of the chains.
    most : int
        Localizations of a half, at most; where there are more, chains are left out by chance.
    """
    sizes = blinks.sizes
    half = rng.integers(0, 2, blinks.n)
    large = np.flatnonzero(sizes > max(1.0, LARGE * len(blinks.label)))
    by_size = large[np.argsort(-sizes[large], kind="stable")]
    half[by_size] = (np.arange(len(by_size)) + rng.integers(0, 2)) % 2
    kept = _thinned(blinks, places, rng, most)
    return _rows(blinks, half == 0, kept), _rows(blinks, half == 1, kept)


def sides(blinks: Blinks, places: Floats, rng: np.random.Generator, most: int) -> tuple[Ints, Ints]:
    """Rows of the left and the right half of the field; between them both are mixed, for a sharp edge would move with the correction."""
    sizes, x = blinks.sizes, places[:, 0]
    order = np.argsort(x, kind="stable")
    before = np.empty(blinks.n)
    before[order] = (np.cumsum(sizes[order]) - sizes[order] / 2) / len(blinks.label)
    low, high = np.interp(BETWEEN, before[order], x[order])
    mixed = blinks.n >= MANY and high > low
    left = rng.random(blinks.n) < np.clip((high - x) / (high - low), 0.0, 1.0) if mixed else before < 0.5
    kept = _thinned(blinks, places, rng, most)
    return _rows(blinks, left, kept), _rows(blinks, ~left, kept)


def _thinned(blinks: Blinks, places: Floats, rng: np.random.Generator, most: int) -> Mask:
    probability = np.full(blinks.n, min(1.0, 2 * most / len(blinks.label)))
    if blinks.n >= MANY:
        for axis in range(2):
            low, high = np.quantile(places[:, axis], (0.002, 0.998))
            if high > low:
                inside = np.minimum(places[:, axis] - low, high - places[:, axis]) / (EDGE * (high - low))
                probability *= np.clip(inside, 0.0, 1.0)
    return np.asarray(rng.random(blinks.n) < probability)


def without_beads(blinks: Blinks, length: int) -> Ints | None:
    """Rows that are no beads, which would outweigh all others; None where there are none, or hardly anything else."""
    bead = blinks.sizes >= max(BEAD_FRAMES, BEAD_PART * length)
    rows = blinks.rows[~bead[blinks.label]]
    return np.sort(rows) if bead.any() and len(rows) > len(blinks.rows) / 4 else None


def _rows(blinks: Blinks, chosen: Mask, kept: Mask) -> Ints:
    return np.asarray(blinks.rows[(chosen & kept)[blinks.label]])


def runs(frames: npt.NDArray[np.float64], blinks: Blinks) -> tuple[Ints, Ints] | None:
    """Rows of the earlier and of the later runs, where the frames of a table begin anew.

    Tables of several movies that were put together, or of several channels, look like that. None where the frames do not begin anew,
    or where a part holds few molecules, as in a table of tracks.
    """
    finite = np.flatnonzero(np.isfinite(frames))
    if len(finite) < 2:
        return None
    steps = np.diff(frames[finite])
    back = np.flatnonzero(steps < -RESTART * np.ptp(frames[finite])) + 1
    if not 0 < len(back) <= MOST_RUNS or np.count_nonzero(steps < 0) > 2 * len(back):
        return None
    at = int(back[np.argmin(np.abs(back - len(finite) / 2))])
    parts = finite[:at], finite[at:]
    label = np.full(len(frames), -1, np.int64)
    label[blinks.rows] = blinks.label
    for part in parts:
        sizes = np.bincount(label[part][label[part] >= 0]).astype(np.float64)
        if not sizes.any() or sizes.sum() ** 2 < FEWEST_PLACES * (sizes**2).sum():
            return None
    return parts
