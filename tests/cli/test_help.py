"""Every help page is laid out and tells what each option does; a reader who leaves is no fault."""

import os
import subprocess
import sys

import click
import pytest

from recipes_core.cli.main import recipe


def commands(group=recipe, words=("recipe",)):
    """All commands with their words."""
    yield words, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            yield from commands(group.get_command(context, name), (*words, name))


@pytest.mark.parametrize(("words", "command"), [pytest.param(*item, id=" ".join(item[0])) for item in commands()])
def test_the_page_is_laid_out(words, command):
    text = command.get_help(click.Context(command, info_name=" ".join(words), terminal_width=100))
    assert "\\b" not in text
    assert "``" not in text
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, option.name
            assert option.help.endswith("."), option.name


def test_examples_stand_on_lines_of_their_own():
    command = recipe.get_command(click.Context(recipe), "run")
    lines = command.get_help(click.Context(command, terminal_width=80)).splitlines()
    assert "  recipe run correct_drift_locs.yaml cell7.hdf -o results" in lines


@pytest.mark.parametrize("words", [("cache", "info"), ("modules", "list"), ("--help",)], ids=" ".join)
def test_a_reader_that_leaves_is_no_fault(tmp_path, words):
    """As the first command of a pipe whose second one has ended."""
    read, write = os.pipe()
    os.close(read)
    code = "from recipes_core.cli.main import main; main()"
    environment = {**os.environ, "RECIPES_CACHE": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], stdout=write, stderr=subprocess.PIPE, text=True, env=environment, check=False
    )
    os.close(write)
    assert ended.stderr == ""
