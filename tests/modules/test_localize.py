"""From a movie to localizations: accuracy against truth and the Cramer-Rao bound, streaming, bad movies, files."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

import recipes_modules.localize.base as base
from recipes_core import Recipe
from recipes_core.data import ImageStack, Localizations, Table
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_core.plugins import Registry, use_registry
from recipes_core.plugins.registry import PluginInfo
from recipes_modules import AstigGaussFitFR, AstigGaussMLE, GaussLSQ, GaussMLE, LatGaussFitFR, Localize, Locs_Fiducials
from recipes_modules.localize.base import FitModule
from recipes_modules.localize_any import fit_named

META = {
    "Camera.ADOffset": 100.0, "Camera.ElectronsPerCount": 0.5, "Camera.TrueEMGain": 1.0, "Camera.NoiseFactor": 1.0,
    "Camera.ReadNoise": 1.5, "voxelsize.x": 0.1, "voxelsize.y": 0.1,
}  # fmt: skip
FITS = [GaussMLE, GaussLSQ, AstigGaussMLE, LatGaussFitFR, AstigGaussFitFR]


def spot(shape, row, column, photons, sigma=1.3):
    """Gaussian integrated over pixels."""
    from scipy.special import erf

    def along(n, centre):
        return np.diff(0.5 * erf((np.arange(n + 1) - 0.5 - centre) / (np.sqrt(2) * sigma)))

    return photons * along(shape[0], row)[:, None] * along(shape[1], column)[None, :]


def as_counts(expected, rng):
    electrons = rng.poisson(expected) + rng.normal(0, 1.5, np.shape(expected))
    return np.clip(np.rint(electrons / 0.5 + 100), 0, 65535).astype(np.uint16)


def grid_movie(n_frames, *, photons=1000.0, background=20.0, seed=0, shape=(64, 64), every=1):
    """Emitters 16 pixels apart, anywhere within their pixel; none in the frames between; the true places come with it."""
    rng = np.random.default_rng(seed)
    frames, truth = np.full((n_frames, *shape), background), []
    for frame in range(0, n_frames, every):
        for row in range(8, shape[0] - 4, 16):
            for column in range(8, shape[1] - 4, 16):
                y, x = row + rng.uniform(-0.5, 0.5), column + rng.uniform(-0.5, 0.5)
                frames[frame] += spot(shape, y, x, photons)
                truth.append((frame, x * 100, y * 100))
    return ImageStack(as_counts(frames, rng), metadata=META), np.array(truth)


def errors_of(locs, truth, within=150):
    """Errors of x, and the rows of the table they belong to; each true place has one row."""
    rows, dx, dy = [], [], []
    for frame, x, y in truth:
        here = np.flatnonzero(locs["frame"] == frame)
        distance = np.hypot(locs["x"][here] - x, locs["y"][here] - y)
        k = here[np.argmin(distance)]
        assert distance.min() < within
        rows.append(k)
        dx.append(locs["x"][k] - x)
        dy.append(locs["y"][k] - y)
    return np.array(rows), np.array(dx), np.array(dy)


@pytest.fixture(scope="module")
def grid():
    return grid_movie(80, every=2)


@pytest.mark.parametrize("fit", FITS)
def test_errors_are_what_they_are_said_to_be(grid, fit):
    movie, truth = grid
    locs = fit(psf_sigma_guess=130.0, start_at=0, background="0:0", detection="matched").apply(movie)["output_localizations"]
    assert len(locs) <= len(truth) * 1.01
    rows, dx, dy = errors_of(locs, truth)
    for error, said in ((dx, locs["error_x"][rows]), (dy, locs["error_y"][rows])):
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(len(error))
        assert 1.4826 * np.median(np.abs(error / said)) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("fit", [GaussMLE, GaussLSQ])
def test_the_bound_is_reached_and_photons_are_counted(grid, fit):
    from recipes_modules.localize.bound import position_bound

    movie, truth = grid
    locs = fit(psf_sigma_guess=130.0, background="0:0").apply(movie)["output_localizations"]
    rows, dx, dy = errors_of(locs, truth)
    n = np.ones(len(truth))
    bound = position_bound(truth[:, 1] / 100, truth[:, 2] / 100, 1000 * n, 20 * n, 1.3 * n, 1.3 * n, variance=2.25) * 100
    assert np.mean(bound**2) / np.mean([dx**2, dy**2]) == pytest.approx(1, abs=0.1)
    photons = locs["photons"][rows]
    assert photons.mean() == pytest.approx(1000, rel=0.015)
    assert photons.std() == pytest.approx(np.median(locs["error_photons"][rows]), rel=0.15)
    assert np.median(locs["background"][rows]) == pytest.approx(20, rel=0.02)
    assert np.median(locs["sigma"][rows]) == pytest.approx(130, rel=0.01)
    assert np.mean(locs["chi2"][rows]) == pytest.approx(1, abs=0.1)
    assert set(locs["result_code"]) == {1}


def test_pyme_fit_gives_peaks_in_adu(grid):
    movie, truth = grid
    locs = LatGaussFitFR(start_at=0, detection="matched", psf_sigma_guess=130.0, background="0:0").apply(movie)[
        "output_localizations"
    ]
    rows, _, _ = errors_of(locs, truth)
    # A point-sampled model of a spot that is integrated over pixels: its peak is that of the spot widened by a pixel.
    sigma = np.sqrt(1.3**2 + 1 / 12)
    assert np.median(locs["A"][rows]) == pytest.approx(1000 / (2 * np.pi * sigma**2) / 0.5, rel=0.04)
    assert np.median(locs["sigma"][rows]) == pytest.approx(100 * sigma, rel=0.02)
    side = locs["slicesUsed_x_stop"] - locs["slicesUsed_x_start"]
    assert set(side) == {11}
    assert {"fitResults_bx", "fitResults_by", "error_A", "subtracted_background"} <= set(locs.columns)


@pytest.mark.parametrize("fit", FITS)
def test_results_do_not_depend_on_threads_or_blocks(monkeypatch, fit):
    movie, _ = grid_movie(150, every=3, seed=1)
    fit = fit(start_at=5)
    monkeypatch.setattr(FitModule, "block_pixels", 1)
    tables = [fit.apply(movie, ctx=Context("fit", n_threads=n, wanted=["output_localizations"])) for n in (1, 2, 3)]
    monkeypatch.setattr(FitModule, "block_pixels", 2**24)
    tables.append(fit.apply(movie))
    first = tables[0]["output_localizations"]
    assert len(first) > 300
    for table in tables[1:]:
        other = table["output_localizations"]
        assert other.columns == first.columns == (*type(fit).fit_columns,)
        for name in first:
            np.testing.assert_array_equal(first[name], other[name], strict=True)


def test_frames_and_places_of_the_movie(grid):
    movie, truth = grid
    locs = GaussMLE(start_at=20).apply(movie)["output_localizations"]
    assert locs["frame"].min() == 20
    assert set(np.unique(locs["frame"])) == set(truth[truth[:, 0] >= 20, 0])


RECIPE = """
recipe: 1
inputs: {movie: {type: ImageStack}}
modules:
  - GaussMLE: {input_image: movie, output_localizations: locs, learn_sigma: false}
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(FitModule, "block_pixels", 1)
    movie, _ = grid_movie(256, every=4, seed=2, shape=(32, 32))
    path = movie.save(tmp_path / "movie.tif")
    real, done, fails = base.localize_block, [], [128]

    def counted(job, span):
        if span[0] in fails:
            raise KeyboardInterrupt
        done.append(span[0])
        return real(job, span)

    monkeypatch.setattr(base, "localize_block", counted)
    recipe = Recipe.from_yaml(RECIPE)
    recipe.n_threads = 1
    recipe.use_cache(tmp_path / "cache")
    recipe.load_inputs({"movie": path})
    with pytest.raises(BaseException):  # noqa: B017, PT011 - what an interrupt becomes is the engine's affair
        recipe.execute()
    fails.clear()
    recipe.execute()
    assert done == [0, 64, 128, 192]
    expected = GaussMLE(learn_sigma=False).apply(movie)["output_localizations"]
    for name in expected:
        np.testing.assert_array_equal(recipe["locs"][name], expected[name])


def test_pymes_usage_loads():
    recipe = Recipe.from_yaml("- LatGaussFitFR: {input_image: input, output_localizations: FitResults, threshold: 1.0}")
    step = recipe.steps["LatGaussFitFR"]
    assert (step.detection, step.start_at, step.background, step.roi_half_size) == ("bandpass", 30, "-30:0", 5)
    assert step.subtract_background
    assert step.psf_sigma_guess == pytest.approx(250 / 2.35)


# -- movies that are not as they should be ------------------------------------------------------------------------------------


def test_frames_without_numbers_zeros_saturation_and_constants():
    movie, _ = grid_movie(71, every=10, seed=3)
    pixels = movie.asarray()[:, 0].astype(np.float32)
    pixels[40] = 0
    pixels[41] = 120
    pixels[42] = np.nan
    pixels[50, 5:12, 5:12] = np.nan
    ctx = Context("fit", wanted=["output_localizations"])
    locs = GaussMLE().apply(ImageStack(pixels, metadata=META), ctx=ctx)["output_localizations"]
    per_frame = np.bincount(locs["frame"], minlength=71)
    assert (per_frame[40:43] == 0).all()
    assert per_frame[50] == 15
    # What is odd in a few frames does no harm to the background of those behind them.
    assert (per_frame[[30, 60, 70]] == 16).all()
    assert per_frame[43:50].sum() + per_frame[51:60].sum() + per_frame[61:70].sum() <= 2
    bad = ~locs.finite_rows("x", "y", "photons")
    assert (locs["result_code"][bad] == 0).all()
    assert any("nothing but zeros" in line and line.startswith("1 ") for line in ctx.warnings)
    assert any("without a number" in line and line.startswith("2 ") for line in ctx.warnings)
    full = movie.asarray()[:, 0].copy()
    full[50, 8, 8] = 65535
    ctx = Context("fit", wanted=["output_localizations"])
    GaussMLE().apply(ImageStack(full, metadata=META), ctx=ctx)
    assert any("saturated" in line and line.startswith("1 ") for line in ctx.warnings)


def test_hot_and_dead_pixels_stay_quiet():
    movie, _ = grid_movie(60, every=5, seed=4)
    pixels = movie.asarray()[:, 0].copy()
    pixels[:, 16, 16] = np.random.default_rng(0).normal(5000, 60, 60)
    pixels[:, 32, 16] = 0
    locs = GaussMLE(start_at=30).apply(ImageStack(pixels, metadata=META))["output_localizations"]
    for row in (16, 32):
        near = np.hypot(locs["x"] / 100 - 16, locs["y"] / 100 - row) < 2
        assert near.sum() <= 1


@pytest.mark.parametrize("fit", FITS)
def test_a_movie_shorter_than_the_window(fit):
    movie, _ = grid_movie(3, seed=5)
    locs = fit(start_at=0, detection="matched", background="-30:0").apply(movie)["output_localizations"]
    assert np.isfinite(locs["x"][locs["result_code"] > 0]).all()


@pytest.mark.parametrize("shape", [(17, 53), (64, 11), (7, 7)])
def test_odd_shapes_and_spots_at_the_border(shape):
    rng = np.random.default_rng(6)
    places = [(0.3, 2.0), (shape[0] - 1.2, shape[1] - 1.4)]
    frames = 10 + sum(spot(shape, *place, 3000) for place in places) * (np.arange(40) % 4 == 0)[:, None, None]
    locs = GaussMLE(background="0:0").apply(ImageStack(as_counts(frames, rng), metadata=META))["output_localizations"]
    _, dx, dy = errors_of(locs, [(k, x * 100, y * 100) for k in range(0, 40, 4) for y, x in places])
    assert np.median(np.hypot(dx, dy)) < 25
    assert ((locs["x"] > -150) & (locs["x"] < 100 * shape[1] + 50))[locs["result_code"] == 1].all()


@pytest.mark.parametrize(
    ("pixels", "metadata", "options", "code"),
    [
        (np.zeros((5, 3, 32, 32), np.uint16), META, {}, "D520"),
        (np.zeros((5, 32, 32), np.complex64), META, {}, "D520"),
        (np.zeros((5, 6, 32), np.uint16), META, {}, "D521"),
        (np.zeros((5, 32, 32), np.uint16), META, {"start_at": 5}, "D522"),
        (np.zeros((5, 32, 32), np.uint16), {}, {}, "D510"),
    ],
)
def test_what_cannot_be_localized_is_told(pixels, metadata, options, code):
    with pytest.raises(DataError) as caught:
        GaussMLE(**options).apply(ImageStack(pixels, metadata=metadata))
    assert caught.value.code == code
    assert caught.value.hint or code == "D520"


@pytest.mark.parametrize("fit", FITS)
def test_movies_without_spots(fit):
    for level in (0, 100, 130):
        movie = ImageStack(np.full((40, 32, 32), level, np.uint16), metadata=META)
        locs = fit(start_at=0).apply(movie)["output_localizations"]
        assert len(locs) == 0
        assert set(fit.fit_columns) == set(locs.columns)


def test_the_first_run_of_all_is_told(tmp_path):
    """In a process of its own, with nothing compiled; then in another one that finds all compiled."""
    program = (
        "import numpy as np\n"
        "from recipes_core.data import ImageStack\n"
        "from recipes_core.module import Context\n"
        "from recipes_modules.localize.compiling import MESSAGE, told\n"
        "from recipes_modules.localize.filters import gaussian_taps, smoothed\n"
        "ctx = Context('fit')\n"
        "with told(ctx):\n"
        "    for _ in range(2):\n"
        "        smoothed(np.ones((16, 16), np.float32), gaussian_taps(1.0))\n"
        "print(ctx.messages.count(MESSAGE))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert said == ["1\n", "0\n"]


@pytest.mark.slow
def test_the_fit_is_compiled_beside_the_detection(tmp_path):
    """Nothing is compiled yet: this process must not compile the fit, since another one does."""
    program = """
import sys
import numpy as np
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, event):
        compiled.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event):
        pass
from recipes_core.data import ImageStack
from recipes_core.module import Context
from recipes_modules import GaussMLE
movie = ImageStack(np.load(sys.argv[1]), metadata=eval(sys.argv[2]))
with event.install_listener("numba:compile", Listener()):
    context = Context("fit", n_threads=2)
    found = GaussMLE().run(context, movie)["output_localizations"]
print("solve_all" in compiled, "along_x" in compiled, len(found), len(context.messages))
"""
    movie, _ = grid_movie(32, shape=(48, 48))
    np.save(tmp_path / "movie.npy", movie.asarray())
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    words = [sys.executable, "-c", program, str(tmp_path / "movie.npy"), repr(META)]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert ended[:2] == ["False", "True"]
    assert int(ended[2]) > 100


# -- settings, files, other fits ----------------------------------------------------------------------------------------------


def test_localize_takes_what_is_left_out_from_the_metadata(grid):
    movie, _ = grid
    told = {
        "Analysis.FitModule": "AstigGaussFitFR", "Analysis.DetectionThreshold": 1.3, "Analysis.StartAt": 12,
        "Analysis.BGRange": (-20, 0), "Analysis.SubtractBackground": False, "Analysis.ROISize": 6, "Camera.DarkMapID": "dark.tif",
        "Analysis.DebounceRadius": 5,
    }  # fmt: skip
    other = ImageStack(movie.source, metadata={**META, **told})
    ctx = Context("Localize", wanted=["output_localizations"])
    locs = Localize(start_at=10).apply(other, ctx=ctx)["output_localizations"]
    same = AstigGaussFitFR(
        threshold=1.3, start_at=10, background="-20:0", subtract_background=False, roi_half_size=6, debounce_radius=5.0
    ).apply(movie)["output_localizations"]
    for name in same:
        np.testing.assert_array_equal(locs[name], same[name])
    assert locs.metadata["Analysis.FitModule"] == "AstigGaussFitFR"
    assert any("Analysis.BGRange" in line for line in ctx.messages)
    assert any("dark.tif" in line for line in ctx.warnings)


def test_localize_with_a_fit_of_another_name():
    with pytest.raises(Exception, match="GaussMLE"):
        Localize(type="GausMLE").apply(ImageStack(np.zeros((5, 32, 32), np.uint16), metadata=META))
    assert any("no parameter" in fault for fault in Localize(type="GaussMLE", settings={"sigmas": 2}).check())


PLUGIN = """
from recipes_core.plugins import ModuleRef
from recipes_modules.localize.base import FitModule


def brightest(spots, settings):
    return {"x": spots.columns * 100, "y": spots.rows * 100}


class BrightestPixel(FitModule):
    fit_columns = ("frame", "x", "y", "detection")

    def fitter(self):
        return brightest


def register_modules():
    return [ModuleRef("mine.BrightestPixel", "my_fits:BrightestPixel", "The brightest pixel of each spot.")]
"""


@pytest.mark.parametrize("name", ["BrightestPixel", "mine.BrightestPixel"])
def test_localize_takes_a_fit_of_a_plugin(tmp_path, monkeypatch, grid, name):
    (tmp_path / "my_fits.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Registry(external=False)
    plugins._add(PluginInfo("my_fits", "mine", "1"), lambda: importlib.import_module("my_fits"))
    use_registry(plugins)
    try:
        assert list(Localize(type=name).check()) == []
        assert len(Localize(type=name).apply(grid[0])["output_localizations"]) > 100
        with pytest.raises(DataError, match="no fit 'Locs_RCC'"):
            fit_named("Locs_RCC")
    finally:
        use_registry(None)


@pytest.mark.parametrize("suffix", [".h5r", ".hdf", ".hdf5"])
@pytest.mark.parametrize("fit", [GaussMLE, LatGaussFitFR, AstigGaussMLE])
def test_files_give_the_columns_back(tmp_path, grid, fit, suffix):
    movie, _ = grid
    locs = fit().apply(movie)["output_localizations"]
    back = Localizations.load(locs.save(tmp_path / f"cell{suffix}"))
    for name in locs:
        np.testing.assert_allclose(back[name], locs[name], rtol=3e-7, err_msg=name)
    if suffix != ".hdf5":
        assert back.metadata["Analysis.FitModule"] == fit.__name__
        assert back.metadata["Camera.ElectronsPerCount"] == 0.5


def test_h5r_is_nested_as_pymes(tmp_path, grid):
    import h5py

    movie, _ = grid
    locs = LatGaussFitFR().apply(movie)["output_localizations"]
    with h5py.File(locs.save(tmp_path / "cell.h5r")) as file:
        rows = file["FitResults"][:]
        assert file["MetaData/Analysis"].attrs["FitModule"] == b"LatGaussFitFR"
    assert rows.dtype.names[:7] == (
        "tIndex",
        "fitResults",
        "fitError",
        "resultCode",
        "slicesUsed",
        "subtractedBackground",
        "nchi2",
    )
    for group in ("fitResults", "fitError"):
        assert set(rows.dtype[group].names) == {"A", "x0", "y0", "sigma", "background", "bx", "by"}
    assert rows.dtype["slicesUsed"].names == ("x", "y", "z")
    # Background in ADU on top of what was subtracted.
    photons = (rows["fitResults"]["background"] + rows["subtractedBackground"]) * 0.5
    np.testing.assert_allclose(photons, locs["background"], atol=1e-3)
    np.testing.assert_array_equal(rows["slicesUsed"]["x"]["stop"] - rows["slicesUsed"]["x"]["start"], 11)


def test_beads_are_followed_to_the_drift(tmp_path):
    rng = np.random.default_rng(7)
    drift = np.cumsum(rng.normal(0, 4, (120, 2)), axis=0)
    frames = np.full((120, 72, 72), 15.0)
    for k in range(120):
        for row, column in ((18, 20), (20, 52), (52, 36)):
            frames[k] += spot((72, 72), row + drift[k, 1] / 100, column + drift[k, 0] / 100, 20000, 1.7)
        for row, column in rng.uniform(5, 66, (3, 2)):
            frames[k] += spot((72, 72), row, column, 1000)
    movie = ImageStack(as_counts(frames, rng), metadata=META)
    tracks = GaussMLE(track_fiducials=True).apply(movie, ctx=Context("fit"))["output_fiducials"]
    assert isinstance(tracks, Table)
    found = Locs_Fiducials().apply(tracks)["output_drift"]
    error = -found.at(np.arange(120))[:, :2] - drift
    error -= error.mean(axis=0)
    assert np.sqrt((error**2).mean()) < 2.0


@pytest.mark.parametrize(
    ("fit", "metadata", "options"),
    [
        (GaussMLE, {"Protocol.DarkFrameRange": [0, 20]}, {}),
        (GaussMLE, {}, {"start_at": 20}),
        (GaussMLE, {}, {"dark_frames": [0, 20]}),
        (LatGaussFitFR, {"Protocol.DarkFrameRange": [0, 20]}, {"start_at": 20, "detection": "matched"}),
    ],
)
def test_dark_frames_are_no_background(fit, metadata, options):
    rng = np.random.default_rng(5)
    frames = np.full((80, 40, 40), 20.0)
    frames[:20] = 0
    movie = ImageStack(as_counts(frames, rng), metadata={**META, **metadata})
    locs = fit(**options).apply(movie, ctx=Context("fit"))
    locs = locs["output_localizations"] if isinstance(locs, dict) else locs
    assert np.count_nonzero(locs["frame"] >= 20) < 10


@pytest.mark.parametrize(
    ("options", "metadata"), [({"psf_sigma_guess": 1.3}, {}), ({}, {"voxelsize.x": 100.0, "voxelsize.y": 100.0})]
)
def test_widths_and_pixels_in_another_unit_are_told(grid, options, metadata):
    movie, _ = grid
    ctx = Context("fit")
    GaussMLE(**options).apply(movie.with_provenance(metadata={**movie.metadata, **metadata}), ctx=ctx)
    assert any("count nanometres" in line for line in ctx.warnings)


def test_molecules_are_no_beads_however_large_the_frames(monkeypatch):
    """Of large frames one is read at a time; molecules as bright as the beads must not pass for them then."""
    rng = np.random.default_rng(11)
    frames = np.full((130, 64, 64), 15.0)
    for row, column in ((14, 16), (16, 46), (46, 30)):
        frames += spot((64, 64), row, column, 5000, 1.7)
    for first in range(0, 130, 4):
        for row, column in rng.uniform(8, 55, (6, 2)):
            frames[first : first + 4] += spot((64, 64), row, column, 6000)
    movie = ImageStack(as_counts(frames, rng), metadata=META)
    monkeypatch.setattr("recipes_modules.localize.scan.CHUNK_PIXELS", 64 * 64)
    tracks = GaussMLE(track_fiducials=True).apply(movie, ctx=Context("fit"))["output_fiducials"]
    np.testing.assert_array_equal(tracks["frame"], np.repeat(np.arange(130), 3))


def middles(spots, settings):
    regions = spots.cut() - np.median(spots.cut(), axis=(1, 2), keepdims=True)
    total = regions.sum(axis=(1, 2))
    at = np.arange(2 * spots.half + 1)
    rows = (regions.sum(axis=2) * at).sum(axis=1) / total + spots.corners[0]
    columns = (regions.sum(axis=1) * at).sum(axis=1) / total + spots.corners[1]
    return {"x": columns * settings["scale"], "y": rows * settings["scale"], "photons": total}


class CentroidFit(FitModule):
    """Centre of mass of each spot."""

    fit_columns = ("frame", "x", "y", "photons", "detection")

    def fitter(self):
        return middles

    def settings(self):
        return {"scale": 100.0}


def test_a_fit_of_ones_own_in_a_page(grid):
    movie, truth = grid
    locs = CentroidFit(background="0:0").apply(movie)["output_localizations"]
    rows, dx, dy = errors_of(locs, truth, within=400)
    assert np.hypot(dx, dy).mean() < 60
    assert locs["photons"][rows].min() > 0
