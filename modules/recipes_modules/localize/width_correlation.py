"""How the errors of a spot's two widths hang together, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.psf import LANES, integrated

MOST = 0.95


@numba.njit(cache=True, nogil=True, error_model="numpy")
def width_correlation(
    sigma_x: Any, sigma_y: Any, photons: Any, background: Any, half: int, variance: float, excess: float
) -> Any:
    """Correlation of the errors of sigma_x and sigma_y in a fit of both, with photons and background, at the Cramér-Rao bound.

    Where the background is taken too high both widths come out too small: their errors go together, and z, which follows from how
    they differ, is known better than from errors that do not.

    Parameters
    ----------
    sigma_x, sigma_y : array (n,)
        Pixels.
    photons, background : array (n,)
        In the whole spot; in a pixel.
    half : int
        The fit sees ``2 half + 1`` pixels a side.
    variance : float
        Of the read noise, photoelectrons^2.
    excess : float
        Square of the EM register's noise factor.

    Returns
    -------
    array (n,)
        0 where the values make no spot.
    """
    n, side = len(sigma_x), 2 * half + 1
    result = np.zeros(n)
    wide = (side // LANES + 1) * LANES
    work, across, down = np.empty((3, wide + LANES), np.float32), np.empty((3, wide), np.float32), np.empty((3, wide), np.float32)
    px, wx, py, wy = across[0], across[2], down[0], down[2]
    for i in range(n):
        light, dark = photons[i], max(background[i], 0.0)
        if not (sigma_x[i] > 0.0 and sigma_y[i] > 0.0 and light > 0.0 and math.isfinite(sigma_x[i] * sigma_y[i] * light * dark)):
            continue
        integrated(float(half), sigma_x[i], wide, work, across)
        integrated(float(half), sigma_y[i], wide, work, down)
        nn = nb = bb = nx = ny = bx = by = xx = yy = xy = 0.0
        for r in range(side):
            for c in range(side):
                g, dx, dy = py[r] * px[c], light * py[r] * wx[c], light * wy[r] * px[c]
                w = 1.0 / max(excess * (light * g + dark) + variance, 1e-12)
                nn += w * g * g
                nb += w * g
                bb += w
                nx += w * g * dx
                ny += w * g * dy
                bx += w * dx
                by += w * dy
                xx += w * dx * dx
                yy += w * dy * dy
                xy += w * dx * dy
        det = nn * bb - nb * nb
        if not det > 0.0:
            continue
        # What is left of the information on the widths when photons and background are found too.
        ax, bx_ = (bb * nx - nb * bx) / det, (nn * bx - nb * nx) / det
        ay, by_ = (bb * ny - nb * by) / det, (nn * by - nb * ny) / det
        xx -= ax * nx + bx_ * bx
        yy -= ay * ny + by_ * by
        xy -= ax * ny + bx_ * by
        if xx > 0.0 and yy > 0.0:
            result[i] = min(max(-xy / math.sqrt(xx * yy), -MOST), MOST)
    return result
