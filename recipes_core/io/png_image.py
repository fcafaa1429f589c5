"""Images to look at, as PNG: eight bits as they are, anything else between its percentiles."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.io.draw import contrast
from recipes_core.io.record_places import PNG_KEYWORD
from recipes_core.io.records import to_json


def write(obj: ImageStack, path: Path, record: Mapping[str, Any]) -> None:
    """Write an image: of one channel grey, of three red, green and blue; of a series the brightest value of each pixel."""
    path.write_bytes(to_png(pixels_of(obj), to_json(dict(record)) if record else ""))


def pixels_of(stack: ImageStack) -> npt.NDArray[np.uint8]:
    """Eight bits a pixel, (y, x) or (y, x, 3)."""
    top = None
    for _, block in stack.blocks():
        high = block.max(axis=0)
        top = high if top is None else np.maximum(top, high)
    assert top is not None
    channels = top.reshape(stack.n_channels, -1, *top.shape[1:]).max(axis=1)
    if channels.dtype != np.uint8:
        channels = np.stack([_stretched(channel) for channel in channels])
    if len(channels) == 1:
        return np.asarray(channels[0])
    colours = np.zeros((3, *channels.shape[1:]), np.uint8)
    colours[: len(channels)] = channels[:3]
    return np.ascontiguousarray(np.moveaxis(colours, 0, -1))


def _stretched(channel: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    values = channel.astype(np.float64)
    low, high = contrast(values)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1) * 255 + 0.5, np.uint8)


def to_png(pixels: npt.NDArray[np.uint8], text: str = "") -> bytes:
    """Pixels (y, x) or (y, x, 3) as a PNG file; the same pixels give the same bytes."""
    colour = 2 if pixels.ndim == 3 else 0
    rows = np.zeros((pixels.shape[0], 1 + pixels[0].size), np.uint8)
    rows[:, 1:] = pixels.reshape(len(pixels), -1)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, colour, 0, 0, 0)
    parts = [(b"IHDR", header)]
    if text:
        parts.append((b"tEXt", PNG_KEYWORD.encode() + b"\0" + text.encode("ascii")))  # JSON escapes what is beyond
    parts += [(b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )
