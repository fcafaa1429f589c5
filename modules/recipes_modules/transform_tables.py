"""Tables of transformations: one row a chunk, or one row a frame.

Columns are ``frame``, ``offset_x`` ..., ``matrix_xx`` ... and ``centre_x`` ...: corrected = matrix (position - centre) + centre +
offset. A table of chunks says in ``frame_first`` and ``frame_last`` for which frames each row holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recipes_core.data import Table

if TYPE_CHECKING:
    from recipes_modules.registration.chunks import Chunks
    from recipes_modules.registration.transform import Transformation

Floats = npt.NDArray[np.float64]


def axes_of(table: Table) -> str:
    """The axes that a table of transformations has: 'xy' or 'xyz'."""
    return "xyz" if "offset_z" in table.columns else "xy"


def matrix_names(axes: str) -> list[str]:
    """Names of the elements of the matrix, row by row."""
    return [f"matrix_{row}{column}" for row in axes for column in axes]


def offset_names(axes: str) -> list[str]:
    """Names of the elements of the offset."""
    return [f"offset_{axis}" for axis in axes]


def make_table(chunks: Chunks, found: Sequence[Transformation]) -> Table:
    """One row for each chunk that was found."""
    kept = np.flatnonzero([one.found for one in found])
    axes = "xyz"[: chunks.dimensions]
    columns: dict[str, npt.ArrayLike] = {
        "chunk": kept,
        "frame": chunks.mean_frames()[kept],
        "frame_first": chunks.first_frames()[kept],
        "frame_last": chunks.last_frames()[kept],
        "n": chunks.sizes[kept],
    }
    good = [found[index] for index in kept]
    offset, error = np.array([one.offset for one in good]), np.array([one.error for one in good])
    matrix = np.array([one.matrix.ravel() for one in good])
    columns |= dict(zip(offset_names(axes), offset.T, strict=True))
    columns |= {f"error_offset_{axis}": error[:, index] for index, axis in enumerate(axes)}
    columns |= dict(zip(matrix_names(axes), matrix.T, strict=True))
    columns |= {f"centre_{axis}": np.full(len(kept), chunks.centre[index]) for index, axis in enumerate(axes)}
    columns |= {name: np.array([one.facts[name] for one in good]) for name in good[0].facts}
    units = {name: "nm" for name in columns if name.partition("_")[0] in ("offset", "error", "centre", "distance")}
    return Table(columns, units=units)


def has_matrix(table: Table) -> bool:
    """Whether any matrix of the table is not the unit matrix."""
    axes = axes_of(table)
    names = matrix_names(axes)
    if not all(name in table.columns for name in names):
        return False
    return any(np.any(table[name] != (name[-1] == name[-2])) for name in names)
