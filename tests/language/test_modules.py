"""Modules and their values: what is found, what is accepted, what is refused and where."""

from __future__ import annotations

import pytest

from recipes_core.errors import ExitCode, PluginError, RecipeInvalid
from recipes_core.language import loads


def one(text: str):
    (step,) = loads(text).steps
    return step


@pytest.mark.parametrize("name", ["tests.Correlate", "Correlate", "anything.Correlate", "old.place.Correlate"])
def test_a_module_is_found_by_its_full_name_or_its_last_part(modules, name):
    step = one(f"- {name}: {{}}")
    assert type(step.module).__name__ == "Correlate"
    assert (step.id, step.written_name) == ("Correlate", name)


def test_a_name_may_hold_odd_characters(modules):
    assert one("- chung.Filter&Co: {filters: {A: [5, 20000]}}").module.filters == {"A": (5.0, 20000.0)}


@pytest.mark.parametrize("name", ["OldFilter", "tablefilters.OldFilter"])
def test_an_old_name_of_a_module_is_accepted_with_a_warning(modules, name):
    document = loads(f"- {name}: {{}}")
    assert document.steps[0].id == "Filter&Co"
    (warning,) = document.warnings
    assert (warning.code, warning.severity, warning.line, warning.col) == ("R207", "warning", 1, 3)
    assert "'Filter&Co'" in warning.message


def test_an_old_name_of_a_parameter_or_port_is_accepted_with_a_warning(modules):
    document = loads("- Correlate:\n    pixel_size: 20\n    input_for_correction: locs")
    (step,) = document.steps
    assert (step.module.binsize, step.module.input_localizations) == (20.0, "locs")
    assert step.written == {"binsize", "input_localizations"}
    assert [(w.code, w.line, w.col, w.step) for w in document.warnings] == [
        ("R208", 2, 5, "Correlate"),
        ("R208", 3, 5, "Correlate"),
    ]
    assert "'pixel_size' is an old name of 'binsize'" in document.warnings[0].message


def test_a_module_without_a_body_takes_its_defaults(modules):
    assert one("- Correlate:").module.binsize == 30.0
    assert one("- Correlate: {}").written == frozenset()


def test_of_several_modules_of_one_name_the_parameters_choose(modules):
    assert type(one("- Clip: {sigma: 2}").module).__name__ == "ClipTwo"
    assert type(one("- two.Clip: {}").module).__name__ == "ClipTwo"
    assert type(one("- one.Clip: {radius: 2}").module).__name__ == "ClipOne"


@pytest.mark.parametrize("body", ["{}", "{common: 1}", "{radius: 2}", "{nothing: 1}", "{id: me}"])
def test_several_modules_that_fit_are_listed(fault, body):
    assert fault(f"- Correlate: {{}}\n- Clip: {body}") == (
        "R202", 2, 3,
        "several modules are called 'Clip', and the parameters do not tell which is meant. Write one of: one.Clip, two.Clip.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Corelate", "Did you mean 'Correlate'?"),
        ("chung_cc.Corelate", "Did you mean 'Correlate'?"),
        ("correlate", "Did you mean 'Correlate'?"),
        ("Filter&C0", "Did you mean 'Filter&Co'?"),
        ("DeepLearning", "It may belong to a plugin that is not installed; 'recipe modules list' shows what there is."),
    ],
)
def test_an_unknown_module(fault, name, hint):
    assert fault(f"-   {name}: {{x: 1}}") == ("R201", 1, 5, f"there is no module '{name}'. {hint}")


@pytest.mark.parametrize(
    ("text", "line", "col", "words"),
    [
        ("- Shift", 1, 3, "must be a mapping, not text. Write 'Shift: {}'"),
        ("- Shift: {}\n- 5", 2, 3, "must be a mapping, not a number"),
        ("- [Shift]", 1, 3, "must be a mapping, not a list"),
        ("- {}", 1, 3, "names no module"),
        ("-", 1, 2, "must be a mapping, not null"),
        ("- Shift: {}\n  Correlate: {}", 2, 3, "'Correlate' stands beside the module 'Shift'"),
        ("- Shift:\n  amount: 1", 2, 3, "Indent it further if it belongs to 'Shift'"),
        ("modules: {Shift: {}}", 1, 10, "modules: must be a list, not a mapping"),
        ("modules: text", 1, 10, "modules: must be a list, not text"),
    ],
)
def test_items_that_are_not_one_module_each(fault, text, line, col, words):
    found = fault(text)
    assert found[:3] == ("R123", line, col)
    assert words in found[3]


@pytest.mark.parametrize(("body", "kind"), [("5", "a number"), ("[a]", "a list"), ("text", "text"), ("true", "true or false")])
def test_a_body_that_is_no_mapping(fault, body, kind):
    found = fault(f"- Shift: {body}")
    assert found[:3] == ("R124", 1, 10)
    assert f"must be a mapping, not {kind}." in found[3]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("binsise", "Did you mean 'binsize'?"),
        ("output_drif", "Did you mean 'output_drift'?"),
        ("Step", "Did you mean 'step'?"),
    ],
)
def test_an_unknown_parameter_or_port(fault, name, hint):
    text = f"- Correlate:\n    label: x\n    {name}: 5"
    assert fault(text) == ("R203", 3, 5, f"Correlate has no parameter or port '{name}'. {hint}")


def test_an_unknown_parameter_that_is_like_none_lists_them(fault):
    assert "Shift takes: amount, id, input_drift, input_localizations" in fault("- Shift: {zzz: 5}")[3]


def test_a_value_that_is_written_under_both_names(fault):
    found = fault("- Correlate:\n    pixel_size: 20\n    binsize: 30")
    assert found == ("R205", 3, 5, "'binsize' and 'pixel_size' (line 2) are names of the same value. Keep 'binsize'.")


@pytest.mark.parametrize(
    ("name", "written", "message"),
    [
        ("binsize", "x", "binsize must be a number from 1 to 1000, not 'x'."),
        ("binsize", "0.5", "binsize must be a number from 1 to 1000, not 0.5."),
        ("binsize", "1e4", "binsize must be a number from 1 to 1000, not 10000.0."),
        ("binsize", '"20"', "binsize must be a number from 1 to 1000, not '20'. Remove the quotes."),
        ("binsize", "true", "binsize must be a number from 1 to 1000, not true."),
        ("binsize", ".nan", "binsize must be a number from 1 to 1000, not nan."),
        ("binsize", "null", "binsize must be a number from 1 to 1000, not null."),
        ("pixel_size", "[1]", "binsize must be a number from 1 to 1000, not [1]."),
        ("step", "11.5", "step must be a whole number of at least 1, not 11.5."),
        ("step", "0", "step must be a whole number of at least 1, not 0."),
        ("flatten_z", "1", "flatten_z must be true or false, not 1."),
        ("flatten_z", "yes", "flatten_z must be true or false, not 'yes'. In YAML 1.2 yes, no, on and off are text."),
        ("label", "5", "label must be text, not 5."),
        ("method", "RCD", "method must be one of RCC, MCC, DCC, not 'RCD'. Did you mean 'RCC'?"),
        ("weights", "[1, a]", "weights must be a list of items, each a number, not [1, 'a']."),
        ("weights", "1", "weights must be a list of items, each a number, not 1."),
        ("output_drift", "5", "output_drift must be a key: a word without line breaks, not 5."),
        (
            "input_truth",
            "null",
            "input_truth must be a key: a word without line breaks, not null. Write '' to leave it unconnected.",
        ),
        ("output_drift", '" a"', "output_drift must be a key: a word without line breaks, not ' a'."),
    ],
)
def test_a_value_of_a_wrong_type_or_out_of_range(fault, name, written, message):
    found = fault(f"- Correlate:\n    {name}: {written}")
    assert found == ("R204", 2, 7 + len(name), message)


def test_a_long_value_is_shortened_in_messages(fault):
    assert len(fault(f"- Correlate: {{binsize: {'x' * 5000}}}")[3]) < 200


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("step", "11.0", 11),
        ("binsize", "20", 20.0),
        ("method", "mcc", "MCC"),
        ("weights", "[1, 2.5]", (1.0, 2.5)),
        ("label", "no", "no"),
    ],
)
def test_coercion_where_nothing_is_lost(modules, name, written, value):
    read = getattr(one(f"- Correlate: {{{name}: {written}}}").module, name)
    assert read == value
    assert type(read) is type(value)


def test_places_of_values_and_what_is_written(modules):
    step = one("\n- Correlate:\n    step: 20\n    output_drift: d")
    assert str(step.mark) == "2:3"
    assert {name: str(mark) for name, mark in step.marks.items()} == {"step": "3:11", "output_drift": "4:19"}
    assert step.written == {"step", "output_drift"}


def test_a_fault_that_no_single_value_shows(fault):
    found = fault("- Shift: {}\n- Correlate: {method: MCC, step: 5}")
    assert found == ("R206", 2, 3, "MCC needs a step of at least 10.")


def test_ids(modules):
    text = (
        "- Correlate: {}\n- Correlate: {}\n- Correlate: {id: Correlate_2}\n- Correlate: {id: mine}\n- Shift: {}\n- Correlate: {}"
    )
    ids = [step.id for step in loads(text).steps]
    assert ids == ["Correlate", "Correlate_3", "Correlate_2", "mine", "Shift", "Correlate_4"]


def test_an_id_that_is_taken(fault):
    found = fault("- Shift: {id: a}\n- Correlate: {id: a}")
    assert found == ("R126", 2, 19, "the id 'a' is already that of a step (line 1). Give one of them another id.")


@pytest.mark.parametrize("name", ["a.b", "5", "'5'", "''", "a b", "null", "[a]"])
def test_an_id_that_is_no_word(fault, name):
    assert fault(f"- Shift: {{id: {name}}}")[:3] == ("R125", 1, 15)


def test_all_faults_are_reported_at_once_in_the_order_of_the_file(faults):
    found = faults(
        """\
        - Shift: {amount: x, amonut: 2}
        - Corelate: {}
        - Correlate:
            step: 0
            binsize: 5000
            method: no
        - Shift
        """,
        error=RecipeInvalid,
    )
    assert [(p.code, p.line, p.col, p.step) for p in found] == [
        ("R204", 1, 19, "Shift"),
        ("R203", 1, 22, "Shift"),
        ("R201", 2, 3, None),
        ("R204", 4, 11, "Correlate"),
        ("R204", 5, 14, "Correlate"),
        ("R204", 6, 13, "Correlate"),
        ("R123", 7, 3, None),
    ]


def test_the_text_of_a_fault(faults, tmp_path):
    (problem,) = faults("- Correlate: {binsise: 5}", file=tmp_path / "a.yaml")
    assert str(problem) == (
        f"{tmp_path / 'a.yaml'}:1:15 R203 step 'Correlate': Correlate has no parameter or port 'binsise'. Did you mean 'binsize'?"
    )


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("Broken", "P120", "cannot be imported"),
        ("NoModule", "P121", "does not derive from ModuleBase"),
        ("WithId", "P122", "declares 'id'"),
        ("FailingCheck", "P123", "its check fails: KeyError"),
    ],
)
def test_faults_of_plugins(modules, name, code, words):
    with pytest.raises(PluginError) as caught:
        loads(f"- {name}: {{}}")
    (problem,) = caught.value.problems
    assert (problem.code, problem.line, problem.col) == (code, 1, 3)
    assert words in problem.message
    assert caught.value.exit_code is ExitCode.PLUGIN


def test_faults_of_plugins_among_others_are_reported_with_them(faults):
    assert [p.code for p in faults("- Broken: {}\n- Shift: {x: 1}", error=RecipeInvalid)] == ["P120", "R203"]


def test_files_are_relative_to_the_recipe(modules, tmp_path):
    text = "- LoadDrift: {load_path: sub/../a.npz, load_paths: [b.npz, '', /abs/c.npz]}\n- LoadDrift: {load_path: ''}"
    first, second = loads(text, file=tmp_path / "recipe.yaml").steps
    assert first.module.load_path == str(tmp_path / "a.npz")
    assert first.module.load_paths == (str(tmp_path / "b.npz"), "/abs/c.npz")
    assert second.module.load_path == ""
    assert second.module.load_paths == (str(tmp_path / "drift.npz"),)
    assert second.written == {"load_path"}


def test_files_of_a_text_are_relative_to_the_current_folder(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert one("- LoadDrift: {load_path: a.npz}").module.load_path == str(tmp_path / "a.npz")
    assert loads("- Shift: {}", base=tmp_path / "x").base == tmp_path / "x"


def test_a_file_name_that_no_system_allows(fault):
    assert fault('- LoadDrift: {load_path: "a\\0b"}')[0] == "R204"
