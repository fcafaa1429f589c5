"""Drift from beads, against simulations whose truth is known."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from recipes_core.data import Drift, Localizations, Table
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import Locs_Fiducials
from recipes_modules.fiducial.linking import Track, cleaned, link
from recipes_modules.fiducial.smoother import random_walk

N = 6000
USED, RARE, BLINKS, JUMPS, MOVES = range(5)


def movie(
    seed: int,
    precisions: tuple[float, ...] = (6.0, 8.0, 10.0, 12.0, 7.0),
    *,
    presence: float = 0.95,
    gap: tuple[int, int] | None = None,
    bad: dict[int, str] | None = None,
    molecules: int = 10_000,
    depth: float = 0.0,
) -> tuple[Localizations, Drift, np.ndarray]:
    """Beads and blinking molecules that drift, the correction that undoes it, and the places of the beads at frame 0."""
    rng = np.random.default_rng(seed)
    t = np.arange(N) / N
    drift = np.column_stack([300 * np.sin(5 * t), -200 * t, depth * np.sin(4 * t)])
    drift += np.cumsum(rng.normal(0, 0.3, (N, 3)), axis=0) * [1, 1, depth > 0]
    drift -= drift[0]
    places = np.column_stack([rng.uniform(500, 8500, (len(precisions), 2)), np.zeros(len(precisions))])
    rows = []
    for b, precision in enumerate(precisions):
        kind = (bad or {}).get(b, "")
        seen = rng.random(N) < (0.6 if kind == "blinks" else presence)
        if gap:
            seen[slice(*gap)] = False
        if kind == "bleaches":
            seen[N // 2 :] = False
        frames = np.flatnonzero(seen)
        way = places[b] + drift[frames] + rng.normal(0, precision, (len(frames), 3)) * [1, 1, 2 * (depth > 0)]
        if kind == "jumps":
            way[frames > 0.6 * N] += [60, -30, 0]
        if kind == "moves":
            way += np.column_stack([80 * t, 40 * np.sin(9 * t), 0 * t])[frames]
        rows.append(np.column_stack([way, frames]))
    start, length = rng.integers(0, N, molecules), rng.geometric(0.5, molecules)
    frames = np.repeat(start, length) + np.concatenate([np.arange(k) for k in length])
    spots = np.repeat(np.column_stack([rng.uniform(0, 9000, (molecules, 2)), np.zeros(molecules)]), length, axis=0)[frames < N]
    frames = frames[frames < N]
    rows.append(np.column_stack([spots + drift[frames] + rng.normal(0, 15, spots.shape) * [1, 1, depth > 0], frames]))
    table = rng.permutation(np.concatenate(rows))
    columns = {"x": table[:, 0], "y": table[:, 1], "frame": table[:, 3].astype(np.int32)}
    if depth:
        columns["z"] = table[:, 2]
    return Localizations(columns), Drift(np.arange(N), -drift, exact=True), places


def run(table: Table, ctx: Context | None = None, **parameters: object) -> tuple[Drift, Table]:
    made = Locs_Fiducials(**parameters).apply(table, ctx=ctx)
    return made["output_drift"], made["output_beads"]


class TestFound:
    def test_all_beads_and_nothing_else(self) -> None:
        table, truth, places = movie(0)
        drift, beads = run(table)
        assert len(beads) == 5
        assert beads["used"].all()
        order = np.argsort(beads["x"])
        expected = places[np.argsort(places[:, 0])]
        found = np.column_stack([beads["x"], beads["y"]])[order]
        np.testing.assert_allclose(found - found.mean(axis=0), (expected - expected.mean(axis=0))[:, :2], atol=1)
        # Where they were at frame 0 is known as well as the drift there.
        np.testing.assert_allclose(found, expected[:, :2], atol=4 * drift.error[0, 0])
        np.testing.assert_allclose(beads["precision_x"][order], np.array([6, 8, 10, 12, 7])[np.argsort(places[:, 0])], rtol=0.1)
        np.testing.assert_allclose(beads["presence"], 0.95, atol=0.01)
        np.testing.assert_array_equal(drift.frames, np.arange(N))
        assert drift.at([0.0])[0] == pytest.approx(np.zeros(3))
        # Better than the weighted mean of each frame alone.
        alone = 1 / np.sqrt(np.sum(1 / np.array([6.0, 8, 10, 12, 7]) ** 2))
        assert drift.rmse(truth)[:2].max() < 0.6 * alone

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_errors_are_right(self, seed: int) -> None:
        table, truth, _ = movie(seed, presence=0.9, gap=(2500, 2560))
        drift, _ = run(table)
        left = drift.correction - truth.correction
        left -= left.mean(axis=0)
        pulls = left[:, :2] / drift.error[:, :2]
        assert 0.65 < np.sqrt(np.mean(pulls**2)) < 1.2

    def test_z(self) -> None:
        table, truth, _ = movie(4, depth=150.0)
        drift, beads = run(table)
        assert drift.rmse(truth).max() < 2.5
        assert drift.error[:, 2].mean() > drift.error[:, 0].mean()
        assert "residual_z" in beads.columns

    def test_gaps_are_bridged_with_larger_errors(self) -> None:
        table, truth, _ = movie(5, gap=(3000, 3200), molecules=1)
        ctx = Context("s")
        drift, _ = run(table, ctx)
        assert drift.error[3100, 0] > 3 * drift.error[2900, 0]
        assert drift.error[3100, 0] > drift.error[3010, 0]
        assert (
            abs(drift.at([3100.0])[0, 0] - truth.at([3100.0])[0, 0] - np.mean(drift.correction - truth.correction, axis=0)[0])
            < 15
        )
        assert any("bridged" in message for message in ctx.messages)

    def test_picked_by_hand(self) -> None:
        table, truth, places = movie(6, bad={0: "blinks"})
        ctx = Context("s")
        wanted = [[places[0, 0] + 40, places[0, 1]], list(places[2, :2]), [20_000.0, 0.0]]
        drift, beads = run(table, ctx, positions=wanted)
        np.testing.assert_allclose(np.column_stack([beads["x"], beads["y"]]), places[[0, 2], :2], atol=8)
        assert drift.rmse(truth)[:2].max() < 3
        assert any("20000" in warning for warning in ctx.warnings)

    def test_found_again_after_it_was_lost(self) -> None:
        table, truth, _ = movie(7, gap=(2000, 2400), molecules=1)
        drift, beads = run(table, max_gap=20)
        assert len(beads) == 5
        np.testing.assert_allclose(beads["presence"], 0.95 * 5600 / 6000, atol=0.01)
        assert drift.rmse(truth)[:2].max() < 4


class TestBad:
    @pytest.mark.parametrize("seed", [10, 11, 12])
    @pytest.mark.parametrize(("kind", "reason"), [("jumps", JUMPS), ("moves", MOVES), ("blinks", BLINKS), ("bleaches", RARE)])
    def test_one_bad_bead(self, kind: str, reason: int, seed: int) -> None:
        # The most precise one is the bad one, which any weighted mean would follow.
        table, truth, places = movie(seed, (4.0, 8.0, 10.0, 9.0), bad={0: kind})
        ctx = Context("s")
        drift, beads = run(table, ctx)
        near = np.hypot(beads["x"] - places[0, 0], beads["y"] - places[0, 1]) < 100
        np.testing.assert_array_equal(beads["used"], ~near)
        assert beads["reason"][near] == [reason]
        assert (beads["reason"][~near] == USED).all()
        assert drift.rmse(truth)[:2].max() < 2
        assert any("left out" in message for message in ctx.messages)

    def test_two_of_five(self) -> None:
        table, truth, _ = movie(13, bad={0: "jumps", 1: "moves"})
        drift, beads = run(table)
        assert sorted(beads["reason"]) == [USED, USED, USED, JUMPS, MOVES]
        assert drift.rmse(truth)[:2].max() < 2

    def test_nothing_is_dropped_where_that_is_not_wanted(self) -> None:
        table, truth, _ = movie(10, bad={0: "jumps"})
        drift, beads = run(table, drop_bad=False)
        assert beads["used"].all()
        assert drift.rmse(truth)[:2].max() > 5

    def test_good_beads_stay(self) -> None:
        for seed in range(20, 24):
            table, _, _ = movie(seed, (5.0, 20.0, 8.0, 30.0), molecules=500)
            assert run(table, radius=200)[1]["used"].all()

    def test_few_beads_cannot_be_checked(self) -> None:
        ctx = Context("s")
        table, truth, _ = movie(14, (6.0,))
        drift, beads = run(table, ctx)
        assert len(beads) == 1
        assert any("three or more" in warning for warning in ctx.warnings)
        assert drift.rmse(truth)[:2].max() < 2

    def test_no_beads(self) -> None:
        rng = np.random.default_rng(0)
        table = Localizations(
            {"x": rng.uniform(0, 9000, 5000), "y": rng.uniform(0, 9000, 5000), "frame": rng.integers(0, 3000, 5000)}
        )
        with pytest.raises(DataError, match="no bead") as caught:
            run(table)
        assert caught.value.code == "D480"
        with pytest.raises(DataError, match="picked"):
            run(table, positions=[[1.0, 1.0]])

    @pytest.mark.parametrize(
        "columns",
        [
            {"x": [], "y": [], "frame": []},
            {"x": [1.0], "y": [1.0], "frame": [0]},
            {"x": [1.0, 2.0], "y": [1.0, np.nan], "frame": [0, 1]},
            {"x": np.ones(9), "y": np.ones(9), "frame": np.zeros(9)},
            {"x": np.ones(9), "y": np.ones(9), "frame": np.arange(9) / 2},
        ],
    )
    def test_too_little(self, columns: dict[str, list[float]]) -> None:
        with pytest.raises(DataError) as caught:
            run(Table({name: np.array(values, dtype=float) for name, values in columns.items()}))
        assert caught.value.code == "D481"

    def test_rows_without_a_value_negative_and_unsorted_frames(self) -> None:
        table, _, _ = movie(15)
        expected = run(table)[0]
        x = np.append(table["x"], [np.nan, 5.0])
        moved = Localizations(
            {"x": x, "y": np.append(table["y"], [1.0, np.inf]), "frame": np.append(table["frame"], [0, 1]) - 1000.0}
        )
        drift, _ = run(moved)
        np.testing.assert_array_equal(drift.frames, expected.frames - 1000)
        np.testing.assert_array_equal(drift.correction, expected.correction)

    def test_a_bead_twice_in_each_frame(self) -> None:
        table, truth, _ = movie(16, molecules=1)
        double = Localizations({name: np.concatenate([table[name], table[name]]) for name in table.columns})
        drift, _ = run(double)
        assert drift.rmse(truth)[:2].max() < 2


class TestTracks:
    def test_of_a_pyme_file(self, tmp_path: Path) -> None:
        table, _, _ = movie(17, molecules=1)
        inner = np.dtype([("A", "<f4"), ("x0", "<f4"), ("y0", "<f4")])
        rows = np.zeros(len(table), [("tIndex", "<i4"), ("fitResults", inner), ("fitError", inner), ("resultCode", "<i4")])
        order = np.argsort(table["frame"])
        rows["tIndex"] = table["frame"][order]
        rows["fitResults"]["x0"], rows["fitResults"]["y0"] = table["x"][order], table["y"][order]
        with h5py.File(tmp_path / "series.h5r", "w") as file:
            file["DriftResults"] = rows
            file["FitResults"] = rows[:10]
        drift, beads = run(Table.load(tmp_path / "series.h5r?table=DriftResults"))
        assert len(beads) == 5
        np.testing.assert_allclose(drift.correction, run(table)[0].correction, atol=0.05)

    def test_linking(self) -> None:
        rng = np.random.default_rng(0)
        frame = np.repeat(np.arange(100), 2)
        places = np.tile([[0.0, 0, 0], [300, 0, 0]], (100, 1)) + rng.normal(0, 5, (200, 3))
        keep = ~((frame >= 40) & (frame < 60) & (places[:, 0] > 150))
        tracks = link(frame[keep], places[keep], 100.0, 30, 5)
        assert sorted(len(track) for track in tracks) == [80, 100]
        short = link(frame[keep], places[keep], 100.0, 10, 5)
        assert sorted(len(track) for track in short) == [40, 40, 100]

    def test_strangers_are_left_out_of_a_track(self) -> None:
        rng = np.random.default_rng(0)
        way = np.column_stack([np.arange(200) * 0.5, np.zeros((200, 2))]) + rng.normal(0, 3, (200, 3))
        way[[50, 120, 121]] += [70, -50, 0]
        kept = cleaned(Track(np.arange(200), way))
        assert not np.isin([50, 120, 121], kept.frames).any()
        assert len(kept) > 190


class TestSmoother:
    @pytest.mark.parametrize(("step", "noise"), [(0.5, 5.0), (2.0, 1.0), (0.05, 8.0)])
    def test_step_and_errors(self, step: float, noise: float) -> None:
        rng = np.random.default_rng(0)
        truth = np.cumsum(rng.normal(0, step, 20_000))
        variance = np.full(20_000, noise**2)
        variance[rng.random(20_000) < 0.2] = np.inf
        values = truth + rng.normal(0, noise, 20_000)
        walk, error, found = random_walk(values, variance)
        assert found == pytest.approx(step, rel=0.2)
        assert np.sqrt(np.mean(((walk - truth) / error) ** 2)) == pytest.approx(1, abs=0.1)

    def test_ends_without_values(self) -> None:
        variance = np.full(50, np.inf)
        variance[20:30] = 1.0
        walk, error, _ = random_walk(np.arange(50.0), variance)
        assert np.isfinite(walk).all()
        assert np.isfinite(error).all()
        assert error[0] > error[19] > error[25]
        assert error[49] > error[31]


def test_a_movie_without_markers_is_told() -> None:
    empty = np.empty(0)
    with pytest.raises(DataError, match="no fiducial marker was found") as caught:
        run(Table({"x": empty, "y": empty, "frame": empty.astype(np.int32)}))
    assert caught.value.code == "D481"


def test_one_far_off_does_not_discard_the_others() -> None:
    """A molecule beside one of four beads draws their mean by many standard deviations; the frame still has three good ones."""
    rng = np.random.default_rng(3)
    n, precision = 400, 1.0
    drift = np.column_stack([np.linspace(0, 80, n), np.linspace(0, -50, n)])
    places = np.array([[1000, 1000], [6000, 1500], [3000, 7000], [8000, 8000]])
    way = places[:, None] + drift + rng.normal(0, precision, (4, n, 2))
    for first in range(20, n - 20, 60):
        way[3, first : first + 8] += [0, 40]
    table = Localizations(
        {"x": way[:, :, 0].ravel(), "y": way[:, :, 1].ravel(), "frame": np.tile(np.arange(n), 4).astype(np.int32)}
    )
    ctx = Context("fiducials")
    found, _ = run(table, ctx, drop_bad=False)
    assert not any("bridged" in line for line in ctx.messages)
    error = -found.at(np.arange(n))[:, :2] - drift
    error -= error.mean(axis=0)
    assert np.sqrt((error**2).mean()) < precision


def test_figure(tmp_path: Path) -> None:
    table, _, _ = movie(18, bad={0: "jumps", 1: "blinks"})
    made = Locs_Fiducials().apply(table)
    figure = made["output_plot"]
    assert len(figure.panels) == 4
    labels = {series.label for panel in figure.panels for series in panel.content}
    assert any("jumps" in label for label in labels)
    assert figure.save(tmp_path / "beads.png").stat().st_size > 5000


def test_deterministic() -> None:
    table, _, _ = movie(19, molecules=1000)
    assert run(table)[0].correction.tobytes() == run(table)[0].correction.tobytes()
