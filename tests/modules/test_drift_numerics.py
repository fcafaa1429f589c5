"""The parts of redundant cross-correlation, each against a plain calculation or known numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import median_filter

from recipes_core.errors import DataError
from recipes_modules.correlation.local import correlate_near
from recipes_modules.correlation.motion import motion_within
from recipes_modules.correlation.peak import find_peak
from recipes_modules.correlation.redundant import agreement, choose_pairs, connected_windows, solve_pairs
from recipes_modules.correlation.rendering import histogram, squared_weight
from recipes_modules.correlation.spectra import Transfer, correlation, waves
from recipes_modules.correlation.width import peak_widths
from recipes_modules.correlation.windows import cut_windows
from recipes_modules.median import median_3x3
from recipes_modules.smoothing import smoothing_spline

NO_SHIFT = np.zeros((0, 3), np.float32)


def brute_force(a: np.ndarray, b: np.ndarray, reach: tuple[int, ...]) -> np.ndarray:
    """Circular correlation by rolling, mean removed."""
    a, b = a - a.mean(), b - b.mean()
    result = np.empty([2 * r + 1 for r in reach])
    for index in np.ndindex(*result.shape):
        shift = tuple(i - r for i, r in zip(index, reach, strict=True))
        result[index] = (a * np.roll(b, shift, axis=(0, 1, 2))).sum()
    return result


@pytest.mark.parametrize(("shape", "reach"), [((1, 20, 18), (0, 3, 4)), ((6, 12, 10), (2, 3, 1)), ((1, 15, 16), (0, 2, 2))])
def test_correlation_is_the_sum_of_products(shape: tuple[int, ...], reach: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(shape, np.float32), rng.random(shape, np.float32)
    transfer = Transfer(shape, smoothing=0.0)
    spectra = transfer.spectrum(a), transfer.spectrum(b)
    expected = brute_force(a.astype(float), b.astype(float), reach)
    np.testing.assert_allclose(correlation(*spectra, shape, reach), expected, atol=2e-4)
    near = np.empty([2 * r + 1 for r in reach], np.float32)
    correlate_near(*spectra, *waves(shape, reach), near)
    np.testing.assert_allclose(near, expected, atol=2e-4)


def test_sign_of_a_shift() -> None:
    image = np.zeros((1, 32, 32), np.float32)
    image[0, 10, 12] = 1
    moved = np.roll(image, (3, -2), axis=(1, 2))
    transfer = Transfer(image.shape)
    found = np.empty(4)
    find_peak(correlation(transfer.spectrum(image), transfer.spectrum(moved), image.shape, (0, 5, 5)), np.ones(3), found)
    # What must be added to the second image to bring it onto the first.
    np.testing.assert_allclose(found[:3], [0, -3, 2], atol=0.02)


def test_response_is_the_correlation_of_a_voxel_with_itself() -> None:
    for shape in ((1, 16, 20), (4, 12, 10)):
        reach = (0 if shape[0] == 1 else 1, 3, 4)
        image = np.zeros(shape, np.float32)
        image[0, 5, 6] = 1
        transfer = Transfer(shape)
        spectrum = transfer.spectrum(image)
        difference = correlation(spectrum, spectrum, shape, reach) - transfer.response(reach)
        # They differ by the mean, which spectra leave out.
        np.testing.assert_allclose(difference, difference.mean(), atol=1e-6)
        assert abs(difference.mean()) < 2 / np.prod(shape)


@pytest.mark.parametrize("kernel", [0.7, 1.5])
def test_peak_to_a_fraction_of_a_pixel(kernel: float) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-10:11, -12:13]
    for _ in range(20):
        dy, dx = rng.uniform(-4, 4, 2)
        values = np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / (2 * 1.4**2))[np.newaxis].astype(np.float32)
        found = np.empty(4)
        assert find_peak(values, np.full(3, kernel), found)
        np.testing.assert_allclose(found[:3], [0, dy, dx], atol=0.02)


def test_peak_in_three_dimensions() -> None:
    z, y, x = np.mgrid[-4:5, -6:7, -6:7]
    values = np.exp(-((z - 0.7) ** 2 + (y + 1.2) ** 2 + (x - 2.4) ** 2) / 4).astype(np.float32)
    found = np.empty(4)
    assert find_peak(values, np.ones(3), found)
    np.testing.assert_allclose(found[:3], [0.7, -1.2, 2.4], atol=5e-3)


def test_highest_peak_wins() -> None:
    # The first labelled peak is not the highest: taking the first was a fault of the program that this replaces.
    values = np.zeros((1, 41, 41), np.float32)
    values[0, 8, 8], values[0, 30, 25] = 0.9, 1.0
    found = np.empty(4)
    assert find_peak(values, np.ones(3), found)
    np.testing.assert_allclose(found[:3], [0, 10, 5], atol=1e-3)


@pytest.mark.parametrize(
    "values", [np.zeros((1, 9, 9)), np.full((1, 9, 9), 3.0), np.arange(81.0).reshape(1, 9, 9), np.full((1, 9, 9), np.nan)]
)
def test_no_peak(values: np.ndarray) -> None:
    found = np.empty(4)
    assert not find_peak(values.astype(np.float32), np.ones(3), found)
    assert np.isnan(found).all()


def test_peak_widths() -> None:
    z, y, x = np.mgrid[-4:5, -8:9, -8:9]
    mean = 7 * np.exp(-(z**2) / (2 * 1.5**2) - y**2 / (2 * 2.5**2) - x**2 / (2 * 2.0**2)) - 3
    np.testing.assert_allclose(peak_widths(mean), [1.5, 2.5, 2.0], rtol=1e-4)
    assert peak_widths(np.zeros((1, 5, 5))) is None


def test_histogram_against_numpy() -> None:
    rng = np.random.default_rng(0)
    positions = rng.uniform(-5, 105, (5000, 3)).astype(np.float32)
    moment = rng.integers(0, 4, 5000).astype(np.int32)
    shift = rng.normal(0, 3, (4, 3)).astype(np.float32)
    image = np.zeros((10, 10, 10), np.float32)
    outside = histogram(positions, moment, shift, 100, 4000, np.zeros(3), 10.0, image)
    moved = (positions.astype(float) + shift[moment])[100:4000]
    expected, _ = np.histogramdd(moved[:, ::-1], bins=[np.arange(0, 101, 10)] * 3)
    np.testing.assert_array_equal(image, expected)
    assert outside == 3900 - expected.sum()


def test_squared_weight_counts_every_localization_once() -> None:
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 100, (3000, 2)).astype(np.float32)
    moment = np.zeros(3000, np.int32)
    taper = rng.random((1, 10, 10)).astype(np.float32)
    iy, ix = (positions[:, 1] // 10).astype(int), (positions[:, 0] // 10).astype(int)
    found = squared_weight(positions, moment, NO_SHIFT, 0, 3000, np.zeros(3), 10.0, taper)
    assert found == pytest.approx((taper[0, iy, ix].astype(float) ** 2).sum(), rel=1e-6)


class TestWindows:
    @staticmethod
    def spans(n_frames: int, step: int, window: int, first: int = 0) -> list[tuple[int, int]]:
        cut = cut_windows(np.arange(first, first + n_frames, dtype=np.int64), step, window)
        return list(zip(cut.starts.tolist(), cut.stops.tolist(), strict=True))

    def test_whole(self) -> None:
        assert self.spans(30, 10, 10, first=5) == [(5, 15), (15, 25), (25, 35)]

    def test_long_rest_is_a_window(self) -> None:
        assert self.spans(26, 10, 10) == [(0, 10), (10, 20), (20, 26)]

    def test_short_rest_joins_the_last(self) -> None:
        assert self.spans(23, 10, 10) == [(0, 10), (10, 23)]

    def test_short_rest_after_a_gap_grows_backwards(self) -> None:
        assert self.spans(43, 20, 10) == [(0, 10), (20, 30), (33, 43)]

    def test_overlap_ends_where_the_movie_is_covered(self) -> None:
        assert self.spans(30, 5, 10) == [(0, 10), (5, 15), (10, 20), (15, 25), (20, 30)]

    def test_rows(self) -> None:
        frames = np.array([7, 0, 3, 12, 3, 19], np.int64)
        cut = cut_windows(frames, 5, 5)
        assert cut.counts.tolist() == [3, 1, 1, 1]
        np.testing.assert_allclose(cut.node, [2, 7, 12, 19])
        assert cut.measured == (0, 19)

    def test_too_short(self) -> None:
        with pytest.raises(DataError, match="not more than one window"):
            cut_windows(np.arange(10, dtype=np.int64), 10, 10)


class TestRedundant:
    def test_pairs(self) -> None:
        assert choose_pairs(4, "RCC", 2).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
        assert len(choose_pairs(6, "MCC", -1)) == 15
        assert choose_pairs(4, "DCC", 2).tolist() == [[0, 1], [0, 2], [0, 3]]

    def test_exact_shifts_are_solved_exactly(self) -> None:
        rng = np.random.default_rng(0)
        truth = rng.normal(0, 100, (12, 3))
        truth -= truth[0]
        pairs = choose_pairs(12, "RCC", 4)
        shifts = truth[pairs[:, 1]] - truth[pairs[:, 0]]
        found = solve_pairs(12, pairs, shifts, rng.uniform(0.5, 1, len(pairs)), reject_above=5.0)
        np.testing.assert_allclose(found.positions, truth, atol=1e-9)
        assert found.used.all()

    def test_against_general_least_squares(self) -> None:
        rng = np.random.default_rng(1)
        pairs = choose_pairs(7, "MCC", 3)
        shifts, weights = rng.normal(size=(len(pairs), 2)), rng.uniform(0.1, 1, len(pairs))
        matrix = np.zeros((len(pairs), 7))
        rows = np.arange(len(pairs))
        matrix[rows, pairs[:, 1]], matrix[rows, pairs[:, 0]] = 1, -1
        root = np.sqrt(weights)[:, np.newaxis]
        expected, *_ = np.linalg.lstsq(root * matrix[:, 1:], root * shifts, rcond=None)
        found = solve_pairs(7, pairs, shifts, weights, reject_above=None)
        np.testing.assert_allclose(found.positions[1:], expected, atol=1e-10)
        residual = root * (matrix[:, 1:] @ expected - shifts)
        variance = (residual**2).sum(axis=0) / (len(pairs) - 6)
        covariance = np.linalg.inv((root * matrix[:, 1:]).T @ (root * matrix[:, 1:]))
        np.testing.assert_allclose(found.error[1:], np.sqrt(np.diag(covariance)[:, np.newaxis] * variance), rtol=1e-8)

    def test_gross_outliers_are_rejected(self) -> None:
        rng = np.random.default_rng(3)
        truth = np.cumsum(rng.normal(0, 20, (20, 2)), axis=0)
        truth -= truth[0]
        pairs = choose_pairs(20, "RCC", 5)
        shifts = truth[pairs[:, 1]] - truth[pairs[:, 0]] + rng.normal(0, 0.5, (len(pairs), 2))
        wrong = rng.choice(len(pairs), 15, replace=False)
        shifts[wrong] += rng.uniform(200, 800, (15, 2))
        found = solve_pairs(20, pairs, shifts, np.ones(len(pairs)), reject_above=5.0)
        assert sorted(np.flatnonzero(~found.used)) == sorted(wrong)
        assert np.abs(found.positions - truth).max() < 2.0

    def test_rejection_keeps_everything_connected(self) -> None:
        pairs = np.array([[0, 1], [0, 2], [1, 2], [2, 3]])
        shifts = np.array([[10.0], [20.0], [60.0], [10.0]])
        found = solve_pairs(4, pairs, shifts, np.ones(4), reject_above=5.0)
        assert found.used[3]
        assert np.count_nonzero(found.used) >= 3

    def test_connected(self) -> None:
        assert connected_windows(5, np.array([[0, 1], [2, 3], [3, 4]])).tolist() == [False, False, True, True, True]
        with pytest.raises(ValueError, match="connect"):
            solve_pairs(3, np.array([[0, 1]]), np.zeros((1, 2)), np.ones(1), reject_above=None)

    def test_chance_is_no_agreement(self) -> None:
        rng = np.random.default_rng(4)
        n, pairs = 30, choose_pairs(30, "RCC", 5)
        truth = rng.normal(0, 200, (n, 3))
        shifts = truth[pairs[:, 1]] - truth[pairs[:, 0]] + rng.normal(0, 2, (len(pairs), 3))
        chance = rng.uniform(-2500, 2500, shifts.shape)
        found = {}
        for part in (0.0, 0.2, 1.0):
            mixed = np.where(rng.random(len(pairs))[:, np.newaxis] < part, chance, shifts)
            solution = solve_pairs(n, pairs, mixed, np.ones(len(pairs)), reject_above=60.0)
            found[part] = agreement(n, solution.residual, 120.0)
        assert found[0.0] == 1
        # Windows that no pair holds in place any more take some with them.
        assert found[0.2] == pytest.approx(1 - 0.2 * len(pairs) / (len(pairs) - n + 1), abs=0.1)
        assert found[1.0] < 0.1
        assert np.isnan(agreement(4, np.zeros(5), 120.0))


class TestMotion:
    @pytest.mark.parametrize("apart", [1, 2])
    def test_walk(self, apart: int) -> None:
        rng = np.random.default_rng(0)
        # Windows of 100 frames, a step of 0.4 nm: 100 / apart steps from one to the next.
        walk = np.cumsum(rng.normal(0, 0.4, (60_000, 2)), axis=0)[:: 100 // apart]
        error = np.full(walk.shape, 1.5)
        found = motion_within(walk + error * rng.normal(size=walk.shape), error, apart)
        np.testing.assert_allclose(found, 0.4**2 * 100 / 12, rtol=0.25)

    def test_smooth_course(self) -> None:
        rng = np.random.default_rng(1)
        t = np.linspace(0, 1, 300)[:, np.newaxis]
        error = np.full((300, 2), 1.0)
        course = 500 * np.hstack([np.sin(4 * t), t**2])
        course[100:, 0] += 300
        assert motion_within(course + error * rng.normal(size=error.shape), error).max() < 0.1 * 1.0

    def test_few(self) -> None:
        assert not motion_within(np.random.default_rng(2).normal(size=(8, 2)), np.zeros((8, 2))).any()


class TestSmoothing:
    X = np.sort(np.random.default_rng(0).uniform(0, 1, 25))

    @pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
    def test_bound_is_met(self, degree: int) -> None:
        y = 30 * np.sin(5 * self.X) + np.random.default_rng(1).normal(0, 1, 25)
        spline = smoothing_spline(self.X, y, degree, 12.0)
        assert ((spline(self.X) - y) ** 2).sum() == pytest.approx(12.0, rel=0.02)
        np.testing.assert_allclose(smoothing_spline(self.X, y, degree, 0.0)(self.X), y, atol=1e-8)

    def test_does_not_swing_between_points(self) -> None:
        rng = np.random.default_rng(3)
        at = np.linspace(self.X[0], self.X[-1], 2000)
        for _ in range(20):
            y = 1000 * self.X**2 + rng.normal(0, 1, 25)
            assert np.abs(smoothing_spline(self.X, y, 3, 10.0)(at) - 1000 * at**2).max() < 6.0


@pytest.mark.parametrize("shape", [(50, 37), (1, 20), (20, 1), (2, 2)])
def test_median_against_scipy(shape: tuple[int, int]) -> None:
    # Few values, so that many neighbours are equal.
    image = np.random.default_rng(0).integers(0, 5, shape).astype(np.float32)
    np.testing.assert_array_equal(median_3x3(image), median_filter(image, 3))
