"""Dask: a cluster of our own, and one that was started by hand as docs/several_machines.md says."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from executors.steps import Add, Die, Fail, Squares, Start, lines, note

from recipes_core.cache import Cache
from recipes_core.errors import EnvironmentFault, ModuleFailed, WorkerLost
from recipes_core.run.executors import checks, open_executor

from .conftest import run, value_of, wait_for

pytest.importorskip("distributed")
TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An own cluster of two workers; it serves any cache."""
    told = []
    with open_executor("dask", 2, Cache(tmp_path_factory.mktemp("unused")), tell=told.append) as executor:
        executor.told = told
        yield executor


def test_the_dashboard_is_named(own):
    assert len(own.told) == 1
    assert "http://127.0.0.1" in own.told[0] or "bokeh" in own.told[0]


def test_jobs_run_on_the_workers(own, job, log, heard):
    jobs = [job(Start(value=1.0, log=log), Add(by=float(n), log=log), name=f"f{n}") for n in range(4)]
    outcomes = run(jobs, own, listener=heard)
    assert [one.space.cache.load(one.plan.names["sum"])["value"] for one in jobs] == [1.0, 2.0, 3.0, 4.0]
    assert [name for name, _ in lines(log)].count("Start=1") == 1
    assert os.getpid() not in {int(pid) for _, pid in lines(log)}
    assert [step.state for step in outcomes[1].steps] == ["cached", "done"]
    assert [text for _, text in heard.of("message")] == ["a number"]


def test_progress_comes_while_a_step_runs(own, job, heard):
    run([job(Start(seconds=1.0))], own, listener=heard)
    kinds = [event[0] for event in heard.events]
    assert "progress" in kinds[: kinds.index("step_finished")]


def test_an_error_of_a_module_comes_back(own, job):
    (outcome,) = run([job(Start(), Fail())], own)
    assert isinstance(outcome, ModuleFailed)
    assert "ValueError: not 1" in str(outcome)
    assert "steps.py" in str(outcome.__cause__.__cause__)


def test_a_worker_that_dies_is_replaced_once_and_then_named(own, job, log, tmp_path):
    once = job(Start(), Die(log=log, times=1))
    run([once], own)
    assert value_of(once, "alive")["value"] == 1.0
    always = str(tmp_path / "always")
    (outcome,) = run([job(Start(value=2.0), Die(log=always, times=9))], own)
    assert isinstance(outcome, WorkerLost)
    assert outcome.problems[0].step == "Die"
    assert len(lines(always)) == 2


def test_blocks_go_to_the_workers(own, job, log):
    one = job(Squares(n=9, log=log))
    run([one], own)
    assert value_of(one, "squares")["total"] == sum(n * n for n in range(9))
    assert value_of(one, "squares")["in_order"]
    assert os.getpid() not in {int(pid) for _, pid in lines(log)}


def _until_cancelled(log, here):
    note(log, "begun")
    end = time.monotonic() + 30
    while not here.cancelled() and time.monotonic() < end:
        time.sleep(0.02)
    note(log, "cancelled" if time.monotonic() < end else "never")


def test_a_task_hears_that_it_is_cancelled(own, log):
    own.submit(_until_cancelled, log, "a wait")
    wait_for(lambda: lines(log))
    own.cancel()
    wait_for(lambda: len(lines(log)) == 2)
    assert lines(log)[1][0] == "cancelled"


# -- a cluster that was started by hand ---------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def started(*words, **environment):
    """A command that runs meanwhile."""
    folders = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]],
        env={**os.environ, "PYTHONPATH": folders, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            if child.is_running():
                child.kill()


@pytest.fixture
def cluster():
    """A scheduler and two workers, as on two machines with a shared folder."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    scheduler = started("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    worker = ("worker", address, "--nthreads", "1", "--no-dashboard")
    with scheduler, started(*worker, "--name", "one"), started(*worker, "--name", "two"):
        yield address


@pytest.mark.slow
def test_two_workers_that_were_started_by_hand(cluster, cache, job, log):
    jobs = [job(Start(value=float(n), seconds=0.5, log=log), Add(log=log), name=f"f{n}") for n in range(6)]
    with open_executor(f"dask:{cluster}", None, cache, tell=lambda text: None) as executor:
        end = time.monotonic() + 20
        while executor.n_slots < 2:
            assert time.monotonic() < end
            time.sleep(0.1)
        run(jobs, executor)
    assert [one.space.cache.load(one.plan.names["sum"])["value"] for one in jobs] == [n + 1.0 for n in range(6)]
    assert len({pid for _, pid in lines(log)}) == 2


@pytest.mark.slow
def test_the_command_line_of_the_manual(cluster, tmp_path, examples):
    environment = {**os.environ, "RECIPES_CACHE": str(tmp_path / "shared")}
    call = [sys.executable, "-m", "recipes_core.cli.main", "run", str(examples / "correct_drift_locs_load.yaml")]
    done = subprocess.run(
        [*call, "--executor", f"dask:{cluster}", "-o", str(tmp_path / "results")],
        check=False, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "corrected" in done.stdout


@pytest.mark.slow
def test_workers_that_do_not_fit_are_refused_at_the_start(cluster, cache, monkeypatch):
    here = checks.versions()
    monkeypatch.setattr(checks, "versions", lambda: {**here, "numpy": "0.9.1"})
    with (
        pytest.raises(EnvironmentFault, match=r"numpy is .* there and 0\.9\.1 here") as raised,
        open_executor(f"dask:{cluster}", None, cache),
    ):
        pass
    assert raised.value.exit_code == 5
    assert raised.value.code == "V331"
    assert len(str(raised.value).splitlines()) == 1


def test_a_scheduler_that_is_not_there(cache, monkeypatch):
    monkeypatch.setattr("recipes_core.run.executors.dask._PATIENCE", 1.0)
    with (
        pytest.raises(EnvironmentFault, match="no Dask scheduler answers") as raised,
        open_executor(f"dask:127.0.0.1:{free_port()}", 1, cache),
    ):
        pass
    assert raised.value.code == "V333"


# -- what is compared -----------------------------------------------------------------------------------------------------------


def looked(tmp_path, **changes):
    """What a worker like this process says of itself, with changes."""
    token = tmp_path / "token-1"
    token.write_text("token-1")
    found = checks.look_at_worker(str(token))
    found["versions"] = {**found["versions"], **changes}
    return found, token


def test_a_worker_like_this_process_fits(tmp_path):
    found, token = looked(tmp_path)
    assert checks.differences(found, token, tmp_path) is None


def test_the_last_number_of_a_version_does_not_count(tmp_path):
    numpy = checks.versions()["numpy"]
    found, token = looked(tmp_path, numpy=f"{numpy.rpartition('.')[0]}.99")
    assert checks.differences(found, token, tmp_path) is None
    found, token = looked(tmp_path, **{"smlm-recipes": "99.1"})
    assert "smlm-recipes is 99.1 there" in checks.differences(found, token, tmp_path)[0]


def test_another_folder_is_noticed(tmp_path):
    found, token = looked(tmp_path)
    found["token"] = checks.look_at_worker(str(tmp_path / "other" / "token-1"))["token"]
    assert checks.differences(found, token, tmp_path)[1] == "V332"


def test_a_worker_without_the_program(tmp_path):
    found = checks.differences(ModuleNotFoundError("No module named 'recipes_core'"), tmp_path, tmp_path)
    assert "cannot import smlm-recipes" in found[0]


def test_a_module_of_another_version_is_noticed():
    assert checks.missing_modules([("smlm.Locs_RCC", 10**6, "")]) == ["smlm.Locs_RCC"]
    assert checks.missing_modules([("no.Such", 1, "")]) == ["no.Such"]


def test_dask_is_optional(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'smlm-recipes\[dask\]'"), open_executor("dask", 1, cache):
        pass
