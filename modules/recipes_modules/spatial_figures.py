"""Figures of neighbours, densities and pair statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Panel, Series

Floats = npt.NDArray[np.float64]

CONFIDENCE = 1.959964


def ripley_figure(columns: Mapping[str, Floats], numbers: Mapping[str, Any]) -> Figure:
    """H with its band, and K over that of random positions."""
    r, band = columns["r"], CONFIDENCE * columns["H_error"]
    content = [
        Series("band", r, -band, band, label="random, 95%", colour=5),
        Series("line", r, np.zeros_like(r), colour="#666666", style="dashed"),
        Series("line", r, columns["H"], label="localizations", colour=1),
    ]
    h = Panel(
        content,
        title="H = L - r",
        x_label="r (nm)",
        y_label="H (nm)",
        note=f"largest {numbers['h_max']:.3g} nm at {numbers['r_at_h_max']:.4g} nm",
    )
    random = np.pi * r**2
    high = CONFIDENCE * columns["K_error"] / random
    content = [
        Series("band", r, 1 - high, 1 + high, label="random, 95%", colour=5),
        Series("line", r, np.ones_like(r), colour="#666666", style="dashed"),
        Series("line", r, columns["K"] / random, label="localizations", colour=1),
    ]
    # At the smallest distances a band of few pairs is as wide as the panel.
    seen = slice(max(1, len(r) // 50), None)
    content = [
        Series(s.kind, s.x[seen], s.y[seen], None if s.y2 is None else s.y2[seen], label=s.label, colour=s.colour, style=s.style)
        for s in content
    ]
    k = Panel(
        content, title="K over that at random", x_label="r (nm)", y_label="K / (pi r²)", note=f"{numbers['n']:,} localizations"
    )
    return Figure([h, k], n_columns=2, panel_size=(4.4, 3.0))


def correlation_figure(columns: Mapping[str, Floats], n: int, density: float) -> Figure:
    """g with its band."""
    r, band = columns["r"], CONFIDENCE * columns["g_error"]
    seen = columns["g_error"] < 0.5 if (columns["g_error"] < 0.5).any() else np.ones(len(r), bool)
    content = [
        Series("band", r[seen], (1 - band)[seen], (1 + band)[seen], label="random, 95%", colour=5),
        Series("line", r, np.ones_like(r), colour="#666666", style="dashed"),
        Series("line", r, columns["g"], label="localizations", colour=1),
    ]
    note = f"{n:,} localizations, {density:.4g} per µm²"
    return Figure([Panel(content, title="Pair correlation", x_label="r (nm)", y_label="g", note=note)], panel_size=(5.6, 3.2))


def neighbours_figure(distance: Floats, density: float, k: int, numbers: Mapping[str, Any]) -> Figure:
    """Histogram of distances with the density at random."""
    from recipes_modules.neighbours import density_at_random, mean_at_random

    good = distance[np.isfinite(distance)]
    top = max(float(np.quantile(good, 0.99)) if len(good) else 1.0, 2 * mean_at_random(density, k), 1e-9)
    edges = np.linspace(0, top, 81)
    r = (edges[1:] + edges[:-1]) / 2
    found = np.histogram(good, edges)[0] / max(1, len(good)) / np.diff(edges)
    content = [
        Series("bars", r, found, label="localizations", colour=5),
        Series("line", r, density_at_random(r, density, k), label="random", colour=1),
    ]
    which = "nearest neighbour" if k == 1 else f"neighbour number {k}"
    note = f"median {numbers['median_distance']:.3g} nm"
    if "clark_evans" in numbers:
        note += f", Clark-Evans {numbers['clark_evans']:.3f}"
    return Figure(
        [
            Panel(
                content,
                title=f"Distance to the {which}",
                x_label="distance (nm)",
                y_label="probability density (1/nm)",
                note=note,
            )
        ],
        panel_size=(5.6, 3.2),
    )


def density_figure(count: npt.NDArray[np.int64], radius: float, density: float) -> Figure:
    """Histogram of the number of neighbours with that of random positions."""
    from scipy.stats import poisson

    mean = density * np.pi * radius**2 * 1e-6
    top = int(max(np.quantile(count, 0.995), poisson.ppf(0.999, mean), 5)) + 1
    step = max(1, -(-top // 80))
    edges = np.arange(0, top + step, step) - 0.5
    found = np.histogram(count, edges)[0] / max(1, len(count)) / step
    random = np.diff(poisson.cdf(edges, mean)) / step
    x = (edges[1:] + edges[:-1]) / 2
    content = [Series("bars", x, found, label="localizations", colour=5), Series("line", x, random, label="random", colour=1)]
    title = f"Neighbours within {radius:g} nm"
    return Figure(
        [
            Panel(
                content,
                title=title,
                x_label="neighbours",
                y_label="part of the localizations",
                note=f"mean {np.mean(count):.3g}, random {mean:.3g}",
            )
        ],
        panel_size=(5.6, 3.2),
    )


def per_frame_figure(start: npt.NDArray[Any], rate: Floats, lasting: npt.NDArray[Any], numbers: Mapping[str, Any]) -> Figure:
    """Localizations per frame over the movie."""
    middle = start + (lasting - 1) / 2
    # A bin holds a count: its Poisson error.
    error = np.sqrt(np.maximum(rate, 1 / lasting) / lasting)
    content = [
        Series("band", middle, np.maximum(rate - error, 0), rate + error, colour=0),
        Series("line", middle, rate, colour=0),
    ]
    note = f"mean {numbers['mean_per_frame']:.3g}; half of all by frame {numbers['half_by_frame']:,}"
    return Figure(
        [Panel(content, title="Localizations per frame", x_label="frame", y_label="per frame", note=note)], panel_size=(6.4, 2.8)
    )
