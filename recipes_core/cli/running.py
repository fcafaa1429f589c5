"""Carrying out ``recipe run``: jobs on an executor, results saved as they come, a record of each run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from recipes_core.cache.store import Cache
from recipes_core.cli import faults
from recipes_core.cli.session import Session, refuse_collisions
from recipes_core.cli.show import listener_for, print_summary
from recipes_core.cli.stopping import final_code
from recipes_core.errors import Problem, RecipeError, ResultDiffers, UsageError
from recipes_core.run import Listeners, PluginListener, RunReport
from recipes_core.run.executors import open_executor
from recipes_core.run.jobs import Job, run_jobs
from recipes_core.run.records import run_record, write_record
from recipes_core.run.results import Layout, Selection, check_folder
from recipes_core.run.saving import Saved
from recipes_core.versions import versions


@dataclass(frozen=True)
class Choices:
    """What the command line asks of a run."""

    output_dir: str | None = None
    targets: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    verify: bool = False
    keep_going: bool = False
    executor: str = "serial"
    jobs: int | None = None
    show: str = "normal"
    report: str | None = None


@dataclass
class _Task:
    """A session on its way."""

    session: Session
    layout: Layout
    selection: Selection
    job: Job
    started: datetime
    report: RunReport | None = None
    saved: list[Saved] = field(default_factory=list)
    error: RecipeError | None = None


def run_sessions(sessions: Sequence[Session], choices: Choices, cache: Cache | None, state: dict[str, Any]) -> None:
    """Run and save; `state` receives steps and outputs as they come.

    Raises
    ------
    RecipeError
        The first failure; with several files those of the others are told as they come.
    """
    tasks = _tasks(sessions, choices)
    refuse_collisions({task.session.name: task.session.destinations(task.layout, task.selection) for task in tasks})
    check_folder(tasks[0].layout.output_dir)
    if choices.report:
        check_folder(Path(choices.report).absolute().parent)
    if choices.show != "none":
        faults.echo_problems(problem for task in tasks for problem in task.session.warnings)
    listener = Listeners(
        PluginListener(lambda text: click.echo(text, err=True)), listener_for(choices.show, batch=len(tasks) > 1)
    )
    by_job = {id(task.job): task for task in tasks}

    def finished(job: Job, outcome: RunReport | RecipeError) -> None:
        task = by_job[id(job)]
        _finish(task, outcome, choices, state, several=len(tasks) > 1)
        _record(task, choices, cache)

    with open_executor(choices.executor, choices.jobs, cache) as executor:
        run_jobs(
            [task.job for task in tasks], executor=executor, listener=listener, n_threads=None, keep_going=choices.keep_going,
            finished=finished,
        )  # fmt: skip
    if choices.report:
        _write_page(tasks, choices.report)
        state["outputs"]["report"] = choices.report
    if cache is not None and cache.writable:
        _collect(cache, tasks)
    _conclude(tasks, choices)


def _tasks(sessions: Sequence[Session], choices: Choices) -> list[_Task]:
    tasks = []
    for session in sessions:
        selection = session.select(choices.targets)
        forced = set(session.recipe.steps) if choices.verify else session.forced(choices.force)
        job = session.recipe.job(selection, name=session.name, forced=forced)
        tasks.append(_Task(session, session.layout(choices.output_dir), selection, job, datetime.now(UTC)))
    return tasks


def _finish(task: _Task, outcome: RunReport | RecipeError, choices: Choices, state: dict[str, Any], *, several: bool) -> None:
    """Save what a job has made and tell how it went."""
    name = task.session.name
    if isinstance(outcome, RecipeError):
        task.error = outcome
        task.report = task.job.report
    else:
        task.report = outcome
        try:
            task.saved = task.session.recipe.write(task.selection, task.layout, task.report)
        except RecipeError as error:
            task.error = error
    if task.report is not None:
        state["steps"] += [{**asdict(step), **({"file": name} if several else {})} for step in task.report.steps]
        task.session.warnings += [Problem("W100", text, step=step, severity="warning") for step, text in task.report.warnings]
        notes = [Problem("W130", text, severity="warning") for text in task.report.notes]
        earlier = [step for step in task.report.steps if step.state not in ("done", "failed", "cancelled")]
        notes += [Problem("W100", text, step=step.step, severity="warning") for step in earlier for text in step.warnings]
        task.session.warnings += [note for note in notes if note.code != "W100"]
        if choices.show != "none":
            faults.echo_problems(notes)
    state["outputs"].update({f"{name}/{item.label}" if several else item.label: str(item.path) for item in task.saved})
    if task.error is not None and several and choices.show != "none":
        faults.echo_problems(replace_file(problem, name) for problem in task.error.problems)
    elif task.report is not None and task.error is None and choices.show not in ("none", "quiet"):
        print_summary(task.report, task.saved, task.layout.output_dir, brief=several, name=name)


def replace_file(problem: Problem, name: str) -> Problem:
    """A problem with the file of ``--each`` before its message."""
    values = problem.as_dict()
    values["message"] = f"{name}: {problem.message}"
    return Problem(**values)


def _record(task: _Task, choices: Choices, cache: Cache | None) -> None:
    if cache is None or not cache.writable or cache.is_foreign or task.report is None:
        return
    content = run_record(
        task.report,
        recipe_file=str(Path(task.session.recipe_file).absolute()),
        recipe=task.session.recipe.to_yaml(),
        seed=task.session.recipe.seed,
        inputs=task.session.recipe.inputs_record(),
        saved=task.saved,
        started=task.started,
        exit_code=0 if task.error is None else final_code(task.error.exit_code),
        command=sys.argv[1:],
        executor=choices.executor,
    )
    write_record(cache.root / "runs", content)


def _write_page(tasks: Sequence[_Task], file: str) -> None:
    """The report as one page, also of runs that failed."""
    from recipes_core.report.content import section_of
    from recipes_core.report.page import render, write_page

    sections = []
    for task in tasks:
        if task.report is not None:
            problems = [str(problem) for problem in task.error.problems] if task.error else []
            sections.append(section_of(task.session.recipe, task.report, task.saved, name=task.session.name, problems=problems))
    first = tasks[0].session
    made = f"{datetime.now(UTC).astimezone():%Y-%m-%d %H:%M %Z}, {sum(section.seconds for section in sections):.1f} s of work"
    command = shlex.join(["recipe", *sys.argv[1:]])
    page = render(first.recipe.name, sections, recipe=first.recipe.to_yaml(), command=command, made=made, versions=versions())
    write_page(Path(file), page)


def _collect(cache: Cache, tasks: Sequence[_Task]) -> None:
    """Keep the cache within its limits; what these runs need stays."""
    names = {name for task in tasks for step in task.job.plan.steps for name in step.made.values()}
    try:
        cache.gc(names)
    except RecipeError as error:
        if not any(task.job.space.unkept for task in tasks):  # has been told
            faults.echo_problems(
                [Problem("W130", str(problem.message), problem.hint, severity="warning") for problem in error.problems]
            )


def _conclude(tasks: Sequence[_Task], choices: Choices) -> None:
    failed = [task for task in tasks if task.error is not None]
    if len(tasks) > 1 and choices.show not in ("none", "quiet"):
        click.echo(f"\n{len(tasks) - len(failed)} of {len(tasks)} files done" + (f", {len(failed)} failed" if failed else ""))
    if failed:
        first = failed[0].error
        assert first is not None
        if len(tasks) > 1:
            raise type(first)(
                f"{len(failed)} of {len(tasks)} files failed: {', '.join(task.session.name for task in failed)}.", code=first.code
            )
        raise first
    if choices.verify:
        _tell_verified(tasks, choices)


def _tell_verified(tasks: Sequence[_Task], choices: Choices) -> None:
    compared: Mapping[str, bool] = {
        f"{task.session.name}/{what}".strip("/"): same for task in tasks for what, same in task.job.space.compared.items()
    }
    differing = [what for what, same in compared.items() if not same]
    if differing:
        raise ResultDiffers(
            f"made again, {len(differing)} of {len(compared)} results differ: {', '.join(differing)}.",
            hint="The module is not deterministic, or libraries have changed since; 'recipe runs diff' tells.",
        )
    if not compared:
        raise UsageError("--verify: the cache held nothing to compare with; the results are there now.", code="U173")
    if choices.show not in ("none", "quiet"):
        click.echo(f"verified: {len(compared)} results made again, all the same")
