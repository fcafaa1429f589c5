"""A registry that holds the modules of the tests and nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from importlib import import_module

import pytest
from language_modules import Plugin

from recipes_core.errors import Problem, RecipeError
from recipes_core.language import loads
from recipes_core.plugins import PluginInfo, Registry, use_registry


@pytest.fixture(scope="session")
def small_registry() -> Registry:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("recipes_core.plugins.registry"), "BUILT_IN", ())
        found = Registry(external=False)
    found._add(PluginInfo("tests", "tests", "1"), Plugin)
    return found


@pytest.fixture
def modules(small_registry: Registry):
    """Recipes of this test know only the modules of the tests."""
    use_registry(small_registry)
    yield small_registry
    use_registry(None)


@pytest.fixture
def faults(modules: Registry) -> Callable[..., list[Problem]]:
    """Read a recipe that has faults, and give them."""

    def read(text: str, error: type[RecipeError] = RecipeError, **options) -> list[Problem]:
        with pytest.raises(error) as caught:
            loads(textwrap.dedent(text), **options)
        return list(caught.value.problems)

    return read


@pytest.fixture
def fault(faults) -> Callable[..., tuple[str, int | None, int | None, str]]:
    """Read a recipe that has one fault: (code, line, col, message with hint)."""

    def read(text: str, **options):
        found = faults(text, **options)
        assert len(found) == 1, "\n".join(map(str, found))
        return found[0].code, found[0].line, found[0].col, f"{found[0].message} {found[0].hint}".strip()

    return read
