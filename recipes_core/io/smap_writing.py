"""Writes localizations as SMAP's _sml.mat: a MATLAB 7.3 file, which is HDF5 behind a header of 512 bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_core.io.hdf5_writing import created
from recipes_core.io.pyme_metadata import write_metadata

NAMES: Mapping[str, str] = {
    "x": "xnm", "y": "ynm", "z": "znm", "frame": "frame", "photons": "phot", "background": "bg", "sigma_x": "PSFxnm", "sigma_y": "PSFynm",
    "error_x": "xnmerr", "error_y": "ynmerr", "error_z": "zerr", "error_photons": "photerr", "log_likelihood": "logLikelihood",
}  # fmt: skip
"""Column in memory -> field of SMAP."""
# No date: the same table gives the same bytes.
_TEXT = b"MATLAB 7.3 MAT-file, Platform: smlm-recipes, HDF5 schema 1.00 ."
HEADER = _TEXT.ljust(116) + bytes(8) + b"\x00\x02IM" + bytes(384)
_CLASSES = {"f4": "single", "f8": "double"}


def write(obj: Localizations, path: Path, record: Mapping[str, Any]) -> None:
    """Write localizations under SMAP's names: frames from 1, lengths in nm, `locprecnm` the mean of the errors of x and y.

    Columns whose names are no words of MATLAB are left out.
    """
    obj.require("x", "y", "frame")
    columns = _columns(obj)
    with created(path, HEADER) as (file, _):
        saved = _struct(file, "saveloc", ("loc", "file"))
        loc = _struct(saved, "loc", tuple(columns))
        for name, values in columns.items():
            _put(loc, name, values)
        about = _struct(_struct(saved, "file", ("info",)), "info", ("cam_pixelsize_um",) if _pixel(obj) is not None else ())
        if (pixel := _pixel(obj)) is not None:
            _put(about, "cam_pixelsize_um", pixel)
        write_metadata(file, obj.metadata, obj.history, record)


def _columns(obj: Localizations) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    for name in obj.columns:
        values = obj[name]
        if values.dtype.kind not in "fiub" or values.dtype.itemsize > 8:
            continue
        # One width stands for both, as SMAP has two.
        targets = ("PSFxnm", "PSFynm") if name == "sigma" and "sigma_x" not in obj.columns else (NAMES.get(name, name),)
        for target in targets:
            if _is_field(target) and target not in found:
                found[target] = values + 1.0 if name == "frame" else values
    if "locprecnm" not in found and "xnmerr" in found and "ynmerr" in found:
        found["locprecnm"] = (found["xnmerr"] + found["ynmerr"]) / 2
    return found


def _is_field(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not name.startswith("_") and len(name) <= 63


def _pixel(obj: Localizations) -> npt.NDArray[np.float64] | None:
    x, y = (obj.metadata.get(f"voxelsize.{axis}") for axis in "xy")
    known = all(isinstance(value, (int, float)) and value > 0 for value in (x, y))
    return np.array([x, y], np.float64) if known else None


def _struct(parent: h5py.Group, name: str, fields: tuple[str, ...]) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["MATLAB_class"] = np.bytes_(b"struct")
    if fields:
        letters = np.empty(len(fields), object)
        for index, field in enumerate(fields):
            letters[index] = np.array([letter.encode() for letter in field], "S1")
        group.attrs.create("MATLAB_fields", letters, dtype=h5py.vlen_dtype(np.dtype("S1")))
    return group


def _put(group: h5py.Group, name: str, values: npt.NDArray[Any]) -> None:
    """A column of MATLAB, which HDF5 sees as a row."""
    stored = values.astype(np.uint8) if values.dtype.kind == "b" else values.astype(values.dtype.newbyteorder("<"), copy=False)
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if len(stored) > 1000 else {}
    item = group.create_dataset(
        name, data=stored.reshape(1, -1) if name != "cam_pixelsize_um" else stored.reshape(-1, 1), track_times=False, **packed
    )
    item.attrs["MATLAB_class"] = np.bytes_(_CLASSES.get(stored.dtype.str[1:], stored.dtype.name).encode())
