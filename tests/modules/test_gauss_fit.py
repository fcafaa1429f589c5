"""Fits of spots: against scipy's optimizers on the same objective, the Cramer-Rao bound, and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize
from spot_truth import CURVES, READ, SIGMA, axis, bound, deviation, errors_of, simulate, spot, stated

from recipes_core.errors import DataError
from recipes_modules.localize.fitting import (
    CONVERGED,
    EDGE,
    FAILED,
    LIMIT,
    MODELS,
    NAMES,
    FitSettings,
    fit_regions,
    fit_spots,
    width_of_spots,
)


def likelihood(theta, data, variance, model):
    """Minus the log-likelihood of Huang et al. 2013, up to a constant."""
    mean = np.maximum(spot(theta, model, len(data))[0] + variance, 1e-9)
    return np.sum(mean - (data + variance) * np.log(mean))


@pytest.mark.parametrize("model", ["fixed", "sigma", "sigma_xy"])
@pytest.mark.parametrize("photons", [300, 3000])
def test_reaches_the_maximum_of_the_likelihood(model, photons):
    rng = np.random.default_rng(4)
    variance = np.where(rng.random((7, 7)) < 0.2, 150.0, 2.0).astype(np.float32)
    data, _ = simulate(12, photons, 5, variance=variance)
    found = fit_regions(data, variance, FitSettings(model=model, sigma=SIGMA))
    names = ("x", "y", "photons", "background", *NAMES[MODELS[model]])
    for i in range(len(data)):
        theta = np.array([found[name][i] + (3 if name in ("x", "y") else 0) for name in names])
        error = np.array([found[f"error_{name}"][i] for name in names])
        best = optimize.minimize(
            lambda u, i=i, theta=theta, error=error: likelihood(theta + u * error, data[i].astype(float), variance, model),
            np.full(len(names), 0.3), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-10, "maxiter": 20000, "maxfev": 20000},
        )  # fmt: skip
        # In units of the standard errors: a hundredth for the strong, and of what stays of the last step for the weak.
        assert found["result_code"][i] == CONVERGED
        assert np.abs(best.x).max() < (0.02 if photons == 3000 else 0.06)


@pytest.mark.parametrize("model", ["plane", "plane_xy"])
def test_least_squares_as_scipy_with_pymes_weights(model):
    data, _ = simulate(12, 1500, 6, k=11)
    found = fit_regions(data, READ, FitSettings("lsq", model, 5, SIGMA, weighting="measured", floor=0.5))
    names = ("x", "y", "A", "background", *NAMES[MODELS[model]])
    for i in range(len(data)):
        noise = np.sqrt(READ + np.maximum(data[i], 0.5) + 1)
        start = np.array([5, 5, 150.0, 20.0, *[1.3] * (len(names) - 6), 0.0, 0.0])
        best = optimize.least_squares(
            lambda u, i=i, noise=noise: ((data[i] - spot(u, model, 11)[0]) / noise).ravel(), start, method="lm"
        )
        chi2 = 2 * best.cost / (data[i].size - len(names))
        error = np.sqrt(np.diagonal(np.linalg.inv(best.jac.T @ best.jac)) * chi2)
        theta = np.array([found[name][i] + (5 if name in ("x", "y") else 0) for name in names])
        np.testing.assert_array_less(np.abs(theta - best.x) / error, 0.02)
        np.testing.assert_allclose([found[f"error_{name}"][i] for name in names], error, rtol=0.02)
        np.testing.assert_allclose(found["chi2"][i], chi2, rtol=2e-4)


@pytest.mark.parametrize("model", ["fixed", "sigma", "sigma_xy"])
def test_errors_are_the_cramer_rao_bound(model):
    variance = np.random.default_rng(1).uniform(1, 60, (7, 7)).astype(np.float32)
    data, theta = simulate(200, 50000, 2, variance=variance)
    found = fit_regions(data, variance, FitSettings(model=model, sigma=SIGMA))
    expected = bound(theta, model, 7, variance)
    for a, name in enumerate(("x", "y", "photons", "background", *NAMES[MODELS[model]])):
        np.testing.assert_allclose(np.median(found[f"error_{name}"] / expected[:, a]), 1, rtol=0.01)


# Efficiency falls below 1 for weak spots whose width is fitted too: no unbiased estimate reaches the bound there.
@pytest.mark.parametrize(
    ("model", "photons", "least"),
    [
        ("fixed", 300, 0.95),
        ("fixed", 1000, 0.98),
        ("sigma", 1000, 0.97),
        ("sigma", 5000, 0.98),
        ("sigma_xy", 1000, 0.965),
        ("sigma_xy", 5000, 0.98),
    ],
)
def test_efficient_and_calibrated(model, photons, least):
    data, theta = simulate(15000, photons, 3)
    found = fit_regions(data, READ, FitSettings(model=model, sigma=SIGMA))
    off = errors_of(found, theta)
    expected = bound(theta[:2000], model, 7)[:, :2]
    # 30 000 errors give their mean square within 0.8 percent.
    assert least < np.mean(expected**2) / np.mean(off**2) < 1.03
    assert abs(np.mean(off)) < 4 * np.std(off) / np.sqrt(len(off))
    assert deviation(off / stated(found)) == pytest.approx(1, abs=0.03)
    assert (found["result_code"] == 1).mean() > 0.999
    number = (found["photons"] - theta[:, 2]) / found["error_photons"]
    assert abs(np.mean(number)) < 0.12
    assert deviation(number) == pytest.approx(1, abs=0.06)
    assert np.mean(found["chi2"]) == pytest.approx(1, abs=0.02)


def test_knowledge_of_the_widths_makes_weak_spots_better():
    data, theta = simulate(60000, lambda rng, n: 300 + rng.exponential(1000, n), 7)
    expected = np.mean(bound(theta, "sigma_xy", 7)[:, :2] ** 2)
    plain = FitSettings(model="sigma_xy", sigma=1.06)
    first = fit_regions(data[:3000], READ, plain)
    known = width_of_spots(first["sigma_x"], first["error_sigma_x"], first["result_code"])
    assert known is not None
    assert known[0] == pytest.approx(SIGMA, rel=0.01)
    found = fit_regions(data, READ, FitSettings(model="sigma_xy", sigma=known[0], spread=known[1]))
    before = errors_of(fit_regions(data, READ, plain), theta)
    off = errors_of(found, theta)
    efficiency = expected / np.mean(off**2)
    assert efficiency > 0.972
    assert efficiency > expected / np.mean(before**2) + 0.01
    assert deviation(off / stated(found)) == pytest.approx(1, abs=0.03)


def test_widths_that_differ_are_not_pulled_together():
    # A real spread is found, and the fitted widths follow it.
    rng = np.random.default_rng(8)
    sigma = rng.normal(1.4, 0.2, 6000).clip(0.9, 2.0)
    data, _ = simulate(6000, 3000, 9, k=9, sigma=(sigma, sigma))
    first = fit_regions(data, READ, FitSettings(half=4, sigma=1.3))
    width, spread = width_of_spots(first["sigma"], first["error_sigma"], first["result_code"])
    assert width == pytest.approx(1.4, abs=0.02)
    assert spread == pytest.approx(0.2, abs=0.02)
    found = fit_regions(data, READ, FitSettings(half=4, sigma=width, spread=spread))
    assert np.polyfit(sigma, found["sigma"], 1)[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("method", ["mle", "lsq"])
def test_pixels_of_very_different_noise(method):
    variance = np.full((7, 7), 2.0, np.float32)
    variance[np.random.default_rng(10).random((7, 7)) < 0.25] = 2000.0
    data, theta = simulate(15000, 1500, 11, variance=variance)
    with_map = fit_regions(data, variance, FitSettings(method, "fixed", sigma=SIGMA))
    off = errors_of(with_map, theta)
    expected = bound(theta[:2000], "fixed", 7, variance)[:, :2]
    assert np.mean(expected**2) / np.mean(off**2) > 0.95
    assert deviation(off / stated(with_map)) == pytest.approx(1, abs=0.03)
    assert np.mean(with_map["chi2"]) == pytest.approx(1, abs=0.03)
    without = errors_of(fit_regions(data, 2.0, FitSettings(method, "fixed", sigma=SIGMA)), theta)
    assert np.mean(without**2) > 2 * np.mean(off**2)


@pytest.mark.parametrize("method", ["mle", "lsq"])
def test_electron_multiplication(method):
    # Behind an EM register of high gain counts follow a gamma distribution: shot noise with twice the variance.
    rng = np.random.default_rng(12)
    theta = np.tile([3.0, 3.0, 2000.0, 20.0, SIGMA, SIGMA], (15000, 1))
    theta[:, :2] += rng.uniform(-0.5, 0.5, (15000, 2))
    counts = rng.poisson(spot(theta, "sigma_xy", 7))
    data = np.where(counts > 0, rng.gamma(np.maximum(counts, 1)), 0) + rng.normal(0, 0.1, counts.shape)
    found = fit_regions(data.astype(np.float32), 0.01, FitSettings(method, "sigma", sigma=SIGMA, noise_factor=2**0.5))
    off = errors_of(found, theta)
    assert np.mean(bound(theta[:2000], "sigma", 7, 0.01, 2.0)[:, :2] ** 2) / np.mean(off**2) > 0.95
    assert deviation(off / stated(found)) == pytest.approx(1, abs=0.03)
    assert np.mean(found["chi2"]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("weighting", "least"), [("expected", 0.95), ("measured", 0.88), ("equal", 0.86)])
def test_least_squares_against_truth(weighting, least):
    data, theta = simulate(20000, lambda rng, n: 300 + rng.exponential(1000, n), 13)
    found = fit_regions(data, READ, FitSettings("lsq", "sigma_xy", sigma=SIGMA, weighting=weighting, floor=0.5))
    off = errors_of(found, theta)
    efficiency = np.mean(bound(theta, "sigma_xy", 7)[:, :2] ** 2) / np.mean(off**2)
    assert least - 0.015 < efficiency < 1.02
    # Weights from the counts themselves are noisy, which the errors of PYME do not know.
    assert deviation(off / stated(found)) == pytest.approx(1, abs=0.07 if weighting == "measured" else 0.03)
    if weighting == "expected":
        assert np.mean(found["chi2"]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("model", ["fixed", "sigma"])
def test_known_background_counts_as_such(model):
    rng = np.random.default_rng(14)
    theta = np.tile([3.0, 3.0, 1000.0, 0.0, SIGMA, SIGMA], (10000, 1))
    theta[:, :2] += rng.uniform(-0.5, 0.5, (10000, 2))
    slope = (20 + 6 * np.arange(7)).astype(np.float32) * np.ones((7, 1), np.float32)
    data = (rng.poisson(spot(theta, "sigma_xy", 7) + slope) + rng.normal(0, 1.5, (10000, 7, 7))).astype(np.float32)
    known = np.broadcast_to(slope, data.shape)
    found = fit_regions(data, READ, FitSettings(model=model, sigma=SIGMA), known)
    off = errors_of(found, theta)
    assert abs(np.mean(off)) < 0.01
    assert deviation(off / stated(found)) == pytest.approx(1, abs=0.03)
    # Where the width is fitted too, its bias of second order shows in the background: a small part of its error.
    assert abs(np.mean(found["background"])) < 0.3 * np.median(found["error_background"])
    assert abs(np.mean(found["photons"]) - 1000) < 0.3 * np.median(found["error_photons"])
    assert np.mean(found["chi2"]) == pytest.approx(1, abs=0.02)


def test_z_directly():
    rng = np.random.default_rng(15)
    theta = np.tile([6.0, 6.0, 3000.0, 20.0, 0.0], (6000, 1))
    theta[:, :2] += rng.uniform(-0.5, 0.5, (6000, 2))
    theta[:, 4] = rng.uniform(-450, 450, 6000)
    data = (rng.poisson(spot(theta, "depth", 13)) + rng.normal(0, 1.5, (6000, 13, 13))).astype(np.float32)
    found = fit_regions(data, READ, FitSettings(model="depth", half=6, sigma=1.5, curves=CURVES))
    good = found["result_code"] == 1
    off = (found["z"] - theta[:, 4])[good]
    assert good.mean() > 0.98
    assert deviation(off / found["error_z"][good]) == pytest.approx(1, abs=0.04)
    expected = bound(theta[:1000], "depth", 13)[:, 4]
    assert np.median(found["error_z"]) == pytest.approx(np.median(expected), rel=0.05)
    assert np.mean(np.abs(off) > 6 * found["error_z"][good]) < 0.002


@pytest.mark.parametrize("method", ["mle", "lsq"])
def test_a_width_at_the_end_of_its_range_is_a_fixed_one(method):
    data, _ = simulate(500, 3000, 23, sigma=(1.6, 1.6))
    held = fit_regions(data, READ, FitSettings(method, sigma=SIGMA, width_range=(1.0, 1.4)))
    free = fit_regions(data, READ, FitSettings(method, sigma=SIGMA))["sigma"]
    edge = free > 1.401
    assert edge.sum() > 400
    assert (held["result_code"][edge] == EDGE).all()
    assert (held["result_code"][free < 1.399] == CONVERGED).all()
    np.testing.assert_allclose(held["sigma"][edge], 1.4, rtol=1e-6)
    assert held["iterations"].mean() < 10
    fixed = fit_regions(data, READ, FitSettings(method, "fixed", sigma=1.4))
    for name in ("x", "y", "photons", "background"):
        off = (held[name] - fixed[name])[edge] / fixed[f"error_{name}"][edge]
        assert np.abs(off).max() < 0.1


FITS = [(method, model) for method in ("mle", "lsq") for model in MODELS if method == "lsq" or not model.startswith("plane")]

ODD = {
    "zeros": np.zeros((7, 7)),
    "constant": np.full((7, 7), 300.0),
    "negative": np.full((7, 7), -50.0),
    "no numbers": np.full((7, 7), np.nan),
    "infinite": np.full((7, 7), np.inf),
    "one pixel": np.eye(1, 49, 24).reshape(7, 7) * 5000,
    "saturated": np.minimum(spot([3, 3, 1e6, 20, 1.3, 1.3], "sigma_xy", 7)[0], 3000),
    "edge": np.tile(np.where(np.arange(7) > 3, 500.0, 10.0), (7, 1)),
    "hole": -spot([3, 3, 3000, -200, 1.3, 1.3], "sigma_xy", 7)[0],
    "huge": spot([3, 3, 1e9, 20, 1.3, 1.3], "sigma_xy", 7)[0],
    "alternating": np.where(np.indices((7, 7)).sum(axis=0) % 2, 1000.0, -900.0),
}


@pytest.mark.parametrize(("method", "model"), FITS)
def test_odd_regions_have_a_code(method, model):
    regions = np.stack(list(ODD.values()))
    for variance in (0.0, READ):
        for weighting in ("expected", "measured", "equal") if method == "lsq" else ("expected",):
            found = fit_regions(regions, variance, FitSettings(method, model, curves=CURVES, weighting=weighting))
            code = found["result_code"]
            assert set(code) <= {FAILED, CONVERGED, LIMIT, EDGE}
            for name, values in found.items():
                assert np.isfinite(values[code != 0]).all(), name
            # An even region holds no spot: what comes out is nothing, or at an end of what is possible.
            assert (code[[list(ODD).index(name) for name in ("no numbers", "infinite")]] == 0).all()
            if method == "mle":
                assert (code[[list(ODD).index(name) for name in ("zeros", "constant", "negative")]] != 1).all()


@pytest.mark.parametrize(("method", "model"), FITS)
def test_odd_regions_harm_no_others(method, model):
    settings = FitSettings(method, model, sigma=SIGMA, curves=CURVES)
    data, _ = simulate(60, 1000, 24)
    alone = fit_regions(data, READ, settings)
    # Fits of what single precision cannot square, and of one row of pixels, fail with numbers that are none.
    row = np.where(np.arange(7)[:, None] == 0, data[0], np.nan)
    odd = np.tile(np.stack([*ODD.values(), row, data[0] * 1e18, -data[0] * 1e30]), (10, 1, 1)).astype(np.float32)
    for variance in (0.0, 1e-30, READ):
        fit_regions(odd, variance, settings)
        again = fit_regions(data, READ, settings)
        mixed = fit_regions(np.concatenate([odd, data, odd]), READ, settings)
        for name, values in alone.items():
            np.testing.assert_array_equal(again[name], values)
            np.testing.assert_array_equal(mixed[name][len(odd) : len(odd) + len(data)], values)


def test_pixels_without_a_number_take_no_part():
    data, theta = simulate(8000, 3000, 16)
    broken = data.copy()
    broken[:, 0, 1], broken[:, 3, 5] = np.nan, np.inf
    variance = np.full((7, 7), READ, np.float32)
    found = fit_regions(broken, variance, FitSettings(sigma=SIGMA))
    assert (found["pixels"] == 47).all()
    off = errors_of(found, theta)
    assert deviation(off / stated(found)) == pytest.approx(1, abs=0.03)
    variance[0, 1] = variance[3, 5] = np.inf
    masked = fit_regions(data, variance, FitSettings(sigma=SIGMA))
    for name in found:
        np.testing.assert_array_equal(masked[name], found[name])


def test_at_the_border_of_frames():
    rng = np.random.default_rng(17)
    n = 400
    theta = np.column_stack(
        [rng.uniform(0, 19, n), rng.uniform(0, 11, n), np.full(n, 5000.0), np.full(n, 20.0), np.full((n, 2), SIGMA)]
    )
    edges_x, edges_y = axis(theta[:, 0], theta[:, 4], 20), axis(theta[:, 1], theta[:, 5], 12)
    frames = rng.poisson(20 + 5000 * edges_y[:, :, None] * edges_x[:, None, :]).astype(np.float32)
    found = fit_spots(frames, theta[:, 1], theta[:, 0], np.arange(n), 0.5, FitSettings(sigma=SIGMA))
    good = found["result_code"] == 1
    assert good.mean() > 0.97
    z = np.concatenate([(found[name] - theta[:, a])[good] / found[f"error_{name}"][good] for a, name in enumerate("xy")])
    assert deviation(z) == pytest.approx(1, abs=0.12)
    assert np.abs(z).max() < 7
    # A region wider than the frame is the frame.
    small = fit_spots(frames[:, :6, 8:13], np.full(n, 3), np.full(n, 2), np.arange(n), 0.5, FitSettings(half=4, sigma=SIGMA))
    assert (small["pixels"] == 30).all()


def test_each_spot_alone_and_in_any_order():
    data, _ = simulate(300, 800, 18)
    frames = np.concatenate([data, data[:5]])
    index = np.random.default_rng(19).permutation(300)
    for method, model in (("mle", "sigma"), ("lsq", "plane")):
        settings = FitSettings(method, model, sigma=SIGMA)
        whole = fit_spots(data, np.full(300, 3), np.full(300, 3), np.arange(300), READ, settings)
        mixed = fit_spots(frames, np.full(300, 3.2), np.full(300, 2.8), index, READ, settings)
        for name in whole:
            np.testing.assert_array_equal(mixed[name], whole[name][index])
    none = fit_spots(data, np.empty(0), np.empty(0), np.empty(0, int), READ, FitSettings())
    assert all(len(values) == 0 for values in none.values())


@pytest.mark.parametrize("method", ["mle", "lsq"])
@pytest.mark.parametrize("photons", [1500, 30000])
def test_from_any_start(method, photons):
    # From half to twice the true width all fits end in the same place.
    data, _ = simulate(1000, photons, 20, k=9)
    reference = fit_regions(data, READ, FitSettings(method, half=4, sigma=1.3))
    for start in (0.65, 2.4):
        other = fit_regions(data, READ, FitSettings(method, half=4, sigma=start))
        assert (other["result_code"] == 1).mean() > 0.998
        assert (np.abs(other["x"] - reference["x"]) < np.maximum(0.1 * reference["error_x"], 2e-3)).mean() > 0.998


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (FitSettings(model="plane"), "least squares only"),
        (FitSettings(model="depth"), "curves"),
        (FitSettings(model="round"), "there is no fit"),
        (FitSettings("lsq", weighting="none"), "there is no fit"),
    ],
)
def test_settings_that_do_not_go_together(settings, text):
    with pytest.raises(DataError, match=text):
        fit_regions(np.zeros((2, 7, 7)), 1.0, settings)


def test_maps_of_another_shape():
    frames = np.zeros((3, 20, 20), np.float32)
    with pytest.raises(DataError, match="do not go with"):
        fit_spots(frames, np.array([5]), np.array([5]), np.array([0]), np.ones((4, 20, 20)), FitSettings())
    with pytest.raises(DataError, match="of 3"):
        fit_spots(frames, np.array([5]), np.array([5]), np.array([3]), 1.0, FitSettings())
