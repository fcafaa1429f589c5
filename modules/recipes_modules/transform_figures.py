"""Figures of transformations over the frames of a movie."""

from __future__ import annotations

import numpy as np

from recipes_core.data import Figure, Panel, Series, Table
from recipes_modules.transform_tables import axes_of, has_matrix, matrix_names, offset_names

MOST_POINTS = 2000


def transformations_figure(
    chunks: Table | None, model: Table | None = None, *, title: str = "Transformations of chunks"
) -> Figure:
    """Offset elements over frames, and matrix elements where a matrix does more than nothing.

    Parameters
    ----------
    chunks : Table, optional
        One row a chunk, drawn as points, with its standard error as a band.
    model : Table, optional
        One row a frame, drawn as a line.
    """
    tables = [table for table in (chunks, model) if table is not None]
    axes = axes_of(tables[0])
    panels = [_panel(chunks, model, name, f"offset {name[-1]} (nm)") for name in offset_names(axes)]
    n_columns = 1
    if chunks is not None and model is not None:
        panels += [_rest(chunks, model, name) for name in offset_names(axes)]
        n_columns = len(axes)
    if any(has_matrix(table) for table in tables):
        # Below the offsets, the matrix as it is written.
        panels += [_panel(chunks, model, name, f"matrix {name[-2:]}") for name in matrix_names(axes)]
        n_columns = len(axes)
    size = (4.2, 2.2) if n_columns > 1 else (7.0, 2.6)
    return Figure(_last_row_named(panels, n_columns), title=title, n_columns=n_columns, panel_size=size, share_x=True)


def _panel(chunks: Table | None, model: Table | None, name: str, label: str) -> Panel:
    content = []
    if chunks is not None:
        values = chunks[name]
        error = chunks.get(f"error_{name}")
        if error is not None and np.any(error):
            content.append(Series("band", chunks["frame"], values - error, values + error, label="standard error"))
        content.append(Series("points", chunks["frame"], values, label="measured"))
    if model is not None and name in model.columns:
        frames = model["frame"]
        chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), MOST_POINTS)).round().astype(np.int64))
        content.append(Series("line", frames[chosen], model[name][chosen], label="model", colour=1))
    return Panel(content, y_label=label)


def _rest(chunks: Table, model: Table, name: str) -> Panel:
    """What the model leaves, which the offsets themselves are too large to show."""
    frames = np.asarray(chunks["frame"], dtype=np.float64)
    rest = chunks[name] - np.interp(frames, model["frame"], model[name])
    content = [Series("line", model["frame"][[0, -1]], np.zeros(2), colour=1)]
    error = chunks.get(f"error_{name}")
    if error is not None and np.any(error):
        content.insert(0, Series("band", frames, rest - error, rest + error, label="standard error"))
    content.append(Series("points", frames, rest, label="measured - model"))
    return Panel(content, y_label=f"rest {name[-1]} (nm)")


def _last_row_named(panels: list[Panel], n_columns: int) -> list[Panel]:
    from dataclasses import replace

    return [replace(panel, x_label="frame") if index >= len(panels) - n_columns else panel for index, panel in enumerate(panels)]
