"""The cache against the bare disk: a table of 1 GB, and an object of a few numbers.

Each side writes to the same folder in turn, and every file is on the disk at the end. The bare sides are what the store cannot
be faster than by much: ``numpy.save`` and fsync per column; one file in a new folder, fsync, rename.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.cache import Cache, digest_of
from recipes_core.data import Localizations, Scalars

COLUMNS = ("x", "y", "z", "error_x", "error_y", "photons", "background", "sigma", "chi2", "frame")
ORIGIN: dict[str, Any] = {"step": "benchmark", "module": "smlm.Benchmark", "port": "out", "seconds": 0.0}
SMALL = 200


def measure(repeats: int = 5, nbytes: int = 10**9, folder: Path | None = None) -> dict[str, Any]:
    """Measure both, print a line about each, and return the numbers."""
    root = Path(tempfile.mkdtemp(prefix="recipes-store-", dir=folder))
    try:
        found = {"table": _table(root, repeats, nbytes), "small": _small(root, repeats)}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    table, small = found["table"], found["small"]
    print(f"table of {nbytes / 1e9:.2f} GB, median of {repeats}:")
    for name in ("numpy.save + fsync", "publish", "load, digests checked", "load, checked before"):
        print(f"  {name:24} {table['seconds'][name]:8.4f} s  {nbytes / 1e6 / table['seconds'][name]:10.0f} MB/s")
    print(f"  publish reaches {100 * table['ratio']:.0f}% of the speed of numpy.save + fsync (median of the pairs)")
    print(f"small object, {SMALL} of them, median of {repeats}:")
    for name in ("bare", "publish", "has", "load"):
        print(f"  {name:24} {1e3 * small['seconds'][name]:8.3f} ms")
    print(f"  publish takes {small['ratio']:.2f} times the bare mkdir, write, fsync and rename (median of the pairs)")
    return found


def _timed(action: Callable[[], Any]) -> float:
    gc.collect()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _settle() -> None:
    """Let the disk finish what the last side left behind, so that it does not count for the next."""
    if hasattr(os, "sync"):
        os.sync()


def _table(root: Path, repeats: int, nbytes: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    n = nbytes // (8 * len(COLUMNS))
    table = Localizations({name: random.random(n) for name in COLUMNS})
    times: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        cache, bare, key = Cache(root / "cache"), root / "bare", digest_of(["table", turn])
        bare.mkdir()
        sides = {
            "numpy.save + fsync": lambda bare=bare: _save(bare, table),
            "publish": lambda cache=cache, key=key: cache.publish(key, table, **ORIGIN),
        }
        # Whoever goes first finds another disk than who goes second.
        order = list(sides.items()) if turn % 2 else list(reversed(sides.items()))
        found = {}
        for name, action in order:
            _settle()
            found[name] = _timed(action)
        reader = Cache(root / "cache")
        found["load, digests checked"] = _timed(lambda reader=reader, key=key: reader.load(key))
        found["load, checked before"] = _timed(lambda reader=reader, key=key: reader.load(key))
        if turn:  # the first round warms up
            for name, seconds in found.items():
                times.setdefault(name, []).append(seconds)
        shutil.rmtree(root / "cache")
        shutil.rmtree(bare)
    pairs = [bare / own for bare, own in zip(times["numpy.save + fsync"], times["publish"], strict=True)]
    return {"seconds": _medians(times), "all": times, "ratio": statistics.median(pairs)}


def _save(folder: Path, table: Localizations) -> None:
    for name in table:
        with (folder / f"{name}.npy").open("wb") as stream:
            np.save(stream, table[name])
            stream.flush()
            os.fsync(stream.fileno())


def _small(root: Path, repeats: int) -> dict[str, Any]:
    obj = Scalars({"rmse": [1.0, 2.0, 3.0], "n": 12345}, units={"rmse": "nm"}, metadata={"voxelsize.x": 0.1})
    cache = Cache(root / "small")
    cache.publish(digest_of("first"), obj, **ORIGIN)
    content = (cache.layout.entry(digest_of("first")) / "manifest.json").read_bytes()
    stage, entries = root / "stage", root / "entries"
    stage.mkdir()
    entries.mkdir()
    times: dict[str, list[float]] = {}
    for turn in range(repeats):
        keys = [digest_of(["small", turn, number]) for number in range(SMALL)]
        found: dict[str, float] = dict.fromkeys(("bare", "publish", "has", "load"), 0.0)
        for key in keys:  # in turn, so that both meet the same disk
            started = time.perf_counter()
            _bare(stage / key, entries / key, content)
            between = time.perf_counter()
            cache.publish(key, obj, **ORIGIN)
            found["publish"] += time.perf_counter() - between
            found["bare"] += between - started
        reader = Cache(root / "small")
        found["has"] = _timed(lambda reader=reader, keys=keys: [reader.has(key) for key in keys])
        found["load"] = _timed(lambda reader=reader, keys=keys: [reader.load(key) for key in keys])
        for name, seconds in found.items():
            times.setdefault(name, []).append(seconds / SMALL)
    pairs = [own / bare for bare, own in zip(times["bare"], times["publish"], strict=True)]
    return {"seconds": _medians(times), "all": times, "ratio": statistics.median(pairs)}


def _bare(stage: Path, target: Path, content: bytes) -> None:
    stage.mkdir()
    with (stage / "manifest.json").open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    stage.rename(target)


def _medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--nbytes", type=int, default=10**9)
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured")
    arguments = parser.parse_args()
    measure(arguments.repeats, arguments.nbytes, arguments.folder)
