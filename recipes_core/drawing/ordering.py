"""The order within rows: few crossings, by sweeps of barycentres and by trying the other places of a row."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise

from recipes_core.drawing.layering import Item, Link, Rows

_SWEEPS = 16
_PATIENCE = 4
_STARTS = 8
_LARGE = 400
_FURTHEST = 40
_Ends = Mapping[Item, list[tuple[Item, float]]]


def reduce_crossings(rows: Rows, key_share: Callable[[Link], float]) -> int:
    """Reorder the items of each row in place; return how many crossings are left.

    Parameters
    ----------
    rows : Rows
    key_share : callable
        Link -> where it begins at its upper item, from 0 at the left edge to 1 at the right.
    """
    up, down = _ends(rows, key_share)
    shuffled = random.Random(0)  # noqa: S311 - other places to start from, the same each time
    best, fewest = [list(row) for row in rows.rows], _all_crossings(rows.rows, down)
    start = rows.rows
    for _ in range(_STARTS if len(rows.links) < _LARGE else 1):
        found, left = _swept(start, up, down)
        if left < fewest:
            best, fewest = found, left
        if not fewest:
            break
        start = [shuffled.sample(row, len(row)) for row in rows.rows]
    rows.rows[:] = best
    return fewest


def _swept(start: list[list[Item]], up: _Ends, down: _Ends) -> tuple[list[list[Item]], int]:
    """The best order that sweeps from a given one find, and its crossings."""
    rows = [list(row) for row in start]
    best, fewest, idle = start, _all_crossings(rows, down), 0
    for sweep in range(_SWEEPS):
        if not fewest or idle == _PATIENCE:
            break
        downwards = sweep % 2 == 0
        levels = range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1)
        for level in levels:
            _sort(rows[level], rows[level - 1 if downwards else level + 1], up if downwards else down, flip=sweep % 4 >= 2)
        _sift(rows, up, down)
        left = _all_crossings(rows, down)
        idle += 1
        if left < fewest:
            best, fewest, idle = [list(row) for row in rows], left, 0
    return best, fewest


def _ends(rows: Rows, key_share: Callable[[Link], float]) -> tuple[_Ends, _Ends]:
    """For each item its ends in the row above, and in the row below: (other item, share of its width - 0.5)."""
    up: dict[Item, list[tuple[Item, float]]] = defaultdict(list)
    down: dict[Item, list[tuple[Item, float]]] = defaultdict(list)
    for link in rows.links:
        share = key_share(link) - 0.5
        up[link.lower].append((link.upper, share))
        down[link.upper].append((link.lower, share))
    return up, down


def _sort(row: list[Item], fixed: list[Item], ends: _Ends, *, flip: bool) -> None:
    place = {item: index for index, item in enumerate(fixed)}
    own = {item: index for index, item in enumerate(row)}
    above = bool(ends) and any(item in ends for item in row)
    if not above:
        return
    middle: dict[Item, float] = {}
    scale = len(fixed) / max(1, len(row))
    for item in row:
        found = [place[other] + share for other, share in ends.get(item, ()) if other in place]
        middle[item] = sum(found) / len(found) if found else own[item] * scale
    row.sort(key=lambda item: (round(middle[item], 6), -own[item] if flip else own[item]))


def _crossings(left: list[float], right: list[float]) -> int:
    """Crossings of the pieces of two items side by side, whose other ends stand at these places, sorted."""
    return sum(bisect_left(right, place) for place in left)


def _sift(rows: list[list[Item]], up: _Ends, down: _Ends) -> None:
    """Put each item where its row has the fewest crossings, as long as that takes some away."""
    for _ in range(3):
        changed = False
        for level, row in enumerate(rows):
            changed |= _sift_row(
                row, rows[level - 1] if level else [], rows[level + 1] if level + 1 < len(rows) else [], up, down
            )
        if not changed:
            return


def _sift_row(row: list[Item], above: list[Item], below: list[Item], up: _Ends, down: _Ends) -> bool:
    over, under = ({item: index for index, item in enumerate(side)} for side in (above, below))
    tops = {item: sorted(over[other] + share for other, share in up.get(item, ())) for item in row}
    # The ends below are those of this item's keys: what stands beside it is met at whole places.
    feet = {item: sorted(float(under[other]) for other, _ in down.get(item, ())) for item in row}

    def gain(left: Item, right: Item) -> int:
        """Crossings that go when two neighbours change places."""
        now = _crossings(tops[left], tops[right]) + _crossings(feet[left], feet[right])
        return now - _crossings(tops[right], tops[left]) - _crossings(feet[right], feet[left])

    changed = False
    for item in list(row):
        start = row.index(item)
        best, place = 0, start
        for step in (-1, 1):
            total, index = 0, start + step
            while 0 <= index < len(row) and abs(index - start) <= _FURTHEST:
                total += gain(row[index], item) if step < 0 else gain(item, row[index])
                if total > best:
                    best, place = total, index
                index += step
        if best:
            row.insert(place, row.pop(start))
            changed = True
    return changed


def _all_crossings(rows: list[list[Item]], down: _Ends) -> int:
    total = 0
    for row, below in pairwise(rows):
        place = {item: index for index, item in enumerate(below)}
        pieces = sorted((index + share, place[other]) for index, item in enumerate(row) for other, share in down.get(item, ()))
        seen: list[int] = []
        for _, end in pieces:
            total += len(seen) - bisect_left(seen, end + 1)
            insort(seen, end)
    return total
