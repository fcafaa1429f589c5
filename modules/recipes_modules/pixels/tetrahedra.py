"""Density by tetrahedra: Delaunay triangulations of jittered positions in three dimensions. Importing this file imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError


def jittered_tetrahedra(
    positions: npt.NDArray[np.float64],
    jitter: npt.NDArray[np.float64],
    origin: tuple[float, float, float],
    voxel: tuple[float, float, float],
    shape: tuple[int, int, int],
    samples: int,
    rng: np.random.Generator,
    check: Callable[[], None] = lambda: None,
    kept: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Mean over copies of the positions, each moved at random, of one over the volume of the tetrahedron at a voxel's middle.

    The volume is in voxels, so that each tetrahedron sums up to 1 (on average over where it lies on the grid; one smaller than a voxel goes
    whole into the voxel of its middle). Where localizations lie at random, each has 24 pi^2 / 35 = 6.77 tetrahedra.

    Parameters
    ----------
    positions, jitter : arrays (n, 3)
        x, y, z and the standard deviation of their movement, nm.
    origin, voxel : (x, y, z)
        Outer corner of the first voxel and its edges, nm.
    shape : (z, y, x)
    kept : float
        Part of the positions that each copy holds, drawn at random.

    Returns
    -------
    array (z, y, x)

    Raises
    ------
    DataError
        Code D610 where the positions have no triangulation.
    """
    from scipy.spatial import Delaunay, QhullError

    image = np.zeros(shape, np.float64)
    for _ in range(samples):
        check()
        rows = rng.random(len(positions)) < kept if kept < 1 else slice(None)
        moved = positions[rows] + jitter[rows] * rng.standard_normal(positions.shape)[rows]
        if len(moved) < 5:
            raise DataError(
                f"{len(moved)} localizations are too few for tetrahedra.",
                code="D610",
                hint="Use another renderer, or a larger MCProbability.",
            )
        try:
            tetrahedra = Delaunay((moved - origin) / voxel)
        except QhullError:
            raise DataError("the localizations cannot be triangulated.", code="D610", hint="They may lie in a plane.") from None
        _fill(tetrahedra.points, tetrahedra.simplices, image)
    return np.asarray(image / samples, np.float32)


@numba.njit(cache=True, nogil=True)
def _fill(points: Any, tetrahedra: Any, image: Any) -> None:
    """Add one over its volume to each voxel whose middle lies in a tetrahedron."""
    nz, ny, nx = image.shape
    # Each corner's share of a position is linear in it: offset and slopes along x, y, z.
    share = np.empty((4, 4))
    for t in range(len(tetrahedra)):
        a, b, c, d = tetrahedra[t, 0], tetrahedra[t, 1], tetrahedra[t, 2], tetrahedra[t, 3]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        ux, uy, uz = points[b, 0] - ax, points[b, 1] - ay, points[b, 2] - az
        vx, vy, vz = points[c, 0] - ax, points[c, 1] - ay, points[c, 2] - az
        wx, wy, wz = points[d, 0] - ax, points[d, 1] - ay, points[d, 2] - az
        cross = ux * (vy * wz - vz * wy) - uy * (vx * wz - vz * wx) + uz * (vx * wy - vy * wx)
        volume = abs(cross) / 6
        if volume <= 1:
            x, y, z = ax + (ux + vx + wx) / 4, ay + (uy + vy + wy) / 4, az + (uz + vz + wz) / 4
            if 0 <= x < nx and 0 <= y < ny and 0 <= z < nz:
                image[int(z), int(y), int(x)] += 1.0
            continue
        share[1, 1], share[1, 2], share[1, 3] = vy * wz - vz * wy, vz * wx - vx * wz, vx * wy - vy * wx
        share[2, 1], share[2, 2], share[2, 3] = wy * uz - wz * uy, wz * ux - wx * uz, wx * uy - wy * ux
        share[3, 1], share[3, 2], share[3, 3] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        share[0, :] = 0.0
        share[0, 0] = 1.0
        for k in range(1, 4):
            for i in range(1, 4):
                share[k, i] /= cross
                share[0, i] -= share[k, i]
            share[k, 0] = -(share[k, 1] * ax + share[k, 2] * ay + share[k, 3] * az)
            share[0, 0] -= share[k, 0]
        front, back = max(0.0, np.ceil(az + min(0.0, uz, vz, wz) - 0.5)), min(nz - 1.0, np.floor(az + max(0.0, uz, vz, wz) - 0.5))
        top, bottom = max(0.0, np.ceil(ay + min(0.0, uy, vy, wy) - 0.5)), min(ny - 1.0, np.floor(ay + max(0.0, uy, vy, wy) - 0.5))
        left, right = max(0.0, np.ceil(ax + min(0.0, ux, vx, wx) - 0.5)), min(nx - 1.0, np.floor(ax + max(0.0, ux, vx, wx) - 0.5))
        if not (front <= back and top <= bottom and left <= right):
            continue
        for plane in range(int(front), int(back) + 1):
            for row in range(int(top), int(bottom) + 1):
                # The part of the row that is inside: all four shares at least 0.
                low, high = left, right
                for k in range(4):
                    here = share[k, 0] + share[k, 1] * 0.5 + share[k, 2] * (row + 0.5) + share[k, 3] * (plane + 0.5)
                    slope = share[k, 1]
                    if slope > 0:
                        low = max(low, np.ceil(-here / slope))
                    elif slope < 0:
                        high = min(high, np.floor(-here / slope))
                    elif here < 0:
                        high = -1.0
                if low <= high:
                    for column in range(int(low), int(high) + 1):
                        image[plane, row, column] += 1 / volume
