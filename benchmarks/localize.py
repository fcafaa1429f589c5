"""From movie to molecules: every row of the comparison with Picasso and PYME, on one simulated movie, in one run.

256 x 256 pixels, 50 emitters a frame with exponentially distributed photons of mean 1000, 20 background photons, PSF of 1.3 pixels, sCMOS
camera with 1.5 electrons of read noise. Each program runs in a process of its own (peers in a Python of their own, where they are installed),
which has compiled its code before it is timed; rounds alternate among the programs. Rates per core are of processor seconds on one core,
the fastest of the rounds; rates of the whole are by the clock. The Jaccard index counts all emitters, dim ones too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import localize_data
from benchmarks.localize_table import show
from benchmarks.programs import Program, installed

ROOT = Path(__file__).resolve().parents[1]
MODULES = {"ours": "benchmarks.localize_ours", "picasso": "benchmarks.peer_picasso_fits", "pyme": "benchmarks.peer_pyme_fits"}
IMPORTS = {"picasso": "picasso", "pyme": "PYME"}
DENSE = ROOT.parent / "shared" / "data" / "deepstorm"
DENSE_MOVIE, DENSE_TRUTH = "ArtificialDataset_demo1.tif", "positions_demo1.csv"


@dataclass
class Row:
    """One measurement of one program."""

    group: str
    label: str
    tool: str
    task: str
    settings: dict[str, Any] = field(default_factory=dict)
    cores: int = 1
    bound: tuple[int, int] | None = None
    """Half size and number of widths of the Cramer-Rao bound; None where positions are not judged."""
    frames: int = localize_data.SHORT
    """Frames whose truth counts."""
    fresh: bool = False
    """Whether it runs once, in a process of its own."""
    goal: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    error: str = ""

    def best(self, name: str) -> float:
        """Least of a number over the rounds."""
        return float(min(answer[name] for answer in self.answers))

    @property
    def rate(self) -> float:
        """Per second: of processor time on one core, of the clock on several."""
        return float(self.answers[0]["count"] / self.best("cpu" if self.cores == 1 else "seconds"))

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        shown = {name: getattr(self, name) for name in ("group", "label", "tool", "task", "settings", "cores", "goal", "error")}
        return {**shown, "rate": self.rate if self.answers else None, "answers": self.answers, "scores": self.scores}


def plan() -> list[Row]:
    """All measurements."""

    def whole(label: str, fit: str, widths: int, half: int = 3, *, goal: str = "", cores: int = 2, **settings: Any) -> Row:
        task = {"fit": fit, "threads": cores, **settings}
        return Row("whole", label, "ours", "whole", task, cores, (half, widths), goal=goal)

    def picasso(label: str, method: str, model: str, workers: int = 0) -> Row:
        task = {"method": method, "model": model, "workers": workers}
        return Row("whole", label, "picasso", "whole", task, 2, (3, 2 if model == "sigma_xy" else 1))

    def memory(label: str, tool: str, task: str, **settings: Any) -> list[Row]:
        return [
            Row("memory", f"{label}, {frames} frames", tool, task, {**settings, "movie": f"{name}.tif"}, 2, fresh=True)
            for name, frames in (("short", localize_data.SHORT), ("long", localize_data.LONG))
        ]

    def fits(tool: str, label: str, method: str, model: str, goal: str = "", **settings: Any) -> Row:
        return Row("fits", label, tool, "fit", {"method": method, "model": model, **settings}, goal=goal)

    return [
        Row("detection", "matched", "ours", "detect", {"fit": "GaussMLE"}, goal="1200"),
        Row("detection", "bandpass", "ours", "detect", {"fit": "LatGaussFitFR"}, goal="1200"),
        Row("detection", "Picasso", "picasso", "detect"),
        Row("detection", "PYME", "pyme", "detect"),
        fits("ours", "least squares, 5 parameters (GaussLSQ)", "gauss_lsq", "sigma", "400000"),
        fits("ours", "least squares, 7 parameters (LatGaussFitFR)", "lsq", "plane", "150000"),
        fits("ours", "maximum likelihood, one width", "mle", "sigma", "500000"),
        fits("ours", "maximum likelihood, two widths", "mle", "sigma_xy", "350000"),
        fits("picasso", "Picasso gausslq", "lsq", "sigma_xy"),
        fits("picasso", "Picasso gausslq-spherical", "lsq", "sigma"),
        fits("picasso", "Picasso gaussmle-spherical", "mle", "sigma"),
        fits("picasso", "Picasso gaussmle", "mle", "sigma_xy"),
        Row("fits", "PYME LatGaussFitFR, 11 x 11", "pyme", "fit"),
        whole("GaussMLE", "GaussMLE", 1, goal="80000"),
        whole("AstigGaussMLE, 7 x 7", "AstigGaussMLE", 2, goal="80000", roi_half_size=3),
        whole("GaussLSQ", "GaussLSQ", 1, goal="80000"),
        whole("LatGaussFitFR as PYME", "LatGaussFitFR", 1, 5, start_at=0),
        whole("LatGaussFitFR, matched, 7 x 7", "LatGaussFitFR", 1, goal="80000", start_at=0, detection="matched", roi_half_size=3),
        whole("MultiMLE", "MultiMLE", 1),
        whole("GaussMLE, one core", "GaussMLE", 1, cores=1),
        picasso("Picasso gausslq", "lsq", "sigma_xy"),
        picasso("Picasso gausslq, two workers", "lsq", "sigma_xy", 2),
        picasso("Picasso gaussmle", "mle", "sigma_xy"),
        picasso("Picasso gaussmle-spherical", "mle", "sigma"),
        Row("whole", "PYME LatGaussFitFR, one core", "pyme", "whole", {}, 1, (5, 1), frames=100),
        *memory("recipe with GaussMLE", "ours", "recipe", fit="GaussMLE"),
        *memory("Picasso gausslq", "picasso", "whole", method="lsq", model="sigma_xy"),
        *memory("Picasso gaussmle", "picasso", "whole", method="mle", model="sigma_xy"),
        *(
            Row("dense", label, "ours", "dense", {"movie": str(DENSE / DENSE_MOVIE), "truth": str(DENSE / DENSE_TRUTH), "fit": fit})
            for label, fit in (("MultiMLE", "MultiMLE"), ("GaussMLE", "GaussMLE"))
        ),
    ]  # fmt: skip


class Programs:
    """The processes, one for each program and number of cores, started when first asked."""

    def __init__(self, pythons: dict[str, str], folder: Path) -> None:
        self.pythons, self.folder = pythons, folder
        self._open: dict[tuple[str, int], Program] = {}
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def start(self, tool: str, cores: int, **environment: str) -> Program:
        """A new process."""
        cores_of_it = ",".join(map(str, self._cores[:cores]))
        words = ("benchmarks.localize_worker", MODULES[tool], str(self.folder), cores_of_it)
        return Program(self.pythons[tool], *words, **environment)

    def get(self, tool: str, cores: int) -> Program:
        """The process of a program."""
        if (tool, cores) not in self._open:
            self._open[tool, cores] = self.start(tool, cores)
        return self._open[tool, cores]

    def close(self) -> None:
        """End all processes."""
        for process in self._open.values():
            process.close()


def run(rows: list[Row], programs: Programs, repeats: int) -> None:
    """Measure the rows in rounds, and judge what was found in the first."""
    out = programs.folder / "found.npz"
    for row in rows:
        if row.fresh:
            process = programs.start(row.tool, row.cores)
            take(row, process.ask(task=row.task, settings=row.settings))
            process.close()
    rows = [row for row in rows if not row.fresh]
    for number in range(repeats + 1):
        for row in rows:
            if row.error:
                continue
            answer = programs.get(row.tool, row.cores).ask(
                task=row.task, settings=row.settings, out=str(out) if row.bound else ""
            )
            if number or "error" in answer:  # the first round compiles
                take(row, answer)
            elif row.bound:
                with np.load(out) as file:
                    found = {name: file[name] for name in file.files}
                row.scores = localize_data.judge(found, localize_data.truth(programs.folder, row.frames), *row.bound)


def take(row: Row, answer: dict[str, Any]) -> None:
    """Keep an answer."""
    if "error" in answer:
        row.error = answer["error"]
    else:
        row.answers.append(answer)


def files_of_each_other(programs: Programs) -> dict[str, Any]:
    """Picasso's own reader opens our .hdf5, ours Picasso's; largest differences of x and y in nm."""
    folder = programs.folder
    found: dict[str, Any] = {}
    for label, writer, write, reader, read, file in (
        ("ours read by Picasso", "ours", "write_picasso", "picasso", "read", "ours.hdf5"),
        ("Picasso's read by us", "picasso", "write", "ours", "read_picasso", "picasso.hdf5"),
    ):
        path = str(folder / file)
        written = programs.get(writer, 2).ask(
            task=write, settings={"file": path} if writer == "picasso" else {}, out=f"{path}.a.npz"
        )
        opened = programs.get(reader, 2).ask(task=read, settings={"file": path}, out=f"{path}.b.npz")
        if "error" in written or "error" in opened:
            found[label] = {"error": written.get("error") or opened.get("error")}
            continue
        with np.load(f"{path}.a.npz") as a, np.load(f"{path}.b.npz") as b:
            found[label] = {"rows": opened["count"], "of": written["count"], "largest_nm": _largest(a, b)}
    return found


def _largest(a: Any, b: Any) -> float:
    """Largest difference of places in nm; Picasso leaves out rows that it takes for wrong, and orders the others anew."""
    from scipy.spatial import cKDTree

    good = np.isfinite(a["x"]) & np.isfinite(a["y"])
    # Frames far apart, so that only places of one frame are near each other.
    places = [np.column_stack([np.asarray(t["frame"], float) * 1e7, t["x"], t["y"]]) for t in (a, b)]
    return float(cKDTree(places[0][good]).query(places[1])[0].max())


def first_use(programs: Programs) -> dict[str, float]:
    """Seconds of the first run ever, with nothing compiled, and of one in a new process that finds all compiled."""
    found = {}
    with tempfile.TemporaryDirectory() as cache:
        for label in ("first", "second"):
            process = programs.start("ours", 2, NUMBA_CACHE_DIR=cache, RECIPES_CACHE=cache)
            start = time.perf_counter()
            answer = process.ask(task="recipe", settings={"fit": "GaussMLE", "movie": "tiny.tif"})
            found[label] = time.perf_counter() - start if "error" not in answer else float("nan")
            process.close()
    return found


def known(row: Row) -> bool:
    """Whether the module of a row is there."""
    import recipes_modules

    return row.tool != "ours" or row.settings.get("fit", "GaussMLE") in recipes_modules.__all__


@contextlib.contextmanager
def movies(folder: Path | None) -> Iterator[Path]:
    """A folder with the movies."""
    with contextlib.ExitStack() as stack:
        here = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        here.mkdir(parents=True, exist_ok=True)
        if not (here / "truth.npz").exists():
            localize_data.make(here)
        yield here


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--peers", default="all", help="comma-separated names (picasso, pyme), all (default) or none")
    parser.add_argument(
        "--peer-python", action="append", default=[], metavar="NAME=PATH",
        help="Python in which a peer is installed; this one where not given",
    )  # fmt: skip
    parser.add_argument(
        "--only",
        default="",
        help="comma-separated parts of labels or groups (detection, fits, whole, memory, dense, files, first)",
    )
    parser.add_argument("--folder", type=Path, help="keep the movies here, and take them from here the next time")


def measure(
    repeats: int = 3, *, peers: str = "all", peer_python: Iterable[str] = (), only: str = "", folder: Path | None = None
) -> dict[str, Any]:
    """Run, print the table, and return all numbers."""
    pythons = {
        "ours": sys.executable,
        **dict.fromkeys(IMPORTS, sys.executable),
        **dict(p.split("=", 1) for p in peer_python),
    }
    wanted = [] if peers == "none" else [name for name in IMPORTS if peers == "all" or name in peers.split(",")]
    there = {"ours", *(name for name in wanted if installed(IMPORTS[name], pythons[name]))}
    for name in sorted(set(wanted) - there):
        print(f"{name} is not installed in {pythons[name]}")

    def chosen(*texts: str) -> bool:
        return not only or any(part in text for part in only.split(",") for text in texts)

    rows = [row for row in plan() if row.tool in there and chosen(row.label, row.group)]
    for row in rows:
        if not known(row):
            print(f"{row.label}: not among the registered modules")
    rows = [row for row in rows if known(row) and (row.group != "dense" or DENSE.exists())]
    with movies(folder) as here:
        programs = Programs(pythons, here)
        try:
            if any(row.tool == "picasso" and row.group == "fits" for row in rows):
                programs.get("ours", 1).ask(task="spots", out=str(here / "spots.npz"))
            run(rows, programs, repeats)
            files = files_of_each_other(programs) if "picasso" in there and chosen("files") else {}
            first = first_use(programs) if chosen("first") else {}
        finally:
            programs.close()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(show(rows, files, first, load), flush=True)
    return {"load_average": load, "rows": [row.numbers() for row in rows], "files": files, "first_use_seconds": first}
