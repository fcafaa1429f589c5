"""Deconvolution of images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recipes_core.data import ImageStack
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, FilePath, Float, Input, Int, Output
from recipes_modules.image_base import DIMENSIONS, Array, like, per_frame, skimage

_FWHM_TO_SIGMA = 1 / (2 * np.sqrt(2 * np.log(2)))


class Deconvolve(ModuleBase):
    """Sharpens images whose blur is known.

    `Richardson-Lucy` maximizes the likelihood of counts (Richardson 1972, doi:10.1364/JOSA.62.000055; needs the extra `image`), `ICTM`
    is Tikhonov's least squares held at or above 0, step by step (van Kempen et al. 1997, doi:10.1046/j.1365-2818.1997.d01-629.x). With
    XY each plane is deconvolved by itself, with XYZ the volume of each frame.
    """

    version = 1

    inputName = Input(ImageStack, "input", desc="images")
    outputName = Output(ImageStack, "filtered_image", desc="sharpened images, float32")

    dimensionality = Choice(DIMENSIONS[:2], "XY", desc="planes by themselves, or volumes")
    offset = Float(0.0, desc="camera offset or background; is subtracted first")
    method = Choice(("Richardson-Lucy", "ICTM"), "Richardson-Lucy", desc="method")
    iterations = Int(10, low=1, high=10_000, desc="number of steps; more sharpens more, and raises noise")
    psfType = Choice(("file", "bead", "Lorentzian", "Gaussian"), "file", desc="where the point spread function comes from")
    psfFilename = FilePath("", desc="image of the point spread function, with pixels of the size of the image's")
    lorentzianFWHM = Float(50.0, low=1e-3, unit="nm", desc="full width at half maximum of a Lorentzian")
    gaussianFWHM = Float(50.0, low=1e-3, unit="nm", desc="full width at half maximum of a Gaussian")
    beadDiameter = Float(200.0, low=1e-3, unit="nm", desc="diameter of a bead: the blur is the bead itself")
    regularisationLambda = Float(0.1, low=0.0, desc="weight of smoothness with ICTM")
    padding = Int(0, low=0, unit="px", desc="images are continued by so many pixels at their edges")
    zPadding = Int(0, low=0, unit="px", desc="volumes are continued by so many planes")
    overlap = Int(30, affects_result=False, desc="accepted for old recipes: images are not cut into tiles")

    def check(self) -> Iterator[str]:
        if self.psfType == "file" and not self.psfFilename:
            yield "psfType is file, and psfFilename names none"

    def run(self, ctx: Context, inputName: ImageStack) -> ImageStack:
        depth = inputName.shape[1] // inputName.n_channels
        deep = self.dimensionality == "XYZ" and depth > 1
        psf = self._psf(ctx, inputName, deep=deep)
        room = [(self.zPadding,) * 2] * deep + [(self.padding,) * 2] * 2
        cut = tuple(slice(low, -high or None) for low, high in room)
        result = ctx.scratch.array(inputName.shape, np.float32)
        method = richardson_lucy if self.method == "Richardson-Lucy" else self._ictm

        def one(frame: int, volume: Array) -> None:
            step = depth if deep else 1
            for z in range(0, len(volume), step):
                part = volume[z : z + depth] if deep else volume[z]
                data = np.pad(np.maximum(part.astype(np.float64) - self.offset, 0.0), room, mode="symmetric")
                result[frame, z : z + step] = method(data, psf, self.iterations)[cut]

        for _ in per_frame(ctx, inputName, one):
            pass
        return like(inputName, result)

    def _ictm(self, data: Array, psf: Array, n: int) -> Array:
        return tikhonov(data, psf, n, self.regularisationLambda)

    def _psf(self, ctx: Context, stack: ImageStack, *, deep: bool) -> Array:
        if self.psfType == "file":
            psf = ctx.open(self.psfFilename, ImageStack).asarray().astype(np.float64)
            psf = psf.reshape(-1, *psf.shape[2:])
            psf = psf - psf.min() if deep else psf[len(psf) // 2] - psf.min()
        else:
            size = stack.require_pixel_size()
            sizes = np.array([size[2] or size[0], size[1], size[0]] if deep else [size[1], size[0]])
            psf = self._shape(sizes)
        if not psf.sum() > 0:
            raise DataError("the point spread function is empty.", code="D443")
        return np.asarray(psf / psf.sum())

    def _shape(self, sizes: Array) -> Array:
        reach = {"bead": 0.6 * self.beadDiameter, "Lorentzian": 6 * self.lorentzianFWHM, "Gaussian": 2 * self.gaussianFWHM}
        half = np.maximum(1, np.ceil(reach[self.psfType] / sizes)).astype(int)
        axes = np.ogrid[tuple(slice(-n, n + 1) for n in half)]
        squared = np.asarray(sum((axis * size) ** 2 for axis, size in zip(axes, sizes, strict=True)), dtype=np.float64)
        if self.psfType == "Gaussian":
            return np.asarray(np.exp(-squared / (2 * (self.gaussianFWHM * _FWHM_TO_SIGMA) ** 2)))
        if self.psfType == "Lorentzian":
            return 1 / (1 + squared / (self.lorentzianFWHM / 2) ** 2)
        # A plane sees the bead as thick as it is there.
        inside = np.maximum((self.beadDiameter / 2) ** 2 - squared, 0.0)
        return (inside > 0).astype(np.float64) if len(sizes) == 3 else np.sqrt(inside)


def richardson_lucy(data: Array, psf: Array, n: int) -> Array:
    """scikit-image's Richardson-Lucy on data of any brightness."""
    top = float(data.max())
    if top <= 0:
        return data
    return np.asarray(skimage("restoration").richardson_lucy(data / top, psf, num_iter=n, clip=False, filter_epsilon=1e-9)) * top


def tikhonov(data: Array, psf: Array, n: int, weight: float) -> Array:
    """Least squares with a penalty on the second derivative, at or above 0: gradient steps that are projected."""
    from scipy.fft import irfftn, next_fast_len, rfftn

    shape = [next_fast_len(a + b - 1, real=True) for a, b in zip(data.shape, psf.shape, strict=True)]
    blur = rfftn(psf, shape)
    shift = [np.fft.fftfreq(m) * (k // 2) for m, k in zip(shape[:-1], psf.shape[:-1], strict=True)]
    shift.append(np.fft.rfftfreq(shape[-1]) * (psf.shape[-1] // 2))
    phase = sum(np.meshgrid(*shift, indexing="ij", sparse=True))
    blur = blur * np.exp(2j * np.pi * np.asarray(phase))
    frequencies = [np.fft.fftfreq(m) for m in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    rough = np.asarray(sum(4 - 4 * np.cos(2 * np.pi * f) for f in np.meshgrid(*frequencies, indexing="ij", sparse=True))) / (
        4 * data.ndim
    )
    # The image beyond its edges is not known: only pixels inside are compared.
    known = tuple(slice(0, m) for m in data.shape)
    step = 1.0 / (1.0 + weight * float((rough**2).max()))
    estimate = np.zeros(shape)
    estimate[known] = data
    momentum, before = estimate, 1.0
    for _ in range(n):
        spectrum = rfftn(momentum)
        residual = np.zeros(shape)
        residual[known] = irfftn(blur * spectrum, shape)[known] - data
        gradient = irfftn(np.conj(blur) * rfftn(residual) + weight * rough**2 * spectrum, shape)
        new = np.maximum(momentum - step * gradient, 0.0)
        after = (1 + np.sqrt(1 + 4 * before**2)) / 2
        momentum = new + (before - 1) / after * (new - estimate)
        estimate, before = new, after
    return np.asarray(estimate[known])
