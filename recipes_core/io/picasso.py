"""Picasso: .hdf5 with a table `locs`, and beside it a .yaml with one document for each step that was done.

From version 0.11 on, Picasso stores the documents in the file as well, as JSON text under `metadata`; the .yaml comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from recipes_core.data import DataObject, Localizations, Table
from recipes_core.data.vocabulary import canonical, name_in, unit_of
from recipes_core.errors import DataError, FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import Conventions
from recipes_core.io.hdf5 import answers, is_hdf5, opened, own_dataset, own_datasets, require_stored
from recipes_core.io.hdf5_writing import created
from recipes_core.io.opening import loaded
from recipes_core.io.picasso_yaml import (
    EMBEDDED,
    YAML_KEY,
    beside,
    embedded_text,
    first,
    pixel_size_of,
    read_embedded,
    read_stored_record,
    read_yaml,
    stored_metadata,
    yaml_text,
)

FORMAT = "Picasso"
TABLE = "locs"
BLOCK = 200_000
IN_PIXELS = frozenset(
    {
        "x",
        "y",
        "error_x",
        "error_y",
        "sigma_x",
        "sigma_y",
        "error_sigma_x",
        "error_sigma_y",
        "x_pick_rot",
        "y_pick_rot",
        "std_x",
        "std_y",
    }
)
"""Columns, by their name in memory, that Picasso counts in pixels."""
_UNITS = {
    "std_z": "nm", "std_frame": "frame", "photon_rate": "photon/frame", "area": "px^2", "volume": "px^3", "convexhull": "px^2",
    **{f"fitted_sigma{axis}": "nm" for axis in ("", "_x", "_y", "_z", "_major", "_minor")},
}  # fmt: skip
"""Units of columns of molecules and links; areas and volumes stay in pixels."""


class Picasso:
    """Reader of Picasso localizations: of all, of picks, and of molecules."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is HDF5 with a table of that name and pixel-based columns."""
        return is_hdf5(head) and answers(path, _holds_localizations)

    @staticmethod
    def open_content(path: Path, pixel_size: float | str | None = None, frame_base: int | str | None = None) -> FileContent:
        """The localizations, in nm.

        Parameters
        ----------
        pixel_size : float, optional
            nm; by default that of the .yaml file.
        frame_base : int, optional
            What the file calls the first frame; 0 by default.

        Raises
        ------
        FormatError
            Where the pixel size is not known; the message says how to give it.
        """
        documents, text = read_yaml(beside(path))
        with opened(path) as file:
            if not documents:
                documents, text = read_embedded(file)
            size = pixel_size_of(path, documents, pixel_size)
            item = own_dataset(file, TABLE)
            if item is None or item.ndim != 1 or not item.dtype.names:
                raise FormatError(f"{path}: '{TABLE}' is no table, or stands in another file, or its columns overlap.")
            require_stored(path, item)
            last = _last_frame(item)
            tables = [(TABLE, _columns(item.dtype), len(item))]
            for name, other in own_datasets(file):
                if name != TABLE and other.ndim == 1 and other.dtype.names and _columns(other.dtype):
                    require_stored(path, other)
                    tables.append((name, _columns(other.dtype), len(other)))
        metadata = _metadata(documents, text, size)
        conventions = Conventions(unit="px", pixel_size=(size, size)).given({"frame_base": frame_base})
        datasets = tuple(_dataset(path, name, columns, n, metadata, conventions) for name, columns, n in tables)
        yaml_file = beside(path)
        notes = _frame_notes(last, first(documents, "Frames"), conventions.frame_base)
        return FileContent(path, FORMAT, datasets, metadata, notes, (path, yaml_file) if yaml_file.is_file() else (path,))


READER = Picasso()


def _holds_localizations(file: h5py.File) -> bool:
    if not isinstance(file.get(TABLE, getlink=True), h5py.HardLink) or not isinstance(file[TABLE], h5py.Dataset):
        return False
    return {"x", "y", "frame"} <= set(file[TABLE].dtype.names or ())


def _columns(dtype: np.dtype[Any]) -> dict[str, str]:
    """Column of the file -> name in memory, for columns of numbers."""
    names = [name for name in dtype.names or () if dtype[name].kind in "fiub" and dtype[name].shape == ()]
    memory = {name: canonical(name) for name in names}
    doubled = {target for target in memory.values() if list(memory.values()).count(target) > 1}
    return {name: name if target in doubled else target for name, target in memory.items()}


def _metadata(documents: list[dict[str, Any]], text: str, size: float) -> dict[str, Any]:
    size_um = {"voxelsize.x": size / 1000, "voxelsize.y": size / 1000, "voxelsize.units": "um"}
    metadata: dict[str, Any] = {**stored_metadata(documents), **size_um}
    for key in ("Width", "Height", "Frames"):
        value = first(documents, key)
        if isinstance(value, int):
            metadata[f"Picasso.{key}"] = value
    if text:
        metadata[YAML_KEY] = text
    return metadata


def _last_frame(item: h5py.Dataset) -> float | None:
    """Frame of the last row; Picasso sorts by it. None where there is no row."""
    if not len(item) or "frame" not in item.dtype.names or item.dtype["frame"].kind not in "fiu":
        return None
    return float(item.fields("frame")[len(item) - 1])


def _frame_notes(last: float | None, frames: Any, base: int) -> tuple[str, ...]:
    if last is None or base or not isinstance(frames, int) or last < frames:
        return ()
    return (
        f"frames reach {last:g}, but the movie has {frames}, counted from 0: where they are counted from 1, give ?frame_base=1",
    )


def _dataset(
    path: Path, name: str, memory: Mapping[str, str], n: int, metadata: dict[str, Any], conventions: Conventions
) -> Dataset:  # fmt: skip
    def load() -> DataObject:
        table = kind(_load(path, name, memory, conventions), units=units)
        return loaded(table, path, FORMAT, name, metadata, conventions.told() if conventions.frame_base else None)

    units = {target: "nm" if target in IN_PIXELS else _UNITS.get(target) or unit_of(target) for target in memory.values()}
    if "z" in units and "convexhull" in units:
        units["convexhull"] = "px^3"
    kind = Localizations if name == TABLE else Table
    return Dataset(name, kind, load, columns=units, n_rows=n)


def _load(path: Path, name: str, memory: Mapping[str, str], conventions: Conventions) -> dict[str, Any]:
    """Columns in nm; each block of rows is taken apart while it is in the processor's cache."""
    assert conventions.pixel_size is not None
    size = conventions.pixel_size[0]
    with opened(path) as file:
        item = file[name]
        n = len(item)
        whole = len(memory) == len(item.dtype.names)
        # Text and references are left in the file, where they need no memory.
        source = item if whole else item.fields(list(memory))
        kinds = {known: item.dtype[column].newbyteorder("=") for column, known in memory.items()}
        scaled = {known for known in memory.values() if known in IN_PIXELS}
        kinds = {known: np.dtype(float) if known in scaled and kind.kind != "f" else kind for known, kind in kinds.items()}
        columns = {known: np.empty(n, kind) for known, kind in kinds.items()}
        rows: np.ndarray[Any, Any] = np.empty(min(n, BLOCK), item.dtype if whole else float)
        for start in range(0, n, BLOCK):
            stop = min(n, start + BLOCK)
            part: Any
            if whole:
                item.read_direct(rows, np.s_[start:stop], np.s_[: stop - start])
                part = rows[: stop - start]
            else:
                part = source[start:stop]
            for column, known in memory.items():
                target = columns[known][start:stop]
                if known in scaled:
                    with np.errstate(over="ignore", invalid="ignore"):
                        np.multiply(part[column], target.dtype.type(size), out=target)
                else:
                    target[:] = part[column]
    if conventions.frame_base and "frame" in columns:
        columns["frame"] = Conventions(frame_base=conventions.frame_base).to_memory({"frame": columns["frame"]}, path)["frame"]
    return columns


def write(obj: Localizations, path: Path, record: Mapping[str, Any]) -> None:
    """Write localizations in pixels, and the .yaml beside: what stood in it, and a document more.

    Raises
    ------
    DataError
        Where the pixel size is not known (metadata ``voxelsize.x`` in um), or frames are before 0.
    """
    size = obj.metadata.get("voxelsize.x")
    if not isinstance(size, (int, float)) or not size > 0:
        raise DataError(
            "Picasso counts in pixels, and their size is not known.", code="D230",
            hint="Give it in um: -m INPUT.voxelsize.x=0.1 (recipe convert: -m voxelsize.x=0.1).",
        )  # fmt: skip
    pixel = float(size) * 1000
    obj.require("x", "y", "frame")
    frames = obj.frames
    if len(frames) and not (frames.min() >= 0 and frames.max() < 2**32):
        raise DataError(f"Picasso counts frames from 0; these are from {frames.min()} to {frames.max()}.", code="D470")
    columns: dict[str, Any] = {}
    for name in obj.columns:
        values = obj[name]
        if values.dtype.kind not in "fiub":
            continue
        if name in IN_PIXELS:
            kind = np.float32 if values.dtype.itemsize <= 4 else np.float64
            values = (values.astype(np.float64) / pixel).astype(kind)
        known = name_in("picasso", name)
        columns[name if known != name and known in obj.columns else known] = values
    columns["frame"] = frames.astype(np.uint32)
    dtype = np.dtype([(name, values.dtype) for name, values in columns.items()])
    text = yaml_text(obj, pixel, record)
    with created(path) as (file, check):
        item = file.create_dataset(TABLE, (len(obj),), dtype, track_times=False)
        for start in range(0, len(obj), BLOCK):
            stop = min(len(obj), start + BLOCK)
            rows = np.empty(stop - start, dtype)
            for name, values in columns.items():
                rows[name] = values[start:stop]
            item[start:stop] = rows
            check()
        embedded = embedded_text(text)
        if embedded:
            file.create_dataset(EMBEDDED, data=embedded, track_times=False)
    beside(path).write_text(text, encoding="utf-8", newline="\n")


__all__ = ["READER", "TABLE", "Picasso", "read_stored_record", "write"]
