"""Damaged files of every format, made from small good ones, and sound ones of odd content: each must end in data or in our own errors.

The tests run a bounded number of them; ``python tests/fuzz_formats.py --seconds 600 [--only SUFFIX]`` runs longer, in child processes with a
bounded memory, and prints the seed of each file that ended otherwise; ``--seed N --only SUFFIX --keep FILE`` makes that file again.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from importlib.util import find_spec
from pathlib import Path

import fuzz_structures
import h5py
import numpy as np
import tifffile

from recipes_core import io
from recipes_core.data import Drift, ImageStack, Localizations, Table
from recipes_core.errors import RecipeError

TOKENS = [
    *b"1e308 -1e308 1e999 nan inf -inf - , ; # .. / 99999999999999999999 -1 0 { } [ ] < > &amp; 1_000 0x10 1,5 True () x e %s".split(),
    *(b"\0", b"\t", b"\n\n", b'"', b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3\xa9", b"\x80", b"\x00\x00\x00\x80", b"\xff\xff\xff\xff"),
    *(b"\x7f\xff\xff\xff", b"!!python/object/apply:os.system ['true']", b"&a [*a]"),
]
LARGEST_READ = 2**26


def samples(folder: Path) -> dict[str, list[Path]]:
    """Small good files of each format; companions follow the file that is damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    n = 40
    names = ("x", "y", "z", "photons", "background", "error_x", "error_y", "sigma", "probability")
    locs = Localizations(
        {**{name: rng.uniform(1, 900, n).astype("f4") for name in names}, "frame": np.sort(rng.integers(0, 20, n))},
        metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1, "note": "a"},
    )
    stack = ImageStack(rng.integers(0, 999, (4, 1, 8, 9)).astype("u2"), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1})
    drift = Drift([0, 1, 2], rng.normal(size=(3, 3)), metadata={"voxelsize.x": 0.1})
    found: dict[str, list[Path]] = {}
    for suffix in (
        ".hdf",
        ".h5r",
        ".hdf5",
        ".csv",
        ".ts.csv",
        ".deepstorm.csv",
        ".decode.csv",
        ".decode.h5",
        ".challenge.csv",
        ".smlm",
        "_sml.mat",
    ):
        found[suffix] = [locs.save(folder / f"t{suffix}")]
    if find_spec("pyarrow"):
        found[".parquet"] = [locs.save(folder / "t.parquet")]
    found |= {suffix: [stack.save(folder / f"i{suffix}")] for suffix in (".ome.tif", ".h5", ".raw")}
    found |= {suffix: [drift.save(folder / f"d{suffix}")] for suffix in (".npz", ".csv", ".txt")} | {".csv": found[".csv"]}
    found[".hdf5"].append(folder / "t.yaml")
    found[".raw"].append(folder / "i.yaml")
    # The companion is what is damaged, the data follow.
    found["hdf5.yaml"] = [folder / "t.yaml", folder / "t.hdf5"]
    found["raw.yaml"] = [folder / "i.yaml", folder / "i.raw"]
    tifffile.imwrite(folder / "ij.tif", rng.integers(0, 99, (3, 8, 9)).astype("u2"), imagej=True)
    found["imagej.tif"] = [folder / "ij.tif"]
    found |= {name: [path] for name, path in _texts(folder).items()}
    found["smap.mat"] = [_smap(folder / "s_sml.mat", rng, n)]
    found["nested.hdf"] = [_nested(folder / "n.hdf", rng, n)]
    for name, text in _sidecars().items():
        (folder / f"side{name}").write_text(text)
        (folder / "side.ts.csv").write_bytes(found[".ts.csv"][0].read_bytes())
        found[f"side{name}"] = [folder / f"side{name}", folder / "side.ts.csv"]
    return found | {name: [Path(name)] for name in fuzz_structures.MAKERS}


def _texts(folder: Path) -> dict[str, Path]:
    field = '<field identifier="{}" syntax="" semantic="" unit="{}" />'
    outer = "".join(
        field.format(*item)
        for item in (("Position-0-0", "nanometer"), ("Position-1-0", "nanometer"), ("ImageNumber-0-0", "frame"))
    )
    rows = "".join(f"{k}.5 {k * 2} {k}\n" for k in range(9))
    tracks = "".join(f"{k}.5 {k * 2} {k} 2 1 2 {k} 3 4 {k}\n" for k in range(9))
    texts = {
        "rapid.txt": f'# <localizations insequence="true" repetitions="variable">{outer}</localizations>\n{rows}',
        "tracks.txt": f"# <localizations>{outer}<localizations>{outer}</localizations></localizations>\n{tracks}",
        "elyra.txt": "Index\tFirst Frame\tNumber Frames\tPosition X [nm]\tPosition Y [nm]\tPrecision [nm]\tNumber Photons\r\n"
        + "".join(f"{k}\t{k}\t1\t{k}.5\t7\t8.5\t400\r\n" for k in range(1, 9))
        + "\0\r\r\nVoxelSizeX : 0.09\r\r\n",
        "nano.csv": "Channel,Frame,X (nm),Y (nm),Z (nm),Photons,Background\n"
        + "".join(f"0,{k},{k}.5,7,0,400,1\n" for k in range(9)),
        "smap.csv": "xnm,ynm,frame,locprecnm,phot\n" + "".join(f"{k}.5,7,{k},4,400\n" for k in range(1, 9)),
        "any.csv": "spot;x [um];y_px;time\n" + "".join(f"{k};{k}.5;7;{k}\n" for k in range(9)),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return {name: folder / name for name in texts}


def _smap(path: Path, rng: np.random.Generator, n: int) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name in ("xnm", "ynm", "frame", "phot", "locprecnm", "xnmerr", "PSFxnm"):
            file[f"saveloc/loc/{name}"] = rng.integers(1, 99, (1, n)).astype("f4")
        file["saveloc/file/info/cam_pixelsize_um"] = np.full((2, 1), 0.1)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    return path


def _nested(path: Path, rng: np.random.Generator, n: int) -> Path:
    kind = np.dtype(
        [("tIndex", "i4"), ("fitResults", [("x0", "f4"), ("y0", "f4")]), ("fitError", [("x0", "f4")]), ("moments", "f4", (3,))]
    )
    with h5py.File(path, "w") as file:
        rows = np.zeros(n, kind)
        rows["tIndex"] = np.arange(n)
        file["FitResults"] = rows
        ragged = file.create_dataset("Traces", (5,), h5py.vlen_dtype("f4"))
        for index in range(5):
            ragged[index] = rng.normal(size=index)
        file.create_dataset("Image", data=rng.normal(size=(3, 4, 5)), compression="gzip")
    return path


def _sidecars() -> dict[str, str]:
    return {
        ".json": '{"voxelsize.x": 0.1, "Camera": {"ADOffset": 100, "Name": "a"}, "Columns.unit": "nm", "Columns.frame_base": 1}',
        ".md": "md['voxelsize.x'] = 0.1\nmd.Camera.ADOffset = 100\nmd.setEntry('Camera.Name', 'a')\nmd['a'] = [1, (2, 'b')]\n",
        ".xml": '<M><MetaData><voxelsize><x class="float" value="0.1"/></voxelsize>'
        '<a class="pickle" value="(lp0&#10;I1&#10;a."/></MetaData></M>',
    }


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes with one to eight random changes."""
    if content.startswith(b"PK") and rng.random() < 0.6:
        return _repacked(content, rng)
    data = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data) + 1)
        kind = rng.random()
        if kind < 0.35 and data:
            data[min(at, len(data) - 1)] = rng.randrange(256)
        elif kind < 0.6:
            token = rng.choice(TOKENS)
            data[at : at + rng.choice((0, len(token)))] = token
        elif kind < 0.75:
            del data[at : at + rng.choice((1, 2, 8, 64, 1024))]
        elif kind < 0.9:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start : start + rng.choice((1, 4, 16, 200))]
        elif kind < 0.95:
            del data[at:]
        else:
            data[at:at] = rng.choice((b"[", b"(", b"{", b"<a>", b"1,", b"9", b"- ")) * rng.choice((10, 1000, 20000))
    return bytes(data)


def _repacked(content: bytes, rng: random.Random) -> bytes:
    """A sound zip whose members are damaged."""
    from io import BytesIO

    target = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            data = old.read(name)
            new.writestr(name, damaged(data, rng) if name == chosen and not data.startswith(b"PK") else data)
    return target.getvalue()


def attempt(paths: list[Path], folder: Path, seed: int, keep: Path | None = None) -> None:
    """Damage the first file and read it with its companions; whatever is not an error of ours is raised."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    if paths[0].name in fuzz_structures.MAKERS:
        for old in folder.glob("s.*"):
            old.unlink()
        file, make = fuzz_structures.MAKERS[paths[0].name]
        make(folder / file, rng)
        if keep is not None and (folder / file).is_file():
            keep.write_bytes((folder / file).read_bytes())
        _read(folder / file, seed)
        return
    content = damaged(paths[0].read_bytes(), rng)
    for path in paths[1:]:
        (folder / path.name).write_bytes(path.read_bytes())
    target = folder / paths[0].name
    target.write_bytes(content)
    if keep is not None:
        keep.write_bytes(content)
    _read(folder / paths[1].name if paths[0].suffix in (".yaml", ".json", ".md", ".xml") else target, seed)


def _read(path: Path, seed: int) -> None:
    """Read everything in a file, sometimes with options that suit many formats."""
    read: str | Path = path
    if seed % 3 == 0 and path.suffix in (".csv", ".hdf5", ".txt"):
        read = f"{path}?pixel_size=100" + ("&frame_base=1" if seed % 2 else "")
    try:
        for dataset in io.open_file(read).datasets:
            obj = dataset.load()
            if isinstance(obj, ImageStack) and obj.n_frames and obj.nbytes // obj.n_frames < LARGEST_READ:
                obj.frames(0, 1)
                obj.frames(obj.n_frames - 1, obj.n_frames)
            elif isinstance(obj, Table) and "x" in obj:
                obj.finite_rows("x")
        io.read_record(path)
    except RecipeError:
        return


def _child(arguments: argparse.Namespace) -> int:
    warnings.simplefilter("error")
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (arguments.memory * 2**30, resource.RLIM_INFINITY))
    except (ImportError, ValueError):
        pass
    folder = Path(arguments.folder)
    made = samples(folder / "good")
    names = [name for name in made if arguments.only in (None, name)]
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        name = names[seed % len(names)]
        (folder / "now").write_text(f"{seed} {name}")
        began = time.monotonic()
        try:
            attempt(made[name], folder / "bad", seed, arguments.keep)
        except BaseException as error:
            print(f"seed {seed} {name}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            if arguments.count == 1:
                raise
        if time.monotonic() - began > 20:
            print(f"seed {seed} {name}: took {time.monotonic() - began:.0f} s", flush=True)
    return 0


def main() -> int:
    """Run children until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--only", help="one format, as the names in samples()")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=0, help="in this process, without children")
    parser.add_argument("--memory", type=int, default=4, help="GiB")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        arguments.folder = arguments.folder or own
        if arguments.count or arguments.keep:
            arguments.count = arguments.count or 1
            return _child(arguments)
        return _parent(arguments, Path(own))


def _parent(arguments: argparse.Namespace, folder: Path) -> int:
    # Bytes that are freed or new get a pattern, so that faults of memory in the libraries show.
    environment = {**os.environ, "PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "165"}
    end, seed, block, findings = time.monotonic() + arguments.seconds, arguments.seed, 2000, 0
    while time.monotonic() < end:
        command = [
            sys.executable,
            __file__,
            "--seed",
            str(seed),
            "--count",
            str(block),
            "--folder",
            str(folder),
            "--memory",
            str(arguments.memory),
        ]
        done = subprocess.run(
            command + (["--only", arguments.only] if arguments.only else []),
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        findings += done.stdout.count("\n")
        sys.stdout.write(done.stdout)
        seed += block
        if done.returncode:
            findings += 1
            now = (folder / "now").read_text()
            print(f"seed {now}: the process ended with {done.returncode}: {done.stderr[-300:]}", flush=True)
            seed = int(now.split()[0]) + 1
    print(f"{seed - arguments.seed} files, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
