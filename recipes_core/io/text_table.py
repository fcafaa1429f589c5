"""Tables as text: PYME csv, ThunderSTORM csv, and any table whose header names known columns."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, Localizations, Table
from recipes_core.data.vocabulary import canonical, canonical_names, name_in, unit_of
from recipes_core.errors import DataError, FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.opening import loaded
from recipes_core.io.record_places import write_beside

MOST_COLUMNS = 2000
_HEADER_WORD = re.compile(r"[A-Za-z]")


class TextTable:
    """Reader of tables as text."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is text whose first line names columns, or is named like a table."""
        if not head or b"\0" in head:
            return False
        line, delimiter = _header_line(head)
        return path.suffix.lower() in (".csv", ".tsv") or (delimiter != "" and sum(map(_is_known, _split(line, delimiter))) >= 2)

    @staticmethod
    def open_content(path: Path, pixel_size: float | str | None = None) -> FileContent:
        """The table.

        Parameters
        ----------
        pixel_size : float, optional
            nm; with it, positions that count from the corner of the first pixel (ThunderSTORM) are shifted to its centre.
        """
        with path.open("rb") as stream:
            line, delimiter = _header_line(stream.read(65536))
            stream.seek(0)
            n_rows = max(0, sum(block.count(b"\n") for block in iter(lambda: stream.read(2**22), b"")) - 1)
        names = _split(line, delimiter)
        _check_header(path, names)
        thunderstorm = {"x [nm]", "y [nm]"} <= set(names)
        memory = canonical_names(names)
        kind = Localizations if {"x", "y", "frame"} <= set(memory.values()) else Table
        shift, notes = _corner(thunderstorm, pixel_size)
        form = "ThunderSTORM csv" if thunderstorm else "table as text"

        def load() -> DataObject:
            values = _read(path, delimiter, len(names))
            columns = {memory[name]: np.ascontiguousarray(values[:, index]) for index, name in enumerate(names)}
            if "frame" in columns and np.array_equal(columns["frame"], np.rint(columns["frame"])):
                columns["frame"] = columns["frame"].astype(np.int64)
                if thunderstorm:
                    columns["frame"] -= 1
            for axis in "xy" if shift else "":
                columns[axis] = columns[axis] - shift
            return loaded(kind(columns), path, form)

        units = {memory[name]: unit_of(memory[name]) for name in names}
        return FileContent(path, form, (Dataset("", kind, load, columns=units, n_rows=n_rows),), {}, notes)


READER = TextTable()


def _corner(thunderstorm: bool, pixel_size: float | str | None) -> tuple[float, tuple[str, ...]]:
    if not thunderstorm:
        return 0.0, ()
    if pixel_size is None:
        note = "positions count from the corner of the first pixel; give ?pixel_size=NM to have them counted from its centre"
        return 0.0, (note,)
    try:
        size = float(pixel_size)
    except ValueError:
        size = np.nan
    if not size > 0:
        raise DataError(f"pixel_size must be a length in nm above 0, not {pixel_size!r}.")
    return size / 2, ()


def _header_line(head: bytes) -> tuple[str, str]:
    text = head.decode("utf-8-sig", "replace")
    line = next((line for line in text.splitlines() if line.strip()), "").lstrip("#").strip()
    delimiter = next((mark for mark in (",", "\t", ";") if mark in line), "")
    return line, delimiter


def _split(line: str, delimiter: str) -> list[str]:
    parts = line.split(delimiter) if delimiter else [line]
    return [part.strip().strip('"').strip() for part in parts]


def _is_known(name: str) -> bool:
    return unit_of(name) != "" or canonical(name) != name


def _check_header(path: Path, names: list[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise FormatError(f"{path} has {len(names)} columns; at most {MOST_COLUMNS} are read.")
    if not any(_HEADER_WORD.search(name) for name in names):
        raise FormatError(
            f"{path}: the first line names no columns.", hint="Write their names, separated by commas, into the first line."
        )
    doubled = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if doubled is not None:
        raise FormatError(f"{path}: two columns are called '{doubled}'.")


def _read(path: Path, delimiter: str, n_columns: int) -> npt.NDArray[np.float64]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = text.splitlines()
    first = next(index for index, line in enumerate(lines) if line.strip())
    body = [line for line in lines[first + 1 :] if line.strip()]
    if not body:
        return np.empty((0, n_columns))
    try:
        values: npt.NDArray[np.float64] = np.loadtxt(
            io.StringIO("\n".join(body)), delimiter=delimiter or None, ndmin=2, quotechar='"'
        )
        if values.shape[1] != n_columns:
            raise ValueError("another number of values than the first line names columns")
    except ValueError as error:
        raise _located(path, lines, first, delimiter, n_columns, error) from error
    return values


def _located(path: Path, lines: list[str], first: int, delimiter: str, n_columns: int, error: ValueError) -> FormatError:
    for number, line in enumerate(lines[first + 1 :], first + 2):
        if not line.strip():
            continue
        parts = _split(line, delimiter)
        if len(parts) != n_columns:
            return FormatError(f"{path}, line {number}: {len(parts)} values for {n_columns} columns.")
        for part in parts:
            try:
                float(part)
            except ValueError:
                comma = "Write decimal points." if re.fullmatch(r"-?\d+,\d+", part) else ""
                return FormatError(f"{path}, line {number}: '{part[:40]}' is no number.", hint=comma)
    return FormatError(f"{path} cannot be read as a table: {error}")


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
    size = obj.metadata.get("voxelsize.x")
    if not isinstance(size, (int, float)) or not size > 0:
        raise DataError(
            "ThunderSTORM counts positions from the corner of a pixel, and the pixel size is not known.",
            hint="Give it in um: -m INPUT.voxelsize.x=0.1.",
        )
    columns: dict[str, npt.NDArray[Any]] = {"id": np.arange(1, len(obj) + 1)}
    for name in obj.columns:
        values = obj[name]
        if name == "frame":
            values = values + 1
        elif name in ("x", "y"):
            values = values.astype(np.float64) + size * 500
        elif name == "error_x":
            columns["uncertainty [nm]"] = values
            continue
        columns[_free(name_in("thunderstorm", name), name, obj.columns)] = values
    write_beside(path, record)
    _write(path, columns, quoted=True)


def _free(name: str, own: str, present: tuple[str, ...]) -> str:
    return own if name != own and name in present else name


def _write(path: Path, columns: Mapping[str, npt.NDArray[Any]], *, quoted: bool = False) -> None:
    for name, values in columns.items():
        if values.dtype.kind not in "fiub":
            raise DataError(f"column '{name}' holds {values.dtype}, which cannot be written as numbers.")
    names = [f'"{name}"' if quoted else name for name in columns]
    # Enough digits that reading gives back the same float32 or float64.
    formats = ["%d" if v.dtype.kind in "iub" else "%.9g" if v.dtype.itemsize <= 4 else "%.17g" for v in columns.values()]
    n = len(next(iter(columns.values()))) if columns else 0
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(",".join(names) + "\n")
        row = ",".join(formats) + "\n"
        for start in range(0, n, 100_000):
            parts = [values[start : start + 100_000].tolist() for values in columns.values()]
            stream.writelines(row % values for values in zip(*parts, strict=True))
