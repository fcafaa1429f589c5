"""Output keys: written ones stay, defaults yield."""

from __future__ import annotations

import pytest
from language_modules import Correlate, Merge, Shift

from recipes_core.errors import UsageError
from recipes_core.language import loads, make_step, settle_output_keys


def keys(text: str, port: str = "output_drift") -> list[str]:
    return [getattr(step.module, port) for step in loads(text).steps]


def test_defaults_are_numbered_in_the_order_of_the_file(modules):
    assert keys("- Correlate: {}\n- Correlate: {}\n- Correlate: {}") == ["drift", "drift_1", "drift_2"]


def test_a_default_yields_to_a_written_key_wherever_that_stands(modules):
    text = "- Correlate: {}\n- Correlate: {output_drift: drift}\n- Correlate: {output_drift: drift_1}\n- Correlate: {}"
    assert keys(text) == ["drift_2", "drift", "drift_1", "drift_3"]


def test_a_default_yields_to_a_declared_input(modules):
    text = "inputs: {drift: {type: Drift}}\nmodules: [Correlate: {}]"
    assert keys(text) == ["drift_1"]


def test_default_inputs_keep_their_keys(modules):
    text = "- Correlate: {}\n- Correlate: {}\n- Shift: {}"
    assert loads(text).steps[2].module.input_drift == "drift"


def test_ports_that_are_made_on_demand_come_last(modules):
    # `figure` is the default key of a diagnostic port of Correlate; here a regular one of a later step wants it too.
    steps = [make_step(Correlate()), make_step(Merge())]
    steps[1].module.output_also = "figure"
    assert settle_output_keys(steps) == []
    assert (steps[0].module.output_figure, steps[1].module.output_also) == ("figure_1", "figure")


def test_an_unconnected_output_takes_no_key(modules):
    assert keys("- Correlate: {output_drift: ''}\n- Correlate: {}") == ["", "drift"]


def test_two_steps_that_write_one_key(fault):
    text = "- Correlate:\n    output_drift: d\n- Shift: {}\n- Correlate:\n    output_drift: d"
    assert fault(text) == (
        "R310", 5, 19,
        "output_drift writes the key 'd', which output_drift of step 'Correlate' (line 2) already writes. "
        "Give one of them another key.",
    )  # fmt: skip


def test_two_ports_of_one_step_that_write_one_key(fault):
    found = fault("- Merge:\n    output_also: d\n    output_localizations: d")
    assert found[:3] == ("R310", 2, 18)
    assert "already writes" in found[3]


def test_settling_again_changes_nothing(modules):
    steps = loads("- Correlate: {}\n- Correlate: {}\n- Correlate: {}").steps
    before = [step.module.output_drift for step in steps]
    assert settle_output_keys(steps) == []
    assert [step.module.output_drift for step in steps] == before
    # Also after one is gone: what reads `drift_2` must not get other data.
    settle_output_keys(steps[1:])
    assert [step.module.output_drift for step in steps[1:]] == ["drift_1", "drift_2"]


def test_steps_made_in_python():
    first = make_step(Correlate())
    second = make_step(Correlate(output_drift="drift", binsize=20), [first.id])
    third = make_step(Shift(), [first.id, second.id], id="move")
    assert [step.id for step in (first, second, third)] == ["Correlate", "Correlate_2", "move"]
    assert (first.written, second.written) == (frozenset(), {"output_drift", "binsize"})
    told = []
    first.module.watch(lambda module, name: told.append(name))
    assert settle_output_keys([first, second, third]) == []
    assert (first.module.output_drift, second.module.output_drift) == ("drift_1", "drift")
    assert told == []  # no change that the user made


@pytest.mark.parametrize(("name", "words"), [("move", "already has"), ("a.b", "cannot be called"), ("2", "cannot be called")])
def test_names_of_steps_made_in_python(name, words):
    with pytest.raises(UsageError, match=words):
        make_step(Shift(), ["move"], id=name)
