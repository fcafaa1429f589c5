"""What is drawn can be read."""

import itertools

import numpy as np
import pytest

from recipes_core.data import Figure, Panel, Series
from recipes_core.io.draw import to_png


@pytest.fixture
def drawn(monkeypatch):
    """Function that draws a figure and returns matplotlib's, laid out."""
    from matplotlib.figure import Figure as Canvas

    kept = []
    saved = Canvas.savefig
    monkeypatch.setattr(Canvas, "savefig", lambda self, *args, **more: (kept.append(self), saved(self, *args, **more))[1])

    def draw(figure):
        assert to_png(figure).startswith(b"\x89PNG")
        return kept[-1]

    return draw


@pytest.mark.parametrize("top", [900, 7_000, 9_900, 67_000, 99_999, 640_000, 7_000_000, 3e9])
@pytest.mark.parametrize("low", [0.0, -1.0])
def test_numbers_along_x_do_not_overlap(drawn, top, low):
    x = np.linspace(low * top, top, 50)
    panel = Panel([Series("bars", x, x**2)], x_label="photons of a molecule")
    canvas = drawn(Figure([panel], panel_size=(4.0, 2.8)))
    for axis in canvas.axes:
        low_limit, high_limit = axis.get_xlim()
        shown = [
            tick.label1
            for tick in axis.xaxis.get_major_ticks()
            if tick.label1.get_text() and low_limit <= tick.get_loc() <= high_limit
        ]
        assert len(shown) >= 3
        boxes = [label.get_window_extent() for label in shown]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_whole_numbers_have_whole_ticks(drawn):
    canvas = drawn(Figure([Panel([Series("bars", np.arange(1, 18), np.arange(17))])], panel_size=(4.0, 2.8)))
    ticks = canvas.axes[0].get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))


@pytest.mark.parametrize("title", ["Steps", "Distance to the nearest neighbour"])
@pytest.mark.parametrize("note", ["median 9.24 nm, Clark-Evans 0.347", "a line of\ntwo parts, the longer one below"])
@pytest.mark.parametrize("width", [3.2, 4.0, 7.0])
def test_a_title_and_its_note_do_not_meet(drawn, title, note, width):
    x = np.linspace(0, 1, 20)
    canvas = drawn(Figure([Panel([Series("line", x, x)], title=title, note=note, y_label="y")], panel_size=(width, 2.8)))
    texts = [text for text in canvas.axes[0].get_children() if getattr(text, "get_text", str)().strip() in (title, note)]
    left, right = sorted((text.get_window_extent() for text in texts), key=lambda box: box.x0)
    (shown,) = [text.get_text() for text in texts if text.get_text().strip() == title]
    # A title that stands above its note ends in empty lines.
    bottom = left.y1 - left.height / (1 + shown.count("\n"))
    assert left.x1 < right.x0 or bottom > right.y1 - 3
