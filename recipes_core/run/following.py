"""Following files that are still being written."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Following:
    """What `recipe watch` knows of the files behind the inputs.

    Attributes
    ----------
    growing : frozenset of str
        Real paths of files that only ever grow and are not finished. What is made of them holds for a moment: it is kept in memory alone.
    digests : dict
        Digests of parts of such a file: what was once written stays, so it is read once. Emptied where a file did anything but grow.
    """

    growing: frozenset[str] = frozenset()
    digests: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def is_growing(self, path: Path) -> bool:
        """Whether a file is still being written."""
        return bool(self.growing) and os.path.realpath(path) in self.growing

    def any_growing(self, paths: Collection[Path]) -> bool:
        """Whether one of the files is still being written."""
        return any(self.is_growing(path) for path in paths)
