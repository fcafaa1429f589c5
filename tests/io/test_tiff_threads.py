"""Threads that read one TIFF file at a time get the frames that they asked for."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from recipes_core.data import ImageStack


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"rowsperstrip": 7}], ids=["plain", "compressed", "strips"])
def test_threads_share_a_file(tmp_path, options):
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 60_000, (120, 61, 47), dtype=np.uint16)
    # Pages written one by one: the plain file is then read page by page rather than as one block.
    for contiguous in (True, False):
        path = tmp_path / f"{contiguous}.tif"
        if contiguous:
            tifffile.imwrite(path, frames, photometric="minisblack", **options)
        else:
            with tifffile.TiffWriter(path) as writer:
                for frame in frames:
                    writer.write(frame, contiguous=False, photometric="minisblack", metadata=None, **options)
        stack = ImageStack.load(path)

        def check(start, stack=stack):
            return all(np.array_equal(stack.frames(k, k + 3)[:, 0], frames[k : k + 3]) for k in range(start, 117, 8))

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(check, list(range(8)) * 6))


def test_frames_written_one_by_one_are_one_movie(tmp_path):
    frames = np.random.default_rng(2).integers(0, 60_000, (7, 33, 21), dtype=np.uint16)
    with tifffile.TiffWriter(tmp_path / "loop.tif") as writer:
        for frame in frames:
            writer.write(frame)
    with tifffile.TiffFile(tmp_path / "loop.tif") as tiff:
        assert len(tiff.series) == 7
    np.testing.assert_array_equal(ImageStack.load(tmp_path / "loop.tif").asarray()[:, 0], frames)
