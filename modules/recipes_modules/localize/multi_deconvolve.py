"""Where emitters may be in a dense piece of a frame: Richardson-Lucy deconvolution on a finer grid, compiled.

Sources: W. H. Richardson 1972, doi:10.1364/JOSA.62.000055; L. B. Lucy 1974, doi:10.1086/111605; extrapolation of the iterations after
D. S. C. Biggs and M. Andrews 1997, doi:10.1364/AO.36.001766. The noise of the camera is added to counts and model, as in
`recipes_modules.localize.spotfit.fit`.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from recipes_modules.localize.multi_scene import LEAST, TRUSTED, Doubles, Floats
from recipes_modules.localize.psf import FAST

FINER = 4
"""Fine pixels along the side of a pixel."""
SMOOTH = np.array([0.05401, 0.24204, 0.39905], np.float32)
"""A Gaussian of one fine pixel, from two pixels off to the middle."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def profiles(sigma: float, half: int) -> Any:
    """Part of a fine pixel's light that goes to the pixels -half to half around its own, (FINER, 2 half + 1) float32."""
    out = np.empty((FINER, 2 * half + 1), np.float32)
    scale = 1.0 / (math.sqrt(2.0) * sigma)
    for phase in range(FINER):
        centre = (phase + 0.5) / FINER - 0.5
        for j in range(2 * half + 1):
            edge = j - half - 0.5 - centre
            out[phase, j] = 0.5 * (math.erf((edge + 1.0) * scale) - math.erf(edge * scale))
    return out


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def forward(fine: Any, table: Any, middle: Any, model: Any) -> None:
    """Light of the fine grid on the pixels, added to `model`.

    Columns of `fine` (FINER y, FINER x) are sorted by their place within a pixel, so that loops run along memory; `middle` (y, FINER x)
    is scratch.
    """
    height, width = model.shape
    half = table.shape[1] // 2
    for v in range(height):
        line = middle[v]
        for u in range(len(line)):
            line[u] = 0.0
        for w in range(FINER * max(v - half, 0), FINER * min(v + half + 1, height)):
            part, source = table[w % FINER, v - w // FINER + half], fine[w]
            for u in range(len(line)):
                line[u] += part * source[u]
        row = model[v]
        for k in range(FINER * (2 * half + 1)):
            part, by = table[k % FINER, k // FINER], k // FINER - half
            first = (k % FINER) * width - by
            for x in range(max(by, 0), min(width + by, width)):
                row[x] += part * line[first + x]


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def backward(ratio: Any, table: Any, middle: Any, result: Any) -> None:
    """The transpose of `forward`; `result` is set."""
    height, width = ratio.shape
    half = table.shape[1] // 2
    for v in range(height):
        row, line = ratio[v], middle[v]
        for u in range(len(line)):
            line[u] = 0.0
        for k in range(FINER * (2 * half + 1)):
            part, by = table[k % FINER, k // FINER], k // FINER - half
            first = (k % FINER) * width
            for x in range(max(-by, 0), min(width - by, width)):
                line[first + x] += part * row[x + by]
    for w in range(FINER * height):
        out = result[w]
        for u in range(len(out)):
            out[u] = 0.0
        for v in range(max(w // FINER - half, 0), min(w // FINER + half + 1, height)):
            part, source = table[w % FINER, v - w // FINER + half], middle[v]
            for u in range(len(out)):
                out[u] += part * source[u]


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _renew(gain: Any, norm: Any, ahead: Any, now: Any, last: Any, change: Any) -> Any:
    """The next iterate from the extrapolated one; products of its change with the last change, and of that with itself."""
    above, below = np.float32(0), np.float32(0)
    for k in range(len(now)):
        new = ahead[k] * gain[k] / max(norm[k], np.float32(1e-3))
        moved = new - ahead[k]
        above += moved * change[k]
        below += change[k] * change[k]
        change[k] = moved
        last[k] = now[k]
        now[k] = new
    return above, below


def deconvolve(data: Floats, added: Floats, back: Floats, sigma: float, iterations: int) -> Floats:
    """Light of each fine pixel, (FINER y, FINER x) float32, columns as in `forward`.

    Parameters
    ----------
    data, added, back : array (y, x) float32
        Counts, variance of the read noise, background; see `multi_scene.Scene`.
    sigma : float
        Width of the PSF, pixels.
    iterations : int
    """
    height, width = data.shape
    table = profiles(sigma, math.ceil(3.0 * sigma))
    shape = (FINER * height, FINER * width)
    middle = np.empty((height, shape[1]), np.float32)
    used = added < TRUSTED
    norm, gain = np.empty(shape, np.float32), np.empty(shape, np.float32)
    backward(used.astype(np.float32), table, middle, norm)
    level = max(float(np.maximum(data - back, 0)[used].mean()) if used.any() else 0.0, 0.1) / FINER**2
    now = np.full(shape, level, np.float32)
    last, ahead, change = now.copy(), now.copy(), np.zeros(shape, np.float32)
    counts = np.where(used, np.maximum(data + added, 0), 0).astype(np.float32)
    ground = np.where(used, back + added, 1).astype(np.float32)
    model = np.empty_like(data)
    for k in range(iterations):
        model[:] = ground
        forward(ahead, table, middle, model)
        backward(counts / np.maximum(model, LEAST), table, middle, gain)
        above, below = _renew(*(each.reshape(-1) for each in (gain, norm, ahead, now, last, change)))
        step = np.float32(min(max(above / max(below, 1e-20), 0.0), 1.0) if k > 0 else 0.0)
        np.subtract(now, last, out=ahead)
        ahead *= step
        ahead += now
        np.maximum(ahead, np.float32(1e-9), out=ahead)
    return now


def peaks(fine: Floats, least: float, most: int) -> Doubles:
    """Local maxima of the deconvolved light, smoothed by a fine pixel, where 5 x 5 fine pixels hold at least `least` counts.

    Returns
    -------
    array (n, 3) float64
        x, y in pixels, counts; row by row.
    """
    rows, columns = fine.shape
    width = columns // FINER
    padded = np.zeros((rows + 4, columns + 4), np.float32)
    plain = padded[2:-2, 2:-2]
    plain[:] = fine.reshape(rows, FINER, width).transpose(0, 2, 1).reshape(rows, columns)
    across = SMOOTH[2] * padded[:, 2:-2]
    for by in (1, 2):
        across += SMOOTH[2 - by] * (padded[:, 2 - by : columns + 2 - by] + padded[:, 2 + by : columns + 2 + by])
    smooth = np.full((rows + 2, columns + 2), -1, np.float32)
    here = smooth[1:-1, 1:-1]
    here[:] = SMOOTH[2] * across[2:-2]
    for by in (1, 2):
        here += SMOOTH[2 - by] * (across[2 - by : rows + 2 - by] + across[2 + by : rows + 2 + by])
    top = here > 0
    for v, u in ((0, 0), (0, 1), (0, 2), (1, 0)):
        # Of two equal neighbours the later one counts.
        top &= here >= smooth[v : v + rows, u : u + columns]
        top &= here > smooth[2 - v : 2 - v + rows, 2 - u : 2 - u + columns]
    place = np.argwhere(top)
    around = np.arange(5)
    light = padded[place[:, 0, None, None] + around[:, None], place[:, 1, None, None] + around].astype(float)
    total = light.sum(axis=(1, 2))
    offset = around - 2.0
    with np.errstate(invalid="ignore", divide="ignore"):
        x = place[:, 1] + (light.sum(axis=1) * offset).sum(axis=1) / total
        y = place[:, 0] + (light.sum(axis=2) * offset).sum(axis=1) / total
    found = np.column_stack([(x + 0.5) / FINER - 0.5, (y + 0.5) / FINER - 0.5, total])
    return found[total >= least][:most]
