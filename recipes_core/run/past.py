"""What a recipe's steps last were, so that a plan can say what has changed since."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from recipes_core.cache.canonical import digest_of
from recipes_core.cache.layout import write_atomically
from recipes_core.plan import Past, StepIdentity

FORMAT = 1
_MOST_BYTES = 64 * 2**20


class PastBook:
    """How steps were last run; in a file where one is named.

    A book that cannot be read is an empty one: it says why something runs, never whether.
    """

    def __init__(self, path: Path | None = None, *, writable: bool = True) -> None:
        self.path = path
        self.writable = writable
        self._steps: dict[str, Past] = {}
        self._changed = False
        if path is not None:
            self._steps = _read(path)

    @classmethod
    def of_recipe(cls, root: Path, recipe: str, *, writable: bool = True) -> PastBook:
        """The book of a recipe (its file, or its name where it has none) in the folder of a cache."""
        return cls(root / "history" / f"{digest_of(recipe)[:32]}.json", writable=writable)

    def get(self, step: str) -> Past | None:
        """How a step was last run."""
        return self._steps.get(step)

    def put(self, step: str, past: Past) -> None:
        """Note how a step was run."""
        self._steps[step] = past
        self._changed = True

    def keep_only(self, steps: Collection[str]) -> None:
        """Forget steps that are no longer there."""
        if self.path is None:
            self._steps = {step: past for step, past in self._steps.items() if step in steps}

    def save(self) -> None:
        """Write the book where it has changed; a folder that cannot be written is left alone."""
        if self.path is None or not self.writable or not self._changed:
            return
        steps = {step: {**vars(past), "identity": vars(past.identity)} for step, past in self._steps.items()}
        content = json.dumps({"format": FORMAT, "steps": steps}, default=_plain)
        # Without the book the next plan knows fewer reasons, and nothing else is lost.
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, content.encode())
        self._changed = False


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()
    return str(value)


def _read(path: Path) -> dict[str, Past]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            return {}
        return {str(step): _past(values) for step, values in content["steps"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _past(values: dict[str, Any]) -> Past:
    identity = dict(values["identity"])
    identity["inputs"] = tuple((str(port), str(key)) for port, key in identity["inputs"])
    return Past(
        StepIdentity(**identity), str(values["key"]), dict(values["taken"]), tuple(values["made"]), float(values["seconds"]),
        dict(values["labels"]), tuple(str(text) for text in values.get("warnings", ())),
    )  # fmt: skip
