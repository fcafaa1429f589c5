"""A process in which one program's drift methods run: its own Python, its own memory, measured from inside.

``PYTHON benchmarks/drift_worker.py MODULE`` imports `MODULE` (whose `METHODS` map a name to a function of columns, number of frames and
settings) and takes one JSON request a line: {"load": file}, {"warm": method, "settings": {...}} or {"run": method, "settings": {...},
"out": file}. It answers one JSON line each. Needs numpy and what the module needs, not this project.
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

WARM_ROWS = 20_000
"""Localizations on which a method runs once before it is timed, so that its compiled code is there."""


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


def main():
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what programs print must not stand among the answers
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    worker = Worker(importlib.import_module(sys.argv[1]).METHODS)
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
