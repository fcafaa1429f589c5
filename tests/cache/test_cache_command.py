"""``recipe cache``."""

import json
import os
import re
import sys
import time

import pytest

from recipes_core.cache import Cache
from tests.cache.conftest import contents, table

pytestmark = pytest.mark.usefixtures("named")


@pytest.fixture
def named(cache, monkeypatch):
    """RECIPES_CACHE names the cache of the test."""
    monkeypatch.setenv("RECIPES_CACHE", str(cache.root))
    monkeypatch.delenv("RECIPES_CACHE_SIZE", raising=False)


@pytest.fixture
def three(cache, publish):
    """Keys of three entries, of two steps."""
    made = {"module": "smlm.Locs_RCC", "port": "drift"}
    return [
        publish(table(), step="rcc", **made),
        publish(table(10), step="rcc", **made),
        publish(table(20), step="render", **made),
    ]


def test_ls(recipe_command, three):
    ended = recipe_command("cache", "ls")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert re.split(r"  +", lines[0]) == ["key", "made by", "type", "size", "last use", "saves"]
    assert {line[:12] for line in lines[1:]} == {key[:12] for key in three}
    rows = [re.split(r"  +", line) for line in lines[1:]]
    assert {row[0]: row[1] for row in rows}[three[2][:12]] == "render/Locs_RCC.drift"
    assert {(row[2], row[5]) for row in rows} == {("Table", "1.5 s")}
    assert recipe_command("cache", "ls", "--step", "render").out.count("Locs_RCC") == 1


def test_ls_json(recipe_command, three):
    rows = json.loads(recipe_command("cache", "ls", "--json").out)
    assert {row["key"] for row in rows} == set(three)
    assert {row["step"] for row in rows} == {"rcc", "render"}


@pytest.mark.parametrize("verb", ["ls", "info", "gc", "verify"])
def test_an_empty_cache(recipe_command, cache, verb):
    assert recipe_command("cache", verb).code == 0
    json.loads(recipe_command("cache", verb, "--json").out)
    assert not cache.root.exists()


def test_looking_changes_nothing(recipe_command, cache, three):
    (cache.layout.entry(three[0]) / "0.npy").unlink()
    before = contents(cache.root)
    for call in (("ls",), ("info",), ("info", three[1])):
        assert recipe_command("cache", *call).code == 0
    assert contents(cache.root) == before


def test_info(recipe_command, cache, three):
    found = json.loads(recipe_command("cache", "info", "--json").out)
    assert found["folder"] == str(cache.root)
    assert found["entries"] == 3
    assert found["size"] == sum(entry.disk_bytes for entry in cache.entries())
    assert str(cache.root) in recipe_command("cache", "info").out
    one = json.loads(recipe_command("cache", "info", three[0][:9], "--json").out)
    assert one["key"] == three[0]
    assert one["nbytes"] == cache.manifest(three[0]).nbytes


def test_rm(recipe_command, cache, three):
    assert recipe_command("cache", "rm", three[2][:12]).out == "removed 1 entry\n"
    assert not cache.has(three[2])
    removed = json.loads(recipe_command("cache", "rm", "--step", "rcc", "--json").out)["removed"]
    assert sorted(removed) == sorted(three[:2])
    assert list(cache.entries()) == []


def test_rm_all_also_removes_what_is_broken(recipe_command, cache, three):
    (cache.layout.entry(three[0]) / "manifest.json").write_bytes(b"")
    assert recipe_command("cache", "rm", "--all").out == "removed 3 entries\n"
    assert [path for path in (cache.root / "entries").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "code"), [((), "U171"), (("--all", "--step", "x"), "U171"), (("ffffffffffff",), "U172"), (("",), "U172")]
)
def test_rm_wants_to_know_what(recipe_command, cache, three, arguments, code):
    ended = recipe_command("cache", "rm", *arguments)
    assert ended.code == 2
    assert code in ended.err
    assert len(list(cache.entries())) == 3


def test_gc(recipe_command, cache, three):
    hour_ago = time.time() - 3600  # entries made within one tick of the file system's clock have no order
    os.utime(cache.layout.entry(three[0]) / "manifest.json", (hour_ago, hour_ago))
    ended = recipe_command("cache", "gc", "--max-size", "20kB")
    assert ended.code == 0
    assert ended.out.startswith("removed 1 entry (")
    assert not cache.has(three[0])
    report = json.loads(recipe_command("cache", "gc", "--max-age", "0", "--json").out)
    assert report["removed"] == 2
    assert recipe_command("cache", "gc", "--max-size", "much").code == 2


def test_verify(recipe_command, cache, three):
    assert recipe_command("cache", "verify").out == "3 entries checked, 0 damaged\n"
    path = cache.layout.entry(three[0]) / "1.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    ended = recipe_command("cache", "verify", "--json")
    assert ended.code == 5
    assert json.loads(ended.out) == {"checked": 3, "damaged": [three[0]]}
    assert recipe_command("cache", "verify").code == 0
    assert json.loads(recipe_command("cache", "info", "--json").out)["set aside"] == 1


def test_a_folder_that_is_none(recipe_command, cache, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECIPES_CACHE", str(tmp_path / "file"))
    for verb in ("ls", "info", "verify"):
        ended = recipe_command("cache", verb)
        assert ended.code == 5
        assert "V313" in ended.err
    document = json.loads(recipe_command("cache", "ls", "--json").out)
    assert (document["exit"], document["problems"][0]["code"]) == (5, "V313")


def test_another_format(recipe_command, cache, three):
    (cache.root / "FORMAT").write_text("7\n")
    for call in (("ls",), ("gc",), ("rm", "--all")):
        ended = recipe_command("cache", *call)
        assert ended.code == 5
        assert "V311" in ended.err
    (cache.root / "FORMAT").write_text("1\n")
    assert len(list(Cache(cache.root).entries())) == 3


def test_the_command_is_imported_on_use():
    import subprocess

    program = (
        "import sys, recipes_core.cli.cache_command; assert not {'recipes_core.cache', 'numpy', 'blake3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
