"""Why a step runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Reason:
    """Why a step runs."""

    def __str__(self) -> str:
        return "for no known reason"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the kind of reason and what it says."""
        return {"kind": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class NeverRun(Reason):
    """There are no results yet."""

    def __str__(self) -> str:
        return "never run"


@dataclass(frozen=True)
class ParameterChanged(Reason):
    """A parameter has another value."""

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.name} {_short(self.old)} -> {_short(self.new)}"


@dataclass(frozen=True)
class FileChanged(Reason):
    """A file that a parameter names has other content."""

    name: str

    def __str__(self) -> str:
        return f"the file of '{self.name}' changed"


@dataclass(frozen=True)
class InputChanged(Reason):
    """An input of the recipe was given other data."""

    key: str
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        change = f": {self.old} -> {self.new}" if self.old and self.new and self.old != self.new else ""
        return f"input '{self.key}' changed{change}"


@dataclass(frozen=True)
class WiringChanged(Reason):
    """A port is connected to another key."""

    port: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.port} {self.old or 'nothing'} -> {self.new or 'nothing'}"


@dataclass(frozen=True)
class ModuleChanged(Reason):
    """Another module, or another version of it."""

    old: str
    new: str

    def __str__(self) -> str:
        return f"module {self.old} -> {self.new}"


@dataclass(frozen=True)
class CodeChanged(Reason):
    """The source of a module that is not installed has changed."""

    def __str__(self) -> str:
        return "its code changed"


@dataclass(frozen=True)
class SeedChanged(Reason):
    """The seed of the recipe changed, and the module draws random numbers."""

    old: int | None
    new: int | None

    def __str__(self) -> str:
        return f"seed {self.old} -> {self.new}"


@dataclass(frozen=True)
class Upstream(Reason):
    """A step that it depends on runs, or has another result."""

    step: str

    def __str__(self) -> str:
        return f"after {self.step}"


@dataclass(frozen=True)
class OutputMissing(Reason):
    """A result is asked for that was not made before."""

    key: str

    def __str__(self) -> str:
        return f"'{self.key}' was not asked for before"


@dataclass(frozen=True)
class Evicted(Reason):
    """A result is no longer kept, in memory or in the cache."""

    key: str

    def __str__(self) -> str:
        return f"'{self.key}' is no longer there"


@dataclass(frozen=True)
class Damaged(Reason):
    """What the cache held was damaged."""

    key: str

    def __str__(self) -> str:
        return f"'{self.key}' was damaged in the cache"


@dataclass(frozen=True)
class Forced(Reason):
    """The user asked for it."""

    def __str__(self) -> str:
        return "forced"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
