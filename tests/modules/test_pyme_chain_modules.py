"""Modules that PYME's recipes name, against simulated truth and independent calculation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recipes_core.data import ImageStack, Localizations, Table
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import (
    AutocorrelationDriftCorrection,
    Composite,
    FiducialCorrection,
    GaussianMixtureModel,
    LocalPointDensity,
    MapAstigZ,
)

TRUE = np.linspace(-300, 300, 25)


def widths(z):
    """Curves of a lens out of focus, nm."""
    return 130 * np.sqrt(1 + ((z - 240) / 420) ** 2), 130 * np.sqrt(1 + ((z + 240) / 420) ** 2)


@pytest.fixture
def calibration(tmp_path):
    z = np.arange(-700, 701, 20.0)
    x, y = widths(z)
    path = tmp_path / "astig.json"
    path.write_text(json.dumps([{"z": z.tolist(), "sigmax": x.tolist(), "sigmay": y.tolist(), "zRange": [-450, 450]}]))
    return str(path)


def spots(**more):
    x, y = widths(TRUE)
    columns = {"x": np.zeros(25), "y": np.zeros(25), "frame": np.arange(25), "fitResults_sigmax": x, "fitResults_sigmay": y}
    return Localizations(columns | more)


def test_astigmatic_z_is_added_to_the_focus(calibration):
    module = MapAstigZ(astigmatism_calibration_location=calibration, z_scale=0.8)
    alone = module.apply(spots())["output_name"]
    np.testing.assert_allclose(alone["z"], 0.8 * TRUE, atol=1)
    assert np.isnan(alone["astigmatic_z_lookup_error"]).all()
    ctx = Context("z")
    focus = np.linspace(0, 900, 25)
    moved = module.apply(spots(z=focus), ctx=ctx)["output_name"]
    np.testing.assert_allclose(moved["z"], focus + 0.8 * TRUE, atol=1)
    np.testing.assert_allclose(moved["astigmatic_z"], alone["z"])
    assert any("was added" in line for line in ctx.messages)


def test_astigmatic_errors_are_those_of_noisy_widths(calibration):
    rng = np.random.default_rng(2)
    n, z, part = 4000, 100.0, 0.02
    x, y = widths(np.full(n, z))
    noisy = {"sigma_x": x * (1 + part * rng.standard_normal(n)), "sigma_y": y * (1 + part * rng.standard_normal(n))}
    columns = {"x": np.zeros(n), "y": np.zeros(n), "frame": np.arange(n), "error_sigma_x": part * x, "error_sigma_y": part * y}
    found = MapAstigZ(astigmatism_calibration_location=calibration, z_scale=0.5).apply(Localizations(columns | noisy))[
        "output_name"
    ]
    assert abs(np.median(found["z"]) - 0.5 * z) < 1
    # 1 / sqrt(2 n) is 1.1 %.
    assert np.median(found["astigmatic_z_lookup_error"]) == pytest.approx(found["z"].std(), rel=0.06)


def test_astigmatic_z_without_a_calibration_or_widths(calibration):
    with pytest.raises(DataError, match="astigmatism_calibration_location|no calibration") as caught:
        MapAstigZ().apply(spots())
    assert caught.value.code == "D110"
    ctx = Context("z")
    broken = spots(fitResults_sigmax=np.where(np.arange(25) == 3, np.nan, widths(TRUE)[0]))
    found = MapAstigZ(astigmatism_calibration_location=calibration).apply(broken, ctx=ctx)["output_name"]
    assert np.flatnonzero(np.isnan(found["z"])).tolist() == [3]
    assert any("1 localizations without widths" in line for line in ctx.warnings)


def drifting(seed=5, n=60_000, n_frames=10_000):
    """Localizations of blinking emitters, their places without drift, and the drift (frames, 2), nm."""
    rng = np.random.default_rng(seed)
    emitters = rng.uniform(0, 8000, (300, 2))
    frame = rng.integers(0, n_frames, n)
    place = emitters[rng.integers(0, 300, n)] + rng.normal(0, 10, (n, 2))
    t = np.arange(n_frames) / n_frames
    drift = np.column_stack([180 * t + 20 * np.sin(6 * t), -120 * t**2])
    x, y = (place + drift[frame]).T
    return Localizations({"x": x, "y": y, "frame": frame}), place, drift


def test_correlation_with_the_first_window_finds_the_drift():
    table, place, drift = drifting()
    made = AutocorrelationDriftCorrection().apply(table, ctx=Context("drift"))
    found = made["outputName"]
    frame = table["frame"]
    inside = (frame >= 250) & (frame < 9_700)
    left = np.column_stack([found["x"], found["y"]])[inside] - place[inside]
    # The rest is of the bins' 30 nm over the root of some hundred pairs, about 1 nm.
    assert (left.std(axis=0) < 4).all()
    assert np.ptp(drift, axis=0).min() > 100
    np.testing.assert_allclose(found["x"] - table["x"], found["dx"], atol=1e-6)
    knots = made["output_drift"]
    np.testing.assert_array_equal(knots.frames[:3], [250, 450, 650])
    # Before the first and behind the last window's middle the correction is held.
    early, late = found["dx"][frame < 250], found["dx"][frame > knots.frames[-1]]
    assert np.ptp(early) == 0 == early[0]
    assert np.ptp(late) == 0


def test_correlation_whatever_the_number_of_threads_and_order_of_rows():
    table, _, _ = drifting(n=20_000)
    one = AutocorrelationDriftCorrection().apply(table, ctx=Context("drift", n_threads=1))["outputName"]
    order = np.random.default_rng(0).permutation(len(table))
    other = AutocorrelationDriftCorrection().apply(table.select(order), ctx=Context("drift", n_threads=3))["outputName"]
    np.testing.assert_array_equal(one["dx"][order], other["dx"])


def test_correlation_of_movies_that_show_nothing():
    table, _, _ = drifting(n=2000, n_frames=600)
    for settings, code in (({}, "D411"), ({"window": 100, "step": 10, "binsize": 0.001}, "D414"), ({"binsize": 1e4}, "D415")):
        if code == "D415":
            settings = {**settings, "window": 100, "step": 100}
        with pytest.raises(DataError) as caught:
            AutocorrelationDriftCorrection(**settings).apply(table, ctx=Context("drift"))
        assert caught.value.code == code
    noise = np.random.default_rng(1).uniform(0, 8000, (2, 20_000))
    ctx = Context("drift")
    random = Localizations({"x": noise[0], "y": noise[1], "frame": np.arange(20_000) // 10})
    AutocorrelationDriftCorrection(binsize=400.0).apply(random, ctx=ctx)
    assert any("no narrow peak" in line for line in ctx.warnings)


def beads(seed=3, n_frames=3000, noise=3.0):
    """Three beads, each missing in part of the frames, one of them in the whole first half."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_frames)
    drift = np.column_stack([60 * np.sin(t / 700), 0.03 * t, 40 * np.cos(t / 900)])
    parts = []
    for k, place in enumerate(([1000, 1000, 0], [5000, 2000, 100], [3000, 7000, -50])):
        seen = rng.random(n_frames) < 0.9
        if k == 2:
            seen &= t >= n_frames // 2
        frame = t[seen]
        parts.append(np.column_stack([frame, np.array(place) + drift[frame] + rng.normal(0, noise, (len(frame), 3))]))
    # What blinks once is no fiducial.
    parts.append(np.column_stack([np.arange(40) + 500, np.tile([8000.0, 500.0, 0.0], (40, 1))]))
    rows = np.concatenate(parts)
    columns = {"frame": rows[:, 0].astype(int), "x": rows[:, 1], "y": rows[:, 2], "z": rows[:, 3]}
    return Localizations({**columns, "error_x": np.full(len(rows), noise)}), drift


@pytest.mark.parametrize("smoothing", ["Gaussian", "Uniform", "Median"])
def test_fiducials_show_the_drift(smoothing):
    fiducials, drift = beads()
    rng = np.random.default_rng(4)
    frame = rng.integers(0, 3000, 5000)
    place = rng.uniform(0, 8000, (5000, 3))
    moved = place + drift[frame]
    table = Localizations({"frame": frame, **dict(zip("xyz", moved.T, strict=True))})
    module = FiducialCorrection(temporalFilter=smoothing)
    made = module.apply(table, fiducials, ctx=Context("drift"))
    found = made["outputName"]
    for axis, name in enumerate("xyz"):
        np.testing.assert_allclose(table[name] - found[name], found[f"fiducial_{name}"], atol=1e-9)
        left = found[name] - place[:, axis]
        # 3 nm of two to three beads, averaged over ten frames or more: below 0.8 nm; the median of ten is worse by a quarter.
        assert left.std() < 1.0
        assert abs(left.mean() - drift[0, axis]) < 2.0
    kept = made["outputFiducials"]
    first = (kept["x"] < 2500) & (kept["y"] < 2500)
    assert kept["x"][first].std() == pytest.approx(3.0, rel=0.15)


def test_places_of_beads_that_come_late_make_no_step():
    fiducials, drift = beads(noise=0.5)
    drift_found = FiducialCorrection(temporalFilterScale=0.0).apply(fiducials, fiducials, ctx=Context("drift"))["output_drift"]
    left = drift_found.at(np.arange(3000)) + drift
    assert left.std(axis=0).max() < 1.0


def test_fiducials_that_are_none():
    few = Localizations({"frame": np.arange(50), "x": np.zeros(50), "y": np.zeros(50), "error_x": np.ones(50)})
    with pytest.raises(DataError, match="more than 50 frames") as caught:
        FiducialCorrection().apply(few, few, ctx=Context("drift"))
    assert caught.value.code == "D480"


@pytest.mark.parametrize("deep", [False, True])
def test_density_of_positions_at_random(deep):
    rng = np.random.default_rng(6)
    n, d = 20_000, 3 if deep else 2
    edge = 2000.0 if deep else 10_000.0
    points = rng.uniform(0, edge, (n, d))
    table = Localizations(dict(zip("xyz", points.T, strict=False)) | {"frame": np.zeros(n, int)})
    found = LocalPointDensity(three_d=deep).apply(table)["output"]
    inner = ((points > 0.12 * edge) & (points < 0.88 * edge)).all(axis=1)
    truth = n / (edge / 1e3) ** d
    # Each has 1 / sqrt(8); neighbours share positions, so that some tens of them count as one.
    assert found["local_density"][inner].mean() == pytest.approx(truth, rel=0.02)
    assert found["local_density"][inner].std() == pytest.approx(truth / np.sqrt(8), rel=0.15)
    assert found.units["local_density"] == ("1/um^3" if deep else "1/um^2")


def test_density_at_other_places_by_hand():
    rng = np.random.default_rng(7)
    points, places = rng.uniform(0, 1000, (60, 2)), rng.uniform(0, 1000, (9, 2))
    table, asked = (Table(dict(zip("xy", values.T, strict=True))) for values in (points, places))
    found = LocalPointDensity(three_d=False, n_nearest_neighbours=4).apply(table, asked)["output"]
    distance = np.sort(np.hypot(*(places[:, None] - points[None]).transpose(2, 0, 1)), axis=1)[:, 3] / 1e3
    np.testing.assert_allclose(found["local_density"], 3 / (np.pi * distance**2))
    own = LocalPointDensity(three_d=False, n_nearest_neighbours=4).apply(table)["output"]
    distance = np.sort(np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)), axis=1)[:, 4] / 1e3
    np.testing.assert_allclose(own["local_density"], 3 / (np.pi * distance**2))
    with pytest.raises(DataError) as caught:
        LocalPointDensity(three_d=False, n_nearest_neighbours=60).apply(table)
    assert caught.value.code == "D610"


def mixture(seed=8, n=300):
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2], n)
    centres = np.array([[0, 0], [1500, 300], [400, 2000.0]])
    points = centres[truth] + rng.normal(0, 1, (3 * n, 2)) * np.array([[40, 80], [60, 30], [50, 50.0]])[truth]
    points[5] = np.nan
    return Table({"x": points[:, 0] + 50_000, "y": points[:, 1]}), truth, centres


@pytest.mark.parametrize(("mode", "n"), [("n", 3), ("bic", 5)])
@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_mixture_finds_its_components(mode, n, covariance):
    pytest.importorskip("sklearn", reason="scikit-learn (extra cluster) is not installed")
    table, truth, centres = mixture()
    module = GaussianMixtureModel(mode=mode, n=n, covariance=covariance)
    made = module.apply(table, ctx=Context("gmm", seed=1))
    label = made["output_labeled"]["gmm_label"]
    assert label[5] == 0
    if (mode, covariance) == ("bic", "tied") or (mode, covariance) == ("bic", "spherical"):
        # Shapes that differ are made up of several components there: none of them may mix the three.
        assert all(len(np.unique(truth[label == k])) == 1 for k in range(1, label.max() + 1))
        return
    good = label > 0
    assert len(set(zip(label[good].tolist(), truth[good].tolist(), strict=True))) == 3 == label.max()
    parts = made["output_components"]
    assert parts["count"].sum() == 899
    order = [int(label[k * 300]) - 1 for k in range(3)]
    np.testing.assert_allclose(np.column_stack([parts["x"] - 50_000, parts["y"]])[order], centres, atol=15)
    if covariance in ("full", "diag"):
        np.testing.assert_allclose(parts["width_y"][order], [80, 30, 50], rtol=0.15)


def test_bayesian_mixture_empties_what_is_not_needed():
    pytest.importorskip("sklearn", reason="scikit-learn (extra cluster) is not installed")
    table, truth, _ = mixture()
    module = GaussianMixtureModel(mode="bayesian", n=3, label_key="k", max_iter=500)
    label = module.apply(table, ctx=Context("gmm", seed=2))["output_labeled"]["k"]
    good = label > 0
    assert len(set(zip(label[good].tolist(), truth[good].tolist(), strict=True))) == 3
    again = module.apply(table, ctx=Context("gmm", seed=2))["output_labeled"]["k"]
    np.testing.assert_array_equal(label, again)
    with pytest.raises(DataError) as caught:
        GaussianMixtureModel(n=10).apply(table.select(np.arange(5)), ctx=Context("gmm"))
    assert caught.value.code == "D610"


def ramp(shape, size, origin, **metadata):
    """An image whose pixels say where they are: 2 x + 3 y in um."""
    y, x = (origin[1 - k] + size * np.arange(n) for k, n in enumerate(shape))
    pixels = (2 * x[None] + 3 * y[:, None]) / 1e3
    keys = {"voxelsize.x": size / 1e3, "voxelsize.y": size / 1e3, "Origin.x": origin[0], "Origin.y": origin[1]}
    return ImageStack(pixels[np.newaxis].astype(np.float32), metadata={**keys, **metadata})


def test_composite_keeps_places():
    first = ramp((40, 50), 100.0, (0.0, 0.0))
    other = ramp((70, 90), 60.0, (450.0, 330.0), ChannelNames=["red"])
    made = Composite(input1="b").apply(first, input1=other, ctx=Context("join"))["output"]
    assert made.shape == (1, 2, 40, 50)
    assert made.channels == ("input", "red")
    assert made.pixel_size[0] == pytest.approx(100)
    mine, red = made.asarray()[0]
    np.testing.assert_array_equal(mine, first.asarray()[0, 0])
    y, x = np.mgrid[:40, :50] * 100.0
    well_inside = (x >= 450) & (x <= 450 + 89 * 60) & (y >= 330) & (y <= 330 + 69 * 60)
    assert 0.5 < well_inside.mean() < 1
    np.testing.assert_allclose(red[well_inside], mine[well_inside], atol=1e-4)
    outside = (x < 420) | (y < 300)
    assert (red[outside] == 0).all()
    nearest = Composite(input1="b", interpolate=False).apply(first, input1=other, ctx=Context("join"))["output"].asarray()[0, 1]
    assert np.abs(nearest - mine)[well_inside].max() <= (2 + 3) * 0.030 + 1e-4


def test_composite_of_one_grid_is_exact_and_one_frame_stands_for_all():
    rng = np.random.default_rng(9)
    movie, still = rng.integers(0, 60_000, (4, 6, 5)).astype(np.uint16), rng.integers(0, 60_000, (1, 6, 5)).astype(np.uint16)
    made = Composite(input1="b").apply(ImageStack(movie), input1=ImageStack(still), ctx=Context("join"))["output"]
    assert made.dtype == np.uint16
    assert made.channels == ("input", "b")
    np.testing.assert_array_equal(made.channel(0).asarray()[:, 0], movie)
    np.testing.assert_array_equal(made.channel(1).asarray()[:, 0], np.repeat(still, 4, axis=0))


def test_composite_along_z():
    keys = {"voxelsize.x": 0.1, "voxelsize.y": 0.1}
    z = np.arange(5.0).reshape(1, 5, 1, 1) * np.ones((1, 1, 4, 4)) * 200.0
    first = ImageStack(z, metadata={**keys, "voxelsize.z": 0.2})
    fine = ImageStack(
        np.arange(30.0).reshape(1, 30, 1, 1) * np.ones((1, 1, 4, 4)) * 50.0 + 100,
        metadata={**keys, "voxelsize.z": 0.05, "Origin.z": 100.0},
    )
    for ignore, there in ((False, [0, 200, 400, 600, 800]), (True, [100, 300, 500, 700, 900])):
        made = Composite(input1="b", ignoreZOrigin=ignore).apply(first, input1=fine, ctx=Context("join"))["output"]
        np.testing.assert_allclose(made.channel(1).asarray()[0, :, 2, 2], there, atol=1e-3)


def test_composite_of_what_does_not_go_together():
    image = ImageStack(np.zeros((3, 4, 4)))
    assert any("shift maps are not read" in fault for fault in Composite(shiftmap1="a.sm").check())
    for other in (ImageStack(np.zeros((2, 4, 4))), ImageStack(np.zeros((3, 2, 4, 4)), channels=("a", "b"))):
        with pytest.raises(DataError) as caught:
            Composite(input1="b").apply(image, input1=other, ctx=Context("join"))
        assert caught.value.code == "D442"
    far = ramp((5, 5), 100.0, (1e6, 0.0))
    ctx = Context("join")
    Composite(input1="b").apply(ramp((5, 5), 100.0, (0.0, 0.0)), input1=far, ctx=ctx)
    assert any("wholly outside" in line for line in ctx.warnings)
