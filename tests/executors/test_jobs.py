"""Jobs in turn and on worker processes: the same behaviour."""

import os

import numpy as np
import pytest
from executors.steps import Add, CountRows, Fail, Hide, Show, Squares, Start, lines

from recipes_core import Localizations, ModuleBase, Output
from recipes_core.data import Scalars, Table
from recipes_core.errors import DataError, ExecutionError, ModuleFailed, UsageError
from recipes_core.plugins import ExecutorRef, registry
from recipes_core.run import RunReport
from recipes_core.run.executors import open_executor

from .conftest import run, value_of


def test_a_job_gives_what_its_modules_make(executor, job, heard):
    one = job(Start(value=2.0), Add(by=3.0))
    (outcome,) = run([one], executor, listener=heard)
    assert value_of(one, "sum")["value"] == 5.0
    assert [(step.step, step.state) for step in outcome.steps] == [("Start", "done"), ("Add", "done")]
    assert one.report is outcome
    assert ("Start", "a number") in heard.of("message")
    assert [step.step for (step,) in heard.of("step_started")] == ["Start", "Add"]
    assert outcome.steps[0].messages == ["a number"]


def test_workers_do_the_work(processes, job, log):
    run([job(Start(log=log), Add(log=log))], processes)
    assert {int(pid) for _, pid in lines(log)}.isdisjoint({os.getpid()})


def test_a_second_run_finds_everything_in_the_cache(executor, job, log):
    run([job(Start(log=log), Add(log=log))], executor)
    again = job(Start(log=log), Add(log=log))
    (outcome,) = run([again], executor)
    assert len(lines(log)) == 2
    assert outcome.steps[-1].state == "cached"


def test_what_jobs_share_runs_once(executor, job, log, heard):
    jobs = [job(Start(log=log, seconds=0.05), Add(by=float(n), log=log), name=f"file{n}") for n in range(3)]
    outcomes = run(jobs, executor, listener=heard)
    assert [name for name, _ in lines(log)].count("Start=1") == 1
    assert [value_of_cache(one, "sum") for one in jobs] == [1.0, 2.0, 3.0]
    assert [outcome.steps[0].state for outcome in outcomes] == ["done", "cached", "cached"]
    assert {result.step for (result,) in heard.of("step_finished")} >= {"file0: Start", "file1: Start", "file2: Add"}
    assert len(heard.of("run_started")) == len(heard.of("run_finished")) == 1


def value_of_cache(one, key):
    """Objects of several jobs are dropped from memory, not from the cache."""
    return one.space.cache.load(one.plan.names[key])["value"]


def test_results_are_handed_over_while_others_run(processes, job):
    jobs = [job(Start(value=float(n), seconds=0.05), Add(), name=f"f{n}") for n in range(6)]
    order = []
    run(jobs, processes, finished=lambda one, outcome: order.append((one.name, sum(job.report.steps != [] for job in jobs))))
    assert sorted(name for name, _ in order) == [f"f{n}" for n in range(6)]
    # The first is handed over before the last has ended.
    assert order[0][1] < 6
    assert order[0][0] in ("f0", "f1")


def test_a_failure_stops_what_has_not_begun(executor, job, log):
    jobs = [job(Start(value=float(n), log=log), Fail(at=0.0), name=f"f{n}") for n in range(12)]
    outcomes = run(jobs, executor)
    assert isinstance(outcomes[0], ModuleFailed)
    assert "ValueError: not 0" in str(outcomes[0])
    assert isinstance(outcomes[-1], ExecutionError)
    assert outcomes[-1].problems[0].code == "X140"
    assert len(lines(log)) < 12
    assert {step.state for step in jobs[-1].report.steps} <= {"not run", "done"}


def test_keep_going_blocks_only_what_depends_on_a_failure(executor, job):
    def modules(n):
        return Start(value=float(n)), Fail(at=1.0), Add(input="failed", output="after"), Add(input="start", output="beside")

    jobs = [job(*modules(n), name=f"f{n}") for n in range(3)]
    outcomes = run(jobs, executor, keep_going=True)
    assert isinstance(outcomes[0], RunReport)
    assert isinstance(outcomes[1], ModuleFailed)
    assert isinstance(outcomes[2], RunReport)
    states = {step.step: step.state for step in jobs[1].report.steps}
    assert states == {"Start": "done", "Fail": "failed", "Add": "not run", "Add_2": "done"}
    assert value_of_cache(jobs[1], "beside") == 2.0


def test_two_failures_of_a_job_are_both_told(executor, job):
    one = job(Start(), Fail(output="a"), Fail(output="b", at=1.0))
    (outcome,) = run([one], executor, keep_going=True)
    assert [problem.step for problem in outcome.problems] == ["Fail", "Fail_2"]


def test_the_traceback_of_a_worker_is_kept(processes, job):
    (outcome,) = run([job(Start(), Fail())], processes)
    assert "in run" in str(outcome.__cause__.__cause__)
    assert "steps.py" in str(outcome.__cause__.__cause__)


def test_a_missing_input_is_named(executor, job):
    (outcome,) = run([job(Add())], executor)
    assert isinstance(outcome, DataError)
    assert outcome.problems[0].code == "D110"


def test_an_object_given_in_python_reaches_the_workers(executor, job):
    table = Table({"a": np.arange(20_000)})
    one = job(CountRows(), prepare=lambda recipe: recipe.give("table", table))
    run([one], executor)
    assert value_of(one, "rows")["rows"] == 20_000


def test_a_file_is_read_by_the_workers(executor, job, tmp_path, log):
    from recipes_core import io

    locs = Localizations({"x": np.arange(50.0), "y": np.arange(50.0), "frame": np.arange(50)})
    io.save(locs, tmp_path / "a.hdf")
    one = job(
        CountRows(input="Localizations", log=log),
        prepare=lambda recipe: recipe.load_inputs({"Localizations": tmp_path / "a.hdf"}),
    )
    run([one], executor)
    assert value_of(one, "rows")["rows"] == 50
    assert (lines(log)[0][1] == str(os.getpid())) == (executor is None)


def test_a_file_that_changes_meanwhile_gives_no_result(executor, job, tmp_path):
    from recipes_core import io

    path = tmp_path / "a.hdf"
    columns = {"x": np.arange(50.0), "y": np.arange(50.0), "frame": np.arange(50)}
    io.save(Localizations(columns), path)
    one = job(CountRows(input="Localizations"), prepare=lambda recipe: recipe.load_inputs({"Localizations": path}))
    io.save(Localizations({name: values[:40] for name, values in columns.items()}), path)
    (outcome,) = run([one], executor)
    assert isinstance(outcome, DataError)
    assert outcome.problems[0].code == "D140"
    assert not one.space.cache.has(one.plan.names["rows"])


def test_what_the_cache_cannot_hold_stays_here_with_what_takes_it(processes, job):
    one = job(Start(value=7.0), Hide(), Show())
    (outcome,) = run([one], processes)
    shown = value_of(one, "shown")
    assert shown["value"] == 7.0
    assert shown["pid"] == os.getpid()
    assert any("not kept" in note for note in outcome.notes)


def test_a_module_that_only_this_process_knows_runs_here(processes, job, heard):
    class Local(ModuleBase):
        """Makes the number of its process."""

        output = Output(Scalars, "local")

        def run(self, ctx):
            return Scalars({"pid": os.getpid()})

    one = job(Local(), Local(output="other"))
    run([one], processes, listener=heard)
    assert value_of(one, "local")["pid"] == os.getpid()
    assert len([text for _, text in heard.of("message") if "runs in this process" in text]) == 1


def test_a_result_that_was_damaged_is_made_again(executor, job, log):
    first = job(Start(log=log), Add())
    run([first], executor)
    again = job(Start(log=log), Add(by=5.0))
    manifest = first.space.cache.layout.entry(again.plan.names["start"]) / "manifest.json"
    manifest.write_bytes(bytes(manifest.stat().st_size))
    (outcome,) = run([again], executor)
    assert value_of(again, "sum")["value"] == 6.0
    assert len(lines(log)) == 2
    assert any("damaged" in note for note in outcome.notes)


def test_the_reports_of_both_agree(cache, job, processes):
    def states(executor):
        jobs = [job(Start(value=3.5), Add(), Fail(at=9.0), name=name) for name in ("a", "b")]
        outcomes = run(jobs, executor, keep_going=True)
        return [[(step.step, step.state, step.key, tuple(step.outputs)) for step in outcome.steps] for outcome in outcomes]

    serial = states(None)
    for entry in list(cache.entries()):
        cache.remove(entry.manifest.key)
    assert states(processes) == serial


def test_wrong_names_are_refused(cache):
    with pytest.raises(UsageError, match="Did you mean 'processes'"), open_executor("proceses", None, cache):
        pass
    with pytest.raises(UsageError, match="cache"), open_executor("processes", None, None):
        pass
    with pytest.raises(UsageError, match="at least one"), open_executor("processes", 0, cache):
        pass
    with pytest.raises(UsageError, match="no executor 'processes:x'"), open_executor("processes:x", None, cache):
        pass


def test_a_plugin_brings_an_executor(cache, job, monkeypatch, heard):
    refs = {"threads": ExecutorRef("threads", "executors.steps:open_threads", takes_address=True)}
    monkeypatch.setitem(registry().__dict__, "executors", refs)
    told = []
    one = job(Start(), Add(), Squares())
    with open_executor("threads:there", None, cache, tell=told.append) as executor:
        run([one], executor, listener=heard)
        assert "step 'Start'" in executor.done
        assert value_of(one, "sum")["value"] == 2.0
    assert told == ["threads at there"]
    assert ("Start", "a number") in heard.of("message")
