"""Arguments and options that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from recipes_core.cli.assignments import Assignments

recipe_argument = click.argument("recipe_file", metavar="RECIPE")


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add -i, -m and -p; the function receives them together as `assignments`."""

    @click.option(
        "-i", "--input", "inputs", metavar="NAME=PATH", multiple=True, help="File for an input. May be given several times."
    )
    @click.option(
        "-m",
        "--metadata",
        metavar="INPUT.KEY=VALUE",
        multiple=True,
        help="Metadata of an input, e.g. movie.voxelsize.x=0.1 (um).",
    )
    @click.option(
        "-p", "--parameter", "parameters", metavar="[STEP.]PARAM=VALUE", multiple=True, help="Another value for a parameter."
    )
    @functools.wraps(function)
    def with_assignments(
        *args: Any, inputs: tuple[str, ...], metadata: tuple[str, ...], parameters: tuple[str, ...], **options: Any
    ) -> Any:
        return function(*args, assignments=Assignments(inputs, metadata, parameters), **options)

    return with_assignments
