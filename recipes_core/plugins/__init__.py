"""Plugins: hooks, references and the registry."""

from recipes_core.plugins.hookspecs import hookimpl
from recipes_core.plugins.refs import DatatypeRef, ExecutorRef, ModuleRef, ReaderRef, WriterRef
from recipes_core.plugins.registry import PluginInfo, Registry, registry, use_registry

__all__ = [
    "DatatypeRef",
    "ExecutorRef",
    "ModuleRef",
    "PluginInfo",
    "ReaderRef",
    "Registry",
    "WriterRef",
    "hookimpl",
    "registry",
    "use_registry",
]
