"""Pixels of TIFF files, read when they are asked for."""

from __future__ import annotations

import logging
import threading
import weakref
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data.imagestack import LazyFrames
from recipes_core.errors import FormatError

# Damage is reported by errors of ours; the library's own log lines would come besides.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def open_tiff(path: Path) -> Any:
    """The file; frames that were written one by one, which tifffile takes for a series each, are one series."""
    import tifffile

    tiff = tifffile.TiffFile(path)
    first = tiff.series[0] if tiff.is_shaped and len(tiff.series) > 1 else None
    if first is not None and all((each.shape, each.dtype) == (first.shape, first.dtype) for each in tiff.series):
        tiff.close()
        tiff = tifffile.TiffFile(path, is_shaped=False)
    return tiff


class TiffFrames(LazyFrames):
    """Frames of one TIFF file; it is opened on first use.

    Parameters
    ----------
    path : Path
    shape : (t, z, y, x)
    dtype : dtype
    pages : array (t * z,)
        Page of each plane.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int], dtype: np.dtype[Any], pages: npt.NDArray[np.int64]) -> None:
        super().__init__(shape, dtype)
        self.path, self._pages = path, pages
        self._series: Any = None
        self._opening = threading.Lock()

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        self._open()
        _, nz, ny, nx = self._shape
        block = np.empty((stop - start, nz, ny, nx), self._dtype)
        planes = block.reshape(-1, ny, nx)
        for index, page in enumerate(self._pages[start * nz : stop * nz]):
            try:
                planes[index] = self._plane(int(page))
            except Exception as error:  # damaged strips raise whatever the codec raises
                raise FormatError(f"{self.path}: page {page} cannot be read; the file is damaged: {error}") from error
        block.flags.writeable = False
        return block

    def _open(self) -> None:
        with self._opening:
            if self._series is None:
                tiff = open_tiff(self.path)
                weakref.finalize(self, tiff.close)
                # Threads share the file and its position in it; what is read is decompressed outside of the lock.
                tiff.filehandle.set_lock(True)
                self._series = tiff.series[0]

    def _plane(self, page: int) -> npt.NDArray[Any]:
        ny, nx = self._shape[2:]
        if self._series.dataoffset is not None:
            handle = self._series.parent.filehandle
            size = ny * nx
            kind = self._dtype.newbyteorder(self._series.parent.byteorder)
            with handle.lock:
                plane = handle.read_array(kind, size, self._series.dataoffset + page * size * self._dtype.itemsize)
            return np.asarray(plane).reshape(ny, nx)
        shared = self._series.parent.filehandle.lock
        with shared:
            image = self._series.pages[page]
        handle = image.parent.filehandle
        if handle is self._series.parent.filehandle:
            return np.asarray(image.asarray()).reshape(ny, nx)
        # The library keeps the other files of a series closed; there may be more than a process may open.
        with shared:
            closed = handle.closed
            if closed:
                handle.open()
            try:
                return np.asarray(image.asarray()).reshape(ny, nx)
            finally:
                if closed:
                    handle.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_series", "_opening")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _series=None, _opening=threading.Lock())


class JoinedFrames:
    """Several sources, one after the other in time."""

    def __init__(self, sources: Sequence[TiffFrames]) -> None:
        self.sources = list(sources)
        self._starts = [0]
        for source in sources:
            self._starts.append(self._starts[-1] + source.shape[0])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (self._starts[-1], *self.sources[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.sources[0].dtype

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        parts = []
        while start < stop:
            which = bisect_right(self._starts, start) - 1
            end = min(stop, self._starts[which + 1])
            parts.append(self.sources[which].read(start - self._starts[which], end - self._starts[which]))
            start = end
        block = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty((0, *self.shape[1:]), self.dtype)
        block.flags.writeable = False
        return block
