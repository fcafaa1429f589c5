"""Tables put together: against loops over rows."""

import numpy as np
import pytest

from recipes_core import Context, Localizations, Table
from recipes_core.errors import DataError, UsageError
from recipes_core.language import loads
from recipes_modules import AggregateTables, ConcatenateTables, SelectTableColumns, Table_Join

RNG = np.random.default_rng(2)


def locs(n, **more):
    return Localizations({"x": RNG.normal(size=n), "y": RNG.normal(size=n), "frame": np.sort(RNG.integers(0, 50, n)), **more})


def concatenated(*tables, ctx=None, **parameters):
    module = ConcatenateTables(**parameters)
    return module.apply(ctx=ctx, **{f"inputName{k}": table for k, table in enumerate(tables)})["outputName"]


def test_rows_behind_rows():
    first, second = locs(30, sigma=np.full(30, 110.0), A=np.ones(30)), locs(20, sig=np.full(20, 120.0), B=np.ones(20))
    ctx = Context("ConcatenateTables")
    both = concatenated(first, second, ctx=ctx)
    assert isinstance(both, Localizations)
    assert set(both.columns) == {"x", "y", "frame", "sigma", "concatSource"}
    np.testing.assert_array_equal(both["x"], [*first["x"], *second["x"]])
    np.testing.assert_array_equal(both["sigma"], [110.0] * 30 + [120.0] * 20)
    assert both["concatSource"].tolist() == [0] * 30 + [1] * 20
    assert [text.split(": ")[1] for text in ctx.messages] == ["A (table 0)", "B (table 1)"]
    again = concatenated(both, first, first)
    assert again["concatSource"].tolist() == [0] * 50 + [1] * 30 + [2] * 30


def test_movies_one_after_the_other():
    first, second = locs(30), locs(20)
    longer = Localizations(dict(first), metadata={"Picasso.Frames": 80})
    last = int(first["frame"].max()) + 1
    for tables, parameters, offset in (
        ((first, second), {}, last),
        ((longer, second), {}, 80),
        ((first, second), {"n_frames": 100}, 100),
        ((longer, second), {"n_frames": 70}, 70),
    ):
        both = concatenated(*tables, frames="append", **parameters)
        np.testing.assert_array_equal(both["frame"], [*first["frame"], *(second["frame"] + offset)])


def test_tables_that_do_not_fit():
    with pytest.raises(DataError, match="no column in common"):
        concatenated(Table({"a": [1]}), Table({"b": [1]}))
    with pytest.raises(DataError, match="in nm and in px"):
        concatenated(Table({"a": [1]}, units={"a": "nm"}), Table({"a": [1]}, units={"a": "px"}))
    with pytest.raises(DataError, match=r"2 rows, table 2 has 3"):
        AggregateTables().apply(Table({"a": [1, 2]}), Table({"b": [1, 2, 3]}))


def test_columns_beside_columns():
    ctx = Context("AggregateTables")
    first, second = Table({"a": [1, 2], "b": [3, 4]}, units={"a": "nm"}), Table({"a": [5, 6], "c": [7, 8]})
    both = AggregateTables(suffix2="_2").apply(first, second, ctx=ctx)["outputName"]
    assert {name: both[name].tolist() for name in both.columns} == {"a": [1, 2], "b": [3, 4], "a_2": [5, 6], "c_2": [7, 8]}
    assert both.units["a"] == "nm"
    assert ctx.warnings == []
    replaced = AggregateTables().apply(first, second, ctx=ctx)["outputName"]
    assert replaced["a"].tolist() == [5, 6]
    assert "replaces a" in ctx.warnings[0]


def test_columns_that_are_kept():
    table = locs(3, **{"own column": np.arange(3), "sigma": np.full(3, 110.0)})
    kept = SelectTableColumns(keys="x  'own column' sig").apply(table)["outputName"]
    assert (type(kept), kept.columns) == (Table, ("x", "own column", "sig"))
    assert kept.units["sig"] == "nm"
    assert isinstance(SelectTableColumns(keys="y x frame").apply(table)["outputName"], Localizations)
    with pytest.raises(UsageError, match="names no column"):
        SelectTableColumns().apply(table)
    with pytest.raises(UsageError, match="quote is not closed"):
        SelectTableColumns(keys="x 'y").apply(table)
    with pytest.raises(DataError, match="no column 'q'"):
        SelectTableColumns(keys="x q").apply(table)


@pytest.mark.parametrize("how", ["inner", "left"])
@pytest.mark.parametrize("kinds", [("i4", "i4"), ("u2", "f8"), ("f4", "i8")])
def test_a_join_is_that_of_a_loop(how, kinds):
    left = Table({"k": RNG.integers(0, 30, 80).astype(kinds[0]), "m": RNG.integers(0, 3, 80), "a": np.arange(80)})
    right = Table(
        {"m": RNG.integers(0, 3, 60), "k": RNG.integers(0, 30, 60).astype(kinds[1]), "a": np.arange(100, 160), "b": np.arange(60)}
    )
    ctx = Context("Table_Join")
    joined = Table_Join(on=["k", "m"], how=how).apply(left, right, ctx=ctx)["outputName"]
    known = []
    for i in range(80):
        rows = [j for j in range(60) if left["k"][i] == right["k"][j] and left["m"][i] == right["m"][j]]
        known += [(i, j) for j in rows] or ([(i, None)] if how == "left" else [])
    assert joined.columns == ("k", "m", "a", "a_right", "b")
    assert joined["a"].tolist() == [left["a"][i] for i, _ in known]
    np.testing.assert_array_equal(joined["a_right"], [np.nan if j is None else right["a"][j] for _, j in known])
    np.testing.assert_array_equal(joined["k"], [left["k"][i] for i, _ in known])
    missing = sum(j is None for _, j in known)
    assert [str(missing) in text for text in ctx.warnings] == ([True] if missing else [])


def test_a_join_as_pandas_makes_it():
    pandas = pytest.importorskip("pandas")
    left = locs(300, group=RNG.integers(-1, 40, 300))
    right = Table({"group": np.arange(40), "size": RNG.integers(1, 99, 40)}, units={"size": "nm"})
    joined = Table_Join(on=["clumpIndex"], how="inner").apply(left, right)["outputName"]
    known = pandas.merge(left.to_dataframe(), right.to_dataframe(), on="group")
    assert isinstance(joined, Localizations)
    assert joined.units["size"] == "nm"
    for name in ("x", "frame", "size"):
        np.testing.assert_array_equal(joined[name], known[name])


def test_keys_that_are_nan_match_nothing_and_empty_tables_nothing():
    left, right = Table({"k": [np.nan, 1.0], "a": [1, 2]}), Table({"k": [np.nan, 1.0, 1.0], "b": [1, 2, 3]})
    assert Table_Join(on=["k"]).apply(left, right)["outputName"]["b"].tolist() == [2, 3]
    empty = right.select(slice(0, 0))
    assert len(Table_Join(on=["k"]).apply(left, empty)["outputName"]) == 0
    assert np.isnan(Table_Join(on=["k"], how="left").apply(left, empty)["outputName"]["b"]).all()


def test_keys_that_are_all_the_same_need_no_memory():
    table = Table({"k": np.zeros(100_000), "a": np.zeros(100_000)})
    with pytest.raises(DataError, match="10,000,000,000 pairs"):
        Table_Join(on=["k"]).apply(table, table)


def test_old_names_of_pyme():
    text = """
- AggregateMeasurements: {inputMeasurements1: a, inputMeasurements2: b, outputName: both}
- SelectMeasurementColumns: {inputMeasurements: both, keys: t x, outputName: some}
- tablefilters.ConcatenateTables: {inputName0: a, inputName1: b, outputName: all}
"""
    steps = loads(text).steps
    assert [step.module.name() for step in steps] == ["AggregateTables", "SelectTableColumns", "ConcatenateTables"]
