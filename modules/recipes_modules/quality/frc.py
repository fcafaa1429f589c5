"""Resolution by Fourier ring correlation (FRC)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.errors import DataError
from recipes_modules.quality.neighbours import Mapper
from recipes_modules.quality.rings import Tiles, ring_sums

Floats = npt.NDArray[np.float64]

THRESHOLD = 1 / 7
FEWEST = 200
BLOCKS = 50
"""A movie is cut into so many blocks by default: few blinks are cut in two, and either half sees all of the movie."""
COARSEST, FINEST = 20.0, 0.25
"""Pixels that are tried, nm."""
SMOOTHING = 0.03
"""Half width of the smoothing, as a part of the highest frequency."""
FIRST_RING = 8
"""A curve that falls below the threshold before this ring is noise: so low, rings hold few elements and tell of the field's edges."""
_NORMAL_95 = 1.96


@dataclass(frozen=True)
class FrcResult:
    """Fourier ring correlation of two halves.

    Attributes
    ----------
    resolution : float
        One over the frequency at which the correlation falls below 1/7, nm; the mean of the splits.
    error : float
        Standard deviation over the splits, nm.
    band : (float, float)
        95 % band of what one split gives, nm.
    frequency : array (n,)
        1/nm.
    correlation, smoothed : array (n,)
        Mean over the splits, as it is and smoothed.
    spread : array (n,)
        Standard deviation of the smoothed correlation over the splits.
    pixel : float
        Pixel of the renderings, nm.
    resolutions : array (n_splits,)
        Resolution of each split, nm.
    """

    resolution: float
    error: float
    band: tuple[float, float]
    frequency: Floats
    correlation: Floats
    smoothed: Floats
    spread: Floats
    pixel: float
    resolutions: Floats


def frc(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    frame: npt.ArrayLike | None = None,
    *,
    split: str = "blocks",
    block: float | None = None,
    n_splits: int = 10,
    pixel: float | None = None,
    rng: np.random.Generator | int = 0,
    mapper: Mapper = map,
) -> FrcResult:
    """Resolution by Fourier ring correlation (Nieuwenhuizen et al. 2013, doi:10.1038/nmeth.2448).

    See also Banterle et al. 2013, doi:10.1016/j.jsb.2013.05.004.

    Localizations are split into two halves, rendered, and correlated ring by ring in Fourier space. The resolution is one over the
    frequency at which the smoothed correlation first falls below 1/7. The field is cut into tiles, over which the sums of a ring run.

    Parameters
    ----------
    x, y : array (n,)
        nm; rows with NaN are left out.
    frame : array (n,), optional
        Needed for ``split='blocks'``.
    split : {'blocks', 'random'}
        'blocks': the movie is cut into blocks of consecutive frames, of which a random half makes one image, so that the
        localizations of one blink stay together. 'random': each localization on its own. A molecule that is localized several
        times is then found in both halves, which correlate although nothing is resolved: the resolution comes out too good.
        Molecules that come back after a longer time are in both halves with blocks too, as in any repeated measurement.
    block : float, optional
        Frames in a block; a fiftieth of the movie where not given. It should be much longer than a molecule is on.
    n_splits : int
        Random splits; their spread is the band.
    pixel : float, optional
        nm; where not given, small enough that the resolution is at least four of them.
    rng : numpy.random.Generator or int
        Random numbers, or their seed.
    mapper : callable
        Applies a function to items in order; ``ctx.map`` uses threads. The result does not depend on it.

    Raises
    ------
    DataError
        Where there are too few localizations (D453), the halves do not correlate at all (D454), or at every frequency (D455).
    """
    if split not in ("blocks", "random"):
        raise DataError(f"split must be 'blocks' or 'random', not {split!r}", code="D450")
    x, y, frame = _cleaned(x, y, frame)
    if split == "blocks" and frame is None:
        raise DataError("split 'blocks' needs the frames of the localizations.", code="D450", hint="Or use split 'random'.")
    generator = np.random.default_rng(rng)
    if len(x) < FEWEST or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        raise DataError(f"{len(x):,} localizations, or all in one line, are too few for a resolution.", code="D453")
    halves = [_half(generator, len(x), frame if split == "blocks" else None, block) for _ in range(max(1, n_splits))]
    tiles, first = _pixel(x, y, halves[0], pixel, mapper)
    sums = [first, *(ring_sums(tiles, half, mapper) for half in halves[1:])]
    curves = np.array([_curve(part, tiles) for part in sums])
    smoothed = np.array([_smooth(curve, part[3]) for curve, part in zip(curves, sums, strict=True)])
    found = [crossing(tiles.frequency, curve) for curve in smoothed]
    known = np.array([1 / q for q in found if q is not None and q > 0])
    if len(known) < len(found):
        raise _undefined(smoothed[next(k for k, q in enumerate(found) if not q)])
    error = float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
    value = float(np.mean(known))
    return FrcResult(
        resolution=value,
        error=error,
        band=(value - _NORMAL_95 * error, value + _NORMAL_95 * error),
        frequency=tiles.frequency,
        correlation=curves.mean(axis=0),
        smoothed=smoothed.mean(axis=0),
        spread=smoothed.std(axis=0, ddof=1) if len(known) > 1 else np.zeros_like(smoothed[0]),
        pixel=tiles.pixel,
        resolutions=known,
    )


def _cleaned(x: npt.ArrayLike, y: npt.ArrayLike, frame: npt.ArrayLike | None) -> tuple[Floats, Floats, Floats | None]:
    columns = [np.asarray(values, dtype=np.float64) for values in (x, y, *(() if frame is None else (frame,)))]
    if len({values.shape for values in columns}) != 1 or columns[0].ndim != 1:
        raise DataError("positions and frames must be columns of one length", code="D450")
    good = np.all([np.isfinite(values) for values in columns], axis=0)
    if not good.all():
        columns = [values[good] for values in columns]
    return columns[0], columns[1], columns[2] if frame is not None else None


def _half(rng: np.random.Generator, n: int, frame: Floats | None, block: float | None) -> npt.NDArray[np.bool_]:
    """One half of the localizations, or of each two blocks that follow one another one, by chance."""
    if frame is None:
        half = np.zeros(n, dtype=bool)
        half[rng.permutation(n)[: n // 2]] = True
        return half
    first, length = float(frame.min()), float(np.ptp(frame)) + 1
    size = block if block else max(1.0, length / BLOCKS)
    if size * 2 > length:
        raise DataError(
            f"blocks of {size:g} frames are too long: the movie has {length:g}, and at least two blocks are needed.",
            code="D450",
            hint="Set block smaller, or use split 'random'.",
        )
    index = ((frame - first) / size).astype(np.int64)
    return np.asarray(_of_pairs(rng, int(index.max()) + 1)[index])


def _of_pairs(rng: np.random.Generator, n: int) -> npt.NDArray[np.bool_]:
    which = rng.integers(0, 2, (n + 1) // 2).astype(bool)
    return np.column_stack([which, ~which]).ravel()[:n]


def _pixel(x: Floats, y: Floats, half: npt.NDArray[np.bool_], pixel: float | None, mapper: Mapper) -> tuple[Tiles, Floats]:
    """The tiles, with pixels of at most a quarter of the resolution, and their sums for this half."""
    if pixel is not None:
        if not pixel > 0:
            raise DataError("pixel must be above 0 nm", code="D450")
        tiles = Tiles.cut(x, y, pixel)
        return tiles, ring_sums(tiles, half, mapper)
    size = COARSEST
    while True:
        tiles = Tiles.cut(x, y, size)
        sums = ring_sums(tiles, half, mapper)
        curve = _smooth(_curve(sums, tiles), sums[3])
        found = crossing(tiles.frequency, curve)
        if found == 0.0:
            raise _undefined(curve)
        if (found is not None and found * size <= 0.25) or size / 2 < FINEST:
            return tiles, sums
        # As far as is known at once: the resolution seen through coarse pixels is about right.
        size = max(size / 2 if found is None else 0.22 / found, size / 4)


def _curve(sums: Floats, tiles: Tiles) -> Floats:
    """Correlation of each ring, with the blur by the pixels undone: it dims what is drawn but not the noise of counting."""
    dimming = np.sinc(tiles.frequency * tiles.pixel) ** 2
    power = np.sqrt(np.prod([np.maximum((sums[k] - sums[k + 3]) / dimming + sums[k + 3], 0.0) for k in (1, 2)], axis=0))
    return np.asarray(np.where(power > 0, sums[0] / dimming / np.where(power > 0, power, 1.0), 0.0))


def _smooth(curve: Floats, weight: Floats) -> Floats:
    """Local regression by straight lines with tricube weights, rings counting by their elements (Cleveland 1979)."""
    from numpy.lib.stride_tricks import sliding_window_view

    half = max(2, round(SMOOTHING * len(curve)))
    offset = np.arange(-half, half + 1, dtype=np.float64)
    kernel = (1 - np.abs(offset / (half + 1)) ** 3) ** 3
    padded = [np.pad(values, half) for values in (weight, weight * curve)]
    w, wy = (sliding_window_view(values, 2 * half + 1) for values in padded)
    s0, s1, s2 = (w @ (kernel * offset**power) for power in range(3))
    t0, t1 = (wy @ (kernel * offset**power) for power in range(2))
    determinant = s0 * s2 - s1**2
    return np.asarray((s2 * t0 - s1 * t1) / determinant)


def crossing(frequency: Floats, smoothed: Floats, threshold: float = THRESHOLD) -> float | None:
    """Frequency at which a curve first falls below the threshold: 0 where only the lowest rings are above, None where all are."""
    above = smoothed >= threshold
    first = int(np.argmax(above)) if above.any() else len(above)
    below = np.flatnonzero(~above[first:])
    if first >= FIRST_RING or (len(below) and first + int(below[0]) < FIRST_RING):
        return 0.0
    if not len(below):
        return None
    k = first + int(below[0])
    share = (smoothed[k - 1] - threshold) / (smoothed[k - 1] - smoothed[k])
    return float(frequency[k - 1] + share * (frequency[k] - frequency[k - 1]))


def _undefined(smoothed: Floats) -> DataError:
    if crossing(np.arange(len(smoothed), dtype=float), smoothed) is None:
        return DataError(
            "the halves correlate above 1/7 at every frequency: one localization is found in both, or the pixel is too large.",
            code="D455",
            hint="Remove duplicated localizations, or set pixel smaller.",
        )
    return DataError(
        "the two halves do not correlate: there is no resolution to measure.",
        code="D454",
        hint="The localizations are too few for their field, or the drift is not corrected.",
    )
