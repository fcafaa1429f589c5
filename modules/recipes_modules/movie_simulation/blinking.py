"""When molecules shine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def bright_intervals(
    rng: np.random.Generator, *, n: int, n_frames: int, on_time: float, off_time: float, bleach_time: float, start: str
) -> tuple[Ints, Floats, Floats]:
    """Times at which molecules shine: they go dark at the rate 1/on_time, come back at 1/off_time, and bleach at 1/bleach_time.

    Parameters
    ----------
    n : int
        Number of molecules.
    on_time, off_time : float
        Mean durations in frames, without bleaching.
    bleach_time : float
        Mean time that a molecule shines before it bleaches, frames; 0 where none does.
    start : {'balanced', 'dark', 'bright'}
        State at the beginning; balanced: as after a long time without bleaching.

    Returns
    -------
    molecule, begin, end : array (m,)
        Each time that a molecule shines, clipped to the movie, in units of frames.
    """
    leave = 1 / on_time + (1 / bleach_time if bleach_time > 0 else 0.0)
    bleached = 1 / bleach_time / leave if bleach_time > 0 else 0.0
    bright = {"dark": 0.0, "bright": 1.0}.get(start, on_time / (on_time + off_time))
    alive = np.arange(n)
    now = np.where(rng.uniform(size=n) < bright, 0.0, rng.exponential(off_time, n))
    found: list[tuple[Ints, Floats, Floats]] = []
    while len(alive):
        kept = now < n_frames
        alive, now = alive[kept], now[kept]
        end = now + rng.exponential(1 / leave, len(alive))
        found.append((alive, now, np.minimum(end, n_frames)))
        kept = rng.uniform(size=len(alive)) >= bleached
        alive = alive[kept]
        now = end[kept] + rng.exponential(off_time, len(alive))
    molecule, begin, end = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return molecule, begin, end


def by_frame(begin: Floats, end: Floats, n_frames: int) -> tuple[Ints, Ints, Floats]:
    """Cut intervals at the frames.

    Returns
    -------
    interval, frame : array (m,)
        Which interval shines in which frame.
    part : array (m,)
        Of the frame that it covers, above 0 and at most 1.
    """
    first = np.floor(begin).astype(np.int64)
    n = np.maximum(np.minimum(np.ceil(end).astype(np.int64), n_frames) - first, 0)
    interval = np.repeat(np.arange(len(begin)), n)
    frame = first[interval] + np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    part = np.minimum(end[interval], frame + 1.0) - np.maximum(begin[interval], frame)
    seen = part > 0
    return interval[seen], frame[seen], part[seen]


def merged(molecule: Ints, frame: Ints, photons: Floats, n_frames: int) -> tuple[Ints, Ints, Floats]:
    """One row for each molecule and frame, sorted by frame: a molecule may shine several times in one."""
    key, which = np.unique(frame + molecule * np.int64(n_frames), return_inverse=True)
    total = np.bincount(which, photons, len(key))
    molecule, frame = np.divmod(key, n_frames)
    order = np.argsort(frame, kind="stable")
    return molecule[order], frame[order], total[order]


def brightnesses(rng: np.random.Generator, law: str, mean: float, n: int) -> Floats:
    """Photons, by an exponential law, a log-normal one with a standard deviation of half the mean, or all the same."""
    if law == "exponential":
        return rng.exponential(mean, n)
    if law == "lognormal":
        spread = np.log(1.25)
        return mean * rng.lognormal(-spread / 2, np.sqrt(spread), n)
    return np.full(n, float(mean))
