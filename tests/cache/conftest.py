"""Objects and helpers of the tests of the cache."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from recipes_core.cache import Cache, digest_of
from recipes_core.data import (
    Drift,
    Figure,
    FrameAxis,
    HistoryEntry,
    ImageStack,
    Localizations,
    Panel,
    Picture,
    Scalars,
    Series,
    Table,
)

HISTORY = (
    HistoryEntry("load", "file", inputs={"path": "a.hdf5", "table": None}),
    HistoryEntry("rcc", "smlm.Locs_RCC", 2, {"window": 500, "bounds": (0.0, float("inf")), "names": ("x", "y")}, seed=3),
)
METADATA = {"voxelsize.x": 0.1, "Camera.Name": "Orca", "tuple": (1, 2.0), "list": [1, None], "~odd": {"~": True}, "none": None}


@pytest.fixture
def cache(tmp_path) -> Cache:
    """An empty cache, of which not even the folder exists."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def publish(cache):
    """Publish an object under a key made of a number."""
    numbers = itertools.count()

    def call(obj, key=None, into=None, **options):
        key = key or digest_of(f"key {next(numbers)}")
        origin = {"step": "step", "module": "smlm.Module", "port": "out", "seconds": 1.5} | options
        (into or cache).publish(key, obj, **origin)
        return key

    return call


def table(n=20_000, seed=0) -> Table:
    """Large enough that its columns become files."""
    random = np.random.default_rng(seed)
    return Table({"a": random.random(n), "b": random.integers(0, 99, n), "c": random.random(n).astype("f4")})


def examples() -> dict[str, object]:
    """One object or more of every type."""
    random = np.random.default_rng(1)
    provenance = {"metadata": METADATA, "history": HISTORY}
    n = 9000
    return {
        "table": Table(
            {
                "n": np.arange(n),
                "text": np.array(["a", "bc", "µm"] * (n // 3)),
                "flag": np.arange(n) % 2 == 0,
                "when": np.arange(n).astype("M8[ms]"),
                "big endian": np.arange(n, dtype=">i2"),
                "../odd/name": random.random(n),
                "z": random.random(n) + 1j,
            },
            units={"n": "frame"},
            **provenance,
        ),
        "objects that are text": Table({"t": np.array(["one", "three"], dtype=object)}, **provenance),
        "empty": Localizations({"x": [], "y": [], "frame": np.array([], int)}, **provenance),
        "no columns": Table({}, **provenance),
        "localizations": Localizations({"x": random.random(n), "y": random.random(n), "frame": np.arange(n)}, **provenance),
        "not contiguous": Localizations({"x": random.random((n, 3))[:, 1], "y": random.random(n)[::-1]}, **provenance),
        "stack": ImageStack(random.random((9, 2, 40, 30)).astype("f4"), time=FrameAxis(2.0, 3.0, 5.0), **provenance),
        "small stack": ImageStack(np.arange(12, dtype="u2").reshape(3, 4), **provenance),
        "turned stack": ImageStack(random.random((50, 40, 9)).T, **provenance),
        "no frames": ImageStack(np.zeros((0, 1, 8, 8)), **provenance),
        "drift": Drift(np.arange(n), random.random((n, 3)), error=random.random((n, 2)), measured=(0, n + 7), **provenance),
        "exact drift": Drift([0, 10], [[1, 2], [3, 4]], exact=True, **provenance),
        "scalars": Scalars(
            {"rmse": [1.0, float("nan")], "n": 3, "word": "µ", "inf": float("-inf"), "yes": True, "none": None},
            units={"rmse": "nm"},
            **provenance,
        ),
        "figure": Figure(
            [
                Panel([Series("line", np.arange(5.0), np.arange(5), y2=np.ones(5), colour="red")], title="t", note="n"),
                Panel([Picture(random.random((200, 100)), 5.0, (0.0, np.float64(2.0)), marks=(random.random((4, 2)),)),
                       Series("points", np.arange(3.0), np.arange(3.0), c=np.arange(3.0))], equal=True),
            ],
            title="two", n_columns=2, panel_size=(3.0, 4.0), share_x=True, **provenance,
        ),
    }  # fmt: skip


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder with its content and time."""
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()}
