"""A recipe that is written and read again has the same steps."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from language_modules import Correlate, Filter, LoadDrift, Shift

from recipes_core.errors import UsageError
from recipes_core.language import RecipeDocument, dump, loads, make_step, parse_override, settle_output_keys


def same_steps(one: RecipeDocument, other: RecipeDocument) -> bool:
    def described(document):
        return [(s.id, type(s.module), {name: getattr(s.module, name) for name in s.module.declared()}) for s in document.steps]

    return described(one) == described(other)


def again(document: RecipeDocument) -> RecipeDocument:
    read = loads(dump(document), base=document.base)
    assert same_steps(document, read)
    assert (read.seed, read.name, dict(read.params)) == (document.seed, document.name, dict(document.params))
    assert (read.outputs, read.execute_on_invalidation) == (document.outputs, document.execute_on_invalidation)
    assert dump(read) == dump(document)
    return read


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "- Correlate:",
        "- Correlate: {}\n- Correlate: {}\n- Correlate: {id: Correlate_5}\n- Correlate: {}",
        "- Correlate: {id: b}\n- Correlate: {id: Correlate_2}\n- Correlate: {}\n- Correlate: {}",
        "- Correlate: {output_figure: look, input_truth: '', output_drift: ''}\n- Shift: {input_drift: d}",
        "- Correlate: {}\n- Correlate: {output_figure: figure}",
        "- tests.Filter&Co: {filters: {A: [5, 20000], x: [null, 3], y: [.inf, .inf]}}",
        "- two.Clip: {}\n- one.Clip: {radius: 2}",
        "- Merge: {inputs_many: [x, y, z]}\n- Merge: {inputs_many: []}",
        "- LoadDrift: {load_path: a/b.npz, load_paths: [/abs/c.npz, ../d.npz]}\n- LoadDrift: {load_paths: []}",
        "- Correlate: {weights: [1, 1e-5, 1e22, 0.1], label: 'no', method: dcc, flatten_z: false}",
        "- Correlate: {label: '$${x}'}",
        "- OldFilter: {}\n- old.Measure_Drift: {pixel_size: 3}",
        "params: {w: 7}\nmodules:\n  - Correlate: {step: '${w}', label: 'a ${w}', weights: [1, '${w}']}\n  - Shift: {amount: 5}",
        "name: 'no'\nmodules: []\nparams: {a: 'x', b: '1e-3', c: '$${d}'}\nseed: 3\nexecute_on_invalidation: true",
        "inputs: {a: {type: Drift, path: a.npz, metadata: {x.y: 1, z: [1, two]}}, b: /abs/c.hdf}\n"
        "modules: [Shift: {input_drift: a}]\noutputs: {shifted: '{output_dir}/x.hdf', drift: ''}",
    ],
)
def test_written_and_read_again(modules, tmp_path, text):
    again(loads(text, base=tmp_path))


def test_the_text(modules, tmp_path):
    document = loads(
        "- Correlate: {binsize: 30, step: 7, output_drift: d}\n- Shift: {input_drift: d, amount: 1e-5}\n"
        "- Correlate: {id: mine, label: '12:30'}\n- LoadDrift: {load_path: sub/a.npz}\n- Filter&Co: {filters: {A: [5, 20000]}}",
        base=tmp_path,
    )
    assert dump(document) == (
        """\
recipe: 1
name: recipe
modules:
  - Correlate:
      input_localizations: Localizations
      output_drift: d
      step: 7
  - Shift:
      input_localizations: Localizations
      input_drift: d
      output_localizations: shifted
      amount: 1.0e-05
  - Correlate:
      id: mine
      input_localizations: Localizations
      output_drift: drift
      output_figure: figure_1
      label: '12:30'
  - LoadDrift:
      output_drift: drift_1
      load_path: sub/a.npz
  - Filter&Co:
      inputName: Localizations
      outputName: filtered
      filters:
        A: [5.0, 20000.0]
"""
    )


def test_references_stay_where_their_value_is_unchanged(modules, tmp_path):
    text = (
        "params: {w: 7, name: cell}\ninputs: {Localizations: {path: '${name}.hdf', metadata: {who: '${name}'}}}\n"
        "modules:\n  - Correlate: {step: '${w}', label: 'a ${name}', weights: [1, '${w}']}\n  - Shift: {amount: '${w}'}\n"
        "outputs: {shifted: '{output_dir}/${name}.hdf'}"
    )
    document = loads(text, base=tmp_path)
    again(document)
    content = yaml.safe_load(dump(document))
    assert content["inputs"]["Localizations"] == {"path": "${name}.hdf", "metadata": {"who": "${name}"}}
    assert content["outputs"] == {"shifted": "{output_dir}/${name}.hdf"}
    correlate, shift = (next(iter(item.values())) for item in content["modules"])
    assert (correlate["step"], correlate["label"], correlate["weights"], shift["amount"]) == (
        "${w}",
        "a ${name}",
        [1, "${w}"],
        "${w}",
    )
    document.steps[0].module.step = 8
    content = yaml.safe_load(dump(again(document)))
    assert content["modules"][0]["Correlate"]["step"] == 8
    assert content["modules"][0]["Correlate"]["weights"] == [1, "${w}"]


def test_overrides_are_written(modules, tmp_path):
    text = "params: {w: 7}\nmodules:\n  - Correlate: {step: '${w}'}"
    content = yaml.safe_load(dump(again(loads(text, base=tmp_path, overrides=[parse_override("w=9")]))))
    assert (content["params"], content["modules"][0]["Correlate"]["step"]) == ({"w": 9}, "${w}")


def test_an_optional_input_that_nobody_named_stays_unnamed(modules):
    # Written, its key would be asked for; by default it is connected only where something makes the key.
    assert "input_truth" not in dump(loads("- Correlate: {}"))
    assert "input_truth: truth" in dump(loads("- Correlate: {input_truth: truth}"))


def test_a_recipe_made_in_python(modules, tmp_path):
    first = make_step(Correlate(step=20, label="${not a reference}"))
    second = make_step(Shift(input_drift="drift", amount=math.pi), [first.id], id="move")
    third = make_step(LoadDrift(load_path=str(tmp_path / "a.npz"), load_paths=[]))
    assert settle_output_keys([first, second, third]) == []
    document = RecipeDocument.updated(None, name="mine", steps=[first, second, third], seed=4, execute_on_invalidation=False)
    assert document.file is None
    read = again(document)
    assert read.steps[0].module.label == "${not a reference}"
    assert read.steps[1].module.amount == math.pi


def test_a_changed_document_keeps_the_rest(modules, tmp_path):
    document = loads("params: {w: 7}\nmodules:\n  - Correlate: {step: '${w}'}\noutputs: [drift]", base=tmp_path)
    changed = RecipeDocument.updated(document, name="x", steps=document.steps, seed=1, execute_on_invalidation=True)
    assert (changed.params, changed.outputs, changed.base) == (document.params, document.outputs, document.base)
    again(changed)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=30), number=st.floats(allow_nan=False, allow_infinity=False), name=st.text(max_size=10))
@example(text="\x85 \u2028\n", number=1e300, name="\x85")
@example(text="a: #b ", number=-5e-324, name="? " * 100)
def test_any_text_and_number_survives(modules, text, number, name):
    steps = [make_step(Correlate(label=text, weights=[number])), make_step(Filter(filters={name: [None, number]}))]
    again(RecipeDocument.updated(None, name=text, steps=steps, seed=0, execute_on_invalidation=False))


def test_what_yaml_cannot_hold(modules):
    document = loads("- Correlate: {}")
    document.params["x"] = object()
    with pytest.raises(UsageError, match="cannot be written as YAML"):
        dump(document)
