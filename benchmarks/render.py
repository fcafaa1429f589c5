"""Ten million localizations rendered at 10 nm pixels: counts and a Gaussian for each, here and by Picasso, in turn.

``--peer-python picasso=PYTHON`` names the Python of an environment with picassosr. Picasso draws Gaussians up to 3 standard deviations,
this project up to 3.5.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.locs_data import FIELD, blinking, in_picasso, peer
from recipes_core import Context, Localizations
from recipes_modules import Locs_Render

METHODS = ("histogram", "gaussian")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--precision", type=float, default=8.0, help="median standard error, nm (default 8)")
    parser.add_argument("--threads", type=int, help="default: all processors")
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PATH", help="picasso=PYTHON")


def measure(repeats: int, rows: int, precision: float, threads: int | None, peer_python: list[str]) -> dict[str, Any]:
    """Print medians, and the fastest, and how many times as fast as Picasso this is."""
    columns = blinking(rows, precision=precision)
    table = Localizations(columns)
    low, middle, high = np.percentile(columns["error_x"], (5, 50, 95))
    print(
        f"{rows:,} localizations in {FIELD / 1000:g} um, 10 nm pixels, error_x {middle:.1f} nm (90% from {low:.1f} to {high:.1f})"
    )
    python = peer(peer_python)
    ours: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    theirs: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    checks: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.npz"
        np.savez(path, **columns)
        for method in METHODS:
            _ours(table.select(slice(0, 100_000)), method, threads)
        for _ in range(repeats):
            for method in METHODS:
                seconds, cpu, total = _ours(table, method, threads)
                ours[method].append((seconds, cpu))
                checks[method] = total
                found = in_picasso(python, path, 1, method).get(method) if python else None
                if found:
                    theirs[method].append((found["seconds"][0], found["cpu"][0]))
                    checks[f"Picasso {method}"] = found["result"]["sum"]
    result: dict[str, Any] = {"ours": ours, "picasso": theirs, "sums": checks}
    for method in METHODS:
        print(f"  {method:10} here    {_told(ours[method])}   sum {checks[method]:,.0f}")
        if theirs[method]:
            print(f"  {method:10} Picasso {_told(theirs[method])}   sum {checks[f'Picasso {method}']:,.0f}")
            pairs = [other[0] / own[0] for own, other in zip(ours[method], theirs[method], strict=True)]
            cpu = [other[1] / own[1] for own, other in zip(ours[method], theirs[method], strict=True)]
            best = min(other[0] for other in theirs[method]) / min(own[0] for own in ours[method])
            told = f"fastest of each: {best:.1f}; processor time {statistics.median(cpu):.1f}"
            print(f"  {method:10} {statistics.median(pairs):.1f} times as fast ({told})")
    return result


def _ours(table: Localizations, method: str, threads: int | None) -> tuple[float, float, float]:
    module = Locs_Render(method=method, pixel_size=10.0, bounds=[0, FIELD, 0, FIELD])
    ctx = Context("render", n_threads=threads, wanted=["output_image"])
    began, began_cpu = time.perf_counter(), time.process_time()
    image = module.apply(table, ctx=ctx)["output_image"]
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return seconds, cpu, float(image.asarray().sum(dtype=np.float64))


def _told(times: list[tuple[float, float]]) -> str:
    seconds, cpu = zip(*times, strict=True)
    return f"{statistics.median(seconds):6.3f} s (fastest {min(seconds):.3f}; processor {statistics.median(cpu):.3f})"
