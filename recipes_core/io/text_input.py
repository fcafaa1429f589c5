"""Reading numbers from text files: encodings, delimiters, headers, and errors that name the line."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recipes_core.errors import FormatError

MOST_COLUMNS = 2000
HEAD = 2**18
"""Bytes in which comments, header and the first row must stand."""
LONGEST_LINE = 2**22
BLOCK = 200_000
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Layout:
    """How a text table is laid out.

    Parameters
    ----------
    names : tuple of str
        Columns as the header calls them; empty where no line names any.
    delimiter : str
        ``,``, ``;``, tab, or empty for spaces.
    encoding : str
    skip : int
        Lines before the first row.
    comments : tuple of str
        Lines that begin with # before the header, without it.
    first : tuple of str
        Cells of the first row; empty where there is none.
    """

    names: tuple[str, ...]
    delimiter: str
    encoding: str
    skip: int
    comments: tuple[str, ...]
    first: tuple[str, ...]


def layout_of(head: bytes, *, cut: bool = False) -> Layout | None:
    """The layout of a text table by its first bytes; None where they are no text.

    Parameters
    ----------
    cut : bool
        Whether the file goes on behind them.
    """
    encoding = next((name for mark, name in _BOMS if head.startswith(mark)), "utf-8-sig")
    text = head.decode(encoding, "replace")
    lines = text.splitlines()
    if cut and len(lines) > 1:
        lines.pop()
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered or "\0" in numbered[0][1]:
        return None
    comments = []
    while numbered and numbered[0][1].lstrip().startswith("#"):
        comments.append(numbered.pop(0))
    if comments and (not numbered or _is_row(numbered[0][1])):
        # PYME writes its header as a comment.
        header = comments.pop()
    elif numbered and not _is_row(numbered[0][1]):
        header = numbered.pop(0)
    else:
        header = (numbered[0][0] - 1, "")
    text_of_header = header[1].strip().lstrip("#").strip()
    delimiter = next((mark for mark in (",", "\t", ";") if mark in text_of_header), "")
    if not text_of_header and numbered:
        delimiter = next((mark for mark in (",", "\t", ";") if mark in numbered[0][1]), "")
    first = cells(numbered[0][1], delimiter) if numbered else ()
    names = _named(cells(text_of_header, delimiter)) if text_of_header else ()
    return Layout(names, delimiter, encoding, header[0], tuple(c[1].strip().lstrip("#").strip() for c in comments), first)


def cells(line: str, delimiter: str) -> tuple[str, ...]:
    """The cells of a line, without quotes and spaces around them."""
    if not delimiter:
        return tuple(part.strip('"') for part in line.split())
    parts = [line]
    # Some programs have quoted a line that was quoted already.
    for _ in range(2):
        if len(parts) == 1 and delimiter in parts[0]:
            try:
                parts = next(csv.reader([parts[0].strip()], delimiter=delimiter, skipinitialspace=True))
            except (csv.Error, StopIteration):
                parts = parts[0].split(delimiter)
    return tuple(part.strip().strip('"').strip() for part in parts)


def is_number(text: str) -> bool:
    """Whether a cell holds a number."""
    return _NUMBER.fullmatch(text) is not None


def _is_row(line: str) -> bool:
    delimiter = next((mark for mark in (",", "\t", ";") if mark in line), "")
    found = cells(line, delimiter)
    # A row may hold some text, a header holds no numbers.
    return bool(found) and is_number(found[0]) and sum(map(is_number, found)) * 2 >= len(found)


def _named(names: Sequence[str]) -> tuple[str, ...]:
    if len(names) > 1 and not names[-1]:
        names = names[:-1]
    return tuple(name or ("index" if position == 0 else f"column_{position + 1}") for position, name in enumerate(names))


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise FormatError where the header names no columns, too many, or one twice."""
    if len(names) > MOST_COLUMNS:
        raise FormatError(f"{path} has more than {MOST_COLUMNS} columns; at most that many are read.")
    if not any(_WORD.search(name) for name in names):
        raise FormatError(
            f"{path}: the first line names no columns.", hint="Write their names, separated by commas, into the first line."
        )
    doubled = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if doubled is not None:
        raise FormatError(f"{path}: two columns are called '{doubled}'.")


def opened_layout(path: Path) -> Layout:
    """The layout of a file, or a FormatError."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    first_line = head.lstrip(b"\xef\xbb\xbf\r\n ").partition(b"\n")[0]
    if len(head) == HEAD and (len(first_line) > HEAD - 64 or max(map(first_line.count, (b",", b"\t", b";"))) > MOST_COLUMNS):
        raise FormatError(f"{path} has more than {MOST_COLUMNS} columns, or no ends of lines; it is not read.")
    layout = layout_of(head, cut=len(head) == HEAD)
    if layout is None:
        raise FormatError(f"{path} is no text that can be read.")
    return layout


def count_rows(path: Path, skip: int) -> int:
    """Lines behind the header; blank ones and a footer count as well."""
    with path.open("rb") as stream:
        n, last = 0, b"\n"
        for block in iter(lambda: stream.read(2**22), b""):
            n, last = n + block.count(b"\n"), block[-1:]
    return max(0, n + (last != b"\n") - skip)


def read_columns(
    path: Path, layout: Layout, used: Sequence[int], *, footer: bool = False, decimal: str = "."
) -> list[npt.NDArray[np.float64]]:
    """Columns of numbers, read block by block.

    Parameters
    ----------
    used : sequence of int
        Which columns.
    footer : bool
        Whether the table ends at the first line that does not begin with a number.
    decimal : str
        The mark before the decimals.

    Raises
    ------
    FormatError
        Which names the line that is no row of numbers.
    """
    blocks: list[npt.NDArray[np.float64]] = []
    width = len(layout.names)
    with path.open("r", encoding=layout.encoding, errors="replace") as stream:
        lines = _rows(stream, path, layout.skip, footer, decimal)
        try:
            while True:
                part = list(islice(lines, BLOCK))
                if not part:
                    break
                values = np.loadtxt(
                    part, delimiter=layout.delimiter or None, ndmin=2, quotechar='"', comments=None,
                    usecols=None if len(used) == width else used,
                )  # fmt: skip
                if values.shape[1] != len(used):
                    raise ValueError("another number of values than the header names columns")
                blocks.append(np.ascontiguousarray(values.T))
        except ValueError as error:
            raise _located(path, layout, used, footer, decimal, error) from error
    if not blocks:
        return [np.empty(0) for _ in used]
    return [np.concatenate([block[index] for block in blocks]) for index in range(len(used))]


def _rows(stream: Iterator[str], path: Path, skip: int, footer: bool, decimal: str) -> Iterator[str]:
    for line in islice(stream, skip, None):
        if len(line) > LONGEST_LINE:
            raise FormatError(f"{path} holds a line of {len(line)} letters; that is no table.")
        if line.isspace():
            continue
        if footer and not is_number(line.split(maxsplit=1)[0].strip(",;\t")):
            return
        yield line.replace(decimal, ".") if decimal != "." else line


def _located(
    path: Path, layout: Layout, used: Sequence[int], footer: bool, decimal: str, error: ValueError
) -> FormatError:  # fmt: skip
    width = len(layout.names)
    with path.open("r", encoding=layout.encoding, errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if number <= layout.skip or line.isspace():
                continue
            parts = cells(line, layout.delimiter)
            if footer and not is_number(parts[0] if parts else ""):
                break
            if (len(parts) != width and len(parts) <= max(used, default=0)) or (len(parts) != width and len(used) == width):
                return FormatError(f"{path}, line {number}: {len(parts)} values for {width} columns.")
            for index in used:
                text = parts[index].replace(decimal, ".")
                if not is_number(text):
                    return _no_number(path, number, layout.names[index], parts[index])
    return FormatError(f"{path} cannot be read as a table: {error}")


def _no_number(path: Path, number: int, column: str, text: str) -> FormatError:
    if not text:
        return FormatError(f"{path}, line {number}: column '{column}' is empty.", hint="Write nan where a value is missing.")
    comma = "Write decimal points, or give ?decimal=, behind the name." if re.fullmatch(r"-?\d+,\d+", text) else ""
    return FormatError(f"{path}, line {number}: '{text[:40]}' is no number.", hint=comma)
