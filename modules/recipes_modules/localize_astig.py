"""Astigmatic 3D: calibration of the widths over z, and z from widths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, ImageStack, Localizations, Scalars, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, FilePath, Float, Input, Int, Output, Range, Str
from recipes_modules.localize.foreign_calibrations import SUFFIXES, read_calibration

PSF_SIGMA = 250 / 2.35
_MOST_STRAY = 0.025
"""Part of the widths by which a curve may pass them by."""
Array = npt.NDArray[Any]


class Astig_Calibrate(ModuleBase):
    """Measures how the widths of a spot change with z, from beads at known z.

    Takes a stack of planes (z, or frames of a movie) in which beads are found and fitted, or a table of fits with sigma_x and sigma_y.
    Beads may lie at different heights: each is moved along z to where it fits the common curves best. z counts from the plane in which
    both widths are equal.

    Curves are those of a lens out of focus (B. Huang et al. 2008, doi:10.1126/science.1153529), w0 sqrt(1 + u^2 + A u^3 + B u^4) with
    u = (z - c) / d, or smoothing splines. The result is a table with a row for each z, which any table format keeps; `Astig_Z` uses it.
    """

    version = 1

    input_image = Input(ImageStack, "beads", optional=True, desc="planes with beads")
    input_localizations = Input(Table, "", optional=True, desc="fits of beads with sigma_x and sigma_y, in place of planes")
    output_calibration = Output(Table, "calibration", desc="sigma_x and sigma_y over z")
    output_figure = Output(
        Figure, "calibration_plot", diagnostic=True, desc="widths and curves over z, and how well z is found again"
    )
    output_quality = Output(Scalars, "calibration_quality", diagnostic=True, desc="range, number of beads, and errors of z")

    z_step = Float(
        None, low=0.01, unit="nm", desc="from one plane or frame to the next; null: the image's, or the table's column z_column"
    )
    z_column = Str("z", desc="column of the table with the known z")
    moves = Choice(
        ("sample", "objective"), "sample", desc="what moves: with the objective, z of a bead falls as the stage's rises"
    )
    curve = Choice(("defocus", "spline"), "defocus", desc="curves of a lens out of focus, or smoothing splines")
    zero = Choice(("crossing", "stage"), "crossing", desc="z counts from where the widths are equal, or from the middle plane")
    z_min = Float(None, unit="nm", desc="lower end of the result; null: that of the planes")
    z_max = Float(None, unit="nm", desc="upper end of the result; null: that of the planes")
    roi_half_size = Int(8, low=2, high=30, unit="pixel", desc="beads are fitted in 2 n + 1 pixels along x and y")
    psf_sigma_guess = Float(PSF_SIGMA, low=1.0, unit="nm", desc="width (standard deviation) of a bead in focus")
    spacing = Range(0.5, 100.0, 5.0, unit="nm", desc="between the rows of the result")

    def check(self) -> Iterator[str]:
        if self.z_min is not None and self.z_max is not None and self.z_min >= self.z_max:
            yield f"z_min: {self.z_min:g} is not below z_max: {self.z_max:g}"

    def run(self, ctx: Context, input_image: ImageStack | None, input_localizations: Table | None) -> dict[str, Any]:
        from recipes_modules.astig_figures import calibration_figure
        from recipes_modules.localize.astigmatism import calibrate, find_z, strays

        if (input_image is None) == (input_localizations is None):
            raise DataError(
                "Astig_Calibrate takes either planes or a table of fits.",
                code="D110",
                hint="Give input_image or input_localizations.",
            )
        z, widths, errors, bead = (
            self._of_planes(ctx, input_image) if input_image is not None else self._of_table(input_localizations)  # type: ignore[arg-type]
        )
        z = z if self.moves == "sample" else -z
        low, high = self.z_min, self.z_max
        limits = None if low is None and high is None else (-np.inf if low is None else low, np.inf if high is None else high)
        calibration, moved = calibrate(
            z, widths, errors, bead, curve=self.curve, step=self.spacing, zero=self.zero, limits=limits
        )  # fmt: skip
        true = z + moved[bead]
        found = find_z(calibration, *widths, *errors)
        inside = (true > calibration.z[0]) & (true < calibration.z[-1]) & (found["code"] == 1)
        off = found["z"][inside] - true[inside]
        spread = 1.4826 * float(np.median(np.abs(off - np.median(off)))) if inside.any() else float("nan")
        stray = strays(calibration, true, widths, errors) if self.curve == "defocus" else 0.0
        if stray > _MOST_STRAY:
            ctx.warn(f"the widths stray from defocus curves by {stray:.0%}, which biases z; curve: spline follows them")
        values = {
            "z_low": float(calibration.z[0]), "z_high": float(calibration.z[-1]), "beads": len(moved), "fits": len(z),
            "z_scatter": spread, "sigma_x_min": float(calibration.widths[0].min()), "sigma_y_min": float(calibration.widths[1].min()),
        }  # fmt: skip
        ctx.say(
            f"{len(moved)} bead{'s' if len(moved) != 1 else ''}, {len(z):,} fits; z from {values['z_low']:.0f} to {values['z_high']:.0f} nm, "
            f"found again within {spread:.1f} nm"
        )
        units = {name: "nm" for name in values if name not in ("beads", "fits")}
        made: dict[str, Any] = {"output_calibration": calibration.to_table(), "output_quality": Scalars(values, units=units)}
        if ctx.wanted("output_figure"):
            made["output_figure"] = calibration_figure(calibration, true, widths, found["z"], bead)
        return made

    def _of_planes(self, ctx: Context, stack: ImageStack) -> tuple[Array, Array, Array, Array]:
        from recipes_modules.localize.bead_stack import measure

        size_x, size_y, size_z = stack.require_pixel_size()
        step = self.z_step or size_z
        if not step:
            raise DataError(
                "the distance of the planes is not known.",
                code="D550",
                hint="Give z_step in nm, or voxelsize.z in um under the input.",
            )
        planes, variance, excess = _electrons(ctx, stack)
        found = measure(
            planes, variance, self.psf_sigma_guess / np.sqrt(size_x * size_y), self.roi_half_size, (size_x, size_y), excess
        )
        # The middle plane is the stage's zero.
        z = (found.plane - (len(planes) - 1) / 2) * step
        return z, found.widths, found.errors, found.bead

    def _of_table(self, table: Table) -> tuple[Array, Array, Array, Array]:
        table.require("sigma_x", "sigma_y")
        if self.z_step:
            table.require("frame")
            frames = np.asarray(table["frame"], np.float64)
            z = (frames - (frames.min() + frames.max()) / 2) * self.z_step if len(frames) else frames
        else:
            table.require(self.z_column)
            z = np.asarray(table[self.z_column], np.float64)
        widths = np.stack([np.asarray(table[f"sigma_{axis}"], np.float64) for axis in "xy"])
        errors = 0.02 * widths
        if "error_sigma_x" in table and "error_sigma_y" in table:
            errors = np.stack([np.asarray(table[f"error_sigma_{axis}"], np.float64) for axis in "xy"])
        good = np.isfinite(z) & np.isfinite(widths).all(axis=0) & np.isfinite(errors).all(axis=0)
        good &= (widths > 0).all(axis=0) & (errors > 0).all(axis=0)
        if "result_code" in table:
            good &= (table["result_code"] >= 1) & (table["result_code"] <= 4)
        group = np.asarray(table["group"])[good] if "group" in table else np.zeros(int(good.sum()))
        return z[good], widths[:, good], errors[:, good], np.unique(group, return_inverse=True)[1]


class Astig_Z(ModuleBase):
    """Gives localizations z from their sigma_x and sigma_y and a calibration.

    z is where the calibrated widths are nearest to the fitted ones, each weighted by its error; error_z follows from the errors of the
    widths (error_sigma_x and error_sigma_y, Cramer-Rao bounds after a maximum-likelihood fit) and the curves' slopes. Tables without these
    errors get z by the distance of the widths' roots (B. Huang et al. 2008, doi:10.1126/science.1153529), and no error_z.

    New columns: z, error_z, z_mismatch (distance from the curves in units of the errors; large for spots that are no single molecule), and
    z_code: 1 found; 6 at an end of the calibrated range, where the true z may lie beyond; 0 no z, which is NaN.
    """

    version = 2

    input_localizations = Input(Localizations, "Localizations", requires=("sigma_x", "sigma_y"), desc="fits with two widths")
    input_calibration = Input(
        Table, "calibration", optional=True, requires=("z", "sigma_x", "sigma_y"), desc="from Astig_Calibrate"
    )
    output_localizations = Output(
        Localizations, "zmapped", like="input_localizations", adds=("z", "error_z", "z_mismatch", "z_code"), desc="with z"
    )
    output_figure = Output(Figure, "z_plot", diagnostic=True, desc="widths of the localizations on the curves, and their z")

    calibration_file = FilePath(
        "",
        desc="in place of input_calibration: a table with z, sigma_x and sigma_y, PYME's calibration (.json) or Picasso's (.yaml)",
    )
    z_scale = Float(
        1.0,
        low=0.01,
        high=10.0,
        desc="z and its error are multiplied by this: the focal shift by the refractive index, 0.7 to 0.9",
    )
    range_ends = Choice(("keep", "drop"), "keep", desc="whether localizations at the ends of the range stay")
    max_mismatch = Float(None, low=0.0, desc="localizations further from the curves are left out; null: none")

    def run(self, ctx: Context, input_localizations: Localizations, input_calibration: Table | None) -> dict[str, Any]:
        from recipes_modules.localize.astigmatism import EDGE, FAILED, Calibration, find_z

        table = self._calibration(ctx, input_calibration, input_localizations)
        calibration = Calibration.from_table(table)
        columns = [np.asarray(input_localizations[f"sigma_{axis}"]) for axis in "xy"]
        have = [f"error_sigma_{axis}" in input_localizations for axis in "xy"]
        errors = [np.asarray(input_localizations[f"error_sigma_{axis}"]) for axis in "xy"] if all(have) else [None, None]
        if not all(have):
            ctx.warn("no errors of sigma_x and sigma_y: z is found without weights, and error_z is NaN")
        found = find_z(calibration, *columns, *errors, correlation_of(input_localizations))
        code = found["code"]
        new = {
            "z": (found["z"] * self.z_scale).astype(np.float32), "error_z": (found["error_z"] * self.z_scale).astype(np.float32),
            "z_mismatch": found["mismatch"].astype(np.float32), "z_code": code,
        }  # fmt: skip
        result = input_localizations.with_columns(new, units={"z": "nm", "error_z": "nm", "z_mismatch": "", "z_code": ""})
        n = max(len(result), 1)
        ends, failed = int(np.count_nonzero(code == EDGE)), int(np.count_nonzero(code == FAILED))
        ctx.say(f"z of {len(result) - failed:,} localizations between {calibration.z[0]:.0f} and {calibration.z[-1]:.0f} nm")
        if failed:
            ctx.say(f"{failed:,} localizations without widths have no z: NaN, z_code 0")
        if ends > 0.1 * n:
            ctx.warn(
                f"{ends / n:.0%} of the localizations lie at the ends of the calibrated range (z_code 6): their z may be wrong"
            )
        keep = np.ones(len(result), dtype=bool)
        if self.range_ends == "drop":
            keep &= code != EDGE
        if self.max_mismatch is not None:
            keep &= ~(found["mismatch"] > self.max_mismatch)
        made: dict[str, Any] = {"output_localizations": result if keep.all() else result.select(keep)}
        if ctx.wanted("output_figure"):
            from recipes_modules.astig_figures import depth_figure

            made["output_figure"] = depth_figure(calibration, columns[0], columns[1], found["z"], keep)
        return made

    def _calibration(self, ctx: Context, given: Table | None, localizations: Localizations) -> Table:
        if given is not None:
            return given
        if not self.calibration_file:
            raise DataError(
                "Astig_Z has no calibration.",
                code="D110",
                hint="Give input_calibration (from Astig_Calibrate) or calibration_file.",
            )
        return calibration_of_file(ctx, self.calibration_file, localizations)


def correlation_of(localizations: Localizations) -> Array | None:
    """How the errors of the two widths hang together; None where table and metadata do not tell enough of the fits."""
    from recipes_modules.localize.camera import Camera
    from recipes_modules.localize.width_correlation import width_correlation

    half = localizations.metadata.get("Analysis.ROISize")
    if not {"photons", "background"} <= set(localizations.columns) or not isinstance(half, int) or not 0 < half < 50:
        return None
    try:
        # Where on the sensor the movie lay does not matter here.
        told = {key: value for key, value in localizations.metadata.items() if not key.startswith("Camera.ROI")}
        camera = Camera.from_metadata(told, shape=(1, 1))
    except DataError:
        return None
    size_x, size_y = camera.pixel_size
    columns = [np.asarray(localizations[name], np.float64) for name in ("sigma_x", "sigma_y", "photons", "background")]
    noise = (camera.read_noise / camera.em_gain) ** 2
    return np.asarray(
        width_correlation(columns[0] / size_x, columns[1] / size_y, *columns[2:], half, noise, camera.noise_factor**2)
    )


def calibration_of_file(ctx: Context, file: str, localizations: Localizations) -> Table:
    """A table of z, sigma_x and sigma_y from a file: a table, or PYME's or Picasso's calibration."""
    path = Path(file)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        size = ImageStack(np.zeros((1, 1), np.uint8), metadata=localizations.metadata).pixel_size
        read, told = read_calibration(path, None if size is None else size[:2])
        ctx.say(told)
        return read
    table: Table = ctx.open(file, Table)
    return table


def _electrons(ctx: Context, stack: ImageStack) -> tuple[Array, Array | float, float]:
    """Planes in photoelectrons, their read-noise variance, and the noise factor squared."""
    from recipes_modules.localize.bead_stack import RELATIVE_PEAK
    from recipes_modules.localize.camera import Camera

    t, z, y, x = stack.shape
    pixels = stack.asarray()
    planes = np.asarray(pixels[:, 0] if z == 1 else pixels.mean(axis=0), np.float32)
    if len(planes) < 2:
        raise DataError(f"the stack has {t} frame and {z} plane; a calibration takes beads at several heights.", code="D550")
    try:
        camera = Camera.from_metadata(stack.metadata, shape=(y, x))
    except DataError:
        camera = None
    if camera is not None:
        electrons = camera.to_electrons(planes)
        if np.nanmax(electrons) >= 50.0:
            return electrons, camera.variance_map((y, x)), camera.noise_factor**2
    level = float(np.nanpercentile(planes, 5))
    peak = float(np.nanmax(planes)) - level
    if not peak > 0:
        raise DataError("the planes are all alike: they hold no bead.", code="D550")
    ctx.warn("the camera is not described, or the counts are none: errors of the widths are relative")
    return (planes - level) * np.float32(RELATIVE_PEAK / peak), 1.0, 1.0
