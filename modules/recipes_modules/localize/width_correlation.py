"""How the errors of a spot's two widths hang together, compiled. Importing this file imports numba: do it on use."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

MOST = 0.95


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _profile(sigma: float, half: int, share: Any, slope: Any) -> None:
    """Part of a Gaussian in each pixel from -half to half, and its derivative by sigma."""
    whole, rest = 0.0, 0.0
    for k in range(2 * half + 2):
        t = (k - half - 0.5) / sigma
        now = 0.5 * math.erf(t / math.sqrt(2.0))
        tail = t * math.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi)
        if k > 0:
            share[k - 1] = now - whole
            slope[k - 1] = (rest - tail) / sigma
        whole, rest = now, tail


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
    px, wx, py, wy = np.empty(side), np.empty(side), np.empty(side), np.empty(side)
    for i in range(n):
        light, dark = photons[i], max(background[i], 0.0)
        if not (sigma_x[i] > 0.0 and sigma_y[i] > 0.0 and light > 0.0 and math.isfinite(sigma_x[i] * sigma_y[i] * light * dark)):
            continue
        _profile(sigma_x[i], half, px, wx)
        _profile(sigma_y[i], half, py, wy)
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
