"""Reading and writing files of every registered format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.describing import describe, describe_columns
from recipes_core.io.opening import load, open_file
from recipes_core.io.recording import looks_like_result, read_record
from recipes_core.io.writing import check_writable_as, default_suffix, known_suffix, save, sweep


class _Persistence:
    """What data objects use for ``load`` and ``save``."""

    @staticmethod
    def load(path: str | Path, *, kind: type | None = None, **options: Any) -> Any:
        return load(path, kind, **options)

    @staticmethod
    def save(obj: Any, path: str | Path) -> Path:
        return save(obj, path)


PERSISTENCE = _Persistence()

__all__ = [
    "PERSISTENCE",
    "Dataset",
    "FileContent",
    "check_writable_as",
    "default_suffix",
    "describe",
    "describe_columns",
    "known_suffix",
    "load",
    "looks_like_result",
    "open_file",
    "read_record",
    "save",
    "sweep",
]
