import numpy as np
import pytest

from recipes_core import Context, Localizations
from recipes_modules import (
    AddMeasurementsByLabel,
    Cluster_Measures,
    DBSCANClustering,
    Locs_DBSCAN,
    Locs_HDBSCAN,
    MeasureClusters3D,
)


def blobs(seed=1, n_clusters=40, size=60, sigma=10.0, noise=500, field=10_000.0, deep=False):
    """Round clusters far apart on a loose background; the cluster of each row, -1 for background."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n_clusters)))
    grid = (np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)[:n_clusters] + 0.5) * field / side
    truth = np.repeat(np.arange(n_clusters), size)
    d = 3 if deep else 2
    points = np.concatenate(
        [np.pad(grid[truth], ((0, 0), (0, d - 2))) + rng.normal(0, sigma, (len(truth), d)), rng.uniform(0, field, (noise, d))]
    )
    truth = np.append(truth, np.full(noise, -1))
    order = rng.permutation(len(truth))
    names = "xyz"[:d]
    return Localizations({name: points[order, k] for k, name in enumerate(names)}), truth[order]


def same_partition(a, b):
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("radius", "fewest"), [(25.0, 5), (60.0, 12), (400.0, 3), (1.0, 1)])
def test_dbscan_is_that_of_scikit_learn(deep, radius, fewest):
    cluster = pytest.importorskip("sklearn.cluster", reason="scikit-learn (extra cluster) is not installed")
    from recipes_modules.spatial.density_clusters import dbscan

    table, _ = blobs(deep=deep)
    points = np.column_stack([table[name] for name in table.columns])
    label, core = dbscan(points, radius, fewest)
    other = cluster.DBSCAN(eps=radius, min_samples=fewest).fit(points)
    assert set(np.flatnonzero(core)) == set(other.core_sample_indices_.tolist())
    assert same_partition(label[core], other.labels_[core])
    # At the border between two clusters either may have a point; what is noise is not a matter of choice.
    np.testing.assert_array_equal(label < 0, other.labels_ < 0)
    assert np.unique(label[label >= 0]).tolist() == list(range(label.max() + 1))


def test_border_points_belong_to_the_nearest_core():
    from recipes_modules.spatial.density_clusters import dbscan

    x = np.array([0, 1, 2, 9, 16, 17, 18.0])
    label, core = dbscan(np.column_stack([x + 0.5 * (x == 9), 0 * x]), 8.0, 4)
    assert core.tolist() == [False, False, True, False, True, False, False] or core.sum() >= 2
    near = np.abs(x[core] - 9.5)
    assert label[3] == label[core][np.argmin(near)]


def test_clusters_that_were_simulated_are_found():
    table, truth = blobs()
    made = Locs_DBSCAN(radius=20, min_samples=8).apply(table)
    label = made["output_localizations"]["group"]
    assert made["output_numbers"]["n_clusters"] == 40
    inside = (truth >= 0) & (label >= 0)
    assert same_partition(truth[inside], label[inside])
    assert inside.sum() > 0.97 * (truth >= 0).sum()
    only = Locs_DBSCAN(radius=20, min_samples=8, drop_noise=True, min_locs=59).apply(table)
    assert len(only["output_localizations"]) == only["output_numbers"]["n_clustered"]
    assert only["output_localizations"]["group"].min() == 0


def test_hdbscan_finds_clusters_of_different_density():
    pytest.importorskip("sklearn", reason="scikit-learn (extra cluster) is not installed")
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal(0, 5, (100, 2)), rng.normal((1000, 0), 60, (100, 2)), rng.uniform(-3000, 4000, (60, 2))])
    made = Locs_HDBSCAN(min_cluster_size=30).apply(Localizations({"x": points[:, 0], "y": points[:, 1]}))
    label = made["output_localizations"]["group"]
    assert made["output_numbers"]["n_clusters"] == 2
    assert (label[:100] >= 0).mean() > 0.8
    assert (label[100:200] >= 0).mean() > 0.8
    assert (label[200:] < 0).mean() > 0.7


def test_rows_with_nan_and_tables_without_rows():
    table, _ = blobs(n_clusters=4)
    hurt = table.with_columns({"x": np.where(np.arange(len(table)) < 7, np.nan, table["x"])})
    ctx = Context("d")
    label = Locs_DBSCAN().apply(hurt, ctx=ctx)["output_localizations"]["group"]
    assert (label[:7] == -1).all()
    assert "7 of" in ctx.messages[0]
    empty = table.select(slice(0, 0))
    assert Locs_DBSCAN().apply(empty)["output_numbers"]["n_clusters"] == 0
    assert len(Cluster_Measures(label_column="x").apply(empty.with_columns({"group": []}))["output_table"]) == 0


def test_pymes_numbers_begin_at_one():
    table, truth = blobs(n_clusters=4)
    made = DBSCANClustering(columns=["x", "y"], searchRadius=30, minClumpSize=10).apply(table)["outputName"]
    assert set(np.unique(made["dbscanClumpID"])) == {0, 1, 2, 3, 4}
    assert (made["dbscanClumpID"][truth < 0] == 0).mean() > 0.95
    ctx = Context("d")
    alone = DBSCANClustering(columns=["x", "y"], searchRadius=0.01).apply(table, ctx=ctx)["outputName"]
    assert alone["dbscanClumpID"].min() == 1
    assert "cluster of its own" in ctx.warnings[0]


def test_measures_are_those_of_the_distribution():
    rng = np.random.default_rng(4)
    n, major, minor, angle = 4000, 40.0, 10.0, np.radians(30)
    along, across = rng.normal(0, major, (3, n)), rng.normal(0, minor, (3, n))
    x = along * np.cos(angle) - across * np.sin(angle) + 1e6 * np.arange(3)[:, None]
    y = along * np.sin(angle) + across * np.cos(angle)
    frame = rng.integers(0, 100, 3 * n)
    table = Localizations({"x": x.ravel(), "y": y.ravel(), "frame": frame, "group": np.repeat([4, 2, 9], n)})
    made = Cluster_Measures().apply(table)["output_table"]
    assert made["group"].tolist() == [2, 4, 9]
    np.testing.assert_allclose(made["x"], [1e6, 0, 2e6], atol=5 * major / np.sqrt(n))
    np.testing.assert_allclose(made["rg"], np.hypot(major, minor), rtol=0.04)
    np.testing.assert_allclose(made["sigma_major"], major, rtol=0.04)
    np.testing.assert_allclose(made["sigma_minor"], minor, rtol=0.04)
    np.testing.assert_allclose(made["eccentricity"], np.sqrt(1 - (minor / major) ** 2), rtol=0.01)
    np.testing.assert_allclose(made["angle"], 30, atol=1.5)
    np.testing.assert_allclose(
        made["error_x"], np.sqrt((major * np.cos(angle)) ** 2 + (minor * np.sin(angle)) ** 2) / np.sqrt(n), rtol=0.05
    )
    from scipy.spatial import ConvexHull

    area = [ConvexHull(np.column_stack([x[k], y[k]])).volume for k in (1, 0, 2)]
    np.testing.assert_allclose(made["area"], area, rtol=1e-9)
    np.testing.assert_allclose(made["density"], n / np.array(area) * 1e6, rtol=1e-9)
    assert made["first_frame"].tolist() == [0, 0, 0]


def test_errors_of_centres_are_right():
    rng = np.random.default_rng(5)
    n, size = 2000, 8
    label = np.repeat(np.arange(n), size)
    table = Localizations({"x": rng.normal(0, 12, n * size), "y": rng.normal(0, 12, n * size), "group": label})
    made = Cluster_Measures().apply(table)["output_table"]
    # The mean over its estimated error is distributed as Student's t with size - 1 degrees of freedom.
    pull = made["x"] / made["error_x"]
    assert np.std(pull) == pytest.approx(np.sqrt((size - 1) / (size - 3)), rel=0.06)


def test_small_clusters_tell_what_they_can():
    table = Localizations({"x": [0.0, 10, 50], "y": [0.0, 0, 0], "group": [0, 0, 1]})
    made = Cluster_Measures(min_locs=1).apply(table)["output_table"]
    assert made["area"].tolist() == [0, 0]
    assert np.isnan(made["error_x"][1])
    assert made["rg"].tolist() == [5, 0]
    assert made["eccentricity"][0] == 1


def test_measures_in_three_dimensions_are_pymes():
    rng = np.random.default_rng(6)
    points = rng.normal(0, (30, 20, 10), (5000, 3)) @ np.eye(3)[[2, 0, 1]]
    table = Localizations({"x": points[:, 0], "y": points[:, 1], "z": points[:, 2], "clumpIndex": np.full(5000, 3)})
    made = MeasureClusters3D().apply(table)["outputName"]
    assert made["label"].tolist() == [3]
    np.testing.assert_allclose([made[f"sigma_{name}"][0] for name in "xyz"], [30, 20, 10], rtol=0.04)
    assert made["gyrationRadius"][0] == pytest.approx(np.sqrt(1400), rel=0.02)
    square = np.array([900, 400, 100])
    assert made["anisotropy"][0] == pytest.approx(np.std(square, ddof=1) / (np.sqrt(3) * square.mean()), rel=0.05)
    assert abs(made["axis0_z"][0]) > 0.99


def test_positions_get_the_measures_of_their_cluster():
    table, truth = blobs(n_clusters=5, noise=20)
    points = Localizations({"x": table["x"], "y": table["y"], "label": truth + 1})
    measures = MeasureClusters3D(labelKey="label").apply(points)["outputName"]
    made = AddMeasurementsByLabel().apply(points, measures)["output_points"]
    assert np.isnan(made["label_count"][truth < 0]).all()
    assert (made["label_count"][truth >= 0] == 60).all()
    for k in range(5):
        assert made["label_x"][truth == k] == pytest.approx(table["x"][truth == k].mean())
