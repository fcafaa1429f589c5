"""Decorrelation and the quality report, against images and simulations whose truth is known."""

import numpy as np
import pytest

from recipes_core import Context, Drift, FrameAxis, ImageStack, Localizations
from recipes_core.errors import DataError
from recipes_modules import Decorrelation, Locs_Simulate, Quality_Report
from recipes_modules.quality.decorrelation import decorrelation
from recipes_modules.quality.density import local_density


def cut_off(n: int, cutoff: float, noise: float, seed: int = 1) -> np.ndarray:
    """White structure up to a frequency (1: the highest that the pixels hold), and white noise everywhere."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)) * 2
    image = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(n, n))) * (radius <= cutoff), (n, n))
    return image / image.std() + noise * rng.normal(size=(n, n))


@pytest.mark.parametrize("cutoff", [0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("noise", [0.03, 0.3])
def test_the_frequency_at_which_an_image_ends(cutoff, noise):
    found = decorrelation(cut_off(256, cutoff, noise), pixel=20.0)
    # A ring is 1/128 of the highest frequency, and fading the edges blurs the spectrum by about as much.
    assert found.resolution == pytest.approx(40 / cutoff, rel=0.04)


def test_more_noise_is_less_signal():
    snr = [decorrelation(cut_off(256, 0.4, noise)).snr for noise in (0.05, 0.3, 1.0)]
    assert snr[0] > snr[1] > snr[2]
    # The maximum of the curve is the correlation of the part that is signal: for white signal below the cutoff, its root mean share.
    for noise, value in zip((0.05, 0.3, 1.0), snr, strict=True):
        power = 4 / (np.pi * 0.4**2)  # of the signal in an element below the cutoff, which hold all of it
        inside, outside = power + noise**2, noise**2
        share = inside * 0.4**2 / (inside * 0.4**2 + outside * (1 - 0.4**2))
        assert value == pytest.approx(np.sqrt(np.pi / 4) * np.sqrt(share), rel=0.06)


def test_curves_are_those_of_the_definition():
    """All of Fourier space, mask by mask, as the paper writes it."""
    n = 96
    image = cut_off(n, 0.5, 0.2, seed=4)
    from scipy.signal.windows import tukey

    window = tukey(n, 40 / n)
    faded = (image - image.mean()) * np.outer(window, window)
    spectrum = np.fft.fft2(faded)
    radius = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)) * n
    inside = (radius < n // 2) & (radius > 0)
    spectrum = np.where(inside, spectrum, 0)
    normal = np.where(inside, spectrum / np.where(inside, np.abs(spectrum), 1), 0)
    found = decorrelation(image)
    for k in (3, 10, 24, 40):
        mask = inside & (radius < k)
        above = np.real(np.sum(spectrum * np.conj(normal) * mask))
        below = np.sqrt(np.sum(np.abs(spectrum) ** 2) * np.sum(np.abs(normal * mask) ** 2))
        assert found.curves[0][k - 1] == pytest.approx(above / below, rel=1e-9)


def test_noise_and_flat_images_have_no_resolution():
    with pytest.raises(DataError, match="all noise") as caught:
        decorrelation(np.random.default_rng(0).normal(size=(128, 128)))
    assert caught.value.code == "D456"
    with pytest.raises(DataError, match="same everywhere"):
        decorrelation(np.ones((64, 64)))
    with pytest.raises(DataError, match="at least"):
        decorrelation(np.eye(8))


def test_a_series_gives_the_median_of_its_frames():
    frames = np.stack([cut_off(128, cutoff, 0.1, seed=k) for k, cutoff in enumerate((0.3, 0.5, 0.7))])
    stack = ImageStack(frames, time=FrameAxis(), metadata={"voxelsize.x": 0.02, "voxelsize.y": 0.02})
    made = Decorrelation().apply(stack)
    assert made["output_resolution"]["resolution"] == pytest.approx(80, rel=0.05)
    assert made["output_resolution"]["n_frames"] == 3
    assert made["output_plot"].panels[0].note.startswith("resolution")
    with pytest.raises(DataError, match="pixel size"):
        Decorrelation().apply(ImageStack(frames))


def test_a_resolution_of_the_pixels_is_told():
    ctx = Context("Decorrelation")
    stack = ImageStack(cut_off(128, 0.97, 0.01), metadata={"voxelsize.x": 0.02, "voxelsize.y": 0.02})
    Decorrelation().apply(stack, ctx=ctx)
    assert "smaller ones" in ctx.warnings[0]


def test_density_is_that_of_a_count():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 5000, (2, 20000))
    found = local_density(x, y, 150.0)
    # Poisson: 800 a square micrometre, 72 in a square of 300 nm.
    middle = (x > 200) & (x < 4800) & (y > 200) & (y < 4800)
    assert found[middle].mean() == pytest.approx(800, rel=0.02)
    assert found[middle].std() == pytest.approx(800 / np.sqrt(72), rel=0.15)
    far = local_density(np.append(x, 1e9), np.append(y, 1e9), 150.0)
    np.testing.assert_array_equal(far[:-1], found)
    assert far[-1] == 0


@pytest.fixture(scope="module")
def simulated():
    return Locs_Simulate(n_localizations=60000, n_frames=9000, drift_amplitude=[300, 300, 0], precision=12.0).apply(seed=4)


class TestReport:
    @staticmethod
    def corrected(simulated):
        locs, drift = simulated["output_localizations"], simulated["output_drift"]
        at = drift.at(locs["frame"])
        return locs.with_columns({axis: locs[axis] + at[:, k] for k, axis in enumerate("xyz")}), drift

    def test_the_numbers_are_those_of_the_simulation(self, simulated):
        locs, drift = self.corrected(simulated)
        ctx = Context("Quality_Report")
        made = Quality_Report().apply(locs, drift, ctx=ctx)
        found = made["output_quality"]
        assert found["nena"] == pytest.approx(12, rel=0.03)
        assert found["nena_band_95"][0] < 12 < found["nena_band_95"][1]
        assert found["claimed_over_nena"] == pytest.approx(1, abs=0.03)
        assert found["photons"] == pytest.approx(np.median(locs["photons"]))
        assert found["localizations_per_frame"] == pytest.approx(60000 / 9000, rel=0.001)
        assert found["drift_verdict"] == "good"
        assert found["drift_range_x"] == pytest.approx(300, rel=0.01)
        assert found["frc_band_95"][0] < found["frc"] < found["frc_band_95"][1]
        assert 0.9 < found["last_over_first_tenth"] < 1.1
        assert found.units["nena"] == "nm"
        assert ctx.warnings == []
        assert len(made["output_figure"].panels) >= 6
        notes = [panel.note for panel in made["output_figure"].panels]
        assert any(note.startswith("Precision (NeNA)") for note in notes)
        assert any(note.startswith("Resolution (FRC)") for note in notes)
        assert max(len(line) for note in notes for line in note.splitlines()) < 64  # a panel has room for so many

    def test_a_wrong_drift_is_told(self, simulated):
        locs, drift = simulated["output_localizations"], simulated["output_drift"]
        ctx = Context("Quality_Report")
        made = Quality_Report().apply(locs, Drift(drift.frames, -0.5 * drift.correction), ctx=ctx)
        assert made["output_quality"]["drift_verdict"] != "good"
        assert any("drift" in text for text in ctx.warnings)

    def test_errors_that_are_wrong_are_told(self, simulated):
        locs, _ = self.corrected(simulated)
        ctx = Context("Quality_Report")
        wrong = locs.with_columns({"error_x": locs["error_x"] / 2})
        found = Quality_Report().apply(wrong, ctx=ctx)["output_quality"]
        assert found["claimed_over_nena"] == pytest.approx(0.5, abs=0.02)
        assert "claim" in ctx.warnings[0]

    def test_right_errors_that_differ_much_are_believed(self):
        """Bright and dim localizations together: distances in nm are no single law, and must not put right errors in doubt."""
        rng = np.random.default_rng(8)
        n = 20000
        place = rng.uniform(0, 30e3, (n, 2))
        frame = rng.integers(0, 4000, n)
        rows = np.repeat(np.arange(n), 3)
        error = 8.0 / np.sqrt(rng.exponential(1.0, len(rows)) + 0.05)
        x, y = (place[rows] + rng.normal(0, 1, (len(rows), 2)) * error[:, None]).T
        table = Localizations(
            {"x": x, "y": y, "frame": frame[rows] + np.tile(np.arange(3), n), "error_x": error, "error_y": error}
        )
        ctx = Context("Quality_Report")
        found = Quality_Report().apply(table, ctx=ctx)["output_quality"]
        assert found["claimed_over_nena"] == pytest.approx(1, abs=0.05)
        assert not any("claim" in text for text in ctx.warnings)

    def test_a_plain_table_is_enough_and_what_is_missing_is_told(self):
        rng = np.random.default_rng(1)
        table = Localizations({"x": rng.uniform(0, 9e3, 500), "y": rng.uniform(0, 9e3, 500), "frame": np.arange(500) * 7})
        ctx = Context("Quality_Report")
        found = Quality_Report().apply(table, ctx=ctx)["output_quality"]
        assert found["n_localizations"] == 500
        assert "nena" not in found.values
        assert "no precision by NeNA" in ctx.warnings[0]
        with pytest.raises(DataError, match="no localizations"):
            Quality_Report().apply(table.select(np.zeros(500, bool)))

    @pytest.mark.parametrize("threads", [1, 3])
    def test_the_same_whatever_the_threads(self, simulated, threads):
        locs, _ = self.corrected(simulated)
        some = locs.select(slice(0, 20000))
        first = Quality_Report(n_splits=3).apply(some, ctx=Context("q", n_threads=threads))["output_quality"]
        second = Quality_Report(n_splits=3).apply(some, ctx=Context("q", n_threads=2))["output_quality"]
        assert first.values == second.values
