"""Entries that are removed while a step uses them: it goes on, and comes to the same result."""

import pytest

from recipes_core.cache import Cache
from recipes_core.cache import store as store_of_cache
from recipes_core.data import Table
from tests.crash.recipes import holding
from tests.crash.test_two_runs import WAYS, until


@WAYS
def test_inputs_that_are_removed_while_they_are_read(make_scene, tmp_path, more):
    notes = tmp_path / "notes"
    notes.mkdir()
    scene = make_scene(holding(notes))
    (notes / "go").touch()
    scene.right(0)
    for path in notes.iterdir():
        path.unlink()
    output = scene.folder / "out"
    filled = scene.call(*scene.words(0, scene.folder / "first", "--target", "series", "--target", "with_drift"))
    assert filled.code == 0, filled.err
    before = len(scene.entries())
    running = scene.start(*scene.words(0, output, *more), fresh=False)
    until(lambda: list(notes.iterdir()), [running])
    # What a run needs is left alone by gc, whatever the limits are.
    assert scene.call("cache", "gc", RECIPES_CACHE_SIZE="1").code == 0
    assert len(scene.entries()) >= before - 1  # the figure is of no use to it
    assert scene.call("cache", "rm", "--all").code == 0
    assert scene.entries() == []
    (notes / "go").touch()
    ended = running.wait()
    assert (ended.code, ended.err) == (0, "")
    assert scene.wrong_results(output, 0, complete=True) == []
    assert scene.damaged() == []


def test_an_entry_that_is_replaced_while_it_is_read_is_not_damaged(tmp_path, monkeypatch):
    """A reader who sees the old manifest and the new files judges neither."""
    cache, key = Cache(tmp_path / "cache"), "a" * 64

    def put(n):
        columns = {"x": range(n), "y": range(n)}
        import numpy as np

        table = Table({name: np.arange(20_000) + len(values) for name, values in columns.items()})
        Cache(cache.root).publish(key, table, step="s", module="m", port="p", seconds=1.0, replace=True)

    put(1)
    read, turns = store_of_cache.read_object, iter([True])

    def read_while_replaced(folder, manifest):
        if next(turns, False):
            put(2)
            raise store_of_cache.Damaged("its parts do not fit")
        return read(folder, manifest)

    monkeypatch.setattr(store_of_cache, "read_object", read_while_replaced)
    found = cache.load(key)
    assert found is not None
    assert found["x"][0] == 2
    assert cache.warnings == []
    assert not (cache.root / "quarantine").exists() or list((cache.root / "quarantine").iterdir()) == []


def test_a_manifest_that_is_replaced_while_it_is_read_is_not_damaged(tmp_path, monkeypatch):
    cache, key = Cache(tmp_path / "cache"), "b" * 64
    table = Table({"x": [1.0, 2.0]})
    publish = {"step": "s", "module": "m", "port": "p", "seconds": 1.0}
    cache.publish(key, table, **publish)
    read, turns = store_of_cache.read_manifest, iter([True])

    def read_while_replaced(folder, wanted):
        if next(turns, False):
            Cache(cache.root).remove(key)
            Cache(cache.root).publish(key, table, **publish)
            raise store_of_cache.Damaged("0.npy is missing")
        return read(folder, wanted)

    monkeypatch.setattr(store_of_cache, "read_manifest", read_while_replaced)
    assert cache.has(key)
    assert cache.warnings == []


def test_an_entry_that_stays_as_it_is_can_be_damaged(tmp_path, monkeypatch):
    cache, key = Cache(tmp_path / "cache"), "c" * 64
    cache.publish(key, Table({"x": [1.0]}), step="s", module="m", port="p", seconds=1.0)

    def damaged(folder, manifest):
        raise store_of_cache.Damaged("its parts do not fit")

    monkeypatch.setattr(store_of_cache, "read_object", damaged)
    assert cache.load(key) is None
    assert len(cache.warnings) == 1
    with pytest.raises(FileNotFoundError):
        cache.layout.entry(key).lstat()
