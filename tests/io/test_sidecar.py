"""Metadata in files beside the data."""

import pickle

import numpy as np
import pytest
import tifffile

from recipes_core import io
from recipes_core.data import ImageStack, Localizations
from recipes_core.errors import FormatError


@pytest.fixture
def movie(tmp_path):
    tifffile.imwrite(tmp_path / "cell7.ome.tif", np.zeros((3, 8, 9), np.uint16), metadata={"axes": "TYX"})
    return tmp_path / "cell7.ome.tif"


@pytest.mark.parametrize("name", ["cell7.json", "cell7.ome.json", "cell7.ome.tif.json"])
def test_json_flat_or_nested(movie, name):
    beside = movie.with_name(name)
    beside.write_text('{"voxelsize.x": 0.107, "voxelsize": {"y": 0.108}, "Camera": {"ADOffset": 100, "ROI": [0, 0, 8, 9]}}')
    content = io.open_file(movie)
    stack = ImageStack.load(movie)
    assert stack.pixel_size[:2] == pytest.approx((107, 108))
    assert (stack.metadata["Camera.ADOffset"], stack.metadata["Camera.ROI"]) == (100, [0, 0, 8, 9])
    assert content.metadata["Camera.ADOffset"] == 100
    # Who asks whether the data are the same must look at the file beside as well.
    assert beside in content.files
    assert any(name in note for note in content.notes)


def test_xml(movie):
    movie.with_name("cell7.xml").write_text(
        '<?xml version="1.0"?><PYMEImageData><MetaData><voxelsize><x class="float" value="0.107"/><y class="float" value="0.107"/></voxelsize>'
        '<Camera><Name class="str" value="eye &amp; co"/><Bins class="int" value="2"/><Cooled class="bool" value="True"/></Camera>'
        f'<Camera2 class="pickle" value="{pickle.dumps([1, "a"], 0).decode().replace(chr(10), "&#10;")}"/></MetaData></PYMEImageData>'
    )
    metadata = ImageStack.load(movie).metadata
    assert (metadata["Camera.Name"], metadata["Camera.Bins"], metadata["Camera.Cooled"]) == ("eye & co", 2, True)
    assert metadata["Camera2"] == [1, "a"]
    assert metadata["voxelsize.x"] == 0.107


def test_xml_with_a_hostile_pickle_or_entities(movie):
    beside = movie.with_name("cell7.xml")
    beside.write_text(
        '<M><MetaData><Camera><a class="pickle" value="cos&#10;system&#10;(S\'true\'&#10;tR."/></Camera></MetaData></M>'
    )
    with pytest.raises(FormatError, match="nothing was executed"):
        ImageStack.load(movie)
    bomb = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><M><MetaData><Camera><N class="str" value="&y;"/></Camera></MetaData></M>'
    beside.write_text(bomb)
    assert "Camera.N" not in ImageStack.load(movie).metadata


def test_md_is_never_executed(movie, tmp_path):
    movie.with_name("cell7.md").write_text(
        "# comment\nmd['voxelsize.x'] = 0.107\nmd['voxelsize.y'] = .107\nmd.Camera.ADOffset = -100\n"
        "md.setEntry('Camera.ROI', (0, 0,\n   8, 9))\n"
        f"md['Camera.Name'] = open('{tmp_path / 'made'}', 'w')\nimport os\nmd['a'] = 10**10**10\nmd['b'] = md\n"
    )
    content = io.open_file(movie)
    assert content.metadata["Camera.ADOffset"] == -100
    assert content.metadata["Camera.ROI"] == (0, 0, 8, 9)
    assert {"Camera.Name", "a", "b"}.isdisjoint(content.metadata)
    assert any("line 7, 9, 10" in note for note in content.notes)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cell7.json", '{"a": 1}'), ("cell7.json", "[1, 2]"), ("cell7.json", "{"), ("cell7.json", '{"values": {"n": 3}, "record": {}}'),
        ("cell7.md", "# About cell 7\n\nIt was a [cell](x).\n"), ("cell7.md", "md[" * 5000), ("cell7.xml", "<svg/>"), ("cell7.xml", "<"),
    ],
)  # fmt: skip
def test_other_files_of_that_name_are_left_alone(movie, name, text):
    before = ImageStack.load(movie).metadata
    movie.with_name(name).write_text(text)
    content = io.open_file(movie)
    assert content.metadata == before
    assert content.files == (movie,)


def test_a_file_beside_names_columns_and_pixel_size(tmp_path):
    (tmp_path / "a.csv").write_text("u;v;k\n1;2;1\n")
    (tmp_path / "a.json").write_text(
        '{"Columns": {"x": "u", "y": "v", "frame": "k", "unit": "px", "frame_base": 1}, "voxelsize": {"x": 0.1, "y": 0.1}}'
    )
    locs = Localizations.load(tmp_path / "a.csv")
    assert [locs[name][0] for name in ("x", "y", "frame")] == [100, 200, 0]
    assert not any(key.startswith("Columns") for key in locs.metadata)
    assert Localizations.load(tmp_path / "a.csv", pixel_size=50)["x"][0] == 50  # what is given comes first
    (tmp_path / "b.csv").write_text('"id","frame","x [nm]","y [nm]"\n1,1,150,250\n')
    (tmp_path / "b.json").write_text('{"voxelsize.x": 0.1}')
    assert Localizations.load(tmp_path / "b.csv")["x"][0] == 100
