"""What the engine itself costs: modules that do nothing, a second run, the store, and several processes.

``--parts`` chooses among noop, second, store, each. Peers are dask.delayed and joblib.Memory on the same graph of modules that do
nothing, where they are installed.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core import Input, ModuleBase, Output, Recipe
from recipes_core.data import Localizations, Table

PARTS = ("noop", "store", "second", "each")
SIZES = (10, 100, 1000, 10_000)
ROWS = 10_000_000
FILES = 8
EACH_ROWS = 4_000_000

RECIPE = """
recipe: 1
name: correct
inputs: {Localizations: {type: Localizations}}
modules:
  - FilterTable: {inputName: Localizations, outputName: kept, filters: {error_x: [0, 100]}}
  - Locs_RCC: {input_for_correction: kept, output_drift: drift_raw, step: 1000, window: 1000, flatten_z: true}
  - Drift_Interpolate: {input_drift_raw: drift_raw, output_drift_interpolator: drift}
  - Locs_Post_Shift: {input_localizations: kept, input_drift_interpolator: drift, output_name: corrected}
  - Locs_Render: {input_localizations: corrected, output_image: rendered}
outputs: {corrected: "", drift: "", rendered: ""}
"""


class Nothing(ModuleBase):
    """Hands its input on."""

    input_table = Input(Table, "table")
    output_table = Output(Table, "out")

    def run(self, ctx: Any, input_table: Table) -> Table:
        return input_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rows", type=int, default=ROWS, help="localizations of the second-run part")


def measure(repeats: int, parts: tuple[str, ...] = PARTS, rows: int = ROWS) -> dict[str, Any]:
    """Measure the parts; print a table of each."""
    from benchmarks import engine_store

    found: dict[str, Any] = {}
    if "noop" in parts:
        found["noop"] = _noop(repeats)
    if "store" in parts:
        found["store"] = engine_store.measure(repeats)
    if "second" in parts:
        found["second"] = _second_run(rows)
    if "each" in parts:
        found["each"] = _each(max(1, repeats // 2))
    return found


# -- modules that do nothing ---------------------------------------------------------------------------------------------


def _chain(n: int, **options: Any) -> Recipe:
    recipe = Recipe([Nothing(input_table=f"k{i}", output_table=f"k{i + 1}") for i in range(n)], **options)
    recipe.namespace["k0"] = Table({"x": np.arange(3.0)})
    return recipe


def _timed(action: Callable[[], Any]) -> float:
    gc.collect()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _noop(repeats: int) -> dict[str, Any]:
    rows: dict[str, dict[str, float]] = {}
    print(f"{'modules':>8} {'build':>9} {'plan':>9} {'execute':>9} {'again':>9}   us a module, median of {repeats}")
    for n in SIZES:
        times: dict[str, list[float]] = {"build": [], "plan": [], "execute": [], "again": []}
        for _ in range(repeats):
            held: list[Recipe] = []
            times["build"].append(_timed(lambda held=held, n=n: held.append(_chain(n))))
            recipe = held[0]
            times["plan"].append(_timed(recipe.plan))
            times["execute"].append(_timed(recipe.execute))
            times["again"].append(_timed(recipe.execute))
        rows[str(n)] = {name: 1e6 * statistics.median(values) / n for name, values in times.items()}
        row = rows[str(n)]
        print(f"{n:8} {row['build']:9.1f} {row['plan']:9.1f} {row['execute']:9.1f} {row['again']:9.2f}")
    largest = rows[str(SIZES[-1])]
    print(f"{SIZES[-1]} modules are built and planned in {(largest['build'] + largest['plan']) * SIZES[-1] / 1e6:.2f} s")
    cached = _noop_cached(repeats)
    return {"us_per_module": rows, "cached": cached, "peers": _peers(300)}


def _noop_cached(repeats: int, n: int = 200) -> dict[str, float]:
    """With the cache on, beside the bare cost of the same files, in turn on the same disk.

    The first turn makes the cache's folders, as the first run ever does, and is not counted.
    """
    ours, bare = [], []
    root = Path(tempfile.mkdtemp(prefix="recipes-noop-"))
    try:
        before: set[Path] = set()
        for turn in range(repeats + 1):
            recipe = _chain(n, cache=root / "cache")
            recipe.namespace["k0"] = Table({"x": np.arange(3.0) + turn})
            seconds = _timed(recipe.execute)
            files = {path for path in (root / "cache" / "entries").rglob("*") if path.is_file()}
            contents = [path.read_bytes() for path in sorted(files - before)]
            assert len(contents) == n
            before = files
            plain = _timed(lambda turn=turn, contents=contents: _bare(root / f"bare{turn}", contents))
            if turn:
                ours.append(seconds)
                bare.append(plain)
    finally:
        shutil.rmtree(root)
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    print(
        f"with the cache: {1e6 * statistics.median(ours) / n:.0f} us a module, bare mkdir + write + fsync + rename of the same files "
        f"{1e6 * statistics.median(bare) / n:.0f} us: {ratio:.2f} times"
    )
    return {"ours_us": 1e6 * statistics.median(ours) / n, "bare_us": 1e6 * statistics.median(bare) / n, "ratio": ratio}


def _bare(root: Path, contents: list[bytes]) -> None:
    stage, entries = root / "stage", root / "entries"
    stage.mkdir(parents=True)
    entries.mkdir()
    for number, content in enumerate(contents):
        folder = stage / str(number)
        folder.mkdir()
        with (folder / "content").open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        folder.rename(entries / str(number))


def _peers(n: int) -> dict[str, float]:
    found: dict[str, float] = {}
    table = Table({"x": np.arange(3.0)})
    try:
        import dask

        def built() -> Any:
            value: Any = dask.delayed(table)
            for _ in range(n):
                value = dask.delayed(_same)(value)
            return value

        dask.delayed(_same)(1).compute(scheduler="synchronous")
        found["dask.delayed, build and execute"] = 1e6 * _timed(lambda: built().compute(scheduler="synchronous")) / n
    except ImportError:
        print("dask is not installed: no comparison with it")
    try:
        import joblib

        folder = tempfile.mkdtemp(prefix="recipes-joblib-", dir=Path.cwd())
        try:
            kept = joblib.Memory(folder, verbose=0).cache(_numbered)
            for name in ("joblib.Memory, first", "joblib.Memory, again"):
                found[name] = 1e6 * _timed(lambda kept=kept: [kept(number, {"x": np.arange(3.0)}) for number in range(n)]) / n
        finally:
            shutil.rmtree(folder)
    except ImportError:
        print("joblib is not installed: no comparison with it")
    for name, value in found.items():
        print(f"{name:34} {value:9.1f} us a module")
    return found


def _same(value: Any) -> Any:
    return value


def _numbered(number: int, columns: dict[str, Any]) -> Any:
    return columns


# -- the second run ------------------------------------------------------------------------------------------------------


def _table(rows: int, seed: int) -> Localizations:
    """Emitters on a grid that drifts along a slow sine: cheap to make, and there is something to correlate."""
    rng = np.random.default_rng(seed)
    n_frames = 50_000
    frame = np.sort(rng.integers(0, n_frames, rows)).astype(np.int32)
    sites = rng.uniform(0, 20_000, (3000, 2))
    site = rng.integers(0, len(sites), rows)
    drift = 100 * np.sin(2 * np.pi * frame / n_frames)
    columns = {
        "x": sites[site, 0] + drift + rng.normal(0, 10, rows),
        "y": sites[site, 1] - drift / 2 + rng.normal(0, 10, rows),
        "frame": frame,
        "photons": rng.exponential(1000, rows),
        "error_x": rng.uniform(5, 20, rows),
        "error_y": rng.uniform(5, 20, rows),
        "sigma": rng.normal(130, 5, rows),
        "background": rng.uniform(5, 20, rows),
    }
    return Localizations(
        {name: np.asarray(values, np.int32 if name == "frame" else np.float32) for name, values in columns.items()}
    )


def _recipe(folder: Path, *arguments: str, one_processor: bool = False) -> float:
    code = "from recipes_core.cli.main import main; main()"
    environment = {**os.environ, "RECIPES_CACHE": str(folder / "cache")}
    if one_processor:
        # What each of the workers has; modules then run in one thread.
        code = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}}); {code}"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _second_run(rows: int) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="recipes-second-"))
    try:
        (folder / "correct.yaml").write_text(RECIPE)
        _table(rows, 1).save(folder / "locs.hdf")
        time.sleep(2.5)  # a digest is trusted where the file is older than the clock is coarse
        _recipe(folder, "--version")
        first = _recipe(folder, "run", "correct.yaml", "locs.hdf")
        seconds = [_recipe(folder, "run", "correct.yaml", "locs.hdf") for _ in range(3)]
        version = [_recipe(folder, "--version") for _ in range(3)]
        changed = _recipe(folder, "run", "correct.yaml", "locs.hdf", "-p", "smoothing_factor=5", "--target", "drift")
    finally:
        shutil.rmtree(folder)
    second, bare = statistics.median(seconds), statistics.median(version)
    print(
        f"{rows:,} localizations x 8 columns: first run {first:.1f} s, second {second:.2f} s ({100 * second / first:.1f}% of the first),"
    )
    print(f"'recipe --version' {bare:.2f} s, so {second - bare:.2f} s more; after a change of the spline alone {changed:.2f} s")
    return {"first": first, "second": second, "version": bare, "changed": changed}


# -- several processes -----------------------------------------------------------------------------------------------------


def _each(repeats: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="recipes-each-"))
    sides = {"serial": [], "serial, one processor": [], "processes": ["--executor", "processes", "--jobs", "2"]}
    try:
        import distributed

        sides["dask"] = ["--executor", "dask", "--jobs", "2"]
        print(f"dask {distributed.__version__}")
    except ImportError:
        print("dask is not installed: not measured")
    times: dict[str, list[float]] = {name: [] for name in sides}
    try:
        (folder / "correct.yaml").write_text(RECIPE)
        for number in range(FILES):
            _table(EACH_ROWS, number).save(folder / f"cell{number}.hdf")
            _table(20_000, number).save(folder / f"small{number}.hdf")
        for turn in range(repeats + 1):
            for name, options in sides.items():
                shutil.rmtree(folder / "cache", ignore_errors=True)
                files = "cell*.hdf" if turn else "small*.hdf"  # the first round compiles and fills the system's own caches
                arguments = ["run", "correct.yaml", "--each", f"Localizations={files}", "-o", name, *options]
                seconds = _recipe(folder, *arguments, one_processor="one" in name)
                if turn:
                    times[name].append(seconds)
    finally:
        shutil.rmtree(folder)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in medians.items():
        by = " and ".join(
            f"{medians[other] / seconds:.2f} times as fast as {other}" for other in list(sides)[:2] if other != name
        )
        print(f"{FILES} files of {EACH_ROWS:,} localizations, {name:22} {seconds:7.1f} s: {by}")
    return {"seconds": medians, "all": times}
