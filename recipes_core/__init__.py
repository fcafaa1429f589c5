"""Recipes for single-molecule localization microscopy: the engine.

Examples
--------
>>> from recipes_core import Recipe
>>> recipe = Recipe.load("correct_drift_locs.yaml")
>>> recipe.load_inputs({"Localizations": "cell7.hdf"})
>>> recipe["corrected_localizations"]["x"]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recipes_core.data import (
        Drift,
        Figure,
        FrameAxis,
        HistoryEntry,
        ImageStack,
        Localizations,
        Panel,
        Picture,
        Scalars,
        Series,
        Table,
    )
    from recipes_core.data.persistence import Persistence
    from recipes_core.errors import RecipeError
    from recipes_core.module import Context, ModuleBase, WriterModule
    from recipes_core.plugins import ModuleRef, hookimpl
    from recipes_core.ports import (
        Bool,
        Bounds,
        Choice,
        FilePath,
        FilePaths,
        Float,
        Input,
        Int,
        ListOf,
        MapOf,
        Output,
        Range,
        Str,
    )
    from recipes_core.recipe import Recipe

_PLACES = {
    "recipes_core.data": (
        "Drift", "Figure", "FrameAxis", "HistoryEntry", "ImageStack", "Localizations", "Panel", "Picture", "Scalars", "Series",
        "Table",
    ),
    "recipes_core.errors": ("RecipeError",),
    "recipes_core.module": ("Context", "ModuleBase", "WriterModule"),
    "recipes_core.plugins": ("ModuleRef", "hookimpl"),
    "recipes_core.ports": (
        "Bool", "Bounds", "Choice", "FilePath", "FilePaths", "Float", "Input", "Int", "ListOf", "MapOf", "Output", "Range", "Str",
    ),
    "recipes_core.recipe": ("Recipe",),
}  # fmt: skip
_HOME = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "Bool",
    "Bounds",
    "Choice",
    "Context",
    "Drift",
    "Figure",
    "FilePath",
    "FilePaths",
    "Float",
    "FrameAxis",
    "HistoryEntry",
    "ImageStack",
    "Input",
    "Int",
    "ListOf",
    "Localizations",
    "MapOf",
    "ModuleBase",
    "ModuleRef",
    "Output",
    "Panel",
    "Picture",
    "Range",
    "Recipe",
    "RecipeError",
    "Scalars",
    "Series",
    "Str",
    "Table",
    "WriterModule",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    # Names are imported on first use: `recipe --help` must not pay for numpy.
    if name not in _HOME:
        raise AttributeError(f"module 'recipes_core' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def persistence_layer() -> Persistence:
    """Readers and writers, for the layers below io (see `recipes_core.data.persistence`)."""
    found: Persistence = import_module("recipes_core.io").PERSISTENCE
    return found


def module_classes(name: str) -> list[type[ModuleBase]]:
    """Registered modules of a name, for modules that run others (see `recipes_core.module.lookup`)."""
    refs = import_module("recipes_core.plugins.registry").registry().find_modules(name)
    return [ref.load() for ref in refs]
