"""What a process that estimates drift answers; see `benchmarks.worker`.

`METHODS` of its module map a name to a function of columns, number of frames and settings. Requests are {"load": file}, {"warm": method,
"settings": {...}} and {"run": method, "settings": {...}, "out": file}. Needs numpy and what the module needs, not this project.
"""

from __future__ import annotations

import gc
import importlib
import time

from benchmarks.worker import forget_peak, peak_memory

WARM_ROWS = 20_000
"""Localizations on which a method runs once before it is timed, so that its compiled code is there."""


def answering(module):
    """Function of a request."""
    return Worker(importlib.import_module(module).METHODS).answer


class Worker:
    """Holds a data set and runs methods on it."""

    def __init__(self, methods):
        self.methods = methods
        self.columns = {}
        self.n_frames = 0

    def answer(self, request):
        import numpy as np

        if "load" in request:
            with np.load(request["load"]) as file:
                self.n_frames = len(file["drift_true"])
                # The truth stays where the methods cannot see it.
                self.columns = {name: file[name] for name in file.files if "true" not in name}
            return {"methods": sorted(self.methods)}
        if "warm" in request:
            few = {name: values[:WARM_ROWS] for name, values in self.columns.items()}
            self.methods[request["warm"]](few, int(few["frame"].max()) + 1, **request.get("settings", {}))
            return {}
        gc.collect()
        forget_peak()
        before = peak_memory()
        cpu, start = time.process_time(), time.perf_counter()
        made = self.methods[request["run"]](self.columns, self.n_frames, **request.get("settings", {}))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        after = peak_memory()
        np.savez(request["out"], **{name: values for name, values in made.items() if values is not None and name != "said"})
        added = None if before is None or after is None else after - before
        timed = made.get("seconds")
        return {
            "seconds": seconds if timed is None else float(timed), "cpu": cpu, "peak": after, "added": added,
            "said": made.get("said", []),
        }  # fmt: skip
