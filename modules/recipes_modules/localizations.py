"""PYME's standard steps on localizations: derived columns, and channels of colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, Localizations, Table
from recipes_core.data.vocabulary import canonical_names
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Float, Input, MapOf, Output, Str

Floats = npt.NDArray[np.floating[Any]]

DYE_RATIOS = {"A647": 0.85, "A680": 0.87, "A750": 0.11, "A700": 0.3, "CF770": 0.11}
"""Part of a dye's light in the first channel of a splitter, where neither recipe nor metadata give it."""

RATIO_ERROR = 0.01
"""Standard error of a colour ratio where the fit gives none."""

_CAMERA = ("voxelsize.x", "Camera.ElectronsPerCount", "Camera.TrueEMGain")
_FOCUS = "Events.ProtocolFocus"
"""Metadata: times (s) and positions (um) of the focus, which the reader of PYME's files takes from their events."""
_MOST_SEQUENTIAL = 8
"""Sequential colours whose columns may be named in a recipe before the metadata tell how many there are."""

_FIT_ALIASES = {
    "x": "fitResults_x0", "y": "fitResults_y0", "frame": "tIndex", "A": "fitResults_A", "sigma": "fitResults_sigma",
    "sigma_x": "fitResults_sigmax", "sigma_y": "fitResults_sigmay", "error_x": "fitError_x0", "error_y": "fitError_y0",
    "error_z": "fitError_z0", "chi2": "nchi2", "result_code": "resultCode",
}  # fmt: skip


class AddPipelineDerivedVars(ModuleBase):
    """Makes localizations of fit results: the usual names, z, photons, and the colour ratio of splitter data.

    Adds `focus` (nm, from the file's events ProtocolFocus; 0 where there are none), `z` from the fitted or astigmatic z and the focus,
    photons for Gaussian fits where the camera is known, and for two-channel fits `A`, `gFrac` (part of the light in the first channel) and
    its error.
    """

    version = 2

    inputFitResults = Input(Table, "FitResults", desc="results of a fit, as in a .h5r file")
    inputEvents = Input(Table, "", desc="kept for old recipes: events come with the fit results' file")
    outputLocalizations = Output(Localizations, "Localizations", desc="the same rows with derived columns")
    outputEventMaps = Output(DataObject, "event_maps", deprecated=True, desc="kept for old recipes: the input itself")
    pixelSizeNM = Float(1.0, low=0.0, unit="nm", desc="factor for tables whose x and y are in pixels")
    foreshortening = Float(1.0, desc="ratio of the focus's real and nominal movement along z")

    def output_columns(self, port: str, known: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
        columns = known.get("inputFitResults")
        if port != "outputLocalizations" or columns is None:
            return None
        # The run itself on no rows, with a camera that is known: metadata are not there yet, and photons may come of them.
        camera = dict.fromkeys(_CAMERA, 1.0)
        try:
            return tuple(self._derived(Table({name: np.zeros(0) for name in columns}, metadata=camera)))
        except DataError:
            return None  # the run says it, with the data at hand

    def run(self, ctx: Context, inputFitResults: Table, inputEvents: Table | None) -> dict[str, Any]:
        columns = self._derived(inputFitResults, focus_of(ctx, inputFitResults))
        table = Localizations(columns, metadata=inputFitResults.metadata)
        made: dict[str, Any] = {"outputLocalizations": table}
        if ctx.wanted("outputEventMaps"):
            made["outputEventMaps"] = inputFitResults
        return made

    def _derived(self, fit: Table, focus: Floats | None = None) -> dict[str, Any]:
        columns: dict[str, Any] = {name: fit[name] for name in fit.columns}
        for name, source in _FIT_ALIASES.items():
            if source in columns and name not in columns:
                columns[name] = fit[source]
        for source, name in canonical_names(fit.columns).items():
            columns.setdefault(name, fit[source])
        if "x" not in columns or "frame" not in columns:
            raise DataError("the fit results have no position or frame.", hint=f"They have: {', '.join(fit.columns)}.")
        if "y" not in columns:
            columns["y"] = 10.0 * columns["frame"]  # PYME's picture of one-dimensional data: time upwards
        if self.pixelSizeNM != 1.0:
            for axis in "xy":
                columns[axis] = columns[axis] * self.pixelSizeNM
        columns.setdefault("focus", np.zeros(len(fit)) if focus is None else focus)
        columns["z"] = self._z(columns)
        _add_colour_ratio(columns)
        _add_photons(columns, fit.metadata)
        return columns

    def _z(self, columns: Mapping[str, Any]) -> Any:
        focus = self.foreshortening * columns["focus"]
        for name in ("fitResults_z0", "astigmatic_z", "z"):
            if name in columns:
                return columns[name] + focus
        return focus


def focus_of(ctx: Context, fit: Table) -> Floats | None:
    """Focus (nm) at the frame of each row, as the events ``ProtocolFocus`` say: each holds until the next; None where there are none.

    Before the first event it is ``Protocol.PiezoStartPos``.
    """
    events = fit.metadata.get(_FOCUS)
    frames = next((fit[name] for name in ("frame", "tIndex", "t") if name in fit), None)
    if not isinstance(events, (list, tuple)) or not events or frames is None or "focus" in fit:
        return None
    start, cycle = (fit.metadata.get(key) for key in ("StartTime", "Camera.CycleTime"))
    if not isinstance(start, (int, float)) or not isinstance(cycle, (int, float)) or not cycle > 0:
        ctx.warn(
            "the file has focus events, but no StartTime or Camera.CycleTime that tells their frames: the focus is taken as 0"
        )
        return None
    times, places = np.array(events, np.float64).T
    before = fit.metadata.get("Protocol.PiezoStartPos")
    if not isinstance(before, (int, float)):
        before = places[0]
        ctx.warn(f"Protocol.PiezoStartPos is missing: the focus before the first event is taken as that after it, {before:g} um")
    # Times are kept to a part of a microsecond only: an event at the start of a frame counts for it.
    begins = (times - start) / cycle - 1e-6
    ctx.say(f"{len(times):,} focus events, from {places.min():g} to {places.max():g} um")
    return np.asarray(1000.0 * np.concatenate([[before], places])[np.searchsorted(begins, frames, side="right")])


def _add_colour_ratio(columns: dict[str, Any]) -> None:
    names = ("fitResults_Ag", "fitResults_Ar", "fitError_Ag", "fitError_Ar")
    if "gFrac" in columns:
        return
    if "fitResults_ratio" in columns:  # a fit that tried the ratio of each dye and kept the best
        columns["gFrac"] = columns["fitResults_ratio"]
        columns["error_gFrac"] = np.full(len(columns["gFrac"]), RATIO_ERROR)
        return
    if not set(names[:2]) <= set(columns):
        return
    green, red = columns["fitResults_Ag"], columns["fitResults_Ar"]
    total = green + red
    columns.setdefault("A", total)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns["gFrac"] = green / total
        if set(names) <= set(columns):
            error_green, error_red = columns["fitError_Ag"], columns["fitError_Ar"]
            relative = (error_green / green) ** 2 + (error_green**2 + error_red**2) / total**2
            columns["error_gFrac"] = columns["gFrac"] * np.sqrt(relative)
        else:
            columns["error_gFrac"] = np.full(len(total), RATIO_ERROR)


def _add_photons(columns: dict[str, Any], metadata: Mapping[str, Any]) -> None:
    if "fitResults_photons" in columns:
        columns.setdefault("photons", columns["fitResults_photons"])
        # PYME's filters ask for A; fits that yield photons have no height.
        columns.setdefault("A", columns["fitResults_photons"])
    values = [metadata.get(key) for key in _CAMERA]
    if "photons" in columns or "A" not in columns or "sigma" not in columns:
        return
    if not all(isinstance(value, (int, float)) and value > 0 for value in values):
        return
    pixel, electrons, gain = (float(value) for value in values)  # type: ignore[arg-type]
    # The volume of a Gaussian of height A and width sigma in pixels, in electrons.
    columns["photons"] = columns["A"] * 2 * math.pi * (columns["sigma"] / (1000 * pixel)) ** 2 * electrons / gain


class ProcessColour(ModuleBase):
    """Adds the columns that assign localizations to colour channels.

    Ratiometric data (a column `gFrac`) get for each species `p_<name>`, the probability density of their ratio for that species.
    Data with a column `probe` get `p_chan<i>`, 1 for its own probe and 0 for others. Sequential colours are told by metadata
    (`Protocol.NumberSequentialColors`, `Protocol.ColorRange<i>`). Data of one colour pass unchanged.

    `ColourNorm` is what the memberships are compared with: the density of a ratio that may be anything from 0 to 1, which is 1.
    """

    version = 2

    input = Input(Localizations, "localizations", desc="localizations")
    output = Output(Localizations, "colour_mapped", like="input", desc="the same with columns of membership")
    species_ratios = MapOf(Float(0.0), {}, desc="species: part of its light in the first channel")
    species_dyes = MapOf(Str(""), {}, desc="species: dye, for the ratio where none is given")
    ratios_from_metadata = Bool(True, desc="take species from the metadata Sample.Labelling, which then count more")

    def output_columns(self, port: str, known: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
        columns = known.get("input")
        if columns is None or "gFrac" in columns or "probe" in columns:
            return None  # species may come from the metadata, probes from the data
        return (*columns, *(f"p_chan{index}" for index in range(_MOST_SEQUENTIAL)), "ColourNorm")

    def run(self, ctx: Context, input: Localizations) -> Localizations:  # noqa: A002 - PYME's name of the port
        if "gFrac" in input:
            added = self._by_ratio(ctx, input)
        elif "probe" in input:
            probes = input["probe"]
            present = np.unique(probes)
            whole = np.isfinite(present).all() and np.all(present == np.rint(present))
            if len(present) and whole and present[0] >= 0 and present[-1] < _MOST_SEQUENTIAL:
                # As PYME: a probe without localizations has a channel too, so that numbers mean the same in every file.
                present = np.arange(int(present[-1]) + 1)
            added = {f"p_chan{probe:g}": (probes == probe).astype(np.float32) for probe in present}
            added["ColourNorm"] = np.ones(len(input), np.float32)
        else:
            added = {}
        added |= self._sequential(input)
        return input.with_columns(added) if added else input

    def _by_ratio(self, ctx: Context, table: Localizations) -> dict[str, Any]:
        ratios = self._ratios(table.metadata)
        if not ratios:
            ctx.warn("the localizations have a colour ratio (gFrac), but no species is named; all stay in one channel")
            return {}
        ratio = table["gFrac"].astype(np.float64)
        error = table.get("error_gFrac")
        error = np.full(len(ratio), RATIO_ERROR) if error is None else np.maximum(error.astype(np.float64), 1e-6)
        added: dict[str, Any] = {
            f"p_{name}": np.exp(-((ratio - centre) ** 2) / (2 * error**2)) / (error * math.sqrt(2 * math.pi))
            for name, centre in ratios.items()
        }
        if "ColourNorm" not in table:
            added["ColourNorm"] = np.ones(len(ratio), np.float32)
        return added

    def _ratios(self, metadata: Mapping[str, Any]) -> dict[str, float]:
        ratios = {name: DYE_RATIOS[dye] for name, dye in self.species_dyes.items() if dye in DYE_RATIOS}
        ratios |= dict(self.species_ratios)
        labelling = metadata.get("Sample.Labelling") if self.ratios_from_metadata else None
        found: dict[str, float] = {}
        for entry in labelling if isinstance(labelling, (list, tuple)) else ():
            if isinstance(entry, (list, tuple)) and len(entry) >= 2 and str(entry[1]) in DYE_RATIOS:
                name, number = str(entry[0]), 0
                while name in found:
                    number += 1
                    name = f"{entry[0]}_{number}"
                found[name] = DYE_RATIOS[str(entry[1])]
        return ratios | found

    @staticmethod
    def _sequential(table: Localizations) -> dict[str, Any]:
        number = table.metadata.get("Protocol.NumberSequentialColors", 1)
        if not isinstance(number, int) or number <= 1:
            return {}
        frames, added = table["frame"], {}
        for index in range(number):
            span = table.metadata.get(f"Protocol.ColorRange{index}")
            if isinstance(span, (list, tuple)) and len(span) == 2:
                added[f"p_chan{index}"] = ((frames >= span[0]) & (frames < span[1])).astype(np.float32)
        return {**added, "ColourNorm": np.ones(len(table), np.float32)} if added else {}
