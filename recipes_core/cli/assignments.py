"""``-i NAME=PATH``, ``-m NAME.KEY=VALUE`` and ``-p [STEP.]PARAM=VALUE``: what the command line adds to a recipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes_core.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Assignments:
    """The options as they were typed."""

    inputs: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()

    def overrides(self) -> list[Any]:
        """``-p`` as overrides; files that they name are relative to the current folder."""
        from recipes_core.language import parse_override

        return [parse_override(text, base=Path.cwd()) for text in self.parameters]

    def files(self) -> dict[str, str]:
        """``-i`` as input -> path; an empty path leaves the input unconnected."""
        found: dict[str, str] = {}
        for text in self.inputs:
            name, path = _split(text, "-i", "NAME=PATH")
            if name in found:
                raise UsageError(f"-i names input '{name}' twice", code="U135")
            found[name] = path
        return found

    def metadata_of(self, inputs: Iterable[str]) -> dict[str, dict[str, Any]]:
        """``-m`` as input -> key -> value; the name of an input may hold dots itself."""
        from recipes_core.data.cameras import PRESET_KEY
        from recipes_core.language import parse_value

        known = sorted(inputs, key=len, reverse=True)
        found: dict[str, dict[str, Any]] = {}
        for text in self.metadata:
            full, value = _split(text, "-m", "INPUT.KEY=VALUE")
            name = next((name for name in known if full.startswith(f"{name}.") and len(full) > len(name) + 1), None)
            if name is None:
                hint = did_you_mean(full.partition(".")[0], known, what="its inputs") or "It has no free input."
                raise UsageError(f"-m {text}: '{full.partition('.')[0]}' is no input of the recipe.", code="U134", hint=hint)
            key = full[len(name) + 1 :]
            # As `camera: NAME` under an input.
            found.setdefault(name, {})[PRESET_KEY if key == "camera" else key] = parse_value(value, f"-m {text}")
        return found


def _split(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{option} {text}: write {option} {form}", code="U130")
    return name.strip(), value
