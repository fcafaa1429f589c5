"""Publishing and finding entries: whole or not at all, whoever else is at it and whatever the disk says."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from recipes_core.cache import Cache, block_key, default_root, digest_of, payload_digest
from recipes_core.cache.layout import SUBFOLDERS
from recipes_core.errors import CacheUnwritable, ExitCode
from tests.cache.conftest import contents, table

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs setrlimit")


def run_python(program, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, **options,
    )  # fmt: skip


def test_looking_makes_nothing(tmp_path):
    cache = Cache(tmp_path / "cache")
    key = digest_of("x")
    assert not cache.has(key)
    assert cache.load(key) is None
    assert cache.manifest(key) is None
    assert list(cache.entries()) == cache.verify() == []
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_marked(cache, publish):
    publish(table(10))
    assert {path.name for path in cache.root.iterdir()} == {"CACHEDIR.TAG", "FORMAT", *SUBFOLDERS}
    # https://bford.info/cachedir/
    assert (cache.root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_the_manifest_says_what_made_it(cache):
    key, obj = digest_of("k"), table()
    made = cache.publish(key, obj, step="rcc", module="smlm.Locs_RCC", port="drift", seconds=2, note={"p": [1, None]})
    found = Cache(cache.root).manifest(key)
    assert found == made
    assert (found.step, found.module, found.port, found.seconds, found.note) == (
        "rcc",
        "smlm.Locs_RCC",
        "drift",
        2.0,
        {"p": [1, None]},
    )
    assert found.nbytes == sum(obj[name].nbytes for name in obj)
    assert found.digest == payload_digest(obj.pack())
    assert found.versions["numpy"] == np.__version__
    assert sorted(found.files) == ["0.npy", "1.npy", "2.npy"]


def test_small_objects_are_one_file(cache, publish):
    key = publish(table(500))
    assert [path.name for path in cache.layout.entry(key).iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("key", ["", "../../etc", "a/b" * 10, "short", "x" * 200, "a\0" * 8, "é" * 20])
def test_keys_are_words(cache, key):
    for call in (cache.has, cache.load, cache.manifest, cache.remove, cache.lock):
        with pytest.raises(ValueError, match="no key of a cache"):
            call(key)


def test_keys_of_blocks():
    assert len({block_key("a", "n", 1), block_key("a", "n", 2), block_key("a", "m", 1), block_key("b", "n", 1)}) == 4


def test_the_root_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("RECIPES_CACHE", str(tmp_path / "named"))
    assert Cache().root == default_root() == tmp_path / "named"
    monkeypatch.delenv("RECIPES_CACHE")
    assert default_root().name == "smlm-recipes"


def test_the_first_writer_wins(cache):
    key, origin = digest_of("k"), {"step": "s", "module": "smlm.M", "port": "out", "seconds": 1.0}
    first = cache.publish(key, table(seed=1), **origin)
    assert cache.publish(key, table(seed=1), **origin) == first
    assert cache.warnings == []
    assert cache.publish(key, table(seed=2), **origin) == first
    assert len(cache.warnings) == 1
    assert "not deterministic" in cache.warnings[0]
    np.testing.assert_array_equal(cache.load(key)["a"], table(seed=1)["a"])
    replaced = cache.publish(key, table(seed=2), **origin, replace=True)
    assert replaced.digest != first.digest
    np.testing.assert_array_equal(cache.load(key)["a"], table(seed=2)["a"])
    assert list((cache.root / "trash").iterdir()) == list((cache.root / "stage").iterdir()) == []


def test_removed_entries_are_gone(cache, publish):
    key = publish(table())
    held = cache.load(key)
    assert cache.remove(key)
    assert not cache.remove(key)
    assert not cache.has(key)
    assert not cache.damaged(key)
    if sys.platform != "win32":
        np.testing.assert_array_equal(held["a"], table()["a"])


RACE = """
import sys, time
from pathlib import Path
import numpy as np
from recipes_core.cache import Cache, digest_of
from recipes_core.data import Table
cache = Cache(Path(sys.argv[1]))
go = Path(sys.argv[2])
while not go.exists():
    time.sleep(0.001)
for i in range(40):
    key = digest_of(i)
    cache.publish(key, Table({"a": np.arange(6000.0) + i, "b": np.arange(6000)}), step="s", module="m", port="p", seconds=0.0,
                  replace=i % 5 == 0)
    found = Cache(cache.root).load(digest_of((i * 7) % 40), verify=True)
    if found is not None:
        assert found["a"][0] == (i * 7) % 40 and len(found["b"]) == 6000
assert not cache.warnings, cache.warnings
"""


def test_racing_writers_leave_whole_entries(tmp_path):
    cache, go = Cache(tmp_path / "cache"), tmp_path / "go"
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, str(cache.root), str(go)], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    go.touch()
    errors = [racer.communicate(timeout=120)[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4, errors
    assert cache.verify() == cache.warnings == []
    assert len(list(cache.entries())) == 40
    assert list((cache.root / "stage").iterdir()) == list((cache.root / "quarantine").iterdir()) == []


@POSIX
def test_a_killed_writer_leaves_nothing_visible(tmp_path):
    program = """
    import os, sys
    from pathlib import Path
    import numpy as np
    from recipes_core.cache import Cache, digest_of
    from recipes_core.data import ImageStack
    class Source:
        shape, dtype = (400, 1, 256, 256), np.dtype("f8")
        def read(self, start, stop):
            if start > 100:
                os.kill(os.getpid(), 9)
            return np.zeros((stop - start, 1, 256, 256))
    Cache(Path(sys.argv[1])).publish(digest_of("k"), ImageStack(Source()), step="s", module="m", port="p", seconds=0.0)
    """
    assert run_python(program, tmp_path / "cache").returncode == -9
    cache = Cache(tmp_path / "cache")
    assert len(list((cache.root / "stage").iterdir())) == 1
    assert not cache.has(digest_of("k"))
    assert not cache.damaged(digest_of("k"))
    assert cache.gc().swept == 1
    assert list((cache.root / "stage").iterdir()) == []


def test_reading_only_leaves_every_byte_and_time(cache, publish):
    good, bad = publish(table()), publish(table(seed=3))
    path = cache.layout.entry(bad) / "1.npy"
    path.write_bytes(path.read_bytes()[:-1])
    before = contents(cache.root)
    reader = Cache(cache.root, writable=False)
    assert reader.has(good)
    assert reader.load(good, verify=True) is not None
    assert reader.load(bad) is None
    assert reader.load(bad) is None
    assert reader.damaged(bad)
    assert len(reader.warnings) == 1
    assert "left where it is" in reader.warnings[0]
    assert len(list(reader.entries())) == 1
    assert reader.verify() == [bad]
    with reader.lock(good), reader.pin([good]):
        pass
    reader.touch(good)
    for call in (
        lambda: reader.publish(good, table(), step="s", module="m", port="p", seconds=0.0),
        lambda: reader.remove(good),
        reader.gc,
    ):
        with pytest.raises(CacheUnwritable, match="reading only"):
            call()
    assert contents(cache.root) == before


def test_another_format_is_not_touched(cache, publish):
    key = publish(table())
    (cache.root / "FORMAT").write_text("99\n")
    before = contents(cache.root)
    other = Cache(cache.root)
    assert not other.has(key)
    assert other.load(key) is None
    with pytest.raises(CacheUnwritable, match="format '99' of another version") as caught:
        publish(table(), into=other)
    assert caught.value.code == "V311"
    assert contents(cache.root) == before


def test_a_file_in_place_of_the_folder(tmp_path, publish):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        cache = Cache(root)
        assert not cache.has(digest_of("k"))
        with pytest.raises(CacheUnwritable) as caught:
            publish(table(), into=cache)
        assert caught.value.exit_code == ExitCode.ENVIRONMENT
        assert str(root) in str(caught.value)


@POSIX
def test_a_folder_without_permission(tmp_path, publish, cache):
    key = publish(table())
    program = """
    import os, sys
    from pathlib import Path
    from recipes_core.cache import Cache, digest_of
    from recipes_core.data import Table
    from recipes_core.errors import CacheUnwritable
    origin = dict(step="s", module="m", port="p", seconds=0.0)
    # The interpreter itself may lie where another user cannot read, so everything is imported first.
    first = Cache(Path(sys.argv[3]))
    first.publish(sys.argv[2], Table({"x": list(range(10_000))}), **origin)
    first.load(sys.argv[2])
    with first.lock(digest_of("other")), first.pin([]):
        pass
    os.chdir(sys.argv[1])
    if os.geteuid() == 0:  # permissions do not hold for root
        os.setgid(65534)
        os.setuid(65534)
    cache = Cache(Path("."))
    assert cache.load(sys.argv[2]) is not None
    with cache.lock(digest_of("other")), cache.pin([sys.argv[2]]):
        try:
            cache.publish(digest_of("other"), Table({"x": [1]}), **origin)
        except CacheUnwritable as error:
            print(error.code, error)
    """
    folders = [cache.root, *(path for path in cache.root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        before = contents(cache.root)
        ended = run_python(program, cache.root, key, tmp_path / "first")
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith("V312")
        assert "Permission denied" in ended.stdout
        assert list(contents(cache.root)) == list(before)
    finally:
        for folder in folders:
            folder.chmod(0o755)


@POSIX
@pytest.mark.parametrize("limit", [100, 600, 100_000, 250_000])
def test_no_space(tmp_path, limit):
    """A limit on the size of files ends a write as a full disk does: at the manifest, at a header or within a column."""
    program = """
    import resource, sys
    from pathlib import Path
    import numpy as np
    from recipes_core.cache import Cache, digest_of
    from recipes_core.data import Table
    from recipes_core.errors import CacheUnwritable
    cache, limit = Cache(Path(sys.argv[1])), int(sys.argv[2])
    origin = dict(step="s", module="m", port="p", seconds=0.0)
    cache.publish(digest_of("small"), Table({"a": [1]}), **origin)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    n = 100 if limit < 5000 else 40_000
    try:
        cache.publish(digest_of("k"), Table({"a": np.zeros(n), "b": np.zeros(n)}), **origin)
    except CacheUnwritable as error:
        print(error.code, error)
    assert not cache.has(digest_of("k"))
    assert cache.has(digest_of("small"))
    """
    ended = run_python(program, tmp_path / "cache", limit)
    assert ended.returncode == 0, ended.stderr
    assert "V312" in ended.stdout
    assert "no space is left" in ended.stdout
    assert list((tmp_path / "cache" / "stage").iterdir()) == []


def test_an_error_while_flushing_is_told(cache, publish, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for obj in (table(), table(5)):
        with pytest.raises(CacheUnwritable, match="no space is left"):
            publish(obj)
    monkeypatch.undo()
    assert list((cache.root / "stage").iterdir()) == list(cache.entries()) == []


def test_an_error_of_one_column_is_told(cache, publish, monkeypatch):
    """Columns are flushed in the background, the manifest is not."""
    flush = os.fsync

    def full(descriptor):
        if os.fstat(descriptor).st_size > 100_000:
            raise OSError(28, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CacheUnwritable, match="no space is left"):
        publish(table())
    publish(table(5))
    assert len(list(cache.entries())) == 1


def test_the_folder_may_vanish_in_between(cache, publish):
    import shutil

    publish(table())
    shutil.rmtree(cache.root)
    assert cache.has(publish(table()))
    for name in ("stage", "entries"):
        shutil.rmtree(cache.root / name)
        assert cache.has(publish(table()))


def test_importing_the_cache_is_cheap():
    program = """
    import sys
    import recipes_core.data
    before = set(sys.modules)
    import recipes_core.cache
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not new & {"filelock", "platformdirs", "h5py", "scipy", "numba", "concurrent", "pluggy", "asyncio", "matplotlib"}, new
    """
    ended = run_python(program)
    assert ended.returncode == 0, ended.stderr


def test_a_table_survives_another_process(cache, publish):
    key = publish(table())
    program = """
    import sys
    from pathlib import Path
    from recipes_core.cache import Cache
    print(float(Cache(Path(sys.argv[1])).load(sys.argv[2])["a"].sum()))
    """
    assert float(run_python(program, cache.root, key).stdout) == float(table()["a"].sum())
