"""Movies in files that are not what they should be: channels, colours, cut off; and files of results with Picasso."""

import numpy as np
import pytest
import tifffile

from recipes_core.data import ImageStack, Localizations
from recipes_core.errors import DataError, FormatError
from recipes_modules import GaussMLE, LatGaussFitFR

META = {
    "Camera.ADOffset": 100.0, "Camera.ElectronsPerCount": 0.5, "Camera.TrueEMGain": 1.0, "Camera.NoiseFactor": 1.0,
    "Camera.ReadNoise": 1.5, "voxelsize.x": 0.1, "voxelsize.y": 0.1,
}  # fmt: skip


def frames(n, shape=(40, 48)):
    """A bright spot in every fourth frame."""
    rng = np.random.default_rng(1)
    movie = np.full((n, *shape), 20.0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    movie[::4] += 3000 / (2 * np.pi * 1.3**2) * np.exp(-((x - 20.3) ** 2 + (y - 17.8) ** 2) / (2 * 1.3**2))
    return (rng.poisson(movie) / 0.5 + 100).astype(np.uint16)


def with_camera(stack):
    return stack.with_provenance(metadata={**stack.metadata, **META})


def test_a_movie_of_three_channels_is_told(tmp_path):
    pixels = np.stack([frames(8)] * 3, axis=1)
    tifffile.imwrite(tmp_path / "channels.ome.tif", pixels, photometric="minisblack", metadata={"axes": "TCYX"})
    with pytest.raises(DataError, match="3 planes or channels") as caught:
        GaussMLE().apply(with_camera(ImageStack.load(tmp_path / "channels.ome.tif")))
    assert caught.value.code == "D520"


def test_a_movie_in_colour_is_told(tmp_path):
    tifffile.imwrite(tmp_path / "rgb.tif", np.stack([frames(4).astype(np.uint8)] * 3, axis=-1), photometric="rgb")
    with pytest.raises(FormatError, match="3 samples a pixel"):
        ImageStack.load(tmp_path / "rgb.tif")


def test_of_a_movie_that_is_cut_off_the_rest_is_fitted_when_asked(tmp_path):
    path = tmp_path / "movie.tif"
    with tifffile.TiffWriter(path) as writer:
        for frame in frames(40):
            writer.write(frame, photometric="minisblack", metadata=None, contiguous=False)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * 0.7))
    with pytest.raises(FormatError, match="cut off") as caught:
        ImageStack.load(path)
    # How many can be read is told, and the way to take them.
    assert any(str(n) in str(caught.value) for n in range(20, 30))
    assert caught.value.hint
    stack = ImageStack.load(f"{path}?incomplete=1")
    assert 20 <= stack.n_frames < 30
    locs = GaussMLE(background="0:0").apply(with_camera(stack))["output_localizations"]
    assert set(locs["frame"]) == set(range(0, stack.n_frames, 4))
    assert np.abs(locs["x"] - 2030).max() < 25


@pytest.mark.parametrize("form", ["ome", "pages"])
def test_a_cut_that_takes_the_list_of_frames_along_is_told(tmp_path, form):
    """What describes the frames may stand behind them, and a chain of frames does not tell its own length."""
    path = tmp_path / ("m.ome.tif" if form == "ome" else "m.tif")
    whole = frames(50)
    if form == "ome":
        tifffile.imwrite(path, whole, metadata={"axes": "TYX"})
    else:
        with tifffile.TiffWriter(path) as file:
            for frame in whole:
                file.write(frame, contiguous=False)
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    with pytest.raises(
        FormatError, match="31 of 50 frames" if form == "ome" else r"\d+ frames can be read; how many are lost"
    ) as error:
        ImageStack.load(path)
    assert error.value.code == "D220"
    found = ImageStack.load(f"{path}?incomplete=1").asarray()[:, 0]
    assert 27 <= len(found) <= 31
    np.testing.assert_array_equal(found, whole[: len(found)])


@pytest.mark.parametrize("fit", [GaussMLE, LatGaussFitFR])
def test_saturated_dead_and_hot_pixels_leave_no_nan_without_a_code(fit):
    movie = frames(60)
    movie[:, 17, 20] = np.where(movie[:, 17, 20] > 500, 65535, movie[:, 17, 20])
    movie[:, 5, 5] = 0
    movie[:, 30, 30] = 60_000
    locs = fit(start_at=0).apply(ImageStack(movie, metadata=META))["output_localizations"]
    assert len(locs)
    for name in locs.columns:
        values = np.asarray(locs[name])
        if values.dtype.kind == "f":
            assert (locs["result_code"][~np.isfinite(values)] != 1).all(), name


@pytest.mark.parametrize("key", ["Camera.ElectronsPerCount", "Camera.TrueEMGain", "Camera.ReadNoise"])
def test_a_negative_gain_or_noise_is_told(key):
    with pytest.raises(DataError, match=key) as caught:
        GaussMLE().apply(ImageStack(frames(8), metadata={**META, key: -1.0}))
    assert caught.value.code == "D511"


@pytest.mark.parametrize("shape", [(39, 48), (40, 47), (80, 96), (40,)])
def test_maps_of_the_wrong_shape_are_told(tmp_path, shape):
    tifffile.imwrite(tmp_path / "variance.tif", np.full(shape if len(shape) == 2 else (2, *shape, 48), 2.0, np.float32))
    options = {"variance_map": str(tmp_path / "variance.tif")}
    if shape == (80, 96):
        # A map of a whole sensor, and a region of the movie beyond its border.
        movie = ImageStack(frames(8), metadata={**META, "Camera.ROIOriginX": 60, "Camera.ROIOriginY": 10})
    else:
        movie = ImageStack(frames(8), metadata=META)
    with pytest.raises(DataError, match="variance map") as caught:
        GaussMLE(**options).apply(movie)
    assert caught.value.code == "D512"


@pytest.mark.parametrize("name", ["locs.h5r", "locs.hdf", "locs.hdf5"])
def test_files_tell_camera_and_settings(tmp_path, name):
    locs = GaussMLE(roi_half_size=4).apply(with_camera(ImageStack(frames(20))))["output_localizations"]
    locs.save(tmp_path / name)
    locs = Localizations.load(tmp_path / name)
    locs.save(tmp_path / f"again_{name}")
    metadata = Localizations.load(tmp_path / f"again_{name}").metadata
    for key, value in META.items():
        assert metadata[key] == value
    assert metadata["Analysis.FitModule"] == "GaussMLE"
    assert metadata["Analysis.ROISize"] == 4
    assert list(metadata["Analysis.BGRange"]) == [-30, 0]
