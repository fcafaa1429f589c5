"""Real files read to the right columns, units, counts and values, found independently with h5py, numpy and tifffile."""

import csv
import warnings

import h5py
import numpy as np
import pytest
import tifffile
import yaml

from recipes_core.data import Drift, ImageStack, Localizations


def test_pyme_hdf(data_file):
    path = data_file("pyme/test_hdf.hdf")
    locs = Localizations.load(path)
    with h5py.File(path) as file:
        rows = file["Localizations"][:]
    assert len(locs) == 4281
    assert len(locs.columns) == 24
    for name, raw in {
        "x": "x",
        "error_z": "error_z",
        "sigma": "sig",
        "frame": "t",
        "fitResults_x0": "fitResults_x0",
        "tIndex": "tIndex",
    }.items():
        np.testing.assert_array_equal(locs[name], rows[raw])
    assert locs["frame"].dtype.kind == "i"
    assert (locs.units["x"], locs.units["sigma"], locs.units["A"]) == ("nm", "nm", "ADU")
    assert (locs["sig"] == 110).all()
    assert (locs["t"].min(), locs["t"].max()) == (1, 22112)


def test_pyme_csv_holds_the_same_rows(data_file):
    text, binary = Localizations.load(data_file("pyme/test_csv.csv")), Localizations.load(data_file("pyme/test_hdf.hdf"))
    assert set(text.columns) == set(binary.columns)
    for name in binary.columns:
        np.testing.assert_allclose(text[name], binary[name], rtol=1e-5, atol=1e-6)


def test_pyme_image_series(data_file):
    path = data_file("cc_drift/wormlike_simulated_images_with_drift.h5")
    stack = ImageStack.load(path)
    with h5py.File(path) as file:
        raw = file["ImageData"][:]
    assert stack.shape == (10, 1, 448, 448)
    assert stack.pixel_size == (20.0, 20.0, 1000.0)
    np.testing.assert_array_equal(stack.frames(3, 5)[:, 0], raw[3:5].transpose(0, 2, 1))
    assert stack.metadata["Camera.ReadNoise"] == 109.8
    assert stack.metadata["ChannelNames"] == ["Image"]
    assert stack.metadata["Source.Camera.ROI"] == [0, 0, 128, 128]
    assert stack.metadata["Pipeline.Recipe"].startswith("- localisations.ProcessColour")


def test_drift_of_the_plugin(data_file):
    path = data_file("cc_drift/drift.npz")
    drift = Drift.load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy mentions that Python 2 wrote the file
        raw = {name: values.copy() for name, values in np.load(path, allow_pickle=False).items()}
    np.testing.assert_array_equal(drift.correction, raw["drift"])
    np.testing.assert_array_equal(drift.frames, raw["tIndex"])
    # Windows of 1000 frames around the knots.
    assert drift.measured == (31.5, 30029.5)
    assert not drift.exact


def test_thunderstorm(data_file):
    path = data_file("formats/Thunderstorm_dstorm_data.csv")
    names, *lines = path.read_text().splitlines()
    names = [name.strip('"') for name in names.split(",")]
    rows = [dict(zip(names, row, strict=True)) for row in csv.reader(lines)]
    locs = Localizations.load(path)
    assert len(locs) == len(rows)
    for index in (0, 7, len(rows) - 1):
        assert locs["x"][index] == float(rows[index]["x [nm]"])
        assert locs["photons"][index] == float(rows[index]["intensity [photon]"])
        assert locs["frame"][index] == float(rows[index]["frame"]) - 1
    shifted = Localizations.load(f"{path}?pixel_size=100")
    np.testing.assert_allclose(shifted["x"], locs["x"] - 50)


def test_picasso(data_file):
    path = data_file("picasso/testdata_locs.hdf5")
    locs = Localizations.load(path)
    documents = list(yaml.safe_load_all(path.with_suffix(".yaml").read_text()))
    pixel = next(document["Pixelsize"] for document in documents if "Pixelsize" in document)
    with h5py.File(path) as file:
        rows = file["locs"][:]
    assert len(locs) == 564
    for name, raw in {"x": "x", "error_x": "lpx", "sigma_y": "sy"}.items():
        np.testing.assert_allclose(locs[name], rows[raw].astype(float) * pixel, rtol=1e-6)
    np.testing.assert_array_equal(locs["photons"], rows["photons"])
    np.testing.assert_array_equal(locs["frame"], rows["frame"])
    assert locs.metadata["voxelsize.x"] == pytest.approx(pixel / 1000)


@pytest.mark.parametrize("name", ["formats/images.tif", "deepstorm/ArtificialDataset_demo1.tif", "pyme/psf_astig.tif"])
def test_tiff(data_file, name):
    path = data_file(name)
    raw = tifffile.imread(path)
    stack = ImageStack.load(path)
    assert stack.shape == (raw.shape[0], 1, *raw.shape[1:])
    assert stack.dtype == raw.dtype
    np.testing.assert_array_equal(stack.asarray()[:, 0], raw)
    np.testing.assert_array_equal(stack.frames(2, 4)[:, 0], raw[2:4])
