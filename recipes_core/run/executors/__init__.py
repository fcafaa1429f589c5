"""Executors: where the steps of recipes run."""

from recipes_core.run.executors.opening import open_executor

__all__ = ["open_executor"]
