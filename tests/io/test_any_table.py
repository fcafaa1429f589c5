"""Tables of any columns: what a writer takes reads back, and what it cannot take is told before anything stands on the disk."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recipes_core.data import Localizations
from recipes_core.errors import RecipeError

SUFFIXES = (".hdf", ".hdf5", ".csv", ".ts.csv", ".deepstorm.csv", ".decode.h5", ".decode.csv", ".smlm", "_sml.mat", ".h5r")
DTYPES = ("float32", "float64", "int32", "uint8", "int64", "uint64", "bool", "float16")
NAMES = st.one_of(
    st.sampled_from(
        [
            "z",
            "photons",
            "background",
            "error_x",
            "sigma_x",
            "sigma_y",
            "sigma",
            "group",
            "id",
            "own",
            "a b",
            "a,b",
            "probability",
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=6).filter(
        lambda name: name not in ("x", "y", "frame", ".")
    ),
)


@st.composite
def tables(draw):
    n = draw(st.integers(0, 5))
    finite = {"allow_nan": False, "allow_infinity": False, "width": 32, "min_value": -1e6, "max_value": 1e6}
    columns = {axis: draw(arrays.arrays("float32", n, elements=st.floats(**finite))) for axis in "xy"}
    columns["frame"] = draw(arrays.arrays("int32", n, elements=st.integers(0, 10**6)))
    columns["frame"].sort()  # a .h5r gives them in this order
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        columns[name] = draw(arrays.arrays(draw(st.sampled_from(DTYPES)), n))
    return Localizations(columns, metadata={"voxelsize.x": 0.125, "voxelsize.y": 0.125})


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(table=tables())
def test_any_table(suffix, table):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        try:
            table.save(path)
        except RecipeError:
            assert list(Path(folder).iterdir()) == []
            return
        options = {"pixel_size": 125} if suffix in (".ts.csv", ".deepstorm.csv") else {}
        back = Localizations.load(path, **({"table": "Localizations"} if suffix == ".h5r" else {}), **options)
        assert len(back) == len(table)
        for name in set(table.columns) & set(back.columns):
            if suffix == ".h5r" and name not in ("x", "y", "frame"):
                continue
            if name == "id" and (suffix == ".ts.csv" or (suffix.startswith(".decode") and table["id"].dtype.kind in "fu")):
                continue  # counted from 1; whole numbers of 64 bits
            known, found = table[name], back[name]
            with np.errstate(over="ignore"):
                if known.dtype.kind == "f" or suffix.startswith(".decode"):
                    known, found = known.astype(np.float32), found.astype(np.float32)
            if name in ("x", "y"):
                # Half a pixel, or a division by its size.
                np.testing.assert_allclose(found, known, rtol=3e-7, atol=1e-4)
            elif suffix == ".hdf5" and name.startswith("sigma"):
                np.testing.assert_allclose(found, known, rtol=3e-7, atol=1e-40)
            elif known.dtype == np.uint64 or known.dtype == np.int64:
                np.testing.assert_allclose(found.astype(float), known.astype(float), rtol=1e-15)
            else:
                np.testing.assert_array_equal(found, known, err_msg=name)
