"""Panels of the quality report."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Panel, Series

Floats = npt.NDArray[np.float64]

N_BINS = 60
_SOFT = "#c9d6e2"


def histogram_panel(values: Floats, name: str, unit: str) -> Panel:
    """How often the values of a column occur, without the farthest ones; a line at the median."""
    low, high = (float(value) for value in np.quantile(values, [0.001, 0.995]))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, N_BINS, (low, high))
    return _bars(counts, edges, float(np.median(values)), name, unit)


def count_panel(values: Floats, name: str, unit: str) -> Panel:
    """The like for what spreads over powers of ten: as parts of the localizations over the logarithm."""
    positive = values[values > 0]
    counts, edges = np.histogram(np.log10(positive), N_BINS)
    middle = float(np.log10(np.median(positive)))
    panel = _bars(counts, edges, middle, f"log10 of {name}", unit)
    return Panel(panel.content, x_label=panel.x_label, y_label=panel.y_label, note=f"{name}: median {10**middle:.4g} {unit}")


def _bars(counts: Any, edges: Floats, middle: float, name: str, unit: str) -> Panel:
    at = (edges[1:] + edges[:-1]) / 2
    content = [
        Series("bars", at, counts, colour=_SOFT),
        Series("line", np.full(2, middle), np.array([0.0, float(counts.max())]), colour=1, style="dashed"),
    ]
    label = f"{name} ({unit})" if unit and unit != name else name
    return Panel(content, x_label=label, y_label="localizations", note=f"{name}: median {middle:.4g} {unit}".strip())


def frames_panel(counts: npt.NDArray[np.int64], first: int) -> tuple[Panel, float]:
    """Localizations a frame over the movie, and the last tenth's mean over the first's."""
    n = len(counts)
    step = max(1, n // 300)
    whole = n // step * step
    means = counts[:whole].reshape(-1, step).mean(axis=1)
    at = first + step * (np.arange(len(means)) + 0.5) - 0.5
    tenth = max(1, n // 10)
    start, end = float(counts[:tenth].mean()), float(counts[-tenth:].mean())
    note = f"{counts.mean():.3g} localizations a frame"
    panel = Panel([Series("line", at, means, colour=0)], x_label="frame", y_label="localizations a frame", note=note)
    return panel, end / start if start else float("inf")
