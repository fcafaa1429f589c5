"""Values as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipes_core.data import Scalars
from recipes_core.io.records import history_to_json, to_json


def write(obj: Scalars, path: Path, record: Mapping[str, Any]) -> None:
    """Write values, units, history and record as one JSON object."""
    import json

    content = {"values": obj.values, "units": obj.units, "history": json.loads(history_to_json(obj.history))}
    if record:
        content["record"] = dict(record)
    text = json.dumps(json.loads(to_json(content)), indent=2, ensure_ascii=False) + "\n"
    # Names of files may hold bytes that are no UTF-8; JSON has an escape for what stands in their place.
    path.write_bytes(text.encode("utf-8", "backslashreplace"))
