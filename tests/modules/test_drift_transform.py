"""Locs_Apply_Transformations, Locs_Add_Drift and Locs_RMSE."""

from __future__ import annotations

import numpy as np
import pytest

from recipes_core.data import Drift, Localizations, Table
from recipes_core.errors import ColumnError, DataError
from recipes_core.module import Context
from recipes_modules.drift_chunks import Locs_CC
from recipes_modules.drift_model import Drift_Model
from recipes_modules.drift_transform import Locs_Apply_Transformations
from recipes_modules.drift_truth import Locs_Add_Drift, Locs_RMSE


def cloud(n: int = 2000, n_frames: int = 4000, seed: int = 0, deep: bool = False) -> Localizations:
    rng = np.random.default_rng(seed)
    columns = {"frame": np.sort(rng.integers(0, n_frames, n)), "x": rng.uniform(0, 5000, n), "y": rng.uniform(0, 5000, n)}
    return Localizations(columns | ({"z": rng.uniform(-300, 300, n)} if deep else {}))


def chunks(**columns: object) -> Table:
    first = np.arange(4) * 1000
    table = {"frame": first + 499.5, "frame_first": first, "frame_last": first + 999}
    table |= {"offset_x": np.array([0.0, -10, -20, -35]), "offset_y": np.array([0.0, 5, 10, 15])}
    return Table({**table, **columns})


def turning() -> Table:
    angle = np.array([0.0, 0.01, -0.02, 0.03])
    return chunks(
        matrix_xx=np.cos(angle), matrix_xy=-np.sin(angle), matrix_yx=np.sin(angle), matrix_yy=np.cos(angle),
        centre_x=np.full(4, 2500.0), centre_y=np.full(4, 2400.0),
    )  # fmt: skip


def apply(locs: Localizations, table: Table, ctx: Context | None = None, anchor: str = "first_chunk") -> Localizations:
    return Locs_Apply_Transformations(anchor=anchor).apply(locs, table, ctx=ctx or Context("s"))["output_localizations"]


class TestByChunk:
    def test_each_chunk_gets_its_own_transformation(self) -> None:
        # A shift that is constant within each chunk goes away entirely; locan moves chunk k by what belongs to chunk k - 1.
        locs, table = cloud(), chunks()
        index = locs["frame"] // 1000
        drifting = locs.with_columns({a: locs[a] - table[f"offset_{a}"][index] for a in "xy"})
        corrected = apply(drifting, table)
        np.testing.assert_allclose(corrected["x"], locs["x"], atol=1e-9)
        np.testing.assert_allclose(corrected["y"], locs["y"], atol=1e-9)
        np.testing.assert_allclose(corrected["dx"], table["offset_x"][index], atol=1e-9)

    def test_matrices_turn_about_the_centre(self) -> None:
        locs, table = cloud(), turning()
        corrected = apply(locs, table)
        index = locs["frame"] // 1000
        matrix = np.array([[table[f"matrix_{a}{b}"] for b in "xy"] for a in "xy"]).transpose(2, 0, 1)[index]
        centred = np.column_stack([locs["x"] - 2500, locs["y"] - 2400])
        expected = np.einsum("nij,nj->ni", matrix, centred) + np.array([2500, 2400])
        np.testing.assert_allclose(corrected["x"], expected[:, 0] + table["offset_x"][index], atol=1e-9)
        np.testing.assert_allclose(corrected["y"], expected[:, 1] + table["offset_y"][index], atol=1e-9)

    def test_anchored_at_the_first_frame(self) -> None:
        locs, table = cloud(), chunks()
        free, anchored = (apply(locs, table, anchor=anchor) for anchor in ("first_chunk", "first_frame"))
        # The line through the first two chunks: -10 nm in 1000 frames, 499.5 frames back.
        np.testing.assert_allclose(anchored["x"] - free["x"], -4.995, atol=1e-9)
        np.testing.assert_allclose(anchored["y"] - free["y"], 2.4975, atol=1e-9)

    def test_frames_between_chunks_go_with_the_nearer_one(self) -> None:
        table = chunks(frame_last=np.arange(4) * 1000 + 599)
        locs = Localizations({"frame": np.array([599, 700, 799, 801, 900, 1000]), "x": np.zeros(6), "y": np.zeros(6)})
        np.testing.assert_array_equal(apply(locs, table)["x"], [0, 0, 0, -10, -10, -10])

    def test_rows_of_any_order_and_total_shift(self) -> None:
        locs, table = cloud(), chunks()
        mixed = np.random.default_rng(1).permutation(len(locs))
        once = apply(locs, table)
        np.testing.assert_array_equal(apply(locs.select(mixed), table.select([2, 0, 3, 1]))["x"], once["x"][mixed])
        np.testing.assert_allclose(apply(once, table)["dx"], 2 * once["dx"])


class TestAnyTable:
    def test_float32_stays_and_other_columns_too(self) -> None:
        locs = cloud().with_columns({"x": cloud()["x"].astype(np.float32), "photons": np.arange(2000)})
        corrected = apply(locs, chunks())
        assert corrected["x"].dtype == np.float32
        assert corrected["dx"].dtype == np.float32
        np.testing.assert_array_equal(corrected["photons"], locs["photons"])

    def test_frames_outside(self) -> None:
        locs = Localizations({"frame": np.array([-5, 0, 3999, 9000]), "x": np.zeros(4), "y": np.zeros(4)})
        ctx = Context("s")
        np.testing.assert_array_equal(apply(locs, chunks(), ctx)["x"], [0, 0, -35, -35])
        assert "2 localizations lie outside the frames 0 to 3999" in ctx.warnings[0]

    def test_nan(self) -> None:
        locs = Localizations({"frame": np.array([500, np.nan, 2500]), "x": np.array([1, 1, np.nan]), "y": np.zeros(3)})
        ctx = Context("s")
        corrected = apply(locs, turning(), ctx)
        assert corrected["x"][1] == 1
        assert np.isnan(corrected["x"][2])
        assert "1 localizations have no frame" in " ".join(ctx.messages)
        assert apply(locs.select(slice(0, 0)), chunks()).n_rows == 0

    def test_three_dimensions(self) -> None:
        locs, table = cloud(deep=True), chunks(offset_z=np.array([0.0, 7, 8, 9]))
        corrected = apply(locs, table)
        np.testing.assert_allclose(corrected["z"] - locs["z"], table["offset_z"][locs["frame"] // 1000], atol=1e-9)
        ctx = Context("s")
        assert "z" not in apply(cloud(), table, ctx).columns
        assert "z part" in " ".join(ctx.messages)


def test_by_model() -> None:
    locs = cloud()
    frames = np.arange(4000.0)
    model = Table({"frame": frames, "offset_x": -0.01 * frames, "offset_y": np.sin(frames / 500)})
    corrected = apply(locs, model)
    np.testing.assert_allclose(corrected["dx"], -0.01 * locs["frame"], atol=1e-9)
    np.testing.assert_allclose(corrected["dy"], np.sin(locs["frame"] / 500), atol=1e-9)


def test_measured_in_one_table_and_applied_to_another() -> None:
    rng = np.random.default_rng(2)
    middle = rng.uniform(0, 1000, (60, 2))
    clean = middle[rng.integers(0, 60, 24_000)] + rng.normal(0, 10, (24_000, 2))
    table = Localizations({"frame": np.sort(rng.integers(0, 6000, 24_000)), "x": clean[:, 0], "y": clean[:, 1]})
    moved = Locs_Add_Drift(velocity=[0.01, -0.02, 0.0]).apply(table)
    found = Locs_CC(chunk_size=3000, flatten_z=True).apply(moved["output_localizations"])["output_transformations"]
    model = Drift_Model().apply(found)["output_model"]
    other = cloud(n_frames=6000, seed=9)
    drifting = Locs_Add_Drift(velocity=[0.01, -0.02, 0.0]).apply(other)["output_localizations"]
    rmse = {}
    for name, transformations in (("chunk", found), ("model", model)):
        corrected = apply(drifting, transformations, anchor="first_frame")
        rmse[name] = Locs_RMSE().apply(input_localizations=corrected, input_reference=other)["output_rmse"]
    # 3000 localizations of 10 nm: 0.18 nm a chunk. Chunks are 750 frames long, over which the sample moves by 7.5 and 15 nm.
    assert rmse["model"]["rmse_x"] < 0.5
    assert rmse["model"]["rmse_y"] < 0.5
    assert rmse["chunk"]["rmse_x_offset_free"] == pytest.approx(7.5 / np.sqrt(12), rel=0.15)
    assert rmse["chunk"]["rmse_y_offset_free"] == pytest.approx(15 / np.sqrt(12), rel=0.15)
    assert abs(rmse["chunk"]["offset_y"]) < 1.0


class TestBadTransformations:
    def test_overlap(self) -> None:
        with pytest.raises(DataError, match="overlap in time"):
            apply(cloud(), chunks(frame_last=np.full(4, 3999)))

    def test_empty_and_not_finite(self) -> None:
        with pytest.raises(DataError, match="empty"):
            apply(cloud(), chunks().select(slice(0, 0)))
        with pytest.raises(DataError, match="'offset_x' that are not finite"):
            apply(cloud(), chunks(offset_x=np.array([0, np.nan, 1, 2])))

    def test_other_tables(self) -> None:
        with pytest.raises(ColumnError, match="offset_x"):
            apply(cloud(), cloud())

    def test_turning_without_z(self) -> None:
        names = {f"matrix_{a}{b}": np.full(4, float(a == b)) for a in "xyz" for b in "xyz"}
        table = chunks(
            offset_z=np.zeros(4), **{**names, "matrix_xz": np.full(4, 0.1)}, **{f"centre_{a}": np.zeros(4) for a in "xyz"}
        )
        with pytest.raises(DataError, match="have no z"):
            apply(cloud(), table)


class TestAddDrift:
    def test_velocity_and_what_undoes_it(self) -> None:
        locs = cloud(deep=True)
        made = Locs_Add_Drift(velocity=[0.002, 0.001, -0.003]).apply(locs)
        moved, truth = made["output_localizations"], made["output_drift"]
        np.testing.assert_allclose(moved["x"] - locs["x"], 0.002 * locs["frame"], atol=1e-9)
        np.testing.assert_allclose(moved["z"] + truth.at(locs["frame"])[:, 2], locs["z"], atol=1e-9)
        np.testing.assert_array_equal(truth.correction[0], 0)

    def test_diffusion(self) -> None:
        locs = cloud(n_frames=200_000)
        made = Locs_Add_Drift(diffusion=[0.5, 2.0, 0.0]).apply(locs, seed=4)
        steps = np.diff(made["output_drift"].correction, axis=0)
        # The variance of n normal steps is known to sqrt(2 / n), here 0.3 %.
        np.testing.assert_allclose(steps[:, :2].var(axis=0), [1.0, 4.0], rtol=0.02)
        again, other = (Locs_Add_Drift(diffusion=[0.5, 2.0, 0.0]).apply(locs, seed=seed)["output_drift"] for seed in (4, 5))
        assert again.correction.tobytes() == made["output_drift"].correction.tobytes()
        assert other.correction.tobytes() != again.correction.tobytes()

    def test_odd_frames(self) -> None:
        locs = Localizations({"frame": np.array([-100.0, 0, np.nan, 50]), "x": np.zeros(4), "y": np.zeros(4)})
        ctx = Context("s")
        made = Locs_Add_Drift(velocity=[1.0, 0, 5.0]).apply(locs, ctx=ctx)
        np.testing.assert_array_equal(made["output_localizations"]["x"], [-100, 0, 0, 50])
        assert "begin at -100" in ctx.warnings[0]
        assert "no frame" in ctx.messages[0]
        np.testing.assert_array_equal(made["output_drift"].correction[:, 2], 0)  # there is no z to move
        with pytest.raises(DataError, match="no localization has a frame"):
            Locs_Add_Drift().apply(locs.select([2]))
        with pytest.raises(DataError, match="wrong numbers"):
            Locs_Add_Drift().apply(locs.with_columns({"frame": np.array([0, 0, 0, 1e9])}))


class TestRMSE:
    def test_drifts(self) -> None:
        frames = np.arange(1000)
        truth = Drift(frames, np.zeros((1000, 3)), exact=True)
        wave = np.column_stack([3 + 2 * np.sign(frames % 2 - 0.5), np.full(1000, -4.0)])
        values = Locs_RMSE().apply(input_drift=Drift(frames, wave, exact=True), input_truth=truth)["output_rmse"]
        assert values["rmse_x"] == pytest.approx(np.sqrt(13))
        assert values["rmse_x_offset_free"] == pytest.approx(2)
        assert values["offset_x"] == pytest.approx(3)
        assert (values["rmse_y"], values["rmse_y_offset_free"], values["offset_y"]) == (4, 0, -4)

    def test_tables(self) -> None:
        locs = cloud(deep=True)
        moved = locs.with_columns({"x": locs["x"] + 2, "z": locs["z"] + np.where(np.arange(2000) % 2, 1.0, -1.0)})
        made = Locs_RMSE().apply(input_localizations=moved, input_reference=locs, ctx=Context("s"))
        values = made["output_rmse"]
        np.testing.assert_allclose([values[f"rmse_{a}"] for a in "xyz"], [2, 0, 1], atol=1e-9)
        np.testing.assert_allclose([values[f"rmse_{a}_offset_free"] for a in "xyz"], [0, 0, 1], atol=1e-9)
        assert len(made["output_figure"].panels) == 3

    def test_nan_does_not_count(self) -> None:
        locs = cloud()
        x = locs["x"] + 1.0
        x[:10] = np.nan
        ctx = Context("s")
        made = Locs_RMSE().apply(input_localizations=locs.with_columns({"x": x}), input_reference=locs, ctx=ctx)
        assert made["output_rmse"]["rmse_x"] == pytest.approx(1)
        assert "10 of 2,000 rows have NaN" in ctx.messages[0]

    def test_what_cannot_be_compared(self) -> None:
        locs, drift = cloud(), Drift([0, 10], np.zeros((2, 3)))
        far = Drift([100, 110], np.zeros((2, 3)))
        with pytest.raises(DataError, match="no frame in common"):
            Locs_RMSE().apply(input_drift=drift, input_truth=far)
        for given in ({}, {"input_drift": drift}, {"input_drift": drift, "input_truth": drift, "input_reference": locs}):
            with pytest.raises(DataError, match="two drifts or two tables"):
                Locs_RMSE().apply(**given)
        with pytest.raises(DataError, match="2,000 and 1,999 rows"):
            Locs_RMSE().apply(input_localizations=locs, input_reference=locs.select(slice(1, None)))
        with pytest.raises(DataError, match="frames of the tables differ"):
            Locs_RMSE().apply(input_localizations=locs, input_reference=locs.select(slice(None, None, -1)))
