"""Finding the parameters of spots, compiled: Fisher scoring for the likelihood, Levenberg and Marquardt's method for squares."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from recipes_modules.localize.spotfit.gaussian import tabulate, weigh
from recipes_modules.localize.spotfit.models import (
    HALF,
    INNER,
    MOST,
    ONE,
    OPTIONS,
    ZERO,
    advance,
    begin,
    expand,
    length,
    remains,
)
from recipes_modules.localize.spotfit.normal import PLACE, factor, product, secant, solve
from recipes_modules.localize.spotfit.staging import (
    EXPECTED,
    LIKELIHOOD,
    MEASURED,
    PARAMETERS,
    STATES,
    Lanes,
    Scratch,
    Stage,
    Way,
    add_up,
)
from recipes_modules.localize.spotfit.vectors import WIDTH, load, splat, store, where_less

FAILED, CONVERGED, LIMIT, EDGE = 0, 1, 5, 6
"""How a fit ended. The numbers are those of MINPACK, which PYME's files hold, where it has such."""

COST, BEFORE, SLOPE, TAKEN, DAMPING, MOVED, NEW, PENDING, ENDED, CODE = (WIDTH * k for k in range(10))
"""State of the lanes: sum of squares; length of the last step taken, and its product with the gradient; steps taken; damping; of the step
under trial its length, whether there is one, its product with the gradient, and whether it ends at a bound; how the fit ended."""

_CONVERGED, _EDGE, _FAILED = np.float32(CONVERGED), np.float32(EDGE), np.float32(-1)
_REWEIGHTED, _FAR = np.float32(3), np.float32(0.1)
"""Weights are kept once so many places are taken and the last step was shorter than this many pixels."""
_DAMPING, _MOST_DAMPING, _TEN, _TENTH = np.float32(1e-3), np.float32(1e7), np.float32(10), np.float32(0.1)
_EQUALLY_GOOD = np.float32(1 + 1e-6)


@numba.njit(**OPTIONS)
def solve_all(way: Way, stage: Stage, scratch: Scratch, lanes: Lanes, holds: Any, iterations: Any, known: Any, how: Any) -> None:
    """Find the parameters of staged spots. A lane whose fit has ended takes the next spot, so that none waits for the slowest.

    Parameters
    ----------
    way, stage, scratch, lanes : named tuples
        See `staging`; the parameters that are found replace the start values.
    holds, iterations : array (WIDTH,) int64
        Scratch; the first holds -1.
    known : array (n,)
        Pixels that take part.
    how : array (n, 2) int32
        Receives how each fit ended, and the number of iterations.
    """
    p, ny, nx = PARAMETERS[way.model], stage.ny, stage.nx
    busy, following = 0, -1
    while True:
        for lane in range(WIDTH):
            while holds[lane] < 0 and following < len(known) - 1:
                following += 1
                if known[following] > p:
                    take(following, lane, way, stage, scratch.weights, lanes)
                    holds[lane], iterations[lane] = following, 0
                    busy += 1
        if busy == 0:
            return
        expand(way.model, lanes.trial, way.curves, scratch.full)
        tabulate(way.model, scratch.full, ny, nx, scratch.edges, scratch.of_x, scratch.of_y)
        anew = reweighed(way.method, lanes.state)
        cost = weigh(
            scratch.full, ny, nx, scratch.of_x, scratch.of_y, lanes.data, lanes.added, anew, scratch.weights, scratch.residuals
        )
        add_up(way, ny, nx, scratch, scratch.weights, lanes.trial)
        judge(way, p, cost, anew, scratch, lanes)
        for lane in range(WIDTH):
            if lanes.state[ENDED + lane] > ZERO:
                hold(p, lanes)
                break
        propose(way, p, scratch, lanes)
        for lane in range(WIDTH):
            spot = holds[lane]
            if spot < 0:
                continue
            iterations[lane] += 1
            code = lanes.state[CODE + lane]
            if code != ZERO or iterations[lane] >= way.most:
                how[spot, 0] = LIMIT if code == ZERO else max(int(code), FAILED)
                how[spot, 1] = iterations[lane]
                at = spot // WIDTH * MOST * WIDTH + spot % WIDTH
                for a in range(MOST):
                    stage.theta[at + a * WIDTH] = lanes.current[a * WIDTH + lane]
                holds[lane] = -1
                busy -= 1


@numba.njit(**INNER)
def take(spot: int, lane: int, way: Way, stage: Stage, weights: Any, lanes: Lanes) -> None:
    """Put a staged spot into a lane, and begin."""
    pixels = stage.ny * stage.nx
    source = spot // WIDTH * pixels * WIDTH + spot % WIDTH
    for k in range(lane, pixels * WIDTH, WIDTH):
        lanes.data[k] = stage.data[source]
        lanes.added[k] = stage.added[source]
        if way.method >= MEASURED:
            weights[k] = stage.given[source]
        source += WIDTH
    source = spot // WIDTH * MOST * WIDTH + spot % WIDTH
    for k in range(lane, MOST * WIDTH, WIDTH):
        lanes.trial[k] = stage.theta[source]
        source += WIDTH
    begin(
        way.model, lane, stage.ny, stage.nx, stage.least[spot], way.method <= EXPECTED, way.widths, way.reach, way.curves, lanes.trial,
        lanes.longest, lanes.low, lanes.high,
    )  # fmt: skip
    for k in range(lane, MOST * WIDTH, WIDTH):
        # The lane's last fit may have left what is no number, which times 0 is none either.
        lanes.current[k], lanes.step[k], lanes.last[k] = lanes.trial[k], ZERO, ZERO
    for k in range(lane, STATES * WIDTH, WIDTH):
        lanes.state[k] = ZERO
    lanes.state[COST + lane] = np.inf
    lanes.state[BEFORE + lane] = lanes.state[NEW + lane] = ONE
    lanes.state[DAMPING + lane] = ZERO if way.method == LIKELIHOOD else _TEN * _DAMPING


@numba.njit(**INNER)
def reweighed(method: int, state: Any) -> Any:
    """1 in lanes whose weights are to be made from the model, else 0."""
    if method == LIKELIHOOD:
        return splat(ONE)
    if method != EXPECTED:
        return splat(ZERO)
    return where_less(load(state, TAKEN), _REWEIGHTED, ONE, where_less(_FAR, load(state, BEFORE), ONE, splat(ZERO)))


@numba.njit(**INNER)
def damped_more(damping: Any) -> Any:
    """Ten times the damping, or of the least there is."""
    return where_less(damping, _DAMPING, _DAMPING, damping) * _TEN


@numba.njit(**INNER)
def judge(way: Way, p: int, cost: Any, anew: Any, scratch: Scratch, lanes: Lanes) -> None:
    """Take the step under trial, or not: then the damping grows."""
    state = lanes.state
    new, moved, damping = load(state, NEW), load(state, MOVED), load(state, DAMPING)
    taken = splat(ONE)
    if way.method != LIKELIHOOD:
        # New weights make another sum, which is not to be compared.
        fit = where_less(load(state, COST) * _EQUALLY_GOOD, cost, anew, splat(ONE))
        taken = where_less(HALF, new, fit, ZERO)
    refused = where_less(HALF, new, ONE - taken, ZERO)
    for at in range(0, p * WIDTH, WIDTH):
        store(lanes.current, at, where_less(HALF, taken, load(lanes.trial, at), load(lanes.current, at)))
        store(lanes.last, at, where_less(HALF, taken, load(lanes.step, at), load(lanes.last, at)))
        store(lanes.vector, at, where_less(HALF, taken, load(scratch.vector, at), load(lanes.vector, at)))
    for at in range(0, PLACE[p - 1, p - 1] + WIDTH, WIDTH):
        store(lanes.matrix, at, where_less(HALF, taken, load(scratch.matrix, at), load(lanes.matrix, at)))
    # The place where a fit starts is taken as well, but no step has led there.
    before = where_less(HALF, load(state, TAKEN), moved, ONE)
    store(state, BEFORE, where_less(HALF, taken, before, load(state, BEFORE)))
    store(state, COST, where_less(HALF, taken, cost, load(state, COST)))
    store(state, TAKEN, load(state, TAKEN) + taken)
    store(state, SLOPE, where_less(HALF, taken, load(state, PENDING), where_less(HALF, refused, ZERO, load(state, SLOPE))))
    store(state, DAMPING, where_less(HALF, taken, damping * _TENTH, where_less(HALF, refused, damped_more(damping), damping)))
    # No step, however short, lowers the sum: the minimum, to single precision.
    lowest = where_less(moved, np.float32(way.tolerance), refused, ZERO)
    end = where_less(HALF, load(state, ENDED), _EDGE, splat(_CONVERGED))
    store(state, CODE, where_less(HALF, lowest, end, ZERO))


@numba.njit(**INNER)
def hold(p: int, lanes: Lanes) -> None:
    """Take parameters out of the normal equations that are at an end of their range and would go on."""
    all_free = splat(ONE)
    for a in range(p):
        at = a * WIDTH
        value, slope = load(lanes.current, at), load(lanes.vector, at)
        free = where_less(load(lanes.low, at), value, ONE, where_less(slope, ZERO, ZERO, splat(ONE)))
        free = where_less(value, load(lanes.high, at), free, where_less(ZERO, slope, ZERO, free))
        store(lanes.vector, at, free * slope)
        for b in range(p):
            if b != a:
                store(lanes.matrix, PLACE[a, b], free * load(lanes.matrix, PLACE[a, b]))
        all_free = all_free * free
    # The step that led here went along what is held now: it tells nothing of the curvature of the rest.
    store(lanes.state, SLOPE, all_free * load(lanes.state, SLOPE))


@numba.njit(**INNER)
def propose(way: Way, p: int, scratch: Scratch, lanes: Lanes) -> None:
    """The next step under trial, or the end."""
    state, current, trial, step = lanes.state, lanes.current, lanes.trial, lanes.step
    damping, code = load(state, DAMPING), load(state, CODE)
    good = factor(lanes.matrix, p, damping, scratch.lower, scratch.scaled, scratch.inverse)
    solve(scratch.lower, scratch.inverse, p, lanes.vector, scratch.work, step)
    secant(lanes.matrix, lanes.vector, lanes.last, load(state, SLOPE), p, step)
    ended = advance(p, current, step, lanes.longest, lanes.low, lanes.high, trial)
    moved = length(way.model, trial, step, way.curves)
    # A step this short changes nothing but the last digits.
    near = where_less(remains(moved, load(state, BEFORE)), np.float32(way.tolerance), good, ZERO)
    near = where_less(_DAMPING, damping, ZERO, where_less(HALF, code, ZERO, near))
    end = where_less(HALF, ended, _EDGE, splat(_CONVERGED))
    code = where_less(HALF, near, end, code)
    # Where the equations do not determine the parameters, they may with more damping.
    damping = where_less(HALF, good, damping, damped_more(damping))
    worst = ZERO if way.method == LIKELIHOOD else _MOST_DAMPING
    hopeless = where_less(HALF, good, ZERO, where_less(worst, damping, ONE, ZERO))
    code = where_less(HALF, hopeless, where_less(HALF, code, code, _FAILED), code)
    for at in range(0, p * WIDTH, WIDTH):
        there, here = load(trial, at), load(current, at)
        store(trial, at, where_less(HALF, good, there, here))
        store(current, at, where_less(HALF, near, there, here))
    store(state, PENDING, product(step, lanes.vector, p))
    store(state, MOVED, moved)
    store(state, ENDED, ended)
    store(state, NEW, good)
    store(state, DAMPING, damping)
    store(state, CODE, code)
