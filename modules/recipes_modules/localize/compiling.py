"""What the first run of all has to do besides: saying that it compiles, and compiling on both of two processors.

Importing this file imports numba: do it on use.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba.core import event

from recipes_core.module import Context
from recipes_core.module.context import available_threads
from recipes_modules.localize.movie import MAPS, Fit, Job, Spots

MESSAGE = "compiling this step's code, which takes some seconds and is done once: later runs find it ready"
PATIENCE = 120.0
_SIDE = 48
_CODE = """
import pickle, sys
path, content = pickle.load(sys.stdin.buffer)
sys.path[:] = path
from recipes_modules.localize.compiling import compile_fit
compile_fit(content)
"""


class _Listener(event.Listener):  # type: ignore[misc]
    """Hears when code is compiled; the first time it tells the user, and has the fit compiled beside."""

    def __init__(self, ctx: Context, job: Job | None) -> None:
        self._ctx, self._job, self._heard = ctx, job, False

    def on_start(self, event: Any) -> None:
        if not self._heard and event.data["dispatcher"].py_func.__module__.startswith("recipes_modules"):
            self._heard = True
            self._ctx.say(MESSAGE)
            if self._job is not None and available_threads() > 1:
                _Helper.start(self._job)

    def on_end(self, event: Any) -> None:
        """Nothing is said at the end."""


@contextmanager
def told(ctx: Context, job: Job | None = None) -> Iterator[None]:
    """Within, the user is told once when code must be compiled because no run has done so before.

    Numba compiles one function at a time. While this process compiles the detection, another one compiles the fit of `job` into the same
    cache; `wait_for_fit` waits for it.
    """
    with event.install_listener("numba:compile", _Listener(ctx, job)):
        try:
            yield
        finally:
            _Helper.stop()


def wait_for_fit() -> None:
    """Wait until the fit is compiled, where another process is at it."""
    _Helper.wait()


class _Helper:
    """The process that compiles the fit."""

    _process: subprocess.Popen[bytes] | None = None
    _needed: _Needed | None = None

    @classmethod
    def start(cls, job: Job) -> None:
        camera = replace(job.camera, **dict.fromkeys(MAPS))
        try:
            needed = _Needed(job.fit, dict(job.settings), job.half, job.sigma, job.subtract, camera)
            content = pickle.dumps(needed)
            process = subprocess.Popen(  # noqa: S603 - this very interpreter
                [sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        except (OSError, pickle.PicklingError, AttributeError, TypeError):
            return  # the fit is then compiled here
        assert process.stdin is not None
        with contextlib.suppress(OSError), process.stdin:
            pickle.dump((sys.path, content), process.stdin)
        cls._process, cls._needed = process, needed

    @classmethod
    def wait(cls) -> None:
        process, needed = cls._process, cls._needed
        if process is not None and needed is not None:
            first = needed.part("compile_first")
            if first is not None:
                first(needed.spots(), needed.settings)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            cls._process = None

    @classmethod
    def stop(cls) -> None:
        process, cls._process = cls._process, None
        if process is not None:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class _Needed:
    """What is needed to call a fit."""

    fit: Fit
    settings: dict[str, Any]
    half: int
    sigma: float
    subtract: bool
    camera: Any

    def part(self, name: str) -> Fit | None:
        """A function beside the fit: its module may have `compile_first` and `compile_rest`, which two processes do side by side."""
        found: Fit | None = getattr(sys.modules[self.fit.__module__], name, None)
        return found

    def spots(self) -> Spots:
        """A few made-up spots, two of them close to each other."""
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:_SIDE, :_SIDE]
        places = np.array([[34.6, 33.8], [12.2, 12.4], [12.9, 15.1], [33.1, 11.7]], np.float32)
        shape = sum(np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * self.sigma**2)) for row, column in places)
        frames = rng.poisson(20 + 150 * np.asarray(shape), (2, _SIDE, _SIDE)).astype(np.float32)
        backgrounds = np.full(frames.shape if self.subtract else (0, _SIDE, _SIDE), 10, np.float32)
        index = np.repeat(np.arange(2), len(places))
        rows, columns = np.tile(places.T, 2).astype(np.float32)
        variance = np.ones((1, _SIDE, _SIDE), np.float32)
        return Spots(frames, backgrounds, variance, index, rows, columns, self.half, self.sigma, self.camera)


def compile_fit(content: bytes) -> None:
    """Call a fit with a few made-up spots, so that its code is compiled and kept."""
    needed: _Needed = pickle.loads(content)  # noqa: S301 - from the process that started this one
    (needed.part("compile_rest") or needed.fit)(needed.spots(), needed.settings)
