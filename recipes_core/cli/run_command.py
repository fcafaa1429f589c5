"""``recipe run``."""

from __future__ import annotations

from typing import Any

import click

from recipes_core.cli import faults
from recipes_core.cli import options as opt
from recipes_core.cli.assignments import Assignments


@click.command("run", short_help="Run a recipe and save its results.")
@click.argument("recipe_file", metavar="RECIPE|RESULT")
@opt.input_argument
@opt.common_options
@opt.output_option
@opt.target_option
@opt.each_option
@opt.executor_option
@opt.jobs_option
@opt.force_option
@opt.no_cache_option
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run and write nothing.")
@click.option("--keep-going", is_flag=True, help="After a failure go on with what does not depend on it.")
@click.option("--verify", is_flag=True, help="Run everything anew and compare with what the cache holds.")
@click.option("--report", metavar="FILE.html", help="Also write one page with graph, figures, numbers and how to do it again.")
@opt.json_option
@click.option("-v", "--verbose", is_flag=True, help="Say more; show where a module failed.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what is wrong.")
def command(
    recipe_file: str, input_file: str | None, assignments: Assignments, as_json: bool, verbose: bool, quiet: bool, **choices: Any
) -> None:
    """Run RECIPE and save its results; steps whose results are in the cache do not run again.

    INPUT is a file for the recipe's one free input of a fitting type; name others with -i.
    With a RESULT that an earlier run has saved: make it again as its record says, and compare.

    \b
    recipe run correct_drift_locs.yaml cell7.hdf -o results
    recipe run localize.yaml -i movie=cell7.tif -m movie.voxelsize.x=0.1 -p threshold=1.2
    recipe run correct_drift_locs.yaml --each Localizations='data/*.hdf' --executor processes
    recipe run results/cell7_corrected.hdf
    """  # noqa: D301 - click wants the character itself
    state: dict[str, Any] = {"steps": [], "outputs": {}}
    show = "none" if as_json else "quiet" if quiet else "verbose" if verbose else "normal"
    with faults.reported(as_json=as_json, verbose=verbose, state=state):
        from recipes_core import io

        if io.looks_like_result(recipe_file):
            from recipes_core.cli.again import make_again

            problems = make_again(recipe_file, assignments, choices["output_dir"], state, show)
        else:
            problems = _run(recipe_file, input_file, assignments, choices, state, show)
        if as_json:
            faults.print_json(faults.document(0, **state, problems=problems))


def _run(
    recipe_file: str, input_file: str | None, assignments: Assignments, choices: dict[str, Any], state: dict[str, Any], show: str
) -> list[Any]:
    from recipes_core.cli.running import Choices, run_sessions
    from recipes_core.cli.session import open_sessions

    dry_run, each, no_cache = (choices.pop(name) for name in ("dry_run", "each", "no_cache"))
    if no_cache and choices["verify"]:
        from recipes_core.errors import UsageError

        raise UsageError("--verify compares with the cache; --no-cache leaves nothing to compare with.", code="U173")
    cache = opt.open_cache(writable=not dry_run, off=no_cache)
    sessions = open_sessions(recipe_file, input_file, assignments, each, cache)
    chosen = Choices(show=show, **choices)
    if dry_run:
        from recipes_core.cli.explaining import explain_sessions

        explain_sessions(sessions, chosen, state, show)
    else:
        run_sessions(sessions, chosen, cache, state)
    return [problem for session in sessions for problem in session.warnings]
