"""Drawings of recipes: nothing overlaps, edges lead down and end where they should, few cross, any name can be drawn."""

import itertools
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes_core.data import Localizations
from recipes_core.drawing.diagram import Box, Key
from recipes_core.drawing.forms import as_mermaid, as_text, draw_dot, draw_svg
from recipes_core.drawing.layering import Bend, layered
from recipes_core.drawing.looks import PLAIN
from recipes_core.drawing.ordering import reduce_crossings
from recipes_core.drawing.placing import place
from recipes_core.drawing.svg import _Drawing
from recipes_core.drawing.text_size import shortened, text_width
from recipes_core.graph import build_graph
from recipes_core.language.document import StepSpec
from recipes_core.module import ModuleBase
from recipes_core.ports import Input, Output
from recipes_core.recipe import Recipe

SVG = "{http://www.w3.org/2000/svg}"
EXAMPLES = (
    "correct_drift_locs",
    "correct_drift_images",
    "correct_drift_locs_load",
    "correct_drift_images_load",
    "simulate_wormlike",
)
AWKWARD = (
    '<script>alert("1")</script>',
    "a & b",
    'it\'s \\N "quoted"',
    "]]>",
    "µm 細胞",
    "x" * 300,
    "\ud800\ufffe",
    "end;}",
    "${x}",
    "--> y",
)


class Takes(ModuleBase):
    """Takes any number of tables and makes two <&>."""

    input_tables = Input(Localizations, ("start",), many=True)
    output_first = Output(Localizations, "first")
    output_second = Output(Localizations, "second")

    def run(self, ctx, input_tables):
        return input_tables[0], input_tables[0]


def graph_of(steps):
    """{step: (keys taken, first key made, second key made)} as a graph."""
    made = {
        step: Takes(input_tables=taken, output_first=first, output_second=second)
        for step, (taken, first, second) in steps.items()
    }
    return build_graph([StepSpec(step, "Takes", module) for step, module in made.items()])


def chain(n):
    return {f"step_{i}": ((f"k{i}",), f"k{i + 1}", f"side{i}") for i in range(n)}


@pytest.fixture(scope="module")
def example_graphs(examples):
    return {name: Recipe.load(examples / f"{name}.yaml").graph for name in EXAMPLES}


def texts(svg):
    return [item.text for item in ElementTree.fromstring(svg).iter(f"{SVG}text")]


# -- SVG ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_shows_its_steps_modules_inputs_and_keys(example_graphs, name):
    graph = example_graphs[name]
    shown = texts(draw_svg(graph))
    for step, spec in graph.steps.items():
        assert step in shown
        assert spec.module.name() in shown
    assert set(graph.free_inputs) <= set(shown)
    assert {key for key in graph.producers if key in graph.consumers or key in graph.sinks()} <= set(shown)


def test_the_drawing_is_plain(example_graphs):
    for graph in example_graphs.values():
        svg = draw_svg(graph, dict.fromkeys(graph.steps, "run"), dict.fromkeys(graph.steps, "µ"))
        assert svg.isascii()
        tags = {item.tag.removeprefix(SVG) for item in ElementTree.fromstring(svg).iter()}
        assert tags <= {"svg", "g", "rect", "path", "text", "title"}
        assert not re.search(r"(?i)href|url\(|<script|on\w+=|\bid=", svg)


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_can_be_drawn(name):
    graph = graph_of({name: ((f"in {name}",), f"out {name}", "other"), "after": ((f"out {name}",), "b", "c")})
    svg = draw_svg(graph, {name: "failed"}, {name: name})
    root = ElementTree.fromstring(svg)
    assert {item.tag.removeprefix(SVG) for item in root.iter()} <= {"svg", "g", "rect", "path", "text", "title"}
    if len(name) < 40 and "\ud800" not in name:
        assert name in texts(svg)
        assert any(name in item.text for item in root.iter(f"{SVG}title"))


def test_states_and_details_are_said_in_words_and_colours(example_graphs):
    graph = example_graphs["correct_drift_locs"]
    plain = draw_svg(graph)
    states = dict(zip(graph.steps, ["cached", "run", "current", "blocked", "failed", "current", "run", "run"], strict=True))
    drawn = draw_svg(graph, {**states, "truth": "missing"}, {"Locs_RCC": "binsize 20 -> 30"})
    assert {"cached", "run", "current", "blocked", "failed", "missing", "binsize 20 -> 30"} <= set(texts(drawn))
    fills = {
        word: re.findall(r'rx="7" fill="(#\w+)"', draw_svg(graph, dict.fromkeys(graph.steps, word)))[0]
        for word in set(states.values())
    }
    assert len(set(fills.values())) == 5
    assert not set(fills.values()) & set(re.findall(r'rx="7" fill="(#\w+)"', plain))


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_and_edges_be_seen_on_any_ground():
    """WCAG 2: 4.5 for text, 3 for lines."""
    from recipes_core.drawing import looks

    for state in ("run", "current", "cached", "blocked", "failed", ""):
        look = looks.look_of(state)
        for colour in (looks.TITLE, look.text):
            assert contrast(colour, look.fill) > 4.5, state
    for key in (looks.KEY, looks.RESULT):
        assert contrast(key.text, key.fill) > 4.5
    for ground in ("#ffffff", "#111111", "#1e1e1e"):
        assert contrast(looks.EDGE, ground) > 3


def test_the_same_graph_is_the_same_drawing_in_another_process(examples):
    program = (
        "import sys; from recipes_core.recipe import Recipe; from recipes_core.drawing.forms import draw_svg, draw_dot\n"
        "graph = Recipe.load(sys.argv[1]).graph; print(draw_svg(graph), draw_dot(graph))"
    )
    drawn = {
        subprocess.run([sys.executable, "-c", program, str(examples / "correct_drift_locs.yaml")], env={"PYTHONHASHSEED": seed},
                       capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(drawn) == 1


def test_an_empty_recipe_and_one_in_a_circle_can_be_drawn():
    assert texts(draw_svg(graph_of({}))) == []
    circle = graph_of({"a": (("y",), "x", "a2"), "b": (("x",), "y", "b2"), "self": (("z",), "z", "s2")})
    assert any(problem.code == "R330" for problem in circle.problems)
    assert {"a", "b", "self"} <= set(texts(draw_svg(circle)))
    assert "s0 -> s1" in draw_dot(circle)


def test_hundreds_of_steps_can_be_drawn():
    rng = np.random.default_rng(1)
    steps = {
        f"s{i}": (
            tuple(f"k{j}" for j in {int(n) for n in rng.integers(max(0, i - 12), i, 2)}) if i else ("start",),
            f"k{i}",
            f"side{i}",
        )
        for i in range(300)
    }
    assert {f"s{i}" for i in range(300)} <= set(texts(draw_svg(graph_of(steps))))
    assert {f"step_{i}" for i in range(1500)} <= set(texts(draw_svg(graph_of(chain(1500)))))


# -- geometry ---------------------------------------------------------------------------------------------------------------


@st.composite
def diagrams(draw):
    """Boxes of a random recipe without circles."""
    n = draw(st.integers(1, 14))
    boxes = {}
    for i in range(n):
        later = st.lists(st.integers(i + 1, n - 1), max_size=4, unique=True) if i + 1 < n else st.just([])
        keys = [
            Key(f"k{i}_{k}", "k" * draw(st.integers(1, 12)), "", tuple(f"b{t}" for t in sorted(draw(later))), is_result=False)
            for k in range(draw(st.integers(0, 3)))
        ]
        boxes[f"b{i}"] = Box(f"b{i}", "t" * draw(st.integers(1, 20)), "sub" * draw(st.integers(0, 1)), "", "", PLAIN, keys=keys)
    return boxes


@settings(max_examples=40, deadline=None)
@given(diagrams())
def test_nothing_overlaps_and_edges_lead_down(boxes):
    drawing = _Drawing(boxes)
    level = {item: number for number, row in enumerate(drawing.rows.rows) for item in row}
    assert {item for item in level if isinstance(item, str)} == set(boxes)
    for box in boxes.values():
        for key in box.keys:
            assert all(level[taker] > level[box.name] for taker in key.takers)
    for row in drawing.rows.rows:
        for a, b in itertools.pairwise(row):
            apart = drawing.x[b] - drawing.x[a] - (drawing._item_width(a) + drawing._item_width(b)) / 2
            assert apart > 10
    for number, (top, depth) in enumerate(zip(drawing.top, drawing.depth, strict=True)):
        assert depth >= max((boxes[item].height for item in drawing.rows.rows[number] if isinstance(item, str)), default=0)
        if number + 1 < len(drawing.top):
            assert drawing.top[number + 1] - top - depth >= 30
    for link in drawing.rows.links:
        assert level[link.lower] == level[link.upper] + 1
        if isinstance(link.lower, str):
            assert abs(drawing._end(link)) <= boxes[link.lower].width / 2


@settings(max_examples=40, deadline=None)
@given(diagrams())
def test_every_edge_begins_at_its_key_and_arrives(boxes):
    rows = _Drawing(boxes).rows
    below = {}
    for link in rows.links:
        below.setdefault((link.source, link.key, link.upper), []).append(link.lower)
    for box in boxes.values():
        for number, key in enumerate(box.keys):
            reached, open_ends = set(), list(below.get((box.name, number, box.name), []))
            while open_ends:
                item = open_ends.pop()
                if isinstance(item, Bend):
                    open_ends += below[box.name, number, item]
                else:
                    reached.add(item)
            assert reached == set(key.takers)


def test_keys_stand_inside_their_box_side_by_side():
    box = Box("b", "t", "", "", "", PLAIN, keys=[Key(f"k{i}", "a key" * i, "", (), is_result=True) for i in range(1, 5)])
    edges = [(key.offset - key.width / 2, key.offset + key.width / 2) for key in box.keys]
    assert edges[0][0] > 0
    assert edges[-1][1] < box.width
    assert all(b[0] > a[1] for a, b in itertools.pairwise(edges))


def test_a_chain_is_straight_and_a_fan_is_symmetrical():
    drawing = _Drawing(
        {
            f"b{i}": Box(
                f"b{i}", "t" * (i + 1), "", "", "", PLAIN, keys=[Key("k", "k", "", (f"b{i + 1}",), False)] if i < 5 else []
            )
            for i in range(6)
        }
    )
    assert np.ptp(list(drawing.x.values())) < 1e-6
    rows = layered(["top", "a", "b", "c"], {("top", 0): ["a", "b", "c"]})
    x = place(rows, lambda item: 50.0, lambda link: 0.0, lambda link: 0.0)
    assert x["top"] == pytest.approx(x["b"])
    assert x["b"] - x["a"] == pytest.approx(x["c"] - x["b"]) == pytest.approx(80)


def test_a_long_edge_passes_rows_in_a_straight_line():
    rows = layered(["a", "b", "c", "d"], {("a", 0): ["b", "d"], ("b", 0): ["c"], ("c", 0): ["d"]})
    bends = [item for row in rows.rows for item in row if isinstance(item, Bend)]
    assert [bend.row for bend in bends] == [1, 2]
    x = place(rows, lambda item: 2.0 if isinstance(item, Bend) else 80.0, lambda link: 0.0, lambda link: 0.0)
    assert x[bends[0]] == pytest.approx(x[bends[1]])


def count_crossings(rows):
    """Pieces between the same rows whose ends stand in opposite order."""
    place_of = {item: (number, index) for number, row in enumerate(rows.rows) for index, item in enumerate(row)}
    total = 0
    for a, b in itertools.combinations(rows.links, 2):
        (row_a, upper_a), (row_b, upper_b) = place_of[a.upper], place_of[b.upper]
        if row_a == row_b:
            total += (upper_a - upper_b) * (place_of[a.lower][1] - place_of[b.lower][1]) < 0
    return total


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True), min_size=2, max_size=5))
def test_crossings_are_counted_and_near_the_fewest_possible(takers):
    """Two rows of at most five: all orders of both are tried."""
    nets = {(f"a{i}", 0): [f"b{t}" for t in targets] for i, targets in enumerate(takers)}
    names = [name for name, _ in nets] + sorted({taker for targets in nets.values() for taker in targets})
    rows = layered(names, nets)
    told = reduce_crossings(rows, lambda link: 0.5)
    assert told == count_crossings(rows)
    upper, lower = rows.rows
    pieces = [(link.upper, link.lower) for link in rows.links]
    fewest = told
    for top in itertools.permutations(upper):
        at = {item: index for index, item in enumerate(top)}
        for bottom in itertools.permutations(lower):
            ends = {item: index for index, item in enumerate(bottom)}
            placed = [(at[a], ends[b]) for a, b in pieces]
            fewest = min(fewest, sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in itertools.combinations(placed, 2)))
    assert told <= fewest + 1 + fewest // 4


def test_trees_are_drawn_without_crossings():
    rng = np.random.default_rng(3)
    for _ in range(20):
        n = 25
        takers = {}
        for child in range(1, n):
            takers.setdefault((f"n{rng.integers(0, child)}", 0), []).append(f"n{child}")
        names = [f"n{i}" for i in rng.permutation(n)]
        rows = layered(names, takers)
        assert reduce_crossings(rows, lambda link: 0.5) == 0


# -- text -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize(
    "text", ["Locs_Post_Shift", "drift_interpolator", "WWW mmm", "illicit filters", "red_before_figure", "Über"]
)
def test_widths_agree_with_a_font(text, bold):
    """DejaVu Sans, which matplotlib brings along, is wider than Helvetica by a fifth at most."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    measured = TextPath((0, 0), text, size=100, prop=font).get_extents().width
    assert 0.72 * measured < text_width(text, 100, bold=bold) < 1.12 * measured


@given(st.text(max_size=80), st.floats(40, 300))
def test_shortened_text_fits_and_keeps_both_ends(text, most):
    short = shortened(text, most, 12)
    assert text_width(short, 12) <= most or len(short) <= 3
    if short != text:
        assert "…" in short
        assert text.startswith(short.partition("…")[0])


# -- dot, mermaid, text -----------------------------------------------------------------------------------------------------

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_ATTRIBUTES = rf" \[\w+={_STRING}(?:, \w+={_STRING})*\]"
_STATEMENT = re.compile(rf"  (?:graph|node|edge|[isr]\d+|[isr]\d+ -> [isr]\d+)(?:{_ATTRIBUTES})?;")


def check_dot(text):
    first, *statements, last, end = text.split("\n")
    assert (first, last, end) == ("digraph recipe {", "}", "")
    for statement in statements:
        assert _STATEMENT.fullmatch(statement), statement
    if shutil.which("dot"):
        drawn = subprocess.run(["dot", "-Tplain"], input=text.encode(), capture_output=True, check=False)
        assert drawn.returncode == 0, drawn.stderr
        return drawn.stdout.decode()
    return ""


@pytest.mark.parametrize("name", EXAMPLES)
def test_dot_of_examples(example_graphs, name):
    graph = example_graphs[name]
    text = draw_dot(graph, dict.fromkeys(graph.steps, "run"), dict.fromkeys(graph.steps, "why"))
    check_dot(text)
    pairs = {(maker, taker) for maker, taker in re.findall(r"(s\d+) -> (s\d+)", text)}
    names = list(graph.steps)
    assert {(names[int(a[1:])], names[int(b[1:])]) for a, b in pairs} == set(graph.digraph.edges)
    assert text.count('shape="ellipse"') == len(graph.free_inputs) + len(graph.sinks())


@pytest.mark.parametrize("name", AWKWARD)
def test_dot_of_any_name(name):
    graph = graph_of({name: (("in",), name, "other"), "after": ((name,), "b", "c")})
    check_dot(draw_dot(graph, {name: "failed"}, {name: name}))


@pytest.mark.parametrize("form", ["text", "mermaid"])
def test_the_command_prints_each_format(recipe_command, examples, form):
    recipe = examples / "correct_drift_locs.yaml"
    ended = recipe_command("graph", recipe, "--format", form)
    assert ended.code == 0, ended.err
    drawn = {"text": as_text, "mermaid": as_mermaid}[form](Recipe.load(recipe).graph)
    assert ended.out.strip() == drawn.strip()


def test_the_command_colours_by_what_would_run(recipe_command, examples):
    recipe = examples / "simulate_wormlike.yaml"
    graph = Recipe.load(recipe).graph
    never = dict.fromkeys(graph.steps, "run")
    for form, draw in (("svg", draw_svg), ("dot", draw_dot)):
        ended = recipe_command("graph", recipe, "--format", form)
        assert ended.code == 0, ended.err
        assert ended.out.strip() == draw(graph, never, dict.fromkeys(graph.steps, "never run")).strip()
    assert recipe_command("run", recipe, "-q").code == 0
    assert "never run" not in recipe_command("graph", recipe, "--format", "svg").out


def test_a_notebook_shows_the_graph_by_state(examples):
    recipe = Recipe.load(examples / "simulate_wormlike.yaml")
    shown = recipe._repr_mimebundle_()
    assert set(shown) == {"image/svg+xml", "text/plain"}
    assert "never run" in shown["image/svg+xml"]
    recipe.execute()
    assert "never run" not in recipe._repr_mimebundle_()["image/svg+xml"]
