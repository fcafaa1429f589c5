"""The command line and what earlier runs left: explain, status, runs, verify, --each, watch, results made again."""

import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from recipes_core.data import Drift, Localizations

RECIPE = """
recipe: 1
name: correct
inputs:
  Localizations: {type: Localizations}
  truth: {type: Drift}
modules:
  - FilterTable: {inputName: Localizations, outputName: kept, filters: {error_x: [0, 30]}}
  - Drift_Interpolate: {input_drift_raw: truth, output_drift_interpolator: curve, smoothing_factor: 10}
  - Locs_Post_Shift: {input_localizations: kept, input_drift_interpolator: curve, output_name: corrected}
outputs: {corrected: "", curve: ""}
"""


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(3)
    n = 500
    columns = {
        "x": rng.uniform(0, 1000, n),
        "y": rng.uniform(0, 1000, n),
        "frame": np.arange(n),
        "error_x": rng.uniform(0, 40, n),
    }
    for name in ("cell1", "cell2"):
        Localizations(columns).save(tmp_path / f"{name}.hdf")
        columns = {**columns, "x": columns["x"] + 1}
    frames = np.arange(0, 500, 50)
    measured = np.column_stack([0.1 * frames, 0.2 * frames, 0 * frames]) + rng.normal(0, 2, (len(frames), 3))
    Drift(frames, measured, measured=(0, 499)).save(tmp_path / "truth.npz")
    (tmp_path / "correct.yaml").write_text(RECIPE)
    return ["correct.yaml", "cell1.hdf", "-i", "truth=truth.npz"]


def tree(folder):
    """Every file with its time and content, without the file that locks of this process hang on: it goes with an earlier command."""
    paths = [path for path in folder.rglob("*") if path.name != "locks" and path.suffix != ".own"]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in paths}


def states(ended):
    return {step["step"]: step["state"] for step in json.loads(ended.out)["steps"]}


def test_explain_says_what_a_changed_parameter_makes_run(recipe_command, files, tmp_path, own_cache):
    assert recipe_command("run", *files, "-q").code == 0
    before = tree(tmp_path), tree(own_cache)
    ended = recipe_command("explain", *files, "-p", "smoothing_factor=2")
    assert ended.code == 0
    assert "smoothing_factor 10.0 -> 2.0" in ended.out
    assert "after Drift_Interpolate" in ended.out
    assert "2 to run, 1 cached" in ended.out
    assert recipe_command("run", *files, "-p", "smoothing_factor=2", "--dry-run").code == 0
    reasons = json.loads(recipe_command("explain", *files, "-p", "smoothing_factor=2", "--json").out)["steps"][1]["reasons"]
    assert reasons == [{"kind": "ParameterChanged", "name": "smoothing_factor", "old": 10.0, "new": 2.0}]
    assert (tree(tmp_path), tree(own_cache)) == before, "looking leaves the disk as it is"


def test_nothing_runs_twice_and_results_are_left_alone(recipe_command, files, tmp_path):
    assert set(states(recipe_command("run", *files, "--json")).values()) == {"done"}
    before = tree(tmp_path)
    again = recipe_command("run", *files, "--json")
    assert states(again) == {"FilterTable": "not needed", "Drift_Interpolate": "cached", "Locs_Post_Shift": "cached"}
    assert tree(tmp_path) == before
    (tmp_path / "correct_results" / "cell1_corrected.hdf").write_bytes(b"spoiled")
    assert recipe_command("run", *files, "-q").code == 0
    assert len(Localizations.load(tmp_path / "correct_results" / "cell1_corrected.hdf")) > 300


def test_force_runs_a_step_and_what_depends_on_it(recipe_command, files):
    recipe_command("run", *files, "-q")
    forced = states(recipe_command("run", *files, "--json", "--force", "Drift_Interpolate"))
    assert forced == {"FilterTable": "cached", "Drift_Interpolate": "done", "Locs_Post_Shift": "done"}
    assert set(states(recipe_command("run", *files, "--json", "--force")).values()) == {"done"}
    wrong = recipe_command("run", *files, "--force", "Drift_Interpolat")
    assert wrong.code == 2
    assert "Did you mean 'Drift_Interpolate'" in wrong.err


def test_no_cache_leaves_no_trace(recipe_command, files, own_cache):
    assert recipe_command("run", *files, "--no-cache", "-q").code == 0
    assert not own_cache.exists()


def test_status_follows_what_happens(recipe_command, files, tmp_path):
    found = json.loads(recipe_command("status", *files, "--json").out)
    assert {step["state"] for step in found["steps"]} == {"missing"}
    assert set(found["files"].values()) == {"missing"}
    recipe_command("run", *files, "-q")
    found = json.loads(recipe_command("status", *files, "--json").out)
    assert {step["state"] for step in found["steps"]} == {"current"}
    assert set(found["files"].values()) == {"current"}
    found = json.loads(recipe_command("status", *files, "-p", "smoothing_factor=3", "--json").out)
    assert [step["state"] for step in found["steps"]] == ["current", "stale", "stale"]
    assert set(found["files"].values()) == {"stale"}


def test_another_input_is_named(recipe_command, files):
    recipe_command("run", *files, "-q")
    other = ["correct.yaml", "cell2.hdf", *files[2:]]
    assert "input 'Localizations' changed: cell1.hdf -> cell2.hdf" in recipe_command("explain", *other).out


def test_a_touched_input_with_the_same_content_runs_nothing(recipe_command, files, tmp_path):
    recipe_command("run", *files, "-q")
    os.utime(tmp_path / "cell1.hdf")
    (tmp_path / "cell1.hdf").rename(tmp_path / "moved.hdf")
    found = states(recipe_command("run", "correct.yaml", "moved.hdf", *files[2:], "--json"))
    assert "done" not in found.values()


def test_verify_makes_everything_again_and_compares(recipe_command, files):
    nothing = recipe_command("run", *files, "--verify")
    assert nothing.code == 2
    assert "nothing to compare" in nothing.err
    ended = recipe_command("run", *files, "--verify")
    assert ended.code == 0
    assert "all the same" in ended.out


def test_a_result_is_made_again_from_its_own_record(recipe_command, files, tmp_path, own_cache, monkeypatch):
    recipe_command("run", *files, "-q")
    elsewhere = tmp_path / "colleague"
    elsewhere.mkdir()
    result = (tmp_path / "correct_results" / "cell1_corrected.hdf").rename(elsewhere / "sent.hdf")
    monkeypatch.setenv("RECIPES_CACHE", str(elsewhere / "cache"))
    ended = recipe_command("run", result)
    assert ended.code == 0
    assert "the same, bit for bit" in ended.out
    # The inputs are found beside the result as well.
    for name in ("cell1.hdf", "truth.npz"):
        (tmp_path / name).rename(elsewhere / name)
    assert recipe_command("run", result, "-o", "again").code == 0
    assert len(list((tmp_path / "again").iterdir())) == 1
    (elsewhere / "cell1.hdf").unlink()
    missing = recipe_command("run", result)
    assert missing.code == 3
    assert "-i Localizations=FILE" in missing.err
    wrong = recipe_command("run", result, "-i", f"Localizations={tmp_path / 'cell2.hdf'}")
    assert wrong.code == 3
    assert "content differs" in wrong.err


def test_a_result_whose_record_was_changed_differs(recipe_command, files, tmp_path):
    recipe_command("run", *files, "-q")
    path = tmp_path / "correct_results" / "cell1_corrected.hdf"
    with h5py.File(path, "r+") as file:
        attributes = file["MetaData"]["Recipes"].attrs
        record = attributes["Record"].decode()
        assert "smoothing_factor: 10" in record
        attributes["Record"] = np.bytes_(record.replace("smoothing_factor: 10", "smoothing_factor: 1").encode())
    ended = recipe_command("run", path)
    assert ended.code == 1
    assert "is another one" in ended.err


def test_runs_are_recorded_and_compared(recipe_command, files):
    recipe_command("run", *files, "-q")
    recipe_command("run", *files, "-p", "smoothing_factor=2", "-q")
    runs = json.loads(recipe_command("runs", "ls", "--json").out)
    assert len(runs) == 2
    ran = {step["step"]: step["state"] for step in runs[0]["steps"]}
    assert ran == {"FilterTable": "cached", "Drift_Interpolate": "done", "Locs_Post_Shift": "done"}
    assert runs[0]["inputs"]["Localizations"]["path"].endswith("cell1.hdf")
    difference = recipe_command("runs", "diff", runs[1]["run"], runs[0]["run"]).out
    assert "smoothing_factor  10.0 -> 2.0" in difference
    assert "result corrected" in difference
    shown = recipe_command("runs", "show", "last").out
    assert "smoothing_factor 10.0 -> 2.0" in shown
    unknown = recipe_command("runs", "show", "nothing")
    assert unknown.code == 2


def test_a_failed_run_is_recorded_too(recipe_command, files):
    ended = recipe_command("run", *files, "-p", "filters={error_x: [50, 60]}")
    runs = json.loads(recipe_command("runs", "ls", "--json").out)
    assert [run["exit"] for run in runs] == [ended.code]


def test_each_runs_once_for_each_file(recipe_command, files, tmp_path):
    ended = recipe_command("run", "correct.yaml", *files[2:], "--each", "Localizations=cell*.hdf")
    assert ended.code == 0
    assert "2 of 2 files done" in ended.out
    names = sorted(path.name for path in (tmp_path / "correct_results").iterdir())
    assert names == ["cell1_corrected.hdf", "cell1_curve.npz", "cell2_corrected.hdf", "cell2_curve.npz"]
    found = json.loads(recipe_command("run", "correct.yaml", *files[2:], "--each", "Localizations=cell*.hdf", "--json").out)
    assert {step["file"] for step in found["steps"]} == {"cell1", "cell2"}
    one, two = (Localizations.load(tmp_path / "correct_results" / f"cell{n}_corrected.hdf") for n in (1, 2))
    np.testing.assert_allclose(two["x"] - one["x"], 1, atol=1e-3)


def test_each_shares_what_is_common_and_keeps_going(recipe_command, files, tmp_path):
    (tmp_path / "cell0.hdf").write_bytes((tmp_path / "cell1.hdf").read_bytes()[:3000])
    each = ["correct.yaml", *files[2:], "--each", "Localizations=cell*.hdf"]
    broken = recipe_command("run", *each, "--keep-going", "--json")
    assert broken.code == 3
    (tmp_path / "cell0.hdf").unlink()
    found = json.loads(recipe_command("run", *each, "--json").out)["steps"]
    assert [step["state"] for step in found if step["step"] == "Drift_Interpolate"] == ["done", "cached"]


def test_each_refuses_what_cannot_work(recipe_command, files, tmp_path):
    each = ["run", "correct.yaml", *files[2:], "--each"]
    assert "no file fits" in recipe_command(*each, "Localizations=nothing*.hdf").err
    assert recipe_command(*each, "Localizations").code == 2
    (tmp_path / "correct.yaml").write_text(RECIPE.replace('corrected: ""', "corrected: one.hdf"))
    ended = recipe_command(*each, "Localizations=cell*.hdf")
    assert ended.code == 3
    assert "would both be written to one.hdf" in ended.err


def test_an_input_that_changes_while_it_is_read_leaves_nothing(recipe_command, files, tmp_path, own_cache, monkeypatch):
    from recipes_modules import FilterTable

    honest = FilterTable.run

    def slow(self, ctx, **inputs):
        made = honest(self, ctx, **inputs)
        with (tmp_path / "cell1.hdf").open("ab") as file:
            file.write(b"more")
        return made

    monkeypatch.setattr(FilterTable, "run", slow)
    ended = recipe_command("run", *files)
    assert ended.code == 3
    assert "changed while it was read" in ended.err
    kept = [entry["step"] for entry in json.loads(recipe_command("cache", "ls", "--json").out)]
    assert "FilterTable" not in kept


def test_watch_follows_the_recipe_and_new_files(files, tmp_path, own_cache):
    code = "from recipes_core.cli.main import main; main()"
    arguments = ["watch", "correct.yaml", *files[2:], "--each", "Localizations=cell*.hdf", "--quiet-time", "0.1"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "RECIPES_CACHE": str(own_cache)},
    )  # fmt: skip
    try:
        _until(process, "2 of 2 files done", "watching")
        (tmp_path / "cell3.hdf").write_bytes((tmp_path / "cell2.hdf").read_bytes())
        _until(process, "changed:", "3 of 3 files done", "watching")
        assert (tmp_path / "correct_results" / "cell3_corrected.hdf").exists()
        (tmp_path / "correct.yaml").write_text(RECIPE + "modules: []\n")
        _until(process, "error", "watching")
        (tmp_path / "correct.yaml").write_text(RECIPE.replace("smoothing_factor: 10", "smoothing_factor: 1"))
        _until(process, "3 of 3 files done", "watching")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.stdout.close()


def _until(process, *texts):
    deadline = time.monotonic() + 60
    for text in texts:
        while True:
            assert time.monotonic() < deadline, f"'{text}' never came"
            line = process.stdout.readline()
            assert line or process.poll() is None, f"ended before '{text}'"
            if text in line:
                break


def test_a_warning_lasts_as_long_as_the_result(recipe_command, files, tmp_path):
    with_gap = Drift([0, 50, 100], np.zeros((3, 3)), measured=(0, 100))
    with_gap.save(tmp_path / "truth.npz")
    first = recipe_command("run", *files)
    assert first.code == 0
    (told,) = [line for line in first.err.splitlines() if "Locs_Post_Shift" in line]
    second = recipe_command("run", *files)
    assert states_of_lines(second.out) == {"cached"}
    assert [line.partition("W100")[2] or line for line in second.err.splitlines() if "Locs_Post_Shift" in line], second.err
    warned = [
        problem for problem in json.loads(recipe_command("run", *files, "--json").out)["problems"] if problem["code"] == "W100"
    ]
    assert [problem["step"] for problem in warned] == ["Locs_Post_Shift"]
    assert warned[0]["message"] in told


def states_of_lines(text):
    return {word for line in text.splitlines() for word in line.split() if word in ("cached", "done")}


def test_a_report_is_one_file_with_everything_in_it(recipe_command, files, examples, tmp_path):
    assert (
        recipe_command("run", examples / "simulate_wormlike.yaml", "-p", "n_localizations=2000", "--report", "one.html").code == 0
    )
    page = (tmp_path / "one.html").read_text()
    assert "Locs_Simulate" in page
    assert "n_localizations" in page
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", ""), "it needs nothing else"
    (tmp_path / "correct.yaml").write_text(RECIPE.replace("name: correct\n", "name: <script>alert(1)</script>\n"))
    assert recipe_command("run", *files, "--report", "two.html").code == 0
    assert "<script>alert" not in (tmp_path / "two.html").read_text()
    failed = recipe_command("run", *files, "-p", "filters={nothing: [0, 1]}", "--report", "three.html")
    assert failed.code != 0
    nowhere = recipe_command("run", *files, "--report", "correct.yaml/four.html")
    assert nowhere.code == 5
