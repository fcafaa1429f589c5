"""Runs of one recipe at the same time do the work once, and none waits for one that is gone."""

import time

import pytest

from tests.crash.recipes import waiting

AT_IT = "wait: waiting: another run"
PROCESSES = ("--executor", "processes", "--jobs", "1")
WAYS = pytest.mark.parametrize("more", [(), PROCESSES], ids=["serial", "processes"])


def until(happened, running, patience=60.0):
    """Wait for something that must happen while these run."""
    end = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < end, [(one.out.read_text(), one.err.read_text()) for one in running]
        time.sleep(0.005)
    assert all(one.poll() is None for one in running), [one.err.read_text() for one in running]


@pytest.fixture
def slow(make_scene, tmp_path):
    """A scene whose middle step takes two seconds, and the folder where it says that it has begun."""
    notes = tmp_path / "notes"
    notes.mkdir()
    return make_scene(waiting(notes, 2.0)), notes


def both_begun(scene, notes, more):
    """Two runs, one at the slow step and one waiting for it: (who works, who waits)."""
    runs = [scene.start(*scene.words(0, scene.folder / name, *more), fresh=False) for name in ("a", "b")]
    until(lambda: any(AT_IT in run.out.read_text() for run in runs), runs)
    until(lambda: list(notes.iterdir()), runs)
    waits = [run for run in runs if AT_IT in run.out.read_text()]
    assert len(waits) == 1
    (works,) = (run for run in runs if run is not waits[0])
    return works, waits[0]


@WAYS
def test_the_work_is_done_once(slow, more):
    scene, notes = slow
    runs = both_begun(scene, notes, more)
    pids = [runs[0].pid, *runs[0].workers()]
    told = runs[1].out.read_text()
    assert any(f"another run (pid {pid} on " in told for pid in pids)
    ends = [run.wait() for run in runs]
    assert [(ended.code, ended.err) for ended in ends] == [(0, ""), (0, "")]
    assert len(list(notes.iterdir())) == 1
    states = {}
    for record in scene.records():
        for step in record["steps"]:
            states.setdefault(step["step"], []).append(step["state"])
    assert set(states) == {"Locs_Simulate", "wait", "filter"}
    assert all(sorted(found) == ["cached", "done"] for found in states.values()), states
    results = [(scene.folder / name / "filtered.hdf").read_bytes() for name in ("a", "b")]
    assert results[0] == results[1]
    assert scene.damaged() == []


@WAYS
def test_who_waits_goes_on_when_the_other_is_killed(slow, more):
    scene, notes = slow
    works, waits = both_begun(scene, notes, more)
    works.kill()
    ended = waits.wait()
    assert (ended.code, ended.err) == (0, "")
    assert len(list(notes.iterdir())) == 2
    assert scene.orphans() == []
    assert scene.call(*scene.words(0, scene.folder / "a")).code == 0
    assert scene.call("cache", "gc").code == 0
    assert scene.leftovers() == []
