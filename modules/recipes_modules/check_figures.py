"""Figures of a drift's check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Figure, Localizations, Panel, Picture, Series
from recipes_core.module import Context

if TYPE_CHECKING:
    from recipes_modules.verdict.compare import Difference
    from recipes_modules.verdict.judge import Evidence, Verdict
    from recipes_modules.verdict.windows import Windows

Floats = npt.NDArray[np.float64]

POINTS = 1500
OVERVIEW, DETAIL = 600, 400
"""Pixels along an edge of a rendering."""
DETAIL_NM = 2000.0
MOST_SHOWN = 2_000_000


def check_figure(drift: Drift, evidence: Evidence, verdict: Verdict) -> Figure:
    """Drifts of parts of the data minus that of all, and what is left between stretches of the corrected movie."""
    panels = []
    for difference in evidence.differences:
        if difference.short == "edges":
            continue
        panels += [_parts_panel(drift, difference, axis) for axis in range(2)]
    if evidence.windows is not None:
        panels += [_matrix_panel(evidence.windows), _left_panel(evidence.windows)]
    return Figure(panels, title=f"Check of the drift: {verdict.word}", n_columns=2, panel_size=(5.6, 2.7))


def _parts_panel(drift: Drift, difference: Difference, axis: int) -> Panel:
    low = max(part.measured[0] for part in difference.drifts)
    high = min(part.measured[1] for part in difference.drifts)
    frames = np.linspace(low, high, min(POINTS, max(2, int(high - low) + 1)))
    whole = drift.at(frames)[:, axis]
    content = []
    expected = float(difference.expected[axis])
    if expected > 0:
        content.append(
            Series(
                "band",
                frames,
                np.full(len(frames), -expected),
                np.full(len(frames), expected),
                label="" if axis else "expected",
                colour="#9a9a9a",
            )
        )
    labels = {
        "halves": ("one half", "other half"), "sides": ("left", "right"), "runs": ("first run", "later runs"),
        "entropy": ("", "minimum entropy"),
    }[difference.short]  # fmt: skip
    for k, (part, label) in enumerate(zip(difference.drifts, labels, strict=True)):
        if label:
            rest = part.at(frames)[:, axis] - whole
            content.append(Series("line", frames, rest - np.median(rest), label="" if axis else label, colour=k))
    note = f"{difference.apart[axis]:.2g} nm apart, {expected:.2g} nm expected"
    return Panel(content, x_label="frame", y_label=f"{'xyz'[axis]} - all (nm)", note=note, title="" if axis else difference.name)


def _matrix_panel(windows: Windows) -> Panel:
    n = len(windows.nodes)
    image = np.full((n, n), np.nan)
    i, j = windows.pairs.T
    image[i, j] = image[j, i] = np.linalg.norm(windows.shifts[:, :2], axis=1)
    finite = image[np.isfinite(image)]
    white = max(float(np.max(finite)) if len(finite) else 1.0, 1e-9)
    return Panel(
        [Picture(np.kron(image, np.ones((8, 8))), limits=(0.0, white), colour_map="viridis")],
        title=f"Pairs of parts: shift, 0 (dark) to {white:.2g} nm" if len(finite) else "Pairs of parts: nothing in common",
        x_label=f"part of the movie, {n} in all", y_label="part",
    )  # fmt: skip


def _left_panel(windows: Windows) -> Panel:
    content = []
    for axis in range(2):
        left = windows.left[:, axis]
        if windows.error is not None:
            error = windows.error[:, axis]
            content.append(Series("band", windows.nodes, left - error, left + error, colour=axis))
        content.append(Series("line", windows.nodes, left, colour=axis))
        content.append(Series("points", windows.nodes, left, label="xy"[axis], colour=axis))
    return Panel(content, title="Each part against all others", x_label="frame", y_label="left (nm)")


def before_after_figure(ctx: Context, before: Localizations, after: Localizations) -> Figure:
    """Renderings before and after, with the same contrast: the field, and where most localizations are."""
    columns = [[_thin(np.asarray(table[name], dtype=np.float64)) for name in "xy"] for table in (before, after)]
    x, y = columns[1]
    (left, right), (low, high) = (np.nanpercentile(v, (0.5, 99.5)) for v in (x, y))
    edge = max(right - left, high - low, 1.0) * 1.05
    corner = (left + right - edge) / 2, (low + high - edge) / 2
    wide = [_image(*pair, *corner, edge, OVERVIEW) for pair in columns]
    size = min(DETAIL_NM, edge)
    coarse = _image(x, y, *corner, edge, max(1, round(edge / size)))
    row, column = np.unravel_index(int(np.argmax(coarse)), coarse.shape)
    step = edge / coarse.shape[0]
    place = corner[0] + column * step, corner[1] + row * step
    near = [_image(*pair, *place, size, DETAIL) for pair in columns]
    panels = []
    for images, pixel, what in ((wide, edge / OVERVIEW, ""), (near, size / DETAIL, "detail ")):
        filled = images[1][images[1] > 0]
        limits = (0.0, float(np.percentile(filled, 99)) if filled.size else 1.0)
        for image, label in zip(images, ("before", "after"), strict=True):
            ctx.check_cancelled()
            panels.append(Panel([Picture(image, pixel, limits)], title=what + label))
    return Figure(panels, title="Before and after the correction", n_columns=2, panel_size=(4.6, 4.6))


def _thin(values: Floats) -> Floats:
    return values[:: max(1, -(-len(values) // MOST_SHOWN))]


def _image(x: Floats, y: Floats, left: float, low: float, edge: float, n: int) -> npt.NDArray[np.float32]:
    good = np.isfinite(x) & np.isfinite(y)
    counts = np.histogram2d(y[good], x[good], bins=n, range=((low, low + edge), (left, left + edge)))[0]
    return counts.astype(np.float32)
