"""How well found positions agree with true ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ALPHA_LATERAL = 1.0
"""Per cent for one nm, in the efficiency of the SMLM challenge."""
ALPHA_AXIAL = 0.5


def detection_scores(matched: int, found: int, truth: int) -> dict[str, float]:
    """Jaccard index, recall and precision, parts of 1; 0 where nothing could be found or was."""
    return {
        "jaccard": matched / max(found + truth - matched, 1),
        "recall": matched / max(truth, 1),
        "precision": matched / max(found, 1),
    }


def efficiency(jaccard: float, rmse: float, alpha: float = ALPHA_LATERAL) -> float:
    """Efficiency of the SMLM challenge in per cent: 100 for a perfect result, below 0 for a very bad one.

    Parameters
    ----------
    jaccard : float
        Part of 1.
    rmse : float
        nm.
    alpha : float
        Per cent for one nm.

    Notes
    -----
    ``100 - sqrt((100 - 100 jaccard)^2 + (alpha rmse)^2)``; Sage et al. 2019, doi:10.1038/s41592-019-0364-4.
    """
    return 100.0 - float(np.hypot(100.0 - 100.0 * jaccard, alpha * rmse))


def error_scores(errors: Floats, axes: str) -> dict[str, float]:
    """Root mean square, median absolute and mean errors.

    Parameters
    ----------
    errors : array (m, len(axes))
        Found minus true, nm.
    """
    found: dict[str, float] = {}
    if not len(errors):
        return found
    for axis, values in zip(axes, errors.T, strict=True):
        found[f"rmse_{axis}"] = float(np.sqrt(np.mean(values**2)))
        found[f"mean_{axis}"] = float(np.mean(values))
    found["rmse_lateral"] = float(np.sqrt(np.mean(np.sum(errors[:, :2] ** 2, axis=1))))
    found["rmse_per_axis"] = found["rmse_lateral"] / np.sqrt(2)
    if "z" in axes:
        found["rmse_volume"] = float(np.sqrt(np.mean(np.sum(errors**2, axis=1))))
    return found


def bound_efficiency(errors: Floats, bound: Floats) -> float:
    """Mean square of the bound over the mean square error, x and y together: 1 for a fit that uses all that the light tells."""
    square = float(np.mean(errors**2))
    return float(np.mean(bound**2)) / square if square > 0 else float("inf")


def spread_of_scores(errors: Floats, told: Floats) -> float:
    """1.4826 times the median absolute deviation of error over told standard error: 1 where these are right."""
    z = errors / told
    z = z[np.isfinite(z)]
    return float(1.4826 * np.median(np.abs(z - np.median(z)))) if len(z) else float("nan")


def isolated(places: Floats, frame: npt.NDArray[np.int64], distance: float) -> Mask:
    """Which positions have no other of the same frame within a distance."""
    from scipy.spatial import cKDTree

    # Frames so far apart along a third axis that they never meet.
    lifted = np.column_stack([places[:, :2], frame * (4.0 * distance)])
    if not len(lifted):
        return np.zeros(0, bool)
    nearest, _ = cKDTree(lifted).query(lifted, k=2, distance_upper_bound=distance)
    return np.asarray(nearest[:, 1] > distance)


def recall_by(values: Floats, seen: Mask, edges: Floats) -> dict[str, Any]:
    """Part of the true positions that was found, in bins of some value.

    Returns
    -------
    dict
        ``middle``, ``recall`` and ``error`` (standard error) of the bins that hold any.
    """
    index = np.digitize(values, edges) - 1
    inside = (index >= 0) & (index < len(edges) - 1)
    n = np.bincount(index[inside], minlength=len(edges) - 1)
    k = np.bincount(index[inside], seen[inside], minlength=len(edges) - 1)
    held = n > 0
    part = k[held] / n[held]
    return {
        "middle": (edges[:-1] + edges[1:])[held] / 2,
        "recall": part,
        "error": np.sqrt(np.maximum(part * (1 - part), 1 / (n[held] + 4)) / n[held]),
    }
