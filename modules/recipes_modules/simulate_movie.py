"""Simulated movies, with the truth beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, ImageStack, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Input, Int, ListOf, Output, Range
from recipes_modules.localize.camera import Camera
from recipes_modules.movie_simulation.blinking import bright_intervals, brightnesses, by_frame, merged
from recipes_modules.movie_simulation.frames import BLOCK, Frames
from recipes_modules.simulate_structures import site_grids, wormlike_filaments

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BEAD = -2
"""Number of the site of fiducial markers."""


class Movie_Simulate(ModuleBase):
    """Simulates a movie of blinking molecules as a camera takes it, with the truth beside it.

    Photons are those that the camera turns into electrons. Molecules sit on a given structure (`input_structure`), on filaments,
    on grids, or anywhere. They shine by on, off and bleaching rates, or in each frame others (`emitters_per_frame`), or as the
    given table says row by row. Counts are offset + electrons / electrons_per_count, where electrons are of a Poisson law, are
    multiplied in the EM register (gamma law) where `em_gain` is above 1, and have the read noise of their pixel; they end at the
    full scale. The camera is in the movie's metadata, so that fits find it there; the maps of its pixels are outputs.

    The truth holds each molecule in each frame in which it shines, where it is seen there: drift included.
    """

    uses_seed = True

    input_structure = Input(
        Localizations, optional=True, requires=("x", "y"), desc="sites of the molecules, or (blinking: as_given) what shines when"
    )
    input_drift = Input(Drift, optional=True, desc="the correction that will undo the drift of the movie")
    input_psf = Input(ImageStack, optional=True, desc="psf stack: planes along z (or t) of a spot; voxelsize in its metadata")
    input_dark_map = Input(ImageStack, optional=True, desc="counts in the dark of each pixel, ADU")
    input_variance_map = Input(ImageStack, optional=True, desc="read noise squared of each pixel, electrons^2")
    input_flatfield_map = Input(ImageStack, optional=True, desc="by which counts above the dark are multiplied to be even")
    output_image = Output(ImageStack, "movie", desc="counts, 16 bit")
    output_localizations = Output(
        Localizations, "truth", columns=("frame", "x", "y", "z", "photons", "background", "sigma_x", "sigma_y", "site"),
        desc="what shines where in each frame, and the site it is on (-1: none, -2: a marker)",
    )  # fmt: skip
    output_dark_map = Output(ImageStack, "dark_map", diagnostic=True, desc="offset of each pixel, ADU")
    output_variance_map = Output(
        ImageStack, "variance_map", diagnostic=True, desc="read noise squared of each pixel, electrons^2"
    )
    output_flatfield_map = Output(ImageStack, "flatfield_map", diagnostic=True, desc="mean gain over the gain of each pixel")

    n_frames = Int(1000, low=1, high=50_000_000, unit="frame", desc="length of the movie")
    size = ListOf(Int(256, low=8, high=8192), (256, 256), length=2, unit="pixel", desc="[width, height] of a frame")
    pixel_size = Range(1.0, 10_000.0, 100.0, unit="nm", desc="edge of a pixel in the sample")
    margin = Float(0.0, low=0.0, unit="nm", desc="strip along the edge of the frame in which no molecule is placed")
    dark_frames = Int(0, low=0, unit="frame", desc="frames at the beginning without any light")

    structure = Choice(("uniform", "wormlike", "grids"), "uniform", desc="where molecules sit if no structure is given")
    blinking = Choice(
        ("random", "rates", "as_given"), "random",
        desc="random: other molecules in each frame; rates: on, off and bleaching; as_given: the rows of input_structure",
    )  # fmt: skip
    emitters_per_frame = Float(50.0, low=0.0, desc="random: mean number; the number itself follows a Poisson law")
    n_molecules = Int(1000, low=1, high=100_000_000, desc="rates: molecules, each at a random site (structure given: one a site)")
    on_time = Float(2.0, low=0.01, unit="frame", desc="rates: mean time that a molecule shines before it goes dark")
    off_time = Float(200.0, low=0.01, unit="frame", desc="rates: mean time that it stays dark")
    bleach_time = Float(0.0, low=0.0, unit="frame", desc="rates: mean time that it shines before it bleaches; 0: never")
    start = Choice(("balanced", "dark", "bright"), "balanced", desc="rates: state of the molecules at the beginning")
    photons = Float(1000.0, low=0.0, unit="photon", desc="mean of a molecule that shines for a whole frame")
    photon_law = Choice(
        ("exponential", "lognormal", "constant"), "exponential", desc="of a molecule (rates: of each time it shines)"
    )
    n_filaments = Int(30, low=1, high=1_000_000, desc="wormlike: filaments in the field")
    length = ListOf(Float(1.0, low=0.01), (4.0, 12.0), length=2, unit="um", desc="wormlike: shortest and longest contour")
    persistence_length = Float(10.0, low=0.01, unit="um", desc="wormlike: contour over which filaments keep their direction")
    tube_radius = Float(12.0, low=0.0, unit="nm", desc="wormlike: distance of the sites from the middle of the filament")
    n_grids = Int(100, low=1, high=1_000_000, desc="grids: number of grids")
    site_spacing = Float(10.0, low=0.1, unit="nm", desc="from one site to the next, along a filament or in a grid")
    depth = Float(0.0, low=0.0, unit="nm", desc="range of z over which molecules are spread, about 0")
    scan_step = Float(
        0.0, unit="nm", desc="the sample moves so far along z from each frame to the next, about 0: a stack of beads"
    )

    psf = Choice(("gaussian", "astigmatic", "stack"), "gaussian", desc="spot: Gaussian, with widths that follow z, or input_psf")
    psf_sigma = Range(10.0, 10_000.0, 130.0, unit="nm", desc="width of the Gaussian; astigmatic: of each axis in its focus")
    focus = ListOf(Float(0.0), (200.0, -200.0), length=2, unit="nm", desc="astigmatic: z at which x and y are in focus")
    focal_depth = Float(400.0, low=1.0, unit="nm", desc="astigmatic: from the focus to where the width is root 2 times larger")
    cubic = ListOf(Float(0.0), (0.0, 0.0), length=2, desc="astigmatic: third-order terms of x and y")
    quartic = ListOf(Float(0.0), (0.0, 0.0), length=2, desc="astigmatic: fourth-order terms of x and y")
    psf_centre = ListOf(Float(0.0), None, length=3, desc="stack: voxel [x, y, z] of the emitter; null: the middle")

    n_beads = Int(
        0, low=0, high=10_000, desc="fiducial markers, anywhere in the field: they always shine and move with the drift"
    )
    bead_photons = Float(20_000.0, low=0.0, unit="photon", desc="of a marker in each frame")
    background = Float(20.0, low=0.0, unit="photon", desc="in a pixel and frame")
    offset = Float(100.0, low=0.0, unit="ADU", desc="counts in the dark")
    electrons_per_count = Range(1e-4, 1e4, 1 / 2.2, desc="electrons behind the EM register for one count")
    read_noise = Float(1.5, low=0.0, desc="electrons behind the EM register; with spread: median of the pixels")
    em_gain = Float(1.0, low=1.0, desc="gain of the EM register; 1: there is none")
    offset_spread = Float(0.0, low=0.0, unit="ADU", desc="standard deviation of the offset from pixel to pixel")
    noise_spread = Range(0.0, 3.0, 0.0, desc="standard deviation of the logarithm of the read noise from pixel to pixel")
    gain_spread = Range(0.0, 0.3, 0.0, desc="relative standard deviation of the gain from pixel to pixel")
    full_well = Float(None, low=1.0, desc="electrons at which a pixel is full; null: never")
    bits = Int(16, low=8, high=16, desc="of the converter: counts end at 2^bits - 1")

    def check(self) -> Iterator[str]:
        if self.blinking == "as_given" and not self.input_structure:
            yield "blinking: as_given needs input_structure"
        if self.psf == "stack" and not self.input_psf:
            yield "psf: stack needs input_psf"
        if self.length[0] > self.length[1]:
            yield "length must be [shortest, longest]"
        if 2 * self.margin >= min(self.size) * self.pixel_size:
            yield "margin leaves no room for molecules"
        if self.dark_frames >= self.n_frames:
            yield "dark_frames leaves no frame with light"

    def run(self, ctx: Context, **given: Any) -> dict[str, Any]:
        rng = ctx.rng
        maps = self._maps(rng, given)
        truth = self._truth(rng, given)
        movie = ctx.scratch.array((self.n_frames, 1, self.size[1], self.size[0]), np.uint16)
        sequence = np.random.SeedSequence(rng.integers(0, 2**63, 2).tolist())
        bounds = np.searchsorted(truth["frame"], np.arange(self.n_frames + 1))
        job = Frames(movie, truth, bounds, self._spots(given), self._exposure(maps), sequence, self.dark_frames)
        full = 0
        for block, n in enumerate(ctx.map(job, range(0, self.n_frames, BLOCK))):
            full += n
            ctx.progress(min((block + 1) * BLOCK, self.n_frames), self.n_frames)
        metadata = self._metadata(maps)
        made: dict[str, Any] = {"output_image": ImageStack(movie, metadata=metadata)}
        made["output_localizations"] = Localizations(
            {name: truth[name].astype(np.int32 if name in ("frame", "site") else np.float32) for name in truth},
            metadata=metadata | self._field(),
        )
        for name in ("dark", "variance", "flatfield"):
            if ctx.wanted(f"output_{name}_map"):
                made[f"output_{name}_map"] = ImageStack(maps[name], metadata=metadata)
        if full:
            ctx.warn(f"{full:,} pixels of the movie are at the full scale of {2**self.bits - 1} ADU")
        return made

    # -- molecules -------------------------------------------------------------------------------------------------------

    def _truth(self, rng: np.random.Generator, given: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
        sites = self._sites(rng, given["input_structure"])
        if self.blinking == "as_given":
            frame, site, photons = self._as_given(rng, given["input_structure"])
            places = sites[site]
        elif self.blinking == "rates":
            n = len(sites) if given["input_structure"] is not None else self.n_molecules
            which = np.arange(n) if given["input_structure"] is not None or sites is None else rng.integers(0, len(sites), n)
            places = self._anywhere(rng, n) if sites is None else sites[which]
            molecule, begin, end = bright_intervals(
                rng, n=n, n_frames=self.n_frames, on_time=self.on_time, off_time=self.off_time, bleach_time=self.bleach_time,
                start=self.start,
            )  # fmt: skip
            interval, frame, part = by_frame(begin, end, self.n_frames)
            light = brightnesses(rng, self.photon_law, self.photons, len(begin))[interval] * part
            molecule, frame, photons = merged(molecule[interval], frame, light, self.n_frames)
            site, places = which[molecule], places[molecule]
        else:
            frame = np.repeat(np.arange(self.n_frames), rng.poisson(self.emitters_per_frame, self.n_frames))
            site = np.full(len(frame), -1) if sites is None else rng.integers(0, len(sites), len(frame))
            places = self._anywhere(rng, len(frame)) if sites is None else sites[site]
            photons = brightnesses(rng, self.photon_law, self.photons, len(frame))
        if self.n_beads:
            beads, n = self._anywhere(rng, self.n_beads), self.n_frames
            frame = np.concatenate([frame, np.repeat(np.arange(n), self.n_beads)])
            order = np.argsort(frame, kind="stable")
            frame = frame[order]
            site = np.concatenate([site, np.full(n * self.n_beads, BEAD)])[order]
            photons = np.concatenate([photons, np.full(n * self.n_beads, self.bead_photons)])[order]
            places = np.concatenate([places, np.tile(beads, (n, 1))])[order]
        if self.dark_frames:
            lit = frame >= self.dark_frames
            frame, site, photons, places = frame[lit], site[lit], photons[lit], places[lit]
        if given["input_drift"] is not None:
            places = places - given["input_drift"].at(np.arange(self.n_frames))[frame]
        if self.scan_step:
            places = places + np.multiply.outer((frame - (self.n_frames - 1) / 2) * self.scan_step, [0.0, 0.0, 1.0])
        sigma_x, sigma_y = self._widths(places[:, 2])
        return {
            "frame": frame, "x": places[:, 0], "y": places[:, 1], "z": places[:, 2], "photons": photons,
            "background": np.full(len(frame), self.background), "sigma_x": sigma_x, "sigma_y": sigma_y, "site": site,
        }  # fmt: skip

    def _sites(self, rng: np.random.Generator, structure: Localizations | None) -> Any:
        """Sites (m, 3) in nm; None where molecules may be anywhere."""
        if structure is not None:
            good = structure.finite_rows("x", "y")
            if not good.all():
                raise DataError(
                    f"{np.count_nonzero(~good):,} rows of the structure have no place (x or y is not finite).",
                    code="D540", hint="Remove them with FilterTable before.",
                )  # fmt: skip
            if not len(structure):
                raise DataError("the structure has no rows.", code="D540", hint="Give a table with a site in each row.")
            z = np.nan_to_num(np.asarray(structure["z"], float)) if "z" in structure else np.zeros(len(structure))
            return np.column_stack([structure["x"], structure["y"], z]).astype(np.float64)
        if self.structure == "uniform":
            return None
        field = max(self.size) * self.pixel_size
        if self.structure == "grids":
            sites, _ = site_grids(rng, n=self.n_grids, field=field, spacing=self.site_spacing, depth=self.depth)
        else:
            sites = wormlike_filaments(
                rng, n=self.n_filaments, field=field, length=(self.length[0] * 1000, self.length[1] * 1000),
                persistence=self.persistence_length * 1000, spacing=self.site_spacing, radius=self.tube_radius, depth=self.depth,
            )  # fmt: skip
        low, high = self._bounds()
        sites = sites + np.append(low - self.margin, 0.0)
        sites = sites[((sites[:, :2] >= low) & (sites[:, :2] <= high)).all(axis=1)]
        if not len(sites):
            raise DataError(
                "no part of the structure lies in the frame.", code="D540", hint="Set n_filaments, n_grids or size higher."
            )
        return sites

    def _bounds(self) -> tuple[Floats, Floats]:
        """Corners (x, y) of the part of the frame in which molecules lie, nm."""
        edge = np.array(self.size, float) * self.pixel_size
        low = np.full(2, -self.pixel_size / 2 + self.margin)
        return low, edge - self.pixel_size / 2 - self.margin

    def _anywhere(self, rng: np.random.Generator, n: int) -> Floats:
        low, high = self._bounds()
        return np.column_stack([rng.uniform(low, high, (n, 2)), rng.uniform(-self.depth / 2, self.depth / 2, n)])

    def _as_given(self, rng: np.random.Generator, rows: Localizations) -> tuple[Ints, Ints, Floats]:
        rows.require("frame")
        frames = rows.frames
        if "photons" in rows:
            photons = np.asarray(rows["photons"], np.float64)
            if not (np.isfinite(photons) & (photons >= 0)).all():
                raise DataError(
                    "the structure's column 'photons' holds numbers that are below 0 or not finite.", code="D540",
                    hint="Filter the rows before, or leave the column out: then the parameter photons counts.",
                )  # fmt: skip
        else:
            photons = brightnesses(rng, self.photon_law, self.photons, len(frames))
        order = np.argsort(frames, kind="stable")
        order = order[(frames[order] >= 0) & (frames[order] < self.n_frames)]
        if not len(order):
            raise DataError(
                f"no row of the structure lies in frames 0 to {self.n_frames - 1}.", code="D540", hint="Set n_frames higher."
            )
        return frames[order], order, photons[order]

    # -- spots -----------------------------------------------------------------------------------------------------------

    def _widths(self, z: Floats) -> tuple[Floats, Floats]:
        """sigma_x, sigma_y in nm; NaN for a psf that is given as a stack."""
        if self.psf == "stack":
            return np.full(len(z), np.nan), np.full(len(z), np.nan)
        if self.psf == "gaussian":
            return np.full(len(z), self.psf_sigma), np.full(len(z), self.psf_sigma)
        found = []
        for axis in range(2):
            t = (z - self.focus[axis]) / self.focal_depth
            widening = 1 + t**2 + self.cubic[axis] * t**3 + self.quartic[axis] * t**4
            if np.any(widening <= 0):
                raise DataError(
                    "the calibration gives a molecule no width: cubic or quartic terms outweigh the others.", code="D540",
                    hint="Set depth lower, or quartic higher.",
                )  # fmt: skip
            found.append(self.psf_sigma * np.sqrt(widening))
        return found[0], found[1]

    def _spots(self, given: dict[str, Any]) -> Callable[[Any, dict[str, Any]], None]:
        """Function that adds the spots of some rows of the truth to an image."""
        from recipes_modules.movie_simulation.spots import add_gaussians, add_stack_spots, prepare_stack

        pixel = self.pixel_size
        if self.psf != "stack":

            def gaussians(image: Any, rows: dict[str, Any]) -> None:
                x, y, sigma_x, sigma_y = (rows[name] / pixel for name in ("x", "y", "sigma_x", "sigma_y"))
                add_gaussians(image, x, y, sigma_x, sigma_y, rows["photons"])

            return gaussians
        stack: ImageStack = given["input_psf"]
        planes = stack.asarray()
        if 1 not in planes.shape[:2]:
            raise DataError(
                f"the psf has {planes.shape[0]} images of {planes.shape[1]} planes; it is one stack.", code="D540",
                hint="Choose one of its images.",
            )  # fmt: skip
        planes = planes.reshape(-1, *planes.shape[2:])
        voxel = stack.require_pixel_size()
        if len(planes) > 1 and voxel[2] <= 0:
            raise DataError("the psf has no distance of planes.", code="D540", hint="Give voxelsize.z in um in its metadata.")
        if not np.isfinite(planes).all() or planes.max() <= planes.min():
            raise DataError("the psf holds no spot: it is constant or not finite.", code="D540", hint="Look at the file.")
        ready = prepare_stack(planes, voxel, (pixel, pixel), self.psf_centre)

        def stacks(image: Any, rows: dict[str, Any]) -> None:
            add_stack_spots(
                image, rows["x"] / pixel, rows["y"] / pixel, rows["z"], rows["photons"], ready.coefficients, ready.centre,
                ready.step, ready.parts,
            )  # fmt: skip

        return stacks

    # -- camera ----------------------------------------------------------------------------------------------------------

    def _maps(self, rng: np.random.Generator, given: dict[str, Any]) -> dict[str, Any]:
        """Offset, variance and flat field, each (y, x) float32."""
        from recipes_modules.localize.camera import fit_map

        shape = (self.size[1], self.size[0])
        drawn = {
            "dark": self.offset + self.offset_spread * rng.standard_normal(shape),
            "variance": (self.read_noise * np.exp(self.noise_spread * rng.standard_normal(shape))) ** 2,
            "flatfield": 1 / np.clip(1 + self.gain_spread * rng.standard_normal(shape), 0.1, None),
        }
        drawn["flatfield"] /= drawn["flatfield"].mean()
        for name, kind in (("dark", "dark"), ("variance", "variance"), ("flatfield", "flat")):
            map_given = given[f"input_{name}_map"]
            if map_given is not None:
                drawn[name] = fit_map(map_given.asarray(), shape, (0, 0), kind)
        return {name: np.asarray(values, np.float32) for name, values in drawn.items()}

    def _exposure(self, maps: dict[str, Any]) -> dict[str, Any]:
        return {
            "background": self.background,
            "em_gain": self.em_gain,
            "multiplied": self.em_gain > 1,
            "full_well": np.inf if self.full_well is None else self.full_well,
            "dark": maps["dark"],
            "per_electron": (1 / (self.electrons_per_count * maps["flatfield"])).astype(np.float32),
            # The maps of a camera are measured in counts: a pixel's noise in electrons is taken at the mean gain.
            "noise": np.sqrt(maps["variance"] * maps["flatfield"] ** 2),
            "full_scale": float(2**self.bits - 1),
        }

    def _field(self) -> dict[str, Any]:
        low, edge = -self.pixel_size / 2, self.pixel_size
        width, height = self.size
        return {
            "ImageBounds.x0": low, "ImageBounds.x1": low + width * edge, "ImageBounds.y0": low, "ImageBounds.y1": low + height * edge,
        }  # fmt: skip

    def _metadata(self, maps: dict[str, Any]) -> dict[str, Any]:
        camera = Camera(
            offset=float(np.mean(maps["dark"])),
            electrons_per_count=self.electrons_per_count,
            em_gain=self.em_gain,
            noise_factor=float(np.sqrt(2)) if self.em_gain > 1 else 1.0,
            read_noise=float(np.sqrt(np.median(maps["variance"]))),
            pixel_size=(self.pixel_size, self.pixel_size),
        )
        metadata = camera.metadata()
        if self.dark_frames:
            metadata |= {"Protocol.DarkFrameRange": [0, self.dark_frames], "Protocol.DataStartsAt": self.dark_frames}
        return metadata
