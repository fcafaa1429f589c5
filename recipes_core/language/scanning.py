"""From the bytes of a recipe file to the events of PyYAML's parser, with the faults of text and syntax."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import Event
from yaml.tokens import ScalarToken

from recipes_core.language.document import Mark
from recipes_core.language.faults import Faults

_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_DATA_FILES = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"II*\0", "a TIFF file"),
    (b"MM\0*", "a TIFF file"),
    (b"II+\0", "a TIFF file"),
    (b"PK\x03\x04", "a zip or npz file"),
    (b"\x93NUMPY", "a numpy file"),
)


class Stop(Exception):
    """Reading cannot go on."""


def decode(data: bytes, faults: Faults) -> str | None:
    """The text of a recipe file; None, with the fault noted, where it is no UTF-8 text."""
    for head, name in _DATA_FILES:
        if data.startswith(head):
            faults.add("R102", f"this is {name}, not a recipe.", "A recipe is a YAML file.")
            return None
    for head, name in _OTHER_ENCODINGS:
        if data.startswith(head):
            faults.add("R102", f"the file is text in {name}.", "Save it as UTF-8.")
            return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        mark = Mark(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        faults.add("R102", f"the file is no text in UTF-8 (byte 0x{data[error.start]:02x}).", "Save it as UTF-8.", mark=mark)
        return None


class _Loader(yaml.SafeLoader):
    """PyYAML's parser, nearer to YAML 1.2 where recipes meet the difference.

    Between the tokens of JSON and other flow collections there may be tabs, and a plain scalar in them may hold question marks:
    ``{path: locs.hdf?table=A}``.
    """

    def scan_to_next_token(self) -> None:
        while True:
            super().scan_to_next_token()
            if not self.flow_level or self.peek() != "\t":
                return
            self.forward()

    def scan_plain(self) -> Any:
        token = super().scan_plain()
        parts, end = [token.value], token.end_mark
        while self.flow_level and self.peek() == "?" and self.index == end.index:
            while self.peek() in "?#":
                parts.append(self.peek())
                self.forward()
            rest = super().scan_plain()
            parts.append(rest.value)
            end = rest.end_mark
        return ScalarToken("".join(parts), True, token.start_mark, end)


class Places:
    """From the index of a letter to its line and column, counted as editors do.

    PyYAML's own lines also end at the breaks of Unicode, as in YAML 1.1.
    """

    def __init__(self, text: str) -> None:
        self._starts = [0, *(end.end() for end in re.finditer(r"\r\n|\r|\n", text))]

    def at(self, index: int) -> Mark:
        """The place of the letter with that index, which counts from 0."""
        line = bisect_right(self._starts, index)
        return Mark(line, index - self._starts[line - 1] + 1)


def yaml_events(text: str, places: Places, faults: Faults) -> Iterator[Event]:
    """The events of a text; raises `Stop`, with the fault noted, where it is not valid YAML."""
    loader: Any = None
    try:
        loader = _Loader(text)
        while loader.check_event():
            yield loader.get_event()
    except yaml.reader.ReaderError as error:
        message = f"the control character U+{ord(text[error.position]):04X} is not allowed."
        faults.add("R102", message, "Remove it.", mark=places.at(error.position))
        raise Stop from error
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        hint = "Indent with spaces, not tabs." if "\\t" in what else ""
        faults.add("R101", f"this is not valid YAML: {what}.", hint, mark=places.at(at.index) if at else None)
        raise Stop from error
    except (ValueError, OverflowError) as error:
        # Escapes beyond Unicode, version numbers of thousands of digits: PyYAML does not catch them.
        faults.add("R101", f"this is not valid YAML: {error}.", mark=places.at(loader.index if loader else 0))
        raise Stop from error
