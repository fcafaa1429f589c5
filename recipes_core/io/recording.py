"""Reads the record of how a result was made out of the file that holds the result.

Every writer stores the record that it is handed: PYME's .hdf and .h5 as an attribute, Picasso in its .yaml, drifts as an array
of the .npz, images in the OME header, figures in the places that PNG, SVG and PDF have for text, values beside the values. Tables
as text have no such place; their record stands in a file beside, ``NAME.csv.provenance.json``.

What a file says of itself is only parsed as JSON: nothing is executed, unpacked or followed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recipes_core.errors import DataError, UsageError
from recipes_core.io import record_places as places
from recipes_core.io.opening import head_of, require_existing, split_query
from recipes_core.plugins import registry

_PLACES: tuple[tuple[bytes | tuple[bytes, ...], Callable[[Path], Any]], ...] = (
    ((b"\x89HDF\r\n\x1a\n", b"MATLAB 7.3"), places.in_hdf5),
    (b"PK\x03\x04", places.in_npz),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), places.in_tiff),
    (b"\x89PNG\r\n\x1a\n", places.in_png),
    (b"%PDF-", places.in_pdf),
    ((b"<!DOCTYPE html", b"<!doctype html"), places.in_html),
)


def read_record(path: str | Path) -> dict[str, Any] | None:
    """How a result was made, as the file itself says.

    Parameters
    ----------
    path : path
        A file that this project wrote: table, image, drift, figure or values; the kind is found by content.

    Returns
    -------
    dict or None
        Plain JSON values, exactly those that the writer was handed; None where the file carries no record that can be read. The
        content comes from the file and is to be checked before it is used.

    Raises
    ------
    UsageError
        Where there is no such file, or it may not be read.
    """
    place, _ = split_query(path)
    require_existing(place)
    if not place.is_file():
        return None
    head = head_of(place)
    try:
        found = _from_builtin(place, head)
        return found if found is not None else _from_reader(place, head)
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror or error}.", code="U152") from error


def looks_like_result(path: str | Path) -> bool:
    """Whether a file is a result with a record inside, and no recipe.

    Recipes are YAML text and never carry one; a file that is missing or cannot be read is no result.
    """
    try:
        if Path(path).suffix.lower() in (".yaml", ".yml"):
            return False
        return read_record(path) is not None
    except UsageError:
        return False


def _from_builtin(path: Path, head: bytes) -> dict[str, Any] | None:
    for signatures, find in _PLACES:
        if head.startswith(signatures):
            return _record(find(path))
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"{"):
        return _record(places.in_json(path))
    if text.startswith((b"<?xml", b"<svg")):
        return _record(places.in_svg(path))
    return None if b"\0" in head else _record(places.beside(path))


def _from_reader(path: Path, head: bytes) -> dict[str, Any] | None:
    """A reader may have ``read_record(path)`` that returns the mapping."""
    for ref in registry().readers.values():
        reader = ref.load()
        if hasattr(reader, "read_record") and reader.sniff(path, head):
            try:
                return _record(reader.read_record(path))
            except DataError:  # a damaged file carries no record
                return None
    return None


def _record(found: Any) -> dict[str, Any] | None:
    return dict(found) if isinstance(found, Mapping) and found and all(isinstance(key, str) for key in found) else None
