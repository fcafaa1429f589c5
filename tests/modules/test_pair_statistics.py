import numpy as np
import pytest

from recipes_core import Context, Localizations
from recipes_core.errors import DataError, UsageError
from recipes_modules import (
    Locs_Density,
    Locs_Neighbours,
    Locs_Pair_Correlation,
    Locs_Per_Frame,
    Locs_Ripley,
    NearestNeighbourDistances,
    PairwiseDistanceHistogram,
    Ripleys,
)

WIDTH, HEIGHT = 3000.0, 2000.0
BOUNDS = [0, WIDTH, 0, HEIGHT]


def at_random(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return Localizations({"x": rng.uniform(0, WIDTH, n), "y": rng.uniform(0, HEIGHT, n)})


def thomas(parents=60, mu=25, sigma=20.0, seed=1):
    """A Thomas process in the field, with parents outside it too: its pair correlation is known."""
    rng = np.random.default_rng(seed)
    margin = 6 * sigma
    n = rng.poisson(parents * (WIDTH + 2 * margin) * (HEIGHT + 2 * margin) / (WIDTH * HEIGHT))
    centres = rng.uniform((-margin, -margin), (WIDTH + margin, HEIGHT + margin), (n, 2))
    members = rng.poisson(mu, n)
    points = np.repeat(centres, members, axis=0) + rng.normal(0, sigma, (members.sum(), 2))
    inside = (points >= 0).all(axis=1) & (points <= (WIDTH, HEIGHT)).all(axis=1)
    return Localizations({"x": points[inside, 0], "y": points[inside, 1]})


@pytest.mark.parametrize("correction", ["isotropic", "translation"])
def test_k_of_random_positions_is_that_of_theory_with_its_spread(correction):
    tables = [
        Locs_Ripley(r_max=600, bins=12, bounds=BOUNDS, correction=correction).apply(at_random(seed=k))["output_table"]
        for k in range(200)
    ]
    r = tables[0]["r"]
    k = np.array([table["K"] for table in tables])
    spread = k.std(axis=0, ddof=1)
    assert (np.abs(k.mean(axis=0) - np.pi * r**2) < 4 * spread / np.sqrt(200)).all(), "without bias, in spite of the edges"
    # 200 fields tell a standard deviation to 5%, and the radii of one field are not independent.
    np.testing.assert_allclose(spread / tables[0]["K_error"], 1, atol=0.2)
    h = np.array([table["H"] for table in tables])
    outside = (np.abs(h[:, 2:]) > 1.96 * tables[0]["H_error"][2:]).mean()
    assert 0.02 < outside < 0.09


def test_circle_parts_are_those_of_many_points():
    from recipes_modules.spatial.pairs import _inside

    rng = np.random.default_rng(2)
    angle = 2 * np.pi * (np.arange(200_000) + 0.5) / 200_000
    for _ in range(50):
        x, y, radius = rng.uniform(0, 30), rng.uniform(0, 20), rng.uniform(0.1, 10)
        u, v = x + radius * np.cos(angle), y + radius * np.sin(angle)
        expected = ((u > 0) & (u < 30) & (v > 0) & (v < 20)).mean()
        assert _inside(x, 30 - x, y, 20 - y, radius) == pytest.approx(expected, abs=2e-5)


def test_pairs_are_all_counted():
    from scipy.spatial.distance import pdist

    table = thomas()
    made = Locs_Pair_Correlation(r_max=300, bin_size=10, bounds=BOUNDS).apply(table)["output_table"]
    counts = np.histogram(pdist(np.column_stack([table["x"], table["y"]])), np.linspace(0, 300, 31))[0]
    np.testing.assert_array_equal(made["pairs"], counts)


@pytest.mark.parametrize("correction", ["isotropic", "translation"])
def test_pair_correlation_of_a_thomas_process(correction):
    sigma, parents = 20.0, 60
    tables = [
        Locs_Pair_Correlation(r_max=150, bin_size=10, bounds=BOUNDS, correction=correction).apply(
            thomas(parents, 25, sigma, seed)
        )["output_table"]
        for seed in range(40)
    ]
    r, g = tables[0]["r"], np.array([table["g"] for table in tables])
    kappa = parents / (WIDTH * HEIGHT)
    edges = np.linspace(0, 150, 16)
    # The mean of g over each ring.
    tail = np.exp(-(edges**2) / (4 * sigma**2))
    expected = 1 + (tail[:-1] - tail[1:]) / (np.pi * kappa * np.diff(edges**2))
    error = g.std(axis=0, ddof=1) / np.sqrt(40)
    # Fields with more points than the mean count more pairs: a few per cent remain.
    assert (np.abs(g.mean(axis=0) - expected) < 4 * error + 0.04 * expected).all(), (r, g.mean(axis=0), expected)
    assert expected[0] > 20


def test_h_of_clusters_is_far_outside_the_band():
    made = Locs_Ripley(r_max=300, bounds=BOUNDS).apply(thomas())
    assert made["output_numbers"]["largest_deviation"] > 10
    assert 30 < made["output_numbers"]["r_at_h_max"] < 120
    table = made["output_table"]
    np.testing.assert_allclose(table["L"], np.sqrt(table["K"] / np.pi))
    np.testing.assert_allclose(table["H"], table["L"] - table["r"])
    assert Locs_Ripley(r_max=300, bounds=BOUNDS).apply(at_random())["output_numbers"]["largest_deviation"] < 4.5


def test_bytes_do_not_depend_on_threads():
    table = thomas()
    made = {Locs_Ripley(r_max=300).apply(table, ctx=Context("r", n_threads=n))["output_table"]["K"].tobytes() for n in (1, 2, 5)}
    assert len(made) == 1


def test_what_cannot_be_corrected_is_refused():
    with pytest.raises(DataError, match="half the shorter side"):
        Locs_Ripley(r_max=1500, bounds=BOUNDS).apply(at_random())
    with pytest.raises(DataError, match="too few"):
        Locs_Ripley().apply(at_random(2))
    with pytest.raises(DataError, match="on one line"):
        Locs_Ripley().apply(Localizations({"x": np.arange(9.0), "y": np.zeros(9)}))
    with pytest.raises(UsageError, match="x0 < x1"):
        Locs_Ripley(bounds=[5, 1, 0, 1]).apply(at_random())
    far = at_random().with_columns({"x": np.append(at_random()["x"][:-1], 1e300)})
    with pytest.raises(DataError, match="too far"):
        Locs_Ripley(r_max=10).apply(far)


def test_neighbours_of_random_positions():
    z = [Locs_Neighbours(bounds=BOUNDS).apply(at_random(seed=k))["output_numbers"]["clark_evans_z"] for k in range(100)]
    assert np.mean(z) == pytest.approx(0, abs=0.35)
    assert np.std(z) == pytest.approx(1, abs=0.25)
    assert Locs_Neighbours(bounds=BOUNDS).apply(thomas())["output_numbers"]["clark_evans"] < 0.5


def test_distances_to_neighbours_are_those_of_brute_force():
    from scipy.spatial.distance import cdist

    table, others = thomas(seed=3), thomas(seed=4)
    points, far = (np.column_stack([t["x"], t["y"]]) for t in (table, others))
    own = np.sort(cdist(points, points), axis=1)
    np.testing.assert_allclose(Locs_Neighbours(k=3).apply(table)["output_localizations"]["nn_distance"], own[:, 3])
    between = Locs_Neighbours().apply(table, others)["output_localizations"]["nn_distance"]
    np.testing.assert_allclose(between, cdist(points, far).min(axis=1))
    counts = Locs_Density(radius=70).apply(table)["output_localizations"]["n_neighbours"]
    np.testing.assert_array_equal(counts, (own <= 70).sum(axis=1) - 1)


def test_density_at_random_is_even_up_to_the_edges():
    made = Locs_Density(radius=150, bounds=BOUNDS).apply(at_random(20_000))["output_localizations"]
    density = 20_000 / (WIDTH * HEIGHT) * 1e6
    edge = (made["x"] < 50) | (made["y"] < 50)
    # Itself is counted too: one more in the circle.
    extra = 1e6 / (np.pi * 150**2)
    assert made["local_density"][~edge].mean() == pytest.approx(density + extra, rel=0.01)
    assert made["local_density"][edge].mean() == pytest.approx(density + 1.9 * extra, rel=0.02)


def test_localizations_per_frame():
    frame = np.repeat(np.arange(100), np.arange(100, 0, -1))
    made = Locs_Per_Frame(bin_frames=30).apply(Localizations({"frame": frame, "x": frame * 1.0, "y": frame * 1.0}))
    assert made["output_table"]["count"].sum() == len(frame)
    assert made["output_table"]["rate"].tolist() == [85.5, 55.5, 25.5, 5.5]
    assert made["output_numbers"]["mean_per_frame"] == pytest.approx(50.5)


def test_pymes_names():
    table = thomas()
    k = Locs_Ripley(r_max=300, bins=10).apply(table)["output_table"]
    made = Ripleys(nbins=10, binSize=30, normalization="H").apply(table)["outputName"]
    np.testing.assert_array_equal(made["vals"], k["H"])
    histogram = PairwiseDistanceHistogram(nbins=6, binSize=50).apply(table)["outputName"]
    counts = Locs_Pair_Correlation(r_max=300, bin_size=50).apply(table)["output_table"]["pairs"]
    np.testing.assert_array_equal(histogram["counts"], 2 * counts)


def test_pymes_nearest_neighbours():
    table, others = thomas(seed=5), thomas(seed=6)
    for second in (None, others):
        made = NearestNeighbourDistances(key="d").apply(table, second)["outputName"]
        assert made.columns == ("d",)
        ours = Locs_Neighbours().apply(table, second)["output_localizations"]["nn_distance"]
        np.testing.assert_array_equal(made["d"], ours)
