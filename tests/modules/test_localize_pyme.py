"""PYME's fits: values against those that PYME itself gives, metadata as it writes them, and what is done for dim spots."""

import numpy as np
import pytest

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import AstigGaussFitFR, AstigGaussMLE, GaussMultiFitSR, LatGaussFitFR, Localize
from recipes_modules.localize.pyme_keys import settings_of

META = {
    "Camera.ADOffset": 100.0, "Camera.ElectronsPerCount": 1 / 2.2, "Camera.TrueEMGain": 1.0, "Camera.NoiseFactor": 1.0,
    "Camera.ReadNoise": 1.5, "voxelsize.x": 0.1, "voxelsize.y": 0.1,
}  # fmt: skip
SIGMA = 1.3


def scene():
    """Counts of 30 frames of background and of one with three spots; the noise is made of irrational steps, not drawn."""
    y, x = np.mgrid[:48, :48]
    mean = np.full((31, 48, 48), 140.0)
    for row, column, height, sigma in ((13.3, 12.6, 60.0, 1.2), (14.2, 33.8, 150.0, 1.4), (33.7, 22.4, 400.0, 1.3)):
        mean[30] += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
    steps = np.arange(mean.size).reshape(mean.shape) * 0.6180339887498949 % 1.0
    return ImageStack(np.rint(mean + (steps - 0.5) * 2 * np.sqrt(3 * (mean - 100.0) * 2.2)).astype(np.uint16), metadata=META)


# python-microscopy 26.9.3 on this scene: fitResults, fitError, nchi2, subtractedBackground; threshold 0.7, a guess of 130 nm, 11 x 11 pixels.
NAMES = ("A", "x", "y", "sigma", "fitResults_bx", "fitResults_by", "error_A", "error_x", "error_y", "error_sigma", "chi2")
PYME = np.array([
    [65.4814, 1250.9612, 1328.4774, 124.1066, -0.0009, 0.0010, 8.5148, 14.9126, 15.0321, 10.7065, 0.92969],
    [151.2854, 3365.0503, 1419.9825, 141.3535, 0.0042, -0.0008, 9.6437, 7.7706, 7.7733, 5.7011, 0.90324],
    [387.2103, 2244.4954, 3369.7732, 130.3312, -0.0034, -0.0002, 15.0389, 4.0785, 3.9830, 2.7631, 0.93334],
])  # fmt: skip
PYME_BACKGROUND = np.array([-3.7514 + 39.9479, -2.3929 + 40.0424, -0.7699 + 40.0562])
"""The fitted and the subtracted one, ADU."""


def test_values_are_those_of_pyme():
    locs = LatGaussFitFR(threshold=0.7, psf_sigma_guess=130.0).apply(scene())["output_localizations"]
    assert len(locs) == 3
    found = np.column_stack([locs[name] for name in NAMES])
    errors = np.column_stack([*[locs[f"error_{name}"] for name in ("A", "x", "y", "sigma")]])
    # Two programs that stop at the same minimum differ by far less than the noise: a thousandth of the error bars.
    np.testing.assert_array_less(np.abs(found[:, :4] - PYME[:, :4]), 2e-3 * errors)
    np.testing.assert_allclose(found[:, 4:6], PYME[:, 4:6], atol=6e-5)
    np.testing.assert_allclose(found[:, 6:], PYME[:, 6:], rtol=5e-4)
    np.testing.assert_allclose(locs["background"] * 2.2, PYME_BACKGROUND, atol=5e-3)


def test_values_behind_an_em_register_are_those_of_pyme():
    camera = {"Camera.ElectronsPerCount": 27.32, "Camera.ReadNoise": 109.8, "Camera.NoiseFactor": 1.41, "Camera.TrueEMGain": 20.0}
    movie = ImageStack(scene().asarray(), metadata=META | camera)
    locs = LatGaussFitFR(threshold=0.5, psf_sigma_guess=130.0).apply(movie)["output_localizations"]
    pyme = np.array([
        [65.269, 1250.850, 1328.475, 124.240, 8.355, 14.812, 14.916, 10.687, 1.28349],
        [151.112, 3365.192, 1419.967, 141.327, 9.430, 7.667, 7.669, 5.655, 1.25899],
        [387.092, 2244.442, 3369.776, 130.294, 14.655, 4.000, 3.909, 2.727, 1.31093],
    ])  # fmt: skip
    found = np.column_stack(
        [locs[name] for name in ("A", "x", "y", "sigma", "error_A", "error_x", "error_y", "error_sigma", "chi2")]
    )
    np.testing.assert_array_less(np.abs(found[:, :4] - pyme[:, :4]), 2e-3 * pyme[:, 4:8])
    np.testing.assert_allclose(found[:, 4:], pyme[:, 4:], rtol=5e-4)


# Likewise of AstigGaussFitFR, 15 x 15 pixels: fitResults and fitError of A, x0, y0, sigmax, sigmay.
ASTIG_NAMES = ("A", "x", "y", "sigma_x", "sigma_y")
PYME_ASTIG = np.array([
    [[64.8227, 1248.6295, 1329.6600, 111.5527, 128.5030], [8.9230, 14.2029, 16.2278, 13.5051, 15.4756]],
    [[151.7646, 3367.0149, 1419.6267, 138.5578, 141.4027], [9.5876, 7.3823, 7.5106, 6.8944, 7.0324]],
    [[385.5768, 2243.5767, 3369.9080, 135.1732, 128.4816], [14.3497, 3.9369, 3.7254, 3.4699, 3.3324]],
])  # fmt: skip
# Of its background PYME gives the plane's value at the corner of the frame, not at the spot: background, bx, by.
PYME_PLANE = np.array([[-2.8378, 0.0001, 0.0004], [-6.9526, 0.0016, -0.0003], [1.1625, -0.0005, -0.0007]])


def test_astigmatic_values_are_those_of_pyme():
    locs = AstigGaussFitFR(threshold=0.7, psf_sigma_guess=130.0).apply(scene())["output_localizations"]
    values, errors = (np.column_stack([locs[head + name] for name in ASTIG_NAMES]) for head in ("", "error_"))
    np.testing.assert_array_less(np.abs(values - PYME_ASTIG[:, 0]), 2e-3 * PYME_ASTIG[:, 1])
    np.testing.assert_allclose(errors, PYME_ASTIG[:, 1], rtol=5e-4)
    at_spot = PYME_PLANE[:, 0] + PYME_PLANE[:, 1] * locs["x"] + PYME_PLANE[:, 2] * locs["y"]
    # PYME's slopes are known to half of the fourth digit here, over up to 3.4 um.
    np.testing.assert_allclose((locs["background"] - locs["subtracted_background"]) * 2.2, at_spot, atol=0.35)


def spots_movie(photons, n_frames=60, seed=4, background=20.0, first=0, every=2):
    """Spots 16 pixels apart in every second frame, or those from the first on, and the places."""
    from scipy.special import erf

    rng = np.random.default_rng(seed)
    frames, places = np.full((n_frames, 80, 80), background), []
    edges = np.arange(81) - 0.5
    for frame in range(first, n_frames, every):
        for row in range(8, 80, 16):
            for column in range(8, 80, 16):
                y, x = row + rng.uniform(-0.5, 0.5), column + rng.uniform(-0.5, 0.5)
                along = [np.diff(0.5 * erf((edges - centre) / (np.sqrt(2) * SIGMA))) for centre in (y, x)]
                frames[frame] += photons * along[0][:, None] * along[1]
                places.append((frame, x * 100, y * 100))
    counts = np.rint((rng.poisson(frames) + rng.normal(0, 1.5, frames.shape)) * 2.2 + 100)
    return ImageStack(np.clip(counts, 0, 65535).astype(np.uint16), metadata=META), np.array(places)


def test_dim_spots_keep_their_width():
    movie, places = spots_movie(220.0)
    settings = {"detection": "matched", "threshold": 4.5, "roi_half_size": 3, "psf_sigma_guess": 130.0, "start_at": 0}
    lost = {}
    for reach in (None, 1000.0):
        locs = LatGaussFitFR(width_range=reach, **settings).apply(movie)["output_localizations"]
        good = locs["result_code"] > 0
        place = np.column_stack([locs["frame"], locs["x"], locs["y"]])[good]
        near = [np.hypot(*(places[places[:, 0] == frame][:, 1:] - (x, y)).T).min(initial=np.inf) for frame, x, y in place]
        lost[reach] = np.mean(np.array(near) > 250)
        if reach is None:
            assert locs["sigma"].min() >= 65 - 1e-3
            assert locs["sigma"].max() <= 260 + 1e-3
            assert set(locs["result_code"][locs["sigma"] > 259.99]) <= {5, 6}
    assert lost[None] < 0.5 * lost[1000.0]
    assert lost[None] < 0.05


def test_first_frames_of_the_matched_detection_take_later_ones():
    movie, _ = spots_movie(1000.0, 8)
    matched, own = (LatGaussFitFR(detection=name, start_at=0).window(movie) for name in ("matched", "bandpass"))
    assert matched.bounds(np.array([1]))[1][0] == 8
    assert own.bounds(np.array([1]))[1][0] == 1


# -- many emitters ----------------------------------------------------------------------------------------------------------------


def test_one_emitter_is_not_taken_for_two():
    movie, places = spots_movie(1000.0, 60, first=30, every=1)
    places = places[places[:, 0] >= 40]
    settings = {"psf_sigma_guess": 130.0, "background": "-60:-30", "start_at": 40}
    found = {
        limit: GaussMultiFitSR(residual_max=limit, **settings).apply(movie)["output_localizations"] for limit in (None, 0.25)
    }
    assert abs(len(found[None]) - len(places)) < 0.02 * len(places)
    # PYME's limit is about the noise of the filtered residual.
    assert len(found[0.25]) > 1.2 * len(places)


# -- metadata ---------------------------------------------------------------------------------------------------------------------


def test_metadata_in_all_their_forms():
    told = {
        "Analysis.DetectionThreshold": "1.3", "Analysis.BGRange": "(-20, 0)", "Analysis.subtractBackground": "False",
        "Analysis.PCTBackground": np.float64(0.25), "Analysis.ROISize": 7.5, "Analysis.StartAt": "12", "Analysis.PSFSigmaGuess": 106.4,
        "Analysis.SNRThreshold": np.uint8(1), "Analysis.FitModule": "PYME.localization.FitFactories.LatGaussFitFR", "Analysis.DebounceRadius": 4,
    }  # fmt: skip
    found = settings_of(told)
    assert found.fit == "LatGaussFitFR"
    assert {name: value for name, (_, value) in found.values.items()} == {
        "threshold": 1.3, "detection": "bandpass", "background": "-20:0", "subtract_background": False, "percentile": 0.25,
        "roi_half_size": 7, "start_at": 12, "psf_sigma_guess": 106.4, "snr_threshold": True, "debounce_radius": 4.0,
    }  # fmt: skip
    assert found.notes == []
    for value, text in (([-32, 0], "-32:0"), (np.array([-30, 0]), "-30:0"), ("-30:0", "-30:0"), ((0, 0), "0:0")):
        assert settings_of({"Analysis.BGRange": value}).values["background"][1] == text
    assert settings_of({"Analysis.NumBGFrames": 10}).values["background"][1] == "-10:0"


def test_keys_that_are_not_used_are_said():
    told = {
        "Analysis.TrackFiducials": True, "Analysis.FiducialThreshold": 1.8, "Analysis.FitBackground": False, "Analysis.NewThing": 3,
        "Analysis.InterpModule": "CSInterpolator", "PRI.Axis": "y",
    }  # fmt: skip
    notes = " | ".join(settings_of(told).notes)
    for text in ("FiducialThreshold: 1.8", "FitBackground: false", "NewThing: 3 (not known)", "PRI.Axis: y"):
        assert text in notes
    assert "InterpModule" not in notes
    assert "Fiducial" not in " ".join(settings_of({**told, "Analysis.TrackFiducials": False}).notes)


@pytest.mark.parametrize(
    ("key", "value"), [("Analysis.StartAt", "soon"), ("Analysis.BGRange", "-30"), ("Analysis.subtractBackground", "maybe")]
)
def test_values_that_say_nothing(key, value):
    with pytest.raises(DataError, match=key) as error:
        settings_of({key: value})
    assert error.value.code == "D523"


def test_pymes_names_of_fits_and_their_own_keys():
    movie, _ = spots_movie(1000.0, 8)
    told = {**META, "Analysis.FitModule": "GaussMultifitSR", "Analysis.PSFSigma": 120.0, "Analysis.ResidualMax": 0.5,
            "Analysis.PSFSigmaGuess": 99.0, "Analysis.DetectionThreshold": 1.0, "Camera.VarianceMapID": "var.tif"}  # fmt: skip
    ctx = Context("Localize", wanted=["output_localizations"])
    locs = Localize(start_at=0, background="0:0").apply(ImageStack(movie.source, metadata=told), ctx=ctx)["output_localizations"]
    assert locs.metadata["Analysis.FitModule"] == "GaussMultiFitSR"
    assert locs.metadata["Analysis.ResidualMax"] == 0.5
    assert locs.metadata["Analysis.PSFSigma"] == 120.0
    np.testing.assert_allclose(locs["sigma"][locs["result_code"] > 0], 120.0, rtol=1e-6)
    assert any("GaussMultifitSR, here GaussMultiFitSR" in line for line in ctx.messages)
    assert any("detection of its own" in line for line in ctx.warnings)
    assert any("var.tif" in line for line in ctx.warnings)
    other = ImageStack(movie.source, metadata={**META, "Analysis.FitModule": "AstigGaussGPUFitFR"})
    locs = Localize(start_at=0).apply(other)["output_localizations"]
    assert locs.metadata["Analysis.FitModule"] == AstigGaussMLE.name()


def test_a_map_that_the_metadata_name_is_said_by_every_fit():
    movie, _ = spots_movie(1000.0, 4)
    ctx = Context("fit", wanted=["output_localizations"])
    LatGaussFitFR(start_at=0).apply(ImageStack(movie.source, metadata={**META, "Camera.DarkMapID": "dark.tif"}), ctx=ctx)
    assert any("Camera.DarkMapID: 'dark.tif'" in line and "dark_map" in line for line in ctx.warnings)
    ctx = Context("fit", wanted=["output_localizations"])
    LatGaussFitFR(start_at=0).apply(ImageStack(movie.source, metadata={**META, "Camera.DarkMapID": "<none>"}), ctx=ctx)
    assert not ctx.warnings
