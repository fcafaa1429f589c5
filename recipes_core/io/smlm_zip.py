"""The .smlm format (github.com/imodpasteur/smlm-file-format): a zip with manifest.json and binary or text tables, read and written."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, Localizations, Table
from recipes_core.data.vocabulary import canonical_names, unit_of
from recipes_core.errors import DataError, FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import PIXELS, TO_NM, Columns, Conventions
from recipes_core.io.opening import loaded
from recipes_core.io.records import from_json, history_from_json, history_to_json, to_json

FORMAT = ".smlm"
MANIFEST = "manifest.json"
OWN = "smlm-recipes"
MOST_MANIFEST = 16 * 2**20
MOST_FILES = 10_000
LARGE = 256 * 2**20
MOST_COMPRESSED = 200
_TYPES = {
    "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4", "int64": "<i8", "uint64": "<u8",
    "float32": "<f4", "float64": "<f8", "double": "<f8", "float": "<f4",
}  # fmt: skip


class SmlmZip:
    """Reader of .smlm files."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is a zip that holds manifest.json."""
        if not head.startswith(b"PK\x03\x04"):
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                return MANIFEST in archive.namelist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            # Cut off: the manifest most often comes first.
            return head[30 : 30 + len(MANIFEST)] == MANIFEST.encode()

    @staticmethod
    def open_content(
        path: Path, pixel_size: float | str | None = None, unit: str | None = None, frame_base: int | str | None = None
    ) -> FileContent:
        """The tables of the archive; images in it are left out.

        Parameters
        ----------
        pixel_size : float, optional
            nm, where the file counts in pixels.
        unit : str, optional
            Of lengths in the plane, where the file says none: nm, um, px.
        frame_base : int, optional
            What the file calls the first frame.
        """
        manifest, members = _manifest(path)
        options = {"pixel_size": pixel_size, "unit": unit, "frame_base": frame_base}
        datasets, notes = [], []
        files, formats = manifest.get("files"), manifest.get("formats")
        if not isinstance(files, list) or not isinstance(formats, dict):
            raise FormatError(f"{path}: the manifest names no files or formats.")
        for entry in files:
            if not isinstance(entry, dict) or not isinstance(form := formats.get(str(entry.get("format"))), dict):
                raise FormatError(f"{path}: the manifest is damaged: a file has no format.")
            if "table" not in (entry.get("type"), form.get("type")):
                notes.append(f"'{str(entry.get('name'))[:60]}' is no table; it is left out")
                continue
            datasets.append(_dataset(path, entry, form, members, options, manifest, single=len(files) == 1))
        if not datasets:
            raise FormatError(f"{path} holds no table.")
        return FileContent(path, FORMAT, tuple(datasets), _metadata(manifest), tuple(notes))

    @staticmethod
    def read_record(path: Path) -> Any:
        """The record that `write` stored."""
        manifest, _ = _manifest(path)
        return manifest.get(OWN, {}).get("record") if isinstance(manifest.get(OWN), dict) else None


READER = SmlmZip()


def _manifest(path: Path) -> tuple[dict[str, Any], dict[str, zipfile.ZipInfo]]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > MOST_FILES:
                raise FormatError(f"{path} holds {len(infos)} files; that is no table of localizations.")
            for info in infos:
                _check_name(path, info.filename)
            members = {info.filename: info for info in infos}
            if MANIFEST not in members:
                raise FormatError(f"{path} holds no {MANIFEST}.")
            content = _member(path, archive, members[MANIFEST], MOST_MANIFEST)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError, zlib.error, ValueError) as error:
        raise FormatError(f"{path} is damaged or cut off: {error}") from error
    try:
        manifest = json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: {MANIFEST} is no JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise FormatError(f"{path}: {MANIFEST} is no manifest.")
    return manifest, members


def _check_name(path: Path, name: str) -> None:
    # Nothing is unpacked to the disk; an archive with such names is hostile all the same.
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")) or ":" in name.split("/", maxsplit=1)[0]:
        raise FormatError(
            f"{path} holds a file called '{name[:60]}', which leads out of the archive; it is refused.", code="D211"
        )


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    if info.file_size > most or (info.file_size > LARGE and info.file_size > MOST_COMPRESSED * max(1, info.compress_size)):
        raise FormatError(
            f"{path}: '{info.filename[:60]}' would unpack from {info.compress_size} to {info.file_size} bytes; it is refused.",
            code="D211",
        )
    with archive.open(info) as stream:
        content = stream.read(info.file_size + 1)
    if len(content) > info.file_size:
        raise FormatError(f"{path}: '{info.filename[:60]}' is larger than it says; it is refused.", code="D211")
    return content


def _texts(form: Mapping[str, Any], key: str, n: int | None = None, fill: str = "") -> list[str]:
    found = form.get(key)
    texts = [str(item) for item in found] if isinstance(found, list) else []
    return texts if n is None else (texts + [fill] * n)[:n]


def _dataset(
    path: Path, entry: Mapping[str, Any], form: Mapping[str, Any], members: Mapping[str, zipfile.ZipInfo], options: Mapping[str, Any],
    manifest: Mapping[str, Any], *, single: bool,
) -> Dataset:  # fmt: skip
    headers = _texts(form, "headers")
    if not all(headers) or not 0 < len(headers) <= 2000 or len(set(headers)) < len(headers):
        raise FormatError(f"{path}: a table has no columns, too many, two of one name, or one without.")
    info = members.get(str(entry.get("name")))
    if info is None:
        raise FormatError(f"{path}: the manifest names '{str(entry.get('name'))[:60]}', which the archive does not hold.")
    n = _count(path, entry.get("rows"))
    binary = str(form.get("mode", "binary")).lower() == "binary"
    row = _row_type(path, form, headers) if binary else None
    if row is not None and n * row.itemsize > info.file_size:
        raise FormatError(f"{path}: '{info.filename}' holds {info.file_size} bytes, too few for {n} rows.")
    plain = {name: name.replace("x_position", "x").replace("y_position", "y").replace("z_position", "z") for name in headers}
    plain = {name: base if list(plain.values()).count(base) == 1 else name for name, base in plain.items()}
    known = canonical_names([base.replace("_0_0", "-0-0").replace("uncertainty_xy", "uncertainty_x") for base in plain.values()])
    names = {name: known[base.replace("_0_0", "-0-0").replace("uncertainty_xy", "uncertainty_x")] for name, base in plain.items()}
    lengths, units = _units(headers, _texts(form, "units", len(headers)), names)
    conventions = Conventions(units=lengths).given(options)
    own = manifest.get(OWN)
    own = own if isinstance(own, dict) else {}
    history = history_from_json(to_json(own.get("history")))
    kind = Localizations if {"x", "y", "frame"} <= set(units) else Table

    def load() -> DataObject:
        raw = (
            _read_binary(path, info, row, n)
            if row is not None
            else _read_text(path, info, headers, str(form.get("delimiter", ",")))
        )
        values = {names[name]: raw[name] for name in headers}
        table = kind(conventions.to_memory(values, path), units=units, history=history)
        return loaded(table, path, FORMAT, metadata=_metadata(manifest), told=conventions.told())

    name = "" if single else info.filename.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return Dataset(name, kind, load, columns=units, n_rows=n)


def _count(path: Path, value: Any) -> int:
    try:
        n = int(value)
    except (TypeError, ValueError, OverflowError):
        n = -1
    if not 0 <= n < 2**40:
        raise FormatError(f"{path}: a table says that it has {str(value)[:40]} rows.")
    return n


def _row_type(path: Path, form: Mapping[str, Any], headers: Sequence[str]) -> np.dtype[Any]:
    types, shapes = _texts(form, "dtype"), _texts(form, "shape", len(headers), "1")
    if (
        len(types) != len(headers)
        or any(kind not in _TYPES for kind in types)
        or any(shape not in ("1", "[1]", "") for shape in shapes)
    ):
        raise FormatError(f"{path}: the types of the columns are missing or not known ({', '.join(types)[:80]}).")
    return np.dtype([(name, _TYPES[kind]) for name, kind in zip(headers, types, strict=True)])


def _units(headers: Sequence[str], told: Sequence[str], names: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Units of lengths in the file, and of all columns in memory."""
    lengths, units = {}, {}
    for header, unit in zip(headers, told, strict=True):
        name, plain = names[header], unit.strip().lower()
        units[name] = unit_of(name) or unit
        if plain in PIXELS or (plain in TO_NM and plain not in ("nm", "nanometer")):
            lengths[name] = "px" if plain in PIXELS else plain
            units[name] = "nm"
    return lengths, units


def _content(path: Path, info: zipfile.ZipInfo) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return _member(path, archive, info, 2**40)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError, zlib.error, ValueError) as error:
        raise FormatError(f"{path}: '{info.filename}' cannot be read: {error}") from error


def _read_binary(path: Path, info: zipfile.ZipInfo, row: np.dtype[Any], n: int) -> dict[str, npt.NDArray[Any]]:
    rows = np.frombuffer(_content(path, info), row, count=n)
    return {name: np.ascontiguousarray(rows[name]) for name in row.names or ()}


def _read_text(path: Path, info: zipfile.ZipInfo, headers: Sequence[str], delimiter: str) -> dict[str, npt.NDArray[Any]]:
    text = _content(path, info).decode("utf-8-sig", "replace")
    lines = [line for line in io.StringIO(text) if not line.isspace()]
    if lines and not lines[0].lstrip()[:1].isdecimal() and lines[0].lstrip()[:1] not in ("-", "+", "."):
        lines = lines[1:]
    try:
        rows = np.loadtxt(lines, delimiter=delimiter[:1] or ",", ndmin=2, comments=None) if lines else np.empty((0, len(headers)))
        if rows.shape[1] != len(headers):
            raise ValueError(f"{rows.shape[1]} values for {len(headers)} columns")
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path}: '{info.filename}' is no table of numbers: {error}") from error
    return {name: np.ascontiguousarray(rows[:, index]) for index, name in enumerate(headers)}


def _metadata(manifest: Mapping[str, Any]) -> dict[str, Any]:
    own = manifest.get(OWN)
    if isinstance(own, dict) and isinstance(own.get("metadata"), dict):
        return dict(own["metadata"])
    told = {key: manifest.get(key) for key in ("name", "description", "sample", "labeling", "date", "author", "citation")}
    return {f"SMLM.{key}": value for key, value in told.items() if isinstance(value, str) and value}


_NAMES = {"x": "x", "y": "y", "z": "z", "frame": "frame", "photons": "intensity", "background": "background"}


def write(obj: Table, path: Path, record: Mapping[str, Any]) -> None:
    """Write one binary table and its manifest; the same table gives the same bytes."""
    columns: Columns = {}
    for name in obj.columns:
        values = obj[name]
        if values.dtype.kind not in "fiub":
            raise DataError(f"column '{name}' holds {values.dtype}, which cannot be written as numbers.")
        values = _storable(values)
        known = _NAMES.get(name, name)
        columns[name if known != name and known in obj.columns else known] = values.astype(
            values.dtype.newbyteorder("<"), copy=False
        )
    if not columns:
        raise DataError("a table without columns cannot be written.")
    row = np.dtype([(name, values.dtype) for name, values in columns.items()])
    rows = np.empty(len(obj), row)
    for name, values in columns.items():
        rows[name] = values
    form = {
        "name": "smlm-table(binary)-0", "type": "table", "mode": "binary", "extension": ".bin", "description": "localizations",
        "columns": len(columns), "headers": list(columns), "dtype": [values.dtype.name for values in columns.values()],
        "shape": [1] * len(columns), "units": [_unit(obj, name) for name in obj.columns],
    }  # fmt: skip
    entry = {
        "name": "table-0.bin", "type": "table", "format": form["name"], "channel": "default", "rows": len(obj),
        "offset": dict.fromkeys(columns, 0),
        "min": {name: _extreme(values, np.nanmin) for name, values in columns.items()},
        "max": {name: _extreme(values, np.nanmax) for name, values in columns.items()},
    }  # fmt: skip
    own: dict[str, Any] = {"metadata": obj.metadata, "history": from_json(history_to_json(obj.history))}
    if record:
        own["record"] = dict(record)
    manifest = {
        "format_version": "0.2", "formats": {form["name"]: form}, "files": [entry], "name": "localizations", "description": "", "tags": ["SMLM"],
        "thumbnail": "", "sample": "", "labeling": "", "date": "", "author": "", "citation": "", "email": "", OWN: own,
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        # A date of today would make two files of one table.
        for name, content in ((MANIFEST, to_json(manifest).encode()), ("table-0.bin", rows.tobytes())):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content, compresslevel=1)


def _storable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values in a type that the format knows."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    return values if values.dtype.name in _TYPES else values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)


def _unit(obj: Table, name: str) -> str:
    unit = obj.units.get(name, "")
    return unit if unit in TO_NM else ""


def _extreme(values: npt.NDArray[Any], function: Any) -> float:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return float(function(finite)) if len(finite) else 0.0
