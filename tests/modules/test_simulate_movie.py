"""Simulated movies against theory: light, noise, spots, drift, blinking."""

import numpy as np
import pytest

from recipes_core.data import Drift, ImageStack, Localizations
from recipes_core.errors import DataError, UsageError
from recipes_core.module import Context
from recipes_modules import Movie_Simulate
from recipes_modules.movie_simulation.blinking import bright_intervals, by_frame

DARK = {"emitters_per_frame": 0.0}


def simulate(inputs=None, seed=1, wanted=None, n_threads=1, **parameters):
    inputs = inputs or {}
    names = {name: name for name in inputs}
    module = Movie_Simulate(**{"size": (64, 48), "n_frames": 40, **names, **parameters})
    ctx = Context("movie", seed=seed, n_threads=n_threads, wanted=wanted)
    return module.apply(ctx=ctx, **inputs)


def pixels(**options):
    return simulate(**options)["output_image"].asarray()[:, 0].astype(float)


def one_spot(x=3200.0, y=2400.0, z=0.0, frames=40, photons=5000.0):
    rows = np.arange(frames)
    return Localizations(
        {
            "frame": rows,
            "x": np.full(frames, x),
            "y": np.full(frames, y),
            "z": np.full(frames, z),
            "photons": np.full(frames, photons),
        }
    )


def centre(image):
    image = image - np.median(image)
    total = image.sum()
    y, x = np.indices(image.shape)
    return (image * x).sum() / total, (image * y).sum() / total


# -- the camera --------------------------------------------------------------------------------------------------------------


def test_background_light_and_read_noise_have_the_mean_and_variance_of_theory():
    movie = pixels(background=30, electrons_per_count=0.5, read_noise=4, offset=90, **DARK)
    n = movie.size
    assert movie.mean() == pytest.approx(90 + 30 / 0.5, abs=5 * np.sqrt((30 + 16) / 0.25 / n))
    # 1/12: rounding to counts.
    assert movie.var() == pytest.approx((30 + 16) / 0.25 + 1 / 12, rel=5 * np.sqrt(2 / n))


def test_without_light_only_offset_and_read_noise_remain():
    movie = pixels(background=0, electrons_per_count=0.1, read_noise=3, offset=500, **DARK)
    assert movie.mean() == pytest.approx(500, abs=5 * 30 / np.sqrt(movie.size))
    assert movie.std() == pytest.approx(30, rel=5 / np.sqrt(2 * movie.size))


def test_the_background_follows_a_poisson_law():
    from scipy.stats import chi2, poisson

    movie = pixels(background=3.7, electrons_per_count=1, read_noise=0, offset=0, **DARK)
    values = np.arange(13)
    seen = np.bincount(np.minimum(movie.astype(int), 12).ravel(), minlength=13)
    expected = movie.size * np.append(poisson.pmf(values[:-1], 3.7), poisson.sf(11, 3.7))
    assert np.sum((seen - expected) ** 2 / expected) < chi2.ppf(0.9999, 12)


def test_the_em_register_widens_shot_noise_by_root_two():
    """Variance of a gamma law of shape n and scale g, mixed over n of a Poisson law: g^2 (n + n)."""
    movie = pixels(background=50, em_gain=200, electrons_per_count=20, read_noise=40, offset=100, **DARK)
    gain = 200 / 20
    assert movie.mean() == pytest.approx(100 + 50 * gain, rel=0.005)
    variance = movie.var() - (40 / 20) ** 2 - 1 / 12
    assert np.sqrt(variance / (50 * gain**2)) == pytest.approx(np.sqrt(2), rel=0.01)


def test_maps_of_the_pixels_describe_the_movie():
    made = simulate(
        n_frames=1500, size=(24, 20), background=100, offset_spread=8, noise_spread=0.7, gain_spread=0.1, read_noise=6,
        electrons_per_count=0.5, **DARK,
    )  # fmt: skip
    movie = made["output_image"].asarray()[:, 0].astype(float)
    dark, variance, flat = (made[f"output_{name}_map"].asarray()[0, 0] for name in ("dark", "variance", "flatfield"))
    electrons = (movie.mean(axis=0) - dark) * flat * 0.5
    noise = np.sqrt((100 + variance) / 1500)
    np.testing.assert_array_less(np.abs(electrons - 100) / (noise * flat), 5)
    # Of 1500 frames a variance is known to 3.7%.
    expected = 100 / (0.5 * flat) ** 2 + variance / 0.25 + 1 / 12
    ratio = movie.var(axis=0) / expected
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / 1500)
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert np.std(np.log(np.sqrt(variance))) == pytest.approx(0.7, rel=0.15)
    assert dark.std() == pytest.approx(8, rel=0.15)
    assert flat.mean() == pytest.approx(1)


def test_maps_that_are_given_are_used():
    dark = np.full((48, 64), 100.0)
    dark[10, 20] = 400
    variance = np.full((48, 64), 1.0)
    variance[5, 6] = 2500
    given = {"input_dark_map": ImageStack(dark), "input_variance_map": ImageStack(variance)}
    movie = (
        simulate(given, n_frames=400, background=0, electrons_per_count=1, **DARK)["output_image"].asarray()[:, 0].astype(float)
    )
    assert movie[:, 10, 20].mean() == pytest.approx(400, abs=0.3)
    assert movie[:, 5, 6].std() == pytest.approx(50, rel=0.2)
    assert movie[:, 30, 30].std() == pytest.approx(1.04, rel=0.2)


def test_counts_end_at_the_full_scale_and_it_is_told():
    ctx = Context("movie", seed=1)
    made = Movie_Simulate(size=(16, 16), n_frames=3, background=2000, bits=12, electrons_per_count=0.4, **DARK).apply(ctx=ctx)
    assert made["output_image"].asarray().max() == 4095
    assert "full scale of 4095" in ctx.warnings[0]


def test_full_pixels_hold_no_more_electrons():
    movie = pixels(background=5000, full_well=1000, electrons_per_count=1, read_noise=0, offset=10, **DARK)
    assert (movie == 1010).all()


def test_dark_frames_hold_no_light():
    made = simulate(dark_frames=10)
    movie = made["output_image"].asarray()
    assert movie[:10].mean() == pytest.approx(100, abs=0.2)
    assert movie[10:].mean() > 140
    assert made["output_localizations"]["frame"].min() >= 10
    assert made["output_image"].metadata["Protocol.DarkFrameRange"] == [0, 10]


def test_the_metadata_describe_the_camera():
    metadata = simulate(em_gain=150, electrons_per_count=5, read_noise=60, offset=220, pixel_size=160)["output_image"].metadata
    assert metadata["Camera.ADOffset"] == pytest.approx(220)
    assert metadata["Camera.TrueEMGain"] == 150
    assert metadata["Camera.NoiseFactor"] == pytest.approx(np.sqrt(2))
    assert metadata["Camera.ElectronsPerCount"] == 5
    assert metadata["Camera.ReadNoise"] == pytest.approx(60)
    assert metadata["voxelsize.x"] == 0.16


# -- spots -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "y"), [(3200.0, 2400.0), (3137.0, 2461.0)])
def test_a_spot_has_its_photons_place_and_width(x, y):
    movie = pixels(
        inputs={"input_structure": one_spot(x, y)}, blinking="as_given", background=0, read_noise=0, electrons_per_count=0.1
    )
    mean = movie.mean(axis=0) - 100
    assert mean.sum() * 0.1 == pytest.approx(5000, abs=5 * np.sqrt(5000 / 40))
    found = centre(mean)
    # The standard error of a centroid of 200 000 photons is 0.003 pixels.
    assert found == pytest.approx((x / 100, y / 100), abs=0.015)
    j, i = np.indices(mean.shape)
    for index, middle in ((i, found[0]), (j, found[1])):
        variance = (mean * (index - middle) ** 2).sum() / mean.sum()
        # Pixels add the variance of a square of edge 1.
        assert np.sqrt(variance - 1 / 12) == pytest.approx(1.3, abs=0.02)


def test_a_spot_is_the_integral_of_its_gaussian_over_each_pixel():
    from scipy.stats import norm

    from recipes_modules.movie_simulation.spots import add_gaussians

    image = np.zeros((15, 17))
    add_gaussians(image, np.array([8.3]), np.array([6.9]), np.array([1.1]), np.array([1.7]), np.array([100.0]))
    across = np.diff(norm.cdf(np.arange(18) - 0.5, 8.3, 1.1))
    down = np.diff(norm.cdf(np.arange(16) - 0.5, 6.9, 1.7))
    np.testing.assert_allclose(image, 100 * np.outer(down, across), atol=1e-3)


def test_spots_beyond_the_edge_are_cut_not_moved():
    from recipes_modules.movie_simulation.spots import add_gaussians

    large, small = np.zeros((30, 30)), np.zeros((20, 20))
    x, y = np.array([5.2, 24.0, -9.0]), np.array([12.0, 6.0, 10.0])
    one = np.ones(3)
    add_gaussians(large, x, y, one, one, 100 * one)
    add_gaussians(small, x - 5, y - 5, one, one, 100 * one)
    np.testing.assert_allclose(small, large[5:25, 5:25], atol=1e-4)


def test_astigmatic_widths_follow_z():
    calibration = {"focus": (200.0, -150.0), "focal_depth": 350.0, "cubic": (0.1, -0.1), "quartic": (0.05, 0.0)}
    for z in (-300.0, 0.0, 250.0):
        made = simulate(
            {"input_structure": one_spot(z=z, frames=60)}, n_frames=60, blinking="as_given", psf="astigmatic", psf_sigma=120,
            background=0, read_noise=0, electrons_per_count=0.1, **calibration,
        )  # fmt: skip
        mean = made["output_image"].asarray()[:, 0].astype(float).mean(axis=0) - 100
        mean = np.where(mean < 2, 0, mean)
        truth = made["output_localizations"]
        j, i = np.indices(mean.shape)
        for axis, (index, middle) in enumerate(((i, 32.0), (j, 24.0))):
            t = (z - calibration["focus"][axis]) / 350
            sigma = 1.2 * np.sqrt(1 + t**2 + calibration["cubic"][axis] * t**3 + calibration["quartic"][axis] * t**4)
            assert truth["sigma_" + "xy"[axis]][0] == pytest.approx(100 * sigma, rel=1e-5)
            measured = np.sqrt((mean * (index - middle) ** 2).sum() / mean.sum() - 1 / 12)
            assert measured == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("voxel", [0.1, 0.04])
def test_a_stack_makes_the_spots_of_the_gaussian_it_was_made_of(voxel):
    """Coarse stacks are integrated over pixels already, fine ones are sampled."""
    from scipy.stats import norm

    n = int(1.7 / voxel) // 2 * 2 + 1
    at = (np.arange(n) - n // 2) * voxel * 1000
    planes = []
    for z in np.arange(-5, 6) * 100.0:
        sigma = 130 * np.sqrt(1 + (z / 500) ** 2)
        bell = np.exp(-0.5 * (at / sigma) ** 2)
        if voxel == 0.1:
            bell = norm.cdf(at + 50, 0, sigma) - norm.cdf(at - 50, 0, sigma)
        planes.append(np.outer(bell, bell) / bell.sum() ** 2)
    psf = ImageStack(np.array(planes)[np.newaxis], metadata={"voxelsize.x": voxel, "voxelsize.y": voxel, "voxelsize.z": 0.1})
    quiet = {"blinking": "as_given", "background": 0, "read_noise": 0, "electrons_per_count": 0.1, "offset": 0, "n_frames": 100}
    place = {"x": 3233.0, "y": 2371.0, "z": 130.0, "frames": 100, "photons": 20000.0}
    stack = pixels(inputs={"input_structure": one_spot(**place), "input_psf": psf}, psf="stack", **quiet).mean(axis=0) / 10
    sigma = 1.3 * np.sqrt(1 + (130 / 500) ** 2)
    across = np.diff(norm.cdf(np.arange(65) - 0.5, 32.33, sigma))
    down = np.diff(norm.cdf(np.arange(49) - 0.5, 23.71, sigma))
    expected = 20000 * np.outer(down, across)
    # Shot noise of 100 frames, and a hundredth of the peak for interpolation between planes.
    assert np.abs(stack - expected).max() < 5 * np.sqrt(expected.max() / 100) + 0.01 * expected.max()
    assert stack.sum() == pytest.approx(20000, rel=0.01)
    assert centre(stack) == pytest.approx((32.33, 23.71), abs=0.02)


# -- molecules ---------------------------------------------------------------------------------------------------------------


def test_random_emitters_have_the_mean_number_and_exponential_photons():
    truth = simulate(n_frames=2000, size=(8, 8), emitters_per_frame=7, photons=800)["output_localizations"]
    per_frame = np.bincount(truth["frame"], minlength=2000)
    assert per_frame.mean() == pytest.approx(7, abs=5 * np.sqrt(7 / 2000))
    assert per_frame.var() == pytest.approx(7, rel=5 * np.sqrt(2 / 2000))
    n = len(truth)
    assert truth["photons"].mean() == pytest.approx(800, rel=5 / np.sqrt(n))
    assert np.median(truth["photons"]) == pytest.approx(800 * np.log(2), rel=0.05)
    assert truth["x"].min() >= -50
    assert truth["x"].max() <= 750
    assert (np.diff(truth["frame"]) >= 0).all()


def test_blinking_keeps_to_its_rates():
    rng = np.random.default_rng(4)
    n_frames = 4000
    molecule, begin, end = bright_intervals(
        rng, n=3000, n_frames=n_frames, on_time=3.0, off_time=60.0, bleach_time=0.0, start="balanced"
    )
    inside = (begin > 0) & (end < n_frames)
    lasting = (end - begin)[inside]
    n = inside.sum()
    assert lasting.mean() == pytest.approx(3, rel=5 / np.sqrt(n))
    assert (lasting > 6).mean() == pytest.approx(np.exp(-2), rel=0.02)
    # As bright at the beginning as ever: the balance of 3 against 60.
    bright = [np.count_nonzero((begin <= t) & (end > t)) / 3000 for t in (0.0, 2000.0, 3999.0)]
    assert bright == pytest.approx([3 / 63] * 3, abs=5 * np.sqrt(3 / 63 / 3000))
    order = np.lexsort((begin, molecule))
    m, b, e = molecule[order], begin[order], end[order]
    dark = (b[1:] - e[:-1])[m[1:] == m[:-1]]
    assert dark.min() > 0
    assert dark.mean() == pytest.approx(60, rel=0.03)


def test_bleaching_ends_molecules_at_its_rate():
    """Blinks of a molecule until it bleaches are geometric, with mean 1 + bleach_time / on_time."""
    rng = np.random.default_rng(5)
    molecule, begin, end = bright_intervals(
        rng, n=4000, n_frames=10**7, on_time=4.0, off_time=20.0, bleach_time=12.0, start="bright"
    )
    blinks = np.bincount(molecule, minlength=4000)
    assert blinks.mean() == pytest.approx(1 + 12 / 4, rel=0.05)
    assert (blinks == 1).mean() == pytest.approx(1 / 4, abs=0.035)
    # In all each shines for its bleaching time, however often it goes dark.
    total = np.bincount(molecule, end - begin, minlength=4000)
    assert total.mean() == pytest.approx(12, rel=5 / np.sqrt(4000))
    assert (end > begin).all()


def test_frames_share_an_interval_by_time():
    interval, frame, part = by_frame(np.array([0.25, 2.0, 3.9]), np.array([2.5, 3.0, 4.0]), 4)
    assert interval.tolist() == [0, 0, 0, 1, 2]
    assert frame.tolist() == [0, 1, 2, 2, 3]
    np.testing.assert_allclose(part, [0.75, 1, 0.5, 1, 0.1])


def test_light_of_blinking_molecules_is_that_of_their_time():
    made = simulate(
        n_frames=3000,
        size=(16, 16),
        blinking="rates",
        n_molecules=400,
        on_time=2.5,
        off_time=50,
        photon_law="constant",
        photons=600,
    )
    truth = made["output_localizations"]
    duty = 2.5 / 52.5
    assert truth["photons"].sum() / 600 == pytest.approx(duty * 400 * 3000, rel=0.03)
    # One row for a molecule and frame, however often it shines in it.
    assert len(np.unique(np.column_stack([truth["x"], truth["frame"]]), axis=0)) == len(truth)
    assert len(np.unique(truth["x"])) <= 400
    assert truth["photons"].max() <= 600 * (1 + 1e-6)


def test_molecules_sit_on_the_structure():
    rng = np.random.default_rng(1)
    sites = Localizations({"x": rng.uniform(0, 6000, 50), "y": rng.uniform(0, 4000, 50), "frame": np.zeros(50, int)})
    truth = simulate({"input_structure": sites}, blinking="rates", off_time=20)["output_localizations"]
    np.testing.assert_allclose(truth["x"], sites["x"][truth["site"]], atol=1e-3)
    np.testing.assert_allclose(truth["y"], sites["y"][truth["site"]], atol=1e-3)
    other = simulate(structure="wormlike", n_filaments=5, length=(2.0, 6.0))["output_localizations"]
    assert (other["site"] >= 0).all()


def test_rows_as_given_are_what_is_seen():
    rows = Localizations(
        {"frame": [5, 1, 99], "x": [1000.0, 2000.0, 0.0], "y": [1500.0, 500.0, 0.0], "photons": [3000.0, 4000.0, 1.0]}
    )
    truth = simulate({"input_structure": rows}, blinking="as_given")["output_localizations"]
    assert truth["frame"].tolist() == [1, 5]
    assert truth["x"].tolist() == [2000, 1000]
    assert truth["photons"].tolist() == [4000, 3000]
    assert truth["site"].tolist() == [1, 0]


def test_adding_the_drift_brings_molecules_back():
    drift = Drift(np.arange(40), np.column_stack([np.linspace(0, -400, 40), np.linspace(0, 250, 40)]), exact=True)
    given = {"input_structure": one_spot(), "input_drift": drift}
    made = simulate(given, blinking="as_given", background=0, read_noise=0)
    truth = made["output_localizations"]
    np.testing.assert_allclose(truth["x"] + drift.at(truth["frame"])[:, 0], 3200, atol=1e-3)
    movie = made["output_image"].asarray()[:, 0].astype(float)
    x, y = centre(movie[39] - 100)
    assert (x, y) == pytest.approx((36.0, 21.5), abs=0.15)
    # Moved towards larger x and smaller y: what is added must go the other way.
    assert x > centre(movie[0] - 100)[0] + 3.5


# -- the module --------------------------------------------------------------------------------------------------------------


def test_threads_leave_no_trace():
    one, two = (simulate(n_frames=100, n_threads=n, psf="astigmatic", depth=600) for n in (1, 3))
    assert one["output_image"].asarray().tobytes() == two["output_image"].asarray().tobytes()
    other = simulate(n_frames=100, seed=2)
    assert one["output_image"].asarray().tobytes() != other["output_image"].asarray().tobytes()


def test_a_longer_movie_is_written_to_scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("RECIPES_SCRATCH", str(tmp_path))
    made = simulate(n_frames=300, size=(256, 256), emitters_per_frame=1)
    assert isinstance(made["output_image"].source.array.base, np.memmap)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"blinking": "as_given"}, "as_given needs input_structure"),
        ({"psf": "stack"}, "needs input_psf"),
        ({"margin": 4000.0}, "no room"),
        ({"dark_frames": 40}, "no frame with light"),
    ],
)
def test_parameters_that_do_not_go_together(parameters, told):
    with pytest.raises(UsageError, match=told):
        simulate(**parameters)


def test_inputs_that_cannot_be_used():
    bad = Localizations({"frame": [0], "x": [np.nan], "y": [0.0]})
    with pytest.raises(DataError, match="no place"):
        simulate({"input_structure": bad})
    flat = ImageStack(np.ones((3, 9, 9)), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1, "voxelsize.z": 0.1})
    with pytest.raises(DataError, match="holds no spot"):
        simulate({"input_psf": flat}, psf="stack")
    with pytest.raises(DataError, match="no distance of planes"):
        simulate(
            {
                "input_psf": ImageStack(
                    np.random.default_rng(0).uniform(size=(3, 9, 9)), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1}
                )
            },
            psf="stack",
        )
    with pytest.raises(DataError, match="does not hold the movie's region"):
        simulate({"input_dark_map": ImageStack(np.ones((5, 5)))})
    late = Localizations({"frame": [50], "x": [0.0], "y": [0.0]})
    with pytest.raises(DataError, match="no row of the structure lies in frames 0 to 39"):
        simulate({"input_structure": late}, blinking="as_given")


def test_beads_shine_in_every_frame_and_move_with_the_drift():
    drift = Drift(np.arange(40), np.column_stack([np.linspace(0, 300, 40), np.linspace(0, -200, 40), np.zeros(40)]))
    settings = {"n_frames": 40, "size": (48, 64), "emitters_per_frame": 5, "n_beads": 3, "bead_photons": 5000, "margin": 1000.0}
    truth = Movie_Simulate(**settings).apply(input_drift=drift, ctx=Context("movie", seed=1))["output_localizations"]
    assert (np.diff(truth["frame"]) >= 0).all()
    beads = truth.select(truth["site"] == -2)
    assert np.array_equal(np.bincount(beads["frame"]), np.full(40, 3))
    assert set(beads["photons"]) == {5000}
    assert set(truth["site"]) == {-1, -2}
    for k in range(3):
        np.testing.assert_allclose(beads["x"][k::3] - beads["x"][k], np.linspace(0, -300, 40), atol=0.01)
        np.testing.assert_allclose(beads["y"][k::3] - beads["y"][k], np.linspace(0, 200, 40), atol=0.01)


def test_a_scan_moves_the_sample_along_z():
    settings = {
        "n_frames": 21,
        "size": (48, 48),
        "emitters_per_frame": 0,
        "n_beads": 2,
        "psf": "astigmatic",
        "focus": (200.0, -200.0),
    }
    truth = Movie_Simulate(scan_step=50.0, **settings).apply(ctx=Context("movie", seed=2))["output_localizations"]
    np.testing.assert_allclose(truth["z"][::2], np.arange(-500, 501, 50), atol=0.01)
    assert truth["sigma_x"][2 * np.argmin(abs(truth["z"][::2] - 200))] == pytest.approx(130, rel=1e-3)
