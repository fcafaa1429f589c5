"""``recipe info FILE``."""

from __future__ import annotations

from typing import Any

import click

from recipes_core.cli import faults


@click.command("info", short_help="Show what is in a data file.")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@click.option("-v", "--verbose", is_flag=True, help="Show all metadata.")
def command(file: str, as_json: bool, verbose: bool) -> None:
    """Show what is in FILE: tables, columns, units, ranges, images, metadata and how it was made."""
    with faults.reported(as_json=as_json, verbose=verbose):
        from recipes_core import io

        content = io.describe(file)
        if as_json:
            faults.print_json(content)
        else:
            _show(content, verbose)


def _show(content: dict[str, Any], verbose: bool) -> None:
    click.echo(f"{content['path']}: {content['format']}")
    for note in content.get("notes", ()):
        click.echo(f"  note: {note}")
    for dataset in content["datasets"]:
        name = f"'{dataset['name']}' " if dataset["name"] else ""
        click.echo(f"\n{name}{dataset['type']}: {dataset['summary']}")
        rows = [
            (column["name"], column["unit"], _number(column["min"]), _number(column["max"]),
             f"{column['nan']} NaN" if column.get("nan") else "")
            for column in dataset.get("columns", ())
        ]  # fmt: skip
        if rows:
            _print_rows([("column", "unit", "min", "max", ""), *rows])
        for label, value in dataset.get("facts", {}).items():
            click.echo(f"  {label}: {value}")
    metadata = content.get("metadata", {})
    if metadata:
        click.echo("\nmetadata")
        shown = list(metadata.items())
        for key, value in shown if verbose else shown[:40]:
            text = str(value)
            click.echo(f"  {key} = {text if verbose or len(text) <= 80 else text[:77] + '...'}")
        if not verbose and len(shown) > 40:
            click.echo(f"  ... {len(shown) - 40} more with -v")


def _print_rows(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        cells = [
            f"{cell:>{width}}" if index in (2, 3) else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  " + "  ".join(cells).rstrip())


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
