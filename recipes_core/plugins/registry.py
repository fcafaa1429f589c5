"""The registry: every module, data type and file format that plugins provide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from recipes_core.errors import PluginError
from recipes_core.plugins import hookspecs
from recipes_core.plugins.refs import DatatypeRef, ExecutorRef, ModuleRef, ReaderRef, WriterRef
from recipes_core.versions import versions

BUILT_IN = ("recipes_core.plugins.builtin", "recipes_modules")
"""Registered through the same hooks as any plugin, by name, so that nothing here imports them."""

RefT = TypeVar("RefT", ModuleRef, DatatypeRef, ReaderRef, WriterRef, ExecutorRef)


@dataclass
class PluginInfo:
    """One plugin, for ``recipe plugins``."""

    name: str
    distribution: str
    version: str
    plugin: Any = None
    error: str = ""
    modules: list[str] = field(default_factory=list)


class Registry:
    """What plugins provide, by name.

    Parameters
    ----------
    external : bool
        Whether installed plugins are loaded besides the built-in ones.
    """

    def __init__(self, *, external: bool = True) -> None:
        self.external = external
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: list[PluginInfo] = []
        for name in BUILT_IN:
            self._add(PluginInfo(name, "smlm-recipes", versions()["smlm-recipes"]), partial(import_module, name))
        if external:
            for point in _installed():
                dist = point.dist
                info = PluginInfo(point.name, dist.name if dist else "?", dist.version if dist else "?")
                self._add(info, point.load)

    def _add(self, info: PluginInfo, load: Callable[[], Any]) -> None:
        self.plugins.append(info)
        try:
            info.plugin = load()
            self.manager.register(info.plugin, name=f"{info.distribution}:{info.name}")
        except Exception as error:  # a third party's import may raise anything; it must not stop the others
            info.plugin, info.error = None, f"{type(error).__name__}: {error}"
            if info.name in BUILT_IN:
                raise

    def _collect(self, hook: str, kind: type[RefT]) -> dict[str, RefT]:
        found: dict[str, RefT] = {}
        owners: dict[str, str] = {}
        for info in self.plugins:
            provide = getattr(info.plugin, hook, None)
            for ref in provide() if provide is not None else ():
                if ref.name in found:
                    raise PluginError(
                        f"'{ref.name}' is registered twice: by {owners[ref.name]} and by {info.distribution} {info.version}",
                        code="P110",
                        hint="Uninstall one of them.",
                    )
                found[ref.name] = ref
                owners[ref.name] = f"{info.distribution} {info.version}"
                if isinstance(ref, ModuleRef):
                    info.modules.append(ref.name)
        return found

    @cached_property
    def modules(self) -> dict[str, ModuleRef]:
        """Full name -> reference."""
        return self._collect("register_modules", ModuleRef)

    @cached_property
    def datatypes(self) -> dict[str, DatatypeRef]:
        """Name -> reference."""
        return self._collect("register_datatypes", DatatypeRef)

    @cached_property
    def readers(self) -> dict[str, ReaderRef]:
        """Format -> reference."""
        return self._collect("register_readers", ReaderRef)

    @cached_property
    def writers(self) -> dict[str, WriterRef]:
        """Format -> reference."""
        return self._collect("register_writers", WriterRef)

    @cached_property
    def executors(self) -> dict[str, ExecutorRef]:
        """Name -> reference."""
        return self._collect("register_executors", ExecutorRef)

    @cached_property
    def _module_names(self) -> dict[str, list[ModuleRef]]:
        names: dict[str, list[ModuleRef]] = {}
        for ref in self.modules.values():
            for name in dict.fromkeys((ref.short_name, *(alias.rpartition(".")[2] for alias in ref.aliases))):
                names.setdefault(name, []).append(ref)
        return names

    def find_modules(self, name: str) -> list[ModuleRef]:
        """The modules that a recipe may mean by `name`: exact (also by alias), else by the last dotted part."""
        exact = [ref for ref in self.modules.values() if name == ref.name or name in ref.aliases]
        return exact or self._module_names.get(name.rpartition(".")[2], [])

    def module_names(self) -> Iterator[str]:
        """Every name under which a module is found, for suggestions."""
        for ref in self.modules.values():
            yield from (ref.short_name, ref.name, *ref.aliases)

    def full_name(self, cls: type) -> str:
        """Full name of a module class; its own name where it is not registered."""
        target = f"{cls.__module__}:{cls.__qualname__}"
        return next((ref.name for ref in self.modules.values() if ref.target == target), cls.__name__)


def _installed() -> list[EntryPoint]:
    points: Iterable[EntryPoint] = entry_points(group=hookspecs.PROJECT)
    return sorted(points, key=lambda point: (point.dist.name if point.dist else "", point.name))


_current: Registry | None = None


def registry() -> Registry:
    """The registry of this process, built on first use."""
    global _current
    if _current is None:
        _current = Registry()
    return _current


def use_registry(new: Registry | None) -> None:
    """Replace the registry of this process: for ``--no-plugins`` and tests. None builds a new one on next use."""
    global _current
    _current = new
