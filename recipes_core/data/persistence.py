"""How data objects reach the readers and writers without importing them.

Data stand below io in the layers, yet ``Localizations.load`` must find every registered format. The root package is where
the layers are put together, so it is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import recipes_core


class Persistence(Protocol):
    """What io offers to the layers below it."""

    def load(self, path: str | Path, *, kind: type | None = None, **options: Any) -> Any:
        """Read one object of type `kind` from a file of any known format."""

    def save(self, obj: Any, path: str | Path) -> Path:
        """Write an object in the format that the name's ending says."""


def persistence() -> Persistence:
    """The persistence layer."""
    return recipes_core.persistence_layer()
