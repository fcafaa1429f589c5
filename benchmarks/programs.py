"""Programs in processes of their own, from outside; see `benchmarks.worker`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

WORKER = Path(__file__).resolve().with_name("worker.py")


class Program:
    """A program in a process of its own.

    Parameters
    ----------
    python : str
        Interpreter.
    *words : str
        Kind, module and arguments, as `benchmarks.worker` takes them.
    limit : float, optional
        Seconds that one request may take.
    **environment : str
        Variables that are set besides this process's own.
    """

    def __init__(self, python: str, *words: str, limit: float | None = None, **environment: str) -> None:
        self._command = [python, str(WORKER), *words]
        self._environment = {**os.environ, **environment}
        self._limit = limit
        self._pool = ThreadPoolExecutor(1)
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=self._log, text=True, env=self._environment)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request; the answer, or its 'error'. A process that takes too long is replaced by a new one."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            coming = self._pool.submit(process.stdout.readline)
            try:
                answer = coming.result(self._limit)
            except TimeoutError:
                process.kill()
                coming.result()
                self._end()
                self._process = self._started()
                self.begin()
                return {"error": f"took longer than {self._limit:g} s"}
        if answer:
            return dict(json.loads(answer))
        self._log.seek(0)
        return {"error": f"the process ended: {(self._log.read().strip().splitlines() or ['no word'])[-1]}"}

    def begin(self) -> None:
        """What a new process is asked first."""

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()

    def close(self) -> None:
        """End the process."""
        self._end()
        self._pool.shutdown()
        self._log.close()


def installed(module: str, python: str) -> bool:
    """Whether a module can be imported in a Python."""
    check = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    try:
        return subprocess.run([python, "-c", check], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
