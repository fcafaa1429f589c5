"""DECODE emitter sets: .h5 with the groups data, meta and decode, read and written; its csv shares the columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, Localizations
from recipes_core.data.vocabulary import unit_of
from recipes_core.errors import FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import Columns, Conventions, no_pixel_size, times
from recipes_core.io.hdf5 import answers, is_hdf5, opened, own_attribute, own_dataset, require_stored
from recipes_core.io.hdf5_writing import created
from recipes_core.io.opening import loaded
from recipes_core.io.pyme_metadata import read_metadata, write_metadata

FORMAT = "DECODE h5"
VERSION = "0.10.0"
EXTRA = "columns"
"""Group of columns that DECODE does not know; it passes over it."""

# Column of the csv -> dataset of the h5 and position in it.
CSV_COLUMNS: dict[str, tuple[str, int | None]] = {
    "x": ("xyz", 0), "y": ("xyz", 1), "z": ("xyz", 2), "phot": ("phot", None), "frame_ix": ("frame_ix", None), "id": ("id", None),
    "prob": ("prob", None), "bg": ("bg", None), "phot_cr": ("phot_cr", None), "bg_cr": ("bg_cr", None), "phot_sig": ("phot_sig", None),
    "bg_sig": ("bg_sig", None), "x_cr": ("xyz_cr", 0), "y_cr": ("xyz_cr", 1), "z_cr": ("xyz_cr", 2), "x_sig": ("xyz_sig", 0),
    "y_sig": ("xyz_sig", 1), "z_sig": ("xyz_sig", 2),
}  # fmt: skip
# Dataset and position -> name in memory; the bounds of Cramer and Rao are variances and keep their names.
MEMORY: dict[tuple[str, int | None], str] = {
    ("xyz", 0): "x", ("xyz", 1): "y", ("xyz", 2): "z", ("phot", None): "photons", ("frame_ix", None): "frame", ("id", None): "id",
    ("prob", None): "probability", ("bg", None): "background", ("xyz_sig", 0): "error_x", ("xyz_sig", 1): "error_y",
    ("xyz_sig", 2): "error_z", ("phot_sig", None): "error_photons", ("bg_sig", None): "error_background",
    ("xyz_cr", 0): "x_cr", ("xyz_cr", 1): "y_cr", ("xyz_cr", 2): "z_cr", ("phot_cr", None): "phot_cr", ("bg_cr", None): "bg_cr",
}  # fmt: skip
VARIANCES = {"x_cr": "nm^2", "y_cr": "nm^2", "z_cr": "nm^2", "phot_cr": "photon^2", "bg_cr": "photon^2"}


class Decode:
    """Reader of DECODE emitter sets."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is HDF5 with data/xyz and data/frame_ix."""
        return is_hdf5(head) and answers(path, _holds_emitters)

    @staticmethod
    def open_content(
        path: Path,
        pixel_size: float | str | None = None,
        unit: str | None = None,
        frame_base: int | str | None = None,
        swap_xy: str | None = None,
    ) -> FileContent:
        """The emitters, in nm.

        Parameters
        ----------
        pixel_size : float, optional
            nm; by default what the file says.
        unit : str, optional
            Of x and y; by default what the file says.
        frame_base : int, optional
            What the file calls the first frame; 0 by default.
        swap_xy : str, optional
            ``1`` where x counts along the rows of the images as tifffile and others read them.
        """
        with opened(path) as file:
            found = _datasets(file, path)
            conventions, metadata = _meta(file)
            own, history = read_metadata(file, path)
            n = len(file[found["x"][0]])
        conventions = conventions.given({"pixel_size": pixel_size, "unit": unit, "frame_base": frame_base, "swap_xy": swap_xy})
        if conventions.unit == "px" and conventions.pixel_size is None:
            raise no_pixel_size(path)
        if conventions.pixel_size is not None:
            x, y = conventions.pixel_size
            metadata |= {"voxelsize.x": x / 1000, "voxelsize.y": y / 1000, "voxelsize.units": "um"}
        metadata = {**own, **metadata}
        units = {name: VARIANCES.get(name, unit_of(name)) for name in found}

        def load() -> DataObject:
            columns = _read(path, found)
            for name, axis in (("x_cr", "x"), ("y_cr", "y")):
                if name in columns:
                    columns[name] = times(columns[name], conventions.factor(conventions.unit, axis, path) ** 2)
            table = Localizations(conventions.to_memory(columns, path), units=units, history=history)
            return loaded(table, path, FORMAT, metadata=metadata, told=conventions.told())

        note = "DECODE calls the first axis of an image x; where that is the row of your movie, give ?swap_xy=1"
        notes = () if conventions.swap_xy or own else (note,)
        return FileContent(path, FORMAT, (Dataset("", Localizations, load, columns=units, n_rows=n),), metadata, notes)


READER = Decode()


def _holds_emitters(file: h5py.File) -> bool:
    data = _group(file, "data")
    return data is not None and "xyz" in data and "frame_ix" in data


def _group(file: h5py.Group, name: str) -> h5py.Group | None:
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return None
    item = file[name]
    return item if isinstance(item, h5py.Group) else None


def _datasets(file: h5py.File, path: Path) -> dict[str, tuple[str, int | None]]:
    """Name in memory -> dataset and column in it."""
    group = _group(file, "data")
    n: int | None = None
    found: dict[str, tuple[str, int | None]] = {}
    for (name, position), memory in MEMORY.items():
        item = own_dataset(group, name) if group is not None and name in group else None
        if item is None or item.shape is None:
            continue  # DECODE leaves out what is not known
        if (
            item.dtype.kind not in "fiub"
            or item.ndim != (1 if position is None else 2)
            or (position is not None and item.shape[1] != 3)
        ):
            raise FormatError(f"{path}: data/{name} is no column of emitters.")
        n = len(item) if n is None else n
        if len(item) != n:
            raise FormatError(f"{path}: data/{name} has {len(item)} rows, others {n}.")
        require_stored(path, item)
        found[memory] = (item.name, position)
    if "x" not in found or "frame" not in found:
        raise FormatError(f"{path}: data/xyz or data/frame_ix cannot be read.")
    extra = _group(file, EXTRA)
    for name in extra if extra is not None else ():
        assert extra is not None
        item = own_dataset(extra, name)
        if item is not None and item.shape == (n,) and item.dtype.kind in "fiub" and name not in found:
            require_stored(path, item)
            found[name] = (item.name, None)
    return found


def _meta(file: h5py.File) -> tuple[Conventions, dict[str, Any]]:
    group = _group(file, "meta")
    values = {} if group is None else {name: own_attribute(group, name) for name in ("xy_unit", "px_size")}
    unit = values.get("xy_unit")
    unit = unit.decode() if isinstance(unit, bytes) else unit
    size = np.asarray(values.get("px_size", ()))
    pair = None
    if size.shape == (2,) and size.dtype.kind in "fiu" and (size > 0).all() and np.isfinite(size).all():
        pair = (float(size[0]), float(size[1]))
    return Conventions(unit="px" if unit in (None, "px") else "nm", pixel_size=pair), {}


def _read(path: Path, found: Mapping[str, tuple[str, int | None]]) -> Columns:
    columns: Columns = {}
    with opened(path) as file:
        blocks: dict[str, npt.NDArray[Any]] = {}
        for name, (source, position) in found.items():
            if source not in blocks:
                blocks[source] = file[source][:]
            values = blocks[source]
            columns[name] = values if position is None else np.ascontiguousarray(values[:, position])
    return columns


def emitter_meta(obj: Localizations) -> dict[str, Any]:
    """What DECODE wants to know of the coordinates: nm, and the pixel size where it is known."""
    x, y = (obj.metadata.get(f"voxelsize.{axis}") for axis in "xy")
    known = isinstance(x, (int, float)) and isinstance(y, (int, float)) and x > 0 and y > 0
    # DECODE's own reader takes no missing size.
    return {"xy_unit": "nm", "px_size": [float(x) * 1000, float(y) * 1000] if known and x and y else [1.0, 1.0]}


def emitters(obj: Localizations) -> dict[str, npt.NDArray[Any] | None]:
    """Localizations as DECODE's datasets; None where nothing is known."""
    obj.require("x", "y", "frame")
    data: dict[str, npt.NDArray[Any] | None] = {}
    n = len(obj)
    for name in dict.fromkeys(source for source, _ in MEMORY):
        parts = [memory for (source, _), memory in MEMORY.items() if source == name]
        if len(parts) == 3:
            present = any(part in obj.columns for part in parts)
            fill = np.zeros(n, np.float32) if name == "xyz" else np.full(n, np.nan, np.float32)
            data[name] = np.stack([_float32(obj, part, fill) for part in parts], axis=1) if present else None
        elif name in ("frame_ix", "id"):
            data[name] = obj.frames if name == "frame_ix" else _whole(obj, n)
        else:
            fill = np.ones(n, np.float32) if name == "prob" else np.full(n, np.nan, np.float32)
            needed = name in ("phot", "prob", "bg")
            data[name] = _float32(obj, parts[0], fill) if needed or parts[0] in obj.columns else None
    return data


def _float32(obj: Localizations, name: str, fill: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return obj[name].astype(np.float32) if name in obj.columns else fill


def _whole(obj: Localizations, n: int) -> npt.NDArray[np.int64]:
    """Ids as whole numbers; -1, as DECODE has it, where they are none that 64 bits hold."""
    if "id" in obj.columns:
        values = obj["id"]
        if values.dtype.kind == "f":
            exact = values.astype(np.float64)
            fits = bool((np.abs(exact) < 2**63).all() and np.array_equal(exact, np.rint(exact)))
        else:
            fits = values.dtype != np.uint64 or not len(values) or int(values.max()) < 2**63
        if fits:
            return values.astype(np.int64)
    return np.full(n, -1, np.int64)


def write(obj: Localizations, path: Path, record: Mapping[str, Any]) -> None:
    """Write localizations as DECODE does, in nm; columns that it does not know stand in a group of their own."""
    data = emitters(obj)
    meta = emitter_meta(obj)
    with created(path) as (file, _):
        group = file.create_group("meta")
        group.attrs["xy_unit"] = meta["xy_unit"]
        group.attrs["px_size"] = np.asarray(meta["px_size"], np.float32)
        file.create_group("decode").attrs["version"] = VERSION
        group = file.create_group("data")
        for name, values in data.items():
            _put(group, name, values)
        others = [
            name for name in obj.columns if name not in MEMORY.values() and obj[name].dtype.kind in "fiub" and _storable(name)
        ]
        if others:
            group = file.create_group(EXTRA)
            for name in others:
                values = obj[name]
                _put(group, name, values.astype(np.uint8) if values.dtype.kind == "b" else values)
        write_metadata(file, obj.metadata, obj.history, record)


def _storable(name: str) -> bool:
    return bool(name) and "/" not in name and "\0" not in name and name != "."


def _put(group: h5py.Group, name: str, values: npt.NDArray[Any] | None) -> None:
    if values is None:
        group.create_dataset(name, data=h5py.Empty("f4"))
    else:
        group.create_dataset(name, data=values, track_times=False)
