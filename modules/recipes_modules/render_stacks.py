"""Renderings of more than one plane: slices along z, channels, colours; and the pictures of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack, Localizations
from recipes_core.data.vocabulary import unit_of
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import render_pictures as looks
from recipes_modules.render_view import MOST_PIXELS, View

if TYPE_CHECKING:
    from recipes_modules.render import Locs_Render

Floats = npt.NDArray[np.float32]
MOST_CHANNELS = 32
LEAST = 1e-4
"""Part of a localization below which it is not drawn into a slice."""


def planes_stack(settings: Locs_Render, ctx: Context, table: Localizations, view: View) -> ImageStack:
    """All rows in one plane, or a plane for each slice and channel."""
    parts = _channels(settings, table)
    slices = _slices(settings, table)
    depth = max(1, len(slices) - 1)
    if depth * len(parts) * view.shape[0] * view.shape[1] > MOST_PIXELS:
        raise DataError(
            f"{depth} slices and {len(parts)} channels of {view.shape[1]} x {view.shape[0]} pixels are more than {MOST_PIXELS:,} pixels.",
            hint="Set a larger pixel_size or z_step, or give bounds and z_bounds.",
        )
    if depth == 1 and len(parts) == 1 and not len(slices):
        pixels = settings.image(ctx, table, view)[np.newaxis, np.newaxis]
    else:
        pixels = ctx.scratch.array((1, depth * len(parts), *view.shape), np.float32)
        for k, (_, part) in enumerate(parts):
            for index in range(depth):
                ctx.progress(k * depth + index, depth * len(parts))
                pixels[0, k * depth + index] = _slice(settings, ctx, part, view, slices, index)
    metadata = view.metadata()
    if len(slices):
        step = float(slices[1] - slices[0])
        metadata |= {"voxelsize.z": step / 1000, "Origin.z": float(slices[0]) + step / 2}
    return ImageStack(pixels, channels=tuple(name for name, _ in parts) if len(parts) > 1 else (), metadata=metadata)


def _channels(settings: Locs_Render, table: Localizations) -> list[tuple[str, Localizations]]:
    column = settings.channel_column
    if not column:
        return [("", table)]
    values = np.unique(table[column])
    if len(values) > MOST_CHANNELS:
        raise DataError(
            f"column '{column}' has {len(values):,} values, and an image at most {MOST_CHANNELS} channels.",
            hint="Use colour_by for a column of many values.",
        )
    return [(f"{column} {value:g}", table.select(table[column] == value)) for value in values] or [("", table)]


def _slices(settings: Locs_Render, table: Localizations) -> npt.NDArray[np.float64]:
    if not settings.z_step:
        return np.empty(0)
    if settings.z_bounds is not None:
        low, high = settings.z_bounds
    elif len(table):
        step = settings.z_step
        low, high = np.floor(float(table["z"].min()) / step) * step, (np.floor(float(table["z"].max()) / step) + 1) * step
    else:
        raise DataError("there are no localizations to render.", hint="Filters may have removed all of them.")
    count = max(1.0, np.ceil((high - low) / settings.z_step - 1e-6))
    if count > MOST_PIXELS:
        raise DataError(
            f"z reaches from {low:g} to {high:g} nm, too many slices of {settings.z_step:g} nm.",
            hint="Give z_bounds or a larger z_step.",
        )
    return low + settings.z_step * np.arange(int(count) + 1)


def _slice(
    settings: Locs_Render, ctx: Context, table: Localizations, view: View, slices: npt.NDArray[np.float64], index: int
) -> Floats:
    if not len(slices):
        return settings.image(ctx, table, view)
    low, high = slices[index], slices[index + 1]
    z = table["z"]
    if settings.method != "gaussian":
        return settings.image(ctx, table.select((z >= low) & (z < high)), view)
    from scipy.special import ndtr

    from recipes_modules.render import drawn, spots_of

    width = np.maximum(settings.sigma or table["error_z"].astype(np.float64), 1e-3)
    weight = ndtr((high - z) / width) - ndtr((low - z) / width)
    rows = np.flatnonzero(weight > LEAST)
    spots = spots_of(table.select(rows), settings.method, settings.sigma, settings.min_sigma)
    return drawn(replace(spots, weight=weight[rows].astype(np.float32)), view, ctx.map)


def coloured_stack(settings: Locs_Render, ctx: Context, table: Localizations, view: View) -> ImageStack:
    """Sums of the colours of the localizations: red, green, blue."""
    from recipes_modules.render import drawn, spots_of

    values = table[settings.colour_by]
    limits = _limits(settings, values)
    colours = looks.colours_of(values, limits, settings.colour_map or "turbo")
    spots = spots_of(table, settings.method, settings.sigma, settings.min_sigma)
    planes = [drawn(replace(spots, weight=np.ascontiguousarray(colours[:, k])), view, ctx.map) for k in range(3)]
    metadata = view.metadata() | {"Rendering.ColourBy": settings.colour_by, "Rendering.ColourRange": list(limits)}
    return ImageStack(np.stack(planes)[np.newaxis], channels=("red", "green", "blue"), metadata=metadata)


def _limits(settings: Locs_Render, values: npt.NDArray[Any]) -> tuple[float, float]:
    if settings.colour_range is not None:
        return float(settings.colour_range[0]), float(settings.colour_range[1])
    if not len(values):
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values[:: max(1, len(values) // looks.SAMPLE)], (0.5, 99.5)))
    return low, high if high > low else low + 1.0


def pictures(settings: Locs_Render, ctx: Context, stack: ImageStack, view: View, n: int) -> dict[str, Any]:
    """The figure and the picture of a rendering: its sum over time and slices."""
    how = (settings.intensity, settings.percentile, settings.gamma)
    planes = np.zeros((stack.n_channels, *view.shape), np.float32)
    for _, block in stack.blocks():
        planes += block.sum(axis=0).reshape(stack.n_channels, -1, *view.shape).sum(axis=1)
    bar, names = None, stack.channels
    if settings.colour_by:
        low, high = stack.metadata["Rendering.ColourRange"]
        unit = unit_of(settings.colour_by)
        label = f"{settings.colour_by} ({unit})" if unit not in ("", settings.colour_by) else settings.colour_by
        bar, names = (label, (low, high), settings.colour_map or "turbo"), ()
        colours = looks.brightness_kept(planes, *how)
    elif len(planes) > 1:
        colours = looks.mixed(list(planes), *how)
    else:
        grey = looks.scaled(planes[0], *how)
        colours = looks.coloured(grey, settings.colour_map or "hot")
    made: dict[str, Any] = {}
    if ctx.wanted("output_figure"):
        series = f", {stack.n_frames} images" if stack.n_frames > 1 else ""
        depth = stack.shape[1] // stack.n_channels
        series += f", {depth} slices" if depth > 1 else ""
        note = f"{n:,} localizations, {view.pixel:g} nm pixels{series}"
        made["output_figure"] = looks.rendering_figure(colours, view, note, bar=bar, names=names)
    if ctx.wanted("output_picture"):
        shown = grey[..., None].repeat(3, -1) if settings.picture == "grey16" and len(planes) == 1 else colours
        shown = looks.with_scale_bar(shown, view.pixel) if settings.scale_bar else shown
        made["output_picture"] = looks.picture_stack(shown, view, settings.picture)
    return made
