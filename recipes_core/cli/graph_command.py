"""``recipe graph``."""

from __future__ import annotations

import click

from recipes_core.cli import faults
from recipes_core.cli.options import recipe_argument


@click.command("graph", short_help="Show how the steps of a recipe are connected.")
@recipe_argument
@click.option("--format", "form", type=click.Choice(["text", "mermaid", "dot", "svg"]), default="text", show_default=True)
def command(recipe_file: str, form: str) -> None:
    r"""Show how the steps of RECIPE are connected: as text, or as a diagram.

    mermaid is drawn by many sites that show documents, dot by Graphviz, svg by every browser:

    \b
      recipe graph RECIPE --format svg > graph.svg
    """
    with faults.reported():
        from recipes_core.recipe import Recipe
        from recipes_core.report.drawing import FORMATS

        click.echo(FORMATS[form](Recipe.load(recipe_file).graph).rstrip("\n"))
