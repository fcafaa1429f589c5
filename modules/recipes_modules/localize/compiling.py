"""Saying why the first run of all takes longer. Importing this file imports numba: do it on use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

from recipes_core.module import Context

MESSAGE = "compiling this step's code, which takes some seconds and is done once: later runs find it ready"


class _Listener(event.Listener):  # type: ignore[misc]
    def __init__(self, ctx: Context) -> None:
        self._ctx, self._told = ctx, False

    def on_start(self, event: Any) -> None:
        if not self._told and event.data["dispatcher"].py_func.__module__.startswith("recipes_modules"):
            self._told = True
            self._ctx.say(MESSAGE)

    def on_end(self, event: Any) -> None:
        """Nothing is said at the end."""


@contextmanager
def told(ctx: Context) -> Iterator[None]:
    """Within, the user is told once when code must be compiled because no run has done so before."""
    with event.install_listener("numba:compile", _Listener(ctx)):
        yield
