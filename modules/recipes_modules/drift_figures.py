"""Figures of a drift over the frames of a movie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Figure, Panel, Series

Floats = npt.NDArray[np.float64]

MOST_POINTS = 2000
"""A curve is drawn with at most this many points."""
AXES = "xyz"


def drift_figure(
    measured: Sequence[Drift] = (), curve: Drift | None = None, truth: Drift | None = None, *, title: str = "Drift correction"
) -> Figure:
    """Correction over frames, one panel an axis; z only where something drifts along it.

    Parameters
    ----------
    measured : sequence of Drift
        Knots, drawn as points; their standard errors as a band.
    curve : Drift, optional
        What is added to each frame.
    truth : Drift, optional
        Drawn dashed, moved by a constant so that its mean is that of the curve (or of the knots); the root mean square
        difference is noted in each panel.
    """
    shown = [drift for drift in (*measured, curve) if drift is not None]
    deep = any(np.any(drift.correction[:, 2]) for drift in (*shown, truth) if drift is not None)
    reference = curve if curve is not None else (shown[0] if shown else None)
    rmse = reference.rmse(truth) if truth is not None and reference is not None else None
    panels = []
    for axis in range(3 if deep else 2):
        content = [series for index, drift in enumerate(measured) for series in _knots(drift, axis, index)]
        if curve is not None:
            content.append(_line(curve, curve.correction[:, axis], curve.frames, "interpolated", 0))
        if truth is not None:
            content.append(_truth(truth, reference, axis))
        note = "" if rmse is None else f"RMSE to truth {rmse[axis]:.2f} nm"
        last = axis == (2 if deep else 1)
        panels.append(Panel(content, x_label="frame" if last else "", y_label=f"{AXES[axis]} correction (nm)", note=note))
    return Figure(panels, title=title, share_x=True)


def _knots(drift: Drift, axis: int, index: int) -> list[Series]:
    values = drift.correction[:, axis]
    if drift.exact:
        return [_line(drift, values, drift.frames, "given", index)]
    label = "measured" if index == 0 else f"measured ({index + 1})"
    series = [Series("points", drift.frames, values, label=label, colour=index)]
    if drift.error is not None and np.any(drift.error[:, axis]):
        error = drift.error[:, axis]
        series.insert(0, Series("band", drift.frames, values - error, values + error, label="standard error", colour=index))
    return series


def _line(drift: Drift, values: Floats, frames: Floats, label: str, colour: int) -> Series:
    chosen = _thinned(len(frames))
    return Series("line", frames[chosen], values[chosen], label=label, colour=colour)


def _truth(truth: Drift, reference: Drift | None, axis: int) -> Series:
    first, last = truth.measured
    frames = np.linspace(first, last, min(MOST_POINTS, max(2, int(last - first) + 1)))
    values = truth.at(frames)[:, axis]
    if reference is not None:
        values = values - np.mean(values - reference.at(frames)[:, axis])
    return Series("line", frames, values, label="truth", colour=1, style="dashed")


def _thinned(n: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(np.int64))
