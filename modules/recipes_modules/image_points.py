"""Where points lie in an image series."""

from __future__ import annotations

import numpy as np

from recipes_core.data import ImageStack, Table
from recipes_modules.image_base import Array


def on_pixels(stack: ImageStack, table: Table, *, first_frame: bool = False) -> tuple[Array, Array, Array, Array]:
    """Frame, plane, row and column of the pixel that each point of a table lies on.

    Points that have NaN or lie in no frame have frame -1; rows and columns may lie outside the image.

    Parameters
    ----------
    first_frame : bool
        The frames of the points do not matter.
    """
    size = stack.require_pixel_size()
    n = len(table)
    known = np.isfinite(table["x"]) & np.isfinite(table["y"])
    pixels = []
    for k, axis in enumerate("xy"):
        place = (np.asarray(table[axis], np.float64) - float(stack.metadata.get(f"Origin.{axis}", 0.0))) / size[k]
        pixels.append(np.rint(np.where(known, place, -1)).astype(np.int64))
    depth = stack.shape[1] // stack.n_channels
    z = np.zeros(n, np.int64)
    if depth > 1 and size[2] and "z" in table:
        place = (np.asarray(table["z"], np.float64) - float(stack.metadata.get("Origin.z", 0.0))) / size[2]
        z = np.rint(np.where(np.isfinite(place), place, 0)).astype(np.int64)
        known &= (z >= 0) & (z < depth)
    frame = np.zeros(n, np.int64)
    if not first_frame and "frame" in table:
        # Images may stand for several frames of the movie each.
        frame = np.rint((np.asarray(table["frame"], np.float64) - stack.time.start) / stack.time.step).astype(np.int64)
    known &= (frame >= 0) & (frame < stack.n_frames)
    frame[~known] = -1
    return frame, z, pixels[1], pixels[0]
