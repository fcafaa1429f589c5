"""How SIGTERM ends a command, and the exit code that it then has."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_asked = False
"""Whether SIGTERM has come: a signal concerns the whole process."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, with the exit code that shells give it."""
    global _asked
    _asked = False

    def end(number: int, frame: object) -> None:
        global _asked
        _asked = True
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # signals belong to the main thread
        yield
        return
    try:
        yield
    except SystemExit as ended:
        if isinstance(ended.code, int):
            sys.exit(final_code(ended.code))
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def final_code(code: int) -> int:
    """The code with which the process will exit: of a cancelled run it tells whether SIGTERM has ended it."""
    from recipes_core.errors import ExitCode

    return 128 + signal.SIGTERM if _asked and code == ExitCode.CANCELLED else int(code)
