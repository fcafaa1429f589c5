"""COMET (comet-smlm) on the processor."""

from __future__ import annotations

import time

import numpy as np
from comet.core.drift_optimizer import comet_run_kd


def run(columns, n_frames, *, segmentation=200, most=1000, start=100.0, end=10.0, reach=300.0, deep=True):
    """Windows of `segmentation` frames with `most` localizations each; kernel from `start` to `end` nm, pairs within `reach` nm."""
    z = columns["z"] if deep else np.zeros(len(columns["x"]))
    table = np.column_stack([columns["x"], columns["y"], z, columns["frame"]]).astype(float)
    begin = time.perf_counter()
    found = comet_run_kd(
        table, 2, segmentation, max_locs_per_segment=most, initial_sigma_nm=start, target_sigma_nm=end, max_drift_nm=reach,
        mode="cpu", min_max_frames=(0, n_frames - 1), random_state=0,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    drift = np.asarray(found[0] if isinstance(found, tuple) else found, dtype=float)
    curve = np.zeros((n_frames, 3))
    curve[: len(drift)] = -drift[:n_frames, :3]
    return {"curve": curve, "seconds": seconds}


METHODS = {"comet": run}
