"""A worker that dies is replaced once; then the step is named, and nothing of it is kept."""

import importlib.util
import os
import signal

import pytest

from recipes_core.cache import Cache
from tests.crash.conftest import problems
from tests.crash.recipes import dying, waiting
from tests.crash.test_two_runs import until

DASK = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs the extra 'dask'")
WAYS = pytest.mark.parametrize("executor", ["processes", pytest.param("dask", marks=[DASK, pytest.mark.slow])])


def run(make_scene, tmp_path, times, executor):
    """How a run ended whose step kills its process so many times."""
    notes = tmp_path / "notes"
    notes.mkdir()
    scene = make_scene(dying(notes, times))
    ended = scene.call(*scene.words(0, scene.folder / "out", "--executor", executor, "--jobs", "1"), fresh=executor == "dask")
    return scene, notes, ended


@WAYS
def test_one_death_is_forgiven(make_scene, tmp_path, executor):
    scene, notes, ended = run(make_scene, tmp_path, 1, executor)
    assert ended.code == 0, ended.err
    assert len(list(notes.iterdir())) == 1
    assert scene.wrong_results(scene.folder / "out", 0, complete=True) == []
    assert scene.damaged() == []
    assert scene.orphans() == []


@WAYS
def test_a_second_death_names_the_step(make_scene, tmp_path, executor):
    scene, notes, ended = run(make_scene, tmp_path, 9, executor)
    assert ended.code == 1, ended.err
    assert len(list(notes.iterdir())) == 2
    (line,) = (line for line in problems(ended) if "error" in line)
    assert "X210" in line
    assert "step 'die'" in line
    assert "memory" in line
    assert "Traceback" not in ended.err
    assert {item.manifest.step for item in Cache(scene.cache).entries()} == {"Locs_Simulate"}
    assert not (scene.folder / "out" / "alive.hdf").exists()
    assert scene.damaged() == []
    assert scene.orphans() == []
    assert scene.call("cache", "gc").code == 0
    assert scene.leftovers() == []
    for path in [*notes.iterdir()] * 4:
        path.with_name(f"died.{len(list(notes.iterdir()))}").touch()
    assert scene.call(*scene.words(0, scene.folder / "out")).code == 0


@DASK
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_of_dask_end_with_their_run(make_scene, tmp_path, number):
    notes = tmp_path / "notes"
    notes.mkdir()
    scene = make_scene(waiting(notes, 60.0))
    running = scene.start(*scene.words(0, scene.folder / "out", "--executor", "dask", "--jobs", "2"))
    until(lambda: list(notes.iterdir()), [running])
    os.killpg(running.pid, number) if number == signal.SIGINT else os.kill(running.pid, number)
    ended = running.wait(40)
    if number != signal.SIGKILL:
        assert ended.code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], ended.err
        assert "Traceback" not in ended.err
        assert [line for line in problems(ended) if "cancelled" in line], ended.err
    assert scene.orphans(30.0) == []
    assert not (scene.folder / "out" / "filtered.hdf").exists()
    assert scene.damaged() == []
    assert scene.call("cache", "gc").code == 0
    assert scene.leftovers() == []
