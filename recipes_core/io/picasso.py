"""Picasso: .hdf5 with a table `locs`, and beside it a .yaml with one document for each step that was done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from recipes_core.data import DataObject, Localizations
from recipes_core.data.vocabulary import canonical, name_in, unit_of
from recipes_core.errors import DataError, FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.hdf5 import is_hdf5, opened
from recipes_core.io.hdf5_writing import created
from recipes_core.io.opening import loaded
from recipes_core.io.records import from_json, history_to_json, to_json

FORMAT = "Picasso"
TABLE = "locs"
IN_PIXELS = ("x", "y", "error_x", "error_y", "sigma_x", "sigma_y")
YAML_KEY = "Picasso.yaml"
RECORD = "Record"
MOST_YAML = 10 * 2**20


class Picasso:
    """Reader of Picasso localizations."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is HDF5 with a table of that name and pixel-based columns."""
        if not is_hdf5(head):
            return False
        try:
            with h5py.File(path, "r") as file:
                item = file.get(TABLE)
                return isinstance(item, h5py.Dataset) and {"x", "y", "frame"} <= set(item.dtype.names or ())
        except (OSError, RuntimeError, TypeError):
            return False

    @staticmethod
    def open_content(path: Path, pixel_size: float | str | None = None) -> FileContent:
        """The localizations, in nm.

        Parameters
        ----------
        pixel_size : float, optional
            nm; by default that of the .yaml file.
        """
        documents, text = _read_yaml(_beside(path))
        size = _pixel_size(path, documents, pixel_size)
        metadata: dict[str, Any] = {"voxelsize.x": size / 1000, "voxelsize.y": size / 1000, "voxelsize.units": "um"}
        for key in ("Width", "Height", "Frames"):
            value = _first(documents, key)
            if isinstance(value, int):
                metadata[f"Picasso.{key}"] = value
        if text:
            metadata[YAML_KEY] = text
        with opened(path) as file:
            item = file[TABLE]
            names = [name for name in item.dtype.names if item.dtype[name].kind in "fiub" and item.dtype[name].shape == ()]
            n = len(item)
        memory = {name: canonical(name) for name in names}

        def load() -> DataObject:
            return loaded(_load(path, memory, size), path, FORMAT, TABLE, metadata)

        units = {memory[name]: unit_of(memory[name]) for name in names}
        dataset = Dataset(TABLE, Localizations, load, columns=units, n_rows=n)
        beside = _beside(path)
        return FileContent(path, FORMAT, (dataset,), metadata, files=(path, beside) if beside.is_file() else (path,))


READER = Picasso()


def _load(path: Path, memory: Mapping[str, str], size: float) -> Localizations:
    with opened(path) as file:
        rows = file[TABLE][:]
    columns = {}
    for name, known in memory.items():
        values = np.ascontiguousarray(rows[name])
        columns[known] = values * values.dtype.type(size) if known in IN_PIXELS and values.dtype.kind == "f" else values
        if known in IN_PIXELS and values.dtype.kind != "f":
            columns[known] = values * size
    return Localizations(columns)


def read_stored_record(path: Path) -> Any:
    """The record in the last document of the .yaml beside; earlier documents tell of earlier steps."""
    beside = _beside(path)
    if not beside.is_file() or beside.stat().st_size > MOST_YAML:
        return None
    last = re.split(r"^---[^\S\n]*$", beside.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)[-1]
    try:
        document = yaml.safe_load(last)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    text = document.get(RECORD) if isinstance(document, dict) else None
    return from_json(text) if isinstance(text, str) else None


def _beside(path: Path) -> Path:
    return path.with_suffix(".yaml")


def _read_yaml(path: Path) -> tuple[list[dict[str, Any]], str]:
    if not path.is_file():
        return [], ""
    try:
        if path.stat().st_size > MOST_YAML:
            raise FormatError(f"{path} is too large for a Picasso metadata file.")
        text = path.read_text(encoding="utf-8", errors="replace")
        found = [document for document in yaml.safe_load_all(text) if isinstance(document, dict)]
    except (yaml.YAMLError, RecursionError) as error:
        raise FormatError(f"{path} is no YAML that can be read: {str(error).splitlines()[0]}") from error
    return found, text


def _first(documents: list[dict[str, Any]], key: str) -> Any:
    return next((document[key] for document in documents if key in document), None)


def _pixel_size(path: Path, documents: list[dict[str, Any]], given: float | str | None) -> float:
    value = given if given is not None else _first(documents, "Pixelsize")
    try:
        size = float(value) if value is not None else np.nan
    except (TypeError, ValueError):
        size = np.nan
    if not (np.isfinite(size) and size > 0):
        where = "has no 'Pixelsize'" if documents else "is missing"
        raise FormatError(
            f"{path} counts in pixels, and their size is not known: {_beside(path).name} {where}.",
            code="D230",
            hint=f"Give it in nm: {path.name}?pixel_size=130.",
        )
    return size


def write(obj: Localizations, path: Path, record: Mapping[str, Any]) -> None:
    """Write localizations in pixels, and the .yaml beside.

    Raises
    ------
    DataError
        Where the pixel size is not known (metadata ``voxelsize.x`` in um).
    """
    size = obj.metadata.get("voxelsize.x")
    if not isinstance(size, (int, float)) or not size > 0:
        raise DataError("Picasso counts in pixels, and their size is not known.", hint="Give it in um: -m INPUT.voxelsize.x=0.1.")
    pixel = float(size) * 1000
    obj.require("x", "y", "frame")
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
    columns["frame"] = obj.frames.astype(np.uint32)
    dtype = np.dtype([(name, values.dtype) for name, values in columns.items()])
    rows = np.empty(len(obj), dtype)
    for name, values in columns.items():
        rows[name] = values
    with created(path) as (file, _):
        file.create_dataset(TABLE, data=rows, track_times=False)
    _beside(path).write_text(_yaml(obj, pixel, record), encoding="utf-8", newline="\n")


def _yaml(obj: Localizations, pixel: float, record: Mapping[str, Any]) -> str:
    earlier = str(obj.metadata.get(YAML_KEY, ""))
    own: dict[str, Any] = {"Generated by": "smlm-recipes", "Pixelsize": pixel, "History": history_to_json(obj.history)}
    if record:
        own[RECORD] = to_json(record)
    if not earlier:
        frames = obj.frames
        x, y = obj["x"], obj["y"]
        own |= {
            "Frames": int(obj.metadata.get("Picasso.Frames", frames.max() + 1 if len(frames) else 0)),
            "Width": int(obj.metadata.get("Picasso.Width", np.nanmax(x) / pixel + 1 if len(x) else 1)),
            "Height": int(obj.metadata.get("Picasso.Height", np.nanmax(y) / pixel + 1 if len(y) else 1)),
        }
    text = yaml.safe_dump(own, sort_keys=False, allow_unicode=True)
    return f"{earlier.rstrip()}\n---\n{text}" if earlier else text
