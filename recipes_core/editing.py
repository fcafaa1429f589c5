"""Changes of a recipe: undoing one that went wrong, waiting until several have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from recipes_core.language import StepSpec
from recipes_core.module import ModuleBase


class Snapshot:
    """The steps of a recipe and all values of their modules at one moment."""

    def __init__(self, specs: Iterable[StepSpec]) -> None:
        self._specs = list(specs)
        self._values = [{name: getattr(spec.module, name) for name in spec.module.declared()} for spec in self._specs]
        self._written = [spec.written for spec in self._specs]

    def restore(self, changed: Callable[[ModuleBase, tuple[str, ...]], None]) -> list[StepSpec]:
        """Set everything back and return the steps; `changed` watches the modules from then on."""
        for spec, values, written in zip(self._specs, self._values, self._written, strict=True):
            spec.module.watch(None)
            spec.module.trait_set(**values)
            spec.module.watch(changed)
            spec.written = written
        return list(self._specs)


class Debouncer:
    """Calls a function once when nothing has been asked of it for a while.

    Parameters
    ----------
    action : callable
        Called in a thread of its own, or in that of `settle`. What it raises is kept for the next `settle`.
    """

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action
        self._guard = threading.Lock()
        self._busy = threading.Lock()
        self._timer: threading.Timer | None = None
        self._error: BaseException | None = None

    def call_later(self, seconds: float) -> None:
        """Call the action when nothing more has come for some seconds."""
        with self._guard:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(seconds, self._fire)
            self._timer.daemon = True
            self._timer.start()

    def _fire(self) -> None:
        with self._guard:
            self._timer = None
        with self._busy:
            try:
                self._action()
            except Exception as error:
                self._error = error

    def settle(self) -> None:
        """Call the action now if it is due, wait where it is on its way, and raise what it raised."""
        with self._guard:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            if timer.is_alive():
                self._fire()
            timer.join()
        with self._busy:
            error, self._error = self._error, None
        if error is not None:
            raise error
