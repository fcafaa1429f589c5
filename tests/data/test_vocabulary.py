import pytest

from recipes_core.data import vocabulary


@pytest.mark.parametrize(
    ("asked", "present", "found"),
    [
        ("t", ["x", "frame"], "frame"),
        ("tIndex", ["x", "t"], "t"),
        ("lpx", ["error_x"], "error_x"),
        ("error_x", ["lpx"], "lpx"),
        ("sig", ["sigma"], "sigma"),
        ("x [nm]", ["x"], "x"),
        ("fitResults_x0", ["x", "fitResults_x0"], "fitResults_x0"),
        ("gFrac", ["x"], None),
    ],
)
def test_any_known_name_finds_the_column(asked, present, found):
    assert vocabulary.resolve(asked, present) == found


def test_a_single_width_is_available_where_two_are():
    assert vocabulary.can_provide("sig", ["sigma_x", "sigma_y"])
    assert not vocabulary.can_provide("sig", ["sigma_x"])


def test_of_several_columns_with_one_meaning_only_the_preferred_is_renamed():
    names = vocabulary.canonical_names(["x", "fitResults_x0", "t", "tIndex", "sig"])
    assert names == {"x": "x", "fitResults_x0": "fitResults_x0", "t": "frame", "tIndex": "tIndex", "sig": "sigma"}


def test_no_name_belongs_to_two_columns():
    owners: dict[str, str] = {}
    for column in vocabulary.COLUMNS:
        for name in column.known_as():
            assert owners.setdefault(name, column.name) == column.name


def test_units_are_found_under_any_name():
    assert vocabulary.unit_of("lpx") == "nm"
    assert vocabulary.unit_of("something else") == ""
