"""What is installed: two import packages and nothing else, light to start, open to plugins."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "scipy", "numba", "h5py", "tifffile", "matplotlib", "networkx", "traits", "rich", "yaml", "jinja2", "pandas")


def build_wheel(source: Path, target: Path) -> Path:
    code = "import os, sys; from hatchling.build import build_wheel; os.chdir(sys.argv[1]); print(build_wheel(sys.argv[2]))"
    done = subprocess.run([sys.executable, "-c", code, str(source), str(target)], check=True, capture_output=True, text=True)
    return target / done.stdout.split()[-1]


def test_the_wheel_holds_two_packages_and_nothing_else(tmp_path):
    pytest.importorskip("hatchling")
    with zipfile.ZipFile(build_wheel(ROOT, tmp_path)) as wheel:
        names = wheel.namelist()
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"recipes_core", "recipes_modules"}
    assert "recipes_core/py.typed" in names
    assert not [name for name in names if name.endswith((".hdf", ".npz")) or "/tests/" in name]


def loaded_after(*arguments: str) -> set[str]:
    code = (
        "import sys\n"
        "from recipes_core.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as ended:\n    assert not ended.code, ended.code\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["modules", "list"], ["run", "--help"], ["plugins"]])
def test_light_commands_import_nothing_heavy(arguments):
    assert loaded_after(*arguments) == set()


def test_checking_a_recipe_imports_no_numerics_of_its_modules():
    loaded = loaded_after("check", str(ROOT / "example_recipes" / "correct_drift_locs.yaml"))
    assert loaded & {"numba", "scipy", "matplotlib", "tifffile", "pandas", "rich"} == set()


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, recipes_core; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


@pytest.fixture(scope="module")
def with_plugin(tmp_path_factory) -> dict[str, str]:
    """An environment in which the plugin of this repository is installed."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("plugin")
    with zipfile.ZipFile(build_wheel(ROOT / "plugins" / "recipes-mirror", folder)) as wheel:
        wheel.extractall(folder / "site")
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


def recipe(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from recipes_core.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False)


def test_an_installed_plugin_adds_a_module_that_a_recipe_uses(with_plugin, tmp_path):
    listed = json.loads(recipe(with_plugin, "plugins", "--json").stdout)
    assert [item["modules"] for item in listed if item["distribution"] == "recipes-mirror"] == [["mirror.Locs_Mirror"]]
    file = tmp_path / "mirror.yaml"
    file.write_text(
        "- Locs_Simulate: {n_localizations: 500, n_frames: 100, output_localizations: made}\n"
        "- Locs_Mirror: {input_localizations: made, output_localizations: mirrored}\n"
    )
    done = recipe(with_plugin, "run", str(file), "-o", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    assert Path(json.loads(done.stdout)["outputs"]["mirrored"]).is_file()
    without = recipe(with_plugin, "--no-plugins", "run", str(file), "-o", str(tmp_path / "out2"))
    assert without.returncode == 3
    assert "Locs_Mirror" in without.stderr


def test_a_name_claimed_twice_is_an_error_that_names_both(monkeypatch):
    from recipes_core.errors import PluginError
    from recipes_core.plugins import ModuleRef, PluginInfo, Registry

    class Other:
        @staticmethod
        def register_modules():
            return [ModuleRef("smlm.Locs_RCC", "other:Locs_RCC")]

    registry = Registry(external=False)
    registry.plugins.append(PluginInfo("other", "other-plugin", "1.0", Other))
    with pytest.raises(PluginError, match="smlm-recipes .* and by other-plugin 1.0"):
        registry.modules  # noqa: B018


def test_a_plugin_that_cannot_be_imported_breaks_nothing_else(tmp_path):
    info = tmp_path / "broken_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[recipes_core]\nbroken = no_such_module\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    listed = {item["distribution"]: item for item in json.loads(recipe(environment, "plugins", "--json").stdout)}
    assert "no_such_module" in listed["broken-plugin"]["error"]
    assert recipe(environment, "modules", "list").returncode == 0
