"""Figures of found positions against true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, Panel, Series
from recipes_modules.localize.scores import recall_by

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BINS = 61


def scores_figure(
    errors: Floats,
    told: Sequence[Floats | None],
    alone: Mask,
    scores: Mapping[str, Any],
    photons: Floats | None,
    seen: Mask,
) -> Figure:
    """Histograms of errors, of errors over the standard errors of the table, and recall over photons.

    Parameters
    ----------
    errors : array (m, 2 or 3)
        Found minus true, nm.
    told : sequence of array (m,) or None
        Standard errors that the table gives for each axis, nm.
    alone : array (m,) of bool
        Isolated molecules.
    scores : mapping
        For the titles.
    photons, seen : array (n,)
        Of all true positions that count: brightness and whether they were found.
    """
    names = "xyz"[: errors.shape[1]]
    panels = [_errors(errors[:, k], alone, name, scores) for k, name in enumerate(names)]
    for k, name in enumerate(names):
        standard = told[k]
        if standard is not None and alone.any():
            panels.append(_calibration(errors[alone, k], standard[alone], name, scores))
    if photons is not None and (photons > 0).any():
        panels.append(_recall(photons, seen))
    title = (
        f"{scores['matched']:,} of {scores['true']:,} molecules found: Jaccard {scores['jaccard']:.3f}, recall "
        f"{scores['recall']:.3f}, precision {scores['precision']:.3f}"
    )
    return Figure(panels, title=title, n_columns=3, panel_size=(4.0, 2.8))


def _errors(errors: Floats, alone: Mask, name: str, scores: Mapping[str, Any]) -> Panel:
    content = []
    if len(errors):
        reach = max(float(np.quantile(np.abs(errors), 0.99)), 1e-3)
        edges = np.linspace(-reach, reach, BINS)
        middle = (edges[1:] + edges[:-1]) / 2
        for values, label, colour in ((errors, "all", 5), (errors[alone], "isolated", 0)):
            if len(values):
                content.append(Series("bars", middle, np.histogram(values, edges)[0], label=label, colour=colour))
    note = f"RMSE {scores[f'rmse_{name}']:.1f} nm, mean {scores[f'mean_{name}']:.1f} nm" if len(errors) else "nothing matched"
    return Panel(content, x_label=f"found - true {name} (nm)", y_label="molecules", note=note)


def _calibration(errors: Floats, told: Floats, name: str, scores: Mapping[str, Any]) -> Panel:
    z = errors / told
    z = z[np.isfinite(z)]
    edges = np.linspace(-4, 4, BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    normal = len(z) * (edges[1] - edges[0]) * np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
    content = [
        Series("bars", middle, np.histogram(z, edges)[0], label="isolated", colour=0),
        Series("line", middle, normal, label="expected", colour=1, style="dashed"),
    ]
    spread = scores.get(f"calibration_{name}", float("nan"))
    return Panel(content, x_label=f"error of {name} / error_{name}", y_label="molecules", note=f"spread {spread:.3f}")


def _recall(photons: Floats, seen: Mask) -> Panel:
    lit = photons > 0
    low, high = np.quantile(photons[lit], (0.005, 0.999))
    edges = np.linspace(np.log10(low), np.log10(max(high, low * 1.01)), 25)
    found = recall_by(np.log10(photons[lit]), seen[lit], edges)
    x = found["middle"]
    content = [
        Series("band", x, found["recall"] - found["error"], found["recall"] + found["error"], colour=2),
        Series("line", x, found["recall"], colour=2),
    ]
    return Panel(content, x_label="log10 of the photons", y_label="recall")
