"""Picasso's rendering and linking (picassosr) in a process of their own: ``PYTHON peer_picasso_locs.py TABLE.npz REPEATS METHOD...``.

Prints one line of JSON for each method: the seconds of each repeat (the first call, which compiles, is not among them) and what the
result can be checked by. Needs numpy, pandas and Picasso, not this project.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pandas as pd
from picasso import postprocess, render

PIXEL = 100.0
"""Camera pixel in which Picasso counts, nm."""


def table(path, rows=None):
    """Its table and metadata: x and y in pixels, which Picasso counts from the corner when it renders."""
    with np.load(path) as file:
        columns = {name: file[name][:rows] for name in file.files}
    frame = {"frame": columns["frame"].astype(np.uint32)}
    for name, source, scale in (("x", "x", PIXEL), ("y", "y", PIXEL), ("lpx", "error_x", PIXEL), ("lpy", "error_y", PIXEL)):
        frame[name] = (columns[source] / scale).astype(np.float32)
    for name, source in (("photons", "photons"), ("sx", "sigma_x"), ("sy", "sigma_y"), ("bg", "background")):
        frame[name] = columns[source].astype(np.float32)
    size = int(np.ceil(max(frame["x"].max(), frame["y"].max())))
    info = [{"Width": size, "Height": size, "Frames": int(frame["frame"].max()) + 1, "Pixelsize": PIXEL}]
    return pd.DataFrame(frame), info


def _render(blur):
    def run(locs, info):
        side = float(info[0]["Width"])
        n, image = render.render(locs, info, disp_px_size=10.0, viewport=((0, 0), (side, side)), blur_method=blur)
        return {"rows": int(n), "sum": float(image.sum())}

    return run


def _link(locs, info):
    made = postprocess.link(locs, info, r_max=0.5, max_dark_time=1, remove_ambiguous_lengths=False)
    return {"rows": len(made), "x": float(made.x.mean() * PIXEL), "photons": float(made.photons.sum())}


METHODS = {"histogram": _render(None), "gaussian": _render("gaussian"), "link": _link}


def main():
    """Run the methods."""
    path, repeats, *methods = sys.argv[1:]
    locs, info = table(path)
    few, few_info = table(path, 20_000)
    for name in methods:
        METHODS[name](few, few_info)
        seconds, cpu, result = [], [], {}
        for _ in range(int(repeats)):
            began, began_cpu = time.perf_counter(), time.process_time()
            result = METHODS[name](locs, info)
            seconds.append(time.perf_counter() - began)
            cpu.append(time.process_time() - began_cpu)
        print("RESULT " + json.dumps({"method": name, "seconds": seconds, "cpu": cpu, "result": result}), flush=True)


if __name__ == "__main__":
    main()
