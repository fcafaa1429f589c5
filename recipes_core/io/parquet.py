"""Parquet tables, read and written with pyarrow (the extra ``tables``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import DataObject, Localizations, Table
from recipes_core.data.vocabulary import canonical_names, unit_of
from recipes_core.errors import DataError, FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import Columns, Conventions
from recipes_core.io.extras import imported
from recipes_core.io.opening import loaded
from recipes_core.io.records import from_json, history_from_json, history_to_json, to_json

FORMAT = "Parquet"
MARK = b"PAR1"
KEY = b"smlm-recipes"
LARGE = 2**28
MOST_COMPRESSED = 200


class Parquet:
    """Reader of Parquet tables."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it begins like Parquet."""
        return head.startswith(MARK)

    @staticmethod
    def open_content(
        path: Path, pixel_size: float | str | None = None, unit: str | None = None, frame_base: int | str | None = None
    ) -> FileContent:
        """The table; columns that hold no numbers are left out.

        Parameters
        ----------
        pixel_size : float, optional
            nm, where the file counts in pixels.
        unit : str, optional
            Of lengths in the plane where it is not nm: um, px.
        frame_base : int, optional
            What the file calls the first frame.
        """
        parquet = imported("pyarrow.parquet", "tables", f"{path} is a Parquet table")
        schema, about = _schema(parquet, path)
        own = from_json(about.get(KEY, b"").decode("utf-8", "replace"))
        own = own if isinstance(own, dict) else {}
        present = [name for name, kind in schema.items() if kind]
        left_out = [name for name, kind in schema.items() if not kind]
        if not present:
            raise FormatError(f"{path} holds no column of numbers.")
        names = canonical_names(present)
        conventions = Conventions().given({"pixel_size": pixel_size, "unit": unit, "frame_base": frame_base})
        told = own["units"] if isinstance(own.get("units"), dict) else {}
        units = {names[name]: str(told.get(names[name], unit_of(names[name]))) for name in present}
        metadata = own["metadata"] if isinstance(own.get("metadata"), dict) else {}
        history = history_from_json(to_json(own.get("history")))
        kind = Localizations if {"x", "y", "frame"} <= set(units) else Table

        def load() -> DataObject:
            table = kind(conventions.to_memory(_read(parquet, path, names), path), units=units, history=history)
            return loaded(table, path, FORMAT, metadata=dict(metadata), told=conventions.told())

        notes = (f"left out, as they hold no numbers: {', '.join(left_out)}",) if left_out else ()
        dataset = Dataset("", kind, load, columns=units, n_rows=int(about[b"rows"]))
        return FileContent(path, FORMAT, (dataset,), dict(metadata), notes)

    @staticmethod
    def read_record(path: Path) -> Any:
        """The record that `write` stored."""
        parquet = imported("pyarrow.parquet", "tables", f"{path} is a Parquet table")
        own = from_json(_schema(parquet, path)[1].get(KEY, b"").decode("utf-8", "replace"))
        return own.get("record") if isinstance(own, dict) else None


READER = Parquet()


def _schema(parquet: Any, path: Path) -> tuple[dict[str, bool], dict[bytes, bytes]]:
    """Column -> whether it holds numbers, and what the file says of itself."""
    try:
        file = parquet.ParquetFile(path)
    except Exception as error:  # pyarrow raises many kinds
        raise FormatError(f"{path} is damaged or cut off: {str(error).splitlines()[0][:200]}") from error
    with file:
        schema = file.schema_arrow
        n, width = file.metadata.num_rows, len(schema)
        if width > 2000:
            raise FormatError(f"{path} has {width} columns; at most 2000 are read.")
        if n * max(1, width) * 8 > LARGE + MOST_COMPRESSED * path.stat().st_size:
            raise FormatError(f"{path} claims to hold {n} rows, too many for its size; it is refused.", code="D211")
        types = imported("pyarrow.types", "tables", f"{path} is a Parquet table")
        names = [field.name for field in schema]
        if len(set(names)) < len(names):
            raise FormatError(f"{path}: two columns have one name.")
        kinds = {
            field.name: bool(types.is_integer(field.type) or types.is_floating(field.type) or types.is_boolean(field.type))
            for field in schema
        }
        return kinds, {**(schema.metadata or {}), b"rows": str(n).encode()}


def _read(parquet: Any, path: Path, names: Mapping[str, str]) -> Columns:
    try:
        # Memory for all columns is taken once; the file is not mapped, so that it may be replaced meanwhile.
        table = parquet.read_table(path, columns=list(names), memory_map=False)
        return {target: np.ascontiguousarray(_plain(table.column(name))) for name, target in names.items()}
    except Exception as error:  # pyarrow raises many kinds
        raise FormatError(f"{path} cannot be read: {str(error).splitlines()[0][:200]}") from error


def _plain(column: Any) -> Any:
    values = column.to_numpy()
    # Missing values make integers floats and booleans objects.
    return values.astype(np.float64) if values.dtype.kind == "O" else values


def write(obj: Table, path: Path, record: Mapping[str, Any]) -> None:
    """Write a table with units, metadata and history."""
    parquet = imported("pyarrow.parquet", "tables", "Parquet tables are written")
    pyarrow = imported("pyarrow", "tables", "Parquet tables are written")
    for name in obj.columns:
        if obj[name].dtype.kind not in "fiub":
            raise DataError(f"column '{name}' holds {obj[name].dtype}, which cannot be written as numbers.")
    own: dict[str, Any] = {"units": obj.units, "metadata": obj.metadata, "history": from_json(history_to_json(obj.history))}
    if record:
        own["record"] = dict(record)
    table = pyarrow.table({name: pyarrow.array(_native(obj[name])) for name in obj.columns})
    table = table.replace_schema_metadata({KEY: to_json(own).encode()})
    parquet.write_table(table, path, compression="zstd", use_dictionary=False)


def _native(values: Any) -> Any:
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))
