"""A process that has imported what ``recipe run`` needs and forks for each command, so that commands start at once.

It reads one JSON document a line: ``arguments``, ``environment``, ``folder``, ``out`` and ``err`` (files). It answers with the
child's number, and with ``[number, exit code]`` when the child has ended; negative where a signal ended it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
from typing import Any


def main() -> None:
    """Serve until the input ends."""
    _prepare()
    _say("ready")
    buffer = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0.005)
        if readable:
            content = os.read(0, 65536)
            if not content:
                return
            buffer += content
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                _say(_start(json.loads(line)))
        _reap()


def _prepare() -> None:
    for name in (
        "cli.run_command",
        "cli.running",
        "cli.cache_command",
        "run.scheduler",
        "run.executors.processes",
        "cache.collection",
    ):
        importlib.import_module(f"recipes_core.{name}")
    for name in ("numba", "scipy.ndimage", "scipy.fft", "scipy.interpolate", "scipy.optimize", "matplotlib.backends.backend_svg"):
        importlib.import_module(name)
    from recipes_core.plugins import registry

    known = registry()
    for ref in (*known.modules.values(), *known.datatypes.values(), *known.readers.values(), *known.writers.values()):
        ref.load()


def _say(content: Any) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            _say([pid, os.waitstatus_to_exitcode(status)])


def _start(task: dict[str, Any]) -> int:
    """Fork; only the first process returns."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        os.chdir(task["folder"])
        os.environ.update(task["environment"])
        for number, name in ((0, os.devnull), (1, task["out"]), (2, task["err"])):
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
            os.dup2(descriptor, number)
            os.close(descriptor)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        importlib.import_module("sitecustomize").arm()
        code = _recipe(task["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _recipe(arguments: list[str]) -> int:
    from recipes_core.cli.main import main as recipe

    sys.argv = ["recipe", *arguments]
    try:
        recipe()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    main()
