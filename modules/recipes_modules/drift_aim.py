"""Drift by adaptive intersection maximization."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recipes_core.data import Drift, Figure, Localizations
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Input, Int, Output, Range
from recipes_modules.drift_figures import drift_figure

if TYPE_CHECKING:
    from recipes_modules.aim.estimate import Knots

DOUBTFUL = 0.1
"""Halves of the field may disagree in this part of the segments before it is worth a warning."""
FEWEST = 100
"""Shorter segments than hold so many localizations are not recommended."""
UNSETTLED = 0.25
"""Positions that still move by more than this part of the intersect distance have not settled."""


class Locs_AIM(ModuleBase):
    """Drift of localizations by adaptive intersection maximization (Ma et al. 2024, doi:10.1126/sciadv.adm7765).

    The movie is cut into segments of `segmentation` frames. Localizations of a segment meet those of a reference where they fall
    into the same cell, `intersect_distance` wide; the shift at which most of them meet is the drift. In a first round segments are
    followed one after the other, each compared with those before it; in a second, each is compared with all the others until that
    moves nothing any more. A segment never takes part in its own reference. The result is zero for the first segment, with one
    value for each at the mean frame of its localizations; `Drift_Interpolate` makes a curve of them, `Locs_Post_Shift` applies it.

    Where a segment is not found within `search_radius` of the one before it, or looks as if it lay farther away, it is sought in
    coarser cells, up to an eighth of the field. Segments that meet nothing are left out with a warning; where they are more than
    half, the drift is lost and the step fails. The drift within segments is taken as linear: the faster it changes, the shorter
    segments should be, down to a hundred localizations or so.

    Other than in the paper, cells count by the logarithm of their localizations, the reference of the first round grows with the
    segments that were found, and the peak is the highest point of the smoothed counts. Standard errors come from how far both
    halves of the field, taken as on a chessboard, lie apart, and from how far the drift strays from its course within a segment,
    judged by how it does from one to the next (for drift that is smooth within segments but not from one to the next, that is too
    much). What is common to all segments, as errors of a structure seen by few localizations, does not show in them.

    z follows once x and y are corrected, in segments of its own (`segmentation_z`) and cells of twice the size, for it is known
    less precisely and needs more localizations. Rows with NaN take no part, rows need not be in order.
    """

    version = 1

    input_localizations = Input(
        Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations that show the drift"
    )
    output_drift = Output(Drift, "drift", desc="correction to add, one value a segment")
    output_drift_plot = Output(Figure, "drift_plot", diagnostic=True, desc="the drift over frames")

    segmentation = Int(100, low=1, unit="frame", desc="frames of a segment")
    segmentation_z = Int(200, low=1, unit="frame", desc="frames of a segment for the drift along z")
    intersect_distance = Range(
        1.0, 1000.0, 20.0, unit="nm", desc="edge of the cells, one to three times the precision in x and y"
    )
    search_radius = Range(1.0, 10_000.0, 60.0, unit="nm", desc="expected drift from one segment to the next; more costs time")
    flatten_z = Bool(False, desc="ignore z; otherwise the drift along z is measured too")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return ("x", "y", "frame") if self.flatten_z else ("x", "y", "z", "frame")

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        from recipes_modules.aim.estimate import axial, lateral
        from recipes_modules.correlation.cloud import make_cloud

        deep = not self.flatten_z
        cloud = make_cloud(input_localizations, self.segmentation, self.segmentation, deep=deep)
        if cloud.n_left_out:
            ctx.say(f"{cloud.n_left_out:,} of {len(input_localizations):,} localizations have NaN and took no part")
        if cloud.windows.n_empty:
            ctx.warn(f"{cloud.windows.n_empty} segments hold no localizations and were left out")
        if deep and np.ptp(cloud.positions[:, 2]) == 0:
            ctx.warn("all localizations have the same z; no drift along z was measured")
            deep = False
        xy = lateral(ctx, cloud, self.intersect_distance, self.search_radius, (0.0, 0.6 if deep else 1.0))
        self._tell(ctx, xy, "segmentation", "")
        z = None
        if deep:
            z = axial(ctx, cloud, xy, self.segmentation_z, self.intersect_distance, self.search_radius, (0.6, 1.0))
            self._tell(ctx, z, "segmentation_z", " along z")
        drift = _joined(xy, z)
        made: dict[str, Any] = {"output_drift": drift}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([drift], title="Drift by adaptive intersection maximization")
        return made

    def _tell(self, ctx: Context, knots: Knots, parameter: str, along: str) -> None:
        n = len(knots.windows) + knots.n_lost
        if knots.n_lost:
            ctx.warn(f"{knots.n_lost} of {n} segments{along} meet nothing of what the others show and were left out")
        if knots.widened:
            ctx.say(
                f"{knots.widened} of {n} segments{along} moved by more than the search radius and were found by a wider search"
            )
        shorter = self._shorter(knots)
        if not along and knots.fastest > self.search_radius and shorter < self.segmentation:
            ctx.warn(
                f"the sample moves by up to {knots.fastest:.0f} nm from one segment to the next; "
                f"a segmentation of about {shorter} frames follows it better"
            )
        if knots.apart > DOUBTFUL:
            ctx.warn(
                f"both halves of the field disagree{along} in {knots.apart:.0%} of the segments: the drift is doubtful; "
                f"longer segments ({parameter}) hold more to compare"
            )
        if knots.change > UNSETTLED * self.intersect_distance:
            ctx.warn(f"the positions of the segments{along} have not settled: the last round moved them by {knots.change:.1f} nm")

    def _shorter(self, knots: Knots) -> int:
        """Frames in which the sample moves by half of the search radius, but not fewer than hold enough localizations."""
        wanted = self.segmentation * self.search_radius / 2 / max(knots.fastest, 1e-9)
        fewest = self.segmentation * FEWEST / float(np.median(knots.windows.counts))
        shortest = max(wanted, math.ceil(fewest), 1)
        return int(shortest)


def _joined(xy: Knots, z: Knots | None) -> Drift:
    """One drift of both: knots where there are more of them, linear in between for the other."""
    main = xy if z is None or len(xy.windows) >= len(z.windows) else z
    node = main.windows.node
    correction, error = np.zeros((len(node), 3)), np.zeros((len(node), 3))
    for knots, axes in ((xy, (0, 1)), (z, (2,))):
        if knots is None:
            continue
        alone = Drift(knots.windows.node, knots.positions, measured=knots.windows.measured)
        correction[:, axes] = alone.at(node)[:, axes]
        for axis in axes:
            error[:, axis] = np.interp(node, knots.windows.node, knots.error[:, axis])
    return Drift(node, correction - correction[0], error=error, measured=main.windows.measured)
