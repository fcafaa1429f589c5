"""Versions of this project and of what results may depend on."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

STANDS_ON = ("numpy", "scipy", "numba", "h5py", "tifffile", "networkx", "traits", "PyYAML")


@cache
def versions() -> dict[str, str]:
    """Versions of this project and of what results may depend on."""
    found = {"smlm-recipes": _version("smlm-recipes"), "python": platform.python_version()}
    return found | {name: _version(name) for name in STANDS_ON}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
