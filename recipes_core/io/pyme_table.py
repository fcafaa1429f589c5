"""PYME tables: .hdf (flat tables) and .h5r (nested results of fits)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, ImageStack, Localizations, Table, Tables
from recipes_core.data.vocabulary import canonical_names, name_in, unit_of
from recipes_core.errors import DataError, FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import Conventions
from recipes_core.io.hdf5 import is_hdf5, opened, own_datasets, require_stored
from recipes_core.io.hdf5_writing import created, write_chunks
from recipes_core.io.opening import loaded
from recipes_core.io.pyme_events import FOCUS_KEY, focus_events
from recipes_core.io.pyme_metadata import read_metadata, write_metadata
from recipes_core.io.pyme_ragged import is_ragged, ragged_dataset

FORMAT = "PYME table"
NOT_DATA = ("Events",)
BLOCK = 250_000

# What PYME's viewer makes of the results of a fit.
_FIT_ALIASES = {
    "x": "fitResults_x0", "y": "fitResults_y0", "z": "fitResults_z0", "frame": "tIndex", "A": "fitResults_A",
    "sigma": "fitResults_sigma", "sigma_x": "fitResults_sigmax", "sigma_y": "fitResults_sigmay",
    "error_x": "fitError_x0", "error_y": "fitError_y0", "error_z": "fitError_z0", "chi2": "nchi2", "result_code": "resultCode",
}  # fmt: skip

Column = tuple[tuple[str | int, ...], np.dtype[Any]]
MOST_IN_ARRAY = 32
"""Values that one column may hold in each row; each becomes a column."""


class PymeTable:
    """Reader of .hdf and .h5r."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Any HDF5 file that no more special reader has taken."""
        return is_hdf5(head)

    @staticmethod
    def open_content(path: Path, frame_base: int | str | None = None) -> FileContent:
        """The tables of the file, by name.

        Parameters
        ----------
        frame_base : int, optional
            What the file calls the first frame; 0 by default, as frames stay what the camera counted.
        """
        conventions = Conventions().given({"frame_base": frame_base})
        with opened(path) as file:
            metadata, history = read_metadata(file, path)
            focus = focus_events(file, path)
            if focus:
                metadata.setdefault(FOCUS_KEY, focus)
            datasets = list(_datasets(file, path, metadata, history))
        if not datasets:
            raise FormatError(f"{path} is an HDF5 file, but holds no table.")
        if conventions.frame_base:
            datasets = [_counted_from(dataset, conventions, path) for dataset in datasets]
        form = "PYME results (.h5r)" if any(dataset.name == "FitResults" for dataset in datasets) else FORMAT
        return FileContent(path, form, tuple(datasets), metadata)


READER = PymeTable()


def _counted_from(dataset: Dataset, conventions: Conventions, path: Path) -> Dataset:
    """Localizations whose frames count from 0; other tables stay as they are."""
    if not issubclass(dataset.kind, Localizations):
        return dataset

    def load() -> DataObject:
        locs = dataset.load()
        assert isinstance(locs, Localizations)
        return locs.with_columns(conventions.to_memory({"frame": locs["frame"]}, path), units=locs.units)

    return replace(dataset, load=load)


def _datasets(file: h5py.File, path: Path, metadata: dict[str, Any], history: tuple[Any, ...]) -> Iterator[Dataset]:
    names = []
    for name, item in own_datasets(file):
        if name in NOT_DATA:
            continue
        if item.dtype.names is None:
            if item.ndim in (2, 3) and item.dtype.kind in "fiu" and 0 not in item.shape:
                require_stored(path, item, lazy=True)
                yield _image(name, item, path, metadata)
            elif is_ragged(item):
                yield ragged_dataset(name, item, path, metadata)
            continue
        columns = _flattened(item.dtype)
        if item.ndim != 1 or not columns:
            continue
        names.append(name)
        yield _table(name, item, path, columns, _names(columns), metadata, history)
    if "FitResults" in names and "Localizations" not in names:
        item = file["FitResults"]
        columns = _flattened(item.dtype)
        mapping = {target: source for target, source in _FIT_ALIASES.items() if source in columns}
        if {"x", "y", "frame"} <= set(mapping):
            taken = {source: target for target, source in mapping.items()}
            yield _table(
                "Localizations", item, path, columns, {c: taken.get(c, c) for c in columns}, metadata, history, by_frame=True
            )


def _names(columns: Mapping[str, Column]) -> dict[str, str]:
    if "tIndex" in columns and any(name.startswith("fitResults_") for name in columns) and "x" not in columns:
        return {name: name for name in columns}  # raw results of a fit keep their names
    return canonical_names(columns)


def _table(
    name: str, item: h5py.Dataset, path: Path, columns: Mapping[str, Column], names: Mapping[str, str],
    metadata: dict[str, Any], history: tuple[Any, ...], *, by_frame: bool = False,
) -> Dataset:  # fmt: skip
    present = set(names.values())
    kind: type[Table] = Localizations if {"x", "y", "frame"} <= present else Table
    if by_frame:
        kind = Localizations
    units = {names[column]: unit_of(names[column]) for column in columns}
    source = item.name
    require_stored(path, item)

    def load() -> DataObject:
        values = {names[column]: array for column, array in _read_columns(path, source, columns).items()}
        if "frame" in values and values["frame"].dtype.kind == "f" and np.array_equal(values["frame"], np.rint(values["frame"])):
            values["frame"] = values["frame"].astype(np.int32)
        table = kind(values, units=units, history=history)
        if by_frame:
            table = table.select(np.argsort(values["frame"], kind="stable"))
        return loaded(table, path, FORMAT, name, metadata)

    return Dataset(name, kind, load, columns=units, n_rows=len(item))


def _flattened(dtype: np.dtype[Any], prefix: tuple[str | int, ...] = ()) -> dict[str, Column]:
    """Flat name -> (fields on the way, type), for numeric columns of one value a row, or a few."""
    found: dict[str, Column] = {}
    for field in dtype.names or ():
        part = dtype[field]
        if part.names is not None:
            found.update(_flattened(part, (*prefix, field)))
        elif part.shape == () and part.kind in "fiub":
            found["_".join(map(str, (*prefix, field)))] = ((*prefix, field), part)
        elif part.subdtype is not None and part.base.kind in "fiub" and len(part.shape) == 1 and part.shape[0] <= MOST_IN_ARRAY:
            for index in range(part.shape[0]):
                found["_".join(map(str, (*prefix, field, index)))] = ((*prefix, field, index), part.base)
    return found


def _read_columns(path: Path, source: str, columns: Mapping[str, Column]) -> dict[str, npt.NDArray[Any]]:
    """Contiguous columns, read block by block so that the rows need no second copy of everything."""
    with opened(path) as file:
        item = file[source]
        n = len(item)
        result = {name: np.empty(n, kind.newbyteorder("=")) for name, (_, kind) in columns.items()}
        wanted = list(dict.fromkeys(str(fields[0]) for fields, _ in columns.values()))
        # Text and references are left in the file, where they need no memory.
        source_rows = item if len(wanted) == len(item.dtype.names) else item.fields(wanted)
        for start in range(0, n, BLOCK):
            rows = source_rows[start : start + BLOCK]
            for name, (fields, _) in columns.items():
                part = rows
                for field in fields:
                    part = part[:, field] if isinstance(field, int) else part[field]
                result[name][start : start + len(rows)] = part
    return result


def _image(name: str, item: h5py.Dataset, path: Path, metadata: dict[str, Any]) -> Dataset:
    source = item.name
    frames, nx, ny = item.shape if item.ndim == 3 else (1, *item.shape)
    shape = (frames, 1, ny, nx)

    def load() -> DataObject:
        from recipes_core.io.pyme_image import PymeFrames

        return loaded(ImageStack(PymeFrames(path, source)), path, FORMAT, name, metadata)

    return Dataset(name, ImageStack, load, shape=shape, dtype=str(item.dtype))


def write(obj: Table | Tables, path: Path, record: Mapping[str, Any]) -> None:
    """Write flat tables under PYME's names; one that is no localizations is called after the key in `record`."""
    if isinstance(obj, Tables):
        tables = {name.replace("/", "_"): table for name, table in obj.tables.items()}
    else:
        named = isinstance(obj, Localizations)
        tables = {"Localizations" if named else str(record.get("key") or "Table").replace("/", "_"): obj}
    with created(path) as (file, check):
        for name, table in tables.items():
            _write_table(file, check, name, table)
        write_metadata(file, obj.metadata, obj.history, record)


def _write_table(file: h5py.File, check: Callable[[], None], name: str, obj: Table) -> None:
    columns = {_pyme_name(column, obj.columns): obj[column] for column in obj.columns}
    if not columns:
        raise DataError("a table without columns cannot be written.")
    for column, values in columns.items():
        if values.dtype.kind not in "fiub":
            raise DataError(f"column '{column}' holds {values.dtype}, which a PYME table cannot hold.")
    dtype = np.dtype([(column, _stored(values.dtype)) for column, values in columns.items()])
    chunk = max(1, min(len(obj), 2**18 // max(1, dtype.itemsize)))
    item = file.create_dataset(
        name, (len(obj),), dtype, chunks=(chunk,), maxshape=(None,), shuffle=True, compression="gzip", compression_opts=1,
        track_times=False,
    )  # fmt: skip

    def rows(start: int) -> npt.NDArray[Any]:
        # The last chunk is stored at full length.
        part = np.zeros(chunk, dtype)
        for column, values in columns.items():
            there = values[start : start + chunk]
            part[column][: len(there)] = there
        return part

    write_chunks(item, ((start,) for start in range(0, len(obj), chunk)), lambda place: rows(place[0]), check)


def _pyme_name(column: str, present: tuple[str, ...]) -> str:
    name = name_in("pyme", column)
    # A column of that very name stays what it is; then ours keeps its own.
    return column if name != column and name in present else name


def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("<")
