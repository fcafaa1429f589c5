"""Widths of text, so that boxes fit what they hold without a browser to ask."""

from __future__ import annotations

import unicodedata

FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"

# Advance widths of the letters from space to tilde in thousandths of the size: those of Helvetica, which Arial and Liberation Sans keep.
_REGULAR = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278,
    584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667,
    944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556,
    333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
)  # fmt: skip
_BOLD = (
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 333, 333,
    584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667,
    944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611,
    389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584,
)  # fmt: skip


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line of text in pixels."""
    widths = _BOLD if bold else _REGULAR
    return sum(_letter(letter, widths) for letter in text) * size / 1000


def _letter(letter: str, widths: tuple[int, ...]) -> int:
    index = ord(letter) - 32
    if 0 <= index < len(widths):
        return widths[index]
    if unicodedata.combining(letter):
        return 0
    return 1000 if unicodedata.east_asian_width(letter) in "WF" else 680


def shortened(text: str, most: float, size: float, *, bold: bool = False) -> str:
    """The text, with its middle left out where it is wider than `most` pixels: names differ at both ends."""
    if text_width(text, size, bold=bold) <= most:
        return text
    keep = len(text) - 1
    while keep > 2 and text_width(_without_middle(text, keep), size, bold=bold) > most:
        keep -= 1
    return _without_middle(text, keep)


def _without_middle(text: str, keep: int) -> str:
    tail = keep // 3
    return f"{text[: keep - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"
