"""Figures of positions on frames of a movie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, ImageStack, Localizations, Panel, Picture, Series
from recipes_core.errors import DataError

Mask = npt.NDArray[np.bool_]

MOST_FRAMES = 6
"""Frames in one figure."""


def frame_figure(
    stack: ImageStack,
    frames: int | Sequence[int],
    found: Localizations | None = None,
    truth: Localizations | None = None,
    *,
    wrong: npt.ArrayLike | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    region: tuple[slice, slice] | None = None,
) -> Figure:
    """Frames of a movie with found and true positions.

    Parameters
    ----------
    stack : ImageStack
        Positions are drawn where its metadata give a pixel size.
    frames : int or sequence of int
        Frames of the movie; each makes a panel.
    found : Localizations, optional
        Open circles, orange.
    truth : Localizations, optional
        Dots, green.
    wrong : array (n,) of bool, optional
        Rows of `found` that are wrong: blue circles instead.
    title : str
    notes : sequence of str
        One for each frame; the number of positions where not given.
    region : (rows, columns), optional
        Part of the frame that is shown.
    """
    chosen = [frames] if isinstance(frames, (int, np.integer)) else list(frames)
    chosen = chosen[:MOST_FRAMES]
    panels = [
        frame_panel(stack, int(frame), found, truth, wrong=wrong, note=notes[k] if k < len(notes) else None, region=region)
        for k, frame in enumerate(chosen)
    ]
    edge = 6.0 if len(panels) == 1 else 4.2
    height, width = (stack.shape[2], stack.shape[3]) if region is None else panels_shape(stack, region)
    scale = edge / max(height, width)
    size = (max(width * scale, edge / 3), max(height * scale, edge / 3) + 0.4)
    return Figure(panels, title=title, n_columns=1 if len(panels) == 1 else 2 if len(panels) <= 4 else 3, panel_size=size)


def panels_shape(stack: ImageStack, region: tuple[slice, slice]) -> tuple[int, int]:
    """Rows and columns of a part of the frame."""
    rows, columns = (len(range(*part.indices(n))) for part, n in zip(region, stack.shape[2:], strict=True))
    return rows, columns


def frame_panel(
    stack: ImageStack,
    frame: int,
    found: Localizations | None = None,
    truth: Localizations | None = None,
    *,
    wrong: npt.ArrayLike | None = None,
    note: str | None = None,
    region: tuple[slice, slice] | None = None,
) -> Panel:
    """One frame with found and true positions; see `frame_figure`."""
    if not 0 <= frame < stack.n_frames:
        raise DataError(
            f"there is no frame {frame} in a movie of {stack.n_frames}.", code="D531", hint="Frames are counted from 0."
        )
    rows, columns = region or (slice(None), slice(None))
    pixels = np.asarray(stack.frames(frame, frame + 1)[0, 0, rows, columns], np.float32)
    first = (rows.indices(stack.shape[2])[0], columns.indices(stack.shape[3])[0])
    size = stack.pixel_size
    content: list[Any] = []
    marks: tuple[npt.NDArray[Any], ...] = ()
    told = []
    if size is not None and found is not None:
        mine = _rows(found, frame)
        bad = np.zeros(len(found), bool) if wrong is None else np.asarray(wrong, bool)
        marks = tuple(_pixels(found, mine & part, size, first, pixels.shape) for part in (~bad, bad))
        told.append(
            f"circles: {len(marks[0]) + len(marks[1])} found"
            + (f", {len(marks[1])} of them wrong (blue)" if wrong is not None else "")
        )
    if size is not None and truth is not None:
        true = _pixels(truth, _rows(truth, frame), size, first, pixels.shape)
        content.append(Series("points", true[:, 0], true[:, 1], colour=2))
        told.append(f"dots: {len(true)} true")
    picture = Picture(
        pixels, pixel_size=size[0] if size is not None else None, limits=_limits(pixels), colour_map="gray", marks=marks
    )
    return Panel([picture, *content], title=f"frame {frame}", note="; ".join(told) if note is None else note)


def _rows(table: Localizations, frame: int) -> Mask:
    return np.asarray(table["frame"] == frame) & table.finite_rows("x", "y")


def _pixels(
    table: Localizations, mask: Mask, size: tuple[float, float, float], first: tuple[int, int], shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Positions (n, 2) in pixels of the part that is shown, without those beyond its edge."""
    places = np.column_stack([table["x"][mask] / size[0] - first[1], table["y"][mask] / size[1] - first[0]])
    inside = (places > -1).all(axis=1) & (places < np.array([shape[1], shape[0]])).all(axis=1)
    return np.asarray(places[inside], np.float64)


def _limits(pixels: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Black and white that show faint spots beside bright ones, and no single hot pixel."""
    finite = pixels[np.isfinite(pixels)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, (1.0, 99.7)))
    return low, high if high > low else low + 1.0
