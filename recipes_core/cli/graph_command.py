"""``recipe graph``."""

from __future__ import annotations

import click

from recipes_core.cli import faults
from recipes_core.cli.options import recipe_argument


@click.command("graph", short_help="Show how the steps of a recipe are connected.")
@recipe_argument
@click.option("--format", "form", type=click.Choice(["text", "mermaid"]), default="text", show_default=True)
def command(recipe_file: str, form: str) -> None:
    """Show how the steps of RECIPE are connected: as text, or as a mermaid diagram for documents."""
    with faults.reported():
        from recipes_core.recipe import Recipe
        from recipes_core.report.drawing import as_mermaid, as_text

        graph = Recipe.load(recipe_file).graph
        click.echo(as_text(graph) if form == "text" else as_mermaid(graph))
