"""The examples that go from a movie to molecules run as they stand, end in figures, and are right."""

import json

import numpy as np
import pytest

from recipes_core import Recipe
from recipes_core.data import Drift, Localizations

RECIPES = ("localize_2d", "localize_astigmatic_3d", "localize_with_fiducials", "movie_to_figure")


@pytest.mark.parametrize("name", RECIPES)
def test_no_faults_and_no_warnings(examples, name):
    assert Recipe.load(examples / f"{name}.yaml").problems == []


def run(recipe_command, examples, tmp_path, name):
    ended = recipe_command("run", examples / f"{name}.yaml", "-o", name, "-q")
    assert ended.code == 0, ended.err
    folder = tmp_path / name
    for figure in folder.glob("*.png"):
        assert figure.stat().st_size > 5000, figure
    return folder


def scores(path):
    return json.loads(path.read_text())["values"]


def test_localize_2d(recipe_command, examples, tmp_path):
    folder = run(recipe_command, examples, tmp_path, "localize_2d")
    found = scores(folder / "scores.json")
    assert found["precision"] > 0.95
    # Molecules of one filament overlap; those that stand alone are found as well as can be.
    assert found["isolated_rmse"] < 1.05 * found["isolated_bound"]
    assert {"spots.png", "scores.png", "frames.png", "rendering.png"} <= {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_localize_astigmatic_3d(recipe_command, examples, tmp_path):
    folder = run(recipe_command, examples, tmp_path, "localize_astigmatic_3d")
    found = scores(folder / "scores.json")
    assert found["precision"] > 0.9
    assert found["isolated_rmse"] < 1.1 * found["isolated_bound"]
    assert found["calibration_z"] == pytest.approx(1, abs=0.15)
    z = Localizations.load(folder / "localizations_3d.hdf")["z"]
    assert np.nanpercentile(z, 90) - np.nanpercentile(z, 10) > 150


@pytest.mark.slow
def test_localize_with_fiducials(recipe_command, examples, tmp_path):
    folder = run(recipe_command, examples, tmp_path, "localize_with_fiducials")
    found = scores(folder / "rmse.json")
    assert found["rmse_x_offset_free"] < 1
    assert found["rmse_y_offset_free"] < 1
    assert np.ptp(Drift.load(folder / "drift.npz").correction[:, 1]) == pytest.approx(400, abs=10)


@pytest.mark.slow
def test_movie_to_figure(recipe_command, examples, tmp_path):
    folder = run(recipe_command, examples, tmp_path, "movie_to_figure")
    assert json.loads((folder / "verdict.json").read_text())["values"]["verdict"] == "good"
    # The drift of the simulated movie is known, though the recipe makes no use of that.
    assert recipe_command("run", examples / "movie_to_figure.yaml", "-o", "truth", "-q", "--target", "true_drift").code == 0
    (truth,) = (tmp_path / "truth").glob("*.npz")
    difference = Drift.load(folder / "drift.npz").at(np.arange(1500)) - Drift.load(truth).at(np.arange(1500))
    assert difference[:, :2].std(axis=0).max() < 1.5
    found = scores(folder / "quality.json")
    assert found["nena"] < 10
    assert found["frc"] < 40
