"""Arguments and options that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from recipes_core.cli.assignments import Assignments

if TYPE_CHECKING:
    from recipes_core.cache.store import Cache

Command = Callable[..., Any]

recipe_argument = click.argument("recipe_file", metavar="RECIPE")
input_argument = click.argument("input_file", metavar="[INPUT]", required=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
target_option = click.option(
    "--target",
    "targets",
    metavar="KEY",
    multiple=True,
    help="Make and save only this key, or the results of this step. May be given several times.",
)
output_option = click.option(
    "-o", "--output", "output_dir", metavar="DIR", help="Folder for the results. Default: RECIPE_results."
)
each_option = click.option(
    "--each", metavar="NAME=GLOB", help="Run once for each file that the pattern finds, as input NAME; quote the pattern."
)
no_cache_option = click.option("--no-cache", is_flag=True, help="Neither use results of earlier runs nor keep these.")
force_option = click.option(
    "--force", metavar="[STEP]", multiple=True, is_flag=False, flag_value="*",
    help="Run all steps anew, or only STEP and what depends on it. May be given several times.",
)  # fmt: skip
executor_option = click.option(
    "--executor", metavar="NAME", default="serial", show_default=True,
    help="Where steps run: serial, processes, dask (on this machine), dask:ADDRESS (a running scheduler).",
)  # fmt: skip
jobs_option = click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Worker processes. Default: one for each processor."
)


def common_options(function: Command) -> Command:
    """Add -i, -m and -p; the function receives them together as `assignments`."""

    @click.option(
        "-i", "--input", "inputs", metavar="NAME=PATH", multiple=True, help="File for an input. May be given several times."
    )
    @click.option(
        "-m",
        "--metadata",
        metavar="INPUT.KEY=VALUE",
        multiple=True,
        help="Metadata of an input, e.g. movie.voxelsize.x=0.1 (um). May be given several times.",
    )
    @click.option(
        "-p",
        "--parameter",
        "parameters",
        metavar="[STEP.]PARAM=VALUE",
        multiple=True,
        help="Another value for a parameter. May be given several times.",
    )
    @functools.wraps(function)
    def with_assignments(
        *args: Any, inputs: tuple[str, ...], metadata: tuple[str, ...], parameters: tuple[str, ...], **options: Any
    ) -> Any:
        return function(*args, assignments=Assignments(inputs, metadata, parameters), **options)

    return with_assignments


def open_cache(*, writable: bool = True, off: bool = False) -> Cache | None:
    """The user's cache; None where it is switched off."""
    if off:
        return None
    from recipes_core.cache.store import Cache

    return Cache(writable=writable)
