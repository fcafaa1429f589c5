"""Figures of linked localizations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Localizations, Panel, Series

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

BINS = 60
SAMPLE = 200_000
"""Steps that the figure looks at."""
LONG = 0.999


def link_figure(
    x: Array,
    y: Array,
    label: Array,
    count: int,
    merged: Localizations,
    reach: float,
    error_x: Array | None,
    error_y: Array | None,
) -> Figure:
    """How long molecules last, how far their localizations lie apart beside what the standard errors tell, and their photons.

    Parameters
    ----------
    x, y, label : array (n,)
        In the order of linking.
    merged : Localizations
        One row for each molecule.
    reach : float
        Longest link, nm.
    """
    panels = [_numbers(merged["n"])]
    steps = _steps(x, y, label, count, error_x, error_y, reach)
    if steps is not None:
        panels.append(steps)
    if "photons" in merged and len(merged):
        panels.append(_photons(merged["photons"]))
    return Figure(panels, n_columns=len(panels), panel_size=(4.0, 2.8))


def _numbers(n: Array) -> Panel:
    if not len(n):
        return Panel([], note="nothing was linked")
    top = max(2, int(np.quantile(n, LONG)))
    values = np.arange(1, top + 1)
    counts = np.bincount(np.minimum(n, top + 1), minlength=top + 2)[1 : top + 1]
    mean = float(np.mean(n))
    expected = len(n) / mean * (1 - 1 / mean) ** (values - 1)
    content = [
        Series("bars", values, counts, label="molecules", colour=5),
        Series("line", values, expected, label=f"geometric, mean {mean:.2f}", colour=1, style="dashed"),
    ]
    return Panel(content, x_label="localizations of one molecule", y_label="molecules", title="Length")


def _steps(
    x: Array, y: Array, label: Array, count: int, error_x: Array | None, error_y: Array | None, reach: float
) -> Panel | None:
    from recipes_modules.grouping.merge import rows_before

    before = rows_before(label, count)
    later = np.flatnonzero(before >= 0)
    if len(later) < 2:
        return None
    later = later[:: max(1, len(later) // SAMPLE)]
    earlier = before[later]
    step = np.hypot(x[later].astype(float) - x[earlier], y[later].astype(float) - y[earlier])
    edges = np.linspace(0, reach, BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    density = np.histogram(step, edges)[0] / (len(step) * np.diff(edges))
    content = [Series("bars", middle, density, label="links", colour=5)]
    if error_x is not None and error_y is not None:
        content.append(Series("line", middle, _expected(middle, error_x, error_y, later, earlier), label="expected", colour=1))
    note = f"linked within {reach:.3g} nm"
    return Panel(
        content, x_label="from one localization to the next (nm)", y_label="probability density (1/nm)", title="Steps", note=note
    )


def _expected(r: Floats, error_x: Array, error_y: Array, later: Array, earlier: Array) -> Floats:
    """Density of the distance of two localizations of one molecule, for the pairs' own standard errors (mean over both axes)."""
    square = (error_x[later] ** 2 + error_y[later] ** 2 + error_x[earlier] ** 2 + error_y[earlier] ** 2).astype(float) / 2
    square = square[np.isfinite(square) & (square > 0)]
    if not len(square):
        return np.zeros_like(r)
    sample = np.quantile(square, (np.arange(500) + 0.5) / 500)
    return np.asarray((r[:, None] / sample * np.exp(-(r[:, None] ** 2) / (2 * sample))).mean(axis=1))


def _photons(photons: Array) -> Panel:
    good = photons[np.isfinite(photons)]
    if not len(good):
        return Panel([], note="no photons")
    top = max(float(np.quantile(good, 0.99)), 1e-9)
    edges = np.linspace(0, top, BINS + 1)
    content = [Series("bars", (edges[1:] + edges[:-1]) / 2, np.histogram(good, edges)[0], colour=2)]
    return Panel(
        content, x_label="photons of a molecule", y_label="molecules", title="Brightness", note=f"median {np.median(good):,.0f}"
    )
