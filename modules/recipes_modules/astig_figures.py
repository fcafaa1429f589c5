"""Figures of an astigmatic calibration and of z found with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Panel, Series

if TYPE_CHECKING:
    from recipes_modules.localize.astigmatism import Calibration

Array = npt.NDArray[Any]

MOST_POINTS = 4000


def calibration_figure(calibration: Calibration, z: Array, widths: Array, found: Array, bead: Array) -> Figure:
    """Left the measured widths and the curves over z; right the z that the curves give back, minus the true one."""
    few = _few(len(z))
    points: list[Series] = []
    for axis, letter in enumerate("xy"):
        points.append(Series("points", z[few], widths[axis][few], colour=axis))
        points.append(Series("line", calibration.z, calibration.widths[axis], colour=axis, label=f"sigma_{letter}"))
    off = found - z
    inside = np.isfinite(off) & (z >= calibration.z[0]) & (z <= calibration.z[-1])
    spread = 1.4826 * float(np.median(np.abs(off[inside] - np.median(off[inside])))) if inside.any() else float("nan")
    again = [
        Series("points", z[few], np.where(inside, off, np.nan)[few], colour=2),
        Series("line", calibration.z[[0, -1]], np.zeros(2), colour="black", style="dotted"),
    ]
    beads = int(bead.max()) + 1 if len(bead) else 0
    return Figure(
        [
            Panel(points, title=f"Widths of {beads} bead{'s' if beads != 1 else ''}", x_label="z (nm)", y_label="sigma (nm)"),
            Panel(again, title="z found again", x_label="z (nm)", y_label="found - true (nm)", note=f"robust spread {spread:.1f} nm"),
        ],
        title="Astigmatic calibration", n_columns=2, panel_size=(5.4, 3.4),
    )  # fmt: skip


def depth_figure(calibration: Calibration, sigma_x: Array, sigma_y: Array, z: Array, keep: Array) -> Figure:
    """Left the widths of localizations with the calibrated curve, right how many lie at which z."""
    x, y, depth = (np.asarray(values, float) for values in (sigma_x, sigma_y, z))
    far = 1.2 * max(curve.max() for curve in calibration.widths)
    near = np.flatnonzero((x < far) & (y < far))
    beyond = int(np.count_nonzero(np.isfinite(x) & np.isfinite(y))) - len(near)
    few = near[_few(len(near))]
    cloud = [
        Series("points", x[few], y[few], c=depth[few]),
        Series("line", calibration.widths[0], calibration.widths[1], colour="black", label="calibration"),
    ]
    shown = z[keep & np.isfinite(z)]
    counts, edges = np.histogram(shown, bins=60, range=(calibration.z[0], calibration.z[-1]))
    return Figure(
        [
            Panel(
                cloud, title="Widths", x_label="sigma_x (nm)", y_label="sigma_y (nm)", c_label="z (nm)",
                note=f"{beyond:,} wider ones not shown" if beyond else "",
            ),
            Panel([Series("bars", (edges[:-1] + edges[1:]) / 2, counts)], title="z", x_label="z (nm)", y_label="localizations"),
        ],
        title="z from astigmatism", n_columns=2, panel_size=(5.4, 3.4),
    )  # fmt: skip


def _few(n: int) -> Array:
    """Evenly taken rows: more points than this only hide each other."""
    return np.unique(np.linspace(0, max(n - 1, 0), min(n, MOST_POINTS)).round().astype(np.int64))
