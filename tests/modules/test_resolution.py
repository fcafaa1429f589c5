"""Precision and resolution, against simulations whose truth or theory is known."""

from pathlib import Path

import numpy as np
import pytest

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import FRC, Locs_Simulate, NeNA
from recipes_modules.quality import frc, nena
from recipes_modules.quality.frc import crossing
from recipes_modules.quality.neighbours import Sequence, next_frame_distances


def blinking(
    seed: int,
    *,
    molecules: int = 3000,
    field: float = 20_000.0,
    sigma: float = 10.0,
    n_frames: int = 20_000,
    visits: float = 5.0,
    on: float = 2.0,
    uneven: bool = False,
    where: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Molecules that are on for geometric times, each once with `visits` 1, else as often as Poisson's law says.

    With `uneven` photons, sigma is the root mean square precision.
    """
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, field, (molecules, 2)) if where is None else where
    of = np.repeat(np.arange(len(places)), rng.poisson(visits, len(places)) if visits != 1 else 1)
    start, length = rng.integers(0, n_frames, len(of)), rng.geometric(1 / on, len(of))
    of, frame = np.repeat(of, length), np.repeat(start, length) + np.concatenate([np.arange(k) for k in length])
    of, frame = of[frame < n_frames], frame[frame < n_frames]
    error = np.full(len(of), sigma)
    if uneven:
        error = 1 / np.sqrt(1 + rng.exponential(2.0, len(of)))
        error *= sigma / np.sqrt(np.mean(error**2))
    x, y = (places[of] + rng.normal(size=(len(of), 2)) * error[:, None]).T
    return {"x": x, "y": y, "frame": frame, "error": error}


def clusters(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 20_000, (200, 2))[rng.integers(0, 200, n)] + rng.normal(0, 40, (n, 2))


def painted(seed: int, *, molecules: int, field: float, mean: float, sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Molecules at random, each localized independently `mean` times on average."""
    rng = np.random.default_rng(seed)
    places = np.repeat(rng.uniform(0, field, (molecules, 2)), rng.poisson(mean, molecules), axis=0)
    x, y = (places + rng.normal(0, sigma, places.shape)).T
    return x, y, rng.integers(0, 20_000, len(x))


def frc_theory(mean: float, sigma: float) -> float:
    """Resolution of `painted`: the halves share the molecules, so FRC = a / (1 + a) with a = mean/2 exp(-4 pi^2 sigma^2 q^2)."""
    return 2 * np.pi * sigma / np.sqrt(np.log(3 * mean))


class TestNeighbours:
    def test_brute_force(self) -> None:
        rng = np.random.default_rng(0)
        x, y, frame = rng.uniform(0, 500, 900), rng.uniform(0, 500, 900), rng.integers(0, 40, 900)
        frame[frame == 17] = 16
        sequence = Sequence(x, y, frame)
        found, _ = next_frame_distances(sequence, 60.0, 0, len(sequence.numbers))
        for k in range(900):
            others = sequence.frame == sequence.frame[k] + 1
            distances = np.hypot(sequence.x[others] - sequence.x[k], sequence.y[others] - sequence.y[k])
            expected = distances.min(initial=np.inf)
            assert found[k] == pytest.approx(expected if expected < 60 else np.inf)


class TestPrecision:
    @pytest.mark.parametrize("sigma", [4.0, 10.0, 40.0])
    def test_sparse(self, sigma: float) -> None:
        data = blinking(1, sigma=sigma)
        found = nena(data["x"], data["y"], data["frame"])
        assert found.precision == pytest.approx(sigma, rel=0.03)
        assert found.band[0] < sigma * 1.005
        assert found.band[1] > sigma * 0.995
        assert found.persistence == pytest.approx(0.5, abs=0.02)

    def test_dense(self) -> None:
        # 9 localizations per um^2 and frame: the nearest one often is another molecule.
        data = blinking(2, molecules=20_000, field=800.0, visits=3)
        found = nena(data["x"], data["y"], data["frame"])
        assert found.precision == pytest.approx(10, rel=0.03)
        others = len(data["x"]) / 20_000 / 0.64
        assert found.density == pytest.approx(others, rel=0.25)

    def test_clusters(self) -> None:
        data = blinking(3, where=clusters(3, 30_000), visits=3, n_frames=4000)
        assert nena(data["x"], data["y"], data["frame"]).precision == pytest.approx(10, rel=0.03)

    @pytest.mark.parametrize("claimed", [False, True])
    def test_localizations_of_different_precision(self, claimed: bool) -> None:
        data = blinking(4, uneven=True, molecules=6000)
        found = nena(data["x"], data["y"], data["frame"], error=data["error"] if claimed else None)
        assert found.precision == pytest.approx(10, rel=0.03)

    def test_claimed_errors_that_are_wrong(self) -> None:
        data = blinking(5, uneven=True, molecules=6000)
        found = nena(data["x"], data["y"], data["frame"], error=data["error"] / 1.7)
        assert found.scale == pytest.approx(1.7, rel=0.03)
        assert found.precision == pytest.approx(10, rel=0.03)

    def test_the_error_is_what_repetitions_scatter(self) -> None:
        found = []
        for seed in range(16):
            data = blinking(100 + seed, molecules=1000)
            found.append(nena(data["x"], data["y"], data["frame"]))
        scatter = np.std([each.precision for each in found], ddof=1)
        assert np.median([each.error for each in found]) == pytest.approx(scatter, rel=0.5)
        assert np.mean([each.precision for each in found]) == pytest.approx(10, rel=0.01)

    def test_drift_hardly_matters(self) -> None:
        data = blinking(6)
        still = nena(data["x"], data["y"], data["frame"]).precision
        moving = nena(data["x"] + 0.05 * data["frame"], data["y"], data["frame"]).precision
        assert moving == pytest.approx(still, rel=0.01)

    def test_order_of_rows_and_threads_do_not_matter(self) -> None:
        data = blinking(7, molecules=500)
        order = np.random.default_rng(0).permutation(len(data["x"]))
        mixed = nena(data["x"][order], data["y"][order], data["frame"][order], mapper=Context("s", n_threads=3).map)
        assert mixed.precision == pytest.approx(nena(data["x"], data["y"], data["frame"]).precision, rel=1e-9)
        again = [nena(data["x"], data["y"], data["frame"], mapper=Context("s", n_threads=n).map).precision for n in (1, 2)]
        assert again[0] == again[1]

    def test_rows_without_a_value_take_no_part(self) -> None:
        data = blinking(8, molecules=500)
        clean = nena(data["x"], data["y"], data["frame"]).precision
        x = np.concatenate([data["x"], [np.nan, 5.0]])
        y = np.concatenate([data["y"], [1.0, np.inf]])
        assert nena(x, y, np.concatenate([data["frame"], [3, 4]])).precision == clean

    def test_molecules_that_are_on_in_one_frame_only(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.uniform(0, 5000, (2, 50_000))
        with pytest.raises(DataError, match="no molecule") as caught:
            nena(x, y, rng.integers(0, 5000, 50_000))
        assert caught.value.code == "D452"

    @pytest.mark.parametrize("n", [0, 1, 40])
    def test_too_few(self, n: int) -> None:
        with pytest.raises(DataError) as caught:
            nena(np.arange(n), np.arange(n), np.arange(n))
        assert caught.value.code == "D451"

    def test_all_in_one_frame(self) -> None:
        x, y = np.random.default_rng(0).uniform(0, 5000, (2, 5000))
        with pytest.raises(DataError) as caught:
            nena(x, y, np.zeros(5000))
        assert caught.value.code == "D451"

    def test_columns_that_do_not_fit(self) -> None:
        with pytest.raises(DataError, match="one length"):
            nena(np.zeros(3), np.zeros(3), np.zeros(4))
        with pytest.raises(DataError, match="whole"):
            nena(np.zeros(3), np.zeros(3), np.array([0, 0.5, 1]))


class TestResolution:
    @pytest.mark.parametrize("split", ["blocks", "random"])
    @pytest.mark.parametrize(
        ("molecules", "field", "mean", "sigma"), [(3000, 10_000, 20, 10), (8000, 6000, 5, 10), (600, 4000, 40, 5), (3000, 10_000, 20, 30)]
    )  # fmt: skip
    def test_theory(self, split: str, molecules: int, field: float, mean: float, sigma: float) -> None:
        x, y, frame = painted(1, molecules=molecules, field=field, mean=mean, sigma=sigma)
        found = frc(x, y, frame, split=split, n_splits=4)
        assert found.resolution == pytest.approx(frc_theory(mean, sigma), rel=0.05)
        assert found.resolution >= 3.9 * found.pixel

    def test_the_curve_is_that_of_theory(self) -> None:
        x, y, frame = painted(2, molecules=4000, field=8000, mean=20, sigma=10)
        found = frc(x, y, frame, n_splits=6)
        share = 10 * np.exp(-4 * np.pi**2 * 100 * found.frequency**2)
        inside = (found.frequency > 0.002) & (found.frequency < 0.05)
        assert np.abs(found.smoothed - share / (1 + share))[inside].max() < 0.05
        # Rings scatter about it without a bias.
        assert np.mean((found.correlation - share / (1 + share))[inside]) == pytest.approx(0, abs=0.01)

    def test_the_pixel_does_not_matter(self) -> None:
        x, y, frame = painted(3, molecules=3000, field=6000, mean=20, sigma=10)
        found = [frc(x, y, frame, n_splits=3, pixel=pixel).resolution for pixel in (2.0, 4.0, 7.5)]
        assert np.ptp(found) < 0.03 * found[0]

    def test_several_tiles(self) -> None:
        x, y, frame = painted(4, molecules=3000, field=7000, mean=20, sigma=10)
        many = frc(x, y, frame, n_splits=3, pixel=2.0)
        few = frc(x, y, frame, n_splits=3, pixel=6.0)
        assert many.resolution == pytest.approx(few.resolution, rel=0.05)

    def test_blinks_that_are_torn_apart_fake_resolution(self) -> None:
        # Each molecule is seen once, in about six frames: nothing is measured twice, so nothing correlates beyond the structure.
        data = blinking(5, molecules=20_000, field=4000.0, visits=1, on=6.0)
        random = frc(data["x"], data["y"], data["frame"], split="random", n_splits=3)
        assert random.resolution < 40
        with pytest.raises(DataError) as caught:
            frc(data["x"], data["y"], data["frame"], split="blocks", n_splits=3)
        assert caught.value.code == "D454"

    def test_same_seed_same_result_whatever_the_threads(self) -> None:
        x, y, frame = painted(6, molecules=1000, field=5000, mean=20, sigma=10)
        one, other = (frc(x, y, frame, rng=5, n_splits=2, mapper=Context("s", n_threads=n).map) for n in (1, 3))
        assert one.resolution == other.resolution
        np.testing.assert_array_equal(one.correlation, other.correlation)
        assert frc(x, y, frame, rng=6, n_splits=2).resolution != one.resolution

    def test_drift_makes_it_worse(self) -> None:
        x, y, frame = painted(7, molecules=1000, field=5000, mean=40, sigma=10)
        still = frc(x, y, frame, n_splits=2).resolution
        moving = frc(x + 200 * np.sin(frame / 3000), y, frame, n_splits=2).resolution
        assert moving > 1.5 * still

    def test_localizations_that_share_nothing(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.uniform(0, 10_000, (2, 5000))
        with pytest.raises(DataError) as caught:
            frc(x, y, rng.integers(0, 1000, 5000))
        assert caught.value.code == "D454"

    def test_everything_twice(self) -> None:
        rng = np.random.default_rng(0)
        x, y = np.repeat(rng.uniform(0, 500, (2, 2000)), 2, axis=1)
        with pytest.raises(DataError) as caught:
            frc(x, y, np.tile([0, 1], 2000), block=1, pixel=4.0)
        assert caught.value.code == "D455"

    @pytest.mark.parametrize("x", [np.zeros(0), np.arange(50.0), np.zeros(1000)])
    def test_too_few(self, x: np.ndarray) -> None:
        with pytest.raises(DataError) as caught:
            frc(x, x, np.arange(len(x)))
        assert caught.value.code == "D453"

    def test_blocks_longer_than_the_movie(self) -> None:
        x, y, frame = painted(8, molecules=100, field=1000, mean=20, sigma=10)
        with pytest.raises(DataError, match="too long"):
            frc(x, y, frame, block=15_000)

    def test_crossing(self) -> None:
        q = np.linspace(0.01, 1, 100)
        assert crossing(q, 1 - q, threshold=0.255) == pytest.approx(0.745)
        assert crossing(q, np.zeros(100)) == 0
        assert crossing(q, np.ones(100)) is None
        assert crossing(q, np.where(q < 0.035, 1.0, 0.0)) == 0


class TestModules:
    def table(self) -> Localizations:
        return Locs_Simulate(n_localizations=60_000, drift="none").apply(seed=3)["output_localizations"]

    def test_nena(self, tmp_path: Path) -> None:
        for errors in ("ignored", "claimed"):
            made = NeNA(errors=errors).apply(self.table())
            values = made["output_precision"]
            assert values["precision"] == pytest.approx(10, rel=0.03)
            assert values.units["precision"] == "nm"
            low, high = values["band_95"]
            assert low < values["precision"] < high
            assert ("error_scale" in values.keys()) == (errors == "claimed")
            assert {series.kind for series in made["output_plot"].panels[0].content} == {"bars", "line"}
        assert made["output_plot"].save(tmp_path / "nena.png").stat().st_size > 5000

    def test_claimed_errors_need_their_column(self) -> None:
        table = self.table().only(("x", "y", "frame"))
        with pytest.raises(DataError, match="error_x"):
            NeNA(errors="claimed").apply(table)

    def test_frc(self, tmp_path: Path) -> None:
        made = FRC(n_splits=3).apply(self.table(), seed=1)
        values = made["output_resolution"]
        low, high = values["band_95"]
        assert low <= values["resolution"] <= high
        assert len(values["resolutions"]) == 3
        assert made["output_plot"].save(tmp_path / "frc.png").stat().st_size > 5000
        assert FRC(n_splits=3).apply(self.table(), seed=1)["output_resolution"].values == values.values

    def test_pixels_that_are_too_large_are_told(self) -> None:
        ctx = Context("s")
        x, y, frame = painted(9, molecules=3000, field=5000, mean=20, sigma=10)
        FRC(n_splits=2, pixel=12.0).apply(Localizations({"x": x, "y": y, "frame": frame}), ctx=ctx)
        assert any("pixel" in warning for warning in ctx.warnings)
