"""Locks save work and never need a human."""

import gc
import os
import subprocess
import sys
import threading
import time

import pytest

from recipes_core.cache import Cache, digest_of
from recipes_core.cache import locks as module

KEY = digest_of("key")
HOLD = """
import sys
from pathlib import Path
from recipes_core.cache import Cache
with Cache(Path(sys.argv[1])).lock(sys.argv[2]) as waited:
    print("held", waited, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(cache):
    """Another process that holds the lock until it is told to let go."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cache.root), KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held False\n"
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_the_second_waits_for_the_first_and_says_for_whom(cache, holder):
    told = []

    def waiting(text):
        told.append(text)
        if len(told) == 2:
            holder.stdin.write("\n")
            holder.stdin.flush()

    with cache.lock(KEY, waiting) as waited:
        assert waited
        assert holder.wait(timeout=20) == 0
    assert f"another run (pid {holder.pid} on " in told[0]
    assert told[0].endswith("is at it")


def test_the_lock_of_a_killed_process_is_free(cache, holder):
    holder.kill()
    holder.wait()
    with cache.lock(KEY, pytest.fail) as waited:
        assert not waited


def test_other_keys_are_free(cache, holder):
    with cache.lock(digest_of("another")) as waited:
        assert not waited


def test_waiting_can_be_ended(cache, holder):
    class Stop(Exception):
        pass

    def stop(_):
        raise Stop

    with pytest.raises(Stop), cache.lock(KEY, stop):
        pytest.fail("the lock is held")
    assert holder.poll() is None


def test_threads_of_one_process_exclude_each_other(cache):
    inside, most = [], []

    def work():
        with cache.lock(KEY):
            inside.append(1)
            time.sleep(0.01)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


@pytest.mark.parametrize("error", [OSError(38, "no locks"), NotImplementedError("no locks"), OSError(37, "no locks available")])
def test_without_locks_work_goes_on(cache, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with cache.lock(KEY) as waited:
        assert waited is False


def test_without_a_folder_work_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    with Cache(tmp_path / "file").lock(KEY) as waited:
        assert waited is False


def test_errors_within_let_go(cache):
    with pytest.raises(ZeroDivisionError), cache.lock(KEY):
        _ = 1 / 0
    with cache.lock(KEY, pytest.fail):
        pass


def test_what_the_killed_leave_is_swept_and_what_is_held_is_not(cache, holder):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cache.root), digest_of("killed")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "held False\n"
    other.kill()
    other.communicate()
    module.sweep(cache.layout, older_than=3600)
    assert len(list((cache.root / "locks").glob("*.lock"))) == 2
    for path in (cache.root / "locks").iterdir():
        os.utime(path, (1, 1), follow_symlinks=False)
    cache.gc()
    assert [path.name for path in (cache.root / "locks").glob("*.lock")] == [f"{KEY}.lock"]
    assert holder.poll() is None


def test_nothing_is_left_behind(tmp_path):
    cache = Cache(tmp_path / "cache")
    with cache.lock(KEY):
        assert [path.name for path in (cache.root / "locks").glob("*.lock")] == [f"{KEY}.lock"]
    del cache
    gc.collect()
    assert list((tmp_path / "cache" / "locks").iterdir()) == []


def test_locks_work_where_files_take_no_second_name(cache, monkeypatch):
    def refuse(*_):
        raise OSError(1, "no links here")

    monkeypatch.setattr("os.link", refuse)
    test_threads_of_one_process_exclude_each_other(cache)
