"""The rectangle within which positions are compared with positions at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context

Floats = npt.NDArray[np.float64]
Region = tuple[float, float, float, float]


def points_in(ctx: Context, table: Localizations, bounds: Any, fewest: int) -> tuple[Floats, Region]:
    """Positions (n, 2) inside a rectangle, and the rectangle (x0, x1, y0, y1).

    Parameters
    ----------
    bounds : (x0, x1, y0, y1) or None
        None takes the smallest rectangle that holds all positions, one n-th wider.

    Raises
    ------
    DataError
        Where there are fewer positions than `fewest`, or their rectangle is empty.
    """
    good = table.finite_rows("x", "y")
    points = np.column_stack([np.asarray(table[name][good], np.float64) for name in "xy"])
    if not good.all():
        ctx.say(f"{int(np.count_nonzero(~good)):,} of {len(good):,} localizations have NaN and were left out")
    if bounds is not None:
        x0, x1, y0, y1 = (float(value) for value in bounds)
        inside = (points[:, 0] >= x0) & (points[:, 0] <= x1) & (points[:, 1] >= y0) & (points[:, 1] <= y1)
        if not inside.all():
            ctx.say(f"{int(np.count_nonzero(~inside)):,} localizations outside the bounds were left out")
        points = points[inside]
    if len(points) < fewest:
        raise DataError(f"{len(points)} localizations are too few to compare with a random distribution.", code="D610")
    if bounds is None:
        low, high = points.min(axis=0), points.max(axis=0)
        # The outermost of n positions lie one n-th of the field from its edge on average.
        margin = (high - low) / max(1, len(points) - 1)
        (x0, y0), (x1, y1) = low - margin, high + margin
    if not (x1 > x0 and y1 > y0):
        raise DataError("all localizations lie on one line or at one place.", code="D610", hint="Give bounds.")
    return points, (x0, x1, y0, y1)


def area_um2(region: Region) -> float:
    """Area of a rectangle given in nm."""
    return (region[1] - region[0]) * (region[3] - region[2]) * 1e-6


def circle_in(points: Floats, region: Region, radius: float) -> Floats:
    """Area of the circle about each point that is inside the rectangle, nm^2; the points are inside."""
    x0, x1, y0, y1 = region
    # Integral over x of the height of the part inside: exact at its ends, 400 steps between.
    steps = (np.arange(400) + 0.5) / 400
    made = np.full(len(points), np.pi * radius**2)
    near = np.minimum(np.minimum(points[:, 0] - x0, x1 - points[:, 0]), np.minimum(points[:, 1] - y0, y1 - points[:, 1])) < radius
    for rows in np.array_split(np.flatnonzero(near), max(1, np.count_nonzero(near) // 50_000)):
        x, y = points[rows, 0], points[rows, 1]
        # x = centre + radius * sin(angle), so that the steps are fine where the height changes fast.
        low, high = (np.arcsin(np.clip((edge - x) / radius, -1, 1)) for edge in (x0, x1))
        angle = low[:, None] + (high - low)[:, None] * steps
        half = radius * np.cos(angle)
        height = np.minimum(y1 - y[:, None], half) + np.minimum(y[:, None] - y0, half)
        made[rows] = (height * half).mean(axis=1) * (high - low)
    return made
