"""Simulated localizations with a known drift, for the tests of drift correction."""

from __future__ import annotations

import numpy as np

from recipes_core.data import Drift, Localizations


def smooth_drift(n_frames: int, seed: int, amplitude: tuple[float, float, float]) -> np.ndarray:
    """Smooth drift (n_frames, 3) that covers about `amplitude` nm from beginning to end: a trend and two slow waves."""
    rng = np.random.default_rng([seed, 1])
    t = np.arange(n_frames) / n_frames
    drift = np.zeros((n_frames, 3))
    for axis, size in enumerate(amplitude):
        sign = 1 if rng.random() < 0.5 else -1
        waves = sum(rng.uniform(0.05, 0.12) / k * np.sin(2 * np.pi * (k * t + rng.random())) for k in (1, 2))
        drift[:, axis] = size * (sign * t + waves)
    return drift - drift[0]


def wormlike(
    seed: int,
    *,
    n: int = 100_000,
    n_frames: int = 30_000,
    field: float = 9000.0,
    precision: float = 10.0,
    amplitude: tuple[float, float, float] = (900.0, 1100.0, 0.0),
    z_range: float = 0.0,
    z_precision: float = 25.0,
    n_filaments: int | None = None,
) -> tuple[Localizations, Drift]:
    """Localizations on worm-like filaments (persistence length 2 um), and the correction that undoes their drift."""
    rng = np.random.default_rng([seed, 0])
    count = n_filaments or max(4, round(40 * (field / 9000.0) ** 2))
    length, pitch = 6000.0, 10.0
    steps = int(length / pitch)
    start = rng.uniform(0, field, (count, 2))
    angle = rng.uniform(0, 2 * np.pi, count)[:, None] + np.cumsum(rng.normal(0, np.sqrt(pitch / 2000.0), (count, steps)), axis=1)
    x = (start[:, :1] + np.cumsum(pitch * np.cos(angle), axis=1)) % field
    y = (start[:, 1:] + np.cumsum(pitch * np.sin(angle), axis=1)) % field
    z = rng.uniform(-z_range / 2, z_range / 2, count)[:, None] + np.cumsum(rng.normal(0, 1.0, (count, steps)), axis=1) * (
        z_range > 0
    )
    sites = np.column_stack([x.ravel(), y.ravel(), z.ravel()])
    which = rng.integers(0, len(sites), n)
    frame = np.sort(rng.integers(0, n_frames, n))
    drift = smooth_drift(n_frames, seed, amplitude)
    spread = np.array([precision, precision, z_precision if z_range else 0.0])
    positions = sites[which] + drift[frame] + rng.normal(size=(n, 3)) * spread
    columns = {"x": positions[:, 0].astype(np.float32), "y": positions[:, 1].astype(np.float32), "frame": frame.astype(np.int32)}
    if z_range:
        columns["z"] = positions[:, 2].astype(np.float32)
    return Localizations(columns), Drift(np.arange(n_frames), -drift, exact=True)
