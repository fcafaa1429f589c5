"""Parts of the compiled fits: vectors against numpy, sums over pixels against numerical derivatives, solutions against numpy.linalg."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import special
from spot_truth import CURVES, READ, SIGMA, simulate, spot

from recipes_modules.localize.fitting import MODELS
from recipes_modules.localize.psf import exp_erf
from recipes_modules.localize.psf import logarithm as scalar_logarithm
from recipes_modules.localize.spotfit import normal, vectors
from recipes_modules.localize.spotfit.gaussian import bell, half_error_function, logarithm, tabulate, weigh
from recipes_modules.localize.spotfit.models import EXPANDED, MOST, SIZES, expand
from recipes_modules.localize.spotfit.pixels import given_weights
from recipes_modules.localize.spotfit.staging import EXPECTED, LIKELIHOOD, TRIANGLE, Way, add_up, make_scratch
from recipes_modules.localize.spotfit.vectors import WIDTH, load, splat, store

ADD, SUBTRACT, TIMES, OVER, WHERE, ABSOLUTE, ROOT, SIGNED, NEAREST, SCALED, EXPONENT, WIDE, BELL, ERROR, LOGARITHM = range(15)


@numba.njit
def applied(which, a, b, result):
    """An operation on vectors, element by element of arrays."""
    for at in range(0, len(a), WIDTH):
        x, y = load(a, at), load(b, at)
        if which == ADD:
            x = x + y
        elif which == SUBTRACT:
            x = 1.5 - x
        elif which == TIMES:
            x = x * y
        elif which == OVER:
            x = x / y
        elif which == WHERE:
            x = vectors.where_less(x, y, x, 7.0)
        elif which == ABSOLUTE:
            x = vectors.absolute(x)
        elif which == ROOT:
            x = vectors.root(x)
        elif which == SIGNED:
            x = vectors.signed(x, y)
        elif which == NEAREST:
            x = vectors.nearest(x)
        elif which == SCALED:
            x = vectors.scaled(x, y)
        elif which == EXPONENT:
            x = vectors.exponent(x)
        elif which == WIDE:
            x = vectors.narrowed(vectors.widened(x) + 1e-9)
        elif which == BELL:
            x = bell(x)
        elif which == ERROR:
            x = half_error_function(x, bell(x))
        else:
            x = logarithm(x)
        store(result, at, x)


def vector_of(which, a, b=None):
    a = np.asarray(a, np.float32)
    result = np.zeros_like(a)
    applied(which, a, a if b is None else np.asarray(b, np.float32), result)
    return result


def test_vectors_compute_as_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 30, (2, 4 * WIDTH)).astype(np.float32)
    np.testing.assert_array_equal(vector_of(ADD, a, b), a + b)
    np.testing.assert_array_equal(vector_of(SUBTRACT, a), np.float32(1.5) - a)
    np.testing.assert_array_equal(vector_of(TIMES, a, b), a * b)
    np.testing.assert_array_equal(vector_of(OVER, a, b), a / b)
    np.testing.assert_array_equal(vector_of(WHERE, a, b), np.where(a < b, a, np.float32(7)))
    np.testing.assert_array_equal(vector_of(ABSOLUTE, a), np.abs(a))
    np.testing.assert_array_equal(vector_of(ROOT, np.abs(a)), np.sqrt(np.abs(a)))
    np.testing.assert_array_equal(vector_of(SIGNED, np.abs(a), b), np.copysign(a, b))
    np.testing.assert_array_equal(vector_of(NEAREST, a), np.rint(a))
    np.testing.assert_array_equal(vector_of(SCALED, a, np.rint(b)), np.ldexp(a, np.rint(b).astype(int)))
    np.testing.assert_array_equal(vector_of(EXPONENT, np.abs(a)), np.floor(np.log2(np.abs(a))))
    np.testing.assert_array_equal(vector_of(WIDE, a), a)


def test_what_is_no_number_stays_in_its_lane():
    a = np.arange(WIDTH, dtype=np.float32)
    a[3], a[5] = np.nan, np.inf
    found = vector_of(WHERE, a, np.full(WIDTH, 100))
    np.testing.assert_array_equal(found, np.where(np.arange(WIDTH) == 3, 7, np.where(np.arange(WIDTH) == 5, 7, np.arange(WIDTH))))
    assert np.isfinite(np.delete(vector_of(BELL, a), [3, 5])).all()


@numba.njit
def add_one(array, at):
    vectors.add(array, at, splat(np.float32(1)))


def test_only_flat_arrays_are_vectors():
    array = np.zeros(3 * WIDTH, np.float32)
    add_one(array, WIDTH)
    np.testing.assert_array_equal(array.reshape(3, WIDTH).sum(axis=1), [0, WIDTH, 0])
    with pytest.raises(numba.TypingError):
        add_one(np.zeros((2, WIDTH), np.float32), 0)


def test_exponential_error_function_and_logarithm():
    t = np.linspace(-7, 7, 250 * WIDTH).astype(np.float32)
    exact = t.astype(float)
    near = np.abs(t) < 3
    np.testing.assert_allclose(vector_of(BELL, t)[near], np.exp(-(exact**2))[near], rtol=1.2e-6)
    np.testing.assert_allclose(vector_of(BELL, t), np.exp(-(exact**2)), rtol=0, atol=2e-7)
    np.testing.assert_allclose(vector_of(ERROR, t), special.erf(exact) / 2, rtol=0, atol=3e-7)
    x = np.geomspace(1e-7, 1e7, 250 * WIDTH).astype(np.float32)
    np.testing.assert_allclose(vector_of(LOGARITHM, x), np.log(x.astype(float)), rtol=3e-7, atol=3e-7)
    # The same one number at a time, for the fits of groups.
    values = np.array([exp_erf(v) for v in exact[::7]])
    np.testing.assert_allclose(values[:, 0], np.exp(-(exact[::7] ** 2)), rtol=0, atol=1e-9)
    np.testing.assert_allclose(values[:, 1], special.erf(exact[::7]), rtol=0, atol=2e-7)
    np.testing.assert_allclose([scalar_logarithm(v) for v in x[::7]], np.log(x[::7].astype(float)), rtol=3e-7, atol=3e-7)


@numba.njit
def summed(way, theta, k, data, added, scratch, cost):
    expand(way.model, theta, way.curves, scratch.full)
    tabulate(way.model, scratch.full, k, k, scratch.edges, scratch.of_x, scratch.of_y)
    one = splat(np.float32(1))
    store(cost, 0, weigh(scratch.full, k, k, scratch.of_x, scratch.of_y, data, added, one, scratch.weights, scratch.residuals))
    add_up(way, k, k, scratch, scratch.weights, theta)


def settings_of(model, method=EXPECTED, precision=0.0):
    curves = CURVES.astype(np.float32)
    return Way(method, MODELS[model], np.array([SIGMA, SIGMA]), np.array([0.0, np.inf]), precision, curves, 0.0, 1.0, 1e-3, 50)


PARAMETERS = {
    "fixed": [], "sigma": [1.4], "sigma_xy": [1.2, 1.7], "depth": [130.0], "plane": [1.4, 0.7, -0.4], "plane_xy": [1.2, 1.7, 0.7, -0.4],
}  # fmt: skip


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("half", [3, 5])
def test_sums_are_those_of_the_models_derivatives(model, half):
    k, p = 2 * half + 1, SIZES[MODELS[model]]
    rng = np.random.default_rng(1)
    theta = np.tile([half + 0.37, half - 0.41, 800.0, 15.0, *PARAMETERS[model]], (WIDTH, 1))
    theta *= rng.uniform(0.97, 1.03, theta.shape)
    lanes = np.zeros((MOST, WIDTH), np.float32)
    lanes[:p] = theta.T
    if model == "fixed":
        lanes[4:6] = SIGMA
    theta = lanes[:p].T.astype(float)
    data, added = rng.uniform(0, 100, (WIDTH, k, k)).astype(np.float32), rng.uniform(1, 9, (WIDTH, k, k)).astype(np.float32)
    flat = [np.ascontiguousarray(values.reshape(WIDTH, -1).T).ravel() for values in (data, added)]
    scratch, cost = make_scratch(k, k), np.zeros(WIDTH, np.float32)
    summed(settings_of(model), lanes.ravel(), k, *flat, scratch, cost)
    matrix, vector = scratch.matrix, scratch.vector

    steps = np.full(p, 1e-4)
    steps[2], steps[4:5] = 0.01, 0.01 if model == "depth" else 1e-4
    rows = np.empty((WIDTH, p, k * k))
    for a, h in enumerate(steps):
        up, down = theta.copy(), theta.copy()
        up[:, a] += h
        down[:, a] -= h
        rows[:, a] = ((spot(up, model, k) - spot(down, model, k)) / (2 * h)).reshape(WIDTH, -1)
    mu = spot(theta, model, k)
    weights = (1 / np.maximum(mu + added, 0.01)).reshape(WIDTH, -1)
    off = (data - mu).reshape(WIDTH, -1)
    expected = np.einsum("nai,ni,nbi->abn", rows, weights, rows)
    scale = np.sqrt(np.einsum("aan->an", expected))
    for a in range(p):
        for b in range(a + 1):
            found = matrix[normal.PLACE[a, b] :][:WIDTH]
            np.testing.assert_allclose(found / scale[a] / scale[b], expected[a, b] / scale[a] / scale[b], rtol=0, atol=1e-5)
        gradient = (rows[:, a] * weights * off).sum(axis=1)
        np.testing.assert_allclose(vector[a * WIDTH :][:WIDTH] / scale[a], gradient / scale[a], rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(cost, (weights * off**2).sum(axis=1), rtol=1e-5)


def test_knowledge_of_the_width_is_a_prior():
    lanes = np.zeros((MOST, WIDTH), np.float32)
    lanes[:6] = np.array([3, 3, 500, 20, 1.5, 1.2])[:, None]
    arrays = np.full(49 * WIDTH, 25, np.float32), np.full(49 * WIDTH, 2, np.float32)
    found = []
    for precision in (0.0, 400.0):
        way, scratch = settings_of("sigma_xy", LIKELIHOOD, precision), make_scratch(7, 7)
        summed(way, lanes.ravel(), 7, *arrays, scratch, np.zeros(WIDTH, np.float32))
        matrix, vector = (values.reshape(-1, WIDTH)[:, 0].astype(float) for values in (scratch.matrix, scratch.vector))
        found.append((matrix[:21], vector[:6]))
    more = np.zeros(21)
    more[[14, 20]] = 400
    np.testing.assert_allclose(found[1][0] - found[0][0], more, atol=1e-3)
    np.testing.assert_allclose(found[1][1] - found[0][1], [0, 0, 0, 0, 400 * (SIGMA - 1.5), 400 * (SIGMA - 1.2)], atol=2e-3)


@numba.njit
def solved(p, damping, matrix, vector, lower, scaled, inverse, work, step, covariance, diagonal, good):
    store(good, 0, normal.factor(matrix, p, splat(np.float32(damping)), lower, scaled, inverse))
    normal.solve(lower, inverse, p, vector, work, step)
    normal.invert(lower, scaled, inverse, p, covariance)
    normal.spread(covariance, matrix, p, diagonal)


def packed(full):
    """Symmetric matrices (n, p, p) as lanes."""
    p = full.shape[1]
    lanes = np.zeros(TRIANGLE * WIDTH, np.float32)
    for a in range(p):
        for b in range(a + 1):
            lanes[normal.PLACE[a, b] :][:WIDTH] = full[:, a, b]
    return lanes


@pytest.mark.parametrize("p", [4, 5, 8])
@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_solution_and_inverse_as_numpys(p, damping):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(WIDTH, p, 3 * p)).astype(np.float32)
    full = np.einsum("nai,nbi->nab", rows, rows).astype(np.float32).astype(float)
    full[5] = np.ones((p, p))
    full[9] = -np.eye(p)
    right = rng.normal(size=(WIDTH, p)).astype(np.float32)
    vector = np.zeros(MOST * WIDTH, np.float32)
    vector[: p * WIDTH] = right.T.ravel()
    lower, scaled, covariance = np.zeros(TRIANGLE * WIDTH), np.zeros(TRIANGLE * WIDTH), np.zeros(TRIANGLE * WIDTH)
    inverse, work, diagonal = np.zeros(MOST * WIDTH), np.zeros(MOST * WIDTH), np.zeros(MOST * WIDTH)
    step, good = np.zeros(MOST * WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    solved(p, damping, packed(full), vector, lower, scaled, inverse, work, step, covariance, diagonal, good)
    # A lane whose matrix is singular, or not positive definite, is told and does not touch the others.
    assert (good == (np.isin(np.arange(WIDTH), [9] if damping else [5, 9]) == 0)).all()
    for lane in np.flatnonzero(good):
        raised = full[lane] * (1 + damping * np.eye(p))
        np.testing.assert_allclose(
            step.reshape(MOST, WIDTH)[:p, lane], np.linalg.solve(raised, right[lane]), rtol=1e-4, atol=1e-5
        )
        exact = np.linalg.inv(raised)
        for a in range(p):
            for b in range(a + 1):
                np.testing.assert_allclose(covariance[normal.PLACE[a, b] + lane], exact[a, b], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            diagonal.reshape(MOST, WIDTH)[:p, lane], np.diagonal(exact @ full[lane] @ exact), rtol=1e-5, atol=1e-5
        )


@numba.njit
def weights_of(frames, variances, added, measured, weights):
    given_weights(frames, 0, 0, 0, 7, 7, variances, added, 0, measured, 2.0, 0.7, weights)


def test_measured_weights_are_pymes():
    # (variance of the read noise + F^2 (counts + 1)), with counts of at least the floor; F^2 also in the errors' scale.
    data, _ = simulate(1, 1000, 22, background=0.2)
    weights, added = np.full(49 * WIDTH, 5, np.float32), np.full(49 * WIDTH, 3, np.float32)
    added[4 * WIDTH] = 1e30
    weights_of(data, np.full((1, 7, 7), 3.0, np.float32), added, True, weights)
    first = weights.reshape(49, WIDTH)[:, 0]
    expected = 2 * 3.0 + 2 * (np.maximum(data[0], 0.7).ravel() + 1)
    np.testing.assert_allclose(1 / np.delete(first, 4), np.delete(expected, 4), rtol=1e-5)
    assert first[4] == 0
    assert (weights.reshape(49, WIDTH)[:, 1:] == 5).all()
    weights_of(data, np.full((1, 7, 7), READ, np.float32), added, False, weights)
    np.testing.assert_array_equal(weights.reshape(49, WIDTH)[:, 0], np.arange(49) != 4)


def test_parameters_of_all_models():
    assert EXPANDED >= (MOST + 2) * WIDTH
    assert {model: SIZES[number] for model, number in MODELS.items()} == {
        name: 4 + len(more) for name, more in PARAMETERS.items()
    }
