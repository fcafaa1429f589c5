"""Structures and drifts for simulations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

KNOTS = 400
"""Places of a random walk between which a drift of kind 'knots' is smooth (Ma et al. 2024, doi:10.1126/sciadv.adm7765)."""


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
    tilt: float = 0.1,
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
        Range of z over which filaments are spread, nm; at 0 they are flat.
    tilt : float
        Steepest slope along z.

    Returns
    -------
    array (m, 3), nm
    """
    parts = []
    for contour in rng.uniform(length[0], length[1], n):
        steps = max(2, int(contour / spacing))
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, np.sqrt(spacing / persistence), steps))
        slope = np.clip(np.cumsum(rng.normal(0, np.sqrt(spacing / persistence), steps)), -1, 1) * (depth > 0) * tilt
        along = np.column_stack([np.cos(angle), np.sin(angle), slope]) * spacing
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


def thomas_clusters(
    rng: np.random.Generator, *, n: float, field: float, size: float, sigma: float, depth: float
) -> tuple[Floats, Ints]:
    """Members of clusters: a Thomas process (Thomas 1949, doi:10.1093/biomet/36.1-2.18).

    Parents are a Poisson process, each has a Poisson number of members, and these lie around it as a Gaussian. Parents lie also
    around the field, so that its edge is like its middle; members outside it are left out.

    Parameters
    ----------
    n : float
        Mean number of clusters in the field.
    field : float
        Edge of the square field, nm.
    size : float
        Mean number of members of a cluster.
    sigma : float
        Standard deviation of members about their parent along each axis, nm; along z only where there is depth.
    depth : float
        Range of z over which parents are spread, nm.

    Returns
    -------
    sites (m, 3), nm, and cluster (m,)
        In order of clusters.
    """
    margin = 5 * sigma
    parents = rng.poisson(n * (1 + 2 * margin / field) ** 2)
    centres = rng.uniform(-margin, field + margin, (parents, 3))
    centres[:, 2] = rng.uniform(-depth / 2, depth / 2, parents)
    cluster = np.repeat(np.arange(parents), rng.poisson(size, parents))
    sites = centres[cluster] + sigma * rng.normal(size=(len(cluster), 3)) * (1, 1, depth > 0)
    inside = ((sites[:, :2] >= 0) & (sites[:, :2] <= field)).all(axis=1)
    return sites[inside], cluster[inside]


def site_grids(
    rng: np.random.Generator, *, n: int, field: float, spacing: float, depth: float, tilt: float = 0.0
) -> tuple[Floats, Ints]:
    """Sites of square grids of 3 x 4 or 4 x 4 sites at random places and angles, such as DNA origami.

    Parameters
    ----------
    n : int
        Number of grids.
    field : float
        Edge of the square field, nm; the grids lie in it with all their sites where it is large enough.
    spacing : float
        From one site to the next, nm.
    depth : float
        Range of z over which grids are spread, nm.
    tilt : float
        Steepest slope of a grid along z; no effect without depth.

    Returns
    -------
    sites (m, 3), nm, and grid (m,)
        In order of grids.
    """
    margin = min(2.2 * spacing, field / 2)
    parts = []
    for _ in range(n):
        rows = rng.integers(3, 5)
        flat = (
            np.stack(np.meshgrid(np.arange(rows), np.arange(4), indexing="ij"), -1).reshape(-1, 2) - ((rows - 1) / 2, 1.5)
        ) * spacing
        angle = rng.uniform(0, 2 * np.pi)
        turned = flat @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        slope = rng.uniform(-tilt, tilt) * (depth > 0)
        centre = np.append(rng.uniform(margin, field - margin, 2), rng.uniform(-depth / 2, depth / 2))
        parts.append(np.column_stack([turned, flat[:, 0] * slope]) + centre)
    return np.concatenate(parts), np.repeat(np.arange(n), [len(part) for part in parts])


def drift_path(rng: np.random.Generator, kind: str, n_frames: int, amplitude: tuple[float, ...], roughness: float) -> Floats:
    """How the sample moves: (n_frames, 3) in nm, zero at frame 0.

    Parameters
    ----------
    kind : {'none', 'linear', 'polynomial', 'sinusoid', 'random_walk', 'knots', 'steps'}
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
    if kind == "linear":
        return t
    if kind == "random_walk":
        return np.asarray(np.cumsum(rng.normal(size=len(t))))
    if kind == "knots":
        from scipy.interpolate import CubicSpline

        return np.asarray(CubicSpline(np.linspace(0, 1, KNOTS), np.cumsum(rng.normal(size=KNOTS)))(t))
    if kind == "steps":
        jumps = np.zeros(len(t))
        jumps[rng.choice(len(t), min(5, len(t)), replace=False)] = rng.normal(size=min(5, len(t)))
        return np.asarray(np.cumsum(jumps))
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
