"""PYME .h5r: results of fits as a table of nested columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_core.io.hdf5_writing import created
from recipes_core.io.pyme_metadata import write_metadata
from recipes_core.io.pyme_table import BLOCK

TABLE = "FitResults"

Array = npt.NDArray[Any]

_PLACES = {
    "frame": "tIndex", "A": "fitResults_A", "x": "fitResults_x0", "y": "fitResults_y0", "z": "fitResults_z0",
    "sigma": "fitResults_sigma", "sigma_x": "fitResults_sigmax", "sigma_y": "fitResults_sigmay",
    "error_A": "fitError_A", "error_x": "fitError_x0", "error_y": "fitError_y0", "error_z": "fitError_z0",
    "error_sigma": "fitError_sigma", "error_sigma_x": "fitError_sigmax", "error_sigma_y": "fitError_sigmay",
    "result_code": "resultCode", "chi2": "nchi2",
}  # fmt: skip
"""Where PYME keeps what, `_` between the levels; the reader gives the columns their names back."""
_OWN_TOO = ("error_A", "error_sigma", "error_sigma_x", "error_sigma_y")
"""The reader leaves these under PYME's name, so they are stored under their own as well."""
_NESTED = ("fitResults_", "fitError_", "startParams_")
_SLICES = "slicesUsed_"


def write(obj: Localizations, path: Path, record: Mapping[str, Any]) -> None:
    """Write localizations as PYME's fits do, metadata beside.

    Backgrounds are in ADU in ``fitResults`` and in photons in a column of their own; columns that PYME does not know stand beside its own.

    Raises
    ------
    DataError
        Where there is no x, y or frame, or a column holds no numbers.
    """
    obj.require("x", "y", "frame")
    columns = _placed(obj)
    dtype = _nested([(tuple(parts), values.dtype) for parts, values in columns])
    with created(path) as (file, check):
        chunk = max(1, min(len(obj), 2**18 // max(1, dtype.itemsize)))
        item = file.create_dataset(
            TABLE, (len(obj),), dtype, chunks=(chunk,), maxshape=(None,), shuffle=True, compression="gzip", compression_opts=3,
            track_times=False,
        )  # fmt: skip
        for start in range(0, len(obj), BLOCK):
            stop = min(len(obj), start + BLOCK)
            rows = np.zeros(stop - start, dtype)
            for parts, values in columns:
                field = rows
                for part in parts:
                    field = field[part]
                field[...] = values[start:stop]
            item[start:stop] = rows
            check()
        write_metadata(file, obj.metadata, obj.history, record)


def _placed(obj: Localizations) -> list[tuple[list[str], Array]]:
    """Way to each field, and its values."""
    found: dict[str, Array] = {}
    for name in obj.columns:
        values = obj[name]
        if values.dtype.kind not in "fiub":
            raise DataError(f"column '{name}' holds {values.dtype}, which a PYME table cannot hold.")
        place = _PLACES.get(name, name)
        if place != name and place in obj.columns:
            place = name
        found[place] = values.astype(np.int32) if name == "frame" else values
        if name in _OWN_TOO:
            found[name] = values
    _add_background(obj, found)
    names = sorted(found, key=_rank)
    if any(name.startswith(_SLICES) for name in names):
        names += [name for name in _slices(obj, found) if name not in names]
    return [(_way(name), _stored(found[name])) for name in names]


def _add_background(obj: Localizations, found: dict[str, Array]) -> None:
    """PYME's background is what the fit found on top of what was subtracted, in ADU."""
    gain, counts = obj.metadata.get("Camera.TrueEMGain", 1), obj.metadata.get("Camera.ElectronsPerCount")
    known = isinstance(gain, (int, float)) and isinstance(counts, (int, float)) and counts > 0
    if not known or "fitResults_background" in found:
        return
    factor = np.float32(float(str(gain)) / float(str(counts)))
    pairs = (("error_background", "fitError_background"), ("subtracted_background", "subtractedBackground"))
    for name, place in pairs:
        if name in obj.columns and place not in found:
            found[place] = (obj[name] * factor).astype(np.float32)
    if "background" in obj.columns:
        total = obj["background"]
        rest = total - obj["subtracted_background"] if "subtracted_background" in obj.columns else total
        found["fitResults_background"] = (rest * factor).astype(np.float32)


def _slices(obj: Localizations, found: dict[str, Array]) -> list[str]:
    """Complete PYME's slices: a step of 1, and one plane."""
    whole = {"step": 1, "start": 0, "stop": 1}
    names = [f"{_SLICES}{axis}_{part}" for axis in "xyz" for part in ("start", "stop", "step")]
    for name in names:
        if name not in found:
            found[name] = np.full(len(obj), whole[name.rpartition("_")[2]], np.int32)
    return names


def _rank(name: str) -> int:
    order = ("tIndex", "fitResults_", "fitError_", "resultCode", _SLICES, "subtractedBackground", "nchi2")
    return next((k for k, start in enumerate(order) if name.startswith(start)), len(order))


def _way(name: str) -> list[str]:
    for prefix in _NESTED:
        if name.startswith(prefix) and len(name) > len(prefix):
            return [prefix[:-1], name[len(prefix) :]]
    parts = name.split("_")
    return parts if name.startswith(_SLICES) and len(parts) == 3 else [name]


def _nested(fields: list[tuple[tuple[str, ...], np.dtype[Any]]]) -> np.dtype[Any]:
    tree: dict[str, Any] = {}
    for way, kind in fields:
        level = tree
        for part in way[:-1]:
            level = level.setdefault(part, {})
        level[way[-1]] = kind
    return _as_dtype(tree)


def _as_dtype(tree: Mapping[str, Any]) -> np.dtype[Any]:
    return np.dtype([(name, _as_dtype(part) if isinstance(part, dict) else part) for name, part in tree.items()])


def _stored(values: Array) -> Array:
    return values.astype(np.uint8) if values.dtype.kind == "b" else values.astype(values.dtype.newbyteorder("<"), copy=False)
