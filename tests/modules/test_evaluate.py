"""Matching and scores against cases made by hand, scipy's assignment, and theory."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import Evaluate_Localizations, Movie_Simulate
from recipes_modules.localize import matching
from recipes_modules.localize.bound import position_bound
from recipes_modules.localize.matching import match
from recipes_modules.localize.scores import efficiency, isolated, spread_of_scores
from recipes_modules.localize_figures import frame_figure

CAMERA = {
    "Camera.ADOffset": 100, "Camera.ElectronsPerCount": 0.45, "Camera.TrueEMGain": 1, "Camera.NoiseFactor": 1,
    "Camera.ReadNoise": 1.5, "voxelsize.x": 0.1, "voxelsize.y": 0.1,
}  # fmt: skip


def table(rows, metadata=None, **more):
    values = np.array(rows, float).reshape(len(rows), -1)
    columns = {"frame": values[:, 0].astype(int), "x": values[:, 1], "y": values[:, 2]}
    return Localizations({**columns, **{name: np.asarray(column, float) for name, column in more.items()}}, metadata=metadata)


def context(*more):
    return Context("evaluate", wanted=["output_scores", "output_table", "output_figure", *more])


def evaluate(found, truth, movie=None, **parameters):
    names = {} if movie is None else {"input_image": "movie"}
    ctx = context() if movie is None else context("output_frames")
    return Evaluate_Localizations(**names, **parameters).apply(found, truth, movie, ctx=ctx), ctx


# -- matching ----------------------------------------------------------------------------------------------------------------


def test_pairs_are_of_one_frame_and_within_the_radius():
    found = [[0, 0], [100, 0], [0, 0]]
    truth = [[0, 249], [100, 251], [0, 0]]
    pairs = match(found, [0, 0, 1], truth, [0, 0, 2], radius=250)
    assert pairs.found.tolist() == [0]
    assert pairs.truth.tolist() == [0]
    assert pairs.distance.tolist() == [249]


def test_greedy_takes_the_nearest_pair_and_optimal_the_most_pairs():
    """Found at 0 and 100, true at 90 and 320: the nearest pair leaves the other two without a partner."""
    found, truth = [[0.0, 0], [100.0, 0]], [[90.0, 0], [320.0, 0]]
    greedy = match(found, [0, 0], truth, [0, 0], radius=225, method="greedy")
    assert sorted(zip(greedy.found, greedy.truth, strict=True)) == [(1, 0)]
    best = match(found, [0, 0], truth, [0, 0], radius=225)
    assert sorted(zip(best.found, best.truth, strict=True)) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("axial", [None, 120.0])
@pytest.mark.parametrize("dense", [10**6, 0])
def test_the_assignment_is_scipys(monkeypatch, axial, dense):
    """Frame by frame with a dense matrix, where a forbidden pair costs more than any matching; groups solved both ways."""
    monkeypatch.setattr(matching, "DENSE", dense)
    rng = np.random.default_rng(7)
    for _ in range(25):
        n, m = rng.integers(1, 90, 2)
        a, b = rng.uniform(0, 1000, (n, 3)), rng.uniform(0, 1000, (m, 3))
        a[:, 2] /= 4
        b[:, 2] /= 4
        frame_a, frame_b = rng.integers(0, 3, n), rng.integers(0, 3, m)
        pairs = match(a, frame_a, b, frame_b, radius=160, axial=axial)
        count, total = 0, 0.0
        for frame in range(3):
            p, q = a[frame_a == frame], b[frame_b == frame]
            flat = np.linalg.norm(p[:, None, :2] - q[:, :2], axis=2)
            near = flat <= 160
            distance = flat
            if axial is not None:
                near &= np.abs(p[:, None, 2] - q[:, 2]) <= axial
                distance = np.linalg.norm(p[:, None] - q, axis=2)
            cost = np.where(near, distance, 1e7)
            i, j = linear_sum_assignment(cost)
            count += int(near[i, j].sum())
            total += cost[i, j][near[i, j]].sum()
        assert len(pairs) == count
        assert pairs.distance.sum() == pytest.approx(total)
        assert len(np.unique(pairs.found)) == len(pairs)
        assert (frame_a[pairs.found] == frame_b[pairs.truth]).all()


def test_greedy_is_what_a_plain_loop_does():
    rng = np.random.default_rng(8)
    a, b = rng.uniform(0, 800, (120, 2)), rng.uniform(0, 800, (100, 2))
    frame_a, frame_b = rng.integers(0, 2, 120), rng.integers(0, 2, 100)
    distance = np.where(frame_a[:, None] == frame_b, np.linalg.norm(a[:, None] - b, axis=2), np.inf)
    expected = set()
    while distance.min() <= 100:
        i, j = np.unravel_index(np.argmin(distance), distance.shape)
        expected.add((i, j))
        distance[i] = np.inf
        distance[:, j] = np.inf
    pairs = match(a, frame_a, b, frame_b, radius=100, method="greedy")
    assert set(zip(pairs.found.tolist(), pairs.truth.tolist(), strict=True)) == expected


def test_the_order_of_rows_does_not_count():
    rng = np.random.default_rng(9)
    a, b = rng.uniform(0, 2000, (300, 2)), rng.uniform(0, 2000, (280, 2))
    frames_a, frames_b = rng.integers(0, 4, 300), rng.integers(0, 4, 280)
    one = match(a, frames_a, b, frames_b)
    p, q = rng.permutation(300), rng.permutation(280)
    two = match(a[p], frames_a[p], b[q], frames_b[q])
    assert set(zip(p[two.found], q[two.truth], strict=True)) == set(zip(one.found, one.truth, strict=True))


# -- scores ------------------------------------------------------------------------------------------------------------------


def test_scores_of_a_case_made_by_hand():
    """Three true, three found, two of them right with errors (30, 40) and (0, -10)."""
    truth = table([[0, 1000, 1000], [0, 5000, 5000], [1, 1000, 1000]])
    found = table([[0, 1030, 1040], [0, 9000, 9000], [1, 1000, 990]])
    made, _ = evaluate(found, truth)
    scores = made["output_scores"].values
    assert (scores["found"], scores["true"], scores["matched"]) == (3, 3, 2)
    assert scores["jaccard"] == pytest.approx(2 / 4)
    assert scores["recall"] == pytest.approx(2 / 3)
    assert scores["precision"] == pytest.approx(2 / 3)
    assert scores["rmse_x"] == pytest.approx(np.sqrt(450))
    assert scores["rmse_y"] == pytest.approx(np.sqrt(850))
    assert scores["mean_y"] == pytest.approx(15)
    assert scores["rmse_lateral"] == pytest.approx(np.sqrt(1300))
    assert scores["efficiency"] == pytest.approx(100 - np.hypot(50, np.sqrt(1300)))
    pairs = made["output_table"]
    assert pairs["found"].tolist() == [0, 2]
    assert pairs["truth"].tolist() == [0, 2]
    assert pairs["dx"].tolist() == [30, 0]
    assert pairs["distance"].tolist() == [50, 10]


def test_efficiency_is_the_challenges():
    assert efficiency(1.0, 0.0) == 100
    assert efficiency(0.7, 40.0) == pytest.approx(50)
    assert efficiency(1.0, 60.0, 0.5) == pytest.approx(70)


def test_depth_counts_where_it_is_asked_for():
    truth = table([[0, 1000, 1000], [0, 3000, 3000]], z=[0, 0])
    found = table([[0, 1000, 1000], [0, 3000, 3030]], z=[600, 40])
    flat, _ = evaluate(found, truth)
    assert flat["output_scores"]["matched"] == 2
    deep, _ = evaluate(found, truth, dimensions=3)
    scores = deep["output_scores"].values
    assert scores["matched"] == 1
    assert scores["rmse_z"] == pytest.approx(40)
    assert scores["rmse_volume"] == pytest.approx(50)
    lateral, axial = efficiency(1 / 3, 30.0), efficiency(1 / 3, 40.0, 0.5)
    assert scores["efficiency"] == pytest.approx((lateral + axial) / 2)


def test_dim_molecules_and_the_border_are_left_out_on_both_sides():
    movie = Movie_Simulate(size=(64, 64), n_frames=2, emitters_per_frame=0).apply()["output_image"]
    truth = table([[0, 3000, 3000], [0, 1000, 3000], [0, 100, 3000], [1, 4000, 4000]], photons=[1000, 50, 1000, 1000])
    found = table([[0, 3000, 3000], [0, 1000, 3000], [0, 100, 3000], [1, 60, 60]])
    made, _ = evaluate(found, truth, movie, min_photons=100, border=500)
    scores = made["output_scores"].values
    assert (scores["found"], scores["true"], scores["matched"]) == (1, 2, 1)
    with pytest.raises(DataError, match="edge of the movie, which is not known"):
        Evaluate_Localizations(border=100).apply(found, truth)


def test_rows_without_a_place_are_not_found_and_told():
    truth = table([[0, 1000, 1000], [0, 5000, 5000]])
    found = table([[0, 1000, 1000], [0, np.nan, 5000]])
    ctx = context()
    made = Evaluate_Localizations().apply(found, truth, ctx=ctx)
    assert made["output_scores"]["found"] == 1
    assert made["output_table"]["found"].tolist() == [0]
    assert "1 rows of the localizations have no place" in ctx.messages[0]


def test_nothing_found_is_a_result_and_no_truth_is_none():
    nothing = Localizations({"frame": np.empty(0, int), "x": np.empty(0), "y": np.empty(0)})
    truth = table([[0, 0, 0]])
    made, _ = evaluate(nothing, truth)
    scores = made["output_scores"].values
    assert (scores["jaccard"], scores["recall"], scores["precision"]) == (0, 0, 0)
    assert "rmse_x" not in scores
    with pytest.raises(DataError, match="truth has no rows"):
        evaluate(truth, nothing)
    with pytest.raises(DataError, match="have no z"):
        evaluate(truth, truth, dimensions=3)


def test_isolated_positions_have_no_neighbour_in_their_frame():
    places = np.array([[0.0, 0], [900, 0], [5000, 0], [5000, 100], [5000, 0]])
    alone = isolated(places, np.array([0, 0, 0, 1, 2]), 1000.0)
    assert alone.tolist() == [False, False, True, True, True]


def test_spread_of_scores_is_one_for_normal_errors_and_shrugs_at_outliers():
    rng = np.random.default_rng(3)
    told = rng.uniform(5, 20, 40_000)
    errors = told * rng.normal(size=40_000)
    assert spread_of_scores(errors, told) == pytest.approx(1, abs=0.03)
    assert spread_of_scores(errors, told / 2) == pytest.approx(2, abs=0.06)
    errors[:400] = 1e5
    assert spread_of_scores(errors, told) == pytest.approx(1, abs=0.05)


# -- the bound ---------------------------------------------------------------------------------------------------------------


def test_without_background_the_bound_is_sigma_over_root_n():
    """A wide view of fine pixels: sigma / sqrt(N), with a twelfth of a pixel squared at most added."""
    bound = position_bound([0.0], [0.0], [900.0], [0.0], [3.0], [4.0], half=25, widths=2)
    assert bound[0] == pytest.approx([3 / 30, 4 / 30], rel=0.01)


def test_the_bound_with_background_is_mortensens():
    """Mortensen et al. 2010, doi:10.1038/nmeth.1447: the maximum-likelihood limit, its integral done numerically."""
    from scipy.integrate import quad

    n, b, sigma = 500.0, 20.0, 1.3
    width = sigma**2 + 1 / 12
    bound = position_bound([0.0], [0.0], [n], [b], [sigma], [sigma], half=12, widths=1)[0, 0]
    tau = 2 * np.pi * width * b / n
    integral = quad(lambda t: np.log(t) / (1 + t / tau), 0, 1)[0]
    assert bound == pytest.approx(np.sqrt(width / n / (1 + integral)), rel=0.02)


def test_the_bound_follows_numerical_derivatives():
    """Fisher's information from finite differences of pixels integrated by scipy."""
    from scipy.stats import norm

    def model(p):
        across = np.diff(norm.cdf(np.arange(8) - 3.5, p[0], p[4]))
        down = np.diff(norm.cdf(np.arange(8) - 3.5, p[1], p[5]))
        return p[2] * np.outer(down, across) + p[3]

    p = np.array([0.2, -0.3, 700.0, 15.0, 1.2, 1.5])
    slopes = []
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-5 * max(1, p[k])
        slopes.append((model(p + step) - model(p - step)).ravel() / (2 * step[k]))
    noise = (2.0 * model(p) + 3.0).ravel()
    information = (np.array(slopes) / noise) @ np.array(slopes).T
    expected = np.sqrt(np.diag(np.linalg.inv(information)))[:2]
    found = position_bound([0.2], [-0.3], [700.0], [15.0], [1.2], [1.5], variance=3.0, excess=2.0, half=3, widths=2)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4)
    assert np.isinf(position_bound([0.0], [0.0], [0.0], [0.0], [1.0], [1.0])).all()


def test_a_fit_that_reaches_the_bound_is_scored_so():
    truth = Movie_Simulate(n_frames=100, size=(128, 128), emitters_per_frame=6).apply(seed=2)["output_localizations"]
    bound = 100 * position_bound(
        truth["x"] / 100, truth["y"] / 100, truth["photons"], truth["background"], truth["sigma_x"] / 100, truth["sigma_y"] / 100,
        variance=1.5**2, half=5,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    found = Localizations(
        {
            "frame": truth["frame"],
            "x": truth["x"] + 1.25 * bound[:, 0] * rng.normal(size=len(truth)),
            "y": truth["y"] + 1.25 * bound[:, 1] * rng.normal(size=len(truth)),
            "error_x": bound[:, 0],
            "error_y": bound[:, 1],
        }
    )
    made, _ = evaluate(found, truth)
    scores = made["output_scores"].values
    assert scores["isolated"] > 250
    assert scores["bound_efficiency"] == pytest.approx(1 / 1.25**2, rel=0.15)
    assert scores["calibration_x"] == pytest.approx(1.25, rel=0.2)
    assert scores["isolated_rmse"] == pytest.approx(1.25 * scores["isolated_bound"], rel=0.08)


# -- doubts and figures ------------------------------------------------------------------------------------------------------


def many(rng, n=200):
    return table(np.column_stack([rng.integers(0, 20, n), rng.uniform(0, 20000, (n, 2))]), metadata=CAMERA)


def test_frames_counted_from_another_number_are_told():
    truth = many(np.random.default_rng(1))
    ctx = context()
    Evaluate_Localizations().apply(truth.with_columns({"frame": truth["frame"] + 1}), truth, ctx=ctx)
    assert "frames counted one less" in ctx.warnings[0]


def test_the_truth_of_another_movie_is_told():
    rng = np.random.default_rng(8)
    rows = [(f, *rng.uniform(0, 20000, 2)) for f in range(40) for _ in range(5)]
    others = [(f, *rng.uniform(0, 20000, 2)) for f in range(40) for _ in range(5)]
    ctx = context()
    Evaluate_Localizations().apply(input_localizations=table(rows), input_truth=table(others), ctx=ctx)
    assert any("is it the truth of this movie" in line for line in ctx.warnings)


def test_half_a_pixel_is_told():
    truth = many(np.random.default_rng(2))
    ctx = context()
    Evaluate_Localizations().apply(truth.with_columns({"x": truth["x"] + 50, "y": truth["y"] + 50}), truth, ctx=ctx)
    assert "half a pixel" in ctx.warnings[0]
    ctx = context()
    Evaluate_Localizations().apply(truth, truth, ctx=ctx)
    assert not ctx.warnings


def test_figures_show_each_position_once(tmp_path):
    made = Movie_Simulate(n_frames=6, size=(64, 64), emitters_per_frame=5).apply(seed=4)
    movie, truth = made["output_image"], made["output_localizations"]
    found = truth.select(np.arange(len(truth)) % 4 != 0)
    found = found.with_columns({"x": np.where(np.arange(len(found)) == 0, found["x"] - 3000.0, found["x"])})
    result, _ = evaluate(found, truth, movie)
    panels = result["output_frames"].panels
    assert [panel.title for panel in panels] == ["frame 1", "frame 2", "frame 3", "frame 4"]
    for panel, frame in zip(panels, (1, 2, 3, 4), strict=True):
        assert len(panel.content[1].x) == np.count_nonzero(truth["frame"] == frame)
    whole = frame_figure(movie, range(6), found, truth, wrong=np.arange(len(found)) == 0)
    assert sum(len(panel.content[0].marks[0]) for panel in whole.panels) == len(found) - 1
    part = frame_figure(movie, 2, found, truth, region=(slice(0, 32), slice(16, 48)))
    assert part.panels[0].content[0].pixels.shape == (32, 32)
    inside = (truth["frame"] == 2) & (truth["y"] < 3200) & (truth["x"] > 1500) & (truth["x"] < 4800)
    dots = part.panels[0].content[1]
    np.testing.assert_allclose(np.sort(dots.x), np.sort(truth["x"][inside] / 100 - 16), atol=1e-4)
    assert result["output_figure"].save(tmp_path / "scores.png").stat().st_size > 10_000
    with pytest.raises(DataError, match="no frame 9 in a movie of 6"):
        frame_figure(movie, 9, found)
    with pytest.raises(DataError, match="needs the movie"):
        Evaluate_Localizations().apply(found, truth, ctx=context("output_frames"))
