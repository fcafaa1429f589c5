"""Named numbers and words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from recipes_core.data.history import DataObject, HistoryEntry
from recipes_core.data.packing import Packed
from recipes_core.data.persistence import persistence

MOST_SHOWN = 12
"""Values in a summary."""


class Scalars(DataObject):
    """Named numbers and words: results such as an RMSE.

    Parameters
    ----------
    values : mapping
        Numbers, strings, booleans, or lists of them.
    units : mapping, optional
        Unit of a value.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        units: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        history: Iterable[HistoryEntry] = (),
    ) -> None:
        self.values: dict[str, Any] = {str(name): _plain(value) for name, value in values.items()}
        self.units = dict(units or {})
        self._init_provenance(metadata, history)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def keys(self) -> tuple[str, ...]:
        """Names of the values."""
        return tuple(self.values)

    def pack(self) -> Packed:
        return Packed(type(self).__name__, {"values": self.values, "units": self.units}, {})

    @classmethod
    def unpack(
        cls,
        spec: Mapping[str, Any],
        arrays: Mapping[str, Any],
        metadata: Mapping[str, Any],
        history: Iterable[HistoryEntry],
    ) -> Self:
        return cls(spec["values"], units=spec["units"], metadata=metadata, history=history)

    def summary(self) -> str:
        # Reports of several lines, and more than a line holds, are for the file.
        shown = [f"{name} {_shown(value)}" for name, value in self.values.items()]
        shown = [text for text in shown if "\n" not in text]
        return ", ".join(shown[:MOST_SHOWN]) + (", ..." if len(shown) > MOST_SHOWN else "")

    def __repr__(self) -> str:
        return f"<Scalars: {self.summary()}>"

    def save(self, path: str | Path) -> Path:
        """Write the values as JSON; return the path."""
        return persistence().save(self, path)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Numbers and containers of numpy as plain Python, which JSON can hold."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
