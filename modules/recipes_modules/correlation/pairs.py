"""Go through pairs of windows with few spectra in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from recipes_core.module import Context
from recipes_modules.correlation.spectra import Spectrum

Ints = npt.NDArray[np.int64]
Result = TypeVar("Result")

IN_MEMORY = 400 * 2**20
"""Spectra up to this many bytes stay in memory; more go to scratch."""
BATCH = 32 * 2**20
"""Spectra that are made before the next pairs are compared, bytes, where a spectrum is small."""
TASK = 4
"""Pairs that a thread compares at a time."""


def measure_pairs(
    ctx: Context,
    n: int,
    pairs: Ints,
    spectrum_shape: tuple[int, ...],
    make_spectrum: Callable[[int], Spectrum],
    measure: Callable[[int, Spectrum, Spectrum], Result],
    done: Callable[[int], None] = lambda _: None,
) -> list[Result]:
    """Call ``measure(p, spectrum[i], spectrum[j])`` for every pair ``p = (i, j)``.

    Spectra are made in order and forgotten as soon as no later pair needs them, so that a bounded reach of pairs needs bounded
    memory, however long the movie.

    Parameters
    ----------
    n : int
        Number of windows.
    pairs : array (p, 2)
        Ordered by j, with i < j.
    make_spectrum : callable
        Window -> spectrum; called on several threads.
    measure : callable
        Called on several threads.
    done : callable
        Told how many pairs are done.

    Returns
    -------
    list
        In the order of `pairs`.
    """
    first_needed = np.arange(n)
    np.minimum.at(first_needed, pairs[:, 1], pairs[:, 0])
    size = int(np.prod(spectrum_shape)) * 8
    batch = max(2, min(ctx.n_threads, 16), min(BATCH // size, 16))
    # The oldest window that any window of this or a later batch is compared with.
    oldest = np.minimum.accumulate(first_needed[::-1])[::-1]
    slots = int((np.minimum(np.arange(n) + batch, n) - oldest).max())
    keeps_first = bool((pairs[:, 0] == 0).all())
    if keeps_first:
        slots = batch + 1
    store = (
        np.empty((slots, *spectrum_shape), np.complex64)
        if slots * size <= IN_MEMORY
        else ctx.scratch.array((slots, *spectrum_shape), np.complex64)
    )

    def slot(window: int) -> int:
        if keeps_first:
            return 0 if window == 0 else 1 + (window - 1) % batch
        return window % slots

    def fill(window: int) -> None:
        store[slot(window)] = make_spectrum(window)

    def compare(several: range) -> list[Result]:
        return [measure(p, store[slot(int(pairs[p, 0]))], store[slot(int(pairs[p, 1]))]) for p in several]

    results: list[Result] = []
    ends = np.searchsorted(pairs[:, 1], np.arange(n + 1))
    # The first batch of a comparison with the first window alone fills its slot and as many others as there are.
    start = 0
    while start < n:
        stop = min(n, start + batch + (1 if keeps_first and start == 0 else 0))
        for _ in ctx.map(fill, range(start, stop)):
            pass
        last = int(ends[stop])
        for several in ctx.map(compare, (range(p, min(p + TASK, last)) for p in range(int(ends[start]), last, TASK))):
            results.extend(several)
            done(len(results))
        start = stop
    return results
