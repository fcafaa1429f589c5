"""The parts of `python -m benchmarks drift` on which its numbers rest."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

drift = pytest.importorskip("benchmarks.drift", reason="benchmarks are not part of this distribution")

import recipes_modules  # noqa: E402
from benchmarks import drift_data, drift_oracle, drift_plan  # noqa: E402
from benchmarks.drift_table import Row, table  # noqa: E402


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> drift_data.Dataset:
    """A small data set of filaments, kept in a folder of its own."""
    monkeypatch.setenv(drift_data.FOLDER, str(tmp_path))
    settings = drift_data.SHORT | {"n_localizations": 30_000, "n_frames": 2000, "field": 6.0, "n_filaments": 10}
    monkeypatch.setitem(drift_data.MAKERS, "small", lambda: drift_data.simulate(**settings))
    return drift_data.load("small")


def test_the_smoother_is_the_best_linear_estimate() -> None:
    """Against the dense solution of the same Gaussian model, with measurements missing at both ends and between."""
    rng = np.random.default_rng(1)
    n, step = 40, 0.3
    variance = rng.uniform(0.5, 3, n)
    variance[[0, 1, 17, 18, 39]] = np.inf
    measured = np.cumsum(rng.normal(0, np.sqrt(step), n)) + rng.normal(size=n)
    differences = np.diff(np.eye(n), axis=0)
    precision = differences.T @ differences / step + np.diag(1 / variance)
    expected = np.linalg.solve(precision, measured / variance)
    np.testing.assert_allclose(drift_oracle.smooth_walk(measured, variance, step), expected, atol=1e-6)


def test_the_oracle_has_the_error_that_theory_gives() -> None:
    """A walk of step s seen with error r in each frame: the smoothed variance is s r / 2 / sqrt(1 + s^2 / (4 r^2)) in the middle."""
    rng = np.random.default_rng(2)
    n, step, error = 200_000, 0.4, 3.0
    walk = np.cumsum(rng.normal(0, step, n))
    frames = np.arange(n, dtype=np.int32)
    zeros = np.zeros(n)
    locs = {
        "x": walk + rng.normal(0, error, n),
        "y": zeros,
        "z": zeros,
        "frame": frames,
        "error_x": zeros + error,
        "error_y": zeros + 1,
    }
    data = drift_data.Dataset("walk", locs, np.column_stack([walk, 0.01 * walk, zeros]), np.zeros((n, 3)))
    expected = np.sqrt(step * error / 2 / np.sqrt(1 + step**2 / (4 * error**2)))
    assert drift_oracle.oracle(data)["x"] == pytest.approx(expected, rel=0.02)
    assert drift_oracle.oracle(data, best=True)["x"] == pytest.approx(expected, rel=0.02)


def test_data_are_kept_and_hold_the_truth(small: drift_data.Dataset, tmp_path: Path) -> None:
    assert (tmp_path / "small.npz").exists()
    again = drift_data.load("small")
    np.testing.assert_array_equal(again.locs["x"], small.locs["x"])
    for axis, name in enumerate("xyz"):
        score = small.locs[name] - small.molecules[:, axis] - small.moved[small.locs["frame"], axis]
        assert np.std(score / small.locs[f"error_{name}"]) == pytest.approx(1, abs=0.02)


def test_judged_by_offset_free_errors_and_their_bars(small: drift_data.Dataset) -> None:
    rng = np.random.default_rng(3)
    n = len(small.moved)
    error = rng.normal(0, (2.0, 3.0, 4.0), (n, 3))
    error[500, 0] = 30
    curve = -small.moved + error + (100, -50, 7)
    made = {"curve": curve, "frames": np.arange(n), "correction": curve, "error": np.broadcast_to((1.0, 3.0, 8.0), (n, 3))}
    found = drift.judge(small, made)
    np.testing.assert_allclose(found["rmse"], (2.1, 3, 4), rtol=0.05)
    np.testing.assert_allclose(found["bars"], (2.1, 1, 0.5), rtol=0.05)
    assert found["far"] == 1
    assert found["worst"][0] == pytest.approx(30, abs=0.2)


def test_methods_run_in_turn_in_their_own_process(small: drift_data.Dataset) -> None:
    good = drift_plan.ours(
        "Locs_RCC 200", ("Locs_RCC", {"step": 200, "window": 200, "flatten_z": True}), drift_plan.SPLINE, against="again"
    )
    again = drift_plan.ours("again", *good.settings["modules"])
    wrong = drift_plan.ours("wrong", ("Locs_RCC", {"step": 5000, "window": 5000, "flatten_z": True}))
    rows = drift.compare(small, [good, again, wrong], {"ours": sys.executable}, 2, 1)
    assert [len(row.seconds) for row in rows] == [2, 2, 0]
    assert "not more than one window" in rows[2].error
    assert rows[0].result["rmse"] == rows[1].result["rmse"]
    assert (np.array(rows[0].result["rmse"][:2]) < 30).all()
    assert rows[0].ratio == pytest.approx(rows[0].median / rows[1].median)
    limit = drift_oracle.limit(small)
    text = table(drift_data.describe(small), small.axes, limit, limit, rows)
    assert "failed:" in text
    assert f"{rows[0].median:.2f}" in text
    assert json.loads(json.dumps([row.numbers() for row in rows]))[2]["error"]


def test_a_process_that_dies_is_a_result(small: drift_data.Dataset) -> None:
    entry = drift_plan.Entry("gone", "ours", "chain", {"modules": []})
    rows = drift.compare(small, [entry], {"ours": "/bin/false"}, 1, None)
    assert "ended" in rows[0].error


def test_plans_name_modules_and_parameters_that_exist() -> None:
    for entries in drift_plan.PLANS.values():
        labels = [entry.label for entry in entries]
        assert len(set(labels)) == len(labels)
        for entry in entries:
            assert not entry.against or entry.against in labels
            for name, parameters in entry.settings.get("modules", ()):
                if name in recipes_modules.__all__:
                    getattr(recipes_modules, name)(**parameters)


def test_rows_without_a_result_are_left_out() -> None:
    row = Row(drift_plan.picasso_aim(100))
    assert "Picasso" not in table("t", "xy", {"x": 1.0, "y": 1.0}, {"x": 1.0, "y": 1.0}, [row])


def test_what_takes_too_long_is_given_up_and_the_others_go_on(small: drift_data.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second method runs in a new process."""
    monkeypatch.setitem(drift.TOOLS, "ours", "tests.benchmarks.slow_tool")
    rows = drift.compare(
        small, [drift_plan.Entry(name, "ours", name) for name in ("sleep", "quick")], {"ours": sys.executable}, 1, None, limit=5.0
    )
    assert "longer than 5 s" in rows[0].error
    assert rows[1].result["rmse"][0] == pytest.approx(np.std(small.moved[:, 0]))
