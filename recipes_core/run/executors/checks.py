"""Whether a worker elsewhere would make the same results, and put them in the same place."""

from __future__ import annotations

import platform
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recipes_core.versions import versions

MUST_AGREE = ("numpy", "numba", "scipy")
"""Results may depend on these; the last number of a version does not count."""

_INSTALL = "Install the same versions on all machines."
_SHARE = "All machines must see the cache under the same name: set RECIPES_CACHE to a shared folder for this run."


def look_at_worker(token: str) -> dict[str, Any]:
    """What a worker is; runs there."""
    from recipes_core.module.context import available_threads

    try:
        seen = Path(token).read_text(encoding="utf-8")
    except OSError:
        seen = ""
    return {
        "versions": dict(versions()),
        "machine": platform.machine(),
        "host": socket.gethostname(),
        "processors": available_threads(),
        "token": seen,
    }


def differences(found: Any, token: Path, root: Path) -> tuple[str, str, str] | None:
    """What is wrong with a worker (message, code, hint), or None.

    Parameters
    ----------
    found : dict or exception
        What `look_at_worker` returned or raised there.
    """
    if isinstance(found, BaseException):
        return f"it cannot import smlm-recipes ({type(found).__name__}: {found})", "V331", _INSTALL
    here, there = versions(), found["versions"]
    if there["smlm-recipes"] != here["smlm-recipes"]:
        return f"smlm-recipes is {there['smlm-recipes']} there and {here['smlm-recipes']} here", "V331", _INSTALL
    for name in MUST_AGREE:
        if _minor(there[name]) != _minor(here[name]):
            return f"{name} is {there[name]} there and {here[name]} here", "V331", _INSTALL
    if found["token"] != token.name:
        return f"it does not see the cache in {root}", "V332", _SHARE
    return None


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def missing_modules(modules: Sequence[tuple[str, int, str]]) -> list[str]:
    """Names of modules that a worker does not have in this version; runs there."""
    from recipes_core.plugins import registry

    missing = []
    for name, version, _ in modules:
        ref = registry().modules.get(name)
        if ref is None or ref.load().version != version:
            missing.append(name)
    return missing
