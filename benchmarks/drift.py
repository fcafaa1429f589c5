"""Every drift method of this project and of its peers on the same data, against the truth and against the limit.

Each program runs in a process of its own (peers in a Python of their own, where they are installed), which holds the data and has
compiled its code before it is timed. Rounds alternate among the methods; medians count. Errors are per axis over all frames, mean
removed. `oracle` is what an aligner reaches that knows where the molecules are (`benchmarks.drift_oracle`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import drift_oracle
from benchmarks.drift_data import Dataset, describe, load, path_of
from benchmarks.drift_goals import compared
from benchmarks.drift_plan import NOTES, PLANS, Entry
from benchmarks.drift_table import Row, table
from benchmarks.programs import Program, installed

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {"ours": "benchmarks.drift_ours", **{name: f"benchmarks.peer_{name}" for name in ("picasso", "locan", "comet")}}
FAR = 20.0
"""Frames whose error is larger than this are counted, nm."""


class Tool(Program):
    """A program that estimates drift, with its data loaded.

    Parameters
    ----------
    name : str
        One of `TOOLS`.
    python : str
        Interpreter.
    data : path
        What the process loads.
    limit : float
        Seconds that one request may take.

    Attributes
    ----------
    error : str
        Why the process cannot be used, or nothing.
    """

    def __init__(self, name: str, python: str, data: Path, limit: float) -> None:
        super().__init__(python, "benchmarks.drift_worker", TOOLS[name], limit=limit)
        self._data = data
        self.error = ""
        self.begin()

    def begin(self) -> None:
        self.error = str(self.ask(load=str(self._data)).get("error", ""))


def known(entry: Entry) -> bool:
    """Whether the modules of an entry of this project are there."""
    import recipes_modules

    return entry.tool != "ours" or all(name in recipes_modules.__all__ for name, _ in entry.settings["modules"])


def judge(data: Dataset, made: Mapping[str, Any]) -> dict[str, Any]:
    """Errors of a drift against the truth.

    Returns
    -------
    dict
        raw: root mean square error per axis that drifts, the mean with it, nm; rmse, worst: without the mean; far: frames off by more
        than `FAR`; bars: root mean square of error over error bar per axis (1 where the bars are right), without the mean.
    """
    axes = len(data.axes)
    error = made["curve"][:, :axes] + data.moved[:, :axes]
    raw = [float(value) for value in np.sqrt(np.mean(error**2, axis=0))]
    error = error - error.mean(axis=0)
    result = {
        "raw": raw,
        "rmse": [float(value) for value in np.sqrt(np.mean(error**2, axis=0))],
        "worst": [float(value) for value in np.abs(error).max(axis=0)],
        "far": int(np.count_nonzero((np.abs(error[:, :2]) > FAR).any(axis=1))),
        "bars": None,
    }
    if "error" in made:
        # The correction at the first frame is 0 by definition; the mean takes its error out on both sides.
        difference = made["correction"] - data.truth.at(made["frames"])
        bars = np.asarray(made["error"])
        result["bars"] = []
        for axis in range(axes):
            usable = np.isfinite(bars[:, axis]) & (bars[:, axis] > 0)
            if not usable.any():
                result["bars"].append(float("nan"))
                continue
            weight = bars[usable, axis] ** -2.0
            off = difference[usable, axis] - np.average(difference[usable, axis], weights=weight)
            result["bars"].append(float(np.sqrt(np.mean(off**2 * weight))))
    return result


def compare(
    data: Dataset, entries: Iterable[Entry], pythons: Mapping[str, str], repeats: int, threads: int | None, limit: float = 900.0
) -> list[Row]:
    """Run the entries on a data set in turn, `repeats` rounds; give up what takes longer than `limit` seconds."""
    rows = [Row(entry) for entry in entries]
    tools: dict[str, Tool] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "found.npz")
        try:
            for name in dict.fromkeys(row.entry.tool for row in rows):
                tools[name] = Tool(name, pythons[name], path_of(data.name), limit)
                for row in rows:
                    if row.entry.tool == name:
                        row.error = tools[name].error
            for number in range(repeats):
                for row in rows:
                    if row.error or (number and row.entry.once):
                        continue
                    settings = dict(row.entry.settings)
                    if row.entry.tool == "ours" and threads:
                        settings["threads"] = threads
                    if number == 0:
                        # A subset may be too small for a method; the whole is not.
                        warmed = tools[row.entry.tool].ask(warm=row.entry.method, settings=settings)
                        if "longer" in warmed.get("error", ""):
                            row.error = warmed["error"]
                            continue
                    answer = tools[row.entry.tool].ask(run=row.entry.method, settings=settings, out=out)
                    if "error" in answer:
                        row.error = answer["error"]
                        continue
                    row.add(answer)
                    with np.load(out) as made:
                        row.result = judge(data, made)
        finally:
            for tool in tools.values():
                tool.close()
    for row in rows:
        peer = next((other for other in rows if other.entry.label == row.entry.against and other.seconds), None)
        if peer is not None and row.seconds:
            row.ratio = row.median / peer.median
            row.cpu_ratio = statistics.median(row.cpu) / max(statistics.median(peer.cpu), 1e-9)
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--peers", default="all", help="comma-separated names (picasso, locan, comet), all (default) or none")
    parser.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="Python in which a peer is installed; this one where not given",
    )
    parser.add_argument("--data", default=",".join(PLANS), help="comma-separated data sets; default: " + ",".join(PLANS))
    parser.add_argument("--only", default="", help="comma-separated parts of labels; only methods that have one of them")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which a method is given up (default 900)")
    parser.add_argument("--threads", type=int, help="threads of this project's modules; default: all processors")


def measure(
    repeats: int = 3,
    *,
    peers: str = "all",
    peer_python: Iterable[str] = (),
    data: str = "",
    only: str = "",
    threads: int | None = None,
    limit: float = 900.0,
) -> dict[str, Any]:
    """Run, print a table for each data set, and return all numbers."""
    pythons = {
        "ours": sys.executable,
        **dict.fromkeys(TOOLS.keys() - {"ours"}, sys.executable),
        **dict(p.split("=", 1) for p in peer_python),
    }
    wanted = (
        [] if peers == "none" else [name for name in TOOLS if name != "ours" and (peers == "all" or name in peers.split(","))]
    )
    there = {"ours", *(name for name in wanted if installed(name, pythons[name]))}
    for name in sorted(set(wanted) - there):
        print(f"{name} is not installed in {pythons[name]}")
    results: dict[str, Any] = {}
    for name in data.split(",") if data else PLANS:
        if name == "tutorial_locan" and not make_tutorial(pythons["locan"], there):
            continue
        dataset = load(name)
        entries = [
            entry
            for entry in PLANS[name]
            if entry.tool in there and (not only or any(part in entry.label for part in only.split(",")))
        ]
        for label in (entry.label for entry in entries if not known(entry)):
            print(f"{label}: not among the registered modules")
        bound, best = drift_oracle.limit(dataset), drift_oracle.oracle(dataset, best=True)
        rows = compare(dataset, [entry for entry in entries if known(entry)], pythons, repeats, threads, limit)
        print(table(describe(dataset), dataset.axes, bound, best, rows), flush=True)
        if name in NOTES and wanted:
            print(NOTES[name], flush=True)
        results[name] = {"oracle": bound, "oracle_best_step": best, "methods": [row.numbers() for row in rows]}
    print(compared(results), flush=True)
    return {"load_average": os.getloadavg() if hasattr(os, "getloadavg") else None, "data": results}


def make_tutorial(python: str, there: Iterable[str]) -> bool:
    """The very table that locan simulates; only where locan is."""
    try:
        load("tutorial_locan")
    except KeyError:
        if "locan" not in there:
            return False
        from benchmarks.drift_data import folder

        script = ROOT / "benchmarks" / "peer_locan.py"
        subprocess.run([python, str(script), str(folder() / "tutorial_locan.npz")], check=True, capture_output=True)
    return True
