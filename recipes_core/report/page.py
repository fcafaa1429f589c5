"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recipes_core.errors import EnvironmentFault
from recipes_core.report.content import Section, short_path

MOST_TOLD = 240
"""Letters of what a step made."""


def render(title: str, sections: Sequence[Section], *, recipe: str, command: str, made: str, versions: Mapping[str, str]) -> str:
    """The page as text.

    Parameters
    ----------
    recipe : str
        The recipe's YAML.
    command : str
        What was typed.
    made : str
        When and where, for the foot of the page.
    """
    environment = page_environment()
    template = environment.get_template("page.html")
    page: str = template.render(
        title=title,
        sections=sections,
        recipe=recipe,
        command=command,
        made=made,
        versions=", ".join(f"{n} {v}" for n, v in versions.items()),
    )
    return page


def page_environment() -> Any:
    """Where the templates are, with the filters that they use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("recipes_core.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(short=short_path, words=_words, brief=_brief, seconds=_seconds)
    return environment


def _words(name: str) -> str:
    return name.replace("_", " ")


def _brief(text: str) -> str:
    return text if len(text) <= MOST_TOLD else text[:MOST_TOLD].rpartition(",")[0] + ", ..."


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 100 else f"{value / 60:.1f} min"


def write_page(path: Path, content: str) -> None:
    """Write a page as a whole or not at all.

    Raises
    ------
    EnvironmentFault
        Where it cannot be written.
    """
    stage = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stage.write_text(content, encoding="utf-8")
        stage.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            stage.unlink()
        raise EnvironmentFault(f"{path} cannot be written: {error.strerror or error}.", code="V120") from error
