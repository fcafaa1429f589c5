"""A folder with a small recipe, and the real command in processes of its own."""

import os
import shutil
import sys
from pathlib import Path

import pytest

fault_scene = pytest.importorskip("benchmarks.fault_scene", reason="benchmarks are not part of this distribution")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    skip = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and sends signals")
    for item in items:
        if here in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory):
    """A process that forks for commands and knows the modules of `crash_modules`."""
    plugin = tmp_path_factory.mktemp("plugin")
    info = plugin / "crash_modules-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crash-modules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[recipes_core]\ncrash = crash_modules\n")
    (plugin / "crash_modules.py").write_text((Path(__file__).parent / "crash_modules.py").read_text())
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(plugin), before]))
    try:
        made = fault_scene.Zygote()
    finally:
        # Only the forking process may know them: other tests of this process start processes too.
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    yield made
    made.close()


@pytest.fixture
def make_scene(tmp_path, zygote):
    """Make a scene with a recipe."""

    def make(recipe=fault_scene.RECIPE):
        return fault_scene.Scene(tmp_path / "scene", recipe, zygote)

    return make


@pytest.fixture
def scene(make_scene, _right_cache):
    made = make_scene()
    made.right_cache = _right_cache
    return made


@pytest.fixture(scope="session")
def _whole(tmp_path_factory, zygote):
    """A cache with what the recipe makes."""
    made = fault_scene.Scene(tmp_path_factory.mktemp("whole"), zygote=zygote)
    assert made.call(*made.words(0, made.folder / "out")).code == 0
    return made.cache


@pytest.fixture(scope="session")
def _right_cache(tmp_path_factory, _whole):
    """What makes right results quickly; it grows."""
    return Path(shutil.copytree(_whole, tmp_path_factory.mktemp("right") / "cache"))


@pytest.fixture
def filled(scene, _whole):
    """A scene after a run."""
    shutil.copytree(_whole, scene.cache)
    ended = scene.call(*scene.words(0, scene.folder / "out"))
    assert (ended.code, ended.err) == (0, "")
    assert "done" not in ended.out
    scene.take_as_right(0, scene.folder / "out")
    return scene


def problems(ended):
    """The lines on stderr."""
    return [line for line in ended.err.split("\n") if line.strip()]
