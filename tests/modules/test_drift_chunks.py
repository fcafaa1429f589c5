"""Locs_ICP and Locs_CC: against truth, against theory, and against the ways in which data can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from recipes_core.data import Drift, Localizations, Table
from recipes_core.errors import ColumnError, DataError, UsageError
from recipes_core.module import Context
from recipes_modules.drift_chunks import Locs_CC, Locs_ICP
from recipes_modules.drift_model import Drift_Model
from recipes_modules.registration.chunks import Cut, cut_chunks
from recipes_modules.registration.correlate import find_peak

METHODS = [Locs_CC, Locs_ICP]
SIGMA = 10.0
VELOCITY = np.array([0.02, -0.01, 0.008])


def blobs(
    seed: int, *, n: int = 20_000, n_frames: int = 6000, clusters: int = 60, field: float = 1000.0, deep: bool = False
) -> tuple[Localizations, Drift]:
    """Gaussian blobs that drift linearly, and the correction that undoes it; zero at frame 0."""
    rng = np.random.default_rng([seed, 17])
    d = 3 if deep else 2
    middle = rng.uniform(0, field, (clusters, 3)) * [1, 1, 0.4]
    frame = np.sort(rng.integers(0, n_frames, n))
    place = middle[rng.integers(0, clusters, n)] + rng.normal(0, SIGMA, (n, 3)) + frame[:, np.newaxis] * VELOCITY
    columns = {"frame": frame, **{name: place[:, i] for i, name in enumerate("xyz"[:d])}}
    every = np.arange(n_frames)
    moved = every[:, np.newaxis] * (VELOCITY if deep else VELOCITY * [1, 1, 0])
    return Localizations(columns), Drift(every, -moved, exact=True)


def measure(module: type, table: Localizations, ctx: Context | None = None, **parameters: object) -> dict:
    parameters = {"chunk_size": 4000, "flatten_z": "z" not in table.columns, **parameters}
    wanted = ["output_drift", "output_transformations"]
    return module(**parameters).apply(table, ctx=ctx or Context("s", wanted=wanted))


def deviations(made: dict, truth: Drift, table: Localizations) -> np.ndarray:
    """Knots less the mean correction of each chunk's localizations, mean removed."""
    chunks = made["output_transformations"]
    frames = np.sort(table["frame"])
    expected = [
        truth.at(frames[(frames >= first) & (frames <= last)]).mean(axis=0)
        for first, last in zip(chunks["frame_first"], chunks["frame_last"], strict=True)
    ]
    off = made["output_drift"].correction - expected
    return off - off.mean(axis=0)


@pytest.fixture(scope="module")
def flat() -> tuple[Localizations, Drift]:
    return blobs(1)


@pytest.mark.parametrize(("module", "factor"), [(Locs_CC, 2.0), (Locs_ICP, 3.0)])
@pytest.mark.parametrize("target", ["first", "previous"])
def test_knots_are_as_exact_as_their_localizations_allow(module: type, factor: float, target: str) -> None:
    # The mean of 4000 localizations of blobs 10 nm wide has an error of 0.16 nm.
    off = [
        deviations(measure(module, table, target=target), truth, table)[:, :2] for table, truth in (blobs(s) for s in (1, 2, 3))
    ]
    assert np.concatenate(off).std() < factor * SIGMA / np.sqrt(4000)


@pytest.mark.parametrize("module", METHODS)
def test_standard_errors_say_how_far_knots_are_off(module: type) -> None:
    scores = []
    for seed in range(6):
        table, truth = blobs(seed, n=16_000)
        made = measure(module, table, chunk_size=2000)
        scores.append(deviations(made, truth, table)[:, :2] / made["output_drift"].error[:, :2])
    # 6 x 8 x 2 values of a standard normal; the bars of ICP are known to be wide.
    assert 0.55 < np.concatenate(scores).std() < 1.45


@pytest.mark.parametrize("module", METHODS)
def test_three_dimensions(module: type) -> None:
    table, truth = blobs(4, deep=True)
    made = measure(module, table, bin_size_z=10.0) if module is Locs_CC else measure(module, table)
    off = deviations(made, truth, table)
    assert (off.std(axis=0) < 5 * SIGMA / np.sqrt(4000)).all()
    assert made["output_drift"].error[:, 2].min() > 0


def test_tutorial_of_locan() -> None:
    # The law of locan's tutorial. The mean of 10 000 localizations has an error of 0.1 nm, which leaves 0.06 nm after a linear fit
    # that is anchored at frame 0; locan's own numbers are 0.5 to 0.8 nm when they are anchored.
    squares = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        n, n_frames = 100_000, 33_000
        middle = rng.uniform(0, 1000, (100, 2))
        frame = np.sort(rng.integers(0, n_frames, n))
        moved = frame[:, np.newaxis] * np.array([0.002, 0.001])
        place = middle[rng.integers(0, 100, n)] + rng.normal(0, 10, (n, 2))
        table = Localizations({"x": place[:, 0] + moved[:, 0], "y": place[:, 1] + moved[:, 1], "frame": frame})
        made = measure(Locs_CC, table, chunk_size=10_000)
        model = Drift_Model().apply(made["output_transformations"])["output_drift"]
        squares.append(np.mean((model.at(frame)[:, :2] + moved) ** 2, axis=0))
    assert np.sqrt(np.mean(squares)) < 0.15


class TestMotion:
    @pytest.mark.parametrize("deep", [False, True])
    @pytest.mark.parametrize(("motion", "scale"), [("rotation", 1.0), ("similarity", 1.004)])
    def test_rotation_and_scale_are_found(self, deep: bool, motion: str, scale: float) -> None:
        rng = np.random.default_rng(5)
        d = 3 if deep else 2
        places = rng.uniform(-2000, 2000, (400, d)) * ([1, 1, 0.5] if deep else 1)
        vector = np.array([0.004, -0.006, 0.01]) if deep else np.array([0, 0, 0.01])
        turn = Rotation.from_rotvec(vector).as_matrix()[:d, :d] * scale
        offset = np.array([20.0, -30.0, 15.0])[:d]
        clouds = [places[rng.integers(0, 400, 8000)] + rng.normal(0, 8, (8000, d)) for _ in range(2)]
        moved = (clouds[1] - offset) @ np.linalg.inv(turn).T  # corrected = turn moved + offset
        both = np.concatenate([clouds[0], moved])
        columns = {name: both[:, i] for i, name in enumerate("xyz"[:d])}
        table = Localizations({**columns, "frame": np.repeat(np.arange(16), 1000)})
        found = measure(Locs_ICP, table, n_chunks=2, chunk_size=None, motion=motion)["output_transformations"]
        axes = "xyz"[:d]
        matrix = np.array([[found[f"matrix_{a}{b}"][1] for b in axes] for a in axes])
        # An angle from 8000 points at 1600 nm, each 11 nm off its pair, is known to 1e-4.
        np.testing.assert_allclose(matrix, turn, atol=4e-4)
        centre = both.mean(axis=0)
        expected = turn @ centre + offset - centre
        np.testing.assert_allclose([found[f"offset_{a}"][1] for a in axes], expected, atol=1.0)

    def test_matrix_is_the_unit_matrix_by_default(self, flat: tuple[Localizations, Drift]) -> None:
        found = measure(Locs_ICP, flat[0])["output_transformations"]
        for name in ("xx", "xy", "yx", "yy"):
            np.testing.assert_array_equal(found[f"matrix_{name}"], float(name[0] == name[1]))


class TestCorrelation:
    def test_whole_bins_on_request(self, flat: tuple[Localizations, Drift]) -> None:
        offset = measure(Locs_CC, flat[0], upsampling=1)["output_transformations"]["offset_x"]
        np.testing.assert_allclose(offset % 10, 0, atol=1e-9)
        fine = measure(Locs_CC, flat[0])["output_transformations"]["offset_x"]
        assert np.abs(offset - fine).max() <= 5.0
        rough = measure(Locs_CC, flat[0], upsampling=20)["output_transformations"]["offset_x"]
        np.testing.assert_allclose(rough, np.round(fine / 0.5) * 0.5, atol=1e-9)

    def test_peak_of_a_gaussian(self) -> None:
        x, y = np.meshgrid(np.arange(41) - 20, np.arange(31) - 15, indexing="ij")
        values = 7 * np.exp(-((x - 3.3) ** 2) / (2 * 2.0**2) - (y + 4.62) ** 2 / (2 * 1.6**2))
        shift, curvature, _, inside = find_peak(values, 0)
        np.testing.assert_allclose(shift, [3.3, -4.62], atol=1e-3)
        np.testing.assert_allclose(curvature, 7 * np.diag([1 / 4.0, 1 / 2.56]), rtol=0.02, atol=0.02)
        assert inside
        assert find_peak(np.roll(values, 17, axis=0), 0)[3] is False

    def test_chunk_of_noise_is_left_out(self, flat: tuple[Localizations, Drift]) -> None:
        table, truth = flat
        rng = np.random.default_rng(0)
        chunks = measure(Locs_CC, table)["output_transformations"]
        noise = (table["frame"] >= chunks["frame_first"][2]) & (table["frame"] <= chunks["frame_last"][2])
        columns = {name: np.where(noise, rng.uniform(0, 1000, len(table)), table[name]) for name in "xy"}
        for target in ("first", "previous"):
            ctx = Context("s", wanted=["output_drift", "output_transformations"])
            made = measure(Locs_CC, table.with_columns(columns), ctx, target=target)
            np.testing.assert_array_equal(made["output_transformations"]["chunk"], [0, 1, 3, 4])
            assert "1 of 5 chunks were not found" in ctx.warnings[0]
            assert deviations(made, truth, table)[:, :2].std() < 1.0

    def test_shift_beyond_the_range(self, flat: tuple[Localizations, Drift]) -> None:
        table = flat[0]
        late = table["frame"] >= 3000
        far = table.with_columns({"x": table["x"] + 300.0 * late})
        with pytest.raises(DataError, match="Set max_shift"):
            measure(Locs_CC, far, n_chunks=2, chunk_size=None, max_shift=100.0)
        found = measure(Locs_CC, far, n_chunks=2, chunk_size=None, max_shift=500.0)["output_drift"]
        assert found.correction[1, 0] == pytest.approx(-300 - 3000 * VELOCITY[0], abs=1.0)


class TestCutting:
    def test_chunks_begin_with_a_frame_and_follow_one_another(self, flat: tuple[Localizations, Drift]) -> None:
        for parameters in ({"chunk_size": 3000}, {"chunk_size": None, "n_chunks": 7}):
            made = measure(Locs_CC, flat[0], **parameters)["output_transformations"]
            assert len(made) == 7
            assert (made["frame_first"][1:] > made["frame_last"][:-1]).all()
            assert made["n"].sum() == len(flat[0])
            assert np.abs(made["n"] - made["n"][0])[:-1].max() <= 10
            frame = flat[0]["frame"]
            ends = zip(made["frame_first"], made["frame_last"], strict=True)
            inside = [np.count_nonzero((frame >= first) & (frame <= last)) for first, last in ends]
            np.testing.assert_array_equal(made["n"], inside)

    def test_short_last_chunk(self, flat: tuple[Localizations, Drift]) -> None:
        assert len(cut_chunks(flat[0], Cut(size=9500), deep=False)) == 2
        assert len(cut_chunks(flat[0], Cut(size=8000), deep=False)) == 3

    def test_knots_lie_at_mean_frames(self, flat: tuple[Localizations, Drift]) -> None:
        made = measure(Locs_CC, flat[0], chunk_size=None, chunks=[[0, 999], [2000, 2999], [5000, 9999]])
        frame = flat[0]["frame"]
        expected = [frame[(frame >= a) & (frame <= b)].mean() for a, b in ((0, 999), (2000, 2999), (5000, 9999))]
        np.testing.assert_allclose(made["output_drift"].frames, expected)
        assert made["output_drift"].measured == (0, frame.max())

    @pytest.mark.parametrize("module", METHODS)
    def test_alternating_chunks_agree(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        ctx = Context("s", wanted=["output_drift", "output_transformations"])
        made = measure(module, flat[0], ctx, order="alternating", chunk_size=None, n_chunks=5)
        found = made["output_transformations"]
        offset = np.column_stack([found["offset_x"], found["offset_y"]])
        error = np.column_stack([found["error_offset_x"], found["error_offset_y"]])
        assert np.abs(offset).max() < 5 * error.max()
        np.testing.assert_array_equal(made["output_drift"].correction, 0)
        assert "alternating" in ctx.warnings[-1]

    @pytest.mark.parametrize("module", METHODS)
    def test_order_of_rows_and_threads_do_not_matter(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        table = flat[0]
        mixed = table.select(np.random.default_rng(1).permutation(len(table)))
        wanted = ["output_drift", "output_transformations"]
        one = measure(
            module, table.select(np.lexsort((table["y"], table["x"], table["frame"]))), Context("s", n_threads=1, wanted=wanted)
        )
        other = measure(module, mixed, Context("s", n_threads=3, wanted=wanted))
        assert one["output_drift"].correction.tobytes() == other["output_drift"].correction.tobytes()
        assert one["output_drift"].error.tobytes() == other["output_drift"].error.tobytes()

    def test_figure(self, flat: tuple[Localizations, Drift]) -> None:
        made = Locs_ICP(chunk_size=4000, flatten_z=True).apply(flat[0])
        assert [panel.y_label for panel in made["output_figure"].panels] == ["offset x (nm)", "offset y (nm)"]
        turned = Locs_ICP(chunk_size=4000, flatten_z=True, motion="rotation").apply(flat[0])
        assert len(turned["output_figure"].panels) == 6


@pytest.mark.parametrize("module", METHODS)
class TestBadInput:
    def test_z_is_demanded_only_where_it_counts(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        with pytest.raises(ColumnError, match="no column 'z'"):
            measure(module, flat[0], flatten_z=False)

    def test_flat_z_is_left_out(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        ctx = Context("s", wanted=["output_drift", "output_transformations"])
        made = measure(module, flat[0].with_columns({"z": np.zeros(len(flat[0]))}), ctx, flatten_z=False)
        assert "offset_z" not in made["output_transformations"]
        assert any("same z" in line for line in ctx.messages)

    @pytest.mark.parametrize("n", [0, 1])
    def test_too_few(self, module: type, n: int, flat: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="no localizations" if n == 0 else "1 localization"):
            measure(module, flat[0].select(slice(0, n)))

    def test_chunk_longer_than_the_data(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match=r"20,000 localizations do not fill two chunks of 30,000. Set chunk_size to 10000"):
            measure(module, flat[0], chunk_size=30_000)
        with pytest.raises(DataError, match="Set n_chunks lower"):
            measure(module, flat[0].select(slice(0, 50)), chunk_size=None, n_chunks=40)

    def test_empty_chunks(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        ctx = Context("s", wanted=["output_drift", "output_transformations"])
        ranges = [[0, 1999], [2000, 3999], [8000, 8999]]
        made = measure(module, flat[0], ctx, chunk_size=None, chunks=ranges)
        assert len(made["output_drift"]) == 2
        assert "1 chunks hold fewer than 10 localizations" in ctx.warnings[0]
        with pytest.raises(DataError, match="only 1 of the 2 chunks"):
            measure(module, flat[0], chunk_size=None, chunks=[[0, 1999], [8000, 8999]])

    def test_one_frame(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        with pytest.raises(DataError, match="one frame"):
            measure(module, flat[0].with_columns({"frame": np.full(len(flat[0]), 7)}))

    def test_identical_coordinates(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        n = len(flat[0])
        with pytest.raises(DataError, match="the same position"):
            measure(module, flat[0].with_columns({"x": np.full(n, 5.0), "y": np.full(n, 7.0)}))

    def test_nan_takes_no_part(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        table = flat[0]
        bad = np.random.default_rng(0).random(len(table)) < 0.05
        ctx = Context("s", wanted=["output_drift", "output_transformations"])
        found = measure(module, table.with_columns({"x": np.where(bad, np.nan, table["x"])}), ctx)
        expected = measure(module, table.select(~bad))
        assert found["output_drift"].correction.tobytes() == expected["output_drift"].correction.tobytes()
        assert f"{bad.sum():,} of {len(table):,} localizations have NaN" in ctx.messages[0]
        with pytest.raises(DataError, match="finite"):
            measure(module, table.with_columns({"x": np.full(len(table), np.nan)}))

    def test_negative_and_missing_frames(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        table, truth = flat
        kept = table.select((table["frame"] < 2000) | (table["frame"] >= 2300))
        early = kept.with_columns({"frame": kept["frame"] - 500})
        ctx = Context("s", wanted=["output_drift", "output_transformations"])
        made = measure(module, early, ctx)
        assert "negative frames" in ctx.warnings[0]
        shifted = Drift(truth.frames - 500, truth.correction, exact=True)
        assert deviations(made, shifted, early)[:, :2].std() < 1.0

    def test_settings_that_contradict(self, module: type, flat: tuple[Localizations, Drift]) -> None:
        with pytest.raises(UsageError, match="only one of them"):
            measure(module, flat[0], n_chunks=4)
        with pytest.raises(UsageError, match="overlap"):
            measure(module, flat[0], chunk_size=None, chunks=[[0, 100], [100, 200]])
        with pytest.raises(UsageError, match="alternating"):
            measure(module, flat[0], chunk_size=None, chunks=[[0, 100], [200, 300]], order="alternating")


def test_nothing_within_reach(flat: tuple[Localizations, Drift]) -> None:
    table = flat[0]
    apart = table.with_columns({"x": table["x"] + 5000.0 * (table["frame"] >= 3000)})
    with pytest.raises(DataError, match="Set max_distance higher"):
        measure(Locs_ICP, apart, chunk_size=None, chunks=[[0, 2999], [3000, 5999]])


def test_localization_far_away(flat: tuple[Localizations, Drift]) -> None:
    x = flat[0]["x"].copy()
    x[0] = 1e9
    with pytest.raises(DataError, match="Filter out localizations far away"):
        measure(Locs_CC, flat[0].with_columns({"x": x}))


def test_icp_says_when_it_does_not_settle(flat: tuple[Localizations, Drift]) -> None:
    ctx = Context("s", wanted=["output_drift", "output_transformations"])
    made = measure(Locs_ICP, flat[0], ctx, iterations=1)
    assert "set iterations higher" in ctx.warnings[0]
    assert isinstance(made["output_transformations"], Table)
