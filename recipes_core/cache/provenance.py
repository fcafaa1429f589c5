"""Histories in the cache: each entry is written as text once, and long histories are compressed.

Every entry of the cache holds its whole history, so that any other may be removed. In a chain of a thousand steps that would be
half a million texts to make and a hundred megabytes to keep.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable

from recipes_core.cache.canonical import from_stored, to_stored
from recipes_core.data import HistoryEntry

_LONG = 2**15
_LONGEST = 64 * 2**20
_TEXT = "_stored_text"


def pack_history(history: Iterable[HistoryEntry]) -> bytes:
    """The entries as JSON, compressed where that is long.

    Raises
    ------
    TypeError
        Where an entry holds something that is not plain.
    """
    text = b"[" + b",".join(map(_text_of, history)) + b"]"
    return zlib.compress(text, 1) if len(text) > _LONG else text


def unpack_history(packed: bytes) -> tuple[HistoryEntry, ...]:
    """Inverse of `pack_history`.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError, RecursionError
        Where it is not what that wrote.
    """
    text = packed if packed.startswith(b"[") else _decompressed(packed)
    return tuple(HistoryEntry.from_dict(from_stored(plain)) for plain in json.loads(text))


def _decompressed(packed: bytes) -> bytes:
    worker = zlib.decompressobj()
    try:
        text = worker.decompress(packed, _LONGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not worker.eof:
        raise ValueError("it is cut off, or too long")
    return text


def _text_of(entry: HistoryEntry) -> bytes:
    # Kept beside the fields: entries do not change, and the same ones are in the history of everything that follows.
    kept: bytes | None = entry.__dict__.get(_TEXT)
    if kept is None:
        kept = to_stored(entry.as_dict())
        entry.__dict__[_TEXT] = kept
    return kept
