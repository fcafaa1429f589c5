"""Structures and drifts for simulations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def wormlike_filaments(
    rng: np.random.Generator,
    *,
    n: int,
    field: float,
    length: tuple[float, float],
    persistence: float,
    spacing: float,
    radius: float,
    depth: float,
) -> Floats:
    """Sites on the surface of thin, bent tubes: worm-like chains in the plane.

    Parameters
    ----------
    n : int
        Number of filaments.
    field : float
        Edge of the square field, nm; sites outside are left out.
    length : (low, high)
        Contour length, nm.
    persistence : float
        Persistence length, nm: directions a contour length s apart correlate as exp(-s / (2 persistence)) in the plane.
    spacing : float
        Contour from one site to the next, nm.
    radius : float
        Of the tube, nm.
    depth : float
        Range of z over which filaments are spread, nm.

    Returns
    -------
    array (m, 3), nm
    """
    parts = []
    for contour in rng.uniform(length[0], length[1], n):
        steps = max(2, int(contour / spacing))
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, np.sqrt(spacing / persistence), steps))
        tilt = np.clip(np.cumsum(rng.normal(0, np.sqrt(spacing / persistence), steps)), -1, 1) * (depth > 0) * 0.1
        along = np.column_stack([np.cos(angle), np.sin(angle), tilt]) * spacing
        # The middle of the chain lies in the field, so that most of it does.
        centre = np.append(rng.uniform(0, field, 2), rng.uniform(-depth / 2, depth / 2))
        chain = np.cumsum(along, axis=0)
        chain += centre - chain[steps // 2]
        around = rng.uniform(0, 2 * np.pi, steps)
        chain[:, 0] += radius * np.cos(around) * -np.sin(angle)
        chain[:, 1] += radius * np.cos(around) * np.cos(angle)
        chain[:, 2] += radius * np.sin(around) * (depth > 0)
        parts.append(chain)
    sites = np.concatenate(parts)
    inside = ((sites[:, :2] >= 0) & (sites[:, :2] <= field)).all(axis=1)
    return np.asarray(sites[inside])


def drift_path(rng: np.random.Generator, kind: str, n_frames: int, amplitude: tuple[float, ...], roughness: float) -> Floats:
    """How the sample moves: (n_frames, 3) in nm, zero at frame 0.

    Parameters
    ----------
    kind : {'none', 'polynomial', 'sinusoid', 'random_walk', 'steps'}
    amplitude : (x, y, z)
        From the lowest to the highest position along each axis, nm.
    roughness : float
        Share of a random walk that is added, as a part of `amplitude`, before the whole is scaled to it.
    """
    path = np.zeros((n_frames, 3))
    t = np.linspace(0, 1, n_frames)
    for axis in range(3):
        shape = _scaled(_shape(rng, kind, t, axis))
        if roughness > 0 and kind != "none":
            shape = shape + roughness * _scaled(np.cumsum(rng.normal(size=n_frames)))
        path[:, axis] = amplitude[axis] * _scaled(shape)
    return path - path[0]


def _shape(rng: np.random.Generator, kind: str, t: Floats, axis: int) -> Floats:
    if kind == "polynomial":
        # A trend with a bend: a stage that settles.
        return rng.choice((-1.0, 1.0)) * (t + rng.uniform(-0.6, 0.6) * t**2 + rng.uniform(-0.5, 0.5) * t**3)
    if kind == "sinusoid":
        return np.sin(2 * np.pi * ((1.5, 1.1, 2.2)[axis] * t + rng.uniform()))
    if kind == "random_walk":
        return np.cumsum(rng.normal(size=len(t)))
    if kind == "steps":
        jumps = np.zeros(len(t))
        jumps[rng.choice(len(t), min(5, len(t)), replace=False)] = rng.normal(size=min(5, len(t)))
        return np.cumsum(jumps)
    return np.zeros(len(t))


def _scaled(values: Floats) -> Floats:
    span = np.ptp(values)
    return values / span if span > 0 else values


def blink(
    rng: np.random.Generator, *, n: int, n_frames: int, n_sites: int, on_time: float, bleaching: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Frame and site of `n` localizations of molecules that blink, sorted by frame.

    Parameters
    ----------
    on_time : float
        Mean number of frames that a molecule stays on; geometrically distributed.
    bleaching : float
        Blinks become fewer as exp(-bleaching * t) over the movie, t from 0 to 1.
    """
    frames, sites = np.empty(0, np.int64), np.empty(0, np.int64)
    while len(frames) < n:
        m = int((n - len(frames)) / min(on_time, n_frames) * 1.1) + 16
        lasting = rng.geometric(1 / on_time, m)
        u = rng.uniform(size=m)
        start = u if bleaching == 0 else -np.log1p(-u * -np.expm1(-bleaching)) / bleaching
        begin = np.minimum((start * n_frames).astype(np.int64), n_frames - 1)
        # What outlasts the movie is not seen; more than are asked for need not be drawn.
        lasting = np.minimum(lasting, np.minimum(n_frames - begin, n))
        since = np.arange(lasting.sum()) - np.repeat(np.cumsum(lasting) - lasting, lasting)
        frames = np.concatenate([frames, np.repeat(begin, lasting) + since])
        sites = np.concatenate([sites, np.repeat(rng.integers(0, n_sites, m), lasting)])
    chosen = rng.permutation(len(frames))[:n]
    chosen = chosen[np.argsort(frames[chosen], kind="stable")]
    return frames[chosen], sites[chosen]
