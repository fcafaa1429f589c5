"""Tables written as text: PYME csv, ThunderSTORM, Deep-STORM, DECODE and the SMLM challenge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations, Table
from recipes_core.data.vocabulary import name_in
from recipes_core.errors import DataError
from recipes_core.io.record_places import write_beside
from recipes_core.io.records import to_json

Columns = dict[str, npt.NDArray[Any]]
BLOCK = 100_000


def write_pyme(obj: Table, path: Path, record: Mapping[str, Any]) -> None:
    """Write a table under PYME's names; the record goes into a file beside, as other programs take no line before the header."""
    write_beside(path, record)
    _write(path, {_free(name_in("pyme", name), name, obj.columns): obj[name] for name in obj.columns})


def write_thunderstorm(obj: Localizations, path: Path, record: Mapping[str, Any]) -> None:
    """Write localizations as ThunderSTORM does: frames from 1, positions from the corner of the first pixel.

    Raises
    ------
    DataError
        Where the pixel size is not known (metadata ``voxelsize.x`` in um).
    """
    size = pixel_size(obj, "ThunderSTORM counts positions from the corner of a pixel, and the pixel size is not known.")
    columns: Columns = {"id": _from_1(obj["id"]) if "id" in obj.columns else np.arange(1, len(obj) + 1)}
    ahead = [name for name in ("frame", "x", "y", "z") if name in obj.columns]
    for name in (*ahead, *(name for name in obj.columns if name not in ahead)):
        if name == "id":
            continue
        known = "uncertainty_xy [nm]" if name == "error_x" else name_in("thunderstorm", name)
        columns[_free(known, name, obj.columns)] = _from_corner(name, obj, size)
    write_beside(path, record)
    _write(path, columns, quoted=True)


def write_deepstorm(obj: Localizations, path: Path, record: Mapping[str, Any]) -> None:
    """Write localizations as Deep-STORM does: those with a confidence as a prediction, others as truth with a first column of counts.

    Raises
    ------
    DataError
        Where the pixel size is not known (metadata ``voxelsize.x`` in um).
    """
    size = pixel_size(obj, "Deep-STORM counts positions from the corner of a pixel, and the pixel size is not known.")
    obj.require("x", "y", "frame")
    predicted = "probability" in obj.columns
    order = ("frame", "x", "y", "probability") if predicted else ("frame", "x", "y", "photons", "sigma")
    names = [name for name in order if name in obj.columns]
    names += [name for name in obj.columns if name not in names and name != "index"]
    columns: Columns = {} if predicted else {"": np.arange(1, len(obj) + 1)}
    for name in names:
        columns[_free(name_in("deepstorm", name), name, obj.columns)] = _from_corner(name, obj, size)
    write_beside(path, record)
    _write(path, columns)


def write_challenge(obj: Localizations, path: Path, record: Mapping[str, Any]) -> None:
    """Write localizations as the SMLM challenge has them: frames from 1, nm from the corner of the first pixel."""
    size = pixel_size(obj, "The SMLM challenge counts positions from the corner of a pixel, and the pixel size is not known.")
    obj.require("x", "y", "frame")
    n = len(obj)
    columns: Columns = {
        "Ground-truth": obj["id"] if "id" in obj.columns else np.arange(1, n + 1),
        "frame": _from_corner("frame", obj, size),
        "xnano": _from_corner("x", obj, size),
        "ynano": _from_corner("y", obj, size),
        "znano": obj["z"] if "z" in obj.columns else np.zeros(n),
        "intensity": obj["photons"] if "photons" in obj.columns else np.zeros(n),
    }
    write_beside(path, record)
    _write(path, columns)


def write_decode(obj: Localizations, path: Path, record: Mapping[str, Any]) -> None:
    """Write localizations as DECODE's csv, in nm: three lines of metadata, then the columns that DECODE knows."""
    from recipes_core.io.decode import CSV_COLUMNS, VERSION, emitter_meta, emitters

    data = emitters(obj)
    lines = ["DECODE EmitterSet", to_json({"version": VERSION}), to_json(emitter_meta(obj))]
    columns: Columns = {}
    for name, (source, position) in CSV_COLUMNS.items():
        values = data[source]
        columns[name] = (
            np.full(len(obj), np.nan, np.float32) if values is None else values if position is None else values[:, position]
        )
    write_beside(path, record)
    _write(path, columns, comments=lines)


def pixel_size(obj: Table, message: str) -> tuple[float, float]:
    """Pixel size (x, y) in nm of what is written, or a DataError that says how to give it."""
    x = obj.metadata.get("voxelsize.x")
    y = obj.metadata.get("voxelsize.y", x)
    if not (isinstance(x, (int, float)) and isinstance(y, (int, float)) and x > 0 and y > 0):
        raise DataError(
            message, code="D230", hint="Give it in um: -m INPUT.voxelsize.x=0.1 (recipe convert: -m voxelsize.x=0.1)."
        )
    return float(x) * 1000, float(y) * 1000


def _from_corner(name: str, obj: Table, size: tuple[float, float]) -> npt.NDArray[Any]:
    values = obj[name]
    if name == "frame":
        return values + 1
    if name in ("x", "y"):
        return np.asarray(values.astype(np.float64) + size["xy".index(name)] / 2)
    return values


def _from_1(ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Ids as ThunderSTORM counts them: a file whose first is 0 is known as Picasso's export, which counts frames from 0 as well."""
    return ids + 1 if len(ids) and ids[0] == 0 else ids


def _free(name: str, own: str, present: tuple[str, ...]) -> str:
    return own if name != own and name in present else name


def _write(path: Path, columns: Mapping[str, npt.NDArray[Any]], *, quoted: bool = False, comments: Sequence[str] = ()) -> None:
    for name, values in columns.items():
        if values.dtype.kind not in "fiub":
            raise DataError(f"column '{name}' holds {values.dtype}, which cannot be written as numbers.")
    names = _headers(columns, quoted)
    # Enough digits that reading gives back the same float32 or float64.
    formats = ["%d" if v.dtype.kind in "iub" else "%.9g" if v.dtype.itemsize <= 4 else "%.17g" for v in columns.values()]
    n = len(next(iter(columns.values()))) if columns else 0
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"# {line}\n" for line in comments)
        stream.write(",".join(names) + "\n")
        row = ",".join(formats) + "\n"
        for start in range(0, n, BLOCK):
            parts = [values[start : start + BLOCK].tolist() for values in columns.values()]
            stream.writelines(row % values for values in zip(*parts, strict=True))


def _headers(columns: Mapping[str, npt.NDArray[Any]], quoted: bool) -> list[str]:
    """The line of names; breaks of lines and other marks that text tables cannot hold in a name become spaces."""
    cleaned = [" ".join("".join(letter if letter.isprintable() else " " for letter in name).split()) for name in columns]
    read = [name.strip('"').strip() for name in cleaned]
    doubled = next((name for index, name in enumerate(read) if name in read[:index] or (not name and index)), None)
    if doubled is not None:
        raise DataError(f"a text table cannot hold two columns called '{doubled}', or one without a name.", hint="Rename them.")
    return [_header(name, quoted) for name in cleaned]


def _header(name: str, quoted: bool) -> str:
    if quoted or any(mark in name for mark in ',"'):
        return '"' + name.replace('"', '""') + '"'
    return name
