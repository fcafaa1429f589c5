"""Figure of how well the pairs of a redundant cross-correlation agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Panel, Picture, Series

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOST_PIXELS = 800
"""A matrix of more windows is drawn with the largest residual of several in one pixel."""
NARROW = 4
"""Where windows are compared with fewer than one over this of the others, the matrix shows only how far apart they are."""


def residual_figure(
    nodes: Floats, pairs: Ints, residual: Floats, used: Mask, bound: float | None, *, unit: str = "nm", what: str = "window"
) -> Figure:
    """Residual of each pair as a matrix, and over the movie.

    Parameters
    ----------
    nodes : array (w,)
        Frame of each window.
    pairs : array (p, 2)
    residual : array (p,)
        NaN for pairs without a peak.
    used : array (p,) of bool
        Pairs that took part in the solution.
    bound : float or None
        Pairs beyond it are left out.
    """
    finite = residual[np.isfinite(residual)]
    white = max(1e-9, 2 * bound if bound else float(np.quantile(finite, 0.98)) if len(finite) else 1.0)
    pixels, rows = residual_matrix(len(nodes), pairs, residual)
    map_panel = Panel(
        [Picture(pixels, limits=(0.0, white), colour_map="viridis")],
        title=f"Residual of pairs, dark 0 to bright {white:.3g} {unit}", x_label=f"{what}, {len(nodes)} in all", y_label=rows,
    )  # fmt: skip
    when = (nodes[pairs[:, 0]] + nodes[pairs[:, 1]]) / 2
    content = [Series("points", when[used], residual[used], label="used", colour=0)]
    if not used.all():
        content.append(Series("points", when[~used], residual[~used], label="left out", colour=1))
    if bound:
        content.append(Series("line", nodes[[0, -1]], np.full(2, bound), label="shift_max", colour=6, style="dashed"))
    note = f"median {np.median(finite):.2g} {unit}, {np.count_nonzero(~used)} of {len(pairs)} left out" if len(finite) else ""
    over = Panel(content, x_label="frame", y_label=f"residual ({unit})", note=note)
    return Figure([map_panel, over], title="Agreement of the pairs", panel_size=(7.0, 3.2))


def residual_matrix(n: int, pairs: Ints, residual: Floats) -> tuple[Floats, str]:
    """Image of the residuals, NaN where no pair is, and what its rows stand for.

    A symmetric matrix of all windows; where each is compared only with its neighbours, how far apart (down) over windows.
    """
    apart = pairs[:, 1] - pairs[:, 0]
    reach = int(apart.max())
    block = -(-n // MOST_PIXELS)
    if reach * NARROW < n and n > 2:
        image = _largest(((apart - 1), pairs[:, 0] // block), (reach, -(-n // block)), residual)
        tall = max(1, round(image.shape[1] / (2.2 * reach)))
        return np.repeat(image, tall, axis=0), f"{reach} .. windows apart .. 1"
    size = -(-n // block)
    i, j = pairs.T // block
    return _largest((np.append(i, j), np.append(j, i)), (size, size), np.append(residual, residual)), "window"


def _largest(places: tuple[Ints, Ints], shape: tuple[int, int], values: Floats) -> Floats:
    image = np.full(shape, -np.inf)
    np.maximum.at(image, places, np.where(np.isfinite(values), values, -np.inf))
    return np.where(np.isfinite(image), image, np.nan)
