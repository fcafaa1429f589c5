"""``recipe convert IN OUT``."""

import json

import numpy as np

from recipes_core.data import Drift, ImageStack, Localizations
from recipes_core.errors import ExitCode

LOCS = Localizations(
    {"x": [100.0, 250.0], "y": [5.0, 6.0], "frame": [0, 3], "net_gradient": [1.0, 2.0]},
    metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1},
)


def test_tables(recipe_command, tmp_path):
    LOCS.save(tmp_path / "a.hdf")
    done = recipe_command("convert", "a.hdf", "b.ts.csv")
    assert done.code == ExitCode.OK
    assert "a.hdf (PYME table, 2 localizations in frames 0 to 3) -> b.ts.csv" in done.out
    assert recipe_command("convert", "b.ts.csv", "c.hdf5", "-m", "voxelsize.x=0.1").code == ExitCode.OK
    np.testing.assert_allclose(Localizations.load(tmp_path / "c.hdf5")["x"], [100, 250])
    done = recipe_command("convert", "a.hdf", "d.challenge.csv")
    assert "not in the new file: net_gradient" in done.err


def test_images_and_drifts(recipe_command, tmp_path):
    stack = ImageStack(np.arange(120, dtype=np.uint16).reshape(2, 1, 6, 10))
    stack.save(tmp_path / "a.raw")
    assert recipe_command("convert", "a.raw", "a.ome.tif").code == ExitCode.OK
    np.testing.assert_array_equal(ImageStack.load(tmp_path / "a.ome.tif").asarray(), stack.asarray())
    drift = Drift([0, 1], [[0, 0, 0], [3.0, -2, 1]])
    drift.save(tmp_path / "d.npz")
    assert recipe_command("convert", "d.npz", "d.csv").code == ExitCode.OK
    np.testing.assert_array_equal(Drift.load(tmp_path / "d.csv").correction, drift.correction)


def test_json(recipe_command, tmp_path):
    LOCS.save(tmp_path / "a.hdf")
    told = json.loads(recipe_command("convert", "a.hdf", "b.challenge.csv", "--json").out)
    assert (told["exit"], told["outputs"], told["type"]) == (0, {"result": "b.challenge.csv"}, "Localizations")
    assert told["notes"]


def test_what_is_wrong(recipe_command, tmp_path):
    LOCS.save(tmp_path / "a.hdf")
    (tmp_path / "r.yaml").write_text("[]")
    cases = [
        (("a.hdf", "b.tif"), ExitCode.USAGE, "cannot be written"),
        (("a.hdf", "b.xyz"), ExitCode.USAGE, ".hdf5"),
        (("c.hdf", "b.csv"), ExitCode.USAGE, "Did you mean 'a.hdf'"),
        (("r.yaml", "b.csv"), ExitCode.USAGE, "a recipe is converted to a recipe"),
        (("a.hdf", "b.hdf5", "-m", "voxelsize.x"), ExitCode.USAGE, "KEY=VALUE"),
    ]
    for arguments, code, told in cases:
        done = recipe_command("convert", *arguments)
        assert done.code == code, arguments
        assert told in done.err
    LOCS.with_provenance(metadata={}).save(tmp_path / "bare.hdf")
    done = recipe_command("convert", "bare.hdf", "b.hdf5")
    assert done.code == ExitCode.INVALID
    assert "-m voxelsize.x=0.1" in done.err
    assert not (tmp_path / "b.hdf5").exists()
