"""Linking ten million localizations: the chains, the whole module, one sort of the table by frame and x, and Picasso's link.

``--peer-python picasso=PYTHON`` names the Python of an environment with picassosr; ``--peer-rows`` how many rows it gets.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.locs_data import blinking, in_picasso, peer
from recipes_core import Context, Localizations
from recipes_modules import FindClumps, Link


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument(
        "--peer-rows", type=int, default=1_000_000, help="rows that Picasso links, and this project for comparison"
    )
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PATH", help="picasso=PYTHON")


def measure(repeats: int, rows: int, peer_rows: int, peer_python: list[str]) -> dict[str, Any]:
    """Print the times, in turn; medians, and the fastest."""
    from recipes_modules.grouping.chains import chains

    columns = blinking(rows)
    table = Localizations(columns)
    settings = {"r_max": 50.0, "max_dark_time": 1, "remove_ambiguous_lengths": False}
    radius = np.array([50.0])
    x, y, frame = columns["x"], columns["y"], columns["frame"]

    def link(source: Localizations) -> Localizations:
        return Link(**settings).apply(source, ctx=Context("link", wanted=["output_localizations"]))["output_localizations"]

    def clumps(source: Localizations) -> Any:
        return FindClumps().apply(source, ctx=Context("clumps", wanted=["outputName"]))

    sides: dict[str, Callable[[], Any]] = {
        "sort by frame and x (numpy.lexsort)": lambda: np.lexsort((x, frame)),
        "chains": lambda: chains(x, y, frame, radius, 2, by_end=True),
        "Link, all columns merged": lambda: link(table),
        "FindClumps": lambda: clumps(table),
    }
    few = table.select(slice(0, 20_000))
    link(few)
    clumps(few)
    times = _rounds(sides, repeats)
    sort = statistics.median(times["sort by frame and x (numpy.lexsort)"])
    print(f"{rows:,} localizations, {len(columns)} columns; median (fastest) of {repeats}")
    for name, seconds in times.items():
        print(
            f"  {name:38} {statistics.median(seconds):7.2f} s ({min(seconds):.2f})   {statistics.median(seconds) / sort:5.2f} sorts"
        )
    result: dict[str, Any] = {"seconds": times}
    python = peer(peer_python)
    if python:
        result["picasso"] = _beside(python, table.select(slice(0, peer_rows)), repeats, link)
    return result


def _rounds(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return times


def _beside(python: str, table: Localizations, repeats: int, link: Callable[[Localizations], Localizations]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.npz"
        np.savez(path, **dict(table))
        theirs = in_picasso(python, path, repeats, "link").get("link")
    ours = _rounds({"link": lambda: link(table)}, repeats)["link"]
    if theirs is None:
        return {}
    made = link(table)
    print(f"{len(table):,} localizations beside Picasso's link (same r_max and max_dark_time)")
    slow, fast = statistics.median(theirs["seconds"]), statistics.median(ours)
    found = theirs["result"]
    print(f"  Picasso {slow:7.2f} s: {found['rows']:,} molecules, {found['photons']:.6g} photons")
    print(f"  here    {fast:7.2f} s: {len(made):,} molecules, {float(made['photons'].sum(dtype=float)):.6g} photons")
    print(f"  {slow / fast:.1f} times as fast")
    return {"theirs": theirs, "ours": ours}
