"""OME-TIFF, written frame by frame."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.io.ome import ome_type, ome_xml

BIG = 2**32 - 2**26
WORTH_COMPRESSING = 0.7
"""Frames are compressed where the first one shrinks below this part of its size; noise does not, and would only cost time."""


def write(obj: ImageStack, path: Path, record: Mapping[str, Any]) -> None:
    """Write a stack as OME-TIFF; BigTIFF where it needs to be. The same stack gives the same bytes."""
    import tifffile

    nt, nz, ny, nx = obj.shape
    if not obj.nbytes:
        raise DataError("an image stack without pixels cannot be written.")
    dtype = np.dtype(np.uint8) if obj.dtype.kind == "b" else obj.dtype.newbyteorder("<")
    ome_type(dtype)
    first = np.ascontiguousarray(obj.frames(0, 1)[0, 0])
    compression = "zlib" if len(zlib.compress(first.tobytes(), 1)) < WORTH_COMPRESSING * first.nbytes else None
    size = obj.pixel_size
    resolution = (1e7 / size[0], 1e7 / size[1]) if size else None
    with tifffile.TiffWriter(path, bigtiff=obj.nbytes > BIG, byteorder="<") as tiff:
        tiff.write(
            _planes(obj, dtype),
            shape=(nt * nz, ny, nx),
            dtype=dtype,
            photometric="minisblack",
            compression=compression,
            compressionargs={"level": 1} if compression else None,
            resolution=resolution,
            resolutionunit="CENTIMETER" if resolution else None,
            description=ome_xml(obj, dtype, record),
            metadata=None,
            software=False,
        )


def _planes(stack: ImageStack, dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
    for _, block in stack.blocks():
        for volume in block:
            for plane in volume:
                yield np.ascontiguousarray(plane, dtype=dtype)
