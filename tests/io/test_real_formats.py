"""Real files of other programs read to the right columns, units, counts and values, found independently."""

import json
import re
import zipfile

import h5py
import numpy as np
import pytest

from recipes_core import io
from recipes_core.data import ImageStack, Localizations


def cells(path, line, delimiter):
    return [float(cell) for cell in path.read_text(errors="replace").splitlines()[line].split(delimiter)]


def test_elyra(data_file):
    path = data_file("formats/Elyra_dstorm_data.txt")
    locs = Localizations.load(path)
    assert len(locs) == 15  # the block of metadata behind them is no row
    for row in (0, 7, 14):
        raw = cells(path, row + 1, "\t")
        assert [locs[name][row] for name in ("id", "frame", "x", "y", "error_x", "photons", "chi2", "psf_half_width")] == [
            raw[0], raw[1] - 1, raw[4], raw[5], raw[6], raw[7], raw[9], raw[10]
        ]  # fmt: skip
    assert (locs.units["x"], locs.units["photons"], locs.units["background_variance"]) == ("nm", "photon", "photon^2")
    assert locs.history[-1].parameters == {"frame_base": 1, "origin": "unknown"}


def test_nanoimager(data_file):
    path = data_file("formats/Nanoimager_dstorm_data.csv")
    locs = Localizations.load(path)
    assert len(locs) == 14
    for row in (0, 9, 13):
        raw = cells(path, row + 1, ",")
        assert [locs[name][row] for name in ("channel", "frame", "x", "y", "z", "photons", "background")] == raw
    assert locs["frame"].dtype.kind == "i"


def test_rapidstorm(data_file):
    path = data_file("formats/rapidSTORM_dstorm_data.txt")
    locs = Localizations.load(path)
    assert len(locs) == 14
    for row in (0, 13):
        assert [locs[n][row] for n in ("x", "y", "frame", "A", "fit_residues", "background")] == cells(path, row + 1, " ")
    assert (locs.units["A"], locs.units["background"], locs.units["x"]) == ("ADU", "ADU", "nm")


def test_rapidstorm_tracks(data_file):
    path = data_file("formats/rapidSTORM_dstorm_track_data.txt")
    lines = [[float(cell) for cell in line.split()] for line in path.read_text().splitlines()[1:]]
    locs = Localizations.load(path)
    tracks = Localizations.load(f"{path}?table=Tracks")
    assert len(tracks) == len(lines) == 14
    assert len(locs) == sum(line[4] for line in lines) == 91
    np.testing.assert_array_equal(tracks["detections"], [line[4] for line in lines])
    np.testing.assert_array_equal(np.bincount(locs["track"]), [line[4] for line in lines])
    second = np.reshape(lines[1][5:], (2, 8))
    rows = locs.select(locs["track"] == 1)
    for column, name in enumerate(("x", "error_x", "y", "error_y", "frame", "A", "fit_residues", "background")):
        np.testing.assert_array_equal(rows[name], second[:, column])
    # rapidSTORM's track is the mean of its localizations.
    assert tracks["x"][1] == pytest.approx(rows["x"].mean(), abs=0.01)


def test_smlm(data_file):
    path = data_file("formats/SMLM_dstorm_data.smlm")
    locs = Localizations.load(path)
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    told = manifest["files"][0]
    assert len(locs) == int(told["rows"]) == 10
    names = {"x": "position_x", "y": "position_y", "background": "local_background", "photons": "intensity", "chi2": "chi_square"}
    for name, raw in names.items():
        assert (locs[name].min(), locs[name].max()) == pytest.approx((told["min"][raw], told["max"][raw]), rel=1e-6)
    assert (locs["frame"] == 0).all()
    assert locs["original_index"].tolist() == list(range(1, 11))


def test_decode(data_file):
    path = data_file("formats/decode_dstorm_data.h5")
    locs = Localizations.load(path)
    with h5py.File(path) as file:
        data = {name: item[()] for name, item in file["data"].items() if item.shape is not None}
    assert len(locs) == 96
    # Pixels are 127 nm along x and 117 nm along y; z is in nm.
    for axis, scale, column in (("x", 127, 0), ("y", 117, 1), ("z", 1, 2)):
        np.testing.assert_allclose(locs[axis], data["xyz"][:, column].astype(float) * scale, rtol=2e-7)
        np.testing.assert_allclose(locs[f"error_{axis}"], data["xyz_sig"][:, column].astype(float) * scale, rtol=2e-7)
    np.testing.assert_array_equal(locs["frame"], data["frame_ix"])
    np.testing.assert_array_equal(locs["photons"], data["phot"])
    np.testing.assert_array_equal(locs["error_photons"], data["phot_sig"])
    np.testing.assert_array_equal(locs["probability"], data["prob"])
    assert (locs.metadata["voxelsize.x"], locs.metadata["voxelsize.y"]) == (0.127, 0.117)
    swapped = Localizations.load(f"{path}?swap_xy=1")
    np.testing.assert_array_equal(swapped["y"], locs["x"])
    np.testing.assert_array_equal(swapped["error_x"], locs["error_y"])


def test_decode_without_emitters(data_file):
    locs = Localizations.load(data_file("formats/decode_dstorm_data_empty.h5"))
    assert len(locs) == 0
    assert {"x", "y", "z", "frame", "photons"} <= set(locs.columns)


def test_smap(data_file):
    path = data_file("formats/smap_dstorm_data.mat")
    locs = Localizations.load(path)
    with h5py.File(path) as file:
        raw = {name: file["saveloc/loc"][name][0] for name in file["saveloc/loc"]}
    assert len(locs) == 4884
    assert len(locs.columns) == len(raw) == 25
    names = {"x": "xnm", "y": "ynm", "z": "znm", "photons": "phot", "error_x": "xnmerr", "error_y": "ynmerr", "sigma_x": "PSFxnm",
             "background": "bg", "locprecnm": "locprecnm"}  # fmt: skip
    for name, known in names.items():
        np.testing.assert_array_equal(locs[name], raw[known])
    np.testing.assert_array_equal(locs["frame"], raw["frame"] - 1)
    assert (locs.metadata["voxelsize.x"], locs.units["xpix"]) == (0.104, "px")
    notes = io.open_file(path).notes
    count = int((raw["locprecnm"] > 1000).sum())
    assert any(re.search(rf"\b{count} localizations", note) for note in notes)


def test_smap_goes_round(data_file, tmp_path):
    path = data_file("formats/smap_dstorm_data.mat")
    locs = Localizations.load(path)
    copy = locs.save(tmp_path / "copy_sml.mat")
    with h5py.File(path) as file, h5py.File(copy) as other:
        assert set(file["saveloc/loc"]) == set(other["saveloc/loc"])
        for name in file["saveloc/loc"]:
            one, two = file["saveloc/loc"][name], other["saveloc/loc"][name]
            assert (one.dtype, one.attrs["MATLAB_class"]) == (two.dtype, two.attrs["MATLAB_class"])
            np.testing.assert_array_equal(one[()], two[()])
        assert [b"".join(field) for field in other["saveloc/loc"].attrs["MATLAB_fields"]][-1].decode() in other["saveloc/loc"]
        np.testing.assert_array_equal(file["saveloc/file/info/cam_pixelsize_um"], other["saveloc/file/info/cam_pixelsize_um"])
    head, known = copy.read_bytes()[:512], path.read_bytes()[:512]
    assert (head[:10], head[116:128], len(head)) == (known[:10], known[116:128], 512)


def test_deepstorm_truth(data_file):
    path = data_file("deepstorm/positions_demo1.csv")
    # Its header is that of ThunderSTORM; positions count from the corner of 100 nm pixels.
    locs = Localizations.load(f"{path}?pixel_size=100")
    assert len(locs) == 4956
    for row in (0, 4000, 4955):
        raw = cells(path, row + 1, ",")
        assert [locs["frame"][row], locs["sigma"][row], locs["photons"][row]] == [raw[1] - 1, raw[4], raw[5]]
        assert [locs["x"][row] + 50, locs["y"][row] + 50] == pytest.approx(raw[2:4], rel=1e-12)


def test_truth_lies_on_the_spots_of_the_movie(data_file):
    """Half a pixel less, or x and y exchanged, and the bright pixels would not be under the positions."""
    stack = ImageStack.load(data_file("deepstorm/ArtificialDataset_demo1.tif")).asarray()[:, 0].astype(float)
    path = data_file("deepstorm/positions_demo1.csv")
    locs = Localizations.load(f"{path}?pixel_size=100")

    def brightness(x, y):
        column, row = np.rint(x / 100).astype(int), np.rint(y / 100).astype(int)
        inside = (column >= 0) & (column < 64) & (row >= 0) & (row < 64)
        return stack[locs["frame"][inside], row[inside], column[inside]].mean()

    right = brightness(locs["x"], locs["y"])
    for x, y in ((locs["y"], locs["x"]), (locs["x"] + 100, locs["y"]), (locs["x"] - 100, locs["y"]), (locs["x"], locs["y"] + 100),
                 (locs["x"], locs["y"] - 100), (locs["x"] + 50, locs["y"] + 50)):  # fmt: skip
        assert brightness(x, y) < right


def test_imagebinner(data_file):
    path = data_file("imagebinner/DNAPAINT_localizations.csv")
    locs = Localizations.load(path)
    assert io.open_file(path).format == "Deep-STORM csv"
    assert len(locs) == 5744
    for row in (0, 3000, 5743):
        raw = cells(path, row + 1, ",")
        assert [locs[n][row] for n in ("index", "frame", "x", "y", "photons", "sigma")] == [raw[0], raw[1] - 1, *raw[2:]]
    assert (locs["frame"].min(), locs["frame"].max()) == (0, 49)


@pytest.mark.parametrize("name", ["five_blobs.txt", "five_blobs_3D.txt"])
def test_locan_tables(data_file, name):
    path = data_file(f"formats/{name}")
    locs = Localizations.load(path)
    assert len(locs) == 50
    assert [locs[n][4] for n in locs.columns] == cells(path, 5, ",")
    assert {"x", "y", "group", "frame"} <= set(locs.columns)


def test_picasso_movie(data_file):
    path = data_file("picasso/testdata.raw")
    stack = ImageStack.load(path)
    raw = np.fromfile(path, "<u2").reshape(100, 32, 32)
    np.testing.assert_array_equal(stack.asarray()[:, 0], raw)
    np.testing.assert_array_equal(stack.frames(97, 100)[:, 0], raw[97:])
    assert stack.metadata["voxelsize.x"] == 0.16
