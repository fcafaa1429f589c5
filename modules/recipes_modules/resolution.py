"""How sharp localizations are: precision by NeNA, resolution by Fourier ring correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes_core.data import Figure, Localizations, Panel, Scalars, Series
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Input, Int, Output
from recipes_modules.quality import FrcResult, NenaResult, frc, nena
from recipes_modules.quality.frc import THRESHOLD


class NeNA(ModuleBase):
    """Localization precision from nearest neighbours in consecutive frames (Endesfelder et al. 2014, doi:10.1007/s00418-014-1192-3).

    A molecule that stays on is localized again in the next frame; how far apart the two are tells the precision, whatever the
    errors that a fit claims. Use it on localizations that are neither linked nor merged. The result is the standard error along one
    axis, as the root mean square over the localizations; its 95 % band comes from leaving out parts of the movie.

    Drift hardly matters, for it is small from one frame to the next. What the molecules themselves move in a frame counts as error.
    """

    version = 1

    input_localizations = Input(Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations, not merged")
    output_precision = Output(Scalars, "nena", desc="precision, its band, and what else the distances tell")
    output_plot = Output(Figure, "nena_plot", desc="distances of nearest neighbours, with the fit")

    errors = Choice(
        ("ignored", "claimed"),
        "ignored",
        desc="claimed: distances are measured in units of error_x and error_y; also tells by which factor these are wrong",
    )
    max_distance = Float(0.0, low=0.0, unit="nm", desc="longest distance in the fit; 0: ten times the precision")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return (*super().required_columns(port), *(("error_x",) if self.errors == "claimed" else ()))

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        table = input_localizations
        error = claimed_errors(table) if self.errors == "claimed" else None
        missing = ~table.finite_rows("x", "y", "frame")
        if error is not None:
            missing |= ~(np.isfinite(error) & (error > 0))
        if missing.any():
            ctx.say(f"{np.count_nonzero(missing):,} localizations have NaN or no error and took no part")
        found = nena(table["x"], table["y"], table["frame"], error=error, max_distance=self.max_distance or None, mapper=ctx.map)
        if found.error > 0.1 * found.precision:
            ctx.warn(
                f"the precision of {found.precision:.1f} nm is known to {found.error:.1f} nm only: {found.n:,} pairs are few"
            )
        if found.later > 0.5:
            ctx.warn(
                f"near neighbours are {found.later:.0%} as frequent 50 frames later as in the next frame: unless molecules stay on for "
                f"long, the {found.precision:.1f} nm are the size of a structure and no precision"
            )
        made: dict[str, Any] = {"output_precision": _nena_values(found)}
        if ctx.wanted("output_plot"):
            made["output_plot"] = nena_figure(found)
        return made


class FRC(ModuleBase):
    """Resolution by Fourier ring correlation (Nieuwenhuizen et al. 2013, doi:10.1038/nmeth.2448).

    See also Banterle et al. 2013, doi:10.1016/j.jsb.2013.05.004.

    The localizations are split into two halves by chance; the resolution is one over the spatial frequency at which the correlation
    of the two images falls below 1/7. Several splits tell how much it varies.

    A molecule that is localized in several frames is one measurement of the structure, yet would be in both halves if each
    localization were drawn alone: the halves then correlate for nothing and the resolution comes out too good. `split: blocks`
    therefore draws blocks of frames. Molecules that come back in another block are in both halves nevertheless; where most do, what is
    measured is how well they are localized rather than how well they sample the structure.
    """

    version = 1
    uses_seed = True

    input_localizations = Input(
        Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations, drift corrected"
    )
    output_resolution = Output(Scalars, "frc", desc="resolution and its band")
    output_plot = Output(Figure, "frc_plot", desc="correlation over spatial frequency")

    split = Choice(("blocks", "random"), "blocks", desc="what is drawn for the halves: blocks of frames, or each localization")
    block = Float(
        0.0, low=0.0, unit="frame", desc="length of a block, well above the time that a molecule is on; 0: 1/50 of the movie"
    )
    n_splits = Int(10, low=2, high=1000, desc="random splits")
    pixel = Float(0.0, low=0.0, unit="nm", desc="pixel of the renderings; 0: at most a quarter of the resolution")

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        table = input_localizations
        missing = int(np.count_nonzero(~table.finite_rows("x", "y", "frame")))
        if missing:
            ctx.say(f"{missing:,} localizations have NaN and took no part")
        found = frc(
            table["x"], table["y"], table["frame"], split=self.split, block=self.block or None, n_splits=self.n_splits,
            pixel=self.pixel or None, rng=ctx.rng, mapper=ctx.map,
        )  # fmt: skip
        if found.resolution < 4 * found.pixel * 0.99:
            ctx.warn(
                f"the resolution of {found.resolution:.1f} nm is finer than four pixels of {found.pixel:g} nm; set pixel smaller"
            )
        made: dict[str, Any] = {"output_resolution": _frc_values(found)}
        if ctx.wanted("output_plot"):
            made["output_plot"] = frc_figure(found)
        return made


def claimed_errors(table: Localizations) -> np.ndarray[Any, np.dtype[Any]]:
    """Claimed error along one axis: the root mean square of x and y."""
    error = np.asarray(table["error_x"])
    if "error_y" not in table:
        return error
    combined = np.sqrt((error**2 + table["error_y"] ** 2) / 2)
    # A negative error says that there is none.
    return np.asarray(np.where((error > 0) & (table["error_y"] > 0), combined, np.nan))


def _nena_values(found: NenaResult) -> Scalars:
    values = {
        "precision": found.precision,
        "standard_error": found.error,
        "band_95": list(found.band),
        "error_scale": found.scale,
        "persistence": found.persistence,
        "density_of_others": found.density,
        "n_pairs": found.n,
        "frequent_later": found.later,
    }
    units = {"precision": "nm", "standard_error": "nm", "band_95": "nm", "density_of_others": "1/um^2"}
    return Scalars({name: value for name, value in values.items() if value is not None}, units=units)


def _frc_values(found: FrcResult) -> Scalars:
    values = {
        "resolution": found.resolution,
        "standard_deviation": found.error,
        "band_95": list(found.band),
        "resolutions": found.resolutions,
        "pixel": found.pixel,
    }
    return Scalars(values, units=dict.fromkeys(values, "nm"))


def nena_figure(found: NenaResult) -> Figure:
    """Histogram of the nearest neighbours' distances, with the fit and its part that is the same molecule."""
    middle = (found.edges[1:] + found.edges[:-1]) / 2
    claimed = found.scale is not None
    content = [
        Series("bars", middle, found.counts, label="nearest neighbour in the next frame", colour="#c9d6e2"),
        Series("line", middle, found.fitted, label="fit", colour=0),
        Series("line", middle, found.same, label="same molecule", colour=1, style="dashed"),
    ]
    note = f"precision {found.precision:.2f} nm, 95 % band {found.band[0]:.2f} to {found.band[1]:.2f} nm"
    if claimed:
        note += f"; claimed errors x {found.scale:.2f}"
    label = "distance / claimed error" if claimed else "distance (nm)"
    panel = Panel(content, x_label=label, y_label="localizations", note=note)
    return Figure([panel], title="NeNA", panel_size=(7.0, 3.6))


def frc_figure(found: FrcResult) -> Figure:
    """Correlation over spatial frequency with the threshold; the band is twice the spread of the splits."""
    shown = found.frequency <= min(3.0 / found.resolution, found.frequency[-1])
    q = found.frequency[shown] * 1000
    smooth, spread = found.smoothed[shown], 1.96 * found.spread[shown]
    at = 1000 / found.resolution
    content = [
        Series("points", q, found.correlation[shown], label="rings", colour="#9db4c8"),
        Series("band", q, smooth - spread, smooth + spread, label="95 % of the splits", colour=0),
        Series("line", q, smooth, label="smoothed", colour=0),
        Series("line", q[[0, -1]], np.full(2, THRESHOLD), label="threshold 1/7", colour=6, style="dashed"),
        Series("line", np.full(2, at), np.array([min(0.0, float(smooth.min())), THRESHOLD]), colour=1, style="dotted"),
        Series("points", np.array([at]), np.array([THRESHOLD]), label=f"1 / {found.resolution:.1f} nm", colour=1),
    ]
    note = f"resolution {found.resolution:.1f} nm, 95 % band {found.band[0]:.1f} to {found.band[1]:.1f} nm"
    panel = Panel(content, x_label="spatial frequency (1/um)", y_label="Fourier ring correlation", note=note)
    return Figure([panel], title="FRC", panel_size=(7.0, 3.6))
