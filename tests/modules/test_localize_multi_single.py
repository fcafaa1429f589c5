"""Spots that stand alone in the fit of many emitters: maximum, evidence and errors against plain versions and the Cramer-Rao bound."""

import numpy as np
import pytest
from scipy.ndimage import correlate
from scipy.optimize import minimize
from scipy.special import erf

from recipes_core.data import ImageStack
from recipes_core.module import Context
from recipes_modules import MultiMLE
from recipes_modules.localize.matching import match
from recipes_modules.localize.multi_alone import COLUMNS, COUNTS, ERROR_X, X, Y, group
from recipes_modules.localize.multi_alone import GROUND as LEVEL
from recipes_modules.localize.multi_refine import workspace
from recipes_modules.localize.multi_signs import middle_profile, scores
from recipes_modules.localize.multi_small import fit_single_spots, fit_small, small_workspace

SIGMA, GROUND, READ, PIXEL, HALF = 1.3, 20.0, 1.5, 100.0, 5
MEAN, DENSITY, SURE = 1000.0, np.log(7e-4), 4.0
HOW = np.array([-6.0, 2.0, 12.0, 0.0])


def along(n, centre):
    return np.diff(0.5 * erf((np.arange(n + 1) - 0.5 - centre) / (np.sqrt(2) * SIGMA)))


def expected(shape, x, y, photons, ground=GROUND):
    return ground + photons * np.outer(along(shape[0], y), along(shape[1], x))


def noisy(rng, image):
    return (rng.poisson(image) + rng.normal(0, READ, np.shape(image))).astype(np.float32)


def small(frame, rows, columns, *, alone_only=False):
    """What both passes make of the spots of a frame; and which groups stay."""
    rows, columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
    n, known = len(rows), np.array([SIGMA, 1.0, MEAN, DENSITY, 1e-3, 0.0, 0.0, SURE])
    none = np.empty((0, 0), np.float32)
    images = (frame, np.full(frame.shape, READ**2, np.float32), none, np.full(frame.shape, GROUND, np.float32))
    owner, parent, extent = np.full(frame.shape, -1, np.int32), np.empty(n, np.int64), np.empty((n, 5), np.int64)
    out, left, store = np.empty((4 * n + 8, COLUMNS)), np.empty(n, np.bool_), small_workspace(SIGMA, 60)
    group(rows, columns, HALF, owner, parent, extent)
    args = (images, owner, rows, columns, parent, extent, HALF, known, HOW, store)
    made = fit_single_spots(*args, out, left)
    if not alone_only:
        made = fit_small(*args, workspace(60, store[2].shape[3]), out, left, made)
    return out[:made], left


def minus_posterior(theta, data):
    x, y, photons, ground = theta
    mean = expected(data.shape, x, y, photons, ground) + READ**2
    seen = np.maximum(data + READ**2, 1e-6)
    deviance = (mean - seen + seen * np.log(seen / mean)).sum()
    return deviance + np.log(MEAN) + photons / MEAN + 0.5 * SURE * (ground - GROUND) ** 2


def laplace(data, theta, *, emitter):
    """Logarithm of the evidence at a maximum, from numerical slopes."""
    free = [0, 1, 2, 3] if emitter else [3]
    steps, slopes = np.array([1e-3, 1e-3, 0.5, 1e-2]), []
    for k in free:
        up, down = np.array(theta, float), np.array(theta, float)
        up[k] += steps[k]
        down[k] -= steps[k]
        slopes.append((expected(data.shape, *up) - expected(data.shape, *down)).ravel() / (2 * steps[k]))
    slopes = np.array(slopes)
    information = slopes / (expected(data.shape, *theta) + READ**2).ravel() @ slopes.T
    information[-1, -1] += SURE
    value = -minus_posterior(theta, data)
    if not emitter:
        value += np.log(MEAN)
    else:
        information[[0, 1], [0, 1]] += 1 / SIGMA**2
        value += 1.5 * np.log(2 * np.pi) + DENSITY
    return value - 0.5 * np.linalg.slogdet(information)[1]


@pytest.fixture(scope="module")
def tiles():
    """Frames of one spot each, from hardly there to bright, and what was made of them."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(150):
        x, y, photons = 15 + rng.uniform(-0.5, 0.5), 15 + rng.uniform(-0.5, 0.5), rng.choice([0.0, 70, 110, 150, 400, 2000])
        frame = noisy(rng, expected((31, 31), x, y, photons))
        made.append((frame, *small(frame, [15], [15], alone_only=True)))
    return made


def test_it_ends_at_the_maximum_of_the_posterior(tiles):
    seen = 0
    for frame, rows, _ in tiles:
        if len(rows) == 0:
            continue
        data = frame[15 - HALF : 16 + HALF, 15 - HALF : 16 + HALF].astype(float)
        here = np.array([rows[0, X] - 10, rows[0, Y] - 10, rows[0, COUNTS], rows[0, LEVEL]])
        best = minimize(minus_posterior, here, args=(data,), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9}).x
        error = rows[0, ERROR_X : ERROR_X + 4]
        assert np.abs((here - best) / error).max() < 0.03
        seen += 1
    assert seen > 60


def test_noise_is_told_by_the_evidence(tiles):
    """One emitter or none: as Laplace's approximation with numerical slopes says, wherever that is clear."""
    kinds = {True: 0, False: 0}
    for frame, rows, left in tiles:
        if left[0]:
            continue
        data = frame[15 - HALF : 16 + HALF, 15 - HALF : 16 + HALF].astype(float)
        start = [HALF, HALF, 150.0, GROUND]
        one = minimize(minus_posterior, start, args=(data,), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6}).x
        if one[2] >= 0.5 * MEAN or one[2] < 5 or np.abs(one[:2] - HALF).max() > 2:
            continue
        grounds = np.linspace(GROUND - 3, GROUND + 3, 301)
        ground = grounds[np.argmin([minus_posterior((HALF, HALF, 0.0, g), data) for g in grounds])]
        gain = laplace(data, one, emitter=True) - laplace(data, (HALF, HALF, 0.0, ground), emitter=False)
        if abs(gain) > 0.15:
            assert len(rows) == (gain > 0)
            kinds[gain > 0] += 1
    assert min(kinds.values()) > 15


def test_two_on_one_spot_are_left_to_the_trials():
    rng = np.random.default_rng(1)
    both = 0
    for _ in range(40):
        image = expected((31, 31), 13.8, 15, 1500) + expected((31, 31), 16.2, 15, 1500) - GROUND
        frame = noisy(rng, image)
        rows, left = small(frame, [15], [15], alone_only=True)
        assert left[0]
        assert len(rows) == 0
        rows, left = small(frame, [15], [15])
        assert not left[0]
        if len(rows) == 2:
            both += 1
            np.testing.assert_allclose(np.sort(rows[:, X]), (13.8, 16.2), atol=0.4)
    assert both > 36


def test_the_filtered_residual_is_that_of_a_plain_filter():
    rng = np.random.default_rng(2)
    residual, weight = rng.normal(size=(17, 23)).astype(np.float32), rng.uniform(0.5, 2, (17, 23)).astype(np.float32)
    table, score = middle_profile(SIGMA), np.empty((17, 23), np.float32)
    scores(residual, weight, table, score)
    shape = np.outer(table, table)
    plain = correlate(residual.astype(float), shape, mode="constant") / np.sqrt(
        correlate(weight.astype(float), shape**2, mode="constant")
    )
    np.testing.assert_allclose(score, plain, rtol=1e-3, atol=1e-4)


def test_errors_of_spots_alone_are_at_the_bound():
    """Exponential brightness, as most spots of a movie have it: errors against the truth, and against the Cramer-Rao bound."""
    rng = np.random.default_rng(3)
    n_frames, step, count = 60, 24, 5
    centres = step // 2 + step * np.arange(count)
    images, truth, bound = [], [], []
    for frame in range(n_frames):
        image = np.full((step * count, step * count), GROUND)
        for cy in centres:
            for cx in centres:
                dx, dy, photons = *rng.uniform(-0.5, 0.5, 2), 250 + rng.exponential(1000)
                image += expected(image.shape, cx + dx, cy + dy, photons) - GROUND
                truth.append((frame, (cx + dx) * PIXEL, (cy + dy) * PIXEL))
                bound.append(crlb(HALF + dx, HALF + dy, photons))
        images.append(image)
    truth, bound = np.array(truth), np.array(bound) * PIXEL
    counts = np.rint(noisy(rng, np.array(images)) * 2 + 100).clip(0, 65535).astype(np.uint16)
    camera = {
        "Camera.ADOffset": 100.0, "Camera.ElectronsPerCount": 0.5, "Camera.TrueEMGain": 1.0, "Camera.NoiseFactor": 1.0,
        "Camera.ReadNoise": READ, "voxelsize.x": PIXEL / 1000, "voxelsize.y": PIXEL / 1000,
    }  # fmt: skip
    module = MultiMLE(psf_sigma_guess=120.0)
    locs = module.apply(ImageStack(counts, metadata=camera), ctx=Context("fit", wanted=["output_localizations"]))[
        "output_localizations"
    ]
    places = np.column_stack([locs["x"], locs["y"]]).astype(float)
    pairs = match(places, locs["frame"], truth[:, 1:], truth[:, 0].astype(int))
    assert len(pairs) / (len(places) + len(truth) - len(pairs)) > 0.97
    errors = places[pairs.found] - truth[pairs.truth, 1:]
    one = np.asarray(locs["emitters"])[pairs.found] == 1
    assert one.mean() > 0.97
    errors, bound = errors[one], bound[pairs.truth[one]]
    assert np.mean(bound**2) / np.mean(errors**2) > 0.95
    said = np.column_stack([locs["error_x"], locs["error_y"]])[pairs.found[one]]
    assert 1.4826 * np.median(np.abs(errors / said)) == pytest.approx(1, abs=0.04)
    assert np.median(said / bound) == pytest.approx(1, abs=0.03)


def crlb(x, y, photons):
    """Standard errors of x and y of one emitter on an even background that is fitted, too, pixels."""
    side, theta = 2 * HALF + 1, np.array([x, y, photons, GROUND])
    slopes = []
    for k, by in enumerate((1e-3, 1e-3, 0.5, 1e-2)):
        step = np.zeros(4)
        step[k] = by
        slopes.append((expected((side, side), *(theta + step)) - expected((side, side), *(theta - step))).ravel() / (2 * by))
    slopes = np.array(slopes)
    information = slopes / (expected((side, side), *theta) + READ**2).ravel() @ slopes.T
    return np.sqrt(np.diag(np.linalg.inv(information))[:2])
