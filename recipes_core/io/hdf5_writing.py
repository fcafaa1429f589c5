"""New HDF5 files that survive a full disk."""

from __future__ import annotations

import contextlib
import io
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from recipes_core.module.context import available_threads


class _Disk(io.RawIOBase):
    """A file for HDF5 that never refuses to be written to.

    The HDF5 library crashes the process where a file cannot be written when it is closed, as on a full disk. This file keeps
    the first error to itself, lets the library believe that all is well, and has the error raised when the library has gone.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._size = 0
        self.error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        self._size = max(self._size, self._file.tell() + len(view))
        self._attempt(lambda: self._write_all(view))
        return len(view)

    def _write_all(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            done += self._file.write(view[done:]) or 0

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self._file.readinto(view) or 0
        # What could not be written is read as zeros: the file is thrown away in any case.
        view[found:] = bytes(len(view) - found)
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(self._size + offset, os.SEEK_SET) if whence == os.SEEK_END else self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        self._size = self.tell() if size is None else size
        self._attempt(lambda: self._file.truncate(self._size))
        return self._size

    def _attempt(self, action: Callable[[], Any]) -> None:
        if self.error is not None:
            return
        try:
            action()
        except BaseException as error:  # Ctrl-C as well: an exception inside HDF5 is as bad as a full disk
            self.error = error

    def check(self) -> None:
        """Raise the first error."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self._file.close()
        super().close()


@contextlib.contextmanager
def created(path: Path, header: bytes = b"") -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """A new HDF5 file, and a function that raises what went wrong so far; call it between blocks of a long write.

    Parameters
    ----------
    header : bytes
        What stands before the content of HDF5: nothing, or 512 bytes.

    Raises
    ------
    OSError
        Where the file could not be written.
    """
    with contextlib.closing(_Disk(path)) as disk:
        with h5py.File(disk, "w", track_order=False, userblock_size=len(header)) as file:
            yield file, disk.check
        if header:
            disk.seek(0)
            disk.write(header)
        disk.check()


def write_chunks(
    item: h5py.Dataset,
    places: Iterable[tuple[int, ...]],
    values_at: Callable[[tuple[int, ...]], npt.NDArray[Any]],
    check: Callable[[], None],
) -> None:
    """Write a dataset with shuffle and gzip chunk by chunk, compressed on all processors.

    HDF5 itself compresses in one thread. What is written is an ordinary deflate stream that every reader of HDF5 knows; it looks
    for runs only, which on shuffled numbers saves as much as the full search and takes a third of its time.

    Parameters
    ----------
    item : h5py.Dataset
        Made with ``shuffle=True, compression="gzip"``.
    places : iterable of tuple of int
        Offset of each chunk.
    values_at : callable
        Offset -> values of the whole chunk.
    check : callable
        Raises what went wrong with the disk so far.
    """
    from concurrent.futures import ThreadPoolExecutor

    n_threads = available_threads()

    def compressed(place: tuple[int, ...]) -> tuple[tuple[int, ...], bytes]:
        values = np.ascontiguousarray(values_at(place))
        raw = values.view(np.uint8).reshape(-1, values.dtype.itemsize)
        packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
        return place, packer.compress(np.ascontiguousarray(raw.T).tobytes()) + packer.flush()

    pending: deque[Any] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        for place in places:
            pending.append(pool.submit(compressed, place))
            if len(pending) > 2 * n_threads:
                item.id.write_direct_chunk(*pending.popleft().result())
                check()
        while pending:
            item.id.write_direct_chunk(*pending.popleft().result())
            check()
