"""The parts of `python -m benchmarks localize` on which its numbers rest."""

import sys
from pathlib import Path

import numpy as np
import pytest

localize = pytest.importorskip("benchmarks.localize", reason="benchmarks are not part of this distribution")

import recipes_modules  # noqa: E402
from benchmarks import localize_data  # noqa: E402
from benchmarks.localize_table import show  # noqa: E402


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    localize_data.make(folder, 4)
    return folder


def test_the_movie_is_the_issues(movies):
    import tifffile

    frames = tifffile.imread(movies / "long.tif")
    assert frames.shape == (4, 256, 256)
    truth = localize_data.truth(movies, 4)
    # Each pixel has 20 photons of background and its share of 50 emitters with 1000.
    electrons = (frames.mean() - localize_data.OFFSET) * localize_data.ELECTRONS_PER_COUNT
    assert electrons == pytest.approx(20 + truth["photons"].sum() / 4 / 256**2, rel=0.02)
    assert len(localize_data.truth(movies, 2)) < len(truth)


def test_scores_of_known_errors(movies):
    truth = localize_data.truth(movies, 4)
    rng = np.random.default_rng(1)
    half = np.arange(len(truth)) % 2 == 0
    off = rng.normal(0, 5.0, (2, half.sum()))
    found = {"frame": truth["frame"][half], "x": truth["x"][half] + off[0], "y": truth["y"][half] + off[1]}
    found |= {"error_x": np.full(half.sum(), 5.0), "error_y": np.full(half.sum(), 10.0)}
    scores = localize_data.judge(found, truth, 3, 1)
    assert scores["jaccard"] == pytest.approx(half.mean())
    # Two molecules may stand so near that a found one is matched to the other.
    assert scores["rmse_per_axis"] == pytest.approx(np.sqrt((off**2).mean()), rel=0.03)
    assert scores["calibration_all_x"] == pytest.approx(1, abs=0.3)
    assert scores["calibration_all_y"] == pytest.approx(0.5, abs=0.15)


def test_processes_answer_and_tell_their_errors(monkeypatch, tmp_path):
    monkeypatch.setitem(localize.MODULES, "slow", "tests.benchmarks.slow_localizer")
    programs = localize.Programs({"slow": sys.executable}, tmp_path)
    rows = [
        localize.Row("fits", "counted", "slow", "count", {"n": 7}),
        localize.Row("fits", "timed by itself", "slow", "timed", cores=1),
        localize.Row("fits", "wrong", "slow", "count"),
    ]
    localize.run(rows, programs, 2)
    programs.close()
    counted, timed, wrong = rows
    assert [answer["count"] for answer in counted.answers] == [7, 7]
    assert timed.rate == 2
    assert "TypeError" in wrong.error
    text = show(rows, {}, {}, 1.0)
    assert "timed by itself | 2 |" in text
    assert "failed: TypeError" in text


def test_every_row_names_a_module_and_its_parameters():
    for row in localize.plan():
        if row.tool == "ours" and "fit" in row.settings:
            kind = getattr(recipes_modules, row.settings["fit"])
            own = set(row.settings) - {"fit", "threads", "movie", "truth"}
            assert own <= set(kind.parameters()), row.label
    assert len({(row.group, row.label) for row in localize.plan()}) == len(localize.plan())


def test_files_are_compared_row_by_row():
    a = {"frame": np.arange(5), "x": np.arange(5.0), "y": np.arange(5.0)}
    b = {name: values[[0, 1, 3, 4]] for name, values in a.items()}
    assert localize._largest(a, b) == 0
    assert localize._largest(a, {**b, "y": b["y"] + 0.25}) == 0.25
