"""``recipe status``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from recipes_core.cli import faults
from recipes_core.cli import options as opt
from recipes_core.cli.assignments import Assignments

if TYPE_CHECKING:
    from recipes_core.cli.session import Session


@click.command("status", short_help="Say which results are current, stale or missing.")
@opt.recipe_argument
@opt.input_argument
@opt.common_options
@opt.output_option
@opt.target_option
@opt.each_option
@opt.json_option
def command(
    recipe_file: str,
    input_file: str | None,
    assignments: Assignments,
    output_dir: str | None,
    targets: tuple[str, ...],
    each: str | None,
    as_json: bool,
) -> None:
    """Say for each step whether its results are in the cache, and for each file whether it is current, stale or missing."""
    state: dict[str, Any] = {"steps": [], "outputs": {}}
    with faults.reported(as_json=as_json, state=state):
        from recipes_core.cli.session import open_sessions

        files: dict[str, str] = {}
        for session in open_sessions(recipe_file, input_file, assignments, each, opt.open_cache(writable=False)):
            selection, layout = session.select(targets), session.layout(output_dir)
            steps = _steps(session, selection.targets)
            found = session.recipe.states_of_files(selection, session.destinations(layout, selection))
            state["steps"] += steps
            files |= {str(path): word for path, word in found.items()}
            if not as_json:
                _show(session.name, steps, {str(path): word for path, word in found.items()})
        if as_json:
            faults.print_json(faults.document(0, **state, files=files))


def _steps(session: Session, targets: Iterable[str]) -> list[dict[str, Any]]:
    from recipes_core.plan import StepState, planned_json

    recipe = session.recipe
    graph = recipe.graph
    regular = [key for key, place in graph.producers.items() if not graph.output_port(place).on_demand]
    plan = recipe.plan([*regular, *targets])
    steps = []
    for step, told in zip(plan.steps, planned_json(plan), strict=True):
        word = "current"
        if step.state is StepState.BLOCKED:
            word = "blocked"
        elif step.state is StepState.RUN:
            word = "stale" if recipe.past(step.step) else "missing"
        steps.append({**told, "state": word, **({"file": session.name} if session.name else {})})
    return steps


def _show(name: str, steps: list[dict[str, Any]], files: dict[str, str]) -> None:
    colours = {"current": "green", "stale": "yellow", "missing": "red", "blocked": "red"}
    if name:
        click.echo(click.style(name, bold=True))
    for step in steps:
        word = click.style(f"{step['state']:<8}", fg=colours[step["state"]])
        reason = f"  {click.style(step['reason'], dim=True)}" if step["reason"] else ""
        click.echo(f"{word} {step['step']}{reason}")
    for path, state in files.items():
        click.echo(f"{click.style(f'{state:<8}', fg=colours[state])} {path}")
