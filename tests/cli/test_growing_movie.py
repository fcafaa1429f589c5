"""A movie that is still being written: what is there is taken, what was done is not done again, the end is as if run at once."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from recipes_core import Recipe
from recipes_core.data import ImageStack, Localizations
from recipes_core.run.following import Following
from recipes_modules import GaussMLE
from recipes_modules.localize import base
from recipes_modules.localize import movie as streaming

META = {
    "Camera.ADOffset": 100.0, "Camera.ElectronsPerCount": 0.5, "Camera.TrueEMGain": 1.0, "Camera.NoiseFactor": 1.0,
    "Camera.ReadNoise": 1.5, "voxelsize.x": 0.1, "voxelsize.y": 0.1,
}  # fmt: skip
RECIPE = f"""
recipe: 1
name: fit
inputs: {{movie: {{type: ImageStack, metadata: {META}}}}}
modules:
  - GaussMLE: {{input_image: movie, output_localizations: locs}}
outputs: {{locs: ""}}
"""


def frames(n, seed=0):
    """Two spots in each frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    expected = np.full((n, 32, 32), 10.0)
    for frame in expected:
        for row in (8, 22):
            frame += 80 * np.exp(-((x - 16 - rng.uniform(-3, 3)) ** 2 + (y - row - rng.uniform(-1, 1)) ** 2) / 3.4)
    return (rng.poisson(expected) * 2 + 100).astype(np.uint16)


def locs_of(pixels, cache=None, following=None):
    recipe = Recipe([GaussMLE(input_image="movie", output_localizations="locs")])
    recipe.use_cache(cache) if cache else None
    recipe.follow(following)
    recipe.namespace["movie"] = ImageStack(pixels, metadata=META)
    recipe.execute()
    return recipe.namespace["locs"]


def same(one, other):
    return list(one) == list(other) and all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def test_only_new_frames_are_fitted(tmp_path, monkeypatch):
    done = []

    def counted(job, span):
        done.append(span)
        return streaming.localize_block(job, span)

    monkeypatch.setattr(base, "localize_block", counted)
    monkeypatch.setattr(base, "block_length", lambda *_: 64)
    pixels = frames(300)
    # The first run ends inside the fourth block.
    locs_of(pixels[:200], tmp_path / "cache", Following())
    assert sorted(done) == [(0, 64), (64, 128), (128, 192), (192, 200)]
    done.clear()
    grown = locs_of(pixels, tmp_path / "cache", Following())
    assert sorted(done) == [(192, 256), (256, 300)]
    assert same(grown, locs_of(pixels))
    # What differs in one early frame makes the blocks anew that look at it, as background or to be fitted.
    done.clear()
    changed = pixels.copy()
    changed[70] += 5
    again = locs_of(changed, tmp_path / "cache", Following())
    assert sorted(done) == [(64, 128)]
    assert same(again, locs_of(changed))


def test_another_setting_is_another_block(tmp_path):
    pixels = frames(100)
    locs_of(pixels, tmp_path / "cache", Following())
    recipe = Recipe([GaussMLE(input_image="movie", output_localizations="locs", threshold=9.0)])
    recipe.use_cache(tmp_path / "cache")
    recipe.follow(Following())
    recipe.namespace["movie"] = ImageStack(pixels, metadata=META)
    recipe.execute()
    plain = Recipe([GaussMLE(input_image="movie", output_localizations="locs", threshold=9.0)])
    plain.namespace["movie"] = ImageStack(pixels, metadata=META)
    plain.execute()
    assert same(recipe.namespace["locs"], plain.namespace["locs"])


def test_a_file_that_is_cut_off(tmp_path, recipe_command):
    tifffile.imwrite(tmp_path / "whole.tif", frames(20), photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "whole.tif") as whole:
        end = whole.series[0].dataoffset + 16 * 2048 + 100
    (tmp_path / "cut.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:end])
    (tmp_path / "fit.yaml").write_text(RECIPE)
    ended = recipe_command("run", "fit.yaml", "cut.tif")
    assert ended.code != 0
    assert "16 of 20 frames can be read" in ended.err
    assert "cut.tif?incomplete=1" in ended.err
    ended = recipe_command("run", "fit.yaml", "cut.tif?incomplete=1")
    assert ended.code == 0
    assert "16 of 20 frames are taken, 4 are lost" in ended.err
    assert Localizations.load(tmp_path / "fit_results" / "cut_locs.hdf")["frame"].max() == 15


def test_watch_follows_a_movie_while_it_is_written(tmp_path, own_cache):
    (tmp_path / "fit.yaml").write_text(RECIPE)
    pixels = frames(360)
    code = "from recipes_core.cli.main import main; main()"
    arguments = ["watch", "fit.yaml", "movie.tif", "--growing-time", "0.5", "--quiet-time", "0.2"]
    process = None
    seen = []
    try:
        with tifffile.TiffWriter(tmp_path / "movie.tif") as writer:
            for k, frame in enumerate(pixels):
                writer.write(frame, contiguous=False, metadata=None, photometric="minisblack")
                if k == 100:
                    process = subprocess.Popen(
                        [sys.executable, "-u", "-c", code, *arguments], cwd=tmp_path, stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT, text=True, env={**os.environ, "RECIPES_CACHE": str(own_cache)},
                    )  # fmt: skip
                    os.set_blocking(process.stdout.fileno(), False)
                if k > 100:
                    time.sleep(0.05)
                    seen += process.stdout.readlines()
        os.set_blocking(process.stdout.fileno(), True)
        told = "".join(seen)
        assert "still being written" in told
        assert "error" not in told
        for line in process.stdout:
            if f"frames 0 to {len(pixels) - 1}" in line:
                break
        for line in process.stdout:
            if line.startswith("watching"):
                break
        found = Localizations.load(tmp_path / "fit_results" / "movie_locs.hdf")
        assert same(found, locs_of(pixels))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        if process is not None:
            process.kill()
            process.stdout.close()


def test_watch_follows_a_movie_while_it_is_copied(tmp_path, own_cache):
    """From its first frame on the file says how many frames it will have."""
    (tmp_path / "fit.yaml").write_text(RECIPE)
    pixels = frames(360)
    tifffile.imwrite(tmp_path / "whole.tif", pixels, photometric="minisblack")
    whole = (tmp_path / "whole.tif").read_bytes()
    code = "from recipes_core.cli.main import main; main()"
    arguments = ["watch", "fit.yaml", "movie.tif", "--growing-time", "0.5", "--quiet-time", "0.2"]
    process = None
    try:
        with (tmp_path / "movie.tif").open("wb", buffering=0) as copy:
            copy.write(whole[: len(whole) // 3])
            process = subprocess.Popen(
                [sys.executable, "-u", "-c", code, *arguments], cwd=tmp_path, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, env={**os.environ, "RECIPES_CACHE": str(own_cache)},
            )  # fmt: skip
            os.set_blocking(process.stdout.fileno(), False)
            told, at = "", len(whole) // 3
            # Slowly until the copying has been noticed, however long the command takes to begin.
            while at < len(whole):
                step = 16000 if "still being written" in told else 500
                copy.write(whole[at : at + step])
                at += step
                time.sleep(0.1)
                told += "".join(process.stdout.readlines())
        os.set_blocking(process.stdout.fileno(), True)
        for line in process.stdout:
            told += line
            if f"frames 0 to {len(pixels) - 1}" in line:
                break
        for line in process.stdout:
            if line.startswith("watching"):
                break
        assert "still being written" in told
        assert "error" not in told
        assert same(Localizations.load(tmp_path / "fit_results" / "movie_locs.hdf"), locs_of(pixels))
    finally:
        if process is not None:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.mark.parametrize("n", [1, 3])
def test_a_movie_that_has_hardly_begun(tmp_path, n):
    pixels = frames(130)
    locs_of(pixels[:n], tmp_path / "cache", Following())
    assert same(locs_of(pixels, tmp_path / "cache", Following()), locs_of(pixels))
