"""Scratch: room for big intermediate arrays that cleans itself up."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.errors import EnvironmentFault

IN_MEMORY = 32 * 2**20
"""Arrays up to this many bytes stay in memory."""


class Scratch:
    """Gives out arrays; large ones are memory maps of files that have no name.

    The file is removed from its folder as soon as it is open (on Windows: when it is closed), so nothing is left behind
    even where the process is killed. The folder is RECIPES_SCRATCH, else the system's one for temporary files.
    """

    def __init__(self, folder: str | None = None, in_memory: int = IN_MEMORY) -> None:
        self.folder = folder or os.environ.get("RECIPES_SCRATCH") or tempfile.gettempdir()
        self.in_memory = in_memory

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array of zeros.

        Raises
        ------
        EnvironmentFault
            Where the folder cannot be written or has no room left.
        """
        kind = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if nbytes <= self.in_memory:
            return np.zeros(shape, kind)
        try:
            with tempfile.TemporaryFile(prefix="recipe-scratch-", dir=self.folder) as file:
                self._reserve(file.fileno(), nbytes)
                return np.memmap(file, dtype=kind, mode="r+", shape=shape)
        except OSError as error:
            reason = "no space is left" if error.errno == errno.ENOSPC else str(error.strerror or error)
            raise EnvironmentFault(
                f"cannot make a scratch file of {nbytes / 2**30:.1f} GiB in {self.folder}: {reason}.",
                code="V210",
                hint="Name another folder in RECIPES_SCRATCH.",
            ) from error

    @staticmethod
    def _reserve(descriptor: int, nbytes: int) -> None:
        # A map of a sparse file on a full disk ends in SIGBUS; reserving turns that into an error here.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, nbytes)
        else:
            os.truncate(descriptor, nbytes)
