"""The estimate: rounds of scores and smoothing, from wide kernels to narrow ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from recipes_modules.entropy.correlations import inflation
from recipes_modules.entropy.density import Map, TooFine
from recipes_modules.entropy.events import Events
from recipes_modules.entropy.jumps import place_jumps
from recipes_modules.entropy.rounds import Kernel, Scores, score_round
from recipes_modules.entropy.smoother import Smoothed, Smoother

Floats = npt.NDArray[np.float64]

COARSE = 250_000
"""Events that are enough for wide kernels."""
FINE = 60.0
"""From this kernel down (nm, along x and y) all events take part, and the kernel that tells most is looked for."""
BROAD = 100.0
"""With this kernel (nm) a drift is compared with none."""
FASTEST, FAST, SLOWER, SLOWEST = 0.33, 0.5, 0.7, 0.87
"""From one kernel to the next."""
STEPS = 6
"""Kernels to choose from for each doubling."""
FAR = 2.0
"""A drift that moved by so many of its standard errors may have to move on: narrower kernels come slower."""
DENSE = 50.0
"""From so many neighbours on a narrower kernel may tell more than one would think."""
LEAP = 0.125
"""From one wide kernel to the next, at most."""
SAFE = 8.0
"""A wide kernel is so many times what is still unknown of the drift, at least."""
BEST_2D, BEST_3D = 0.67, 0.9
"""Kernel over the width of the structure, blurred by precision, at which a density tells most."""
WIDEN = 8.0
"""So many times a kernel that is too narrow for the memory others are tried."""
LEAST_KERNEL = 2.5
"""Narrowest kernel, in standard errors of the drift."""
MOST_REPEATS = 6
FEW = 0.7
"""Neighbours below which the density is that of single molecules."""
FLAT = 1.1
"""Excess of curvature below which noise rather than structure may shape the density."""
FLATTEST, NOISE_2D, NOISE_3D, NOISY = 0.5, 0.25, 0.18, 0.1
"""Where more than `FLATTEST` is left, it does so if it makes up this part of the squared scores. Independent events, so many near
each other, give scores of this mean square by chance, over their number and the squared kernel."""
PLENTY = 100_000
"""Events that are too many for chance."""


@dataclass
class Estimate:
    """What was found.

    Attributes
    ----------
    drift, variance : array (n_frames, 3)
        nm and nm^2; zero along z in two dimensions.
    kernel : array (3,)
        Narrowest kernel that was used, nm.
    information, excess, neighbours, inflation : array (3,)
        Of the last round: see `Scores` and `correlations.inflation`; `neighbours` is how many others lie near a mean event.
    smoothed : list
        One for each axis.
    """

    drift: Floats
    variance: Floats
    kernel: Floats = field(default_factory=lambda: np.zeros(3))
    information: Floats = field(default_factory=lambda: np.zeros(3))
    excess: Floats = field(default_factory=lambda: np.full(3, np.inf))
    neighbours: Floats = field(default_factory=lambda: np.zeros(3))
    inflation: Floats = field(default_factory=lambda: np.ones(3))
    smoothed: list[Smoothed] = field(default_factory=list)


@dataclass
class _Told:
    """What a kernel told: its width along x, the drift before it, and how far it moved that (root mean square, nm)."""

    kernel: float
    before: Floats
    scores: Scores
    information: float
    moved: float


class Estimator:
    """Finds the drift along x and y, and then along z.

    Parameters
    ----------
    events : Events
    map_ : callable
        Applies a function to items, on threads.
    n_parts : int
        Number of threads.
    report : callable, optional
        Called after each round with the kernel, the scores and the estimator.
    """

    def __init__(self, events: Events, map_: Map, n_parts: int, report: Callable[..., None] | None = None) -> None:
        self.events = events
        self.map_ = map_
        self.n_parts = n_parts
        self.report = report
        self.freedom = 0.0
        self.jumps: list[int] = []
        n = events.n_frames
        self.found = Estimate(np.zeros((n, 3)), np.zeros((n, 3)))
        lateral = max(events.field[0], events.field[1], 1.0)
        self.smoothers = [Smoother(n, float(reach)) for reach in (lateral, lateral, max(events.field[2], 1.0))]

    # -- along x and y ---------------------------------------------------------------------------------------------------

    def lateral(self, start: float | None = None) -> None:
        """Find the drift along x and y, from a kernel that fits the field (or `start`, nm) down."""
        kernel = start or float(np.clip(self.events.field[:2].max() / 8, 20.0, 5000.0))
        shape: Kernel = (1.0, 1.0, 1.0)
        if kernel > FINE:
            kernel = self._coarse(kernel, shape, deep=False, axes=(0, 1))
        self._fine(kernel, shape, deep=False, axes=(0, 1))

    def _coarse(self, kernel: float, shape: Kernel, *, deep: bool, axes: tuple[int, ...]) -> float:
        """Wide kernels, with some of the events; the first narrow kernel."""
        few = self.events.fewer(COARSE, self.map_)
        while kernel > FINE:
            for _ in range(MOST_REPEATS):
                # Scores reach about as far as the kernel: what is farther away comes nearer from one to the next.
                moved = self._round(few, _times(kernel, shape), deep=deep, axes=axes)[1]
                if moved < kernel * shape[axes[0]] / 3:
                    break
            # Slow errors are in the density too, which holds on to them: of what a round undid, some may be left.
            unknown = max(self._error(axes), moved / 2) / shape[axes[0]]
            # How narrow a kernel may be shows from those below `FINE`.
            kernel = _rounded(np.clip(SAFE * unknown, max(LEAP * kernel, FASTEST * FINE), kernel / 2))
        # What changes over the field in the course of the movie, or mere noise, can mislead wide kernels.
        if self._surplus(few, _times(BROAD, shape), deep=deep, axes=axes) < 0:
            self.found.drift[:, list(axes)] = 0
            for axis in axes:
                self.smoothers[axis].roughness = None
            for wide in (4 * BROAD, 2 * BROAD):
                self._round(few, _times(wide, shape), deep=deep, axes=axes)
        return kernel

    def _error(self, axes: tuple[int, ...]) -> float:
        """Standard error of the drift, root mean square over frames, of the axis that is known least; nm."""
        return float(np.sqrt(self.found.variance[:, list(axes)].mean(axis=0).max()))

    def _surplus(self, events: Events, kernel: Kernel, *, deep: bool, axes: tuple[int, ...]) -> float:
        """By how much the drift along some axes makes the density of events likelier than none does, less the freedom it took."""
        still = self.found.drift.copy()
        still[:, list(axes)] = 0
        found, none = (
            score_round(events, drift, kernel, deep=deep, map_=self.map_, n_parts=self.n_parts).log_density
            for drift in (self.found.drift, still)
        )
        return len(events) * (found - none) - self.freedom

    def doubts(self) -> Iterator[str]:
        """What speaks against the result, in words."""
        found = self.found
        for axes, name in ((slice(0, 2), "x and y"), (slice(2, 3), "z")):
            kernel = found.kernel[axes][0]
            if not kernel:
                continue
            if found.neighbours[axes][0] < FEW:
                yield f"along {name}: localizations are so few that most have no other within {kernel:.0f} nm"
            elif found.excess[axes].min() < FLAT and not _dense(found, axes):
                yield f"along {name}: the localizations show hardly any structure at {kernel:.0f} nm"
        lateral = found.drift[:, :2].std(axis=0), np.sqrt(found.variance[:, :2].mean(axis=0))
        if len(self.events) < PLENTY and (lateral[0] > 3 * lateral[1]).any():
            width = float(found.kernel[0])
            if self._surplus(self.events, (width,) * 3, deep=False, axes=(0, 1)) < 0:
                yield "along x and y: the drift that was found makes the image sharper by no more than chance does"

    # -- along z ---------------------------------------------------------------------------------------------------------

    def axial(self, ratio: float) -> None:
        """Find the drift along z in a density of three dimensions, once that along x and y is known.

        Parameters
        ----------
        ratio : float
            Precision along z over that along x.
        """
        kernel = max(float(self.events.field[2]) / 2, 1.0) / ratio
        shape: Kernel = (1.0, 1.0, ratio)
        if kernel > FINE:
            kernel = self._coarse(kernel, shape, deep=True, axes=(2,))
        self._fine(kernel, shape, deep=True, axes=(2,))

    # -- both ------------------------------------------------------------------------------------------------------------

    def _fine(self, kernel: float, shape: Kernel, *, deep: bool, axes: tuple[int, ...]) -> None:
        """All events, ever narrower kernels, until those tell less."""
        if self.events.order is None:
            self.events = self.events.by_place(self.found.drift.astype(np.float32), self.map_)
        best: _Told | None = None
        widest, last, repeats = WIDEN * kernel, False, 0
        while True:
            try:
                told = self._closer(kernel, shape, deep=deep, axes=axes)
            except TooFine:
                if best is None and kernel > widest:
                    raise
                told = None
            if told is None or (best is not None and kernel < best.kernel and told.information < best.information):
                # One that is not so narrow may do.
                last = True
                kernel /= SLOWER
                if best is not None and kernel > SLOWER * best.kernel:
                    break
                continue
            best = told
            self._weigh(told.scores, list(axes))
            error = self._error(axes)
            target = _narrower(kernel, told.scores, axes, LEAST_KERNEL * error / shape[axes[0]], deep=deep)
            if not last and target:
                fastest = FASTEST if told.moved < FAR * error else FAST
                kernel = _rounded(np.clip(target, fastest * kernel, SLOWEST * kernel))
            elif told.moved > error and repeats < MOST_REPEATS:
                repeats += 1
            else:
                break
        if best is not None:
            self._finish(best, _times(best.kernel, shape), axes=axes)

    def _closer(self, kernel: float, shape: Kernel, *, deep: bool, axes: tuple[int, ...]) -> _Told:
        """One round of all events."""
        here, before = _times(kernel, shape), self.found.drift.copy()
        scores, moved = self._round(self.events, here, deep=deep, axes=axes)
        if self._place_jumps(here, deep=deep):
            before = self.found.drift.copy()
            scores, moved = self._round(self.events, here, deep=deep, axes=axes)
        return _Told(kernel, before, scores, float(scores.information[list(axes)].sum()), moved)

    def _place_jumps(self, kernel: Kernel, *, deep: bool) -> bool:
        if not self.jumps:
            return False
        return place_jumps(self.events, self.found.drift, kernel, self.jumps, deep=deep, map_=self.map_, n_parts=self.n_parts)

    def _weigh(self, scores: Scores, axes: list[int]) -> None:
        """Events that tell more count more in the density."""
        told = scores.group_information[:, axes].sum(axis=1)
        if told.max() > 0:
            weight = np.maximum(np.rint(8 * told / told.max()), 1).astype(np.float32)
            self.events = replace(self.events, weight=weight[self.events.group])

    def _round(self, events: Events, kernel: Kernel, *, deep: bool, axes: tuple[int, ...]) -> tuple[Scores, float]:
        """One round; the scores and how far the drift moved (root mean square, nm)."""
        drift = self.found.drift
        scores = score_round(events, drift, kernel, deep=deep, map_=self.map_, n_parts=self.n_parts)
        before = drift[:, list(axes)].copy()
        made = self._smooth(scores, drift, np.ones(3), events.per_frame, axes, last=False)
        self.jumps = [frame for smoothed in made for frame in smoothed.jumps]
        change = drift[:, list(axes)] - before
        self.freedom = float((scores.info[:, list(axes)] * self.found.variance[:, list(axes)]).sum())
        if self.report is not None:
            self.report(kernel, scores, self)
        return scores, float(np.sqrt(np.mean((change - change.mean(axis=0)) ** 2)))

    def _smooth(
        self, scores: Scores, before: Floats, factor: Floats, counts: Floats, axes: tuple[int, ...], *, last: bool
    ) -> list[Smoothed]:
        def one(axis: int) -> Smoothed:
            measured = before[:, axis] + scores.step[:, axis]
            return self.smoothers[axis](measured, scores.info[:, axis] / factor[axis], counts, average=last)

        made = list(self.map_(one, axes))
        for axis, smoothed in zip(axes, made, strict=True):
            self.found.drift[:, axis] = smoothed.mean
            self.found.variance[:, axis] = smoothed.variance
        return made

    def _finish(self, best: _Told, kernel: Kernel, *, axes: tuple[int, ...]) -> None:
        """Smooth the best round again, its events no longer taken as independent."""
        before, scores = best.before, best.scores
        if 2 in axes and (scores.information[:2] > self.found.information[:2]).all():
            # Structures that cross at different depths are told apart here.
            axes = (0, 1, 2)
        chosen = list(axes)
        factor = np.ones(3)
        factor[chosen] = inflation(self.events, before, scores, chosen, 3 * kernel[0], self.map_)
        made = self._smooth(scores, before, factor, self.events.per_frame, axes, last=True)
        found = self.found
        for axis in axes:
            found.kernel[axis], found.information[axis] = kernel[axis], scores.information[axis]
            found.neighbours[axis] = scores.neighbours
            found.excess[axis], found.inflation[axis] = scores.excess[axis], factor[axis]
        found.smoothed = [*found.smoothed[:2], *made][-3:] if len(made) < 3 else made


def _dense(found: Estimate, axes: slice) -> bool:
    """Whether events are so many that what they show cannot be noise."""
    excess, kernel = found.excess[axes], found.kernel[axes]
    power = found.information[axes] / np.maximum(excess, 1e-9) ** 2
    noise = (NOISE_3D if axes.start == 2 else NOISE_2D) / (found.neighbours[axes] * kernel**2)
    return bool(((excess > FLATTEST) & (noise < NOISY * power)).all())


def _narrower(kernel: float, scores: Scores, axes: tuple[int, ...], least: float, *, deep: bool) -> float:
    """The kernel to go on with, or 0 where this one is as narrow as it should be.

    Parameters
    ----------
    least : float
        A density finer than the drift is known would be made of its errors.
    """
    if kernel * SLOWER < least:
        return 0.0
    target = _best_kernel(kernel, float(scores.excess[list(axes)].mean()), deep)
    if kernel * SLOWEST < target:
        if scores.neighbours < DENSE:
            return 0.0
        target = SLOWER * kernel
    return max(target, least)


def _rounded(kernel: float) -> float:
    """One of a fixed series of kernels: a trifle in the data must not change all that follows."""
    return float(2 ** (np.rint(STEPS * np.log2(kernel)) / STEPS))


def _times(kernel: float, shape: Kernel) -> Kernel:
    return kernel * shape[0], kernel * shape[1], kernel * shape[2]


def _best_kernel(kernel: float, excess: float, deep: bool) -> float:
    """Kernel at which the density should tell most; from what one kernel tells if structures and errors were Gaussian."""
    # Then the excess is 1 + (kernel / width)^2.
    width = kernel / np.sqrt(max(excess - 1, 1e-3))
    return float(width * (BEST_3D if deep else BEST_2D))
