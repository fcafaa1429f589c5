"""Formats whose libraries come with extras: OME-Zarr, nd2, Parquet."""

import json
import pickle
import sys

import numpy as np
import pytest

from recipes_core.data import ImageStack, Localizations
from recipes_core.errors import EnvironmentFault, FormatError

PIXELS = np.random.default_rng(2).integers(0, 999, (5, 1, 3, 8, 9)).astype(np.uint16)


def group(path, *, version=2, scale=(1, 1, 0.3, 0.107, 0.108), unit="micrometer", name="0"):
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    array = root.create_array(name="0", shape=PIXELS.shape, chunks=(1, 1, 1, 8, 9), dtype=PIXELS.dtype)
    array[:] = PIXELS
    axes = [
        {"name": "t", "type": "time"},
        {"name": "c", "type": "channel"},
        *({"name": n, "type": "space", "unit": unit} for n in "zyx"),
    ]
    multiscales = [
        {
            "version": "0.4",
            "axes": axes,
            "datasets": [{"path": name, "coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}],
        }
    ]
    root.attrs.update({"multiscales": multiscales} if version == 2 else {"ome": {"version": "0.5", "multiscales": multiscales}})
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr(tmp_path, version):
    stack = ImageStack.load(group(tmp_path / "a.ome.zarr", version=version))
    assert stack.shape == (5, 3, 8, 9)
    assert stack.pixel_size == pytest.approx((108, 107, 300))
    np.testing.assert_array_equal(stack.asarray(), PIXELS[:, 0])
    np.testing.assert_array_equal(stack.frames(2, 4), PIXELS[2:4, 0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack.source)).read(4, 5), PIXELS[4:, 0])


def test_zarr_whose_image_leads_out_of_it(tmp_path):
    path = group(tmp_path / "a.zarr")
    group(tmp_path / "secret.zarr")
    about = json.loads((path / ".zattrs").read_text())
    for name in ("../secret.zarr/0", "/etc", "none"):
        about["multiscales"][0]["datasets"][0]["path"] = name
        (path / ".zattrs").write_text(json.dumps(about))
        with pytest.raises(FormatError):
            ImageStack.load(path)


def test_zarr_of_impossible_size_or_damaged(tmp_path):
    path = group(tmp_path / "a.zarr")
    about = json.loads((path / "0" / ".zarray").read_text())
    (path / "0" / ".zarray").write_text(
        json.dumps({**about, "shape": [5, 1, 3, 10**6, 10**6], "chunks": [1, 1, 1, 10**6, 10**6]})
    )
    with pytest.raises(FormatError, match="GiB; it is refused"):
        ImageStack.load(path)
    for text in ("{", "[]", "{}", '{"multiscales": 3}', '{"multiscales": [{"datasets": []}]}'):
        (path / ".zattrs").write_text(text)
        with pytest.raises(FormatError):
            ImageStack.load(path)


@pytest.mark.parametrize(
    ("name", "content", "package", "extra"),
    [
        ("a.parquet", b"PAR1" + bytes(40), "pyarrow", "tables"),
        ("a.nd2", b"\xda\xce\xbe\x0a" + bytes(40), "nd2", "nd2"),
        ("a.zarr", None, "zarr", "zarr"),
    ],
)
def test_a_missing_library_names_the_extra(tmp_path, monkeypatch, name, content, package, extra):
    for module in (package, *(known for known in sys.modules if known.startswith(f"{package}."))):
        monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / name
    if content is None:
        path.mkdir()
        (path / ".zgroup").write_text('{"zarr_format": 2}')
    else:
        path.write_bytes(content)
    kind = Localizations if extra == "tables" else ImageStack
    with pytest.raises(EnvironmentFault, match=rf"smlm-recipes\[{extra}\]"):
        kind.load(path)


@pytest.mark.parametrize("name", ["a.parquet", "a.nd2"])
def test_damaged_files(tmp_path, name):
    pytest.importorskip("pyarrow" if name == "a.parquet" else "nd2")
    path = tmp_path / name
    path.write_bytes((b"PAR1" if name == "a.parquet" else b"\xda\xce\xbe\x0a") + bytes(range(256)) * 4)
    with pytest.raises(FormatError):
        ImageStack.load(path)


class _Nd2:
    """What the library nd2 gives of a file, of frames that are known."""

    def __init__(self, path):
        self.sizes = {"T": 5, "Z": 3, "Y": 8, "X": 9}
        self.dtype = PIXELS.dtype

    def voxel_size(self):
        return (0.108, 0.107, 0.3)

    def read_frame(self, index):
        return PIXELS.reshape(-1, 8, 9)[index]

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_nd2_frames_and_planes(tmp_path, monkeypatch):
    nd2 = pytest.importorskip("nd2")
    monkeypatch.setattr(nd2, "ND2File", _Nd2)
    (tmp_path / "a.nd2").write_bytes(b"\xda\xce\xbe\x0a" + bytes(40))
    stack = ImageStack.load(tmp_path / "a.nd2")
    assert stack.pixel_size == pytest.approx((108, 107, 300))
    np.testing.assert_array_equal(stack.asarray(), PIXELS[:, 0])
    np.testing.assert_array_equal(stack.frames(2, 3), PIXELS[2:3, 0])


def test_parquet_of_other_programs(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = {"x_nm": [1.0, None], "y_nm": [3.0, 4.0], "frame": [1, 2], "name": ["a", "b"], "on": [True, False]}
    parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    locs = Localizations.load(f"{tmp_path / 'a.parquet'}?frame_base=1")
    assert set(locs.columns) == {"x", "y", "frame", "on"}
    assert locs["frame"].tolist() == [0, 1]
    assert np.isnan(locs["x"][1])


def test_parquet_that_would_fill_the_memory(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(10**6, np.int8)), pyarrow.array([1.0]))
    with parquet.ParquetWriter(
        tmp_path / "a.parquet", pyarrow.schema([(n, column.type) for n in ("x", "y", "frame")]), compression="zstd"
    ) as writer:
        for _ in range(15):
            writer.write_table(pyarrow.table(dict.fromkeys(("x", "y", "frame"), column)))
    with pytest.raises(FormatError, match="it is refused"):
        Localizations.load(tmp_path / "a.parquet")
