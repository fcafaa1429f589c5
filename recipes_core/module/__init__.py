"""Modules: the base classes, and what a running module may use."""

from recipes_core.module.base import ModuleBase, run_module
from recipes_core.module.context import Context, available_threads
from recipes_core.module.scratch import Scratch
from recipes_core.module.writer import WriterModule

__all__ = ["Context", "ModuleBase", "Scratch", "WriterModule", "available_threads", "run_module"]
