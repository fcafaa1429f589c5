"""What a process that localizes answers; see `benchmarks.worker`.

`prepare(folder)` of its module returns what all tasks share, and its `TASKS` map a name to a function of that and of settings; a task
returns a dictionary of numbers, with `count` (frames, fits or localizations that were made) and `columns` (arrays, for the judge) where
it has them. Requests are {"task": name, "settings": {...}, "out": file}. Needs numpy and what the module needs, not this project.
"""

from __future__ import annotations

import gc
import importlib
import os
import time

from benchmarks.worker import peak_memory


def answering(module, folder, cores):
    """Function of a request; the process stays on some cores."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    tasks = importlib.import_module(module)
    shared = tasks.prepare(folder)
    return lambda request: answer(tasks.TASKS[request["task"]], shared, request)


def answer(task, shared, request):
    """Do a task and say what it took."""
    import numpy as np

    gc.collect()
    cpu, start = time.process_time(), time.perf_counter()
    made = task(shared, **request.get("settings", {}))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    columns = made.pop("columns", None)
    if columns is not None and request.get("out"):
        np.savez(request["out"], **columns)
    # A task that must make something ready first measures itself.
    return {"seconds": wall, "cpu": cpu, **made, "peak": peak_memory()}
