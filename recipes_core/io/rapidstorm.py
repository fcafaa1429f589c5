"""rapidSTORM .txt: an XML line that describes the fields, then rows of numbers; tracks hold rows of several localizations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from recipes_core.data import DataObject, Localizations, Table
from recipes_core.data.vocabulary import canonical, unit_of
from recipes_core.errors import FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import TO_NM, Columns, Conventions
from recipes_core.io.opening import loaded

FORMAT = "rapidSTORM txt"
HEADER = b"# <localizations"
LONGEST_HEADER = 2**20
BLOCK = 50_000
_UNITS = {"A/D count": "ADU", "frame": "frame", "fr": "frame", "nanometer": "nm", "dimensionless": ""}
_NAMES = {
    "FitResidues-0-0": "fit_residues", "LocalBackground-0-0": "background", "TwoKernelImprovement-0-0": "two_kernel_improvement",
}  # fmt: skip


@dataclass(frozen=True)
class _Field:
    name: str
    unit: str


class RapidStorm:
    """Reader of rapidSTORM localizations and tracks."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether the first line describes localizations."""
        return head.lstrip(b"\xef\xbb\xbf").startswith(HEADER)

    @staticmethod
    def open_content(path: Path) -> FileContent:
        """The localizations; of a file with tracks those (`Localizations`) and the tracks (`Tracks`)."""
        with path.open("rb") as stream:
            line = stream.readline(LONGEST_HEADER)
            n = sum(block.count(b"\n") for block in iter(lambda: stream.read(2**22), b""))
        fields, inner = _fields(path, line)
        form = FORMAT + (" with tracks" if inner else "")
        if not inner:
            return FileContent(path, form, (_dataset(path, form, "", fields, (), n),))
        return FileContent(
            path,
            form,
            (
                _dataset(path, form, "Localizations", inner, fields, None),
                _dataset(path, form, "Tracks", fields, inner, n, tracks=True),
            ),
        )


READER = RapidStorm()


def _fields(path: Path, line: bytes) -> tuple[tuple[_Field, ...], tuple[_Field, ...]]:
    """Fields of a row, and of each localization that follows them in rows of tracks."""
    text = line.decode("utf-8-sig", "replace").lstrip("#").strip()
    if len(line) >= LONGEST_HEADER or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(f"{path}: the first line is no description of fields.")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no entities
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: the first line cannot be read as XML: {error}") from error
    nested = root.find("localizations")
    outer = tuple(_field(item) for item in root.findall("field"))
    inner = () if nested is None else tuple(_field(item) for item in nested.findall("field"))
    for found in (outer, inner) if inner else (outer,):
        names = [field.name for field in found]
        if not names or len(set(names)) < len(names) or len(names) > 200:
            raise FormatError(f"{path}: the first line names no fields, or one twice.")
    return outer, inner


def _field(item: ElementTree.Element) -> _Field:
    name = item.get("identifier", "")
    return _Field(_NAMES.get(name) or canonical(name), (item.get("unit") or "").strip())


def _dataset(
    path: Path, form: str, name: str, fields: Sequence[_Field], others: Sequence[_Field], n: int | None, *, tracks: bool = False
) -> Dataset:
    units = {field.name: _UNITS.get(field.unit, field.unit) for field in fields}
    lengths = {field.name: field.unit for field in fields if field.unit in TO_NM and field.unit not in ("nm", "nanometer")}
    units |= dict.fromkeys(lengths, "nm")
    conventions = Conventions(units=lengths)
    kind = Localizations if {"x", "y", "frame"} <= set(units) else Table
    extra = ("detections",) if tracks else ("track",) if others else ()

    def load() -> DataObject:
        values = _read_tracks(path, fields, others, tracks=tracks) if others else _read_rows(path, fields)
        table = kind(conventions.to_memory(values, path), units=units)
        return loaded(table, path, form, name, told=conventions.told())

    return Dataset(name, kind, load, columns={**units, **{column: unit_of(column) for column in extra}}, n_rows=n)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("r", encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(islice(stream, 1, None), 2):
            if not line.isspace():
                yield number, line


def _read_rows(path: Path, fields: Sequence[_Field]) -> Columns:
    parts = []
    lines = _lines(path)
    while block := list(islice(lines, BLOCK)):
        try:
            values = np.loadtxt([line for _, line in block], ndmin=2, comments=None)
            if values.shape[1] != len(fields):
                raise ValueError
        except ValueError as error:
            raise _bad_line(path, block, len(fields)) from error
        parts.append(values)
    rows = np.concatenate(parts) if parts else np.empty((0, len(fields)))
    return {field.name: np.ascontiguousarray(rows[:, index]) for index, field in enumerate(fields)}


def _bad_line(path: Path, block: Sequence[tuple[int, str]], width: int) -> FormatError:
    for number, line in block:
        parts = line.split()
        if len(parts) != width:
            return FormatError(f"{path}, line {number}: {len(parts)} values for {width} fields.")
        try:
            np.array(parts, float)
        except ValueError:
            return FormatError(f"{path}, line {number}: a value is no number.")
    return FormatError(f"{path} cannot be read as a table.")


def _read_tracks(path: Path, fields: Sequence[_Field], others: Sequence[_Field], *, tracks: bool) -> Columns:
    """Rows of a file with tracks: a mean, a count, and that many localizations with a value and its error for each position."""
    outer, inner = (fields, others) if tracks else (others, fields)
    heads: list[np.ndarray[Any, Any]] = []
    bodies: list[np.ndarray[Any, Any]] = []
    counts: list[int] = []
    for number, line in _lines(path):
        try:
            values = np.array(line.split(), float)
            count = int(values[len(outer)])
        except (ValueError, IndexError, OverflowError) as error:
            raise FormatError(f"{path}, line {number}: this is no track.") from error
        body = values[len(outer) + 1 :]
        if count < 0 or len(body) != count * len(inner):
            raise FormatError(
                f"{path}, line {number}: {len(body)} values for a track of {count} localizations with {len(inner)} each."
            )
        heads.append(values[: len(outer)])
        bodies.append(body)
        counts.append(count)
    if tracks:
        rows = np.stack(heads) if heads else np.empty((0, len(outer)))
        return {**{f.name: rows[:, i].copy() for i, f in enumerate(outer)}, "detections": np.array(counts, np.int64)}
    rows = np.concatenate(bodies).reshape(-1, len(inner)) if bodies else np.empty((0, len(inner)))
    return {**{f.name: rows[:, i].copy() for i, f in enumerate(inner)}, "track": np.repeat(np.arange(len(counts)), counts)}
