"""What a movie's first frames tell of its emitters: width, brightness, density. Importing this file imports numba: do it on use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_modules.localize.movie import Job, localize_block

Array = npt.NDArray[Any]

FRAMES, TRIED = 64, 2
"""Frames that are looked at, at most and at least."""
SOME, EMITTERS = 400, 1200
"""Emitters on which the first passes and the last one learn."""
PASSES = 7
SETTLED = 0.003, 0.02
"""Parts of width and mean by which a last pass may change them."""
WIDEST, FURTHEST = 0.15, 2.0
"""The width changes by no more than this part of it in a pass, and by no more than this factor in all."""
MOST_WEIGHT = 10.0
"""An emitter tells of the width as much as so many usual ones, at most."""
LEAST_SPREAD = 0.005
"""Part of the background to which it is not taken to be known."""
KNOWN = 0.3
"""Brightness counts where its error is below this part of it."""
ENOUGH, ALIKE = 30, 10
"""Emitters without which nothing is learnt, and groups of like brightness."""
NARROW, NARROWEST = 4.0, 400.0
"""Brightness is taken to be exponentially distributed unless the gamma distribution's shape is at least this; and at most that."""


def learnt(job: Job, start: int) -> tuple[Job, str]:
    """The job with width, brightness and density as some frames show them, and a sentence on them."""
    guess, pixel, area = job.sigma, float(np.mean(job.camera.pixel_size)), job.shape[0] * job.shape[1]
    last = min(start + FRAMES, job.stack.n_frames)
    settings: dict[str, Any] = {**job.settings, "learning": True}
    found, stop = _tried(replace(job, settings=settings), start, last)
    for turn in range(PASSES):
        good = found["result_code"] > 0
        if np.count_nonzero(good) < ENOUGH:
            return job, "too few spots in the first frames tell of brightness; photons_guess and density_guess hold"
        found = {name: values[good] for name, values in found.items()}
        before = job.sigma, settings["mean"]
        settings["mean"], settings["shape"] = brightness(
            found["photons"].astype(float), found["error_photons"].astype(float), settings["mean"], settings["shape"]
        )
        settings["density"] = max(len(found["frame"]) / (stop - start) / area, 1e-9)
        step = _common_step(found["width_score"].astype(float), found["width_information"].astype(float))
        sigma = job.sigma + min(max(step, -WIDEST * job.sigma), WIDEST * job.sigma)
        sigma = min(max(sigma, guess / FURTHEST), guess * FURTHEST)
        job = replace(job, sigma=sigma, detection=replace(job.detection, sigma=sigma))
        # The mean need not be better known than so many emitters tell.
        known = max(SETTLED[1], 2.0 / np.sqrt(len(found["frame"]) * settings["shape"]))
        settled = abs(sigma - before[0]) < SETTLED[0] * sigma and abs(settings["mean"] - before[1]) < known * before[1]
        if turn == PASSES - 1 or ("spread" in settings and settled):
            break
        if (turn > 0 and settled) or turn == PASSES - 2:
            settings |= _ground(found)
        stop = _end(found, start, stop, last, EMITTERS if "spread" in settings else SOME)
        found = _some(replace(job, settings=settings), start, stop)
    deviation = settings["mean"] / np.sqrt(settings["shape"])
    how = "exponentially distributed" if settings["shape"] == 1.0 else f"standard deviation {deviation:.0f}"
    told = (
        f"first {stop - start} frames: {settings['mean']:.0f} photons in the mean, {how}; {settings['density'] * area:.1f} emitters a "
        f"frame; width {job.sigma * pixel:.1f} nm"
    )
    if settings.get("spread"):
        told += f"; background known to {settings['spread']:.2f} photons"
    return replace(job, settings={**settings, "learning": False}), told


def _some(job: Job, start: int, stop: int) -> dict[str, Array]:
    """Localizations of some frames."""
    found = localize_block(replace(job, beads=None), (start, stop))
    return {name: values for name, values in found.items() if name != ":notes"}


def _tried(job: Job, start: int, last: int) -> tuple[dict[str, Array], int]:
    """Localizations of the first frames that hold `SOME` emitters, as a few of them let expect; the end of these frames."""
    first = min(start + TRIED, last)
    found = _some(job, start, first)
    stop = _end(found, start, first, last, SOME)
    if stop > first:
        more = _some(job, first, stop)
        found = {name: np.concatenate([found[name], more[name]]) for name in found}
    return found, stop


def _end(found: dict[str, Array], start: int, stop: int, last: int, emitters: int) -> int:
    """The end of the first frames that hold about so many emitters, if they hold as many as those before `stop`."""
    each = max(len(found["frame"]) / (stop - start), 1e-3)
    return min(start + max(int(np.ceil(emitters / each)), TRIED), last)


def _ground(found: dict[str, Array]) -> dict[str, Any]:
    """How far the background below emitters that stand alone is from what the detection takes for it."""
    alone = found["emitters"] == 1
    if np.count_nonzero(alone) < ENOUGH:
        return {"spread": None}
    behind = found["behind"][alone].astype(float)
    off = found["background"][alone] - behind
    shift = float(np.median(off))
    observed = 1.4826 * float(np.median(np.abs(off - shift)))
    noise, least = float(np.median(found["error_background"][alone])), LEAST_SPREAD * float(np.median(behind))
    return {"shift": shift, "spread": float(np.sqrt(max(observed**2 - noise**2, least**2, 1e-6)))}


def brightness(photons: Array, error: Array, mean_before: float, before: float) -> tuple[float, float]:
    """Mean and shape of the gamma distribution of brightness.

    Parameters
    ----------
    photons, error : array (n,)
    mean_before, before : float
        Mean and shape that were assumed when they were fitted.
    """
    all_photons, information = photons, 1.0 / error**2
    if before > 1.0:
        # What was assumed is taken out again: from the posterior back to the likelihood.
        own = 1.0 / (mean_before**2 / before)
        information = np.maximum(information - own, 1e-12)
        photons = (photons / error**2 - mean_before * own) / information
    error = 1.0 / np.sqrt(information)
    sure = error < KNOWN * np.median(photons)
    if np.count_nonzero(sure) < ENOUGH:
        return float(np.mean(all_photons)), 1.0
    # Overlap makes errors large: the better half of the emitters tells enough. But dim ones have small errors, too: whether there is a
    # typical brightness at all must be asked of the better half of dim and bright ones alike.
    order = np.flatnonzero(sure)[np.argsort(photons[sure], kind="stable")]
    alike = np.concatenate([part[error[part] <= np.median(error[part])] for part in np.array_split(order, ALIKE)])
    if _law(photons[alike], error[alike])[1] < NARROW:
        return float(np.mean(all_photons)), 1.0
    best = order[error[order] <= np.median(error[order])]
    middle, shape = _law(photons[best], error[best])
    if shape < NARROW:
        return float(np.mean(all_photons)), 1.0
    return middle, float(min(shape, NARROWEST))


def _common_step(score: Array, information: Array) -> float:
    """The change of width that most emitters ask for: the weighted median. A sum would follow a single saturated pixel."""
    good = information > 0
    if not good.any():
        return 0.0
    steps = score[good] / information[good]
    weights = np.minimum(information[good], MOST_WEIGHT * np.median(information[good]))
    order = np.argsort(steps, kind="stable")
    part = np.cumsum(weights[order])
    return float(steps[order][np.searchsorted(part, part[-1] / 2)])


def _law(photons: Array, error: Array) -> tuple[float, float]:
    """Median, and shape of the gamma distribution with the spread that errors leave."""
    middle = float(np.median(photons))
    spread = 1.4826 * float(np.median(np.abs(photons - middle)))
    real = np.sqrt(max(spread**2 - float(np.median(error)) ** 2, 0.0))
    return middle, (middle / max(real, 1e-9)) ** 2
