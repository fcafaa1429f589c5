"""From an image of sums to one to look at: contrast, colour and figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, ImageStack, Panel, Picture
from recipes_modules.render_view import View

Floats = npt.NDArray[np.float32]

INTENSITIES = ("percentile", "unity", "equal", "gamma")
SAMPLE = 4_000_000
CHANNEL_COLOURS = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.3, 1.0, 0.3), (1.0, 0.4, 0.2), (0.5, 0.5, 1.0))
"""Of channels side by side: cyan and magenta are told apart also by the colour-blind, and give white where both are."""


def scaled(image: Floats, intensity: str, percentile: float, gamma: float) -> Floats:
    """An image between 0 (black) and 1 (white).

    Parameters
    ----------
    image : array (y, x)
        Not negative.
    intensity : {'percentile', 'unity', 'equal', 'gamma'}
        White is that percentile of the pixels that hold anything; the largest value; each pixel's rank among those that hold
        anything; or the percentile with a power of `gamma` on the way.
    """
    filled = image[image > 0]
    if not filled.size:
        return np.zeros_like(image, np.float32)
    if intensity == "unity":
        return np.asarray(image / filled.max(), np.float32)
    if intensity == "equal":
        values = np.sort(filled[:: max(1, filled.size // SAMPLE)])
        rank = np.searchsorted(values, image, side="right") / len(values)
        return np.where(image > 0, rank, 0).astype(np.float32)
    white = float(np.percentile(filled[:: max(1, filled.size // SAMPLE)], percentile))
    result = np.clip(image / np.float32(white if white > 0 else filled.max()), 0, 1)
    return np.asarray(result**gamma if intensity == "gamma" else result, np.float32)


def coloured(image: Floats, colour_map: str) -> Floats:
    """Colours (y, x, 3) between 0 and 1 of an image between 0 and 1."""
    return np.asarray(_table(colour_map)[np.minimum((image * 256).astype(np.int32), 255)], np.float32)


def colours_of(values: npt.NDArray[Any], limits: tuple[float, float], colour_map: str) -> Floats:
    """Colour (n, 3) of each value; what lies beyond the limits has the colour of the limit."""
    span = limits[1] - limits[0]
    place = (values - limits[0]) / (span if span > 0 else 1.0)
    return np.asarray(_table(colour_map)[np.clip(np.nan_to_num(place) * 256, 0, 255).astype(np.int32)], np.float32)


def _table(name: str) -> Floats:
    import matplotlib as mpl

    return np.asarray(mpl.colormaps[name](np.arange(256))[:, :3], np.float32)


def known_map(name: str) -> bool:
    """Whether there is a colour map of this name."""
    import matplotlib as mpl

    return name in mpl.colormaps


def brightness_kept(image: Floats, intensity: str, percentile: float, gamma: float) -> Floats:
    """Sums of red, green and blue (3, y, x) as colours (y, x, 3): all three scaled alike, by the brightest, so that hues stay."""
    total = image.max(axis=0)
    light = scaled(total, intensity, percentile, gamma)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(total > 0, light / total, 0)
    return np.asarray(np.clip(np.moveaxis(image * factor, 0, -1), 0, 1), np.float32)


def mixed(channels: Sequence[Floats], intensity: str, percentile: float, gamma: float) -> Floats:
    """Channels, each in a colour of its own and with its own contrast, added up: (y, x, 3)."""
    colours = np.zeros((*channels[0].shape, 3), np.float32)
    for k, channel in enumerate(channels):
        light = scaled(channel, intensity, percentile, gamma)
        colours += light[..., None] * np.array(CHANNEL_COLOURS[k % len(CHANNEL_COLOURS)], np.float32)
    return np.minimum(colours, 1)


def with_scale_bar(colours: Floats, pixel: float) -> Floats:
    """The picture with a white bar in its corner, 1, 2 or 5 times a power of ten nm long and at most a fifth of the width."""
    ny, nx = colours.shape[:2]
    longest = nx * pixel / 5
    power = 10.0 ** np.floor(np.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    across, down = max(1, round(length / pixel)), max(1, ny // 100)
    right, bottom = nx - max(1, nx // 25), ny - max(1, ny // 25)
    made = colours.copy()
    made[max(0, bottom - down) : bottom, max(0, right - across) : right] = 1
    return made


def picture_stack(colours: Floats, view: View, form: str) -> ImageStack:
    """A picture (y, x, 3) of eight bits in three channels, or (y, x) of sixteen bits in one."""
    if form == "grey16":
        grey = colours if colours.ndim == 2 else colours.max(axis=-1)
        return ImageStack(np.asarray(grey * 65535 + 0.5, np.uint16)[None, None], metadata=view.metadata())
    pixels = np.moveaxis(np.asarray(colours * 255 + 0.5, np.uint8), -1, 0)
    return ImageStack(np.ascontiguousarray(pixels)[None], channels=("red", "green", "blue"), metadata=view.metadata())


def with_colour_strip(colours: Floats, colour_map: str) -> Floats:
    """The picture with the colour map, from low on the left to high, in its upper left corner."""
    ny, nx = colours.shape[:2]
    across, down, edge = max(2, nx // 4), max(2, ny // 60), max(1, nx // 40)
    made = colours.copy()
    target = made[edge : edge + down, edge : edge + across]
    target[:] = _table(colour_map)[np.linspace(0, 255, across).astype(int)][None, : target.shape[1]]
    return made


def rendering_figure(
    pixels: npt.NDArray[Any], view: View, note: str, *, bar: tuple[str, tuple[float, float], str] | None = None,
    names: Sequence[str] = (),
) -> Figure:  # fmt: skip
    """The picture with a scale bar, and what its colours mean.

    Parameters
    ----------
    pixels : array (y, x, 3)
        Between 0 and 1.
    bar : (label, (low, high), colour map), optional
        What a hue stands for.
    names : sequence of str
        Channels, in the order of their colours.
    """
    ny, nx = pixels.shape[:2]
    height = 6.0 * min(max(ny / nx, 0.3), 2.0) + 0.4
    title = ", ".join(f"{name} {_word(k)}" for k, name in enumerate(names))
    if bar is not None:
        label, (low, high), hues = bar
        pixels = with_colour_strip(pixels, hues)
        title = f"{label} {_rounded(low, high - low)} to {_rounded(high, high - low)}"
    return Figure([Panel([Picture(pixels, view.pixel, (0.0, 1.0))], title=title, note=note)], panel_size=(6.0, height))


def _rounded(value: float, span: float) -> str:
    return f"{value:,.0f}" if span > 50 else f"{value:.4g}"


def _word(k: int) -> str:
    return ("cyan", "magenta", "yellow", "green", "orange", "blue")[k % len(CHANNEL_COLOURS)]
