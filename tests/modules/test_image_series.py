"""Image_RCC on long series, windows and z stacks, against the simulated truth."""

import numpy as np
import pytest
from scipy.linalg import cholesky_banded

from recipes_core.data import Drift, FrameAxis, ImageStack
from recipes_core.errors import DataError, UsageError
from recipes_core.module import Context
from recipes_modules import Drift_Interpolate, Image_Post_Shift, Image_RCC
from recipes_modules.correlation.banded import inverse_diagonal
from recipes_modules.correlation.images import pairs_apart
from recipes_modules.correlation.series import cut_series, mean_image

NM = np.array([100.0, 100.0, 200.0])
METADATA = {f"voxelsize.{axis}": size / 1000 for axis, size in zip("xyz", NM, strict=True)}


class NoisySpots:
    """A frame source: spots that move on a noisy background, computed when asked for."""

    def __init__(self, n: int, *, size: int = 64, peak: float = 30.0, noise: float = 7.0, spots: int = 40) -> None:
        self.shape = (n, 1, size, size)
        self.dtype = np.dtype(np.float32)
        rng = np.random.default_rng(0)
        self._places = rng.uniform(4, size - 4, (spots, 2))
        self._height = rng.uniform(0.5, 1.5, spots) * peak
        self._noise = noise
        self.most = 0
        t = np.arange(n) / n
        self.motion = np.column_stack([3 * np.sin(6 * t) + 2 * t, -4 * t**2])

    def read(self, start: int, stop: int) -> np.ndarray:
        self.most = max(self.most, stop - start)
        size = self.shape[2]
        places = self._places + self.motion[start:stop, np.newaxis]
        profiles = np.exp(-((np.arange(size) - places[..., np.newaxis]) ** 2) / (2 * 1.4**2))
        images = np.einsum("s,tsy,tsx->tyx", self._height, profiles[:, :, 1], profiles[:, :, 0], optimize=True)
        noise = [np.random.default_rng([5, k]).normal(0, self._noise, (size, size)) for k in range(start, stop)]
        return (images + noise).astype(np.float32)[:, np.newaxis]


def defocused(motion: np.ndarray, depth: tuple[float, float], *, peak: float, shape=(20, 72, 72), n: int = 120) -> np.ndarray:
    """Stacks (t, z, y, x) with shot noise of spots at `depth` (planes) that widen away from their focus, moved by pixels x, y, z."""
    rng = np.random.default_rng(0)
    places = rng.uniform((depth[0], 7, 7), (depth[1], shape[1] - 7, shape[2] - 7), (n, 3))
    light = rng.uniform(0.5, 1.5, n) * peak * 1.3**2
    stacks = []
    for dx, dy, dz in motion:
        width = 1.3 * np.sqrt(1 + ((np.arange(shape[0]) - places[:, :1] - dz) / 2.2) ** 2)[..., np.newaxis]
        y = np.exp(-((np.arange(shape[1]) - places[:, 1, None, None] - dy) ** 2) / (2 * width**2)) / width
        x = np.exp(-((np.arange(shape[2]) - places[:, 2, None, None] - dx) ** 2) / (2 * width**2)) / width
        stacks.append(np.einsum("s,szy,szx->zyx", light, y, x, optimize=True))
    return rng.poisson(np.array(stacks) + 100).astype(np.float32) - 100


def measured(stack: ImageStack, **parameters) -> tuple[Drift, Context]:
    ctx = Context("Image_RCC", n_threads=2, wanted=["output_drift"])
    return Image_RCC(**parameters).apply(stack, ctx=ctx)["output_drift"], ctx


def differences(drift: Drift, motion: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Error of each knot, mean removed, nm."""
    axes = motion.shape[1]
    truth = np.column_stack([np.interp(drift.frames, np.arange(len(motion)), motion[:, axis]) for axis in range(axes)])
    error = drift.correction[:, :axes] + truth * size[:axes]
    return error - error.mean(axis=0)


class TestDepth:
    """Structure that fills the stack, lies in its middle, or sticks out at one end: none may pull z towards or away from no shift."""

    @pytest.mark.parametrize("depth", [(-6, 26), (7, 13), (-2, 8)])
    def test_z_drift_of_stacks(self, depth: tuple[float, float]) -> None:
        t = np.arange(12) / 12
        motion = np.column_stack([4 * t + np.sin(5 * t), -3 * t**2, 3.5 * np.sin(4 * t) - 1.5 * t])
        found, _ = measured(ImageStack(defocused(motion, depth, peak=300), metadata=METADATA), corr_window=-1)
        rms = differences(found, motion, NM).std(axis=0)
        assert (rms[:2] < 1.5).all()
        assert rms[2] < 8
        for axis, most in enumerate((0.01, 0.01, 0.03)):
            slope = np.polyfit(motion[:, axis], -found.correction[:, axis] / NM[axis], 1)[0]
            assert slope == pytest.approx(1, abs=most)

    def test_error_bars_of_noisy_stacks(self) -> None:
        t = np.arange(16) / 16
        motion = np.column_stack([2 * t, -t, 1.5 * np.sin(5 * t)])
        found, _ = measured(ImageStack(defocused(motion, (5, 15), peak=40), metadata=METADATA), corr_window=-1)
        score = differences(found, motion, NM)[1:] / found.error[1:]
        rms = np.sqrt(np.mean(score**2, axis=0))
        assert (rms > 0.5).all()
        assert (rms < 1.7).all()

    def test_corrected_stacks_stand_still(self) -> None:
        t = np.arange(6) / 6
        motion = np.column_stack([3 * t, -2 * t, 2.5 * t])
        stack = ImageStack(defocused(motion, (6, 12), peak=3000), metadata=METADATA)
        drift, _ = measured(stack, corr_window=-1)
        curve = Drift_Interpolate(smoothing_factor=0.0).apply(drift)["output_drift_interpolator"]
        moved = Image_Post_Shift().apply(stack, curve)["outputName"].asarray()
        inside = np.s_[4:-4, 8:-8, 8:-8]
        still = moved[0][inside]
        before, after = (np.abs(images[-1][inside] - still).mean() for images in (stack.asarray(), moved))
        assert after < 0.1 * before

    def test_planes_whose_distance_is_unknown(self) -> None:
        stack = ImageStack(
            np.random.default_rng(0).normal(size=(4, 5, 32, 32)), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1}
        )
        with pytest.raises(DataError, match="distance of the 5 planes") as caught:
            measured(stack)
        assert caught.value.code == "D435"
        drift, ctx = measured(stack, flatten_z=True, method="MCC")
        np.testing.assert_array_equal(drift.correction[:, 2], 0)
        assert any("averaged" in message for message in ctx.messages)


class TestLong:
    def test_errors_do_not_add_up_along_a_series(self) -> None:
        """Each image is as exact as its own noise allows, at the end as at the beginning, and says so."""
        source = NoisySpots(1000, peak=12)
        found, _ = measured(ImageStack(source, metadata=METADATA))
        error = differences(found, source.motion, NM)
        noise = np.diff(error, axis=0).std(axis=0) / np.sqrt(2)
        assert (error.std(axis=0) < 1.15 * noise).all()
        np.testing.assert_allclose(np.sqrt(np.mean(found.error[1:, :2] ** 2, axis=0)), noise, rtol=0.15)
        neighbours, _ = measured(ImageStack(source, metadata=METADATA), method="MCC")
        assert (differences(neighbours, source.motion, NM).std(axis=0) > 1.5 * error.std(axis=0)).all()

    def test_windows_are_as_exact_as_their_images_together(self) -> None:
        source = NoisySpots(2000, peak=12)
        found, _ = measured(ImageStack(source, metadata=METADATA), window=25)
        assert len(found) == 80
        np.testing.assert_array_equal(found.frames, 12 + 25 * np.arange(80))
        assert found.measured == (0, 1999)
        error = differences(found, source.motion, NM)
        # Against the noise of single images, 0.072 pixels, a fifth; besides it the bias of edges that do not fade.
        assert (np.diff(error, axis=0).std(axis=0) / np.sqrt(2) < 1.3 * 7.2 / 5).all()
        assert (error.std(axis=0) < 3).all()

    def test_overlapping_windows_are_not_compared_with_their_own_noise(self) -> None:
        """Pure noise would correlate at no shift: with weak structure the drift would come out too small."""
        source = NoisySpots(1200, peak=8)
        found, _ = measured(ImageStack(source, metadata=METADATA), window=40, step=10)
        assert len(found) == 117
        truth = np.column_stack([np.interp(found.frames, np.arange(1200), source.motion[:, axis]) for axis in range(2)])
        for axis in range(2):
            assert np.polyfit(truth[:, axis], -found.correction[:, axis] / 100, 1)[0] == pytest.approx(1, abs=0.03)

    def test_frames_are_read_piece_by_piece(self) -> None:
        source = NoisySpots(1000, size=128, spots=5)
        mean, bad = mean_image(ImageStack(source), 0, 1000, deep=False)
        assert source.most * 128 * 128 * 4 <= 2**24
        assert bad == 0
        np.testing.assert_allclose(mean[0], np.mean([source.read(k, k + 1)[0, 0] for k in range(1000)], axis=0), atol=1e-4)

    def test_binned_series_count_in_frames_of_the_movie(self) -> None:
        source = NoisySpots(40)
        found, _ = measured(ImageStack(source, metadata=METADATA, time=FrameAxis(4.5, 10)), window=4)
        np.testing.assert_array_equal(found.frames, 19.5 + 40 * np.arange(10))
        assert found.measured == (0, 399)

    def test_threads_do_not_change_a_byte(self) -> None:
        stack = ImageStack(NoisySpots(60), metadata=METADATA)
        made = [
            Image_RCC(window=2).apply(stack, ctx=Context("s", n_threads=n, wanted=["output_drift"]))["output_drift"]
            for n in (1, 3)
        ]
        assert made[0].correction.tobytes() == made[1].correction.tobytes()
        assert made[0].error.tobytes() == made[1].error.tobytes()

    def test_a_far_wandering_sample_is_not_compared_with_a_mixed_mean(self) -> None:
        source = NoisySpots(60, size=64)
        source.motion = np.column_stack([np.linspace(0, 20, 60), np.zeros(60)])
        _, ctx = measured(ImageStack(source, metadata=METADATA))
        assert any("add up" in message for message in ctx.messages)


@pytest.mark.parametrize(
    ("n", "step", "window", "expected"),
    [
        (10, 1, 1, [(k, k + 1) for k in range(10)]),
        (10, 4, 4, [(0, 4), (4, 8), (8, 10)]),
        (9, 4, 4, [(0, 4), (4, 9)]),
        (10, 2, 4, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        (11, 5, 2, [(0, 2), (5, 7), (10, 11)]),
        (23, 10, 8, [(0, 8), (10, 18)]),
    ],
)
def test_windows(n: int, step: int, window: int, expected: list[tuple[int, int]]) -> None:
    assert list(zip(*cut_series(n, step, window), strict=True)) == expected


@pytest.mark.parametrize(("n", "window", "code"), [(0, 1, "D430"), (1, 1, "D430"), (5, 5, "D433"), (5, 100, "D433")])
def test_windows_that_cannot_be_compared(n: int, window: int, code: str) -> None:
    with pytest.raises(DataError) as caught:
        cut_series(n, window, window)
    assert caught.value.code == code


def test_pairs_are_bounded_and_lie_apart() -> None:
    assert len(pairs_apart(100_000, "RCC", 5, 1)) == 5 * 100_000 - 15
    pairs = pairs_apart(50, "RCC", 3, 4)
    assert set(pairs[:, 1] - pairs[:, 0]) == {4, 5, 6}
    assert len(pairs_apart(1000, "MCC", 0, 1)) == 1000 * 999 // 2
    with pytest.raises(DataError, match="4,999,950,000 pairs") as caught:
        pairs_apart(100_000, "RCC", 0, 1)
    assert caught.value.code == "D434"


def test_dcc_needs_windows_apart() -> None:
    with pytest.raises(UsageError, match="first window"):
        Image_RCC(method="DCC", window=5, step=2).apply(ImageStack(np.zeros((9, 32, 32))))


def test_pixels_that_are_not_finite_take_no_part() -> None:
    images = np.random.default_rng(0).normal(5, 1, (6, 2, 8, 9)).astype(np.float32)
    images[1, 0, 2, 3] = np.nan
    images[:, :, 4, 4] = np.inf
    mean, bad = mean_image(ImageStack(images), 0, 6, deep=False)
    assert bad == 13
    known = np.where(np.isfinite(images), images, np.nan)
    expected = np.nanmean(known[:, :, 2, 3])
    assert mean[0, 2, 3] == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(mean).all()


@pytest.mark.parametrize(("n", "reach"), [(60, 5), (20, 19), (6, 1)])
def test_diagonal_of_the_inverse_of_a_band(n: int, reach: int) -> None:
    rng = np.random.default_rng(n)
    matrix = np.tril(np.triu(rng.normal(size=(n, n)), -reach), reach)
    matrix = matrix + matrix.T + 8 * reach * np.eye(n)
    bands = np.zeros((reach + 1, n))
    for d in range(reach + 1):
        bands[reach - d, d:] = np.diagonal(matrix, d)
    np.testing.assert_allclose(inverse_diagonal(cholesky_banded(bands)), np.diag(np.linalg.inv(matrix)), rtol=1e-9)
