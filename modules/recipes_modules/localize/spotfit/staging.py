"""What the passes of a fit share: the regions of many spots, cut at once, and how they are fitted."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numba
import numpy as np

from recipes_modules.localize.spotfit.gaussian import accumulate, accumulate_plane, integrate
from recipes_modules.localize.spotfit.models import DEPTH, EXPANDED, INNER, MOST, OPTIONS, PLANE, SIZES
from recipes_modules.localize.spotfit.normal import PLACE, contract
from recipes_modules.localize.spotfit.pixels import corner, cut, given_weights, start
from recipes_modules.localize.spotfit.vectors import WIDTH, add, load, splat, store

LIKELIHOOD, EXPECTED, MEASURED, EQUAL = range(4)
"""What is made least: minus the log-likelihood; or squares, weighted by 1 / variance that the model expects (from the first steps, then
kept), by 1 / variance from the measured counts, as PYME does, or equally."""

TRIANGLE = MOST * (MOST + 1) // 2
"""Elements of a symmetric matrix of as many parameters as a model may have."""
PARAMETERS = np.array(SIZES)

_STAGED = 50000
"""Pixels of spots that are cut at once: so many that they stay in the processor's cache."""


class Way(NamedTuple):
    """How spots are fitted; see `recipes_modules.localize.spotfit.fit.fit_block`."""

    method: int
    model: int
    widths: Any
    reach: Any
    precision: float
    curves: Any
    floor: float
    excess: float
    tolerance: float
    most: int


class Stage(NamedTuple):
    """Regions of spots in groups of `WIDTH`, and their parameters.

    Attributes
    ----------
    ny, nx : int
        Size of each region.
    data, added, given : array (groups ny nx WIDTH,) float32
        Counts; variance beside the model's own; weights, where they do not change.
    theta : array (groups MOST WIDTH,) float32
    least : array (groups WIDTH,) float32
        The smallest variance in each region.
    """

    ny: int
    nx: int
    data: Any
    added: Any
    given: Any
    theta: Any
    least: Any


class Scratch(NamedTuple):
    """Arrays for one group: see `tabulate`, `weigh`, `factor`, `invert` and `spread`."""

    edges: Any
    of_x: Any
    of_y: Any
    full: Any
    weights: Any
    residuals: Any
    good: Any
    cost: Any
    matrix: Any
    vector: Any
    lower: Any
    scaled: Any
    inverse: Any
    work: Any
    covariance: Any
    variance: Any


class Lanes(NamedTuple):
    """The fits that are under way, one in each lane.

    Attributes
    ----------
    data, added : array (ny nx WIDTH,) float32
        Counts; variance beside the model's own.
    current, trial : array (MOST WIDTH,) float32
        Parameters: the best so far, and those under trial.
    step, last : arrays likewise
        The step under trial, and the last that was taken.
    longest, low, high : arrays likewise
        Limits of steps and parameters.
    matrix, vector : array
        Normal equations at `current`.
    state : array
        See `recipes_modules.localize.spotfit.solving`.
    """

    data: Any
    added: Any
    current: Any
    trial: Any
    step: Any
    last: Any
    longest: Any
    low: Any
    high: Any
    matrix: Any
    vector: Any
    state: Any


STATES = 10
"""Numbers of the state of a fit."""

_kept = threading.local()


def workspace(half: int, height: int, width: int, method: int) -> tuple[Stage, Scratch, Lanes]:
    """Room for fits in frames of a size. Each thread keeps what it used last: new memory costs as much time as a few thousand fits."""
    ny, nx = min(2 * half + 1, height), min(2 * half + 1, width)
    key = ny, nx, method >= MEASURED
    if getattr(_kept, "key", None) != key:
        _kept.key, _kept.room = key, (make_stage(*key), make_scratch(ny, nx), make_lanes(ny, nx))
    room: tuple[Stage, Scratch, Lanes] = _kept.room
    return room


def make_stage(ny: int, nx: int, given: bool) -> Stage:
    """Room for the spots that are cut at once."""
    groups = max(_STAGED // (ny * nx * WIDTH), 1)
    sizes = ny * nx, ny * nx, ny * nx if given else 0, MOST, 1
    return Stage(ny, nx, *(np.zeros(groups * size * WIDTH, np.float32) for size in sizes))


def make_scratch(ny: int, nx: int) -> Scratch:
    """Scratch for regions of a size."""
    single = 3 * (max(ny, nx) + 1), 3 * nx, 3 * ny, EXPANDED // WIDTH, ny * nx, ny * nx, 1, 1, TRIANGLE, MOST
    double = TRIANGLE, TRIANGLE, MOST, MOST, TRIANGLE, MOST
    return Scratch(*(np.zeros(n * WIDTH, np.float32) for n in single), *(np.zeros(n * WIDTH) for n in double))


def make_lanes(ny: int, nx: int) -> Lanes:
    """Room for the fits under way in regions of a size."""
    sizes = ny * nx, ny * nx, *(MOST,) * 7, TRIANGLE, MOST, STATES
    return Lanes(*(np.zeros(n * WIDTH, np.float32) for n in sizes))


@numba.njit(**OPTIONS)
def fill(
    frames: Any, index: Any, rows: Any, columns: Any, half: int, variances: Any, background: Any, way: Way, stage: Stage, scratch: Scratch,
    known: Any,
) -> None:  # fmt: skip
    """Cut the regions of some spots, and find where their fits start; `known` receives the number of pixels that take part."""
    ny, nx, pixels = stage.ny, stage.nx, stage.ny * stage.nx
    place_x, place_y = np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    for spot in range(len(index)):
        group, lane = spot // WIDTH, spot % WIDTH
        first = group * pixels * WIDTH
        at = first + lane
        top, left = corner(rows[spot], half, frames.shape[1])[0], corner(columns[spot], half, frames.shape[2])[0]
        known[spot], stage.least[spot] = cut(
            frames, index[spot], top, left, ny, nx, variances, background, stage.data, stage.added, at
        )
        place_x[lane], place_y[lane] = columns[spot] - left, rows[spot] - top
        if way.method >= MEASURED:
            given_weights(
                frames, index[spot], top, left, ny, nx, variances, stage.added, at, way.method == MEASURED, way.excess, way.floor,
                stage.given,
            )  # fmt: skip
        if lane == WIDTH - 1 or spot == len(index) - 1:
            integrate(load(place_x, 0), splat(np.float32(way.widths[0])), nx, scratch.edges, scratch.of_x)
            integrate(load(place_y, 0), splat(np.float32(way.widths[1])), ny, scratch.edges, scratch.of_y)
            last = first + pixels * WIDTH
            start(
                stage.data[first:last], stage.added[first:last], ny, nx, place_y, place_x, scratch.of_x, scratch.of_y,
                stage.theta[group * MOST * WIDTH :],
            )  # fmt: skip


@numba.njit(**INNER)
def add_up(way: Way, ny: int, nx: int, scratch: Scratch, weights: Any, theta: Any) -> None:
    """The normal equations of a group, with what is known of the widths, into `scratch`."""
    model, matrix, vector = way.model, scratch.matrix, scratch.vector
    accumulate(scratch.full, ny, nx, scratch.of_x, scratch.of_y, weights, scratch.residuals, matrix, vector)
    if model >= PLANE:
        accumulate_plane(scratch.full, ny, nx, scratch.of_x, scratch.of_y, weights, scratch.residuals, matrix, vector)
    contract(model, scratch.full, matrix, vector)
    if way.precision > 0.0 and way.method == LIKELIHOOD and model != DEPTH:
        for a in range(4, PARAMETERS[model]):
            add(matrix, PLACE[a, a], splat(np.float32(way.precision)))
            off = np.float32(way.widths[a - 4]) - load(theta, a * WIDTH)
            add(vector, a * WIDTH, off * np.float32(way.precision))


@numba.njit(**INNER)
def sandwich_weights(pixels: int, given: Any, weights: Any) -> None:
    """From the weights 1 / expected variance to the squared given weights times expected variance."""
    for k in range(0, pixels * WIDTH, WIDTH):
        w = load(given, k)
        store(weights, k, w * w / load(weights, k))
