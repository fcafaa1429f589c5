"""What is in a file, for ``recipe info``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import Drift, ImageStack, Table
from recipes_core.io.content import Dataset
from recipes_core.io.opening import open_file


def describe(path: str | Path) -> dict[str, Any]:
    """Tables with columns, units and ranges; images with their sizes; drifts; metadata.

    Returns
    -------
    dict
        ``path``, ``format``, ``notes``, ``datasets`` (each ``name``, ``type``, ``summary``, ``columns``, ``facts``) and
        ``metadata``; plain values only.
    """
    content = open_file(path)
    return {
        "path": str(content.path),
        "format": content.format,
        "notes": list(content.notes),
        "datasets": [_describe(dataset) for dataset in content.datasets],
        "metadata": dict(content.metadata),
    }


def describe_columns(path: str | Path) -> tuple[str, ...]:
    """Columns, by their names in memory, of the first table in a file."""
    return next((tuple(dataset.columns) for dataset in open_file(path).datasets if dataset.columns is not None), ())


def _describe(dataset: Dataset) -> dict[str, Any]:
    obj = dataset.load()
    result: dict[str, Any] = {"name": dataset.name, "type": dataset.kind.__name__, "summary": obj.summary()}
    if isinstance(obj, Table):
        result["rows"] = len(obj)
        result["columns"] = [_column(obj, name) for name in obj.columns]
    elif isinstance(obj, ImageStack):
        result["facts"] = _image_facts(obj)
    elif isinstance(obj, Drift):
        result["facts"] = {
            axis: f"{obj.correction[:, index].min():.1f} to {obj.correction[:, index].max():.1f} nm"
            for index, axis in enumerate("xyz")
        }
    made = [f"{entry.step} ({entry.module})" for entry in obj.history if entry.module != "file"]
    if made:
        result.setdefault("facts", {})["made by"] = " -> ".join(made)
    return result


def _column(table: Table, name: str) -> dict[str, Any]:
    values = table[name]
    found: dict[str, Any] = {
        "name": name,
        "unit": table.units.get(name, ""),
        "dtype": str(values.dtype),
        "min": None,
        "max": None,
    }
    if values.dtype.kind not in "fiub":
        return found
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if len(finite):
        found["min"], found["max"] = finite.min().item(), finite.max().item()
    missing = len(values) - len(finite)
    if missing:
        found["nan"] = missing
    return found


def _image_facts(stack: ImageStack) -> dict[str, Any]:
    facts: dict[str, Any] = {"axes": "t, z, y, x: " + " x ".join(str(n) for n in stack.shape)}
    size = stack.pixel_size
    facts["pixel"] = f"{size[0]:g} x {size[1]:g} nm" if size else "size not given"
    if stack.n_frames:
        first = stack.frames(0, 1)
        facts["first frame"] = f"{first.min():g} to {first.max():g}, mean {first.mean():g}"
    if (stack.time.start, stack.time.step) != (0.0, 1.0):
        facts["time"] = f"image k stands for frame {stack.time.start:g} + {stack.time.step:g} k of the movie"
    return facts
