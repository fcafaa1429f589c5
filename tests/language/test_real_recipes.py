"""The drift plugin's own recipes, as they are, with the built-in modules."""

from __future__ import annotations

import pytest

from recipes_core.language import dump, load, loads
from recipes_core.plugins import Registry, use_registry


@pytest.fixture(autouse=True)
def _built_in_modules():
    use_registry(Registry(external=False))
    yield
    use_registry(None)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("correct_drift_images.yaml", ["Image_RCC", "Drift_Interpolate", "Image_Post_Shift", "Image_Pre_Clip&Filter"]),
        (
            "correct_drift_locs.yaml",
            ["ProcessColour", "FilterTable", "Locs_RCC", "Drift_Interpolate", "Locs_Post_Shift", "Drift_Save"],
        ),
        (
            "correct_drift_locs_load.yaml",
            ["ProcessColour", "FilterTable", "Drift_Load_Interpolate", "Locs_Post_Shift"],
        ),
    ],
)
def test_they_load_unmodified(data_file, name, steps):
    document = load(data_file(f"cc_drift/{name}"))
    assert [step.id for step in document.steps] == steps
    again = loads(dump(document), base=document.base)
    for one, other in zip(document.steps, again.steps, strict=True):
        assert one.module.trait_get(*one.module.declared()) == other.module.trait_get(*other.module.declared())


def test_the_values_arrive(data_file):
    steps = {step.id: step.module for step in load(data_file("cc_drift/correct_drift_locs.yaml")).steps}
    assert steps["Locs_RCC"].binsize == 20.0
    assert steps["Locs_RCC"].step == steps["Locs_RCC"].window == 1000
    assert steps["Locs_RCC"].output_drift == steps["Drift_Interpolate"].input_drift_raw == "drift_raw"
    assert steps["Drift_Interpolate"].smoothing_factor == 10.0
    assert steps["FilterTable"].filters == {"A": (5, 20000), "error_x": (0, 30), "error_y": (0, 30), "sig": (95, 200)}


def test_the_drift_file_stands_beside_the_recipe(data_file):
    drift = data_file("cc_drift/drift.npz")
    steps = {step.id: step.module for step in load(drift.with_name("correct_drift_locs_load.yaml")).steps}
    assert steps["Drift_Load_Interpolate"].load_paths == (str(drift),)
