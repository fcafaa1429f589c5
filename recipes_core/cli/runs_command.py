"""``recipe runs``: the records of what ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recipes_core.cli import faults
from recipes_core.cli import options as opt


@click.group("runs", short_help="Show and compare records of earlier runs.")
def command() -> None:
    """Show and compare the records that every run leaves in the cache."""


@command.command("ls")
@click.option("-n", "number", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="How many.")
@opt.json_option
def list_runs(number: int, as_json: bool) -> None:
    """List the latest runs, newest first."""
    with faults.reported(as_json=as_json):
        found = _records()[:number]
        if as_json:
            faults.print_json([{"run": item.name, **item.content} for item in found])
            return
        for item in found:
            run = item.content
            ran = sum(step["state"] == "done" for step in run["steps"])
            there = sum(step["state"] in ("cached", "current") for step in run["steps"])
            word = click.style("done    ", fg="green") if not run["exit"] else click.style(f"exit {run['exit']}", fg="red")
            files = ", ".join(Path(str(told.get("path", ""))).name for told in run["inputs"].values() if told.get("path"))
            recipe = Path(run["recipe_file"]).name
            click.echo(f"{item.name}  {word}  {run['seconds']:8.1f} s  {ran} run, {there} cached  {recipe}  {files}".rstrip())
        if not found:
            click.echo("no run has been recorded yet")


@command.command("show")
@click.argument("run", metavar="RUN")
@opt.json_option
def show_run(run: str, as_json: bool) -> None:
    """Show one run: steps with reasons and times, inputs, results, versions. The beginning of its name is enough; or 'last'."""
    with faults.reported(as_json=as_json):
        name, content = _one(run)
        if as_json:
            faults.print_json({"run": name, **content})
            return
        click.echo(f"{click.style(name, bold=True)}  {' '.join(content['command'])}")
        click.echo(f"{content['started']}  {content['seconds']} s  exit {content['exit']}  on {content['machine']['host']}\n")
        width = max((len(step["step"]) for step in content["steps"]), default=0)
        for step in content["steps"]:
            seconds = f"{step['seconds']:8.2f} s" if step["state"] == "done" else " " * 10
            reason = f"  {click.style(step['reason'], dim=True)}" if step["reason"] else ""
            click.echo(f"{step['step']:<{width}}  {step['state']:<10}{seconds}{reason}".rstrip())
            for text in step["warnings"]:
                click.echo(f"{'':<{width}}  {click.style('warning', fg='yellow')}: {text}")
        click.echo()
        for key, told in content["inputs"].items():
            click.echo(f"input   {key}  {told.get('path', 'given in memory')}  {str(told.get('content', ''))[:12]}")
        for label, told in content["outputs"].items():
            click.echo(f"result  {label}  {told['path']}  {told['digest'][:12]}")
        click.echo("made with " + ", ".join(f"{name} {number}" for name, number in content["versions"].items()))


@command.command("diff")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@opt.json_option
def diff_runs(first: str, second: str, as_json: bool) -> None:
    """Say in what two runs differ: inputs, parameters, versions, seed, results."""
    with faults.reported(as_json=as_json):
        from recipes_core.run.records import difference

        (_, one), (_, two) = _one(first), _one(second)
        found = difference(one, two)
        if as_json:
            faults.print_json([{"what": what, "first": a, "second": b} for what, a, b in found])
            return
        width = max((len(what) for what, _, _ in found), default=0)
        for what, a, b in found:
            click.echo(f"{what:<{width}}  {_word(a)} -> {_word(b)}")
        if not found:
            click.echo("no difference: the same inputs, parameters, versions and results")


def _word(value: Any) -> str:
    return "nothing" if value is None or value == "" else str(value)


def _records() -> list[Any]:
    from recipes_core.run.records import read_records

    cache = opt.open_cache(writable=False)
    assert cache is not None
    return read_records(cache.root / "runs")


def _one(name: str) -> tuple[str, Any]:
    from recipes_core.errors import UsageError, did_you_mean

    records = _records()
    fitting = records[:1] if name == "last" else [item for item in records if item.name.startswith(name)]
    if len(fitting) != 1:
        what = "is no run" if not fitting else f"fits {len(fitting)} runs"
        hint = (
            did_you_mean(name, [item.name for item in records[:200]], what="the runs")
            if not fitting
            else "Write more of its name."
        )
        raise UsageError(f"'{name}' {what}.", code="U175", hint=hint or "'recipe runs ls' lists them.")
    return fitting[0].name, fitting[0].content
