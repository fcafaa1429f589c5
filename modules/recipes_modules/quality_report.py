"""How good localizations are, in numbers and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recipes_core.data import Drift, Figure, Localizations, Panel, Scalars
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Float, Input, Int, Output
from recipes_modules.quality_panels import count_panel, frames_panel, histogram_panel

_SHOWN = {
    "photons": "photons",
    "error_x": "nm",
    "error_y": "nm",
    "error_z": "nm",
    "background": "photons",
    "sigma": "nm",
    "chi2": "",
}
_NAMES = {"error_x": "precision_claimed_x", "error_y": "precision_claimed_y", "error_z": "precision_claimed_z"}
FINE = 4.0
"""Pixels of the rendering for decorrelation are the resolution (FRC) over this, or the precision."""
MOST_PIXELS = 4096
_LINE = 46
"""Characters of a note for which there is room beside its title."""


@dataclass
class _Findings:
    """Numbers with their units, and panels of the figure."""

    values: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    panels: list[Panel] = field(default_factory=list)

    def add(self, values: Mapping[str, Any], unit: str = "", **units: str) -> None:
        self.values.update(values)
        for name in values:
            if units.get(name, unit):
                self.units[name] = units.get(name, unit)


def _rms(values: Any) -> float:
    """Root mean square of the errors that are above 0."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known) & (known > 0)]
    return float(np.sqrt(np.mean(known**2)))


class Quality_Report(ModuleBase):
    """Measures how good localizations are: precision, resolution, photons, background, density, and the drift's verdict.

    - `nena`: precision from nearest neighbours in consecutive frames, with its 95 % band (see `NeNA`)
    - `frc`: resolution by Fourier ring correlation, with its 95 % band (see `FRC`)
    - `decorrelation`: resolution of the rendered image (see `Decorrelation`)
    - medians and quartiles of photons, claimed precision, background, width and chi squared, where there are such columns
    - localizations a frame, and how much they fade; local density
    - with `input_drift`: whether the drift can be believed (see `Locs_Drift`), which takes as long as measuring it does

    What cannot be measured is left out and said. Localizations should not be linked or merged, and be drift corrected.
    """

    version = 2
    uses_seed = True

    input_localizations = Input(
        Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations, drift corrected and not merged"
    )
    input_drift = Input(Drift, "", desc="the drift by which they were corrected; it is checked")
    output_quality = Output(Scalars, "quality", desc="all numbers, with units")
    output_figure = Output(Figure, "quality_figure", desc="curves and histograms")

    verify_drift = Bool(True, desc="check the drift, where it is given")
    density_radius = Float(
        50.0, low=1.0, unit="nm", desc="half edge of the square in which neighbours count for the local density"
    )
    n_splits = Int(10, low=2, high=1000, desc="random splits for the band of the FRC")

    def run(self, ctx: Context, input_localizations: Localizations, input_drift: Drift | None) -> dict[str, Any]:
        table = input_localizations
        good = table.finite_rows("x", "y", "frame")
        if not good.all():
            ctx.say(f"{np.count_nonzero(~good):,} localizations have NaN and took no part")
            table = table.select(good)
        if not len(table):
            raise DataError("there are no localizations to judge.", code="D450", hint="Filters may have removed all of them.")
        found = _Findings()
        frames = np.asarray(table["frame"], dtype=np.float64)
        length = int(np.ptp(frames)) + 1
        found.add({"n_localizations": len(table), "n_frames": length, "localizations_per_frame": len(table) / length})
        steps = (self._precision, self._resolution, self._decorrelation, self._columns, self._density)
        for done, step in enumerate(steps):
            ctx.progress(done, 2 * len(steps))
            step(ctx, table, found)
        if input_drift is not None:
            self._drift(ctx, table, input_drift, found)
        made: dict[str, Any] = {"output_quality": Scalars(found.values, units=found.units)}
        if ctx.wanted("output_figure"):
            made["output_figure"] = Figure(found.panels, title="Quality", n_columns=2, panel_size=(4.8, 2.8))
        return made

    def _precision(self, ctx: Context, table: Localizations, found: _Findings) -> None:
        from recipes_modules.quality import nena
        from recipes_modules.resolution import claimed_errors, nena_figure

        # Where precisions differ from one localization to the next, distances tell the truth in units of the claimed errors only.
        error = claimed_errors(table) if "error_x" in table else None
        if error is not None and not (np.isfinite(error) & (error > 0)).any():
            error = None
        try:
            result = nena(table["x"], table["y"], table["frame"], error=error, mapper=ctx.map)
        except DataError as error:
            ctx.warn(f"no precision by NeNA: {error.message}")
            return
        found.add({"nena": result.precision, "nena_band_95": list(result.band)}, "nm")
        if error is not None and result.scale is not None:
            # Distances tell of both axes together; of the claims the one that is farther from that counts.
            shares = [_rms(table[axis]) / _rms(error) for axis in ("error_x", "error_y") if axis in table]
            claimed = max((share / result.scale for share in shares), key=lambda ratio: abs(np.log(ratio)))
            found.add({"claimed_over_nena": claimed})
            if not 0.8 < claimed < 1.25:
                ctx.warn(
                    f"the fits claim {claimed:.2f} times the errors that nearest neighbours tell, which are {result.precision:.1f} nm "
                    "(root mean square)"
                )
        found.panels.append(_titled(nena_figure(result).panels[0], "Precision (NeNA)"))

    def _resolution(self, ctx: Context, table: Localizations, found: _Findings) -> None:
        from recipes_modules.quality import frc
        from recipes_modules.resolution import frc_figure

        try:
            result = frc(table["x"], table["y"], table["frame"], n_splits=self.n_splits, rng=ctx.rng, mapper=ctx.map)
        except DataError as error:
            ctx.warn(f"no resolution by FRC: {error.message}")
            return
        found.add({"frc": result.resolution, "frc_band_95": list(result.band)}, "nm")
        found.panels.append(_titled(frc_figure(result).panels[0], "Resolution (FRC)"))

    def _decorrelation(self, ctx: Context, table: Localizations, found: _Findings) -> None:
        from recipes_modules.image_decorrelation import TOO_FINE, decorrelation_panel
        from recipes_modules.quality.decorrelation import decorrelation

        x, y = (np.asarray(table[axis], dtype=np.float64) for axis in "xy")
        size_known = found.values.get("frc", 0.0) / FINE or found.values.get("nena", 10.0)
        # Strays far away would make the image large and empty.
        low, high = (np.array([np.quantile(values, part) for values in (x, y)]) for part in (0.005, 0.995))
        pixel = max(size_known, float((high - low).max()) / MOST_PIXELS)
        size = [max(1, int(np.ceil((b - a) / pixel))) for a, b in zip(low, high, strict=True)]
        try:
            edges = [a + pixel * np.arange(n + 1) for a, n in zip(low, size, strict=True)]
            image = np.histogram2d(y, x, bins=(edges[1], edges[0]))[0]
            result = decorrelation(image, pixel)
        except DataError as error:
            ctx.say(f"no resolution by decorrelation: {error.message}")
            return
        if result.frequency > TOO_FINE:
            ctx.say("no resolution by decorrelation: it is limited by the pixels of the rendering")
            return
        found.add({"decorrelation": result.resolution, "decorrelation_snr": result.snr}, decorrelation="nm")
        found.panels.append(_titled(decorrelation_panel(result, pixel), "Resolution (decorrelation)"))

    def _columns(self, ctx: Context, table: Localizations, found: _Findings) -> None:
        for name, unit in _SHOWN.items():
            if name not in table:
                continue
            values = np.asarray(table[name], dtype=np.float64)
            values = values[np.isfinite(values)]
            if not len(values):
                continue
            quartiles = [float(value) for value in np.quantile(values, [0.25, 0.5, 0.75])]
            shown = _NAMES.get(name, name)
            found.add({shown: quartiles[1], f"{shown}_quartiles": [quartiles[0], quartiles[2]]}, unit)
            if name not in ("error_y", "sigma", "chi2"):
                found.panels.append(histogram_panel(values, shown.replace("_", " "), unit))

    def _density(self, ctx: Context, table: Localizations, found: _Findings) -> None:
        from recipes_modules.quality.density import local_density

        frames = table.frames
        counts = np.bincount(frames - frames.min())
        panel, faded = frames_panel(counts, int(frames.min()))
        found.add({"last_over_first_tenth": faded})
        found.panels.append(panel)
        density = local_density(table["x"], table["y"], self.density_radius)
        quartiles = [float(value) for value in np.quantile(density, [0.25, 0.5, 0.75])]
        found.add({"local_density": quartiles[1], "local_density_quartiles": [quartiles[0], quartiles[2]]}, "1/um^2")
        found.panels.append(count_panel(density, "local density", "1/um^2"))

    def _drift(self, ctx: Context, table: Localizations, drift: Drift, found: _Findings) -> None:
        span = np.ptp(drift.correction, axis=0)
        found.add({f"drift_range_{axis}": float(value) for axis, value in zip("xyz", span, strict=True) if value > 0}, "nm")
        if not self.verify_drift:
            return
        from recipes_modules.drift_apply import shifted
        from recipes_modules.verdict.check import Found, check
        from recipes_modules.verdict.methods import Method, Within

        deep = "z" in table and bool(span[2] > 0)
        inner = Within(ctx, 0.5, 1.0)
        undone = Drift(drift.frames, -drift.correction)
        precision = np.array([_typical(table, name) for name in ("error_x", "error_y", "error_z")])
        evidence, verdict = check(
            inner, shifted(table, undone, inner), table, Found(drift, Method("entropy", deep), (), ()), precision
        )
        found.add({"drift_verdict": verdict.word, "drift_reasons": "; ".join(verdict.reasons)})
        axes = "xyz" if deep else "xy"
        found.add({f"drift_error_{axis}": float(value) for axis, value in zip(axes, evidence.error, strict=False)}, "nm")
        if verdict.word != "good":
            ctx.warn(f"the drift is {verdict.word}: {'; '.join(verdict.reasons)}")


def _typical(table: Localizations, name: str) -> float:
    """Median of the claimed errors; 0 where there are none."""
    values = np.asarray(table[name], dtype=np.float64) if name in table else np.zeros(0)
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else 0.0


def _titled(panel: Panel, title: str) -> Panel:
    from dataclasses import replace

    # A title and a note beside each other would touch in a narrow panel.
    note = panel.note.removeprefix(f"{title.split(maxsplit=1)[0].lower()} ")
    return replace(panel, title="", note=f"{title}: {note}" if len(note) < _LINE else f"{title}\n{note}")
