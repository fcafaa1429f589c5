"""The namespace of a recipe as users see it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING

from recipes_core.data import DataObject

if TYPE_CHECKING:
    from recipes_core.recipe import Recipe


class Namespace(MutableMapping[str, DataObject]):
    """Current objects of a recipe by key. Assigning a free input gives it; what steps make cannot be assigned.

    Stale objects are not handed out: ``recipe[key]`` computes what is missing or stale.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def __getitem__(self, key: str) -> DataObject:
        if key not in self:
            raise KeyError(f"'{key}' is not there or stale; recipe[{key!r}] computes it")
        return self._recipe.current_object(key)

    def __setitem__(self, key: str, value: DataObject) -> None:
        self._recipe.give(key, value)

    def __delitem__(self, key: str) -> None:
        self._recipe.take_back(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipe.current_keys())

    def __contains__(self, key: object) -> bool:
        return key in self._recipe.current_keys()

    def __len__(self) -> int:
        return len(self._recipe.current_keys())
