"""Where each format keeps the record, read with bounds on what is taken from the file."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from recipes_core.io.records import from_json, to_json

MOST = 16 * 2**20
"""Bytes of text that a record may have; larger ones are not read."""
MOST_HEADER = 64 * 2**20
"""Bytes of an OME header, which also holds the metadata."""
COMPANION = ".provenance.json"
PNG_KEYWORD = "smlm-recipes record"
PDF_KEY = "Keywords"
_SVG_BEGIN, _SVG_END = b'<metadata id="smlm-recipes-record">', b"</metadata>"
_HTML_BEGIN, _HTML_END = b'<script type="application/json" id="smlm-recipes-record">', b"</script>"
_PDF_STRING = re.compile(rb"/Keywords\s*\(((?:[^\\()]++|\\.)*+)\)", re.DOTALL)


def in_hdf5(path: Path) -> Any:
    """The attribute of PYME's metadata, or what Picasso's .yaml says."""
    import h5py

    from recipes_core.io import picasso
    from recipes_core.io.pyme_metadata import read_stored_record

    try:
        with h5py.File(path, "r") as file:
            found = read_stored_record(file, MOST)
            if found is not None:
                return from_json(found)
            is_picasso = picasso.TABLE in file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError):
        return None
    return picasso.read_stored_record(path) if is_picasso else None


def in_npz(path: Path) -> Any:
    """The array `record`, a single text."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo("record.npy")
            # Four bytes a letter, and the header of the array.
            if member.file_size > 4 * MOST + 4096:
                return None
            with archive.open(member) as stream:
                content = stream.read(4 * MOST + 4096)
        array = _text_array(content)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, RuntimeError, NotImplementedError, zlib.error, MemoryError):
        return None
    return None if array is None else from_json(str(array))


def _text_array(content: bytes) -> Any:
    """A single text in numpy's format, None where it is anything else or claims to be longer than it is."""
    import numpy as np

    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        return None
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=4096)
    if shape != () or dtype.kind != "U" or dtype.itemsize != len(content) - stream.tell():
        return None
    return np.frombuffer(content, dtype, offset=stream.tell())[0]


def in_tiff(path: Path) -> Any:
    """The annotation in the OME header, which is the description of the first image."""
    from recipes_core.io.ome import read_annotation

    with path.open("rb") as stream:
        try:
            description = _first_description(stream)
        except struct.error:
            return None
    return read_annotation(description.decode("utf-8", "replace")).get("record") if description else None


def _first_description(stream: BinaryIO) -> bytes:
    """The tag ImageDescription (270) of the first image of a TIFF or BigTIFF file."""
    order = "<" if stream.read(2) == b"II" else ">"
    (version,) = struct.unpack(f"{order}H", stream.read(2))
    big = version == 43
    if big:
        stream.read(4)
    number, count, size = (f"{order}Q", f"{order}Q", 20) if big else (f"{order}L", f"{order}H", 12)
    width = struct.calcsize(number)
    stream.seek(_within(struct.unpack(number, stream.read(width))[0]))
    (n_tags,) = struct.unpack(count, stream.read(struct.calcsize(count)))
    entries = stream.read(size * min(n_tags, 4096))
    for start in range(0, len(entries) - size + 1, size):
        tag, kind = struct.unpack_from(f"{order}HH", entries, start)
        if tag != 270 or kind not in (1, 2, 7):
            continue
        (length,) = struct.unpack_from(number, entries, start + 4)
        value = entries[start + 4 + width : start + size]
        if length > MOST_HEADER:
            return b""
        if length > width:
            stream.seek(_within(struct.unpack(number, value)[0]))
            value = stream.read(length)
        return value[:length].rstrip(b"\0")
    return b""


def _within(offset: int) -> int:
    if offset >= 2**63:
        raise struct.error("no file is so long")
    return offset


def in_png(path: Path) -> Any:
    """The text under our keyword."""
    prefix = PNG_KEYWORD.encode() + b"\0"
    with path.open("rb") as stream:
        for kind, content in _chunks(stream):
            if kind == b"tEXt" and content.startswith(prefix):
                return from_json(content[len(prefix) :].decode("latin-1"))
    return None


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the text chunks of a PNG file, the others skipped; damaged ones end it."""
    stream.seek(8)
    while len(header := stream.read(8)) == 8:
        length, kind = struct.unpack(">L4s", header)
        if kind == b"IEND":
            return
        if kind != b"tEXt" or length > MOST:
            stream.seek(length + 4, io.SEEK_CUR)
            continue
        content, checksum = stream.read(length), stream.read(4)
        if checksum != struct.pack(">L", zlib.crc32(kind + content)):
            return
        yield kind, content


def in_pdf(path: Path) -> Any:
    """The keywords of the document, which stand near its end."""
    strings = _PDF_STRING.findall(_tail(path))
    if not strings:
        return None
    letters = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
    text = re.sub(rb"\\(.)", lambda escape: letters.get(escape[1], escape[1]), strings[-1])
    return from_json(text.decode("ascii", "replace"))


def in_svg(path: Path) -> Any:
    """The element that `with_svg_record` adds; the text is searched, not parsed as XML."""
    import html

    tail = _tail(path)
    start = tail.rfind(_SVG_BEGIN)
    end = tail.find(_SVG_END, start)
    if start < 0 or end < 0:
        return None
    return from_json(html.unescape(tail[start + len(_SVG_BEGIN) : end].decode("utf-8", "replace")))


def with_svg_record(content: bytes, text: str) -> bytes:
    """An SVG document with a record before its last tag."""
    import html

    at = content.rindex(b"</svg>")
    return content[:at] + _SVG_BEGIN + html.escape(text, quote=False).encode() + _SVG_END + b"\n" + content[at:]


def in_html(path: Path) -> Any:
    """The element that `with_html_record` adds; the text is searched, nothing in it is run."""
    tail = _tail(path)
    start = tail.rfind(_HTML_BEGIN)
    end = tail.find(_HTML_END, start)
    return None if start < 0 or end < 0 else from_json(tail[start + len(_HTML_BEGIN) : end].decode("utf-8", "replace"))


def with_html_record(page: str, text: str) -> str:
    """A page with a record before the end of its body."""
    # What looks like a tag could end the element; JSON may write it otherwise.
    escaped = text.replace("<", "\\u003c")
    element = f"{_HTML_BEGIN.decode()}{escaped}{_HTML_END.decode()}\n"
    at = page.rfind("</body>")
    return page + element if at < 0 else page[:at] + element + page[at:]


def in_json(path: Path) -> Any:
    """The entry `record` of an object."""
    if path.stat().st_size > MOST_HEADER:
        return None
    found = from_json(path.read_bytes().decode("utf-8-sig", "replace"))
    return found.get("record") if isinstance(found, dict) else None


def beside(path: Path) -> Any:
    """The record in the companion of a table as text."""
    companion = path.with_name(path.name + COMPANION)
    return in_json(companion) if companion.is_file() else None


def write_beside(path: Path, record: Any) -> None:
    """Write the companion of a table as text; none where there is no record."""
    if record:
        companion = path.with_name(path.name + COMPANION)
        companion.write_text('{"record":' + to_json(dict(record)) + "}\n", encoding="utf-8")


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, size - 2 * MOST))
        return stream.read(2 * MOST)
