"""Simulated data with known drift on which methods are compared: the same for everyone, made once and kept.

``python -m benchmarks.drift_data [NAME ...]`` makes them in the folder that SMLM_BENCHMARK_DATA names, or in one among the temporary
files. Each is one .npz: x, y, z (nm, with drift), frame, photons, error_x, error_y, error_z, where there are two colours channel,
drift_true (n_frames, 3) = the movement that was added, and x_true, y_true, z_true = where the molecules are.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import Drift, Localizations
from recipes_core.module import Context
from recipes_modules.simulate import Locs_Simulate

FOLDER = "SMLM_BENCHMARK_DATA"
Columns = dict[str, Any]

FILAMENTS: dict[str, Any] = {
    "field": 20.0, "n_filaments": 60, "length": (10.0, 25.0), "persistence_length": 10.0, "tube_radius": 17.0, "depth": 300.0,
    "tilt": 0.03, "on_time": 2.0, "bleaching": 0.7, "background": 0.05, "photons": 3000.0, "precision_law": "photons",
    "precision": 25.0, "axial_precision": 62.5, "precision_range": (8.0, 25.0), "drift": "sinusoid", "drift_roughness": 0.35,
    "drift_amplitude": (300.0, 300.0, 150.0),
}  # fmt: skip
"""Bent filaments with a drift that is a slow wave and a random walk; `drift_seed` chosen for steps of the walk in the ratio of 1M: 0.49 /
0.29 / 0.12 and 10M: 0.22 / 0.19 / 0.12 nm a frame, for which figures of other programs are known."""
SHORT = FILAMENTS | {"n_localizations": 1_000_000, "n_frames": 40_000, "drift_seed": 2524}
LONG = FILAMENTS | {"n_localizations": 10_000_000, "n_frames": 100_000, "drift_seed": 1283}
GRIDS: dict[str, Any] = {
    "kind": "grids", "field": 12.8, "site_spacing": 50.0, "on_time": 1.0, "background": 0.0, "n_frames": 20_000,
    "precision_law": "constant", "precision": 10.0, "drift": "knots", "drift_amplitude": (480.0, 480.0, 0.0), "drift_seed": 7,
}  # fmt: skip
"""Grids of sites as Ma et al. 2024 (doi:10.1126/sciadv.adm7765) simulate: a drift of 0.2 nm a frame, smooth between 400 places of a walk."""
DENSE = GRIDS | {"n_clusters": 238, "n_localizations": 1_000_000}
DARK = ((0, 500), (9_000, 11_500), (20_000, 20_200), (39_700, 40_000))
"""Frames from which nothing is left in `empty_windows`."""


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes
    ----------
    name : str
    locs : dict
        Columns of the table, sorted by frame.
    moved : array (n_frames, 3)
        What the drift added, nm.
    molecules : array (n, 3)
        Where the molecules are, nm.
    axes : str
        Axes that drift.
    """

    name: str
    locs: Columns
    moved: np.ndarray
    molecules: np.ndarray

    @property
    def axes(self) -> str:
        return "xyz" if np.ptp(self.moved[:, 2]) > 0 else "xy"

    @property
    def truth(self) -> Drift:
        return Drift(np.arange(len(self.moved)), -self.moved, exact=True)

    def table(self) -> Localizations:
        """As the modules take it."""
        return Localizations(self.locs)


def simulate(seed: int = 1, **parameters: Any) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Table, movement and places of the molecules."""
    module = Locs_Simulate(**parameters)
    made = module.apply(ctx=Context("data", seed=seed))
    table, truth = made["output_localizations"], made["output_truth"]
    names = ("x", "y", "z", "frame", "photons", "error_x", "error_y", "error_z", *(("channel",) if "channel" in table else ()))
    molecules = np.column_stack([truth[name] for name in "xyz"])
    return {name: table[name] for name in names}, -made["output_drift"].correction, molecules


def tutorial() -> tuple[Columns, np.ndarray, np.ndarray]:
    """Blobs with a linear drift: the law of the data in locan's tutorial on drift.

    What spreads the localizations is their blob; its middle stands for the molecule, its width for the error.
    """
    blobs: dict[str, Any] = {"n_clusters": 100, "cluster_size": 1000.0, "cluster_sigma": 0.0, "field": 1.0}
    locs, moved, molecules = simulate(
        kind="thomas", localizations_per_frame=3.0, on_time=1.0, background=0.0, precision_law="constant", precision=10.0,
        axial_precision=0.0, drift="none", **blobs,
    )  # fmt: skip
    moved = np.arange(len(moved))[:, np.newaxis] * np.array([0.002, 0.001, 0.0])
    for axis, name in enumerate("xyz"):
        locs[name] = (locs[name] + moved[locs["frame"], axis]).astype(np.float32)
    return locs, moved, molecules


def empty_windows() -> tuple[Columns, np.ndarray, np.ndarray]:
    """The filaments with stretches of the movie in which nothing was localized, the first and last frames among them."""
    locs, moved, molecules = simulate(**SHORT)
    kept = np.ones(len(molecules), bool)
    for first, last in DARK:
        kept &= (locs["frame"] < first) | (locs["frame"] >= last)
    return {name: values[kept] for name, values in locs.items()}, moved, molecules[kept]


MAKERS: dict[str, Callable[[], tuple[Columns, np.ndarray, np.ndarray]]] = {
    "tutorial": tutorial,
    "filaments_1m": partial(simulate, **SHORT),
    "aim_5": partial(simulate, **GRIDS, n_clusters=24, n_localizations=100_000),
    "aim_50": partial(simulate, **DENSE),
    "fast": partial(simulate, **DENSE | {"drift_amplitude": (4800.0, 4800.0, 0.0)}),
    "fast_filaments": partial(simulate, **SHORT | {"drift_amplitude": (3000.0, 3000.0, 1500.0)}),
    "jump": partial(simulate, **SHORT, jump=(200.0, 0.0, 0.0), jump_at=0.4),
    "sparse": partial(simulate, **SHORT | {"n_localizations": 5000}),
    "empty_windows": empty_windows,
    "two_colours": partial(
        simulate, **SHORT | {"n_filaments": 30, "n_localizations": 500_000, "n_frames": 20_000}, n_channels=2,
        channel_shift=(40.0, -25.0, 0.0),
    ),
    "filaments_10m": partial(simulate, **LONG),
}  # fmt: skip


def folder() -> Path:
    """Where the data are kept."""
    path = Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir()) / "smlm-benchmark-data")
    path.mkdir(parents=True, exist_ok=True)
    return path


def path_of(name: str) -> Path:
    """The file of a data set, made where it is not there."""
    path = folder() / f"{name}.npz"
    if not path.exists():
        locs, moved, molecules = MAKERS[name]()
        partly = path.with_suffix(f".{os.getpid()}.part.npz")
        np.savez(partly, drift_true=moved, **dict(zip(("x_true", "y_true", "z_true"), molecules.T, strict=True)), **locs)
        partly.replace(path)
    return path


def load(name: str) -> Dataset:
    """A data set by its name."""
    with np.load(path_of(name)) as file:
        columns = {key: file[key] for key in file.files}
    moved = columns.pop("drift_true")
    molecules = np.column_stack([columns.pop(f"{axis}_true") for axis in "xyz"])
    return Dataset(name, columns, moved, molecules)


def describe(data: Dataset) -> str:
    """Counts, errors and steps of a data set, in one line."""
    step = np.sqrt(np.mean(np.diff(data.moved, axis=0) ** 2, axis=0))
    span = np.ptp(data.moved, axis=0)
    return (
        f"{data.name:14} {len(data.molecules):>10,} localizations  {len(data.moved):>7,} frames  "
        f"error {data.locs['error_x'].mean():5.2f} / {data.locs['error_z'].mean():5.2f} nm  "
        f"range {' / '.join(f'{value:.0f}' for value in span)} nm  step {' / '.join(f'{value:.3f}' for value in step)} nm"
    )


if __name__ == "__main__":
    for dataset in sys.argv[1:] or MAKERS:
        print(describe(load(dataset)), flush=True)
