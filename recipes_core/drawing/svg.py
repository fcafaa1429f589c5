"""A recipe's graph as an SVG drawing."""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Mapping

from recipes_core.drawing.diagram import KEY_HEIGHT, KEY_SIZE, PADDING, SUBTITLE_SIZE, TITLE_SIZE, Box, Key, diagram_of
from recipes_core.drawing.layering import Bend, Item, Link, Rows, layered
from recipes_core.drawing.looks import EDGE, KEY, RESULT, SUBTITLE, TITLE
from recipes_core.drawing.ordering import reduce_crossings
from recipes_core.drawing.placing import place
from recipes_core.drawing.text_size import FONT
from recipes_core.graph import Graph

_MARGIN = 10.0
_ARROW = 7.0
_NEARLY = 4.0
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def draw_svg(graph: Graph, states: Mapping[str, str] | None = None, details: Mapping[str, str] | None = None) -> str:
    """The graph as an SVG document in ASCII, without scripts, styles or references: it can stand in a page, a notebook or a file.

    Steps are boxes with the keys that they make at the bottom; edges lead from a key down to the steps that take it. The ground
    is left open, and the colours hold on light and dark ones.

    Parameters
    ----------
    graph : Graph
    states : mapping, optional
        Step (or input) -> ``run``, ``current``, ``cached``, ``blocked`` or ``failed``; colours the boxes.
    details : mapping, optional
        Step (or input) -> a few words more, such as why it runs; a line in its box.
    """
    boxes = diagram_of(graph, states, details)
    return _Drawing(boxes).svg()


class _Drawing:
    """Boxes with their places."""

    def __init__(self, boxes: Mapping[str, Box]) -> None:
        self.boxes = boxes
        self.rows = self._ordered()
        self.entries = self._entries()
        self.x = place(self.rows, self._item_width, self._begin, self._end)
        self._straighten()
        self.top, self.depth = self._heights()

    # -- layout ----------------------------------------------------------------------------------------------------------

    def _ordered(self) -> Rows:
        rows = self._layered()
        reduce_crossings(rows, self._share)
        # Keys of a box in the order of what takes them; then once more, from there.
        at = {item: index for row in rows.rows for index, item in enumerate(row)}
        below: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for link in rows.links:
            if isinstance(link.upper, str):
                below[link.upper][link.key].append(at[link.lower])
        if not any(self._sort_keys(box, below[box.name]) for box in self.boxes.values()):
            return rows
        rows = self._layered()
        for row in rows.rows:
            row.sort(key=lambda item: self._rank(item, at))
        reduce_crossings(rows, self._share)
        return rows

    def _layered(self) -> Rows:
        nets = {(box.name, number): key.takers for box in self.boxes.values() for number, key in enumerate(box.keys)}
        return layered(list(self.boxes), nets)

    @staticmethod
    def _rank(item: Item, at: Mapping[Item, int]) -> float:
        return at.get(item, len(at))

    @staticmethod
    def _sort_keys(box: Box, below: Mapping[int, list[int]]) -> bool:
        before = list(box.keys)
        middle = {id(key): sum(below[n]) / len(below[n]) if n in below else float("inf") for n, key in enumerate(before)}
        box.keys.sort(key=lambda key: middle[id(key)])
        box.place_keys()
        return box.keys != before

    def _item_width(self, item: Item) -> float:
        return 2.0 if isinstance(item, Bend) else self.boxes[item].width

    def _share(self, link: Link) -> float:
        return 0.5 if isinstance(link.upper, Bend) else 0.5 + self._begin(link) / self.boxes[link.upper].width

    def _begin(self, link: Link) -> float:
        if isinstance(link.upper, Bend):
            return 0.0
        box = self.boxes[link.upper]
        return box.keys[link.key].offset - box.width / 2

    def _end(self, link: Link) -> float:
        return 0.0 if isinstance(link.lower, Bend) else self.entries[link]

    def _entries(self) -> dict[Link, float]:
        """Where edges enter a box: side by side, in the order in which they come from above."""
        at = {item: index for row in self.rows.rows for index, item in enumerate(row)}
        arriving: dict[str, list[Link]] = defaultdict(list)
        for link in self.rows.links:
            if isinstance(link.lower, str):
                arriving[link.lower].append(link)
        entries = {}
        for name, links in arriving.items():
            step = min(26.0, (self.boxes[name].width - 24) / max(1, len(links)))
            links.sort(key=lambda link: at[link.upper] + self._share(link))
            for number, link in enumerate(links):
                entries[link] = step * (number - (len(links) - 1) / 2)
        return entries

    def _straighten(self) -> None:
        """Edges that nearly meet their box straight from above do."""
        for link in self.entries:
            aside = self.x[link.lower] + self._end(link) - self.x[link.upper] - self._begin(link)
            if abs(aside) <= _NEARLY:
                self.entries[link] -= aside

    def _heights(self) -> tuple[list[float], list[float]]:
        """Top and height of each row; the further edges go sideways, the more room they get."""
        depth = [max((self.boxes[item].height for item in row if isinstance(item, str)), default=0.0) for row in self.rows.rows]
        level = {item: number for number, row in enumerate(self.rows.rows) for item in row}
        aside = [0.0] * len(depth)
        for link in self.rows.links:
            way = abs(self.x[link.upper] + self._begin(link) - self.x[link.lower] - self._end(link))
            aside[level[link.upper]] = max(aside[level[link.upper]], way)
        top, y = [], 0.0
        for height, way in zip(depth, aside, strict=True):
            top.append(y)
            y += height + 34 + min(40.0, way / 9)
        return top, depth

    # -- drawing ---------------------------------------------------------------------------------------------------------

    def svg(self) -> str:
        width = max((x + self._item_width(item) / 2 for item, x in self.x.items()), default=0.0) + 2 * _MARGIN
        height = (self.top[-1] + self.depth[-1] if self.top else 0.0) + 2 * _MARGIN
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}" '
            f'style="max-width:100%;height:auto" role="img" aria-label="graph of the recipe" font-family="{FONT}">',
            f'<g transform="translate({_n(_MARGIN)} {_n(_MARGIN)})">',
            f'<g fill="none" stroke="{EDGE}" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round">',
            *self._edges(),
            "</g>",
            *(self._box(name, number) for number, row in enumerate(self.rows.rows) for name in row if isinstance(name, str)),
            "</g></svg>",
        ]
        return "\n".join(line for line in lines if line).encode("ascii", "xmlcharrefreplace").decode() + "\n"

    def _box_top(self, name: str, level: int) -> float:
        return self.top[level] + (self.depth[level] - self.boxes[name].height) / 2

    def _edges(self) -> list[str]:
        level = {item: number for number, row in enumerate(self.rows.rows) for item in row}
        onward: dict[Item, list[Link]] = defaultdict(list)
        for link in self.rows.links:
            onward[link.upper].append(link)
        heads = [_head(self.x[link.lower] + self._end(link), self._box_top(link.lower, level[link.lower]))
                 for link in self.rows.links if isinstance(link.lower, str)]  # fmt: skip
        lines = []
        starts = [link for link in self.rows.links if isinstance(link.upper, str)]
        while starts:
            link = starts.pop()
            way = self._piece(link, level, turns_off=isinstance(link.upper, Bend))
            # One line as far as it goes straight on; what turns off it begins lines of its own.
            while isinstance(link.lower, Bend):
                first, *others = sorted(onward[link.lower], key=lambda piece: abs(self.x[piece.upper] - self.x[piece.lower]))
                starts += others
                link = first
                way += self._piece(link, level).partition(" ")[2].partition(" ")[2]
            source = self.boxes[link.source]
            lines.append(f'<path d="{way}"{_DASHES if source.is_input and source.look.dashed else ""}/>')
        lines += [self._back(link, level) for link in self.rows.back]
        return [*lines, f'<g fill="{EDGE}" stroke="none">{"".join(heads)}</g>' if heads else ""]

    def _piece(self, link: Link, level: Mapping[Item, int], *, turns_off: bool = False) -> str:
        above, below = level[link.upper], level[link.lower]
        x1, x2 = self.x[link.upper] + self._begin(link), self.x[link.lower] + self._end(link)
        start = (
            self.top[above] if isinstance(link.upper, Bend) else self._box_top(link.upper, above) + self.boxes[link.upper].height
        )
        y1, y2 = self.top[above] + self.depth[above], self.top[below]
        start, stop = y1 if turns_off else start, y2
        if isinstance(link.lower, str):
            stop, y2 = self._box_top(link.lower, below) - _ARROW + 1, y2 - _ARROW + 1
        return _curve(x1, start, y1, x2, y2, stop)

    def _back(self, link: Link, level: Mapping[Item, int]) -> str:
        """An edge that leads up, of a recipe whose steps need each other in a circle."""
        assert isinstance(link.lower, str)
        x1, x2 = self.x[link.upper] + self._begin(link), self.x[link.lower]
        y1 = self.top[level[link.upper]] + self.depth[level[link.upper]]
        y2 = self.top[level[link.lower]]
        return f'<path d="M{_n(x1)} {_n(y1)}C{_n(x1)} {_n(y1 + 60)} {_n(x2)} {_n(y2 - 60)} {_n(x2)} {_n(y2)}" stroke="#dc4444"{_DASHES}/>'

    def _box(self, name: str, level: int) -> str:
        box = self.boxes[name]
        left, top, look = self.x[name] - box.width / 2, self._box_top(name, level), box.look
        radius = box.height / 2 if box.is_input else 7
        parts = [
            f'<g transform="translate({_n(left)} {_n(top)})"><title>{_safe(box.note)}</title>',
            f'<rect width="{_n(box.width)}" height="{_n(box.height)}" rx="{_n(radius)}" fill="{look.fill}" stroke="{look.line}" '
            f'stroke-width="1.3"{_DASHES if look.dashed else ""}/>',
        ]
        side = PADDING + (6 if box.is_input else 0)
        centred = not look.word
        x, anchor = (box.width / 2, ' text-anchor="middle"') if centred else (side, "")
        parts.append(
            f'<text x="{_n(x)}" y="21.5" font-size="{_n(TITLE_SIZE)}" font-weight="bold" fill="{TITLE}"{anchor}>{_safe(box.title)}</text>'
        )
        if look.word:
            parts.append(
                f'<text x="{_n(box.width - side)}" y="21.5" font-size="{_n(SUBTITLE_SIZE)}" fill="{look.text}" text-anchor="end">'
                f"{_safe(look.word)}</text>"
            )
        y = 37.0
        for text, colour in ((box.subtitle, SUBTITLE), (box.detail, look.text)):
            if text:
                parts.append(
                    f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(SUBTITLE_SIZE)}" fill="{colour}"{anchor}>{_safe(text)}</text>'
                )
                y += 15
        parts += [_key(key, box.height) for key in box.keys if box.shows_keys]
        return "".join(parts) + "</g>"


_DASHES = ' stroke-dasharray="4 3"'


def _key(key: Key, height: float) -> str:
    look = RESULT if key.is_result else KEY
    top = height - KEY_HEIGHT - 6
    return (
        f'<g><title>{_safe(key.note)}</title><rect x="{_n(key.offset - key.width / 2)}" y="{_n(top)}" width="{_n(key.width)}" '
        f'height="{_n(KEY_HEIGHT)}" rx="4" fill="{look.fill}" stroke="{look.line}"/><text x="{_n(key.offset)}" y="{_n(top + 12.7)}" '
        f'font-size="{_n(KEY_SIZE)}" fill="{look.text}" text-anchor="middle">{_safe(key.label)}</text></g>'
    )


def _curve(x1: float, start: float, y1: float, x2: float, y2: float, stop: float) -> str:
    """Down from `start` to `y1`, over to `x2` at `y2` in a smooth curve, and down to `stop`."""
    if abs(x1 - x2) < 0.5:
        return f"M{_n(x1)} {_n(start)} V{_n(stop)}"
    bow = (y2 - y1) * 0.55
    way = f"M{_n(x1)} {_n(start)} " + (f"V{_n(y1)}" if y1 - start > 0.5 else "")
    way += f"C{_n(x1)} {_n(y1 + bow)} {_n(x2)} {_n(y2 - bow)} {_n(x2)} {_n(y2)}"
    return way + (f"V{_n(stop)}" if stop - y2 > 0.5 else "")


def _head(x: float, y: float) -> str:
    return f'<path d="M{_n(x)} {_n(y - 0.5)}l-3.6 {_n(-_ARROW)}h7.2z"/>'


def _safe(text: str) -> str:
    return html.escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text), quote=True)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
