"""Opens the executor that a name stands for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def open_executor(text: str, jobs: int | None, cache: Any) -> Iterator[Any]:
    yield None
