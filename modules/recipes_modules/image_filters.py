"""Smoothing and rank filters of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes_core.ports import Float, Int
from recipes_modules.image_base import Array, ImageFilter

_GAUSS_REACH = 4.0
"""scipy cuts a Gaussian off at so many sigmas."""
_SIGMA = "standard deviation of the Gaussian along {}"
_SIZE = "width of the window along {}"


class GaussianFilter(ImageFilter):
    """Smooths images with a Gaussian."""

    version = 1

    sigmaX = Float(1.0, low=0.0, unit="px", desc=_SIGMA.format("x, the columns"))
    sigmaY = Float(1.0, low=0.0, unit="px", desc=_SIGMA.format("y, the rows"))
    sigmaZ = Float(1.0, low=0.0, unit="px", desc=_SIGMA.format("z; with XYZ or XYZT"))
    sigmaT = Float(0.0, low=0.0, unit="frame", desc=_SIGMA.format("t; with XYZT"))

    def reach(self) -> int:
        return int(_GAUSS_REACH * self.sigmaT + 0.5)

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import gaussian_filter

        sigma = (self.sigmaT, self.sigmaZ, self.sigmaY, self.sigmaX)[-block.ndim :]
        return np.asarray(gaussian_filter(block, sigma, truncate=_GAUSS_REACH))


class DoGFilter(ImageFilter):
    """Difference of two Gaussians: keeps what is larger than the first and smaller than the second."""

    version = 1

    sigmaX = Float(1.0, low=0.0, unit="px", desc=_SIGMA.format("x, the columns"))
    sigmaY = Float(1.0, low=0.0, unit="px", desc=_SIGMA.format("y, the rows"))
    sigmaZ = Float(1.0, low=0.0, unit="px", desc=_SIGMA.format("z; with XYZ or XYZT"))
    sigma2X = Float(1.0, low=0.0, unit="px", desc="the Gaussian that is subtracted, along x")
    sigma2Y = Float(1.0, low=0.0, unit="px", desc="the Gaussian that is subtracted, along y")
    sigma2Z = Float(1.0, low=0.0, unit="px", desc="the Gaussian that is subtracted, along z")

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import gaussian_filter

        narrow = (0.0, self.sigmaZ, self.sigmaY, self.sigmaX)[-block.ndim :]
        wide = (0.0, self.sigma2Z, self.sigma2Y, self.sigma2X)[-block.ndim :]
        return np.asarray(gaussian_filter(block, narrow) - gaussian_filter(block, wide))


class _Window(ImageFilter):
    """Base of filters over a box."""

    sizeX = Int(3, low=1, unit="px", desc=_SIZE.format("x, the columns"))
    sizeY = Int(3, low=1, unit="px", desc=_SIZE.format("y, the rows"))
    sizeZ = Int(3, low=1, unit="px", desc=_SIZE.format("z; with XYZ or XYZT"))
    sizeT = Int(0, low=0, unit="frame", desc=_SIZE.format("t; with XYZT, 0 and 1 for the frame alone"))

    def reach(self) -> int:
        return int(self.sizeT) // 2 + 1

    def size(self, block: Array) -> tuple[int, ...]:
        """Window for a block, with one entry an axis."""
        return (max(1, self.sizeT), self.sizeZ, self.sizeY, self.sizeX)[-block.ndim :]


class MedianFilter(_Window):
    """Replaces each pixel by the median of a window around it."""

    version = 1

    def filtered(self, block: Array, found: Any) -> Array:
        if self.size(block) == (3, 3):
            from recipes_modules.median import median_3x3

            return median_3x3(block)
        from scipy.ndimage import median_filter

        return np.asarray(median_filter(block, self.size(block)))


class MeanFilter(_Window):
    """Replaces each pixel by the mean of a window around it."""

    version = 1

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import uniform_filter

        return np.asarray(uniform_filter(block, self.size(block)))


class MaxFilter(_Window):
    """Replaces each pixel by the largest value in a window around it."""

    version = 1

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import maximum_filter

        return np.asarray(maximum_filter(block, self.size(block)))


class MinFilter(_Window):
    """Replaces each pixel by the smallest value in a window around it."""

    version = 1

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.ndimage import minimum_filter

        return np.asarray(minimum_filter(block, self.size(block)))


class DespeckleFilter(ImageFilter):
    """Replaces each pixel by the median of those few in a window around it whose values are nearest to its own.

    Single bright pixels go, edges stay.
    """

    version = 1

    sizeX = Int(3, low=1, unit="px", desc=_SIZE.format("x, the columns"))
    sizeY = Int(3, low=1, unit="px", desc=_SIZE.format("y, the rows"))
    sizeZ = Int(3, low=1, unit="px", desc=_SIZE.format("z; with XYZ or XYZT"))
    nPix = Int(3, low=1, desc="how many neighbours, those nearest in value, are looked at; the pixel itself is none of them")

    def filtered(self, block: Array, found: Any) -> Array:
        window = (1, self.sizeZ, self.sizeY, self.sizeX)[-block.ndim :]
        return despeckled(block, window, self.nPix)


def despeckled(block: Array, window: tuple[int, ...], n: int) -> Array:
    """Median of the `n` neighbours in a window whose values are nearest to a pixel's own."""
    pad = [(size // 2, (size - 1) // 2) for size in window]
    padded = np.pad(block, pad, mode="symmetric")
    views = np.lib.stride_tricks.sliding_window_view(padded, window)
    result = np.empty_like(block)
    size = int(np.prod(window))
    centre = int(np.ravel_multi_index([n // 2 for n in window], window))
    n = min(n, size - 1)
    if n == 0:
        return block.copy()
    # Row by row: all windows of a large image at once would take too much memory.
    for index in np.ndindex(block.shape[:-1]):
        around = np.delete(views[index].reshape(block.shape[-1], size), centre, axis=1)
        nearest = np.argpartition(np.abs(around - block[index][:, np.newaxis]), n - 1, axis=1)[:, :n]
        result[index] = np.median(np.take_along_axis(around, nearest, axis=1), axis=1)
    return result


class MaskEdges(ImageFilter):
    """Sets a border of each plane to zero."""

    version = 1

    widthPixels = Int(10, low=0, unit="px", desc="width of the border")

    def filtered(self, block: Array, found: Any) -> Array:
        width = self.widthPixels
        result = np.zeros_like(block)
        inner = (..., slice(width, max(width, block.shape[-2] - width)), slice(width, max(width, block.shape[-1] - width)))
        result[inner] = block[inner]
        return result


class SplineFitBackgroundEstimate(ImageFilter):
    """Estimates a smooth background of each plane by a smoothing spline over both axes."""

    version = 1

    smooth = Float(1e7, low=0.0, desc="sum of squared differences that the spline may leave; more is smoother")

    def filtered(self, block: Array, found: Any) -> Array:
        from scipy.interpolate import RectBivariateSpline

        ny, nx = block.shape[-2:]
        result = np.empty_like(block)
        for index in np.ndindex(block.shape[:-2]):
            degree = [min(3, n - 1) for n in (ny, nx)]
            spline = RectBivariateSpline(
                np.arange(ny), np.arange(nx), block[index], kx=degree[0], ky=degree[1], s=self.smooth or 0.0
            )
            result[index] = spline(np.arange(ny), np.arange(nx))
        return result


class Rotate180(ImageFilter):
    """Turns each plane by half a turn."""

    version = 1

    def filtered(self, block: Array, found: Any) -> Array:
        return block[..., ::-1, ::-1]
