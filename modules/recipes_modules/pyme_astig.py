"""PYME's MapAstigZ."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes_core.data import Figure, Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import FilePath, Float, Input, Output
from recipes_modules.localize_astig import calibration_of_file

ADDED = ("z", "astigmatic_z", "astigmatic_z_lookup_error")


class MapAstigZ(ModuleBase):
    """Gives localizations z from their two widths and a calibration, as PYME's localisations.MapAstigZ does.

    astigmatic_z is where the calibrated widths are nearest to the fitted ones, astigmatic_z_lookup_error its standard error (NaN
    where the widths have no errors), both in nm. Where the table has a z already, such as the focus, astigmatic_z is added to it; else it
    becomes z. Rows without widths get NaN. Of calibrations with several channels the first is taken. `Astig_Z` says more of each
    localization: how far from the curves it is, and whether it lies at an end of them.
    """

    version = 1

    input_name = Input(Localizations, "merged", requires=("sigma_x", "sigma_y"), desc="fits with two widths")
    output_name = Output(Localizations, "zmapped", like="input_name", adds=ADDED, desc="the same rows with z")
    output_figure = Output(Figure, "z_plot", diagnostic=True, desc="widths of the localizations on the curves, and their z")

    astigmatism_calibration_location = FilePath(
        "", desc="PYME's calibration (.json), Picasso's (.yaml), or a table with z, sigma_x and sigma_y"
    )
    rough_knot_spacing = Float(
        50.0, low=0.0, unit="nm", deprecated=True, desc="takes no part: the noise of the curves says how smooth they are"
    )
    z_scale = Float(1.0, low=0.01, high=10.0, desc="factor of the astigmatic z and its error: the focal shift, 0.7 to 0.9")

    def run(self, ctx: Context, input_name: Localizations) -> dict[str, Any]:
        from recipes_modules.localize.astigmatism import EDGE, FAILED, Calibration, find_z

        table = input_name
        if not self.astigmatism_calibration_location:
            raise DataError(
                "MapAstigZ has no calibration.",
                code="D110",
                hint="Give its file in astigmatism_calibration_location; Astig_Calibrate makes one from beads.",
            )
        calibration = Calibration.from_table(calibration_of_file(ctx, self.astigmatism_calibration_location, table))
        widths = [np.asarray(table[f"sigma_{axis}"]) for axis in "xy"]
        names = ("error_sigma_x", "error_sigma_y")
        errors = [np.asarray(table[name]) if all(other in table for other in names) else None for name in names]
        found = find_z(calibration, *widths, *errors)
        z, code = found["z"] * self.z_scale, found["code"]
        before = np.asarray(table["z"], np.float64) if "z" in table else np.zeros(len(table))
        ends, failed = int(np.count_nonzero(code == EDGE)), int(np.count_nonzero(code == FAILED))
        ctx.say(f"z of {len(table) - failed:,} localizations between {calibration.z[0]:.0f} and {calibration.z[-1]:.0f} nm")
        if np.any(before):
            ctx.say("the z that the localizations had was added, as the focus is")
        if failed:
            ctx.warn(f"{failed:,} localizations without widths have no z: NaN")
        if ends > 0.1 * max(len(table), 1):
            ctx.warn(
                f"{ends / len(table):.0%} of the localizations lie at the ends of the calibrated range: their z may be wrong"
            )
        new = {
            "z": (before + z).astype(np.float32), "astigmatic_z": z.astype(np.float32),
            "astigmatic_z_lookup_error": (found["error_z"] * self.z_scale).astype(np.float32),
        }  # fmt: skip
        made: dict[str, Any] = {"output_name": table.with_columns(new, units=dict.fromkeys(ADDED, "nm"))}
        if ctx.wanted("output_figure"):
            from recipes_modules.astig_figures import depth_figure

            made["output_figure"] = depth_figure(calibration, widths[0], widths[1], found["z"], np.ones(len(table), bool))
        return made
