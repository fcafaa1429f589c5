"""History and record as JSON text inside files, so that any program can read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from recipes_core.data import HistoryEntry


def to_json(value: Any) -> str:
    """Canonical JSON in ASCII, which every format can hold: sorted keys, no spaces, numpy values as plain ones."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def from_json(text: str) -> Any:
    """The value of a JSON text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def history_to_json(history: Iterable[HistoryEntry]) -> str:
    """A history as text."""
    return to_json([entry.as_dict() for entry in history])


def history_from_json(text: str) -> tuple[HistoryEntry, ...]:
    """A history from text; empty where the text holds none."""
    entries = from_json(text)
    if not isinstance(entries, list):
        return ()
    known = [entry for entry in entries if isinstance(entry, dict) and {"step", "module"} <= set(entry)]
    return tuple(HistoryEntry.from_dict(entry) for entry in known)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=to_json)  # the order of a set differs between processes
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    # By default the text of an object names its place in memory, which is another one each time.
    return str(value) if _names_itself(type(value)) else f"<{type(value).__qualname__}>"


def _names_itself(kind: type) -> bool:
    return any(method in vars(base) for base in kind.__mro__[:-1] for method in ("__str__", "__repr__"))
