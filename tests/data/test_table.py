import numpy as np
import pytest

from recipes_core.data import Localizations, Table
from recipes_core.errors import ColumnError, DataError


@pytest.fixture
def locs():
    return Localizations({"x": [1.0, 2.0, 3.0], "y": [4.0, 5.0, np.nan], "frame": [0, 1, 5]}, metadata={"a": 1})


def test_columns_rows_and_units(locs):
    assert len(locs) == 3
    assert locs.columns == ("x", "y", "frame")
    assert locs.units == {"x": "nm", "y": "nm", "frame": "frame"}
    np.testing.assert_array_equal(locs["t"], [0, 1, 5])


def test_a_missing_column_is_a_key_error_that_names_the_nearest(locs):
    with pytest.raises(ColumnError, match=r"no column 'framee'.*Did you mean 'frame'"):
        locs["framee"]
    with pytest.raises(KeyError):
        locs["nothing"]


def test_width_is_the_mean_of_two_widths():
    table = Table({"sigma_x": [100.0, 120.0], "sigma_y": [120.0, 160.0]})
    np.testing.assert_array_equal(table["sig"], [110.0, 140.0])


def test_an_alias_replaces_the_column_it_stands_for(locs):
    moved = locs.with_columns({"t": [7, 8, 9]})
    assert moved.columns == ("x", "y", "frame")
    np.testing.assert_array_equal(moved["frame"], [7, 8, 9])
    np.testing.assert_array_equal(locs["frame"], [0, 1, 5])


def test_selection_keeps_type_units_and_metadata(locs):
    chosen = locs.select(locs["x"] > 1.5)
    assert isinstance(chosen, Localizations)
    assert len(chosen) == 2
    assert chosen.metadata == {"a": 1}
    assert chosen.units["x"] == "nm"


def test_modules_cannot_write_to_what_they_are_given(locs):
    view = locs.read_only()
    with pytest.raises(ValueError, match="read-only"):
        view["x"][0] = 5
    locs["x"][0] = 9  # the owner still can


def test_lengths_must_agree():
    with pytest.raises(DataError, match="x: 2, y: 3"):
        Table({"x": [1, 2], "y": [1, 2, 3]})
    with pytest.raises(DataError, match="dimensions"):
        Table({"x": np.zeros((2, 2))})


def test_frames_are_whole_numbers():
    assert Localizations({"frame": [1.0, 2.0]}).frames.dtype == np.int64
    with pytest.raises(DataError, match="not whole"):
        Localizations({"frame": [1.5]}).frames  # noqa: B018


def test_finite_rows(locs):
    np.testing.assert_array_equal(locs.finite_rows("x", "y"), [True, True, False])


def test_dataframe_round_trip(locs):
    pytest.importorskip("pandas")
    frame = locs.to_dataframe()
    back = Localizations.from_dataframe(frame)
    assert back.columns == locs.columns
    assert back.metadata == {"a": 1}
    np.testing.assert_array_equal(back["y"], locs["y"])


def test_dataframe_names_become_canonical():
    pandas = pytest.importorskip("pandas")
    table = Localizations.from_dataframe(pandas.DataFrame({"x": [1.0], "y": [2.0], "t": [3], "sig": [110.0]}))
    assert table.columns == ("x", "y", "frame", "sigma")
    assert table.units["sigma"] == "nm"
