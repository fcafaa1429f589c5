"""Arrays of rows of different length in PYME's files (VLArray), read as one long table: the row, and its values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, Table
from recipes_core.errors import FormatError
from recipes_core.io.content import Dataset
from recipes_core.io.hdf5 import opened
from recipes_core.io.opening import loaded

FORMAT = "PYME ragged array"
BLOCK = 16
_SMALL = 64 * 2**20


def is_ragged(item: h5py.Dataset) -> bool:
    """Whether a dataset holds rows of numbers of different length."""
    base = h5py.check_vlen_dtype(item.dtype)
    return item.ndim == 1 and base is not None and np.dtype(base).kind in "fiu"


def ragged_dataset(name: str, item: h5py.Dataset, path: Path, metadata: dict[str, Any]) -> Dataset:
    """A table with the columns ``row`` and ``value``."""
    source = item.name

    def load() -> DataObject:
        rows, values = _read(path, source)
        return loaded(Table({"row": rows, "value": values}), path, FORMAT, name, metadata)

    return Dataset(name, Table, load, columns={"row": "", "value": ""}, n_rows=len(item))


def _read(path: Path, source: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    # Rows may share what is stored: a small file could unpack to any size.
    most = _SMALL + 4 * path.stat().st_size
    with opened(path) as file:
        item = file[source]
        kind = np.dtype(h5py.check_vlen_dtype(item.dtype))
        parts, lengths, size = [np.empty(0, kind)], [], 0
        for start in range(0, len(item), BLOCK):
            for row in item[start : start + BLOCK]:
                part = np.asarray(row, kind)
                size += part.nbytes
                if size > most:
                    raise FormatError(
                        f"{path}: '{source.strip('/')}' would need more memory than the file can hold; it is refused."
                    )
                parts.append(part)
                lengths.append(len(part))
    return np.repeat(np.arange(len(lengths)), lengths), np.concatenate(parts)
