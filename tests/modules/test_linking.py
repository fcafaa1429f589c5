import numpy as np
import pytest

from recipes_core import Context, Localizations, Recipe
from recipes_core.errors import DataError
from recipes_modules import FindClumps, Link, MergeClumps
from recipes_modules.clumps import MultiviewFindClumps


def table(rows, **columns):
    frame, x, y = np.array(rows, float).T
    n = len(frame)
    k = np.arange(1, n + 1, dtype=float)
    return Localizations(
        {"frame": frame.astype(int), "x": x, "y": y, "photons": 100 * k, "sigma_x": k, "background": 9 + k, "error_x": k / 10,
         "error_y": k / 10, **columns}
    )  # fmt: skip


def blinking(n_molecules=3000, field=20_000.0, n_frames=4000, error=10.0, on=3.0, seed=3):
    """Molecules that shine once, each for a geometric number of frames; the molecule of each row as the truth."""
    rng = np.random.default_rng(seed)
    lasting = rng.geometric(1 / on, n_molecules)
    molecule = np.repeat(np.arange(n_molecules), lasting)
    since = np.arange(len(molecule)) - np.repeat(np.cumsum(lasting) - lasting, lasting)
    frame = rng.integers(0, n_frames, n_molecules)[molecule] + since
    sx = error * rng.uniform(0.5, 1.5, len(molecule))
    place = rng.uniform(0, field, (n_molecules, 2))
    x, y = (place[molecule, k] + rng.normal(0, sx) for k in range(2))
    order = np.argsort(frame, kind="stable")
    columns = {"frame": frame, "x": x, "y": y, "error_x": sx, "error_y": sx, "photons": rng.exponential(1000, len(frame))}
    return Localizations({name: values[order] for name, values in columns.items()}), molecule[order], place


def brute_chains(x, y, frame, radius, apart, *, by_end):
    """The rule as it reads, row by row, without a grid."""
    label = np.full(len(x), -1)
    end = np.ones(len(x), bool)
    count = 0
    for i in range(len(x)):
        near = np.flatnonzero((np.hypot(x[:i] - x[i], y[:i] - y[i]) <= radius[i]) & (frame[i] - frame[:i] <= apart) & end[:i])
        if by_end:
            near = near[frame[near] < frame[i]]
        if len(near):
            best = near[np.argmin(label[near])] if by_end else near[0]
            label[i] = label[best]
            end[best] = not by_end
        else:
            label[i] = count
            count += 1
    return label, count


@pytest.mark.parametrize("by_end", [True, False])
@pytest.mark.parametrize("spread", [300.0, 30_000.0, 1e9])
def test_chains_are_those_of_the_rule(by_end, spread):
    from recipes_modules.grouping.chains import chains

    rng = np.random.default_rng(5)
    n = 600
    x, y = rng.uniform(-spread, spread, (2, n)).round(3)
    x[::3], y[::3] = x[1] + rng.normal(0, 20, 200), y[1] + rng.normal(0, 20, 200)
    frame = np.sort(rng.integers(0, 60, n)).astype(np.int32)
    # One radius is far larger than the others: it must not miss what lies many cells away.
    radius = rng.uniform(5, 60, n)
    radius[300] = 3 * spread
    expected, count = brute_chains(x, y, frame, radius, 3, by_end=by_end)
    label, found = chains(x, y, frame, radius, 3, by_end=by_end)
    assert found == count
    np.testing.assert_array_equal(label, expected)


LINK = {"r_max": 1.0, "max_dark_time": 1, "remove_ambiguous_lengths": False}


def linked(rows, **parameters):
    return Link(**{**LINK, **parameters}).apply(table(rows))["output_localizations"]


def test_link_is_picassos():
    # What Picasso 0.11.3 gives for these rows (its columns lpx, sx, bg are error_x, sigma_x, background here).
    made = linked([(3, 5, 5), (4, 5.5, 5), (6, 5.9, 5), (9, 6, 5)])
    expected = {
        "frame": [3, 9], "x": [5.165306, 6.0], "y": [5, 5], "photons": [600, 400], "sigma_x": [2, 4], "background": [33, 13],
        "error_x": [0.085714, 0.4], "len": [4, 1], "n": [3, 1], "photon_rate": [200, 400],
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_allclose(made[name], values, atol=1e-6)
    assert made["frame"].dtype.kind == "i"


@pytest.mark.parametrize(
    ("rows", "n", "length"),
    [
        ([(3, 5, 5), (4, 6, 5)], [2], [2]),  # a distance of just r_max
        ([(3, 5, 5), (3, 5.8, 5), (4, 5.5, 5)], [2, 1], [2, 1]),  # the one that began first; never within one frame
        ([(3, 5, 5), (4, 5.9, 5), (4, 4.8, 5)], [2, 1], [2, 1]),  # the first one in the table, not the nearest
        ([(3, 5, 5), (4, 5.9, 5), (5, 4.8, 5)], [2, 1], [2, 1]),
        ([(3, 5, 5), (4, 5.9, 5), (5, 6.8, 5), (6, 7.6, 5)], [4], [4]),  # from the last one, not the first
    ],
)
def test_which_is_linked_is_picassos_choice(rows, n, length):
    made = linked(rows)
    assert made["n"].tolist() == n
    assert made["len"].tolist() == length


def test_what_is_cut_by_the_ends_of_the_movie_is_left_out():
    rows = [(0, 5, 5), (1, 5, 5), (5, 9, 9), (6, 9, 9), (19, 20, 20)]
    ctx = Context("link")
    made = Link(**{**LINK, "remove_ambiguous_lengths": True}).apply(table(rows), ctx=ctx)["output_localizations"]
    assert made["frame"].tolist() == [5]
    assert any("2 molecules begin in the first frame or end in the last" in message for message in ctx.messages)


def test_linked_molecules_are_those_that_were_simulated():
    locs, molecule, place = blinking()
    made = Link(max_dark_time=0, remove_ambiguous_lengths=False).apply(locs)
    merged, label = made["output_localizations"], Link(max_dark_time=0).apply(locs, ctx=Context("l"))["output_grouped"]["group"]
    whole = np.array([len(np.unique(label[molecule == k])) == 1 for k in range(3000)])
    # Two localizations are farther apart than 5 median errors in one case of some hundred; molecules hold three on average.
    assert whole.mean() > 0.96
    first = np.searchsorted(np.sort(label), np.arange(len(merged)))
    truth = place[molecule[np.argsort(label, kind="stable")[first]]]
    pull = np.stack([(merged[name] - truth[:, k]) / merged[f"error_{name}"] for k, name in enumerate("xy")])
    assert np.median(np.abs(pull)) / 0.6745 == pytest.approx(1, abs=0.05), "the errors of means are right"
    assert merged["photons"].sum() == pytest.approx(locs["photons"].sum())
    assert merged["n"].sum() == len(locs)


def test_order_of_rows_and_threads_do_not_matter():
    locs, _, _ = blinking(500)
    shuffled = locs.select(np.random.default_rng(0).permutation(len(locs)))
    results = []
    for source, n_threads in ((locs, 1), (locs, 3), (shuffled, 1)):
        results.append(Link().apply(source, ctx=Context("l", n_threads=n_threads))["output_localizations"])
    assert results[0]["x"].tobytes() == results[1]["x"].tobytes()
    assert len(results[2]) == pytest.approx(len(results[0]), abs=3), "rows of one frame may come in another order"


def test_channels_and_groups_are_not_linked_with_each_other():
    rows = [(3, 5, 5), (4, 5, 5), (5, 5, 5), (6, 5, 5)]
    made = Link(**LINK).apply(table(rows, channel=np.array([0, 1, 0, 1])))["output_localizations"]
    assert made["n"].tolist() == [2, 2]
    assert made["channel"].tolist() == [0, 1]
    grouped = Link(**LINK).apply(table(rows, group=np.array([7, 7, 2, 2])))["output_localizations"]
    assert grouped["group"].tolist() == [7, 2]


def test_link_without_errors_says_so():
    ctx = Context("link")
    Link().apply(Localizations({"frame": [1, 2, 3], "x": [0.0, 1, 2], "y": [0.0, 0, 0]}), ctx=ctx)
    assert "no standard errors" in ctx.warnings[0]


@pytest.mark.parametrize("module", [Link, FindClumps, MultiviewFindClumps])
def test_tables_without_rows_and_with_nan(module):
    empty = table([(1, 2, 3)]).select(slice(0, 0))
    assert len(next(iter(module().apply(empty).values()))) == 0
    hurt = table([(1, 2, 3), (2, np.nan, 3), (3, 2, 3)])
    ctx = Context("l")
    made = next(iter(module().apply(hurt, ctx=ctx).values()))
    assert any("1 of 3 localizations have NaN" in message for message in ctx.messages)
    if module is not Link:
        assert len(made) == 3
        assert len(np.unique(made["clumpIndex"][[0, 1]])) == 2


def test_clumps_are_pymes():
    # Each row joins the earliest one nearer than 2 * 2 * its own error_x, at most timeWindow dark frames back, also in its frame.
    error = np.array([1.0, 1, 1, 1, 3, 1])
    rows = [(0, 0, 0), (1, 3.9, 0), (1, 7.7, 0), (5, 7.7, 0), (5, -4.1, 0), (10, 0, 0)]
    found = FindClumps().apply(table(rows, error_x=error), ctx=Context("c"))
    made = found["outputName"]
    assert made["clumpIndex"].tolist() == [1, 1, 1, 1, 1, 2]
    assert made["clumpSize"].tolist() == [5, 5, 5, 5, 5, 1]
    assert len(found["outputClumps"]) == 5
    np.testing.assert_allclose(made["trackVelocity"], [3.9, 3.85, 1.9, 5.9, 11.8, 0], atol=1e-5)
    assert made["clumpEdge"].tolist() == [1, 0, 0, 0, 1, 1]
    once = FindClumps(double_radius=False).apply(table(rows, error_x=error))["outputName"]
    assert once["clumpIndex"].tolist() == [1, 2, 3, 3, 4, 5], "the first frame is too long ago for row 4"
    fixed = FindClumps(clumpRadiusVariable="1.0", clumpRadiusScale=1.9).apply(table(rows, error_x=error))["outputName"]
    assert fixed["clumpIndex"].tolist() == [1, 2, 3, 3, 4, 5], "3.8 is not below 2 * 1.9"


def test_multiview_clumps_have_their_own_radius():
    rows = [(0, 0, 0), (2, 3.5, 0), (3, 5.4, 0)]
    error = np.ones(3)
    made = MultiviewFindClumps(double_radius=False).apply(table(rows, error_x=error))["output_name"]
    assert made["clumpIndex"].tolist() == [1, 2, 2]
    wide = MultiviewFindClumps(radius_offset=2, double_radius=False).apply(table(rows, error_x=error))["output_name"]
    assert wide["clumpIndex"].tolist() == [1, 1, 1]
    aware = MultiviewFindClumps(radius_offset=2, probe_aware=True).apply(table(rows, error_x=error, probe=np.array([0, 1, 0])))
    assert aware["output_name"]["clumpIndex"].tolist() == [1, 3, 2]


@pytest.mark.parametrize(
    ("errors", "settings", "farthest"),
    [
        # Farthest whole distance (nm) that python-microscopy 26.9.3 links, of pairs in frames 0 and 1; errors of the first and the second.
        ((10, 10), {}, 39), ((10, 10), {"radius_scale": 1.0}, 19), ((10, 10), {"radius_offset": 7.0}, 53),
        ((10, 10), {"radius_scale": 0.0, "radius_offset": 7.0}, 13), ((5, 10), {}, 39), ((10, 5), {}, 19),
    ],
)  # fmt: skip
def test_multiview_clumps_reach_as_far_as_pymes(errors, settings, farthest):
    distance = np.arange(10, 60)
    rows = [(frame, 1000.0 * k + frame * d, 0) for frame in (0, 1) for k, d in enumerate(distance)]
    made = MultiviewFindClumps(**settings).apply(table(rows, error_x=np.repeat(np.array(errors, float), len(distance))))
    first, second = np.split(made["output_name"]["clumpIndex"], 2)
    assert distance[first == second].max() == farthest


def test_which_findclumps_is_meant_shows_in_its_parameters():
    tracking = "- FindClumps: {inputName: a, outputName: b, timeWindow: 5}\n- MergeClumps: {inputName: b, outputName: c}\n"
    assert isinstance(Recipe.from_yaml(tracking).steps["FindClumps"], FindClumps)
    other = "- FindClumps: {input_name: a, output_name: b}\n- multiview.MergeClumps: {input_name: b, output_name: c}\n"
    assert isinstance(Recipe.from_yaml(other).steps["FindClumps"], MultiviewFindClumps)


def test_merged_clumps_are_weighted():
    clumps = table([(1, 10, 0), (2, 14, 0), (4, 20, 0), (7, 1, 0)], clumpIndex=np.array([2, 2, 5, 0]), A=np.array([1.0, 2, 3, 4]))
    ctx = Context("m")
    made = MergeClumps().apply(clumps, ctx=ctx)["outputName"]
    assert made["clumpIndex"].tolist() == [2, 5]
    w = np.array([1 / 0.1**2, 1 / 0.2**2])
    np.testing.assert_allclose(made["x"], [(w @ [10, 14]) / w.sum(), 20])
    np.testing.assert_allclose(made["error_x"], [w.sum() ** -0.5, 0.3])
    np.testing.assert_allclose(made["A"], [3, 3])
    np.testing.assert_allclose(made["photons"], [300, 300])
    np.testing.assert_allclose(made["background"], [10.5, 12])
    assert made["frame"].tolist() == [2, 4]
    assert "1 of 4 localizations are of no clump" in ctx.messages[0]
    assert len(MergeClumps(first_label=0).apply(clumps)["outputName"]) == 3


def test_errors_that_are_missing_are_told():
    hurt = table([(1, 10, 0), (2, 14, 0)], clumpIndex=np.array([1, 1]), error_x=np.array([0.0, 0.0]))
    ctx = Context("m")
    made = MergeClumps().apply(hurt, ctx=ctx)["outputName"]
    assert made["x"].tolist() == [12.0]
    assert np.isnan(made["error_x"]).all()
    assert "error_x" in ctx.warnings[0]
    partly = table([(1, 10, 0), (2, 14, 0)], clumpIndex=np.array([1, 1]), error_x=np.array([0.0, 2.0]))
    assert MergeClumps().apply(partly)["outputName"]["x"].tolist() == [14.0]


def test_a_radius_of_nothing_is_refused():
    with pytest.raises(DataError, match="error_x"):
        FindClumps().apply(table([(1, 2, 3)], error_x=np.array([0.0])))
