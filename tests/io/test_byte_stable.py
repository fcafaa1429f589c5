"""The same object is the same file: at another time, in another process, under other settings of the user."""

import hashlib
import json
import os
import subprocess
import sys
import time

import pytest

# What each process does: a clock that is years apart, another hash seed, another time zone, other matplotlib settings.
PROGRAM = """
import datetime, json, pathlib, sys, time
offset, folder = float(sys.argv[1]), pathlib.Path(sys.argv[2])
real_time, real_local, real_gm, real_ns = time.time, time.localtime, time.gmtime, time.time_ns
time.time = lambda: real_time() + offset
time.time_ns = lambda: real_ns() + int(offset * 1e9)
time.localtime = lambda seconds=None: real_local(time.time() if seconds is None else seconds)
time.gmtime = lambda seconds=None: real_gm(time.time() if seconds is None else seconds)

class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def today(cls):
        return cls.fromtimestamp(time.time())

    @classmethod
    def utcnow(cls):
        return cls.fromtimestamp(time.time(), datetime.timezone.utc).replace(tzinfo=None)

datetime.datetime = Shifted

import numpy as np
from recipes_core import io
from recipes_core.data import (Drift, Figure, FrameAxis, HistoryEntry, ImageStack, Localizations, Panel, Picture, Scalars, Series, Table)

class Unnamed:
    pass

rng = np.random.default_rng(5)
n = 400
history = (HistoryEntry("a", "Locs_RCC", 2, {"set": {"one", "two", "three", "four"}, "f": 0.1}, {"i": "k"}, {"o": "l"}),)
meta = {"voxelsize.x": 0.1, "voxelsize.y": 0.1, "names": {"alpha", "beta", "gamma", "delta"}, "odd": Unnamed(), "long": "x" * 70_000,
            "Camera.Name": "eye", "a/b": 1}
locs = Localizations({"x": rng.normal(0, 1e4, n), "y": rng.normal(0, 1e4, n), "frame": np.sort(rng.integers(0, 99, n)),
                      "sigma": rng.uniform(90, 150, n).astype(np.float32)}, metadata=meta, history=history)
stack = ImageStack(rng.integers(0, 60000, (6, 2, 9, 11)).astype(np.uint16), time=FrameAxis(4.5, 10, 9.0), metadata=meta, history=history)
flat = ImageStack(np.zeros((6, 1, 64, 64), np.float32), metadata=meta)
x = np.arange(50.0)
figure = Figure([
    Panel([Series("line", x, np.sin(x), label="µ line"), Series("band", x, x / 9, x / 8, label="band")], title="Drift", x_label="t (s)"),
    Panel([Series("path", np.cos(x), np.sin(x), c=x), Series("points", x / 50, x / 60, c=x)], equal=True, c_label="frame"),
    Panel([Series("bars", x, x, style="dashed"), Series("points", x, x, label="p")], note="note"),
    Panel([Picture(rng.uniform(size=(40, 30)), 20.0, marks=(rng.uniform(0, 20, (5, 2)),))]),
], title="All that can be drawn", n_columns=2, panel_size=(3.0, 2.0), history=history)
record = {"record": 1, "recipe": "recipe: 1", "seed": 3, "versions": {"numpy": "2"}, "inputs": {"b", "c", "a", "d"}}
made = {
    "a.hdf": locs, "a.h5r": locs, "t.hdf": Table({"n": np.arange(4)}, metadata=meta), "a.hdf5": locs, "a.csv": locs, "a.ts.csv": locs,
    "a.h5": stack, "a.ome.tif": stack, "b.ome.tif": flat,
    "a.npz": Drift([0, 5, 9], rng.normal(size=(3, 3)), error=np.ones((3, 3)), history=history),
    "d.csv": Drift([0, 5, 9], rng.normal(size=(3, 3)), history=history),
    "d.txt": Drift(np.arange(9), rng.normal(size=(9, 3)), exact=True, metadata=meta, history=history),
    "a.png": figure, "a.svg": figure, "a.pdf": figure, "a.json": Scalars({"b": 1.5, "a": 2}, units={"b": "nm"}, history=history),
}
for name, obj in made.items():
    io.save(obj, folder / name, record=record)
print(json.dumps([real_time(), time.time(), list({"one", "two", "three", "four", "five", "six"})]))
"""

FILES = (
    "a.hdf",
    "a.h5r",
    "t.hdf",
    "a.hdf5",
    "a.yaml",
    "a.csv",
    "a.csv.provenance.json",
    "a.ts.csv",
    "a.ts.csv.provenance.json",
    "a.h5",
    "a.ome.tif",
    "b.ome.tif",
    "a.npz",
    "d.csv",
    "d.csv.provenance.json",
    "d.txt",
    "d.txt.provenance.json",
    "a.png",
    "a.svg",
    "a.pdf",
    "a.json",
)


def _written(folder, seed, offset, zone, settings):
    folder.mkdir()
    config = folder.parent / f"config_{seed}"
    config.mkdir()
    (config / "matplotlibrc").write_text(settings)
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "TZ": zone,
        "MPLCONFIGDIR": str(config),
        "MATPLOTLIBRC": str(config / "matplotlibrc"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(offset), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twice")
    first = _written(folder / "first", "1", 0.0, "UTC", "")
    # The HDF5 library asks the system for the time itself, in whole seconds.
    time.sleep(max(0.0, 1.1 - (time.time() - first[0])))
    settings = "axes.grid: True\nfont.size: 20\nsvg.fonttype: none\npdf.fonttype: 42\npdf.compression: 0\nlines.linewidth: 7\nsavefig.dpi: 50\n"
    second = _written(folder / "second", "4242", 3.2e8, "Asia/Tokyo", settings)
    assert int(first[0]) != int(second[0])
    assert second[1] - first[1] > 3e8
    assert first[2] != second[2], "the order of sets was to differ"
    return folder


@pytest.mark.parametrize("name", FILES)
def test_the_same_object_is_the_same_file(twice, name):
    first, second = (hashlib.sha256((twice / place / name).read_bytes()).hexdigest() for place in ("first", "second"))
    assert first == second


def test_every_file_was_compared(twice):
    assert {path.name for path in (twice / "first").iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_no_file_tells_when_or_where_it_was_written(twice, name):
    content = (twice / "second" / name).read_bytes()
    year = time.gmtime(time.time() + 3.2e8).tm_year
    assert str(twice).encode() not in content
    for wording in (f"D:{year}", f"{year}-", "/CreationDate", "Matplotlib v", "matplotlib version"):
        assert wording.encode() not in content
