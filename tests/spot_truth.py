"""Spots of known truth, and the bounds of what a fit can know, in plain numpy."""

from __future__ import annotations

import numpy as np
from scipy import special

from recipes_modules.localize.fitting import MODELS, NAMES
from recipes_modules.localize.psf import width_at

SIGMA = 1.3
BACKGROUND = 20.0
READ = 2.25
CURVES = np.array([[1.3, -250.0, 450.0, 0.1, 0.05], [1.4, 230.0, 420.0, -0.1, 0.08], [-600.0, 600.0, 0.0, 0.0, 0.0]])


def axis(centre, sigma, k):
    """Gaussian integrated over pixels, an own line of code with scipy's erf."""
    edges = np.arange(k + 1) - 0.5
    t = (edges - np.reshape(centre, (-1, 1))) / (np.sqrt(2) * np.reshape(sigma, (-1, 1)))
    return np.diff(0.5 * special.erf(t), axis=1)


def spot(theta, model, k):
    """The model of parameters (p,) or (n, p) over regions of k x k pixels."""
    theta = np.atleast_2d(theta)
    x, y, n, b = theta[:, :4].T[..., None, None]
    if model in ("plane", "plane_xy"):
        sx, sy = (theta[:, 4], theta[:, 4 + (model == "plane_xy")])
        u, v = np.arange(k)[None, None] - x, np.arange(k)[None, :, None] - y
        peak = n * np.exp(-(u**2) / (2 * sx[:, None, None] ** 2) - v**2 / (2 * sy[:, None, None] ** 2))
        return peak + b + theta[:, -2, None, None] * u + theta[:, -1, None, None] * v
    if model == "depth":
        sx, sy = np.array([[width_at(curve, z)[0] for curve in CURVES[:2]] for z in theta[:, 4]]).T
    else:
        sx = theta[:, 4] if model != "fixed" else np.full(len(theta), SIGMA)
        sy = theta[:, 5] if model == "sigma_xy" else sx
    return b + n * axis(theta[:, 1], sy, k)[:, :, None] * axis(theta[:, 0], sx, k)[:, None, :]


def simulate(count, photons, seed, *, k=7, sigma=(SIGMA, SIGMA), variance=READ, background=BACKGROUND):
    """Regions, and their true parameters (x, y, N, background, sigma_x, sigma_y)."""
    rng = np.random.default_rng(seed)
    theta = np.empty((count, 6))
    theta[:, :2] = k // 2 + rng.uniform(-0.5, 0.5, (count, 2))
    theta[:, 2] = photons(rng, count) if callable(photons) else photons
    theta[:, 3], theta[:, 4], theta[:, 5] = background, *sigma
    data = rng.poisson(spot(theta, "sigma_xy", k)) + rng.normal(0, 1, (count, k, k)) * np.sqrt(variance)
    return data.astype(np.float32), theta


def bound(theta, model, k, variance=READ, excess=1.0):
    """Cramer-Rao bound from numerical derivatives in double precision."""
    theta = np.asarray(theta, float)[:, : 4 + len(NAMES[MODELS[model]])]
    steps = np.full(theta.shape[1], 1e-4)
    steps[2] = 1e-2
    if model == "depth":
        steps[4] = 1e-2
    rows = []
    for a, h in enumerate(steps):
        up, down = theta.copy(), theta.copy()
        up[:, a] += h
        down[:, a] -= h
        rows.append((spot(up, model, k) - spot(down, model, k)) / (2 * h))
    rows = np.stack(rows, 1).reshape(len(theta), theta.shape[1], -1)
    weights = 1 / (excess * spot(theta, model, k) + variance).reshape(len(theta), 1, -1)
    return np.sqrt(np.diagonal(np.linalg.inv(np.einsum("nai,nbi->nab", rows * weights, rows)), axis1=1, axis2=2))


def deviation(z):
    """Robust standard deviation about zero."""
    return 1.4826 * np.median(np.abs(z))


def errors_of(found, theta, k=7):
    return np.concatenate([found["x"] + k // 2 - theta[:, 0], found["y"] + k // 2 - theta[:, 1]])


def stated(found):
    return np.concatenate([found["error_x"], found["error_y"]])
