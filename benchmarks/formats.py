"""Ten million localizations: Picasso .hdf5 read here, by h5py alone, and by Picasso; and the readers of peers on what is written here.

``--picasso PYTHON`` and ``--locan PYTHON`` name the Python of an environment in which the peer is installed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from recipes_core.data import ImageStack, Localizations

ROWS = 10_000_000
NAMES = ("x", "y", "photons", "sx", "sy", "bg", "lpx", "lpy", "ellipticity", "net_gradient")
PICASSO_LOAD = "import sys, time\nfrom picasso import io\nt = time.perf_counter()\nio.load_locs(sys.argv[1])\nprint('SECONDS', time.perf_counter() - t)\n"  # noqa: E501
PICASSO_READ = """
import sys, numpy as np
from picasso import io
folder = sys.argv[1]
truth = np.load(folder + "/truth.npz")
locs, info = io.load_locs(folder + "/a.hdf5")
print("Picasso .hdf5: rows", len(locs), "of", len(truth["x"]), "largest error of x in nm", float(abs(locs.x * 100 - truth["x"]).max()))
movie, info = io.load_raw(folder + "/m.raw")
print("Picasso .raw:", movie.shape, movie.dtype)
locs, info = io.import_ts(folder + "/a.ts.csv", 100)
print("Picasso, ThunderSTORM csv: largest error of x in nm", float(abs(locs.x * 100 - 50 - truth["x"]).max()))
locs, info = io.import_smap(folder + "/a_sml.mat", 100)
print("Picasso, SMAP _sml.mat: largest error of x in nm", float(abs(locs.x * 100 - truth["x"]).max()))
"""
LOCAN_READ = """
import sys, numpy as np, locan
folder = sys.argv[1]
truth = np.load(folder + "/truth.npz")
for name, load, shift in (("a.ts.csv", locan.load_thunderstorm_file, 50), ("a.decode.h5", locan.load_decode_file, 0),
                          ("a.smlm", locan.load_SMLM_file, 0), ("a_sml.mat", locan.load_SMAP_file, 0)):
    data = load(folder + "/" + name).data
    print("locan", name, "rows", len(data), "largest error of x in nm", float(abs(data.position_x - shift - truth["x"]).max()))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--picasso", help="Python of an environment with picassosr")
    parser.add_argument("--locan", help="Python of an environment with locan")


def measure(repeats: int, rows: int, picasso: str | None, locan: str | None) -> dict[str, Any]:
    """Print the times and what the peers read."""
    with tempfile.TemporaryDirectory() as folder:
        _peers_read(Path(folder), picasso, locan)
        path = _large(Path(folder), rows)
        sides: dict[str, Callable[[], float]] = {
            "h5py and splitting into columns": lambda: _timed(lambda: _plain(path)),
            "here": lambda: _timed(lambda: Localizations.load(path)),
        }
        if picasso:
            sides["Picasso"] = lambda: _in_peer(picasso, str(path))
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(repeats):
            for name, run in sides.items():
                times[name].append(run())
    found = {name: statistics.median(values) for name, values in times.items()}
    print(f"Picasso .hdf5 of {rows:,} rows, {len(NAMES) + 1} columns; median of {repeats}")
    for name, seconds in found.items():
        print(f"  {name:32} {seconds:8.2f} s   {seconds / found['here']:5.2f} times ours")
    return {"seconds": found}


def _timed(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _plain(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        table = file["locs"][:]
    return {name: np.ascontiguousarray(table[name]) for name in table.dtype.names}


def _in_peer(python: str, path: str) -> float:
    done = subprocess.run([python, "-c", PICASSO_LOAD, path], capture_output=True, text=True, check=True)
    return float(done.stdout.rpartition("SECONDS")[2])


def _large(folder: Path, rows: int) -> Path:
    rng = np.random.default_rng(0)
    table = np.empty(rows, np.dtype([("frame", "u4"), *((name, "f4") for name in NAMES)]))
    table["frame"] = np.sort(rng.integers(0, 100_000, rows))
    for name in NAMES:
        table[name] = rng.random(rows, dtype="f4") * 100
    with h5py.File(folder / "large.hdf5", "w") as file:
        file["locs"] = table
    (folder / "large.yaml").write_text("Width: 256\nHeight: 256\nFrames: 100000\nPixelsize: 130\n")
    return folder / "large.hdf5"


def _peers_read(folder: Path, picasso: str | None, locan: str | None) -> None:
    rng = np.random.default_rng(1)
    n = 1000
    ranges = {
        "x": 2e4,
        "y": 2e4,
        "z": 500,
        "photons": 5000,
        "background": 100,
        "sigma_x": 150,
        "sigma_y": 150,
        "error_x": 30,
        "error_y": 30,
    }
    columns = {name: rng.uniform(1, high, n).astype("f4") for name, high in ranges.items()}
    metadata = {"voxelsize.x": 0.1, "voxelsize.y": 0.1}
    locs = Localizations({**columns, "frame": np.sort(rng.integers(0, 500, n))}, metadata=metadata)
    for suffix in ("hdf5", "ts.csv", "decode.h5", "smlm"):
        locs.save(folder / f"a.{suffix}")
    locs.save(folder / "a_sml.mat")
    ImageStack(rng.integers(0, 999, (5, 1, 7, 9)).astype("u2"), metadata=metadata).save(folder / "m.raw")
    np.savez(folder / "truth.npz", **columns)
    for python, program in ((picasso, PICASSO_READ), (locan, LOCAN_READ)):
        if python:
            done = subprocess.run(
                [python, "-W", "ignore", "-c", program, str(folder)], capture_output=True, text=True, check=True
            )
            print(done.stdout, end="")
