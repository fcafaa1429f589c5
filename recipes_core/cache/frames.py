"""Pixels of a stack in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.cache.npy import map_npy
from recipes_core.data.imagestack import LazyFrames
from recipes_core.errors import EnvironmentFault


class NpyFrames(LazyFrames):
    """A `recipes_core.data.FrameSource` over a .npy file: pickled as its path.

    Parameters
    ----------
    path : Path
    dtype : dtype
    shape : (t, z, y, x)
    pixels : (t, z, y, x) array, optional
        The file as a memory map; opened on first use where not given. Who has it open keeps the pixels, even where the entry is
        removed meanwhile.
    """

    def __init__(
        self, path: Path, dtype: np.dtype[Any], shape: tuple[int, int, int, int], pixels: npt.NDArray[Any] | None = None
    ) -> None:
        self.path = path
        super().__init__(shape, dtype)
        self._pixels = pixels

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        if self._pixels is None:
            try:
                self._pixels = map_npy(self.path, self._dtype, self._shape)
            except (OSError, ValueError) as error:
                raise EnvironmentFault(
                    f"the cached images in {self.path.parent} are gone or damaged: {error}.",
                    code="V320",
                    hint="Run again; they are made anew.",
                ) from error
        return self._pixels[start:stop]

    def __getstate__(self) -> tuple[Path, np.dtype[Any], tuple[int, int, int, int]]:
        return self.path, self._dtype, self._shape

    def __setstate__(self, state: tuple[Path, np.dtype[Any], tuple[int, int, int, int]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"<NpyFrames: {self.path}>"
