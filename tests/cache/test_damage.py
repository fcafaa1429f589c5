"""Damaged and hostile entries cost time: never a wrong result, never a failed run, nothing executed."""

import base64
import json
import os
import pickle
import sys
import tracemalloc

import numpy as np
import pytest
from blake3 import blake3

from recipes_core.cache import Cache
from recipes_core.cache.manifest import NAME
from recipes_core.data import ImageStack
from recipes_core.errors import EnvironmentFault
from tests.cache.conftest import table

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def set_aside(cache, key):
    """The entry is not handed out, is in quarantine, and the user hears of it once."""
    assert cache.load(key) is None
    assert cache.load(key) is None
    assert not cache.has(key)
    assert cache.damaged(key)
    assert len(cache.warnings) == 1
    assert key[:12] in cache.warnings[0]
    (aside,) = (cache.root / "quarantine").iterdir()
    assert key[:12] in aside.name
    return True


DAMAGE = {
    "byte of a column": lambda folder: flip(folder / "1.npy", 5000),
    "last byte": lambda folder: flip(folder / "2.npy", -1),
    "header": lambda folder: flip(folder / "0.npy", 30),
    "magic": lambda folder: flip(folder / "0.npy", 0),
    "cut off": lambda folder: os.truncate(folder / "0.npy", 1000),
    "empty": lambda folder: os.truncate(folder / "0.npy", 0),
    "longer": lambda folder: (folder / "0.npy").write_bytes((folder / "0.npy").read_bytes() + b"x"),
    "missing": lambda folder: (folder / "2.npy").unlink(),
    "swapped": lambda folder: ((folder / "0.npy").rename(folder / "x"), (folder / "1.npy").rename(folder / "0.npy"),
                               (folder / "x").rename(folder / "1.npy")),
    "no manifest": lambda folder: (folder / NAME).unlink(),
    "manifest of zeros": lambda folder: (folder / NAME).write_bytes(b"\0" * 4096),
    "empty manifest": lambda folder: (folder / NAME).write_bytes(b""),
    "byte of the manifest": lambda folder: flip(folder / NAME, 700),
    "manifest cut off": lambda folder: os.truncate(folder / NAME, 500),
    "a folder for a file": lambda folder: ((folder / "0.npy").unlink(), (folder / "0.npy").mkdir()),
}  # fmt: skip


@pytest.mark.parametrize("name", list(DAMAGE))
def test_damage_is_found_and_mended(cache, publish, name):
    key = publish(table())
    DAMAGE[name](cache.layout.entry(key))
    fresh = Cache(cache.root)
    assert set_aside(fresh, key)
    publish(table(), key=key, into=fresh)
    assert fresh.has(key)
    assert not fresh.damaged(key)
    np.testing.assert_array_equal(fresh.load(key, verify=True)["b"], table()["b"])


@pytest.mark.parametrize(
    "name", ["cut off", "empty", "longer", "missing", "no manifest", "manifest of zeros", "a folder for a file"]
)
def test_a_look_finds_what_needs_no_reading(cache, publish, name):
    key = publish(table())
    DAMAGE[name](cache.layout.entry(key))
    fresh = Cache(cache.root)
    assert not fresh.has(key)
    assert fresh.damaged(key)
    assert fresh.manifest(key) is None


def test_every_byte_of_a_small_entry_is_guarded(cache, publish):
    key = publish(table(5))
    path = cache.layout.entry(key) / NAME
    content = path.read_bytes()
    for at in range(len(content)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        flip(path, at)
        assert Cache(cache.root).load(key) is None, f"byte {at}"


def test_damage_after_the_first_look_is_found_by_the_change_of_the_file(cache, publish):
    key = publish(table())
    assert cache.load(key) is not None
    path = cache.layout.entry(key) / "0.npy"
    flip(path, 5000)
    os.utime(path, (1, 1))
    assert cache.load(key) is None


def test_large_entries_are_checked_only_when_asked(cache, publish, monkeypatch):
    monkeypatch.setattr("recipes_core.cache.store._VERIFIED_ON_USE", 1000)
    key = publish(table())
    flip(cache.layout.entry(key) / "0.npy", 5000)
    fresh = Cache(cache.root)
    assert fresh.load(key) is not None
    assert fresh.load(key, verify=True) is None
    assert fresh.damaged(key)


def test_verify_finds_all_damage(cache, publish):
    keys = [publish(table(seed=seed)) for seed in range(5)]
    small = publish(table(4))
    flip(cache.layout.entry(keys[1]) / "0.npy", 5000)
    (cache.layout.entry(keys[3]) / "1.npy").unlink()
    flip(cache.layout.entry(small) / NAME, -5)
    assert sorted(cache.verify()) == sorted([keys[1], keys[3], small])
    assert cache.verify() == []
    assert len(cache.warnings) == 3


def test_what_was_removed_is_not_damaged(cache, publish):
    key = publish(table())
    other = Cache(cache.root)
    assert other.has(key)
    cache.remove(key)
    assert other.load(key) is None
    assert not other.damaged(key)
    assert other.warnings == []


def test_images_that_vanish_while_in_use(cache, publish):
    key = publish(ImageStack(np.zeros((4, 100, 100))))
    back = cache.load(key)
    assert back.frames(0, 1).shape == (1, 1, 100, 100)
    elsewhere = pickle.loads(pickle.dumps(back.source))
    cache.remove(key)
    with pytest.raises(EnvironmentFault, match="gone or damaged") as caught:
        elsewhere.read(0, 1)
    assert caught.value.code == "V320"


# hostile: whoever may write to the folder can also make the check fit


def forge(folder, change):
    """Change what a manifest says and make its check fit."""
    body = json.loads((folder / NAME).read_bytes())["body"]
    raw = change(body)
    raw = raw if isinstance(raw, bytes) else json.dumps(body).encode()
    (folder / NAME).write_bytes(b'{"check":"' + blake3(raw).hexdigest().encode() + b'","body":' + raw + b"}")


class Bomb:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self):
        return (exec, ("import sys; sys.cache_was_executed = True",))


def array(body, **changes):
    body["arrays"][0].update(changes)


def pickled(folder):
    values = np.empty(20_000, object)
    values[:] = Bomb()
    np.save(folder / "0.npy", values, allow_pickle=True)
    size = (folder / "0.npy").stat().st_size
    forge(folder, lambda body: array(body, dtype="|O", shape=[(size - 128) // 8]))


def bare_pickle(folder):
    content = pickle.dumps(Bomb())
    (folder / "0.npy").write_bytes(content + b"\0" * ((folder / "0.npy").stat().st_size - len(content)))


def huge_header(folder):
    size = (folder / "0.npy").stat().st_size
    (folder / "0.npy").write_bytes((b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little")).ljust(size, b" "))


def inline(body, **changes):
    body["arrays"][0].pop("file")
    body["arrays"][0].update(changes)


EMPTY = base64.b64encode(b"").decode()
HOSTILE = {
    "pickle in an array": pickled,
    "pickle for an array": bare_pickle,
    "huge header": huge_header,
    "path upwards": lambda folder: forge(folder, lambda body: array(body, file="../../../../etc/passwd")),
    "absolute path": lambda folder: forge(folder, lambda body: array(body, file="/etc/passwd")),
    "file of another array": lambda folder: forge(folder, lambda body: array(body, file="1.npy")),
    "file that is no text": lambda folder: forge(folder, lambda body: array(body, file={"a": 1})),
    "shape too large": lambda folder: forge(folder, lambda body: array(body, shape=[10**15])),
    "shape that overflows": lambda folder: forge(folder, lambda body: array(body, shape=[2**32, 2**32])),
    "shape beyond integers": lambda folder: forge(folder, lambda body: array(body, shape=[10**400])),
    "negative shape": lambda folder: forge(folder, lambda body: array(body, shape=[-20_000])),
    "shape of truth": lambda folder: forge(folder, lambda body: array(body, shape=[True])),
    "many dimensions": lambda folder: forge(folder, lambda body: array(body, shape=[1] * 10_000)),
    "shape and nothing": lambda folder: forge(folder, lambda body: inline(body, shape=[10**12], data=EMPTY)),
    "items of no size": lambda folder: forge(folder, lambda body: inline(body, dtype="|V0", shape=[10**12], data=EMPTY)),
    "zero times very much": lambda folder: forge(folder, lambda body: inline(body, shape=[0, 10**18], data=EMPTY)),
    "type that is code": lambda folder: forge(folder, lambda body: array(body, dtype="__import__('os').system('true')")),
    "type within itself": lambda folder: forge(folder, lambda body: array(body, dtype=json.loads("[" * 90 + "]" * 90))),
    "other type of object": lambda folder: forge(folder, lambda body: body.update(kind="os")),
    "spec that does not fit": lambda folder: forge(folder, lambda body: body.update(spec={"columns": [["a"]], "units": 3})),
    "other units": lambda folder: forge(folder, lambda body: body["spec"].update(units={"a": "nm", "b": "", "c": ""})),
    "spec of another type": lambda folder: forge(folder, lambda body: body.update(kind="Drift")),
    "figure of other classes": lambda folder: forge(
        folder, lambda body: body.update(kind="Figure", spec={"figure": {"is": "Popen", "with": {"args": "true"}}})
    ),
    "key of another": lambda folder: forge(folder, lambda body: body.update(key="0" * 64)),
    "deep": lambda folder: forge(folder, lambda _: b"[" * 500_000 + b"]" * 500_000),
    "deep but closed": lambda folder: forge(folder, lambda body: body.update(note=json.loads("[" * 900 + "]" * 900)) or None),
    "long number": lambda folder: forge(folder, lambda _: b"9" * 100_000),
    "no mapping": lambda folder: forge(folder, lambda _: b"[1, 2]"),
    "nothing": lambda folder: forge(folder, lambda _: b"{}"),
    "wrong mark": lambda folder: forge(folder, lambda body: body.update(note={"~array": ["|O", [1], EMPTY]})),
    "history that is none": lambda folder: forge(folder, lambda body: body.update(history_text={"~bytes": EMPTY})),
    "history of other things": lambda folder: forge(
        folder, lambda body: body.update(history_text={"~bytes": base64.b64encode(b"[[1], 2]").decode()})
    ),
    "large manifest": lambda folder: os.truncate(folder / NAME, 2**40),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_entries_are_refused(cache, publish, name):
    key = publish(table())
    HOSTILE[name](cache.layout.entry(key))
    fresh = Cache(cache.root)
    tracemalloc.start()
    try:
        assert fresh.load(key, verify=True) is None
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()
    assert not hasattr(sys, "cache_was_executed")
    assert set_aside(fresh, key)
    assert fresh.verify() == []


@POSIX
@pytest.mark.parametrize("what", ["file", "manifest", "entry", "shelf pipe", "pipe"])
def test_links_and_pipes_are_refused(cache, publish, tmp_path, what):
    key, other = publish(table()), publish(table())
    folder = cache.layout.entry(key)
    if what in ("file", "manifest"):
        path = folder / ("0.npy" if what == "file" else NAME)
        path.rename(tmp_path / "outside")
        path.symlink_to(tmp_path / "outside")
    elif what == "entry":
        folder.rename(tmp_path / "outside")
        folder.symlink_to(tmp_path / "outside", target_is_directory=True)
    elif what == "pipe":
        (folder / NAME).unlink()
        os.mkfifo(folder / NAME)
    else:
        (folder / "1.npy").unlink()
        os.mkfifo(folder / "1.npy")
    fresh = Cache(cache.root)
    assert set_aside(fresh, key)
    if what == "entry":
        assert (tmp_path / "outside" / NAME).exists()
    publish(table(), key=key, into=fresh)
    assert fresh.has(key)
    assert fresh.has(other)


@POSIX
def test_removing_a_link_leaves_what_it_leads_to(cache, publish, tmp_path):
    key = publish(table())
    cache.layout.entry(key).rename(tmp_path / "outside")
    cache.layout.entry(key).symlink_to(tmp_path / "outside", target_is_directory=True)
    assert cache.remove(key)
    assert cache.gc(max_bytes=0).removed == 0
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == ["0.npy", "1.npy", "2.npy", NAME]
