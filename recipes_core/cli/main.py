"""The command ``recipe``. Each verb lives in a file of its own, imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from recipes_core.cli.stopping import ended_by_sigterm

VERBS = {
    "run": ("recipes_core.cli.run_command", "Run a recipe and save its results."),
    "explain": ("recipes_core.cli.explain_command", "Say what would run and why; write nothing."),
    "status": ("recipes_core.cli.status_command", "Say which results are current, stale or missing."),
    "watch": ("recipes_core.cli.watch_command", "Run again when the recipe or an input changes."),
    "check": ("recipes_core.cli.check_command", "Report every fault of a recipe; run nothing."),
    "graph": ("recipes_core.cli.graph_command", "Show how the steps of a recipe are connected."),
    "convert": ("recipes_core.cli.convert_command", "Convert a data file to another format."),
    "info": ("recipes_core.cli.info_command", "Show what is in a data file."),
    "cache": ("recipes_core.cli.cache_command", "Show or clear what is kept of earlier runs."),
    "runs": ("recipes_core.cli.runs_command", "Show and compare records of earlier runs."),
    "modules": ("recipes_core.cli.modules_command", "List the modules, or show one."),
    "plugins": ("recipes_core.cli.plugins_command", "List the plugins."),
}


class Verbs(click.Group):
    """A group that knows its commands by name and imports them on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._load_plugin_commands()
        return [*VERBS, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in VERBS:
            found: click.Command = import_module(VERBS[cmd_name][0]).command
            return found
        self._load_plugin_commands()
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from recipes_core.errors import did_you_mean

            hint = did_you_mean(args[0], self.list_commands(ctx), what="the commands")
            raise click.UsageError(f"no command '{args[0]}'. {hint}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Help texts come from the list above, so that --help imports no verb.
        self._load_plugin_commands()
        rows = [(name, text) for name, (_, text) in VERBS.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _load_plugin_commands(self) -> None:
        from recipes_core.plugins import registry

        if not self.commands:
            registry().manager.hook.register_commands(group=self)


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from recipes_core.versions import versions

    found = dict(versions())
    own = found.pop("smlm-recipes")
    click.echo(f"recipe {own} (" + ", ".join(f"{name} {number}" for name, number in found.items()) + ")")
    ctx.exit()


def _no_plugins(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from recipes_core.plugins import Registry, use_registry

        use_registry(Registry(external=False))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the versions and exit."
)
@click.option(
    "--no-plugins", is_flag=True, is_eager=True, expose_value=False, callback=_no_plugins, help="Use only the built-in modules."
)
def recipe() -> None:
    """Single-molecule localization microscopy from one YAML file.

    A recipe declares modules and how they are connected; this command runs what is needed and saves the results.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: run the command and exit with the code of the contract."""
    with ended_by_sigterm():
        _main(arguments)


def _main(arguments: Sequence[str] | None) -> None:
    from recipes_core.errors import ExitCode

    try:
        recipe.main(args=None if arguments is None else list(arguments), prog_name="recipe", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("cancelled", err=True)
        sys.exit(ExitCode.CANCELLED)
    sys.exit(ExitCode.OK)


if __name__ == "__main__":
    main()
