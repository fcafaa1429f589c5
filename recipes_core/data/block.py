"""A part of a long computation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recipes_core.data.history import DataObject, HistoryEntry
from recipes_core.data.packing import Packed, as_array, plain_array


class Block(DataObject):
    """Arrays by name, of any shapes: what ``ctx.map`` keeps of one item.

    Parameters
    ----------
    arrays : mapping
        Name -> array.
    """

    def __init__(
        self,
        arrays: Mapping[str, npt.ArrayLike],
        *,
        metadata: Mapping[str, Any] | None = None,
        history: Iterable[HistoryEntry] = (),
    ) -> None:
        self.arrays = {name: np.asarray(values) for name, values in arrays.items()}
        self._init_provenance(metadata, history)

    def pack(self) -> Packed:
        arrays: dict[str, Any] = {name: plain_array(values, f"array '{name}'") for name, values in self.arrays.items()}
        return Packed(type(self).__name__, {"arrays": list(arrays)}, arrays)

    @classmethod
    def unpack(
        cls, spec: Mapping[str, Any], arrays: Mapping[str, Any], metadata: Mapping[str, Any], history: Iterable[HistoryEntry]
    ) -> Self:
        return cls({name: as_array(arrays[name], name) for name in spec["arrays"]}, metadata=metadata, history=history)
