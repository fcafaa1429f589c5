"""What is loaded equals what was published, for every type of data."""

import dataclasses
import pickle
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recipes_core.cache import Cache, NpyFrames, canonical, digest_of, payload_digest
from recipes_core.cache.npy import dtype_from, header_of
from recipes_core.data import DataObject, Drift, Figure, HistoryEntry, ImageStack, Packed, Scalars, Table
from recipes_core.errors import NotCacheable
from tests.cache.conftest import HISTORY, METADATA, examples, table

ORIGIN = {"step": "s", "module": "m", "port": "p", "seconds": 0.0}


def assert_equal(one, other):
    """Compare values of any nesting; NaN equals NaN, and types count."""
    if dataclasses.is_dataclass(one):
        assert type(one) is type(other)
        for field in dataclasses.fields(one):
            assert_equal(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        assert_equal(list(one.values()), list(other.values()))
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other or (one != one and other != other)


def content_of(obj):
    """What an object holds, by the attributes that users know."""
    if isinstance(obj, Table):
        return {name: obj[name] for name in obj}, obj.units
    if isinstance(obj, ImageStack):
        return obj.asarray(), obj.time
    if isinstance(obj, Drift):
        return obj.frames, obj.correction, obj.error, obj.measured, obj.exact
    if isinstance(obj, Figure):
        return obj.spec
    assert isinstance(obj, Scalars)
    return obj.values, obj.units


@pytest.mark.parametrize("name", list(examples()))
def test_every_type_comes_back(cache, publish, name):
    obj = examples()[name]
    key = publish(obj)
    back = Cache(cache.root).load(key)
    assert type(back) is type(obj)
    expected, found = content_of(obj), content_of(back)
    if name == "objects that are text":
        assert found[0]["t"].dtype.kind == "U"
        assert found[0]["t"].tolist() == ["one", "three"]
    else:
        assert_equal(expected, found)
    assert_equal(back.metadata, METADATA)
    assert isinstance(back.metadata["tuple"], tuple)
    assert tuple(back.history) == HISTORY
    assert back.history[1].parameters["bounds"] == (0.0, float("inf"))
    assert payload_digest(obj.pack()) == payload_digest(back.pack()) == cache.manifest(key).digest
    assert cache.warnings == []


def test_loaded_arrays_cannot_be_written_to(cache, publish):
    back = cache.load(publish(table()))
    with pytest.raises(ValueError, match="read-only"):
        back["a"][0] = 1
    small = cache.load(publish(table(3)))
    with pytest.raises(ValueError, match="read-only"):
        small["a"][0] = 1


DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
    hnp.unicode_string_dtypes(endianness="?", min_len=1),
    hnp.byte_string_dtypes(min_len=1),
    hnp.array_dtypes(hnp.scalar_dtypes().filter(lambda dtype: dtype.itemsize > 0)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_array_comes_back(tmp_path, data):
    dtype = data.draw(DTYPES)
    values = data.draw(hnp.arrays(dtype, data.draw(st.integers(0, 60))))
    if len(values) and data.draw(st.booleans()):
        values = np.resize(values, 70_000 // dtype.itemsize)  # too much for the manifest
    values = values[:: data.draw(st.sampled_from([1, 2, -1, -3]))]
    cache = Cache(tmp_path / "cache")
    key = digest_of("key")
    obj = Table({"a": values})
    cache.publish(key, obj, **ORIGIN, replace=True)
    back = cache.load(key)
    assert back["a"].dtype == values.dtype
    assert back["a"].tobytes() == values.tobytes()
    assert payload_digest(back.pack()) == payload_digest(obj.pack())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(1, 70), st.integers(1, 70)),
    order=st.permutations(range(4)),
    dtype=st.sampled_from(["u1", "u2", ">u2", "f4", "f8"]),
)
def test_any_stack_comes_back(tmp_path, shape, order, dtype):
    pixels = np.random.default_rng(0).integers(0, 255, np.array(shape)[order]).astype(dtype).transpose(np.argsort(order))
    cache = Cache(tmp_path / "cache")
    key = digest_of([list(shape), list(order), dtype])
    cache.publish(key, ImageStack(pixels), **ORIGIN, replace=True)
    back = cache.load(key)
    assert back.shape == shape
    np.testing.assert_array_equal(back.asarray(), pixels)


def test_the_digest_does_not_depend_on_where_the_values_lie(tmp_path):
    values = np.random.default_rng(0).random((5000, 4))
    np.save(tmp_path / "x.npy", values[:, 2])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    digests = {payload_digest(Table({"x": x}).pack()) for x in (values[:, 2], values[:, 2].copy(), mapped, values[::-1, 2][::-1])}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "other",
    [
        Packed("Table", {"columns": ["y"]}, {"y": np.arange(4)}),
        Packed("Table", {"columns": ["x"]}, {"x": np.arange(4.0)}),
        Packed("Table", {"columns": ["x"]}, {"x": np.arange(4).reshape(2, 2)}),
        Packed("Table", {"columns": ["x"]}, {"x": np.arange(4).astype(">i8")}),
        Packed("Table", {"columns": ["x"]}, {"x": np.array([0, 1, 2, 4])}),
        Packed("Localizations", {"columns": ["x"]}, {"x": np.arange(4)}),
        Packed("Table", {"columns": ["x"], "units": {}}, {"x": np.arange(4)}),
    ],
)
def test_the_digest_differs_where_anything_does(other):
    assert payload_digest(Packed("Table", {"columns": ["x"]}, {"x": np.arange(4)})) != payload_digest(other)


def test_a_stack_is_streamed_and_travels_as_its_path(cache, publish):
    reads = []

    class Source:
        shape, dtype = (50, 1, 512, 512), np.dtype("f4")

        def read(self, start, stop):
            reads.append(stop - start)
            return np.full((stop - start, 1, 512, 512), start, "f4")

    key = publish(ImageStack(Source()))
    assert max(reads) < 50
    back = cache.load(key)
    assert isinstance(back.source, NpyFrames)
    again = pickle.loads(pickle.dumps(back.source))
    assert len(pickle.dumps(back.source)) < 1000
    np.testing.assert_array_equal(again.read(3, 5), back.frames(3, 5))
    assert back.frames(0, 1)[0, 0, 0, 0] == 0.0
    assert payload_digest(back.pack()) == cache.manifest(key).digest


def test_a_source_that_counts_in_numpys_integers(cache, publish):
    class Source:
        shape, dtype = tuple(np.array([3, 1, 80, 90])), np.float64

        def read(self, start, stop):
            return np.ones((stop - start, 1, 80, 90))

    back = cache.load(publish(ImageStack(Source())))
    assert back.shape == (3, 1, 80, 90)
    assert back.asarray().sum() == 3 * 80 * 90


def test_a_failing_source_is_no_fault_of_the_cache(cache, publish):
    class Source:
        shape, dtype = (2, 1, 256, 256), np.dtype("f8")

        def read(self, start, stop):
            raise OSError(5, "the camera's disk is gone")

    with pytest.raises(OSError, match="camera's disk"):
        publish(ImageStack(Source()))
    assert list((cache.root / "stage").iterdir()) == []
    with pytest.raises(OSError, match="camera's disk"):
        payload_digest(ImageStack(Source()).pack())


def test_a_source_that_breaks_its_declaration_is_refused(cache, publish):
    class Source:
        shape, dtype = (2, 1, 256, 256), np.dtype("f8")

        def read(self, start, stop):
            return np.zeros((stop - start, 1, 256, 256), "f4")

    with pytest.raises(NotCacheable, match="float32"):
        publish(ImageStack(Source()))


class Unregistered(Table):
    """A type that no plugin has registered."""


Namesake = type("Table", (Table,), {})


class Bare(DataObject):
    """A type without pack."""

    def __init__(self):
        self._init_provenance({}, ())


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        (Table({"x": np.array([1, "a", None], dtype=object)}), "column 'x' holds Python objects .NoneType, int, str."),
        (Table({"x": np.array(["a\0"], dtype=object)}), "column 'x'"),
        (Unregistered({"x": [1]}), "'Unregistered' is no registered type"),
        (Namesake({"x": [1]}), "'Table' is no registered type"),
        (Bare(), "Bare has no pack"),
        (Scalars({"x": object()}), "object is no plain value"),
        (Table({"x": [1]}, metadata={"f": print}), "the metadata of a Table cannot be kept"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_one_sentence(cache, publish, obj, says):
    with pytest.raises(NotCacheable, match=says):
        publish(obj)
    stage = cache.root / "stage"
    assert not stage.exists() or list(stage.iterdir()) == []


def test_metadata_of_readers_come_back(cache, publish):
    import datetime

    metadata = {
        "array": np.arange(6.0).reshape(2, 3),
        "bytes": b"\0\xff",
        "date": datetime.datetime(2024, 2, 3, 4, 5, 6),
        "map": {1: "one", (2, 3): "two"},
        "set": {1, 2},
        "complex": 1 + 2j,
        "numpy": np.float32(0.1),
        "nested": {"a": [{"b": (float("nan"),)}]},
    }
    back = cache.load(publish(Table({"x": [1]}, metadata=metadata))).metadata
    np.testing.assert_array_equal(back.pop("array"), metadata.pop("array"))
    assert back.pop("numpy") == metadata.pop("numpy")
    assert_equal(back, metadata)


def test_a_history_joins_with_the_same_one_from_the_cache(cache, publish):
    from recipes_core.data.history import History

    back = cache.load(publish(Table({"x": [1]}, history=HISTORY)))
    joined = History(parents=(History(HISTORY), back.history))
    assert len(joined) == len(HISTORY)
    assert isinstance(joined[0], HistoryEntry)


def chain(n):
    """The history of a chain of steps."""
    from recipes_core.data.history import History

    history = History()
    for i in range(n):
        parameters = {"column": "photons", "range": (float(i), None), "drop": True}
        history = History(
            [HistoryEntry(f"step{i}", "smlm.Filter", 1, parameters, {"in": f"k{i}"}, {"out": f"k{i + 1}"})], [history]
        )
    return history


def test_long_histories_come_back_and_stay_small(cache, publish):
    history = chain(1000)
    key = publish(Scalars({"a": 1}, history=history))
    assert cache.layout.entry(key).joinpath("manifest.json").stat().st_size < 50_000
    back = Cache(cache.root).load(key).history
    assert tuple(back) == tuple(history)
    assert back[999].parameters["range"] == (999.0, None)


def test_an_entry_of_a_history_is_written_as_text_once(cache, publish, monkeypatch):
    from recipes_core.cache import provenance

    calls = []
    monkeypatch.setattr(provenance, "to_stored", lambda value: calls.append(value["step"]) or canonical.to_stored(value))
    history = chain(20)
    for _ in range(3):
        publish(Scalars({"a": 1}, history=history))
    assert calls == [f"step{i}" for i in range(20)]
    # What is kept beside the fields neither travels nor counts.
    assert pickle.loads(pickle.dumps(history[0])).__dict__ == HistoryEntry(**history[0].as_dict()).__dict__


def test_a_compressed_bomb_is_refused():
    from recipes_core.cache.provenance import unpack_history

    bomb = zlib.compress(b"[" + b" " * 200_000_000 + b"]", 9)
    for packed in (bomb, bomb[:1000], b"", b"\0" * 50, zlib.compress(b"{}")[:-3]):
        with pytest.raises(ValueError, match=r"."):
            unpack_history(packed)


@pytest.mark.parametrize("dtype", ["f8", ">u2", "U7", "M8[ns]", [("a", "f4"), ("b", "i2", (3,)), ("µ", "u1")]])
def test_files_are_what_numpy_reads(tmp_path, dtype):
    values = np.zeros((3, 2), dtype)
    path = tmp_path / "x.npy"
    path.write_bytes(header_of(values.dtype, values.shape) + values.tobytes())
    back = np.load(path, allow_pickle=False)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("description", ["O", "|O", "V0", [["a", "|O"]], [["a", ["b"]]], 7, None, [], "x" * 100, {"a": 1}, [[]]])
def test_types_that_are_refused(description):
    with pytest.raises(ValueError, match=r"."):
        dtype_from(description)
