import numpy as np
import pytest

from recipes_core.data import FrameAxis, ImageStack
from recipes_core.errors import DataError


def test_axes_are_t_z_y_x():
    assert ImageStack(np.zeros((5, 6))).shape == (1, 1, 5, 6)
    assert ImageStack(np.zeros((4, 5, 6))).shape == (4, 1, 5, 6)
    assert ImageStack(np.zeros((3, 4, 5, 6))).shape == (3, 4, 5, 6)
    with pytest.raises(DataError, match="not 5"):
        ImageStack(np.zeros((1, 1, 1, 1, 1)))


def test_blocks_cover_every_frame_once_and_stay_small():
    stack = ImageStack(np.arange(10 * 4 * 4, dtype=np.float32).reshape(10, 4, 4))
    blocks = list(stack.blocks(nbytes=3 * 64))
    assert [start for start, _ in blocks] == [0, 3, 6, 9]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), stack.asarray())


def test_frames_cannot_be_written_to():
    stack = ImageStack(np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="read-only"):
        stack.frames(0, 1)[0] = 1
    with pytest.raises(IndexError):
        stack.frames(0, 3)


def test_pixel_size_comes_from_metadata_in_um():
    stack = ImageStack(np.zeros((2, 2)), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.2})
    assert stack.pixel_size == (100.0, 200.0, 0.0)
    in_nm = ImageStack(np.zeros((2, 2)), metadata={"voxelsize.x": 100, "voxelsize.y": 100, "voxelsize.units": "nm"})
    assert in_nm.pixel_size == (100.0, 100.0, 0.0)


def test_a_missing_or_wrong_pixel_size_says_what_to_do():
    with pytest.raises(DataError, match="-m INPUT.voxelsize.x"):
        ImageStack(np.zeros((2, 2))).require_pixel_size()
    with pytest.raises(DataError, match="above 0"):
        ImageStack(np.zeros((2, 2)), metadata={"voxelsize.x": 0.0, "voxelsize.y": 0.1}).require_pixel_size()
    with pytest.raises(DataError, match="units"):
        ImageStack(np.zeros((2, 2)), metadata={"voxelsize.x": 1, "voxelsize.y": 1, "voxelsize.units": "ell"}).require_pixel_size()


def test_binned_images_stand_for_the_middle_of_their_frames():
    axis = FrameAxis().binned(4)
    np.testing.assert_array_equal(axis.frames(3), [1.5, 5.5, 9.5])
    np.testing.assert_array_equal(axis.binned(2).frames(2), [3.5, 11.5])
    assert axis.covered == 4
