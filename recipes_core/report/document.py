"""Results on one page that a recipe writes itself (`ReportOutput`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import DataObject, Document, Scalars, Table
from recipes_core.errors import DataError
from recipes_core.io.record_places import with_html_record
from recipes_core.io.records import to_json
from recipes_core.report.content import Section
from recipes_core.report.page import page_environment
from recipes_core.versions import versions

MOST_ROWS = 1000
"""Rows of a table that a page of the author's own sees."""


def write(obj: Document, path: Path, record: Mapping[str, Any]) -> None:
    """Write a document as one HTML file that needs nothing else."""
    title = obj.title or path.stem
    page = _own_page(obj, title, record) if obj.template else _page(obj, title, record)
    text = with_html_record(page, to_json(dict(record))) if record else page
    path.write_bytes(text.encode("utf-8", "replace"))  # names of files may hold what is no text


def _page(obj: Document, title: str, record: Mapping[str, Any]) -> str:
    section = Section()
    for label, value in obj.parts.items():
        section.add(label, value)
    entries = {entry.identity: entry for value in obj.parts.values() for entry in value.history}
    steps = [
        {"name": entry.step, "module": entry.module, "parameters": ", ".join(f"{k}: {v}" for k, v in entry.parameters.items())}
        for entry in entries.values()
    ]
    return str(
        page_environment()
        .get_template("document.html")
        .render(
            title=title,
            paragraphs=[part.strip() for part in obj.text.split("\n\n") if part.strip()],
            section=section,
            steps=steps,
            recipe=record.get("recipe", ""),
            versions=", ".join(f"{name} {number}" for name, number in versions().items()),
        )
    )


def _own_page(obj: Document, title: str, record: Mapping[str, Any]) -> str:
    """A template that comes with the recipe: it sees values, and reaches neither Python nor files."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(autoescape=True)
    namespace = {label: _plain(value) for label, value in obj.parts.items()}
    try:
        template = environment.from_string(obj.template)
        return template.render(
            data=next(iter(namespace.values()), None),
            namespace=namespace,
            recipe_context={"title": title},
            metadata=_words(obj.metadata),
        )
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise DataError(f"the page's template cannot be filled: {error}.", code="D560") from error


def _plain(value: DataObject) -> Any:
    if isinstance(value, Scalars):
        return dict(value.values)
    if isinstance(value, Table):
        return {name: np.asarray(value[name][:MOST_ROWS]).tolist() for name in value.columns}
    return value.summary()


def _words(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if isinstance(value, (str, int, float, bool))}
