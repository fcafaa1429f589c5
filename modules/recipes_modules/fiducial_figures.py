"""Figures of fiducial markers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Panel, Series
from recipes_modules.fiducial.beads import REASONS, USED, Bead, Common

Floats = npt.NDArray[np.float64]

N_POINTS = 200
"""Trajectories are drawn as means over so many stretches of the movie."""
MOST_LABELS = 10


def bead_figure(beads: Sequence[Bead], common: Common, *, deep: bool) -> Figure:
    """Left the trajectories with the common drift, right what each bead strays from it; beads that were left out are dashed."""
    panels = []
    axes = "xyz" if deep else "xy"
    for axis, letter in enumerate(axes):
        last = axis == len(axes) - 1
        ways: list[Series] = []
        left: list[Series] = []
        for number, bead in enumerate(beads):
            frames, way = _means(bead.track.frames, bead.track.positions[:, axis] - bead.place[axis], common)
            drift = common.drift[bead.track.frames - common.frames[0], axis]
            _, stray = _means(bead.track.frames, bead.track.positions[:, axis] - bead.place[axis] - drift, common)
            good = bead.reason == USED
            label = f"{number + 1}" + ("" if good else f": {REASONS[bead.reason]}")
            style = "solid" if good else "dashed"
            ways.append(Series("line", frames, way, colour=number, style=style))
            left.append(
                Series(
                    "line", frames, stray, label=label if number < MOST_LABELS and axis == 0 else "", colour=number, style=style
                )
            )
        shown = np.unique(np.linspace(0, len(common.frames) - 1, 2000).round().astype(int))
        at, value, error = common.frames[shown], common.drift[shown, axis], common.error[shown, axis]
        ways.append(Series("band", at, value - error, value + error, label="standard error" if axis == 0 else "", colour=6))
        ways.append(Series("line", at, value, label="drift" if axis == 0 else "", colour=6))
        frame_label = "frame" if last else ""
        rms = [bead.residual[axis] for bead in beads if bead.reason == USED]
        note = f"residual of one localization {np.sqrt(np.mean(np.square(rms))):.1f} nm"
        panels.append(Panel(ways, x_label=frame_label, y_label=f"{letter} (nm)", title="Trajectories" if axis == 0 else ""))
        panels.append(
            Panel(left, x_label=frame_label, y_label=f"{letter} - drift (nm)", title="Residuals" if axis == 0 else "", note=note)
        )
    return Figure(panels, title="Fiducial markers", n_columns=2, panel_size=(5.4, 2.8), share_x=True)


def _means(frames: npt.NDArray[np.int64], values: Floats, common: Common) -> tuple[Floats, Floats]:
    n = len(common.frames)
    block = (frames - common.frames[0]) * min(N_POINTS, n) // n
    count = np.bincount(block)
    seen = count > 0
    at = np.bincount(block, frames)[seen] / count[seen]
    return np.asarray(at), np.asarray(np.bincount(block, values)[seen] / count[seen])
