"""Picasso's AIM and RCC (picassosr), called as its users' scripts do."""

from __future__ import annotations

import numpy as np
import pandas as pd
from picasso import aim, postprocess

PIXEL = 130.0
"""Camera pixel in which Picasso counts, nm."""


def _prepared(columns, n_frames, deep):
    """Its table and metadata: x and y in pixels, z in nm."""
    frame = {"frame": columns["frame"].astype(np.uint32)}
    for name in "xy":
        frame[name] = (columns[name] / PIXEL - min(0.0, float(columns[name].min()) / PIXEL)).astype(np.float32)
    if deep:
        frame["z"] = columns["z"].astype(np.float32)
    size = [int(np.ceil(frame[name].max())) + 1 for name in "xy"]
    info = [{"Width": size[0], "Height": size[1], "Frames": n_frames, "Pixelsize": PIXEL}]
    for name, error in (("lpx", "error_x"), ("lpy", "error_y")):
        frame[name] = (columns[error] / PIXEL).astype(np.float32)
    return pd.DataFrame(frame), info


def _correction(drift, n_frames):
    """What must be added at every frame: Picasso's drift is subtracted."""
    values = np.zeros((n_frames, 3))
    for axis, (name, scale) in enumerate((("x", PIXEL), ("y", PIXEL), ("z", 1.0))):
        if name in drift:
            found = np.asarray(drift[name], dtype=float)[:n_frames] * -scale
            values[: len(found), axis] = found
            values[len(found) :, axis] = found[-1]
    return values


def run_aim(columns, n_frames, *, segmentation=100, intersect=20.0, radius=60.0, deep=False):
    """Adaptive intersection maximization; distances in nm."""
    import time

    locs, info = _prepared(columns, n_frames, deep)
    start = time.perf_counter()
    _, _, drift = aim.aim(
        locs, info, segmentation=segmentation, intersect_d=intersect / PIXEL, roi_r=radius / PIXEL, progress=None
    )
    seconds = time.perf_counter() - start
    return {"curve": _correction(drift, n_frames), "seconds": seconds}


def run_rcc(columns, n_frames, *, segmentation=1000):
    """Redundant cross-correlation."""
    import time

    locs, info = _prepared(columns, n_frames, deep=False)
    start = time.perf_counter()
    drift, _ = postprocess.undrift(
        locs, info, segmentation=segmentation, display=False, segmentation_callback=lambda _: None, rcc_callback=lambda _: None
    )
    seconds = time.perf_counter() - start
    return {"curve": _correction(drift, n_frames), "seconds": seconds}


METHODS = {"aim": run_aim, "rcc": run_rcc}
