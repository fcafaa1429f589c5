"""Points in images: where spots are, and fits at places that are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes_core.data import ImageStack, Localizations, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Float, Input, Int, MapOf, Output
from recipes_modules.image_base import Array, per_frame

_FITS = ("LatGaussFitFR", "AstigGaussFitFR", "GaussMLE", "AstigGaussMLE")


class DetectPoints2D(ModuleBase):
    """Finds spots in each frame: candidates for a fit, as PYME's localization does before it fits.

    A band-pass (difference of Gaussians) is compared with a threshold; connected pixels above it are a spot, which lies at their
    centroid. `x` and `y` are in nm, here as everywhere; PYME's module gives pixels, which are `x_pixel` and `y_pixel`.
    """

    version = 1

    input_name = Input(ImageStack, "input", desc="movie, best without background")
    output_name = Output(
        Localizations, "candidate_points", columns=("x", "y", "frame", "x_pixel", "y_pixel", "score"), desc="a row a spot"
    )

    threshold = Float(1.0, low=0.0, desc="height of a spot: in units of noise with snr_threshold, else as the pixels")
    debounce_radius = Float(4.0, low=0.0, unit="px", desc="of spots nearer to each other only the brightest stays")
    snr_threshold = Bool(True, desc="compare with the noise of each pixel, which needs the camera in the metadata")
    muiltithreshold = Bool(False, affects_result=False, desc="accepted for old recipes; spots have one threshold")
    edge_mask_width = Int(5, low=0, unit="px", desc="no spot is looked for so near to the edge")
    filter_radius_lowpass = Float(1.0, low=0.1, unit="px", desc="standard deviation of the narrow Gaussian")
    filter_radius_highpass = Float(3.0, low=0.1, unit="px", desc="standard deviation of the wide Gaussian")
    blur_radius = Float(1.5, low=0.0, unit="px", affects_result=False, desc="accepted for old recipes")

    def run(self, ctx: Context, input_name: ImageStack) -> Localizations:
        from recipes_modules.localize.camera import Camera
        from recipes_modules.localize.detection import Detection, detect

        size = input_name.require_pixel_size()
        shape = (input_name.shape[2], input_name.shape[3])
        if self.snr_threshold:
            from recipes_modules.localize.camera_setup import camera_of

            camera = camera_of(ctx, input_name)
        else:
            camera = Camera(offset=0.0, electrons_per_count=1.0, pixel_size=size[:2])
        settings = Detection(
            "bandpass", threshold=self.threshold, lowpass=self.filter_radius_lowpass, highpass=self.filter_radius_highpass,
            debounce=self.debounce_radius, edge=self.edge_mask_width, noise_factor=camera.noise_factor,
            electrons_per_count=1 / camera.counts_per_electron, absolute=not self.snr_threshold,
        )  # fmt: skip
        variance = camera.variance_map(shape)
        nothing = np.zeros(shape, np.float32)

        def found(frame: int, volume: Array) -> tuple[Array, ...]:
            rows, columns, scores = detect(camera.to_electrons(volume[0]), nothing, variance, settings)
            return np.full(len(rows), frame, np.int32), rows, columns, scores

        parts = list(per_frame(ctx, input_name, found))
        frame, y, x, score = (np.concatenate([part[k] for part in parts]) for k in range(4))
        columns = {"x": x * size[0], "y": y * size[1], "frame": frame, "x_pixel": x, "y_pixel": y, "score": score}
        ctx.say(f"{len(x):,} spots in {input_name.n_frames:,} frames")
        return Localizations(columns, metadata=input_name.metadata)


class FitPoints(ModuleBase):
    """Fits the image of a single molecule at places that are known, such as those of `DetectPoints2D`.

    The camera is taken from the metadata where they describe it; else counts are taken for photoelectrons above the smallest one.
    """

    version = 1

    inputImage = Input(ImageStack, "input", desc="movie")
    inputPositions = Input(
        Table, "objPositions", requires=("x", "y"), desc="places in nm; their frame where there is one, else the first"
    )
    outputName = Output(Localizations, "fitResults", desc="localizations")

    fitModule = Choice(_FITS, "LatGaussFitFR", desc="the fit")
    roiHalfSize = Int(7, low=2, high=50, unit="px", desc="pixels on either side of a place that are fitted")
    channel = Int(0, low=0, desc="colour channel")
    start_parameters = MapOf(Float(0.0), {}, affects_result=False, aliases=("parameters",), desc="accepted for old recipes")

    def run(self, ctx: Context, inputImage: ImageStack, inputPositions: Table) -> Localizations:
        from recipes_modules.image_points import on_pixels
        from recipes_modules.localize import fits
        from recipes_modules.localize.movie import Spots

        movie = inputImage.channel(self.channel)
        frame, _, y, x = on_pixels(movie, inputPositions)
        ny, nx = movie.shape[2:]
        rows = np.flatnonzero((frame >= 0) & (x >= 0) & (y >= 0) & (x < nx) & (y < ny))
        if len(rows) < len(frame):
            ctx.warn(f"{len(frame) - len(rows):,} positions lie outside the movie and are not fitted")
        camera = self._camera(ctx, movie)
        size, sigma = camera.pixel_size, 250 / 2.35 / camera.pixel_size[0]
        fit, model = {
            "LatGaussFitFR": (fits.lsq, "plane"), "AstigGaussFitFR": (fits.lsq, "plane_xy"), "GaussMLE": (fits.mle, "sigma"),
            "AstigGaussMLE": (fits.mle, "sigma_xy"),
        }[self.fitModule]  # fmt: skip
        variance = camera.variance_map((ny, nx))[np.newaxis]
        parts: list[dict[str, Array]] = []
        for at in np.unique(frame[rows]):
            here = rows[frame[rows] == at]
            image = camera.to_electrons(movie.frames(int(at), int(at) + 1)[0, :1])
            spots = Spots(
                image, np.zeros((0, ny, nx), np.float32), variance, np.zeros(len(here), np.int64), y[here].astype(np.float32),
                x[here].astype(np.float32), self.roiHalfSize, sigma, camera,
            )  # fmt: skip
            found = dict(fit(spots, {"model": model}))
            parts.append({**found, "frame": np.full(len(here), at, np.int32)})
            ctx.progress(float(at) + 1, movie.n_frames)
        if not parts:
            raise DataError("no position lies in the movie.", code="D531", hint="Positions are in nm; is the pixel size right?")
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        failed = int(np.count_nonzero(~np.isfinite(columns["x"])))
        ctx.say(f"{len(columns['x']) - failed:,} of {len(columns['x']):,} fits found a position")
        order = ("x", "y", "frame")
        return Localizations(
            {**{name: columns[name] for name in order}, **{k: v for k, v in columns.items() if k not in order}},
            metadata={**movie.metadata, "voxelsize.x": size[0] / 1000, "voxelsize.y": size[1] / 1000},
        )

    @staticmethod
    def _camera(ctx: Context, movie: ImageStack) -> Any:
        from recipes_modules.localize.camera import Camera
        from recipes_modules.localize.camera_setup import camera_of

        try:
            return camera_of(ctx, movie)
        except DataError as error:
            if error.code != "D510":
                raise
        size = movie.require_pixel_size()
        level = min(float(block.min()) for _, block in movie.blocks())
        ctx.warn(
            f"the metadata describe no camera: counts above {level:g} are taken for photoelectrons, and photons are not to be trusted"
        )
        return Camera(offset=level, electrons_per_count=1.0, pixel_size=size[:2])


class MultifitBlobs(ModuleBase):
    """Finds blobs of known width that may overlap, and fits those that touch each other together.

    Maxima of the smoothed image that stand out are blobs; a sum of round Gaussians of fixed width is fitted to each group of
    neighbours, and to what remains while a maximum that stands out is left.
    """

    version = 1

    inputImage = Input(ImageStack, "input", desc="images")
    outputName = Output(Localizations, "positions", columns=("x", "y", "frame", "A", "error_x", "error_y"), desc="a row a blob")

    blobSigma = Float(45.0, low=1e-3, unit="nm", desc="standard deviation of a blob")
    threshold = Float(2.0, low=0.0, desc="height of a blob in the smoothed image, in units of its noise")
    scale = Float(1000.0, low=1e-12, desc="counts for 1 of the image's values: tells the noise, the root of the counts")

    def run(self, ctx: Context, inputImage: ImageStack) -> Localizations:
        from recipes_modules.blobs import fit_blobs

        size = inputImage.require_pixel_size()
        if abs(size[0] - size[1]) > 1e-6 * size[0]:
            raise DataError(f"pixels of {size[0]:g} x {size[1]:g} nm are not square.", code="D440", hint="Zoom the image first.")

        def fitted(frame: int, volume: Array) -> Array:
            found = [
                fit_blobs(plane * self.scale, self.blobSigma / size[0], self.threshold) for plane in volume.astype(np.float64)
            ]
            rows = np.concatenate(found)
            return np.column_stack([rows, np.full(len(rows), frame)])

        rows = np.concatenate(list(per_frame(ctx, inputImage, fitted)))
        x0, y0 = (float(inputImage.metadata.get(f"Origin.{axis}", 0.0)) for axis in "xy")
        columns = {
            "x": rows[:, 1] * size[0] + x0, "y": rows[:, 0] * size[1] + y0, "frame": rows[:, 5].astype(np.int32), "A": rows[:, 2] / self.scale,
            "error_x": rows[:, 4] * size[0], "error_y": rows[:, 3] * size[1],
        }  # fmt: skip
        ctx.say(f"{len(rows):,} blobs")
        if not len(rows):
            ctx.warn("no blob stands out; lower threshold, or see whether scale turns the values into counts")
        return Localizations(columns, units={"A": ""}, metadata=inputImage.metadata)
