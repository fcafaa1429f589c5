"""Mean distance to the neighbours, as PYME gives it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recipes_core.data import Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Input, Output, Str

Floats = npt.NDArray[np.float64]


class MeanNeighbourDistances(ModuleBase):
    """Mean distance of each point to its neighbours in the Delaunay triangulation."""

    version = 1

    inputPositions = Input(Table, "input", requires=("x", "y"), desc="points")
    outputName = Output(Table, "neighbourDists", desc="a row for each point")

    key = Str("neighbourDists", desc="column with the distance")

    def run(self, ctx: Context, inputPositions: Table) -> Table:
        from scipy.spatial import Delaunay, QhullError

        points = _coordinates(inputPositions, ("x", "y"))
        good = np.flatnonzero(np.isfinite(points).all(axis=1))
        distances = np.full(len(points), np.nan)
        try:
            starts, neighbours = Delaunay(points[good]).vertex_neighbor_vertices
        except (QhullError, ValueError) as error:
            raise DataError("the points are too few, or in one line: they have no triangulation.", code="D450") from error
        counts = np.diff(starts)
        of = np.repeat(np.arange(len(good)), counts)
        lengths = np.hypot(*(points[good][of] - points[good][neighbours]).T)
        known = counts > 0
        distances[good[known]] = np.bincount(of, lengths, len(good))[known] / counts[known]
        if np.isnan(distances).any():
            ctx.say(f"{np.count_nonzero(np.isnan(distances)):,} points have NaN or lie on others; their distance is NaN")
        return Table({self.key: distances}, units={self.key: "nm"}, metadata=inputPositions.metadata)


def _coordinates(table: Table, columns: tuple[str, ...]) -> Floats:
    return np.column_stack([np.asarray(table[name], dtype=np.float64) for name in columns])
