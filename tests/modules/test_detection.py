"""Finding spots: filters, backgrounds and both detections against independent implementations and theory."""

import numpy as np
import pytest
import scipy.ndimage as ndi

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import Detect
from recipes_modules.localize.camera import Camera
from recipes_modules.localize.window import Window, window_of

META = {
    "Camera.ADOffset": 100.0, "Camera.ElectronsPerCount": 0.5, "Camera.TrueEMGain": 1.0, "Camera.NoiseFactor": 1.0,
    "Camera.ReadNoise": 1.5, "voxelsize.x": 0.1, "voxelsize.y": 0.1,
}  # fmt: skip


def gaussians(shape, spots, sigma=1.3):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for row, column, photons in spots:
        image += photons / (2 * np.pi * sigma**2) * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))
    return image


def counts(expected, rng):
    electrons = rng.poisson(expected) + rng.normal(0, 1.5, np.shape(expected))
    return np.clip(np.rint(electrons / 0.5 + 100), 0, 65535).astype(np.uint16)


def scanner(movie, window=None, percentile=0.0, **detection):
    from recipes_modules.localize.detection import Detection
    from recipes_modules.localize.scan import Scanner

    stack = movie if isinstance(movie, ImageStack) else ImageStack(movie, metadata=META)
    camera = Camera.from_metadata(stack.metadata, shape=stack.shape[2:])
    return Scanner(stack, camera, window or Window(-30, 0, stack.n_frames), Detection(**detection), percentile)


@pytest.mark.parametrize(("shape", "sigma"), [((40, 57), 1.0), ((40, 57), 3.0), ((3, 2), 2.0), ((1, 9), 1.3)])
def test_the_filter_is_a_gaussian_with_mirrored_borders(shape, sigma):
    from recipes_modules.localize.filters import gaussian_taps, smoothed

    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    taps = gaussian_taps(sigma)
    expected = ndi.gaussian_filter(image.astype(float), sigma, radius=len(taps) - 1, mode="reflect")
    np.testing.assert_allclose(smoothed(image, taps), expected, atol=1e-6)


@pytest.mark.parametrize(("background", "factor"), [(50.0, 1.0), (50.0, np.sqrt(2)), (0.5, 1.0)])
def test_the_filtered_frame_is_in_units_of_its_noise(background, factor):
    from recipes_modules.localize.detection import Detection, matched_filter, workspace

    rng = np.random.default_rng(2)
    light = rng.poisson(background / factor**2, (256, 256)) * factor**2  # variance factor^2 times the mean
    frame = (light + rng.normal(0, 1.5, (256, 256))).astype(np.float32)
    flat, variance = np.full_like(frame, background), np.full_like(frame, 2.25)
    settings = Detection(noise_factor=factor)
    work = workspace(frame.shape, settings)
    score = matched_filter(frame, flat, variance, np.float32(1), settings.taps[0], settings.numbers, work)
    assert score[10:-10, 10:-10].std() == pytest.approx(1, abs=0.02)
    border = np.concatenate([score[:2].ravel(), score[-2:].ravel(), score[:, :2].ravel(), score[:, -2:].ravel()])
    assert border.std() == pytest.approx(1, abs=0.06)
    assert score.mean() == pytest.approx(0, abs=0.05)


def test_noise_alone_is_rarely_taken_for_a_spot():
    rng = np.random.default_rng(3)
    # Maxima of a smooth Gaussian field above u, per area: lambda u exp(-u^2 / 2) / (2 pi)^1.5 (R. J. Adler 1981), with
    # lambda = 1 / (2 sigma^2) of the filter.
    density = 4.5 * np.exp(-(4.5**2) / 2) / (2 * np.pi) ** 1.5 / (2 * (0.8 * 1.3) ** 2)
    for level in (2.0, 20.0, 200.0):
        movie = counts(np.full((150, 128, 128), level), rng)
        found = sum(len(chunk.rows) for chunk in scanner(movie, sigma=1.3).chunks(30, 150))
        expected = density * 120 * 128**2
        assert found < 3 * expected + 3 * np.sqrt(expected)


def test_the_noise_of_electron_multiplication_neither():
    # Behind the register counts are gamma distributed: twice the variance, and a longer tail than that of as many photons again.
    rng = np.random.default_rng(4)
    density = 4.5 * np.exp(-(4.5**2) / 2) / (2 * np.pi) ** 1.5 / (2 * (0.8 * 1.3) ** 2)
    metadata = {**META, "Camera.NoiseFactor": 2**0.5, "Camera.ReadNoise": 0.2}
    for level in (3.0, 10.0):
        electrons = rng.poisson(level, (150, 128, 128))
        light = np.where(electrons > 0, rng.gamma(np.maximum(electrons, 1)), 0)
        movie = ImageStack(
            np.rint((light + rng.normal(0, 0.2, light.shape)) / 0.5 + 100).clip(0).astype(np.uint16), metadata=metadata
        )
        found = sum(len(chunk.rows) for chunk in scanner(movie, sigma=1.3, noise_factor=2**0.5).chunks(30, 150))
        expected = density * 120 * 128**2
        assert found < 2.5 * expected + 3 * np.sqrt(expected)


def test_spots_are_found_where_they_are_even_at_the_border():
    rng = np.random.default_rng(4)
    places = [(0.2, 0.1, 900), (20.4, 63.2, 900), (40.0, 30.0, 600), (63.4, 12.0, 900)]
    movie = counts(np.full((31, 64, 64), 10.0), rng)
    movie[30] = counts(10 + gaussians((64, 64), places), rng)
    chunk = next(iter(scanner(movie).chunks(30, 31)))
    found = sorted(zip(chunk.rows, chunk.columns, strict=True))
    assert len(found) == 4
    np.testing.assert_allclose(found, [place[:2] for place in places], atol=1.01)


def test_a_hot_pixel_of_the_variance_map_is_no_spot():
    from recipes_modules.localize.detection import Detection, detect

    rng = np.random.default_rng(5)
    variance = np.full((64, 64), 2.25, np.float32)
    variance[30, 30] = 400.0**2
    hits = 0
    for _ in range(20):
        frame = (rng.poisson(20, (64, 64)) + rng.normal(0, np.sqrt(variance))).astype(np.float32)
        hits += len(detect(frame, np.full_like(frame, 20), variance, Detection())[0])
    assert hits <= 2


def test_bandpass_is_what_scipy_makes_of_the_description():
    from recipes_modules.localize.detection import Detection, detect

    rng = np.random.default_rng(6)
    spots = [(rng.uniform(8, 72), rng.uniform(8, 92), rng.uniform(300, 3000)) for _ in range(25)]
    frame = (rng.poisson(20 + gaussians((80, 100), spots)) + rng.normal(0, 1.5, (80, 100))).astype(np.float32)
    background, variance = np.full_like(frame, 20), np.full_like(frame, 2.25)
    clean = np.maximum(frame - background, 0).astype(float)
    band = ndi.gaussian_filter(clean, 1.0, radius=4) - ndi.gaussian_filter(clean, 3.0, radius=12)
    ratio = np.maximum(band, 0) / np.sqrt(2.25 + np.maximum(frame, 0.5) + 1)
    inside = np.zeros(frame.shape, bool)
    inside[5:-5, 5:-5] = True
    labels, n = ndi.label((ratio > 0.8) & inside)
    expected = []
    for area in ndi.find_objects(labels):
        weight = ratio[area]
        rows, columns = np.mgrid[area]
        expected.append(((rows * weight).sum() / weight.sum(), (columns * weight).sum() / weight.sum()))
    settings = Detection("bandpass", 0.8, edge=5, electrons_per_count=0.5)
    rows, columns, _ = detect(frame, background, variance, settings)
    assert n > 15
    np.testing.assert_allclose(sorted(zip(rows, columns, strict=True)), sorted(expected), atol=2e-3)


def test_debounce_keeps_the_brightest_and_clumps_go():
    from recipes_modules.localize.detection import Detection, detect

    spots = [(20, 20, 900), (20, 26, 2000), (50, 20, 900), (50, 40, 900)]
    frame = (20 + gaussians((64, 64), spots)).astype(np.float32)
    background, variance = np.full_like(frame, 20), np.full_like(frame, 2.25)

    def found(**options):
        rows, columns, _ = detect(frame, background, variance, Detection(**options))
        return sorted(zip(rows.tolist(), columns.tolist(), strict=True))

    assert found() == [(20, 20), (20, 26), (50, 20), (50, 40)]
    assert found(debounce=7) == [(20, 26), (50, 20), (50, 40)]
    assert found(clump=7) == [(50, 20), (50, 40)]


@pytest.mark.parametrize(("text", "window"), [("-30:0", (-30, 0)), ("0:0", (0, 0)), ("-5:6", (-5, 6)), ((-30, 0), (-30, 0))])
def test_windows_are_slices(text, window):
    assert window_of(text) == window


@pytest.mark.parametrize("text", ["30", "a:b", "0:-30", "1:2:3"])
def test_what_is_no_window(text):
    with pytest.raises(ValueError, match="."):
        window_of(text)
    assert any("background" in fault for fault in Detect(background=text).check())


def test_the_window_at_the_ends_of_the_movie():
    frames = np.arange(100)
    low, high, own = Window(-30, 0, 100).bounds(frames)
    np.testing.assert_array_equal(low, np.maximum(frames - 30, 0))
    np.testing.assert_array_equal(high, frames)
    assert not own.any()
    low, high, own = Window(-30, 0, 100, fill=True).bounds(frames)
    np.testing.assert_array_equal(high - low - own, 30)
    assert np.array_equal(own, frames < 30)
    low, high, own = Window(-30, 0, 10, fill=True).bounds(np.arange(10))
    assert set(high - low - own) == {9}


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_the_mean_background(kind):
    rng = np.random.default_rng(7)
    movie = counts(rng.uniform(5, 200, (1, 20, 31)) * np.ones((150, 1, 1)), rng).astype(kind)
    window = Window(-12, 3, 150)
    for chunk in scanner(movie, window, kind="bandpass").chunks(0, 150):
        for k, background in enumerate(chunk.backgrounds):
            low, high, _ = window.bounds(np.array([chunk.first + k]))
            expected = (movie[low[0] : high[0]].mean(axis=0, dtype=float) - 100) * 0.5
            np.testing.assert_allclose(background, expected, rtol=1e-5, atol=1e-4)


def test_the_percentile_background():
    rng = np.random.default_rng(8)
    movie = counts(rng.uniform(5, 200, (1, 20, 31)) * np.ones((90, 1, 1)), rng)
    chunk = list(scanner(movie, Window(-20, 0, 90), 0.25).chunks(0, 90))
    backgrounds = {piece.first + k: values.copy() for piece in chunk for k, values in enumerate(piece.backgrounds)}
    for frame in (8, 40, 80):
        ordered = np.sort(movie[max(frame - 20, 0) : frame], axis=0).astype(float)
        low, middle = ordered[int(len(ordered) * 0.25)], ordered[len(ordered) // 2]
        expected = low + np.median(middle) - np.median(low)
        np.testing.assert_allclose(backgrounds[frame], (expected - 100) * 0.5, rtol=1e-5, atol=1e-3)


def test_molecules_are_no_background():
    rng = np.random.default_rng(9)
    light = np.stack([20 + gaussians((96, 96), [(*rng.uniform(5, 90, 2), 1500) for _ in range(10)]) for _ in range(60)])
    movie = counts(light, rng)
    clipped = next(iter(scanner(movie).chunks(50, 51))).backgrounds[0]
    plain = next(iter(scanner(movie, kind="bandpass").chunks(50, 51))).backgrounds[0]
    assert plain.mean() > 21.2
    assert abs(clipped.mean() - 20) < (plain.mean() - 20) / 3


def test_without_other_frames_the_neighbourhood_is_the_background():
    rng = np.random.default_rng(10)
    slope = 20 + 0.2 * np.arange(128)[None, :] * np.ones((128, 1))
    spots = [(*rng.uniform(5, 120, 2), 2000) for _ in range(20)]
    movie = counts((slope + gaussians((128, 128), spots))[None], rng)
    chunk = next(iter(scanner(movie, Window(0, 0, 1)).chunks(0, 1)))
    inner = chunk.backgrounds[0][:, 16:-16]
    assert np.abs(inner - slope[:, 16:-16]).max() < 1.0
    assert len(chunk.rows) >= 18


@pytest.mark.parametrize("options", [{}, {"kind": "bandpass", "threshold": 1.0}])
@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_nothing_depends_on_where_a_block_begins(options, kind):
    rng = np.random.default_rng(11)
    light = np.stack([20 + gaussians((48, 48), [(*rng.uniform(0, 47, 2), 1500) for _ in range(4)]) for _ in range(192)])
    movie = (counts(light, rng) * np.float64(1.1)).astype(kind)

    def found(*spans):
        rows = []
        for span in spans:
            for chunk in scanner(movie, **options).chunks(*span):
                rows += list(zip(chunk.index + chunk.first, chunk.rows, chunk.columns, chunk.scores, strict=True))
        return rows

    assert found((0, 192)) == found((0, 64), (64, 128), (128, 192))


def test_detect_tells_what_it_finds_and_shows_it():
    rng = np.random.default_rng(12)
    spots = [(10, 12, 1500), (40, 44, 1500)]
    movie = counts(10 + np.stack([gaussians((64, 64), spots if k in (5, 33) else []) for k in range(40)]), rng)
    ctx = Context("Detect")
    made = Detect(frames=[33, 5, 20], psf_sigma_guess=130.0).apply(ImageStack(movie, metadata=META), ctx=ctx)
    spots_found = made["output_localizations"]
    assert [int((spots_found["frame"] == frame).sum()) for frame in (33, 5, 20)] == [2, 2, 0]
    assert sorted(np.round(spots_found["x"][:2] / 100)) == [12, 44]
    assert any("offset 100" in line for line in ctx.messages)
    assert "frame 20: 0 spots" in ctx.messages
    figure = made["output_figure"]
    assert len(figure.panels) == 3
    assert len(figure.panels[0].content[0].marks[0]) == 2


def test_detect_on_a_frame_that_is_not_there():
    with pytest.raises(DataError, match="no frame 7"):
        Detect(frames=[7]).apply(ImageStack(np.full((3, 32, 32), 120, np.uint16), metadata=META))
