"""Tables as text: those of known programs, and any whose header names columns or whose columns the user names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import DataObject, Localizations, Table
from recipes_core.data.vocabulary import BY_NAME, canonical, unit_of
from recipes_core.errors import DataError, UsageError, did_you_mean
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import Conventions, frame_note
from recipes_core.io.opening import loaded
from recipes_core.io.text_dialects import PLAIN, dialect_of, memory_names
from recipes_core.io.text_input import Layout, check_names, count_rows, is_number, layout_of, opened_layout, read_columns


class TextTable:
    """Reader of tables as text."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is text whose header names columns that are known, or is named like a table."""
        layout = layout_of(head, cut=len(head) >= 4096) or layout_of(head)
        if layout is None:
            return False
        if layout.delimiter and sum(map(_is_known, layout.names)) >= 2:
            return True
        # Any other text may still be a table whose columns the user names.
        return path.suffix.lower() in (".csv", ".tsv") and (b"\0" not in head or head[:2] in (b"\xff\xfe", b"\xfe\xff"))

    @staticmethod
    def open_content(
        path: Path,
        pixel_size: float | str | None = None,
        unit: str | None = None,
        frame_base: int | str | None = None,
        origin: str | None = None,
        swap_xy: str | None = None,
        decimal: str | None = None,
        **columns: str,
    ) -> FileContent:
        """The table.

        Parameters
        ----------
        pixel_size : float, optional
            nm; with it, positions that count from the corner of the first pixel are shifted to its centre.
        unit : str, optional
            Of lengths in the plane where the header does not say it: nm, um, mm, m, px.
        frame_base : int, optional
            What the file calls the first frame, 0 or 1.
        origin : str, optional
            What position 0 is: ``centre`` or ``corner`` of the first pixel.
        swap_xy : str, optional
            ``1`` where the file calls the rows of an image x.
        decimal : str, optional
            ``,`` where numbers have decimal commas.
        **columns : str
            Column in memory -> its name in the file, or its position from 1.

        Raises
        ------
        FormatError
            Where a line is no row of numbers; the message names it.
        """
        layout = opened_layout(path)
        if not layout.names and columns:
            layout = _numbered(layout)
        check_names(path, layout.names)
        dialect = dialect_of(layout)
        options = {"pixel_size": pixel_size, "unit": unit, "frame_base": frame_base, "origin": origin, "swap_xy": swap_xy}
        names, header_units = memory_names(layout, dialect)
        mapped = _mapped(path, layout, columns)
        names = _with_mapped(names, mapped)
        conventions = dialect.conventions
        if header_units:
            conventions = Conventions(
                conventions.unit, header_units, conventions.frame_base, conventions.origin, conventions.pixel_size
            )
        conventions = conventions.given(options)
        mark = _decimal(decimal, layout.delimiter)
        used, left_out = _used(layout, names, mark, set(mapped))
        memory = {names[layout.names[index]]: index for index in used}
        units = {name: dialect.units.get(name, unit_of(name)) for name in memory}
        kind = Localizations if {"x", "y", "frame"} <= set(memory) else Table
        notes = (
            *conventions.notes(memory),
            *_first_frame(layout, memory, conventions),
            *_without_unit(dialect.form, memory, unit),
        )
        if left_out:
            notes += (f"left out, as they hold text: {', '.join(left_out)}",)

        def load() -> DataObject:
            values = read_columns(path, layout, used, footer=dialect.footer, decimal=mark)
            read = dict(zip(memory, values, strict=True))
            table = kind(conventions.to_memory(read, path), units=units)
            return loaded(table, path, dialect.form, told=conventions.told())

        metadata = _pixels(conventions)
        dataset = Dataset("", kind, _with(load, metadata), columns=units, n_rows=count_rows(path, layout.skip))
        return FileContent(path, dialect.form, (dataset,), metadata, notes)


READER = TextTable()


def _is_known(name: str) -> bool:
    return unit_of(name) != "" or canonical(name) != name


def _with(load: Any, metadata: dict[str, Any]) -> Any:
    return (lambda: _labelled(load(), metadata)) if metadata else load


def _labelled(obj: DataObject, metadata: dict[str, Any]) -> DataObject:
    return obj.with_provenance(metadata={**metadata, **obj.metadata})


def _pixels(conventions: Conventions) -> dict[str, Any]:
    if conventions.pixel_size is None:
        return {}
    x, y = conventions.pixel_size
    return {"voxelsize.x": x / 1000, "voxelsize.y": y / 1000, "voxelsize.units": "um"}


def _numbered(layout: Layout) -> Layout:
    names = tuple(f"column_{position}" for position in range(1, len(layout.first) + 1))
    return Layout(names, layout.delimiter, layout.encoding, layout.skip, layout.comments, layout.first)


def _mapped(path: Path, layout: Layout, columns: Mapping[str, str]) -> dict[str, str]:
    """Column of the file -> name in memory, as the user says."""
    found: dict[str, str] = {}
    for target, name in columns.items():
        if target not in BY_NAME:
            hint = did_you_mean(target, BY_NAME, what="the columns")
            raise UsageError(f"{path}: '{target}' is no option of a table and no column.", code="U150", hint=hint)
        if name not in layout.names and name.isdecimal() and 1 <= int(name) <= len(layout.names):
            name = layout.names[int(name) - 1]
        if name not in layout.names:
            hint = did_you_mean(name, layout.names, what="its columns")
            raise DataError(f"{path} has no column '{name}', which should be '{target}'.", code="D300", hint=hint)
        if name in found:
            raise DataError(f"{path}: column '{name}' cannot be '{found[name]}' and '{target}'.", code="D300")
        found[name] = target
    return found


def _with_mapped(names: Mapping[str, str], mapped: Mapping[str, str]) -> dict[str, str]:
    taken = set(mapped.values())
    result = {}
    for name, target in names.items():
        # What the user names otherwise leaves its name to the column that he means.
        result[name] = mapped.get(name) or (target if target not in taken else f"{name} (file)" if name in taken else name)
    return result


def _decimal(decimal: str | None, delimiter: str) -> str:
    if decimal is None or decimal == ".":
        return "."
    if decimal != "," or delimiter == ",":
        raise DataError("decimal is ',' or '.', and no mark that stands between columns.", code="D231")
    return decimal


def _used(
    layout: Layout, names: Mapping[str, str], decimal: str, wanted: set[str]
) -> tuple[list[int], list[str]]:  # fmt: skip
    """Which columns hold numbers, and the names of those that hold text, by the first row."""
    if len(layout.first) != len(layout.names):
        return list(range(len(layout.names))), []
    used, left_out = [], []
    for index, (name, text) in enumerate(zip(layout.names, layout.first, strict=True)):
        plain_text = any(letter.isalpha() for letter in text) and not is_number(text.replace(decimal, "."))
        if plain_text and name not in wanted and not unit_of(names[name]):
            left_out.append(name)
        else:
            used.append(index)
    return used, left_out


def _first_frame(layout: Layout, memory: Mapping[str, int], conventions: Conventions) -> tuple[str, ...]:
    position = memory.get("frame", len(layout.first))
    if position >= len(layout.first) or not is_number(layout.first[position]):
        return ()
    first = float(layout.first[position])
    return frame_note(first if np.isfinite(first) else None, conventions.frame_base)


def _without_unit(form: str, memory: Mapping[str, int], unit: str | None) -> tuple[str, ...]:
    # A header of bare names is how PYME writes, in nm; a table with nothing else of PYME may mean pixels.
    if form != PLAIN.form or unit is not None or not {"x", "y"} <= set(memory) or len(memory) > 3:
        return ()
    return ("the file says no unit; positions are taken as nm (?unit=px&pixel_size=NM for pixels)",)
