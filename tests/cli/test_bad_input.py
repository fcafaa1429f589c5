"""Whatever a user gets wrong ends in one clear message, the right exit code, and nothing half-written."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from recipes_core.data import Drift, ImageStack, Localizations

GOOD = """\
recipe: 1
inputs:
  Localizations: {type: Localizations}
modules:
  - FilterTable: {inputName: Localizations, outputName: filtered, filters: {A: [5, 20000]}}
  - Locs_RCC: {input_for_correction: filtered, output_drift: drift_raw, step: 100, window: 100, flatten_z: true}
  - Drift_Interpolate: {input_drift_raw: drift_raw, output_drift_interpolator: interpolator}
  - Locs_Post_Shift: {input_localizations: Localizations, input_drift_interpolator: interpolator, output_name: corrected}
"""


@pytest.fixture
def locs_file(tmp_path) -> Path:
    """A table of 1000 frames without any drift."""
    rng = np.random.default_rng(5)
    sites = rng.uniform(0, 3000, (200, 2))[rng.integers(0, 200, 5000)]
    columns = {
        "x": sites[:, 0] + rng.normal(0, 10, 5000),
        "y": sites[:, 1] + rng.normal(0, 10, 5000),
        "frame": np.sort(rng.integers(0, 1000, 5000)),
        "A": np.full(5000, 100.0),
    }
    return Localizations(columns).save(tmp_path / "cell7.hdf")


@pytest.fixture
def refused(recipe_command, tmp_path):
    """Run a recipe that must be refused; return what is told."""

    def call(text: str | bytes, *arguments, code: int, files_before: bool = True) -> str:
        file = tmp_path / "recipe.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        before = {path for path in tmp_path.rglob("*") if path.is_file()}
        ended = recipe_command("run", file, *arguments)
        assert ended.code == code, ended.err + ended.out
        assert "Traceback" not in ended.err + ended.out
        assert ended.err.strip(), "there is a message"
        after = {path for path in tmp_path.rglob("*") if path.is_file()}
        assert after == before, "nothing is half-written"
        return ended.err

    return call


@pytest.mark.parametrize(
    ("change", "place", "told"),
    [
        (("modules:", "modules: [:"), "recipe.yaml:", ""),
        (("inputs:", "inptus:"), "recipe.yaml:2:1", "inputs"),
        (("step: 100,", "step: 100, step: 200,"), "recipe.yaml:6:", "step"),
        (("step: 100,", "step: !!python/object/apply:os.system ['true'],"), "recipe.yaml:6:", "tag"),
        (("Locs_RCC:", "Locs_RRC:"), "recipe.yaml:6:5", "Locs_RCC"),
        (("step: 100,", "stepp: 100,"), "recipe.yaml:6:", "'step'"),
        (("output_drift: drift_raw", "output_drfit: drift_raw"), "recipe.yaml:6:", "output_drift"),
        (("input_drift_raw: drift_raw", "input_drift_raw: drift_row"), "recipe.yaml:7:", "drift_raw"),
        (("input_for_correction: filtered", "input_for_correction: corrected"), "recipe.yaml:", "Locs_RCC -> "),
        (("output_drift_interpolator: interpolator", "output_drift_interpolator: drift_raw"), "recipe.yaml:7:", "drift_raw"),
        (("step: 100,", "step: ten,"), "recipe.yaml:6:", "step must be"),
        (("step: 100,", "step: '100',"), "recipe.yaml:6:", "step must be"),
        (("step: 100,", "step: -5,"), "recipe.yaml:6:", "step must be"),
        (("A: [5, 20000]", "A: [5]"), "recipe.yaml:5:", "filters must be"),
        (("input_drift_interpolator: interpolator", "input_drift_interpolator: filtered"), "recipe.yaml:8:", "Localizations"),
    ],
)
def test_faults_of_recipes(refused, locs_file, change, place, told):
    assert change[0] in GOOD
    err = refused(GOOD.replace(*change, 1), locs_file, code=3)
    assert place in err
    assert told in err


@pytest.mark.parametrize(
    "text",
    [b"", b"just words", b"5", b"- 1", b"{a: 1}", b"\xff\xfe\x00bad", b"- a: {x: 1}\n  b: {}\n", b"modules: 5\n", b"- [" * 3000],
)
def test_no_recipe_at_all(refused, locs_file, text):
    refused(text, locs_file, code=3)


def test_alias_bomb(refused, locs_file):
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    refused(f"a0: &a0 [x, x]\n{levels}\nmodules: *a11\n", locs_file, code=3)


def test_all_faults_at_once(refused, locs_file):
    err = refused(GOOD.replace("step: 100,", "stepp: 1,").replace("Drift_Interpolate:", "Drift_Interpolat:"), locs_file, code=3)
    assert "'step'" in err
    assert "Drift_Interpolate" in err


def test_missing_files_and_names(recipe_command, tmp_path, locs_file):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(GOOD)
    ended = recipe_command("run", tmp_path / "recipee.yaml")
    assert (ended.code, "recipe.yaml" in ended.err) == (2, True)
    ended = recipe_command("run", recipe, tmp_path / "cell8.hdf")
    assert (ended.code, "cell7.hdf" in ended.err) == (2, True)
    ended = recipe_command("run", recipe, "-i", f"Localisations={locs_file}")
    assert (ended.code, "'Localizations'" in ended.err) == (2, True)
    ended = recipe_command("run", recipe, locs_file, "--target", "correctd")
    assert (ended.code, "'corrected'" in ended.err) == (2, True)
    ended = recipe_command("run", recipe, locs_file, "-p", "Locs_RCC.stepp=5")
    assert (ended.code, "'step'" in ended.err) == (2, True)
    ended = recipe_command("run", recipe, locs_file, "-p", "Locs_RCC.step=five")
    assert (ended.code, "step must be" in ended.err) == (2, True)
    ended = recipe_command("run", recipe, locs_file, "-m", "Localisations.a=1")
    assert (ended.code, "'Localizations'" in ended.err) == (2, True)
    ended = recipe_command("run", recipe, locs_file, "--no-such-option")
    assert ended.code == 2
    ended = recipe_command("rum", recipe)
    assert (ended.code, "'run'" in ended.err) == (2, True)


def test_a_missing_input_says_which_there_are(refused):
    err = refused(GOOD, code=3)
    assert "'Localizations' (Localizations" in err
    assert "-i Localizations=FILE" in err


def test_an_image_for_a_table(refused, tmp_path):
    ImageStack(np.zeros((3, 20, 20), np.uint16)).save(tmp_path / "movie.tif")
    err = refused(GOOD, tmp_path / "movie.tif", code=3)
    assert "ImageStack" in err
    assert "'Localizations' (Localizations)" in err


def test_a_table_for_an_image(refused, tmp_path, locs_file):
    text = "- Image_RCC: {input_image: input, output_drift: d}\n"
    err = refused(text, locs_file, code=3)
    assert "columns x, y" in err
    assert "'input' (ImageStack)" in err


def test_a_table_wired_to_an_image_port(refused, locs_file):
    text = GOOD + "  - Image_RCC: {input_image: filtered, output_drift: d}\n"
    assert "recipe.yaml:9:" in refused(text, locs_file, code=3)


def test_a_missing_column_is_told_before_anything_runs(refused, locs_file):
    err = refused(GOOD.replace("A: [5", "AA: [5"), locs_file, code=3)
    assert "recipe.yaml:5:" in err
    assert "no column 'AA'" in err


def test_a_window_longer_than_the_movie(refused, locs_file):
    err = refused(GOOD.replace("step: 100, window: 100", "step: 5000, window: 5000"), locs_file, code=3)
    assert "Locs_RCC" in err
    assert "1000" in err or "999" in err


def _broken(path: Path, kind: str) -> Path:
    content = path.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "garbage":
        path.write_bytes(bytes(range(256)) * 20)
    else:
        path.write_bytes(content[: len(content) // 2])
    return path


@pytest.mark.parametrize("kind", ["empty", "truncated", "garbage"])
@pytest.mark.parametrize("suffix", [".hdf", ".h5", ".tif", ".npz"])
def test_damaged_files(refused, tmp_path, suffix, kind):
    path = tmp_path / f"data{suffix}"
    if suffix == ".hdf":
        Localizations({"x": np.arange(1e4), "y": np.arange(1e4), "frame": np.arange(10000), "A": np.arange(1e4)}).save(path)
        text = GOOD
    elif suffix == ".npz":
        Drift(np.arange(1000), np.random.default_rng(1).normal(size=(1000, 3))).save(path)
        text = "- Drift_Interpolate: {input_drift_raw: drift_raw}\n"
    else:
        noise = np.random.default_rng(1).integers(0, 1000, (20, 64, 64)).astype(np.uint16)
        ImageStack(noise, metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1}).save(path)
        text = "- Image_RCC: {input_image: input}\n"
    err = refused(text, _broken(path, kind), code=3)
    assert path.name in err


def test_an_object_array_in_npz_is_refused(refused, tmp_path):
    path = tmp_path / "drift.npz"
    np.savez(path, tIndex=np.array([0, 1]), drift=np.array([{"a": 1}, None], dtype=object))
    err = refused("- Drift_Interpolate: {input_drift_raw: drift_raw}\n", path, code=3)
    assert "drift.npz" in err


class Touch:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_names_a_class_is_refused_and_never_executed(refused, tmp_path, locs_file):
    witness = tmp_path / "executed"
    with h5py.File(locs_file, "a") as file:
        group = file.require_group("MetaData/Camera")
        group.attrs["Name"] = np.bytes_(pickle.dumps(Touch(witness), protocol=0))
    err = refused(GOOD, locs_file, code=3)
    assert "Camera.Name" in err
    assert not witness.exists()


def test_an_output_folder_that_cannot_be_written(refused, tmp_path, locs_file):
    (tmp_path / "file").write_text("in the way")
    err = refused(GOOD, locs_file, "-o", tmp_path / "file" / "out", code=5)
    assert "-o" in err


def test_writers_may_not_leave_the_output_folder(refused, locs_file):
    text = GOOD + "  - Drift_Save: {input_name: drift_raw, save_path: ../../elsewhere}\n"
    assert "outside" in refused(text, locs_file, code=3)


def test_two_results_in_one_file(refused, locs_file):
    text = GOOD + "outputs: {corrected: 'a.hdf', filtered: 'A.hdf'}\n"
    assert "both be written" in refused(text, locs_file, code=3)


def test_outputs_are_filled_in_by_plain_names_only(refused, locs_file):
    text = GOOD + "outputs: {corrected: '{file_stub.__class__}.hdf'}\n"
    assert "not known" in refused(text, locs_file, code=3)


def test_a_tiff_that_lost_its_end_says_how_much_is_left(refused, tmp_path):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, np.zeros((20, 64, 64), np.uint16), photometric="minisblack")
    path.write_bytes(path.read_bytes()[: -64 * 64 * 2 * 5])
    err = refused("- Image_RCC: {input_image: input}\n", path, code=3)
    assert "movie.tif" in err


def test_a_recipe_that_is_a_data_file(recipe_command, locs_file):
    ended = recipe_command("run", locs_file)
    assert ended.code == 3
    assert "Traceback" not in ended.err


def test_errors_as_json(recipe_command, tmp_path, locs_file):
    import json

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(GOOD.replace("step: 100,", "stepp: 100,"))
    ended = recipe_command("run", recipe, locs_file, "--json")
    content = json.loads(ended.out)
    assert ended.code == content["exit"] == 3
    assert content["problems"][0]["line"] == 6
    assert content["outputs"] == {}
