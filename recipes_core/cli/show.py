"""What a person or a pipe sees of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recipes_core.plan import Plan, PlannedStep
from recipes_core.run import Listener, RunReport, StepResult
from recipes_core.run.saving import Saved

if TYPE_CHECKING:
    from rich.table import Table as RichTable


def counted(n: int, what: str) -> str:
    """A number of things: ``1 result``, ``2 results``."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def listener_for(show: str, *, batch: bool = False) -> Listener:
    """The listener for ``none``, ``quiet``, ``normal`` or ``verbose``: a live table on a terminal, plain lines in a pipe.

    Parameters
    ----------
    batch : bool
        Whether several recipes run at once; they get lines.
    """
    if show == "none":
        return Listener()
    if show == "quiet":
        return QuietLines()
    if sys.stdout.isatty() and not batch:
        return LiveTable(verbose=show == "verbose")
    return PlainLines(verbose=show == "verbose")


class QuietLines(Listener):
    """Warnings only."""

    def warning(self, step: str, text: str) -> None:
        click.echo(f"{click.style('warning', fg='yellow')}: step '{step}': {text}", err=True)


class PlainLines(QuietLines):
    """A line a step."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.lines: dict[str, list[str]] = {}

    def step_started(self, step: PlannedStep) -> None:
        self.lines[step.step] = []
        if self.verbose:
            click.echo(f"{step.step}: {step.reason}")

    def message(self, step: str, text: str) -> None:
        if step in self.lines:
            self.lines[step].append(f"  {text}")
        else:
            click.echo(f"{step}: {text}")  # it has not begun, and may wait for long

    def step_finished(self, result: StepResult) -> None:
        click.echo(f"{result.step}  {result.state}  {result.seconds:.2f} s")
        for line in self.lines.pop(result.step, ()):
            click.echo(line)


class LiveTable(Listener):
    """A table that follows the run: state, progress, time left."""

    def __init__(self, *, verbose: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self.verbose = verbose
        self.console = Console()
        self.plan: Plan | None = None
        self.results: dict[str, StepResult] = {}
        self.running: dict[str, float] = {}
        self.done: dict[str, float] = {}
        # Last: it draws the table at once.
        self.live = Live(console=self.console, refresh_per_second=8, transient=True, get_renderable=self._table)

    def run_started(self, plan: Plan) -> None:
        self.plan = plan
        self.live.start()

    def step_started(self, step: PlannedStep) -> None:
        self.running[step.step] = time.perf_counter()

    def progress(self, step: str, done: float, total: float) -> None:
        self.done[step] = done / total if total else 0.0

    def message(self, step: str, text: str) -> None:
        self.console.print(f"[dim]{step}:[/dim] {_plain(text)}", highlight=False)

    def warning(self, step: str, text: str) -> None:
        self.console.print(f"[yellow]warning[/yellow] {step}: {_plain(text)}", highlight=False)

    def step_finished(self, result: StepResult) -> None:
        self.results[result.step] = result
        self.running.pop(result.step, None)

    def run_finished(self, report: RunReport) -> None:
        self.live.stop()

    def _table(self) -> RichTable:
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for planned in self.plan.steps if self.plan else ():
            state, detail = self._row(planned)
            table.add_row(state, planned.step, detail)
        return table

    def _row(self, planned: PlannedStep) -> tuple[str, str]:
        result = self.results.get(planned.step)
        if result is not None:
            sign = "[green]✓[/green]" if result.state in ("done", "cached") else "[red]✗[/red]"
            return sign, f"{result.seconds:.1f} s" if result.state == "done" else result.state
        if planned.step in self.running:
            seconds = time.perf_counter() - self.running[planned.step]
            done = self.done.get(planned.step, 0.0)
            bar = "━" * round(20 * done)
            left = f"  {seconds * (1 / done - 1):.0f} s left" if done > 0.02 and seconds > 2 else ""
            return "[cyan]●[/cyan]", f"[cyan]{bar}[/cyan][dim]{'━' * (20 - len(bar))}[/dim]  {seconds:.0f} s{left}"
        return "[dim]·[/dim]", f"[dim]{planned.reason or planned.state.value}[/dim]"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def print_summary(report: RunReport, saved: Sequence[Saved], folder: Path, *, brief: bool = False, name: str = "") -> None:
    """Close a run: what each step made and how long it took, and where the results are.

    Parameters
    ----------
    brief : bool
        One line, for one of several files.
    """
    done = [result for result in report.steps if result.state == "done"]
    there = [result for result in report.steps if result.state in ("cached", "current")]
    left = sum(item.unchanged for item in saved)
    if brief:
        click.echo(
            f"{name}: {counted(len(done), 'step')} run, {len(there)} cached, {counted(len(saved), 'result')}"
            + (f", {left} unchanged" if left else "")
        )
        return
    width = max((len(result.step) for result in (*done, *there)), default=0)
    click.echo()
    for result in report.steps:
        if result in there:
            click.echo(f"{click.style(f'{result.step:<{width}}', dim=True)}  {'cached':>9}  {result.reason}".rstrip())
        elif result in done:
            rows = [f"{key}: {text}" for key, text in result.outputs.items()] or [""]
            click.echo(f"{click.style(f'{result.step:<{width}}', bold=True)}  {result.seconds:7.2f} s  {rows[0]}".rstrip())
            for row in rows[1:]:
                click.echo(f"{'':<{width}}  {'':7}    {row}")
    click.echo(f"\n{counted(len(saved), 'result')} in {folder}")
    for item in saved:
        shown = item.path.relative_to(folder) if item.path.is_relative_to(folder) else item.path
        note = f"{item.label}, unchanged" if item.unchanged else item.label
        click.echo(f"  {shown}  {click.style(note, dim=True)}")
