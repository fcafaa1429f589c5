"""The laws that simulations follow: structures, errors, drifts, colours."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from recipes_core.errors import DataError, UsageError
from recipes_core.module import Context
from recipes_modules import Locs_Simulate
from recipes_modules.simulate_structures import drift_path, site_grids, thomas_clusters

SMALL = {"n_localizations": 20_000, "n_frames": 5000, "field": 5.0, "n_filaments": 10}


def simulate(seed=1, **parameters):
    made = Locs_Simulate(**{**SMALL, **parameters}).apply(ctx=Context("simulate", seed=seed))
    return made["output_localizations"], made["output_drift"], made["output_truth"]


def test_thomas_clusters_have_the_size_number_and_width_that_were_asked_for():
    rng = np.random.default_rng(1)
    sites, cluster = thomas_clusters(rng, n=400, field=10_000.0, size=200.0, sigma=10.0, depth=0.0)
    # Poisson of Poisson: the standard deviation of the total is sqrt(n size (1 + size)).
    assert abs(len(sites) - 400 * 200) < 4 * np.sqrt(400 * 200 * 201)
    counts = np.bincount(cluster)
    assert abs(np.count_nonzero(counts) - 400) < 4 * 20
    whole = counts[(counts > 0) & (counts > 120)]
    assert whole.var() == pytest.approx(200, rel=0.3)
    middle = np.column_stack([np.bincount(cluster, sites[:, k]) / np.maximum(counts, 1) for k in range(2)])
    inner = (np.abs(middle[cluster] - 5000) < 4900).all(axis=1)
    spread = np.std(sites[inner, :2] - middle[cluster[inner]])
    assert spread == pytest.approx(10, rel=0.01)
    assert (sites[:, 2] == 0).all()


def test_thomas_clusters_are_as_dense_at_the_edge_as_in_the_middle():
    """Wide clusters: without parents outside, the outer tenth would hold a fifth less."""
    rng = np.random.default_rng(2)
    sites, _ = thomas_clusters(rng, n=5000, field=1000.0, size=20.0, sigma=50.0, depth=0.0)
    near = (np.abs(sites[:, 0] - 500) > 450).mean()
    assert near == pytest.approx(0.1, rel=0.05)


def test_thomas_sees_each_member_once_in_as_many_frames_as_follow():
    locs, truth, molecules = simulate(
        kind="thomas", n_clusters=50, cluster_size=400, localizations_per_frame=3.0, on_time=1.0, background=0.0
    )
    assert len(np.unique(molecules["site"])) == len(locs)
    assert len(truth) == pytest.approx(len(locs) / 3, rel=0.001)
    per_frame = np.bincount(locs["frame"], minlength=len(truth))
    assert per_frame.var() == pytest.approx(3.0, rel=0.1)
    # Members of a cluster come at all times: its mean frame is the movie's middle within a few standard errors.
    mean = np.bincount(molecules["structure"], locs["frame"]) / np.maximum(np.bincount(molecules["structure"]), 1)
    assert np.abs(mean[mean > 0] - len(truth) / 2).max() < 5 * len(truth) / np.sqrt(12 * 300)


def test_grids_have_neighbours_at_the_spacing():
    sites, grid = site_grids(np.random.default_rng(1), n=200, field=20_000.0, spacing=50.0, depth=0.0)
    counts = np.bincount(grid)
    assert set(counts) == {12, 16}
    assert sites[:, :2].min() >= 0
    assert sites[:, :2].max() <= 20_000
    for number in range(20):
        distance, _ = cKDTree(sites[grid == number, :2]).query(sites[grid == number, :2], k=2)
        np.testing.assert_allclose(distance[:, 1], 50, atol=1e-6)
    # Turned at random: the mean direction of an edge vanishes, on a circle of four equal directions.
    edges = np.array([np.subtract(*sites[np.flatnonzero(grid == k)[:2], :2]) for k in range(200)])
    assert abs(np.mean(np.exp(4j * np.arctan2(edges[:, 1], edges[:, 0])))) < 3 / np.sqrt(200)


@pytest.mark.parametrize("law", ["scaled", "photons", "constant"])
def test_errors_are_what_the_columns_say(law):
    """Difference to the molecule and the drift, over the stated error: standard normal."""
    locs, truth, molecules = simulate(
        precision_law=law, depth=300.0, drift_amplitude=(300, 300, 150), precision=25, axial_precision=60
    )
    for axis, name in enumerate("xyz"):
        moved = -truth.correction[locs["frame"], axis]
        score = (locs[name].astype(float) - molecules[name] - moved) / locs[f"error_{name}"]
        assert abs(score.mean()) < 4 / np.sqrt(len(score))
        assert score.std() == pytest.approx(1, abs=0.02)


def test_errors_by_photons():
    locs, _, _ = simulate(precision_law="photons", photons=3000, precision=25, axial_precision=62.5, precision_range=[8, 25])
    photons = locs["photons"].astype(float)
    assert photons.min() >= 999
    assert photons.mean() == pytest.approx(3000, rel=0.03)
    np.testing.assert_allclose(locs["error_x"], np.clip(25 / np.sqrt(photons / 1000), 8, 25), rtol=1e-5)
    np.testing.assert_allclose(locs["error_z"], 2.5 * locs["error_y"], rtol=1e-5)


def test_a_precision_of_nothing_is_exact_for_each_law():
    for law in ("scaled", "photons", "constant"):
        locs, truth, molecules = simulate(precision_law=law, precision=0, n_localizations=500)
        np.testing.assert_allclose(locs["x"], molecules["x"] - truth.correction[locs["frame"], 0], atol=1e-3)


def test_background_is_marked():
    _, _, molecules = simulate(background=0.3)
    assert np.mean(molecules["site"] == -1) == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(molecules["site"] == -1, molecules["structure"] == -1)


def test_linear_drift_is_a_line():
    path = drift_path(np.random.default_rng(1), "linear", 101, (200.0, 100.0, 0.0), 0.0)
    np.testing.assert_allclose(path, np.arange(101)[:, np.newaxis] * (2.0, 1.0, 0.0), atol=1e-9)


def test_knots_are_a_walk_of_400_places_with_a_smooth_way_between():
    path = drift_path(np.random.default_rng(1), "knots", 39_901, (500.0, 500.0, 0.0), 0.0)[:, :2]
    knots = np.diff(path[::100], axis=0)
    np.testing.assert_allclose(np.ptp(path, axis=0), 500)
    # Steps of the walk are independent; within one, frames follow each other smoothly.
    assert abs(np.corrcoef(knots[1:, 0], knots[:-1, 0])[0, 1]) < 0.2
    steps = np.diff(path, axis=0)
    assert np.corrcoef(steps[1:, 0], steps[:-1, 0])[0, 1] > 0.99


def test_a_jump_is_one_step_and_the_rest_is_as_without():
    _, smooth, _ = simulate(drift="sinusoid")
    _, jumping, _ = simulate(drift="sinusoid", jump=[200, 0, -50], jump_at=0.4)
    added = smooth.correction - jumping.correction
    np.testing.assert_array_equal(added[:2000], 0)
    np.testing.assert_allclose(added[2000:], np.broadcast_to([200, 0, -50], (3000, 3)), atol=1e-9)


def test_drift_seed_keeps_the_movement_while_all_else_changes():
    one, same, other = (simulate(seed, drift="random_walk", drift_seed=number) for seed, number in ((1, 5), (2, 5), (1, 6)))
    np.testing.assert_array_equal(one[1].correction, same[1].correction)
    assert one[0]["x"].tobytes() != same[0]["x"].tobytes()
    assert np.abs(one[1].correction - other[1].correction).max() > 1
    scaled = simulate(1, drift="random_walk", drift_seed=5, drift_amplitude=(9000, 11000, 0))
    np.testing.assert_allclose(scaled[1].correction, 10 * one[1].correction, rtol=1e-9, atol=1e-9)


def test_colours_have_structures_of_their_own_and_one_drift():
    parameters = {"kind": "grids", "n_clusters": 30, "site_spacing": 60.0, "background": 0.0, "n_channels": 2}
    locs, _, molecules = simulate(**parameters, channel_shift=[30, 0, 0])
    _, _, unshifted = simulate(**parameters)
    assert "channel" in Locs_Simulate(n_channels=2).output_columns("output_localizations", {})
    np.testing.assert_array_equal(locs["channel"], molecules["channel"])
    assert np.mean(locs["channel"]) == pytest.approx(0.5, abs=0.06)
    np.testing.assert_allclose(molecules["x"] - unshifted["x"], np.where(locs["channel"] == 1, 30, 0), atol=2e-3)
    first, second = (np.column_stack([unshifted[name][locs["channel"] == k] for name in "xy"]) for k in (0, 1))
    distance, _ = cKDTree(first).query(second)
    assert np.median(distance) > 60


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="smallest"):
        Locs_Simulate(precision_range=[25, 8]).apply()
    with pytest.raises(DataError, match="no part of the structure"):
        Locs_Simulate(kind="thomas", n_clusters=1, cluster_size=0.01).apply(seed=3)
