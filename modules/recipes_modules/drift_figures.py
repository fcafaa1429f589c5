"""Figures of a drift over the frames of a movie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Figure, Panel, Series

Floats = npt.NDArray[np.float64]

MOST_POINTS = 2000
"""A curve is drawn with at most this many points."""
AXES = "xyz"


def drift_figure(
    measured: Sequence[Drift] = (),
    curve: Drift | None = None,
    truth: Drift | None = None,
    *,
    title: str = "Drift correction",
    differences: bool = False,
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
    differences : bool
        With a truth, a second column shows the difference to it, which is too small to be seen in the first.
    """
    shown = [drift for drift in (*measured, curve) if drift is not None]
    deep = any(np.any(drift.correction[:, 2]) for drift in (*shown, truth) if drift is not None)
    reference = curve if curve is not None else (shown[0] if shown else None)
    rmse = reference.rmse(truth) if truth is not None and reference is not None else None
    panels = []
    for axis in range(3 if deep else 2):
        content = [series for index, drift in enumerate(measured) for series in _knots(drift, axis, index)]
        if curve is not None:
            # Knots already show their errors.
            if not measured:
                content.extend(_band(curve, axis, 0))
            content.append(_line(curve, curve.correction[:, axis], curve.frames, "interpolated" if measured else "correction", 0))
        if truth is not None:
            content.append(_truth(truth, reference, axis))
        note = "" if rmse is None else f"RMSE to truth {rmse[axis]:.2f} nm"
        last = axis == (2 if deep else 1)
        x_label = "frame" if last else ""
        beside = differences and truth is not None and reference is not None
        panels.append(Panel(content, x_label=x_label, y_label=f"{AXES[axis]} correction (nm)", note="" if beside else note))
        if beside and truth is not None and reference is not None:
            panels.append(
                Panel(_difference(reference, truth, axis), x_label=x_label, y_label=f"{AXES[axis]} - truth (nm)", note=note)
            )
    if len(panels) > (3 if deep else 2):
        return Figure(panels, title=title, n_columns=2, panel_size=(5.4, 2.6), share_x=True)
    return Figure(panels, title=title, share_x=True)


def _difference(drift: Drift, truth: Drift, axis: int) -> list[Series]:
    frames = drift.frames[_thinned(len(drift.frames))]
    whole = np.arange(np.ceil(truth.measured[0]), np.floor(truth.measured[1]) + 1)
    offset = float(np.mean(drift.at(whole)[:, axis] - truth.at(whole)[:, axis]))
    left = drift.at(frames)[:, axis] - truth.at(frames)[:, axis] - offset
    content = []
    if drift.error is not None and np.any(drift.error[:, axis]):
        error = drift.error[_thinned(len(drift.frames)), axis]
        content.append(Series("band", frames, -error, error, label="" if axis else "standard error", colour=0))
    kind: Literal["line", "points"] = "line" if drift.exact else "points"
    return [*content, Series(kind, frames, left, label="" if axis else "difference", colour=0)]


def _knots(drift: Drift, axis: int, index: int) -> list[Series]:
    values = drift.correction[:, axis]
    if drift.exact:
        return [*_band(drift, axis, index), _line(drift, values, drift.frames, "given", index)]
    label = "measured" if index == 0 else f"measured ({index + 1})"
    return [*_band(drift, axis, index), Series("points", drift.frames, values, label=label, colour=index)]


def _band(drift: Drift, axis: int, colour: int) -> list[Series]:
    if drift.error is None or not np.any(drift.error[:, axis]):
        return []
    chosen = _thinned(len(drift.frames))
    values, error = drift.correction[chosen, axis], drift.error[chosen, axis]
    return [Series("band", drift.frames[chosen], values - error, values + error, label="standard error", colour=colour)]


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


def path_figure(drift: Drift, truth: Drift | None = None, *, title: str = "Path of the sample") -> Figure:
    """The way that the sample went in x and y, coloured by time; the opposite of the correction.

    Parameters
    ----------
    drift : Drift
    truth : Drift, optional
        Drawn beneath in grey, moved so that its mean is that of the drift.
    """
    first, last = drift.measured
    frames = np.linspace(first, last, min(MOST_POINTS, max(2, int(last - first) + 1)))
    x, y, _ = -drift.at(frames).T
    content: list[Series] = []
    note = ""
    if truth is not None:
        way = -truth.at(frames)
        way += np.array([x.mean(), y.mean(), 0.0]) - way.mean(axis=0) * np.array([1.0, 1.0, 0.0])
        content.append(Series("path", way[:, 0], way[:, 1], label="truth", colour="#9a9a9a"))
        rmse = drift.rmse(truth)
        note = f"RMSE to truth x {rmse[0]:.2f}, y {rmse[1]:.2f} nm"
    content.append(Series("path", x, y, c=frames))
    content.append(Series("points", x[:1], y[:1], label="first frame", colour=1))
    content.append(Series("points", x[-1:], y[-1:], label="last frame", colour=6))
    panel = Panel(content, x_label="x (nm)", y_label="y (nm)", equal=True, c_label="frame", note=note)
    return Figure([panel], title=title, panel_size=(6.0, 4.8))
