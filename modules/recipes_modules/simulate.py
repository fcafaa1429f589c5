"""Simulated localizations with a drift that is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Int, ListOf, Output, Range
from recipes_modules.simulate_structures import blink, drift_path, site_grids, thomas_clusters, wormlike_filaments

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PIXEL_UM = 0.1
"""Camera pixel that spot heights and metadata refer to."""


class Locs_Simulate(ModuleBase):
    """Simulates localizations of molecules that blink on a structure, while the sample drifts.

    The truth comes with them as a drift (what must be added), zero at frame 0, and, where it is asked for, as the place of each
    localization's molecule. Photons of a localization are exponentially distributed above a threshold of a third of their mean; its
    standard errors follow from them by `precision_law`. With the default parameters values lie within the filters of PYME's drift
    recipes.
    """

    uses_seed = True

    output_localizations = Output(
        Localizations, "Localizations", desc="localizations with drift",
        columns=("frame", "x", "y", "z", "A", "photons", "sigma", "error_x", "error_y", "error_z"),
    )  # fmt: skip
    output_drift = Output(Drift, "drift_truth", desc="correction to add, for every frame")
    output_truth = Output(
        Localizations, "molecules", diagnostic=True, columns=("frame", "x", "y", "z", "site", "structure"),
        desc="row by row where the molecule is, without drift and error; its site and the structure it is on (-1: background)",
    )  # fmt: skip

    kind = Choice(("wormlike", "thomas", "grids"), "wormlike", desc="structure: bent filaments, blobs, or grids of sites")
    n_localizations = Int(100_000, low=1, desc="rows of the table; for thomas they follow from n_clusters and cluster_size")
    n_frames = Int(30_000, low=1, high=50_000_000, unit="frame", desc="length of the movie")
    localizations_per_frame = Float(0.0, low=0.0, desc="mean number; where it is not 0, n_frames follows from it")
    field = Range(0.1, 10_000.0, 9.0, unit="um", desc="edge of the square field")
    n_filaments = Int(30, low=1, high=1_000_000, desc="filaments in the field")
    length = ListOf(Float(1.0, low=0.01), (4.0, 12.0), length=2, unit="um", desc="shortest and longest contour")
    persistence_length = Float(10.0, low=0.01, unit="um", desc="contour over which filaments keep their direction")
    site_spacing = Float(10.0, low=0.1, unit="nm", desc="from one labelled site to the next, along a filament or in a grid")
    tube_radius = Float(12.0, low=0.0, unit="nm", desc="distance of the sites from the middle of the filament")
    n_clusters = Int(100, low=1, high=1_000_000, desc="thomas: mean number of clusters; grids: number of grids")
    cluster_size = Float(1000.0, low=0.01, high=1e9, desc="thomas: mean number of members of a cluster")
    cluster_sigma = Float(10.0, low=0.0, unit="nm", desc="thomas: standard deviation of members about their cluster's middle")
    depth = Float(0.0, low=0.0, unit="nm", desc="range of z over which the structure is spread")
    tilt = Range(0.0, 1.0, 0.1, desc="steepest slope of filaments and grids along z, where there is depth")
    n_channels = Int(1, low=1, high=8, desc="colours, each with a structure of its own; more than one: a column channel")
    channel_shift = ListOf(Float(0.0), (0.0, 0.0, 0.0), length=3, unit="nm", desc="along x, y, z from each colour to the next")
    on_time = Float(2.0, low=1.0, unit="frame", desc="mean time that a molecule stays on; thomas at 1: each member once")
    bleaching = Float(0.0, low=0.0, high=20.0, desc="blinks become fewer as exp(-bleaching) until the end")
    background = Range(0.0, 1.0, 0.02, desc="part of the localizations that lies anywhere in the field")
    photons = Float(1000.0, low=1.0, unit="photon", desc="mean of a localization")
    precision = Float(10.0, low=0.0, unit="nm", desc="error along x and along y, in the sense of precision_law")
    axial_precision = Float(25.0, low=0.0, unit="nm", desc="error along z, in the sense of precision_law")
    precision_law = Choice(
        ("scaled", "photons", "constant"), "scaled",
        desc="errors as one over the root of the photons, with the given root mean square (scaled) or the given value at 1000 "
        "photons, bounded by precision_range (photons); or all the same (constant)",
    )  # fmt: skip
    precision_range = ListOf(
        Float(0.0, low=0.0), (8.0, 25.0), length=2, unit="nm",
        desc="precision_law photons: smallest and largest error along x and y; along z in proportion",
    )  # fmt: skip
    drift = Choice(
        ("none", "linear", "polynomial", "sinusoid", "random_walk", "knots", "steps"), "polynomial",
        desc="how the sample moves; knots: smoothly between 400 places of a random walk",
    )  # fmt: skip
    drift_amplitude = ListOf(
        Float(0.0, low=0.0), (900.0, 1100.0, 0.0), length=3, unit="nm", desc="range of the movement along x, y and z"
    )
    drift_roughness = Range(0.0, 1.0, 0.0, desc="share of a random walk in the movement")
    drift_seed = Int(None, low=0, high=2**63 - 1, desc="seed of the movement alone; null: it follows the run's seed")
    jump = ListOf(Float(0.0), (0.0, 0.0, 0.0), length=3, unit="nm", desc="step along x, y, z from one frame to the next")
    jump_at = Range(0.0, 1.0, 0.5, desc="part of the movie that lies before the jump")

    def check(self) -> Iterator[str]:
        if self.length[0] > self.length[1]:
            yield "length must be [shortest, longest]"
        if self.precision_range[0] > self.precision_range[1]:
            yield "precision_range must be [smallest, largest]"

    def output_columns(self, port: str, known: Any) -> Any:
        columns = super().output_columns(port, known)
        return (*columns, "channel") if self.n_channels > 1 else columns

    def run(self, ctx: Context) -> dict[str, Any]:
        rng = ctx.rng
        structure = self._structure(rng)
        n = len(structure.sites) if self.kind == "thomas" else self.n_localizations
        n_frames = max(1, round(n / self.localizations_per_frame)) if self.localizations_per_frame else self.n_frames
        frames, which = blink(
            rng, n=n, n_frames=n_frames, n_sites=len(structure.sites), on_time=self.on_time, bleaching=self.bleaching
        )
        if self.kind == "thomas" and self.on_time == 1:
            which = rng.permutation(n)
        moved = self._moved(rng, n_frames)
        truth = Drift(np.arange(n_frames), -moved, exact=True)
        locs, molecules = self._tables(rng, structure, frames, which, moved, wanted=ctx.wanted("output_truth"))
        made = {"output_localizations": locs, "output_drift": truth}
        return made if molecules is None else made | {"output_truth": molecules}

    def _structure(self, rng: np.random.Generator) -> Structure:
        field = self.field * 1000
        sites: list[Floats] = []
        parts: list[Ints] = []
        for channel in range(self.n_channels):
            if self.kind == "thomas":
                places, part = thomas_clusters(
                    rng, n=self.n_clusters, field=field, size=self.cluster_size, sigma=self.cluster_sigma, depth=self.depth
                )
            elif self.kind == "grids":
                places, part = site_grids(
                    rng, n=self.n_clusters, field=field, spacing=self.site_spacing, depth=self.depth, tilt=self.tilt
                )
            else:
                places = wormlike_filaments(
                    rng, n=self.n_filaments, field=field, length=(self.length[0] * 1000, self.length[1] * 1000),
                    persistence=self.persistence_length * 1000, spacing=self.site_spacing, radius=self.tube_radius,
                    depth=self.depth, tilt=self.tilt,
                )  # fmt: skip
                part = np.zeros(len(places), np.int64)
            if not len(places):
                raise DataError(
                    "no part of the structure lies in the field.",
                    hint="Set field, n_filaments, n_clusters or cluster_size higher.",
                )
            sites.append(places + channel * np.array(self.channel_shift))
            parts.append(part)
        channels = np.repeat(np.arange(self.n_channels), [len(places) for places in sites])
        return Structure(np.concatenate(sites), np.concatenate(parts), channels)

    def _moved(self, rng: np.random.Generator, n_frames: int) -> Floats:
        if self.drift_seed is not None:
            rng = np.random.default_rng(self.drift_seed)
        moved = drift_path(rng, self.drift, n_frames, self.drift_amplitude, self.drift_roughness)
        if any(self.jump):
            moved[max(1, round(self.jump_at * n_frames)) :] += self.jump
        return moved

    def _tables(
        self, rng: np.random.Generator, structure: Structure, frames: Ints, which: Ints, moved: Floats, *, wanted: bool
    ) -> tuple[Localizations, Localizations | None]:
        n = len(frames)
        # A detection threshold below, an exponential above it; divided by the mean.
        brightness = (1 + rng.exponential(2.0, n)) / 3
        lateral, axial = self._errors(brightness)
        anywhere = rng.uniform(size=n) < self.background
        columns: dict[str, Any] = {"frame": frames.astype(np.int32)}
        truth: dict[str, Any] = {"frame": columns["frame"]}
        width = np.clip(rng.normal(130.0, 5.0, n), 100.0, 190.0)
        for axis, (name, error) in enumerate(zip("xyz", (lateral, lateral, axial), strict=True)):
            low, high = (0.0, self.field * 1000) if name != "z" else (-self.depth / 2, self.depth / 2)
            place = np.where(anywhere, rng.uniform(low, high, n), structure.sites[which, axis])
            columns[name] = (place + moved[frames, axis] + error * rng.normal(size=n)).astype(np.float32)
            if wanted:
                truth[name] = place.astype(np.float32)
        photons = self.photons * brightness
        columns["A"] = (photons / (2 * np.pi * (width / (1000 * PIXEL_UM)) ** 2)).astype(np.float32)
        columns["photons"] = photons.astype(np.float32)
        columns["sigma"] = width.astype(np.float32)
        for name, error in (("error_x", lateral), ("error_y", lateral), ("error_z", axial)):
            columns[name] = error.astype(np.float32)
        if self.n_channels > 1:
            columns["channel"] = truth["channel"] = structure.channels[which].astype(np.int32)
        metadata = self._metadata()
        locs = Localizations(columns, metadata=metadata)
        if not wanted:
            return locs, None
        truth["site"] = np.where(anywhere, -1, which).astype(np.int32)
        truth["structure"] = np.where(anywhere, -1, structure.parts[which]).astype(np.int32)
        return locs, Localizations(truth, metadata=metadata)

    def _errors(self, brightness: Floats) -> tuple[Floats, Floats]:
        """Standard errors across and along the optical axis, nm."""
        error = 1 / np.sqrt(brightness)
        if self.precision_law == "constant":
            error = np.ones_like(brightness)
        elif self.precision_law == "photons":
            error *= np.sqrt(1000 / self.photons)
            low, high = self.precision_range
            if self.precision > 0:
                error = np.clip(error, low / self.precision, high / self.precision)
        else:
            error *= 1 / np.sqrt(np.mean(error**2))
        return self.precision * error, self.axial_precision * error

    def _metadata(self) -> dict[str, Any]:
        bounds = {"x0": 0.0, "x1": self.field * 1000, "y0": 0.0, "y1": self.field * 1000}
        metadata = {"voxelsize.x": PIXEL_UM, "voxelsize.y": PIXEL_UM, "voxelsize.units": "um"}
        return metadata | {f"ImageBounds.{name}": value for name, value in bounds.items()}


@dataclass(frozen=True)
class Structure:
    """Labelled sites.

    Attributes
    ----------
    sites : array (m, 3)
        nm.
    parts, channels : array (m,)
        Cluster or grid (0 for all filaments) and colour of each site.
    """

    sites: Floats
    parts: Ints
    channels: Ints
