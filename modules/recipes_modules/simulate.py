"""Simulated localizations with a drift that is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from recipes_core.data import Drift, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Int, ListOf, Output, Range
from recipes_modules.simulate_structures import blink, drift_path, wormlike_filaments

PIXEL_UM = 0.1
"""Camera pixel that spot heights and metadata refer to."""


class Locs_Simulate(ModuleBase):
    """Simulates localizations of molecules that blink on a structure, while the sample drifts.

    The truth comes with them as a drift (what must be added), zero at frame 0. Photons of a localization are exponentially
    distributed above a threshold, its standard errors follow them as one over their square root; `precision` is their root mean
    square. Values lie within the filters of PYME's drift recipes.
    """

    uses_seed = True

    output_localizations = Output(
        Localizations, "Localizations", desc="localizations with drift",
        columns=("frame", "x", "y", "z", "A", "photons", "sigma", "error_x", "error_y", "error_z"),
    )  # fmt: skip
    output_drift = Output(Drift, "drift_truth", desc="correction to add, for every frame")

    kind = Choice(("wormlike",), "wormlike", desc="structure: bent filaments")
    n_localizations = Int(100_000, low=1, desc="rows of the table")
    n_frames = Int(30_000, low=1, high=50_000_000, unit="frame", desc="length of the movie")
    field = Range(0.1, 10_000.0, 9.0, unit="um", desc="edge of the square field")
    n_filaments = Int(30, low=1, high=1_000_000, desc="filaments in the field")
    length = ListOf(Float(1.0, low=0.01), (4.0, 12.0), length=2, unit="um", desc="shortest and longest contour")
    persistence_length = Float(10.0, low=0.01, unit="um", desc="contour over which filaments keep their direction")
    site_spacing = Float(10.0, low=0.1, unit="nm", desc="contour from one labelled site to the next")
    tube_radius = Float(12.0, low=0.0, unit="nm", desc="distance of the sites from the middle of the filament")
    depth = Float(0.0, low=0.0, unit="nm", desc="range of z over which the structure is spread")
    on_time = Float(2.0, low=1.0, unit="frame", desc="mean time that a molecule stays on")
    bleaching = Float(0.0, low=0.0, high=20.0, desc="blinks become fewer as exp(-bleaching) until the end")
    background = Range(0.0, 1.0, 0.02, desc="part of the localizations that lies anywhere in the field")
    photons = Float(1000.0, low=1.0, unit="photon", desc="mean of a localization")
    precision = Float(10.0, low=0.0, unit="nm", desc="root mean square error along x and along y")
    axial_precision = Float(25.0, low=0.0, unit="nm", desc="root mean square error along z")
    drift = Choice(("none", "polynomial", "sinusoid", "random_walk", "steps"), "polynomial", desc="how the sample moves")
    drift_amplitude = ListOf(
        Float(0.0, low=0.0), (900.0, 1100.0, 0.0), length=3, unit="nm", desc="range of the movement along x, y and z"
    )
    drift_roughness = Range(0.0, 1.0, 0.0, desc="share of a random walk in the movement")

    def check(self) -> Iterator[str]:
        if self.length[0] > self.length[1]:
            yield "length must be [shortest, longest]"

    def run(self, ctx: Context) -> dict[str, Any]:
        rng = ctx.rng
        field = self.field * 1000
        sites = wormlike_filaments(
            rng, n=self.n_filaments, field=field, length=(self.length[0] * 1000, self.length[1] * 1000),
            persistence=self.persistence_length * 1000, spacing=self.site_spacing, radius=self.tube_radius, depth=self.depth,
        )  # fmt: skip
        if not len(sites):
            raise DataError("no part of a filament lies in the field.", hint="Set field larger or n_filaments higher.")
        frames, which = blink(
            rng,
            n=self.n_localizations,
            n_frames=self.n_frames,
            n_sites=len(sites),
            on_time=self.on_time,
            bleaching=self.bleaching,
        )
        moved = drift_path(rng, self.drift, self.n_frames, self.drift_amplitude, self.drift_roughness)
        truth = Drift(np.arange(self.n_frames), -moved, exact=True)
        return {"output_localizations": self._table(rng, sites, frames, which, moved, field), "output_drift": truth}

    def _table(self, rng: np.random.Generator, sites: Any, frames: Any, which: Any, moved: Any, field: float) -> Localizations:
        n = len(frames)
        # A detection threshold below, an exponential above it; divided by the mean.
        brightness = (1 + rng.exponential(2.0, n)) / 3
        error = 1 / np.sqrt(brightness)
        error *= 1 / np.sqrt(np.mean(error**2))
        anywhere = rng.uniform(size=n) < self.background
        columns: dict[str, Any] = {"frame": frames.astype(np.int32)}
        width = np.clip(rng.normal(130.0, 5.0, n), 100.0, 190.0)
        for axis, (name, precision) in enumerate(zip("xyz", (self.precision, self.precision, self.axial_precision), strict=True)):
            low, high = (0.0, field) if name != "z" else (-self.depth / 2, self.depth / 2)
            place = np.where(anywhere, rng.uniform(low, high, n), sites[which, axis])
            columns[name] = (place + moved[frames, axis] + precision * error * rng.normal(size=n)).astype(np.float32)
        photons = self.photons * brightness
        columns["A"] = (photons / (2 * np.pi * (width / (1000 * PIXEL_UM)) ** 2)).astype(np.float32)
        columns["photons"] = photons.astype(np.float32)
        columns["sigma"] = width.astype(np.float32)
        for name, precision in (("error_x", self.precision), ("error_y", self.precision), ("error_z", self.axial_precision)):
            columns[name] = (precision * error).astype(np.float32)
        bounds = {"x0": 0.0, "x1": field, "y0": 0.0, "y1": field}
        metadata = {"voxelsize.x": PIXEL_UM, "voxelsize.y": PIXEL_UM, "voxelsize.units": "um"}
        return Localizations(columns, metadata=metadata | {f"ImageBounds.{name}": value for name, value in bounds.items()})
