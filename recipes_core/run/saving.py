"""Writes results, each as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from recipes_core import io
from recipes_core.run.results import Destination
from recipes_core.versions import versions


def save_results(
    destinations: Iterable[Destination], object_of: Callable[[str], Any], *, recipe: str, seed: int
) -> dict[str, Path]:
    """Write every destination; return label -> path.

    Each file carries a record of how it was made: the recipe, its seed, the key and the versions in use; no times.
    """
    written = {}
    for destination in destinations:
        record = {"record": 1, "key": destination.key, "seed": seed, "recipe": recipe, "versions": dict(versions())}
        written[destination.label] = io.save(object_of(destination.key), destination.path, record=record)
    return written
