"""`recipe run` and its neighbours, as a user calls them."""

import json
from pathlib import Path

import numpy as np
import pytest

from recipes_core.data import Drift, ImageStack, Localizations

RECIPE = """\
recipe: 1
name: filter
inputs:
  locs: {type: Localizations}
  extra: {type: Drift}
params: {low: 5}
modules:
  - FilterTable: {inputName: locs, outputName: bright, filters: {A: ["${low}", 20000]}}
  - Drift_Interpolate: {input_drift_raw: extra, output_drift_interpolator: curve, smoothing_factor: 0}
  - Locs_Post_Shift: {input_localizations: bright, input_drift_interpolator: curve, output_name: corrected}
"""


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path, Path]:
    rng = np.random.default_rng(3)
    locs = Localizations(
        {"x": rng.uniform(0, 1e3, 500), "y": rng.uniform(0, 1e3, 500), "frame": np.arange(500), "A": np.linspace(0, 50, 500)}
    )
    drift = Drift([0, 250, 499], [[0, 0, 0], [10, -5, 0], [20, 5, 0]])
    recipe = tmp_path / "filter.yaml"
    recipe.write_text(RECIPE)
    return recipe, locs.save(tmp_path / "cell7.hdf"), drift.save(tmp_path / "d.npz")


def test_results_are_what_nothing_takes_and_every_drift(recipe_command, files, tmp_path):
    recipe, locs, drift = files
    ended = recipe_command("run", recipe, locs, "-i", f"extra={drift}")
    assert ended.code == 0, ended.err
    folder = tmp_path / "filter_results"
    assert sorted(path.name for path in folder.iterdir()) == [
        "cell7_corrected.hdf", "cell7_curve.npz", "cell7_drift_plot.png",
    ]  # fmt: skip
    corrected = Localizations.load(folder / "cell7_corrected.hdf")
    original = Localizations.load(locs)
    kept = (original["A"] > 5) & (original["A"] < 20000)
    assert len(corrected) == kept.sum()
    # The outer parts of the drift are straight lines between its knots only where a spline of degree 2 says so.
    np.testing.assert_allclose(corrected["x"] - corrected["dx"], original["x"][kept], atol=1e-9)
    assert [entry.step for entry in corrected.history if entry.module != "file"][-1] == "Locs_Post_Shift"


def test_the_same_run_gives_the_same_bytes(recipe_command, files, tmp_path):
    recipe, locs, drift = files
    for folder in ("a", "b"):
        assert recipe_command("run", recipe, locs, "-i", f"extra={drift}", "-o", folder).code == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_parameters_of_the_recipe_and_of_steps(recipe_command, files):
    recipe, locs, drift = files
    common = (recipe, locs, "-i", f"extra={drift}", "--json")
    rows = {}
    for option in ("low=5", "low=40", "FilterTable.filters={A: [45, 99]}", "filters={A: [45, 99]}"):
        ended = recipe_command("run", *common, "-p", option)
        assert ended.code == 0, ended.out
        rows[option] = len(Localizations.load(json.loads(ended.out)["outputs"]["corrected"]))
    assert rows["low=5"] > rows["low=40"] > rows["filters={A: [45, 99]}"] > 0
    assert rows["filters={A: [45, 99]}"] == rows["FilterTable.filters={A: [45, 99]}"]


def test_targets_run_and_save_only_what_is_asked(recipe_command, files, tmp_path):
    recipe, locs, drift = files
    ended = recipe_command("run", recipe, locs, "-i", f"extra={drift}", "--target", "bright", "-o", "out", "--json")
    content = json.loads(ended.out)
    assert [step["step"] for step in content["steps"]] == ["FilterTable"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cell7_bright.hdf"]


def test_dry_run_writes_nothing(recipe_command, files, tmp_path):
    recipe, locs, drift = files
    before = sorted(tmp_path.rglob("*"))
    ended = recipe_command("run", recipe, locs, "-i", f"extra={drift}", "--dry-run")
    assert ended.code == 0
    assert "3 to run" in ended.out
    assert "never run" in ended.out
    assert sorted(tmp_path.rglob("*")) == before


def test_json_is_one_document_and_nothing_else(recipe_command, files):
    recipe, locs, drift = files
    ended = recipe_command("run", recipe, locs, "-i", f"extra={drift}", "--json")
    content = json.loads(ended.out)
    assert content["exit"] == 0
    assert {step["state"] for step in content["steps"]} == {"done"}
    assert set(content["outputs"]) == {"corrected", "curve", "drift_plot"}
    assert ended.err == ""


def test_quiet_says_only_what_is_wrong(recipe_command, files):
    recipe, locs, drift = files
    ended = recipe_command("run", recipe, locs, "-i", f"extra={drift}", "-q")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_outputs_name_their_files(recipe_command, files, tmp_path):
    recipe, locs, drift = files
    recipe.write_text(RECIPE + 'outputs: {corrected: "{output_dir}/sub/{file_stub}_done.csv", curve: drift}\n')
    assert recipe_command("run", recipe, locs, "-i", f"extra={drift}", "-o", "out").code == 0
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")) == [
        "drift.npz",
        "sub/cell7_done.csv",
        "sub/cell7_done.csv.provenance.json",
    ]


def test_an_earlier_result_is_replaced_and_others_are_left_alone(recipe_command, files, tmp_path):
    recipe, locs, drift = files
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    (out / "cell7_corrected.hdf").write_text("old")
    assert recipe_command("run", recipe, locs, "-i", f"extra={drift}", "-o", "out").code == 0
    assert (out / "mine.txt").read_text() == "keep"
    assert len(Localizations.load(out / "cell7_corrected.hdf")) > 0
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_metadata_reach_the_data(recipe_command, tmp_path):
    rng = np.random.default_rng(2)
    base = rng.normal(size=(64, 64)).astype(np.float32)
    base = np.kron(base[:16, :16], np.ones((4, 4), np.float32))
    ImageStack(np.stack([base, np.roll(base, 2, axis=1)])).save(tmp_path / "movie.tif")
    (tmp_path / "r.yaml").write_text("- Image_RCC: {input_image: input, output_drift: d}\n")
    ended = recipe_command("run", "r.yaml", "movie.tif")
    assert ended.code == 3
    assert "voxelsize.x" in ended.err
    ended = recipe_command("run", "r.yaml", "movie.tif", "-m", "input.voxelsize.x=0.1", "-m", "input.voxelsize.y=0.1", "-o", "o")
    assert ended.code == 0, ended.err
    drift = Drift.load(tmp_path / "o" / "movie_d.npz")
    assert drift.correction[1, 0] == pytest.approx(-200, abs=30)


def test_a_second_input_of_the_recipe_can_be_left_out_where_it_is_optional(recipe_command, files):
    recipe, locs, _ = files
    ended = recipe_command("run", recipe, locs, "-i", "extra=")
    assert ended.code == 2
    assert "only an optional input" in ended.err


def test_check(recipe_command, files):
    recipe, *_ = files
    ended = recipe_command("check", recipe)
    assert ended.code == 0
    assert "3 steps, no faults" in ended.out
    assert "input locs (Localizations): give it with -i" in ended.out
    recipe.write_text(RECIPE.replace("FilterTable:", "FilterTabel:"))
    ended = recipe_command("check", recipe, "--json")
    problems = json.loads(ended.out)["problems"]
    assert (ended.code, problems[0]["line"], problems[0]["hint"]) == (3, 8, "Did you mean 'FilterTable'?")


def test_graph(recipe_command, files):
    recipe, *_ = files
    text = recipe_command("graph", recipe).out
    assert text.index("FilterTable") < text.index("Locs_Post_Shift")
    assert "locs -> bright" in text
    mermaid = recipe_command("graph", recipe, "--format", "mermaid").out
    assert mermaid.startswith("flowchart LR")
    assert '"bright"' in mermaid


def test_info(recipe_command, files):
    _, locs, drift = files
    text = recipe_command("info", locs).out
    assert "500 localizations in frames 0 to 499" in text
    assert "nm" in text
    content = json.loads(recipe_command("info", locs, "--json").out)
    columns = {column["name"]: column for column in content["datasets"][0]["columns"]}
    assert columns["frame"]["max"] == 499
    assert "3 knots" in recipe_command("info", drift).out


def test_modules(recipe_command):
    listed = recipe_command("modules", "list").out
    assert "Locs_RCC" in listed
    shown = recipe_command("modules", "show", "chung_cc.Locs_RCC").out
    assert "binsize" in shown
    assert "input_for_correction" in shown
    content = json.loads(recipe_command("modules", "show", "Locs_RCC", "--json").out)
    assert {item["name"]: item["default"] for item in content["parameters"]}["binsize"] == 30.0
    ended = recipe_command("modules", "show", "Locs_RRC")
    assert (ended.code, "Locs_RCC" in ended.err) == (2, True)


def test_version_names_what_it_stands_on(recipe_command):
    ended = recipe_command("--version")
    assert ended.code == 0
    assert ended.out.startswith("recipe ")
    assert "numpy" in ended.out


def test_the_input_goes_to_a_needed_input_before_an_optional_one(recipe_command, files, tmp_path):
    *_, drift = files
    (tmp_path / "d.yaml").write_text("- Drift_Interpolate: {input_drift_raw: raw, input_truth: truth}\n")
    assert recipe_command("run", "d.yaml", drift, "-o", "out").code == 0
    (tmp_path / "o.yaml").write_text(
        "recipe: 1\ninputs: {locs: {type: Localizations, path: cell7.hdf}, extra: {type: Drift}}\nmodules:\n"
        "  - Locs_Post_Shift: {input_localizations: locs, input_drift_interpolator: extra, output_name: moved}\n"
    )
    assert recipe_command("run", "o.yaml", drift, "-o", "out2").code == 0


@pytest.mark.parametrize("declared", ["", "inputs: {other: {type: Drift}}\n"])
def test_a_file_in_place_of_what_a_step_makes(recipe_command, files, tmp_path, declared):
    _, locs, _ = files
    (tmp_path / "m.yaml").write_text(
        f"recipe: 1\n{declared}modules:\n"
        "  - Locs_Simulate: {output_localizations: made, n_localizations: 300, n_frames: 10}\n"
        "  - FilterTable: {inputName: made, outputName: bright, filters: {A: [20, 1e9]}}\n"
        'outputs: {bright: ""}\n'
    )
    ended = recipe_command("run", "m.yaml", "-i", f"made={locs}", "-o", "out")
    assert ended.code == 0, ended.err
    assert "'made' is read from cell7.hdf; step 'Locs_Simulate' does not make it" in ended.err
    assert "Locs_Simulate" not in ended.out
    bright = Localizations.load(tmp_path / "out" / "cell7_bright.hdf")
    assert len(bright) == np.count_nonzero(Localizations.load(locs)["A"] > 20)
    # The result can be made again from its own record.
    again = recipe_command("run", tmp_path / "out" / "cell7_bright.hdf")
    assert again.code == 0, again.err
    assert "same" in again.out


def test_a_camera_is_named_as_under_an_input() -> None:
    from recipes_core.cli.assignments import Assignments

    given = Assignments(metadata=("movie.camera=ORCA-Flash4.0 V3", "movie.Camera.ADOffset=99"))
    assert given.metadata_of(["movie"]) == {"movie": {"Camera.Preset": "ORCA-Flash4.0 V3", "Camera.ADOffset": 99}}
