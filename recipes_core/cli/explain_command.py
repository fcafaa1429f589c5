"""``recipe explain``."""

from __future__ import annotations

from typing import Any

import click

from recipes_core.cli import faults
from recipes_core.cli import options as opt
from recipes_core.cli.assignments import Assignments


@click.command("explain", short_help="Say what would run and why; write nothing.")
@opt.recipe_argument
@opt.input_argument
@opt.common_options
@opt.target_option
@opt.each_option
@opt.force_option
@opt.no_cache_option
@opt.json_option
def command(
    recipe_file: str,
    input_file: str | None,
    assignments: Assignments,
    targets: tuple[str, ...],
    each: str | None,
    force: tuple[str, ...],
    no_cache: bool,
    as_json: bool,
) -> None:
    """Say for each step of RECIPE whether it would run, why, and how long it took before. The disk stays as it is.

    \b
    recipe explain correct_drift_locs.yaml cell7.hdf -p binsize=20
    """  # noqa: D301 - click wants the character itself
    state: dict[str, Any] = {"steps": [], "outputs": {}}
    with faults.reported(as_json=as_json, state=state):
        from recipes_core.cli.explaining import explain_sessions
        from recipes_core.cli.running import Choices
        from recipes_core.cli.session import open_sessions

        cache = opt.open_cache(writable=False, off=no_cache)
        sessions = open_sessions(recipe_file, input_file, assignments, each, cache)
        explain_sessions(sessions, Choices(targets=targets, force=force), state, "none" if as_json else "normal")
        if as_json:
            problems = [problem for session in sessions for problem in session.warnings]
            faults.print_json(faults.document(0, **state, problems=problems))
