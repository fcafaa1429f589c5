import math
import pickle

import numpy as np
import pytest
from traits.api import TraitError

from recipes_core.ports import Bool, Bounds, Choice, FilePaths, Float, FrozenDict, Int, ListOf, MapOf, Range, Str


@pytest.mark.parametrize(
    ("parameter", "given", "stored"),
    [
        (Int(1), 11.0, 11),
        (Int(1), np.int64(3), 3),
        (Float(1.0), 2, 2.0),
        (Float(1.0), np.float32(0.5), 0.5),
        (Bool(False), np.bool_(True), True),
        (Choice(("RCC", "MCC"), "RCC"), "mcc", "MCC"),
        (ListOf(Int(0)), [1, 2.0], (1, 2)),
        (MapOf(Bounds()), {"A": [5, 20000]}, {"A": (5.0, 20000.0)}),
        (Bounds(), [None, 3], (-math.inf, 3.0)),
        (FilePaths(), "one.npz", ("one.npz",)),
        (FilePaths(), ["", "one.npz"], ("one.npz",)),
        (Str("", optional=True), None, None),
    ],
)
def test_coercion_that_loses_nothing(parameter, given, stored):
    assert parameter.accept(given) == stored


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        (Int(1), "11"), (Int(1), True), (Int(1), 1.5), (Int(1), math.nan), (Int(1), None), (Int(1), [1]),
        (Float(1.0), "2"), (Float(1.0), False), (Float(1.0), math.inf), (Float(1.0), 1j),
        (Bool(False), 1), (Bool(False), "yes"),
        (Str(""), 5), (Choice(("a",), "a"), "b"), (Choice(("a",), "a"), 1),
        (Range(1, 10, 3), 11), (Range(1, 10, 3), 0), (Range(0.0, 1.0, 0.5), 1.0001),
        (ListOf(Int(0), (1, 1, 1), length=3), [1, 2]), (ListOf(Int(0)), "ab"), (ListOf(Int(0)), 3),
        (MapOf(Bounds()), {"A": [5]}), (MapOf(Bounds()), {1: [0, 1]}), (MapOf(Bounds()), [1]),
        (Bounds(), [3, 1]), (Bounds(), [1, 2, 3]), (Bounds(), [math.nan, 1]), (Bounds(), ["1", 2]),
    ],
)  # fmt: skip
def test_everything_else_is_refused(parameter, given):
    with pytest.raises(ValueError):  # noqa: PT011 - the message is made by `expected`
        parameter.accept(given)


def test_range_is_whole_where_it_is_written_so():
    assert isinstance(Range(1, 10, 3), Int)
    assert isinstance(Range(1.0, 10, 3), Float)
    assert Range(1, 10, 3).expected() == "a whole number from 1 to 10"


def test_values_cannot_be_changed_in_place():
    value = MapOf(Bounds()).accept({"A": [1, 2]})
    for change in (lambda: value.update(B=1), lambda: value.pop("A"), lambda: value.__setitem__("A", 1)):
        with pytest.raises(TypeError, match="assign a new dict"):
            change()
    assert pickle.loads(pickle.dumps(value)) == value
    assert isinstance(pickle.loads(pickle.dumps(value)), FrozenDict)


def test_a_wrong_assignment_says_what_is_expected():
    from recipes_core.module import ModuleBase

    class Step(ModuleBase):
        binsize = Range(1.0, 1000.0, 30.0)

    with pytest.raises(TraitError, match=r"Step\.binsize must be a number from 1 to 1000, not 'x'"):
        Step(binsize="x")
