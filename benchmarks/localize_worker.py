"""A process in which one program localizes: its own Python, its own memory, measured from inside.

``PYTHON benchmarks/localize_worker.py MODULE FOLDER CORES`` imports `MODULE`, whose `prepare(folder)` returns what all tasks share and
whose `TASKS` map a name to a function of that and of settings; a task returns a dictionary of numbers, with `count` (frames, fits or
localizations that were made) and `columns` (arrays, for the judge) where it has them. Requests and answers are JSON, one a line:
{"task": name, "settings": {...}, "out": file}. Needs numpy and what the module needs, not this project.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path


def peak_memory():
    """Highest memory of this process, MiB; None where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        return None
    return None


def answer(module, shared, request):
    """Do a task and say what it took."""
    import numpy as np

    gc.collect()
    cpu, start = time.process_time(), time.perf_counter()
    made = module.TASKS[request["task"]](shared, **request.get("settings", {}))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    columns = made.pop("columns", None)
    if columns is not None and request.get("out"):
        np.savez(request["out"], **columns)
    # A task that must make something ready first measures itself.
    return {"seconds": wall, "cpu": cpu, **made, "peak": peak_memory()}


def main():
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what programs print must not stand among the answers
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    if sys.argv[3] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in sys.argv[3].split(",")})
    module = importlib.import_module(sys.argv[1])
    shared = module.prepare(sys.argv[2])
    for line in sys.stdin:
        try:
            reply = answer(module, shared, json.loads(line))
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
