"""Blobs of known width that may overlap: found one after the other, fitted together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NEAR = 4.0
"""Blobs nearer than so many widths are fitted together."""
LEAST_APART = 0.7
"""Blobs nearer than so many widths cannot be told apart."""
MOST_TOGETHER = 30
ROUNDS = 8


def fit_blobs(counts: Array, sigma: float, threshold: float) -> Array:
    """Blobs of one image.

    Parameters
    ----------
    counts : array (y, x)
        Counts, whose noise is their root.
    sigma : float
        Width of a blob, pixels.
    threshold : float
        Height in the smoothed image, in units of its noise.

    Returns
    -------
    array (n, 5)
        Row, column, height, and the errors of row and column; pixels and counts.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter, median_filter

    background = median_filter(counts, size=2 * int(np.ceil(4 * sigma)) + 1, mode="reflect")
    data = counts - background
    noise = np.sqrt(np.maximum(counts, 1.0))
    # The smoothed image of independent noise: each pixel's share, squared, adds up.
    smooth_noise = np.sqrt(gaussian_filter(noise**2, sigma / np.sqrt(2))) / (2 * np.sqrt(np.pi) * max(sigma, 0.3))
    found = np.zeros((0, 3))
    residual = data
    width = 2 * int(np.ceil(sigma)) + 1
    for _ in range(ROUNDS):
        smoothed = gaussian_filter(residual, sigma)
        peaks = (smoothed == maximum_filter(smoothed, width)) & (smoothed > threshold * smooth_noise)
        # The first round sees what stands alone, later ones what was hidden beside it.
        rows, columns = np.nonzero(peaks & _inside(peaks.shape, 1))
        new = np.column_stack([rows, columns, np.maximum(residual[rows, columns], noise[rows, columns])]).astype(float)
        if len(found) and len(new):
            new = new[_distance_to(new, found) > LEAST_APART * sigma]
        if not len(new):
            break
        before = len(found)
        found, errors = _together(data, noise, np.concatenate([found, new]), sigma)
        if len(found) <= before:
            break
        residual = data - _model(found, data.shape, sigma)
    if not len(found):
        return np.zeros((0, 5))
    order = np.lexsort([found[:, 1], found[:, 0]])
    return np.column_stack([found, errors])[order]


def _inside(shape: tuple[int, ...], margin: int) -> npt.NDArray[np.bool_]:
    inside = np.zeros(shape, bool)
    inside[margin:-margin, margin:-margin] = True
    return inside


def _distance_to(points: Array, others: Array) -> Array:
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(others[:, :2]).query(points[:, :2])[0])


def _model(blobs: Array, shape: tuple[int, ...], sigma: float) -> Array:
    image = np.zeros(shape)
    reach = int(np.ceil(5 * sigma))
    for row, column, height in blobs:
        y, x = _window(row, column, reach, shape)
        image[y, x] += height * np.exp(
            -((np.arange(y.start, y.stop)[:, None] - row) ** 2 + (np.arange(x.start, x.stop) - column) ** 2) / (2 * sigma**2)
        )
    return image


def _window(row: float, column: float, reach: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    y, x = round(row), round(column)
    return (
        slice(max(0, y - reach), max(0, min(shape[0], y + reach + 1))),
        slice(max(0, x - reach), max(0, min(shape[1], x + reach + 1))),
    )


def _together(data: Array, noise: Array, blobs: Array, sigma: float) -> tuple[Array, Array]:
    """Fit groups of blobs that touch; return those that stay, with the errors of their places."""
    while True:
        kept, errors = [], []
        for group in _groups(blobs, NEAR * sigma):
            fitted, error = _fit_group(data, noise, blobs[group], sigma)
            moved = np.abs(fitted[:, :2] - blobs[group][:, :2]).max(axis=1)
            good = np.isfinite(fitted).all(axis=1) & (fitted[:, 2] > 0) & (moved < 3 * sigma + 1)
            kept.append(fitted[good])
            errors.append(error[good])
        found, error = np.concatenate(kept), np.concatenate(errors)
        single = _parted(found, LEAST_APART * sigma)
        if len(single) == len(found):
            return found, error
        # Two that have met are one: the fit shares its height between them as it likes.
        blobs = found[single]


def _parted(blobs: Array, least: float) -> npt.NDArray[np.int64]:
    """Those that have no brighter one nearer than `least`."""
    from scipy.spatial import cKDTree

    gone: set[int] = set()
    for first, second in cKDTree(blobs[:, :2]).query_pairs(least, output_type="ndarray") if len(blobs) > 1 else ():
        gone.add(int(second if blobs[first, 2] >= blobs[second, 2] else first))
    return np.array([k for k in range(len(blobs)) if k not in gone], dtype=np.int64)


def _groups(blobs: Array, reach: float) -> list[npt.NDArray[np.int64]]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n = len(blobs)
    if not n:
        return []
    pairs = cKDTree(blobs[:, :2]).query_pairs(reach, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    groups = [np.flatnonzero(labels == k) for k in range(labels.max() + 1)]
    # Very large groups are cut: their far ends hardly know of each other.
    return [group[k : k + MOST_TOGETHER] for group in groups for k in range(0, len(group), MOST_TOGETHER)]


def _fit_group(data: Array, noise: Array, blobs: Array, sigma: float) -> tuple[Array, Array]:
    from scipy.optimize import least_squares

    reach = int(np.ceil(3 * sigma)) + 1
    windows = [_window(row, column, reach, data.shape) for row, column, _ in blobs]
    mask = np.zeros(data.shape, bool)
    for window in windows:
        mask[window] = True
    y, x = np.nonzero(mask)
    values, weights = data[y, x], 1 / noise[y, x]

    def parts(parameters: Array) -> tuple[Array, Array, Array]:
        row, column, height = parameters.reshape(-1, 3).T
        dy, dx = y[:, None] - row, x[:, None] - column
        return height * np.exp(-(dy**2 + dx**2) / (2 * sigma**2)), dy, dx

    def residuals(parameters: Array) -> Any:
        return (parts(parameters)[0].sum(axis=1) - values) * weights

    def slopes(parameters: Array) -> Any:
        shapes, dy, dx = parts(parameters)
        height = parameters.reshape(-1, 3)[:, 2]
        safe = np.where(height == 0, 1.0, height)
        columns = np.stack([shapes * dy / sigma**2, shapes * dx / sigma**2, shapes / safe], axis=2)
        return columns.reshape(len(y), -1) * weights[:, None]

    found = least_squares(residuals, blobs.ravel(), jac=slopes, method="lm" if len(y) >= blobs.size else "trf", max_nfev=200)
    curvature = found.jac.T @ found.jac
    covariance = np.linalg.pinv(curvature)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0)).reshape(-1, 3)[:, :2]
    return found.x.reshape(-1, 3), errors
