"""``recipe watch``."""

from __future__ import annotations

from typing import Any

import click

from recipes_core.cli import faults
from recipes_core.cli import options as opt
from recipes_core.cli.assignments import Assignments


@click.command("watch", short_help="Run again when the recipe or an input changes.")
@opt.recipe_argument
@opt.input_argument
@opt.common_options
@opt.output_option
@opt.target_option
@opt.each_option
@opt.executor_option
@opt.jobs_option
@click.option("--quiet-time", type=click.FloatRange(0.05), default=0.3, show_default=True, metavar="SECONDS",
              help="Changes must have stopped for so long before anything runs.")  # fmt: skip
@click.option("--growing-time", type=click.FloatRange(0.1), default=5.0, show_default=True, metavar="SECONDS",
              help="An input that grows all the time is taken as far as it is there after so long.")  # fmt: skip
@click.option("--once", is_flag=True, hidden=True, help="End after the first run that a change set off; for tests.")
def command(recipe_file: str, input_file: str | None, assignments: Assignments, **choices: Any) -> None:
    """Run RECIPE, and again whenever the recipe, an input or a file of a parameter changes; with --each also for new files.

    Only what a change makes stale runs. A recipe that has a fault while it is edited is told and waited for. End with Ctrl-C.

    A movie that is still being written is taken as far as it is there, again and again; of a fit only the new frames are computed.

    \b
    recipe watch localize.yaml --each movie='today/*.tif' -o results
    """  # noqa: D301 - click wants the character itself
    with faults.reported():
        from recipes_core.cli.watching import watch

        watch(recipe_file, input_file, assignments, **choices)
