"""`-p STEP.PARAM=VALUE` and `-p PARAM=VALUE`."""

from __future__ import annotations

import pytest

from recipes_core.errors import ExitCode, RecipeInvalid, UsageError
from recipes_core.language import dump, loads, parse_override

TEXT = """\
params: {window: 1000, file: in_recipe.npz}
modules:
  - Correlate: {step: "${window}", output_drift: measured}
  - Correlate: {id: second, step: 5}
  - Shift: {}
  - LoadDrift: {load_path: "${file}", input_dummy: measured}
"""


def read(*overrides: str, base=None, **options):
    document = loads(TEXT, overrides=[parse_override(text, base) for text in overrides], **options)
    return {step.id: step.module for step in document.steps}, document


@pytest.mark.parametrize(
    ("override", "step", "name", "value"),
    [
        ("Correlate.binsize=20", "Correlate", "binsize", 20.0),
        ("second.binsize=2e1", "second", "binsize", 20.0),
        ("second.pixel_size=20", "second", "binsize", 20.0),
        ("Correlate.step=7", "Correlate", "step", 7),
        ("amount=1.5", "Shift", "amount", 1.5),
        ("amount=null", "Shift", "amount", None),
        ("anything.Shift.amount=1.5", "Shift", "amount", 1.5),
        ("window=50", "Correlate", "step", 50),
        ("second.weights=[1, 2]", "second", "weights", (1.0, 2.0)),
        ("second.label=a=b", "second", "label", "a=b"),
        ("second.label=", "second", "label", ""),
        ("second.label= no ", "second", "label", "no"),
        ("Shift.input_drift=measured", "Shift", "input_drift", "measured"),
    ],
)
def test_a_value_takes_the_place_of_the_files(modules, override, step, name, value):
    steps, _ = read(override)
    assert getattr(steps[step], name) == value


def test_an_overridden_value_counts_as_written_and_is_no_reference_any_more(modules):
    _, document = read("Correlate.step=7", "second.output_drift=mine")
    assert document.steps[1].written == {"step", "output_drift"}
    assert ("Correlate", "step") not in document.references
    assert document.params["window"] == 1000


def test_the_last_one_wins(modules):
    steps, document = read("window=1", "window=2", "amount=1", "Shift.amount=2")
    assert (steps["Correlate"].step, document.params["window"], steps["Shift"].amount) == (2, 2, 2.0)


@pytest.mark.parametrize(
    ("override", "code", "words"),
    [
        ("Corelate.binsize=2", "U123", "no step 'Corelate'. Did you mean 'Correlate'?"),
        ("Correlate.binsise=2", "U142", "no parameter 'binsise'. Did you mean 'binsize'?"),
        ("windw=2", "U142", "Did you mean 'window'?"),
        ("amonut=2", "U142", "no step has a parameter 'amonut', and params: has no such entry. Did you mean 'amount'?"),
        ("binsize=2", "U143", "Say which: Correlate.binsize, second.binsize."),
        ("Correlate.binsize=x", "U144", "-p Correlate.binsize: binsize must be a number from 1 to 1000, not 'x'."),
        ("second.step=0", "U144", "step must be a whole number of at least 1, not 0."),
        ("window=x", "R204", "step must be a whole number of at least 1, not 'x' (from ${window})."),
    ],
)
def test_what_cannot_be_used_is_a_fault_of_the_command(modules, override, code, words):
    with pytest.raises(UsageError) as caught:
        read(override)
    (problem,) = caught.value.problems
    assert problem.code == code
    assert words in f"{problem.message} {problem.hint}"
    assert caught.value.exit_code is ExitCode.USAGE


def test_all_of_them_are_reported_at_once(modules):
    with pytest.raises(UsageError) as caught:
        read("a=1", "b.c=2", "amount=x")
    assert [problem.code for problem in caught.value.problems] == ["U142", "U123", "U144"]


def test_faults_of_the_recipe_come_first(modules):
    with pytest.raises(RecipeInvalid) as caught:
        loads("- Correlate: {step: x}", overrides=[parse_override("a=1")])
    assert {problem.code for problem in caught.value.problems} == {"R204", "U142"}


@pytest.mark.parametrize("text", ["binsize", "=5", " =5", ""])
def test_what_is_no_assignment(text):
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_override(text)


@pytest.mark.parametrize("text", ["a=[1", "a=!x 1", "a={b: 1, b: 2}", "a=x\n--- \ny"])
def test_a_value_that_is_not_yaml(text):
    with pytest.raises(UsageError) as caught:
        parse_override(text)
    assert caught.value.code == "U141"


def test_files_are_relative_to_the_current_folder(modules, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    steps, _ = read("LoadDrift.load_paths=[a.npz]", base=here, file=there / "recipe.yaml")
    assert steps["LoadDrift"].load_paths == (str(here / "a.npz"),)
    assert steps["LoadDrift"].load_path == str(there / "in_recipe.npz")
    steps, _ = read("file=b.npz", base=here, file=there / "recipe.yaml")
    assert steps["LoadDrift"].load_path == str(here / "b.npz")


def test_dollars_in_a_value_are_plain(modules):
    steps, _ = read("second.label=${window}")
    assert steps["second"].label == "${window}"


FILES = """\
params: {cell: c1, folder: sub, several: [a.npz]}
inputs: {Localizations: {path: "data/${cell}.hdf"}, Other: "${folder}/b.hdf"}
modules:
  - LoadDrift: {load_path: "data/${cell}.npz", load_paths: ["", "${folder}/a.npz", fixed.npz, "$${cell}"]}
  - LoadDrift: {load_path: "${folder}", load_paths: "${several}"}
"""


@pytest.mark.parametrize(
    ("override", "moved"),
    [
        ("cell=c7", ()),
        ("folder=other", ("other/b.hdf", "other/a.npz", "other")),
        ("several=[p.npz, q.npz]", ("p.npz", "q.npz")),
    ],
)
def test_only_names_that_an_override_begins_leave_the_recipe(modules, tmp_path, override, moved):
    here, there = tmp_path / "here", tmp_path / "there"
    document = loads(FILES, base=there, overrides=[parse_override(override, here)])
    names = files_of(document)
    assert [name for name in names if name.startswith(str(here))] == [str(here / name) for name in moved]
    assert all(name.startswith((f"{here}/", f"{there}/")) for name in names)
    assert str(there / "fixed.npz") in names
    again = loads(dump(document), base=there)
    assert files_of(again) == names, "a recipe that is written again reads the same files"


def files_of(document):
    """Every file that a recipe reads, in its order."""
    modules = [step.module for step in document.steps]
    return [
        *(spec.path for spec in document.inputs.values()),
        *(name for module in modules for name in (module.load_path, *module.load_paths)),
    ]
