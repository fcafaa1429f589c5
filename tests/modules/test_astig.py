"""Astigmatic 3D: calibration from beads and z from widths, against simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from recipes_core.data import ImageStack, Localizations, Table
from recipes_core.errors import DataError, UsageError
from recipes_core.module import Context
from recipes_modules.localize.astigmatism import Calibration, calibrate, find_z
from recipes_modules.localize.fitting import FitSettings, fit_spots
from recipes_modules.localize.width_correlation import width_correlation
from recipes_modules.localize_astig import Astig_Calibrate, Astig_Z

COEFFICIENTS = np.array([[130.0, -250.0, 450.0, 0.1, 0.05], [140.0, 230.0, 420.0, -0.1, 0.08]])
PIXEL = 100.0
METADATA = {
    "voxelsize.x": 0.1, "voxelsize.y": 0.1, "voxelsize.z": 0.025, "voxelsize.units": "um", "Camera.ADOffset": 100.0,
    "Camera.ElectronsPerCount": 0.45, "Camera.TrueEMGain": 1.0, "Camera.NoiseFactor": 1.0, "Camera.ReadNoise": 1.5,
}  # fmt: skip


def widths_at(z):
    """The curves, as a formula of the test's own."""
    w0, c, d, a, b = COEFFICIENTS.T[..., None]
    u = (np.asarray(z) - c) / d
    return w0 * np.sqrt(1 + u**2 + a * u**3 + b * u**4)


CROSSING = float(np.interp(0, np.diff(widths_at(np.arange(-200, 201)), axis=0)[0][::-1], np.arange(-200, 201)[::-1]))
"""Where the true widths are equal; z of a calibration counts from there."""


def render(x, y, z, photons, shape, background, rng, scale=0.45):
    """Frames in ADU, a spot in each, or all of them in one where z is a number for each of several spots of one frame."""
    sx, sy = widths_at(z) / PIXEL
    edges = [np.arange(n + 1) - 0.5 for n in shape]
    gy, gx = (
        np.diff(0.5 * special.erf((edge - place[:, None]) / (np.sqrt(2) * s[:, None])), axis=1)
        for edge, place, s in zip(edges, (y, x), (sy, sx), strict=True)
    )
    mean = background + photons * gy[:, :, None] * gx[:, None, :]
    return (rng.poisson(mean) + rng.normal(0, 1.5, mean.shape)) / scale + 100


def bead_stack(heights, seed=0, photons=20000, planes=None):
    """Planes from -700 to 700 nm with nine beads at the heights given."""
    rng = np.random.default_rng(seed)
    planes = np.arange(-700, 701, 25.0) if planes is None else planes
    x, y = (np.add.outer([24, 64, 104], [0, 0, 0]).ravel() + rng.uniform(-3, 3, 9) for _ in range(2))
    y = np.tile([24, 64, 104], 3) + rng.uniform(-3, 3, 9)
    out = np.empty((len(planes), 128, 128), np.float32)
    for k, z in enumerate(planes):
        alone = render(x, y, z + heights, photons, (128, 128), 0.0, np.random.default_rng(seed + k + 1))
        out[k] = (alone - 100).sum(axis=0) + 100 + rng.poisson(20, (128, 128)) / 0.45
    return ImageStack(out[np.newaxis], metadata=METADATA)


@pytest.fixture(scope="module")
def heights():
    return np.random.default_rng(3).uniform(-80, 80, 9)


@pytest.fixture(scope="module")
def made(heights):
    return Astig_Calibrate().apply(bead_stack(heights))


def test_curves_from_a_stack_of_beads(made):
    calibration = made["output_calibration"]
    z = calibration["z"]
    inside = np.abs(z) < 650
    expected = widths_at(z + CROSSING)
    for axis, name in enumerate(("sigma_x", "sigma_y")):
        np.testing.assert_allclose(calibration[name][inside], expected[axis][inside], rtol=0.01)
    quality = made["output_quality"]
    assert quality["beads"] == 9
    assert quality["z_low"] < -650
    assert quality["z_high"] > 650
    assert quality["z_scatter"] < 8
    # Beads of one kind do not differ beyond their errors.
    assert calibration["scatter_x"][inside].max() < 3


@pytest.mark.parametrize("curve", ["defocus", "spline"])
def test_heights_of_beads_and_curves(curve, heights):
    rng = np.random.default_rng(5)
    z = np.tile(np.arange(-700, 701, 20.0), 9)
    bead = np.repeat(np.arange(9), len(z) // 9)
    true = widths_at(z + heights[bead])
    errors = 0.015 * true
    calibration, moved = calibrate(z, true + rng.normal(0, 1, true.shape) * errors, errors, bead, curve=curve)
    np.testing.assert_allclose(moved - moved.mean(), heights - heights.mean(), atol=4)
    np.testing.assert_allclose(moved, heights - CROSSING, atol=15)
    inside = np.abs(calibration.z) < 600
    np.testing.assert_allclose(calibration.widths[:, inside] / widths_at(calibration.z[inside] + CROSSING), 1, atol=0.03)
    assert float(np.interp(0, calibration.z, calibration.widths[0] - calibration.widths[1])) == pytest.approx(0, abs=1)


def test_z_of_single_molecules_from_the_movie_to_z(made):
    rng = np.random.default_rng(6)
    n = 6000
    true = rng.uniform(-400, 400, n)
    x, y = rng.uniform(9.5, 10.5, (2, n))
    frames = (render(x, y, true + CROSSING, 3000.0, (21, 21), 20.0, rng) - 100) * 0.45
    fitted = fit_spots(frames, y, x, np.arange(n), 2.25, FitSettings(model="sigma_xy", half=6, sigma=1.5))
    locs = Localizations(
        {
            "x": fitted["x"] * PIXEL, "y": fitted["y"] * PIXEL, "frame": np.arange(n),
            **{f"{kind}sigma_{axis}": fitted[f"{kind}sigma_{axis}"] * PIXEL for kind in ("", "error_") for axis in "xy"},
        }
    )  # fmt: skip
    found = Astig_Z().apply(locs, made["output_calibration"])["output_localizations"]
    good = (found["z_code"] == 1) & (fitted["result_code"] == 1)
    assert good.mean() > 0.99
    off = found["z"][good] - true[good]
    assert abs(np.median(off)) < 4
    assert 1.4826 * np.median(np.abs(off / found["error_z"][good])) == pytest.approx(1, abs=0.06)
    # As good as the bound of a fit of z itself, which knows the curves: the widths hold all that is known about z.
    curves = Calibration.from_table(made["output_calibration"]).curves((PIXEL, PIXEL))
    direct = fit_spots(frames, y, x, np.arange(n), 2.25, FitSettings(model="depth", half=6, sigma=1.5, curves=curves))
    assert np.median(found["error_z"]) == pytest.approx(np.median(direct["error_z"]), rel=0.05)
    straight = (direct["z"] - true)[direct["result_code"] == 1]
    assert np.median(np.abs(off)) < 1.05 * np.median(np.abs(straight))
    # Distances from the curves follow a chi distribution of one degree of freedom: two widths, one z.
    assert np.mean(found["z_mismatch"][good] ** 2) == pytest.approx(1, abs=0.12)


def test_errors_of_z_with_and_without_errors_of_the_widths():
    rng = np.random.default_rng(7)
    z = np.arange(-700, 701, 5.0)
    calibration = Calibration(z, widths_at(z), np.zeros((2, len(z))))
    true = rng.uniform(-600, 600, 20000)
    errors = widths_at(true) * rng.uniform(0.01, 0.05, (2, 20000))
    measured = widths_at(true) + rng.normal(0, 1, errors.shape) * errors
    found = find_z(calibration, *measured, *errors)
    score = (found["z"] - true) / found["error_z"]
    assert 1.4826 * np.median(np.abs(score)) == pytest.approx(1, abs=0.03)
    assert np.std(score) < 1.06
    assert np.mean(found["mismatch"] ** 2) == pytest.approx(1, abs=0.03)
    exact = find_z(calibration, *widths_at(true), *errors)
    np.testing.assert_allclose(exact["z"], true, atol=0.05)
    plain = find_z(calibration, *measured, None, None)
    assert np.isnan(plain["error_z"]).all()
    assert np.std(plain["z"] - true) < 1.5 * np.std(found["z"] - true)
    # A scatter of the curves makes errors larger.
    doubtful = find_z(Calibration(z, widths_at(z), np.full((2, len(z)), 10.0)), *measured, *errors)
    assert np.median(doubtful["error_z"]) > 1.3 * np.median(found["error_z"])


def test_errors_of_the_two_widths_go_together():
    """As the inverse of Fisher's information says, with derivatives by differences."""
    half, variance, excess = 4, 2.0, 2.0
    edges = np.arange(-half, half + 2) - 0.5

    def spot(theta):
        photons, background, sigma_x, sigma_y = theta
        across, down = (np.diff(special.erf(edges / (np.sqrt(2) * sigma))) / 2 for sigma in (sigma_x, sigma_y))
        return photons * np.outer(down, across) + background

    for theta in ((800.0, 12.0, 1.4, 2.1), (5000.0, 0.5, 2.6, 1.3), (300.0, 40.0, 1.6, 1.6)):
        steps = np.diag(1e-4 * np.array(theta))
        slopes = np.array([(spot(theta + step) - spot(theta - step)).ravel() / (2 * step.sum()) for step in steps])
        bound = np.linalg.inv(slopes / (excess * spot(theta) + variance).ravel() @ slopes.T)
        expected = bound[2, 3] / np.sqrt(bound[2, 2] * bound[3, 3])
        photons, background, sigma_x, sigma_y = (np.array([value]) for value in theta)
        found = width_correlation(sigma_x, sigma_y, photons, background, half, variance, excess)
        assert found[0] == pytest.approx(expected, abs=1e-4)


def test_errors_of_z_are_what_they_are_said_to_be(made):
    """In a small region too, where both widths hang on what is taken for background."""
    rng = np.random.default_rng(21)
    n, half = 6000, 4
    true = rng.uniform(-250, 250, n)
    x, y = rng.uniform(9.5, 10.5, (2, n))
    frames = (render(x, y, true + CROSSING, 3000.0, (21, 21), 20.0, rng) - 100) * 0.45
    fitted = fit_spots(frames, y, x, np.arange(n), 2.25, FitSettings(model="sigma_xy", half=half, sigma=1.5))
    columns = {"x": fitted["x"] * PIXEL, "y": fitted["y"] * PIXEL, "frame": np.arange(n)}
    columns |= {name: fitted[name] for name in ("photons", "background")}
    columns |= {f"{kind}sigma_{axis}": fitted[f"{kind}sigma_{axis}"] * PIXEL for kind in ("", "error_") for axis in "xy"}
    locs = Localizations(columns, metadata={**METADATA, "Analysis.ROISize": half})
    found = Astig_Z().apply(locs, made["output_calibration"])["output_localizations"]
    score = ((found["z"] - true) / found["error_z"])[(found["z_code"] == 1) & (fitted["result_code"] == 1)]
    assert 1.4826 * np.median(np.abs(score - np.median(score))) == pytest.approx(1, abs=0.05)


def table_of(sigma_x, sigma_y, **more):
    n = len(sigma_x)
    return Localizations(
        {"x": np.zeros(n), "y": np.zeros(n), "frame": np.arange(n), "sigma_x": sigma_x, "sigma_y": sigma_y, **more}
    )


def test_ends_of_the_range_and_rows_without_widths():
    z = np.arange(-300, 301, 5.0)
    calibration = Calibration(z, widths_at(z), np.zeros((2, len(z)))).to_table()
    true = np.array([-600.0, -100.0, 0.0, 50.0, 600.0])
    sigma_x, sigma_y = widths_at(true)
    sigma_x[2], sigma_y[3] = np.nan, 0.0
    errors = {f"error_sigma_{axis}": np.full(5, 2.0) for axis in "xy"}
    locs = table_of(sigma_x, sigma_y, **errors)
    ctx = Context("z")
    found = Astig_Z().apply(locs, calibration, ctx=ctx)["output_localizations"]
    np.testing.assert_array_equal(found["z_code"], [6, 1, 0, 0, 6])
    np.testing.assert_allclose(found["z"], [-300, -100, np.nan, np.nan, 300], atol=0.1)
    assert any("ends of the calibrated range" in text for text in ctx.warnings)
    assert any("2 localizations without widths" in text for text in ctx.messages)
    dropped = Astig_Z(range_ends="drop").apply(locs, calibration)["output_localizations"]
    assert len(dropped) == 3
    near = Astig_Z(max_mismatch=3.0).apply(locs, calibration)["output_localizations"]
    np.testing.assert_array_equal(near["z_code"], [1, 0, 0])
    scaled = Astig_Z(z_scale=0.8).apply(locs, calibration)["output_localizations"]
    np.testing.assert_allclose(scaled["z"][1], -80, atol=0.1)
    np.testing.assert_allclose(scaled["error_z"][1], 0.8 * found["error_z"][1], rtol=1e-5)
    ctx = Context("z")
    plain = Astig_Z().apply(table_of(sigma_x, sigma_y), calibration, ctx=ctx)["output_localizations"]
    assert np.isnan(plain["error_z"]).all()
    assert any("no errors" in text for text in ctx.warnings)


@pytest.mark.parametrize("ending", ["csv", "hdf"])
def test_a_calibration_survives_a_file(tmp_path, made, ending):
    import recipes_core.io  # noqa: F401 - registers the formats

    path = tmp_path / f"calibration.{ending}"
    made["output_calibration"].save(path)
    locs = table_of(*widths_at(np.array([-200.0, 150.0]) + CROSSING))
    direct = Astig_Z().apply(locs, made["output_calibration"])["output_localizations"]
    loaded = Astig_Z(calibration_file=str(path)).apply(locs)["output_localizations"]
    np.testing.assert_allclose(loaded["z"], direct["z"], atol=0.02)
    # The curves for direct fits come back too, from the metadata or from the table.
    read = Calibration.from_table(Table.load(path)).curves((PIXEL, PIXEL))
    kept = Calibration.from_table(made["output_calibration"]).curves((PIXEL, PIXEL))
    np.testing.assert_allclose(read[:2, :3], kept[:2, :3], rtol=0.02)


def test_calibration_from_a_table_of_fits():
    rng = np.random.default_rng(8)
    frames = np.repeat(np.arange(57), 4)
    stage = (frames - 28) * 25.0
    sigma = widths_at(stage) * rng.normal(1, 0.01, (2, len(frames)))
    table = table_of(*sigma, group=np.tile(np.arange(4), 57))
    table = table.with_columns({"frame": frames, "z": stage})
    by_step = Astig_Calibrate(z_step=25.0).apply(input_localizations=table)["output_calibration"]
    by_column = Astig_Calibrate().apply(input_localizations=table)["output_calibration"]
    for found in (by_step, by_column):
        z = found["z"]
        inside = np.abs(z) < 600
        np.testing.assert_allclose(found["sigma_x"][inside], widths_at(z[inside] + CROSSING)[0], rtol=0.01)
    other = Astig_Calibrate(moves="objective").apply(input_localizations=table)["output_calibration"]
    np.testing.assert_allclose(
        np.interp(-200, other["z"], other["sigma_x"]), np.interp(200, by_column["z"], by_column["sigma_x"]), rtol=0.01
    )
    kept = Astig_Calibrate(z_min=-300.0, z_max=300.0, zero="stage").apply(input_localizations=table)["output_calibration"]
    assert (kept["z"].min(), kept["z"].max()) == (-300, 300)
    np.testing.assert_allclose(kept["sigma_y"], widths_at(kept["z"])[1], rtol=0.02)


def test_beads_without_a_camera_and_planes_along_time(heights):
    stack = bead_stack(heights, photons=5000)
    bare = ImageStack(
        stack.asarray()[0][:, np.newaxis], metadata={name: value for name, value in METADATA.items() if "voxel" in name}
    )
    ctx = Context("calibrate")
    made = Astig_Calibrate(z_step=25.0).apply(bare, ctx=ctx)
    z = made["output_calibration"]["z"]
    inside = np.abs(z) < 500
    np.testing.assert_allclose(made["output_calibration"]["sigma_x"][inside], widths_at(z[inside] + CROSSING)[0], rtol=0.03)
    assert any("camera" in text for text in ctx.warnings)


def test_says_when_the_widths_are_no_defocus_curves():
    stage = np.arange(-600, 601, 10.0)
    errors = {f"error_sigma_{axis}": np.full(len(stage), 1.0) for axis in "xy"}
    odd = widths_at(stage) * (1 + 0.08 * np.sin(stage / 80))
    ctx = Context("calibrate")
    Astig_Calibrate().apply(input_localizations=table_of(*odd, z=stage, **errors), ctx=ctx)
    assert any("curve: spline" in text for text in ctx.warnings)
    ctx = Context("calibrate")
    made = Astig_Calibrate(curve="spline").apply(input_localizations=table_of(*odd, z=stage, **errors), ctx=ctx)
    assert not ctx.warnings
    assert made["output_quality"]["z_scatter"] < 5
    ctx = Context("calibrate")
    Astig_Calibrate().apply(input_localizations=table_of(*widths_at(stage), z=stage, **errors), ctx=ctx)
    assert not ctx.warnings


def flat_stack(value=100.0):
    return ImageStack(np.full((1, 20, 64, 64), value, np.float32), metadata=METADATA)


def test_what_gives_no_calibration(heights):
    with pytest.raises(DataError, match="either planes or a table"):
        Astig_Calibrate().apply()
    with pytest.raises(DataError, match="all alike"):
        Astig_Calibrate().apply(flat_stack())
    few = bead_stack(heights, planes=np.array([-50.0, 0.0, 50.0]))
    with pytest.raises(DataError, match="at least 8"):
        Astig_Calibrate().apply(few)
    bare = ImageStack(few.asarray(), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1})
    with pytest.raises(DataError, match="distance of the planes"):
        Astig_Calibrate().apply(bare)
    round_spot = np.arange(-500, 501, 25.0)
    same = table_of(*np.stack([130 + 0 * round_spot, 160 + 0 * round_spot]), z=round_spot)
    with pytest.raises(DataError, match="nowhere equal"):
        Astig_Calibrate().apply(input_localizations=same)
    with pytest.raises(UsageError, match="not below"):
        Astig_Calibrate(z_min=5.0, z_max=5.0).apply(input_localizations=same)
    locs = table_of(np.array([150.0]), np.array([150.0]))
    with pytest.raises(DataError, match="no calibration"):
        Astig_Z().apply(locs)
    with pytest.raises(DataError, match="no curves"):
        Astig_Z().apply(locs, Table({"z": np.zeros(20), "sigma_x": np.ones(20), "sigma_y": np.ones(20)}))
