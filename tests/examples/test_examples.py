"""The example recipes run as they stand and are right."""

import json

import numpy as np
import pytest

from recipes_core import Recipe
from recipes_core.data import Drift, ImageStack, Localizations, Table

TRUTH = "data/wormlike_drift_truth.npz"
RECIPES = (
    "simulate_wormlike", "correct_drift_locs", "correct_drift_locs_load", "correct_drift_images", "correct_drift_images_load",
    "correct_drift_auto", "correct_drift_aim", "analyse_clusters",
)  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_examples_have_no_faults_and_no_warnings(examples, name):
    assert Recipe.load(examples / f"{name}.yaml").problems == []


def test_their_data_are_small(examples):
    assert sum(path.stat().st_size for path in (examples / "data").iterdir()) < 4e6


def test_their_data_are_what_the_simulation_makes(recipe_command, examples, tmp_path):
    assert recipe_command("run", examples / "simulate_wormlike.yaml", "-o", "out", "-q").code == 0
    made, kept = (Localizations.load(folder / "wormlike_locs_with_drift.hdf") for folder in (tmp_path / "out", examples / "data"))
    for name in kept.columns:
        np.testing.assert_allclose(made[name], kept[name], rtol=1e-6)


def run(recipe_command, examples, tmp_path, name):
    assert recipe_command("run", examples / f"{name}.yaml", "-q").code == 0
    folder = tmp_path / f"{name}_results"
    assert {path.suffix for path in folder.iterdir()} >= {".npz", ".png"}
    return folder, {path.name.removeprefix("wormlike_locs_with_drift_") for path in folder.iterdir()}


def test_localizations_are_corrected_and_a_saved_drift_does_the_same(recipe_command, examples, tmp_path):
    folder, names = run(recipe_command, examples, tmp_path, "correct_drift_locs")
    assert names >= {"corrected.hdf", "drift.npz", "drift_plot.png", "before_figure.png", "after_figure.png", "before_after.png"}
    truth = Drift.load(examples / TRUTH)
    found = Drift.load(folder / "wormlike_locs_with_drift_drift.npz")
    assert found.exact
    assert (found.rmse(truth)[:2] < 2).all()
    corrected = Localizations.load(folder / "wormlike_locs_with_drift_corrected.hdf")
    raw = Localizations.load(examples / "data" / "wormlike_locs_with_drift.hdf")
    left = corrected["x"].astype(float) - raw["x"] - truth.at(raw["frame"])[:, 0]
    assert np.std(left) < 2

    loaded, _ = run(recipe_command, examples, tmp_path, "correct_drift_locs_load")
    again = Localizations.load(loaded / "wormlike_locs_with_drift_corrected.hdf")
    np.testing.assert_allclose(again["x"], corrected["x"], atol=0.05)
    np.testing.assert_allclose(again["y"], corrected["y"], atol=0.05)


def test_each_file_gets_a_drift_file_of_its_own(recipe_command, examples, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.hdf").write_bytes((examples / "data" / "wormlike_locs_with_drift.hdf").read_bytes())
    many = ("--each", "Localizations=*.hdf", "-i", "truth=", "--dry-run")
    assert recipe_command("run", examples / "correct_drift_locs.yaml", *many).code == 0
    fixed = tmp_path / "fixed.yaml"
    text = (examples / "correct_drift_locs.yaml").read_text()
    fixed.write_text(text.replace("{file_stub}_drift_knots", "knots"))
    refused = recipe_command("run", fixed, *many)
    assert refused.code != 0
    assert "knots.npz" in refused.err
    assert 'save_path: "{file_stub}' in refused.err


@pytest.mark.parametrize(("name", "bound"), [("correct_drift_auto", 0.8), ("correct_drift_aim", 1.5)])
def test_drift_without_settings_and_by_aim(recipe_command, examples, tmp_path, name, bound):
    folder, names = run(recipe_command, examples, tmp_path, name)
    assert names >= {"corrected.hdf", "drift.npz", "drift_plot.png", "path_plot.png", "before_after.png"}
    found = Drift.load(folder / "wormlike_locs_with_drift_drift.npz")
    assert (found.rmse(Drift.load(examples / TRUTH))[:2] < bound).all()
    if name == "correct_drift_auto":
        verdict = json.loads((folder / "wormlike_locs_with_drift_verdict.json").read_text())
        assert verdict["values"]["verdict"] == "good"


def test_clusters_are_those_that_were_simulated(recipe_command, examples, tmp_path):
    assert recipe_command("run", examples / "analyse_clusters.yaml", "-q").code == 0
    folder = tmp_path / "analyse_clusters_results"
    values = {
        name: json.loads((folder / f"analyse_clusters_{name}.json").read_text())["values"]
        for name in ("cluster_numbers", "ripley_numbers", "neighbour_numbers")
    }
    # Sixty clusters on average; two that overlap count as one.
    assert 45 < values["cluster_numbers"]["n_clusters"] < 75
    assert values["cluster_numbers"]["part_clustered"] > 0.75
    assert values["ripley_numbers"]["largest_deviation"] > 20
    assert values["neighbour_numbers"]["clark_evans"] < 0.5
    clusters = Table.load(folder / "analyse_clusters_clusters.hdf")
    # Molecules lie 40 nm around the middle along each axis, and are localized to some 8 nm.
    assert np.median(clusters["rg"]) == pytest.approx(np.hypot(40, 8) * np.sqrt(2), rel=0.2)
    assert {path.name for path in folder.glob("*.png")} >= {
        f"analyse_clusters_{name}.png" for name in ("rendering", "ripley_plot", "cluster_plot")
    }


def test_images_are_corrected(recipe_command, examples, tmp_path):
    folder, names = run(recipe_command, examples, tmp_path, "correct_drift_images")
    assert names >= {"corrected.ome.tif", "drift.npz", "drift_plot.png", "before_after.png"}
    truth = Drift.load(examples / TRUTH)
    # Images of 1000 frames: what moves within them is averaged, which at 40 nm pixels costs a few nm.
    assert (Drift.load(folder / "wormlike_locs_with_drift_drift.npz").rmse(truth)[:2] < 4).all()
    stack = ImageStack.load(folder / "wormlike_locs_with_drift_corrected.ome.tif")
    assert stack.shape == (30, 1, 450, 450)
    assert stack.frame_numbers[1] - stack.frame_numbers[0] == 1000
    run(recipe_command, examples, tmp_path, "correct_drift_images_load")


def test_results_do_not_depend_on_the_number_of_threads(examples, tmp_path):
    bytes_of = []
    for n_threads in (1, 2):
        recipe = Recipe.load(examples / "correct_drift_locs.yaml")
        recipe.bind(recipe.default_bindings())
        recipe.n_threads = n_threads
        recipe.execute(["corrected", "after"])
        bytes_of.append((recipe["corrected"]["x"].tobytes(), recipe["after"].asarray().tobytes()))
    assert bytes_of[0] == bytes_of[1]
