"""What workers of the own cluster do first."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which reaches all processes of a terminal, to the process that was started by hand."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
