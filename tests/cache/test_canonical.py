"""One value, one text: in every process, on every day."""

import os
import subprocess
import sys

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from recipes_core.cache.canonical import canonical_json, digest_of, from_stored, to_stored
from recipes_core.ports import FrozenDict

PROGRAM = """
from recipes_core.cache.canonical import digest_of
names = {f"name {i}" for i in range(50)}
print(digest_of({name: (i, 0.1 * len(name), None, True, float("nan")) for i, name in enumerate(sorted(names))}))
print(digest_of({name: len(name) for name in names}))
"""


def test_stable_over_processes_and_hash_seeds():
    printed = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(printed) == 1


def test_the_text_is_fixed():
    # A change here throws away every cache; it must be on purpose, with another FORMAT.
    value = {"b": (1, 1.0, True, None), "a": [float("nan"), float("inf"), -0.0, "µ\n"], "~c": {}, "n": np.float32(0.5)}
    assert canonical_json(value) == (
        b'{"a":[{"~float":"nan"},{"~float":"inf"},-0.0,"\\u00b5\\n"],"b":[1,1.0,true,null],"n":0.5,"~~c":{}}'
    )
    assert digest_of([]) == blake3(b"[]").hexdigest()


def test_what_differs_has_another_text():
    values = [1, 1.0, True, "1", None, "", [], {}, [1], {"1": 1}, float("nan"), float("inf"), "nan", {"~float": "nan"}]
    values += [{"~~float": "nan"}, {"float": "nan"}, 0.0, -0.0, 2**70, 1e22, [[]], [[], []], "None", False, 0]
    assert len({canonical_json(value) for value in values}) == len(values)


def test_what_is_the_same_has_the_same_text():
    assert canonical_json((1, (2,))) == canonical_json([1, [2]])
    assert canonical_json(FrozenDict({"a": 1, "b": 2})) == canonical_json({"b": 2, "a": 1})
    assert canonical_json([np.int16(3), np.float64(0.1), np.bool_(True), np.str_("x")]) == canonical_json([3, 0.1, True, "x"])


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (object(), "builtins.object"),
        ({1, 2}, "builtins.set"),
        (b"x", "builtins.bytes"),
        (np.zeros(3), "numpy.ndarray"),
        (1j, "builtins.complex"),
        (np.datetime64("2024-01-01"), "datetime64"),
        ({1: 2}, "the key 1 of a mapping is a int"),
        (lambda: 0, "builtins.function"),
    ],
)
def test_other_types_are_refused_by_name(value, named):
    with pytest.raises(TypeError, match=named):
        canonical_json({"a": [value]})


def test_circles_end():
    circle = []
    circle.append(circle)
    with pytest.raises(TypeError, match="deep"):
        canonical_json(circle)
    with pytest.raises(TypeError, match="deep"):
        to_stored(circle)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(st.text(max_size=5) | st.sampled_from(["~float", "~tuple", "~"]), inner, max_size=4)
    | st.dictionaries(st.integers() | st.tuples(st.integers()), inner, min_size=1, max_size=3),
    max_leaves=12,
)  # fmt: skip


def types_of(value):
    if isinstance(value, (list, tuple)):
        return type(value), [types_of(item) for item in value]
    if isinstance(value, dict):
        return dict, [(types_of(name), types_of(item)) for name, item in value.items()]
    return type(value)


@given(PLAIN)
def test_stored_values_come_back_with_their_types(value):
    import json

    back = from_stored(json.loads(to_stored(value)))
    assert back == value
    assert types_of(back) == types_of(value)


@given(PLAIN, PLAIN)
def test_no_two_values_share_a_stored_text(one, other):
    if to_stored(one) == to_stored(other):
        assert one == other
