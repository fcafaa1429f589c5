"""A folder with a small recipe, and the real command in processes of its own."""

import os
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
    made = fault_scene.Zygote()
    yield made
    made.close()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture
def make_scene(tmp_path, zygote):
    """Make a scene with a recipe."""

    def make(recipe=fault_scene.RECIPE):
        return fault_scene.Scene(tmp_path / "scene", recipe, zygote)

    return make


@pytest.fixture
def scene(make_scene):
    return make_scene()


def problems(ended):
    """The lines on stderr."""
    return [line for line in ended.err.split("\n") if line.strip()]
