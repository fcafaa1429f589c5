"""Several objects that are written to one file."""

from __future__ import annotations

from collections.abc import Mapping

from recipes_core.data.history import DataObject
from recipes_core.data.table import Table


class Tables(DataObject):
    """Tables under names of their own, for one file.

    Parameters
    ----------
    tables : mapping of str to Table
    metadata : mapping, optional
        What the file says of itself; the first table's where not given.
    """

    def __init__(self, tables: Mapping[str, Table], *, metadata: Mapping[str, object] | None = None) -> None:
        self.tables = dict(tables)
        first = next(iter(self.tables.values()), None)
        given = first.metadata if metadata is None and first is not None else metadata
        self._init_provenance(given, first.history if first is not None else ())

    def summary(self) -> str:
        return ", ".join(f"{name}: {table.summary()}" for name, table in self.tables.items())


class Document(DataObject):
    """Results to be shown on one page.

    Parameters
    ----------
    title : str
    parts : mapping of str to DataObject
        Results by name, in the order in which they are shown.
    text : str
        What the author says of them; blank lines part paragraphs.
    template : str
        A page of the author's own (Jinja), as text; the built-in one where empty.
    """

    def __init__(self, title: str, parts: Mapping[str, DataObject], *, text: str = "", template: str = "") -> None:
        self.title = title
        self.parts = dict(parts)
        self.text = text
        self.template = template
        first = next(iter(self.parts.values()), None)
        self._init_provenance(first.metadata if first is not None else None, first.history if first is not None else ())

    def summary(self) -> str:
        return f"page with {', '.join(self.parts)}"
