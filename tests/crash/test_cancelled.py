"""Ctrl-C and SIGTERM at random moments: the run says so and ends, nothing is half written, workers are gone."""

import json
import os
import random
import signal
import time

import pytest

from benchmarks.fault_scene import Scene
from tests.crash.conftest import problems
from tests.crash.recipes import waiting
from tests.crash.test_two_runs import PROCESSES, WAYS, until

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])


@BOTH
@WAYS
def test_in_the_middle_of_a_step(make_scene, tmp_path, number, more):
    notes = tmp_path / "notes"
    notes.mkdir()
    scene = make_scene(waiting(notes, 30.0))
    running = scene.start(*scene.words(0, scene.folder / "out", *more), fresh=False)
    until(lambda: list(notes.iterdir()), [running])
    # A terminal sends Ctrl-C to all processes of the run.
    os.killpg(running.pid, number) if number == signal.SIGINT else os.kill(running.pid, number)
    ended = running.wait(20)
    assert ended.code == CODES[number], ended.err
    (line,) = problems(ended)
    assert "cancelled" in line
    assert scene.orphans() == []
    assert not (scene.folder / "out" / "filtered.hdf").exists()
    (record,) = scene.records()
    assert record["exit"] == CODES[number]
    assert {step["step"]: step["state"] for step in record["steps"]} | {"wait": "cancelled"} == {
        "Locs_Simulate": "done", "wait": "cancelled", "filter": "not run",
    }  # fmt: skip
    assert scene.damaged() == []
    assert scene.call("cache", "gc").code == 0
    assert scene.leftovers() == []


@BOTH
def test_the_document_tells_the_exit_code(make_scene, tmp_path, number):
    notes = tmp_path / "notes"
    notes.mkdir()
    scene = make_scene(waiting(notes, 30.0))
    running = scene.start(*scene.words(0, scene.folder / "out", "--json"), fresh=False)
    until(lambda: list(notes.iterdir()), [running])
    os.kill(running.pid, number)
    ended = running.wait(20)
    assert json.loads(ended.out)["exit"] == ended.code == CODES[number]


def cancel_at_random(scene, seed, times):
    """Cancel runs; how many were."""
    draw, cancelled = random.Random(seed), 0
    for turn in range(times):
        processes, number = turn % 4 == 3, draw.choice(list(CODES))
        output, variant = scene.folder / "out", turn % 3
        began = time.monotonic()
        words = scene.words(variant, output / str(variant), *(PROCESSES if processes else ()))
        running = scene.start(*words, fresh=False)
        while not (scene.cache / "pins").is_dir() and running.poll() is None:
            time.sleep(0.001)
        time.sleep(draw.uniform(0.05, 3.0 if processes else 0.8))
        if running.poll() is None:
            os.killpg(running.pid, number) if number == signal.SIGINT else os.kill(running.pid, number)
        ended = running.wait(30)
        assert time.monotonic() - began < 40
        assert "Traceback" not in ended.err, ended.err
        assert ended.code in (0, CODES[number]), (ended.code, ended.err)
        if ended.code:
            cancelled += 1
            assert [line for line in problems(ended) if "cancelled" in line], ended.err
        assert scene.orphans() == []
        assert scene.wrong_results(output / str(variant), variant, complete=ended.code == 0) == []
        assert list(output.rglob(".*")) == []
    assert scene.damaged() == []
    assert scene.call("cache", "gc").code == 0
    assert scene.leftovers() == []
    assert scene.quarantine() == []
    return cancelled


def test_at_random_moments(scene):
    assert cancel_at_random(scene, 1, 5) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_at_many_random_moments(tmp_path, zygote, seed):
    assert cancel_at_random(Scene(tmp_path / "scene", zygote=zygote), seed, 40) > 10
