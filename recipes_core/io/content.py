"""What a reader says about a file before anything large is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes_core.data import DataObject


@dataclass(frozen=True)
class Dataset:
    """One thing in a file.

    Parameters
    ----------
    name : str
        Key under which a recipe receives it: the table's name; ``''`` where the file holds one unnamed thing.
    kind : type
        `Localizations`, `Table`, `ImageStack`, `Drift` ...
    load : callable
        Reads it; images come lazily.
    columns : mapping, optional
        Column in memory -> unit, for tables.
    n_rows : int, optional
    shape, dtype : optional
        Of images.
    """

    name: str
    kind: type[DataObject]
    load: Callable[[], DataObject]
    columns: Mapping[str, str] | None = None
    n_rows: int | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None

    def describe(self) -> str:
        """Name, type, size and columns in one line."""
        name = f"'{self.name}' " if self.name else ""
        if self.columns is not None:
            columns = list(self.columns)
            shown = ", ".join(columns[:10]) + (", ..." if len(columns) > 10 else "")
            return f"{name}({self.kind.__name__}, {self.n_rows} rows, columns {shown})"
        size = " x ".join(str(n) for n in self.shape or ())
        return f"{name}({self.kind.__name__}{', ' + size if size else ''})"


@dataclass(frozen=True)
class FileContent:
    """A file as its reader sees it.

    Parameters
    ----------
    path : Path
    format : str
        The format's name for people.
    datasets : tuple of Dataset
        In the order of the file.
    metadata : mapping
        Flat, PYME's names.
    notes : tuple of str
        What the reader wants to tell: an origin that could not be shifted, metadata that were left out.
    files : tuple of Path
        Every file whose content stands behind the datasets or their metadata: the members of a series, a file beside; by
        default `path` alone. Whoever asks whether the data are the same must look at all of them.
    """

    path: Path
    format: str
    datasets: tuple[Dataset, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not self.files:
            object.__setattr__(self, "files", (self.path,))

    def dataset(self, name: str) -> Dataset | None:
        """The dataset of that name, or None."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)
