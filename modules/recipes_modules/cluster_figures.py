"""Figures of clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Panel, Picture, Series

Array = npt.NDArray[Any]

PIXELS = 450
"""Pixels along the longer edge of the map."""
DARKEST = 0.6
"""Brightness of a pixel of the map that holds anything: single localizations are seen."""
HUES = 20
NOISE = (0.35, 0.35, 0.35)


def clusters_figure(x: Array, y: Array, label: Array, count: int) -> Figure:
    """A map in the colours of the clusters, grey for noise, and the cluster sizes."""
    panels = []
    good = np.isfinite(x) & np.isfinite(y)
    if good.any():
        panels.append(_map(x[good].astype(np.float64), y[good].astype(np.float64), label[good], count))
    panels.append(_sizes(label, count))
    return Figure(panels, n_columns=2, panel_size=(4.8, 4.4))


def _map(x: Array, y: Array, label: Array, count: int) -> Panel:
    from recipes_modules.pixels.counting import add_values
    from recipes_modules.render_pictures import colours_of, scaled

    # The extent without what lies far away, so that one stray row does not make the rest a dot.
    low_x, high_x, low_y, high_y = (*np.percentile(x, (0.05, 99.95)), *np.percentile(y, (0.05, 99.95)))
    pixel = max((high_x - low_x) / PIXELS, (high_y - low_y) / PIXELS, 1e-6)
    shape = (int((high_y - low_y) / pixel) + 2, int((high_x - low_x) / pixel) + 2)
    # Neighbouring numbers get hues far apart.
    hue = (label * 7 % HUES).astype(np.float64)
    colours = np.where(label[:, None] >= 0, colours_of(hue, (0, HUES), "hsv"), np.array(NOISE, np.float32)).astype(np.float32)
    planes = np.zeros((3, *shape), np.float32)
    for k in range(3):
        add_values(planes[k], x, y, np.ascontiguousarray(colours[:, k]), low_x, low_y, pixel)
    total = planes.max(axis=0)
    light = np.where(total > 0, DARKEST + (1 - DARKEST) * scaled(total, "percentile", 99.0, 1.0), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        hues = np.where(total > 0, planes / total, 0)
    grey = (hues.min(axis=0) > 0.9)[..., None]
    pixels = np.moveaxis(hues * light, 0, -1).astype(np.float32)
    pixels = np.where(grey, pixels * NOISE[0], pixels)
    note = f"{count:,} clusters; grey: none"
    return Panel([Picture(pixels, pixel, (0.0, 1.0))], note=note)


def _bins(n: int) -> int:
    """Bins of a histogram of so many values."""
    return int(np.clip(2 * np.sqrt(n), 8, 60))


def _sizes(label: Array, count: int) -> Panel:
    if not count:
        return Panel([], title="Cluster sizes", note="no clusters")
    size = np.bincount(label[label >= 0], minlength=count)
    low, high = float(size.min()), float(np.quantile(size, 0.995))
    bins = int(min(_bins(count), max(1, high - low + 1)))
    edges = np.linspace(low - 0.5, max(high, low) + 0.5, bins + 1)
    content = [Series("bars", (edges[1:] + edges[:-1]) / 2, np.histogram(size, edges)[0], colour=0)]
    return Panel(
        content,
        title="Cluster sizes",
        x_label="localizations of a cluster",
        y_label="clusters",
        note=f"median {np.median(size):g}",
    )


def measures_figure(columns: Mapping[str, Array]) -> Figure:
    """Histograms of the measures."""
    shown = (
        ("n", "localizations of a cluster", 1.0), ("rg", "radius of gyration (nm)", 1.0), ("eccentricity", "eccentricity", 1.0),
        ("area", "area of the convex hull (µm²)", 1e-6),
    )  # fmt: skip
    panels = []
    for name, label, scale in shown:
        values = np.asarray(columns[name], np.float64) * scale
        values = values[np.isfinite(values)]
        if not len(values):
            panels.append(Panel([], x_label=label, note="none"))
            continue
        high = 1.0 if name == "eccentricity" else float(np.quantile(values, 0.99))
        low = 0.0 if name == "eccentricity" else float(values.min())
        edges = np.linspace(low, high if high > low else low + 1, _bins(len(values)) + 1)
        content = [Series("bars", (edges[1:] + edges[:-1]) / 2, np.histogram(values, edges)[0], colour=0)]
        panels.append(Panel(content, x_label=label, y_label="clusters", note=f"median {np.median(values):.3g}"))
    return Figure(panels, n_columns=2, panel_size=(4.2, 2.6))
