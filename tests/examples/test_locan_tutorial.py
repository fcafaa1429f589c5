"""The recipe of locan's tutorial on drift runs as it stands and ends where theory says."""

import json

import numpy as np
import pytest

from recipes_core import Recipe
from recipes_core.data import Drift

NAME = "correct_drift_locan_tutorial"


def test_it_has_no_faults(examples):
    assert Recipe.load(examples / f"{NAME}.yaml").problems == []


def test_it_runs_and_is_right(recipe_command, examples, tmp_path):
    pytest.importorskip("lmfit")
    ended = recipe_command("run", examples / f"{NAME}.yaml", "-o", "out", "-q")
    assert ended.code == 0, ended.err
    folder = tmp_path / "out"
    rmse = {}
    for step in ("0_drifting", "1_icp_chunks", "2_icp_model", "3_cc_model"):
        values = json.loads((folder / f"{NAME}_rmse_{step}.json").read_text())["values"]
        rmse[step] = np.array([values["rmse_x"], values["rmse_y"]])
    n_frames = len(Drift.load(folder / f"{NAME}_cc_drift.npz"))
    # Raw, without removing any mean: a line of 0.002 and 0.001 nm a frame over the whole movie ...
    np.testing.assert_allclose(rmse["0_drifting"], np.array([0.002, 0.001]) * n_frames / np.sqrt(3), rtol=0.01)
    # ... then what moves within a chunk of 3 300 frames ...
    np.testing.assert_allclose(rmse["1_icp_chunks"], np.array([0.002, 0.001]) * 3333 / np.sqrt(12), rtol=0.3)
    # ... and with a model what ten chunks of 10 000 localizations, 10 nm wide, leave open.
    assert (rmse["2_icp_model"] < 0.5).all()
    assert (rmse["3_cc_model"] < 0.25).all()
    report = json.loads((folder / f"{NAME}_cc_report.json").read_text())["values"]
    assert abs(report["offset_x.slope"] + 0.002) < 5 * report["offset_x.slope.error"]
    assert report["offset_y.r_square"] > 0.999
    assert {path.name for path in folder.iterdir()} >= {
        f"{NAME}_{figure}.png"
        for figure in ("icp_figure", "icp_model_figure", "cc_model_figure", "cc_before_after", "cc_difference")
    }
