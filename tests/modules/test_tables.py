import numpy as np
import pytest

from recipes_core import Context, Localizations, Table
from recipes_core.errors import DataError
from recipes_modules import FilterTable


def filtered(table, **filters):
    ctx = Context("FilterTable")
    return FilterTable(filters=filters).apply(table, ctx=ctx)["outputName"], ctx


def test_bounds_are_strict_and_all_must_hold():
    table = Table({"a": np.arange(10.0), "b": np.arange(10.0)[::-1]})
    kept, _ = filtered(table, a=[2, 8], b=[1, 6])
    assert kept["a"].tolist() == [4, 5, 6, 7]


def test_rows_with_nan_fail():
    kept, ctx = filtered(Table({"a": [1.0, np.nan, 3.0]}), a=[0, 10])
    assert kept["a"].tolist() == [1, 3]
    assert "1 of them NaN" in ctx.messages[0]


def test_a_side_may_be_open():
    kept, _ = filtered(Table({"a": [-1e30, 0.0, np.inf]}), a=[None, 5])
    assert kept["a"].tolist() == [-1e30, 0.0]


def test_bounds_may_lie_beyond_the_type_of_the_column():
    kept, _ = filtered(Table({"a": np.array([-1.0, 0.0, 3e38], np.float32)}), a=[-1e300, 1e300])
    assert len(kept) == 3


def test_any_name_of_a_column_works_and_the_type_stays():
    locs = Localizations({"x": [1.0, 2.0], "y": [0.0, 0.0], "frame": [0, 1], "sigma": [110.0, 300.0], "error_x": [5.0, 5.0]})
    kept, _ = filtered(locs, sig=[95, 200], lpx=[0, 30])
    assert isinstance(kept, Localizations)
    assert kept["x"].tolist() == [1.0]


def test_it_says_how_many_rows_each_bound_removed():
    _, ctx = filtered(Table({"a": np.arange(1000), "b": np.arange(1000)}), a=[99.5, 2000], b=[499.5, 2000])
    assert "100 of 1,000 rows outside, 100 more removed" in ctx.messages[0]
    assert "500 of 1,000 rows outside, 400 more removed" in ctx.messages[1]
    assert ctx.messages[2] == "500 of 1,000 rows kept"
    assert ctx.warnings == []


@pytest.mark.parametrize("low", [990, 5000])
def test_it_warns_when_few_are_left(low):
    _, ctx = filtered(Table({"a": np.arange(1000)}), a=[low, 9999])
    assert len(ctx.warnings) == 1
    assert "the bounds may not suit" in ctx.warnings[0]


def test_a_missing_column_is_asked_for_before_the_run():
    assert FilterTable(filters={"A": [0, 1], "b": [0, 1]}).required_columns("inputName") == ("A", "b")


def test_a_column_of_words_is_refused():
    with pytest.raises(DataError, match="'name' holds no numbers"):
        filtered(Table({"name": np.array(["a", "b"])}), name=[0, 1])
