"""The cache stays within its limits and never loses what is in use."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipes_core.cache import Cache, digest_of
from recipes_core.cache.collection import parse_size
from recipes_core.cache.manifest import NAME
from recipes_core.errors import UsageError
from recipes_core.owner import alive, machine, own_name, owner_is_gone
from tests.cache.conftest import table

DAY = 86400


def used(cache, key, days_ago):
    at = time.time() - days_ago * DAY
    os.utime(cache.layout.entry(key) / NAME, (at, at))


def aged(path, days):
    at = time.time() - days * DAY
    os.utime(path, (at, at), follow_symlinks=False)


@pytest.fixture
def dead_pid():
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def kept(cache):
    return {entry.manifest.key for entry in cache.entries()}


def test_the_longest_unused_go_first(cache, publish):
    keys = [publish(table(seed=seed)) for seed in range(6)]
    size = next(cache.entries()).disk_bytes
    for age, key in enumerate(keys):
        used(cache, key, age)
    assert cache.load(keys[5]) is not None  # used again: now the youngest
    report = cache.gc(max_bytes=int(size * 3.5))
    assert kept(cache) == {keys[0], keys[1], keys[5]}
    assert (report.removed, report.kept) == (3, 3)
    assert report.kept_bytes == sum(entry.disk_bytes for entry in cache.entries()) <= size * 3.5
    assert abs(report.removed_bytes - 3 * size) < 0.01 * size
    assert list((cache.root / "trash").iterdir()) == []


def test_old_entries_go_whatever_the_size(cache, publish):
    keys = [publish(table(10)) for _ in range(3)]
    used(cache, keys[0], 91)
    used(cache, keys[1], 89)
    assert cache.gc().removed == 1
    assert kept(cache) == set(keys[1:])
    assert cache.gc(max_age=10).removed == 1
    assert kept(cache) == {keys[2]}


def test_within_the_limits_nothing_goes(cache, publish):
    keys = {publish(table()) for _ in range(3)}
    assert cache.gc().removed == 0
    assert kept(cache) == keys


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ages=st.lists(st.floats(0, 200), min_size=1, max_size=8),
    data=st.data(),
    limit=st.integers(0, 20_000),
    max_age=st.floats(0, 200),
)
def test_pinned_entries_are_never_removed(tmp_path, ages, data, limit, max_age):
    import shutil

    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    cache, other = Cache(tmp_path / "cache"), Cache(tmp_path / "cache")
    keys = [digest_of(number) for number in range(len(ages))]
    for key, age in zip(keys, ages, strict=True):
        cache.publish(key, table(50), step="s", module="m", port="p", seconds=0.0)
        used(cache, key, age)
    named = data.draw(st.sets(st.sampled_from(keys)))
    held = data.draw(st.sets(st.sampled_from(keys)))
    with other.pin(held):
        report = cache.gc(named, max_bytes=limit, max_age=max_age)
        assert named | held <= kept(cache)
        assert report.kept == len(kept(cache))
        # What is not pinned went as far as needed, oldest first, and no further than that.
        free = {key: age for age, key in zip(ages, keys, strict=True) if key not in named | held}
        stayed = free.keys() & kept(cache)
        # Entries of the same age may go in any order.
        assert all(free[key] >= free[other] for key in free.keys() - stayed for other in stayed)
        if report.kept_bytes > limit:
            assert not stayed
    assert cache.gc(max_bytes=0).kept == 0


def test_pins_of_the_dead_and_of_long_ago_do_not_count(cache, publish, dead_pid):
    keys = [publish(table(10)) for _ in range(3)]
    with cache.pin(keys[:1]):
        pins = cache.root / "pins"
        (mine,) = pins.iterdir()
        (pins / f"{machine()}-{dead_pid}-0123456789abcdef.json").write_text(f'["{keys[1]}"]')
        old = pins / f"elsewhere0000-{os.getpid()}-0123456789abcdef.json"
        old.write_text(f'["{keys[2]}"]')
        aged(old, 8)
        (pins / f"{own_name()}.json").write_bytes(b"\0" * 100)
        cache.gc(max_bytes=0)
        assert kept(cache) == {keys[0]}
        assert mine.exists()
        assert not old.exists()
    assert not mine.exists()


def test_a_pin_of_another_machine_counts(cache, publish):
    key = publish(table(10))
    with cache.pin([]):
        (cache.root / "pins" / "elsewhere0000-1-0123456789abcdef.json").write_text(f'["{key}"]')
    cache.gc(max_bytes=0)
    assert kept(cache) == {key}


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_are_not(cache, publish, dead_pid):
    publish(table(10))
    stage, trash, quarantine = (cache.root / name for name in ("stage", "trash", "quarantine"))
    dead, other = f"{machine()}-{dead_pid}-0123456789abcdef", "elsewhere0000-1-0123456789abcdef"
    for path in (
        stage / dead,
        stage / own_name(),
        stage / other,
        trash / dead,
        trash / other,
        quarantine / "recent",
        quarantine / "old",
    ):
        path.mkdir()
        (path / "0.npy").write_bytes(b"x" * 100)
    (cache.root / ".FORMAT.0123456789ab").write_text("left by a writer that died")
    aged(cache.root / ".FORMAT.0123456789ab", 2)
    aged(trash / other, 2)
    aged(quarantine / "old", 31)
    living = {path.name for path in stage.iterdir()} - {dead}
    assert cache.gc().swept == 5
    assert {path.name for path in stage.iterdir()} == living
    assert list(trash.iterdir()) == []
    assert [path.name for path in quarantine.iterdir()] == ["recent"]
    aged(stage / other, 2)
    assert cache.gc().swept == 1


def test_broken_entries_are_removed_like_others(cache, publish):
    key = publish(table())
    (cache.layout.entry(key) / NAME).unlink()
    assert cache.gc(max_bytes=0).removed == 1
    assert not cache.layout.entry(key).exists()


def test_an_entry_that_is_used_meanwhile_stays(cache, publish, monkeypatch):
    from recipes_core.cache import collection

    key = publish(table(10))
    used(cache, key, 100)
    monkeypatch.setattr(collection, "_held", lambda _: cache.touch(key) or set())
    assert cache.gc().removed == 0
    assert kept(cache) == {key}


def test_processes(dead_pid):
    assert alive(os.getpid())
    assert not alive(dead_pid)
    assert not owner_is_gone(own_name())
    assert owner_is_gone(f"{machine()}-{dead_pid}-00.json")
    for name in ("", "x", "a-b-c", f"{machine()}-x-0", "other-1-0", f"{machine()}--0", f"{machine()}-²-0"):
        assert not owner_is_gone(name)


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("1.5 MiB", 1572864), ("0", 0), ("1e9", 10**9), ("7k", 7000), (" 3 tb ", 3 * 10**12)]
)
def test_sizes(text, size, monkeypatch, tmp_path):
    assert parse_size(text) == size
    monkeypatch.setenv("RECIPES_CACHE_SIZE", text)
    assert Cache(tmp_path).max_bytes == size


@pytest.mark.parametrize("text", ["x", "-1GB", "1.2.3", "5 XB", "", "GB", "1e999999"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)


def test_the_default_size(monkeypatch, tmp_path):
    monkeypatch.delenv("RECIPES_CACHE_SIZE", raising=False)
    assert Cache(tmp_path).max_bytes == 20 * 10**9
    assert Cache(tmp_path, max_bytes=5).max_bytes == 5
