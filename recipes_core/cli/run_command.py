"""``recipe run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recipes_core.cli import faults
from recipes_core.cli.assignments import Assignments
from recipes_core.cli.options import common_options, recipe_argument


@click.command("run", short_help="Run a recipe and save its results.")
@recipe_argument
@click.argument("input_file", metavar="[INPUT]", required=False)
@common_options
@click.option("-o", "--output", "output_dir", metavar="DIR", help="Folder for the results. Default: RECIPE_results.")
@click.option(
    "--target", "targets", metavar="KEY", multiple=True, help="Make and save only this key (or the results of this step)."
)
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@click.option("-v", "--verbose", is_flag=True, help="Say more; show where a module failed.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what is wrong.")
def command(
    recipe_file: str,
    input_file: str | None,
    assignments: Assignments,
    output_dir: str | None,
    targets: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    r"""Run RECIPE and save its results.

    INPUT is a file for the recipe's one free input of a fitting type; name others with -i.

    \b
    recipe run correct_drift_locs.yaml cell7.hdf -o results
    recipe run localize.yaml -i movie=cell7.tif -m movie.voxelsize.x=0.1 -p threshold=1.2
    """
    state: dict[str, Any] = {"steps": [], "outputs": {}}
    with faults.reported(as_json=as_json, verbose=verbose, state=state):
        from recipes_core.cli.session import Session

        session = Session.open(recipe_file, input_file, assignments)
        layout = session.layout(Path(output_dir) if output_dir else None)
        selection = session.select(targets)
        session.check_destinations(layout, selection)
        if dry_run:
            plan = session.recipe.plan(selection.targets)
            state["steps"] = session.planned_steps(plan)
            if as_json:
                faults.print_json(faults.document(0, **state, problems=session.warnings))
            else:
                faults.echo_problems(session.warnings)
                click.echo(plan.explain())
            return
        session.run_and_save(
            layout, selection, state, show="none" if as_json else "quiet" if quiet else "verbose" if verbose else "normal"
        )
        if as_json:
            faults.print_json(faults.document(0, **state, problems=session.warnings))
