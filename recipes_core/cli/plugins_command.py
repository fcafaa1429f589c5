"""``recipe plugins``."""

from __future__ import annotations

import click

from recipes_core.cli import faults


@click.command("plugins", short_help="List the plugins.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(as_json: bool) -> None:
    """List the plugins: where each comes from, how many modules it brings, and what is wrong with it."""
    with faults.reported(as_json=as_json):
        from recipes_core.plugins import registry

        found = registry()
        _ = found.modules
        rows = [
            {"name": p.name, "distribution": p.distribution, "version": p.version, "modules": p.modules, "error": p.error}
            for p in found.plugins
        ]
        if as_json:
            faults.print_json(rows)
            return
        for row in rows:
            state = f"cannot be used: {row['error']}" if row["error"] else f"{len(row['modules'])} modules"
            click.echo(f"{row['name']}  ({row['distribution']} {row['version']})  {state}")
