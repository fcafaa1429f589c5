"""``recipe check``."""

from __future__ import annotations

import click

from recipes_core.cli import faults
from recipes_core.cli.options import recipe_argument


@click.command("check", short_help="Report every fault of a recipe; run nothing.")
@recipe_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks of errors in this program.")
def command(recipe_file: str, as_json: bool, verbose: bool) -> None:
    """Report every fault of RECIPE at once: names, values, connections, types and columns. Nothing runs.

    An input without a file is no fault; files that the recipe itself names are looked into.
    """
    with faults.reported(as_json=as_json, verbose=verbose):
        from recipes_core.cli.show import counted
        from recipes_core.recipe import Recipe

        recipe = Recipe.load(recipe_file)
        recipe.bind(recipe.default_bindings())
        warnings = [problem for problem in recipe.problems if problem.severity == "warning"]
        if as_json:
            free = [{"key": key, "type": item.kind.__name__, "required": item.required} for key, item in recipe.inputs.items()]
            faults.print_json(faults.document(0, problems=warnings, inputs=free))
            return
        faults.echo_problems(warnings)
        click.echo(f"{recipe_file}: {counted(len(recipe.steps), 'step')}, no faults.")
        for key, item in recipe.inputs.items():
            where = recipe.source_of(key) or ("give it with -i" if item.required else "optional")
            click.echo(f"  input {key} ({item.kind.__name__}): {where}")
