"""The parts of the multi-emitter fit: deconvolution, normal equations, background."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recipes_modules.localize import multi_deconvolve as deconvolution
from recipes_modules.localize.multi_level import Ground
from recipes_modules.localize.multi_refine import refine, workspace
from recipes_modules.localize.multi_scene import BACK, DATA, MU, RESIDUAL, WEIGHT, Scene, compose, lanes, normal, weigh

SIGMA = 1.2


def scene_of(shape, emitters, back=10.0, shape_of_counts=1.0, mean=1000.0):
    n = len(emitters) + 4
    lane = lanes(SIGMA)
    scene = Scene(
        np.zeros((7, *shape), np.float32), np.zeros((n, 3)), np.zeros((n, 2, 3, lane), np.float32), np.zeros((n, 2), np.int64),
        np.array([SIGMA, shape_of_counts, mean, -5.0, 1e-3, 0.0, 0.0, 0.0]),
    )  # fmt: skip
    scene.planes[BACK] = back
    scene.theta[: len(emitters)] = emitters
    room = workspace(8, lane)
    compose(scene, len(emitters), room[3])
    return scene, room


EMITTERS = np.array([(6.3, 7.1, 900.0), (8.0, 8.4, 700.0), (2.1, 3.0, 500.0)])


def test_the_two_directions_of_the_deconvolution_are_transposes():
    rng = np.random.default_rng(0)
    height, width, fine = 9, 13, deconvolution.FINER
    half = 4
    table = deconvolution.profiles(SIGMA, half)
    middle = np.empty((height, fine * width), np.float32)
    light, pixels = rng.random((fine * height, fine * width), np.float32), rng.random((height, width), np.float32)
    there, back = np.zeros((height, width), np.float32), np.empty_like(light)
    deconvolution.forward(light, table, middle, there)
    deconvolution.backward(pixels, table, middle, back)
    assert float((there * pixels).sum()) == pytest.approx(float((light * back).sum()), rel=1e-5)


def test_the_deconvolution_finds_places_and_light():
    scene, _ = scene_of((20, 22), [(6.0, 7.0, 900.0), (13.3, 12.6, 1200.0)])
    data = np.random.default_rng(1).poisson(scene.planes[MU]).astype(np.float32)
    back = np.full_like(data, 10.0)
    fine = deconvolution.deconvolve(data, np.zeros_like(data), back, SIGMA, 60)
    found = deconvolution.peaks(fine, 300.0, 10)
    assert len(found) == 2
    np.testing.assert_allclose(found[:, :2], [(6.0, 7.0), (13.3, 12.6)], atol=0.2)
    np.testing.assert_allclose(found[:, 2], (900, 1200), rtol=0.12)


def test_normal_equations_are_those_of_numerical_derivatives():
    scene, room = scene_of((14, 15), EMITTERS)
    scene.planes[DATA] = np.random.default_rng(2).poisson(scene.planes[MU])
    box, free = (0, 14, 0, 15), np.arange(3)
    value = weigh(scene, box)
    matrix, vector = room[0][0], room[1][0]
    normal(scene, free, 3, True, box, matrix, vector)
    weight, residual = scene.planes[WEIGHT].astype(float).copy(), scene.planes[RESIDUAL].astype(float).copy()
    slopes = []
    for k in range(10):
        parts = []
        for sign in (1, -1):
            moved, ground = EMITTERS.copy(), 10.0
            step = 0.02 if k % 3 < 2 else 5.0
            if k == 9:
                ground += sign * step
            else:
                moved[k // 3, k % 3] += sign * step
            parts.append(scene_of((14, 15), moved, ground)[0].planes[MU].astype(float))
        slopes.append((parts[0] - parts[1]).ravel() / (2 * step))
    slopes = np.array(slopes)
    expected = slopes * weight.ravel() @ slopes.T
    low = np.tril_indices(10)
    scale = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(
        (matrix[:10, :10] / np.outer(scale, scale))[low], (expected / np.outer(scale, scale))[low], atol=2e-3
    )
    score = slopes @ residual.ravel()
    # The exponential law of counts pulls by one part of the mean.
    score[[2, 5, 8]] -= 1 / 1000
    np.testing.assert_allclose(vector[:10] / scale, score / scale, atol=2e-2)
    assert value < 0


def test_the_joint_fit_ends_at_the_maximum():
    scene, room = scene_of((14, 15), EMITTERS)
    scene.planes[DATA] = np.random.default_rng(3).poisson(scene.planes[MU])
    scene.theta[:3] += [(0.4, -0.5, 200), (-0.4, 0.3, -200), (0.2, 0.2, 50)]
    compose(scene, 3, room[3])
    free, box = np.arange(3), (0, 14, 0, 15)
    best, moved, converged = refine(scene, free, 3, True, 1e-4, 60, room)
    assert converged
    assert moved < 1e-4
    rng = np.random.default_rng(4)
    at, ground = scene.theta[:3].copy(), scene.planes[BACK].copy()
    for _ in range(40):
        scene.theta[:3] = at + rng.normal(0, 1, (3, 3)) * (0.05, 0.05, 20)
        scene.planes[BACK] = ground + rng.normal(0, 0.3)
        compose(scene, 3, room[3])
        other = weigh(scene, box) - scene.theta[:3, 2].sum() / 1000 + at[:, 2].sum() / 1000
        compose(scene, 3, room[3])
        assert other < best - _prior(at) + 1e-2


def _prior(theta):
    """Logarithm of the exponential law at some counts."""
    return float(np.sum(-np.log(1000.0) - theta[:, 2] / 1000.0))


def test_a_sloping_background_is_found_below_emitters():
    rng = np.random.default_rng(5)
    height, width = 64, 70
    emitters = np.column_stack([rng.uniform(2, width - 3, 60), rng.uniform(2, height - 3, 60), np.full(60, 800.0)])
    scene, room = scene_of((height, width), emitters)
    true = 10 + 15 * np.arange(width) / width + 5 * np.arange(height)[:, None] / height
    scene.planes[DATA] = rng.poisson(scene.planes[MU] - 10 + true)
    scene.theta[:60, 2] *= 0.8
    ground = Ground(scene, 10.0)
    assert not ground.even
    compose(scene, 60, room[3])
    for _ in range(4):
        ground.fit(60, room[3])
    off = gaussian_filter(scene.planes[BACK] - true, 3)
    assert np.sqrt(np.mean(off**2)) < 0.5
    assert np.mean(scene.theta[:60, 2]) == pytest.approx(800, rel=0.02)
