"""Density by triangles: Delaunay triangulations of jittered positions. Importing this file imports numba."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError


def jittered_triangles(
    x: npt.ArrayLike, y: npt.ArrayLike, jitter: Any, x0: float, y0: float, pixel: float, shape: tuple[int, int], samples: int,
    rng: np.random.Generator, check: Callable[[], None] = lambda: None, kept: float = 1.0,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Mean density of triangulations of copies of the positions, each moved at random (Baddeley et al. 2010).

    A triangle whose median edge is e nm long has the value 1e6 / (e**2 / 2 + 1): PYME's, about localizations per um^2.

    Parameters
    ----------
    jitter : array (n,)
        Standard deviation of the movement along each axis, nm.
    kept : float
        Part of the positions that each copy holds, drawn at random.
    """
    image = np.zeros(shape, np.float64)
    for points, triangles in _copies(x, y, jitter, x0, y0, pixel, samples, rng, check, kept):
        _fill(points, triangles, pixel, image)
    return np.asarray(image / samples, np.float32)


def weighted_triangles(
    x: npt.ArrayLike, y: npt.ArrayLike, jitter: Any, x0: float, y0: float, pixel: float, shape: tuple[int, int], samples: int,
    rng: np.random.Generator, check: Callable[[], None] = lambda: None, kept: float = 1.0,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Mean density of triangulations as `jittered_triangles`, in which each triangle weighs as much as its area: localizations per nm^2.

    A triangle of the area a has the density 1 / (2 a), as there are two of them for each localization. Weighted by area, the mean over
    the copies that have one at a pixel is ``copies / sum(2 a)``: small triangles, which chance makes, hardly show. With one copy the image
    is the density, and its integral is half the number of triangles; the mean of many reads lower where densities vary between copies.

    Parameters
    ----------
    jitter, kept
        As of `jittered_triangles`.
    """
    covered, twice = np.zeros(shape, np.int64), np.zeros(shape, np.float64)
    for points, triangles in _copies(x, y, jitter, x0, y0, pixel, samples, rng, check, kept):
        _fill_areas(points, triangles, pixel, covered, twice)
    return np.divide(covered, twice, out=np.zeros(shape, np.float64), where=twice > 0).astype(np.float32)


def _copies(
    x: npt.ArrayLike, y: npt.ArrayLike, jitter: Any, x0: float, y0: float, pixel: float, samples: int,
    rng: np.random.Generator, check: Callable[[], None], kept: float,
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]]:  # fmt: skip
    """Corners, in pixels, and triangles of each jittered copy."""
    from scipy.spatial import Delaunay, QhullError

    points = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
    if len(points) < 3:
        raise DataError(
            f"{len(points)} localizations are too few for a triangulation.", code="D610", hint="Use method: gaussian."
        )
    for _ in range(samples):
        check()
        rows = rng.random(len(points)) < kept if kept < 1 else slice(None)
        moved = points[rows] + np.asarray(jitter)[rows, None] * rng.standard_normal((len(points), 2))[rows]
        try:
            triangles = Delaunay((moved - (x0, y0)) / pixel)
        except QhullError:
            raise DataError("the localizations cannot be triangulated.", code="D610", hint="They may lie on a line.") from None
        yield triangles.points, triangles.simplices


@numba.njit(cache=True, nogil=True)
def _fill(points: Any, triangles: Any, pixel: float, image: Any) -> None:
    """Add the value of its triangle to each pixel whose middle lies in one."""
    for t in range(len(triangles)):
        corners = _corners(points, triangles[t])
        twice = _twice_area(corners)
        if twice == 0:
            continue
        ax, ay, bx, by, cx, cy = corners
        p, q, r = (ax - bx) ** 2 + (ay - by) ** 2, (bx - cx) ** 2 + (by - cy) ** 2, (cx - ax) ** 2 + (cy - ay) ** 2
        square = p + q + r - min(p, q, r) - max(p, q, r)
        value = 1e6 / (0.5 * square * pixel * pixel + 1.0)
        rows, columns = _reach(ay, by, cy, image.shape[0]), _reach(ax, bx, cx, image.shape[1])
        for row in range(rows[0], rows[1]):
            for column in range(columns[0], columns[1]):
                if _inside(column + 0.5, row + 0.5, corners, twice):
                    image[row, column] += value


@numba.njit(cache=True, nogil=True)
def _fill_areas(points: Any, triangles: Any, pixel: float, covered: Any, areas: Any) -> None:
    """Count triangles and add twice their area, nm^2, at each pixel whose middle lies in one."""
    for t in range(len(triangles)):
        corners = _corners(points, triangles[t])
        twice = _twice_area(corners)
        if twice == 0:
            continue
        ax, ay, bx, by, cx, cy = corners
        rows, columns = _reach(ay, by, cy, covered.shape[0]), _reach(ax, bx, cx, covered.shape[1])
        for row in range(rows[0], rows[1]):
            for column in range(columns[0], columns[1]):
                if _inside(column + 0.5, row + 0.5, corners, twice):
                    covered[row, column] += 1
                    areas[row, column] += abs(twice) * pixel * pixel


@numba.njit(cache=True, nogil=True)
def _corners(points: Any, triangle: Any) -> Any:
    """x and y of the three corners."""
    a, b, c = triangle[0], triangle[1], triangle[2]
    return points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]


@numba.njit(cache=True, nogil=True)
def _twice_area(corners: Any) -> Any:
    """Twice the area; negative where the corners go round the other way."""
    ax, ay, bx, by, cx, cy = corners
    return (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)


@numba.njit(cache=True, nogil=True)
def _reach(a: float, b: float, c: float, n: int) -> tuple[int, int]:
    """First of n pixels whose middle may lie in a triangle with these coordinates, and the one behind the last."""
    first, last = max(0.0, np.ceil(min(a, b, c) - 0.5)), min(n - 1.0, np.floor(max(a, b, c) - 0.5))
    return (int(first), int(last) + 1) if first <= last else (0, 0)


@numba.njit(cache=True, nogil=True)
def _inside(u: float, v: float, corners: Any, twice: float) -> bool:
    """Whether a place lies in a triangle."""
    ax, ay, bx, by, cx, cy = corners
    e0 = ((bx - ax) * (v - ay) - (u - ax) * (by - ay)) / twice
    e1 = ((cx - bx) * (v - by) - (u - bx) * (cy - by)) / twice
    return bool(e0 >= 0 and e1 >= 0 and e0 + e1 <= 1)
