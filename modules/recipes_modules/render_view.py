"""Which rectangle of the sample an image shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from recipes_core.data import Localizations
from recipes_core.errors import DataError

MOST_PIXELS = 2**28


@dataclass(frozen=True)
class View:
    """A rectangle of the sample and its pixels.

    Attributes
    ----------
    x0, y0 : float
        Outer edges of the first pixel, nm.
    pixel : float
        nm.
    shape : (y, x)
    """

    x0: float
    y0: float
    pixel: float
    shape: tuple[int, int]

    def metadata(self) -> dict[str, Any]:
        """PYME's names: pixel size in um, origin (centre of the first pixel) in nm."""
        size = self.pixel / 1000
        return {
            "voxelsize.x": size, "voxelsize.y": size, "voxelsize.units": "um",
            "Origin.x": self.x0 + self.pixel / 2, "Origin.y": self.y0 + self.pixel / 2,
        }  # fmt: skip


def view_of(table: Localizations, pixel: float, bounds: tuple[float, ...] | None) -> View:
    """The rectangle to render: given bounds, else those in the metadata (ImageBounds), else those of the data.

    Raises
    ------
    DataError
        Where there is nothing to render or it would take too many pixels.
    """
    names = ("x0", "x1", "y0", "y1")
    known = [value for name in names if _finite(value := table.metadata.get(f"ImageBounds.{name}"))]
    if bounds is not None:
        x0, x1, y0, y1 = bounds
    elif len(known) == len(names) and known[0] != known[1] and known[2] != known[3]:
        x0, x1, y0, y1 = (float(value) for value in known)
    else:
        from recipes_modules.pixels.counting import extent

        x0, x1, y0, y1, count = extent(np.asarray(table["x"]), np.asarray(table["y"]))
        if not count:
            raise DataError("there are no localizations to render.", hint="Filters may have removed all of them.")
        # The outermost localizations lie inside the outermost pixels.
        x0, y0 = math.floor(x0 / pixel) * pixel, math.floor(y0 / pixel) * pixel
        x1, y1 = (math.floor(x1 / pixel) + 1) * pixel, (math.floor(y1 / pixel) + 1) * pixel
    if not (x1 >= x0 and y1 >= y0):
        raise DataError("the bounds of the image are empty.", hint="Write bounds as [x0, x1, y0, y1] in nm.")
    # Compared before they become integers: the ends of the numbers of the machine have a distance that is infinite.
    across, down = (max(1.0, (high - low) / pixel - 1e-6) for low, high in ((x0, x1), (y0, y1)))
    if across * down > MOST_PIXELS:
        raise DataError(
            f"the localizations extend over {(x1 - x0) / 1000:,.4g} x {(y1 - y0) / 1000:,.4g} um, which at a pixel_size of {pixel:g} nm "
            f"is more than {MOST_PIXELS:,} pixels.",
            hint="Filter out far-away localizations, give bounds, or set a larger pixel_size.",
        )
    return View(x0, y0, pixel, (math.ceil(down), math.ceil(across)))


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
