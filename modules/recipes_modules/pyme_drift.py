"""PYME's AutocorrelationDriftCorrection and FiducialCorrection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Figure, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Input, Int, Output, Str
from recipes_modules.clumps import clumped
from recipes_modules.drift_apply import shifted
from recipes_modules.drift_figures import drift_figure
from recipes_modules.fiducial.linking import Track

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_BINS = 25_000_000
MOST_WINDOWS = 20_000
BROAD = 0.05
"""Part of the field that the peak of a correlation covers, above which its centre tells little."""
MOST_TRACKS = 64
FEWEST_POINTS = 51
"""A fiducial is found in so many frames at least."""


class AutocorrelationDriftCorrection(ModuleBase):
    """Undoes drift by correlating windows of the movie with the first one, as PYME's module of this name does.

    Positions of each window of `window` frames, one every `step` frames, are counted in bins of `binsize` and correlated with those of the
    first window; the drift is the centre of mass of the correlation's peak above a third of its maximum. The mean counts are
    subtracted before. It belongs to the middle of the window; between, it is interpolated, and before the first and after the last
    middle held. Works in x and y. Every window hangs on the first one, so that bleaching and drift beyond the peak's width make errors;
    `Locs_Drift` compares all windows with each other and says how far it can be believed.
    """

    version = 1

    inputName = Input(Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations")
    outputName = Output(
        Localizations, "corrected_localizations", like="inputName", adds=("dx", "dy", "dz"),
        desc="corrected localizations; dx and dy (nm) were added",
    )  # fmt: skip
    output_drift = Output(Drift, "autocorrelation_drift", diagnostic=True, desc="correction to add, at the middle of each window")
    output_drift_plot = Output(Figure, "autocorrelation_drift_plot", diagnostic=True, desc="the correction over frames")

    step = Int(200, low=1, unit="frame", desc="from the beginning of one window to that of the next")
    window = Int(500, low=1, unit="frame", desc="length of a window")
    binsize = Float(30.0, low=1e-3, unit="nm", desc="edge of the bins in which positions are counted")

    def run(self, ctx: Context, inputName: Localizations) -> dict[str, Any]:
        good = inputName.finite_rows("x", "y", "frame")
        if not good.any():
            raise DataError("no localization has finite coordinates and a frame.", code="D410")
        table = inputName.only(("x", "y", "frame")).select(good)
        frames = table.frames
        order = np.argsort(frames, kind="stable")
        frames = frames[order]
        bins, shape = self._binned(table, order)
        first, last = int(frames[0]), int(frames[-1])
        starts = self._starts(first, last)
        edges = np.searchsorted(frames, np.stack([starts, starts + self.window]))
        filled = edges[1] > edges[0]
        if np.count_nonzero(filled) < 2:
            raise DataError("fewer than two windows hold localizations.", code="D412", hint="Set window and step lower.")
        if not filled.all():
            ctx.say(f"{np.count_nonzero(~filled):,} windows without localizations were left out")
            starts, edges = starts[filled], edges[:, filled]
        moved = self._moved(ctx, bins, shape, edges)
        knots = starts + self.window / 2
        drift = Drift(knots, 0.0 - (moved - moved[0]))
        # Values are held beyond the outer knots, as PYME does.
        every = np.arange(first, last + 1)
        curve = Drift(every, drift.at(np.clip(every, knots[0], knots[-1])), exact=True)
        made: dict[str, Any] = {"outputName": shifted(inputName, curve, ctx), "output_drift": drift}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([drift], curve, title="Drift by correlation with the first window")
        return made

    def _binned(self, table: Localizations, order: Ints) -> tuple[Ints, tuple[int, int]]:
        """Bin of each localization, in the order of frames, and the number of bins along y and x."""
        places, counts = [], []
        for name in "yx":
            values = np.asarray(table[name], np.float64)[order]
            place = np.floor((values - values.min()) / self.binsize)
            places.append(place)
            counts.append(int(min(place.max() + 1, 1e9)))
        if counts[0] * counts[1] > MOST_BINS:
            raise DataError(
                f"the localizations extend over {counts[1]:,} x {counts[0]:,} bins of {self.binsize:g} nm.",
                code="D414",
                hint="Filter out far-away localizations, or set a larger binsize.",
            )
        if max(counts) < 4:
            raise DataError("the localizations lie within three bins, so nothing shows a drift.", code="D415")
        return (places[0] * counts[1] + places[1]).astype(np.int64), (counts[0], counts[1])

    def _starts(self, first: int, last: int) -> Ints:
        length = last - first + 1
        if length < self.window + self.step:
            raise DataError(
                f"the localizations cover {length:,} frames; two windows of {self.window:,} frames, {self.step:,} apart, need "
                f"{self.window + self.step:,}.",
                code="D411",
                hint="Set window and step lower.",
            )
        n = (length - self.window) // self.step + 1
        if n > MOST_WINDOWS:
            raise DataError(f"a step of {self.step:,} frames makes {n:,} windows.", code="D413", hint="Set step higher.")
        starts: Ints = first + self.step * np.arange(n, dtype=np.int64)
        return starts

    def _moved(self, ctx: Context, bins: Ints, shape: tuple[int, int], edges: Ints) -> Floats:
        """How far each window's localizations lie from those of the first, (n, 2), nm."""
        from scipy.fft import irfft2, next_fast_len, rfft2

        # Empty bins behind the field keep what leaves it at one edge from meeting the other.
        room = tuple(next_fast_len(n + max(4, n // 4), real=True) for n in shape)

        def spectrum(begin: int, end: int) -> Any:
            counted = np.bincount(bins[begin:end], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float32)
            counted -= counted.mean()
            return rfft2(counted, room)

        reference = np.conj(spectrum(int(edges[0, 0]), int(edges[1, 0])))

        def one(window: int) -> tuple[Floats, float]:
            ctx.check_cancelled()
            correlation = irfft2(reference * spectrum(int(edges[0, window]), int(edges[1, window])), room)
            return _centre(correlation)

        moved, broad, total = np.zeros((edges.shape[1], 2)), 0, edges.shape[1]
        for k, (centre, part) in enumerate(ctx.map(one, range(total))):
            moved[k] = centre[::-1] * self.binsize
            broad += part > BROAD
            ctx.progress(k + 1, total)
        if broad:
            ctx.warn(
                f"the correlation of {broad:,} of {total:,} windows has no narrow peak, and their drift is doubtful: set window longer"
            )
        return moved


def _centre(correlation: npt.NDArray[Any]) -> tuple[Floats, float]:
    """Centre of mass (y, x) of a periodic correlation above a third of its maximum, in bins, and the part of it that lies there."""
    shape = np.array(correlation.shape)
    peak = np.array(np.unravel_index(int(np.argmax(correlation)), correlation.shape))
    above = np.maximum(correlation - correlation[tuple(peak)] / 3, 0.0)
    places = np.nonzero(above)
    weight = above[places]
    # Places relative to the maximum, the short way round.
    relative = [(place - top + n // 2) % n - n // 2 for place, top, n in zip(places, peak, shape, strict=True)]
    centre = np.array([np.average(place, weights=weight) for place in relative])
    return (peak + centre + shape // 2) % shape - shape // 2, len(weight) / correlation.size


class FiducialCorrection(ModuleBase):
    """Undoes drift that fiducials show, as PYME's module of this name does.

    Positions of fiducials are linked to tracks as `FindClumps` links them: within twice clumpRadiusMultiplier * clumpRadiusVar, over at
    most `timeWindow` dark frames. Tracks of more than 50 frames are laid on each other and averaged, gaps are interpolated, and the mean
    is smoothed over frames. Its difference to the first frame with a fiducial is subtracted from both tables; fiducial_x, fiducial_y and
    fiducial_z (nm) are what was subtracted. `Locs_Fiducials` finds beads among the localizations and leaves out those that move on their
    own.
    """

    version = 1

    inputLocalizations = Input(Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations to correct")
    inputFiducials = Input(Localizations, "Fiducials", desc="localizations of fiducials")
    outputName = Output(
        Localizations, "corrected_localizations", like="inputLocalizations", adds=("fiducial_x", "fiducial_y", "fiducial_z"),
        desc="corrected localizations",
    )  # fmt: skip
    outputFiducials = Output(
        Localizations, "corrected_fiducials", like="inputFiducials", adds=("fiducial_x", "fiducial_y", "fiducial_z"),
        desc="corrected fiducials, which stand still where the correction is good",
    )  # fmt: skip
    output_drift = Output(Drift, "fiducial_drift", diagnostic=True, desc="correction to add, at every frame")
    output_drift_plot = Output(Figure, "fiducial_drift_plot", diagnostic=True, desc="the correction over frames")

    clumpRadiusVar = Str("error_x", desc="column that the radius is a multiple of; '1.0' for the same everywhere, 1 nm")
    clumpRadiusMultiplier = Float(5.0, low=0.0, desc="factor of the radius")
    timeWindow = Int(25, low=0, unit="frame", desc="most dark frames within a track")
    temporalFilter = Choice(("Gaussian", "Uniform", "Median"), "Gaussian", desc="how the mean track is smoothed")
    temporalFilterScale = Float(10.0, low=0.0, unit="frame", desc="standard deviation of the Gaussian, or length of the window")

    def required_columns(self, port: str) -> tuple[str, ...]:
        named = () if port == "inputLocalizations" or self._constant() is not None else (self.clumpRadiusVar,)
        return ("x", "y", "frame", *named)

    def _constant(self) -> float | None:
        try:
            return float(self.clumpRadiusVar)
        except ValueError:
            return None

    def run(self, ctx: Context, inputLocalizations: Localizations, inputFiducials: Localizations) -> dict[str, Any]:
        frames, mean, n_tracks = self._mean_track(ctx, inputFiducials)
        every = np.arange(frames[0], frames[-1] + 1)
        filled = np.column_stack([np.interp(every, frames, values) for values in mean.T])
        smooth = self._smoothed(filled)
        gap = int(np.diff(frames).max(initial=1)) - 1
        ctx.say(f"the drift comes from {n_tracks} track{'s' * (n_tracks != 1)} in frames {frames[0]:,} to {frames[-1]:,}")
        if gap > self.timeWindow:
            ctx.warn(f"up to {gap:,} frames on end show no fiducial; the drift there is a straight line")
        drift = Drift(every, 0.0 - (smooth - smooth[0]), exact=True)
        made: dict[str, Any] = {"output_drift": drift}
        for port, table in (("outputName", inputLocalizations), ("outputFiducials", inputFiducials)):
            made[port] = _subtracted(ctx, table, drift)
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([], drift, title="Drift from fiducials")
        return made

    def _mean_track(self, ctx: Context, table: Localizations) -> tuple[Ints, Floats, int]:
        """Frames with a fiducial, the mean of the tracks laid on each other (n, 3), and the number of tracks."""
        from recipes_modules.fiducial.beads import level_tracks

        good = table.finite_rows("x", "y", "frame")
        table = table.select(good) if not good.all() else table
        if not len(table):
            raise DataError("there is no fiducial with a position and a frame.", code="D481")
        constant = self._constant()
        scale = 2.0 * self.clumpRadiusMultiplier
        radius = scale * np.asarray(table[self.clumpRadiusVar], np.float64) if constant is None else np.array([scale * constant])
        label = clumped(ctx, table, radius, self.timeWindow, self.clumpRadiusVar)["clumpIndex"]
        places = np.zeros((len(table), 3))
        for axis, name in enumerate("xyz"):
            if name in table:
                places[:, axis] = table[name]
        if not np.isfinite(places[:, 2]).all():
            ctx.say("some fiducials have no z, and z is not corrected")
            places[:, 2] = 0.0
        tracks = sorted(_tracks(label, table.frames, places), key=lambda track: -len(track))
        if not tracks:
            raise DataError(
                f"no fiducial is found in more than {FEWEST_POINTS - 1} frames on end.",
                code="D480",
                hint="Set clumpRadiusMultiplier or timeWindow higher, or use Locs_Fiducials.",
            )
        if len(tracks) > MOST_TRACKS:
            ctx.say(f"of {len(tracks):,} tracks the {MOST_TRACKS} longest were taken")
            tracks = tracks[:MOST_TRACKS]
        frames, mean = level_tracks(tracks)
        return frames, mean, len(tracks)

    def _smoothed(self, values: Floats) -> Floats:
        from scipy.ndimage import gaussian_filter1d, median_filter, uniform_filter1d

        scale = self.temporalFilterScale
        if self.temporalFilter == "Gaussian":
            return np.asarray(gaussian_filter1d(values, scale, axis=0, mode="reflect")) if scale else values
        length = max(1, round(scale))
        if self.temporalFilter == "Uniform":
            return np.asarray(uniform_filter1d(values, length, axis=0, mode="reflect"))
        return np.asarray(median_filter(values, size=(length, 1), mode="reflect"))


def _tracks(label: Ints, frame: Ints, places: Floats) -> Iterator[Track]:
    """Tracks that are found in enough frames; several positions of one frame count as their mean."""
    order = np.argsort(label, kind="stable")
    ends = np.flatnonzero(np.diff(label[order], append=-1)) + 1
    for begin, end in zip(np.append(0, ends[:-1]), ends, strict=True):
        if end - begin < FEWEST_POINTS:
            continue
        rows = order[begin:end]
        frames, of, count = np.unique(frame[rows], return_inverse=True, return_counts=True)
        sums = np.column_stack([np.bincount(of, places[rows, axis], len(frames)) for axis in range(3)])
        if len(frames) >= FEWEST_POINTS:
            yield Track(frames.astype(np.int64), sums / count[:, np.newaxis])


def _subtracted(ctx: Context, table: Localizations, drift: Drift) -> Localizations:
    """The table moved by the drift, with the columns fiducial_x, ... that were subtracted."""
    names = [name for name in "xyz" if name in table]
    moved = shifted(table.only((*names, "frame")), drift, ctx)
    columns: dict[str, Any] = {name: moved[name] for name in names}
    columns |= {f"fiducial_{name}": 0.0 - moved[f"d{name}"] for name in "xyz"}
    return table.with_columns(columns, units={f"fiducial_{name}": "nm" for name in "xyz"})
