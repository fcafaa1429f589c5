"""Picasso's NeNA and FRC of one table; run by `benchmarks.quality` with the Python of an environment with picassosr."""

import json
import sys
import time

import numpy as np
import pandas as pd
from picasso import postprocess

PIXEL = 130.0


def table(path):
    """Its table and metadata: positions in pixels."""
    with np.load(path) as file:
        columns = {name: file[name] for name in file.files}
    frame = {"frame": columns["frame"].astype(np.uint32)}
    for name in "xy":
        frame[name] = ((columns[name] - columns[name].min()) / PIXEL).astype(np.float32)
    frame["photons"] = np.full(len(columns["x"]), 1000, np.float32)
    for name, error in (("lpx", "error_x"), ("lpy", "error_y")):
        frame[name] = (columns[error] / PIXEL).astype(np.float32)
    size = [int(np.ceil(frame[name].max())) + 1 for name in "xy"]
    info = [{"Width": size[0], "Height": size[1], "Frames": int(columns["frame"].max()) + 1, "Pixelsize": PIXEL}]
    return pd.DataFrame(frame), info


def run(what, locs, info):
    """The figure in nm."""
    if what == "nena":
        found = postprocess.nena(locs, info)
        value = found[1] if isinstance(found, tuple) else found
        return float(value) * PIXEL
    viewport = ((0, 0), (info[0]["Height"], info[0]["Width"]))
    found = postprocess.frc(locs, info, viewport)
    return found["resolution"]


def main():
    what, path = sys.argv[1:3]
    locs, info = table(path)
    run(what, *table(path)) if len(locs) < 50_000 else None
    began = time.process_time()
    value = run(what, locs, info)
    cpu = time.process_time() - began
    print("RESULT " + json.dumps({"value": float(value), "cpu": cpu} if value else {"word": "gives none", "cpu": cpu}))


if __name__ == "__main__":
    main()
