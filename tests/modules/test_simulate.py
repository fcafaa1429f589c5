import numpy as np
import pytest
from scipy.spatial import cKDTree

from recipes_core.errors import UsageError
from recipes_modules import Locs_Simulate
from recipes_modules.simulate_structures import blink, drift_path, wormlike_filaments

SMALL = {"n_localizations": 20_000, "n_frames": 5000, "field": 5.0, "n_filaments": 10}


def simulate(seed=1, **parameters):
    made = Locs_Simulate(**{**SMALL, **parameters}).apply(seed=seed)
    return made["output_localizations"], made["output_drift"]


def test_as_many_as_asked_sorted_by_frame_inside_the_movie():
    locs, truth = simulate()
    assert len(locs) == 20_000
    assert (np.diff(locs["frame"]) >= 0).all()
    assert locs["frame"].min() >= 0
    assert locs["frame"].max() < 5000
    assert len(truth) == 5000
    assert truth.exact


def test_seeds():
    first, second, other = simulate(1)[0], simulate(1)[0], simulate(2)[0]
    assert first["x"].tobytes() == second["x"].tobytes()
    assert first["x"].tobytes() != other["x"].tobytes()


def test_values_lie_inside_the_filters_of_the_drift_recipes():
    locs, _ = simulate()
    for name, (low, high) in {"A": (5, 20000), "error_x": (0, 30), "error_y": (0, 30), "sig": (95, 200)}.items():
        assert locs[name].min() > low
        assert locs[name].max() < high


def test_precision_is_what_was_asked_for_and_what_the_errors_say():
    """Straight, thin filaments: distance across them is the error of one coordinate."""
    locs, truth = simulate(precision=10, tube_radius=0, background=0, persistence_length=1e6, n_filaments=3, length=[4, 5])
    np.testing.assert_allclose(np.sqrt(np.mean(locs["error_x"] ** 2.0)), 10, rtol=1e-5)
    x, y = (locs[name] + truth.at(locs["frame"])[:, axis] for axis, name in enumerate("xy"))
    exact, drift = simulate(precision=0, tube_radius=0, background=0, persistence_length=1e6, n_filaments=3, length=[4, 5])
    sites = np.column_stack([exact[name] + drift.at(exact["frame"])[:, axis] for axis, name in enumerate("xy")])
    distance, _ = cKDTree(np.unique(np.round(sites, 2), axis=0)).query(np.column_stack([x, y]))
    # Sites lie every 10 nm along the line, which adds a uniform distance of at most 5 nm along it.
    across = np.sqrt(np.mean(distance**2) - 100 / 12)
    assert across == pytest.approx(10, rel=0.05)


def test_the_truth_undoes_the_drift():
    with_drift, truth = simulate(precision=0, background=0)
    moved = np.column_stack([with_drift[name] for name in "xy"]) + truth.at(with_drift["frame"])[:, :2]
    still, none = simulate(precision=0, background=0, drift="none")
    np.testing.assert_array_equal(none.correction, 0)
    sites = np.column_stack([still[name] for name in "xy"])
    distance, _ = cKDTree(sites).query(moved)
    assert np.quantile(distance, 0.99) < 5


@pytest.mark.parametrize("kind", ["polynomial", "sinusoid", "random_walk", "steps"])
def test_drift_has_the_range_that_was_asked_for_and_begins_at_zero(kind):
    path = drift_path(np.random.default_rng(3), kind, 10_000, (900.0, 1100.0, 150.0), 0.3)
    np.testing.assert_allclose(np.ptp(path, axis=0), [900, 1100, 150])
    np.testing.assert_array_equal(path[0], 0)


def test_steps_are_constant_between_jumps():
    path = drift_path(np.random.default_rng(3), "steps", 10_000, (100.0, 100.0, 0.0), 0.0)
    assert len(np.unique(path[:, 0])) <= 6


def test_molecules_stay_on_for_the_mean_time():
    frames, sites = blink(np.random.default_rng(1), n=200_000, n_frames=1_000_000, n_sites=1_000_000, on_time=3.0, bleaching=0.0)
    order = np.lexsort([frames, sites])
    same = (np.diff(sites[order]) == 0) & (np.diff(frames[order]) == 1)
    # Nearly every site blinks at most once: runs of frames are its on times. Of 110 % that are drawn 200 000 are kept.
    kept = 200_000 / (200_000 * 1.1)
    links = np.count_nonzero(same) / len(frames)
    assert links == pytest.approx((1 - 1 / 3) * kept, rel=0.05)


def test_bleaching_thins_the_movie_exponentially():
    frames, _ = blink(np.random.default_rng(1), n=400_000, n_frames=1000, n_sites=10, on_time=1.0, bleaching=2.0)
    counts = np.histogram(frames, bins=4, range=(0, 1000))[0]
    edges = np.exp(-2 * np.linspace(0, 1, 5))
    expected = -np.diff(edges) / (1 - np.exp(-2)) * 400_000
    np.testing.assert_allclose(counts, expected, rtol=0.02)


def test_directions_of_filaments_forget_themselves_over_the_persistence_length():
    sites = wormlike_filaments(
        np.random.default_rng(2), n=1, field=1e7, length=(4e6, 4e6), persistence=1000, spacing=10, radius=0, depth=0
    )
    steps = np.diff(sites[:, :2], axis=0)
    steps = steps[np.hypot(*steps.T) < 11] / 10
    lag = 100  # a contour of one persistence length
    correlation = np.mean(np.sum(steps[lag:] * steps[:-lag], axis=1))
    assert correlation == pytest.approx(np.exp(-0.5), abs=0.05)


def test_background_lies_anywhere():
    locs, _ = simulate(background=1.0, drift="none", n_localizations=100_000)
    counts = np.histogram2d(locs["x"], locs["y"], bins=5, range=[[0, 5000], [0, 5000]])[0]
    np.testing.assert_allclose(counts, 4000, rtol=0.12)


def test_lengths_the_wrong_way_round_are_refused():
    with pytest.raises(UsageError, match="shortest"):
        Locs_Simulate(length=[5, 2]).apply()


def test_molecules_that_outlast_the_movie_take_no_memory_for_it():
    frames, sites = blink(np.random.default_rng(1), n=1000, n_frames=3, n_sites=5, on_time=1e9, bleaching=0.0)
    assert len(frames) == len(sites) == 1000
    assert frames.max() == 2
