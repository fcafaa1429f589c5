"""Damaged, odd and hostile tables of other programs: one clear error, nothing executed, no explosion of memory."""

import json
import pickle
import tracemalloc
import zipfile
import zlib

import fuzz_formats
import h5py
import numpy as np
import pytest

from recipes_core import io
from recipes_core.data import Drift, ImageStack, Localizations, Table
from recipes_core.errors import DataError, FormatError, RecipeError, UsageError

LOCS = Localizations(
    {"x": np.arange(50.0), "y": np.arange(50.0), "frame": np.arange(50)}, metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1}
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x,y,frame\n1,2,1e308\n", r"row 1 is of frame 1e\+308"),
        ("x,y,frame\n1,2,0\n1,,1\n", "line 3: column 'y' is empty"),
        ("x,y,frame\n1,2,0\n\n\n1,2,3,4\n", "line 5: 4 values for 3 columns"),
        ("x,y,frame\n1,2,0\n1,2\n", "line 3: 2 values for 3 columns"),
        ("x,y,frame\n1,2,0\n1,0x10,1\n", "'0x10' is no number"),
        ("x [nm],y [nm],frame,frame\n1,2,3,4\n", "two columns are called 'frame'"),
        (",".join(f"c{k}" for k in range(2500)) + "\n", "more than 2000 columns"),
        ("x,y\n" + "9" * (5 * 2**20) + ",1\n", "letters; that is no table"),
        ("x,y,frame\n1.5.2,2,0\n", "'1.5.2' is no number"),
        ("x,y,frame\n1,2,0\n" + "1" * 300_000 + "x,2,0\n", "is no number"),
        ("x" + " " * 200_000 + "[u,y,frame\n1,2,0,3\n", "4 values for 3 columns"),
    ],
)
def test_bad_text(tmp_path, text, told):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FormatError, match=told):
        Table.load(tmp_path / "a.csv")


def test_a_million_columns_need_no_memory(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"column{k}" for k in range(10**6)) + "\n" + ",".join("1" * 10**6) + "\n")
    tracemalloc.start()
    with pytest.raises(FormatError, match="more than 2000 columns"):
        Table.load(path)
    assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    tracemalloc.stop()


def test_huge_numbers_are_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,frame\n1e308,-1e308,0\nnan,inf,1\n")
    locs = Localizations.load(f"{tmp_path / 'a.csv'}?unit=um")
    assert np.isinf(locs["x"][0])
    assert locs["frame"].tolist() == [0, 1]
    Localizations.load(tmp_path / "a.csv").save(tmp_path / "b.decode.h5")


def test_text_as_only_known_column_is_no_number(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,frame\nleft,2,0\n")
    with pytest.raises(FormatError, match="'left' is no number"):
        Table.load(tmp_path / "a.csv")


def manifest_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json")), archive.read("table-0.bin")


def packed(path, manifest, table, name="table-0.bin"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr(name, table)
    return path


@pytest.mark.parametrize("name", ["../a.bin", "a/../../b.bin", "/etc/a.bin", "..\\a.bin", "C:/a.bin"])
def test_names_that_lead_out_of_an_archive(tmp_path, name):
    manifest, table = manifest_of(LOCS.save(tmp_path / "a.smlm"))
    manifest["files"][0]["name"] = name
    with pytest.raises(FormatError, match="leads out of the archive"):
        io.open_file(packed(tmp_path / "b.smlm", manifest, table, name))


def test_an_archive_that_unpacks_to_gigabytes(tmp_path):
    manifest, _ = manifest_of(LOCS.save(tmp_path / "a.smlm"))
    manifest["files"][0]["rows"] = 2 * 10**7
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(2**20)
    content = b"".join(packer.compress(zeros) for _ in range(600)) + packer.flush()
    path = tmp_path / "b.smlm"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        info = zipfile.ZipInfo("table-0.bin")
        archive.writestr(info, content)
    # The archive says that the member is deflated and large.
    raw = bytearray(path.read_bytes())
    for mark, method, size in ((b"PK\x03\x04", 8, 22), (b"PK\x01\x02", 10, 24)):
        at = raw.rindex(mark)
        raw[at + method : at + method + 2] = (8).to_bytes(2, "little")
        raw[at + size : at + size + 4] = (600 * 2**20).to_bytes(4, "little")
    path.write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(FormatError, match="it is refused"):
        Localizations.load(path)
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 10**9}, {"rows": -1}, {"rows": "many"}, {"rows": 1e400}, {"format": "other"}, {"name": "none.bin"},
        {"type": "image", "format": "i"}, {"format": "nameless"},
    ],
)  # fmt: skip
def test_manifests_that_lie(tmp_path, change):
    manifest, table = manifest_of(LOCS.save(tmp_path / "a.smlm"))
    manifest["formats"]["i"] = {"type": "image"}
    form = next(iter(manifest["formats"].values()))
    manifest["formats"]["nameless"] = {**form, "headers": ["", *form["headers"][1:]]}
    manifest["files"][0] |= change
    with pytest.raises(FormatError):
        Localizations.load(packed(tmp_path / "b.smlm", manifest, table))


def test_hdf5_links_references_and_objects_are_left_alone(tmp_path):
    secret = LOCS.save(tmp_path / "secret.hdf")
    kind = np.dtype([("x", "f4"), ("y", "f4"), ("frame", "u4"), ("ref", h5py.ref_dtype), ("text", h5py.string_dtype())])
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("locs", (3,), kind)
        file["linked"] = h5py.ExternalLink(str(secret), "/Localizations")
    content = io.open_file(f"{tmp_path / 'a.hdf5'}?pixel_size=100")
    assert [dataset.name for dataset in content.datasets] == ["locs"]
    assert set(content.datasets[0].load().columns) == {"x", "y", "frame"}
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["locs"] = h5py.ExternalLink(str(secret), "/Localizations")
    with pytest.raises(FormatError, match="holds no table"):
        io.open_file(f"{tmp_path / 'b.hdf5'}")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["data/frame_ix"] = np.arange(3)
        file["data/xyz"] = h5py.ExternalLink(str(secret), "/Localizations")
    with pytest.raises(FormatError, match="cannot be read"):
        io.open_file(tmp_path / "c.h5")


def test_tables_that_would_unpack_to_gigabytes(tmp_path):
    kind = np.dtype([("x", "f8"), ("y", "f8"), ("frame", "u4"), ("pad", "f8", (20,))])
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        item = file.create_dataset("locs", (4 * 10**6,), kind, chunks=(10**6,), compression="gzip", compression_opts=9)
        for start in range(0, len(item), 10**6):
            item[start : start + 10**6] = np.zeros(10**6, kind)
    assert (tmp_path / "a.hdf5").stat().st_size < 2 * 10**6
    with pytest.raises(FormatError, match="claims to hold 0.7 GiB"):
        Localizations.load(f"{tmp_path / 'a.hdf5'}?pixel_size=100")


@pytest.mark.parametrize("name", ["locs.hdf5", "movie.h5"])
def test_chunks_that_would_unpack_to_more_than_their_place(tmp_path, name):
    """The HDF5 library itself unpacks the megabyte below to a gigabyte."""
    packer = zlib.compressobj(9)
    zeros = bytes(2**24)
    bomb = b"".join(packer.compress(zeros) for _ in range(64)) + packer.flush()
    path = tmp_path / name
    with h5py.File(path, "w") as file:
        if name == "locs.hdf5":
            kind = np.dtype([("x", "f4"), ("y", "f4"), ("frame", "u4")])
            item = file.create_dataset("locs", (90_000,), kind, chunks=(90_000,), compression="gzip")
            item.id.write_direct_chunk((0,), bomb)
        else:
            item = file.create_dataset("ImageData", (2, 700, 800), "u2", chunks=(1, 700, 800), compression="gzip", shuffle=True)
            item[0] = 7
            item.id.write_direct_chunk((1, 0, 0), bomb)
    tracemalloc.start()
    with pytest.raises(FormatError, match="would unpack to far more"):
        if name == "locs.hdf5":
            Localizations.load(f"{path}?pixel_size=100")
        else:
            stack = ImageStack.load(path)
            assert (stack.frames(0, 1) == 7).all()
            stack.frames(1, 2)
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()


def test_ragged_rows_that_share_their_storage(tmp_path):
    """HDF5 stores rows of different length apart; many rows may point to one place, and a small file could fill the memory."""
    path = tmp_path / "a.hdf"
    with h5py.File(path, "w") as file:
        item = file.create_dataset("T", (2000,), h5py.vlen_dtype("f8"), chunks=(2000,))
        item[0] = np.zeros(10**5)
        item.id.read_direct_chunk((0,))
        _, raw = item.id.read_direct_chunk((0,))
        item.id.write_direct_chunk((0,), raw[:16] * 2000)
    tracemalloc.start()
    with pytest.raises(FormatError, match="more memory than the file can hold"):
        Table.load(path)
    assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    tracemalloc.stop()


def test_pickles_in_decode_files(tmp_path):
    path = LOCS.save(tmp_path / "a.decode.h5")
    with h5py.File(path, "a") as file:
        file["MetaData"].attrs["bad"] = np.bytes_(pickle.dumps(print, 0))
    with pytest.raises(FormatError, match="nothing was executed"):
        Localizations.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"xyz": np.zeros((50, 2))}, {"xyz": np.zeros(50)}, {"frame_ix": np.zeros(49, int)}, {"phot": np.zeros((50, 1))},
        {"xyz": np.zeros((50, 3), "S4")}, {"frame_ix": np.full(50, 1e300)},
    ],
)  # fmt: skip
def test_emitters_that_do_not_fit(tmp_path, change):
    path = LOCS.save(tmp_path / "a.decode.h5")
    with h5py.File(path, "a") as file:
        for name, values in change.items():
            del file["data"][name]
            file["data"][name] = values
    with pytest.raises(FormatError):
        Localizations.load(path)


def test_decode_in_pixels_without_their_size(tmp_path):
    path = LOCS.save(tmp_path / "a.decode.h5")
    with h5py.File(path, "a") as file:
        file["meta"].attrs["xy_unit"] = "px"
        del file["meta"].attrs["px_size"]
    with pytest.raises(FormatError, match="pixel_size=130"):
        Localizations.load(path)
    np.testing.assert_allclose(Localizations.load(f"{path}?pixel_size=200")["x"], LOCS["x"] * 200)


def test_fields_that_overlap(tmp_path):
    """A float32 of an unusual exponent stands in memory as float64, over the field behind it: reading it wrecked the memory."""
    path = LOCS.with_columns({"x": LOCS["x"].astype("f4"), "y": LOCS["y"].astype("f4")}).save(tmp_path / "a.hdf5")
    path.with_suffix(".yaml").unlink()
    raw = path.read_bytes()
    of_a_float = bytes((0x17, 8, 0, 0x17, 127, 0, 0, 0))  # places and sizes of exponent and mantissa, bias
    assert raw.count(of_a_float) >= 2
    path.write_bytes(raw.replace(of_a_float, bytes((0x17, 8, 0, 0x17, 76, 0, 0, 0)), 1))
    with h5py.File(path) as file:
        assert file["locs"].dtype["x"] == np.float64
        assert file["locs"].dtype.itemsize == 12
    with pytest.raises(FormatError, match="its columns overlap"):
        Localizations.load(f"{path}?pixel_size=100")


def test_attributes_whose_fields_overlap(tmp_path):
    path = LOCS.save(tmp_path / "a.hdf")
    with h5py.File(path, "a") as file:
        file["MetaData"].attrs["pair"] = np.zeros((), [("a", "f4"), ("b", "f4")])
    raw = path.read_bytes()
    of_a_float = bytes((0x17, 8, 0, 0x17, 127, 0, 0, 0))
    at = raw.rindex(of_a_float, 0, raw.rindex(of_a_float))
    path.write_bytes(raw[:at] + bytes((0x17, 8, 0, 0x17, 76, 0, 0, 0)) + raw[at + 8 :])
    with pytest.raises(FormatError, match="'pair' cannot be read: its type is damaged"):
        Localizations.load(path)


@pytest.mark.parametrize(
    "change", [{"measured": np.array(3.0)}, {"measured": np.zeros(0)}, {"exact": np.zeros(0)}, {"exact": np.array("a")}]
)
def test_drifts_whose_arrays_do_not_fit(tmp_path, change):
    np.savez(tmp_path / "d.npz", tIndex=np.arange(3.0), drift=np.zeros((3, 3)), **change)
    with pytest.raises(FormatError, match=f"'{next(iter(change))}' has"):
        Drift.load(tmp_path / "d.npz")


def test_raw_movies_whose_description_lies(tmp_path):
    path = ImageStack(np.zeros((2, 1, 4, 5), np.uint16)).save(tmp_path / "a.raw")
    yaml = path.with_suffix(".yaml")
    good = yaml.read_text()
    for old, new in (
        ("uint16", "object"),
        ("uint16", "O,O"),
        ("Frames: 2", "Frames: 9999999999"),
        ("Height: 4", "Height: x"),
        ("Width: 5", "Width: 0"),
        ("Width: 5", "Width: true"),
    ):
        yaml.write_text(good.replace(old, new))
        with pytest.raises(FormatError):
            ImageStack.load(path)
    yaml.write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(RecipeError):
        ImageStack.load(path)


def test_yaml_whose_aliases_multiply_is_not_copied_out(tmp_path):
    path = LOCS.save(tmp_path / "a.hdf5")
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{b}: &{b} [{', '.join('*' + a for _ in range(10))}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    path.with_suffix(".yaml").write_text("Pixelsize: 100\nWidth: 9\nHeight: 9\nFrames: 60\n" + bomb)
    locs = Localizations.load(path)
    assert locs.save(tmp_path / "b.hdf5").stat().st_size < 100_000


def test_matlab_files_of_old_versions_say_what_to_do(tmp_path):
    (tmp_path / "a_sml.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: PCWIN64".ljust(124) + b"\x00\x01IM" + bytes(99))
    with pytest.raises(FormatError, match=r"save with -v7\.3"):
        Localizations.load(tmp_path / "a_sml.mat")


def test_options_that_a_format_does_not_have(tmp_path):
    path = LOCS.save(tmp_path / "a.smlm")
    with pytest.raises(UsageError, match="decimal"):
        io.open_file(f"{path}?decimal=,")
    with pytest.raises(DataError, match="above 0"):
        io.open_file(f"{LOCS.save(tmp_path / 'a.hdf5')}?pixel_size=-1")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return fuzz_formats.samples(tmp_path_factory.mktemp("samples"))


@pytest.mark.parametrize("block", range(8))
def test_damaged_files_end_in_our_own_errors_or_in_data(samples, tmp_path, block):
    """Longer: ``python tests/fuzz_formats.py --seconds 600``."""
    names = list(samples)
    for seed in range(block * 100, block * 100 + 100):
        name = names[seed % len(names)]
        try:
            fuzz_formats.attempt(samples[name], tmp_path / "bad", seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {name}") from error
