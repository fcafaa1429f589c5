"""The drift plugin's own recipes run unchanged, and the results are right."""

import matplotlib.image
import numpy as np
import pytest
from scipy.fft import fft2, ifft2

from recipes_core.data import Drift, ImageStack, Localizations
from recipes_modules import Locs_Simulate

# Displacement of frame k against frame 0 along PYME's axes 0 and 1, nm, by a plain cross-correlation.
MEASURED = np.array([(-160, 402), (24, 492), (24, 676), (112, 720), (160, 748), (310, 820), (362, 870), (644, 956), (764, 956)])


def peak(reference, image):
    correlation = ifft2(np.conj(fft2(reference - reference.mean())) * fft2(image - image.mean())).real
    place = np.array(np.unravel_index(np.argmax(correlation), correlation.shape))
    size = np.array(correlation.shape)
    return (place + size // 2) % size - size // 2


def test_image_series(recipe_command, data_file, tmp_path):
    recipe, series = (
        data_file("cc_drift/correct_drift_images.yaml"),
        data_file("cc_drift/wormlike_simulated_images_with_drift.h5"),
    )
    ended = recipe_command("run", recipe, series, "-o", "out")
    assert ended.code == 0, ended.err
    stub = "wormlike_simulated_images_with_drift"
    assert sorted(path.name.removeprefix(f"{stub}_") for path in (tmp_path / "out").iterdir()) == [
        "drift_corrected_image.ome.tif", "drift_interpolator.npz", "drift_plot.png", "drift_raw.npz",
    ]  # fmt: skip
    drift = Drift.load(tmp_path / "out" / f"{stub}_drift_raw.npz")
    np.testing.assert_allclose(drift.correction[1:, :2] - drift.correction[0, :2], -MEASURED, atol=40)
    corrected = ImageStack.load(tmp_path / "out" / f"{stub}_drift_corrected_image.ome.tif").asarray()[:, 0]
    for frame in corrected[1:]:
        assert np.abs(peak(corrected[0], frame)).max() <= 1


@pytest.fixture
def simulated(tmp_path):
    made = Locs_Simulate(n_localizations=60_000).apply(seed=5)
    return made["output_localizations"].save(tmp_path / "cell7.hdf"), made["output_drift"]


def test_localizations_and_the_drift_that_they_leave(recipe_command, data_file, tmp_path, simulated):
    path, truth = simulated
    ended = recipe_command("run", data_file("cc_drift/correct_drift_locs.yaml"), path, "-o", "out")
    assert ended.code == 0, ended.err
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == [
        "cell7_corrected_localizations.hdf", "cell7_drift_interpolator.npz", "cell7_drift_plot.png", "cell7_drift_raw.npz", "drift.npz",
    ]  # fmt: skip
    assert (Drift.load(tmp_path / "out" / "cell7_drift_interpolator.npz").rmse(truth)[:2] < 2).all()
    measured = Localizations.load(tmp_path / "out" / "cell7_corrected_localizations.hdf")
    load = data_file("cc_drift/correct_drift_locs_load.yaml")
    for name in ("cell7_drift_interpolator.npz", "cell7_drift_raw.npz", "drift.npz"):
        ended = recipe_command(
            "run", load, path, "-o", "loaded",
            "-p", f"Drift_Load_Interpolate.load_paths=[out/{name}]", "-p", "Drift_Load_Interpolate.smoothing_factor=10.0",
        )  # fmt: skip
        assert ended.code == 0, ended.err
        again = Localizations.load(tmp_path / "loaded" / "cell7_corrected_localizations.hdf")
        np.testing.assert_array_equal(again["x"], measured["x"])
        np.testing.assert_array_equal(again["y"], measured["y"])


def test_the_plugins_own_drift_file(recipe_command, data_file, tmp_path, simulated):
    path, _ = simulated
    ended = recipe_command("run", data_file("cc_drift/correct_drift_locs_load.yaml"), path, "-o", "out")
    assert ended.code == 0, ended.err
    corrected, raw = Localizations.load(tmp_path / "out" / "cell7_corrected_localizations.hdf"), Localizations.load(path)
    with_frame = np.argmin(np.abs(raw["frame"] - 14531))
    np.testing.assert_allclose(corrected["x"][with_frame] - raw["x"][with_frame], -557, atol=15)
    np.testing.assert_allclose(corrected["y"][with_frame] - raw["y"][with_frame], -487, atol=15)


def test_steps_may_stand_in_any_order(recipe_command, data_file, tmp_path, simulated):
    path, _ = simulated
    text = data_file("cc_drift/correct_drift_locs.yaml").read_text()
    steps = ["- " + part for part in text.split("\n- ")]
    steps[0] = steps[0].removeprefix("- ")
    (tmp_path / "turned.yaml").write_text("\n".join(reversed(steps)))
    assert recipe_command("run", data_file("cc_drift/correct_drift_locs.yaml"), path, "-o", "a", "-q").code == 0
    assert recipe_command("run", "turned.yaml", path, "-o", "b", "-q").code == 0
    for name in ("drift.npz", "cell7_drift_plot.png"):
        if name.endswith("png"):
            # The files differ in the recipe that they carry.
            a, b = matplotlib.image.imread(tmp_path / "a" / name), matplotlib.image.imread(tmp_path / "b" / name)
            np.testing.assert_array_equal(a, b)
        else:
            a, b = Drift.load(tmp_path / "a" / name), Drift.load(tmp_path / "b" / name)
            np.testing.assert_array_equal(a.correction, b.correction)
