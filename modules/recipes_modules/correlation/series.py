"""Windows of an image series, and their mean images, read piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import ImageStack
from recipes_core.errors import DataError

Ints = npt.NDArray[np.int64]
Image = npt.NDArray[np.float32]

AT_ONCE = 16 * 2**20
"""Pixels are read in pieces of at most so many bytes, at least an image."""


def cut_series(n: int, step: int, window: int) -> tuple[Ints, Ints]:
    """Windows of `window` images, one every `step` images.

    A last window that the series fills by less than half joins the one before it; where windows stand apart it is left out.

    Parameters
    ----------
    n : int
        Images of the series.

    Returns
    -------
    starts, stops : array (w,)
        First image of each window, and the one behind its last.

    Raises
    ------
    DataError
        Where there are fewer than two windows.
    """
    if n < 2:
        raise DataError(f"the image series has {'one image' if n else 'no images'}; a drift needs two.", code="D430")
    starts = np.arange(0, n, step)
    starts = starts[: np.count_nonzero(starts + window < n) + 1]
    stops = np.minimum(starts + window, n)
    if len(starts) > 1 and 2 * (stops[-1] - starts[-1]) < window:
        starts, stops = starts[:-1], stops[:-1]
        if step <= window:
            stops[-1] = n
    # Overlapping windows share images, whose noise is the same: only those that lie apart can be compared.
    if not (starts >= stops[0]).any():
        raise DataError(
            f"the series of {n:,} images gives no two windows of {window:,} images that lie apart.",
            code="D433",
            hint=f"Set window below {max(2, n // 2)}.",
        )
    return starts, stops


def mean_image(stack: ImageStack, start: int, stop: int, *, deep: bool) -> tuple[Image, int]:
    """Mean of the images `start` to `stop`, and the number of values that are not finite and were left out.

    Parameters
    ----------
    deep : bool
        Keep planes; otherwise they are averaged too.

    Returns
    -------
    array (z, y, x), int
        One plane where not `deep`. A pixel without a finite value gets the mean of its plane.
    """
    t, *shape = stack.shape
    if not deep:
        shape[0] = 1
    per_image = max(1, stack.nbytes // max(1, t))
    several = max(1, AT_ONCE // per_image)
    total = np.zeros(shape)
    missing: npt.NDArray[Any] | None = None
    n_bad = 0
    for first in range(start, stop, several):
        planes = stack.frames(first, min(first + several, stop))
        if planes.dtype.kind == "f":
            finite = np.isfinite(planes)
            if not finite.all():
                missing = np.zeros(shape, np.int64) if missing is None else missing
                missing += _summed(~finite, deep, np.int64)
                n_bad += int(finite.size - np.count_nonzero(finite))
                planes = np.where(finite, planes, 0)
        total += _summed(planes, deep, np.float64)
    count = (stop - start) * (1 if deep else stack.shape[1])
    if missing is None:
        return (total / count).astype(np.float32), 0
    known = count - missing
    mean = np.divide(total, known, out=np.full(shape, np.nan), where=known > 0)
    for plane, some in zip(mean, known > 0, strict=True):
        plane[~some] = plane[some].mean() if some.any() else 0.0
    return mean.astype(np.float32), n_bad


def _summed(planes: npt.NDArray[Any], deep: bool, kind: Any) -> npt.NDArray[Any]:
    if deep:
        return np.asarray(planes.sum(axis=0, dtype=kind))
    return np.asarray(planes.sum(axis=(0, 1), dtype=kind))[np.newaxis]
