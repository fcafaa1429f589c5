"""Tables of localizations for the benchmarks of rendering and linking."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

FIELD = 20_000.0
"""Edge of the field, nm."""


def blinking(rows: int, *, precision: float = 8.0, n_frames: int = 100_000, seed: int = 0) -> dict[str, Any]:
    """Molecules all over the field that shine once, for two frames on average; columns in float32, in the order of frames.

    `precision` is the median standard error, nm.
    """
    rng = np.random.default_rng(seed)
    molecules = rows // 2 + rows // 50 + 16
    lasting = rng.geometric(0.5, molecules)
    molecule = np.repeat(np.arange(molecules, dtype=np.int32), lasting)[:rows]
    since = np.arange(len(molecule)) - (np.cumsum(lasting) - lasting)[molecule]
    frame = (rng.integers(0, n_frames, molecules)[molecule] + since).astype(np.int32)
    order = np.argsort(frame, kind="stable")
    molecule, frame = molecule[order], frame[order]
    photons = rng.exponential(1500, len(frame)).astype("f4") + np.float32(300)
    error = (np.float32(precision) * np.sqrt(np.float32(np.median(photons)) / photons)).astype("f4")
    columns = {"frame": frame}
    for name in "xy":
        place = rng.uniform(0, FIELD, molecules).astype("f4")[molecule] + error * rng.standard_normal(len(frame), dtype="f4")
        columns[name] = np.clip(place, 0.01, FIELD - 0.01).astype("f4")
    columns |= {"error_x": error, "error_y": (error * np.float32(1.05)).astype("f4"), "photons": photons}
    for name, low, high in (("sigma_x", 120, 150), ("sigma_y", 120, 150), ("background", 5, 20)):
        columns[name] = (rng.random(len(frame), dtype="f4") * (high - low) + low).astype("f4")
    return columns


def in_picasso(python: str, path: Path, repeats: int, *methods: str) -> dict[str, Any]:
    """What `benchmarks/peer_picasso_locs.py` measures: method -> seconds, cpu, result."""
    script = Path(__file__).with_name("peer_picasso_locs.py")
    done = subprocess.run(
        [python, "-W", "ignore", str(script), str(path), str(repeats), *methods], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print("Picasso failed:", (done.stderr.strip().splitlines() or ["no word"])[-1])
    lines = [json.loads(line.removeprefix("RESULT ")) for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    return {line["method"]: line for line in lines}


def peer(peer_python: list[str]) -> str | None:
    """The Python that was named for Picasso."""
    named = dict(word.split("=", 1) for word in peer_python)
    return named.get("picasso")
