"""locan's Drift with its icp and cc methods, as in its tutorial; and the very table of that tutorial."""

from __future__ import annotations

import sys
import time
import warnings

import locan as lc
import numpy as np
import pandas as pd


def run(columns, n_frames, *, method="icp", chunk_size=10_000, model="linear"):
    """Chunks registered to the first one, and a model of the offsets over frames."""
    table = {"position_x": columns["x"].astype(float), "position_y": columns["y"].astype(float), "frame": columns["frame"]}
    locs = lc.LocData.from_dataframe(pd.DataFrame(table))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drift = lc.Drift(chunk_size=chunk_size, target="first", method=method).compute(locs)
        # One object for each axis: a shared one would hold the second axis's fit for both.
        drift.fit_transformations(offset_models=[lc.DriftComponent(model) for _ in range(2)])
    seconds = time.perf_counter() - start
    frames = np.arange(n_frames)
    curve = np.column_stack([np.asarray(part.eval(frames), dtype=float) for part in drift.transformation_models["offset"]])
    return {"curve": np.column_stack([curve, np.zeros(n_frames)]), "seconds": seconds}


def tutorial_table(path):
    """Write the data of locan's tutorial on drift, seed 1, in the form of `benchmarks.drift_data`."""
    from scipy import stats

    rng = np.random.default_rng(seed=1)
    locs = lc.simulate_Thomas(
        parent_intensity=1e-4, region=((0, 1000), (0, 1000)), cluster_mu=1000, cluster_std=10, seed=rng
    )  # fmt: skip
    locs.dataframe["intensity"] = stats.expon.rvs(scale=1000, size=len(locs), loc=500)
    locs.dataframe["frame"] = lc.simulate_frame_numbers(n_samples=len(locs), lam=3, seed=rng)
    table = lc.LocData.from_dataframe(dataframe=locs.data).data
    frame = table["frame"].to_numpy().astype(np.int32)
    moved = np.arange(frame.max() + 1)[:, np.newaxis] * np.array([0.002, 0.001, 0.0])
    # What spreads the localizations is their blob: its middle stands for the molecule, its width for the error.
    middle = table.groupby("cluster_label")[["position_x", "position_y"]].transform("mean").to_numpy()
    zeros = np.zeros(len(frame), np.float32)
    np.savez(
        path, x=table["position_x"].to_numpy() + moved[frame, 0], y=table["position_y"].to_numpy() + moved[frame, 1], z=zeros,
        frame=frame, photons=table["intensity"].to_numpy().astype(np.float32), error_x=zeros + 10, error_y=zeros + 10,
        error_z=zeros, drift_true=moved, x_true=middle[:, 0], y_true=middle[:, 1], z_true=zeros,
    )  # fmt: skip


METHODS = {"drift": run}

if __name__ == "__main__":
    tutorial_table(sys.argv[1])
