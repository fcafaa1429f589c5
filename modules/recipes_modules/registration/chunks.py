"""Localizations in the order of frames, cut into chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_core.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DEFAULT_SIZE = 10_000
LEAST = 10
"""Fewest localizations that are registered with others."""


@dataclass(frozen=True)
class Cut:
    """How a table is cut; at most one of `ranges`, `size` and `number` is given.

    Parameters
    ----------
    ranges : sequence of (first, last)
        Frames of each chunk, both included.
    size : int
        Localizations in a chunk.
    number : int
        Chunks.
    alternating : bool
        Row i belongs to chunk i modulo the number of chunks; otherwise chunks follow one another.
    """

    ranges: Sequence[tuple[float, float]] = ()
    size: int | None = None
    number: int | None = None
    alternating: bool = False


@dataclass(frozen=True)
class Chunks:
    """Positions of the chunks, one after the other.

    Attributes
    ----------
    positions : array (n, d)
        Relative to `centre`, nm; d is 2 or 3.
    frames : array (n,)
    edges : array (k + 1,)
        Chunk i has the rows from ``edges[i]`` to ``edges[i + 1]``.
    centre : array (3,)
    n_left_out : int
        Localizations that are not finite, or lie in no chunk.
    n_missing : int
        Chunks that were asked for and hold too few localizations.
    """

    positions: Floats
    frames: Ints
    edges: Ints
    centre: Floats
    n_left_out: int = 0
    n_missing: int = 0

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def dimensions(self) -> int:
        return self.positions.shape[1]

    @property
    def sizes(self) -> Ints:
        """Localizations of each chunk."""
        return np.diff(self.edges)

    def rows(self, chunk: int) -> slice:
        return slice(int(self.edges[chunk]), int(self.edges[chunk + 1]))

    def points(self, chunk: int) -> Floats:
        """Positions (n, d) of one chunk."""
        return self.positions[self.rows(chunk)]

    def first_frames(self) -> Ints:
        return np.minimum.reduceat(self.frames, self.edges[:-1])

    def last_frames(self) -> Ints:
        return np.maximum.reduceat(self.frames, self.edges[:-1])

    def mean_frames(self) -> Floats:
        return np.add.reduceat(self.frames.astype(np.float64), self.edges[:-1]) / self.sizes


def cut_chunks(table: Localizations, cut: Cut, *, deep: bool) -> Chunks:
    """Take the localizations that have finite coordinates, put them in the order of frames and cut them.

    Chunks begin and end with a frame: a boundary that would fall inside a frame moves to the frame's nearer end. A last chunk that
    is filled by less than half joins the one before it.

    Raises
    ------
    DataError
        Where there are fewer than two chunks, or nothing that could be registered.
    """
    names = ("x", "y", "z") if deep else ("x", "y")
    good = table.finite_rows(*names, "frame")
    n_good = int(np.count_nonzero(good))
    if not n_good:
        raise DataError(
            "no localization has finite coordinates." if len(good) else "the table has no localizations.", code="D410"
        )
    chosen = table.only((*names, "frame"))
    if n_good < len(good):
        chosen = chosen.select(good)
    frames = chosen.frames
    positions = np.column_stack([np.asarray(chosen[name], dtype=np.float64) for name in names])
    if (np.diff(frames) < 0).any():
        # By position within a frame, so that the order of the rows does not matter.
        order = np.lexsort((*positions.T[::-1], frames))
        frames, positions = frames[order], positions[order]
    span = int(frames[-1] - frames[0]) + 1
    if span == 1:
        raise DataError(
            f"all {n_good:,} localizations lie in one frame ({frames[0]}), so there is no time in which the sample could drift."
            if n_good > 1 else "drift cannot be measured from 1 localization.",
            code="D410",
        )  # fmt: skip
    if not np.ptp(positions, axis=0)[:2].any():
        raise DataError("all localizations have the same position, so nothing shows a drift.", code="D415")
    rows, edges, n_missing = _divide(frames, cut)
    if rows is not None:
        frames, positions = frames[rows], positions[rows]
    centre = np.zeros(3)
    centre[: len(names)] = positions.mean(axis=0)
    return Chunks(positions - centre[: len(names)], frames, edges, centre, len(good) - len(frames), n_missing)


def _divide(frames: Ints, cut: Cut) -> tuple[Ints | None, Ints, int]:
    """Rows in the order of chunks (None where they are in it), the edges of the chunks, and how many have too few."""
    n = len(frames)
    if cut.ranges:
        low = np.searchsorted(frames, [first for first, _ in cut.ranges], "left")
        high = np.searchsorted(frames, [last for _, last in cut.ranges], "right")
    else:
        number = cut.number or _number(n, cut.size)
        if cut.alternating:
            rows = np.argsort(np.arange(n) % number, kind="stable")
            edges = np.concatenate([[0], np.cumsum(np.bincount(np.arange(n) % number, minlength=number))])
            _check(np.diff(edges), cut, n)
            return rows, edges, 0
        wanted = np.arange(1, number) * cut.size if cut.size else np.arange(1, number) * n / number
        if not cut.size and not cut.number:
            wanted = np.arange(1, number) * DEFAULT_SIZE
        inner = _to_frames(frames, np.asarray(wanted))
        low, high = np.concatenate([[0], inner]), np.concatenate([inner, [n]])
    sizes = high - low
    enough = sizes >= LEAST
    _check(sizes[enough], cut, n)
    low, high = low[enough], high[enough]
    edges = np.concatenate([[0], np.cumsum(high - low)])
    whole = edges[-1] == n
    rows = None if whole else np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)])
    return rows, edges, int(np.count_nonzero(~enough))


def _number(n: int, size: int | None) -> int:
    size = size or DEFAULT_SIZE
    whole, rest = divmod(n, size)
    return max(1, whole + (2 * rest >= size))


def _to_frames(frames: Ints, wanted: Floats) -> Ints:
    """Rows nearest to `wanted` at which a frame begins."""
    at = frames[np.minimum(np.rint(wanted).astype(np.int64), len(frames) - 1)]
    left, right = np.searchsorted(frames, at, "left"), np.searchsorted(frames, at, "right")
    return np.unique(np.where(wanted - left <= right - wanted, left, right))


def _check(sizes: Ints, cut: Cut, n: int) -> None:
    if len(sizes) >= 2 and sizes.min() >= LEAST:
        return
    if cut.ranges:
        text = f"only {len(sizes)} of the {len(cut.ranges)} chunks hold at least {LEAST} localizations."
        raise DataError(text, code="D460", hint="Give frames of the movie in chunks, or use n_chunks.")
    if cut.number:
        text = f"{cut.number} chunks of {n:,} localizations hold fewer than {LEAST} each, or lie in one frame."
        raise DataError(text, code="D460", hint="Set n_chunks lower.")
    size = cut.size or DEFAULT_SIZE
    hint = f"Set chunk_size to {n // 2} or less." if n >= 2 * LEAST else f"At least {2 * LEAST} localizations are needed."
    raise DataError(f"{n:,} localizations do not fill two chunks of {size:,}.", code="D460", hint=hint)
