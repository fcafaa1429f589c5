"""The full form: its sections, and `${name}`."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from recipes_core.data import ImageStack, Localizations
from recipes_core.language import loads

FULL = """\
recipe: 1
name: correct drift
inputs:
  Localizations: {type: Localizations, path: data/locs.hdf?table=A}
  movie:
    type: ImageStack
    metadata: {voxelsize.x: 0.1, Camera: {ReadNoise: 1.5, ADOffset: 100}, tags: [a, b]}
  image: photo.tif
  bare:
params: {window: 1000, label: cell, pattern: out}
modules:
  - Correlate: {input_localizations: Localizations, step: "${window}", label: "a ${label} of ${window}"}
outputs:
  drift: "{output_dir}/${pattern}.npz"
seed: 7
execute_on_invalidation: true
"""


def test_the_full_form(modules, tmp_path):
    document = loads(FULL, file=tmp_path / "recipe.yaml")
    assert (document.name, document.seed, document.execute_on_invalidation) == ("correct drift", 7, True)
    assert (document.file, document.base, document.text) == (tmp_path / "recipe.yaml", tmp_path, FULL)
    locs, movie, image, bare = document.inputs.values()
    assert (locs.type_name, locs.kind, locs.path) == ("Localizations", Localizations, str(tmp_path / "data/locs.hdf?table=A"))
    assert str(locs.mark) == "4:3"
    assert (movie.kind, movie.path) == (ImageStack, None)
    assert movie.metadata == {"voxelsize.x": 0.1, "Camera.ReadNoise": 1.5, "Camera.ADOffset": 100, "tags": ["a", "b"]}
    assert (image.kind, image.type_name, image.path) == (None, "", str(tmp_path / "photo.tif"))
    assert (bare.name, bare.kind, bare.path, bare.metadata) == ("bare", None, None, {})
    assert document.params == {"window": 1000, "label": "cell", "pattern": "out"}
    assert document.outputs == {"drift": "{output_dir}/out.npz"}
    module = document.steps[0].module
    assert (module.step, module.label) == (1000, "a cell of 1000")
    assert document.warnings == ()
    reference = document.references["Correlate", "step"]
    assert (reference.written, reference.names, reference.value) == ("${window}", ("window",), 1000)


def test_the_pyme_form_has_defaults(modules, tmp_path):
    document = loads("- Correlate: {}", file=tmp_path / "my_recipe.yaml")
    assert (document.name, document.seed, document.execute_on_invalidation) == ("my_recipe", 0, False)
    assert (document.inputs, document.params, document.outputs) == ({}, {}, {})
    assert loads("- Correlate: {}").name == "recipe"


def test_an_empty_list_is_a_recipe_without_steps(modules):
    assert loads("[]").steps == ()
    assert loads("recipe: 1\nmodules: []").steps == ()


def test_outputs_may_be_a_list_of_keys(modules):
    assert loads("modules: [Correlate: {}]\noutputs: [drift, figure]").outputs == {"drift": "", "figure": ""}
    assert loads("modules: [Correlate: {}]\noutputs: {drift: }").outputs == {"drift": ""}


@pytest.mark.parametrize(
    ("text", "code", "line", "col", "words"),
    [
        ("just text", "R120", 1, 1, "no recipe but text"),
        ("5", "R120", 1, 1, "no recipe but a number"),
        ("{}", "R120", 1, 1, "has no modules"),
        ("Shift:\n  amount: 2", "R120", 1, 1, "Write '- ' before 'Shift'"),
        ("name: x", "R120", 1, 1, "no 'modules:'"),
        ("modules: []\n\nmodels: {}", "R121", 3, 1, "no 'models:'. Did you mean 'modules'?"),
        ("modules: []\nauthor: me", "R121", 2, 1, "A recipe has: execute_on_invalidation, inputs"),
        ("recipe: 2\nmodules: []", "R122", 1, 9, "must be 1, the version of the language, not 2"),
        ("recipe: drift\nmodules: []", "R122", 1, 9, "stands under 'name:'"),
        ("recipe: true\nmodules: []", "R122", 1, 9, "not true"),
        ("modules: []\ninputs: [a]", "R127", 2, 9, "inputs: must be a mapping, not a list"),
        ("modules: []\nparams: 5", "R127", 2, 9, "params: must be a mapping, not a number"),
        ("modules: []\noutputs: x", "R127", 2, 10, "outputs: must be a mapping, not text"),
        ("modules: []\nname: 5", "R128", 2, 7, "name must be text, not 5"),
        ("modules: []\nseed: -1", "R128", 2, 7, "seed must be a whole number of at least 0, not -1"),
        ("modules: []\nseed: 1.5", "R128", 2, 7, "not 1.5"),
        ("modules: []\nseed: .inf", "R128", 2, 7, "not inf"),
        ("modules: []\nseed: .nan", "R128", 2, 7, "not nan"),
        ("modules: []\nseed: true", "R128", 2, 7, "not true"),
        ("modules: []\nexecute_on_invalidation: yes", "R128", 2, 26, "must be true or false, not 'yes'"),
        ("modules: []\ninputs: {a: {type: Locs}}", "R220", 2, 20, "no type 'Locs'. Types: Drift, ImageStack, Localizations."),
        ("modules: []\ninputs: {a: {type: Localisations}}", "R220", 2, 20, "Did you mean 'Localizations'?"),
        ("modules: []\ninputs: {a: {type: 5}}", "R220", 2, 20, "no type 5"),
        ("modules: []\ninputs: {a: {pth: x}}", "R221", 2, 14, "takes no 'pth'. Did you mean 'path'?"),
        ("modules: []\ninputs: {a: {camera: X}}", "R223", 2, 22, "there is no camera 'X'"),
        ("modules: []\ninputs: {a: 5}", "R222", 2, 13, "the file of 'a' must be text, not 5"),
        ("modules: []\ninputs: {a: [x]}", "R222", 2, 13, "must be the name of a file or a mapping, not a list"),
        ("modules: []\ninputs: {a: {path: 5}}", "R222", 2, 20, "the file of 'a' must be text, not 5"),
        ("modules: []\ninputs: {a: ''}", "R222", 2, 13, "the file of 'a' has no name"),
        ("modules: []\ninputs: {a: {metadata: 5}}", "R222", 2, 24, "metadata of 'a' must be a mapping, not a number"),
        ("modules: []\ninputs: {a: {metadata: {x.y: 1, x: {y: 2}}}}", "R104", 2, 37, "'x.y' twice"),
        ("modules: []\ninputs: {' a': x}", "R222", 2, 10, "' a' is no key"),
        ("modules: []\noutputs: {a: 5}", "R230", 2, 14, "the file of 'a' must be text, not 5"),
        ("modules: []\noutputs: [5]", "R230", 2, 11, "must be a key, not 5"),
        ("modules: []\noutputs: [a, a]", "R230", 2, 14, "'a' is listed twice"),
        ("modules: []\nparams: {a: 1, b: 'x${a}'}", "R131", 2, 19, "'b' uses '${...}'; entries cannot use each other"),
    ],
)  # fmt: skip
def test_faults_of_sections_name_their_place(fault, text, code, line, col, words):
    found = fault(text)
    assert found[:3] == (code, line, col)
    assert words in found[3]


def with_params(body: str, params: str = "{window: 10, text: abc, flag: true, list: [1, 2], bounds: [0, 5]}") -> str:
    return f"params: {params}\nmodules:\n  - {body}\n"


@pytest.mark.parametrize(
    ("body", "name", "value"),
    [
        ("Correlate: {step: '${window}'}", "step", 10),
        ("Correlate: {flatten_z: '${flag}'}", "flatten_z", True),
        ("Correlate: {weights: '${list}'}", "weights", (1.0, 2.0)),
        ("Correlate: {weights: [5, '${window}']}", "weights", (5.0, 10.0)),
        ("Correlate: {label: '${text}'}", "label", "abc"),
        ("Correlate: {label: 'x${text}y${window}'}", "label", "xabcy10"),
        ("Correlate: {label: '$${text}'}", "label", "${text}"),
        ("Correlate: {label: '$5 {a} $$'}", "label", "$5 {a} $$"),
        ("Filter&Co: {filters: {A: '${bounds}', B: [1, '${window}']}}", "filters", {"A": (0.0, 5.0), "B": (1.0, 10.0)}),
        ("Correlate: {output_drift: 'd_${text}'}", "output_drift", "d_abc"),
    ],
)
def test_references(modules, body, name, value):
    read = getattr(loads(with_params(body)).steps[0].module, name)
    assert read == value
    assert type(read) is type(value) or name == "filters"


@pytest.mark.parametrize(
    ("body", "code", "col", "words"),
    [
        ("Correlate: {step: '${windw}'}", "R130", 23, "params: has no entry 'windw'. Did you mean 'window'?"),
        ("Correlate: {label: 'a ${zzz}'}", "R130", 24, "Params: bounds, flag"),
        ("Correlate: {label: 'a ${zzz'}", "R131", 24, "has no matching '}'"),
        ("Correlate: {label: '${}'}", "R130", 24, "no entry ''"),
        ("Correlate: {label: 'a ${list}'}", "R131", 24, "must be text or a number, not [1, 2]. Use it as a whole value."),
        ("Correlate: {label: 'a ${flag}'}", "R131", 24, "not true"),
        ("Correlate: {label: '${window}'}", "R204", 24, "label must be text, not 10 (from ${window})."),
        ("Correlate: {step: '1${window}'}", "R204", 23, "step must be a whole number of at least 1, not '110' (from ${window})."),
    ],
)  # fmt: skip
def test_faults_of_references(fault, body, code, col, words):
    found = fault(with_params(body))
    assert found[:3] == (code, 3, col)
    assert words in found[3]


def test_a_reference_without_params(fault):
    assert fault("- Correlate: {step: '${window}'}") == (
        "R130", 1, 21, "params: has no entry 'window'. The recipe has no params: section.",
    )  # fmt: skip


def test_entries_of_params_that_nothing_uses_are_told(modules):
    (warning,) = loads("params: {a: 1, b: 2}\nmodules:\n  - Correlate: {step: '${a}'}").warnings
    assert (warning.code, warning.line, warning.col) == ("R132", 1, 16)
    assert "nothing uses 'b'" in warning.message


@pytest.mark.parametrize("value", ["x" * 50_000, [1] * 5_000])
def test_params_cannot_be_used_to_blow_up_a_recipe(faults, value):
    uses = ", ".join(["'${a}'"] * 1_000)
    text = f"params: {{a: {value}}}\nmodules:\n  - Correlate: {{weights: [{uses}]}}"
    assert "R105" in [problem.code for problem in faults(text)]


def test_inputs_may_use_params(modules, tmp_path):
    text = """\
        params: {cell: 7, size: 0.1}
        inputs:
          Localizations: {path: "cell${cell}.hdf", metadata: {voxelsize.x: "${size}"}}
        modules: [Correlate: {}]
        """
    (spec,) = loads(textwrap.dedent(text), base=tmp_path).inputs.values()
    assert Path(spec.path) == tmp_path / "cell7.hdf"
    assert spec.metadata == {"voxelsize.x": 0.1}
