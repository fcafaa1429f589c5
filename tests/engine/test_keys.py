"""Keys: the same in every process, another one for every parameter that affects results, over all modules that there are."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipes_core import Recipe
from recipes_core.plan import identity_of, step_key
from recipes_core.plugins import registry
from recipes_core.ports import Bool, Bounds, Choice, FilePath, FilePaths, Float, Int, ListOf, MapOf, Str

MODULES = sorted(registry().modules)


ANYTHING = (0, 1, 2.5, True, "a", "0:10", (1, 2), {"a": 1}, {"b": 2.5})
WORDS = ("", "a", "none", "constant", "linear", "polynomial(3)", "spline", "0:10", "-30:0", "x", "frame")


def accepts(parameter, value):
    try:
        parameter.accept(value)
    except ValueError:
        return False
    return True


def values_of(parameter):
    """Values that a parameter accepts."""
    if isinstance(parameter, FilePaths):
        found = st.lists(st.sampled_from(["a.npz", "b.npz"]), max_size=2)
    elif isinstance(parameter, FilePath):
        found = st.sampled_from(["", "a.npz", "b.npz"])
    elif isinstance(parameter, Int):
        low = -50 if parameter.low is None else int(parameter.low)
        found = st.integers(low, low + 100 if parameter.high is None else int(parameter.high))
    elif isinstance(parameter, Float):
        found = st.floats(parameter.low, parameter.high, allow_nan=False, allow_infinity=False)
    elif isinstance(parameter, Bool):
        found = st.booleans()
    elif isinstance(parameter, Choice):
        found = st.sampled_from(parameter.choices)
    elif isinstance(parameter, Bounds):
        found = st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)).map(sorted)
    elif isinstance(parameter, ListOf):
        size = {} if parameter.length is None else {"min_size": parameter.length, "max_size": parameter.length}
        found = st.lists(values_of(parameter.item), **{"max_size": 4, **size})
    elif isinstance(parameter, MapOf):
        found = st.dictionaries(st.text("abc", min_size=1, max_size=3), values_of(parameter.item), max_size=3)
    elif isinstance(parameter, Str):
        # A module's own kind of word accepts some words only.
        words = [word for word in WORDS if accepts(parameter, word)]
        found = st.text(max_size=12) if type(parameter) is Str else st.sampled_from(words)
    else:
        found = st.sampled_from([value for value in ANYTHING if accepts(parameter, value)])
    # Some modules accept fewer values than their kind of parameter can hold.
    found = st.one_of(st.just(parameter.default_value), found.filter(lambda value: accepts(parameter, value)))
    return st.one_of(st.none(), found) if parameter.optional else found


def key_of(module, seed=0):
    """The key of a step whose inputs are what their ports are called."""
    recipe = Recipe([module], seed=seed)
    step = next(iter(recipe.steps))
    identity = identity_of(recipe.graph, step, seed, lambda path: f"content of {path}")
    return step_key(identity, step, [(port, key, f"object {port}") for port, key in identity.inputs])


def same(a, b):
    """Whether two values mean the same; -0.0 and 0.0 are told apart by their sign."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("name", MODULES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_a_parameter_changes_the_key_where_it_affects_results_and_only_there(name, data):
    kind = registry().modules[name].load()
    parameters = kind.parameters()
    if not parameters:
        return
    which = data.draw(st.sampled_from(sorted(parameters)))
    one, two = data.draw(values_of(parameters[which])), data.draw(values_of(parameters[which]))
    first, second = kind(**{which: one}), kind(**{which: two})
    equal = same(getattr(first, which), getattr(second, which))
    if parameters[which].affects_result:
        assert (key_of(first) == key_of(second)) is equal
    else:
        assert key_of(first) == key_of(second)


@pytest.mark.parametrize("name", MODULES)
def test_the_seed_counts_where_random_numbers_are_drawn_and_only_there(name):
    kind = registry().modules[name].load()
    assert (key_of(kind(), seed=1) == key_of(kind(), seed=2)) is not kind.uses_seed


def test_all_keys_differ():
    keys = [key_of(registry().modules[name].load()()) for name in MODULES]
    assert len(set(keys)) == len(keys)


PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_keys import MODULES, key_of
from recipes_core.plugins import registry
print(json.dumps({name: key_of(registry().modules[name].load()()) for name in MODULES}))
"""


def test_keys_are_the_same_in_every_process():
    here = {name: key_of(registry().modules[name].load()()) for name in MODULES}
    for seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout) == here


def test_what_stands_behind_an_input_counts_and_its_name_does_not():
    kind = registry().modules["smlm.Locs_RCC"].load()
    recipe = Recipe([kind()])
    identity = identity_of(recipe.graph, "Locs_RCC", 0, lambda path: "")
    taken = [("input_for_correction", "a", "object 1")]
    assert step_key(identity, "x", taken) == step_key(identity, "y", [("input_for_correction", "b", "object 1")])
    assert step_key(identity, "x", taken) != step_key(identity, "x", [("input_for_correction", "a", "object 2")])
