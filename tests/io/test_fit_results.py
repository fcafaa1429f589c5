"""PYME .h5r: nested results of a fit become flat columns, and localizations under the usual names."""

import h5py
import numpy as np
import pytest

from recipes_core import io
from recipes_core.data import Localizations, Table
from recipes_core.module import Context
from recipes_modules import AddPipelineDerivedVars

PARAMETERS = ["A", "x0", "y0", "sigma", "background", "bx", "by"]
SLICE = [("start", "<i4"), ("stop", "<i4"), ("step", "<i4")]
DTYPE = np.dtype(
    [("tIndex", "<i4"), ("fitResults", [(name, "<f4") for name in PARAMETERS]), ("fitError", [(name, "<f4") for name in PARAMETERS]),
     ("resultCode", "<i4"), ("slicesUsed", [("x", SLICE), ("y", SLICE), ("z", SLICE)]), ("subtractedBackground", "<f4"), ("nchi2", "<f4")]
)  # fmt: skip


@pytest.fixture
def h5r(tmp_path):
    rng = np.random.default_rng(8)
    rows = np.zeros(50, DTYPE)
    rows["tIndex"] = rng.permutation(50)
    for name in PARAMETERS:
        rows["fitResults"][name] = rng.uniform(100, 200, 50)
        rows["fitError"][name] = rng.uniform(1, 10, 50)
    rows["slicesUsed"]["x"]["start"] = np.arange(50)
    with h5py.File(tmp_path / "cell.h5r", "w") as file:
        file["FitResults"] = rows
        file["DriftResults"] = rows[:5]
        file["Events"] = np.zeros(3, [("EventName", "S32"), ("Time", "f8"), ("EventDescr", "S256")])
        group = file.create_group("MetaData/Camera")
        group.attrs["TrueEMGain"] = 20.0
        group.attrs["ElectronsPerCount"] = 27.32
        file["MetaData"].create_group("voxelsize").attrs["x"] = 0.07
    return tmp_path / "cell.h5r", rows


def test_tables_of_the_file(h5r):
    content = io.open_file(h5r[0])
    assert {dataset.name: dataset.kind for dataset in content.datasets} == {
        "DriftResults": Table, "FitResults": Table, "Localizations": Localizations,
    }  # fmt: skip


def test_nested_columns_are_flat(h5r):
    path, rows = h5r
    table = Table.load(f"{path}?table=FitResults")
    np.testing.assert_array_equal(table["fitResults_x0"], rows["fitResults"]["x0"])
    np.testing.assert_array_equal(table["slicesUsed_x_start"], np.arange(50))
    np.testing.assert_array_equal(table["tIndex"], rows["tIndex"])


def test_localizations_are_sorted_by_frame_under_the_usual_names(h5r):
    path, rows = h5r
    locs = Localizations.load(path)
    order = np.argsort(rows["tIndex"], kind="stable")
    np.testing.assert_array_equal(locs["t"], np.arange(50))
    for name, (group, field) in {
        "x": ("fitResults", "x0"),
        "sig": ("fitResults", "sigma"),
        "error_y": ("fitError", "y0"),
    }.items():
        np.testing.assert_array_equal(locs[name], rows[group][field][order])


def test_pymes_usual_trio_runs_on_it(recipe_command, h5r, tmp_path):
    (tmp_path / "trio.yaml").write_text(
        "- localisations.AddPipelineDerivedVars: {inputFitResults: FitResults, outputLocalizations: Localizations}\n"
        "- localisations.ProcessColour: {input: Localizations, output: colour_mapped}\n"
        "- tablefilters.FilterTable: {inputName: colour_mapped, outputName: filtered, filters: {A: [5, 20000], sig: [150, 200]}}\n"
    )
    ended = recipe_command("run", "trio.yaml", h5r[0], "-o", "out")
    assert ended.code == 0, ended.err
    kept = Localizations.load(tmp_path / "out" / "cell_filtered.hdf")
    assert len(kept) == np.count_nonzero(h5r[1]["fitResults"]["sigma"] > 150)
    assert "photons" in kept


def test_focus_events_become_z(h5r):
    # What python-microscopy 26.9.3 makes of these events: by their time, not by the frame in their description; held until the next.
    path, _ = h5r
    events = np.array(
        [(b"ProtocolFocus", 1000.75, b"3, 50.30"), (b"PiezoOnTarget", 1000.8, b"50.9"), (b"ProtocolFocus", 1001.0, b"10, 50.70")],
        [("EventName", "S32"), ("Time", "f8"), ("EventDescr", "S256")],
    )
    with h5py.File(path, "a") as file:
        del file["Events"]
        file["Events"] = events
        file["MetaData"].attrs["StartTime"] = 1000.0
        file["MetaData/Camera"].attrs["CycleTime"] = 0.1
        file["MetaData"].create_group("Protocol").attrs["PiezoStartPos"] = 50.0
    fit = Table.load(f"{path}?table=FitResults")
    found = AddPipelineDerivedVars(foreshortening=0.5).apply(fit)["outputLocalizations"]
    expected = np.where(fit["tIndex"] < 7.5, 50_000.0, np.where(fit["tIndex"] < 10, 50_300.0, 50_700.0))
    np.testing.assert_allclose(found["focus"], expected)
    np.testing.assert_allclose(found["z"], 0.5 * expected)
    ctx = Context("z")
    bare = Table({name: fit[name] for name in fit.columns}, metadata={"Events.ProtocolFocus": [[1000.75, 50.3]]})
    made = AddPipelineDerivedVars().apply(bare, ctx=ctx)["outputLocalizations"]
    assert (made["focus"] == 0).all()
    assert any("Camera.CycleTime" in line for line in ctx.warnings)
