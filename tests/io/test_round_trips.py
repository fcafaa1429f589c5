"""What is written reads back the same; the same object gives the same bytes."""

import pickle

import numpy as np
import pytest

from recipes_core import io
from recipes_core.data import (
    Drift,
    Figure,
    FrameAxis,
    HistoryEntry,
    ImageStack,
    Localizations,
    Panel,
    Picture,
    Scalars,
    Series,
    Table,
)
from recipes_core.errors import DataError, UsageError

RNG = np.random.default_rng(11)
N = 1000
HISTORY = (HistoryEntry("Locs_RCC", "Locs_RCC", 2, {"binsize": 20.0, "method": "RCC"}, {"input": "a"}, {"output": "b"}),)
LOCS = Localizations(
    {
        "x": RNG.normal(0, 1e4, N).astype(np.float32), "y": RNG.normal(0, 1e4, N), "frame": np.sort(RNG.integers(0, 5000, N)).astype(np.int32),
        "sigma": RNG.uniform(90, 150, N).astype(np.float32), "error_x": RNG.uniform(1, 30, N).astype(np.float32),
        "own column": RNG.integers(0, 9, N).astype(np.uint8),
    },
    metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1, "Camera.Name": "eye", "a.list": [1, 2.5, "x"], "flag": 1}, history=HISTORY,
)  # fmt: skip


def same_table(a, b):
    assert set(a.columns) == set(b.columns)
    for name in a.columns:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_hdf_is_exact_with_metadata_and_history(tmp_path):
    back = Localizations.load(LOCS.save(tmp_path / "a.hdf"))
    same_table(LOCS, back)
    assert {name: back[name].dtype for name in back.columns} == {name: LOCS[name].dtype for name in LOCS.columns}
    assert back.metadata == LOCS.metadata
    assert [entry.as_dict() for entry in back.history[:-1]] == [entry.as_dict() for entry in HISTORY]
    assert back.history[-1].inputs["path"] == "a.hdf"


def test_hdf_has_pymes_names(tmp_path):
    import h5py

    with h5py.File(LOCS.save(tmp_path / "a.hdf")) as file:
        assert set(file["Localizations"].dtype.names) == {"x", "y", "t", "sig", "error_x", "own column"}
        assert file["MetaData/Camera"].attrs["Name"] == b"eye"


@pytest.mark.parametrize("suffix", [".csv", ".ts.csv", ".hdf5"])
def test_other_tables_are_exact_to_float32(tmp_path, suffix):
    path = LOCS.save(tmp_path / f"a{suffix}")
    back = Localizations.load(f"{path}?pixel_size=100" if suffix == ".ts.csv" else path)
    for name in ("x", "y", "frame", "sigma", "error_x"):
        np.testing.assert_allclose(back[name], LOCS[name], rtol=3e-7, atol=2e-3 if name in "xy" else 0)
    np.testing.assert_array_equal(back["frame"], LOCS["frame"])


def test_empty_tables(tmp_path):
    for suffix in (".hdf", ".csv", ".hdf5"):
        back = Localizations.load(LOCS.select(slice(0, 0)).save(tmp_path / f"a{suffix}"))
        assert len(back) == 0
        assert "x" in back


def test_a_table_without_positions_stays_a_table(tmp_path):
    path = io.save(Table({"a": [1.0, 2.0]}), tmp_path / "t.hdf", record={"key": "measured"})
    back = Table.load(path)
    assert type(back) is Table
    assert io.open_file(path).datasets[0].name == "measured"


def test_text_columns_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match="column 'name'"):
        Table({"name": ["a", "b"]}).save(tmp_path / "t.hdf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64", "bool"])
@pytest.mark.parametrize("suffix", [".ome.tif", ".tif", ".h5"])
def test_images(tmp_path, dtype, suffix):
    pixels = (RNG.uniform(0, 200, (4, 3, 7, 9)) > 100) if dtype == "bool" else RNG.uniform(0, 200, (4, 3, 7, 9)).astype(dtype)
    stack = ImageStack(pixels, time=FrameAxis(4.5, 10, 9.0), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.2, "voxelsize.z": 0.3,
                       "voxelsize.units": "um", "note": "µ <&>"}, history=HISTORY)  # fmt: skip
    back = ImageStack.load(stack.save(tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(back.asarray(), pixels)
    assert back.pixel_size == pytest.approx((100, 200, 300))
    assert back.time == stack.time
    assert back.metadata["note"] == "µ <&>"
    assert back.history[0].as_dict() == HISTORY[0].as_dict()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(back.source)).read(1, 3), pixels[1:3])


def test_ome_header_is_understood_by_tifffile(tmp_path):
    import tifffile

    stack = ImageStack(np.zeros((4, 3, 7, 9), np.uint16), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1})
    with tifffile.TiffFile(stack.save(tmp_path / "a.ome.tif")) as tiff:
        assert tiff.is_ome
        assert tiff.series[0].axes == "TZYX"
        assert tiff.series[0].shape == (4, 3, 7, 9)


def test_drift(tmp_path):
    drift = Drift(
        [5.5, 20, 31],
        RNG.normal(size=(3, 3)),
        error=np.abs(RNG.normal(size=(3, 3))),
        measured=(0, 40),
        exact=False,
        history=HISTORY,
    )
    back = Drift.load(drift.save(tmp_path / "d.npz"))
    for name in ("frames", "correction", "error", "measured", "exact"):
        np.testing.assert_array_equal(getattr(back, name), getattr(drift, name))
    assert back.history[0].as_dict() == HISTORY[0].as_dict()
    with np.load(tmp_path / "d.npz", allow_pickle=False) as raw:  # any program can read it
        np.testing.assert_array_equal(raw["drift"], drift.correction)


FIGURE = Figure(
    [
        Panel([Series("points", np.arange(5.0), np.arange(5.0), label="a"), Series("band", np.arange(5.0), np.zeros(5), y2=np.ones(5)),
               Series("path", np.arange(5.0), np.arange(5.0), c=np.arange(5.0))], title="t", x_label="x", note="n"),
        Panel([Picture(RNG.uniform(size=(20, 30)), 10.0, marks=(np.array([[3.0, 4.0]]),))]),
    ], n_columns=2, title="both",
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_figures_are_drawn(tmp_path, suffix):
    head = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert FIGURE.save(tmp_path / f"f{suffix}").read_bytes().startswith(head)


@pytest.mark.parametrize(
    ("obj", "suffix"),
    [
        (LOCS, ".hdf"), (LOCS, ".csv"), (LOCS, ".hdf5"), (ImageStack(np.arange(200).reshape(2, 10, 10).astype(np.uint16)), ".ome.tif"),
        (ImageStack(np.zeros((2, 10, 10), np.float32)), ".h5"), (Drift([0, 1], np.ones((2, 3))), ".npz"), (FIGURE, ".png"), (FIGURE, ".svg"),
        (Scalars({"rmse": 1.5, "names": ["a"]}), ".json"),
    ],
)  # fmt: skip
def test_the_same_object_gives_the_same_bytes(tmp_path, obj, suffix):
    first, second = tmp_path / "a" / f"f{suffix}", tmp_path / "b" / f"f{suffix}"
    assert obj.save(first).read_bytes() == obj.save(second).read_bytes()


def test_a_wrong_ending_names_the_possible_ones(tmp_path):
    with pytest.raises(UsageError, match=r"\.hdf"):
        LOCS.save(tmp_path / "a.png")


def test_describe(tmp_path):
    content = io.describe(LOCS.save(tmp_path / "a.hdf"))
    column = next(item for item in content["datasets"][0]["columns"] if item["name"] == "x")
    assert column["min"] == LOCS["x"].min()
    assert content["datasets"][0]["facts"]["made by"] == "Locs_RCC (Locs_RCC)"
