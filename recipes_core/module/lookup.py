"""How a module finds another one by its name, plugins' ones too, without importing the layers above."""

from __future__ import annotations

import recipes_core
from recipes_core.module.base import ModuleBase


def modules_named(name: str) -> list[type[ModuleBase]]:
    """The modules that a recipe may mean by `name`, imported.

    Raises
    ------
    PluginError
        Where one cannot be imported.
    """
    return recipes_core.module_classes(name)
