"""``recipe graph``."""

from __future__ import annotations

import click

from recipes_core.cli import faults
from recipes_core.cli import options as opt
from recipes_core.cli.assignments import Assignments


@click.command("graph", short_help="Show how the steps of a recipe are connected.")
@opt.recipe_argument
@opt.input_argument
@opt.common_options
@click.option("--format", "form", type=click.Choice(["text", "mermaid", "dot", "svg"]), default="text", show_default=True,
              help="What is printed.")  # fmt: skip
def command(recipe_file: str, input_file: str | None, assignments: Assignments, form: str) -> None:
    """Show how the steps of RECIPE are connected: as text, or as a diagram.

    mermaid is drawn by many sites that show documents, dot by Graphviz, svg by every browser. dot and svg are coloured by what
    would run and what the cache holds, as far as the inputs are given:

    \b
      recipe graph RECIPE cell7.hdf --format svg > graph.svg
    """  # noqa: D301 - click wants the character itself
    with faults.reported():
        from recipes_core.cli.session import Session
        from recipes_core.drawing.forms import COLOURED, FORMATS

        cache = opt.open_cache(writable=False) if form in COLOURED else None
        recipe = Session.open(recipe_file, input_file, assignments, cache=cache).recipe
        text = COLOURED[form](recipe.graph, *recipe.states()) if form in COLOURED else FORMATS[form](recipe.graph)
        click.echo(text.rstrip("\n"))
