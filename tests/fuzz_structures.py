"""Files that are sound for their library, but hold what no program would write: HDF5, text, YAML, JSON, npz, TIFF and zip.

Damaged bytes rarely get past the checksums and headers of these containers; these files do.
"""

from __future__ import annotations

import io as streams
import json
import random
import shutil
import warnings
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
import yaml

NAMES = (
    "x", "y", "z", "t", "frame", "lpx", "lpy", "sx", "photons", "bg", "sig", "A", "error_x", "tIndex", "xnm", "ynm", "id",
    "group", "len", "fitResults_x0", "x [nm]", "y [nm]", "x [um]", "y_px", "uncertainty_xy [nm]", "Photon #",
    "confidence [a.u]", "xnano", "ynano", "x_cr", "First Frame", "Position X [nm]", "Position Y [nm]", "Channel", "Frame",
    "X (nm)", "Y (nm)", "phot", "x_sig", "own", "", "µ", "a/b", ".",
)  # fmt: skip
PLACES = (
    "locs", "FitResults", "Localizations", "ImageData", "PZFImageData", "Events", "data/xyz", "data/frame_ix", "data/phot",
    "data/xyz_cr", "data/xyz_sig", "data/prob", "data/id", "meta", "saveloc/loc/xnm", "saveloc/loc/ynm", "saveloc/loc/frame",
    "saveloc/loc/locprecnm", "saveloc/file/info/cam_pixelsize_um", "loc/xnm", "loc/ynm", "loc/frame", "metadata", "groups",
    "Traces", "MetaData/Camera", "T", "record", "smlm_recipes/x", "decode", "extra/a",
)  # fmt: skip
ATTRIBUTES = (
    "xy_unit", "px_size", "DimOrder", "SizeC", "SizeZ", "SizeT", "version", "voxelsize.x", "ADOffset", "history",
    "MATLAB_empty", "x", "y",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2**31, 2**63, 2**70, -(2**63), 0.1, 1e308, -1e308, 1e-320, float("nan"), float("inf"), 1.5, 130, 1e18, True),
)
TEXTS = (
    "",
    "nm",
    "px",
    "um",
    "XYZTC",
    "abc",
    "1e308",
    "nan",
    "1,5",
    "a\nb",
    "\0",
    "µ",
    "(lp0\nI1\na.",
    "cos\nsystem\n(S'true'\ntR.",
    "9" * 400,
)
DTYPES = ("f4", "f8", "i4", "u4", "i8", "u1", "?", "f2", "c8", "S4", ">f4", "u8")


def value(rng: random.Random, depth: int = 0) -> Any:
    """Something that JSON and YAML can hold."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(NUMBERS)
    if kind < 0.8 or depth > 3:
        return rng.choice((*TEXTS, None))
    if kind < 0.9:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return {rng.choice((*NAMES, "Pixelsize", "Width")): value(rng, depth + 1) for _ in range(rng.randint(0, 4))}


def array(rng: random.Random) -> Any:
    """An array of any type and a small shape."""
    shape = tuple(rng.choice((0, 1, 2, 3, 5, 5, 5)) for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4))))
    dtype = rng.choice(DTYPES)
    generator = np.random.default_rng(rng.getrandbits(32))
    made = generator.uniform(0, 99, shape)
    if dtype[-2:] in ("f4", "f8") and rng.random() < 0.3 and made.size:
        made.flat[generator.integers(made.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e38, -1e300, 1e300))
    with np.errstate(all="ignore"):
        return made.astype(dtype)


def rows(rng: random.Random) -> Any:
    """A table of fields with any names and types."""
    fields: list[Any] = []
    for name in dict.fromkeys(rng.choice([n for n in NAMES if n]) for _ in range(rng.randint(1, 8))):
        shape = rng.choice(((), (), (), (), (2,), (0,), (40,), (2, 2)))
        inner = rng.choice(DTYPES) if rng.random() < 0.85 else [("x0", "f4"), ("y0", rng.choice(DTYPES))]
        fields.append((name, inner, shape))
    table = np.zeros(rng.choice((0, 1, 5, 5)), np.dtype(fields))
    for name in table.dtype.names or ():
        if table[name].dtype.names is None and table[name].dtype.kind in "fiu" and rng.random() < 0.7:
            table[name] = rng.choice((1, 7, 0, 99, 3))
            if table[name].dtype.kind == "f" and table[name].dtype.itemsize > 2 and rng.random() < 0.2:
                table[name] = rng.choice((np.nan, 1e30, -5.0))
    return table


def hdf5(path: Path, rng: random.Random) -> None:
    """Datasets, groups, links and attributes with names that readers look for."""
    with h5py.File(path, "w", userblock_size=rng.choice((0, 0, 0, 512))) as file:
        for _ in range(rng.randint(1, 8)):
            _put(file, rng.choice(PLACES), rng)
        for _ in range(rng.randint(0, 6)):
            place = rng.choice(("/", *PLACES, "meta", "MetaData", "MetaData/voxelsize", "data"))
            if place not in file and rng.random() < 0.5:
                _attempt(lambda place=place: file.require_group(place))
            if place in file and isinstance(file.get(place), (h5py.Group, h5py.Dataset)):
                held = rng.choice(
                    (array(rng), rng.choice(NUMBERS), np.bytes_(rng.choice(TEXTS).encode()), rng.choice(TEXTS), h5py.Empty("f4"))
                )
                _attempt(lambda place=place, held=held: file[place].attrs.__setitem__(rng.choice(ATTRIBUTES), held))


def _put(file: h5py.File, place: str, rng: random.Random) -> None:
    kind = rng.random()

    def make() -> None:
        if kind < 0.35:
            file.create_dataset(place, data=rows(rng), compression=rng.choice((None, None, "gzip")))
        elif kind < 0.75:
            held = array(rng)
            packed = held.ndim and held.size and rng.random() < 0.4
            file.create_dataset(place, data=held, **({"compression": "gzip", "shuffle": rng.random() < 0.5} if packed else {}))
        elif kind < 0.8:
            file.create_dataset(place, data=h5py.Empty(rng.choice(("f4", "i4"))))
        elif kind < 0.85:
            file.create_dataset(place, (3,), h5py.vlen_dtype(rng.choice(("f4", "u1"))))
        elif kind < 0.9:
            file.create_dataset(place, data=rng.choice((json.dumps(value(rng)), *TEXTS)))
        elif kind < 0.94:
            file[place] = rng.choice((h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/" + rng.choice(PLACES))))
        elif kind < 0.97:
            file.create_dataset(place, (10 ** rng.randint(3, 15),), "f4", chunks=(1000,), compression="gzip")
        else:
            file.require_group(place)

    _attempt(make)


def _attempt(make: Callable[[], Any]) -> None:
    """What the library itself refuses is left out."""
    try:
        make()
    except (ValueError, TypeError, OSError, RuntimeError, KeyError, OverflowError, UnicodeError):
        return


def text(path: Path, rng: random.Random) -> None:
    """A table with any names, and any cells."""
    mark = rng.choice((",", ",", "\t", ";", " "))
    names = [rng.choice(NAMES) for _ in range(rng.randint(1, 8))]
    head = rng.choice(
        (
            "",
            "",
            "",
            "#",
            "# ",
            "\ufeff",
            "# a\n# b\n# {\n",
            '# DECODE EmitterSet\n# {}\n# {"xy_unit": "px", "px_size": [0, 1]}\n',
        )
    )
    lines = [head + mark.join(f'"{name}"' if rng.random() < 0.5 else name for name in names)]
    for _ in range(rng.randint(0, 5)):
        cells = [str(rng.choice((*NUMBERS, 1, 2, 3, 4, 5, 6)))] * 1 + [
            rng.choice((str(rng.choice(NUMBERS)), "1", "2.5", rng.choice(TEXTS))) for _ in range(len(names) - 1)
        ]
        lines.append(mark.join(cells[: rng.choice((len(cells),) * 9 + (1,))]))
    path.write_bytes(
        rng.choice(("\n", "\n", "\r\n", "\r")).join(lines).encode(rng.choice(("utf-8", "utf-8", "utf-16")), "surrogatepass")
    )


def picasso(path: Path, rng: random.Random) -> None:
    """A sound table beside a .yaml of any content."""
    with h5py.File(path, "w") as file:
        file["locs"] = np.zeros(3, [(name, "f4") for name in ("x", "y", "lpx", "lpy", "photons")] + [("frame", "u4")])
    path.with_suffix(".yaml").write_text(_documents(rng))


def raw(path: Path, rng: random.Random) -> None:
    """A movie beside a .yaml of any content."""
    path.write_bytes(bytes(rng.choice((0, 40, 80))))
    path.with_suffix(".yaml").write_text(_documents(rng))


def _documents(rng: random.Random) -> str:
    keys = (
        "Width",
        "Height",
        "Frames",
        "Pixelsize",
        "Data Type",
        "Byte Order",
        "Generated by",
        "Micro-Manager Metadata",
        "Camera",
    )
    good = {"Width": 4, "Height": 5, "Frames": 2, "Pixelsize": 130, "Data Type": "uint16", "Byte Order": "<"}
    documents = []
    for _ in range(rng.randint(1, 3)):
        document = {**good, **{rng.choice(keys): value(rng) for _ in range(rng.randint(0, 3))}}
        documents.append(document if rng.random() < 0.9 else value(rng))
    return str(yaml.safe_dump_all(documents, allow_unicode=True))


def side(path: Path, rng: random.Random) -> None:
    """A sound table beside a .json of any content."""
    path.write_text("x,y,frame\n1,2,0\n3,4,1\n")
    keys = (
        "voxelsize.x",
        "voxelsize",
        "Columns",
        "Columns.unit",
        "Columns.frame_base",
        "Columns.x",
        "Columns.origin",
        "Camera",
        "a",
    )
    path.with_suffix(".json").write_text(json.dumps({rng.choice(keys): value(rng) for _ in range(rng.randint(0, 4))}))


def npz(path: Path, rng: random.Random) -> None:
    """Arrays of any kind under the names of a drift."""
    names = [name for name in ("tIndex", "drift", "error", "measured", "exact", "record", "frames") if rng.random() < 0.7] or [
        "drift"
    ]
    held = {name: array(rng) for name in names}
    if rng.random() < 0.5:
        n = rng.choice((0, 1, 3))
        held |= {"tIndex": np.linspace(0, 9, n), "drift": np.zeros((n, rng.choice((1, 2, 3, 3, 3, 4))))}
    np.savez(path, **held)


def tiff(path: Path, rng: random.Random) -> None:
    """Pages of any shape and type, and descriptions that lie."""
    description = rng.choice(
        (None, "ImageJ=1.5\nimages=99\nslices=7\nframes=3\nunit=micron\n",
         '<?xml version="1.0"?><OME><Image><Pixels SizeT="9" SizeX="0"/></Image></OME>',
         '{"Summary": 3}', "ImageJ=\nimages=x\n", "<OME", json.dumps(value(rng)), '<!DOCTYPE a [<!ENTITY b "c">]><OME>&b;</OME>')
    )  # fmt: skip
    with warnings.catch_warnings(), tifffile.TiffWriter(path, bigtiff=rng.random() < 0.3) as writer:
        warnings.simplefilter("ignore")  # of odd shapes and types
        for _ in range(rng.randint(1, 3)):
            shape = rng.choice(((8, 9), (8, 9), (1, 1), (8, 9, 3), (2, 8, 9)))
            pixels = np.zeros(shape, rng.choice(("u1", "u2", "f4", "f8", "i2", "?", "c8", "u8")))
            resolution = rng.choice((None, None, (0, 0), (1e-9, 1e9), (100, 50)))
            _attempt(
                lambda pixels=pixels, resolution=resolution: writer.write(
                    pixels,
                    description=description,
                    metadata=None,
                    resolution=resolution,
                    resolutionunit=rng.choice((None, 1, 2, 3)),
                )
            )


def smlm(path: Path, rng: random.Random) -> None:
    """A manifest of any content."""
    columns = rng.randint(1, 4)
    form = {
        "type": "table", "mode": "binary", "columns": columns, "dtype": [rng.choice(("float32", "uint32", "int8", "x")) for _ in range(columns)],
        "headers": [rng.choice(NAMES) for _ in range(columns)], "shape": [1] * columns, "units": [rng.choice(TEXTS) for _ in range(columns)],
        "extension": ".bin",
    }  # fmt: skip
    manifest: dict[str, Any] = {
        "format_version": "0.2", "formats": {"a": form}, "files": [{"name": "a.bin", "type": "table", "format": "a", "rows": 3, "offset": {}}]
    }  # fmt: skip
    for _ in range(rng.randint(0, 3)):
        place: Any = rng.choice(
            (manifest, form, manifest["files"][0] if isinstance(manifest.get("files"), list) and manifest["files"] else form)
        )
        if isinstance(place, dict) and place:
            place[rng.choice(list(place))] = value(rng)
    target = streams.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("a.bin", bytes(rng.choice((0, 12, 48, 4 * 3 * columns))))
    path.write_bytes(target.getvalue())


def zarr(path: Path, rng: random.Random) -> None:
    """An OME-Zarr whose descriptions hold anything."""
    shutil.rmtree(path, ignore_errors=True)
    (path / "0").mkdir(parents=True)
    scale = {"type": "scale", "scale": [1, 0.3, 0.1, 0.1]}
    image: dict[str, Any] = {
        "axes": [{"name": n, "type": k, "unit": "micrometer"} for n, k in zip("tzyx", ("time", *["space"] * 3), strict=True)],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}], "version": "0.4",
    }  # fmt: skip
    about: dict[str, Any] = {"multiscales": [image]}
    array: dict[str, Any] = {
        "zarr_format": 2, "shape": [2, 1, 4, 5], "chunks": [1, 1, 4, 5], "dtype": "<u2", "compressor": None, "fill_value": 0, "order": "C",
        "filters": None,
    }  # fmt: skip
    group: dict[str, Any] = {"zarr_format": 2}
    for _ in range(rng.randint(0, 3)):
        place: Any = rng.choice((about, image, image, array, array, array, group, scale))
        if place:
            place[rng.choice(list(place))] = value(rng) if rng.random() < 0.8 else [value(rng) for _ in range(4)]
    for name, held in ((".zgroup", group), (".zattrs", about), ("0/.zarray", array)):
        if rng.random() < 0.97:
            (path / name).write_text(json.dumps(held) if rng.random() < 0.95 else rng.choice(TEXTS))
    for index in range(2):
        (path / "0" / f"{index}.0.0.0").write_bytes(bytes(rng.choice((40, 40, 40, 0, 39, 4000))))


MAKERS: dict[str, tuple[str, Callable[[Path, random.Random], None]]] = {
    "any hdf5": ("s.h5", hdf5), "any text": ("s.csv", text), "any picasso": ("s.hdf5", picasso), "any raw": ("s.raw", raw),
    "any sidecar": ("s.csv", side), "any npz": ("s.npz", npz), "any tiff": ("s.tif", tiff), "any smlm": ("s.smlm", smlm),
}  # fmt: skip
if find_spec("zarr"):
    MAKERS["any zarr"] = ("z.ome.zarr", zarr)
