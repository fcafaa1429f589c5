"""NeNA and FRC on tables whose precision and resolution are known, and Picasso's figures of the same tables.

``--peer-python picasso=PYTHON`` names the Python of an environment with picassosr. Picasso takes the pixel of its FRC from its NeNA, which
tables without blinks over several frames mislead: with the tables of known resolution it then gives none, or one of coarse pixels.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.locs_data import peer
from recipes_modules.quality import frc, nena

Columns = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PATH", help="picasso=PYTHON")


def blinks(seed: int, sigma: float, *, molecules: int, field: float, n_frames: int = 20_000, uneven: bool = False) -> Columns:
    """Molecules that shine for two frames on average, again and again; `sigma` is the root mean square precision, nm."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(molecules), rng.poisson(5.0, molecules))
    start, length = rng.integers(0, n_frames - 30, len(of)), rng.geometric(0.5, len(of))
    places = rng.uniform(0, field, (molecules, 2))
    of, frame = np.repeat(of, length), np.repeat(start, length) + np.concatenate([np.arange(k) for k in length])
    error = np.full(len(of), sigma)
    if uneven:
        error = 1 / np.sqrt(1 + rng.exponential(2.0, len(of)))
        error *= sigma / np.sqrt(np.mean(error**2))
    x, y = (places[of] + rng.normal(size=(len(of), 2)) * error[:, None]).T
    order = np.argsort(frame, kind="stable")
    return {
        "x": x[order],
        "y": y[order],
        "frame": frame[order].astype(np.int32),
        "error_x": error[order],
        "error_y": error[order],
    }


def visits(seed: int, sigma: float, mean: float, *, molecules: int = 60_000, field: float = 10_000.0) -> Columns:
    """Molecules at random, each localized `mean` times at times of their own: the FRC of two halves is known."""
    rng = np.random.default_rng(seed)
    places = np.repeat(rng.uniform(0, field, (molecules, 2)), rng.poisson(mean, molecules), axis=0)
    x, y = (places + rng.normal(0, sigma, places.shape)).T
    frame = np.sort(rng.integers(0, 20_000, len(x))).astype(np.int32)
    order = rng.permutation(len(x))
    error = np.full(len(x), sigma)
    return {"x": x[order], "y": y[order], "frame": frame, "error_x": error, "error_y": error}


def resolution_of(sigma: float, mean: float) -> float:
    """Where the FRC of `visits` is 1/7: halves share their molecules, so it is a / (1 + a), a = mean / 2 exp(-4 pi^2 sigma^2 q^2)."""
    return 2 * math.pi * sigma / math.sqrt(math.log(3 * mean))


def tables() -> dict[str, tuple[str, float, Columns]]:
    """Name -> what is measured, its truth in nm, and the table."""
    made: dict[str, tuple[str, float, Columns]] = {}
    for sigma in (5.0, 10.0, 25.0):
        made[f"precision {sigma:g} nm"] = ("nena", sigma, blinks(1, sigma, molecules=6000, field=20_000.0))
    made["precision 10 nm, crowded"] = ("nena", 10.0, blinks(2, 10.0, molecules=20_000, field=1500.0))
    made["precision 10 nm, uneven photons"] = ("nena", 10.0, blinks(3, 10.0, molecules=6000, field=20_000.0, uneven=True))
    for sigma, mean in ((10.0, 6.0), (10.0, 20.0), (20.0, 12.0)):
        made[f"{mean:g} visits, precision {sigma:g} nm"] = ("frc", resolution_of(sigma, mean), visits(4, sigma, mean))
    return made


def measure(repeats: int, peer_python: list[str]) -> dict[str, Any]:
    """Print truth, this project's figure with its band, and Picasso's."""
    python = peer(peer_python)
    results: dict[str, Any] = {}
    warm = visits(0, 10.0, 6.0, molecules=500, field=900.0)
    frc(warm["x"], warm["y"], warm["frame"], n_splits=2)
    print(f"{'table':34}{'rows':>9}{'what':>6}{'truth':>8}{'ours':>9}{'off':>8}   {'95 % band':18}{'CPU s':>7}   Picasso")
    for name, (what, truth, columns) in tables().items():
        began = time.process_time()
        found = (nena if what == "nena" else frc)(columns["x"], columns["y"], columns["frame"])
        seconds = time.process_time() - began
        value = found.precision if what == "nena" else found.resolution
        other = _of_picasso(python, what, columns) if python else {}
        told = (
            f"{other['value']:.2f} nm ({other['value'] / truth - 1:+.1%}), {other['cpu']:.1f} s"
            if "value" in other
            else other.get("word", "")
        )
        band = f"{found.band[0]:.2f} to {found.band[1]:.2f}"
        print(
            f"{name:34}{len(columns['x']):>9,}{what:>6}{truth:>8.2f}{value:>9.2f}{value / truth - 1:>+8.1%}   {band:18}{seconds:>7.2f}   {told}"
        )
        results[name] = {
            "what": what, "truth": truth, "rows": len(columns["x"]), "value": value, "band": list(found.band), "cpu": seconds,
            "picasso": other,
        }  # fmt: skip
    return {"tables": results}


def _of_picasso(python: str, what: str, columns: Columns) -> dict[str, Any]:
    """Picasso's figure of the same table, nm; ``word`` where it gives none."""
    script = Path(__file__).with_name("peer_picasso_quality.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.npz"
        np.savez(path, **columns)
        done = subprocess.run([python, "-W", "ignore", str(script), what, str(path)], capture_output=True, text=True, check=False)
    lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        return {"word": "failed: " + (done.stderr.strip().splitlines() or ["no word"])[-1]}
    result: dict[str, Any] = json.loads(lines[-1])
    return result
