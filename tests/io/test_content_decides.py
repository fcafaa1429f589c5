"""A file is known by what is in it: under any name, and under the ending of another format."""

import shutil

import numpy as np
import pytest
import tifffile

from recipes_core import io
from recipes_core.data import ImageStack, Localizations, Table

REAL = [
    "pyme/test_hdf.hdf", "pyme/test_csv.csv", "pyme/psf_astig.tif", "picasso/testdata_locs.hdf5", "formats/Thunderstorm_dstorm_data.csv",
    "formats/rapidSTORM_dstorm_data.txt", "formats/rapidSTORM_dstorm_track_data.txt", "formats/Elyra_dstorm_data.txt",
    "formats/Nanoimager_dstorm_data.csv", "formats/SMLM_dstorm_data.smlm", "formats/decode_dstorm_data.h5",
    "formats/decode_dstorm_data_empty.h5",
    "formats/smap_dstorm_data.mat", "formats/images.tif", "deepstorm/positions_demo1.csv", "imagebinner/DNAPAINT_localizations.csv",
    "cc_drift/drift.npz", "cc_drift/wormlike_simulated_images_with_drift.h5",
]  # fmt: skip


@pytest.mark.parametrize("wrong", ["cell7", "cell7.dat", "cell7.tif", "cell7.csv", "cell7.hdf5", "cell7.npz", "cell7.smlm"])
@pytest.mark.parametrize("name", REAL)
def test_real_files_under_other_names(data_file, tmp_path, name, wrong):
    known = io.open_file(data_file(name))
    path = tmp_path / wrong
    shutil.copyfile(data_file(name), path)
    if name.startswith("picasso"):
        shutil.copyfile(data_file("picasso/testdata_locs.yaml"), path.with_suffix(".yaml"))
    found = io.open_file(path)
    assert found.format == known.format
    assert [dataset.name for dataset in found.datasets] == [dataset.name for dataset in known.datasets]
    for one, other in zip(known.datasets, found.datasets, strict=True):
        one, other = one.load(), other.load()
        assert type(one) is type(other)
        if isinstance(one, Table):
            assert one.columns == other.columns
            for column in one.columns:
                np.testing.assert_array_equal(one[column], other[column])


LOCS = Localizations(
    {"x": np.arange(9.0), "y": np.arange(9.0), "frame": np.arange(9), "photons": np.full(9, 500.0)},
    metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1},
)


@pytest.mark.parametrize(
    "suffix",
    [".hdf", ".h5r", ".csv", ".hdf5", ".ts.csv", ".deepstorm.csv", ".decode.h5", ".decode.csv", ".challenge.csv", ".smlm"],
)
def test_what_we_write_under_other_names(tmp_path, suffix):
    path = LOCS.save(tmp_path / f"a{suffix}")
    form = io.open_file(path).format
    other = path.rename(tmp_path / "a.bin")
    if suffix == ".hdf5":
        (tmp_path / "a.yaml").rename(tmp_path / "a.bin.yaml")
    assert io.open_file(other).format == form


def test_movies_under_other_names(tmp_path):
    pixels = np.arange(400, dtype=np.uint16).reshape(5, 8, 10)
    axes = {"axes": "TYX"}
    for name, options in (
        ("a", {}),
        ("b", {"bigtiff": True}),
        ("c", {"imagej": True, "metadata": axes}),
        ("d", {"ome": True, "metadata": axes}),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, **options)
        (tmp_path / f"{name}.tif").rename(tmp_path / f"{name}.csv")
        np.testing.assert_array_equal(ImageStack.load(tmp_path / f"{name}.csv").asarray()[:, 0], pixels)
