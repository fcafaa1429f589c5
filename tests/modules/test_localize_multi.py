"""Emitters whose images overlap: numbers, positions and errors against truth and the joint Cramer-Rao bound."""

import numpy as np
import pytest
from scipy.special import erf

from recipes_core.data import ImageStack
from recipes_core.module import Context
from recipes_modules import GaussMLE, GaussMultiFitSR, MultiMLE
from recipes_modules.localize.matching import match

PIXEL, SIGMA, BACKGROUND, READ = 100.0, 1.3, 20.0, 1.5
META = {
    "Camera.ADOffset": 100.0, "Camera.ElectronsPerCount": 0.5, "Camera.TrueEMGain": 1.0, "Camera.NoiseFactor": 1.0,
    "Camera.ReadNoise": READ, "voxelsize.x": PIXEL / 1000, "voxelsize.y": PIXEL / 1000,
}  # fmt: skip
DEEP = META | {"Camera.NoiseFactor": 2**0.5, "Camera.ReadNoise": 0.0}
"""The camera of the real file: its noise grows with the signal as that of an EMCCD."""


def along(n, centre, sigma=SIGMA):
    return np.diff(0.5 * erf((np.arange(n + 1) - 0.5 - centre) / (np.sqrt(2) * sigma)))


def image(shape, emitters, sigma=SIGMA, background=BACKGROUND):
    """Expected photons; emitters are rows of x, y, photons."""
    expected = np.full(shape, float(background))
    for x, y, photons in emitters:
        expected += photons * along(shape[0], y, sigma)[:, None] * along(shape[1], x, sigma)[None, :]
    return expected


def as_movie(expected, seed, dtype=np.uint16):
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(expected) + rng.normal(0, READ, np.shape(expected))
    counts = electrons / 0.5 + 100
    return ImageStack(np.clip(np.rint(counts), 0, 65535).astype(dtype), metadata=META)


def joint_bound(shape, emitters):
    """Standard errors of x, y, photons of each emitter, fitted together with an even background."""
    theta = np.append(np.ravel(emitters), BACKGROUND)

    def model(values):
        return image(shape, values[:-1].reshape(-1, 3), background=values[-1])

    slopes = []
    for k in range(len(theta)):
        step = np.zeros(len(theta))
        step[k] = 1e-3 * max(1.0, abs(theta[k]) * 1e-2)
        slopes.append((model(theta + step) - model(theta - step)).ravel() / (2 * step[k]))
    slopes = np.array(slopes)
    information = slopes / (model(theta) + READ**2).ravel() @ slopes.T
    return np.sqrt(np.diag(np.linalg.inv(information)))[:-1].reshape(-1, 3)


def fitted(module, movie, **given):
    return module.apply(movie, ctx=Context("fit", wanted=["output_localizations"], **given))["output_localizations"]


def scored(locs, truth, frame):
    """Jaccard index and errors of the pairs found."""
    places = np.column_stack([locs["x"], locs["y"]]).astype(float)
    pairs = match(places, locs["frame"], truth, frame)
    return len(pairs) / (len(places) + len(truth) - len(pairs)), places[pairs.found] - truth[pairs.truth], pairs


@pytest.mark.parametrize("distance", [1.5, 2.0, 3.0])
def test_two_emitters_at_the_joint_bound(distance):
    rng = np.random.default_rng(int(distance * 10))
    n, shape, photons = 250, (21, 21), 2000.0
    frames, truth = [], []
    for _ in range(n):
        angle, x, y = rng.uniform(0, np.pi), 10 + rng.uniform(-0.5, 0.5), 10 + rng.uniform(-0.5, 0.5)
        dx, dy = 0.5 * distance * SIGMA * np.cos(angle), 0.5 * distance * SIGMA * np.sin(angle)
        truth.append([(x - dx, y - dy, photons), (x + dx, y + dy, photons)])
        frames.append(image(shape, truth[-1]))
    fit = MultiMLE(psf_sigma_guess=SIGMA * PIXEL, learn=False, roi_half_size=6)
    locs = fitted(fit, as_movie(np.array(frames), 1))
    places = np.array(truth)[..., :2].reshape(-1, 2) * PIXEL
    _, errors, pairs = scored(locs, places, np.repeat(np.arange(n), 2))
    # Pairs that come out as one are the wrong number, not a bad position.
    right = np.bincount(locs["frame"], minlength=n) == 2
    assert right.mean() > (0.8 if distance < 2 else 0.97)
    kept = right[np.asarray(locs["frame"])[pairs.found]]
    bound = np.array([joint_bound(shape, each)[:, :2] for each in truth]).reshape(-1, 2)[pairs.truth[kept]] * PIXEL
    # The median does not count the few that went to another place.
    z = errors[kept] / bound
    assert 1.4826 * np.median(np.abs(z)) == pytest.approx(1, abs=0.12 if distance < 2 else 0.08)
    said = np.column_stack([locs["error_x"], locs["error_y"]])[pairs.found[kept]]
    assert 1.4826 * np.median(np.abs(errors[kept] / said)) == pytest.approx(1, abs=0.12 if distance < 2 else 0.08)
    assert np.median(locs["photons"]) == pytest.approx(photons, rel=0.02)
    assert np.median(locs["background"]) == pytest.approx(BACKGROUND, rel=0.02)


def test_an_emitter_alone_is_that_of_the_single_fit():
    rng = np.random.default_rng(4)
    frames = [
        image((64, 64), [(x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5), 800.0) for x in (16, 48) for y in (16, 48)])
        for _ in range(60)
    ]
    movie = as_movie(np.array(frames), 5)
    same = {"psf_sigma_guess": SIGMA * PIXEL, "roi_half_size": 5, "background": "0:0"}
    multi, single = fitted(MultiMLE(learn=False, **same), movie), fitted(GaussMLE(fit_sigma=False, **same), movie)
    places = np.column_stack([single["x"], single["y"]]).astype(float)
    jaccard, _, pairs = scored(multi, places, single["frame"])
    # Rarely noise beside it passes for a second one.
    assert jaccard > 0.95
    for name in ("x", "y", "photons", "background"):
        off = np.asarray(multi[name])[pairs.found] - np.asarray(single[name])[pairs.truth]
        assert np.percentile(np.abs(off) / single[f"error_{name}"][pairs.truth], 95) < 0.1
        assert np.median(multi[f"error_{name}"][pairs.found] / single[f"error_{name}"][pairs.truth]) == pytest.approx(1, abs=0.01)
    assert (multi["emitters"] == 1).mean() > 0.95


def dense(n_frames, seed, density=0.03, size=48, spread=0.05, photons=1500.0, sigma=SIGMA, background=BACKGROUND):
    """Frames of emitters about as bright as each other, so many in a pixel; places in nm and frames."""
    rng = np.random.default_rng(seed)
    frames, places, which = [], [], []
    for frame in range(n_frames):
        n = rng.poisson(density * size**2)
        xy = rng.uniform(-0.5, size - 0.5, (n, 2))
        frames.append(
            image((size, size), np.column_stack([xy, rng.gamma(1 / spread**2, photons * spread**2, n)]), sigma, background)
        )
        places.append(xy * PIXEL)
        which.append(np.full(n, frame))
    return np.array(frames), np.concatenate(places), np.concatenate(which)


@pytest.fixture(scope="module")
def crowd():
    """Three emitters in a square micrometre; half of them have another within 1.8 widths."""
    frames, places, which = dense(12, 6)
    movie = as_movie(frames, 7)
    locs = fitted(MultiMLE(psf_sigma_guess=110.0), movie)
    return movie, places, which, locs


def test_numbers_and_places_in_a_crowd(crowd):
    _, places, which, locs = crowd
    jaccard, errors, pairs = scored(locs, places, which)
    assert jaccard > 0.95
    assert len(locs) == pytest.approx(len(places), rel=0.03)
    said = np.column_stack([locs["error_x"], locs["error_y"]])[pairs.found]
    assert 1.4826 * np.median(np.abs(errors / said)) == pytest.approx(1, abs=0.1)
    assert abs(errors.mean()) < 2.0
    assert np.mean(locs["background"]) == pytest.approx(BACKGROUND, rel=0.05)


def test_the_width_and_the_brightness_are_learnt(crowd):
    *_, locs = crowd
    assert locs["sigma"][0] == pytest.approx(SIGMA * PIXEL, rel=0.01)
    assert np.mean(locs["photons"]) == pytest.approx(1500, rel=0.02)


def test_one_saturated_pixel_teaches_nothing():
    frames, *_ = dense(50, 9, density=0.003, size=64, spread=1.0)
    movie = as_movie(frames, 10)
    broken = movie.asarray().copy()
    broken[20, 0, 20, 30] = 65535
    found = fitted(MultiMLE(psf_sigma_guess=SIGMA * PIXEL), ImageStack(broken, metadata=META))
    assert found["sigma"][0] == pytest.approx(SIGMA * PIXEL, rel=0.02)
    far = np.hypot(found["x"] - 3000, found["y"] - 2000) > 1000
    before = fitted(MultiMLE(psf_sigma_guess=SIGMA * PIXEL), movie)
    assert np.count_nonzero(far | (found["frame"] != 20)) == pytest.approx(len(before), rel=0.02)


def test_knowing_the_brightness_tells_two_from_one(crowd):
    """Without it, light for two on one place is one bright emitter."""
    movie, places, which, locs = crowd
    blind = fitted(MultiMLE(psf_sigma_guess=SIGMA * PIXEL, learn=False), movie)
    assert scored(locs, places, which)[0] > scored(blind, places, which)[0] + 0.02


@pytest.mark.parametrize("shape", [1.0, 30.0, 200.0])
def test_the_law_of_brightness(shape):
    from recipes_modules.localize.multi_learn import brightness

    rng = np.random.default_rng(8)
    photons, error = rng.gamma(shape, 1000 / shape, 4000), np.full(4000, 60.0)
    seen = photons + error * rng.standard_normal(4000)
    mean, found = brightness(seen[seen > 0], error[seen > 0], 1000.0, 1.0)
    assert mean == pytest.approx(1000, rel=0.05)
    assert found == pytest.approx(shape, rel=0.25)
    if shape > 1:
        # The same from estimates that hold a wrong guess of the law already.
        known = 900.0**2 / 50
        weight = 1 / (1 / error**2 + 1 / known)
        again = brightness((seen / error**2 + 900 / known) * weight, np.sqrt(weight), 900.0, 50.0)
        assert again == pytest.approx((mean, found), rel=1e-3)


def test_results_do_not_depend_on_threads_or_blocks(monkeypatch):
    frames, _, _ = dense(4, 9, density=0.01, size=32)
    movie = as_movie(np.tile(frames, (33, 1, 1)), 10)
    fit = MultiMLE(psf_sigma_guess=130.0)
    monkeypatch.setattr(MultiMLE, "block_pixels", 1)
    tables = [fitted(fit, movie, n_threads=n) for n in (1, 3)]
    monkeypatch.setattr(MultiMLE, "block_pixels", 2**24)
    tables.append(fitted(fit, movie, n_threads=1))
    for table in tables[1:]:
        for name in tables[0].columns:
            np.testing.assert_array_equal(table[name], tables[0][name])


def test_frames_of_another_kind_go_through():
    """Nothing, a constant, hot, dead and saturated pixels, and pixels without a number: a result code wherever something is NaN."""
    frames, _, _ = dense(8, 11, density=0.01, size=40)
    counts = np.asarray(as_movie(frames, 12).frames(0, 8))[:, 0].astype(np.float32)
    counts[1] = 100.0
    counts[2] = 0.0
    counts[3, 10, 10] = 60000.0
    counts[4, 5:9, 5:9] = np.nan
    counts[5, 20] = np.inf
    counts[6, 12:16, 12:16] = 100.0
    locs = fitted(MultiMLE(psf_sigma_guess=130.0), ImageStack(counts, metadata=META))
    good = locs["result_code"] > 0
    for name in locs.columns:
        assert np.isfinite(np.asarray(locs[name])[good]).all(), name
    assert not set(np.unique(locs["frame"])) & {1, 2}
    assert {0, 3, 4, 5, 6, 7} <= set(np.unique(locs["frame"]))


def test_the_real_dense_movie(data_file):
    """20 frames with 6 emitters in a square micrometre; single-emitter fits reach a Jaccard index of 0.32."""
    stack = ImageStack.load(data_file("deepstorm/ArtificialDataset_demo1.tif"))
    truth = np.genfromtxt(data_file("deepstorm/positions_demo1.csv"), delimiter=",", skip_header=1)
    movie = ImageStack(stack.asarray()[:, 0], metadata=DEEP)
    locs = fitted(MultiMLE(), movie)
    places, frame = truth[:, 2:4] - PIXEL / 2, truth[:, 1].astype(int) - 1
    jaccard, errors, _ = scored(locs, places, frame)
    assert jaccard > 0.94
    assert np.sqrt(np.mean(errors**2)) < 18.0
    assert np.abs(errors.mean(axis=0)).max() < 1.0


def test_pymes_fit_finds_two():
    rng = np.random.default_rng(13)
    n, frames, places = 40, [], []
    for _ in range(n):
        x, y = 12 + rng.uniform(-0.5, 0.5, 2)
        places += [(x - 1.6, y), (x + 1.6, y)]
        frames.append(image((25, 25), [(*each, 3000.0) for each in places[-2:]]))
    empty = np.full((30, 25, 25), BACKGROUND)
    movie = as_movie(np.concatenate([empty, frames]), 14)
    fit = GaussMultiFitSR(psf_sigma_guess=SIGMA * PIXEL, background="-60:-30", residual_max=1.0)
    locs = fitted(fit, movie)
    jaccard, errors, _ = scored(locs, np.array(places) * PIXEL, np.repeat(np.arange(30, 30 + n), 2))
    assert jaccard > 0.9
    assert 1.4826 * np.median(np.abs(errors)) < 10.0
    assert np.median(locs["photons"]) == pytest.approx(3000, rel=0.05)
    assert (locs["emitters"] == 2).mean() > 0.85
    assert set(GaussMultiFitSR.fit_columns) == set(locs.columns)
