"""A result file carries the record that its writer was handed, and gives it back whatever the file holds besides."""

import io as streams
import json
import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from importlib.util import find_spec

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipes_core import io
from recipes_core.data import Document, Drift, Figure, ImageStack, Localizations, Panel, Picture, Scalars, Series, Table, Tables
from recipes_core.errors import RecipeError, UsageError
from recipes_core.io import record_places
from recipes_core.plugins import registry

RECORD = {
    "record": 1,
    "key": "corrected",
    "seed": 0,
    # What breaks containers of text: quotes, brackets, escapes, ends of elements, other scripts, bytes of a name that is no UTF-8.
    "recipe": "recipe: 1\nname: 'µ \\ (x) \"q\" </metadata> ]]> & /Keywords (x) ---\n日本' \udc80\t\u2028\x00\ufffe\n---\nb: 2\n",
    "versions": {"smlm-recipes": "0.1.0", "numpy": "2.1"},
    "inputs": {"Localizations": {"path": "cell 7.hdf", "digest": "ab" * 32}},
    "numbers": [1, 2.5, -1e-300, 2**70, True, None],
}
LOCS = Localizations(
    {"x": np.arange(50.0), "y": np.arange(50.0), "frame": np.arange(50)},
    metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1, "note": "µ"},
)
STACK = ImageStack(np.arange(240, dtype=np.uint16).reshape(4, 1, 6, 10))
FIGURE = Figure([Panel([Series("line", np.arange(9.0), np.arange(9.0) ** 2, label="µ")]), Panel([Picture(np.eye(8), 20.0)])])
KINDS = {
    "a.hdf": LOCS,
    "a.h5r": LOCS,
    "b.hdf": Table({"n": np.arange(4)}),
    "a.hdf5": LOCS,
    "a.csv": LOCS,
    "b.csv": Table({"n": np.arange(4)}),
    "a.ts.csv": LOCS,
    "a.deepstorm.csv": LOCS,
    "a.decode.csv": LOCS,
    "a.challenge.csv": LOCS,
    "a.decode.h5": LOCS,
    "a.smlm": LOCS,
    "a_sml.mat": LOCS,
    "b.smlm": Table({"n": np.arange(4)}),
    "m.raw": STACK,
    "a.h5": STACK,
    "a.ome.tif": STACK,
    "a.tiff": STACK,
    "a.npz": Drift([0, 1], np.zeros((2, 3))),
    "d.csv": Drift([0, 1], np.zeros((2, 3))),
    "d.txt": Drift([0, 1, 2], np.zeros((3, 3)), exact=True, metadata={"voxelsize.x": 0.1}),
    "a.png": FIGURE,
    "i.png": STACK,
    "p.html": Document("µ", {"locs": LOCS, "figure": FIGURE}),
    "t.hdf": Tables({"one": LOCS, "two": Table({"n": np.arange(4)})}),
    "a.svg": FIGURE,
    "a.pdf": FIGURE,
    "a.json": Scalars({"n": 3.0}, units={"n": "nm"}),
}
if find_spec("pyarrow"):
    KINDS |= {"a.parquet": LOCS, "b.parquet": Table({"n": np.arange(4)})}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    return {name: io.save(obj, folder / name, record=RECORD) for name, obj in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_the_record_comes_back_as_it_was(written, name):
    assert io.read_record(written[name]) == RECORD
    assert io.looks_like_result(written[name])


def test_every_format_that_is_written_is_tested():
    for ref in registry().writers.values():
        if ref.target.startswith("recipes_core."):
            for suffix in set(ref.suffixes) - {".ome.tiff", ".tif", *([] if find_spec("pyarrow") else [".parquet"])}:
                kinds = [type(obj).__name__ for name, obj in KINDS.items() if name.endswith(suffix)]
                assert set(kinds) & set(ref.types), (ref.name, suffix)


# The record of these stands in a file beside, which goes by name.
BESIDE = [name for name in KINDS if name.endswith((".csv", ".txt", ".hdf5", ".raw"))]


@pytest.mark.parametrize("name", [name for name in KINDS if name not in BESIDE])
def test_content_decides_not_the_name(written, tmp_path, name):
    other = tmp_path / "anything.dat"
    other.write_bytes(written[name].read_bytes())
    assert io.read_record(other) == RECORD


@pytest.mark.parametrize("name", KINDS)
def test_without_a_record_there_is_none(tmp_path, name):
    path = io.save(KINDS[name], tmp_path / name)
    assert io.read_record(path) is None
    assert not io.looks_like_result(path)


@pytest.mark.parametrize("name", KINDS)
def test_writing_again_without_a_record_leaves_no_old_one(tmp_path, name):
    path = io.save(KINDS[name], tmp_path / name, record=RECORD)
    io.save(KINDS[name], path)
    assert io.read_record(path) is None


@pytest.mark.parametrize("name", ["a.hdf", "a.hdf5", "a.h5", "a.ome.tif", "a.npz"])
def test_what_is_read_and_written_on_does_not_carry_the_old_record(written, tmp_path, name):
    obj = io.load(written[name], type(KINDS[name]))
    assert io.read_record(io.save(obj, tmp_path / name)) is None
    later = {**RECORD, "key": "later"}
    assert io.read_record(io.save(obj, tmp_path / name, record=later)) == later


@pytest.mark.parametrize("name", ["a.hdf", "a.hdf5", "a.h5", "a.ome.tif", "a.npz", "a.csv", "a.ts.csv"])
def test_records_do_not_change_what_is_read(written, tmp_path, name):
    bare = io.save(KINDS[name], tmp_path / name)
    query = "?pixel_size=100" if name == "a.ts.csv" else ""
    with_record, without = (io.load(f"{path}{query}", type(KINDS[name])) for path in (written[name], bare))
    for obj in (with_record, without):
        obj.metadata.pop("Picasso.yaml", None)  # the text of the file beside, which holds the record
    assert with_record.metadata == without.metadata
    if isinstance(without, Table):
        for column in without.columns:
            np.testing.assert_array_equal(with_record[column], without[column])


def test_other_programs_read_the_files_as_before(written):
    assert written["a.csv"].read_text().splitlines()[0] == "x,y,t"
    assert written["a.ts.csv"].read_text().startswith('"id"')
    matplotlib_image = pytest.importorskip("matplotlib.image")
    assert matplotlib_image.imread(written["a.png"]).shape[2] == 4
    from xml.etree import ElementTree

    assert ElementTree.parse(written["a.svg"]).getroot().tag.endswith("svg")
    with tifffile.TiffFile(written["a.ome.tif"]) as tiff:
        assert tiff.series[0].shape == (4, 6, 10)
    with np.load(written["a.npz"]) as arrays:
        assert arrays["drift"].shape == (2, 3)
    assert json.loads(written["a.json"].read_text())["values"] == {"n": 3.0}


def test_long_records(tmp_path):
    long = {**RECORD, "recipe": "# comment µ\n" * 50_000}
    for name, obj in KINDS.items():
        assert io.read_record(io.save(obj, tmp_path / name, record=long)) == long, name


def test_companions_of_two_tables_of_one_name_are_two(tmp_path):
    for name, key in {"a.csv": "first", "a.ts.csv": "second", "A B.CSV": "third"}.items():
        io.save(LOCS, tmp_path / name, record={"record": 1, "key": key})
    assert [io.read_record(tmp_path / name)["key"] for name in ("a.csv", "a.ts.csv", "A B.CSV")] == ["first", "second", "third"]


def test_files_that_are_no_results(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("- FilterTable: {inputName: a, outputName: b}\n")
    as_json = tmp_path / "recipe.json"
    as_json.write_text('{"recipe": 1, "modules": [], "record": "none"}')
    empty = tmp_path / "empty.hdf"
    empty.touch()
    for path in (recipe, as_json, empty, tmp_path, tmp_path / "absent.hdf"):
        assert not io.looks_like_result(path), path
    with pytest.raises(UsageError, match="there is no file"):
        io.read_record(tmp_path / "absent.hdf")


def test_a_recipe_stays_a_recipe_whatever_lies_beside_it(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("- FilterTable: {}\n")
    (tmp_path / "recipe.yaml.provenance.json").write_text('{"record": {"record": 1}}')
    assert not io.looks_like_result(recipe)


# -- hostile files --------------------------------------------------------------------------------------------------------


class Calls:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("a.npz", "w") as archive:
        buffer = streams.BytesIO()
        np.save(buffer, np.array(Calls(), object), allow_pickle=True)
        archive.writestr("record.npy", buffer.getvalue())
    with h5py.File("a.hdf", "w") as file:
        file.create_group("MetaData/Recipes").attrs["Record"] = np.void(pickle.dumps(Calls()))
    with h5py.File("b.hdf", "w") as file:
        file.create_group("MetaData/Recipes").attrs["Record"] = np.bytes_(pickle.dumps(Calls(), 0))
    io.save(LOCS, "c.hdf5")
    (tmp_path / "c.yaml").write_text("Record: !!python/object/apply:os.system ['touch executed']\n")
    for name in ("a.npz", "a.hdf", "b.hdf", "c.hdf5"):
        assert io.read_record(name) is None
    assert not (tmp_path / "executed").exists()


def test_hdf5_links_are_not_followed(tmp_path):
    secret = io.save(LOCS, tmp_path / "secret.hdf", record=RECORD)
    for name, link in {"a": h5py.ExternalLink(str(secret), "/MetaData"), "b": h5py.SoftLink("/Elsewhere")}.items():
        with h5py.File(tmp_path / f"{name}.hdf", "w") as file:
            file["MetaData"] = link
            file.create_group("Elsewhere/Recipes").attrs["Record"] = '{"record": 1}'
        assert io.read_record(tmp_path / f"{name}.hdf") is None


@pytest.mark.parametrize("value", ["[" * 200_000, '{"a":' * 200_000, "{}", "[]", "3", '{"a": ' + "9" * 10_000 + "}", "text", ""])
def test_texts_that_are_no_record(tmp_path, value):
    (tmp_path / "a.json").write_text('{"record": ' + (value or "null") + "}")
    (tmp_path / "a.csv").write_text("x,y,t\n1,2,3\n")
    (tmp_path / "a.csv.provenance.json").write_text('{"record": ' + (value or "null") + "}")
    with h5py.File(tmp_path / "a.hdf", "w") as file:
        file.create_group("MetaData/Recipes").attrs["Record"] = value
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("record.npy", "w") as stream:
        np.save(stream, np.array(value))
    for name in ("a.json", "a.csv", "a.hdf", "a.npz"):
        assert io.read_record(tmp_path / name) is None, name


def _bounded(path, most=150 * 2**20):
    tracemalloc.start()
    found = io.read_record(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most
    return found


def test_bombs_are_left_alone(tmp_path):
    header = b"{'descr': '<U500000000', 'fortran_order': False, 'shape': (), }"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive:
        archive.writestr("record.npy", array)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("record.npy", "w") as stream:
        for _ in range(200):
            stream.write(bytes(2**20))
    with h5py.File(tmp_path / "many.hdf", "w") as file:
        group = file.create_group("MetaData/Recipes")
        group.attrs.create("Record", ["x"] * 1000, dtype=h5py.string_dtype())
    entities = "".join(f'<!ENTITY {a} "{f"&{b};" * 10}">' for a, b in zip("bcdefghij", "abcdefghi", strict=True))
    (tmp_path / "laughs.svg").write_text(f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "ha">{entities}]><svg>&j;</svg>')
    laughs = f'<?xml version="1.0"?><!DOCTYPE O [<!ENTITY a "ha">{entities}]><O xmlns="http://x/OME"><CommentAnnotation>&j;</CommentAnnotation></O>'
    tifffile.imwrite(tmp_path / "laughs.tif", np.zeros((4, 4), np.uint8), description=laughs, metadata=None)
    chunk = b"tEXt" + record_places.PNG_KEYWORD.encode() + b"\0"
    (tmp_path / "long.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 2**31 - 1) + chunk)
    for path in tmp_path.iterdir():
        assert _bounded(path) is None, path.name


def _png(kind, content):
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))


def test_a_damaged_png_gives_no_record(tmp_path):
    text = record_places.PNG_KEYWORD.encode() + b'\0{"record":1}'
    good = b"\x89PNG\r\n\x1a\n" + _png(b"IHDR", bytes(13)) + _png(b"tEXt", text)
    (tmp_path / "a.png").write_bytes(good)
    assert io.read_record(tmp_path / "a.png") == {"record": 1}
    (tmp_path / "a.png").write_bytes(good[:-1] + b"?")
    assert io.read_record(tmp_path / "a.png") is None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_and_cut_files_give_a_mapping_or_none(written, tmp_path, data):
    name = data.draw(st.sampled_from(sorted(written)))
    content = bytearray(written[name].read_bytes())
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    target = tmp_path / f"changed_{name}"
    target.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile and numpy mention what is odd about a file
        found = io.read_record(target)
    assert found is None or isinstance(found, dict)


# -- files behind a content -----------------------------------------------------------------------------------------------


def _files(path):
    return [file.name for file in io.open_file(path).files]


def test_every_file_behind_a_content_is_named(written, tmp_path):
    for name, path in written.items():
        if isinstance(KINDS[name], (Figure, Scalars, Document)) or name == "i.png":
            continue
        beside = {"a.hdf5": ["a.yaml"], "m.raw": ["m.yaml"]}
        assert _files(path) == [name, *beside.get(name, [])]
    assert _files(f"{written['a.hdf']}?table=Localizations") == ["a.hdf"]
    alone = tmp_path / "alone.hdf5"
    alone.write_bytes(written["a.hdf5"].read_bytes())
    assert _files(f"{alone}?pixel_size=100") == ["alone.hdf5"]


def test_every_image_of_a_series_is_named(tmp_path):
    for index in (10, 2, 1):
        tifffile.imwrite(tmp_path / f"f_{index}.tif", np.zeros((2, 8, 8), np.uint16))
    assert _files(tmp_path) == ["f_1.tif", "f_2.tif", "f_10.tif"]
    assert _files(tmp_path / "f_1*.tif") == ["f_1.tif", "f_10.tif"]


def test_an_ome_series_in_several_files_names_them_all(tmp_path):
    uuids = ["urn:uuid:00000000-0000-0000-0000-00000000000" + str(index) for index in range(3)]
    planes = "".join(
        f'<TiffData FirstT="{t}" FirstC="0" FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="part_{t}.ome.tif">{uuids[t]}</UUID></TiffData>'
        for t in range(3)
    )
    for t in range(3):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[t]}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="5" SizeY="4" SizeZ="1" SizeC="1" SizeT="3">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"part_{t}.ome.tif", np.full((4, 5), t, np.uint8), description=xml, metadata=None)
    content = io.open_file(tmp_path / "part_1.ome.tif")
    assert content.datasets[0].load().asarray()[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert sorted(file.name for file in content.files) == ["part_0.ome.tif", "part_1.ome.tif", "part_2.ome.tif"]
    assert all(file.is_file() for file in content.files)


def test_reading_refuses_a_folder_that_may_not_be_read_in_our_words(tmp_path):
    with pytest.raises(RecipeError):
        io.read_record(tmp_path / "nothing" / "a.hdf")


def test_a_plugins_reader_gives_back_its_record(tmp_path, monkeypatch):
    class Reader:
        @staticmethod
        def sniff(path, head):
            return head.startswith(b"OWN!")

        @staticmethod
        def read_record(path):
            return json.loads(path.read_bytes()[4:])

    class Ref:
        target = "own_plugin:READER"

        @staticmethod
        def load():
            return Reader

    class Registry:
        readers = {"own": Ref}

    from recipes_core.io import recording

    monkeypatch.setattr(recording, "registry", Registry)
    (tmp_path / "a.own").write_bytes(b"OWN!" + json.dumps({"record": 1}).encode())
    (tmp_path / "b.own").write_bytes(b"OWN![1, 2]")
    assert io.read_record(tmp_path / "a.own") == {"record": 1}
    assert io.read_record(tmp_path / "b.own") is None
