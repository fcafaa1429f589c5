"""A process in which one program runs: its own Python, its own memory, measured from inside.

``PYTHON benchmarks/worker.py KIND MODULE [ARGUMENT ...]`` imports `KIND`, whose `answering(MODULE, ARGUMENT, ...)` returns a function of a
request. Requests and answers are JSON, one a line. Needs what `KIND` and `MODULE` need, not this project.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path


def peak_memory():
    """Highest memory of this process since `forget_peak`, MiB; None where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        return None
    return None


def forget_peak():
    """Begin to measure the highest memory anew."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def main():
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what programs print must not stand among the answers
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    kind, module, *arguments = sys.argv[1:]
    answer = importlib.import_module(kind).answering(module, *arguments)
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
