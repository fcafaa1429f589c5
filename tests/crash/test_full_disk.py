"""A disk that is full or cannot be written: runs go on without a cache and say so; results are whole or not there."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from benchmarks.fault_scene import ROOT, Scene
from tests.crash.conftest import problems

COLUMN = 48_000
"""Bytes of one column of the recipe's table."""


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of a size; skips where that is not allowed."""
    mounted = []

    def mount(name, size, *, read_only=False):
        folder = tmp_path / "scene" / name
        folder.mkdir(parents=True)
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
            check=False,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def runs_without_cache(scene, *more, said="W130", **environment):
    output = scene.folder / "out"
    ended = scene.call(*scene.words(0, output, *more), **environment)
    assert ended.code == 0, ended.err
    lines = problems(ended)
    assert len(lines) == 1, ended.err
    assert said in lines[0]
    assert "not kept in the cache" in lines[0]
    assert scene.wrong_results(output, 0, complete=True) == []
    return lines[0]


PROCESSES = ("--executor", "processes", "--jobs", "1")
WAYS = pytest.mark.parametrize("more", [(), pytest.param(PROCESSES, marks=pytest.mark.slow)], ids=["serial", "processes"])


@pytest.mark.parametrize("more", [(), PROCESSES], ids=["serial", "processes"])
def test_a_full_disk_for_the_cache(scene, small_disk, more):
    small_disk("cache", 400_000)
    assert "no space is left" in runs_without_cache(scene, *more)
    assert scene.damaged() == []
    assert scene.call("cache", "gc").code == 0
    assert scene.leftovers() == []


def test_files_that_may_not_grow(scene):
    """The cache does not take the tables, and the drift is small enough for a file."""
    right = scene.right(0)
    assert len(right["drift.npz"]) < 30_000 < COLUMN
    output = scene.folder / "out"
    ended = scene.call(*scene.words(0, output, "--target", "drift"), FAULT_FILE_SIZE="30000")
    assert ended.code == 0, ended.err
    (line,) = problems(ended)
    assert "not kept in the cache" in line
    assert {path.name: path.read_bytes() for path in output.iterdir()} == {"drift.npz": right["drift.npz"]}
    assert scene.damaged() == []
    assert scene.leftovers() == []


def refuses(scene, output, *more, earlier=b"earlier", **environment):
    """The run ends with exit 5 and one line; what stood in the folder still stands."""
    ended = scene.call(*scene.words(0, output, *more), **environment)
    assert ended.code == 5, ended.err
    (line,) = problems(ended)
    assert "corrected.hdf cannot be written" in line
    assert "Traceback" not in ended.err
    assert (output / "corrected.hdf").read_bytes() == earlier
    assert [path.name for path in output.iterdir() if path.name.startswith(".")] == []


def test_a_full_disk_for_results(scene, small_disk):
    output = small_disk("out", 100_000)
    (output / "corrected.hdf").write_bytes(b"earlier")
    refuses(scene, output, "--target", "corrected")


def test_results_that_may_not_grow(scene):
    output = scene.folder / "out"
    output.mkdir()
    (output / "corrected.hdf").write_bytes(b"earlier")
    assert len(scene.right(0)["corrected.hdf"]) > 100_000 > COLUMN
    refuses(scene, output, "--target", "corrected", FAULT_FILE_SIZE="100000")


@WAYS
def test_a_read_only_cache(scene, small_disk, more):
    folder = small_disk("cache", "10M")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    runs_without_cache(scene, *more)
    assert list(folder.iterdir()) == []


def test_a_read_only_cache_is_of_use(scene, small_disk):
    """What it holds is taken, and nothing needs to be written."""
    folder = small_disk("cache", "10M")
    output = scene.folder / "out"
    assert scene.call(*scene.words(0, output)).code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    for path in output.iterdir():
        path.unlink()
    ended = scene.call(*scene.words(0, output))
    assert (ended.code, ended.err) == (0, "")
    assert "done" not in ended.out
    assert scene.wrong_results(output, 0, complete=True) == []


def test_a_cache_of_somebody_else(zygote, tmp_path):
    """Root may write anywhere, so the command runs as another user, who may not write to the folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a command as another user")
    # Folders of pytest are for their owner alone.
    with tempfile.TemporaryDirectory(prefix="recipe-crash-") as name:
        Path(name).chmod(0o755)
        if not reachable(Path(name)) or not reachable(Path(os.__file__)) or not reachable(ROOT):
            pytest.skip("another user can reach neither Python nor folders for temporary files")
        scene = Scene(Path(name) / "scene", zygote=zygote)
        output = scene.folder / "out"
        for path in (output, scene.temporary, scene.folder / "said"):
            path.mkdir(exist_ok=True)
            path.chmod(0o777)
        scene.cache.mkdir(mode=0o755)
        runs_without_cache(scene, FAULT_USER="65534")
        assert list(scene.cache.iterdir()) == []


def reachable(folder):
    """Whether all users may go there."""
    return all(path.stat().st_mode & 0o001 for path in folder.parents)


@WAYS
def test_a_file_for_a_cache(scene, more):
    scene.cache.write_text("a file")
    runs_without_cache(scene, *more)
    assert scene.cache.read_text() == "a file"


def test_a_cache_of_another_format(scene):
    scene.cache.mkdir()
    (scene.cache / "FORMAT").write_text("99\n")
    assert "another version" in runs_without_cache(scene)
    assert [path.name for path in scene.cache.iterdir()] == ["FORMAT"]


@pytest.mark.parametrize("content", [b"", pytest.param(b"\0" * 100, marks=pytest.mark.slow)], ids=["empty", "zeros"])
def test_a_format_that_a_crash_of_the_machine_has_lost(filled, content):
    """No human need repair it: entries are checked by themselves."""
    output = filled.folder / "out"
    (filled.cache / "FORMAT").write_bytes(content)
    for path in output.iterdir():
        path.unlink()
    ended = filled.call(*filled.words(0, output))
    assert (ended.code, ended.err) == (0, "")
    assert "done" not in ended.out
    assert filled.call(*filled.words(1, output)).err == ""
    assert (filled.cache / "FORMAT").read_text() == "1\n"
