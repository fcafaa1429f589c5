"""Libraries that come with extras, imported when a file needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from recipes_core.errors import EnvironmentFault


def imported(module: str, extra: str, why: str) -> Any:
    """A module of an optional library.

    Raises
    ------
    EnvironmentFault
        Where it is not installed; the hint names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise EnvironmentFault(
            f"{why}, which needs {package}, and it is not installed.", code="V400", hint=f"pip install 'smlm-recipes[{extra}]'"
        ) from error
