import numpy as np
import pytest

from recipes_core.data import Drift
from recipes_core.errors import DataError


def test_between_knots_linear_then_end_slope_then_held():
    drift = Drift([10, 20, 30], [[0, 0, 0], [10, 20, 0], [30, 20, 0]], measured=(5, 40))
    at = drift.at([-100, 5, 10, 15, 25, 35, 40, 1000])
    np.testing.assert_allclose(at[:, 0], [-5, -5, 0, 5, 20, 40, 50, 50])
    np.testing.assert_allclose(at[:, 1], [-10, -10, 0, 10, 20, 20, 20, 20])


def test_one_knot_is_constant():
    drift = Drift([100], [[1.0, 2.0, 3.0]], measured=(50, 150))
    np.testing.assert_array_equal(drift.at([0, 100, 500]), [[1, 2, 3]] * 3)


def test_two_axes_get_a_third():
    assert Drift([0, 1], [[1, 2], [3, 4]]).correction.tolist() == [[1, 2, 0], [3, 4, 0]]


def test_rmse_ignores_a_constant_offset_and_sees_the_rest():
    frames = np.arange(1000)
    truth = Drift(frames, np.column_stack([frames * 0.1, frames * 0.0, frames * 0.0]))
    wave = np.sin(frames * 2 * np.pi / 100)
    estimate = Drift(frames, truth.correction + 50 + np.column_stack([wave, 3 * wave, 0 * wave]))
    np.testing.assert_allclose(estimate.rmse(truth), [np.sqrt(0.5), 3 * np.sqrt(0.5), 0], atol=1e-12)


def test_relative_to_a_frame():
    drift = Drift([0, 10], [[5, 5, 5], [15, 25, 35]]).relative_to(5)
    np.testing.assert_allclose(drift.at([5])[0], 0)


@pytest.mark.parametrize(
    ("frames", "correction", "message"),
    [
        ([], np.zeros((0, 3)), "at least one frame"),
        ([1, 1], np.zeros((2, 3)), "must increase"),
        ([2, 1], np.zeros((2, 3)), "must increase"),
        ([1, 2], np.zeros((3, 3)), "shape"),
        ([1, 2], np.zeros((2, 4)), "shape"),
        ([1, np.nan], np.zeros((2, 3)), "not finite"),
        ([1, 2], [[0, 0, 0], [np.inf, 0, 0]], "not finite"),
    ],
)
def test_bad_drifts_are_refused(frames, correction, message):
    with pytest.raises(DataError, match=message):
        Drift(frames, correction)
