"""From what was measured to a verdict with reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recipes_modules.verdict.alone import Alone
from recipes_modules.verdict.compare import Difference
from recipes_modules.verdict.sharpness import Sharpness
from recipes_modules.verdict.windows import Windows

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

GOOD, DOUBTFUL, FAILED = "good", "doubtful", "failed"

HARMLESS = 0.5
"""A drift error of so many precisions widens the image by an eighth."""
NEGLIGIBLE = 0.2
"""In precisions: two estimates that differ by less agree, whatever their error bars."""
APART, FAR_APART = 2.0, 5.0
"""Two estimates disagree where they differ by so many times what their error bars let expect."""
WRONG = 2.0
"""In precisions: an error that makes a drift useless where two estimates are far apart."""
FEWEST_PLACES, FEW_PLACES = 3.0, 8.0
"""Fewer molecules may move by themselves; few are not halved."""
WORSE = 1.1
"""Over the resolution before."""
LEAST = 0.1
"""nm; smaller errors are not worth a thought."""
STILL = 3.0
"""A drift whose standard deviation is below so many standard errors is none."""
NO_BLINKS = 0.5
"""Near neighbours that are so frequent 50 frames later still, over those in the next frame, are no blinks."""
SHARPEST = 3.5
"""Resolution over precision, above which an image is blurred by more than the precision."""
FAR_PIXELS = 3.0
AGREE = 0.5


@dataclass
class Evidence:
    """All that was measured about a drift.

    Attributes
    ----------
    scale : array (3,)
        Precision of a localization along x, y, z, nm.
    claimed : array (3,)
        Standard error of the drift, as its method has it, nm.
    span : array (3,)
        Standard deviation of the drift over the localizations, nm.
    axes : int
        2, or 3 where the drift along z was measured.
    places : float
        Effective number of molecules: how many of equal size there would be.
    differences : list of Difference
    missing : list of str
        What could not be compared, and why.
    doubts : list of str
        What the method itself said.
    alone : list of Alone
        Frames far away from those around them.
    """

    scale: Floats
    claimed: Floats
    span: Floats
    axes: int
    places: float
    differences: list[Difference] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    alone: list[Alone] = field(default_factory=list)
    windows: Windows | None = None
    before: Sharpness | None = None
    after: Sharpness | None = None

    @property
    def error(self) -> Floats:
        """Likely error of the drift, (3,), nm: what its method claims, or more where parts of the data differ by more."""
        found = [self.claimed, *(self._shown(difference) for difference in self.differences)]
        return np.asarray(np.max(found, axis=0))

    def _shown(self, difference: Difference) -> Floats:
        if difference.share < 1 and (difference.expected > 0).any():
            return self.claimed * difference.ratio
        return np.asarray(np.where(difference.ratio > APART, difference.apart * difference.share, 0.0))


@dataclass(frozen=True)
class Verdict:
    """good, doubtful or failed, and why."""

    word: str
    reasons: tuple[str, ...]


def judge(evidence: Evidence) -> Verdict:
    """The verdict. Reasons stand in order of weight; a good drift has one that says how good."""
    wrong = [difference.short for difference in evidence.differences if _wrong(difference, evidence).any()]
    failed = [*_failed(evidence)]
    doubtful = [*_doubtful(evidence, told=wrong)]
    if failed:
        return Verdict(FAILED, (*failed, *evidence.doubts, *doubtful))
    if doubtful or (evidence.doubts and not _refuted(evidence)):
        return Verdict(DOUBTFUL, (*evidence.doubts, *doubtful))
    return Verdict(GOOD, (_praise(evidence),))


def _refuted(evidence: Evidence) -> bool:
    """Whether all parts could be compared and there is an image: then nothing speaks for what a method doubts by itself."""
    compared = {difference.short for difference in evidence.differences}
    return {"halves", "sides"} <= compared and evidence.after is not None and evidence.after.frc is not None


def nm(value: float) -> str:
    """A length for people."""
    return f"{value:,.0f} nm" if value >= 10 else f"{value:.2g} nm"


def _along(values: Floats, which: Mask) -> str:
    told = [f"{nm(values[axis])} along {'xyz'[axis]}" for axis in np.flatnonzero(which)]
    return " and ".join(told) if len(told) < 3 else ", ".join(told[:-1]) + " and " + told[-1]


def _axes(evidence: Evidence) -> Mask:
    return np.arange(3) < evidence.axes


def _wrong(difference: Difference, evidence: Evidence) -> Mask:
    far = (difference.ratio > FAR_APART) & (difference.apart * difference.share > WRONG * evidence.scale)
    # Halves of few beads are no measure for all of them.
    return np.asarray(far & _axes(evidence) & (evidence.places >= FEW_PLACES))


def _disagree(difference: Difference, which: Mask) -> str:
    expected = float(difference.expected[which].max())
    return f"{difference.name} show drifts that lie {_along(difference.apart, which)} apart, where {nm(expected)} are expected"


def _failed(evidence: Evidence) -> Iterator[str]:
    scale = evidence.scale
    for difference in evidence.differences:
        which = _wrong(difference, evidence)
        if which.any():
            yield _disagree(difference, which)
    windows = evidence.windows
    if windows is not None:
        if windows.agree >= AGREE and windows.far > FAR_PIXELS * windows.pixel:
            yield f"parts of the corrected movie still lie {nm(windows.far)} apart"
        elif (which := _lies_apart(windows, WRONG * scale, FAR_APART)).any():
            yield f"parts of the corrected movie still lie {_along(windows.rms, which)} apart"
    noise = (evidence.claimed > WRONG * scale) & (evidence.claimed > evidence.span) & _axes(evidence)
    if noise.any():
        yield (
            f"the drift cannot be told from noise: it is {_along(evidence.span, noise)}, with a standard error of "
            f"{nm(float(evidence.claimed[noise].max()))}"
        )
    before, after = evidence.before, evidence.after
    if not evidence.differences and after is not None and after.frc is None:
        yield "nothing shows a structure that could drift: no part of the localizations has a drift of its own, nor do halves correlate"
    if before and after and before.frc is not None and after.frc is not None:
        worse = after.frc - before.frc
        if after.frc > WORSE * before.frc and worse > 3 * _both(before.frc_error, after.frc_error):
            yield f"the correction makes the resolution worse: {nm(after.frc)} instead of {nm(before.frc)}"


def _doubtful(evidence: Evidence, told: list[str]) -> Iterator[str]:
    scale, error = evidence.scale, evidence.error
    much = (error > HARMLESS * scale) & _axes(evidence)
    if much.any():
        yield f"the error of the drift is about {_along(error, much)}, while a molecule is localized to {nm(float(scale[much].min()))}"
    if evidence.places < FEWEST_PLACES:
        yield "nearly all localizations are of one or two molecules, which may move by themselves"
    yield from evidence.missing
    for difference in evidence.differences:
        if difference.short not in told:
            yield from _disagreement(difference, evidence)
    for alone in evidence.alone:
        where = (
            f"frame {alone.first:.0f} lies" if alone.first == alone.last else f"frames {alone.first:.0f} to {alone.last:.0f} lie"
        )
        yield (
            f"{where} {nm(alone.distance)} along {'xyz'[alone.axis]} from the frames around, "
            f"which no more than {alone.count} localizations show"
        )
    yield from _blind(evidence)
    windows = evidence.windows
    if windows is not None:
        which = _lies_apart(windows, HARMLESS * scale, APART)
        if which.any() and not _lies_apart(windows, WRONG * scale, FAR_APART).any():
            yield f"{len(windows.nodes)} parts of the corrected movie lie {_along(windows.rms, which)} apart"
        if windows.agree < AGREE:
            yield f"of the comparisons between parts of the corrected movie, only {windows.agree:.0%} agree with each other"
    before, after = evidence.before, evidence.after
    if after and after.frc is None:
        yield "whether the image is sharp cannot be told: " + after.reasons["frc"].rstrip(".")
    if before and after and before.nena is not None and after.nena is not None:
        worse = after.nena - before.nena
        if worse > 0.05 * before.nena and worse > 3 * _both(before.nena_error, after.nena_error):
            yield (
                f"the correction moves molecules from frame to frame: their precision is {nm(after.nena)} instead of {nm(before.nena)}"
            )


def _disagreement(difference: Difference, evidence: Evidence) -> Iterator[str]:
    scale, share = evidence.scale, difference.share
    which = (difference.ratio > APART) & (difference.apart * share > NEGLIGIBLE * scale) & _axes(evidence)
    if which.any():
        yield _disagree(difference, which)
        return
    here = (difference.worst * share > scale) & (difference.worst > APART * difference.worst_expected) & _axes(evidence)
    if here.any():
        axis = int(np.flatnonzero(here)[0])
        first, last = difference.where[axis]
        yield f"in frames {first:.0f} to {last:.0f}, {difference.name} differ by {nm(difference.worst[axis])} along {'xyz'[axis]}"


def _blind(evidence: Evidence) -> Iterator[str]:
    """What looks as if all agreed because nothing is seen."""
    for difference in evidence.differences:
        if difference.short == "halves":
            which = (difference.expected * difference.share > evidence.scale) & _axes(evidence)
            if which.any() and not (evidence.error > HARMLESS * evidence.scale)[which].any():
                yield (
                    "halves of the molecules, without those at the edges of the field, tell the drift only to "
                    f"{_along(difference.expected, which)}"
                )
    after = evidence.after
    still = (evidence.span < STILL * np.maximum(evidence.error, LEAST))[: evidence.axes].all()
    blinks = after is None or (after.nena is not None and after.later < NO_BLINKS)
    if still and not blinks and after is not None:
        finest = SHARPEST * float(evidence.scale[:2].mean())
        if after.frc is None or after.frc > finest:
            yield (
                "no drift is found, no molecule is seen in two successive frames, and the image is less sharp than its localizations: "
                "the frames may be wrong"
            )


def _lies_apart(windows: Windows, most: Floats, times: float) -> Mask:
    """Along which axes the windows lie farther apart than `most`, nm, and than so many times their errors."""
    expected, rms = np.nan_to_num(windows.expected), np.nan_to_num(windows.rms)
    beyond = np.sqrt(np.maximum(rms**2 - expected**2, 0.0))
    return np.asarray((beyond > most) & (rms > times * expected) & (np.arange(3) < 2))


def _both(first: float | None, second: float | None) -> float:
    return float(np.hypot(first or 0.0, second or 0.0))


def _praise(evidence: Evidence) -> str:
    axes = _axes(evidence)
    small = (evidence.span < STILL * np.maximum(evidence.error, LEAST))[axes].all()
    told = f"the parts of the data agree; its error is about {_along(evidence.error, axes)}"
    return told + ("; hardly any drift was found" if small else "")
