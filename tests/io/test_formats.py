"""Formats of other programs: what is written reads back, and frames, origin and units are converted."""

import itertools
import json
import warnings

import h5py
import numpy as np
import pytest
import tifffile
import yaml

from recipes_core import io
from recipes_core.data import HistoryEntry, ImageStack, Localizations, Table
from recipes_core.errors import DataError, FormatError, UsageError

RNG = np.random.default_rng(5)
N = 500
F4 = {
    name: RNG.uniform(low, high, N).astype(np.float32)
    for name, low, high in [
        ("x", 0, 2e4), ("y", 0, 2e4), ("z", -500, 500), ("photons", 100, 5000), ("background", 1, 100), ("error_x", 1, 30), ("error_y", 1, 30),
        ("error_z", 10, 60), ("probability", 0, 1), ("sigma", 90, 150),
    ]
}  # fmt: skip
LOCS = Localizations(
    {**F4, "frame": np.sort(RNG.integers(0, 2000, N)), "id": np.arange(N) + 7, "group": RNG.integers(0, 9, N).astype(np.int32)},
    metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.12, "voxelsize.units": "um", "note": "µ"},
    history=[HistoryEntry("a", "B", 2, {"n": 3})],
)
PICASSO = LOCS.with_provenance(metadata={**LOCS.metadata, "voxelsize.y": 0.1})
EXACT = [".hdf", ".csv", ".hdf5", ".ts.csv", ".decode.h5", ".decode.csv", ".deepstorm.csv", ".smlm", ".parquet", "_sml.mat"]


def saved(obj, path):
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
    return obj.save(path)


@pytest.mark.parametrize("suffix", EXACT)
def test_what_is_written_reads_back_to_float32(tmp_path, suffix):
    locs = PICASSO if suffix == ".hdf5" else LOCS
    path = saved(locs, tmp_path / f"a{suffix}")
    corner = suffix in (".ts.csv", ".deepstorm.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Formats that count from the corner do not say the size of a pixel; ours is not square.
        back = Localizations.load(path) if not corner else Localizations.load(path, pixel_size=100)
    if corner:
        back = back.with_columns({"y": back["y"] - 10})
    kept = set(back.columns)
    assert {"x", "y", "frame"} <= kept
    assert not suffix.endswith((".hdf", ".hdf5", ".smlm", ".h5", ".parquet")) or kept == set(LOCS.columns)
    for name in set(LOCS.columns) & kept:
        if LOCS[name].dtype.kind == "f":
            # One unit in the last place of float32; pixels cost a division and a multiplication.
            np.testing.assert_allclose(back[name], LOCS[name], rtol=2.4e-7 if suffix == ".hdf5" else 6e-8, atol=0, err_msg=name)
        else:
            np.testing.assert_array_equal(back[name], LOCS[name], err_msg=name)


@pytest.mark.parametrize("suffix", [".hdf", ".smlm", ".decode.h5", ".parquet", ".hdf5"])
def test_metadata_and_history_travel_along(tmp_path, suffix):
    back = Localizations.load(saved(PICASSO, tmp_path / f"a{suffix}"))
    if suffix != ".hdf5":
        assert back.metadata["note"] == "µ"
        assert back.history[0].as_dict() == LOCS.history[0].as_dict()
    assert back.metadata["voxelsize.x"] == pytest.approx(0.1)


@pytest.mark.parametrize("suffix", [*EXACT, ".challenge.csv"])
def test_the_same_table_gives_the_same_bytes(tmp_path, suffix):
    first, second = (saved(LOCS, tmp_path / folder / f"a{suffix}") for folder in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("suffix", EXACT)
def test_tables_without_rows(tmp_path, suffix):
    back = Localizations.load(saved(LOCS.select(slice(0, 0)), tmp_path / f"a{suffix}"))
    assert len(back) == 0
    assert {"x", "y", "frame"} <= set(back.columns)


@pytest.mark.parametrize("pair", list(itertools.permutations([".hdf", ".hdf5", ".decode.h5", ".smlm", ".csv"], 2)))
def test_positions_and_frames_survive_any_way_round(tmp_path, pair):
    first = Localizations.load(PICASSO.save(tmp_path / f"a{pair[0]}"))
    first = first.with_provenance(metadata={**first.metadata, "voxelsize.x": 0.1})
    second = Localizations.load(first.save(tmp_path / f"b{pair[1]}"))
    for name in ("x", "y", "error_x", "photons"):
        np.testing.assert_allclose(second[name], LOCS[name], rtol=5e-7)
    np.testing.assert_array_equal(second["frame"], LOCS["frame"])


def test_corner_and_frames_as_the_other_program_has_them(tmp_path):
    one = Localizations({"x": [0.0], "y": [0.0], "frame": [0]}, metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1})
    for suffix, row in ((".ts.csv", "1,1,50,50"), (".deepstorm.csv", "1,1,50,50"), (".challenge.csv", "1,1,50,50,0,0")):
        assert one.save(tmp_path / f"a{suffix}").read_text().splitlines()[1] == row
    back = Localizations.load(tmp_path / "a.challenge.csv", pixel_size=100)
    assert [back[name][0] for name in ("x", "y", "frame")] == [0, 0, 0]
    bare = one.with_provenance(metadata={})
    for suffix in (".ts.csv", ".deepstorm.csv", ".challenge.csv", ".hdf5"):
        with pytest.raises(DataError, match=r"voxelsize\.x=0\.1"):
            bare.save(tmp_path / f"b{suffix}")


def test_deepstorm_predictions_have_a_confidence(tmp_path):
    assert LOCS.save(tmp_path / "p.deepstorm.csv").read_text().startswith("frame,x [nm],y [nm],confidence [a.u]")
    truth = LOCS.only(["x", "y", "frame", "photons", "sigma"])
    path = truth.save(tmp_path / "t.deepstorm.csv")
    assert path.read_text().startswith(",frame,x [nm],y [nm],Photon #,Sigma [nm]\n1,")
    assert io.open_file(path).format == io.open_file(tmp_path / "p.deepstorm.csv").format == "Deep-STORM csv"


def test_the_csv_export_of_picasso_counts_from_0(tmp_path):
    """Picasso writes its own frames and origin under ThunderSTORM's names; its first row has id 0."""
    text = "id,frame,x [nm],y [nm],sigma [nm],intensity [photon],offset [photon],bkgstd [photon],uncertainty_xy [nm]\n"
    (tmp_path / "a.csv").write_text(text + "0,0,130,260,100,500,10,0,5\n1,3,131,261,100,500,10,0,5\n")
    content = io.open_file(tmp_path / "a.csv", pixel_size=130)
    locs = content.datasets[0].load()
    assert content.format == "csv export of Picasso"
    assert (locs["x"].tolist(), locs["frame"].tolist()) == ([130, 131], [0, 3])


def test_ids_from_0_do_not_make_a_file_of_picasso(tmp_path):
    path = LOCS.with_columns({"id": np.arange(N)}).save(tmp_path / "a.ts.csv")
    assert io.open_file(path).format == "ThunderSTORM csv"
    back = Localizations.load(path, pixel_size=100)
    np.testing.assert_array_equal(back["frame"], LOCS["frame"])
    np.testing.assert_array_equal(back["id"], np.arange(1, N + 1))


def test_frame_0_in_a_format_that_counts_from_1_is_told(tmp_path):
    (tmp_path / "a.csv").write_text('"id","frame","x [nm]","y [nm]"\n1,0,5,5\n2,1,5,5\n')
    content = io.open_file(tmp_path / "a.csv")
    assert content.datasets[0].load()["frame"].tolist() == [0, 1]
    assert any("frame 0" in note for note in content.notes)


def test_frame_base_can_be_given(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,t\n1,2,1\n1,2,2\n")
    assert Localizations.load(tmp_path / "a.csv")["frame"].tolist() == [1, 2]
    locs = Localizations.load(f"{tmp_path / 'a.csv'}?frame_base=1")
    assert locs["frame"].tolist() == [0, 1]
    assert locs.history[-1].parameters["frame_base"] == 1
    with pytest.raises(DataError, match="0 or 1"):
        Localizations.load(f"{tmp_path / 'a.csv'}?frame_base=2")


@pytest.mark.parametrize("suffix", [".hdf", ".hdf5", ".decode.h5", ".smlm", ".csv"])
def test_frames_that_count_from_1_where_the_format_counts_from_0(tmp_path, suffix):
    path = PICASSO.with_columns({"frame": LOCS["frame"] + 1}).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(Localizations.load(f"{path}?frame_base=1")["frame"], LOCS["frame"])
    np.testing.assert_array_equal(Localizations.load(path)["frame"], LOCS["frame"] + 1)


def test_picasso_frames_beyond_the_movie_are_told(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        rows = np.zeros(3, [("frame", "u4"), ("x", "f4"), ("y", "f4")])
        rows["frame"] = [1, 2, 3]
        file["locs"] = rows
    (tmp_path / "a.yaml").write_text("Width: 8\nHeight: 8\nFrames: 3\nPixelsize: 130\n")
    assert any("?frame_base=1" in note for note in io.open_file(tmp_path / "a.hdf5").notes)
    assert Localizations.load(f"{tmp_path / 'a.hdf5'}?frame_base=1")["frame"].tolist() == [0, 1, 2]


def test_any_csv_with_a_map_of_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("spot;X pos;Y pos;time;label\n1;1.5;2;1;bead\n2;2.5;3;2;cell\n")
    locs = Localizations.load(f"{path}?x=X pos&y=Y+pos&frame=time&unit=um&frame_base=1")
    assert (locs["x"].tolist(), locs["y"].tolist(), locs["frame"].tolist()) == ([1500, 2500], [2000, 3000], [0, 1])
    assert any("'label'" in note or "label" in note for note in io.open_file(path).notes)
    pixels = Localizations.load(path, x="X pos", y="3", frame="time", unit="px", pixel_size=100, origin="corner")
    assert (pixels["x"].tolist(), pixels["y"].tolist()) == ([100, 200], [150, 250])
    for query, told in (("x=X pso", "Did you mean 'X pos'"), ("sigmal=time", "no option"), ("x=X pos&unit=inch", "no unit"),
                        ("x=X pos&y=X pos", "cannot be 'x' and 'y'"), ("x=X pos&origin=left", "'centre' or 'corner'")):  # fmt: skip
        with pytest.raises((DataError, UsageError), match=told):
            io.open_file(f"{path}?{query}")


def test_a_table_without_header_by_position(tmp_path):
    (tmp_path / "a.csv").write_text("10,20,0\n11,21,1\n")
    with pytest.raises(FormatError, match="names no columns"):
        io.open_file(tmp_path / "a.csv")
    locs = Localizations.load(f"{tmp_path / 'a.csv'}?x=1&y=2&frame=3")
    assert (locs["x"].tolist(), locs["frame"].tolist()) == ([10, 11], [0, 1])


def test_units_in_the_header(tmp_path):
    (tmp_path / "a.csv").write_text("x [um],y_um,z (nm),frame,sigma_x [px]\n1,2,3,0,1.5\n")
    locs = Localizations.load(tmp_path / "a.csv", pixel_size=100)
    assert [locs[n][0] for n in ("x", "y", "z", "sigma_x")] == [1000, 2000, 3, 150]
    with pytest.raises(FormatError, match="pixel_size=130"):
        Localizations.load(tmp_path / "a.csv")


def test_a_table_that_says_no_unit_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,frame\n1,2,0\n")
    assert any("no unit" in note for note in io.open_file(tmp_path / "a.csv").notes)
    assert Localizations.load(f"{tmp_path / 'a.csv'}?unit=px&pixel_size=130")["x"].tolist() == [130]


def test_decimal_commas(tmp_path):
    (tmp_path / "a.csv").write_text("x;y;t\n1,5;2,25;0\n")
    with pytest.raises(FormatError, match="decimal=,"):
        Table.load(tmp_path / "a.csv")
    assert Localizations.load(f"{tmp_path / 'a.csv'}?decimal=,")["x"].tolist() == [1.5]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path, coding):
    (tmp_path / "a.csv").write_bytes("x,y,t,µ\r\n1,2,0,4\r\n".encode(coding))
    assert Localizations.load(tmp_path / "a.csv")["µ"].tolist() == [4]


def test_picasso_documents_are_kept_and_extended(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "Width: 64\nHeight: 64\nFrames: 2000\nCamera: x\n---\nPixelsize: 130\nBox Size: 7\n---\nGenerated by: Picasso Link\n"
    )
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        rows = np.zeros(
            3,
            [(n, "f4") for n in ("x", "y", "lpx", "lpy", "x_pick_rot", "std_x", "photon_rate")]
            + [("frame", "u4"), ("group", "i4"), ("n", "i4")],
        )
        rows["x"], rows["std_x"], rows["x_pick_rot"], rows["group"] = 2, 3, 4, [1, 2, 2]
        file["locs"] = rows
        file["groups"] = np.ones(2, [("group", "i4"), ("x", "f4"), ("n_events", "i4")])
    locs = Localizations.load(tmp_path / "a.hdf5")
    assert [locs[n][0] for n in ("x", "std_x", "x_pick_rot")] == [260, 390, 520]
    assert locs.units["std_x"] == "nm"
    assert locs["group"].tolist() == [1, 2, 2]
    assert Table.load(f"{tmp_path / 'a.hdf5'}?table=groups")["x"].tolist() == [130, 130]
    documents = list(yaml.safe_load_all((locs.save(tmp_path / "b.hdf5")).with_suffix(".yaml").read_text()))
    assert [documents[0]["Camera"], documents[1]["Box Size"], documents[2]["Generated by"]] == ["x", 7, "Picasso Link"]
    assert (len(documents), documents[3]["Generated by"]) == (4, "smlm-recipes")
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert json.loads(file["metadata"][()]) == documents
        np.testing.assert_allclose(file["locs"]["std_x"], 3)


@pytest.mark.parametrize("axes", ["xy", "xyz"])
def test_picasso_molecules(tmp_path, axes):
    """Columns as picasso.clusterer and picasso.g5m give them to centers of clusters."""
    names = [
        "frame",
        "std_frame",
        *axes,
        *(f"std_{axis}" for axis in axes),
        *(f"lp{axis}" for axis in axes),
        "photons",
        "n_locs",
        "n_events",
    ]
    names += ["volume" if "z" in axes else "area", "convexhull", "fitted_sigma", "rel_sigma", "p_val", "group"]
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["locs"] = np.full(4, 2, [(name, "f4") for name in names])
    (tmp_path / "a.yaml").write_text("Width: 9\nHeight: 9\nFrames: 9\nPixelsize: 130\n")
    locs = Localizations.load(tmp_path / "a.hdf5")
    assert set(names) - {"lpx", "lpy", "lpz"} <= set(locs.columns)
    in_pixels = {"x", "y", "std_x", "std_y", "error_x", "error_y"}
    assert {name for name in locs.columns if (locs[name] == 260).all()} == in_pixels
    assert all((locs[name] == 2).all() for name in set(locs.columns) - in_pixels)
    assert {locs.units[name] for name in (*in_pixels, "fitted_sigma", *(["z", "std_z", "error_z"] if "z" in axes else []))} == {
        "nm"
    }
    assert (locs.units["convexhull"], locs.units["std_frame"]) == ("px^3" if "z" in axes else "px^2", "frame")
    with h5py.File(locs.save(tmp_path / "b.hdf5")) as file:
        assert set(file["locs"].dtype.names) == set(names)
        assert all((file["locs"][name] == 2).all() for name in names)


def test_picasso_documents_inside_the_file(tmp_path):
    path = PICASSO.save(tmp_path / "a.hdf5")
    path.with_suffix(".yaml").unlink()
    back = Localizations.load(path)
    np.testing.assert_allclose(back["x"], LOCS["x"], rtol=3e-7)


def test_a_recipe_of_that_name_is_not_overwritten(tmp_path):
    (tmp_path / "cell.yaml").write_text("recipe: 1\n")
    with pytest.raises(UsageError, match=r"cell\.yaml"):
        PICASSO.save(tmp_path / "cell.hdf5")
    assert (tmp_path / "cell.yaml").read_text() == "recipe: 1\n"


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_picasso_movies(tmp_path, dtype):
    pixels = RNG.uniform(0, 200, (5, 1, 7, 9)).astype(dtype)
    stack = ImageStack(pixels, metadata={"voxelsize.x": 0.13, "voxelsize.y": 0.13, "Camera.ADOffset": 100})
    back = ImageStack.load(stack.save(tmp_path / "a.raw"))
    np.testing.assert_array_equal(back.asarray(), pixels)
    assert (back.metadata["voxelsize.x"], back.metadata["Camera.ADOffset"]) == (0.13, 100)
    (tmp_path / "a.raw").write_bytes((tmp_path / "a.raw").read_bytes()[:-1])
    with pytest.raises(FormatError, match="4 of 5 frames"):
        ImageStack.load(tmp_path / "a.raw")


def test_pyme_arrays_nested_and_ragged(tmp_path):
    nested = np.dtype([("tIndex", "i4"), ("fitResults", [("x0", "f4"), ("y0", "f4")]), ("moments", "f4", (3,)), ("name", "S4")])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        rows = np.zeros(4, nested)
        rows["tIndex"], rows["moments"][:, 1] = np.arange(4), 7
        file["FitResults"] = rows
        file.create_dataset("Image", data=np.arange(60).reshape(3, 4, 5), maxshape=(None, 4, 5))
        file.create_dataset("Plane", data=np.arange(20.0).reshape(4, 5))
        ragged = file.create_dataset("Traces", (3,), h5py.vlen_dtype(np.float32))
        for index in range(3):
            ragged[index] = np.arange(index + 1)
    names = [dataset.name for dataset in io.open_file(tmp_path / "a.h5").datasets]
    assert set(names) == {"FitResults", "Image", "Plane", "Traces", "Localizations"}
    table = Table.load(f"{tmp_path / 'a.h5'}?table=FitResults")
    assert table["moments_1"].tolist() == [7] * 4
    traces = Table.load(f"{tmp_path / 'a.h5'}?table=Traces")
    assert (traces["row"].tolist(), traces["value"].tolist()) == ([0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2])
    assert ImageStack.load(f"{tmp_path / 'a.h5'}?table=Image").asarray()[2, 0, 4, 3] == 59
    assert ImageStack.load(f"{tmp_path / 'a.h5'}?table=Plane").shape == (1, 1, 5, 4)


def test_big_tiff_and_series_of_several_files(tmp_path):
    pixels = RNG.integers(0, 999, (6, 8, 9)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "big.tif", pixels, bigtiff=True)
    np.testing.assert_array_equal(ImageStack.load(tmp_path / "big.tif").asarray()[:, 0], pixels)
    folder = tmp_path / "series"
    folder.mkdir()
    names = ["s_MMStack.ome.tif", "s_MMStack_1.ome.tif"]
    blocks = "".join(
        f'<TiffData IFD="{k % 3}" FirstT="{k}" PlaneCount="1"><UUID FileName="{names[k // 3]}">urn:uuid:0000000{k // 3}</UUID></TiffData>'
        for k in range(6)
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0000000{}">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="9" SizeY="8" SizeC="1" SizeZ="1" SizeT="6" '
        f'PhysicalSizeX="0.1" PhysicalSizeY="0.1"><Channel ID="Channel:0:0"/>{blocks}</Pixels></Image></OME>'
    )
    for index, name in enumerate(names):
        with tifffile.TiffWriter(folder / name) as tiff:
            for k, frame in enumerate(pixels[3 * index : 3 * index + 3]):
                tiff.write(frame, description=xml.format(index) if k == 0 else None, metadata=None, contiguous=False)
    for path in (folder / names[0], folder):
        # The folder holds two files of one series, which are not read twice.
        stack = ImageStack.load(path)
        np.testing.assert_array_equal(stack.asarray()[:, 0], pixels)
        assert stack.pixel_size[:2] == pytest.approx((100, 100))
