"""PYME metadata in HDF5: dotted keys are nested groups, the last part an attribute; what is no plain value is pickled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from recipes_core.data import HistoryEntry
from recipes_core.errors import FormatError
from recipes_core.io import safe_pickle
from recipes_core.io.hdf5 import own_attribute
from recipes_core.io.records import from_json, history_from_json, history_to_json, to_json

GROUP = "MetaData"
HISTORY = "Recipes.History"
RECORD = "Recipes.Record"
OTHERS = "Recipes.Others"
"""Metadata whose keys HDF5 cannot hold as names."""
_PYTABLES = ("CLASS", "TITLE", "VERSION", "PYTABLES_FORMAT_VERSION")
_AS_JSON = "json:"
MOST_KEYS = 20_000


def read_metadata(file: h5py.File, path: Path) -> tuple[dict[str, Any], tuple[HistoryEntry, ...]]:
    """Flat metadata and history of a PYME file.

    Raises
    ------
    FormatError
        Where a value is a pickle that names a class or function; nothing is executed.
    """
    found: dict[str, Any] = {}
    group = file.get(GROUP, getlink=False) if _is_own_group(file, GROUP) else None
    if group is not None:
        _collect(group, "", found, path, 0)
    history = history_from_json(str(found.pop(HISTORY, "")))
    found.pop(RECORD, None)
    others = found.pop(OTHERS, None)
    if isinstance(others, dict):
        found.update(others)
    return found, history


def read_stored_record(file: h5py.File, most: int) -> str | None:
    """The text of the record that `write_metadata` stored, of at most `most` bytes; nothing else is read."""
    *groups, name = f"{GROUP}.{RECORD}".split(".")
    group: h5py.Group = file
    for part in groups:
        if not _is_own_group(group, part):
            return None
        group = group[part]
    if name not in group.attrs:
        return None
    stored = group.attrs.get_id(name)
    if stored.shape != () or stored.get_storage_size() > most:
        return None
    raw = own_attribute(group, name)
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    return text if isinstance(text, str) and len(text) <= most else None


def _is_own_group(parent: h5py.Group, name: str) -> bool:
    # Links into other files are not followed: a data file must not make us open what it names.
    return isinstance(parent.get(name, getlink=True), h5py.HardLink) and isinstance(parent[name], h5py.Group)


def _collect(group: h5py.Group, prefix: str, found: dict[str, Any], path: Path, depth: int) -> None:
    if depth > 20 or len(found) > MOST_KEYS:
        raise FormatError(f"{path}: the metadata are nested too deep or too many.")
    for name in group.attrs:
        if name not in _PYTABLES:
            found[prefix + name] = _value(group, name, prefix + name, path)
    for name in group:
        if _is_own_group(group, name):
            _collect(group[name], f"{prefix}{name}.", found, path, depth + 1)


def _value(group: h5py.Group, name: str, key: str, path: Path) -> Any:
    try:
        raw = own_attribute(group, name)
    except (OSError, TypeError, ValueError, RuntimeError, KeyError) as error:
        raise FormatError(f"{path}: the metadata '{key}' cannot be read: {error}") from error
    if isinstance(raw, h5py.Empty):
        return ""
    if isinstance(raw, np.ndarray):
        return raw.tolist() if raw.ndim else raw.item()
    if isinstance(raw, np.generic):
        raw = raw.item()
    if isinstance(raw, str):
        content = raw.encode("utf-8", "surrogateescape")
    elif isinstance(raw, bytes):
        content = raw
    else:
        return raw
    return _unpacked(content, key, path)


def _unpacked(content: bytes, key: str, path: Path) -> Any:
    if content.startswith(_AS_JSON.encode()):
        return from_json(content[len(_AS_JSON) :].decode("utf-8", "replace"))
    if safe_pickle.looks_like_pickle(content):
        try:
            return _lists(safe_pickle.loads(content))
        except safe_pickle.Refused as refusal:
            raise FormatError(
                f"{path}: the metadata '{key}' are a pickle that names {refusal}; it is refused, nothing was executed.",
                code="D210",
                hint="Only containers, numbers, text and numpy values are read.",
            ) from refusal
        except ValueError:
            return content.decode("utf-8", "replace")  # text that only looks like a pickle
    return content.decode("utf-8", "replace")


def _lists(value: Any) -> Any:
    """Tuples and arrays as lists: the one form that every format gives back."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, (list, tuple, set, frozenset)) else value


def write_metadata(
    file: h5py.File, metadata: Mapping[str, Any], history: Sequence[HistoryEntry], record: Mapping[str, Any]
) -> None:
    """Write metadata as PYME does; what is no plain value becomes JSON text, never a pickle."""
    root = file.create_group(GROUP, track_order=False)
    entries = dict(metadata)
    if history:
        entries[HISTORY] = history_to_json(history)
    if record:
        entries[RECORD] = to_json(record)
    awkward = {key: entries.pop(key) for key in sorted(entries) if not _is_plain_key(key)}
    if awkward:
        entries[OTHERS] = _AS_JSON + to_json(awkward)
    for key in sorted(entries):
        *groups, name = key.split(".")
        parent = root
        for part in groups:
            parent = parent.require_group(part)
        _write(parent, name, entries[key])


def _is_plain_key(key: str) -> bool:
    """Whether each part between the dots can name a group or attribute of HDF5, and none is a mark of PyTables."""
    return all(part and "/" not in part and "\0" not in part and part not in _PYTABLES for part in key.split("."))


def _write(group: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, (bool, np.bool_)):
        group.attrs[name] = np.uint8(value)
    elif isinstance(value, (float, np.integer, np.floating)) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        group.attrs[name] = value
    else:
        text = value if isinstance(value, str) else _AS_JSON + to_json(value)
        content = text.replace("\0", "").encode("utf-8")
        if len(content) < 60_000:
            group.attrs[name] = np.bytes_(content) if content else h5py.Empty("S1")
        else:
            # Attributes hold at most 64 KiB; variable-length text is stored beside them.
            group.attrs.create(name, content.decode(), dtype=h5py.string_dtype())
