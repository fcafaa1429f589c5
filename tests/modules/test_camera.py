"""The camera of a movie: metadata, maps, presets, and what is said where something is wrong."""

import numpy as np
import pytest
import tifffile

from recipes_core import Recipe
from recipes_core.data import ImageStack
from recipes_core.data.cameras import PRESETS, camera_preset
from recipes_core.errors import DataError, RecipeInvalid, UsageError
from recipes_core.module import Context
from recipes_modules import Movie_Simulate
from recipes_modules.localize.camera import Camera
from recipes_modules.localize.camera_setup import camera_of, check_level, dark_level

FULL = {
    "Camera.ADOffset": 100,
    "Camera.ElectronsPerCount": 0.5,
    "Camera.TrueEMGain": 1,
    "Camera.NoiseFactor": 1,
    "Camera.ReadNoise": 1.5,
    "voxelsize.x": 0.1,
    "voxelsize.y": 0.12,
}
SHAPE = (6, 8)


def without(*keys):
    return {key: value for key, value in FULL.items() if key not in keys}


def movie(n=40, **parameters):
    return Movie_Simulate(size=(32, 24), n_frames=n, **parameters).apply(seed=3)["output_image"]


# -- metadata ----------------------------------------------------------------------------------------------------------------


def test_counts_become_photoelectrons():
    camera = Camera.from_metadata(FULL, shape=SHAPE)
    np.testing.assert_allclose(camera.to_electrons(np.array([[100, 102], [90, 300]], np.uint16)), [[0, 1], [-5, 100]])
    assert camera.to_electrons(np.ones(SHAPE)).dtype == np.float32
    np.testing.assert_allclose(camera.variance_map(SHAPE), 2.25)
    assert camera.pixel_size == (100, 120)
    assert camera.counts_per_electron == 2


def test_the_gain_of_the_em_register_divides_light_and_read_noise():
    camera = Camera.from_metadata(
        {**FULL, "Camera.TrueEMGain": 100, "Camera.NoiseFactor": 1.41, "Camera.ElectronsPerCount": 5, "Camera.ReadNoise": 50},
        shape=SHAPE,
    )
    assert camera.to_electrons(np.array([[120.0]]))[0, 0] == pytest.approx(20 * 5 / 100)
    assert camera.variance_map(SHAPE)[0, 0] == pytest.approx(0.25)


def test_every_missing_key_is_named_with_the_way_to_give_it():
    with pytest.raises(DataError) as told:
        Camera.from_metadata(without("Camera.ADOffset", "Camera.NoiseFactor", "voxelsize.y"), shape=SHAPE)
    assert told.value.code == "D510"
    for key in ("Camera.ADOffset", "Camera.NoiseFactor", "voxelsize.y"):
        assert key in told.value.message
        assert f"{key}: " in told.value.hint
    assert "Camera.ReadNoise" not in told.value.message
    assert "-m INPUT.Camera.ADOffset=100" in told.value.hint


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("Camera.ElectronsPerCount", -0.5, "not above 0"),
        ("Camera.ElectronsPerCount", 0, "not above 0"),
        ("Camera.TrueEMGain", -200, "below 1"),
        ("Camera.NoiseFactor", 14.1, "not from 1 to 2"),
        ("Camera.ReadNoise", -1, "below 0"),
        ("Camera.ADOffset", "hundred", "not a number"),
        ("Camera.ADOffset", float("nan"), "not a number"),
        ("Camera.TrueEMGain", True, "not a number"),
        ("voxelsize.x", -0.1, "pixel size"),
    ],
)
def test_values_that_no_camera_has(key, value, told):
    with pytest.raises(DataError, match=told):
        Camera.from_metadata({**FULL, key: value}, shape=SHAPE)


def test_what_is_written_is_read_again():
    camera = Camera.from_metadata({**FULL, "Camera.TrueEMGain": 30.0, "Camera.NoiseFactor": 1.41}, shape=SHAPE)
    again = Camera.from_metadata(camera.metadata(), shape=SHAPE)
    assert again.metadata() == camera.metadata()
    assert again.pixel_size == camera.pixel_size


# -- maps --------------------------------------------------------------------------------------------------------------------


def sensor():
    return np.arange(20 * 30, dtype=np.float32).reshape(20, 30)


def test_maps_of_the_sensor_are_cut_at_the_region():
    zero = Camera.from_metadata({**FULL, "Camera.ROIOriginX": 5, "Camera.ROIOriginY": 7}, shape=SHAPE, dark=sensor())
    np.testing.assert_array_equal(zero.dark, sensor()[7:13, 5:13])
    # PYME's ROIPosX counts from 1.
    one = Camera.from_metadata({**FULL, "Camera.ROIPosX": 6, "Camera.ROIPosY": 8}, shape=SHAPE, dark=sensor())
    np.testing.assert_array_equal(one.dark, zero.dark)
    assert one.origin == (5, 7)


def test_maps_of_the_frame_are_taken_as_they_are():
    dark = np.full(SHAPE, 101.0)
    camera = Camera.from_metadata({**without("Camera.ADOffset"), "Camera.ROIOriginX": 3}, shape=SHAPE, dark=dark)
    np.testing.assert_array_equal(camera.to_electrons(np.full(SHAPE, 103)), 1)


def test_maps_count_in_noise_and_light():
    variance, flat = np.full(SHAPE, 4.0), np.full(SHAPE, 1.0)
    variance[2, 3], flat[4, 5] = 100, 1.5
    camera = Camera.from_metadata(without("Camera.ReadNoise"), shape=SHAPE, variance=variance, flat=flat)
    found = camera.variance_map(SHAPE)
    assert found[2, 3] == 100
    assert found[4, 5] == pytest.approx(4 * 1.5**2)
    assert found[0, 0] == 4
    assert camera.to_electrons(np.full(SHAPE, 110))[4, 5] == pytest.approx(7.5)


@pytest.mark.parametrize(
    ("maps", "metadata", "told"),
    [
        ({"dark": np.ones((4, 4))}, {}, "does not hold the movie's region: 6 x 8 from row 0, column 0"),
        ({"dark": np.ones((20, 30))}, {"Camera.ROIOriginX": 25, "Camera.ROIOriginY": 0}, "row 0, column 25"),
        ({"variance": np.ones((20, 30))}, {}, "do not say which region of the sensor"),
        ({"variance": np.full(SHAPE, -1.0)}, {}, "48 pixels that are not finite or below 0"),
        ({"flat": np.zeros(SHAPE)}, {}, "not above 0"),
        ({"flat": np.full(SHAPE, 1000.0)}, {}, "is 1 in the mean"),
        ({"dark": np.full(SHAPE, np.nan)}, {}, "48 pixels that are not finite"),
        ({"dark": np.ones((5, *SHAPE))}, {}, "a map is one image"),
    ],
)
def test_maps_that_do_not_fit(maps, metadata, told):
    with pytest.raises(DataError, match=told) as error:
        Camera.from_metadata({**FULL, **metadata}, shape=SHAPE, **maps)
    assert error.value.code == "D512"


@pytest.mark.parametrize(
    "metadata", [{"Camera.ROIPosX": 0}, {"Camera.ROIOriginY": 1.5}, {"Camera.ROIOriginX": 0, "Camera.ROIWidth": 99}]
)
def test_regions_that_cannot_be(metadata):
    with pytest.raises(DataError) as error:
        Camera.from_metadata({**FULL, **metadata}, shape=SHAPE)
    assert error.value.code == "D511"


def test_maps_of_a_simulated_camera_make_its_movie_even(tmp_path):
    made = Movie_Simulate(
        size=(32, 24), n_frames=600, emitters_per_frame=0, background=50, offset_spread=20, gain_spread=0.1, noise_spread=0.5
    )
    ctx = Context("movie", seed=1)
    made = made.apply(ctx=ctx)
    for name in ("dark", "variance", "flatfield"):
        tifffile.imwrite(tmp_path / f"{name}.tif", made[f"output_{name}_map"].asarray()[0, 0])
    files = {f"{name}_map": str(tmp_path / f"{name}.tif") for name in ("dark", "variance", "flatfield")}
    ctx = Context("fit")
    camera = camera_of(ctx, made["output_image"], **files)
    electrons = camera.to_electrons(made["output_image"].asarray()[:, 0])
    error = np.sqrt((50 + camera.variance_map((24, 32))) / 600)
    np.testing.assert_array_less(np.abs(electrons.mean(axis=0) - 50), 6 * error)
    assert electrons.mean() == pytest.approx(50, abs=0.1)
    assert "offset dark map" in ctx.messages[0]
    assert not ctx.warnings
    with pytest.raises(DataError, match="a map is one"):
        tifffile.imwrite(tmp_path / "two.tif", np.ones((2, 24, 32), np.float32))
        camera_of(ctx, made["output_image"], variance_map=str(tmp_path / "two.tif"))


def test_images_of_the_dark_are_averaged(tmp_path):
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "dark.tif", rng.normal(100, 4, (50, 24, 32)).astype(np.float32))
    ctx = Context("fit")
    camera = camera_of(ctx, movie(), dark_map=str(tmp_path / "dark.tif"))
    assert camera.dark.std() == pytest.approx(4 / np.sqrt(50), rel=0.2)
    assert "dark map: the mean of 50 images" in ctx.messages


# -- the offset and the movie ------------------------------------------------------------------------------------------------


def test_the_offset_is_estimated_from_dark_frames_and_told():
    stack = movie(60, dark_frames=20, offset=103.4)
    ctx = Context("fit")
    camera = camera_of(ctx, stack.with_provenance(metadata={**stack.metadata, "Camera.ADOffset": None}), estimate_offset=True)
    # Read noise of 3.3 ADU over 15 360 pixels.
    assert camera.offset == pytest.approx(103.4, abs=0.15)
    assert "estimated as 103" in ctx.messages[0]
    assert "20 dark frames (0 to 19)" in ctx.messages[0]
    assert not ctx.warnings


def test_hot_pixels_do_not_move_the_offset():
    rng = np.random.default_rng(1)
    frames = np.rint(rng.normal(100, 2, (20, 24, 32)))
    frames[:, ::5, ::5] += 3000
    stack = ImageStack(frames.astype(np.uint16), metadata=FULL)
    assert dark_level(Context(), stack, (0, 10)) == pytest.approx(100, abs=0.1)


def test_an_offset_is_never_guessed():
    stack = movie()
    with pytest.raises(DataError, match=r"missing: Camera\.ADOffset"):
        camera_of(Context(), stack.with_provenance(metadata={**stack.metadata, "Camera.ADOffset": None}))
    with pytest.raises(DataError, match="none are named"):
        camera_of(Context(), stack, estimate_offset=True)
    with pytest.raises(DataError, match="not in the movie of 40 frames"):
        camera_of(Context(), stack, estimate_offset=True, dark_frames=(0, 50))
    odd = stack.with_provenance(metadata={**stack.metadata, "Protocol.DarkFrameRange": "early"})
    with pytest.raises(DataError, match="not two frames"):
        camera_of(Context(), odd, estimate_offset=True)


def test_dark_frames_that_are_not_dark():
    ctx = Context()
    dark_level(ctx, movie(), (0, 10))
    assert "not dark, or Camera.ADOffset is wrong" in ctx.warnings[0]
    stack = movie(background=100, emitters_per_frame=0)
    ctx = Context()
    dark_level(ctx, stack.with_provenance(metadata={**stack.metadata, "Camera.ADOffset": None}), (0, 10))
    measured = float(ctx.warnings[0].partition("their noise is ")[2].split()[0])
    assert measured == pytest.approx(np.sqrt(100 + 1.5**2) * 2.2, rel=0.06)
    ctx = Context()
    bare = ImageStack(movie(dark_frames=30).asarray()[::-1], metadata={})
    dark_level(ctx, bare, (0, 10))
    assert "not darker than the movie" in ctx.warnings[0]


def test_a_movie_below_its_offset():
    stack = movie(emitters_per_frame=0, background=0)
    quiet, loud = Context(), Context()
    check_level(quiet, stack, Camera.from_metadata(stack.metadata, shape=(24, 32)))
    assert not quiet.warnings
    wrong = {**stack.metadata, "Camera.ADOffset": 130}
    check_level(loud, stack, Camera.from_metadata(wrong, shape=(24, 32)))
    assert "100% of the movie lies below the offset (130 ADU)" in loud.warnings[0]


# -- presets -----------------------------------------------------------------------------------------------------------------


def test_presets_are_found_however_they_are_written():
    for name in ("ORCA-Flash4.0 V3", "orca flash 4.0 v3", "OrcaFlash40V3"):
        assert camera_preset(name).electrons_per_count == 0.46
    assert camera_preset("iXon 897").em
    with pytest.raises(UsageError, match="no camera 'ORCA-Flush'") as error:
        camera_preset("ORCA-Flush")
    assert "metadata" in error.value.hint


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_makes_a_camera_with_what_it_leaves_open(name):
    given = {"voxelsize.x": 0.1, "voxelsize.y": 0.1, "Camera.Preset": name}
    preset = camera_preset(name)
    if preset.em:
        with pytest.raises(DataError, match="EM register, whose gain only you know") as error:
            Camera.from_metadata(given, shape=SHAPE)
        assert "Camera.TrueEMGain" in error.value.message
        given |= {"Camera.TrueEMGain": 150}
    if preset.electrons_per_count is None:
        given |= {"Camera.ElectronsPerCount": 6}
    if preset.offset is None:
        given |= {"Camera.ADOffset": 300}
    camera = Camera.from_metadata(given, shape=SHAPE)
    assert camera.noise_factor == (1.41 if preset.em else 1)


def test_own_values_win_over_a_preset():
    camera = Camera.from_metadata(
        {"Camera.Preset": "Zyla 4.2", "Camera.ADOffset": 98.5, "voxelsize.x": 0.1, "voxelsize.y": 0.1}, shape=SHAPE
    )
    assert camera.offset == 98.5
    assert camera.read_noise == 1.4


RECIPE = """
recipe: 1
inputs:
  movie: {type: ImageStack, path: movie.tif, camera: %s, metadata: {voxelsize.x: 0.1, voxelsize.y: 0.1%s}}
modules:
  - Image_Pre_Downsample: {inputName: movie, outputName: small}
"""


def test_a_recipe_names_a_camera(tmp_path):
    tifffile.imwrite(tmp_path / "movie.tif", np.full((6, 24, 32), 120, np.uint16))
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE % ("orca flash 4.0 v2", ", Camera.ADOffset: 99"))
    recipe = Recipe.load(file)
    recipe.execute()
    metadata = recipe["small"].metadata
    assert metadata["Camera.ElectronsPerCount"] == 0.46
    assert metadata["Camera.ADOffset"] == 99
    assert "camera: orca flash 4.0 v2" in recipe.to_yaml()
    again = Recipe.from_yaml(recipe.to_yaml(), base=tmp_path)
    again.execute()
    assert again["small"].metadata["Camera.Preset"] == "orca flash 4.0 v2"
    file.write_text(RECIPE % ("orca flahs 4.0 v2", ""))
    with pytest.raises(RecipeInvalid, match="no camera 'orca flahs 4.0 v2'"):
        Recipe.load(file)


def test_typical_values_are_told_to_be_typical():
    stack = ImageStack(
        np.full((4, 24, 32), 120, np.uint16),
        metadata={"Camera.Preset": "ORCA-Flash4.0 V3", "voxelsize.x": 0.1, "voxelsize.y": 0.1},
    )
    ctx = Context()
    camera_of(ctx, stack)
    assert "typical values, which no data sheet confirms, for Camera.ADOffset" in ctx.messages[1]
