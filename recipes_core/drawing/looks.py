"""Colours of steps by state; they hold on light and on dark pages, and the state is also written out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How a box is drawn.

    Parameters
    ----------
    fill, line, text : str
        Colours of the inside, of the border, and of what is said about the state.
    word : str
        The state as the box names it.
    dashed : bool
    """

    fill: str
    line: str
    text: str
    word: str = ""
    dashed: bool = False


TITLE, SUBTITLE, EDGE = "#1e293b", "#64748b", "#8592a6"
PLAIN = Look("#ffffff", "#94a3b8", SUBTITLE)
INPUT = Look("#f1f5f9", "#94a3b8", SUBTITLE)
KEY = Look("#f1f5f9", "#dbe2ea", "#475569")
RESULT = Look("#e0e7ff", "#a5b4fc", "#3730a3")

_RUN = Look("#fff7e6", "#e59e1c", "#92500c", "run")
_CURRENT = Look("#ecfdf5", "#34a77c", "#06664a", "current")
_CACHED = Look("#eff6ff", "#4b8bf0", "#1d4fb8", "cached")
_BLOCKED = Look("#f8fafc", "#94a3b8", "#64748b", "blocked", dashed=True)
_FAILED = Look("#fef2f2", "#dc4444", "#a31c1c", "failed")

_LOOKS = {
    "run": _RUN, "running": _RUN, "stale": _RUN, "current": _CURRENT, "done": _CURRENT, "cached": _CACHED,
    "blocked": _BLOCKED, "not run": _BLOCKED, "failed": _FAILED, "cancelled": _FAILED, "missing": _FAILED,
}  # fmt: skip


def look_of(state: str, default: Look = PLAIN) -> Look:
    """The look of a state; that of a box without one where the state is not known."""
    found = _LOOKS.get(state, default)
    return Look(found.fill, found.line, found.text, state, found.dashed)
