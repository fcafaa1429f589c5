"""Digests of files follow their content, and are not computed twice."""

import os
import time

import pytest

from recipes_core.cache import FileDigests
from recipes_core.cache import digests as module

HOUR_AGO = time.time() - 3600
# blake3 of b"abc", as the blake3 package gives it; fixed here so that another algorithm or a keyed mode would be noticed.
ABC = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"


@pytest.fixture
def hashed(monkeypatch):
    """Files that were read, in order."""
    read = []
    original = module.hash_file
    monkeypatch.setattr(module, "hash_file", lambda path: read.append(path.name) or original(path))
    return read


@pytest.fixture
def data(tmp_path):
    """A file that was last changed long ago, as far as its mtime says; its ctime is now."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"abc")
    os.utime(path, (HOUR_AGO, HOUR_AGO))
    return path


@pytest.fixture
def settled(monkeypatch):
    """Move the clock on, so that files written just now count as old."""
    real = time.time_ns
    monkeypatch.setattr(module.time, "time_ns", lambda: real() + 10 * 10**9)


def test_the_digest_is_blake3(tmp_path, data):
    assert FileDigests(None).digest(data) == ABC


def test_large_files_in_blocks(tmp_path):
    from blake3 import blake3

    content = os.urandom(1000) * 40_000
    (tmp_path / "large").write_bytes(content)
    assert FileDigests(None).digest(tmp_path / "large") == blake3(content).hexdigest()


@pytest.mark.usefixtures("settled")
def test_a_file_is_read_once_also_by_another_process(tmp_path, data, hashed):
    memo = tmp_path / "memo"
    first = FileDigests(memo)
    assert first.digest(data) == first.digest(data) == FileDigests(memo).digest(data) == ABC
    assert hashed == ["data.bin"]


def test_a_file_changed_just_now_is_not_trusted(tmp_path, data, hashed):
    """Within one tick of the file system's clock it could change again without a trace."""
    digests = FileDigests(tmp_path / "memo")
    digests.digest(data)
    digests.digest(data)
    assert hashed == ["data.bin"] * 2
    assert not (tmp_path / "memo").exists()


@pytest.mark.usefixtures("settled")
def test_same_size_and_mtime_is_not_the_same_file(tmp_path, data):
    digests = FileDigests(tmp_path / "memo")
    before, stamp = digests.digest(data), digests.stamp(data)
    data.write_bytes(b"abd")
    os.utime(data, (HOUR_AGO, HOUR_AGO))
    assert digests.stamp(data) != stamp
    assert digests.digest(data) != before
    assert FileDigests(tmp_path / "memo").digest(data) == digests.digest(data)


@pytest.mark.usefixtures("settled")
def test_a_replaced_file_is_read_again(tmp_path, data):
    digests = FileDigests(tmp_path / "memo")
    before = digests.digest(data)
    other = tmp_path / "other"
    other.write_bytes(b"xyz")
    os.utime(other, (HOUR_AGO, HOUR_AGO))
    other.replace(data)
    assert digests.digest(data) != before


@pytest.mark.usefixtures("settled")
def test_a_link_is_what_it_leads_to(tmp_path, data, hashed):
    (tmp_path / "link").symlink_to(data)
    digests = FileDigests(tmp_path / "memo")
    assert digests.digest(tmp_path / "link") == digests.digest(data)
    assert digests.stamp(tmp_path / "link") == digests.stamp(data)
    assert hashed == ["data.bin"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"[" * 90_000, b'{"path": 1, "state": [1], "digest": "x"}', b"null"])
def test_a_damaged_memo_costs_time_only(tmp_path, data, content):
    memo = tmp_path / "memo"
    FileDigests(memo).digest(data)
    (found,) = memo.iterdir()
    found.write_bytes(content)
    assert FileDigests(memo).digest(data) == ABC


@pytest.mark.usefixtures("settled")
def test_a_memo_with_another_digest_is_noticed(tmp_path, data):
    memo = tmp_path / "memo"
    FileDigests(memo).digest(data)
    (found,) = memo.iterdir()
    found.write_bytes(found.read_bytes().replace(ABC.encode(), b"0" * 64))
    assert FileDigests(memo).digest(data) == ABC


@pytest.mark.usefixtures("settled")
def test_nothing_is_written_where_that_is_not_allowed(tmp_path, data):
    assert FileDigests(tmp_path / "memo", writable=False).digest(data) == ABC
    (tmp_path / "file").write_text("")
    assert FileDigests(tmp_path / "file" / "memo").digest(data) == ABC
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.bin", "file"]


def test_folders_go_by_names_and_contents(tmp_path):
    def make(name, files):
        for path, content in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(content)
        return FileDigests(None).digest(tmp_path / name)

    files = {"b.tif": b"2", "a.tif": b"1", "sub/c.tif": b"3"}
    first = make("one", files)
    assert make("two", dict(reversed(files.items()))) == first
    assert make("litter", {**files, ".DS_Store": b"x", "sub/Thumbs.db": b"y"}) == first
    assert make("more", {**files, "sub/d.tif": b""}) != first
    assert make("swapped", {**files, "a.tif": b"2", "b.tif": b"1"}) != first
    assert make("elsewhere", {"b.tif": b"2", "a.tif": b"1", "c.tif": b"3"}) != first
    stamp = FileDigests(None).stamp(tmp_path / "one")
    assert [name for name, _ in stamp.files] == ["a.tif", "b.tif", "sub/c.tif"]
    (tmp_path / "one" / "sub" / "c.tif").write_bytes(b"4")
    assert FileDigests(None).stamp(tmp_path / "one") != stamp


def test_links_that_lead_upwards_end(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "f").write_bytes(b"1")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "broken").symlink_to(tmp_path / "nowhere")
    assert [name for name, _ in FileDigests(None).stamp(tmp_path / "a").files] == ["f"]


def test_a_missing_file_is_an_error(tmp_path):
    for call in (FileDigests(None).digest, FileDigests(None).stamp):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "none")
