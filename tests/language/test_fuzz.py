"""Whatever a file holds: it is read, or refused with an error of this project."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipes_core.errors import RecipeError
from recipes_core.language import dump, loads, parse_override

SEED = """\
recipe: 1
name: x
inputs: {Localizations: {type: Localizations, path: a.hdf, metadata: {x.y: 1}}}
params: {w: 1000, t: "a"}
modules:
  - tests.Correlate: {id: a, step: "${w}", label: "b ${t}", weights: [1, 2e3], output_drift: &k d}
  - Shift: {input_drift: *k}
  - Filter&Co:
      filters:
        A: [5, null]
outputs: {d: "{output_dir}/a.npz"}
seed: 0
"""
WORDS = st.sampled_from(
    ["recipe", "name", "inputs", "params", "modules", "outputs", "seed", "execute_on_invalidation", "type", "path", "metadata",
     "id", "Correlate", "Shift", "Filter&Co", "Clip", "LoadDrift", "Merge", "Broken", "step", "binsize", "label", "filters",
     "load_path", "load_paths", "inputs_many", "output_drift", "input_drift",
     "drift", "Localizations", "${w}", "x ${w}", "${", "w", "", "a.b"]
)  # fmt: skip
SCALARS = st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.one_of(WORDS, SCALARS), inner, max_size=4),
    max_leaves=12,
)
RECIPES = st.fixed_dictionaries(
    {"modules": st.lists(st.dictionaries(WORDS, st.dictionaries(WORDS, TREES, max_size=4), min_size=1, max_size=1), max_size=4)},
    optional={
        "params": st.dictionaries(WORDS, TREES, max_size=3),
        "inputs": TREES,
        "outputs": TREES,
        "seed": TREES,
        "name": TREES,
    },
)
fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def survives(text: str, overrides=()) -> None:
    problems = []
    try:
        dump(loads(text, overrides=overrides))
    except RecipeError as error:
        problems = [*error.problems]
        assert problems, str(error)  # noqa: PT017 - text that is no fault is as welcome
    for problem in problems:
        assert problem.message
        assert problem.line is None or 1 <= problem.line <= text.count("\n") + text.count("\r") + 1


@fuzz
@given(st.text())
def test_any_text(modules, text):
    survives(text)


@fuzz
@given(st.text(alphabet="abc:-?[]{}&*!|>'\"%@`#,\n\t \\$~.1eE+x0o<=", max_size=60))
def test_any_yaml_like_text(modules, text):
    survives(text)


@fuzz
@given(st.integers(0, len(SEED)), st.integers(0, 12), st.text(alphabet="abc:-?[]{}&*!'\"\n\t $\x85\u2028\ud83d", max_size=6))
def test_a_recipe_with_a_hole(modules, at, length, patch):
    survives(SEED[:at] + patch + SEED[at + length :])


@fuzz
@given(TREES)
def test_any_tree(modules, tree):
    survives(yaml.safe_dump(tree))


@fuzz
@given(RECIPES)
def test_any_recipe_like_tree(modules, tree):
    survives(json.dumps(tree))


@fuzz
@given(st.text(max_size=20), TREES)
def test_any_override(modules, name, value):
    try:
        override = parse_override(f"{name}={json.dumps(value)}")
    except RecipeError:
        return
    survives(SEED, [override])


@pytest.mark.parametrize(
    "opening", ["[", "{a: ", "- ", "? ", "a:\n ", "!!map {", "&a [", "- - ", "{[", "'", '"', "|\n", "&a\n", "*a "]
)
def test_repeated_openings(modules, opening):
    survives(opening * 20_000)


def test_a_long_recipe_is_read(modules):
    text = "".join(f"- Correlate: {{id: a{i}, output_drift: k{i}, step: 5, label: text}}\n" for i in range(300))
    assert len(loads(text).steps) == 300
