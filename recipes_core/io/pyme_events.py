"""Events of a PYME file that say where the focus was."""

from __future__ import annotations

import math
from pathlib import Path

import h5py

from recipes_core.io.hdf5 import own_dataset, require_stored

FOCUS_KEY = "Events.ProtocolFocus"
"""Metadata: ``[[time, position], ...]``, seconds and micrometres, in the order of time."""
_FIELDS = ("EventName", "Time", "EventDescr")
_MOST = 200_000
_LONGEST = 1024


def focus_events(file: h5py.File, path: Path) -> list[list[float]]:
    """Time (s) and position (um) of the events ``ProtocolFocus``, whose description is ``frame, position``.

    Empty where there are none, or the table is one that h5py cannot read (the time type of old files).
    """
    item = own_dataset(file, "Events") if "Events" in file else None
    if item is None or item.ndim != 1 or item.dtype.names is None or not set(_FIELDS) <= set(item.dtype.names):
        return []
    kinds = [item.dtype[name] for name in _FIELDS]
    if [kind.kind for kind in kinds] != ["S", "f", "S"] or len(item) > _MOST or item.dtype.itemsize > _LONGEST:
        return []
    require_stored(path, item)
    found = []
    for row in item[()]:
        if row["EventName"] != b"ProtocolFocus":
            continue
        try:
            time, position = float(row["Time"]), float(row["EventDescr"].split(b",")[1])
        except (IndexError, ValueError):
            continue
        if math.isfinite(time) and math.isfinite(position):
            found.append([time, position])
    return sorted(found)
