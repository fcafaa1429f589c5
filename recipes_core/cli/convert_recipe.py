"""``recipe convert OLD.yaml NEW.yaml``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from recipes_core.cli import faults


def convert(source: str, target: Path, *, as_json: bool) -> None:
    """Write the recipe in the full form; a file that is there is never overwritten."""
    from recipes_core.errors import UsageError

    if target.exists():
        raise UsageError(f"{target} is there already.", code="U163", hint="Name a new file.")
    text, n_steps = _text(source, target)
    _write(target, text)
    if as_json:
        faults.print_json(faults.document(0, outputs={"result": str(target)}, path=str(target)))
    else:
        click.echo(f"{source} ({n_steps} steps) -> {target}")


def _text(source: str, target: Path) -> tuple[str, int]:
    from recipes_core.data import DataObject
    from recipes_core.language import full_form, load
    from recipes_core.recipe import Recipe

    recipe = Recipe.load(source)  # with every fault, also of connections
    # Types where they tell more than that something is taken.
    taken = {key: "" if item.kind is DataObject else item.kind.__name__ for key, item in recipe.inputs.items()}
    document = load(source)
    return full_form(document, taken, Path(os.path.normpath(target.parent.absolute()))), len(document.steps)


def _write(target: Path, text: str) -> None:
    from recipes_core.errors import UsageError

    try:
        with target.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{target} is there already.", code="U163", hint="Name a new file.") from None
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}.", code="U152") from error
