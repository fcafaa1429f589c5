"""Locs_Drift: right on good data, and never a wrong drift called good."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

from recipes_core.data import Drift, Localizations, Scalars
from recipes_core.errors import ColumnError, DataError, ExecutionError, UsageError
from recipes_core.module import Context
from recipes_modules.drift_auto import Locs_Drift
from recipes_modules.simulate import Locs_Simulate

FILAMENTS = {
    "n_localizations": 40_000, "n_frames": 5_000, "field": 6.0, "n_filaments": 10, "on_time": 2.0, "precision": 14.0,
    "drift": "sinusoid", "drift_roughness": 0.35, "drift_amplitude": (200.0, 150.0, 0.0),
}  # fmt: skip


def simulate(seed: int = 1, **parameters: object) -> tuple[Localizations, Drift]:
    made = Locs_Simulate(**{**FILAMENTS, **parameters}).apply(seed=seed)
    table = made["output_localizations"]
    kept = [name for name in table.columns if name not in ("z", "error_z") or parameters.get("depth")]
    return table.only(kept), made["output_drift"]


def measure(table: Localizations, **parameters: object) -> tuple[Drift, Scalars, Context]:
    ctx = Context("s", wanted=["output_drift", "output_localizations", "output_verdict"])
    made = Locs_Drift(**{"allow_failed": True, **parameters}).apply(table, ctx=ctx)
    return made["output_drift"], made["output_verdict"], ctx


def table_of(x: np.ndarray, y: np.ndarray, frame: np.ndarray, precision: float = 0.0) -> Localizations:
    columns = {"x": x, "y": y, "frame": frame}
    if precision:
        columns |= {name: np.full(len(x), precision) for name in ("error_x", "error_y")}
    return Localizations(columns)


@pytest.fixture(scope="module")
def small() -> tuple[Localizations, Drift]:
    return simulate()


class TestGood:
    def test_filaments(self, small: tuple[Localizations, Drift]) -> None:
        table, truth = small
        drift, verdict, ctx = measure(table)
        assert verdict["verdict"] == "good", verdict["reasons"]
        assert ctx.warnings == []
        rmse = drift.rmse(truth)[:2]
        assert rmse.max() < 3.0
        # What it says of its own error holds.
        said = np.array([verdict["error_x"], verdict["error_y"]])
        assert (rmse < 1.5 * said).all()
        assert (said < 2.5 * rmse).all()
        assert verdict["frc_after"] < 0.7 * verdict["frc_before"]
        assert verdict["nena_after"] == pytest.approx(verdict["nena_before"], rel=0.02)
        assert any("estimate" in line and "check" in line for line in ctx.messages)

    def test_corrected_table(self, small: tuple[Localizations, Drift]) -> None:
        table, _ = small
        made = Locs_Drift(verify=False).apply(table)
        corrected, drift = made["output_localizations"], made["output_drift"]
        np.testing.assert_allclose(corrected["x"] - table["x"], drift.at(table["frame"])[:, 0], atol=2e-3)
        assert made["output_verdict"]["verdict"] == "not checked"

    @pytest.mark.slow
    def test_good_is_the_rule_and_what_it_says_of_the_error_holds(self) -> None:
        words = []
        for seed in range(11, 19):
            table, truth = simulate(seed)
            drift, verdict, _ = measure(table)
            words.append(verdict["verdict"])
            # Error bars of the method that are too small by far are seen in the halves.
            assert (drift.rmse(truth)[:2] < 1.6 * np.array([verdict["error_x"], verdict["error_y"]])).all()
        assert words.count("good") >= 6
        assert "failed" not in words

    def test_blobs_that_are_seen_once(self) -> None:
        table, truth = simulate(
            1, kind="thomas", field=1.0, n_clusters=100, cluster_size=500.0, cluster_sigma=10.0, localizations_per_frame=3.0,
            on_time=1.0, precision=0.0, background=0.0, drift="linear", drift_roughness=0.0, drift_amplitude=(60.0, 30.0, 0.0),
        )  # fmt: skip
        drift, verdict, _ = measure(table)
        assert verdict["verdict"] == "good", verdict["reasons"]
        assert drift.rmse(truth)[:2].max() < 0.5

    @pytest.mark.slow
    def test_grids_of_molecules_that_are_seen_once(self) -> None:
        table, truth = simulate(2, kind="grids", n_clusters=30, site_spacing=50.0, on_time=1.0, background=0.0, precision=10.0)
        drift, verdict, _ = measure(table)
        assert verdict["verdict"] == "good", verdict["reasons"]
        assert drift.rmse(truth)[:2].max() < 3.0

    def test_z(self) -> None:
        table, truth = simulate(3, depth=600.0, axial_precision=35.0, drift_amplitude=(200.0, 150.0, 100.0))
        drift, verdict, _ = measure(table)
        assert verdict["verdict"] == "good", verdict["reasons"]
        assert drift.rmse(truth)[2] < 4.0
        assert "error_z" in verdict.keys()
        assert not measure(table, flatten_z=True, verify=False)[0].correction[:, 2].any()

    @pytest.mark.slow
    def test_a_jump(self) -> None:
        table, truth = simulate(4, jump=(200.0, 0.0, 0.0))
        drift, verdict, ctx = measure(table)
        assert verdict["verdict"] == "good", verdict["reasons"]
        assert drift.rmse(truth)[:2].max() < 5.0
        assert any("jumps before frame 2,5" in line for line in ctx.messages)

    @pytest.mark.slow
    def test_no_drift_is_a_result(self) -> None:
        drift, verdict, _ = measure(simulate(5, drift="none")[0])
        assert verdict["verdict"] == "good", verdict["reasons"]
        assert "hardly any drift" in verdict["reasons"]
        assert np.ptp(drift.correction[:, :2], axis=0).max() < 3

    @pytest.mark.slow
    def test_colours(self) -> None:
        table, truth = simulate(6, n_channels=2, channel_shift=(30.0, 0.0, 0.0))
        for column in ("", "channel"):
            drift, verdict, _ = measure(table, channel_column=column)
            assert verdict["verdict"] == "good", verdict["reasons"]
            assert drift.rmse(truth)[:2].max() < 3.0

    @pytest.mark.slow
    @pytest.mark.parametrize("tracks", [False, True])
    def test_beads_that_agree(self, tracks: bool) -> None:
        table, truth = beads(10, tracks=tracks)
        drift, verdict, _ = measure(table)
        assert verdict["verdict"] == "good", verdict["reasons"]
        assert drift.rmse(truth)[:2].max() < 1.5

    @pytest.mark.slow
    def test_colours_one_after_the_other_in_the_table(self) -> None:
        table, truth = simulate(7)
        order = np.r_[0 : len(table) : 2, 1 : len(table) : 2]
        drift, verdict, _ = measure(table.select(order))
        assert verdict["verdict"] == "good", verdict["reasons"]
        assert "runs_apart_x" in verdict.keys()
        assert drift.rmse(truth)[:2].max() < 3.0


def beads(n: int, wander: float = 0.0, *, tracks: bool = False) -> tuple[Localizations, Drift]:
    """Only beads; with `wander` each also moves by itself, with `tracks` they stand in the table one after the other."""
    truth = simulate(8)[1]
    rng = np.random.default_rng(8)
    places, frames = [], []
    for _ in range(n):
        frame = np.flatnonzero(rng.random(5_000) < 0.95)
        own = np.cumsum(wander * rng.normal(size=(5_000, 2)), axis=0)[frame]
        places.append(rng.uniform(1000, 5000, 2) - truth.correction[frame, :2] + own + 2 * rng.normal(size=(len(frame), 2)))
        frames.append(frame)
    place, frame = np.concatenate(places), np.concatenate(frames)
    order = np.argsort(frame, kind="stable") if not tracks else slice(None)
    place, frame = place[order], frame[order]
    return table_of(place[:, 0], place[:, 1], frame, 2.0), truth


def uniform(n: int, field: float, precision: float = 10.0) -> Localizations:
    rng = np.random.default_rng(0)
    return table_of(rng.uniform(0, field, n), rng.uniform(0, field, n), np.sort(rng.integers(0, 5000, n)), precision)


def stuck(localizations: int) -> Localizations:
    """One molecule that comes back on its way."""
    rng = np.random.default_rng(1)
    frame = np.sort(rng.choice(5000, localizations, replace=False))
    x = np.cumsum(rng.normal(size=5000))[frame] + 5 * rng.normal(size=localizations)
    return table_of(x, 5 * rng.normal(size=localizations), frame)


def noise_without_structure() -> Localizations:
    """Molecules anywhere, each on for three frames."""
    rng = np.random.default_rng(2)
    start, place = np.sort(rng.integers(0, 5000, 20_000)), rng.uniform(0, 8000, (20_000, 2))
    seen = np.repeat(place, 3, axis=0) + rng.normal(0, 10, (60_000, 2))
    return table_of(*seen.T, (start[:, None] + np.arange(3)).ravel(), 10.0)


def shuffled(seed: int, **parameters: object) -> Localizations:
    table = simulate(seed, **parameters)[0]
    return table.with_columns({"frame": np.random.default_rng(3).permutation(table["frame"])})


def two_movies() -> Localizations:
    first, second = simulate(1)[0], simulate(2)[0]
    return Localizations({name: np.concatenate([first[name], second[name]]) for name in first.columns})


def only_half_moves() -> Localizations:
    table = simulate(11)[0]
    return table.with_columns({"x": table["x"] + np.where(table["x"] > 3000, 0.05, 0) * table["frame"]})


def camera_field() -> Localizations:
    """Micrometres of drift under a field that cuts off what leaves it."""
    table = simulate(4, n_localizations=100_000, drift_amplitude=(3000.0, 3000.0, 0.0))[0]
    return table.select((table["x"] > 2000) & (table["x"] < 5000) & (table["y"] > 2000) & (table["y"] < 5000))


NOT_GOOD = {
    "uniform": lambda: uniform(30_000, 8000.0),
    "uniform, dense, with sharp edges": lambda: uniform(200_000, 3000.0),
    "uniform, no errors": lambda: uniform(30_000, 8000.0, 0.0),
    "molecules without structure": noise_without_structure,
    "one molecule, often": lambda: stuck(4000),
    "one molecule, seldom": lambda: stuck(300),
    "one bead": lambda: beads(1)[0],
    "two beads": lambda: beads(2)[0],
    "beads that wander": lambda: beads(5, wander=1.0)[0],
    "frames shuffled": lambda: shuffled(1),
    "frames shuffled, large drift": lambda: shuffled(2, drift_amplitude=(900.0, 900.0, 0.0)),
    "frames begin anew": two_movies,
    "half of the field moves": only_half_moves,
    "field of the camera": camera_field,
    "few": lambda: simulate(7, n_localizations=400)[0],
    "background": lambda: simulate(7, background=0.985)[0],
}
QUICK = ("uniform", "molecules without structure", "one molecule, seldom", "frames shuffled", "field of the camera", "few")


class TestNeverCalledGood:
    @pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NOT_GOOD])
    def test_what_cannot_be_right(self, name: str) -> None:
        try:
            _, verdict, ctx = measure(NOT_GOOD[name]())
        except DataError:
            return
        assert verdict["verdict"] != "good"
        assert any(verdict["verdict"] in line or "failed" in line for line in ctx.warnings)

    @pytest.mark.parametrize("seed", range(21, 27))
    @pytest.mark.parametrize(("n", "size"), [(1000, 150.0), (3000, 3000.0), (20_000, 6000.0)])
    @pytest.mark.slow
    def test_few_and_fast(self, seed: int, n: int, size: float) -> None:
        """A good drift is off by less than a precision, and about as much as it says."""
        table, truth = simulate(seed, n_localizations=n, drift="random_walk", drift_amplitude=(size, size, 0.0))
        try:
            drift, verdict, _ = measure(table)
        except DataError:
            return
        if verdict["verdict"] == "good":
            frames = np.unique(table["frame"])
            off = np.std((drift.at(frames) - truth.at(frames))[:, :2], axis=0)
            assert off.max() < 14.0
            assert (off < 2.5 * np.array([verdict["error_x"], verdict["error_y"]]) + 1).all()

    @pytest.mark.slow
    def test_drift_larger_than_the_field(self) -> None:
        table, truth = simulate(3, field=3.0, drift_amplitude=(9000.0, 6000.0, 0.0), drift="linear", drift_roughness=0.0)
        drift, verdict, _ = measure(table)
        if verdict["verdict"] == "good":
            assert drift.rmse(truth)[:2].max() < 7.0

    def test_a_wrong_drift_is_seen_by_the_check_itself(self, small: tuple[Localizations, Drift]) -> None:
        """Methods apart: wrong drifts that a method might give, handed to the check."""
        from recipes_modules.drift_apply import shifted
        from recipes_modules.verdict.check import Found, check
        from recipes_modules.verdict.methods import Method

        table, truth = small
        first = 2_500
        step = np.where(truth.frames < first, 0.0, 150.0)[:, None] * [1, 0, 0]
        rng = np.random.default_rng(0)
        wrong = {
            "jump": truth.correction + step,
            "none": truth.correction * 0,
            "opposite": -truth.correction,
            "shaking": truth.correction + 30 * rng.normal(size=truth.correction.shape) * [1, 1, 0],
        }
        error = np.full((len(truth), 3), 1.0)
        for name, correction in wrong.items():
            drift = Drift(truth.frames, correction, error=error, exact=True)
            found = Found(drift, Method("entropy", deep=False), (), ())
            ctx = Context("s")
            verdict = check(ctx, table, shifted(table, drift, ctx), found, np.array([14.0, 14.0, 0.0]))[1]
            assert verdict.word == "failed", (name, verdict.reasons)

    @pytest.mark.parametrize(("first", "last"), [(0, 0), (1, 1), (2_500, 2_501), (4_999, 4_999)])
    def test_frames_far_away_that_hardly_anything_shows(self, small: tuple[Localizations, Drift], first: int, last: int) -> None:
        from recipes_modules.drift_apply import shifted
        from recipes_modules.verdict.check import Found, check
        from recipes_modules.verdict.methods import Method

        table, truth = small
        correction = truth.correction.copy()
        correction[first : last + 1, 0] += 1600.0
        drift = Drift(truth.frames, correction, error=np.full((len(truth), 3), 1.5), exact=True)
        ctx = Context("s")
        found = Found(drift, Method("entropy", deep=False), (), ())
        verdict = check(ctx, table, shifted(table, drift, ctx), found, np.array([14.0, 14.0, 0.0]))[1]
        assert verdict.word != "good"
        told = [re.search(r"lies? ([\d,]+) nm along x from the frames around", reason) for reason in verdict.reasons]
        assert [float(match[1].replace(",", "")) for match in told if match] == [pytest.approx(1600, abs=8)], verdict.reasons

    def test_one_localization_in_the_first_frame(self) -> None:
        """A background localization that is alone in frame 0."""
        table, truth = simulate(12)
        drift, verdict, _ = measure(table)
        assert verdict["verdict"] == "good", verdict["reasons"]
        off = (drift.correction - truth.at(drift.frames))[:, :2]
        assert np.abs(off - off.mean(axis=0)).max() < 15.0

    @pytest.mark.parametrize(
        "parameters",
        [
            {"jump": (200.0, 0.0, 0.0)},
            {"drift_amplitude": (3000.0, 3000.0, 0.0)},
            {"drift": "random_walk", "drift_amplitude": (6000.0, 6000.0, 0.0), "n_localizations": 3000},
            {"n_localizations": 400},
        ],
    )
    def test_right_drifts_are_nowhere_alone(self, parameters: dict[str, object]) -> None:
        from recipes_modules.verdict.alone import find_alone
        from recipes_modules.verdict.compare import Moments

        for seed in range(4):
            table, truth = simulate(seed, **parameters)
            moments = Moments.of(np.asarray(table["frame"], dtype=np.float64))
            assert find_alone(truth, moments, np.array([14.0, 14.0, 35.0]), 2) == []

    def test_failed_is_an_error_unless_allowed(self) -> None:
        table = two_movies()
        with pytest.raises(ExecutionError, match=r"failed its check.*allow_failed"):
            measure(table, method="entropy", allow_failed=False)
        _, verdict, ctx = measure(table, method="entropy")
        assert verdict["verdict"] == "failed"
        assert any("failed its check" in line for line in ctx.warnings)


class TestMethods:
    @pytest.mark.parametrize(("method", "bound"), [("entropy", 3.0), ("aim", 6.0), ("rcc", 12.0)])
    def test_each(self, small: tuple[Localizations, Drift], method: str, bound: float) -> None:
        table, truth = small
        drift, verdict, _ = measure(table, method=method)
        assert drift.exact
        assert drift.rmse(truth)[:2].max() < bound
        assert verdict["verdict"] != "failed"

    def test_windows_too_long_for_the_drift(self, small: tuple[Localizations, Drift]) -> None:
        """Halves agree on a drift that both average away; the comparison with a finer method shows it."""
        _, verdict, _ = measure(small[0], method="rcc", segmentation=1200)
        assert verdict["verdict"] != "good"

    def test_settings_follow_from_the_data(self) -> None:
        from recipes_modules.verdict.methods import choose

        few, many = (
            choose("aim", n, 10_000, 10.0, deep=True, channel="", segmentation=None).settings for n in (10_000, 1_000_000)
        )
        assert few["segmentation"] > 50 * many["segmentation"] > 0
        assert few["segmentation_z"] >= few["segmentation"]
        assert choose("rcc", 10**6, 10_000, 10.0, deep=False, channel="", segmentation=77).settings["window"] == 77

    def test_number_of_threads(self, small: tuple[Localizations, Drift]) -> None:
        found = []
        for n in (1, 2):
            ctx = Context("s", n_threads=n, wanted=["output_drift", "output_localizations", "output_verdict"])
            made = Locs_Drift().apply(small[0], ctx=ctx)
            found.append((made["output_drift"].correction.tobytes(), made["output_verdict"].values))
        assert found[0] == found[1]

    def test_progress_grows(self, small: tuple[Localizations, Drift]) -> None:
        class Listening(Context):
            def progress(self, done: float, total: float) -> None:
                seen.append(done / total)

        seen: list[float] = []
        Locs_Drift().apply(small[0], ctx=Listening("s", wanted=[]))
        assert all(b >= a - 1e-9 for a, b in pairwise(seen))
        assert 0.8 < seen[-1] <= 1

    def test_figures(self, small: tuple[Localizations, Drift], tmp_path: object) -> None:
        made = Locs_Drift().apply(small[0], ctx=Context("s"))
        for port, panels in (("drift_plot", 2), ("path_plot", 1), ("before_after", 4), ("check_plot", 6)):
            figure = made[f"output_{port}"]
            assert len(figure.panels) == panels
            assert figure.save(tmp_path / f"{port}.png").stat().st_size > 10_000


class TestBadInput:
    def test_order_and_origin_of_frames(self, small: tuple[Localizations, Drift]) -> None:
        table = small[0]
        expected = measure(table, verify=False)[0]
        rng = np.random.default_rng(0)
        mixed = table.with_columns({"frame": table["frame"] - 1000}).select(rng.permutation(len(table)))
        drift, verdict, _ = measure(mixed)
        assert drift.frames[0] == expected.frames[0] - 1000
        # Localizations of one frame in another order can be linked otherwise.
        assert np.std(drift.correction - expected.correction, axis=0).max() < 0.8
        assert verdict["verdict"] == "good", verdict["reasons"]

    def test_duplicates_and_nan(self, small: tuple[Localizations, Drift]) -> None:
        table, truth = small
        x, frame = table["x"].astype(float), table["frame"].astype(float)
        x[::50] = np.nan
        frame[7::50] = np.nan
        holes = table.with_columns({"x": x, "frame": frame})
        drift, verdict, _ = measure(holes.select(np.repeat(np.arange(len(table)), 2)))
        assert verdict["verdict"] == "good", verdict["reasons"]
        assert drift.rmse(truth)[:2].max() < 4.0

    @pytest.mark.parametrize("method", ["auto", "aim", "rcc"])
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.select(slice(0, 0)), "no localizations"),
            (lambda t: t.select(slice(0, 1)), "1 localization"),
            (lambda t: t.with_columns({"frame": np.zeros(len(t), int)}), "cover 1 frame"),
            (lambda t: t.with_columns({"x": np.full(len(t), 5.0), "y": np.full(len(t), 5.0)}), "same position"),
            (lambda t: t.with_columns({"x": np.full(len(t), np.nan)}), "finite"),
        ],
    )
    def test_nothing_to_measure(self, small: tuple[Localizations, Drift], method: str, change: object, message: str) -> None:
        with pytest.raises(DataError, match=message):
            measure(change(small[0]), method=method)

    def test_z(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(ColumnError, match="no column 'z'"):
            measure(small[0], flatten_z=False)
        flat = small[0].with_columns({"z": np.zeros(len(small[0]))})
        with pytest.raises(DataError, match="same z"):
            measure(flat, flatten_z=False, verify=False)
        assert any("same z" in line for line in measure(flat, verify=False)[2].messages)

    def test_windows_longer_than_the_movie(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="not more than one window"):
            measure(small[0], method="rcc", segmentation=100_000)

    def test_channels(self, small: tuple[Localizations, Drift]) -> None:
        with pytest.raises(UsageError, match="does not tell channels apart"):
            measure(small[0], method="aim", channel_column="channel")
        with pytest.raises(UsageError, match="cannot be 'x'"):
            measure(small[0], channel_column="x")
