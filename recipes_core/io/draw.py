"""Draws figures with matplotlib, without its global state."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Panel, Picture, Series
from recipes_core.io.record_places import PDF_KEY, PNG_KEYWORD, with_svg_record
from recipes_core.io.records import to_json

# Okabe and Ito's palette: told apart also by the colour-blind.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = {"solid": "-", "dashed": (0, (4, 2)), "dotted": ":"}
_STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 10.0, "axes.labelsize": 9.0, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.8, "axes.edgecolor": "#444444", "xtick.color": "#444444",
    "ytick.color": "#444444", "legend.framealpha": 0.75, "legend.edgecolor": "none", "legend.fontsize": 8.5, "figure.dpi": 150.0,
    "svg.hashsalt": "smlm-recipes", "axes.titlelocation": "left", "path.simplify": True,
}  # fmt: skip
DPI = 150
_CHARACTER = 5.8
"""Width of a digit, points."""
_LETTER = 5.1
"""Width of a letter of a title in the mean, points."""
_LABELS = 50.0
"""What numbers and label of an axis take of the width, points."""
_NOTE = 8.5
"""Size of the letters of a note, points."""
_RECORD_KEYS = {"png": PNG_KEYWORD, "pdf": PDF_KEY}


def write(obj: Figure, path: Path, record: Mapping[str, Any]) -> None:
    """Draw a figure to .png, .svg or .pdf; the same figure gives the same bytes."""
    form = path.suffix.lower().lstrip(".")
    # Programs write themselves and the date into their files; equal figures should be equal files.
    clean: dict[str, dict[str, Any]] = {
        "png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }  # fmt: skip
    metadata = clean[form]
    text = to_json(dict(record)) if record else ""
    if text and form in _RECORD_KEYS:
        metadata[_RECORD_KEYS[form]] = text
    buffer = io.BytesIO()
    _drawn(obj, buffer, form, metadata)
    content = buffer.getvalue()
    path.write_bytes(with_svg_record(content, text) if text and form == "svg" else content)


def to_png(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    _drawn(figure, buffer, "png", {"Software": None})
    return buffer.getvalue()


def _drawn(figure: Figure, target: Any, form: str, metadata: dict[str, Any]) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    spec = figure.spec
    columns = min(spec.n_columns, max(1, len(spec.panels)))
    rows = -(-len(spec.panels) // columns) or 1
    with mpl.rc_context():
        # A user's own settings would make the same figure another file.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
        canvas = Canvas(
            figsize=(spec.panel_size[0] * columns, spec.panel_size[1] * rows + (0.3 if spec.title else 0)), layout="constrained"
        )
        FigureCanvasAgg(canvas)
        axes = canvas.subplots(rows, columns, squeeze=False, sharex="col" if spec.share_x else False).ravel()
        for axis, panel in zip(axes, spec.panels, strict=False):
            _draw_panel(canvas, axis, panel)
        for axis in axes[len(spec.panels) :]:
            axis.set_axis_off()
        if spec.share_x:
            for axis in axes[: max(0, len(spec.panels) - columns)]:
                axis.set_xlabel("")
        if spec.title:
            canvas.suptitle(spec.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        canvas.savefig(target, format=form, dpi=DPI, metadata=metadata)


def _draw_panel(canvas: Any, axis: Any, panel: Panel) -> None:
    pictures = [item for item in panel.content if isinstance(item, Picture)]
    for picture in pictures:
        _draw_picture(axis, picture)
    for series in panel.content:
        if isinstance(series, Series):
            _draw_series(canvas, axis, series, panel)
    _draw_titles(canvas, axis, panel)
    axis.set_xlabel(panel.x_label)
    axis.set_ylabel(panel.y_label)
    if panel.equal and not pictures:
        axis.set_aspect("equal", adjustable="datalim")
    if not pictures:
        _fit_ticks(canvas, axis, panel)
    if any(isinstance(item, Series) and item.label for item in panel.content):
        axis.legend(loc="best", handlelength=1.8)


def _draw_titles(canvas: Any, axis: Any, panel: Panel) -> None:
    """Title at the left and note at the right; one above the other where a line has no room for both."""
    lines = panel.note.split("\n")
    needed = _LETTER * (len(panel.title) + max(map(len, lines)) * _NOTE / 10 + 2)
    above = bool(panel.note) and needed > _width(canvas, axis)
    axis.set_title(panel.title + "\n" * (len(lines) * above) if panel.title else "")
    if panel.note:
        axis.set_title(panel.note, loc="right", fontsize=_NOTE, color="#666666")


def _width(canvas: Any, axis: Any) -> float:
    """About the width of the axes, points, before they are laid out."""
    return float(canvas.get_figwidth() * 72 / axis.get_gridspec().ncols - _LABELS)


def _fit_ticks(canvas: Any, axis: Any, panel: Panel) -> None:
    """Whole numbers where only they occur, and fewer ticks where they are long: matplotlib reckons with three characters for each."""
    from matplotlib.ticker import MaxNLocator

    whole = all(np.issubdtype(np.asarray(item.x).dtype, np.integer) for item in panel.content if isinstance(item, Series))
    limits = axis.get_xlim()
    characters = max(len(f"{limit:.0f}") for limit in limits)
    if characters >= 5 and max(map(abs, limits)) < 1e6:  # from there on their power of ten stands beside the axis
        most = max(2, int(_width(canvas, axis) / (_CHARACTER * (characters + 2))))
        axis.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    elif whole and panel.content:
        axis.xaxis.get_major_locator().set_params(integer=True)


def _colour(value: int | str) -> str:
    return PALETTE[value % len(PALETTE)] if isinstance(value, int) else value


def _draw_series(canvas: Any, axis: Any, series: Series, panel: Panel) -> None:
    colour, label = _colour(series.colour), series.label or None
    x, y = np.asarray(series.x), np.asarray(series.y)
    if series.kind == "line":
        axis.plot(x, y, color=colour, linestyle=_LINES[series.style], linewidth=1.4, label=label, zorder=3)
    elif series.kind == "band":
        axis.fill_between(x, y, np.asarray(series.y2), color=colour, alpha=0.2, linewidth=0, label=label, zorder=1)
    elif series.kind == "bars":
        width = float(np.median(np.diff(x))) if len(x) > 1 else 1.0
        axis.bar(x, y, width=width, color=colour, label=label, zorder=2)
    else:
        _draw_points(canvas, axis, series, panel, x, y, colour, label)


def _draw_points(
    canvas: Any, axis: Any, series: Series, panel: Panel, x: npt.NDArray[Any], y: npt.NDArray[Any], colour: str, label: str | None
) -> None:
    size = 14.0 if len(x) < 200 else 5.0
    if series.c is None:
        if series.kind == "path":
            axis.plot(x, y, color=colour, linewidth=1.0, label=label, zorder=2)
        else:
            axis.scatter(x, y, s=size, color=colour, linewidths=0, label=label, zorder=4)
        return
    c = np.asarray(series.c)
    if series.kind == "path":
        from matplotlib.collections import LineCollection

        points = np.column_stack([x, y])[:, np.newaxis]
        lines = LineCollection(list(np.concatenate([points[:-1], points[1:]], axis=1)), cmap="viridis", linewidths=1.4)
        lines.set_array(c[:-1])
        drawn = axis.add_collection(lines)
        axis.autoscale_view()
    else:
        drawn = axis.scatter(x, y, c=c, s=size, cmap="viridis", linewidths=0, label=label, zorder=4)
    canvas.colorbar(drawn, ax=axis, label=panel.c_label, shrink=0.8)


def _draw_picture(axis: Any, picture: Picture) -> None:
    pixels = np.asarray(picture.pixels)
    low, high = picture.limits or contrast(pixels)
    axis.imshow(
        pixels,
        cmap=picture.colour_map,
        vmin=low,
        vmax=high,
        origin="upper",
        interpolation="antialiased",
        interpolation_stage="data",
    )
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    for index, marks in enumerate(picture.marks):
        marks = np.asarray(marks)
        axis.scatter(marks[:, 0], marks[:, 1], s=60, facecolors="none", edgecolors=_colour(index + 4), linewidths=1.0)
    if picture.pixel_size:
        _scale_bar(axis, pixels.shape, picture.pixel_size)


def contrast(pixels: npt.NDArray[Any]) -> tuple[float, float]:
    """Black and white of an image: its lowest value, and what few of the pixels that hold anything exceed."""
    finite = pixels[np.isfinite(pixels)]
    if not finite.size:
        return 0.0, 1.0
    low = float(min(finite.min(), 0.0)) if finite.min() < 0 else float(np.percentile(finite, 0.1))
    filled = finite[finite > low]
    high = float(np.percentile(filled, 99.0)) if filled.size else low + 1.0
    return low, high if high > low else low + 1.0


def _scale_bar(axis: Any, shape: tuple[int, ...], pixel_size: float) -> None:
    from matplotlib.patheffects import withStroke

    width = shape[1] * pixel_size
    target = width / 5
    power = 10.0 ** np.floor(np.log10(target))
    length = float(max(step * power for step in (1, 2, 5) if step * power <= target))
    pixels = length / pixel_size
    right, bottom = shape[1] * 0.96 - 0.5, shape[0] * 0.95 - 0.5
    # A dark edge, for bright structures.
    line, letters = [withStroke(linewidth=5, foreground="black")], [withStroke(linewidth=2, foreground="black")]
    axis.plot(
        [right - pixels, right], [bottom, bottom], color="white", linewidth=3, solid_capstyle="butt", path_effects=line,
    )  # fmt: skip
    text = f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm"
    axis.text(
        right - pixels / 2, bottom - shape[0] * 0.015, text, color="white", ha="center", va="bottom", fontsize=9,
        path_effects=letters,
    )  # fmt: skip
