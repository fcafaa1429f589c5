"""Places within rows: edges as straight as can be, boxes above the middle of what they lead to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from recipes_core.drawing.layering import Bend, Item, Link, Rows

Array = npt.NDArray[np.float64]
_MOST_ITEMS = 4000


def place(
    rows: Rows, width: Callable[[Item], float], begin: Callable[[Link], float], end: Callable[[Link], float]
) -> dict[Item, float]:
    """The centre of each item along its row, in pixels; the leftmost edge is at 0.

    A linear programme: the sum of the sideways ways of all pieces of edges, long edges weighted more, is smallest while the items
    of a row keep their order and distance. Of all best solutions the middle one is taken.

    Parameters
    ----------
    rows : Rows
    width : callable
        Item -> width.
    begin, end : callable
        Link -> where it begins at its upper item and ends at its lower one, measured from their centres.
    """
    items = [item for row in rows.rows for item in row]
    if not items:
        return {}
    packed = _packed(rows, width)
    found = _straight(rows, items, packed, width, begin, end) if len(items) <= _MOST_ITEMS else packed
    left = min(found[index] - width(item) / 2 for index, item in enumerate(items))
    return {item: float(found[index] - left) for index, item in enumerate(items)}


def _gap(a: Item, b: Item) -> float:
    bends = isinstance(a, Bend) + isinstance(b, Bend)
    return (30.0, 18.0, 14.0)[bends]


def _packed(rows: Rows, width: Callable[[Item], float]) -> Array:
    """Each row side by side and in the middle."""
    found = []
    for row in rows.rows:
        places = [0.0]
        for a, b in pairwise(row):
            places.append(places[-1] + (width(a) + width(b)) / 2 + _gap(a, b))
        found.append(np.array(places[: len(row)]) - (places[-1] if row else 0.0) / 2)
    return np.concatenate(found)


def _straight(
    rows: Rows,
    items: list[Item],
    packed: Array,
    width: Callable[[Item], float],
    begin: Callable[[Link], float],
    end: Callable[[Link], float],
) -> Array:
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    index = {item: number for number, item in enumerate(items)}
    n, m = len(items), len(rows.links)
    entries: list[tuple[int, int, float]] = []
    limits: list[float] = []

    def at_most(terms: dict[int, float], limit: float) -> None:
        entries.extend((len(limits), column, factor) for column, factor in terms.items())
        limits.append(limit)

    for row in rows.rows:
        for a, b in pairwise(row):
            at_most({index[a]: 1.0, index[b]: -1.0}, -((width(a) + width(b)) / 2 + _gap(a, b)))
    for number, link in enumerate(rows.links):
        aside = end(link) - begin(link)
        upper, lower = index[link.upper], index[link.lower]
        at_most({upper: 1.0, lower: -1.0, n + number: -1.0}, aside)
        at_most({upper: -1.0, lower: 1.0, n + number: -1.0}, -aside)
    row_numbers, columns, factors = zip(*entries, strict=True) if entries else ((), (), ())
    matrix = coo_array((factors, (row_numbers, columns)), shape=(len(limits), n + m)).tocsr() if entries else None
    cost_aside = _weights(rows)
    room = float(packed.max() - packed.min()) + sum(abs(end(link) - begin(link)) for link in rows.links) + 1.0
    bounds = [(0.0, 2 * room)] * n + [(0.0, None)] * m
    sides = []
    for lean in (1.0, -1.0):
        # A slight pull to each side finds both ends of the range of best solutions.
        cost = np.concatenate([np.full(n, lean * 1e-4), cost_aside])
        solved = linprog(cost, A_ub=matrix, b_ub=limits or None, bounds=bounds, method="highs")
        if solved.x is None:
            return packed
        sides.append(solved.x[:n])
    middle: Array = (sides[0] + sides[1]) / 2
    return middle


def _weights(rows: Rows) -> list[float]:
    """What a pixel sideways costs: most within a long edge, more from one box to the next of a chain than where edges fan out."""
    leaving, arriving = Counter(link.upper for link in rows.links), Counter(link.lower for link in rows.links)

    def weight(link: Link) -> float:
        bends = isinstance(link.upper, Bend) + isinstance(link.lower, Bend)
        chained = leaving[link.upper] == 1 and arriving[link.lower] == 1
        return (3.0 if chained else 1.0, 2.0, 8.0)[bends]

    return [weight(link) for link in rows.links]
