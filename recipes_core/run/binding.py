"""Connects files to the free inputs of a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recipes_core import io
from recipes_core.data import DataObject, Table
from recipes_core.data.cameras import PRESET_KEY, camera_preset, with_preset
from recipes_core.errors import DataError, UsageError
from recipes_core.graph import FreeInput, Graph, Known
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.opening import split_query


@dataclass(frozen=True)
class Bound:
    """A dataset of a file that stands behind an input.

    Parameters
    ----------
    key : str
    path : Path
    dataset : Dataset
    metadata : mapping
        What the user gives on top of the file's own.
    notes : tuple of str
        What the reader has to say.
    files : tuple of Path
        Every file whose content it is.
    options : mapping
        What the name of the file says behind a question mark.
    """

    key: str
    path: Path
    dataset: Dataset
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, content: FileContent, dataset: Dataset, name: str | Path) -> Bound:
        """A dataset of a file that was opened under a name."""
        return cls(
            key,
            content.path,
            dataset,
            {},
            content.notes,
            content.files,
            split_query(name)[1],
        )

    def with_metadata(self, metadata: Mapping[str, Any]) -> Bound:
        """The same with more metadata on top."""
        if PRESET_KEY in metadata:
            # Refuses a camera that nobody knows before anything runs.
            camera_preset(metadata[PRESET_KEY])
        return replace(self, metadata={**self.metadata, **metadata}) if metadata else self

    def part(self) -> list[Any]:
        """Which part of the files it is, and how it is read; plain values for keys."""
        return [self.dataset.kind.__name__, self.dataset.name, dict(self.options), with_preset(self.metadata)]

    def known(self) -> Known:
        """What is known before the file is read."""
        columns = None if self.dataset.columns is None else tuple(self.dataset.columns)
        return Known(self.dataset.kind, columns)

    def load(self) -> DataObject:
        """Read the object."""
        loaded = self.dataset.load()
        return loaded.with_provenance(metadata=with_preset({**loaded.metadata, **self.metadata}))


def bind_named(graph: Graph, key: str, path: str | Path) -> Bound:
    """Bind a file to an input by name (``-i NAME=PATH`` and ``inputs:``).

    Raises
    ------
    DataError
        Where the file holds nothing of the input's type, or several things and none of that name.
    """
    free = graph.free_inputs[key]
    content = io.open_file(path)
    chosen = _choose(content, free)
    if chosen is None:
        raise _does_not_fit(content, graph, [free])
    return Bound.of(key, content, chosen, path)


def bind_input(graph: Graph, path: str | Path, taken: Iterable[str] = ()) -> list[Bound]:
    """Bind the command line's INPUT: tables by their names, else the one thing that fits the one input of its type.

    Parameters
    ----------
    taken : iterable of str
        Inputs that were given by name.

    Raises
    ------
    DataError
        Where nothing fits or several inputs would; the message lists the tables, columns and free inputs.
    """
    content = io.open_file(path)
    free = [item for key, item in graph.free_inputs.items() if key not in set(taken)]
    by_name = []
    for item in free:
        dataset = content.dataset(item.key)
        if dataset is not None and issubclass(dataset.kind, item.kind):
            by_name.append(Bound.of(item.key, content, dataset, path))
    if by_name:
        return by_name
    # An input that is needed goes before an optional one of the same type.
    able = [item for item in free if _choose(content, item) is not None]
    fitting = [item for item in able if item.required] or able
    if len(fitting) != 1:
        raise _does_not_fit(content, graph, free, ambiguous=fitting)
    dataset = _choose(content, fitting[0])
    assert dataset is not None
    return [Bound.of(fitting[0].key, content, dataset, path)]


def _choose(content: FileContent, free: FreeInput) -> Dataset | None:
    fitting = [dataset for dataset in content.datasets if issubclass(dataset.kind, free.kind)]
    named = [dataset for dataset in fitting if dataset.name == free.key]
    if named:
        return named[0]
    return fitting[0] if len(fitting) == 1 else None


def _does_not_fit(
    content: FileContent, graph: Graph, free: list[FreeInput], ambiguous: Iterable[FreeInput] = ()
) -> DataError | UsageError:
    holds = "; ".join(dataset.describe() for dataset in content.datasets) or "nothing that can be read"
    several = [item.key for item in ambiguous]
    if several:
        message = f"{content.path.name} ({content.format}) fits several inputs: {', '.join(several)}."
        hint = f"Say which with -i {several[0]}={content.path.name}."
        return DataError(message, code="D131", hint=hint)
    wanted = "; ".join(f"'{item.key}' ({item.kind.__name__})" for item in free) or "none"
    message = f"{content.path.name} ({content.format}) holds {holds}; the recipe's free inputs are {wanted}: nothing fits."
    tables = [dataset.name for dataset in content.datasets if dataset.name]
    fits = [d.name for d in content.datasets if d.name and any(issubclass(d.kind, item.kind) for item in free)]
    if len(fits) > 1:
        hint = f"Select one with '?table=': {', '.join(fits)}."
    elif any(issubclass(item.kind, Table) for item in free) and tables:
        hint = "Localizations need columns x, y and frame (or a name that another program gives them)."
    else:
        hint = "Give a file of the right type."
    return DataError(message, code="D130", hint=hint)
