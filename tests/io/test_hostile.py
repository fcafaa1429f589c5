"""Damaged and hostile files: one clear error, nothing executed, nothing half-written."""

import os
import pickle
import struct
import zipfile

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipes_core import io
from recipes_core.data import Drift, ImageStack, Localizations, Table
from recipes_core.errors import DataError, EnvironmentFault, FormatError, RecipeError, UsageError
from recipes_core.io import safe_pickle

LOCS = Localizations({"x": np.arange(500.0), "y": np.arange(500.0), "frame": np.arange(500)})


class Calls:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, open, pickle.loads, bytearray])
def test_pickles_that_call_something_are_refused(protocol, function):
    content = pickle.dumps(Calls(function, "print('executed')"), protocol)
    with pytest.raises(safe_pickle.Refused):
        safe_pickle.loads(content)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "value",
    [(1, 2), [1.5, "a", None, True], {"a": {"b": (1,)}}, "text µ", 2**70, {1, 2}, b"bytes", np.float64(1.5), np.int32(7), np.bool_(True)]
)  # fmt: skip
def test_plain_values_and_numpy_scalars_are_read(protocol, value):
    assert safe_pickle.loads(pickle.dumps(value, protocol)) == value


def test_arrays_are_read():
    for array in (np.arange(6.0).reshape(2, 3), np.array([1, 2], ">i4"), np.asfortranarray(np.eye(3)[:, :2])):
        np.testing.assert_array_equal(safe_pickle.loads(pickle.dumps(array, 0)), array)
    with pytest.raises((safe_pickle.Refused, ValueError)):
        safe_pickle.loads(pickle.dumps(np.array([{"a": 1}], object), 0))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(content):
    try:
        safe_pickle.loads(content)
    except ValueError:  # Refused is one
        return


def test_metadata_that_only_look_like_a_pickle_are_text(tmp_path):
    path = LOCS.save(tmp_path / "a.hdf")
    with h5py.File(path, "a") as file:
        file["MetaData"].attrs["note"] = np.bytes_(b"Image of a cell.")
        file["MetaData"].attrs["short"] = np.bytes_(b"I am.")
    metadata = Localizations.load(path).metadata
    assert (metadata["note"], metadata["short"]) == ("Image of a cell.", "I am.")


def test_links_into_other_files_are_not_followed(tmp_path):
    secret = LOCS.save(tmp_path / "secret.hdf")
    with h5py.File(tmp_path / "a.hdf", "w") as file:
        file["Stolen"] = h5py.ExternalLink(str(secret), "/Localizations")
        file["Soft"] = h5py.SoftLink("/Stolen")
        file.create_dataset("Own", data=np.zeros(3, [("a", "f4")]))
    assert [dataset.name for dataset in io.open_file(tmp_path / "a.hdf").datasets] == ["Own"]


def test_a_table_of_impossible_size_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.hdf", "w") as file:
        file.create_dataset("T", (10**11,), np.dtype([("x", "f8"), ("y", "f8"), ("t", "i4")]), chunks=(10**6,))
    with pytest.raises(FormatError, match="GiB"):
        io.open_file(tmp_path / "a.hdf")


def test_an_npz_that_would_unpack_to_gigabytes_is_refused(tmp_path):
    Drift([0, 1], np.zeros((2, 3))).save(tmp_path / "d.npz")
    content = bytearray((tmp_path / "d.npz").read_bytes())
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(FormatError):
        Drift.load(tmp_path / "d.npz")


def test_npz_headers_are_never_evaluated(tmp_path):
    header = b"{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (1,)}"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("tIndex.npy", array)
        archive.writestr("drift.npy", array)
    with pytest.raises(FormatError, match="damaged"):
        Drift.load(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x,y,t\n1,2\n", "line 2: 2 values for 3 columns"),
        ("x,y,t\n1,2,3\n4,five,6\n", "line 3: 'five' is no number"),
        ("x;y;t\n1,5;2;3\n", "Write decimal points"),
        ("x,y,x\n1,2,3\n", "two columns are called 'x'"),
        ("1,2,3\n4,5,6\n", "names no columns"),
    ],
)
def test_bad_csv(tmp_path, text, told):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FormatError, match=told):
        Table.load(tmp_path / "a.csv")


def test_csv_with_bom_quotes_and_blank_lines(tmp_path):
    (tmp_path / "a.csv").write_bytes('\ufeff"x","y","t"\r\n\r\n1,2,0\r\n3,4,1\r\n\r\n'.encode())
    locs = Localizations.load(tmp_path / "a.csv")
    assert (locs["x"].tolist(), locs["frame"].tolist()) == ([1, 3], [0, 1])


def test_picasso_without_pixel_size_says_how_to_give_it(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["locs"] = np.zeros(3, [("frame", "u4"), ("x", "f4"), ("y", "f4"), ("lpx", "f4")])
    with pytest.raises(FormatError, match=r"\?pixel_size=130"):
        Localizations.load(tmp_path / "a.hdf5")
    assert len(Localizations.load(f"{tmp_path / 'a.hdf5'}?pixel_size=130")) == 3
    (tmp_path / "a.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(FormatError, match="no YAML"):
        Localizations.load(tmp_path / "a.hdf5")


def test_an_image_that_says_it_has_no_pixels_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint16), metadata=None)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    at = content.index(struct.pack("<HH", 256, 4))
    content[at + 8 : at + 12] = bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(FormatError):
        ImageStack.load(tmp_path / "a.tif").asarray()


def test_folders_and_globs_are_one_stack(tmp_path):
    for index in (10, 2, 1):
        tifffile.imwrite(tmp_path / f"f_{index}.tif", np.full((2, 8, 8), index, np.uint16))
    stack = ImageStack.load(tmp_path)
    assert stack.asarray()[:, 0, 0, 0].tolist() == [1, 1, 2, 2, 10, 10]
    assert ImageStack.load(tmp_path / "f_1*.tif").frames(1, 3)[:, 0, 0, 0].tolist() == [1, 10]
    tifffile.imwrite(tmp_path / "f_3.tif", np.zeros((2, 9, 8), np.uint16))
    with pytest.raises(FormatError, match="f_3.tif"):
        ImageStack.load(tmp_path)


def test_colour_images_are_refused_and_channels_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(FormatError, match="3 samples"):
        ImageStack.load(tmp_path / "rgb.tif")
    pixels = np.arange(3 * 2 * 4 * 8 * 8, dtype=np.uint16).reshape(3, 2, 4, 8, 8)
    tifffile.imwrite(tmp_path / "c.ome.tif", pixels, metadata={"axes": "TCZYX", "Channel": {"Name": ["red", "green"]}})
    stack = ImageStack.load(tmp_path / "c.ome.tif")
    assert stack.channels == ("red", "green")
    np.testing.assert_array_equal(stack.channel(1).asarray(), pixels[:, 1])
    tifffile.imwrite(tmp_path / "z.ome.tif", np.moveaxis(pixels, 1, 2), metadata={"axes": "TZCYX"})
    other = ImageStack.load(tmp_path / "z.ome.tif")
    assert other.channels == ("channel0", "channel1")
    np.testing.assert_array_equal(other.asarray(), stack.asarray())
    stack.save(tmp_path / "again.ome.tif")
    again = ImageStack.load(tmp_path / "again.ome.tif")
    assert again.channels == ("red", "green")
    np.testing.assert_array_equal(again.asarray(), stack.asarray())


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_cut_tiff_says_how_many_frames_are_left(tmp_path, compression):
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(1).integers(0, 60000, (20, 64, 64)).astype(np.uint16)
    with tifffile.TiffWriter(path) as tiff:
        for frame in noise:
            tiff.write(frame, contiguous=False, compression=compression, metadata=None)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    with pytest.raises(FormatError, match=r"a\.tif"):
        ImageStack.load(path).asarray()


def test_a_missing_file_names_the_nearest(tmp_path):
    LOCS.save(tmp_path / "cell7.hdf")
    with pytest.raises(UsageError, match=r"Did you mean 'cell7.hdf'"):
        Localizations.load(tmp_path / "cel7.hdf")
    with pytest.raises(UsageError, match="no table 'B'"):
        Localizations.load(f"{tmp_path / 'cell7.hdf'}?table=B")
    with pytest.raises(DataError, match="holds no ImageStack but 'Localizations'"):
        ImageStack.load(tmp_path / "cell7.hdf")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("bug")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    from recipes_core.io import drift_npz

    path = Drift([0, 1], np.zeros((2, 3))).save(tmp_path / "d.npz")
    before = path.read_bytes()

    def fails(obj, stage, record):
        stage.write_bytes(b"half")
        raise error

    monkeypatch.setattr(drift_npz, "write", fails)
    with pytest.raises(EnvironmentFault if isinstance(error, OSError) else type(error)):
        Drift([0, 1], np.ones((2, 3))).save(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["d.npz"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        LOCS.save(tmp_path / "file" / "a.hdf")


def _samples(folder):
    noise = np.random.default_rng(1).integers(0, 1000, (5, 16, 16)).astype(np.uint16)
    made = [
        LOCS.save(folder / "a.hdf"), LOCS.save(folder / "a.csv"), Drift([0, 1], np.zeros((2, 3))).save(folder / "a.npz"),
        ImageStack(noise).save(folder / "a.ome.tif"), ImageStack(noise).save(folder / "a.h5"),
    ]  # fmt: skip
    return [(path, path.read_bytes()) for path in made]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_end_in_our_own_errors_or_in_data(tmp_path, data):
    if not (tmp_path / "samples").exists():
        (tmp_path / "samples").mkdir()
        test_changed_bytes_end_in_our_own_errors_or_in_data.samples = _samples(tmp_path / "samples")
    path, content = data.draw(st.sampled_from(test_changed_bytes_end_in_our_own_errors_or_in_data.samples))
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    target = tmp_path / f"changed{''.join(path.suffixes)}"
    target.write_bytes(changed)
    try:
        for dataset in io.open_file(target).datasets:
            loaded = dataset.load()
            if isinstance(loaded, ImageStack) and loaded.nbytes < 2**26:
                loaded.asarray()
    except RecipeError:
        return
