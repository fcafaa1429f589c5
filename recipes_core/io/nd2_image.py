"""Nikon .nd2 movies, read lazily with the library nd2 (the extra ``nd2``)."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, ImageStack
from recipes_core.data.imagestack import LazyFrames
from recipes_core.errors import FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.extras import imported
from recipes_core.io.opening import loaded

FORMAT = "Nikon nd2"
SIGNATURES = (b"\xda\xce\xbe\x0a", b"\x00\x00\x00\x0cjP  ")


class Nd2Frames(LazyFrames):
    """Frames of an .nd2 file; it is opened on first use.

    Parameters
    ----------
    path : Path
    shape : (t, z, y, x)
    dtype : dtype
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int], dtype: np.dtype[Any]) -> None:
        super().__init__(shape, dtype)
        self.path = path
        self._file: Any = None

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        if self._file is None:
            self._file = _open(self.path)
            weakref.finalize(self, self._file.close)
        _, nz, ny, nx = self._shape
        block = np.empty((stop - start, nz, ny, nx), self._dtype)
        planes = block.reshape(-1, ny, nx)
        for index in range(len(planes)):
            try:
                planes[index] = np.asarray(self._file.read_frame(start * nz + index)).reshape(ny, nx)
            except Exception as error:  # damaged chunks raise whatever the library raises
                raise FormatError(
                    f"{self.path}: frame {start + index // nz} cannot be read; the file is damaged: {error}"
                ) from error
        block.flags.writeable = False
        return block

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}


class Nd2:
    """Reader of Nikon movies."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it begins like nd2, of today or of the old kind."""
        return head.startswith(SIGNATURES[0]) or (head.startswith(SIGNATURES[1]) and path.suffix.lower() == ".nd2")

    @staticmethod
    def open_content(path: Path) -> FileContent:
        """The movie: one channel, and frames or planes along z."""
        with _open(path) as file:
            try:
                sizes = {str(axis): int(n) for axis, n in file.sizes.items()}
                dtype = np.dtype(file.dtype)
                voxel = tuple(file.voxel_size())
            except Exception as error:  # damaged metadata raise whatever the library raises
                raise FormatError(f"{path} is damaged: {error}") from error
        for axis, what in (("C", "channels"), ("S", "samples a pixel"), ("P", "positions")):
            if sizes.get(axis, 1) > 1:
                raise FormatError(f"{path} has {sizes[axis]} {what}; one is read.", hint="Save them one by one.")
        if not {"Y", "X"} <= set(sizes) or not all(sizes.values()) or dtype.kind not in "fiub":
            raise FormatError(f"{path} holds no image that can be read ({sizes}, {dtype}).")
        leading = [axis for axis in sizes if axis in "TZ"]
        if leading == ["Z", "T"]:
            raise FormatError(f"{path} has its axes in the order {''.join(sizes)}; TZYX is read.")
        n = int(np.prod([n for axis, n in sizes.items() if axis not in "YXZ"])) if sizes else 1
        shape = (n, sizes.get("Z", 1), sizes["Y"], sizes["X"])
        metadata: dict[str, Any] = {
            f"voxelsize.{axis}": float(value)
            for axis, value in zip("xyz", voxel, strict=False)
            if value and np.isfinite(value) and value > 0
        }
        if metadata:
            metadata["voxelsize.units"] = "um"

        def load() -> DataObject:
            return loaded(ImageStack(Nd2Frames(path, shape, dtype), metadata=metadata), path, FORMAT)

        return FileContent(path, FORMAT, (Dataset("", ImageStack, load, shape=shape, dtype=str(dtype)),), metadata)


READER = Nd2()


def _open(path: Path) -> Any:
    nd2 = imported("nd2", "nd2", f"{path} is a Nikon movie")
    try:
        return nd2.ND2File(path)
    except Exception as error:  # the library raises many kinds
        raise FormatError(f"{path} is damaged or cut off: {str(error)[:200]}") from error
