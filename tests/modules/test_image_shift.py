"""Image_Post_Shift: edges, padding, z; against scipy.ndimage and theory."""

import numpy as np
import pytest
from scipy import ndimage

from recipes_core.data import Drift, ImageStack
from recipes_core.module import Context
from recipes_modules import Image_Post_Shift
from recipes_modules.image_shift import shift_volume

SIZE = np.array([20.0, 30.0, 250.0])
METADATA = {f"voxelsize.{axis}": size / 1000 for axis, size in zip("xyz", SIZE, strict=True)}


def corrected(stack: np.ndarray, shift: np.ndarray, *, ctx: Context | None = None, metadata=METADATA, **parameters) -> ImageStack:
    """The stack moved by `shift` (t, 3: x, y, z) pixels."""
    drift = Drift(np.arange(len(stack)), shift * SIZE, exact=True)
    return Image_Post_Shift(**parameters).apply(ImageStack(stack, metadata=metadata), drift, ctx=ctx)["outputName"]


def blobs(shape: tuple[int, int, int], centres: np.ndarray, width: tuple[float, float, float]) -> np.ndarray:
    """Gaussian blobs (z, y, x); centres (n, 3: z, y, x)."""
    image = np.zeros(shape)
    for centre in centres:
        parts = [np.exp(-((np.arange(n) - c) ** 2) / (2 * w**2)) for n, c, w in zip(shape, centre, width, strict=True)]
        image += parts[0][:, None, None] * parts[1][:, None] * parts[2]
    return (100 * image).astype(np.float32)


@pytest.mark.parametrize("mode", ["constant", "nearest", "reflect", "wrap"])
@pytest.mark.parametrize("shift", [(1, -3, 5), (-2, 4, 0), (0, 0, -7), (4, 25, -33)])
def test_whole_pixels_against_scipy(mode: str, shift: tuple[int, int, int]) -> None:
    volume = np.random.default_rng(0).normal(size=(5, 12, 17)).astype(np.float32)
    expected = ndimage.shift(volume, shift, order=0, mode={"wrap": "grid-wrap"}.get(mode, mode))
    np.testing.assert_array_equal(shift_volume(volume, shift, 16, mode), expected)


def test_z_stacks_come_to_rest() -> None:
    rng = np.random.default_rng(1)
    centres = rng.uniform((10, 10, 10), (15, 50, 54), (12, 3))
    motion = np.array([(0, 0, 0), (0.4, -1.3, 0.5), (2.6, 0.2, -1.25), (-3.1, 1.8, 2.7)])
    width = (1.8, 1.6, 1.6)
    stack = np.stack([blobs((26, 60, 64), centres + moved[::-1], width) for moved in motion])
    result = corrected(stack, -motion).asarray()
    inside = np.s_[:, 3:-3, 5:-5, 5:-5]
    np.testing.assert_allclose(result[inside], np.broadcast_to(stack[0], result.shape)[inside], atol=0.6)
    flat = corrected(stack, -motion, flatten_z=True).asarray()
    assert np.abs(flat[3] - stack[0])[inside[1:]].max() > 20


@pytest.mark.parametrize("mode", ["nearest", "reflect"])
def test_edges_keep_an_even_background(mode: str) -> None:
    stack = np.full((2, 6, 20, 24), 7.0, np.float32)
    moved = corrected(stack, np.array([(0, 0, 0), (3.4, -5.7, 1.5)]), mode=mode).asarray()
    np.testing.assert_allclose(moved, 7, rtol=1e-5)


def test_wrapped_images_keep_their_light() -> None:
    stack = np.random.default_rng(2).uniform(0, 1, (1, 1, 32, 40)).astype(np.float32)
    smooth = ndimage.gaussian_filter(stack, (0, 0, 2, 2), mode="wrap")
    moved = corrected(smooth, np.array([(11.3, -9.8, 0)]), mode="wrap").asarray()
    assert moved.sum() == pytest.approx(smooth.sum(), rel=1e-5)
    back = corrected(moved, np.array([(-11.3, 9.8, 0)]), mode="wrap").asarray()
    np.testing.assert_allclose(back, smooth, atol=1e-5)


def test_padded_images_lose_nothing_and_know_where_they_are() -> None:
    rng = np.random.default_rng(3)
    stack = rng.uniform(0, 1, (3, 4, 20, 24)).astype(np.float32)
    motion = np.array([(0, 0, 0), (6, -3, 2), (-4, 1, -1)])
    metadata = {**METADATA, "Origin.x": 100.0, "ImageBounds.y0": -15.0, "ImageBounds.y1": 585.0}
    made = corrected(stack, motion, pad=True, metadata=metadata)
    assert made.shape == (3, 4 + 3, 20 + 4, 24 + 10)
    for image, original, (dx, dy, dz) in zip(made.asarray(), stack, motion, strict=True):
        part = image[1 + dz : 5 + dz, 3 + dy : 23 + dy, 4 + dx : 28 + dx]
        np.testing.assert_array_equal(part, original)
        assert image.sum() == pytest.approx(original.sum(), rel=1e-6)
    assert made.metadata["Origin.x"] == 100 - 4 * SIZE[0]
    assert made.metadata["Origin.y"] == -3 * SIZE[1]
    assert made.metadata["Origin.z"] == -1 * SIZE[2]
    assert made.metadata["ImageBounds.y0"] == -15 - 3 * SIZE[1]
    assert made.metadata["ImageBounds.y1"] == 585 + 1 * SIZE[1]


@pytest.mark.parametrize(
    ("shape", "metadata", "match"),
    [
        ((2, 1, 16, 16), METADATA, "one plane"),
        ((2, 3, 16, 16), {k: v for k, v in METADATA.items() if k != "voxelsize.z"}, "voxelsize.z"),
    ],
)
def test_z_that_cannot_be_undone_is_reported(shape: tuple[int, ...], metadata: dict, match: str) -> None:
    ctx = Context("step")
    stack = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    moved = corrected(stack, np.array([(0, 0, 0), (0, 0, 1.0)]), ctx=ctx, metadata=metadata).asarray()
    np.testing.assert_array_equal(moved, stack)
    assert any(match in warning for warning in ctx.warnings)


def test_threads_do_not_change_a_byte() -> None:
    stack = np.random.default_rng(0).uniform(size=(5, 4, 30, 31)).astype(np.float32)
    motion = np.random.default_rng(1).normal(0, 3, (5, 3))
    one, many = (corrected(stack, motion, ctx=Context("s", n_threads=n), mode="reflect").asarray() for n in (1, 3))
    assert one.tobytes() == many.tobytes()
