"""Mapping: its language against Python's own arithmetic, and everything that it must refuse."""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes_core import Context, Localizations, Table
from recipes_core.errors import ColumnError, DataError, RecipeInvalid, UsageError
from recipes_core.language import loads
from recipes_modules import Mapping
from recipes_modules.expressions import ExpressionError, evaluate, parse
from recipes_modules.expressions.evaluate import BLOCK

RNG = np.random.default_rng(5)
COLUMNS = {
    "x": RNG.normal(0, 100, 50),
    "y": RNG.uniform(0.5, 3, 50),
    "t": RNG.integers(0, 900, 50).astype(np.uint32),
    "k": RNG.integers(1, 9, 50).astype(np.int16),
    "b": RNG.random(50) < 0.5,
}
TABLE = Table(COLUMNS)


def mapped(table, ctx=None, **mappings):
    return Mapping(mappings=mappings).apply(table, ctx=ctx)["outputName"]


def value(text, columns=COLUMNS):
    return evaluate(parse(text), columns, len(next(iter(columns.values()))))


# Python's own grammar over numpy arrays is the truth, where its precedences and types are the same.
atoms = st.sampled_from(["x", "y", "k", "2", "0.5", "3.25e1", "7", "pi"])
numbers = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", "-", "*", "/", " % ", "//"]), inner).map("".join),
        inner.map(lambda part: f"({part})"),
        inner.map(lambda part: f"-{part}"),
        inner.map(lambda part: f"abs({part})**2"),
        st.tuples(st.sampled_from(["sqrt", "np.exp", "floor", "arctan", "sin"]), inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(st.sampled_from(["minimum", "hypot", "arctan2"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
        st.tuples(inner, st.sampled_from(["<", ">=", "!="]), inner, inner).map(
            lambda p: f"where({p[0]} {p[1]} {p[2]}, {p[3]}, 1.5)"
        ),
        st.sampled_from(["x", "y + k", "sqrt(y)"]).map(lambda part: f"mean({part})"),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(numbers)
def test_arithmetic_is_that_of_python(text):
    names = {
        name: getattr(np, name)
        for name in ("sqrt", "exp", "floor", "arctan", "sin", "minimum", "hypot", "arctan2", "where", "mean")
    }
    # Whole numbers as floating ones: numpy and Python divide whole numbers by 0 in different ways.
    columns = {name: np.asarray(COLUMNS[name], np.float64) for name in ("x", "y", "k")}
    literals = text
    for number in ("2", "7"):
        literals = " ".join(part if part != number else f"{number}." for part in literals.split(" "))
    with np.errstate(all="ignore"):
        try:
            known = eval(literals, {"__builtins__": {}, "np": np, "abs": np.abs, "pi": np.pi, **names, **columns})
        except (ZeroDivisionError, OverflowError):  # of two plain numbers
            return
        if isinstance(known, complex):
            return
        np.testing.assert_allclose(value(text, columns), np.broadcast_to(known, 50), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("-x**2", lambda c: -(c["x"] ** 2)),
        ("2**-y", lambda c: 2 ** -c["y"]),
        ("y**k**0.5", lambda c: c["y"] ** (c["k"] ** 0.5)),
        ("x if b else -x", lambda c: np.where(c["b"], c["x"], -c["x"])),
        ("x if x > 50 else y if x > 0 else 0", lambda c: np.where(c["x"] > 50, c["x"], np.where(c["x"] > 0, c["y"], 0))),
        ("0 < x <= 100 and not b", lambda c: (c["x"] > 0) & (c["x"] <= 100) & ~c["b"]),
        ("x > 0 or b and y < 1", lambda c: (c["x"] > 0) | (c["b"] & (c["y"] < 1))),
        ("(x > 0) & ~b | (y < 1)", lambda c: ((c["x"] > 0) & ~c["b"]) | (c["y"] < 1)),
        ("t - 1000", lambda c: c["t"].astype(np.int64) - 1000),
        ("k * 30000 * 30000", lambda c: c["k"].astype(np.int64) * 900_000_000),
        ("b + b", lambda c: 2 * c["b"].astype(int)),
        ("t // 100 % 2", lambda c: c["t"].astype(np.int64) // 100 % 2),
        ("t / k", lambda c: c["t"] / c["k"]),
        ("x - median(x)", lambda c: c["x"] - np.median(c["x"])),
        ("(x - mean(x)) / std(x)", lambda c: (c["x"] - c["x"].mean()) / c["x"].std()),
        ("x / max(abs(x))", lambda c: c["x"] / np.abs(c["x"]).max()),
        ("sum(b)", lambda c: np.full(50, c["b"].sum())),
        ("clip(x, -1, y)", lambda c: np.clip(c["x"], -1, c["y"])),
        ("int(x / 7)", lambda c: np.trunc(c["x"] / 7)),
        ("np.pi * numpy.sqrt(y)", lambda c: np.pi * np.sqrt(c["y"])),
        ("1_000 + 1e3", lambda c: np.full(50, 2000.0)),
    ],
)
def test_values(text, known):
    np.testing.assert_array_equal(value(text), known(COLUMNS))


def test_types_stay_narrow_and_whole_numbers_do_not_wrap():
    columns = {"f": np.ones(3, np.float32), "u": np.array([0, 1, 2], np.uint8), "large": np.array([2**64 - 1] * 3, np.uint64)}
    assert value("2.5 * f + sqrt(2) * pi", columns).dtype == np.float32
    assert value("f - mean(f)", columns).dtype == np.float32
    assert value("u - 5", columns).tolist() == [-5, -4, -3]
    assert value("u * 1000", columns).tolist() == [0, 1000, 2000]
    assert value("large + 1", columns)[0] == 2.0**64
    assert value("u ** 2", columns).tolist() == [0, 1, 4]
    assert value("u ** -1", columns).tolist() == [np.inf, 1, 0.5]


def test_numbers_cannot_explode():
    for text in ("9**9**9", "9**9**9**9**9", "2**99999999999", "1" + "0" * 300 + "*" + "1" + "0" * 300):
        assert np.isinf(value(text)).all()
    assert value("*".join(["9"] * 150))[0] == pytest.approx(9.0**150)


def test_blocks_make_no_difference():
    n = 2 * BLOCK + 77
    columns = {"x": RNG.normal(size=n), "d": np.where(np.arange(n) < BLOCK + 5, 1, 0)}
    np.testing.assert_array_equal(value("x - mean(x)", columns), columns["x"] - columns["x"].mean())
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(value("7 // d", columns), np.floor_divide(7.0, columns["d"]))
    assert value("x + 1", {"x": np.zeros(0)}).shape == (0,)


HOSTILE = [
    "__import__('os').system('true')", "x.__class__", "(x).__class__", "().__class__.__bases__[0]", "x.mean()", "np.load(x)",
    "np.core.numeric.sqrt(x)", "open(x)", "eval(x)", "exec(x)", "getattr(x, y)", "lambda: x", "[x for x in y]", "{x: y}", "x[0]",
    "x; y", "x = 1", "x := 1", "f'{x}'", "'text'", '"text"', "x if y", "import os", "x\n__import__(os)", "x y", "sqrt x",
    "sqrt(x", "sqrt(x))", "sqrt()", "sqrt(x, y)", "min(x, y)", "where(x, y)", "x +", "* x", "", "()", "x,y", "0x10", "1.2.3", "x ** ",
    "1e", "9x", "x @ y", "x << 3", "x is y", "not", "not in x", "`", "``", "`a", "np.", "np.x", "pi()", "x!", "x = y", "await x", "\0",
    "x\\y", "@x", "$x", "?", "True.real", "1 .real", "1..real", "sqrt(x)(y)", "x(y)",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_all_else_is_refused_before_anything_runs(text):
    with pytest.raises(ExpressionError):
        parse(text)
    with pytest.raises(UsageError, match="is no expression"):
        mapped(TABLE, new=text)


@pytest.mark.parametrize(
    "text",
    ["(" * 3000 + "x" + ")" * 3000, "-" * 5000 + "x", "not " * 5000 + "b", "+".join(["x"] * 5000), "x**" * 3000 + "x", "sqrt(" * 999,
     "x if b else " * 3000 + "x", "x<" * 900 + "x", "1" * 19_000 + "x", "1" * 100_000, " " * 10**6, "`" + "a" * 19_000],
)  # fmt: skip
def test_long_and_deep_texts_end_in_an_error_or_a_value(text):
    """Also far down the stack of Python, and in a thread, whose stack is small."""
    problems = []

    def work():
        try:
            value(text)
        except ExpressionError:
            pass
        except BaseException as error:
            problems.append(error)

    def deep(levels):
        return work() if levels == 0 else deep(levels - 1)

    thread = threading.Thread(target=deep, args=(sys.getrecursionlimit() - 560,))
    thread.start()
    thread.join()
    assert problems == []


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(alphabet="xybt0123.9eE+-*/%()<>=!&|~^,` ifelsnotard_np\"'[]{}:;@\\\n", max_size=40))
def test_any_text_is_an_expression_or_refused(text):
    try:
        tree = parse(text)
    except ExpressionError:
        return
    try:
        assert value_of(tree).shape == (50,)
    except (ExpressionError, KeyError):
        return


def value_of(tree):
    return evaluate(tree, COLUMNS, 50)


def test_a_name_means_the_column_of_the_input_first():
    table = mapped(Table({"x": [1.0, 2.0], "dx": [10.0, 20.0]}), x="x + dx", far="x > 1.5", twice="2 * moved", moved="x + 1")
    assert table["x"].tolist() == [11, 22]
    assert table["far"].tolist() == [False, True]
    assert table["moved"].tolist() == [2, 3]
    assert table["twice"].tolist() == [4, 6]


def test_circles_and_absent_columns():
    with pytest.raises(DataError, match="circle: a -> b -> a"):
        mapped(Table({"x": [1.0]}), a="b", b="a")
    with pytest.raises(ColumnError, match="'photnos'"):
        mapped(Localizations({"x": [1.0], "y": [1.0], "frame": [0], "photons": [3.0]}), a="photnos + 1")
    with pytest.raises(ColumnError, match="'new'"):
        mapped(TABLE, new="new + 1")


def test_any_name_of_a_column_works_and_replaces_it():
    locs = Localizations({"x": [1.0], "y": [2.0], "frame": [3], "sigma": [110.0], "error_x": [5.0]})
    table = mapped(locs, sig="sig * 2", t="t + 1", width="`sigma` + lpx")
    assert isinstance(table, Localizations)
    assert set(table.columns) == {"x", "y", "frame", "sigma", "error_x", "width"}
    assert (table["sigma"][0], table["frame"][0], table["width"][0]) == (220, 4, 115)
    assert table.units["sigma"] == "nm"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\0"])
def test_names_that_are_none(name):
    with pytest.raises(UsageError, match="is no name of a column"):
        mapped(TABLE, **{name: "x"})


def test_units():
    table = Mapping(mappings={"r": "hypot(x, y)", "photons": "k * 10"}, units={"r": "nm"}).apply(TABLE)["outputName"]
    assert (table.units["r"], table.units["photons"]) == ("nm", "photon")


def test_numbers_that_are_none_are_told():
    ctx = Context("Mapping")
    mapped(Table({"a": [4.0, -1.0, np.nan]}), ctx, r="sqrt(a)")
    assert "r: 1 of 3 values" in ctx.warnings[0]
    ctx = Context("Mapping")
    mapped(Table({"a": [4.0, 1.0, np.nan]}), ctx, r="sqrt(a)")
    assert ctx.warnings == []


def test_text_columns_and_bits_of_numbers_are_refused():
    with pytest.raises(DataError, match="'name' holds no numbers"):
        mapped(Table({"name": np.array(["a", "b"])}), a="name")
    with pytest.raises(DataError, match="put comparisons in brackets"):
        mapped(TABLE, a="x > 1 & y < 2")


def test_the_form_of_pyme_loads_and_hostile_ones_do_not():
    step = loads(
        "- tablefilters.Mapping:\n    inputName: Localizations\n    mappings: {r: 'sqrt(x**2 + y**2)', one: 1}\n    outputName: m\n"
    ).steps[0]
    assert dict(step.module.mappings) == {"r": "sqrt(x**2 + y**2)", "one": "1"}
    with pytest.raises(RecipeInvalid) as caught:
        loads("- Mapping:\n    mappings: {r: 'x.__class__'}\n")
    assert [problem.code for problem in caught.value.problems] == ["R206"]
