"""The hooks of plugins: implement any of them with `hookimpl` in a module named by an entry point.

::

    [project.entry-points.recipes_core]
    my_plugin = "my_package.plugin"
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

from recipes_core.plugins.refs import DatatypeRef, ExecutorRef, ModuleRef, ReaderRef, WriterRef

if TYPE_CHECKING:
    import click

PROJECT = "recipes_core"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_modules() -> Iterable[ModuleRef]:  # type: ignore[empty-body]
    """Modules for recipes."""


@hookspec
def register_datatypes() -> Iterable[DatatypeRef]:  # type: ignore[empty-body]
    """Types of data that travel between modules."""


@hookspec
def register_readers() -> Iterable[ReaderRef]:  # type: ignore[empty-body]
    """File formats that can be read."""


@hookspec
def register_writers() -> Iterable[WriterRef]:  # type: ignore[empty-body]
    """File formats that can be written."""


@hookspec
def register_executors() -> Iterable[ExecutorRef]:  # type: ignore[empty-body]
    """Ways to run steps elsewhere."""


@hookspec
def register_commands(group: click.Group) -> None:
    """Add commands to ``recipe``."""


@hookspec
def run_started(plan: Any) -> None:
    """A run begins; `plan` says what will be done."""


@hookspec
def node_finished(result: Any) -> None:
    """A step has ended; `result` says how."""


@hookspec
def run_finished(report: Any) -> None:
    """A run has ended."""
