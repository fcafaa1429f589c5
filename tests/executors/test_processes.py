"""Worker processes that die, are stopped, or lose the process that started them."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from executors.steps import Add, Die, Squares, Start, lines

from recipes_core.cache import Cache
from recipes_core.errors import WorkerLost
from recipes_core.run.executors import open_executor

from .conftest import run, value_of, wait_for

TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture
def own(cache):
    """Worker processes that a test may kill."""
    with open_executor("processes", 2, cache) as executor:
        yield executor


def test_a_step_whose_worker_dies_is_run_again(own, job, log):
    one = job(Start(), Die(log=log, times=1))
    run([one], own)
    assert value_of(one, "alive")["value"] == 1.0
    assert len(lines(log)) == 1


def test_a_second_death_is_an_error_that_names_the_step(own, job, log, tmp_path):
    others = str(tmp_path / "others")
    jobs = [job(Start(), Die(log=log, times=9), name="bad")]
    jobs += [job(Start(value=float(n), seconds=0.3, log=others), Add(), name=f"f{n}") for n in range(2, 6)]
    outcomes = run(jobs, own, keep_going=True)
    assert isinstance(outcomes[0], WorkerLost)
    assert outcomes[0].problems[0].step == "Die"
    assert "killed twice" in str(outcomes[0])
    assert "memory" in str(outcomes[0])
    assert len(lines(log)) == 2
    # What other workers were at is not disturbed.
    assert not any(isinstance(outcome, Exception) for outcome in outcomes[1:])
    assert len(lines(others)) == 4


def test_threads_are_shared_out(own):
    from recipes_core.module.context import available_threads

    assert own.n_threads == max(1, available_threads() // 2)


def test_what_modules_print_does_not_disturb(own):
    assert own.submit(_prints, 3, "a print").result(timeout=30) == 4


def _prints(argument, here):
    print("to stdout", argument)
    subprocess.run([sys.executable, "-c", "import sys; print('child', sys.stdin.read())"], check=True)
    return argument + 1


def test_blocks_of_a_step_go_to_the_workers_and_are_removed_at_the_end(own, job, log):
    one = job(Squares(n=9, log=log))
    run([one], own)
    found = value_of(one, "squares")
    assert found["total"] == sum(n * n for n in range(9))
    assert found["in_order"]
    pids = {int(pid) for _, pid in lines(log)}
    assert os.getpid() not in pids
    assert [entry.manifest.port for entry in one.space.cache.entries()] == ["output"]


def test_blocks_run_here_where_their_function_cannot_travel(own, heard):
    from recipes_core.run.blocks import Spread

    told = []
    spread = Spread(own, "step", told.append, 2)
    offset = 3
    assert list(spread.map(lambda item: item + offset, enumerate(range(5)), "", None)) == [3, 4, 5, 6, 7]
    assert len(told) == 1


SCRIPT = """
import sys
sys.path[:0] = [{tests!r}]
from executors.steps import *
from recipes_core import Recipe
from recipes_core.run.executors import open_executor
from recipes_core.run.jobs import run_jobs
from recipes_core.run.results import Selection
from pathlib import Path
from recipes_core.cache import Cache

cache = Cache(Path({cache!r}))
recipes = {recipes}
jobs = [recipe.job(Selection(dict.fromkeys(recipe.graph.sinks(), "")), name=str(n)) for n, recipe in enumerate(recipes)]
with open_executor({executor!r}, 2, cache) as executor:
    print("open", flush=True)
    outcomes = run_jobs(jobs, executor=executor)
print([type(outcome).__name__ for outcome in outcomes], flush=True)
"""


def start(cache, recipes, executor="processes"):
    """A script without a main guard that runs recipes."""
    script = textwrap.dedent(SCRIPT).format(tests=str(TESTS), cache=str(cache.root), recipes=recipes, executor=executor)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)


def gone(children):
    """Whether processes have ended; what nobody has waited for yet counts as ended."""
    return not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


@pytest.mark.parametrize("how", ["kill", "interrupt"])
@pytest.mark.parametrize("executor", ["processes", pytest.param("dask", marks=pytest.mark.slow)])
def test_no_worker_outlives_the_process_that_started_it(cache, log, how, executor):
    recipes = f"[Recipe([Start(value=float(n), seconds=0.2, log={log!r})], cache=cache) for n in range(200)]"
    with start(cache, recipes, executor) as process:
        wait_for(lambda: len(lines(log)) >= 2)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        if how == "kill":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.wait(timeout=30)
        wait_for(lambda: gone(children))
        printed = process.stdout.read()
    if how == "interrupt":
        assert "Cancelled" in printed
    done = len(lines(log))
    time.sleep(0.5)
    assert len(lines(log)) == done < 200
    # What was published is whole.
    found = Cache(cache.root)
    assert found.verify() == []
    assert len(list(found.entries())) <= done


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_run_that_was_killed_goes_on_inside_a_step(cache, log, executor):
    recipes = f"[Recipe([Squares(n=30, seconds=0.15, log={log!r})], cache=cache)]"
    with start(cache, recipes, executor) as process:
        wait_for(lambda: len(list(Cache(cache.root).entries())) >= 6)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    wait_for(lambda: gone(children))
    kept = len(list(Cache(cache.root).entries()))
    before = len(lines(log))
    with start(cache, recipes.replace("seconds=0.15", "seconds=0.0"), executor) as process:
        assert process.wait(timeout=60) == 0
        assert "RunReport" in process.stdout.read()
    # Only what had not been kept is computed again.
    assert len(lines(log)) - before == 30 - kept
    (entry,) = Cache(cache.root).entries()
    assert Cache(cache.root).load(entry.manifest.key)["total"] == sum(n * n for n in range(30))


def test_two_runs_at_once_do_the_work_once(cache, log):
    recipes = f"[Recipe([Start(value=float(n), seconds=0.3, log={log!r})], cache=cache) for n in range(6)]"
    with start(cache, recipes) as first, start(cache, recipes) as second:
        assert first.wait(timeout=60) == second.wait(timeout=60) == 0
        assert "Error" not in first.stdout.read() + second.stdout.read()
    assert sorted(name for name, _ in lines(log)) == sorted(f"Start={n}" for n in range(6))


def test_a_cache_that_cannot_be_written_any_more_ends_in_a_run_without_it(own, job, monkeypatch, cache):
    one = job(Start(value=4.0), Add())
    cache.layout.prepare()
    stage = cache.layout.folder("stage")
    stage.rmdir() if stage.exists() else None
    stage.write_text("no folder")
    (outcome,) = run([one], own)
    assert value_of(one, "sum")["value"] == 5.0
    assert any("not kept" in note for note in outcome.notes)
