"""Drift from fiducial markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Figure, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Float, Input, Int, ListOf, Output, Range
from recipes_modules.drift_figures import drift_figure
from recipes_modules.fiducial.beads import BLINKS, RARE, REASONS, USED, Bead, Common, joined, judged
from recipes_modules.fiducial.linking import Track, cleaned, link
from recipes_modules.fiducial_figures import bead_figure

Floats = npt.NDArray[np.float64]

MOST_BEADS = 64
"""More than so many tell nothing new; the ones found most often are taken."""
FEWEST_FRAMES = 3


class Locs_Fiducials(ModuleBase):
    """Drift from fiducial markers (beads): finds them, leaves out bad ones, and takes the mean of their trajectories.

    A bead is what is localized at one place in most frames, the place following the drift. `positions` picks beads by hand instead.
    Beads that jump, or move against the others, are left out one by one, the worst first; with fewer than three
    beads nobody can tell which one is wrong. The drift is the mean over beads, weighted by their inverse variances, seen as a random
    walk whose step is learned from it: noise that one frame cannot tell from movement is averaged out, and frames without any bead
    are bridged with errors that grow towards the middle of the gap. The errors also hold what the beads stray from one another.

    Takes localizations that contain beads, or tracks of fiducials: the table DriftResults of a PYME .h5r
    (`file.h5r?table=DriftResults`).
    """

    version = 2

    input_fiducials = Input(
        Table, "Localizations", requires=("x", "y", "frame"), desc="localizations with beads, or tracks of beads"
    )
    output_drift = Output(Drift, "drift", desc="correction to add, one value a frame, zero at the first")
    output_beads = Output(Table, "beads", desc="each bead: place, presence, precision, residuals, and why it was left out")
    output_drift_plot = Output(Figure, "drift_plot", diagnostic=True, desc="the drift over frames")
    output_plot = Output(Figure, "bead_plot", desc="trajectories of the beads and what they stray from the drift")

    min_presence = Range(0.0, 1.0, 0.8, desc="a bead is found in at least this share of the frames; not asked of picked ones")
    radius = Float(150.0, low=1.0, unit="nm", desc="a bead is looked for this far from where it was; above 5 times its precision")
    max_gap = Int(
        50, low=0, unit="frame", desc="for so many frames a bead may be missing before it is lost; it is found again by its place"
    )
    positions = ListOf(
        ListOf(Float(0.0), (0.0, 0.0), length=2),
        (),
        unit="nm",
        desc="pick the beads nearest to these places [x, y] instead of finding them",
    )
    drop_bad = Bool(True, desc="leave out beads that jump or move against the others")
    max_residual = Float(
        0.0,
        low=0.0,
        unit="nm",
        desc="a bead that strays farther (root mean square) is bad; 0: four times as far as the median bead",
    )

    def run(self, ctx: Context, input_fiducials: Table) -> dict[str, Any]:
        frame, places, deep = _sorted(input_fiducials, ctx)
        first, last = int(frame[0]), int(frame[-1])
        n_frames = last - first + 1
        if n_frames < FEWEST_FRAMES:
            raise DataError(f"a movie of {n_frames} frames shows no drift.", code="D481")
        fewest = max(2, min(20, n_frames // 10))
        tracks = link(frame, places, self.radius, self.max_gap, fewest)
        ctx.check_cancelled()
        # Molecules are on for a short time and away for long; only what is there more often than not can be part of a bead.
        parts = [track for track in tracks if len(track) >= 0.5 * track.span and len(track) >= 0.01 * n_frames]
        whole = [cleaned(track) for track in joined(_longest(parts, 500), self.radius, n_frames)]
        beads = [Bead(track, len(track) / n_frames) for track in whole]
        chosen = self._picked(beads, ctx) if self.positions else self._present(beads)
        if not any(bead.reason == USED for bead in chosen):
            raise self._none_found(beads, n_frames)
        judgement, common = judged(chosen, first, last, self.max_residual, drop=self.drop_bad)
        _tell(ctx, judgement, common)
        drift = Drift(common.frames, 0.0 - common.drift, error=common.error, exact=True)
        made: dict[str, Any] = {"output_drift": drift, "output_beads": bead_table(judgement, deep=deep)}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([], drift, title="Drift from fiducial markers")
        if ctx.wanted("output_plot"):
            made["output_plot"] = bead_figure(judgement, common, deep=deep)
        return made

    def _present(self, beads: Sequence[Bead]) -> list[Bead]:
        """Beads, with those that are there too rarely marked; what hardly looks like one is left out."""
        near = [bead for bead in beads if bead.presence >= 0.5 * self.min_presence]
        near.sort(key=lambda bead: -bead.presence)
        enough = self.min_presence
        return [
            bead
            if bead.presence >= enough
            else replace(bead, reason=BLINKS if len(bead.track) < enough * bead.track.span else RARE)
            for bead in near[:MOST_BEADS]
        ]

    def _picked(self, beads: Sequence[Bead], ctx: Context) -> list[Bead]:
        chosen: list[Bead] = []
        for x, y in self.positions:
            distance = [float(np.hypot(*(bead.track.positions[:, :2] - (x, y)).T).min()) for bead in beads]
            k = int(np.argmin(distance)) if distance else -1
            if k < 0 or distance[k] > self.radius:
                ctx.warn(f"there is no bead within {self.radius:g} nm of [{x:g}, {y:g}]")
            elif beads[k] not in chosen:
                chosen.append(beads[k])
        return chosen

    def _none_found(self, beads: Sequence[Bead], n_frames: int) -> DataError:
        if self.positions:
            return DataError(
                f"none of the {len(self.positions)} picked places has a bead within {self.radius:g} nm.",
                code="D480",
                hint="Places are [x, y] in nm, counted from the centre of the first pixel; or set radius larger.",
            )
        best = max((bead.presence for bead in beads), default=0.0)
        return DataError(
            f"no bead was found: nothing is localized at one place in {self.min_presence:.0%} of the {n_frames:,} frames; "
            f"the most frequent is there in {best:.0%}.",
            code="D480",
            hint="Set min_presence lower, radius larger, or use a method that needs no beads (Locs_Entropy, Locs_AIM, Locs_RCC).",
        )


def _sorted(table: Table, ctx: Context) -> tuple[npt.NDArray[np.int64], Floats, bool]:
    """Frames in order, positions (n, 3), and whether there is a z."""
    z = table.get("z")
    if z is None:
        z = table.get("fitResults_z0")
    columns = [np.asarray(values, dtype=np.float64) for values in (table["x"], table["y"], *(() if z is None else (z,)))]
    frame = np.asarray(table["frame"], dtype=np.float64)
    good = np.isfinite(frame) & np.all([np.isfinite(values) for values in columns], axis=0)
    if not good.all():
        ctx.say(f"{np.count_nonzero(~good):,} of {len(good):,} localizations have NaN and took no part")
    frame = frame[good]
    if not len(table):
        raise DataError(
            "the table is empty: no fiducial marker was found.",
            code="D481",
            hint="Where a fit was to follow them set its fiducial_threshold lower and fiducial_size to their width; or use a method that "
            "needs no markers (Locs_Drift, Locs_Entropy).",
        )
    if not len(frame):
        raise DataError("the table holds no localization with a position and a frame.", code="D481")
    if not np.array_equal(frame, np.rint(frame)):
        raise DataError("column 'frame' holds numbers that are not whole.", code="D481")
    places = np.zeros((len(frame), 3))
    for axis, values in enumerate(columns):
        places[:, axis] = values[good]
    order = np.argsort(frame, kind="stable")
    return frame[order].astype(np.int64), places[order], z is not None


def _longest(tracks: list[Track], n: int) -> list[Track]:
    return sorted(tracks, key=lambda track: -len(track))[:n]


def _tell(ctx: Context, beads: Sequence[Bead], common: Common) -> None:
    used = [bead for bead in beads if bead.reason == USED]
    ctx.say(f"the drift comes from {len(used)} bead{'s' if len(used) > 1 else ''}")
    for number, bead in enumerate(beads, 1):
        if bead.reason != USED:
            ctx.say(f"bead {number} at [{bead.place[0]:.0f}, {bead.place[1]:.0f}] nm was left out: {REASONS[bead.reason]}")
    if len(used) < 3:
        ctx.warn(f"with {len(used)} bead{'s' if len(used) > 1 else ''} a bad one cannot be told; three or more check one another")
    without = int(np.count_nonzero(common.n_beads == 0))
    if without:
        ctx.say(
            f"{without:,} of {len(common.frames):,} frames show no bead, or beads that contradict each other; they were bridged"
        )


def bead_table(beads: Sequence[Bead], *, deep: bool) -> Table:
    """One row a bead; `reason` is 0: used, 1: found in too few frames, 2: blinks, 3: jumps, 4: moves against the others."""
    columns: dict[str, Any] = {"bead": np.arange(1, len(beads) + 1)}
    units = {}
    axes = "xyz" if deep else "xy"
    for name, values in (("{}", "place"), ("precision_{}", "precision"), ("residual_{}", "residual"), ("wander_{}", "wander")):
        for axis, letter in enumerate(axes):
            columns[name.format(letter)] = np.array([getattr(bead, values)[axis] for bead in beads])
            units[name.format(letter)] = "nm"
    columns["jump"] = np.array([bead.jump for bead in beads])
    units["jump"] = "nm"
    columns["n_frames"] = np.array([len(bead.track) for bead in beads])
    columns["presence"] = np.array([bead.presence for bead in beads])
    columns["used"] = np.array([bead.reason == USED for bead in beads])
    columns["reason"] = np.array([bead.reason for bead in beads])
    return Table(columns, units=units)
